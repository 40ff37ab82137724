"""The solver against scipy on the plain matrix equation, and against what the flow must obey."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from theory.gradient_flow import FlowProblem, FlowState, assumption_3, random_theta
from theory.gradient_flow.solver import solve_flow, solve_flow_from
from theory.laws import Exponential, TwoPoint, Uniform

SEEDS = st.integers(0, 10_000)


def covariance(dim, rng, condition=20.0):
    basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    lam = basis @ np.diag(np.geomspace(1 / condition, 1, dim) if dim > 1 else [0.7]) @ basis.T
    return (lam + lam.T) / 2


def scipy_flow(matrices, start, times, method="DOP853"):
    """(U, u) at the times: U' = -u^2 G U Lam + u M, u' = -tr(u G U Lam U' - M U')."""
    gram, lam, drive = matrices
    dim = len(lam)

    def slope(t, y):
        U, u = y[:-1].reshape(dim, dim), y[-1]
        pull = u * gram @ U @ lam - drive
        return np.append(-u * pull, -np.sum(pull * U))

    found = integrate.solve_ivp(
        slope,
        (0, times[-1]),
        np.append(start.U, start.u),
        method=method,
        t_eval=times,
        rtol=1e-12,
        atol=1e-14,
    )
    return found.y.T


def fixed_matrices(lam, length):
    gamma = (1 + 1 / length) * lam + np.trace(lam) / length * np.eye(len(lam))
    return gamma @ lam, lam, lam @ lam


def general_matrices(lam, tasks, noise, length):
    cross = lam @ tasks @ lam
    variance = np.trace(tasks @ lam) + noise**2
    return (1 + 1 / length) * cross + variance / length * lam, lam, cross


def worst_error(solution, found, times):
    errors = []
    for t, y in zip(times, found, strict=True):
        U, u = solution(t)
        errors.append(np.linalg.norm(np.append(U, u) - y) / np.linalg.norm(y))
    return max(errors)


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("scale", [1e-3, 0.3, 30.0])
def test_assumption_3_against_scipy_on_the_matrix_equation(dim, scale):
    rng = np.random.default_rng(dim)
    lam, length = covariance(dim, rng), 2 * dim
    problem, theta = FlowProblem.fixed(lam, length), random_theta(dim, rng)
    solution = solve_flow(problem, theta, scale)
    times = np.linspace(0, min(20.0, 20 / scale**2) if scale > 1 else 20.0, 9)
    start = FlowState(scale * theta @ theta.T, scale)
    found = scipy_flow(fixed_matrices(lam, length), start, times)
    # scipy at rtol 1e-12 is off by about 1e-11 while u grows a hundredfold.
    assert worst_error(solution, found, times) < 2e-11


@pytest.mark.parametrize("method", ["LSODA", "Radau", "DOP853"])
@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5])
def test_every_solver_of_scipy_agrees(dim, method):
    rng = np.random.default_rng([dim, 1])
    lam, length = covariance(dim, rng, 5.0), dim + 1
    problem, theta = FlowProblem.fixed(lam, length), random_theta(dim, rng)
    solution, times = solve_flow(problem, theta, 0.2), np.linspace(0, 15.0, 4)
    start = FlowState(0.2 * theta @ theta.T, 0.2)
    found = scipy_flow(fixed_matrices(lam, length), start, times, method)
    # LSODA at rtol 1e-12 is off by 3e-11 from the two others.
    assert worst_error(solution, found, times) < (1e-10 if method == "LSODA" else 1e-11)


@pytest.mark.parametrize("u", [0.0, -0.4, 0.02, 2.5])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_any_start_and_task_law_against_scipy(dim, u):
    rng = np.random.default_rng([dim, int(10 * abs(u))])
    lam, roots = covariance(dim, rng), rng.standard_normal((dim, dim))
    tasks = roots @ roots.T
    problem = FlowProblem.general(lam, tasks, 0.3, 4)
    start = FlowState(rng.standard_normal((dim, dim)), u)
    solution = solve_flow_from(problem, start)
    times = np.linspace(0, min(20.0, solution.horizon), 9)
    # Radau: the interpolant of DOP853 is off by up to 1e-10 here.
    found = scipy_flow(general_matrices(lam, tasks, 0.3, 4), start, times, "Radau")
    assert worst_error(solution, found, times) < 1e-11


def test_random_covariance_against_scipy_entry_by_entry():
    """Corollary 22 written out: the covariances of two-point laws are four matrices."""
    laws, length = [TwoPoint(1.0, 3.0, 0.25), TwoPoint(0.5, 2.0, 0.5)], 3
    cases = [
        (p * q, x, y) for p, x in ((0.25, 1.0), (0.75, 3.0)) for q, y in ((0.5, 0.5), (0.5, 2))
    ]

    def slope(t, y):
        U, u = y[:-1].reshape(2, 2), y[-1]
        change = np.zeros(5)
        for weight, *eigenvalues in cases:
            gram, lam, drive = fixed_matrices(np.diag(eigenvalues), length)
            pull = u * gram @ U @ lam - drive
            change -= weight * np.append(u * pull, np.sum(pull * U))
        return change

    problem = FlowProblem.random_diagonal(laws, length)
    start = assumption_3(problem, random_theta(2, np.random.default_rng(0)), 0.05)
    end = integrate.solve_ivp(
        slope, (0, 3.0), np.append(start.U, start.u), method="DOP853", rtol=1e-12, atol=1e-14
    ).y[:, -1]
    found = solve_flow_from(problem, start)(3.0)
    np.testing.assert_allclose(np.append(found.U, found.u), end, rtol=0, atol=1e-11)


@given(st.integers(1, 8), SEEDS, st.floats(-4, 2))
@settings(max_examples=15, deadline=None)
def test_the_flow_of_assumption_3_ends_at_the_limit(dim, seed, exponent):
    rng = np.random.default_rng(seed)
    problem = FlowProblem.fixed(covariance(dim, rng, 1e3), 2 * dim)
    solution = solve_flow(problem, random_theta(dim, rng), 10.0**exponent)
    limit = problem.limit()
    assert solution.converged
    assert np.linalg.norm(solution.final.U - limit.U) < 1e-12 * np.linalg.norm(limit.U)
    assert solution.final.u == pytest.approx(limit.u, rel=1e-12)


@given(st.integers(1, 4), SEEDS, st.floats(-3, 3), st.floats(-2, 2))
@settings(max_examples=25, deadline=None)
def test_any_start_ends_at_the_limit_of_its_balance(dim, seed, u, exponent):
    """Except on a set of measure zero, with u of either sign."""
    rng = np.random.default_rng(seed)
    problem = FlowProblem.fixed(covariance(dim, rng), 2 * dim)
    start = FlowState(10.0**exponent * rng.standard_normal((dim, dim)), u)
    solution = solve_flow_from(problem, start)
    limit = problem.limit(problem.balance(start))
    assert solution.converged
    assert abs(solution.final.u) == pytest.approx(limit.u, rel=1e-10)
    U = np.copysign(1, solution.final.u) * limit.U
    assert np.linalg.norm(solution.final.U - U) < 1e-10 * np.linalg.norm(U)


@pytest.mark.parametrize("balanced", [True, False])
def test_dense_output_obeys_both_equations(balanced):
    rng = np.random.default_rng(6)
    problem = FlowProblem.fixed(covariance(4, rng, 100), 8)
    start = assumption_3(problem, random_theta(4, rng), 0.01)
    if not balanced:
        start = FlowState(start.U + 0.5 * rng.standard_normal((4, 4)), -0.01)
    solution = solve_flow_from(problem, start)
    times = solution.horizon * np.geomspace(1e-7, 0.1, 40)
    assert np.max(np.abs(solution.residual(times))) < 1e-11
    for t in times[::5]:
        # Central differences, relative truncation about h^2: 1e-8 here, in both equations.
        h = 1e-3 * t
        before, here, after = solution(t - h), solution(t), solution(t + h)
        gradient = problem.gradient(here)
        scale = abs(here.u) * np.linalg.norm(problem.drive) + np.linalg.norm(here.U)
        np.testing.assert_allclose((after.U - before.U) / (2 * h), -gradient.U, atol=1e-5 * scale)
        assert (after.u - before.u) / (2 * h) == pytest.approx(-gradient.u, abs=1e-5 * scale)


def test_vectors_over_times_are_the_states():
    rng = np.random.default_rng(7)
    problem = FlowProblem.random_diagonal([Exponential(1), Uniform(0.5, 2), Exponential(3)], 5)
    solution = solve_flow(problem, random_theta(3, rng), 0.1)
    times = np.append(0.0, np.geomspace(1e-3, solution.horizon, 30))[::-1]
    states = [solution(t) for t in times]
    np.testing.assert_allclose(solution.u(times), [s.u for s in states], rtol=1e-15)
    np.testing.assert_allclose(solution.loss(times), [problem.loss(s) for s in states], rtol=1e-13)
    excess = [problem.excess_loss(s) for s in states]
    np.testing.assert_allclose(solution.excess_loss(times), excess, rtol=1e-9, atol=1e-26)
    assert np.all(np.diff(solution.loss(times)) >= -1e-15)


def test_time_zero_is_the_start():
    rng = np.random.default_rng(8)
    problem = FlowProblem.fixed(covariance(3, rng), 4)
    for u in (-0.3, 0.0, 0.7):
        start = FlowState(rng.standard_normal((3, 3)), u)
        begin = solve_flow_from(problem, start, horizon=0.5)(0)
        np.testing.assert_allclose(begin.U, start.U, atol=1e-14)
        assert begin.u == pytest.approx(u, abs=1e-14)


@given(st.integers(1, 6), SEEDS, st.floats(-5, 2))
@settings(max_examples=15, deadline=None)
def test_the_error_is_below_its_estimate_and_that_below_the_tolerance(dim, seed, exponent):
    rng = np.random.default_rng(seed)
    problem = FlowProblem.fixed(covariance(dim, rng, 1e3), 2 * dim)
    theta, scale = random_theta(dim, rng), 10.0**exponent
    fine = solve_flow(problem, theta, scale, tolerance=1e-13)
    times = np.append(0.0, fine.horizon * np.geomspace(1e-8, 1, 100))
    steps = [fine.num_steps]
    for tolerance in (1e-12, 1e-9, 1e-6):
        coarse = solve_flow(problem, theta, scale, tolerance=tolerance)
        error = np.max(np.abs(coarse.u(np.minimum(times, coarse.horizon)) / fine.u(times) - 1))
        assert error < coarse.error_estimate + 5e-14 <= tolerance + 5e-14
        steps.append(coarse.num_steps)
    assert steps == sorted(steps, reverse=True)


def test_few_steps_for_few_digits():
    """16 nodes a step: 1e5 times the error is worth a factor of about 2 in the steps."""
    rng = np.random.default_rng(9)
    problem, theta = FlowProblem.fixed(covariance(6, rng, 1e3), 12), random_theta(6, rng)
    steps = [solve_flow(problem, theta, 0.01, tolerance=t).num_steps for t in (1e-8, 1e-13)]
    assert steps[0] < 0.6 * steps[1]
    assert steps[1] < 60


def time_error(problem, solution, finer):
    """By how much times at given u differ, relatively, while u is 1e-3 from start and limit."""
    times = np.geomspace(1e-9, 1, 200) * solution.horizon
    for u in (problem.limit().u, solution.start.u):
        times = times[np.abs(solution.u(times) / u - 1) > 1e-3]
    assert len(times) > 20
    slopes = np.array([-problem.gradient(finer(t)).u for t in times])
    return np.max(np.abs((solution.u(times) - finer.u(times)) / (slopes * times)))


def test_the_large_problem_of_the_benchmark_is_right():
    """The benchmark times it: d = 500, condition number 1e4, N = 1000."""
    rng = np.random.default_rng(0)
    problem, theta = FlowProblem.fixed(covariance(500, rng, 1e4), 1000), random_theta(500, rng)
    solution = solve_flow(problem, theta, 0.1)
    limit = problem.limit()
    assert solution.converged
    assert np.linalg.norm(solution.final.U - limit.U) < 1e-12 * np.linalg.norm(limit.U)
    assert solution.final.u == pytest.approx(limit.u, rel=1e-12)
    times = np.append(0.0, solution.horizon * np.geomspace(1e-9, 1, 100))
    assert np.max(np.abs(solution.residual(times))) < 1e-10


@pytest.mark.parametrize("dim", [1, 4, 30])
def test_times_at_given_u_are_those_of_a_finer_solve(dim):
    rng = np.random.default_rng(dim)
    problem, theta = FlowProblem.fixed(covariance(dim, rng, 1e4), 2 * dim), random_theta(dim, rng)
    solution, finer = (solve_flow(problem, theta, 0.05, tolerance=t) for t in (1e-12, 1e-13))
    assert time_error(problem, solution, finer) < 1e-10


def test_the_balance_is_kept_and_its_drift_is_measured():
    rng = np.random.default_rng(10)
    problem, theta = FlowProblem.fixed(covariance(5, rng), 4), random_theta(5, rng)
    assert solve_flow(problem, theta, 0.1).balance_drift < 1e-12
    loose = solve_flow(problem, theta, 0.1, tolerance=1e-5)
    assert 1e-9 < loose.balance_drift < 2 * loose.error_estimate < 2e-5


@pytest.mark.parametrize("seed", range(2))
def test_far_from_balance_rounding_does_not_stop_it(seed):
    """Condition 1e4 and |U| far above u: u is a quotient of sums that cancel, and stiff."""
    rng = np.random.default_rng(seed)
    problem = FlowProblem.fixed(covariance(3, rng, 1e4), 5)
    start = FlowState(30 * problem.limit().u * rng.standard_normal((3, 3)), 0.0)
    solution = solve_flow_from(problem, start)
    assert solution.num_steps < 2000
    assert solution.error_estimate < 1e-11
    limit = problem.limit(problem.balance(start))
    assert abs(solution.final.u) == pytest.approx(limit.u, rel=1e-8)


def test_a_given_horizon_ends_the_solve_and_later_times_are_refused():
    problem = FlowProblem.fixed(np.diag([1.0, 2.0]), 4)
    solution = solve_flow(problem, np.eye(2) / 2**0.25, 0.1, horizon=1.5)
    assert solution.horizon == 1.5
    assert not solution.converged
    assert solution.final.u == solution(1.5).u
    with pytest.raises(ValueError, match=r"2.0 is beyond the horizon 1.5.*larger `horizon`"):
        solution(2.0)
    with pytest.raises(ValueError, match="before the start"):
        solution.u([0.5, -1e-3])


def test_a_converged_flow_rests_at_its_limit():
    problem = FlowProblem.fixed(np.diag([1.0, 2.0]), 4)
    for horizon in (None, 1e4):
        solution = solve_flow(problem, np.eye(2) / 2**0.25, 0.1, horizon=horizon)
        assert solution.converged
        assert solution(1e9).u == solution.final.u


def test_the_curve_that_does_not_converge():
    """With d = 1 and U = -u, balanced, the flow runs into the saddle (0, 0), like u0 e^{-bt}."""
    problem = FlowProblem.fixed([[0.8]], 3)
    b, u0 = 0.64, 0.5
    solution = solve_flow_from(problem, FlowState(np.array([[-u0]]), u0))
    assert not solution.converged
    assert solution.final.u < 1e-11
    a = problem.curvature[0, 0]
    t = 10.0  # u' = -u (a u^2 + b): Bernoulli's equation
    exact = u0 * np.exp(-b * t) / np.sqrt(1 + a * u0**2 / b * -np.expm1(-2 * b * t))
    assert solution(t).u == pytest.approx(exact, rel=1e-11)
    assert solution.final.U[0, 0] == pytest.approx(-solution.final.u, rel=1e-10)


def test_near_the_saddle_the_sign_of_u_is_found():
    """The flow with U = -u + 1e-6 almost stops at (0, 0), and then escapes."""
    problem = FlowProblem.fixed([[0.8]], 3)
    for offset, sign in ((1e-6, 1), (-1e-6, -1)):
        solution = solve_flow_from(problem, FlowState(np.array([[-0.5 + offset]]), 0.5))
        assert solution.converged
        assert np.sign(solution.final.u) == sign


def test_a_start_at_a_minimum_stays():
    problem = FlowProblem.fixed(np.diag([1.0, 2.0]), 4)
    limit = problem.limit(0.3)
    solution = solve_flow_from(problem, limit)
    assert solution.converged
    np.testing.assert_allclose(solution(1e6).U, limit.U, atol=1e-14)


def test_progress_rises_to_one_in_both_modes():
    rng = np.random.default_rng(11)
    heard: list[float] = []
    problem = FlowProblem.fixed(covariance(3, rng), 4)
    solution = solve_flow(problem, random_theta(3, rng), 0.01, on_progress=heard.append)
    assert len(heard) == solution.num_steps
    assert all(0 <= part <= 1 for part in heard)
    assert heard[-1] == 1.0


START = FlowState(np.eye(2), 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tolerance": 0.0}, "tolerance is 0.0; expected a finite number >= 1e-13"),
        ({"tolerance": 0.5}, "expected a number from 1e-13 to 1e-3"),
        ({"horizon": 0.0, "tolerance": np.nan}, "2 problem.*horizon is 0.0; expected.*> 0"),
        ({"horizon": np.inf}, "horizon is inf"),
        ({"start": FlowState(np.eye(3), 1.0)}, r"expected \(2, 2\)"),
        ({"start": FlowState(np.eye(2), np.nan)}, "u is nan"),
        ({"start": FlowState(np.zeros((2, 2)), 0.0)}, "saddle.*does not move"),
        ({"start": FlowState(np.array([[0.0, 1], [1, 0]]), 0.0)}, "saddle.*does not move"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    problem = FlowProblem.fixed(np.diag([1.0, 2.0]), 4)
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        solve_flow_from(problem, **({"start": START} | arguments))


def test_starts_outside_assumption_3_are_refused():
    problem = FlowProblem.fixed(np.diag([1.0, 2.0]), 4)
    with pytest.raises(ValueError, match="Assumption 3"):
        solve_flow(problem, np.eye(2), 0.1)
