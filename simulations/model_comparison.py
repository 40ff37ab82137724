"""A user's model beside all predictors that theory and estimation offer, at every prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from simulations.baselines import BatchEM, SubspaceAlgorithm, spread_start
from simulations.comparison import Comparison, compare
from theory import (
    Argmin,
    LeastSquares,
    PosteriorMean,
    Predictor,
    PromptBatch,
    RegressionMixture,
    Ridge,
    Zero,
)

__all__ = [
    "ModelComparison",
    "compare_model",
    "estimated_candidates",
    "known_candidates",
    "sample_mixture",
]

#: Answers that differ by less, relatively, are the same but for rounding.
_ALIKE = 1e-9


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """A comparison, and which candidate is the closest at each prefix, by how much.

    Attributes
    ----------
    comparison
        The bands; squares as they are, not divided by d.
    dim
        d.
    closest
        The candidates that are nearest to the model at each prefix; several where they give the
        same answers, up to rounding.
    next_closest
        The nearest of all others; None where there is none.
    margins
        Distance of the next less that of the closest, in standard errors of this paired
        difference, one for each prefix; NaN where there is no next, or no spread.
    """

    comparison: Comparison
    dim: int
    closest: tuple[tuple[str, ...], ...]
    next_closest: tuple[str | None, ...]
    margins: Float[np.ndarray, " prefixes"]


def sample_mixture(
    mixture: RegressionMixture, size: int, num_examples: int, rng: np.random.Generator
) -> tuple[PromptBatch, Float[np.ndarray, "batch prefixes"]]:
    """Draw prompts of a mixture, and <w, x_{n+1}> for n = 0..k: labels without noise.

    Parameters
    ----------
    mixture
        With its weights and noise.
    size, num_examples
        How many prompts >= 1, and k >= 0.
    rng
        Components are drawn first, then covariates, then noise.
    """
    chosen = mixture.components[
        rng.choice(mixture.num_components, size, p=mixture.weights / np.sum(mixture.weights))
    ]
    xs = rng.standard_normal((size, num_examples + 1, mixture.dim))
    exact = np.einsum("bnd,bd->bn", xs, chosen)
    noise = mixture.noise_std * rng.standard_normal((size, num_examples))
    return PromptBatch(xs, exact[:, :-1] + noise), exact


def known_candidates(
    mixture: RegressionMixture | None, noise_std: float | None
) -> dict[str, Predictor]:
    """Return the predictors that need no estimation, by name, the best first.

    Parameters
    ----------
    mixture
        Of the prompts; None if it is not known.
    noise_std
        sigma, for ridge regression with penalty sigma^2; None if it is not known.

    Returns
    -------
    dict
        The posterior mean, argmin and prior mean, where they are known and differ from each other
        (for sigma = 0 the first two do not), ridge (sigma > 0), least squares, zero.
    """
    found: dict[str, Predictor] = {}
    if mixture is not None:
        found["posterior mean"] = PosteriorMean(mixture)
        if mixture.num_components > 1:
            if mixture.noise_std > 0:
                found["argmin"] = Argmin(mixture)
            mean = mixture.weights @ mixture.components
            found["prior mean"] = PosteriorMean(RegressionMixture(mean[None], mixture.noise_std))
    if noise_std:
        found["ridge"] = Ridge(noise_std**2)
    return found | {"least squares": LeastSquares(), "zero": Zero()}


def estimated_candidates(
    mixture: RegressionMixture, size: int, num_examples: int, rng: np.random.Generator
) -> dict[str, Predictor]:
    """Return posterior mean and argmin with components that are estimated from fresh prompts.

    As in Pathak et al. 2023, Figure 3, with uniform weights on what was found: by EM (Algorithm 1,
    from `spread_start`) and by the subspace algorithm (refined).

    Parameters
    ----------
    mixture
        Where the prompts are drawn from; m and sigma > 0 are taken as known.
    size, num_examples
        How many prompts >= m, and their length >= 3.
    rng
        For prompts and starts.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    m, sigma = mixture.num_components, mixture.noise_std
    if sigma == 0 or size < m or num_examples < 3:
        raise ValueError(
            f"components are estimated from {size} prompts of {num_examples} examples with noise"
            f" {sigma:g}; expected at least {m} prompts (m), 3 examples, and noise above 0"
        )
    prompts, _ = sample_mixture(mixture, size, num_examples, rng)
    fits = {
        "EM": BatchEM(m, sigma, rng, start=spread_start).fit(prompts).components_,
        "SA": SubspaceAlgorithm(m, sigma, rng).fit(prompts).components_,
    }
    found: dict[str, Predictor] = {}
    for fit, components in fits.items():
        estimated = RegressionMixture(components, sigma)
        found[f"posterior mean, {fit}"] = PosteriorMean(estimated)
        found[f"argmin, {fit}"] = Argmin(estimated)
    return found


def compare_model(
    model: Predictor,
    candidates: Mapping[str, Predictor],
    prompts: PromptBatch,
    exact: npt.ArrayLike | None,
    rng: np.random.Generator,
) -> ModelComparison:
    """Compare a model with candidates, and find the closest one at each prefix.

    Parameters
    ----------
    model, candidates, prompts, exact, rng
        As for `simulations.comparison.compare`, which calls the model by "model".

    Raises
    ------
    ValueError
        As `compare`.
    """
    answered = {
        name: _Answered(c.name, c.predict_all_prefixes(prompts)) for name, c in candidates.items()
    }
    own = _Answered(model.name, model.predict_all_prefixes(prompts))
    comparison = compare(own, answered, prompts, exact, rng, name="model")
    closest, following, margins = [], [], []
    for n in range(prompts.num_examples + 1):
        values = {name: candidate.answers[:, n] for name, candidate in answered.items()}
        same, other, margin = _nearest(own.answers[:, n], values)
        closest.append(same)
        following.append(other)
        margins.append(margin)
    return ModelComparison(
        comparison, prompts.dim, tuple(closest), tuple(following), np.array(margins)
    )


def _nearest(
    own: Float[np.ndarray, " batch"], values: Mapping[str, Float[np.ndarray, " batch"]]
) -> tuple[tuple[str, ...], str | None, float]:
    """The closest candidates, the next one, and the margin between them in standard errors."""
    away = {name: (own - v) ** 2 for name, v in values.items()}
    first, *others = sorted(away, key=lambda name: float(np.mean(away[name])))
    limit = _ALIKE * float(np.max(np.abs(values[first])))
    same = tuple(n for n in values if np.max(np.abs(values[n] - values[first])) <= limit)
    rest = [name for name in others if name not in same]
    if not rest:
        return same, None, np.nan
    difference = away[rest[0]] - away[first]
    spread = float(np.std(difference, ddof=1)) / np.sqrt(len(own))
    margin = float(np.mean(difference)) / spread if spread > 0 else np.nan
    return same, rest[0], margin


@dataclass(frozen=True, eq=False)
class _Answered:
    """A predictor whose answers to the prompts at hand are known."""

    name: str
    answers: Float[np.ndarray, "batch prefixes"]

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        return self.answers[:, -1]

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        return self.answers
