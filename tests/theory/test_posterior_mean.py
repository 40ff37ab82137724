"""The posterior mean against the judge: agreement to 1e-12, every prefix, and mutants."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.cases import GRID, STAGE_CASES, Case
from tests.theory import judge
from tests.theory.comparison import absolute_errors, judged_means, relative_errors
from theory import PromptBatch, RegressionMixture

Draw = Callable[[Case, int], tuple[RegressionMixture, PromptBatch]]

AGREEMENT = 1e-12
SWEEP = tuple(
    Case(dim, m, k, sigma, seed=1)
    for sigma in (0.1, 0.3, 1.0, 10.0)
    for dim, m, k in ((1, 2, 100), (3, 4, 0), (3, 5, 1), (5, 3, 30), (8, 6, 100))
)
#: The same sizes, with the sigma that tell sigma from sigma^2.
TEETH = tuple(case for case in SWEEP if case.num_examples >= 1 and case.noise_std != 1.0)


def drawn(case: Case, batch_size: int) -> tuple[RegressionMixture, PromptBatch]:
    rng = np.random.default_rng(case.seed)
    mixture = RegressionMixture.random(case.num_components, case.dim, case.noise_std, rng)
    return mixture, mixture.sample_prompts(batch_size, case.num_examples, rng)


def undecided(case: Case, batch_size: int) -> tuple[RegressionMixture, PromptBatch]:
    """Draw components so close that the examples leave several of them about as likely.

    Far components decide the posterior to the last digit, and no error in eq. (4) would show.
    """
    rng = np.random.default_rng(case.seed)
    spread = case.noise_std / np.sqrt(max(case.num_examples, 1))
    shape = (case.num_components, case.dim)
    components = rng.standard_normal(case.dim) + spread * rng.standard_normal(shape)
    mixture = RegressionMixture(components, case.noise_std)
    return mixture, mixture.sample_prompts(batch_size, case.num_examples, rng)


@pytest.mark.parametrize("draw", [drawn, undecided])
@pytest.mark.parametrize("case", STAGE_CASES + SWEEP, ids=str)
def test_posterior_mean_agrees_with_the_judge(case: Case, draw: Draw) -> None:
    mixture, prompts = draw(case, 4)
    predictions = mixture.posterior_mean(prompts)
    assert np.all(relative_errors(predictions, mixture, prompts) <= AGREEMENT)
    judged = judged_means(mixture, prompts).astype(np.float64)
    not_tiny = np.abs(judged) > 0.1
    np.testing.assert_allclose(predictions[not_tiny], judged[not_tiny], rtol=AGREEMENT, atol=0)


@pytest.mark.parametrize("case", GRID, ids=str)
def test_posterior_mean_agrees_with_the_judge_on_the_acceptance_grid(case: Case) -> None:
    mixture, prompts = drawn(case, batch_size=1)
    predictions = mixture.posterior_mean(prompts)
    assert np.all(relative_errors(predictions, mixture, prompts) <= AGREEMENT)


@pytest.mark.parametrize("noise_std", [0.1, 0.3, 1.0, 10.0])
def test_posterior_weights_agree_with_the_judge_with_unequal_priors(noise_std: float) -> None:
    rng = np.random.default_rng(2)
    components = rng.standard_normal((4, 3))
    mixture = RegressionMixture(components, noise_std, weights=[0.5, 0.25, 0.0, 0.25])
    prompts = mixture.sample_prompts(4, 12, rng)
    for n in (0, 1, 12):
        prefix = prompts.prefix(n)
        for xs, ys, p in zip(prefix.xs, prefix.ys, mixture.posterior(prefix), strict=True):
            judged = judge.posterior(xs, ys, components, mixture.weights, noise_std)
            np.testing.assert_allclose(p, np.array(judged, dtype=np.float64), atol=1e-13, rtol=0)


@pytest.mark.parametrize("noise_std", [0.1, 1.0])
def test_every_prefix_agrees_with_the_judge_on_the_prefix_batch(noise_std: float) -> None:
    mixture, prompts = drawn(Case(3, 4, 25, noise_std, seed=3), batch_size=2)
    predictions = mixture.posterior_mean_all_prefixes(prompts)
    posteriors = mixture.posterior_all_prefixes(prompts)
    assert predictions.shape == (2, 26)
    assert posteriors.shape == (2, 26, 4)
    for n in range(26):
        prefix = prompts.prefix(n)
        assert np.all(relative_errors(predictions[:, n], mixture, prefix) <= AGREEMENT)
        np.testing.assert_allclose(posteriors[:, n], mixture.posterior(prefix), atol=1e-13, rtol=0)


@pytest.mark.parametrize("case", [Case(2, 3, 10, 0.3), Case(5, 4, 60, 1.0)], ids=str)
def test_labels_of_no_component_keep_within_the_bound(case: Case) -> None:
    rng = np.random.default_rng(4)
    mixture = RegressionMixture.random(case.num_components, case.dim, case.noise_std, rng)
    shape = (20, case.num_examples)
    prompts = PromptBatch(rng.standard_normal((20, shape[1] + 1, case.dim)), rng.normal(size=shape))
    errors = absolute_errors(mixture.posterior_mean(prompts), mixture, prompts)
    bound = mixture.posterior_mean_error_bound(prompts)
    assert np.all(errors <= bound)
    assert np.all(bound <= 1e-10)


MUTANTS: dict[str, Callable[[RegressionMixture, PromptBatch], np.ndarray]] = {
    "the 1/2 of the exponent is dropped": lambda mixture, prompts: mixture.with_noise_std(
        mixture.noise_std / np.sqrt(2)
    ).posterior_mean(prompts),
    "sigma for sigma^2": lambda mixture, prompts: mixture.with_noise_std(
        np.sqrt(mixture.noise_std)
    ).posterior_mean(prompts),
    "the last example is dropped": lambda mixture, prompts: np.sum(
        mixture.posterior_all_prefixes(prompts)[:, -2] * (prompts.queries @ mixture.components.T),
        axis=-1,
    ),
    "the labels' sign is flipped": lambda mixture, prompts: mixture.posterior_mean(
        PromptBatch(prompts.xs, -prompts.ys)
    ),
    "the mean over all prefixes": lambda mixture, prompts: np.mean(
        mixture.posterior_mean_all_prefixes(prompts), axis=1
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("case", TEETH, ids=str)
def test_the_comparison_rejects_wrong_formulas(mutant: str, case: Case) -> None:
    mixture, prompts = undecided(case, batch_size=4)
    wrong = MUTANTS[mutant](mixture, prompts)
    assert np.max(relative_errors(wrong, mixture, prompts)) > 1e6 * AGREEMENT
