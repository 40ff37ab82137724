"""The flow of all weights: against scipy on a polynomial derived otherwise, and its invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate

from theory import FlowProblem, PopulationLoss
from theory.full_flow import PointKind, StationaryPoint, balance_of_layer, solve_full_flow
from theory.gradient_flow.problem import FlowState
from theory.gradient_flow.solver import solve_flow_from
from theory.whitened_loss import LayerBlocks


def start_of(values: list[float]) -> LayerBlocks:
    return LayerBlocks.unstack(np.array(values, dtype=float))


def judged(N: int, x: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The flow for d = 1 and Lambda = 1 by Radau, from the loss written out by hand."""
    a = 1 / N

    def slope(t, x):
        p, q, U, u = x
        A, B, C = p * U, u * U + p * q, u * q
        of_A = (1 + 3 * a) * (1 + 5 * a) * A + (1 + 5 * a) * C
        of_B = (1 + 2 * a) * B - 1
        of_C = 3 * (1 + 2 * a) * C + (1 + 5 * a) * A
        return -np.array([
            of_A * U + of_B * q, of_B * p + of_C * u, of_A * p + of_B * u, of_B * U + of_C * q
        ])  # fmt: skip

    found = integrate.solve_ivp(
        slope, (0, times[-1]), x, method="Radau", t_eval=times, rtol=1e-11, atol=1e-13
    )
    return found.y.T


@pytest.mark.parametrize("N", [1, 50])
def test_the_flow_is_that_of_the_polynomial(N):
    x = np.random.default_rng(N).standard_normal(4)
    flow = solve_full_flow(PopulationLoss([[1.0]], N), start_of(list(x)), horizon=4.0)
    times = np.linspace(0, min(4.0, flow.horizon), 9)
    found = np.array([flow(t).stacked for t in times])
    assert_allclose(found, judged(N, x, times), atol=2e-8)


def test_from_zero_it_is_the_flow_of_zhang_et_al():
    lam = np.array([[2.0, 0.5], [0.5, 1.0]])
    U, u = np.array([[0.3, -0.2], [0.1, 0.4]]), 0.6
    zero = np.zeros(2)
    flow = solve_full_flow(PopulationLoss(lam, 4), LayerBlocks(zero, zero, U, u))
    expected = solve_flow_from(FlowProblem.fixed(lam, 4), FlowState(U, u))
    for t in (0.3, 1.0, 4.0):
        point, state = flow(t), expected(t)
        assert not np.any(point.u12)
        assert not np.any(point.u21)
        assert_allclose(point.U11, state.U, atol=1e-8)
        assert point.u_1 == pytest.approx(state.u, abs=1e-8)
    assert flow.converged
    assert flow.final.kind is PointKind.GLOBAL_MINIMUM
    assert_allclose(flow.final.weights.U11, expected.final.U, atol=1e-6)


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10**6), dim=st.integers(1, 2), N=st.integers(1, 9))
def test_the_balance_is_conserved_and_the_loss_falls(seed, dim, N):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((dim, dim))
    loss = PopulationLoss(np.eye(dim), N, root @ root.T, float(rng.uniform(0, 1)))
    start = LayerBlocks.unstack(rng.standard_normal((dim + 1) ** 2) / 2)
    flow = solve_full_flow(loss, start, horizon=1.0)
    assert flow.balance_drift < 1e-8
    final = flow.final
    assert balance_of_layer(final.weights) == pytest.approx(balance_of_layer(start), abs=1e-6)
    losses = [loss(*flow(t)) for t in flow.times]
    assert np.all(np.diff(losses) <= 1e-9 * losses[0])


def test_the_balance_is_the_difference_of_the_two_factors():
    assert balance_of_layer(start_of([1, 2, 3, 4])) == 1 + 16 - 9 - 4


