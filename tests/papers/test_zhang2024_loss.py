"""The statements on the prediction, the loss and its minima: counterexamples and edges."""

from fractions import Fraction

import numpy as np
import pytest

from papers.beyond import full_loss
from papers.ledger import Verdict
from papers.runner import Result, run_one
from papers.zhang2024 import dynamics, gaussian_moments, global_minima, quadratic_form
from papers.zhang2024.letters import disagreement
from tests.papers.statement_checks import by_id
from tests.theory.prompt_grid import Cloud, prompt_grid
from theory import FlowProblem, PopulationLoss, PromptBatch
from theory.linear_attention import LinearAttention, embed
from theory.linear_attention import quadratic_form as library_form
from theory.moments.algebra import identity, matrix, symmetric, vector
from theory.moments.evaluation import evaluate
from theory.moments.expression import scalar
from theory.moments.layer import derive_loss
from theory.population_loss import LayerGradient

PRINTED = by_id(
    statement
    for module in (quadratic_form, gaussian_moments, dynamics, global_minima)
    for statement in module.STATEMENTS
)
BEYOND = by_id(full_loss.STATEMENTS)
COUNT = "zhang2024/section-5-1-negative-eigenvalues"


def test_the_statements_that_the_issue_names_are_there() -> None:
    lemmas = {f"zhang2024/lemma-{n}" for n in (9, 10, 11, 15, 21, 23, 24, 30)}
    corollaries = {f"zhang2024/corollary-{n}" for n in (16, 22)}
    assert lemmas | corollaries | {"zhang2024/theorem-5-sigma", COUNT} <= set(PRINTED)
    assert {"beyond/full-loss", "beyond/zero-stays-zero"} <= set(BEYOND)


def reason(name: str, mutant: str) -> str:
    result = run_one((PRINTED | BEYOND)[name], 0)
    return next(found.reason for found in result.mutants if found.name == mutant)


# Section 5.1


def negative(prompts: PromptBatch) -> int:
    (H,) = library_form(prompts)
    return int(np.sum(np.linalg.eigvalsh(H) < -1e-9))


def test_the_quadratic_form_of_one_example_in_two_dimensions_has_two_negative_eigenvalues() -> None:
    """Section 5.1 says d + 1 = 3 or more; the rank of E E' is 2."""
    prompts = PromptBatch([[[1.0, 2.0], [3.0, -1.0]]], [[5.0]])
    (E,) = embed(prompts)
    assert np.linalg.matrix_rank(E @ E.T) == 2
    assert negative(prompts) == 2
    printed = run_one(PRINTED[COUNT], 0).printed
    assert printed is not None
    assert printed.counterexample.startswith("d = 2, N = 1, ")
    assert "H has 2 negative eigenvalues, and the claim says 3 or more" in printed.counterexample


@pytest.mark.parametrize(("N", "expected"), [(1, 2), (2, 3), (3, 4), (4, 4), (9, 4)])
def test_as_many_examples_as_dimensions_are_enough(N: int, expected: int) -> None:
    rng = np.random.default_rng(N)
    xs, w = rng.standard_normal((1, N + 1, 3)), np.ones(3)
    assert negative(PromptBatch(xs, xs[:, :-1] @ w)) == expected
    # Outside of the hypothesis: for w = 0 the labels are 0, and so is the last row of E.
    assert negative(PromptBatch(xs, np.zeros((1, N)))) == min(N + 1, 3)


def test_a_label_of_the_query_spoils_the_quadratic_form() -> None:
    """The hypothesis of Lemma 9 is needed as soon as the last column of W^KQ is not 0."""
    E = np.array([[1.0, 2.0], [3.0, 4.0]])
    layer = LinearAttention([[0, 0], [0, 1]], [[0, 0], [0, 1]])
    # E_22 + (E E')_22 E_22 with N = 1.
    assert layer.output(E[None])[0, -1, -1] == 4 + 25 * 4
    H, u = quadratic_form._form(E, np.array([[0, 0], [0, 1]]))
    assert u @ H @ u == 0
    assert "f_LSA gives" in reason("zhang2024/lemma-9", "the query may have a label")


# The flow


def test_a_covariance_that_is_not_diagonal_couples_the_entries() -> None:
    """By hand: Gamma = [[8, 2], [2, 8]], and -(Gamma Lambda Lambda - Lambda^2)_12 = -42 + 4."""
    A = np.array([[2, 1], [1, 2]])
    gamma = 2 * A + np.trace(A) * np.eye(2)
    assert (A @ A - gamma @ A @ A)[0, 1] == -38
    found = reason("zhang2024/corollary-22", "Lambda_tau need not be diagonal")
    assert "du_12/dt is -38, and the claim says -0" in found


def test_an_eigenvalue_of_zero_leaves_other_minima() -> None:
    """The loss of Lambda = diag(1, 0), N = 1, by the derived formula in fractions."""
    values = {"Lambda": np.array([[1, 0], [0, 0]], dtype=object), "S": np.eye(2, dtype=int)}
    values |= {"sigma": 0, "1/N": 1, "u": 1, "p": np.zeros(2, dtype=int), "q": np.zeros(2, int)}
    third = Fraction(1, 3)
    at = [np.array([[third, 0], [0, corner]], dtype=object) for corner in (1, 2, 0)]
    losses = {evaluate(derive_loss(), values | {"U": U}) for U in at}
    assert losses == {third}
    found = reason("zhang2024/lemma-11", "Lambda semidefinite")
    assert "the loss at U = diag(1/3, 2), u = 1 is -1/6, as at" in found  # without tr(Lambda)/2
    with pytest.raises(ValueError, match="positive definite"):
        FlowProblem.fixed(np.diag([1.0, 0.0]), 1)


