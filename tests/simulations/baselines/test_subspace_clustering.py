import numpy as np
import pytest
from numpy.testing import assert_allclose

from simulations.baselines import SubspaceClustering
from simulations.baselines.subspace_clustering import _all_used, _cross_distances, _subspace
from theory import PromptBatch, RegressionMixture


@pytest.fixture(scope="module")
def mixture():
    return RegressionMixture.random(4, 8, 0.5, np.random.default_rng(0))


@pytest.fixture(scope="module")
def prompts(mixture):
    return mixture.sample_prompts(1200, 40, np.random.default_rng(1))


@pytest.fixture(scope="module")
def fitted(prompts):
    return SubspaceClustering(4, 0.5).fit(prompts)


def distances(found, mixture):
    return np.min(np.linalg.norm(found[None] - mixture.components[:, None], axis=2), axis=1)


def test_it_finds_the_components(fitted, mixture):
    assert np.max(distances(fitted.cluster_components_, mixture)) < 0.5
    # 300 prompts of 40 examples: a standard error of 0.5 sqrt(8 / 12000) in norm.
    assert np.max(distances(fitted.components_, mixture)) < 3 * 0.5 * np.sqrt(8 / 12000)
    assert_allclose(fitted.weights_, 0.25, atol=0.06)


def test_predictions_are_the_posterior_mean(fitted, mixture):
    new = mixture.sample_prompts(40, 40, np.random.default_rng(2))
    plug_in = RegressionMixture(fitted.components_, 0.5, fitted.weights_)
    assert_allclose(fitted.predict(new), plug_in.posterior_mean(new))
    assert fitted.predict_all_prefixes(new).shape == (40, 41)


def test_the_subspace_is_that_of_the_components(mixture, prompts):
    basis = _subspace(prompts.ys[:, :, None] * prompts.examples, 4)
    outside = mixture.components - mixture.components @ basis @ basis.T
    assert np.max(np.linalg.norm(outside, axis=1)) < 0.3 * np.sqrt(8)


def test_distances_are_products_of_differences():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3))
    expected = [[(a[i] - a[j]) @ (b[i] - b[j]) for j in range(5)] for i in range(5)]
    assert_allclose(_cross_distances(a, b), expected, atol=1e-13)


def test_every_label_is_used():
    assert sorted(set(_all_used(np.zeros(5, dtype=np.int64), 3).tolist())) == [0, 1, 2]


def test_equal_prompts_are_no_error():
    prompts = PromptBatch(np.ones((4, 5, 1)), np.full((4, 4), 2.0))
    fitted = SubspaceClustering(2, 1.0).fit(prompts)
    assert_allclose(fitted.predict(prompts), 2.0)
    assert_allclose(SubspaceClustering(1, 1.0).fit(prompts[:1]).components_, [[2.0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_components": 0}, "n_components is 0"),
        ({"noise_std": -1.0}, "noise_std is -1.0"),
        ({"n_clustered": 3}, "n_clustered is 3; expected an integer >= 4"),
        ({"n_components": 2000, "n_clustered": 3000}, "1200 prompts for 2000 components"),
    ],
)
def test_bad_parameters(prompts, arguments, message):
    with pytest.raises(ValueError, match=message):
        SubspaceClustering(**{"n_components": 4, "noise_std": 0.5, **arguments}).fit(prompts)


def test_short_prompts_are_refused(mixture):
    short = mixture.sample_prompts(9, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="split in halves"):
        SubspaceClustering(4, 0.5).fit(short)


def test_it_must_be_fitted_first(prompts):
    with pytest.raises(AttributeError, match="call fit"):
        SubspaceClustering(2, 1.0).predict(prompts)
