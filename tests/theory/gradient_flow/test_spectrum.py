"""The spectrum at the limit against Hessians of the loss in the original basis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.theory.gradient_flow.plain_flow import FAMILIES, psd_start
from theory.gradient_flow import (
    FlowProblem,
    FlowState,
    convergence_rate,
    excited_rate,
    solve_flow_from,
    spectrum,
)
from theory.laws import Deterministic


def hessian(problem, at):
    """By central differences of the gradient, exact up to rounding as it is cubic: h = 1."""
    dim, columns = problem.dim, []
    for k in range(dim**2 + 1):
        step = np.zeros(dim**2 + 1)
        step[k] = 0.5
        values = []
        # f'(0) of a cubic from four points: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h.
        for factor in (1, -1, 2, -2):
            moved = factor * step
            U, u = at.U + moved[:-1].reshape(dim, dim), at.u + moved[-1]
            gradient = problem.gradient(FlowState(U, u))
            values.append(np.append(gradient.U.ravel(), gradient.u))
        columns.append((8 * (values[0] - values[1]) - (values[2] - values[3])) / 6)
    return np.array(columns)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
@given(dim=st.integers(1, 4), seed=st.integers(0, 1000), balance=st.sampled_from([0.0, -0.5, 2.0]))
@settings(max_examples=15, deadline=None)
def test_it_is_that_of_the_hessian(family, dim, seed, balance):
    problem = family(dim, np.random.default_rng(seed))
    matrix = hessian(problem, problem.limit(balance))
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-11 * np.max(np.abs(matrix)))
    expected = np.linalg.eigvalsh(matrix)
    found = spectrum(problem, balance)
    np.testing.assert_allclose(found, expected, atol=1e-11 * expected[-1])
    assert found[0] == 0
    assert convergence_rate(problem, balance) == pytest.approx(found[1], rel=1e-13)


def test_d_1_converges_at_twice_lambda_squared():
    assert convergence_rate(FlowProblem.fixed([[1.7]], 5)) == pytest.approx(2 * 1.7**2, rel=1e-14)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_the_flow_converges_at_the_rate(family):
    rng = np.random.default_rng(5)
    problem = family(2, rng)
    solution = solve_flow_from(problem, psd_start(problem, 0.2, rng))
    rate, rates = convergence_rate(problem), spectrum(problem)
    # Not too late: towards the horizon the distance is rounding.
    times = solution.horizon * np.array([0.5, 0.65])
    losses = solution.excess_loss(times)
    measured = -np.log(losses[1] / losses[0]) / (2 * (times[1] - times[0]))
    leak = np.exp(-2 * (rates[2] - rate) * times[0]) * rates[2] / rate
    assert measured == pytest.approx(rate, rel=leak + 1e-4)
    assert leak < 0.05


def test_a_start_that_misses_the_slowest_mode_converges_faster():
    """Lambda = c I from U along I: no entry off the diagonal, none across B."""
    problem = FlowProblem.fixed(np.eye(3), 4)
    along = FlowState(0.1 * np.eye(3) / np.sqrt(3), 0.1)
    fast = excited_rate(problem, along)
    assert fast > 1.5 * convergence_rate(problem)
    solution = solve_flow_from(problem, along)
    times = solution.horizon * np.array([0.7, 0.9])
    losses = solution.excess_loss(times)
    measured = -np.log(losses[1] / losses[0]) / (2 * (times[1] - times[0]))
    assert measured == pytest.approx(fast, rel=1e-3)
    generic = FlowState(along.U + 1e-3 * np.diag([1.0, -1, 0]), 0.1)
    slowest = convergence_rate(problem, problem.balance(generic))
    assert excited_rate(problem, generic) == pytest.approx(slowest, rel=1e-12)


def test_entries_off_the_diagonal_excite_modes_of_their_own():
    problem = FlowProblem.random_diagonal([Deterministic(1.0), Deterministic(1.0)], 3)
    U = 0.1 * np.eye(2)
    off = U + np.array([[0.0, 1e-3], [0.0, 0.0]])
    u_squared = problem.limit(problem.balance(FlowState(off, 0.2))).u ** 2
    assert excited_rate(problem, FlowState(off, 0.2)) == pytest.approx(
        u_squared * problem.curvature[0, 1], rel=1e-13
    )
    assert excited_rate(problem, FlowState(U, 0.2)) > excited_rate(problem, FlowState(off, 0.2))


def test_a_balance_that_is_no_number_is_refused():
    problem = FlowProblem.fixed(np.eye(2), 3)
    for function in (spectrum, convergence_rate):
        with pytest.raises(ValueError, match="balance is nan"):
            function(problem, np.nan)
