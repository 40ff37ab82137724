"""Starts far from the limit's own scale, and problems in odd units."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose

from theory.gradient_flow import FlowProblem, FlowState, assumption_3, random_theta
from theory.gradient_flow.solver import solve_flow, solve_flow_from
from theory.laws import Exponential


def dense(dim, condition, rng):
    basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    lam = basis @ np.diag(np.geomspace(1, condition, dim)) @ basis.T
    return (lam + lam.T) / 2


def problems():
    rng = np.random.default_rng(0)
    yield FlowProblem.fixed(np.diag([1.0, 2.0, 3.0]), 1)
    yield FlowProblem.fixed(dense(5, 1e8, rng), 10)
    yield FlowProblem.fixed(1e12 * np.diag([1.0, 2.0, 5.0]), 5)
    yield FlowProblem.random_diagonal([Exponential(1.0)] * 4, 4)
    yield FlowProblem.general(dense(4, 100.0, rng), np.diag([1.0, 2.0, 0.0, 0.5]), 0.3, 6)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e3, 1e6, 1e20])
@pytest.mark.parametrize("problem", list(problems()), ids=repr)
def test_the_theorem_from_every_scale(problem, scale):
    """The balance is 0 by Assumption 3: rounding of u^2 must not take its place."""
    solution = solve_flow(problem, random_theta(problem.dim, np.random.default_rng(1)), scale)
    limit = problem.limit()
    assert solution.converged
    assert solution.balance == 0.0
    assert abs(solution.final.u / limit.u - 1) < 1e-13
    assert np.linalg.norm(solution.final.U - limit.U) < 1e-13 * limit.u


def test_an_explicit_start_keeps_the_balance_of_its_numbers():
    """Against fractions: at u = 1e6 the balance of rounded numbers is not 0, and counts."""
    problem = FlowProblem.fixed(np.diag([1.0, 2.0, 3.0]), 1)
    start = assumption_3(problem, random_theta(3, np.random.default_rng(0)), 1e6)
    exact = Fraction(start.u) ** 2 - sum(Fraction(float(x)) ** 2 for x in start.U.ravel())
    resolution = float(np.finfo(np.longdouble).eps) * start.u**2
    solution = solve_flow_from(problem, start)
    assert abs(solution.balance - float(exact)) < 16 * resolution
    assert abs(solution.final.u - problem.limit(solution.balance).u) < 1e-14


def test_a_pair_is_a_start_too():
    problem = FlowProblem.fixed(np.diag([1.0, 2.0]), 4)
    start = FlowState(np.array([[0.2, 0.1], [0.0, 0.3]]), 0.5)
    by_pair = solve_flow_from(problem, (start.U.tolist(), 0.5))
    assert by_pair.final.u == solve_flow_from(problem, start).final.u


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (1e100, "the loss there is beyond float64"),
        (1e160, "the loss there is beyond float64"),
        (1e-200, "squares underflow"),
    ],
)
def test_scales_that_float64_cannot_hold_are_refused(scale, message):
    problem = FlowProblem.fixed(np.diag([1.0, 2.0]), 4)
    with pytest.raises(ValueError, match=message):
        solve_flow(problem, random_theta(2, np.random.default_rng(0)), scale)


@pytest.mark.parametrize("unit", [1e-200, 1e-100, 1e100, 1e160])
def test_covariances_that_float64_cannot_cube_are_refused(unit):
    with pytest.raises(ValueError, match="covariates in other units"):
        FlowProblem.fixed(unit * np.diag([1.0, 2.0]), 4)


@pytest.mark.parametrize("unit", [1e-30, 1e-9, 1e9, 1e30])
def test_units_do_not_matter(unit):
    """For Lambda = s Lambda_0: A scales as 1/s, and u U with it."""
    plain = FlowProblem.fixed(np.diag([1.0, 2.0]), 4)
    scaled = FlowProblem.fixed(unit * np.diag([1.0, 2.0]), 4)
    theta = random_theta(2, np.random.default_rng(0))
    ours, theirs = solve_flow(plain, theta, 0.1), solve_flow(scaled, theta, 0.1 / np.sqrt(unit))
    assert_allclose(theirs.final.u * np.sqrt(unit), ours.final.u, rtol=1e-12)
    assert_allclose(theirs.final.U * np.sqrt(unit), ours.final.U, rtol=1e-11, atol=1e-15)


def test_reprs_are_short():
    problem = FlowProblem.fixed(np.diag([1.0, 2.0]), 4)
    assert repr(problem) == "FlowProblem(dim=2, setting=FixedCovariance)"
    solution = solve_flow(problem, random_theta(2, np.random.default_rng(0)), 0.1)
    assert repr(solution).startswith("FlowSolution(FlowProblem(dim=2")
