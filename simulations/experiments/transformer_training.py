"""What the experiments on trained transformers share: parts, training with checkpoints, weights.

A config of such an experiment holds a `simulations.transformers.TransformerTraining`. On the CPU
each of its seeds is a part, for a core of its own; on a GPU they are one part, trained side by
side. Arrays of a run, for every seed: ``seed-S/weights/NAME``, the trained weights by the names of
the model's parameters (float32), ``seed-S/loss`` and ``seed-S/gradient_norm``, means between
records; and ``steps``, the numbers of steps at the records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from simulations.experiments.experiment import Arrays, Checkpoint
from simulations.transformers import TrainingRun, TransformerTraining, train
from simulations.transformers.models import new_model
from simulations.transformers.predictor import ModelPredictor

__all__ = ["evaluation_stream", "seed_parts", "trained", "trained_predictor", "training_arrays"]

#: Key of the streams that evaluations draw from, beside those of the training.
_EVALUATION = 10


def seed_parts(training: TransformerTraining) -> Mapping[str, TransformerTraining]:
    """Return the trainings that are parts of their own, by name."""
    if training.device == "cuda":
        return {"all seeds": training}
    return {f"seed-{seed}": replace(training, seeds=(seed,)) for seed in training.seeds}


def trained(training: TransformerTraining, checkpoint: Checkpoint) -> TrainingRun:
    """Train, from the checkpoint if there is one."""
    saved = checkpoint.load()
    run = TrainingRun(training) if saved is None else TrainingRun.restored(training, saved)
    return train(run, lambda now: checkpoint.save(now.save()))


def training_arrays(run: TrainingRun) -> Arrays:
    """Return weights and records of a finished training, as in the module's docstring."""
    records = run.records()
    arrays: dict[str, np.ndarray] = {"steps": records.steps}
    for i, (seed, weights) in enumerate(zip(run.config.seeds, run.weights(), strict=True)):
        arrays |= {f"seed-{seed}/weights/{name}": w.numpy() for name, w in weights.items()}
        arrays[f"seed-{seed}/loss"] = records.losses[:, i]
        arrays[f"seed-{seed}/gradient_norm"] = records.gradient_norms[:, i]
    return arrays


def trained_predictor(training: TransformerTraining, arrays: Arrays, seed: int) -> ModelPredictor:
    """Return the model of a seed from the arrays of a run.

    Parameters
    ----------
    training
        The config of the run.
    arrays
        Its arrays.
    seed
        One of the config's.

    Raises
    ------
    ValueError
        If the run has no such seed.
    """
    start = f"seed-{seed}/weights/"
    weights = {
        name.removeprefix(start): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith(start)
    }
    if not weights:
        raise ValueError(f"the run has no seed {seed}; expected one of {training.seeds}")
    model = new_model(training, seed)
    model.load_state_dict(weights)
    return ModelPredictor(model.eval())


def evaluation_stream(seed: int, *key: int) -> np.random.Generator:
    """Return the generator of a stream of prompts that no training sees."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_EVALUATION, *key)))
