"""How far apart predictors are in what they answer, as in Figure 4, without its transformers.

Pathak et al., Section 3.3: d_k^sq(f, g) = E_P (f(P) - g(P))^2 over prompts of k examples, here
between every two of the candidates: ``posterior_mean`` and ``argmin``, each with the true
components, and with those of each FIT of `simulations.experiments.fitted_mixtures`
(``posterior_mean_em``, ``argmin_sa``, ...), uniform weights on all of them. As defined, it is not
divided by d.

Arrays of a run: ``num_examples`` (k = 0..K), ``components``, ``FIT/components``,
``FIT/distances`` and the traces of EM, and ``distance/F/G/mean|low|high|standard_error`` for F
before G in the order of `candidates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Float

from simulations.bootstrap import bootstrap_band
from simulations.experiments.error_curves import PromptLaw, prefix_lengths
from simulations.experiments.experiment import Arrays, Checkpoint, Experiment, Preset
from simulations.experiments.fitted_mixtures import FITS, FittedMixtures, fit_components
from theory import Argmin, PosteriorMean, Predictor, RegressionMixture

__all__ = ["EXPERIMENTS", "candidates"]

_PREDICTION, _BOOTSTRAP = "prediction/", 6


def candidates() -> tuple[str, ...]:
    """Return the names of the predictors, those that know the components first."""
    fits = [f"_{fit}" for group in FITS.values() for fit in group]
    return tuple(f"{kind}{fit}" for fit in ("", *fits) for kind in ("posterior_mean", "argmin"))


def _parts(config: FittedMixtures) -> tuple[str, ...]:
    return ("oracle", *FITS)


def _predictions(
    config: FittedMixtures, suffix: str, components: Float[np.ndarray, "m d"]
) -> Arrays:
    """Answer the prompts, the same for every part."""
    law = PromptLaw(config.mixture.components, 1.0, config.noise_std, config.max_examples)
    mixture = RegressionMixture(components, config.noise_std)
    predictors: dict[str, Predictor] = {
        f"posterior_mean{suffix}": PosteriorMean(mixture),
        f"argmin{suffix}": Argmin(mixture),
    }
    answers: dict[str, list[np.ndarray]] = {name: [] for name in predictors}
    for prompts, _ in law.chunks(config.num_prompts, config.seed):
        for name, predictor in predictors.items():
            answers[name].append(predictor.predict_all_prefixes(prompts))
    return {_PREDICTION + name: np.concatenate(rows) for name, rows in answers.items()}


def _compute(config: FittedMixtures, part: str, checkpoint: Checkpoint) -> Arrays:
    if part == "oracle":
        return _predictions(config, "", config.mixture.components)
    arrays = dict(fit_components(config, part))
    for fit in FITS[part]:
        arrays |= _predictions(config, f"_{fit}", arrays[f"{fit}/components"])
    return arrays


def _combine(config: FittedMixtures, parts: Mapping[str, Arrays]) -> Arrays:
    """Compare the answers, two predictors at a time, on the same resampled prompts."""
    found = {name: array for arrays in parts.values() for name, array in arrays.items()}
    answers = {name: found.pop(_PREDICTION + name) for name in candidates()}
    for first, second in combinations(candidates(), 2):
        seed = np.random.SeedSequence(config.seed, spawn_key=(_BOOTSTRAP,))
        band = bootstrap_band(
            (answers[first] - answers[second]) ** 2,
            np.random.default_rng(seed),
            trials=config.bootstrap_trials,
        )
        found |= band.as_arrays(f"distance/{first}/{second}")
    return found | {
        "num_examples": prefix_lengths(config.max_examples),
        "components": config.mixture.components,
    }


_PRESETS: Final[Mapping[Preset, Mapping[str, FittedMixtures]]] = MappingProxyType(
    {
        "smoke": {
            "m=3, n=300": FittedMixtures(300, 3, 4, 0.5, 12, num_prompts=128, bootstrap_trials=100)
        },
        "laptop": {f"m={m}, n=15000": FittedMixtures(15_000, m) for m in (5, 20)},
        # Appendix C: "mean squared errors computed over batch sizes of 256". The text does not say
        # how many prompts the components of Figure 4 are estimated from.
        "paper": {
            f"m={m}, n=60000": FittedMixtures(60_000, m, num_prompts=256) for m in (5, 10, 20, 30)
        },
    }
)

EXPERIMENTS: tuple[Experiment[FittedMixtures], ...] = (
    Experiment(
        name="pathak2023-figure-4",
        title="How far apart posterior means and argmins are, with true and with estimated"
        " components",
        source="Pathak et al. 2023, Figure 4 without its transformers",
        config_type=FittedMixtures,
        parts=_parts,
        compute=_compute,
        combine=_combine,
        presets=_PRESETS,
    ),
)
