"""Stationary points: minima, the points that are minima for short prompts only, and d = 1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from theory import PopulationLoss
from theory.full_flow import (
    OneDimension,
    PointKind,
    StationaryPoint,
    global_minimum,
    rank_one_point,
)
from theory.whitened_loss import LayerBlocks


def random_loss(dim: int, seed: int) -> PopulationLoss:
    rng = np.random.default_rng(seed)
    root, tasks = rng.standard_normal((2, dim, dim))
    lam = root @ root.T + 0.3 * np.eye(dim)
    return PopulationLoss((lam + lam.T) / 2, int(rng.integers(1, 9)), tasks @ tasks.T, 0.4)


@settings(max_examples=20, deadline=None)
@given(dim=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_the_global_minimum_is_one(dim, seed):
    loss = random_loss(dim, seed)
    point = StationaryPoint(loss, global_minimum(loss))
    assert point.kind is PointKind.GLOBAL_MINIMUM
    assert point.excess == pytest.approx(0, abs=1e-12)
    assert point.num_zero >= 1
    assert point.scale_curvature < 1e-9 * point.eigenvalues[-1]
    rng = np.random.default_rng(seed)
    for size in (1e-2, 1.0):
        away = point.weights.stacked + size * rng.standard_normal((dim + 1) ** 2)
        assert loss(*LayerBlocks.unstack(away)) >= loss(*point.weights) - 1e-12


#: The N for which U = 0, u = 0 is a local minimum at Lambda = I, by the determinant of the proof.
LOCAL = {2: 4, 3: 3, 4: 2, 5: 2}


@pytest.mark.parametrize("dim", LOCAL)
@pytest.mark.parametrize("N", [1, 2, 3, 4, 5, 9])
def test_short_prompts_have_a_minimum_that_is_not_global(dim, N):
    loss = PopulationLoss(np.eye(dim), N)
    point = StationaryPoint(loss, rank_one_point(loss))
    assert point.gradient_norm < 1e-14
    assert point.kind is (PointKind.LOCAL_MINIMUM if LOCAL[dim] >= N else PointKind.SADDLE)
    assert point.num_zero == dim  # the scaling, and rotations of the direction
    assert point.excess == pytest.approx((dim - 1) * N / (2 * (N + dim + 1)), rel=1e-12)


def test_the_other_directions_of_an_anisotropic_covariance_are_saddles():
    loss = PopulationLoss(np.diag([1.0, 4.0, 2.0]), 2)
    kinds = [StationaryPoint(loss, rank_one_point(loss, i)).kind for i in range(3)]
    assert kinds == [PointKind.LOCAL_MINIMUM, PointKind.SADDLE, PointKind.SADDLE]
    assert_allclose(rank_one_point(loss).u12[[0, 2]], 0)


def test_for_one_dimension_it_is_global():
    loss = PopulationLoss([[2.0]], 3)
    assert StationaryPoint(loss, rank_one_point(loss)).kind is PointKind.GLOBAL_MINIMUM


def test_a_point_on_a_slope_is_not_stationary():
    loss = PopulationLoss(np.eye(2), 2)
    point = StationaryPoint(loss, LayerBlocks.unstack(np.ones(9)))
    assert point.kind is PointKind.NOT_STATIONARY


def test_zero_is_a_saddle_with_as_many_falling_directions_as_odd_pairs():
    loss = PopulationLoss(np.eye(3), 2)
    point = StationaryPoint(loss, LayerBlocks.unstack(np.zeros(16)))
    assert point.kind is PointKind.SADDLE
    assert (point.num_negative, point.num_zero) == (4, 8)
    assert point.scale_curvature == 0.0


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_outside_is_refused(index):
    with pytest.raises(ValueError, match="index is"):
        rank_one_point(PopulationLoss(np.eye(2), 2), index)


def test_other_tasks_are_refused():
    with pytest.raises(ValueError, match="S = I without noise"):
        rank_one_point(PopulationLoss(np.eye(2), 2, np.diag([1.0, 2.0])))
    with pytest.raises(ValueError, match="S = I without noise"):
        rank_one_point(PopulationLoss(np.eye(2), 2, noise_std=0.1))


class TestOneDimension:
    @settings(max_examples=10, deadline=None)
    @given(scale=st.floats(0.05, 20), N=st.integers(1, 1000))
    def test_all_points_are_what_they_are_called(self, scale, N):
        loss = PopulationLoss([[scale]], N)
        points = OneDimension.of(loss)
        assert (len(points.minima), len(points.saddles)) == (4, 5)
        for weights, kind, value in (
            *((w, PointKind.GLOBAL_MINIMUM, points.minimal_loss) for w in points.minima),
            (points.saddles[0], PointKind.SADDLE, scale / 2),
            *((w, PointKind.SADDLE, points.saddle_loss) for w in points.saddles[1:]),
        ):
            assert StationaryPoint(loss, weights).kind is kind
            assert loss(*weights) == pytest.approx(value, rel=1e-12)

    def test_the_saddles_lie_between(self):
        points = OneDimension(1.0, 2)
        assert points.minimal_loss < points.saddle_loss < 0.5
        assert points.gamma < points.kappa

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((-1.0, 4), "eigenvalue .lambda. is -1.0; expected a finite number > 0"),
            ((0.0, 4), "eigenvalue .lambda. is 0.0"),
            ((np.nan, 4), "eigenvalue .lambda. is nan"),
            ((1.0, 0), "prompt_length .N. is 0; expected an integer >= 1"),
            ((-1.0, -1), "2 problem"),
        ],
    )
    def test_parameters_outside_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            OneDimension(*arguments)

    @pytest.mark.parametrize(
        ("loss", "word"),
        [
            (PopulationLoss(np.eye(2), 2), "d = 2"),
            (PopulationLoss([[1.0]], 2, [[2.0]]), "variance S"),
            (PopulationLoss([[1.0]], 2, noise_std=1.0), "label noise"),
        ],
    )
    def test_other_losses_are_refused(self, loss, word):
        with pytest.raises(ValueError, match=word):
            OneDimension.of(loss)
