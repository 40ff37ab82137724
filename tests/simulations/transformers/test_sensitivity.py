"""Derivatives of predictions by examples: autograd, the formula and differences agree."""

import dataclasses

import numpy as np
import pytest
import torch

from constructions import compile_posterior_mean
from constructions.gpt2 import GPT2, GPT2Shape
from simulations.transformers.section_1_2 import Section12
from simulations.transformers.sensitivity import model_sensitivity, posterior_mean_sensitivity
from theory import PosteriorMean, PromptBatch, RegressionMixture

RNG = np.random.default_rng(5)

#: Near enough, and noisy enough, that no posterior is decided; the prior is not uniform.
MIXTURE = RegressionMixture(0.7 * RNG.standard_normal((3, 2)), 0.8, [0.2, 0.5, 0.3])
PROMPTS = MIXTURE.sample_prompts(20, 5, RNG)

#: Of central differences of size H: H^2 times third derivatives, and rounding / H.
H, TOLERANCE = 1e-5, 1e-8


def differences(predict, prompts: PromptBatch) -> tuple[np.ndarray, np.ndarray]:
    """All d f_n / d y_i and d f_n / d x_i, one entry of the prompts at a time."""
    (batch, k), d = prompts.ys.shape, prompts.dim

    def moved(xs, ys):
        return predict(PromptBatch(xs, ys))[:, 1:]

    labels, covariates = np.zeros((batch, k, k)), np.zeros((batch, k, k, d))
    for i in range(k):
        step = np.zeros((batch, k))
        step[:, i] = H
        ends = [moved(prompts.xs, prompts.ys + sign * step) for sign in (1, -1)]
        labels[:, :, i] = (ends[0] - ends[1]) / (2 * H)
        for entry in range(d):
            shift = np.zeros(prompts.xs.shape)
            shift[:, i, entry] = H
            ends = [moved(prompts.xs + sign * shift, prompts.ys) for sign in (1, -1)]
            covariates[:, :, i, entry] = (ends[0] - ends[1]) / (2 * H)
    # x_i is the query of f_{i-1}, by which nothing is differentiated.
    covariates *= np.tri(k)[:, :, None]
    return labels, covariates


def assert_close(found, labels, covariates, tolerance):
    np.testing.assert_allclose(found.labels, labels, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.covariates, covariates, rtol=0, atol=tolerance)


def test_the_formula_is_the_derivative_of_the_posterior_mean():
    labels, covariates = differences(PosteriorMean(MIXTURE).predict_all_prefixes, PROMPTS)
    assert_close(posterior_mean_sensitivity(MIXTURE, PROMPTS), labels, covariates, TOLERANCE)
    assert np.abs(labels).max() > 0.1


@pytest.mark.parametrize(
    "wrong",
    [
        MIXTURE.with_noise_std(0.81),
        RegressionMixture(MIXTURE.components, 0.8),
        RegressionMixture(1.01 * MIXTURE.components, 0.8, MIXTURE.weights),
    ],
)
def test_the_formula_of_another_mixture_would_be_seen(wrong):
    labels, _ = differences(PosteriorMean(MIXTURE).predict_all_prefixes, PROMPTS)
    found = posterior_mean_sensitivity(wrong, PROMPTS).labels
    assert np.abs(found - labels).max() > 1e4 * TOLERANCE


@pytest.mark.parametrize("layers", [2, 3])
def test_built_networks_have_the_derivatives_of_the_posterior_mean(layers):
    built = Section12.of(compile_posterior_mean(MIXTURE, 5, layers=layers))
    exact = posterior_mean_sensitivity(MIXTURE, PROMPTS)
    assert_close(model_sensitivity(built, PROMPTS), exact.labels, exact.covariates, 1e-11)


def test_autograd_agrees_with_differences_of_any_model():
    model = GPT2(GPT2Shape(2, 2, 8, 16), 2, 11)
    model.initialise(0.4, torch.Generator().manual_seed(1))
    model = model.double().eval()

    def predict(prompts):
        tokens = np.zeros((len(prompts), 2 * prompts.num_examples + 1, 2))
        tokens[:, 0::2], tokens[:, 1::2, 0] = prompts.xs, prompts.ys
        with torch.no_grad():
            return model(torch.from_numpy(tokens))[:, 0::2, 0].numpy()

    labels, covariates = differences(predict, PROMPTS)
    assert np.abs(labels).max() > 1e-3
    assert_close(model_sensitivity(model, PROMPTS), labels, covariates, TOLERANCE)


def test_later_examples_do_not_move_a_prediction():
    for found in (
        posterior_mean_sensitivity(MIXTURE, PROMPTS),
        model_sensitivity(Section12.of(compile_posterior_mean(MIXTURE, 5)), PROMPTS),
    ):
        later = np.triu(np.ones((5, 5), dtype=bool), 1)
        assert not found.labels[:, later].any()
        assert not found.covariates[:, later].any()
        assert found.labels[:, ~later].all()


def test_many_prompts_are_differentiated_as_few_are():
    model = Section12.of(compile_posterior_mean(MIXTURE, 2))
    prompts = MIXTURE.sample_prompts(300, 2, np.random.default_rng(2))
    found, last = model_sensitivity(model, prompts), model_sensitivity(model, prompts[290:])
    for field in dataclasses.fields(found):
        together, alone = getattr(found, field.name), getattr(last, field.name)
        np.testing.assert_allclose(together[290:], alone, rtol=0, atol=1e-11)


def test_exchangeable_examples_move_predictions_alike():
    prompts = MIXTURE.sample_prompts(4000, 3, np.random.default_rng(3))
    sizes = np.abs(posterior_mean_sensitivity(MIXTURE, prompts).labels[:, -1])
    apart = sizes[:, :1] - sizes[:, 1:]
    z = apart.mean(axis=0) / (apart.std(axis=0) / len(prompts) ** 0.5)
    assert np.abs(z).max() < 4


def test_what_has_no_derivative_is_refused():
    none = MIXTURE.sample_prompts(3, 0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="noise_std is 0 and num_examples 5; expected noise"):
        posterior_mean_sensitivity(MIXTURE.with_noise_std(0), PROMPTS)
    with pytest.raises(ValueError, match=r"num_examples 0; expected noise, .* and one example or"):
        posterior_mean_sensitivity(MIXTURE, none)
    with pytest.raises(ValueError, match="the prompts have no examples; expected one or more"):
        model_sensitivity(Section12.of(compile_posterior_mean(MIXTURE, 2)), none)
