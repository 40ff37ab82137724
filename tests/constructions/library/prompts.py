"""Prompts of linear regression at realistic sizes, and the box that holds them."""

import numpy as np

from constructions.box import Box
from theory import PromptBatch

#: (d, K) up to the sizes of the experiments.
SIZES = ((1, 5), (2, 10), (5, 20))

LARGEST = 3.0


def box_for(dim: int) -> Box:
    return Box.entrywise(dim, LARGEST, 15.0)


def regression_prompts(dim: int, examples: int, batch: int = 10) -> PromptBatch:
    """Standard normal covariates, cut at 3, random weights and labels with noise of size 1/2."""
    rng = np.random.default_rng([dim, examples])
    weights = rng.standard_normal((batch, dim))
    xs = np.clip(rng.standard_normal((batch, examples + 1, dim)), -LARGEST, LARGEST)
    ys = np.einsum("bkd,bd->bk", xs[:, :-1], weights)
    return PromptBatch(xs, ys + 0.5 * rng.standard_normal((batch, examples)))
