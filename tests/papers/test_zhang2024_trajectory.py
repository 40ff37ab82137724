"""What the statements on the trajectory rest on, and what makes them fall."""

import inspect
import re
import sys
from itertools import chain
from types import ModuleType

import numpy as np
import pytest

from papers.beyond import initialisation, sharper_bounds, unbalanced_starts
from papers.ledger import Grade, Verdict
from papers.runner import run_one
from papers.zhang2024 import balance, flow_lines, lower_bounds, pl_inequality, positivity
from papers.zhang2024.flow_lines import Line, fixed_lines, random_lines
from tests.papers.statement_checks import by_id
from theory.gradient_flow import FlowProblem, FlowState, solver, time_step
from theory.gradient_flow.initialisation import FlowLimit, LimitKind, limit_of
from theory.gradient_flow.printed_bounds import PrintedBounds
from theory.gradient_flow.sharp_bounds import SharpBounds
from theory.gradient_flow.solution import FlowSolution
from theory.gradient_flow.solver import solve_flow_from

STATEMENTS = by_id(
    statement
    for module in (
        balance,
        positivity,
        lower_bounds,
        pl_inequality,
        initialisation,
        sharper_bounds,
        unbalanced_starts,
    )
    for statement in module.STATEMENTS
)

#: What holds by algebra over every dimension.
PROVED = {
    "zhang2024/assumption-3",
    *(f"zhang2024/lemma-{number}" for number in (17, 18, 19, 25, 26, 27)),
    "beyond/basin-of-one-curvature",
    "beyond/flow-in-one-dimension",
    "beyond/pl-inequality-at-a-point",
    "beyond/threshold-without-root-d",
}


def test_the_lemmas_of_the_trajectory_are_all_there():
    expected = {f"zhang2024/lemma-{number}" for number in (12, 17, 18, 19, 20, 25, 26, 27, 28)}
    assert expected | PROVED <= set(STATEMENTS)


def lines(rng: np.random.Generator) -> list[Line]:
    return list(
        chain(
            fixed_lines(positivity.THRESHOLDS["lemma-18"], rng),
            random_lines(positivity.THRESHOLDS["lemma-26"], rng),
        )
    )


def test_the_paper_s_matrices_and_the_library_have_one_loss_and_one_gradient():
    """`Line.loss` is the loss less its constant; both come from their own formulas."""
    rng = np.random.default_rng(3)
    for line in lines(rng)[::2]:
        U, u = rng.standard_normal((line.dim, line.dim)), float(rng.standard_normal())
        state, problem = FlowState(U, u), line.problem
        assert line.loss(state) == pytest.approx(
            problem.loss(state) - problem.loss_at_zero, abs=1e-11 * problem.loss(state)
        )
        ours, theirs = line.gradient(state), problem.gradient(state)
        np.testing.assert_allclose(ours.U, theirs.U, atol=1e-11 * np.max(np.abs(theirs.U)))
        assert ours.u == pytest.approx(theirs.u, abs=1e-11 * problem.loss(state))


def test_lines_are_at_their_parts_of_the_threshold():
    for line, ratio in zip(lines(np.random.default_rng(4)), flow_lines.RATIOS * 10, strict=True):
        name = "lemma-18" if len(line.atoms) == 1 and "lambda" not in line.name else "lemma-26"
        assert line.sigma**2 == pytest.approx(ratio * positivity.THRESHOLDS[name](line))
        assert np.linalg.norm(line.theta @ line.theta.T) == pytest.approx(1.0, rel=1e-12)
        assert sum(weight for weight, _ in line.atoms) == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("name", sorted(PROVED - {"zhang2024/assumption-3"}))
def test_the_algebra_alone_kills_every_wrong_constant(monkeypatch, name):
    """Without flow lines the claim still holds, and what no line can tell apart is told."""
    seen_on_lines = {
        "Theta Theta' of norm 1.01",
        "U(0) = -sigma Theta Theta'",
        "1.2 times the threshold",
    }
    for module in (balance, positivity, lower_bounds, sharper_bounds):
        monkeypatch.setattr(module, "fixed_lines", lambda *args: iter(()))
        monkeypatch.setattr(module, "random_lines", lambda *args: iter(()))
    for name_of_lines in ("fixed_along_the_top", "random_along_the_top"):
        monkeypatch.setattr(positivity, name_of_lines, lambda *args: iter(()))
    monkeypatch.setattr(unbalanced_starts, "STARTS", ())
    result = run_one(STATEMENTS[name], 0)
    assert result.printed.holds
    assert result.printed.grade is Grade.PROVED
    alive = {mutant.name for mutant in result.mutants if not mutant.killed}
    assert alive <= seen_on_lines


def scaled(patch: pytest.MonkeyPatch, owner: type, name: str, factor: float) -> None:
    """Make a property of the library wrong by a factor."""
    right = getattr(owner, name)
    patch.setattr(owner, name, property(lambda self: factor * right.fget(self)))


@pytest.mark.parametrize(
    ("owner", "name", "fallen"),
    [
        (PrintedBounds, "threshold", "zhang2024/lemma-18"),
        (PrintedBounds, "threshold", "zhang2024/lemma-26"),
        (PrintedBounds, "u_squared", "zhang2024/lemma-19"),
        (PrintedBounds, "u_squared", "zhang2024/lemma-27"),
        (PrintedBounds, "pl_constant", "zhang2024/lemma-20"),
        (PrintedBounds, "pl_constant", "zhang2024/lemma-28"),
        (SharpBounds, "u_squared_by_level", "beyond/sharper-bounds"),
    ],
)
def test_a_library_that_is_wrong_by_1e_6_makes_its_statement_fall(monkeypatch, owner, name, fallen):
    scaled(monkeypatch, owner, name, 1 + 1e-6)
    assert run_one(STATEMENTS[fallen], 0).verdict is Verdict.FAILS


