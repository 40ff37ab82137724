"""What the step size 0.1 of Pathak et al. 2023, Appendix C, can mean: one training for each.

"We trained our transformers using Adam, with a constant step size of 0.1." Garg et al. 2022, whose
recipe the paper follows, train with Adam at 1e-4, which is 0.1 times torch's default for Adam,
1e-3. So models are trained at constant step sizes from 1e-4 to 0.1, all else alike, and at 0.1 with
what could save it: gradients of norm at most 1, and a warm-up.

Arrays of a run, beside those of `simulations.experiments.transformer_training` (whose seeds are
parts of each training): ``step_sizes`` and ``clipped``, one entry for each training; ``losses``,
shape (trainings, seeds, records), mean squared errors over batches between records, noise included
and not divided by d, NaN from where training diverged; ``zero``, that of the zero predictor,
d + sigma^2; ``optimal``, that of the posterior mean over all positions, by sampling; ``steps``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from simulations.experiments.experiment import Arrays, Checkpoint, Experiment
from simulations.experiments.transformer_training import evaluation_stream
from simulations.transformers import (
    DivergedError,
    MixturePrompts,
    ModelConfig,
    Steps,
    TrainingRun,
    TransformerTraining,
    train,
)
from theory import PromptBatch
from theory.validation import Problems

__all__ = ["EXPERIMENTS", "StepSizes"]

#: Prompts that the optimal loss is a mean over, and the key of their stream.
_PROMPTS, _OPTIMAL = 16_384, 0

#: Largest norm of the gradient, and steps of warm-up, of the trainings that are helped.
_CLIP, _WARM_UP = 1.0, 100

_TOLD = "helped-"


@dataclass(frozen=True)
class StepSizes:
    """One training, repeated with other step sizes.

    Parameters
    ----------
    training
        On a mixture; its step size is replaced, its warm-up, decay and clip are left out.
    step_sizes
        Constant step sizes, > 0, all different.
    helped
        Those that are also tried with clipped gradients and a warm-up.

    Raises
    ------
    ValueError
        If a number is out of range, or the prompts are of another kind; all problems are listed at
        once.
    """

    training: TransformerTraining = field(default_factory=TransformerTraining)
    step_sizes: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    helped: tuple[float, ...] = (1e-1,)

    def __post_init__(self) -> None:
        problems = Problems("StepSizes")
        for name in ("step_sizes", "helped"):
            sizes = tuple(
                problems.number(f"{name}[{i}]", size, 0.0, strict=True)
                for i, size in enumerate(getattr(self, name))
            )
            if len(set(sizes)) < len(sizes):
                problems.add(f"{name} is {sizes}; expected no size twice")
            object.__setattr__(self, name, sizes)
        if not self.step_sizes:
            problems.add("step_sizes is empty; expected at least one")
        if not isinstance(self.training.prompts, MixturePrompts):
            problems.add(f"prompts are of kind {self.training.prompts.kind!r}; expected 'mixture'")
        problems.raise_if_any()


def _trainings(config: StepSizes) -> dict[str, TransformerTraining]:
    """The trainings by the names of their parts."""
    steps = replace(config.training.steps, betas=(0.9, 0.999), warm_up=0, decay="none", clip=None)
    helped = replace(steps, warm_up=_WARM_UP, clip=_CLIP)
    own = {f"{size!r}": replace(steps, step_size=size) for size in config.step_sizes}
    own |= {f"{_TOLD}{size!r}": replace(helped, step_size=size) for size in config.helped}
    return {name: replace(config.training, steps=chosen) for name, chosen in own.items()}


def _parts(config: StepSizes) -> tuple[str, ...]:
    return tuple(_trainings(config))


def _compute(config: StepSizes, part: str, checkpoint: Checkpoint) -> Arrays:
    """Train at one step size, as far as it goes."""
    training, saved = _trainings(config)[part], checkpoint.load()
    run = TrainingRun(training) if saved is None else TrainingRun.restored(training, saved)
    with suppress(DivergedError):  # what was recorded before stands
        train(run, lambda now: checkpoint.save(now.save()))
    losses = np.full((len(training.seeds), training.records), np.nan)
    found = run.records().losses.T
    losses[:, : found.shape[1]] = np.where(found > 0, found, np.nan)
    return {"losses": losses}


def _combine(config: StepSizes, parts: Mapping[str, Arrays]) -> Arrays:
    names, law = list(_trainings(config)), config.training.prompts
    if not isinstance(law, MixturePrompts):  # refused when it was made
        raise TypeError(f"prompts are of kind {law.kind!r}; expected 'mixture'")
    xs, ys, exact = law.sample(_PROMPTS, evaluation_stream(0, _OPTIMAL))
    best = law.mixture.posterior_mean_all_prefixes(PromptBatch(xs, ys[:, :-1]))
    return {
        "step_sizes": np.array([float(name.removeprefix(_TOLD)) for name in names]),
        "clipped": np.array([name.startswith(_TOLD) for name in names]),
        "losses": np.stack([parts[name]["losses"] for name in names]),
        "steps": np.array(config.training.record_steps),
        "zero": np.array(law.dim + law.noise_std**2),
        "optimal": np.array(float(np.mean((best - exact) ** 2)) + law.noise_std**2),
    }


def _training(law: MixturePrompts, model: ModelConfig, count: int) -> TransformerTraining:
    return TransformerTraining(law, model, Steps(count, 64), seeds=(0,), records=20)


EXPERIMENTS: tuple[Experiment[StepSizes], ...] = (
    Experiment(
        name="pathak2023-step-sizes",
        title="Constant step sizes of Adam from 1e-4 to 0.1",
        source="Pathak et al. 2023, Appendix C",
        config_type=StepSizes,
        parts=_parts,
        compute=_compute,
        combine=_combine,
        presets={
            "smoke": {
                "m=2": StepSizes(
                    _training(
                        MixturePrompts(2, 2, 0.5, 6), ModelConfig(layers=1, heads=2, width=16), 40
                    ),
                    (1e-3, 1e-1),
                )
            },
            "laptop": {
                "width 64": StepSizes(
                    _training(MixturePrompts(5, 5, 1.0, 15), ModelConfig(heads=8), 1000)
                ),
            },
        },
    ),
)
