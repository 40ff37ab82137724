import numpy as np
import pytest
from numpy.testing import assert_allclose

from simulations.baselines import SubspaceAlgorithm
from simulations.baselines.subspace import _chosen, _subspace, _thirds
from theory import PromptBatch, RegressionMixture
from theory.em import PromptStatistics


@pytest.fixture(scope="module")
def mixture():
    return RegressionMixture.random(3, 8, 0.5, np.random.default_rng(0))


@pytest.fixture(scope="module")
def prompts(mixture):
    return mixture.sample_prompts(1500, 30, np.random.default_rng(1))


@pytest.fixture(scope="module")
def fitted(prompts):
    return SubspaceAlgorithm(3, 0.5).fit(prompts)


def distances(found, mixture):
    return np.min(np.linalg.norm(found[None] - mixture.components[:, None], axis=2), axis=1)


def test_it_finds_the_components(fitted, mixture):
    assert len(fitted.anchor_components_) == 18  # 3 ln 300
    assert np.max(distances(fitted.unrefined_components_, mixture)) < 0.2
    # 500 prompts of 30 examples: a standard error of 0.5 sqrt(8 / 15000) in norm.
    assert np.max(distances(fitted.components_, mixture)) < 3 * 0.5 * np.sqrt(8 / 15000)
    assert_allclose(fitted.weights_, 1 / 3, atol=0.05)


def test_predictions_are_the_posterior_mean(fitted, mixture):
    new = mixture.sample_prompts(40, 30, np.random.default_rng(2))
    plug_in = RegressionMixture(fitted.components_, 0.5, fitted.weights_)
    assert_allclose(fitted.predict(new), plug_in.posterior_mean(new))
    assert fitted.predict_all_prefixes(new).shape == (40, 31)


def test_the_subspace_is_that_of_the_gradients(prompts, mixture):
    """At w = 0 the mean gradients are -w_j: the space is the span of the components."""
    basis = _subspace(_thirds(prompts.examples, -prompts.ys), 3)
    outside = mixture.components - mixture.components @ basis @ basis.T
    assert np.max(np.linalg.norm(outside, axis=1)) < 0.15 * np.sqrt(8)


def test_thirds_are_mean_gradients(prompts):
    parts = _thirds(prompts.examples, prompts.ys)
    for part, where in zip(parts, (slice(0, 10), slice(10, 20), slice(20, 30)), strict=True):
        expected = np.einsum("nk,nkd->nd", prompts.ys[:, where], prompts.examples[:, where]) / 10
        assert_allclose(part, expected, atol=1e-13)


def test_anchors_that_went_astray_are_not_chosen(prompts, mixture):
    astray = np.array([[50.0] * 8, [-3.0] * 8])
    points = np.vstack([astray, mixture.components, astray])
    chosen = _chosen(PromptStatistics(prompts), points, 3)
    assert sorted(chosen) == [2, 3, 4]


def test_covariates_may_be_scaled():
    """A step of 1 would diverge: the covariance is 25 I."""
    mixture = RegressionMixture.random(2, 3, 0.5, np.random.default_rng(3))
    drawn = mixture.sample_prompts(400, 30, np.random.default_rng(4))
    # The labels are those of w / 5 at the covariates 5 x.
    fitted = SubspaceAlgorithm(2, 0.5).fit(PromptBatch(5 * drawn.xs, drawn.ys))
    assert np.max(distances(5 * fitted.components_, mixture)) < 0.1


def test_short_prompts_bias_what_is_not_refined_and_more_of_them_do_not_help():
    """Thirds of three examples each let prompts of other components in, whatever their number."""
    mixture = RegressionMixture.random(5, 5, 1.0, np.random.default_rng(0))

    def worst(number: int, examples: int) -> tuple[float, float]:
        prompts = mixture.sample_prompts(number, examples, np.random.default_rng(1))
        found = SubspaceAlgorithm(5, 1.0).fit(prompts)
        return tuple(
            np.max(distances(components, mixture))
            for components in (found.unrefined_components_, found.components_)
        )

    few, many, long = worst(1000, 9), worst(4000, 9), worst(1000, 60)
    assert min(few[0], many[0]) > 10 * long[0]
    assert max(few[1], many[1], long[1]) < 0.15


def test_progress_and_seeds(prompts):
    seen = []
    first = SubspaceAlgorithm(3, 0.5, n_anchors=4, n_rounds=2, on_anchor=seen.append).fit(prompts)
    second = SubspaceAlgorithm(3, 0.5, n_anchors=4, n_rounds=2).fit(prompts)
    assert seen == [1, 2, 3, 4]
    assert np.array_equal(first.components_, second.components_)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_components": 0}, "n_components is 0"),
        ({"noise_std": -1.0}, "noise_std is -1.0"),
        ({"n_anchors": 2}, "n_anchors is 2; expected an integer >= 3"),
        ({"step": 0.0}, "step is 0.0"),
        ({"threshold": 0.0}, "threshold is 0.0"),
        ({"n_components": 2000}, "1500 prompts for 2000 components"),
    ],
)
def test_bad_parameters(prompts, arguments, message):
    with pytest.raises(ValueError, match=message):
        SubspaceAlgorithm(**{"n_components": 3, "noise_std": 0.5, **arguments}).fit(prompts)


def test_short_prompts_are_refused(mixture):
    short = mixture.sample_prompts(9, 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="split in thirds"):
        SubspaceAlgorithm(3, 0.5).fit(short)


def test_it_must_be_fitted_first(prompts):
    with pytest.raises(AttributeError, match="call fit"):
        SubspaceAlgorithm(2, 1.0).predict(prompts)
