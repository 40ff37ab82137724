"""Programs of the paper's operators become circuits of every prefix, or are refused."""

import numpy as np
import pytest

from constructions.box import Box
from constructions.circuit import CircuitError, Prompt
from constructions.library.posterior_mean import posterior_mean_program
from constructions.operators import Aff, CopyDown, CopyOver, Mov, Mul, Operator, ScaledAgg, Sigmoid
from constructions.passes.lift import lift
from constructions.program import Program, Register
from tests.cases import STAGE_CASES, Case
from tests.constructions import judges
from tests.constructions.drawing import undecided, with_prior
from tests.constructions.loops import Meaning

BOX = Box.entrywise(2, 2.0, 3.0)
PROMPT = Prompt(2, 2, BOX)
ODD, EVEN, QUERY = frozenset({1, 3, 5}), frozenset({2, 4}), frozenset({5})


def program(*operations: Operator) -> Program:
    """Two examples in dimension two: token (2), a (2), b (2), c (2)."""
    registers = tuple(
        Register(name, first, 2, -9.0, 9.0)
        for name, first in (("token", 1), ("a", 3), ("b", 5), ("c", 7))
    )
    return Program("example", registers, 5, operations, ("token",))


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("case", STAGE_CASES, ids=str)
def test_every_prefix_of_the_papers_program(case: Case, prior: bool) -> None:
    """Each prefix is the last matrix of the judge's program for that many examples."""
    mixture, prompts = undecided(case, 2)
    mixture = with_prior(mixture, 1) if prior else mixture
    log_weights = np.log(mixture.weights) if prior else None
    W, sigma, k = mixture.components, mixture.noise_std, case.num_examples
    printed = posterior_mean_program(W, sigma, k, log_weights=log_weights)
    circuit = lift(printed, Prompt(case.dim, k, Box(1.0, 1.0)), printed.num_rows)
    exact = np.longdouble
    for tokens, xs, ys in zip(prompts.interleaved(), prompts.xs, prompts.ys, strict=True):
        found = Meaning(circuit, tokens).matrix(circuit.output)[0, ::2]
        for n in range(k + 1):
            stages = judges.stages(
                W.astype(exact), exact(sigma), xs[: n + 1].astype(exact), ys[:n].astype(exact),
                None if log_weights is None else log_weights.astype(exact),
            )  # fmt: skip
            wanted = float(stages[-1][-1, -1])
            # The program's own constants, 1 / 2 sigma^2 and the prior's logarithms, are float64.
            np.testing.assert_allclose(found[n], wanted, rtol=1e-11, atol=1e-12)


def test_operators_one_by_one() -> None:
    """copy_down, copy_over, mul, aff, scaled_agg and mov, with rows that hold parts of values."""
    lines = program(
        CopyDown(1, 3, 2, ODD),
        CopyOver(3, 3, 4, EVEN),
        Mul(3, 3, 5, 4, EVEN),
        ScaledAgg(-0.5, 5, 6, 5, 5, EVEN),
        Aff(4, 5, 7, 5, 6, 8, np.array([[1.0, 2.0], [0.0, 1.0]]), np.eye(2), [0.5, 0.0], QUERY),
    )
    circuit = lift(lines, PROMPT, 7)
    tokens = np.array([[1.0, 5.0, -2.0, 7.0, 0.5], [2.0, 0.0, 1.0, 0.0, -1.0]])
    # a = x; b = -1/2 sum x_j^2; c_1 = a_2 + 2 b_1 + b_1 + 1/2, for 0, 1 and 2 examples.
    found = Meaning(circuit, tokens).matrix(circuit.output)[0, ::2]
    np.testing.assert_allclose(found, [2.5, 1 - 1.5 + 0.5, -1 - 7.5 + 0.5])
    moved = lift(program(CopyDown(1, 3, 2, ODD), Mov(3, 5, 4, QUERY)), PROMPT, 6)
    found = Meaning(moved, tokens).matrix(moved.output)[0, ::2]
    np.testing.assert_array_equal(found, [2.0, 1.0, -1.0])


def test_names_of_registers_follow() -> None:
    circuit = lift(program(CopyDown(1, 3, 2, ODD), CopyOver(3, 3, 4, EVEN)), PROMPT, 3)
    # A copy within a column is the token itself.
    assert list(circuit.names) == ["a at labels"]


REFUSED: list[tuple[tuple[Operator, ...], str]] = [
    ((Sigmoid(1, 3),), "no circuit for operator sigmoid"),
    ((CopyDown(1, 3, 2, frozenset({1, 3})),), "writes some odd columns, expected all or the last"),
    ((CopyDown(1, 3, 1, frozenset({2})),), "writes some even columns, expected all or none"),
    ((CopyDown(1, 3, 2, ODD), CopyDown(3, 5, 4, EVEN)), "line 2, .* row .* is read but empty"),
    ((CopyDown(5, 7, 6, ODD),), r"line 1, .* row \(5, .* is read but empty"),
    (
        (CopyDown(1, 3, 1, EVEN), ScaledAgg(1.0, 3, 3, 5, 5, frozenset({2}))),
        "sums over columns that are not all labels",
    ),
]


@pytest.mark.parametrize(("operations", "message"), REFUSED)
def test_refusals(operations: tuple[Operator, ...], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        lift(program(*operations), PROMPT, 7)


@pytest.mark.parametrize("examples", [0, 1, 3])
def test_the_prompt_must_have_as_many_examples(examples: int) -> None:
    with pytest.raises(CircuitError, match="expected as many, and at least one example"):
        lift(program(CopyDown(1, 3, 2, ODD)), Prompt(2, examples, BOX), 3)
