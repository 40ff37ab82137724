"""Mixtures and prompts for a case, as the tests of this floor draw them."""

from collections.abc import Callable

import numpy as np

from tests.cases import Case
from tests.constructions.judges import Matrix
from theory import PromptBatch, RegressionMixture

Draw = Callable[[Case, int], tuple[RegressionMixture, PromptBatch]]


def drawn(case: Case, batch_size: int) -> tuple[RegressionMixture, PromptBatch]:
    """The paper's model: components on the sphere of radius sqrt(d), prompts of the mixture."""
    rng = np.random.default_rng(case.seed)
    mixture = RegressionMixture.random(case.num_components, case.dim, case.noise_std, rng)
    return mixture, mixture.sample_prompts(batch_size, case.num_examples, rng)


def undecided(case: Case, batch_size: int) -> tuple[RegressionMixture, PromptBatch]:
    """Components so close that the examples leave several of them about as likely.

    Far components decide the posterior to the last digit, and hide errors in the scores.
    """
    rng = np.random.default_rng(case.seed)
    spread = case.noise_std / np.sqrt(max(case.num_examples, 1))
    shape = (case.num_components, case.dim)
    components = rng.standard_normal(case.dim) + spread * rng.standard_normal(shape)
    mixture = RegressionMixture(components, case.noise_std)
    return mixture, mixture.sample_prompts(batch_size, case.num_examples, rng)


def with_prior(mixture: RegressionMixture, seed: int) -> RegressionMixture:
    """The same components with unequal weights between about 0.1/m and 2/m."""
    weights = np.random.default_rng(seed).uniform(0.1, 2.0, mixture.num_components)
    return RegressionMixture(mixture.components, mixture.noise_std, weights / weights.sum())


def rounded_to_float32(prompts: PromptBatch) -> PromptBatch:
    """The prompts that a float32 network can hold exactly."""
    return PromptBatch(prompts.xs.astype(np.float32), prompts.ys.astype(np.float32))


def initial(prompts: PromptBatch, num_rows: int) -> Matrix:
    """H^(0) (batch, p, q) in plain loops: x_j and y_j e_1 in turn, zeros below."""
    k = prompts.num_examples
    H = np.zeros((len(prompts), num_rows, 2 * k + 1))
    for b in range(len(prompts)):
        for j in range(k + 1):
            H[b, : prompts.dim, 2 * j] = prompts.xs[b, j]
        for j in range(k):
            H[b, 0, 2 * j + 1] = prompts.ys[b, j]
    return H
