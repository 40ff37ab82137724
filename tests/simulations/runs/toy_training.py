"""A training run that saves its state, for the test that kills it."""

from __future__ import annotations

from collections.abc import Mapping

from simulations.experiments.experiment import Arrays, Checkpoint, Experiment
from simulations.training import (
    Assumption3Start,
    FixedCovarianceTasks,
    Training,
    TrainingConfig,
    config_as_json,
    config_from_json,
)


def compute(config: TrainingConfig, part: str, checkpoint: Checkpoint) -> Arrays:
    state = checkpoint.load()
    run = Training(config) if state is None else Training.restored(config, state)
    for step in config.checkpoint_steps:
        if step > run.step:
            run.advance(step)
            checkpoint.save(run.save())
    trained = run.result()
    return {
        "projection_value": trained.projection_value,
        "key_query": trained.key_query,
        "loss": trained.trace.loss,
    }


def combine(config: TrainingConfig, parts: Mapping[str, Arrays]) -> Arrays:
    return parts["training"]


TRAINING = Experiment(
    name="toy-training",
    title="Linear attention trained for a moment",
    source="nowhere",
    config_type=TrainingConfig,
    parts=lambda config: ("training",),
    compute=compute,
    combine=combine,
    presets={},
    encode=config_as_json,
    decode=config_from_json,
)

TASKS = FixedCovarianceTasks(((1.0, 0.3), (0.3, 1.0)), prompt_length=10)

KILLED = [
    (
        TRAINING,
        TrainingConfig(
            TASKS,
            Assumption3Start(0.4),
            steps=150,
            step_size=0.01,
            batch_size=128,
            optimiser=optimiser,
            average_from=0.5,
            checkpoints=10,
        ),
    )
    for optimiser in ("sgd", "adam")
]

# The first optimiser imports much of torch: once here, not after every kill.
Training(KILLED[0][1])
