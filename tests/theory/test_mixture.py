"""Mixtures: validation, sampling statistics, sigma = 0 and its ties, components of weight 0."""

import numpy as np
import pytest

from tests.theory import judge
from theory import PromptBatch, RegressionMixture


@pytest.mark.parametrize(
    ("components", "noise_std", "weights", "messages"),
    [
        ([1.0, 2.0], 1.0, None, [r"components has shape \(2,\)", r"\(m, d\)"]),
        (np.ones((0, 3)), 1.0, None, [r"components has shape \(0, 3\)", "m >= 1"]),
        (np.ones((2, 0)), 1.0, None, [r"components has shape \(2, 0\)", "d >= 1"]),
        ([[1.0, np.nan]], 1.0, None, [r"components\[0, 1\] is nan; expected finite"]),
        ([[1j]], 1.0, None, ["components has dtype complex128"]),
        ([[1.0]], -0.5, None, ["noise_std is -0.5; expected a finite number >= 0"]),
        ([[1.0]], np.inf, None, ["noise_std is inf"]),
        ([[1.0]], np.nan, None, ["noise_std is nan"]),
        ([[1.0], [2.0]], 1.0, [1.0], ["weights has 1 entries; expected 2, one for each"]),
        ([[1.0], [2.0]], 1.0, [1.5, -0.5], [r"weights\[1\] is -0.5; expected no negative"]),
        ([[1.0], [2.0]], 1.0, [0.5, 0.25], ["weights sum to 0.75; expected 1 up to 2e-12"]),
        ([[1.0], [2.0]], 1.0, [0.5, np.nan], [r"weights\[1\] is nan"]),
        ([[1.0], [2.0]], 1.0, [np.inf, -np.inf], [r"weights\[0\] is inf"]),
        ([[1.0], [2.0]], 1.0, np.float32([1 / 3, 2 / 3]) + np.float32(1e-6), ["by their sum"]),
    ],
)
def test_bad_mixtures_are_explained(
    components: object, noise_std: float, weights: object, messages: list[str]
) -> None:
    for message in messages:
        with pytest.raises(ValueError, match=message):
            RegressionMixture(components, noise_std, weights)  # type: ignore[arg-type]


def test_all_problems_of_a_mixture_come_at_once() -> None:
    with pytest.raises(ValueError, match="5 problem") as caught:
        RegressionMixture([[1.0], [np.inf]], -1.0, [0.5, -0.1, 0.2])
    for part in ("components[1, 0]", "noise_std", "3 entries", "weights[1]", "weights sum to 0.6"):
        assert part in str(caught.value)


def test_sizes_are_checked() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"(?s)2 problem.*num_components is 0.*dim is -1"):
        RegressionMixture.random(0, -1, 1.0, rng)
    mixture = RegressionMixture.random(2, 3, 1.0, rng)
    with pytest.raises(ValueError, match=r"(?s)2 problem.*batch_size is 0.*num_examples is -1"):
        mixture.sample_prompts(0, -1, rng)
    with pytest.raises(ValueError, match=r"dimension d = 2 .* d = 3; expected the same d"):
        mixture.posterior_mean(PromptBatch([[[1.0, 2.0]]], [[]]))


def test_a_mixture_is_immutable_and_says_its_sizes() -> None:
    components = np.ones((3, 2))
    mixture = RegressionMixture(components, 1)
    components[:] = 7.0
    assert mixture.components.max() == 1
    assert isinstance(mixture.noise_std, float)
    with pytest.raises(ValueError, match="read-only"):
        mixture.weights[0] = 1
    with pytest.raises(AttributeError):
        mixture.noise_std = 2.0  # type: ignore[misc]
    assert repr(mixture) == "RegressionMixture(num_components=3, dim=2, noise_std=1)"
    louder = mixture.with_noise_std(2.0)
    assert louder.noise_std == 2.0
    np.testing.assert_array_equal(louder.components, mixture.components)


def test_random_components_lie_on_the_sphere() -> None:
    mixture = RegressionMixture.random(500, 7, 0.1, np.random.default_rng(1))
    np.testing.assert_allclose(np.linalg.norm(mixture.components, axis=1), np.sqrt(7), rtol=1e-14)
    # The mean of 500 such rows has covariance I/500: its squared norm times 500 is chi2(7).
    assert 500 * np.sum(np.mean(mixture.components, axis=0) ** 2) < 24.3  # 0.999 quantile


