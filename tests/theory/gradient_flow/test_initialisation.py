"""Where the flow goes, against scipy on the plain equation and against what d = 1 shows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.theory.gradient_flow.plain_flow import FAMILIES, judged, psd_start
from theory.gradient_flow import FlowProblem, FlowState
from theory.gradient_flow.initialisation import LimitKind, limit_of, stable_curve

SEEDS = st.integers(0, 10_000)
FAMILY = st.sampled_from(FAMILIES)


def drawn_start(problem: FlowProblem, balance: int, seed: int) -> FlowState:
    """Random U of the size of the limit and u of any sign with this sign of the balance."""
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((problem.dim, problem.dim)) * problem.limit().u
    factor = {-1: rng.uniform(0, 0.9), 0: 1.0, 1: rng.uniform(1.1, 3)}[balance]
    return FlowState(U, float(rng.choice([-1, 1]) * factor * np.linalg.norm(U)))


def ends(problem: FlowProblem, start: FlowState) -> FlowState:
    """The state at a time by which it has settled, by scipy."""
    slowest = np.linalg.norm(problem.drive) / 60
    return judged(problem, start, np.array([0.0, 1 / slowest]))[-1]


@given(FAMILY, st.integers(1, 3), st.sampled_from((-1, 0, 1)), SEEDS)
@settings(max_examples=60, deadline=None)
def test_the_sign_of_u_at_the_end_is_the_one_that_is_told(family, dim, balance, seed):
    problem = family(dim, np.random.default_rng(seed))
    start = drawn_start(problem, balance, seed + 1)
    told, end = limit_of(problem, start), ends(problem, start)
    if told.kind is LimitKind.UNKNOWN:
        assert balance == -1
        assert told.state is None
        # Once the loss is below L(0), it is known.
        later = limit_of(problem, end)
        assert later.kind is (LimitKind.POSITIVE if end.u > 0 else LimitKind.NEGATIVE)
        return
    if told.kind is LimitKind.SADDLE:
        # The judge cannot stay on the separatrix: its rounding grows along the unstable direction.
        assert (dim, balance) == (1, 0)
        assert float(start.u * start.U[0, 0] * problem.drive[0, 0]) < 0
        return
    assert told.kind is (LimitKind.POSITIVE if end.u > 0 else LimitKind.NEGATIVE)
    assert np.sign(told.state.u) == np.sign(end.u)
    assert problem.excess_loss(told.state) <= 1e-20 * problem.loss_at_zero
    c = problem.balance(start)
    assert problem.balance(told.state) == pytest.approx(c, abs=1e-12 * (abs(c) + end.u**2))


@given(FAMILY, st.integers(1, 3), SEEDS)
@settings(max_examples=30, deadline=None)
def test_the_flow_is_symmetric_and_so_is_what_is_told(family, dim, seed):
    problem = family(dim, np.random.default_rng(seed))
    U, u = drawn_start(problem, (-1, 0, 1)[seed % 3], seed)
    one, other = limit_of(problem, FlowState(U, u)), limit_of(problem, FlowState(-U, -u))
    swapped = {LimitKind.POSITIVE: LimitKind.NEGATIVE, LimitKind.NEGATIVE: LimitKind.POSITIVE}
    assert other.kind is swapped.get(one.kind, one.kind)
    assert one.reason == other.reason
    if one.state is not None:
        np.testing.assert_array_equal(one.state.U, -other.state.U)


@given(st.sampled_from(FAMILIES[:2]), st.integers(1, 5), SEEDS, st.floats(-6, 6))
@settings(max_examples=40, deadline=None)
def test_every_start_of_assumption_3_reaches_the_minimum(family, dim, seed, exponent):
    rng = np.random.default_rng(seed)
    problem = family(dim, rng)
    told = limit_of(problem, psd_start(problem, 10**exponent, rng))
    assert told.kind is LimitKind.POSITIVE


def test_tasks_that_the_start_does_not_see_are_learned_all_the_same():
    """<B, Theta Theta'> = 0, outside the theorem, and yet aligned."""
    problem = FlowProblem.general(np.eye(2), np.diag([1.0, 0.0]), 0.0, 3)
    start = FlowState(np.diag([0.0, 2.0]), 2.0)
    assert limit_of(problem, start).kind is LimitKind.POSITIVE
    end = judged(problem, start, np.array([0.0, 200.0]))[-1]
    np.testing.assert_allclose(end.u * end.U, problem.minimiser, atol=1e-8)


