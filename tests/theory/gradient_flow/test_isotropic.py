"""The closed form for Lambda = kappa I against the solver, scipy and the equations."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.theory.gradient_flow.plain_flow import judged
from theory.gradient_flow import (
    FlowProblem,
    FlowState,
    assumption_3,
    random_theta,
    solve_flow,
)
from theory.gradient_flow.isotropic import IsotropicFlow
from theory.laws import Exponential

SEEDS = st.integers(0, 10_000)


def isotropic(dim, kappa, task, noise, length):
    if task == 1 and noise == 0:
        return FlowProblem.fixed(kappa * np.eye(dim), length)
    return FlowProblem.general(kappa * np.eye(dim), task * np.eye(dim), noise, length)


def distance(found, expected):
    return np.hypot(np.linalg.norm(found.U - expected.U), found.u - expected.u) / abs(expected.u)


@given(
    st.integers(1, 6),
    SEEDS,
    st.floats(-3, 3),
    st.tuples(st.sampled_from([1, 0.2, 5]), st.floats(0, 2)),
    st.floats(-3, 3),
)
@settings(max_examples=20, deadline=None)
def test_the_solver_follows_it_until_1000_over_kappa(dim, seed, exponent, tasks, scale):
    rng = np.random.default_rng(seed)
    kappa = 10.0**exponent
    problem = isotropic(dim, kappa, *tasks, int(rng.integers(1, 20)))
    theta, sigma = random_theta(dim, rng), 10.0**scale * problem.limit().u
    exact = IsotropicFlow(problem, assumption_3(problem, theta, sigma))
    solution = solve_flow(problem, theta, sigma, tolerance=1e-13)
    times = np.append(0.0, np.geomspace(1e-6, 1, 25) * 1e3 / kappa)
    assert solution.converged  # or later times would be refused
    for t in times:
        assert distance(solution(t), exact(t)) < 1e-12
    np.testing.assert_allclose(solution.u(times), exact.u(times), rtol=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dim", [2, 3, 5])
def test_any_balanced_start_against_scipy(dim, sign):
    """Also with <B, V> < 0 and u < 0: only balance is needed."""
    rng = np.random.default_rng(dim)
    problem = isotropic(dim, 1.3, 0.5, 0.4, 4)
    U = rng.standard_normal((dim, dim)) - 0.4 * np.eye(dim)
    start = FlowState(0.3 * U / np.linalg.norm(U), sign * 0.3)
    exact, times = IsotropicFlow(problem, start), np.linspace(0.0, 12.0, 13)
    for t, found in zip(times, judged(problem, start, times), strict=True):
        assert distance(found, exact(t)) < 1e-9


def test_nothing_overflows_and_the_limit_is_reached():
    for kappa in (1e-3, 1.0, 1e4):
        problem = isotropic(4, kappa, 1, 0.0, 7)
        start = assumption_3(problem, np.eye(4) / 4**0.25, 1e-8 * problem.limit().u)
        exact, limit = IsotropicFlow(problem, start), problem.limit()
        for t in (1e3 / kappa**2, 1e3 / kappa, 1e300):
            if exact.drive_norm * t > 100:
                assert distance(exact(t), limit) < 1e-14
            assert np.all(np.isfinite(exact.u([0.0, t])))


def test_it_obeys_the_conserved_quantity_and_the_equation_of_u():
    rng = np.random.default_rng(1)
    problem = isotropic(3, 0.8, 1, 0.0, 5)
    exact = IsotropicFlow(problem, assumption_3(problem, random_theta(3, rng), 0.05))
    for t in (0.0, 0.7, 3.0, 9.0):
        state = exact(t)
        assert abs(problem.balance(state)) < 1e-14 * state.u**2
        h = 1e-4
        after, before = exact.u([t + h, max(t - h, 0.0)])
        slope = (after - before) / (t + h - max(t - h, 0.0))
        assert slope == pytest.approx(-problem.gradient(state).u, rel=2e-4, abs=1e-9)


def test_the_start_comes_back_at_time_zero():
    rng = np.random.default_rng(2)
    problem = isotropic(3, 2.0, 1, 0.0, 5)
    start = assumption_3(problem, random_theta(3, rng), 1e-5)
    assert distance(IsotropicFlow(problem, start)(0), start) < 1e-15


def test_the_curve_that_does_not_converge_runs_into_the_saddle():
    """V = -u B / |B|: u falls like e^{-bt}, and no rounding drives it off."""
    problem = isotropic(2, 1.0, 1, 0.0, 3)
    start = FlowState(-0.5 * np.eye(2) / np.sqrt(2), 0.5)
    exact = IsotropicFlow(problem, start)
    assert 0 < exact(20.0).u < 0.5 * np.exp(-exact.drive_norm * 20.0)


@pytest.mark.parametrize(
    ("problem", "start", "message"),
    [
        (FlowProblem.fixed(np.diag([1.0, 2]), 4), FlowState(np.eye(2), 2**0.5), "curvatures a_ij"),
        (
            FlowProblem.random_diagonal([Exponential(1)] * 2, 4),
            FlowState(np.eye(2), 2**0.5),
            "use solve_flow",
        ),
        (FlowProblem.fixed(np.eye(2), 4), FlowState(np.eye(2), 1.0), "expected a balanced one"),
        (FlowProblem.fixed(np.eye(2), 4), FlowState(np.zeros((2, 2)), 0.0), "u is 0"),
        (FlowProblem.fixed(np.eye(2), 4), FlowState(np.eye(3), 1.0), r"expected \(2, 2\)"),
    ],
)
def test_other_problems_and_starts_are_refused(problem, start, message):
    with pytest.raises(ValueError, match=re.compile(message)):
        IsotropicFlow(problem, start)


@pytest.mark.parametrize("t", [-1.0, np.nan])
def test_times_before_the_start_are_refused(t):
    problem = isotropic(2, 1.0, 1, 0.0, 3)
    exact = IsotropicFlow(problem, assumption_3(problem, np.eye(2) / 2**0.25, 0.1))
    with pytest.raises(ValueError, match=r"before the start|finite"):
        exact(t)
