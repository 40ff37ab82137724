"""One small law of prompts of each kind, and trainings of a blink each."""

import dataclasses
import functools

from simulations.transformers import (
    Curriculum,
    GaussianPrompts,
    MixturePrompts,
    ModelConfig,
    NonlinearPrompts,
    RandomMixturePrompts,
    Steps,
    TrainingRun,
    TrainingSet,
    TransformerTraining,
    train,
)

LAWS = {
    "mixture": MixturePrompts(3, 3, 0.5, 4, components_seed=2),
    "gaussian": GaussianPrompts(3, 0.5, 4),
    "exponential": GaussianPrompts(3, 0.5, 4, covariance="exponential"),
    "random mixture": RandomMixturePrompts(2, 3, 0.5, 4),
    "nonlinear": NonlinearPrompts(3, 3, 0.5, 4, hidden=6, components_seed=2),
}

QUICK = TransformerTraining(
    LAWS["mixture"],
    ModelConfig(layers=2, heads=2, width=8),
    Steps(count=13, batch_size=6, warm_up=3),
    records=4,
)
DROPPED = ModelConfig(layers=2, heads=2, width=8, dropout=0.2)
PLAIN = ModelConfig("section-1.2", layers=2, heads=2, width=8, init_std=0.5)


def changed(**changes):
    return dataclasses.replace(QUICK, **changes)


#: Every way to train that a CPU has, but for compiled models.
RUNS = {
    "plain": QUICK,
    "constant": changed(steps=Steps(13, 6, 0.01, (0.8, 0.9), warm_up=0, decay="none")),
    "without positions": changed(model=ModelConfig(layers=1, heads=2, width=8, positions="none")),
    "spare positions": changed(model=ModelConfig(layers=1, heads=2, width=8, max_examples=7)),
    "seeds": changed(seeds=(3, 0, 7)),
    "dropout": changed(model=DROPPED, seeds=(3, 0)),
    "clip": changed(steps=Steps(13, 6, warm_up=3, clip=0.5), seeds=(3, 0)),
    "curriculum": changed(curriculum=Curriculum(dim=1, points=2, every=3)),
    "training set": changed(training_set=TrainingSet(20, seed=1), model=DROPPED),
    "set and curriculum": changed(
        training_set=TrainingSet(6), curriculum=Curriculum(dim=3, points=2, every=2)
    ),
    "bfloat16": changed(precision="bfloat16", model=DROPPED),
    "section 1.2": changed(model=PLAIN, seeds=(3, 0)),
    "section 1.2, bfloat16": changed(model=PLAIN, precision="bfloat16"),
    **{name: changed(prompts=law) for name, law in LAWS.items() if name != "mixture"},
}


def bits(run):
    """All that a training leaves, bit by bit: weights, and records."""
    records = run.records()
    arrays = [tensor.numpy() for own in run.weights() for tensor in own.values()]
    arrays += [records.steps, records.losses, records.gradient_norms]
    return [(a.dtype, a.shape, a.tobytes()) for a in arrays]


@functools.cache
def undisturbed(name):
    """The bits of one of `RUNS`, from its start to its end."""
    return bits(train(TrainingRun(RUNS[name])))
