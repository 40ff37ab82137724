"""Extreme noise levels and lengths: finite, normalised, within the stated bound of the judge."""

import numpy as np
import pytest

from tests.cases import Case
from tests.theory.comparison import absolute_errors, largest_values
from theory import PromptBatch, RegressionMixture

NORMALISED = 4 * np.finfo(np.float64).eps
EXTREMES = tuple(
    Case(dim, m, k, sigma, seed=5)
    for sigma in (1e-6, 1e-3, 1e3, 1e6)
    for dim, m, k in ((1, 1, 3), (2, 3, 0), (2, 3, 1), (20, 5, 60))
)


@pytest.mark.parametrize("case", EXTREMES, ids=str)
@pytest.mark.parametrize("truth", ["its own", "another"])
def test_extreme_noise_levels(case: Case, truth: str) -> None:
    rng = np.random.default_rng(case.seed)
    mixture = RegressionMixture.random(case.num_components, case.dim, case.noise_std, rng)
    source = mixture if truth == "its own" else RegressionMixture.random(2, case.dim, 1.0, rng)
    prompts = source.sample_prompts(2, case.num_examples, rng)
    p = mixture.posterior_all_prefixes(prompts)
    np.testing.assert_allclose(p.sum(axis=-1), 1.0, rtol=NORMALISED)
    errors = absolute_errors(mixture.posterior_mean(prompts), mixture, prompts)
    bound = mixture.posterior_mean_error_bound(prompts)
    assert np.all(errors <= bound)
    assert np.all(bound <= 2 * largest_values(mixture, prompts.queries) + 1e-12)


@pytest.mark.parametrize("noise_std", [1e-6, 0.5, 1e6])
def test_ten_thousand_examples(noise_std: float) -> None:
    rng = np.random.default_rng(6)
    mixture = RegressionMixture.random(3, 2, noise_std, rng)
    prompts = mixture.sample_prompts(1, 10_000, rng)
    p = mixture.posterior_all_prefixes(prompts)
    np.testing.assert_allclose(p.sum(axis=-1), 1.0, rtol=NORMALISED)
    errors = absolute_errors(mixture.posterior_mean(prompts), mixture, prompts)
    assert np.all(errors <= mixture.posterior_mean_error_bound(prompts))
    assert np.all(errors <= 1e-12 * largest_values(mixture, prompts.queries))


def test_close_components_on_ten_thousand_examples() -> None:
    """Scores of about 5,000 differ by about 1: what is common to them must not cost digits."""
    rng = np.random.default_rng(7)
    centre = rng.standard_normal(3)
    mixture = RegressionMixture(centre + 0.01 * rng.standard_normal((4, 3)), 1.0)
    prompts = mixture.sample_prompts(1, 10_000, rng)
    assert 0.01 < np.max(mixture.posterior(prompts)) < 0.99
    errors = absolute_errors(mixture.posterior_mean(prompts), mixture, prompts)
    assert np.all(errors <= mixture.posterior_mean_error_bound(prompts))
    assert np.all(errors <= 1e-13)


def test_near_ties_at_small_noise_keep_within_the_bound() -> None:
    """Scores of about 1e12 nearly cancel: no digit may be left, and the bound must say so."""
    rng = np.random.default_rng(8)
    mixture = RegressionMixture([[1.1, 0.3], [1.1, -0.3]], 1e-6)
    directions = np.stack([np.ones((30, 4)), 1e-13 * rng.standard_normal((30, 4))], axis=-1)
    prompts = PromptBatch(directions * rng.standard_normal((30, 4, 1)), rng.normal(size=(30, 3)))
    queries = PromptBatch(
        np.concatenate([prompts.examples, rng.standard_normal((30, 1, 2))], axis=1), prompts.ys
    )
    errors = absolute_errors(mixture.posterior_mean(queries), mixture, queries)
    bound = mixture.posterior_mean_error_bound(queries)
    assert np.all(errors <= bound)
    assert np.max(errors) > 1e-8


@pytest.mark.parametrize("noise_std", [0.0, 1e-6, 1.0, 1e6])
def test_all_components_equal(noise_std: float) -> None:
    rng = np.random.default_rng(9)
    mixture = RegressionMixture(np.tile([[1.0, -2.0]], (5, 1)), noise_std)
    prompts = mixture.sample_prompts(4, 7, rng)
    np.testing.assert_allclose(mixture.posterior(prompts), 0.2, rtol=1e-15)
    np.testing.assert_allclose(
        mixture.posterior_mean(prompts), prompts.queries @ [1.0, -2.0], rtol=0, atol=1e-14
    )


def test_residuals_beyond_float64_are_refused() -> None:
    mixture = RegressionMixture([[1.0], [2.0]], 1e-6)
    prompts = PromptBatch([[[1.0], [1.0], [1.0]]], [[1.0, 1e150]])
    with pytest.raises(OverflowError, match=r"prompt 0, example 1: residuals up to 1e\+150"):
        mixture.posterior(prompts)
    with pytest.raises(OverflowError, match="rescale the prompts"):
        RegressionMixture([[1e200]], 1.0).posterior_mean(PromptBatch([[[1e200]]], [[]]))


def test_tiny_and_huge_units_at_zero_noise() -> None:
    """At sigma = 0 only ratios matter: squares of residuals neither overflow nor underflow."""
    xs = np.array([[[1.0], [1.0]]])
    for unit in (1e-200, 1.0, 1e200):
        mixture = RegressionMixture([[1.0 * unit], [2.0 * unit]], 0.0)
        prompts = PromptBatch(xs, [[1.75 * unit]])
        np.testing.assert_array_equal(mixture.posterior(prompts), [[0.0, 1.0]])