LINE = FlowProblem.fixed([[2.0]], 3)


@pytest.mark.parametrize(
    ("U", "u", "kind"),
    [
        (1.0, 1.0, LimitKind.POSITIVE),
        (-1.0, 1.0, LimitKind.SADDLE),
        (-1e6, 1e6, LimitKind.SADDLE),
        (-1.0, np.nextafter(1.0, 2), LimitKind.POSITIVE),
        (-1.0, np.nextafter(1.0, 0), LimitKind.NEGATIVE),
        (-2.0, 1.0, LimitKind.NEGATIVE),
        (-1.0, 2.0, LimitKind.POSITIVE),
        (2.0, -1.0, LimitKind.POSITIVE),
        (0.0, 1.0, LimitKind.POSITIVE),
        (0.0, -1.0, LimitKind.NEGATIVE),
        (1.0, -1.0, LimitKind.SADDLE),
        (3.0, 0.0, LimitKind.POSITIVE),
        (-3.0, 0.0, LimitKind.NEGATIVE),
        (0.0, 0.0, LimitKind.SADDLE),
    ],
)
def test_one_dimension_is_decided_everywhere(U, u, kind):
    told = limit_of(LINE, FlowState(np.array([[U]]), u))
    assert told.kind is kind
    assert told.state is not None
    if kind is LimitKind.SADDLE:
        assert (told.state.u, told.state.U[0, 0]) == (0.0, 0.0)
    # In exact arithmetic of the balance, an ulp decides; scipy follows what it can resolve.
    if abs(abs(U) - abs(u)) > 1e-3:
        end = judged(LINE, FlowState(np.array([[U]]), u), np.array([0.0, 20.0]))[-1]
        assert np.sign(end.u) == np.sign(told.state.u)


def test_the_separatrix_of_one_dimension_is_explicit():
    """On U = -u: du/dt = -u (b + a u^2), so u^2 = b / ((b/u_0^2 + a) e^{2bt} - a)."""
    a, b = float(LINE.curvature[0, 0]), float(LINE.drive[0, 0])
    times = np.linspace(0, 2, 20)
    for t, state in zip(
        times, judged(LINE, FlowState(np.array([[-3.0]]), 3.0), times), strict=True
    ):
        expected = np.sqrt(b / ((b / 9 + a) * np.exp(2 * b * t) - a))
        assert state.u == pytest.approx(expected, rel=1e-8, abs=1e-10)
    assert stable_curve(LINE, 3.0).U[0, 0] == pytest.approx(-3.0, rel=1e-15)


def nearest_approach(problem: FlowProblem, start: FlowState, saddle: np.ndarray) -> float:
    """The least distance of the flow from a saddle, by scipy, on a grid of times."""
    times = np.linspace(0, 20 / np.linalg.norm(problem.drive), 400)
    states = judged(problem, start, times)
    return min(float(np.hypot(np.linalg.norm(U - saddle), u)) for U, u in states)