def test_a_wrong_limit_of_the_library_makes_the_flow_statements_fall(monkeypatch):
    """The limit of beyond/initialisation-not-needed is the library's closed form."""
    right = FlowProblem.limit
    monkeypatch.setattr(
        FlowProblem,
        "limit",
        lambda self, balance=0.0: right(self, balance)._replace(u=1.001 * right(self, balance).u),
    )
    assert run_one(STATEMENTS["beyond/initialisation-not-needed"], 0).verdict is Verdict.FAILS


def test_a_library_that_takes_one_basin_for_the_other_makes_its_statement_fall(monkeypatch):
    def always_positive(problem: FlowProblem, start: FlowState) -> FlowLimit:
        return FlowLimit(LimitKind.POSITIVE, None, limit_of(problem, start).reason)

    monkeypatch.setattr(initialisation, "limit_of", always_positive)
    found = run_one(STATEMENTS["beyond/basin-of-one-curvature"], 0)
    assert found.verdict is Verdict.FAILS


def test_a_curve_that_is_off_by_1e_3_does_not_end_in_the_saddle(monkeypatch):
    right = initialisation.stable_curve

    def moved(problem: FlowProblem, u: float) -> FlowState:
        V = right(problem, u).U
        V[0, 0] *= 1 + 1e-3
        return FlowState(V * u / np.linalg.norm(V), u)

    monkeypatch.setattr(initialisation, "stable_curve", moved)
    found = run_one(STATEMENTS["beyond/one-curve-does-not-converge"], 0)
    assert found.verdict is Verdict.FAILS


def test_the_two_kinds_of_sizes_are_one_where_d_is_1_and_the_covariance_is_fixed():
    line = next(fixed_lines(lambda each: 1.0, np.random.default_rng(0)))
    assert positivity.fixed_sizes(line) == pytest.approx(positivity.random_sizes(line))


@pytest.mark.parametrize("name", ["zhang2024/lemma-18", "zhang2024/lemma-26"])
def test_wrong_thresholds_fall_because_the_loss_is_not_below_its_value_at_zero(name):
    """None of them only because the library has another number."""
    for mutant in run_one(STATEMENTS[name], 0).mutants:
        assert re.search(r"l\(0\) = [0-9.e-]+ is not < 0", mutant.reason), mutant


def test_wrong_bounds_fall_because_the_flow_breaks_them():
    for mutant in run_one(STATEMENTS["beyond/sharper-bounds"], 0).mutants:
        assert re.search(r"u falls to|the constant is", mutant.reason), mutant


def test_a_limit_that_is_off_by_1e_9_at_one_scale_makes_the_statement_fall(monkeypatch):
    """As rounding of the balance at a large scale once made it."""
    right = initialisation.solve_flow

    def unbalanced(problem: FlowProblem, theta: np.ndarray, scale: float) -> FlowSolution:
        if scale < 1e5:
            return right(problem, theta, scale)
        c = 4e-9 * problem.limit().u ** 2
        gram = theta @ theta.T
        return solve_flow_from(problem, FlowState(scale * gram, np.sqrt(scale**2 + c)))

    monkeypatch.setattr(initialisation, "solve_flow", unbalanced)
    found = run_one(STATEMENTS["beyond/initialisation-not-needed"], 0)
    assert "from the limit" in found.printed.counterexample


def test_the_saddle_is_reached_from_w_equal_to_zero_only(monkeypatch):
    monkeypatch.setattr(
        initialisation, "_by_scipy", lambda problem, V, u: (1e-3, problem.limit().u * np.sign(u))
    )
    problem = FlowProblem.fixed(2.0 * np.eye(2), 3)
    assert "no nearer" in initialisation._not_to_saddle(initialisation._SIDES, problem, 1.0)


SLOPE, PHASE = "flow.overlap(V) - u * cost", "phase = begin.phase + A @ u**2"


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("beyond/flow-in-one-dimension", SLOPE, SLOPE.replace("-", "+")),
        ("beyond/flow-in-one-dimension", SLOPE, SLOPE.replace("u *", "1.01 * u *")),
        ("beyond/starts-with-u-zero", SLOPE, SLOPE.replace("-", "+")),
        ("beyond/starts-with-u-zero", PHASE, PHASE.replace("+", "-")),
    ],
)
def test_a_wrong_equation_in_the_steps_of_time_makes_a_statement_fall(
    monkeypatch, name, right, wrong
):
    """Steps in time are those near u = 0 and with c < 0."""
    source = inspect.getsource(time_step)
    assert right in source
    module = ModuleType("wrong_time_step")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(source.replace(right, wrong), module.__dict__)
    monkeypatch.setattr(solver, "time_step", module.time_step)
    statement = STATEMENTS[name]
    try:
        holds = statement.check(statement.printed, np.random.default_rng(0)).holds
    except RuntimeError:
        # Newton's method no longer finds a step.
        holds = False
    assert not holds


def test_the_closed_form_for_one_dimension_is_the_logistic_one_from_balanced_starts():
    problem = FlowProblem.fixed([[1.5]], 2)
    a, b = float(problem.curvature[0, 0]), float(problem.drive[0, 0])
    times = np.linspace(0, 2, 9)
    expected = np.sqrt(b / (a + (b / 0.04 - a) * np.exp(-2 * b * times)))
    found = unbalanced_starts._RICCATI.at(problem, 0.2, 0.2, times)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
