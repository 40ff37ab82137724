"""GPT-2 on linear regression, and on prompts longer than it was trained on: Zhang et al., Figure 1.

Models with and without learned positions are trained on prompts of N examples, with covariates of
a fixed or of a random covariance, and asked with up to `longest` of them. Positions beyond N keep
the values that they were drawn with: the paper conjectures that they cause the spike of the error
beyond N, which a model without positions then cannot have.

Arrays of a run, beside those of `simulations.experiments.transformer_training`: ``num_examples`` is
M = 0..`longest`; errors are those against <w, x_query>, divided by d (the zero predictor has 1 for
Lambda = I and E tr(Lambda) / d = c else), with ``mean``, ``low``, ``high`` and ``standard_error``.
The laws of the prompts are ``fixed``, x ~ N(0, I), and ``random-C``, x ~ N(0, C Lambda) with Lambda
diagonal, its entries exponential of mean 1.

- ``LAW/least_squares``, ``LAW/zero``: of the baselines.
- ``LAW/linear_attention/limit``: what is left of the error of linear self-attention for M and N to
  infinity, trained on random covariances of scale 1 (eq. (23) for ``random-1``).
- ``seed-S/LAW``: of the trained model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from simulations.bootstrap import bootstrap_band
from simulations.experiments.error_curves import prefix_lengths
from simulations.experiments.experiment import Arrays, Checkpoint, Experiment
from simulations.experiments.transformer_training import (
    evaluation_stream,
    seed_parts,
    trained,
    training_arrays,
)
from simulations.transformers import (
    Curriculum,
    GaussianPrompts,
    ModelConfig,
    Steps,
    TransformerTraining,
)
from simulations.transformers.predictor import ModelPredictor
from theory import LeastSquares, Predictor, PromptBatch, Zero
from theory.validation import Problems

__all__ = ["EXPERIMENTS", "GaussianTransformers"]

#: The scales C of the random covariances; 0 stands for the fixed one.
_LAWS: Final[Mapping[str, float]] = MappingProxyType(
    {"fixed": 0.0, "random-1": 1.0, "random-4": 4.0, "random-9": 9.0}
)

#: Keys of the streams of the evaluation.
_PROMPTS, _BOOTSTRAP = 0, 1

_BASELINES = "baselines"


@dataclass(frozen=True)
class GaussianTransformers:
    """A training on linear regression, and the prompts that the trained models are judged by.

    Parameters
    ----------
    training
        On `simulations.transformers.GaussianPrompts`; with learned positions `model.max_examples`
        must be at least `longest`.
    longest
        The most examples of a prompt, at least those of training.
    num_prompts
        New prompts of each law, >= 2, the same for every predictor.
    bootstrap_trials
        Of the bands, >= 1.
    seed
        Of the new prompts, >= 0.

    Raises
    ------
    ValueError
        If a number is out of range, or the prompts of training are of another kind; all problems
        are listed at once.
    """

    training: TransformerTraining = field(
        default_factory=lambda: TransformerTraining(GaussianPrompts(), ModelConfig(max_examples=60))
    )
    longest: int = 60
    num_prompts: int = 4096
    bootstrap_trials: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("GaussianTransformers")
        prompts, model = self.training.prompts, self.training.model
        least = {"num_prompts": 2, "bootstrap_trials": 1, "seed": 0}
        least["longest"] = prompts.num_examples
        for name, lower in least.items():
            object.__setattr__(self, name, problems.count(name, getattr(self, name), lower))
        if not isinstance(prompts, GaussianPrompts):
            problems.add(f"training.prompts are of kind {prompts.kind!r}; expected 'gaussian'")
        room = prompts.num_examples if model.max_examples is None else model.max_examples
        if model.positions == "learned" and room < self.longest:
            problems.add(
                f"longest is {self.longest}, and the model has positions for {room} examples;"
                " expected training.model.max_examples to be at least as large, or positions 'none'"
            )
        problems.raise_if_any()


def linear_attention_limit(scale: float) -> float:
    """Return E |A Lambda w - w|^2_Lambda / d of the limit for M, N to infinity, for w ~ N(0, I).

    Trained on diagonal covariances with exponential entries l, the layer ends at A = a I with
    a = E l^2 / E l^3 = 1/3 (Zhang et al. 2024, eq. (23)); on entries C l its error is
    E [C l (1 - a C l)^2] = C - 2 a C^2 E l^2 + a^2 C^3 E l^3 = C - 4 C^2 / 3 + 2 C^3 / 3, which is
    1/3 for C = 1; on the fixed covariance I it is (1 - a)^2 = 4/9.

    Parameters
    ----------
    scale
        C > 0, or 0 for the fixed covariance.
    """
    if scale == 0:
        return 4 / 9
    return scale - 4 * scale**2 / 3 + 2 * scale**3 / 3


def _parts(config: GaussianTransformers) -> tuple[str, ...]:
    return (_BASELINES, *seed_parts(config.training))


def _compute(config: GaussianTransformers, part: str, checkpoint: Checkpoint) -> Arrays:
    """Train the models of a part and judge them; or judge the baselines."""
    arrays: dict[str, np.ndarray] = {}
    if part == _BASELINES:
        for law, scale in _LAWS.items():
            for name, predictor in (("least_squares", LeastSquares()), ("zero", Zero())):
                arrays |= _errors(config, law, f"{law}/{name}", predictor)
            arrays[f"{law}/linear_attention/limit"] = np.array(linear_attention_limit(scale))
        return arrays
    run = trained(seed_parts(config.training)[part], checkpoint)
    arrays |= training_arrays(run)
    for seed, model in zip(run.config.seeds, run.models(), strict=True):
        for law in _LAWS:
            arrays |= _errors(config, law, f"seed-{seed}/{law}", ModelPredictor(model))
    return arrays


def _errors(config: GaussianTransformers, law: str, start: str, predictor: Predictor) -> Arrays:
    """Errors of a predictor on the prompts of a law, the same for all predictors."""
    scale = _LAWS[law]
    prompts = GaussianPrompts(
        config.training.prompts.dim,
        config.training.prompts.noise_std,
        config.longest,
        "exponential" if scale else "identity",
    )
    stream = evaluation_stream(config.seed, _PROMPTS, list(_LAWS).index(law))
    xs, ys, exact = prompts.sample(config.num_prompts, stream)
    if scale:
        # Labels are linear: of covariates that are sqrt(C) as large, without their noise.
        root = np.sqrt(scale)
        xs, ys, exact = root * xs, ys + (root - 1) * exact, root * exact
    answers = predictor.predict_all_prefixes(PromptBatch(xs, ys[:, :-1]))
    rng = evaluation_stream(config.seed, _BOOTSTRAP)
    squares = (answers - exact) ** 2 / prompts.dim
    return bootstrap_band(squares, rng, trials=config.bootstrap_trials).as_arrays(start)


def _combine(config: GaussianTransformers, parts: Mapping[str, Arrays]) -> Arrays:
    found = {name: array for arrays in parts.values() for name, array in arrays.items()}
    return found | {"num_examples": prefix_lengths(config.longest)}


def _runs(
    prompts: GaussianPrompts,
    model: ModelConfig,
    rest: Callable[[GaussianPrompts, ModelConfig], TransformerTraining],
    longest: int,
    **sizes: int,
) -> dict[str, GaussianTransformers]:
    """Both kinds of covariance, with and without positions."""
    found = {}
    laws = (prompts, replace(prompts, covariance="exponential"))
    models = (
        replace(model, positions="learned", max_examples=longest),
        replace(model, positions="none", max_examples=longest),
    )
    for law in laws:
        for chosen in models:
            kind = "fixed" if law.covariance == "identity" else "random"
            label = f"{kind} covariance, positions {chosen.positions}"
            found[label] = GaussianTransformers(rest(law, chosen), longest, **sizes)
    return found


def _smoke() -> dict[str, GaussianTransformers]:
    steps = Steps(100, 32, warm_up=20)
    return _runs(
        GaussianPrompts(2, 0.0, 6),
        ModelConfig(layers=2, heads=2, width=16),
        lambda law, model: TransformerTraining(law, model, steps, records=10),
        12,
        num_prompts=128,
        bootstrap_trials=100,
    )


def _laptop() -> dict[str, GaussianTransformers]:
    steps = Steps(4000, 64)
    return _runs(
        GaussianPrompts(5, 0.0, 20),
        ModelConfig(layers=3, heads=8, width=64),
        lambda law, model: TransformerTraining(law, model, steps),
        50,
    )


def _paper() -> dict[str, GaussianTransformers]:
    """Appendix E: d = 20, N = 40, 500,000 steps at 1e-4 by the recipe of Garg et al. 2022."""
    steps = Steps(500_000, 64, 1e-4, (0.9, 0.999), warm_up=0, decay="none")
    return _runs(
        GaussianPrompts(20, 0.0, 40),
        ModelConfig(layers=12, heads=8, width=256, init_std=0.02),
        lambda law, model: TransformerTraining(
            law, model, steps, Curriculum(), device="cuda", records=500
        ),
        100,
    )


EXPERIMENTS: tuple[Experiment[GaussianTransformers], ...] = (
    Experiment(
        name="zhang2024-transformers",
        title="GPT-2 trained on linear regression, with and without positions, on longer prompts",
        source="Zhang et al. 2024, Figure 1 and Appendix E",
        config_type=GaussianTransformers,
        parts=_parts,
        compute=_compute,
        combine=_combine,
        presets={"smoke": _smoke(), "laptop": _laptop(), "paper": _paper()},
    ),
)
