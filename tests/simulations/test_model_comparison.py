"""Candidates, and which of them is the closest: against scipy's paired test."""

import numpy as np
import pytest
from scipy import stats

from simulations.model_comparison import (
    compare_model,
    estimated_candidates,
    known_candidates,
    sample_mixture,
)
from theory import LeastSquares, PosteriorMean, RegressionMixture, Ridge, Zero

MIXTURE = RegressionMixture([[2.0, 0.0], [-1.0, 1.5], [0.5, -2.0]], 0.5, [0.5, 0.3, 0.2])


def test_prompts_have_the_law_of_the_mixture():
    prompts, exact = sample_mixture(MIXTURE, 20_000, 3, np.random.default_rng(0))
    assert (prompts.xs.shape, prompts.ys.shape, exact.shape) == (
        (20_000, 4, 2),
        (20_000, 3),
        (20_000, 4),
    )
    # The regressor of each prompt, solved for, is one of the components.
    found = np.linalg.solve(prompts.xs[:, :2], exact[:, :2, None])[..., 0]
    which = np.argmin(np.linalg.norm(found[:, None] - MIXTURE.components, axis=2), axis=1)
    np.testing.assert_allclose(
        np.einsum("bnd,bd->bn", prompts.xs, MIXTURE.components[which]), exact, atol=1e-9
    )
    shares = np.bincount(which) / 20_000
    assert np.abs(shares - MIXTURE.weights).max() < 4 * np.sqrt(0.25 / 20_000)
    noise = prompts.ys - exact[:, :-1]
    assert abs(noise.std() - 0.5) < 4 * 0.5 / np.sqrt(2 * noise.size)
    assert abs(np.mean(noise * exact[:, :-1])) < 4 * 0.5 * exact.std() / np.sqrt(noise.size)


def test_the_candidates_that_are_known():
    prompts, _ = sample_mixture(MIXTURE, 30, 3, np.random.default_rng(0))
    found = known_candidates(MIXTURE, 0.5)
    assert [*found] == [
        "posterior mean", "argmin", "prior mean", "ridge", "least squares", "zero",
    ]  # fmt: skip
    mean = np.array([0.5, 0.3, 0.2]) @ MIXTURE.components
    answers = found["prior mean"].predict_all_prefixes(prompts)
    np.testing.assert_allclose(answers, prompts.xs @ mean, atol=1e-12)
    assert found["ridge"] == Ridge(0.25)
    # Without noise argmin is the posterior mean, and ridge is least squares.
    quiet = known_candidates(MIXTURE.with_noise_std(0.0), 0.0)
    assert [*quiet] == ["posterior mean", "prior mean", "least squares", "zero"]
    one = RegressionMixture([[1.0, 2.0]], 1.0)
    assert [*known_candidates(one, 1.0)] == ["posterior mean", "ridge", "least squares", "zero"]
    assert [*known_candidates(None, 2.0)] == ["ridge", "least squares", "zero"]
    assert [*known_candidates(None, None)] == ["least squares", "zero"]


def test_estimated_candidates_are_near_those_that_know():
    found = estimated_candidates(MIXTURE, 2000, 8, np.random.default_rng(1))
    assert [*found] == ["posterior mean, EM", "argmin, EM", "posterior mean, SA", "argmin, SA"]
    for name, predictor in found.items():
        components = predictor.mixture.components
        gaps = np.linalg.norm(components[:, None] - MIXTURE.components, axis=2).min(axis=0)
        assert gaps.max() < 0.1, name
    with pytest.raises(ValueError, match=r"from 2 prompts .* expected at least 3 prompts"):
        estimated_candidates(MIXTURE, 2, 8, np.random.default_rng(1))
    with pytest.raises(ValueError, match="noise above 0"):
        estimated_candidates(MIXTURE.with_noise_std(0.0), 99, 8, np.random.default_rng(1))


def test_the_closest_and_its_margin():
    rng = np.random.default_rng(3)
    prompts, exact = sample_mixture(MIXTURE, 150, 4, rng)
    model, candidates = Ridge(2.0), known_candidates(MIXTURE, 0.5)
    found = compare_model(model, candidates, prompts, exact, rng)
    own = model.predict_all_prefixes(prompts)
    away = {n: (own - c.predict_all_prefixes(prompts)) ** 2 for n, c in candidates.items()}
    assert found.closest[0] == ("ridge", "least squares", "zero")  # all are 0 without examples
    for n in range(1, 5):
        order = sorted(away, key=lambda name: away[name][:, n].mean())
        assert (found.closest[n], found.next_closest[n]) == ((order[0],), order[1])
        t = stats.ttest_rel(away[order[1]][:, n], away[order[0]][:, n]).statistic
        assert abs(found.margins[n] - t) < 1e-9 * abs(t)
        assert (
            abs(found.comparison.distances[order[0]].mean[n] - away[order[0]][:, n].mean()) < 1e-12
        )
    assert (found.dim, found.comparison.candidates[0]) == (2, "posterior mean")


def test_candidates_that_differ_by_rounding_are_one():
    rng = np.random.default_rng(3)
    prompts, exact = sample_mixture(MIXTURE, 50, 2, rng)
    weights = MIXTURE.weights.copy()
    twin = PosteriorMean(RegressionMixture(MIXTURE.components * (1 + 1e-14), 0.5, weights))
    candidates = {"one": PosteriorMean(MIXTURE), "zero": Zero(), "twin": twin}
    found = compare_model(twin, candidates, prompts, exact, rng)
    assert found.closest == (("one", "twin"),) * 3
    assert found.next_closest == ("zero",) * 3
    alone = compare_model(twin, {"one": twin}, prompts, None, rng)
    assert (alone.next_closest, alone.comparison.errors) == ((None,) * 3, {})
    assert np.all(np.isnan(alone.margins))
    # Where the difference is the same in each prompt it has no spread.
    same = compare_model(Zero(), {"a": Zero(), "b": LeastSquares()}, prompts, None, rng)
    assert same.closest[0] == ("a", "b")
