"""The posterior mean of a mixture on prompts of a shifted one: Pathak et al. 2023, Figures 7 to 9.

The predictor is f_pi, of the mixture pi and its sigma, whatever the prompts are: covariates from
N(0, kappa^2 I) and labels of regressors w_j'. As the number of examples grows, the posterior
settles on the components nearest to w_j', since E <w_l - w_j', x>^2 = kappa^2 |w_l - w_j'|^2. So
the error tends to

    (kappa^2 (1/m) sum_j min_l |w_l - w_j'|^2 + sigma^2) / d,

which is stored as ``posterior_mean/limit``: sigma^2/d under covariate scaling,
(1 - alpha)^2 + sigma^2/d under weight scaling for components of norm sqrt(d), and
(epsilon^2 + sigma^2)/d under a weight shift of at most half the distance between components
(`papers.pathak2023.experiments_limits` checks them). The paper does not say which sigma Figures 5
to 9 have; here it is 1, as in Figure 4.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Float

from simulations.experiments.error_curves import (
    PromptLaw,
    check_sizes,
    draw_mixture,
    error_curve,
    prefix_lengths,
)
from simulations.experiments.experiment import Arrays, Checkpoint, Experiment, Preset
from theory import PosteriorMean, RegressionMixture
from theory.validation import Problems

__all__ = ["EXPERIMENTS", "CovariateScaling", "ShiftedPrompts", "WeightScaling", "WeightShift"]


@dataclass(frozen=True)
class ShiftedPrompts(ABC):
    """What the three kinds of shift have in common.

    Parameters
    ----------
    shifts
        How far, one curve each, all different.
    num_components, dim, noise_std
        m, d and sigma > 0 of the mixture that the predictor knows.
    max_examples
        K; curves have k = 0..K.
    num_prompts
        Prompts of each curve, >= 2, from the same random numbers for every shift.
    bootstrap_trials
        Of the bands, >= 1.
    seed
        >= 0. The components depend on it and on m and d alone.

    Raises
    ------
    ValueError
        If a number is out of range; all problems are listed at once.
    """

    shifts: tuple[float, ...] = (1.0,)
    num_components: int = 5
    dim: int = 20
    noise_std: float = 1.0
    max_examples: int = 60
    num_prompts: int = 32_768
    bootstrap_trials: int = 1000
    seed: int = 0

    #: Whether 0 is a shift.
    _positive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        problems = Problems(type(self).__name__)
        check_sizes(self, problems)
        noise = problems.number("noise_std", self.noise_std, 0.0, strict=True)
        object.__setattr__(self, "noise_std", noise)
        shifts = tuple(
            problems.number(f"shifts[{i}]", value, 0.0, strict=self._positive)
            for i, value in enumerate(self.shifts)
        )
        if not shifts or len(set(shifts)) < len(shifts):
            problems.add(f"shifts is {shifts}; expected at least one number, and none twice")
        object.__setattr__(self, "shifts", shifts)
        problems.raise_if_any()

    @property
    def mixture(self) -> RegressionMixture:
        """The mixture that the predictor knows, drawn from the seed."""
        return draw_mixture(self.num_components, self.dim, self.noise_std, self.seed)

    @abstractmethod
    def prompt_law(self, shift: float) -> PromptLaw:
        """Return where the prompts of one curve come from."""

    def limit(self, shift: float) -> float:
        """Return the error for k -> infinity, as in the module's docstring."""
        law, components = self.prompt_law(shift), self.mixture.components
        apart = np.sum((components - law.regressors[:, None]) ** 2, axis=2)
        nearest = float(np.mean(np.min(apart, axis=1)))
        return (law.covariate_scale**2 * nearest + self.noise_std**2) / self.dim

    def _law(self, regressors: Float[np.ndarray, "m d"], scale: float = 1.0) -> PromptLaw:
        return PromptLaw(regressors, scale, self.noise_std, self.max_examples)


@dataclass(frozen=True)
class CovariateScaling(ShiftedPrompts):
    """Covariates and query from N(0, kappa^2 I); `shifts` are the kappa > 0 (Section 3.4)."""

    shifts: tuple[float, ...] = (0.33, 0.5, 1.0, 2.0, 3.0)

    def prompt_law(self, shift: float) -> PromptLaw:
        return self._law(self.mixture.components, shift)


@dataclass(frozen=True)
class WeightScaling(ShiftedPrompts):
    """Labels of the regressors alpha w_j; `shifts` are the alpha > 0 (Section 3.4)."""

    shifts: tuple[float, ...] = (0.33, 0.5, 1.0, 2.0, 3.0)

    def prompt_law(self, shift: float) -> PromptLaw:
        return self._law(shift * self.mixture.components)


@dataclass(frozen=True)
class WeightShift(ShiftedPrompts):
    """Labels of w_j + epsilon (1, ..., 1)/sqrt(d); `shifts` are the epsilon >= 0 (Section 3.4)."""

    shifts: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    _positive: ClassVar[bool] = False

    def prompt_law(self, shift: float) -> PromptLaw:
        return self._law(self.mixture.components + shift / np.sqrt(self.dim))


def _parts(config: ShiftedPrompts) -> tuple[str, ...]:
    return tuple(f"shift-{shift!r}" for shift in config.shifts)


def _compute(config: ShiftedPrompts, part: str, checkpoint: Checkpoint) -> Arrays:
    law = config.prompt_law(float(part.removeprefix("shift-")))
    band = error_curve(
        PosteriorMean(config.mixture),
        law,
        config.num_prompts,
        config.bootstrap_trials,
        config.seed,
    )
    return band.as_arrays("posterior_mean")


def _combine(config: ShiftedPrompts, parts: Mapping[str, Arrays]) -> Arrays:
    """Stack the curves: all arrays of shape (shifts, k+1), limits and shifts of shape (shifts,)."""
    ordered = [parts[name] for name in _parts(config)]
    curves = {name: np.stack([part[name] for part in ordered]) for name in ordered[0]}
    return curves | {
        "num_examples": prefix_lengths(config.max_examples),
        "shifts": np.array(config.shifts),
        "posterior_mean/limit": np.array([config.limit(shift) for shift in config.shifts]),
    }


Shift = TypeVar("Shift", bound=ShiftedPrompts)


def _experiment(figure: int, title: str, config_type: type[Shift]) -> Experiment[Shift]:
    """Return the experiment of a figure; 256 prompts are those of Appendix C."""
    presets: dict[Preset, Mapping[str, Shift]] = {
        "smoke": {"m=3": config_type(num_components=3, dim=4, max_examples=10, num_prompts=256)},
        "laptop": {f"m={m}": config_type(num_components=m) for m in (5, 20)},
        "paper": {f"m={m}": config_type(num_components=m, num_prompts=256) for m in (5, 20)},
    }
    return Experiment(
        name=f"pathak2023-figure-{figure}",
        title=title,
        source=f"Pathak et al. 2023, Figure {figure}",
        config_type=config_type,
        parts=_parts,
        compute=_compute,
        combine=_combine,
        presets=MappingProxyType(presets),
    )


EXPERIMENTS: tuple[Experiment[Any], ...] = (
    _experiment(7, "The posterior mean under covariate scaling", CovariateScaling),
    _experiment(8, "The posterior mean under weight scaling", WeightScaling),
    _experiment(9, "The posterior mean under a weight shift", WeightShift),
)
