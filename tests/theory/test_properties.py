"""Properties of the posterior mean that hold for every mixture and every prompt."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import PromptBatch, RegressionMixture

#: The same scenes in every run, however slow the machine.
REPEATABLE = settings(deadline=None, derandomize=True)

Scene = tuple[RegressionMixture, PromptBatch, np.random.Generator]


@dataclass(frozen=True)
class Recipe:
    """What a scene is made from; made outside of strategies, where beartype may draw at random."""

    seed: int
    dim: int
    num_components: int
    num_examples: int
    noise_std: float

    def scene(self) -> Scene:
        """A mixture with unequal weights, prompts of one of its neighbours, and a generator."""
        rng = np.random.default_rng(self.seed)
        weights = rng.dirichlet(np.ones(self.num_components))
        components = rng.standard_normal((self.num_components, self.dim))
        mixture = RegressionMixture(components, self.noise_std, weights / weights.sum())
        return mixture, mixture.with_noise_std(1.0).sample_prompts(3, self.num_examples, rng), rng


def recipes(*noise_stds: float) -> st.SearchStrategy[Recipe]:
    """Small scenes of all sizes, with these noise levels."""
    sizes = (st.integers(1, 4), st.integers(1, 5), st.integers(0, 12))
    return st.builds(Recipe, st.integers(0, 2**32 - 1), *sizes, st.sampled_from(noise_stds))


def tolerance(mixture: RegressionMixture, prompts: PromptBatch) -> np.ndarray:
    """What two evaluations may differ by, each within its own bound."""
    return 2.5 * mixture.posterior_mean_error_bound(prompts)


@REPEATABLE
@given(recipes(0.3, 1.0, 10.0))
def test_permuting_components_changes_nothing(recipe: Recipe) -> None:
    mixture, prompts, rng = recipe.scene()
    order = rng.permutation(mixture.num_components)
    permuted = RegressionMixture(
        mixture.components[order], mixture.noise_std, mixture.weights[order]
    )
    difference = permuted.posterior_mean(prompts) - mixture.posterior_mean(prompts)
    assert np.all(np.abs(difference) <= tolerance(mixture, prompts))
    np.testing.assert_allclose(
        permuted.posterior(prompts), mixture.posterior(prompts)[:, order], rtol=0, atol=1e-11
    )


@REPEATABLE
@given(recipes(0.3, 1.0, 10.0))
def test_permuting_examples_changes_nothing(recipe: Recipe) -> None:
    mixture, prompts, rng = recipe.scene()
    order = rng.permutation(prompts.num_examples)
    xs = np.concatenate([prompts.examples[:, order], prompts.xs[:, -1:]], axis=1)
    permuted = PromptBatch(xs, prompts.ys[:, order])
    difference = mixture.posterior_mean(permuted) - mixture.posterior_mean(prompts)
    assert np.all(np.abs(difference) <= tolerance(mixture, prompts))


@REPEATABLE
@given(recipes(0.0, 1e-6, 0.3, 1.0, 1e6))
def test_posteriors_are_normalised(recipe: Recipe) -> None:
    mixture, prompts, _ = recipe.scene()
    p = mixture.posterior_all_prefixes(prompts)
    assert np.all(p >= 0)
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-15)
    np.testing.assert_allclose(p[:, 0], np.tile(mixture.weights, (3, 1)), rtol=1e-14)


@REPEATABLE
@given(recipes(0.0, 0.3, 1.0), st.integers(0, 5))
def test_zero_examples_change_nothing(recipe: Recipe, more: int) -> None:
    mixture, prompts, _ = recipe.scene()
    padded = prompts.pad(prompts.num_examples + more)
    difference = mixture.posterior_mean(padded) - mixture.posterior_mean(prompts)
    assert np.all(np.abs(difference) <= tolerance(mixture, prompts))


@REPEATABLE
@given(recipes(0.0, 0.3, 1.0), st.integers(-60, 60))
def test_labels_components_and_noise_scale_together(recipe: Recipe, exponent: int) -> None:
    mixture, prompts, _ = recipe.scene()
    unit = 2.0**exponent  # exact, and so is all that follows from it
    scaled = RegressionMixture(unit * mixture.components, unit * mixture.noise_std, mixture.weights)
    predictions = scaled.posterior_mean(PromptBatch(prompts.xs, unit * prompts.ys))
    np.testing.assert_array_equal(predictions, unit * mixture.posterior_mean(prompts))


@REPEATABLE
@given(recipes(0.0, 0.3, 1.0), st.floats(0.1, 0.9))
def test_duplicates_of_a_component_share_its_weight(recipe: Recipe, share: float) -> None:
    mixture, prompts, _ = recipe.scene()
    first = mixture.weights[0]
    weights = np.append(mixture.weights, (1 - share) * first)
    weights[0] = share * first
    split = RegressionMixture(
        np.vstack([mixture.components, mixture.components[:1]]), mixture.noise_std, weights
    )
    p, merged = split.posterior_all_prefixes(prompts), mixture.posterior_all_prefixes(prompts)
    np.testing.assert_allclose(p[..., 0] + p[..., -1], merged[..., 0], rtol=1e-11, atol=1e-300)
    difference = split.posterior_mean(prompts) - mixture.posterior_mean(prompts)
    assert np.all(np.abs(difference) <= tolerance(split, prompts))


@REPEATABLE
@given(recipes(0.0, 1e-6, 0.3, 1e6))
def test_posterior_means_lie_between_the_components(recipe: Recipe) -> None:
    mixture, prompts, _ = recipe.scene()
    values = prompts.xs @ mixture.components.T
    predictions = mixture.posterior_mean_all_prefixes(prompts)
    rounding = 1e-14 * np.max(np.abs(values), axis=-1)
    assert np.all(predictions >= np.min(values, axis=-1) - rounding)
    assert np.all(predictions <= np.max(values, axis=-1) + rounding)
