"""The mathematics of in-context regression in float64 numpy: numbers, never verdicts.

A `PromptBatch` holds prompts (x_1, y_1, ..., x_k, y_k, x_{k+1}). A `RegressionMixture` samples them
and computes posteriors. A `Predictor` predicts the label of the query, for whole prompts and for
every prefix at once:

>>> import numpy as np
>>> from theory import LeastSquares, RegressionMixture
>>> rng = np.random.default_rng(0)
>>> mixture = RegressionMixture.random(num_components=5, dim=3, noise_std=0.5, rng=rng)
>>> prompts = mixture.sample_prompts(batch_size=8, num_examples=10, rng=rng)
>>> mixture.posterior(prompts).shape, mixture.posterior_mean_all_prefixes(prompts).shape
((8, 5), (8, 11))
>>> LeastSquares().predict(prompts).shape
(8,)

This is the lowest floor: it imports nothing of ours, and no torch.
"""

from theory.mixture import RegressionMixture
from theory.predictors import Argmin, LeastSquares, PosteriorMean, Predictor, Ridge, Zero
from theory.prompts import PromptBatch

__all__ = [
    "Argmin",
    "LeastSquares",
    "PosteriorMean",
    "Predictor",
    "PromptBatch",
    "RegressionMixture",
    "Ridge",
    "Zero",
]
