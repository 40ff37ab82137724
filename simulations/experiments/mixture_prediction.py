"""The curves of Pathak et al. 2023, Figure 2, that need no trained transformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from simulations.experiments.error_curves import (
    PromptLaw,
    check_sizes,
    draw_mixture,
    error_curve,
    prefix_lengths,
)
from simulations.experiments.experiment import Arrays, Checkpoint, Experiment, Preset
from theory import Argmin, LeastSquares, PosteriorMean, Predictor, RegressionMixture, Ridge, Zero
from theory.validation import Problems

__all__ = ["EXPERIMENTS", "MixturePrediction", "least_squares_error"]


@dataclass(frozen=True)
class MixturePrediction:
    """Prompts of one mixture, and predictors that do or do not know it.

    Parameters
    ----------
    num_components, dim, noise_std
        m, d and sigma >= 0. For sigma = 0 the posterior mean is its limit, the argmin, and ridge
        regression is least squares and left out.
    max_examples
        K; curves have k = 0..K.
    num_prompts
        Prompts, >= 2, the same for every predictor.
    bootstrap_trials
        Of the bands, >= 1.
    seed
        >= 0. The components depend on it and on m and d alone.

    Raises
    ------
    ValueError
        If a number is out of range; all problems are listed at once.
    """

    num_components: int = 5
    dim: int = 20
    noise_std: float = 1.0
    max_examples: int = 60
    num_prompts: int = 8192
    bootstrap_trials: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("MixturePrediction")
        check_sizes(self, problems)
        noise = problems.number("noise_std", self.noise_std, 0.0, strict=False)
        object.__setattr__(self, "noise_std", noise)
        problems.raise_if_any()

    @property
    def mixture(self) -> RegressionMixture:
        """The mixture, drawn from the seed."""
        return draw_mixture(self.num_components, self.dim, self.noise_std, self.seed)


def least_squares_error(
    num_examples: npt.ArrayLike, dim: int, noise_std: float
) -> Float[np.ndarray, " lengths"]:
    """Return E (f(P) - y_{k+1})^2 / d of minimum-norm least squares for |w|^2 = d, exactly.

    Parameters
    ----------
    num_examples
        The k >= 0, shape (lengths,).
    dim, noise_std
        d and sigma; x_i ~ N(0, I_d).

    Returns
    -------
    numpy.ndarray
        Shape (lengths,), float64: sigma^2/d plus

            1 - k/d + (sigma^2/d) k/(d - k - 1)     for k <= d - 2 (and k = 0),
            sigma^2/(k - d - 1)                     for k >= d + 2,

        from E tr (XX')^{-1} = k/(d - k - 1) and E tr (X'X)^{-1} = d/(k - d - 1). For k = d - 1, d
        and d + 1 the noise makes it infinite; without noise it is 1 - k/d up to d, and then 0.
    """
    k = np.asarray(num_examples, dtype=np.float64)
    unseen = np.maximum(1 - k / dim, 0.0)
    variance = noise_std**2
    if variance == 0:
        return unseen
    # Of the singular values: of k rows in R^d or of d columns in R^k, whichever is less.
    rank, gap = np.minimum(k, dim), np.abs(dim - k) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(rank == 0, 0.0, np.where(gap > 0, rank / gap, np.inf))
    return np.asarray(unseen + variance / dim * (inverse + 1))


def _predictors(config: MixturePrediction) -> dict[str, Predictor]:
    mixture = config.mixture
    found: dict[str, Predictor] = {
        "posterior_mean": PosteriorMean(mixture),
        "argmin": Argmin(mixture),
        "least_squares": LeastSquares(),
        "zero": Zero(),
    }
    if config.noise_std > 0:
        # The Bayes predictor for w ~ N(0, I), whose |w|^2 is d on average.
        found["ridge"] = Ridge(config.noise_std**2)
    return found


def _parts(config: MixturePrediction) -> tuple[str, ...]:
    return tuple(_predictors(config))


def _compute(config: MixturePrediction, part: str, checkpoint: Checkpoint) -> Arrays:
    """Draw the prompts, the same for every part, and evaluate the predictor of this name."""
    law = PromptLaw(config.mixture.components, 1.0, config.noise_std, config.max_examples)
    predictor = _predictors(config)[part]
    band = error_curve(predictor, law, config.num_prompts, config.bootstrap_trials, config.seed)
    return band.as_arrays(part)


def _combine(config: MixturePrediction, parts: Mapping[str, Arrays]) -> Arrays:
    lengths = prefix_lengths(config.max_examples)
    curves = {name: array for arrays in parts.values() for name, array in arrays.items()}
    return curves | {
        "num_examples": lengths,
        "least_squares/expected": least_squares_error(lengths, config.dim, config.noise_std),
        "zero/expected": np.full(len(lengths), 1 + config.noise_std**2 / config.dim),
    }


def _panels(dim: int, max_examples: int, num_prompts: int) -> dict[str, MixturePrediction]:
    return {
        f"m={m}, sigma={sigma}": MixturePrediction(m, dim, float(sigma), max_examples, num_prompts)
        for sigma in (0, 1)
        for m in (5, 20)
    }


_PRESETS: Final[Mapping[Preset, Mapping[str, MixturePrediction]]] = MappingProxyType(
    {
        "smoke": _panels(5, 12, 128),
        "laptop": _panels(20, 60, 8192),
        # Appendix C: "mean squared errors computed over batch sizes of 256".
        "paper": _panels(20, 60, 256),
    }
)

EXPERIMENTS: tuple[Experiment[MixturePrediction], ...] = (
    Experiment(
        name="pathak2023-figure-2",
        title="Mixtures of 5 and 20 components, without and with noise: oracles, least squares,"
        " ridge",
        source="Pathak et al. 2023, Figure 2 without its transformers",
        config_type=MixturePrediction,
        parts=_parts,
        compute=_compute,
        combine=_combine,
        presets=_PRESETS,
    ),
)
