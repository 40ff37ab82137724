"""The loss, its gradient and its Hessian against the derived words in exact fractions."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import QQ

from tests.theory.prompt_grid import gaussian, prompt_grid
from theory.gradient_flow import FlowProblem, FlowState
from theory.linear_attention import LinearAttention
from theory.moments.algebra import Matrix, Vector, matrix, vector
from theory.moments.coordinate import CoordinateMoments
from theory.moments.evaluation import derivative, evaluate
from theory.moments.expression import Expression, scalar
from theory.moments.layer import derive_loss
from theory.population_loss import LayerBlocks, PopulationLoss

RNG = np.random.default_rng
DERIVED = derive_loss()


def direction(k: int) -> dict[str, Expression | Vector | Matrix]:
    """Letters for the k-th direction in the space of weights."""
    return {
        "p": vector(f"p{k}"),
        "q": vector(f"q{k}"),
        "U": matrix(f"U{k}"),
        "u": scalar(f"u{k}"),
    }


SLOPE = derivative(DERIVED, direction(1))
CURVATURE = derivative(SLOPE, direction(2))


def eighths(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Multiples of 1/8, which float64 holds exactly."""
    return rng.integers(-12, 13, shape) / 8


class Case:
    """A loss and a point, in floats and in the same numbers as fractions."""

    def __init__(self, d: int, seed: int, *, plain: bool = False) -> None:
        rng = RNG(seed)
        A, B = eighths(rng, d, d), eighths(rng, d, max(d - 1, 1))
        self.d, self.N = d, int(rng.integers(1, 9))
        self.covariance = A @ A.T + np.eye(d)
        self.tasks = np.eye(d) if plain else B @ B.T  # singular for d > 1
        self.sigma = 0.0 if plain else float(rng.integers(0, 9)) / 8
        arguments = () if plain else (self.tasks, self.sigma)
        self.loss = PopulationLoss(self.covariance, self.N, *arguments)
        self.at = LayerBlocks.unstack(eighths(rng, (d + 1) ** 2))

    def exactly(self, expression: Expression, *directions: np.ndarray) -> Fraction:
        letters = {"Lambda": self.covariance, "S": self.tasks, "sigma": self.sigma}
        letters |= named(self.at, "")
        for k, vector_ in enumerate(directions, 1):
            letters |= named(LayerBlocks.unstack(vector_), str(k))
        values = {name: fractions(value) for name, value in letters.items()}
        return Fraction(evaluate(expression, values | {"1/N": Fraction(1, self.N)}))

    def size(self) -> float:
        """Largest of the summands, which the rounding errors are relative to."""
        return max(abs(float(self.exactly(m))) for m in DERIVED.monomials())


def named(blocks: LayerBlocks, suffix: str) -> dict[str, Any]:
    return {f"{name}{suffix}": block for name, block in zip("pqUu", blocks, strict=True)}


def fractions(value: Any) -> Any:
    return np.vectorize(Fraction, otypes=[object])(value) if np.ndim(value) else Fraction(value)


@settings(max_examples=40, deadline=None)
@given(d=st.integers(1, 5), seed=st.integers(0, 2**32 - 1), plain=st.booleans())
def test_the_loss_is_the_derived_one(d: int, seed: int, plain: bool) -> None:
    case = Case(d, seed, plain=plain)
    exact = float(case.exactly(DERIVED))
    assert case.loss(*case.at) == pytest.approx(exact, rel=1e-13, abs=1e-13 * case.size())


@pytest.mark.parametrize(("d", "N"), [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 1)])
def test_the_layer_itself_has_this_loss(d: int, N: int) -> None:
    """Its own predictions on a grid of prompts, whose means are exact up to rounding."""
    rng = RNG([d, N])
    root, tasks_root = rng.standard_normal((2, d, d))
    grid = prompt_grid(root, gaussian(tasks_root, 3), N, 0.6)
    loss = PopulationLoss(root @ root.T, N, tasks_root @ tasks_root.T, 0.6)
    for used in (
        (1, 1, 1, 1),
        (0, 0, 1, 1),
        (1, 1, 1, 0),
        (1, 1, 0, 1),
        (1, 0, 1, 1),
        (0, 1, 1, 1),
    ):
        blocks = LayerBlocks.unstack(rng.standard_normal((d + 1) ** 2))
        some = [kept * block for kept, block in zip(used, blocks, strict=True)]
        assert grid.loss(*some) == pytest.approx(loss(*some), rel=1e-11)


@settings(max_examples=20, deadline=None)
@given(d=st.integers(1, 4), seed=st.integers(0, 2**32 - 1), plain=st.booleans())
def test_two_derivatives_are_those_of_the_derived_loss(d: int, seed: int, plain: bool) -> None:
    case = Case(d, seed, plain=plain)
    v, w = eighths(RNG(seed), 2, (d + 1) ** 2)
    scale = 50 * max(case.size(), 1.0)
    slope, curvature = case.exactly(SLOPE, v), case.exactly(CURVATURE, v, w)
    found = case.loss.gradient(*case.at).stacked @ v, v @ case.loss.hessian(*case.at) @ w
    assert found[0] == pytest.approx(float(slope), rel=1e-13, abs=1e-13 * scale)
    assert found[1] == pytest.approx(float(curvature), rel=1e-13, abs=1e-13 * scale)


