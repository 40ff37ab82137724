"""A trained and a hand-built transformer side by side, on prompts of the mixture of both.

A GPT-2 is trained on prompts of a mixture (`simulations.transformers`, the recipe of its presets),
the network of Theorem 1 is built for the same mixture, and both answer the same new prompts. They
are compared in what they answer, in how their answers move with each example
(`simulations.transformers.sensitivity`), and in what a linear map reads off their residual streams
(`simulations.transformers.probes`). All numbers are of one trained model.

Arrays of a run; K is the most examples, and nothing is divided by d:

- ``num_examples``: k = 0..K; ``components``: W* (m, d).
- ``training/steps``, ``training/losses``: the mean squared error since the record before.
- ``error|excess|distance|margin|apart/PREDICTOR/mean|low|high|standard_error``: those of
  `simulations.comparison.Comparison`, of ``trained`` against ``posterior_mean``, ``built``,
  ``argmin`` and ``ridge`` at k = 0..K; ``apart/built`` is the squared distance of the built network
  from the posterior mean. ``error/PREDICTOR/median``.
- ``sensitivity/labels/WHO/mean|low|high|standard_error``: of |df_n/dy_i|, shape (K, K), entry
  [n - 1, i - 1], NaN for i > n; WHO is ``trained``, ``built`` or ``exact``, which is the formula
  for the posterior mean. ``sensitivity/covariates/...``: of the Euclidean norm of df_n/dx_i.
- ``sensitivity/labels/distance/WHO``, shape (K,): sum (df_n/dy_i - exact)^2 / sum exact^2 over
  prompts and examples, for ``trained`` and ``built``; ``sensitivity/labels/correlation/WHO``: their
  correlation with the exact ones. The same of ``covariates``, over their entries.
- ``probe/log_odds/WHO``, shape (layers + 1,): the R^2 on held-out prompts of an affine map from
  the stream in a covariate's column, before the layers and after each, to log p_j / p_1,
  j = 2..m, over the prefixes of n >= 1 examples all of whose log-odds are at most
  `simulations.transformers.probes.LIMIT` in size. ``probe/posterior/WHO``: the same to p_2, ...,
  p_m. WHO is ``trained``, ``untrained`` (the same model before its first step) or ``built``.
- ``probe/log_odds/WHO/prefixes``, shape (layers + 1, K + 1): one map for each prefix; NaN where
  too few prompts are left. ``probe/cells``, shape (K + 1,): how many are left to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.special import softmax
from torch import nn

from constructions import compile_posterior_mean
from constructions.library.posterior_mean_transformer import NumLayers
from simulations.bootstrap import bootstrap_band
from simulations.comparison import compare
from simulations.experiments.error_curves import prefix_lengths
from simulations.experiments.experiment import Arrays, Checkpoint, Experiment, Preset
from simulations.transformers import (
    MixturePrompts,
    ModelConfig,
    Steps,
    TrainingRun,
    TransformerTraining,
    train,
)
from simulations.transformers.models import new_model
from simulations.transformers.predictor import ModelPredictor
from simulations.transformers.probes import (
    covariate_states,
    explained_variance,
    log_odds,
    undecided,
)
from simulations.transformers.section_1_2 import Section12
from simulations.transformers.sensitivity import (
    Sensitivity,
    model_sensitivity,
    posterior_mean_sensitivity,
)
from theory import Argmin, PosteriorMean, Predictor, PromptBatch, Ridge
from theory.validation import Problems

__all__ = ["EXPERIMENTS", "TrainedAndBuilt"]

#: Streams of the seed, beside those of the training: new prompts, and those of the probes.
_NEW_PROMPTS, _BOOTSTRAP, _FITTED, _HELD_OUT = 10, 11, 12, 13


@dataclass(frozen=True)
class TrainedAndBuilt:
    """A mixture, a transformer that is trained on it, and one that is built for it.

    Parameters
    ----------
    num_components, dim, noise_std
        m >= 2, d and sigma > 0.
    max_examples
        K.
    layers, heads, width
        Of the trained GPT-2; the heads divide the width.
    built_layers
        Of the built network: 3 (one head each) or 2 (the first with 2K heads).
    steps, batch_size, step_size
        Of its training: Adam, 100 steps of warm-up at most, then half a cosine.
    num_prompts
        New prompts, >= 2, and as many to fit the probes and to judge them.
    bootstrap_trials
        Of the bands, >= 1.
    seed
        >= 0; also that of the training.

    Raises
    ------
    ValueError
        If a number is out of range; all problems are listed at once.
    """

    num_components: int = 3
    dim: int = 5
    noise_std: float = 1.0
    max_examples: int = 12
    layers: int = 3
    heads: int = 4
    width: int = 64
    built_layers: NumLayers = 3
    steps: int = 2000
    batch_size: int = 64
    step_size: float = 3e-3
    num_prompts: int = 2048
    bootstrap_trials: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("TrainedAndBuilt")
        least = {"num_components": 2, "dim": 1, "max_examples": 1, "layers": 1, "heads": 1,
                 "width": 2, "steps": 1, "batch_size": 1, "num_prompts": 2, "bootstrap_trials": 1,
                 "seed": 0}  # fmt: skip
        for name, lower in least.items():
            object.__setattr__(self, name, problems.count(name, getattr(self, name), lower))
        for name in ("noise_std", "step_size"):
            value = problems.number(name, getattr(self, name), 0.0, strict=True)
            object.__setattr__(self, name, value)
        if self.heads > 0 and self.width % self.heads:
            problems.add(f"width is {self.width}; expected a multiple of heads, {self.heads}")
        if self.built_layers not in (2, 3):
            problems.add(f"built_layers is {self.built_layers!r}; expected 2 or 3")
        problems.raise_if_any()

    @property
    def prompts(self) -> MixturePrompts:
        """The law of the prompts; its components depend on the seed, m and d alone."""
        return MixturePrompts(
            self.num_components, self.dim, self.noise_std, self.max_examples, self.seed
        )

    @property
    def training(self) -> TransformerTraining:
        """The training."""
        return TransformerTraining(
            self.prompts,
            ModelConfig(layers=self.layers, heads=self.heads, width=self.width),
            Steps(self.steps, self.batch_size, self.step_size, warm_up=min(100, self.steps // 4)),
            seeds=(self.seed,),
            records=min(20, self.steps),
        )

    def new_prompts(self, key: int) -> tuple[PromptBatch, Float[np.ndarray, "batch prefixes"]]:
        """Return new prompts and their labels without noise; a key, other prompts."""
        xs, ys, exact = self.prompts.sample(self.num_prompts, _stream(self.seed, key))
        return PromptBatch(xs, ys[:, :-1]), exact


def _stream(seed: int, key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key,)))


def _parts(config: TrainedAndBuilt) -> tuple[str, ...]:
    return ("run",)


def _compute(config: TrainedAndBuilt, part: str, checkpoint: Checkpoint) -> Arrays:
    """Train, from the checkpoint if there is one, build, and compare."""
    saved = checkpoint.load()
    run = (
        TrainingRun(config.training)
        if saved is None
        else TrainingRun.restored(config.training, saved)
    )
    train(run, lambda now: checkpoint.save(now.save()))
    records = run.records()
    (trained,) = run.models()
    built = Section12.of(
        compile_posterior_mean(
            config.prompts.mixture, config.max_examples, layers=config.built_layers
        )
    )
    return {
        "training/steps": records.steps,
        "training/losses": records.losses[:, 0],
        **_answers(config, trained, built),
        **_sensitivities(config, trained, built),
        **_probes(config, trained, built),
    }


def _combine(config: TrainedAndBuilt, parts: Mapping[str, Arrays]) -> Arrays:
    return {
        **parts["run"],
        "num_examples": prefix_lengths(config.max_examples),
        "components": config.prompts.mixture.components,
    }


def _answers(config: TrainedAndBuilt, trained: nn.Module, built: nn.Module) -> Arrays:
    """What they answer."""
    mixture = config.prompts.mixture
    prompts, exact = config.new_prompts(_NEW_PROMPTS)
    candidates: dict[str, Predictor] = {
        "posterior_mean": PosteriorMean(mixture),
        "built": ModelPredictor(built, "built"),
        "argmin": Argmin(mixture),
        "ridge": Ridge(config.noise_std**2),
    }
    comparison = compare(
        ModelPredictor(trained),
        candidates,
        prompts,
        exact,
        _stream(config.seed, _BOOTSTRAP),
        name="trained",
        trials=config.bootstrap_trials,
    )
    return comparison.as_arrays()


def _sensitivities(config: TrainedAndBuilt, trained: nn.Module, built: nn.Module) -> Arrays:
    """How their answers move with each example."""
    prompts, _ = config.new_prompts(_NEW_PROMPTS)
    found = {
        "exact": posterior_mean_sensitivity(config.prompts.mixture, prompts),
        "trained": model_sensitivity(trained, prompts),
        "built": model_sensitivity(built, prompts),
    }
    arrays: dict[str, np.ndarray] = {}
    norms: Mapping[str, Callable[[Sensitivity], np.ndarray]] = {
        "labels": lambda of: np.abs(of.labels),
        "covariates": lambda of: np.linalg.norm(of.covariates, axis=-1),
    }
    seen = np.tri(config.max_examples, dtype=bool)
    for kind, norm in norms.items():
        for who, sensitivity in found.items():
            rng = _stream(config.seed, _BOOTSTRAP)
            sizes = norm(sensitivity)[:, seen]
            band = bootstrap_band(sizes, rng, trials=config.bootstrap_trials)
            for name, values in band.as_arrays(f"sensitivity/{kind}/{who}").items():
                arrays[name] = np.full(seen.shape, np.nan)
                arrays[name][seen] = values
        exact = getattr(found["exact"], kind)
        for who in ("trained", "built"):
            agreement = _agreement(getattr(found[who], kind), exact)
            for name, values in agreement.items():
                arrays[f"sensitivity/{kind}/{name}/{who}"] = values
    return arrays


def _agreement(
    own: Float[np.ndarray, "batch k k *d"], exact: Float[np.ndarray, "batch k k *d"]
) -> dict[str, Float[np.ndarray, " k"]]:
    """Relative squared distance and correlation for each n, over prompts and examples i <= n."""
    distances, correlations = [], []
    for n in range(1, own.shape[1] + 1):
        a, b = own[:, n - 1, :n].ravel(), exact[:, n - 1, :n].ravel()
        # A posterior that is decided to the last digit has derivatives 0.
        varies = bool(np.ptp(a) > 0 and np.ptp(b) > 0)
        distances.append(float(np.sum((a - b) ** 2) / np.sum(b**2)) if varies else np.nan)
        correlations.append(float(np.corrcoef(a, b)[0, 1]) if varies else np.nan)
    return {"distance": np.array(distances), "correlation": np.array(correlations)}


def _probes(config: TrainedAndBuilt, trained: nn.Module, built: nn.Module) -> Arrays:
    """What is in their residual streams."""
    mixture, training = config.prompts.mixture, config.training
    sets = [config.new_prompts(key)[0] for key in (_FITTED, _HELD_OUT)]
    odds = [log_odds(mixture, prompts) for prompts in sets]
    cells = [undecided(own) for own in odds]
    pooled = [own & (np.arange(own.shape[1]) > 0) for own in cells]
    targets = {
        "log_odds": odds,
        "posterior": [_posterior(own) for own in odds],
    }
    arrays: dict[str, np.ndarray] = {"probe/cells": cells[0].sum(axis=0).astype(np.int64)}
    models = {
        "trained": trained,
        "untrained": new_model(training, config.seed).eval(),
        "built": built,
    }
    for who, model in models.items():
        states = list(zip(*(covariate_states(model, prompts) for prompts in sets), strict=True))
        for name, (fitted, held_out) in targets.items():
            arrays[f"probe/{name}/{who}"] = np.array(
                [
                    explained_variance(
                        own[pooled[0]], fitted[pooled[0]], other[pooled[1]], held_out[pooled[1]]
                    )
                    for own, other in states
                ]
            )
        arrays[f"probe/log_odds/{who}/prefixes"] = np.array(
            [
                [_at_prefix(n, state, odds, cells) for n in range(len(odds[0][0]))]
                for state in states
            ]
        )
    return arrays


def _posterior(
    odds: Float[np.ndarray, "batch prefixes others"],
) -> Float[np.ndarray, "batch prefixes others"]:
    """p_2, ..., p_m of log p_j / p_1."""
    scores = np.concatenate([np.zeros_like(odds[:, :, :1]), odds], axis=-1)
    return np.asarray(softmax(scores, axis=-1)[:, :, 1:])


def _at_prefix(
    n: int,
    states: tuple[np.ndarray, np.ndarray],
    odds: list[np.ndarray],
    cells: list[np.ndarray],
) -> float:
    """R^2 of the map for prompts of n examples."""
    (own, fitted), (other, held_out) = (
        (state[kept[:, n], n], target[kept[:, n], n])
        for state, target, kept in zip(states, odds, cells, strict=True)
    )
    return explained_variance(own, fitted, other, held_out)


_PRESETS: Final[Mapping[Preset, Mapping[str, TrainedAndBuilt]]] = MappingProxyType(
    {
        "smoke": {
            "m=2": TrainedAndBuilt(
                2, 2, 1.0, 4, layers=2, heads=2, width=16, steps=60, batch_size=16,
                num_prompts=128, bootstrap_trials=100,
            )
        },
        "laptop": {"m=3": TrainedAndBuilt()},
    }
)  # fmt: skip

EXPERIMENTS: tuple[Experiment[TrainedAndBuilt], ...] = (
    Experiment(
        name="pathak2023-trained-and-built",
        title="A trained and a hand-built transformer: answers, sensitivity to each example,"
        " residual streams",
        source="Pathak et al. 2023, Theorem 1 and Figure 4, side by side",
        config_type=TrainedAndBuilt,
        parts=_parts,
        compute=_compute,
        combine=_combine,
        presets=_PRESETS,
    ),
)
