"""Transformers trained on prompts: GPT-2s, and the architecture of pathak2023, Section 1.2.

>>> from simulations.transformers import (
...     MixturePrompts, ModelConfig, Steps, TrainingRun, TransformerTraining, train
... )
>>> config = TransformerTraining(
...     MixturePrompts(num_components=2, dim=2, num_examples=4),
...     ModelConfig(layers=1, heads=2, width=16),
...     Steps(count=20, batch_size=8, warm_up=5),
...     seeds=(0, 1),
...     records=2,
... )
>>> trained = train(TrainingRun(config))
>>> trained.records().losses.shape
(2, 2)
"""

from simulations.transformers.config import (
    Curriculum,
    ModelConfig,
    Steps,
    TrainingSet,
    TransformerTraining,
)
from simulations.transformers.prompts import (
    GaussianPrompts,
    MixturePrompts,
    NonlinearPrompts,
    RandomMixturePrompts,
)
from simulations.transformers.run import DivergedError, Records, TrainingRun, train

__all__ = [
    "Curriculum",
    "DivergedError",
    "GaussianPrompts",
    "MixturePrompts",
    "ModelConfig",
    "NonlinearPrompts",
    "RandomMixturePrompts",
    "Records",
    "Steps",
    "TrainingRun",
    "TrainingSet",
    "TransformerTraining",
    "train",
]