@given(FAMILY, st.integers(1, 3), SEEDS, st.floats(-2, 2), st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_curve_ends_in_the_saddle_and_its_neighbours_do_not(
    family, dim, seed, exponent, balanced
):
    rng = np.random.default_rng(seed)
    problem = family(dim, rng)
    size = problem.limit().u
    V = rng.standard_normal((dim, dim)) * size
    V -= problem.drive * np.sum(problem.drive * V) / np.sum(problem.drive**2)
    saddle = problem.from_eigenbasis(V * (not balanced and dim > 1))
    u = size * 10**exponent
    start = stable_curve(problem, u, None if balanced else saddle)
    assert start.u == u
    assert problem.balance(start) == pytest.approx(
        -np.sum(saddle**2), abs=1e-12 * (u**2 + np.sum(saddle**2))
    )
    # The size of the step that the judge's tolerance leaves at the saddle.
    assert nearest_approach(problem, start, saddle) <= 1e-4 * min(u, size)
    assert limit_of(problem, start).kind in (LimitKind.UNKNOWN, LimitKind.SADDLE)
    moved = FlowState(start.U + 1e-2 * u * problem.from_eigenbasis(problem.drive), start.u)
    assert nearest_approach(problem, moved, saddle) > 1e-4 * min(u, size)


@pytest.mark.parametrize("distance", [1e-4, 1e-2])
def test_balanced_starts_beside_the_curve_reach_the_minimum_with_positive_u(distance):
    rng = np.random.default_rng(3)
    for family in FAMILIES:
        problem = family(2, rng)
        u = 0.5 * problem.limit().u
        on = stable_curve(problem, u)
        U = on.U + distance * u * rng.standard_normal((2, 2))
        start = FlowState(U * u / np.linalg.norm(U), u)
        told = limit_of(problem, start)
        assert told.kind is LimitKind.POSITIVE
        assert "one curve" in told.reason
        end = judged(problem, start, np.array([0.0, 60 / np.linalg.norm(problem.drive)]))[-1]
        assert end.u > 0.1 * problem.limit().u


def test_the_curve_is_a_line_where_the_curvature_is_constant():
    problem = FlowProblem.fixed(2.0 * np.eye(3), 5)
    np.testing.assert_allclose(
        stable_curve(problem, 4.0).U, -4.0 * np.eye(3) / np.sqrt(3), rtol=1e-9
    )
    bent = FlowProblem.fixed(np.diag([1.0, 3.0]), 5)
    line = -4.0 * bent.drive / np.linalg.norm(bent.drive)
    assert np.linalg.norm(stable_curve(bent, 4.0).U - line) > 0.1


def test_rounding_is_not_taken_for_a_sign():
    """With u = 0 and <B, V> = 1e-17: on one side of a saddle or the other."""
    problem = FlowProblem.fixed(np.array([[2.0, 0.3], [0.3, 1.0]]), 3)
    drive = problem.from_eigenbasis(problem.drive)
    U = np.array([[1.0, 0.0], [0.0, -drive[0, 0] / drive[1, 1]]])
    overlap = np.sum(problem.drive * problem.in_eigenbasis(U))
    assert abs(overlap) < 1e-14
    told = limit_of(problem, FlowState(U, 0.0))
    assert told.kind is (LimitKind.SADDLE if overlap == 0 else LimitKind.UNKNOWN)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"u is -1\.0; expected a finite number > 0"):
        stable_curve(LINE, -1.0)
    with pytest.raises(ValueError, match="orthogonal to the drive"):
        stable_curve(LINE, 1.0, [[1.0]])
    with pytest.raises(ValueError, match=r"expected \(1, 1\)"):
        limit_of(LINE, FlowState(np.eye(2), 1.0))


def test_the_tangent_at_a_saddle_is_an_eigenvector():
    """Its slope is B / kappa with kappa^2 + b kappa - |B|^2 = 0."""
    problem = FlowProblem.fixed(np.diag([1.0, 3.0]), 5)
    saddle = np.array([[0.0, 0.4], [-0.7, 0.0]])
    jacobian = np.zeros((5, 5))
    drive, a = problem.drive.ravel(), problem.curvature.ravel()
    jacobian[:4, 4] = drive
    jacobian[4, :4], jacobian[4, 4] = drive, -np.sum(a * saddle.ravel() ** 2)
    values, vectors = np.linalg.eig(jacobian)
    stable = vectors[:, np.argmin(values.real)].real
    near = stable_curve(problem, 1e-3, saddle)
    slope = (near.U - saddle).ravel() / near.u
    np.testing.assert_allclose(slope, stable[:4] / stable[4], atol=2e-3)
