"""The bootstrap against scipy's, against theory, and with clusters."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from simulations import bootstrap
from simulations.bootstrap import bootstrap_band


def skewed(rows: int, points: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_exponential((rows, points)) ** 2


@pytest.mark.parametrize(("rows", "points", "level"), [(7, 1, 0.9), (40, 3, 0.9), (200, 2, 0.5)])
def test_it_is_scipys_percentile_bootstrap_draw_by_draw(rows, points, level):
    values = skewed(rows, points)
    ours = bootstrap_band(values, np.random.default_rng(1), level=level, trials=300)
    theirs = scipy.stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=300,
        confidence_level=level,
        axis=0,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    np.testing.assert_allclose(ours.low, theirs.low, rtol=1e-13)
    np.testing.assert_allclose(ours.high, theirs.high, rtol=1e-13)


def test_chunks_of_trials_change_no_draw(monkeypatch):
    values = skewed(30, 2)
    whole = bootstrap_band(values, np.random.default_rng(1), trials=50)
    monkeypatch.setattr(bootstrap, "_CHUNK", 100)
    parts = bootstrap_band(values, np.random.default_rng(1), trials=50)
    # The product is summed in another order.
    np.testing.assert_allclose(whole.low, parts.low, rtol=1e-14)
    np.testing.assert_allclose(whole.high, parts.high, rtol=1e-14)


def test_the_standard_error_is_the_textbooks_and_that_of_the_resampled_means():
    values = skewed(500, 3)
    band = bootstrap_band(values, np.random.default_rng(0), trials=20_000)
    np.testing.assert_allclose(band.standard_error, scipy.stats.sem(values, axis=0), rtol=1e-13)
    # 5 % on either side of a mean of 500 is nearly normal; 20,000 trials leave 1 % of that width.
    width = 2 * scipy.stats.norm.ppf(0.95) * band.standard_error
    np.testing.assert_allclose(band.high - band.low, width, rtol=0.05)


def test_clusters_are_the_bootstrap_of_their_means_if_they_are_of_one_size():
    values = skewed(60, 2)
    clusters = np.repeat([5, 2, 9, -1, 0, 4], 10)
    band = bootstrap_band(values, np.random.default_rng(3), clusters=clusters, trials=200)
    means = np.stack([values[clusters == c].mean(axis=0) for c in np.unique(clusters)])
    direct = bootstrap_band(means, np.random.default_rng(3), trials=200)
    for field in ("mean", "low", "high", "standard_error"):
        np.testing.assert_allclose(getattr(band, field), getattr(direct, field), rtol=1e-13)


def test_clusters_of_several_sizes_are_resampled_as_a_whole():
    values = skewed(6, 1)
    clusters = np.array([0, 1, 1, 2, 2, 2])
    band = bootstrap_band(values, np.random.default_rng(0), clusters=clusters, trials=400)
    rng = np.random.default_rng(0)
    means = []
    for drawn in rng.integers(0, 3, (400, 3)):
        chosen = np.concatenate([values[clusters == c] for c in drawn])
        means.append(chosen.mean(axis=0))
    np.testing.assert_allclose(band.mean, values.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(band.low, np.percentile(means, 5, axis=0), rtol=1e-13)
    np.testing.assert_allclose(band.high, np.percentile(means, 95, axis=0), rtol=1e-13)


def test_rows_that_repeat_their_cluster_need_clusters():
    """64 clusters of 64 equal rows: the band over rows is 8 times too narrow."""
    values = np.repeat(skewed(64, 1), 64, axis=0)
    clusters = np.repeat(np.arange(64), 64)
    over_rows = bootstrap_band(values, np.random.default_rng(0))
    over_clusters = bootstrap_band(values, np.random.default_rng(0), clusters=clusters)
    ratio = (over_clusters.high - over_clusters.low) / (over_rows.high - over_rows.low)
    np.testing.assert_allclose(ratio, 8.0, rtol=0.15)
    np.testing.assert_allclose(
        over_clusters.standard_error / over_rows.standard_error, 8.0, rtol=0.01
    )


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((100, 1000))
    # The columns are samples of their own: one call is 1,000 experiments of 100 rows.
    band = bootstrap_band(values, rng, trials=2000)
    covered = np.mean((band.low <= 0) & (band.high >= 0))
    # 0.9 minus 0.006 for 100 rows (the bootstrap's variance has 1/n for 1/(n-1), and no t); the
    # standard error of the share is 0.0095.
    assert 0.894 - 4 * 0.0095 <= covered <= 0.894 + 4 * 0.0095


@given(
    rows=st.integers(1, 12),
    points=st.integers(0, 3),
    level=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
    clustered=st.booleans(),
)
def test_the_band_stays_within_the_values(rows, points, level, seed, clustered):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rows, points))
    clusters = rng.integers(0, 3, rows) if clustered else None
    band = bootstrap_band(values, rng, clusters=clusters, level=level, trials=20)
    assert np.all(values.min(axis=0) - 1e-12 <= band.low)
    assert np.all(band.low <= band.high)
    assert np.all(band.high <= values.max(axis=0) + 1e-12)
    assert band.mean.shape == (points,)


def test_equal_rows_have_a_band_of_no_width():
    band = bootstrap_band(np.full((5, 2), 0.5), np.random.default_rng(0))
    assert band.low.tolist() == band.high.tolist() == band.mean.tolist() == [0.5, 0.5]
    assert band.standard_error.tolist() == [0.0, 0.0]


def test_one_row_has_no_standard_error():
    band = bootstrap_band(np.ones((1, 2)), np.random.default_rng(0))
    assert np.all(np.isnan(band.standard_error))


def test_arrays_are_named_as_results_are():
    arrays = bootstrap_band(np.ones((2, 1)), np.random.default_rng(0)).as_arrays("zero")
    assert sorted(arrays) == ["zero/high", "zero/low", "zero/mean", "zero/standard_error"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"values": np.ones(3)}, "values has shape (3,)"),
        ({"values": np.ones((0, 3))}, "values has no rows"),
        ({"values": np.array([[np.nan]])}, "values[0, 0] is nan"),
        ({"level": 1.0}, "level is 1.0; expected a coverage below 1"),
        ({"level": 0.0}, "level is 0.0"),
        ({"trials": 0}, "trials is 0; expected an integer >= 1"),
        ({"clusters": [0, 1]}, "clusters has 2 entries and values 3 rows"),
        ({"clusters": [0.0, 1.0, 1.0]}, "clusters has dtype float64"),
        ({"clusters": [[0, 1, 1]]}, "expected one integer for each row"),
    ],
)
def test_bad_input_is_named(change, told):
    arguments = {"values": np.ones((3, 2))} | change
    with pytest.raises(ValueError, match="bootstrap_band") as caught:
        bootstrap_band(arguments.pop("values"), np.random.default_rng(0), **arguments)
    assert told in str(caught.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(ValueError, match=r"2 problem\(s\)"):
        bootstrap_band(np.ones((2, 2)), np.random.default_rng(0), level=2.0, trials=-1)
