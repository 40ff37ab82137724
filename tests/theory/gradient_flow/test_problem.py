"""Problems of the flow against the paper's matrix formulas, written out here."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize

from theory.gradient_flow import FlowProblem, FlowState, assumption_3, random_theta
from theory.gradient_flow.settings import GeneralTasks
from theory.laws import Deterministic, Exponential, GivenMoments, TwoPoint, Uniform

SIZES = st.integers(1, 6)
SEEDS = st.integers(0, 10_000)


def covariance(dim: int, rng: np.random.Generator) -> np.ndarray:
    basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    lam = basis @ np.diag(np.exp(rng.uniform(-2, 2, dim))) @ basis.T
    return (lam + lam.T) / 2


def gamma(lam: np.ndarray, length: int) -> np.ndarray:
    return (1 + 1 / length) * lam + np.trace(lam) / length * np.eye(len(lam))


@given(SIZES, SEEDS, st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_fixed_covariance_is_lemma_10(dim, seed, length):
    rng = np.random.default_rng(seed)
    lam = covariance(dim, rng)
    problem = FlowProblem.fixed(lam, length)
    U, u = rng.standard_normal((dim, dim)), float(rng.standard_normal())
    gam = gamma(lam, length)
    size = (
        np.linalg.norm(gam) * np.linalg.norm(lam) ** 2 * (1 + np.linalg.norm(U)) ** 2 * (1 + u**2)
    )
    gradient = problem.gradient(FlowState(U, u))
    expected = u**2 * gam @ lam @ U @ lam - u * lam @ lam
    np.testing.assert_allclose(gradient.U, expected, atol=1e-13 * size)
    expected = np.trace(u * gam @ lam @ U @ lam @ U.T - lam @ lam @ U.T)
    assert gradient.u == pytest.approx(expected, abs=1e-13 * size)
    restricted = np.trace(u**2 / 2 * gam @ lam @ U @ lam @ U.T - u * lam @ lam @ U.T)
    loss = problem.loss(FlowState(U, u))
    assert loss == pytest.approx(np.trace(lam) / 2 + restricted, abs=1e-13 * size)


@given(SIZES, SEEDS, st.integers(1, 40), st.booleans(), st.floats(0, 2))
@settings(max_examples=40, deadline=None)
def test_general_tasks_are_fact_a9(dim, seed, length, singular, noise):
    rng = np.random.default_rng(seed)
    lam = covariance(dim, rng)
    roots = rng.standard_normal((dim, 1 if singular else dim + 1))
    tasks = roots @ roots.T
    problem = FlowProblem.general(lam, tasks, noise, length)
    c = np.trace(tasks @ lam) + noise**2
    gram = (1 + 1 / length) * lam @ tasks @ lam + c / length * lam
    minimiser = np.linalg.solve((1 + 1 / length) * tasks @ lam + c / length * np.eye(dim), tasks)
    np.testing.assert_allclose(problem.minimiser, minimiser, atol=1e-11 * np.linalg.norm(minimiser))
    U, u = rng.standard_normal((dim, dim)), float(rng.standard_normal())
    gradient = problem.gradient(FlowState(U, u))
    expected = u**2 * gram @ U @ lam - u * lam @ tasks @ lam
    size = np.linalg.norm(gram) * np.linalg.norm(lam) * (1 + np.linalg.norm(U)) ** 2 * (1 + u**2)
    np.testing.assert_allclose(gradient.U, expected, atol=1e-12 * size)
    half = np.trace(u**2 / 2 * gram @ U @ lam @ U.T - u * lam @ tasks @ lam @ U.T)
    loss = problem.loss(FlowState(U, u))
    assert loss == pytest.approx(np.trace(tasks @ lam) / 2 + half, abs=1e-12 * size)


def test_general_tasks_with_identity_are_the_fixed_problem():
    lam = covariance(5, np.random.default_rng(3))
    fixed, general = FlowProblem.fixed(lam, 7), FlowProblem.general(lam, np.eye(5), 0.0, 7)
    np.testing.assert_allclose(general.minimiser, fixed.minimiser, rtol=0, atol=1e-12)
    assert np.count_nonzero(general.drive) == np.count_nonzero(fixed.drive) == 5


def test_bases_that_do_not_commute_give_a_full_drive():
    rng = np.random.default_rng(4)
    problem = FlowProblem.general(covariance(4, rng), covariance(4, rng), 0.5, 9)
    assert np.count_nonzero(problem.drive) == 16


def test_random_covariance_is_eq_51_by_enumeration():
    """All 2 x 2 x 2 covariances of two-point laws, with their probabilities."""
    laws = [TwoPoint(1.0, 3.0, 0.25), TwoPoint(0.5, 2.0, 0.5), TwoPoint(1.0, 5.0, 0.9)]
    length, dim = 4, 3
    curvature, drive, at_zero = np.zeros((dim, dim)), np.zeros(dim), 0.0
    for choice in np.ndindex(2, 2, 2):
        lam = np.array([(law.low, law.high)[c] for law, c in zip(laws, choice, strict=True)])
        odds = [(law.probability, 1 - law.probability) for law in laws]
        weight = np.prod([pair[c] for pair, c in zip(odds, choice, strict=True)])
        gam = (1 + 1 / length) * lam + np.sum(lam) / length
        curvature += weight * np.outer(gam * lam, lam)
        drive += weight * lam**2
        at_zero += weight * np.sum(lam) / 2
    problem = FlowProblem.random_diagonal(laws, length)
    np.testing.assert_allclose(problem.curvature, curvature, rtol=1e-13)
    np.testing.assert_allclose(problem.drive, np.diag(drive), rtol=1e-13)
    assert problem.loss_at_zero == pytest.approx(at_zero, rel=1e-14)


def test_random_covariance_of_constants_is_the_fixed_one():
    lam = np.array([0.5, 1.0, 4.0])
    fixed = FlowProblem.fixed(np.diag(lam), 6)
    random = FlowProblem.random_diagonal([Deterministic(x) for x in lam], 6)
    np.testing.assert_allclose(random.curvature, fixed.curvature, rtol=1e-14)


def problems(seed: int) -> list[FlowProblem]:
    rng = np.random.default_rng(seed)
    dim = int(rng.integers(1, 5))
    laws = [Exponential(1), Uniform(0.5, 2.0), GivenMoments(1.0, 2.0, 6.0), TwoPoint(1, 2)]
    return [
        FlowProblem.fixed(covariance(dim, rng), 2 * dim),
        FlowProblem.random_diagonal(laws[:dim], 3),
        FlowProblem.general(covariance(dim, rng), covariance(dim, rng), 0.4, 5),
    ]


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_the_loss_at_the_limit_is_the_least(seed):
    for problem in problems(seed):
        best = optimize.minimize(
            lambda A, p=problem: p.loss(FlowState(A.reshape(p.dim, p.dim), 1.0)),
            np.zeros(problem.dim**2),
            method="BFGS",
            options={"gtol": 1e-9},
        )
        scale = problem.loss_at_zero
        assert problem.minimal_loss == pytest.approx(best.fun, abs=1e-9 * scale)
        for balance in (-2.0, 0.0, 1e-3, 3.0):
            limit = problem.limit(balance)
            assert limit.u > 0
            assert problem.balance(limit) == pytest.approx(balance, abs=1e-12)
            assert problem.excess_loss(limit) <= 1e-24 * scale
            gradient = problem.gradient(limit)
            assert np.max(np.abs(gradient.U)) <= 1e-11 * np.max(problem.drive)


@pytest.mark.parametrize("balance", [-1e12, 1e12])
def test_limits_of_extreme_balance_keep_their_digits(balance):
    problem = FlowProblem.fixed([[2.0]], 3)
    U, u = problem.limit(balance)
    assert u * U[0, 0] == pytest.approx(problem.minimiser[0, 0], rel=1e-14)
    assert u == pytest.approx(
        np.sqrt(balance) if balance > 0 else problem.minimiser[0, 0] / 1e6, rel=1e-12
    )


def test_gradient_is_the_slope_of_the_loss():
    for problem in problems(5):
        rng = np.random.default_rng(0)
        U, u = rng.standard_normal((problem.dim,) * 2), 0.7
        direction = rng.standard_normal((problem.dim,) * 2)
        gradient = problem.gradient(FlowState(U, u))
        h = 1e-5
        slope = (
            problem.loss(FlowState(U + h * direction, u + h))
            - problem.loss(FlowState(U - h * direction, u - h))
        ) / (2 * h)
        assert slope == pytest.approx(np.sum(gradient.U * direction) + gradient.u, rel=1e-6)


def test_a_start_of_assumption_3_is_balanced_and_flows_to_the_limit():
    """The plain matrix equation, by scipy, ends at `limit`."""
    rng = np.random.default_rng(8)
    lam = covariance(3, rng)
    problem = FlowProblem.fixed(lam, 5)
    theta = random_theta(3, rng)
    assert np.linalg.norm(theta @ theta.T) == pytest.approx(1.0, rel=1e-14)
    start = assumption_3(problem, theta, 0.1)
    assert problem.balance(start) == pytest.approx(0.0, abs=1e-16)
    gam = gamma(lam, 5)

    def flow(t, y):
        U, u = y[:-1].reshape(3, 3), y[-1]
        slope = u * gam @ lam @ U @ lam - lam @ lam
        return np.append(-u * slope, -np.sum(slope * U))

    end = integrate.solve_ivp(
        flow, (0, 2e3), np.append(start.U, start.u), method="LSODA", rtol=1e-11, atol=1e-13
    ).y[:, -1]
    limit = problem.limit()
    np.testing.assert_allclose(end[:-1].reshape(3, 3), limit.U, atol=1e-8)
    assert end[-1] == pytest.approx(limit.u, abs=1e-8)


INDEFINITE = [[1.0, 2.0], [2.0, 1.0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FlowProblem.fixed([[1.0, 0.1], [0.2, 1.0]], 3), "not symmetric.*average it"),
        (lambda: FlowProblem.fixed(INDEFINITE, 3), "eigenvalues from -1.*positive definite"),
        (lambda: FlowProblem.fixed(np.diag([1.0, 0.0]), 3), "positive definite"),
        (lambda: FlowProblem.fixed(INDEFINITE, 0), "2 problem.*prompt_length .N. is 0"),
        (lambda: FlowProblem.fixed(np.ones((2, 3)), 3), "expected a square matrix"),
        (lambda: FlowProblem.fixed([[np.nan]], 3), "expected finite float64"),
        (lambda: FlowProblem.fixed(np.zeros((0, 0)), 3), "square matrix"),
        (lambda: FlowProblem.random_diagonal([], 3), "laws is empty"),
        (lambda: FlowProblem.general(np.eye(2), np.zeros((2, 2)), 1.0, 3), "is zero"),
        (lambda: FlowProblem.general(np.eye(2), INDEFINITE, 1.0, 3), "semidefinite"),
        (lambda: FlowProblem.general(np.eye(2), np.eye(3), -1.0, 3), "2 problem.*noise_std"),
        (lambda: FlowProblem.fixed(np.eye(2), 3).limit(np.inf), "balance is inf"),
        (lambda: FlowProblem.fixed(np.eye(2), 3).state(np.eye(3), 1.0), "expected .2, 2."),
    ],
)
def test_bad_problems_are_refused_with_the_hypothesis(make, message):
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        make()


class Heavy:
    """A law whose third moment is infinite."""

    moments = (1.0, 3.0, np.inf)


def test_infinite_third_moments_are_refused_by_the_theorem_that_needs_them():
    with pytest.raises(
        ValueError, match="Theorem 8 assumes positive eigenvalues with finite third"
    ):
        FlowProblem.random_diagonal([Heavy(), Exponential(1)], 3)


@pytest.mark.parametrize(
    ("theta", "scale", "message"),
    [
        (np.eye(2), 0.1, "Assumption 3 has 1: divide theta"),
        (np.zeros((2, 2)), 0.1, "Assumption 3 has 1"),
        (np.eye(2) / 2**0.25, 0.0, "scale .sigma. is 0.0; expected a finite number > 0"),
        (np.eye(3) / 3**0.25, 0.1, "expected .2, 2."),
        (np.eye(2) / 2**0.25, -1.0, "scale"),
    ],
)
def test_starts_outside_assumption_3_are_refused(theta, scale, message):
    with pytest.raises(ValueError, match=message):
        assumption_3(FlowProblem.fixed(np.diag([1.0, 2.0]), 4), theta, scale)


def test_a_start_that_the_loss_does_not_see_is_refused():
    """The task w lives on the first axis only, Theta on the second."""
    problem = FlowProblem.general(np.eye(2), np.diag([1.0, 0.0]), 0.0, 3)
    with pytest.raises(ValueError, match="Theta Lambda != 0"):
        assumption_3(problem, np.diag([0.0, 1.0]), 0.1)


def test_label_variance_and_gram_are_moments_of_prompts():
    """E gg' by sampling: relative standard error about 1 %, power for a dropped 1/N term."""
    rng = np.random.default_rng(0)
    lam, tasks = covariance(2, rng), covariance(2, rng)
    setting = GeneralTasks(lam, tasks, 0.5, 2)
    n = 200_000
    xs = rng.standard_normal((n, 2, 2)) @ np.linalg.cholesky(lam).T
    ws = rng.standard_normal((n, 2)) @ np.linalg.cholesky(tasks).T
    ys = np.einsum("bnd,bd->bn", xs, ws) + 0.5 * rng.standard_normal((n, 2))
    g = np.mean(ys[:, :, None] * xs, axis=1)
    terms = g[:, :, None] * g[:, None, :]
    error = np.std(terms, axis=0) / np.sqrt(n)
    z = (np.mean(terms, axis=0) - setting.gram) / error
    assert np.max(np.abs(z)) < 4
    assert np.min(np.abs(setting.cross_moment / 2) / error) > 8
