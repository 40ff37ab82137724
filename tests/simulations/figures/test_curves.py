"""Curves, bands, labels: what is drawn is what was given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from simulations.figures.curves import (
    Curve,
    Look,
    curves_of,
    draw_curve,
    family,
    label_ends,
    logarithmic,
    mark_exact,
    spread,
)
from simulations.figures.sizes import joined, said
from simulations.runs import StoredRun

PLACES = st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=9)


@given(PLACES, st.floats(0.01, 0.1))
def test_labels_are_apart_in_order_and_on_the_panel(wanted, gap):
    places = spread(np.array(wanted), gap)
    order = np.argsort(wanted, kind="stable")
    assert np.all(np.diff(places[order]) >= gap * (1 - 1e-9))
    assert places.min() >= 0
    assert places.max() <= 1 + 1e-9


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9, unique=True))
def test_labels_that_are_apart_stay_where_they_are(numbers):
    wanted = np.array(numbers) / 10
    np.testing.assert_allclose(spread(wanted, 0.09), wanted, atol=1e-12)


@given(PLACES)
def test_no_other_places_are_nearer_to_those_wanted(wanted):
    """The projection on a convex set: no feasible move makes the distance smaller."""
    gap, rng = 0.05, np.random.default_rng(0)
    target = np.array(wanted)
    best = spread(target, gap)
    order = np.argsort(target, kind="stable")
    for other in rng.uniform(0, 1 - gap * (len(target) - 1), (50, len(target))):
        feasible = np.empty(len(target))
        feasible[order] = np.sort(other) + gap * np.arange(len(target))
        assert np.sum((best - target) ** 2) <= np.sum((feasible - target) ** 2) + 1e-12


def test_more_labels_than_fit_are_apart_all_the_same():
    places = spread(np.full(5, 0.5), 0.5)
    assert np.all(np.diff(np.sort(places)) >= 0.5 - 1e-12)


def panel():
    return Figure().subplots()


def test_a_curve_is_drawn_with_its_band():
    axes = panel()
    curve = Curve(np.arange(4), np.array([4.0, 3, 2, 1]), np.arange(4.0) / 9, np.arange(4.0) + 5)
    draw_curve(axes, curve, Look("a", "#000000", "--", "s"), gid="a", phase=0.9)
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), np.stack([curve.places, curve.mean], axis=1))
    assert (line.get_gid(), line.get_linestyle(), line.get_marker()) == ("a", "--", "s")
    (band,) = axes.collections
    drawn = {tuple(point) for point in band.get_paths()[0].vertices}
    for edge in (curve.low, curve.high):
        assert set(zip(curve.places, edge, strict=True)) <= drawn


def test_exact_values_that_are_not_finite_are_left_out():
    axes = panel()
    mark_exact(axes, np.arange(5), np.array([1.0, np.inf, np.nan, 2.0, 3.0]), "exact")
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1, 2, 3])


@pytest.mark.parametrize("low", [0.01, 1e-12])
def test_labels_are_level_with_their_ends_on_logarithmic_axes(low):
    axes = panel()
    logarithmic(axes, low, 100 * low)
    look = Look("label", "#000000", "-")
    label_ends(axes, [(look, 10 * low), (look, 1e9 * low), (look, 0.0)], height=10.0)
    heights = [text.get_position()[1] for text in axes.texts]
    np.testing.assert_allclose(heights, [0.5, 1.0, 0.0], atol=1e-12)


def test_curves_are_read_by_prefix():
    arrays = {"k": np.arange(2), "p/a/mean": np.ones(2), "p/a/low": np.zeros(2)}
    arrays |= {"p/a/high": np.full(2, 2.0), "p/limit": np.ones(1), "q/b/mean": np.ones(2)}
    found = curves_of(arrays, axis="k", prefix="p/")
    assert list(found) == ["a"]
    assert found["a"].high.tolist() == [2, 2]


def test_a_family_has_looks_that_grey_tells_apart():
    looks = family([str(i) for i in range(7)])
    assert len({(str(look.line), look.marker) for look in looks}) == 7
    assert len({look.marker for look in looks}) == 7
    with pytest.raises(ValueError, match="8 curves, expected at most 7"):
        family([str(i) for i in range(8)])


def test_sizes_in_words():
    assert joined([5]) == "5"
    assert joined([5, 20, 15000]) == "5, 20 and 15,000"
    assert joined([0.5, 1.0, True, "all"]) == "0.5, 1, True and all"
    with_size = {
        label: StoredRun("e", Look(label, "", ""), {}, "", "", {}) for label in ("a", "b", "a2")
    }
    assert said(with_size, "label") == "a, b and a2"
    assert said(with_size, "colour") == ""
