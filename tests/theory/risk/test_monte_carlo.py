"""Theorem 5 and its shifts against sampled prompts, whose label the layer itself predicts.

Every part that a case is meant to show is more than 8 standard errors, so that a formula without it
would be rejected.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from scipy import integrate

from theory import PromptBatch
from theory.gradient_flow import FlowProblem
from theory.laws import Exponential, Gamma, TwoPoint, Uniform
from theory.linear_attention import LinearAttention
from theory.risk import (
    LabelMoments,
    QueryMoments,
    RiskBreakdown,
    linear_risk,
    random_covariance_risk,
    risk_from_samples,
    shifted_risk,
    theorem_5_bias,
)

PROMPTS, CHUNK = 400_000, 20_000
SEEN, AGREES = 8.0, 4.0

Labels = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def gaussian(function: Callable[[float], float]) -> float:
    """E f(Z) by adaptive quadrature, another one than the library's."""
    density = 1 / np.sqrt(2 * np.pi)
    return integrate.quad(
        lambda z: function(z) * density * np.exp(-z * z / 2), -12, 12, epsabs=1e-13, limit=200
    )[0]


def correlated(d: int) -> np.ndarray:
    """A covariance far from diagonal, with eigenvalues of different size."""
    root = np.eye(d) + 0.6 * np.tril(np.ones((d, d)), -1)
    return root @ np.diag(1.0 / np.arange(1, d + 1)) @ root.T


class Law(NamedTuple):
    covariance: np.ndarray
    labels: Labels
    moments: LabelMoments
    N: int
    M: int