def test_a_flow_into_a_saddle_says_so():
    # f = v with d = 1: balanced and u_1 U11 = u12 u21, so that it can reach no minimum.
    flow = solve_full_flow(PopulationLoss([[1.0]], 2), start_of([0.3, 0.5, 0.3, 0.5]), horizon=12.0)
    final = flow(flow.horizon)
    assert StationaryPoint(flow.loss, final).gradient_norm < 1e-4
    assert StationaryPoint(flow.loss, final).num_negative == 1


def test_a_stationary_start_converges_at_once():
    flow = solve_full_flow(PopulationLoss(np.eye(2), 2), start_of([0.0] * 9))
    assert flow.converged
    assert flow.final.kind is PointKind.SADDLE
    assert flow.balance_drift == 0.0


def test_times_outside_are_refused():
    flow = solve_full_flow(PopulationLoss([[1.0]], 2), start_of([1, 0, 1, 1]), horizon=0.5)
    assert not flow.converged
    with pytest.raises(ValueError, match="has not converged: solve with a longer horizon"):
        flow(0.6)
    for t in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"t is .*; expected a finite number >= 0"):
            flow(t)


def test_a_flow_that_has_converged_rests():
    flow = solve_full_flow(PopulationLoss([[1.0]], 2), start_of([0, 0, 1, 1]))
    assert flow.converged
    final = flow.final.weights
    for later in (flow.horizon * 1.01, 1e9):
        np.testing.assert_array_equal(flow(later).stacked, final.stacked)
    with pytest.raises(ValueError, match="t is -1"):
        flow(-1.0)


def test_the_representation_is_short():
    flow = solve_full_flow(PopulationLoss(np.eye(2), 3), start_of([0.0] * 9), horizon=2.0)
    assert repr(flow) == (
        f"FullFlowSolution(dim=2, horizon={flow.horizon:g}, steps={len(flow.times) - 1},"
        " converged=True)"
    )


def test_lists_are_taken_for_arrays():
    lists = ([0.1, 0.2], [0.3, 0.4], [[1, 0], [0, 1]], 1)
    blocks = LayerBlocks(*lists)
    expected = 0.01 + 0.04 + 1 - 2 - 0.09 - 0.16
    assert balance_of_layer(blocks) == pytest.approx(expected, rel=1e-14)
    assert balance_of_layer(lists) == balance_of_layer(blocks)
    loss = PopulationLoss(np.eye(2), 3)
    flows = [solve_full_flow(loss, start, horizon=0.1) for start in (blocks, lists)]
    for flow in flows:
        assert_allclose(flow(0).stacked, [0.1, 0.2, 0.3, 0.4, 1, 0, 0, 1, 1], rtol=1e-14)
    point = StationaryPoint(loss, blocks)
    assert point.kind is PointKind.NOT_STATIONARY
    assert isinstance(point.weights.u12, np.ndarray)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (([1, 2], [3, 4], np.eye(2)), "3 blocks are given; expected four: u12, u21, U11, u_1"),
        (([1, 2], [3], np.eye(2), 1), r"u21 has shape \(1,\); expected \(2,\): u12 has d = 2"),
        (([], [], np.zeros((0, 0)), 1), "u12 has no entries"),
        (([1, 2], [3, np.nan], np.eye(2), "u"), "2 problem"),
    ],
)
def test_blocks_that_are_none_are_refused(blocks, message):
    with pytest.raises(ValueError, match=message):
        balance_of_layer(blocks)
    with pytest.raises(ValueError, match=r"solve_full_flow\(start\)"):
        solve_full_flow(PopulationLoss(np.eye(2), 3), blocks)


@pytest.mark.parametrize("horizon", [0.0, -1.0, np.inf])
def test_a_horizon_that_is_no_positive_number_is_refused(horizon):
    with pytest.raises(ValueError, match="horizon"):
        solve_full_flow(PopulationLoss([[1.0]], 2), start_of([1, 0, 1, 1]), horizon=horizon)


def test_a_start_of_another_dimension_is_refused():
    with pytest.raises(ValueError, match="u12 has shape"):
        solve_full_flow(PopulationLoss(np.eye(2), 2), start_of([1, 0, 1, 1]))
