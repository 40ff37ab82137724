"""Posterior means with components that EM or the subspace algorithm found, as in Figure 3.

Pathak et al., Section 3.2: a mixture is estimated from n training prompts, and f*_pi-hat, for the
*uniform* distribution pi-hat on the components that were found, answers new prompts. (EM's own
weights are not used, as printed.) The text gives neither m nor sigma for the figure; here are
m = 5 and 20, with sigma = 1 as in Figure 4.

Four fits: ``em``, Algorithm 1 with its own random start, once; ``em_spread``, the same from
`spread_start`; ``sa``, the subspace algorithm as it ends, and ``sa_refined``, after two rounds of
assignment and least squares.

Arrays of a run: ``num_examples`` (k = 0..K), ``components`` (the true w_j) and, for each FIT,

- ``posterior_mean_FIT/mean|low|high|standard_error``, and the same for ``posterior_mean`` with the
  true components: E (f(P) - y_{k+1})^2 / d, as `simulations.experiments.error_curves` has it;
- ``oracle_FIT``, the "oracle prediction error" (sigma^2 + (1/m) sum_j min |w_j - w|^2) / d, with
  w among the components found: what is left of the error for k to infinity;
- ``FIT/components``, shape (m, d), and ``FIT/distances``, min |w_j - w| for each true w_j;
- for EM ``FIT/log_likelihoods``, the trace, ``FIT/iterations`` and ``FIT/converged``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from simulations.baselines import BatchEM, SubspaceAlgorithm, random_start, spread_start
from simulations.experiments.error_curves import (
    PromptLaw,
    check_sizes,
    draw_mixture,
    error_curve,
    prefix_lengths,
)
from simulations.experiments.experiment import Arrays, Checkpoint, Experiment, Preset
from theory import PosteriorMean, PromptBatch, RegressionMixture
from theory.validation import Problems

__all__ = [
    "EXPERIMENTS",
    "FITS",
    "FittedMixtures",
    "fit_components",
    "nearest_distances",
    "training_prompts",
]

#: The fits by the part that makes them.
FITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"em": ("em",), "em_spread": ("em_spread",), "sa": ("sa", "sa_refined")}
)

#: Keys of the streams of a seed, beside those of `error_curves`.
_TRAINING, _FITTING = 3, 4


@dataclass(frozen=True)
class FittedMixtures:
    """A mixture, the prompts that it is estimated from, and those that are asked.

    Parameters
    ----------
    training_size
        n >= m.
    num_components, dim, noise_std
        m, d and sigma > 0.
    max_examples
        K >= 3, the length of the training prompts; curves have k = 0..K.
    max_iter, tol
        t_max and epsilon of Algorithm 1.
    num_prompts
        New prompts, >= 2, the same for every predictor.
    bootstrap_trials
        Of the bands, >= 1.
    seed
        >= 0. The components depend on it and on m and d alone.

    Raises
    ------
    ValueError
        If a number is out of range; all problems are listed at once.
    """

    training_size: int
    num_components: int = 20
    dim: int = 20
    noise_std: float = 1.0
    max_examples: int = 60
    max_iter: int = 20_000
    tol: float = 1e-3
    num_prompts: int = 8192
    bootstrap_trials: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("FittedMixtures")
        check_sizes(self, problems)
        problems.count("max_examples", self.max_examples, 3)
        problems.count("training_size", self.training_size, self.num_components)
        problems.count("max_iter", self.max_iter, 1)
        noise = problems.number("noise_std", self.noise_std, 0.0, strict=True)
        tol = problems.number("tol", self.tol, 0.0, strict=False)
        object.__setattr__(self, "noise_std", noise)
        object.__setattr__(self, "tol", tol)
        problems.raise_if_any()

    @property
    def mixture(self) -> RegressionMixture:
        """The mixture, drawn from the seed."""
        return draw_mixture(self.num_components, self.dim, self.noise_std, self.seed)


def training_prompts(config: FittedMixtures) -> PromptBatch:
    """Draw the n prompts that every fit is made from."""
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(_TRAINING,)))
    return config.mixture.sample_prompts(config.training_size, config.max_examples, rng)


def fit_components(config: FittedMixtures, part: str) -> Arrays:
    """Estimate the components by the algorithm of a part of `FITS`.

    Returns
    -------
    dict
        ``FIT/components`` and ``FIT/distances``, and for EM the trace, as in the module's
        docstring.
    """
    prompts = training_prompts(config)
    key = (_FITTING, list(FITS).index(part))
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=key))
    arrays: dict[str, npt.NDArray[np.float64] | np.ndarray] = {}
    if part == "sa":
        subspace = SubspaceAlgorithm(config.num_components, config.noise_std, rng).fit(prompts)
        arrays["sa/components"] = subspace.unrefined_components_
        arrays["sa_refined/components"] = subspace.components_
    else:
        start = spread_start if part == "em_spread" else random_start
        em = BatchEM(
            config.num_components,
            config.noise_std,
            rng,
            start=start,
            max_iter=config.max_iter,
            tol=config.tol,
        ).fit(prompts)
        arrays[f"{part}/components"] = em.components_
        arrays[f"{part}/log_likelihoods"] = em.log_likelihoods_
        arrays[f"{part}/iterations"] = np.array(em.n_iter_)
        arrays[f"{part}/converged"] = np.array(em.converged_)
    for fit in FITS[part]:
        arrays[f"{fit}/distances"] = nearest_distances(
            config.mixture.components, arrays[f"{fit}/components"]
        )
    return arrays


def nearest_distances(
    components: Float[np.ndarray, "m d"], found: Float[np.ndarray, "found d"]
) -> Float[np.ndarray, " m"]:
    """Return min_w |w_j - w| over what was found, for each true component."""
    return np.asarray(np.min(np.linalg.norm(components[:, None] - found, axis=2), axis=1))


def _parts(config: FittedMixtures) -> tuple[str, ...]:
    return ("oracle", *FITS)


def _compute(config: FittedMixtures, part: str, checkpoint: Checkpoint) -> Arrays:
    """Fit, and answer the new prompts, the same for every part."""
    law = PromptLaw(config.mixture.components, 1.0, config.noise_std, config.max_examples)

    def curve(name: str, components: Float[np.ndarray, "m d"]) -> Arrays:
        predictor = PosteriorMean(RegressionMixture(components, config.noise_std))
        band = error_curve(predictor, law, config.num_prompts, config.bootstrap_trials, config.seed)
        return band.as_arrays(name)

    if part == "oracle":
        return curve("posterior_mean", config.mixture.components)
    arrays = dict(fit_components(config, part))
    for fit in FITS[part]:
        arrays |= curve(f"posterior_mean_{fit}", arrays[f"{fit}/components"])
        left = np.mean(arrays[f"{fit}/distances"] ** 2)
        arrays[f"oracle_{fit}"] = np.array((config.noise_std**2 + left) / config.dim)
    return arrays


def _combine(config: FittedMixtures, parts: Mapping[str, Arrays]) -> Arrays:
    found = {name: array for arrays in parts.values() for name, array in arrays.items()}
    return found | {
        "num_examples": prefix_lengths(config.max_examples),
        "components": config.mixture.components,
    }


_SIZES = (15_000, 30_000, 45_000, 60_000)

_PRESETS: Final[Mapping[Preset, Mapping[str, FittedMixtures]]] = MappingProxyType(
    {
        "smoke": {
            f"m=3, n={n}": FittedMixtures(n, 3, 4, 0.5, 12, num_prompts=128, bootstrap_trials=100)
            for n in (150, 600)
        },
        "laptop": {f"m={m}, n={n}": FittedMixtures(n, m) for m in (5, 20) for n in _SIZES},
        # Appendix C: "mean squared errors computed over batch sizes of 256".
        "paper": {
            f"m={m}, n={n}": FittedMixtures(n, m, num_prompts=256) for m in (5, 20) for n in _SIZES
        },
    }
)

EXPERIMENTS: tuple[Experiment[FittedMixtures], ...] = (
    Experiment(
        name="pathak2023-figure-3",
        title="Posterior means with components estimated from n prompts by EM and by the subspace"
        " algorithm",
        source="Pathak et al. 2023, Figure 3 without its transformers",
        config_type=FittedMixtures,
        parts=_parts,
        compute=_compute,
        combine=_combine,
        presets=_PRESETS,
    ),
)
