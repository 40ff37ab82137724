"""One small law of prompts of each kind, and configs that train in a blink."""

import functools

import numpy as np

from simulations.training import (
    Assumption3Start,
    FixedCovarianceTasks,
    MixtureTasks,
    RandomDiagonalTasks,
    TrainingConfig,
)
from simulations.training.presets import (
    autoregressive,
    presets,
    symmetric_mixture,
    triangle_mixture,
)
from theory.laws import Exponential, Gamma, LogNormal, TwoPoint, Uniform

FIXED = FixedCovarianceTasks(((2.0, 0.5), (0.5, 1.0)), 6)
RANDOM = RandomDiagonalTasks((Exponential(1.0), Uniform(0.5, 2.0), TwoPoint(1.0, 2.0)), 5)
MIXTURE = MixtureTasks(
    ((1.0, 0.0), (0.5, -1.0), (-2.0, 0.3)), ((1.0, 0.2), (0.2, 0.5)), 0.4, 5, (0.5, 0.2, 0.3)
)
TASKS = {
    "fixed": FIXED,
    "random": RANDOM,
    "laws": RandomDiagonalTasks((Gamma(2.0, 0.5), LogNormal(0.0, 0.3)), 4),
    "mixture": MIXTURE,
    "symmetric": symmetric_mixture(6, 0.5),
    "triangle": triangle_mixture(6, 0.5),
    "long": FixedCovarianceTasks(autoregressive(3, 0.3), 12),
}
QUICK = TrainingConfig(FIXED, Assumption3Start(0.4, seed=1), 23, 0.01, 16, checkpoints=4)


def weights(dim, seed=0, scale=0.3):
    """W^PV and W^KQ without a zero."""
    return scale * np.random.default_rng(seed).standard_normal((2, dim + 1, dim + 1))


@functools.cache
def preset(name):
    """A preset, made once: the curvatures behind its step sizes take a while."""
    return presets(name)