@pytest.mark.parametrize("d", [1, 2])
def test_every_entry_of_gradient_and_hessian(d: int) -> None:
    case, basis = Case(d, seed=5), np.eye((d + 1) ** 2)
    slopes = [float(case.exactly(SLOPE, e)) for e in basis]
    np.testing.assert_allclose(case.loss.gradient(*case.at).stacked, slopes, rtol=1e-12)
    expected = [[float(case.exactly(CURVATURE, e, f)) for f in basis] for e in basis]
    hessian = case.loss.hessian(*case.at)
    np.testing.assert_allclose(hessian, expected, rtol=1e-12, atol=1e-12 * case.size())
    np.testing.assert_array_equal(hessian, hessian.T)


@pytest.mark.parametrize("d", [1, 2])
def test_two_derivatives_are_those_of_the_coordinate_engine(d: int) -> None:
    """Which knows no words: polynomials of sympy, differentiated by sympy."""
    moments, rng = CoordinateMoments(d), RNG(d)
    polynomial = moments.population_loss(moments.task_factor, moments.noise_std)
    at, factor = eighths(rng, (d + 1) ** 2), np.tril(eighths(rng, d, d))
    eigenvalues, below = np.arange(1.0, d + 1), np.tril_indices(d)
    rows = [entry for row in moments.U11 for entry in row]
    weights = [*moments.u12, *moments.u21, *rows, moments.u_1]
    triangle = [moments.task_factor[i][j] for i, j in zip(*below, strict=True)]
    letters = [*moments.eigenvalues, *triangle, moments.noise_std, moments.inverse_length]
    numbers = [*at, *eigenvalues, *factor[below], 0.5, 0.25]
    exact = [QQ(*float(number).as_integer_ratio()) for number in numbers]
    point = list(zip([*weights, *letters], exact, strict=True))

    def value(derivative: Any) -> float:
        return float(Fraction(str(derivative.evaluate(point))))

    loss, blocks = (
        PopulationLoss(np.diag(eigenvalues), 4, factor @ factor.T, 0.5),
        LayerBlocks.unstack(at),
    )
    assert loss(*blocks) == pytest.approx(value(polynomial), rel=1e-13)
    slopes = [polynomial.diff(z) for z in weights]
    np.testing.assert_allclose(loss.gradient(*blocks).stacked, [*map(value, slopes)], rtol=1e-12)
    curvature = [[value(slope.diff(z)) for z in weights] for slope in slopes]
    np.testing.assert_allclose(loss.hessian(*blocks), curvature, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("d", [1, 3, 6])
def test_two_derivatives_are_limits_of_differences(d: int) -> None:
    rng, h = RNG(d), 1e-4
    root, tasks = rng.standard_normal((2, d, d))
    loss = PopulationLoss(root @ root.T + np.eye(d), 3, tasks @ tasks.T, 0.7)
    at = rng.standard_normal((d + 1) ** 2) / d
    slope, rows = [], []
    for step in h * np.eye(len(at)):
        up, down = LayerBlocks.unstack(at + step), LayerBlocks.unstack(at - step)
        slope.append((loss(*up) - loss(*down)) / (2 * h))
        rows.append((loss.gradient(*up).stacked - loss.gradient(*down).stacked) / (2 * h))
    blocks = LayerBlocks.unstack(at)
    gradient, hessian = loss.gradient(*blocks).stacked, loss.hessian(*blocks)
    np.testing.assert_allclose(gradient, slope, atol=1e-6 * np.max(np.abs(slope)))
    np.testing.assert_allclose(hessian, rows, atol=1e-6 * np.max(np.abs(hessian)))


@settings(max_examples=30, deadline=None)
@given(d=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_coordinates_do_not_matter(d: int, seed: int) -> None:
    """Apply x -> A x for an invertible A, with the weights and tasks that belong to it."""
    case = Case(d, seed)
    A = np.tril(eighths(RNG(seed), d, d), -1) + np.eye(d)
    inverse = np.linalg.inv(A)
    p, q, U, u = case.at
    tasks = inverse.T @ case.tasks @ inverse
    moved = PopulationLoss(A @ case.covariance @ A.T, case.N, tasks, case.sigma)
    at = (inverse.T @ p, inverse.T @ q, inverse.T @ U @ inverse, u)
    assert moved(*at) == pytest.approx(case.loss(*case.at), rel=1e-9, abs=1e-11 * case.size())


@settings(max_examples=30, deadline=None)
@given(d=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_on_the_plane_of_lemma_10_it_is_the_loss_of_the_flow(d: int, seed: int) -> None:
    case = Case(d, seed)
    zero = np.zeros(d)
    if not np.any(case.tasks):
        return
    flow = FlowProblem.general(case.covariance, case.tasks, case.sigma, case.N)
    _, _, U, u = case.at
    state = FlowState(U, u)
    accuracy = {"rtol": 1e-9, "atol": 1e-9 * (1 + case.size())}
    np.testing.assert_allclose(case.loss(zero, zero, U, u), flow.loss(state), **accuracy)
    gradient, expected = case.loss.gradient(zero, zero, U, u), flow.gradient(state)
    np.testing.assert_allclose(gradient.U11, expected.U, **accuracy)
    np.testing.assert_allclose(gradient.u_1, expected.u, **accuracy)
    np.testing.assert_array_equal([gradient.u12, gradient.u21], [zero, zero])


def test_the_loss_is_even_and_the_weights_may_be_a_layer() -> None:
    case = Case(3, seed=1)
    p, q, U, u = case.at
    assert case.loss(-p, -q, U, u) == case.loss(p, q, U, u)
    assert case.loss(p, -q, U, u) != case.loss(p, q, U, u)
    layer = LinearAttention.from_blocks(p, q, U, u)
    assert case.loss(layer.u12, layer.u21, layer.U11, layer.u_1) == case.loss(p, q, U, u)


def test_the_minimum_of_the_flow_is_a_critical_point_of_the_full_loss() -> None:
    """By evenness nothing pulls it off the plane u12 = u21 = 0."""
    case = Case(3, seed=2)
    flow = FlowProblem.general(case.covariance, case.tasks, case.sigma, case.N)
    U, u = flow.limit()
    gradient = case.loss.gradient(np.zeros(3), np.zeros(3), U, u).stacked
    np.testing.assert_allclose(gradient, 0, atol=1e-13 * case.size())


def test_the_representation_says_which_loss() -> None:
    assert repr(PopulationLoss(np.eye(3), 5)) == (
        "PopulationLoss(dim=3, prompt_length=5, noise_std=0)"
    )
    assert repr(PopulationLoss(np.eye(1), 2, noise_std=0.5)).endswith("noise_std=0.5)")


def test_the_rows_of_the_hessian_are_in_the_order_of_its_docstring() -> None:
    case, d = Case(3, seed=9), 3
    hessian, h = case.loss.hessian(*case.at), 2.0**-20
    for i, j in ((0, 2), (2, 1)):
        up, down = (case.at.U11 + sign * h * np.eye(d)[[i]].T * np.eye(d)[j] for sign in (1, -1))
        ends = [case.loss.gradient(*case.at._replace(U11=U)).stacked for U in (up, down)]
        row = hessian[2 * d + d * i + j]
        np.testing.assert_allclose(row, (ends[0] - ends[1]) / (2 * h), atol=1e-6 * abs(row).max())


def test_a_hessian_that_is_too_large_is_refused_before_memory_is_taken() -> None:
    d = 107
    loss, zero = PopulationLoss(np.eye(d), 3), np.zeros(d)
    with pytest.raises(ValueError, match=r"d = 107 it has n = 11664 rows, and 1088391168 bytes"):
        loss.hessian(zero, zero, np.eye(d), 1.0)
    assert 8 * 107**4 <= 2**30 < 8 * 108**4


def test_blocks_stack_and_unstack() -> None:
    vector_ = np.arange(9.0)
    blocks = LayerBlocks.unstack(vector_)
    np.testing.assert_array_equal(blocks.stacked, vector_)
    np.testing.assert_array_equal(blocks.U11, [[4, 5], [6, 7]])
    assert (blocks.u12.tolist(), blocks.u21.tolist(), blocks.u_1) == ([0, 1], [2, 3], 8.0)
    for length in (0, 1, 5, 10):
        with pytest.raises(ValueError, match=f"has {length} entries; expected d\\^2"):
            LayerBlocks.unstack(np.zeros(length))


BAD = {
    "entry": (([[1, 2], [0, 1]], 3), ["not symmetric"]),
    "indefinite": ((np.diag([1.0, -1.0]), 3), ["positive definite"]),
    "semidefinite": ((np.diag([1.0, 0.0]), 3), ["positive definite"]),
    "several": (
        (np.eye(2), 0, np.eye(3), -1),
        ["3 problem", "prompt_length .N. is 0", r"shape \(3, 3\)", "noise_std is -1"],
    ),
    "tasks": ((np.eye(2), 3, np.diag([1.0, -1.0])), ["task_covariance .S.", "semidefinite"]),
    "nan": ((np.eye(2), 3, None, np.nan), ["noise_std is nan"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_problems_are_refused(name: str) -> None:
    arguments, messages = BAD[name]
    for message in messages:
        with pytest.raises(ValueError, match=message):
            PopulationLoss(*arguments)


@pytest.mark.parametrize("method", ["__call__", "gradient", "hessian"])
def test_bad_weights_are_refused_all_at_once(method: str) -> None:
    loss = PopulationLoss(np.eye(2), 3)
    with pytest.raises(ValueError, match="4 problem") as error:
        getattr(loss, method)([1, 2, 3], [[1, 2]], np.zeros((2, 3)), np.inf)
    for name in ("u12", "u21", "U11", "u_1"):
        assert name in str(error.value)
