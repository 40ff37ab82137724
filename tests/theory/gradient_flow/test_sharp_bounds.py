"""The sharper bounds on random and adversarial problems, along flows that scipy judges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from tests.theory.gradient_flow.plain_flow import FAMILIES, fixed, judged, psd_start
from theory.gradient_flow import FlowProblem, FlowState, assumption_3, random_theta
from theory.gradient_flow.initialisation import stable_curve
from theory.gradient_flow.printed_bounds import printed_bounds
from theory.gradient_flow.sharp_bounds import sharp_bounds
from theory.gradient_flow.solver import solve_flow, solve_flow_from
from theory.gradient_flow.trajectory import pl_ratio_at

SEEDS = st.integers(0, 10_000)
FAMILY = st.sampled_from(FAMILIES)


def any_start(problem: FlowProblem, seed: int) -> FlowState:
    """Random U, balanced or not, of all sizes, u > 0."""
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((problem.dim, problem.dim)) * 10 ** rng.uniform(-2, 0.5)
    u = float(10 ** rng.uniform(-2, 0.5)) if rng.random() < 0.5 else float(np.linalg.norm(U))
    return FlowState(U * problem.limit().u, u * problem.limit().u)


def aligned_start(problem: FlowProblem, scale: float, seed: int) -> FlowState:
    """A balanced start with B_ij V_ij >= 0."""
    rng = np.random.default_rng(seed)
    V = np.abs(rng.standard_normal((problem.dim, problem.dim))) * np.sign(problem.drive)
    V += rng.standard_normal(V.shape) * (problem.drive == 0)
    return FlowState(problem.from_eigenbasis(V * scale / np.linalg.norm(V)), scale)


def times_of(problem: FlowProblem, start: FlowState) -> np.ndarray:
    """Fast at first, from large starts."""
    fastest = np.max(problem.curvature) * (start.u**2 + np.sum(start.U**2))
    slow = 6 / np.linalg.norm(problem.drive)
    return np.append(0.0, np.geomspace(min(1e-2 / fastest, slow / 10), slow, 60))


@given(FAMILY, st.integers(1, 4), SEEDS)
@settings(max_examples=40, deadline=None)
def test_the_level_of_the_loss_bounds_u_from_any_start(family, dim, seed):
    problem = family(dim, np.random.default_rng(seed))
    start = any_start(problem, seed + 1)
    bounds = sharp_bounds(problem, start)
    assert problem.loss(start) - problem.loss_at_zero == pytest.approx(
        bounds.level, abs=1e-11 * (problem.loss_at_zero + problem.loss(start))
    )
    if bounds.level < 0 and start.u**2 > 0:
        assert 0 < start.u**2 < bounds.threshold
    for state in judged(problem, start, times_of(problem, start)):
        assert state.u**2 >= bounds.u_squared_by_level * (1 - 1e-8)
        if bounds.u_squared > 0:
            assert state.u**2 >= bounds.u_squared * (1 - 1e-8)
            assert pl_ratio_at(problem, state) >= bounds.pl_constant * (1 - 1e-7)


@given(FAMILY, st.integers(1, 4), SEEDS, st.floats(-6, 6))
@settings(max_examples=15, deadline=None)
def test_aligned_starts_are_bounded_at_every_scale(family, dim, seed, exponent):
    """Scales from 1e-6 to 1e6 times the root of the threshold."""
    problem = family(dim, np.random.default_rng(seed))
    root = np.sqrt(sharp_bounds(problem, aligned_start(problem, 1.0, seed)).threshold)
    start = aligned_start(problem, root * 10**exponent, seed)
    bounds = sharp_bounds(problem, start)
    assert bounds.aligned
    assert bounds.u_squared_at_every_scale > 0
    flow = solve_flow_from(problem, start)
    assert flow.converged
    times = np.append(0.0, np.geomspace(1e-20, 1, 60) * flow.horizon)
    assert np.min(flow.u(times)) ** 2 >= bounds.u_squared * (1 - 1e-9)
    # The balance of these numbers, to which they are rounded, and not 0.
    limit = problem.limit(flow.balance)
    assert abs(flow.balance) <= 1e-14 * start.u**2
    assert flow.final.u == pytest.approx(limit.u, rel=1e-10)
    assert np.linalg.norm(flow.final.U - limit.U) <= 1e-10 * (limit.u + np.linalg.norm(limit.U))


@given(st.sampled_from(FAMILIES[:2]), st.integers(1, 4), SEEDS, st.floats(-6, 6))
@settings(max_examples=15, deadline=None)
def test_starts_of_assumption_3_reach_the_balanced_limit_from_every_scale(
    family, dim, seed, exponent
):
    rng = np.random.default_rng(seed)
    problem = family(dim, rng)
    flow = solve_flow(problem, random_theta(dim, rng), 10**exponent)
    limit = problem.limit()
    assert flow.balance == 0
    assert flow.final.u == pytest.approx(limit.u, rel=1e-12)
    assert np.linalg.norm(flow.final.U - limit.U) <= 1e-12 * limit.u
    times = np.append(0.0, np.geomspace(1e-20, 1, 60) * flow.horizon)
    assert np.min(flow.u(times)) ** 2 >= sharp_bounds(problem, flow.start).u_squared * (1 - 1e-9)


@given(FAMILY, st.integers(1, 4), SEEDS)
@settings(max_examples=40, deadline=None)
def test_w_obeys_its_differential_inequality(family, dim, seed):
    """dw/dt - (|B| - A u^2) w is the sum of the three terms of the docstring, each >= 0."""
    problem = family(dim, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    start = aligned_start(problem, 10 ** rng.uniform(-1, 1), seed)
    u = start.u * rng.uniform(1, 2)
    V, a, drive = problem.in_eigenbasis(start.U), problem.curvature, problem.drive
    strength, top = np.linalg.norm(drive), np.max(a)
    gradient = problem.gradient(FlowState(start.U, u))
    dp = -np.sum(drive * problem.in_eigenbasis(gradient.U))
    w = u + np.sum(drive * V) / strength
    left = -gradient.u + dp / strength - (strength - top * u**2) * w
    terms = (
        top * u * (u**2 - np.sum(V**2)),
        u * np.sum((top - a) * V**2),
        u**2 / strength * np.sum((top - a) * drive * V),
    )
    assert min(terms) >= -1e-12 * max(terms)
    assert left == pytest.approx(sum(terms), rel=1e-9, abs=1e-10 * top * u**2 * (u + w))


@given(st.sampled_from(FAMILIES[:2]), st.integers(1, 5), SEEDS, st.floats(1e-3, 0.999))
@settings(max_examples=60, deadline=None)
def test_the_sharp_constants_are_at_least_the_printed_ones(family, dim, seed, ratio):
    rng = np.random.default_rng(seed)
    problem = family(dim, rng)
    unit = psd_start(problem, 1.0, rng)
    scale = np.sqrt(ratio * printed_bounds(problem, unit).threshold)
    start = FlowState(unit.U * scale, scale)
    printed, sharp = printed_bounds(problem, start), sharp_bounds(problem, start)
    assert sharp.threshold >= printed.threshold * (1 - 1e-12)
    assert sharp.u_squared_by_level >= printed.u_squared * (1 - 1e-12)
    assert sharp.pl_constant >= printed.pl_constant * (1 - 1e-12)


@given(st.integers(1, 6), SEEDS)
@settings(max_examples=40, deadline=None)
def test_the_root_of_d_in_theorem_4_is_not_needed(dim, seed):
    """2 / |Gamma| is below the true threshold: tr(T M T N) <= |M| tr(N T) for |T|_F = 1."""
    rng = np.random.default_rng(seed)
    problem = fixed(dim, rng)
    sharp = sharp_bounds(problem, psd_start(problem, 1.0, rng))
    assert sharp.threshold >= 2 / np.max(problem.setting.gamma_eigenvalues) * (1 - 1e-12)


def test_both_bounds_are_attained_for_one_dimension():
    problem = FlowProblem.fixed([[2.0]], 3)
    limit = problem.limit().u
    for factor in (1e-3, 0.3, 0.5, 1.0, 5.0):
        start = assumption_3(problem, [[1.0]], factor * limit)
        bounds = sharp_bounds(problem, start)
        least = min(factor, 0.5) * limit
        assert np.sqrt(bounds.u_squared_at_every_scale) == pytest.approx(least, rel=1e-13)
        if factor <= 1:
            assert np.sqrt(bounds.u_squared_by_level) == pytest.approx(start.u, rel=1e-12)


def test_no_aligned_problem_in_two_dimensions_breaks_the_bound():
    """A search for the least u(t)^2 / bound over problem and start, at scales above the threshold.

    Random problems have ratios of 2 and more; the search ends near the least, 1.
    """

    def looseness(x: np.ndarray) -> float:
        lam, angle, size = np.exp(np.clip(x[:2], -3, 3)), x[2], np.exp(np.clip(x[3], -3, 3))
        problem = FlowProblem.fixed(np.diag(lam), 2)
        T = np.diag([np.cos(angle) ** 2, np.sin(angle) ** 2])
        scale = size * problem.limit().u
        start = FlowState(scale * T / np.linalg.norm(T), scale)
        flow = solve_flow_from(problem, start, tolerance=1e-8)
        least = np.min(flow.u(np.append(0, np.geomspace(1e-6, 1, 30) * flow.horizon)))
        return float(least**2 / sharp_bounds(problem, start).u_squared)

    found = [
        optimize.minimize(looseness, begin, method="Nelder-Mead", options={"maxfev": 40}).fun
        for begin in ([0.0, 0.0, 0.7, 0.5], [1.0, -1.0, 1.2, -1.0])
    ]
    assert min(found) >= 1 - 1e-7
    assert min(found) < 1.5


def test_a_negative_balance_lowers_the_bound_on_w():
    """With |V| > u, w falls at w^2 below |B| / A: what it stays above is |B| / A - |c|.

    So without the term m would be no bound on w^2, as the proof needs it. On u the bound without
    the term is higher, and no start is known that breaks it (4000 random ones of two dimensions,
    and a search from the worst of them, which ended at u(0)): there it is what the proof gives.
    """
    problem = FlowProblem.fixed(np.eye(2), 3)
    strength = float(np.linalg.norm(problem.drive))
    s = strength / float(np.max(problem.curvature))
    u, c = np.sqrt(0.9 * s), -0.3 * s
    # V where B is 0, and the curvature as everywhere: p = 0, w = u.
    V = np.array([[0.0, np.sqrt(u**2 - c)], [0.0, 0.0]])
    start = FlowState(problem.from_eigenbasis(V), float(u))
    bounds = sharp_bounds(problem, start)
    assert bounds.aligned
    assert bounds.balance == pytest.approx(c)
    m = 0.7 * s
    assert bounds.u_squared_at_every_scale == pytest.approx((m + c) ** 2 / (4 * m), rel=1e-12)
    states = judged(problem, start, times_of(problem, start))
    overlaps = [np.sum(problem.drive * problem.in_eigenbasis(state.U)) for state in states]
    w = np.array([state.u + p / strength for state, p in zip(states, overlaps, strict=True)])
    assert np.min(w) ** 2 < min(w[0] ** 2, s) * (1 - 1e-3)
    assert np.min(w) ** 2 >= m
    assert min(state.u for state in states) ** 2 >= bounds.u_squared_at_every_scale


def test_isotropic_starts_count_as_aligned_by_their_trace():
    """The curvature is constant on the diagonal: only tr U counts there, not each entry."""
    problem = FlowProblem.fixed(np.eye(2), 3)
    for U, aligned in ((np.diag([1.0, -0.9]), True), (np.diag([0.9, -1.0]), False)):
        assert sharp_bounds(problem, FlowState(U, 5.0)).aligned is aligned
    other = FlowProblem.fixed(np.diag([1.0, 1.1]), 3)
    assert not sharp_bounds(other, FlowState(np.diag([1.0, -0.9]), 5.0)).aligned


def test_where_nothing_is_known_the_bounds_are_zero():
    problem = FlowProblem.fixed(np.diag([1.0, 2.0]), 3)
    start = stable_curve(problem, 3.0)
    bounds = sharp_bounds(problem, start)
    assert (bounds.u_squared, bounds.pl_constant, bounds.aligned) == (0.0, 0.0, False)
    # A U of zero with u > 0 has c > 0: u^2 >= c.
    zero = sharp_bounds(problem, FlowState(np.zeros((2, 2)), 0.5))
    assert zero.u_squared_by_level == pytest.approx(0.25)
    assert zero.threshold == np.inf


@pytest.mark.parametrize(
    ("u", "advice"), [(0.0, "take a later state"), (-0.1, r"those of the start \(-U, -u\)")]
)
def test_the_advice_for_u_not_above_0_is_of_help(u, advice):
    problem = FlowProblem.fixed(np.diag([1.0, 2.0]), 3)
    start = FlowState(np.eye(2), u)
    with pytest.raises(ValueError, match=rf"u is {u}; expected u > 0\. .*{advice}"):
        sharp_bounds(problem, start)
    flow = solve_flow_from(problem, start)
    later = flow(0.3) if u == 0 else FlowState(-start.U, -start.u)
    bounds = sharp_bounds(problem, later)
    # From (0.1, I) mirrored u comes to 0, and the bound says nothing; from u = 0 it leaves 0.
    assert (bounds.u_squared > 0) is (u == 0)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-160, 1e150])
def test_the_threshold_is_one_number_at_every_scale(scale):
    problem = FlowProblem.fixed(np.diag([1.0, 2.0]), 3)
    T = np.diag([0.6, 0.8])
    bounds = sharp_bounds(problem, FlowState(scale * T, scale))
    expected = sharp_bounds(problem, FlowState(T, 1.0)).threshold
    assert bounds.threshold == pytest.approx(expected, rel=1e-14)
    assert bounds.u_squared >= 0
    assert bounds.aligned
