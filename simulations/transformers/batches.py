"""The prompts of every step: fresh ones, or some of a fixed set, as long as the curriculum says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from simulations.transformers.config import TransformerTraining
from simulations.transformers.prompts import Prompts, Sample

__all__ = ["Batches"]

#: Keys of the streams of a seed: of a step, and of a training set.
_STEP, _SET = 1, 3


class Batches:
    """The batches of a training; a batch depends on the seed and the number of the step alone.

    Parameters
    ----------
    config
        The training.
    """

    def __init__(self, config: TransformerTraining) -> None:
        self._config = config
        self._laws: dict[int, Prompts] = {}
        self._set: Sample | None = None
        if config.training_set is not None:
            rng = _stream(config.training_set.seed, _SET)
            self._set = config.prompts.sample(config.training_set.size, rng)

    def __call__(
        self, seed: int, step: int
    ) -> tuple[Float[np.ndarray, "batch points d"], Float[np.ndarray, "batch points"]]:
        """Return covariates and labels, the query's included.

        Parameters
        ----------
        seed
            Of the model.
        step
            0, 1, ...
        """
        config, size = self._config, self._config.steps.batch_size
        rng, curriculum = _stream(seed, _STEP, step), self._config.curriculum
        points, active = config.prompts.num_examples + 1, None
        if curriculum is not None:
            points = curriculum.points_at(step, points)
            active = curriculum.dim_at(step, config.prompts.dim)
        if self._set is not None:
            return _subset(self._set, rng, size, points)
        # A law draws its components when it is first asked for prompts: keep it.
        if points not in self._laws:
            self._laws[points] = replace(config.prompts, num_examples=points - 1)
        xs, ys, _ = self._laws[points].sample(size, rng, active)
        return xs, ys


def _subset(
    prompts: Sample, rng: np.random.Generator, size: int, length: int
) -> tuple[Float[np.ndarray, "size length d"], Float[np.ndarray, "size length"]]:
    """Some prompts of a set; of each, some examples in random order."""
    xs, ys, _ = prompts
    chosen = rng.choice(len(xs), size, replace=False, shuffle=False)[:, None]
    order = np.argsort(rng.random((size, xs.shape[1])), axis=1)[:, :length]
    return xs[chosen, order], ys[chosen, order]


def _stream(seed: int, *key: int) -> np.random.Generator:
    # Quick to make: one for every step.
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=key)))
