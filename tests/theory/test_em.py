"""The steps of EM against sums written out, a general optimiser, and their own promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.stats import norm

from theory import PromptBatch, RegressionMixture
from theory.em import PromptStatistics, expectation_step, maximisation_step

SIZES = st.tuples(
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 7), st.integers(1, 9), st.integers(0, 999)
)


def problem(d, m, k, n, seed):
    rng = np.random.default_rng(seed)
    mixture = RegressionMixture(rng.normal(size=(m, d)), 0.7, rng.dirichlet(np.ones(m)))
    return mixture, mixture.sample_prompts(n, k, rng)


def squares(prompts, components):
    return np.array(
        [
            [np.sum((y - x @ w) ** 2) for w in components]
            for x, y in zip(prompts.examples, prompts.ys, strict=True)
        ]
    )


@given(SIZES)
def test_residual_sums_are_the_sums(size):
    mixture, prompts = problem(*size)
    found = PromptStatistics(prompts).residual_sums(mixture.components)
    assert_allclose(found, squares(prompts, mixture.components), rtol=1e-11, atol=1e-12)


def test_small_residuals_of_large_labels_do_not_cancel():
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(5, 31, 3))
    w = np.array([1e3, -2e3, 5e2])
    noise = 1e-6 * rng.normal(size=(5, 30))
    prompts = PromptBatch(xs, xs[:, :-1] @ w + noise)
    # The labels round at 1e-13, which is 1e-7 of the noise.
    found = PromptStatistics(prompts).residual_sums(w[None])[:, 0]
    assert_allclose(found, np.sum(noise**2, axis=1), rtol=1e-5)


@given(SIZES)
def test_the_e_step_is_bayes_rule(size):
    mixture, prompts = problem(*size)
    found = expectation_step(PromptStatistics(prompts), mixture)
    densities = np.array(
        [
            [
                pi * np.prod(norm.pdf(y, x @ w, mixture.noise_std))
                for w, pi in zip(mixture.components, mixture.weights, strict=True)
            ]
            for x, y in zip(prompts.examples, prompts.ys, strict=True)
        ]
    )
    total = densities.sum(axis=1, keepdims=True)
    assert_allclose(found.responsibilities, densities / total, rtol=1e-9, atol=1e-300)
    assert_allclose(found.log_likelihood, np.sum(np.log(total)), rtol=1e-11, atol=1e-10)
    assert_allclose(found.responsibilities, mixture.posterior(prompts), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_m_step_maximises_the_expected_likelihood(seed):
    mixture, prompts = problem(3, 2, 4, 6, seed)
    statistics = PromptStatistics(prompts)
    gamma = expectation_step(statistics, mixture).responsibilities
    found = maximisation_step(statistics, gamma, mixture.noise_std)

    def loss(flat):
        return np.sum(gamma * squares(prompts, flat.reshape(2, 3)))

    best = minimize(loss, np.zeros(6), tol=1e-12).x.reshape(2, 3)
    assert_allclose(found.components, best, atol=1e-5)
    assert loss(found.components.ravel()) <= loss(best.ravel()) + 1e-12
    assert_allclose(found.weights, gamma.mean(axis=0), rtol=1e-14)


@given(SIZES)
def test_the_likelihood_never_falls(size):
    mixture, prompts = problem(*size)
    statistics = PromptStatistics(prompts)
    rng = np.random.default_rng(size[-1] + 1)
    mixture = RegressionMixture.random(mixture.num_components, mixture.dim, 0.7, rng)
    values = []
    for _ in range(6):
        expectation = expectation_step(statistics, mixture)
        values.append(expectation.log_likelihood)
        mixture = maximisation_step(statistics, expectation.responsibilities, 0.7)
    values = np.array(values)
    assert np.all(np.diff(values) >= -1e-11 * np.abs(values[1:]) - 1e-11)


def test_a_component_that_nobody_answers_for():
    _, prompts = problem(2, 2, 5, 4, 0)
    gamma = np.array([[1.0, 0.0]] * 4)
    found = maximisation_step(PromptStatistics(prompts), gamma, 1.0)
    assert found.weights.tolist() == [1.0, 0.0]
    assert found.components[1].tolist() == [0.0, 0.0]
    again = expectation_step(PromptStatistics(prompts), found)
    assert np.isfinite(again.log_likelihood)
    assert_allclose(again.responsibilities, gamma)


def test_a_direction_that_only_an_unlikely_prompt_shows_is_fitted_to_it():
    prompts = PromptBatch([[[1.0, 0.0], [0, 0]], [[0.0, 1.0], [0, 0]]], [[2.0], [5.0]])
    found = PromptStatistics(prompts).least_squares(np.array([[1.0, 1.0], [1e-17, 1e-30]]))
    assert_allclose(found[0], [2, 5], rtol=1e-7)
    assert_allclose(found[1], [2, 5], rtol=1)  # beyond the accuracy of a square root of 1e-30


def test_far_components_do_not_underflow():
    mixture = RegressionMixture([[0.0, 0.0], [1e4, 0.0]], 1e-3)
    prompts = mixture.sample_prompts(6, 5, np.random.default_rng(0))
    found = expectation_step(PromptStatistics(prompts), mixture)
    assert np.isfinite(found.log_likelihood)
    assert_allclose(found.responsibilities.sum(axis=1), 1.0)


def test_refusals():
    mixture, prompts = problem(2, 2, 3, 4, 0)
    with pytest.raises(ValueError, match="no labelled examples"):
        PromptStatistics(PromptBatch(np.ones((2, 1, 3)), np.ones((2, 0))))
    with pytest.raises(ValueError, match="noise_std is 0"):
        expectation_step(PromptStatistics(prompts), mixture.with_noise_std(0.0))
    with pytest.raises(ValueError, match="dimension d = 2 and the components 1"):
        expectation_step(PromptStatistics(prompts), RegressionMixture([[1.0]], 1.0))