def test_off_the_plane_the_loss_of_lemma_15_is_another() -> None:
    zero, ones = np.zeros(1), np.ones(1)
    loss = PopulationLoss([[1.0]], 1)
    on, off = (loss(p, zero, [[1.0]], 1.0) for p in (zero, ones))
    assert on == 1.0  # tr(Gamma)/2 - 1 + 1/2 with Gamma = 3
    assert off != on


# Task laws


def slopes(tasks: Cloud, noise_std: float) -> tuple[float, float]:
    """The slopes by u_12 and u_21 at zero, for Lambda = 4, N = 2, U_11 = 0.3 and u_{-1} = 0.7.

    By central differences on prompts that the layer answers: the loss is a polynomial of degree 2
    in each of the two, for which differences are exact.
    """
    grid = prompt_grid(np.array([[2.0]]), tasks, 2, noise_std)
    none, U, u = np.zeros(1), np.array([[0.3]]), 0.7

    def loss(p: float, q: float) -> float:
        return grid.loss(none + p, none + q, U, u)

    return (loss(1, 0) - loss(-1, 0)) / 2, (loss(0, 1) - loss(0, -1)) / 2


LAWS = {
    "symmetric": Cloud(np.array([[1.0], [-1.0]]), np.array([0.5, 0.5])),
    "skew of mean zero": Cloud(np.array([[2.0], [-1.0]]), np.array([1.0, 2.0]) / 3),
    "of mean one": Cloud(np.array([[1.0], [0.5], [2.0]]), np.array([0.5, 0.25, 0.25])),
}


@pytest.mark.parametrize("noise_std", [0.0, 1.3])
@pytest.mark.parametrize("law", LAWS)
def test_the_slopes_for_any_task_law_are_those_of_the_layer(law: str, noise_std: float) -> None:
    points, weights = LAWS[law]
    w = points[:, 0]
    mean, third = weights @ w, weights @ (4 * w**3)
    claimed = full_loss._slopes(vector("m"), vector("t"), vector("v"))
    values = {"Lambda": np.array([[4.0]]), "U": np.array([[0.3]]), "u": 0.7, "sigma": noise_std}
    values |= {"1/N": 0.5, "v": np.ones(1), "m": np.array([mean]), "t": np.array([third])}
    expected = [float(evaluate(slope, values)) for slope in claimed]
    assert slopes(LAWS[law], noise_std) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert (abs(expected[1]) > 0.1) == (law != "symmetric")
    assert (abs(expected[0]) > 0.1) == (law == "of mean one")


def test_one_dimension_is_special() -> None:
    """For d = 1 the pull (1 + 2/N) u U lambda - 1 is zero at the minimum itself; not for d > 1."""
    for d, N in ((1, 3), (2, 3)):
        U, u = FlowProblem.fixed(2.0 * np.eye(d), N).limit()
        pull = (1 + 2 / N) * u * U.T @ (2.0 * np.eye(d)) - np.eye(d)
        assert np.allclose(pull, 0, atol=1e-12) == (d == 1)


# The words


def test_expressions_that_differ_are_told_apart_by_numbers() -> None:
    A, L, a = matrix("A"), symmetric("Lambda"), vector("a")
    rng = np.random.default_rng(0)
    assert disagreement((A @ L).trace(), (L @ A.T).trace(), rng) == ""
    found = disagreement(a @ A @ a, a @ A @ L @ a * scalar("1/N") + identity().trace(), rng)
    assert found.startswith("d = 2, 1/N = 0.5, A = [[")
    numbers = found.partition(": ")[2]
    first, second = (float(part.split()[-1]) for part in numbers.split(", and the claim"))
    assert first != second


@pytest.mark.parametrize(
    ("owner", "name", "fallen"),
    [
        (PopulationLoss, "__call__", "beyond/full-loss"),
        (FlowProblem, "loss", "zhang2024/lemma-15"),
        (FlowProblem, "excess_loss", "zhang2024/corollary-16"),
        (FlowProblem, "excess_loss", "zhang2024/lemma-24"),
        (FlowProblem, "loss", "zhang2024/lemma-23"),
    ],
)
def test_a_library_that_is_wrong_by_1e_9_makes_its_statement_fall(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, fallen: str
) -> None:
    right = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda self, *at: right(self, *at) * (1 + 1e-9))
    assert run_one((PRINTED | BEYOND)[fallen], 0).verdict is Verdict.FAILS


@pytest.mark.parametrize("fallen", ["zhang2024/lemma-10", "zhang2024/lemma-21"])
def test_a_gradient_that_is_wrong_by_1e_9_makes_the_flow_fall(
    monkeypatch: pytest.MonkeyPatch, fallen: str
) -> None:
    right = PopulationLoss.gradient

    def wrong(self: PopulationLoss, *at: np.ndarray) -> LayerGradient:
        found = right(self, *at)
        return found._replace(U11=found.U11 * (1 + 1e-9))

    monkeypatch.setattr(PopulationLoss, "gradient", wrong)
    result: Result = run_one(PRINTED[fallen], 0)
    assert result.verdict is Verdict.FAILS
    assert result.printed is not None
    assert "theory.PopulationLoss has a gradient that is off" in result.printed.counterexample