def test_sampling_is_reproducible() -> None:
    mixture = RegressionMixture.random(3, 2, 0.5, np.random.default_rng(2))
    first, second = (mixture.sample_prompts(4, 5, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.xs, second.xs)
    np.testing.assert_array_equal(first.ys, second.ys)


def test_sampled_moments() -> None:
    """With n = 80,000 a noise level off by 1 % is 4 standard errors of sigma^2 away, or more."""
    weights = np.array([0.5, 0.3, 0.2, 0.0])
    components = np.array([[30.0, 0.0], [0.0, 40.0], [-50.0, 10.0], [90.0, 90.0]])
    mixture = RegressionMixture(components, 0.7, weights)
    prompts = mixture.sample_prompts(4_000, 20, np.random.default_rng(4))
    residuals = prompts.examples @ components.T - prompts.ys[:, :, None]
    chosen = np.argmin(np.sum(residuals**2, axis=1), axis=1)
    noise = residuals[np.arange(4_000), :, chosen].ravel() / 0.7
    n = noise.size
    z_scores = {
        "mean": np.mean(noise) * np.sqrt(n),
        "variance": (np.mean(noise**2) - 1) * np.sqrt(n / 2),
        "kurtosis": (np.mean(noise**4) - 3) * np.sqrt(n / 96),
        "covariates": (np.mean(prompts.xs**2) - 1) * np.sqrt(prompts.xs.size / 2),
    }
    assert all(abs(z) < 4 for z in z_scores.values()), z_scores
    assert abs(np.mean((noise * 1.01) ** 2) - 1) * np.sqrt(n / 2) > 3
    frequencies = np.bincount(chosen, minlength=4) / 4_000
    assert frequencies[3] == 0
    deviations = np.sqrt(weights * (1 - weights) / 4_000)
    assert np.all(np.abs(frequencies - weights) <= 4 * deviations)


def test_noiseless_samples_fit_one_component() -> None:
    mixture = RegressionMixture.random(3, 4, 0.0, np.random.default_rng(5))
    prompts = mixture.sample_prompts(50, 6, np.random.default_rng(6))
    np.testing.assert_array_equal(np.sort(mixture.posterior(prompts)), [[0.0, 0.0, 1.0]] * 50)


def test_no_examples_give_the_prior_mean() -> None:
    prompts = PromptBatch([[[1.0, 2.0]]], [[]])
    for noise_std in (0.0, 1e-6, 1.0, 1e6):
        mixture = RegressionMixture([[1.0, 0.0], [0.0, 1.0]], noise_std, [0.25, 0.75])
        np.testing.assert_allclose(mixture.posterior(prompts), [[0.25, 0.75]], rtol=1e-15)
        np.testing.assert_allclose(mixture.posterior_mean(prompts), [1.75], rtol=1e-15)


def test_components_symmetric_about_the_seen_covariates_tie() -> None:
    components = [[1.0, 0.3], [1.0, -0.3], [2.0, 0.0]]
    mixture = RegressionMixture(components, 0.0, [0.5, 0.25, 0.25])
    prompts = PromptBatch([[[1.1, 0.0], [-0.7, 0.0], [0.0, 1.0]]], [[1.2, -0.5]])
    np.testing.assert_allclose(mixture.posterior(prompts), [[2 / 3, 1 / 3, 0.0]], rtol=1e-15)
    np.testing.assert_allclose(mixture.posterior_mean(prompts), [0.1], rtol=1e-14)


def test_ties_that_only_rounding_breaks_are_ties() -> None:
    """Rotated by 30 degrees, symmetric components have residuals that differ in the last digits."""
    angle = np.pi / 6
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rng = np.random.default_rng(7)
    mixture = RegressionMixture(np.array([[1.0, 0.3], [1.0, -0.3], [1.0, 0.2]]) @ rotation.T, 0.0)
    lengths = rng.standard_normal((200, 9, 1))
    prompts = PromptBatch(lengths * rotation[:, 0], lengths[:, :-1, 0] + rng.normal(size=(200, 8)))
    np.testing.assert_allclose(mixture.posterior_all_prefixes(prompts), 1 / 3, rtol=1e-15)


def test_distinct_components_do_not_tie() -> None:
    mixture = RegressionMixture([[1.0], [1.0 + 1e-12]], 0.0)
    prompts = PromptBatch([[[1.0], [1.0]]], [[0.0]])
    np.testing.assert_array_equal(mixture.posterior(prompts), [[1.0, 0.0]])


def test_zero_noise_agrees_with_exact_arithmetic() -> None:
    rng = np.random.default_rng(8)
    components = rng.integers(-2, 3, size=(6, 2)).astype(float)
    weights = np.array([4, 3, 0, 5, 2, 2]) / 16
    mixture = RegressionMixture(components, 0.0, weights)
    xs = rng.integers(-2, 3, size=(60, 4, 2)).astype(float)
    prompts = PromptBatch(xs, rng.integers(-2, 3, size=(60, 3)).astype(float))
    judged = [
        float(judge.argmin_mean(x, y, components, weights))
        for x, y in zip(prompts.xs, prompts.ys, strict=True)
    ]
    predictions = mixture.posterior_mean(prompts)
    np.testing.assert_allclose(predictions, judged, rtol=1e-14, atol=1e-14)
    assert np.mean(np.sum(mixture.posterior(prompts) > 0, axis=1) > 1) > 0.1  # ties do occur


def test_zero_noise_is_the_limit_of_small_noise() -> None:
    rng = np.random.default_rng(9)
    mixture = RegressionMixture.random(4, 3, 1.0, rng)
    prompts = mixture.sample_prompts(20, 5, rng)
    np.testing.assert_allclose(
        mixture.with_noise_std(0.0).posterior_mean_all_prefixes(prompts),
        mixture.with_noise_std(1e-4).posterior_mean_all_prefixes(prompts),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("noise_std", [0.0, 1e-6, 1.0])
def test_components_of_weight_zero_have_no_posterior_weight(noise_std: float) -> None:
    mixture = RegressionMixture([[1.0], [5.0], [9.0]], noise_std, [0.5, 0.0, 0.5])
    prompts = PromptBatch([[[1.0], [1.0], [1.0]]], [[5.0, 5.5]])  # the second fits best
    p = mixture.posterior_all_prefixes(prompts)
    np.testing.assert_array_equal(p[:, :, 1], 0)
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-15)
    np.testing.assert_allclose(p[0, 0], [0.5, 0, 0.5])
    assert np.all(mixture.scores(prompts)[:, :, 1] == -np.inf)
    assert np.all(mixture.posterior_mean_error_bound(prompts) < 8)
