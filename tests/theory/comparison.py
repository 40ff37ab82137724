"""Comparison of whole batches with the judge."""

import numpy as np
import numpy.typing as npt

from tests.theory import judge
from theory import PromptBatch, RegressionMixture


def judged_means(mixture: RegressionMixture, prompts: PromptBatch) -> npt.NDArray[np.object_]:
    """The judge's posterior means, shape (batch,), as mpf."""
    model = mixture.components.tolist(), mixture.weights.tolist(), mixture.noise_std
    pairs = zip(prompts.xs.tolist(), prompts.ys.tolist(), strict=True)
    return np.array([judge.posterior_mean(xs, ys, *model) for xs, ys in pairs], dtype=object)


def largest_values(mixture: RegressionMixture, queries: npt.NDArray[np.float64]) -> npt.ArrayLike:
    """max_j |<w_j, x>| for every query, the scale of a posterior mean."""
    return np.max(np.abs(queries @ mixture.components.T), axis=-1)


def absolute_errors(
    predictions: npt.NDArray[np.float64], mixture: RegressionMixture, prompts: PromptBatch
) -> npt.NDArray[np.float64]:
    """|prediction - judge| for every prompt, subtracted with 50 digits."""
    judged = judged_means(mixture, prompts)
    return np.array([abs(float(j - p)) for j, p in zip(judged, predictions.tolist(), strict=True)])


def relative_errors(
    predictions: npt.NDArray[np.float64], mixture: RegressionMixture, prompts: PromptBatch
) -> npt.NDArray[np.float64]:
    """|prediction - judge| over max_j |<w_j, x>|, for every prompt."""
    errors = absolute_errors(predictions, mixture, prompts)
    return errors / largest_values(mixture, prompts.queries)