def noisy(w: np.ndarray, scale: float, degrees: int) -> Labels:
    """Labels w'x + noise of Student's law, with variance scale^2 degrees / (degrees - 2)."""

    def labels(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x @ w + scale * rng.standard_t(degrees, x.shape[:-1])

    return labels


def square_law() -> Law:
    """Labels t^2/4 + t + 1 with t = w'x: a mean, and xy sees the linear part only."""
    lam, w = correlated(2), np.array([0.8, 0.5])
    v, r = w @ lam @ w, lam @ w
    # y^2 = t^4/16 + t^3/2 + 3 t^2/2 + 2t + 1, and
    # E g(t) xx' = E g(t) Lambda + (E g(t) (t^2 - v) / v^2) r r'.
    t = [1, 0, v, 0, 3 * v**2, 0, 15 * v**3]
    even = {0: 1, 2: 3 / 2, 4: 1 / 16}
    square = sum(c * t[k] for k, c in even.items())
    bent = sum(c * (t[k + 2] - v * t[k]) for k, c in even.items()) / v**2
    moments = LabelMoments(lam, square, r, square * lam + bent * np.outer(r, r))
    return Law(lam, lambda x, rng: (x @ w) ** 2 / 4 + x @ w + 1, moments, 1, 3)


def sine_law() -> Law:
    """Labels 3 sin(x_1) + 2 in d = 3, x_1 of variance 1: another E y, and curved."""
    lam, s = correlated(3), 1.0

    def y(z: float) -> float:
        return 3 * np.sin(s * z) + 2

    column = lam[:, 0]
    square = gaussian(lambda z: y(z) ** 2)
    bent = gaussian(lambda z: y(z) ** 2 * (z**2 - 1)) / s**2
    weighted = square * lam + bent * np.outer(column, column)
    cross = column * gaussian(lambda z: y(z) * z) / s
    moments = LabelMoments(lam, square, cross, weighted)
    return Law(lam, lambda x, rng: 3 * np.sin(x[..., 0]) + 2, moments, 3, 3)


def cubic_law() -> Law:
    """Labels x^3/5 + x/2 + noise in d = 1."""
    lam, s = np.array([[1.5]]), 1.5
    # E x^2k = 1, s, 3 s^2, 15 s^3, 105 s^4; y^2 = x^6/25 + x^4/5 + x^2/4 + noise of variance 1/4.
    square = 15 * s**3 / 25 + 3 * s**2 / 5 + s / 4 + 0.25
    weighted = 105 * s**4 / 25 + 15 * s**3 / 5 + 3 * s**2 / 4 + 0.25 * s
    moments = LabelMoments(lam, square, [3 * s**2 / 5 + s / 2], [[weighted]])

    def labels(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        t = x[..., 0]
        return t**3 / 5 + t / 2 + 0.5 * rng.standard_normal(t.shape)

    return Law(lam, labels, moments, 1, 2)


def sign_law() -> Law:
    """Labels sign(x_2) e with e = +-1 of mean 1/2: noise that depends on x, y^2 = 1."""
    lam = correlated(2)
    moments = LabelMoments(lam, 1.0, 0.5 * np.sqrt(2 / np.pi) * lam[:, 1] / np.sqrt(lam[1, 1]), lam)

    def labels(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.sign(x[..., 1]) * np.where(rng.random(x.shape[:-1]) < 0.75, 1.0, -1.0)

    return Law(lam, labels, moments, 2, 1)


def linear_law(d: int, scale: float, degrees: int, N: int, M: int) -> Law:
    lam, w = correlated(d), np.linspace(1.0, -0.5, d)
    std = scale * np.sqrt(degrees / (degrees - 2))
    moments = LabelMoments.linear(lam, w, std)
    return Law(lam, noisy(w, scale, degrees), moments, N, M)


LAWS = {
    "square with mean, d = 2": square_law(),
    "sine with mean, d = 3": sine_law(),
    "cubic, d = 1": cubic_law(),
    "signs, d = 2": sign_law(),
    "noiseless linear, d = 4": linear_law(4, 0.0, 9, 3, 4),
    "linear, Student 9, d = 5": linear_law(5, 0.8, 9, 2, 2),
    "linear, Student 9, d = 3, long training": linear_law(3, 1.0, 9, 12, 5),
}


def layer_of(product: np.ndarray) -> LinearAttention:
    d = len(product)
    return LinearAttention.from_blocks(np.zeros(d), np.zeros(d), product.T, 1.0)


def sampled_risk(
    layer: LinearAttention,
    draw: Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]],
    seed: int,
) -> tuple[float, float]:
    """Mean and standard error of (yhat - y_query)^2; `draw` gives x and y, queries included."""
    rng, errors = np.random.default_rng(seed), []
    for _ in range(PROMPTS // CHUNK):
        xs, ys = draw(CHUNK, rng)
        errors.append((layer.predict(PromptBatch(xs, ys[:, :-1])) - ys[:, -1]) ** 2)
    values = np.concatenate(errors)
    return float(np.mean(values)), float(np.std(values) / np.sqrt(len(values)))


@pytest.mark.parametrize("name", LAWS)
def test_theorem_5_is_the_mean_over_sampled_prompts(name):
    law = LAWS[name]
    problem = FlowProblem.fixed(law.covariance, law.N)
    root = np.linalg.cholesky(law.covariance)

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        xs = rng.standard_normal((n, law.M + 1, len(root))) @ root.T
        return xs, law.labels(xs, rng)

    U, u = problem.limit()
    layer = LinearAttention.from_blocks(np.zeros(len(U)), np.zeros(len(U)), U, u)
    mean, error = sampled_risk(layer, draw, seed=5)
    expected = linear_risk(problem.minimiser, law.moments, law.M)
    parts = theorem_5_bias(law.covariance, law.N, law.moments.best_linear)
    assert sum(parts) == pytest.approx(expected.bias, rel=1e-10)
    assert abs(mean - expected.total) < AGREES * error
    terms = {"variance": expected.variance, "bias": expected.bias, "trace squared": parts[2]}
    if name != "noiseless linear, d = 4":
        terms["floor"] = expected.floor
    # The formula without one of its terms is rejected, and by a margin: power.
    assert {
        k for k, v in terms.items() if abs(mean - (expected.total - v)) < AGREES * error
    } == set()
    assert {k: v for k, v in terms.items() if v < SEEN * error} == {}


@pytest.mark.parametrize("part", range(3))
def test_every_part_of_the_bias_is_seen_somewhere(part):
    # The first part is the smallest for d > 1: d = 1, N = 1 shows it as well as the others.
    lam, N, M = np.array([[1.5]]), 1, 2
    moments = LabelMoments.linear(lam, [1.0], 0.0)
    problem = FlowProblem.fixed(lam, N)

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        xs = rng.standard_normal((n, M + 1, 1)) * np.sqrt(1.5)
        return xs, xs[..., 0]

    mean, error = sampled_risk(layer_of(problem.minimiser), draw, seed=6)
    total = linear_risk(problem.minimiser, moments, M).total
    dropped = theorem_5_bias(lam, N, [1.0])[part]
    assert abs(mean - total) < AGREES * error
    assert dropped > SEEN * error


SHIFTS = {
    # covariance of training, of test, of the query, of tasks, noise, N, M
    "covariates": (correlated(2), np.array([[0.6, 0.3], [0.3, 1.8]]), None, np.eye(2), 0.0, 3, 3),
    "query in a line": (correlated(2), None, np.outer([1, 2], [1, 2]), np.eye(2), 0.0, 2, 2),
    "one task and noise": (
        correlated(3),
        None,
        None,
        np.outer([2, -1, 0.5], [2, -1, 0.5]),
        0.9,
        3,
        2,
    ),
    "all at once": (
        correlated(3),
        np.diag([2.0, 0.5, 1.0]),
        np.diag([1.0, 0.0, 3.0]) + 0.2,
        np.diag([0.0, 1.0, 2.0]),
        0.5,
        4,
        3,
    ),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_the_shifted_risk_is_the_mean_over_shifted_prompts(name):
    lam, test, query, tasks, noise, N, M = SHIFTS[name]
    test = lam if test is None else test
    query = test if query is None else query
    A = FlowProblem.fixed(lam, N).minimiser
    roots = [root_of(matrix) for matrix in (test, query, tasks)]

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        d = len(lam)
        examples = rng.standard_normal((n, M, d)) @ roots[0].T
        # The query may have any law of second moment Q: here uniform.
        queries = rng.uniform(-np.sqrt(3), np.sqrt(3), (n, 1, d)) @ roots[1].T
        w = rng.standard_normal((n, d)) @ roots[2].T
        xs = np.concatenate([examples, queries], axis=1)
        ys = np.einsum("nkd,nd->nk", xs, w) + noise * rng.standard_normal((n, M + 1))
        return xs, ys

    mean, error = sampled_risk(layer_of(A), draw, seed=7)
    expected = shifted_risk(A, test, tasks, noise, M, query_covariance=query)
    assert abs(mean - expected.total) < AGREES * error
    assert min(expected.variance, expected.bias) > SEEN * error


def root_of(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0))


def test_one_task_is_theorem_5_with_another_query():
    lam, w, Q = correlated(3), np.array([2.0, -1.0, 0.5]), np.diag([1.0, 0.0, 3.0])
    A = FlowProblem.fixed(lam, 4).minimiser
    one = shifted_risk(A, lam, np.outer(w, w), 0.7, 5, query_covariance=Q)
    other = linear_risk(A, LabelMoments.linear(lam, w, 0.7), 5, QueryMoments.of_weights(Q, w, 0.7))
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_random_covariances_are_the_mean_over_sampled_ones():
    training = (Exponential(1), Gamma(2.5, 0.4), TwoPoint(1, 4))
    test = (Gamma(2.0, 0.5), Uniform(0.5, 3.0), TwoPoint(1, 4))
    N, M = 5, 4
    U, u = FlowProblem.random_diagonal(training, N).limit()
    layer = LinearAttention.from_blocks(np.zeros(3), np.zeros(3), U, u)

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        lam = np.stack([law.sample(rng, (n,)) for law in test], axis=1)
        xs = rng.standard_normal((n, M + 1, 3)) * np.sqrt(lam)[:, None]
        return xs, np.einsum("nkd,nd->nk", xs, rng.standard_normal((n, 3)))

    mean, error = sampled_risk(layer, draw, seed=8)
    found = random_covariance_risk(training, test, N, M)
    assert abs(mean - float(sum(found.risk))) < AGREES * error
    floor, limit = float(sum(found.floor)), float(sum(found.limit))
    assert min(float(sum(found.risk)) - floor, abs(floor - limit)) > SEEN * error


def test_the_standard_error_of_the_empirical_risk_is_its_spread():
    law = LAWS["square with mean, d = 2"]
    A = FlowProblem.fixed(law.covariance, law.N).minimiser
    root, rng = np.linalg.cholesky(law.covariance), np.random.default_rng(9)
    exact = linear_risk(A, law.moments, law.M)
    found = []
    for _ in range(400):
        x = rng.standard_normal((4000, 2)) @ root.T
        found.append(risk_from_samples(A, x, law.labels(x, rng), law.M))
    totals = np.array([sample.breakdown.total for sample in found])
    claimed = np.array([sample.standard_error for sample in found])
    # 400 repetitions: the spread is known to about 4 % (and heavier tails), the mean to 1/20 of it.
    assert np.std(totals) == pytest.approx(np.sqrt(np.mean(claimed**2)), rel=0.2)
    assert abs(np.mean(totals) - exact.total) < 4.5 * np.std(totals) / 20
    assert isinstance(found[0].breakdown, RiskBreakdown)


def test_the_standard_error_is_that_of_the_jackknife():
    """For every M: with one pair left out at a time, which needs no derivative.

    The two differ by order 1/n. At M = 1 the square of E yx is no part of E yhat^2; at M = 50 it is
    nearly all.
    """
    law, n, lengths = LAWS["square with mean, d = 2"], 400, (1, 2, 3, 50)
    A = FlowProblem.fixed(law.covariance, law.N).minimiser
    rng = np.random.default_rng(10)
    x = rng.standard_normal((n, len(A))) @ np.linalg.cholesky(law.covariance).T
    y = law.labels(x, rng)
    kept = [np.arange(n) != i for i in range(n)]
    moments = [LabelMoments.from_samples(x[rest], y[rest]) for rest in kept]
    for M in lengths:
        left_out = [linear_risk(A, left, M).total for left in moments]
        jackknife = np.sqrt((n - 1) ** 2 / n) * np.std(left_out, ddof=1)
        found = risk_from_samples(A, x, y, M).standard_error
        assert found == pytest.approx(jackknife, rel=0.02), M
