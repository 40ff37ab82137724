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

A `FlowProblem` is the gradient flow of a linear self-attention layer, with the limit of Zhang et
al. in closed form; `solve_flow` follows it, and `PopulationLoss` is the loss of the whole layer:

>>> problem = FlowProblem.fixed(np.diag([1.0, 2.0]), prompt_length=10)
>>> solution = solve_flow(problem, random_theta(2, rng), scale=0.1)
>>> bool(abs(solution.final.u - problem.limit().u) < 1e-12)
True

This is the lowest floor: it imports nothing of ours, and no torch.
"""

from theory.gradient_flow import (
    FlowProblem,
    FlowSolution,
    FlowState,
    assumption_3,
    convergence_rate,
    printed_bounds,
    random_theta,
    sharp_bounds,
    solve_flow,
    solve_flow_from,
    spectrum,
)
from theory.linear_attention import LinearAttention
from theory.mixture import RegressionMixture
from theory.population_loss import PopulationLoss
from theory.predictors import Argmin, LeastSquares, PosteriorMean, Predictor, Ridge, Zero
from theory.prompts import PromptBatch
from theory.risk import (
    LabelMoments,
    QueryMoments,
    expected_chain,
    linear_risk,
    random_covariance_risk,
    risk_from_samples,
    shifted_risk,
)

__all__ = [
    "Argmin",
    "FlowProblem",
    "FlowSolution",
    "FlowState",
    "LabelMoments",
    "LeastSquares",
    "LinearAttention",
    "PopulationLoss",
    "PosteriorMean",
    "Predictor",
    "PromptBatch",
    "QueryMoments",
    "RegressionMixture",
    "Ridge",
    "Zero",
    "assumption_3",
    "convergence_rate",
    "expected_chain",
    "linear_risk",
    "printed_bounds",
    "random_covariance_risk",
    "random_theta",
    "risk_from_samples",
    "sharp_bounds",
    "shifted_risk",
    "solve_flow",
    "solve_flow_from",
    "spectrum",
]
