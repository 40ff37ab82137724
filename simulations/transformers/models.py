"""Makes the models of a config, and says what their tokens are."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from constructions.gpt2 import GPT2, GPT2Shape
from simulations.transformers.config import TransformerTraining
from simulations.transformers.section_1_2 import Section12

__all__ = ["new_model", "tokens_of"]

#: Key of the stream of a seed that the first weights are drawn from.
_START = 2


def new_model(config: TransformerTraining, seed: int) -> nn.Module:
    """Return a model as it is before the first step, on the CPU, float32.

    Parameters
    ----------
    config
        The training.
    seed
        Of the weights: one of the config's.
    """
    own, dim = config.model, config.prompts.dim
    entropy = np.random.SeedSequence(seed, spawn_key=(_START,)).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(entropy[0] >> 1))
    if own.architecture == "section-1.2":
        sizes = (own.layers, own.heads, own.width)
        return Section12.random(sizes, dim, config.num_positions, own.weight_std, generator)
    shape = GPT2Shape(own.layers, own.heads, own.width, 4 * own.width, "gelu_new")
    model = GPT2(shape, dim, config.num_positions, dropout=own.dropout)
    model.initialise(own.weight_std, generator)
    return model


def tokens_of(
    xs: Float[np.ndarray, "*batch points d"], ys: Float[np.ndarray, "*batch examples"]
) -> Float[Tensor, "*batch columns d"]:
    """Return the tokens x_1, (y_1, 0, ..., 0), x_2, ..., x_points of prompts, float64.

    Parameters
    ----------
    xs
        Covariates.
    ys
        Labels, one less than covariates: the query has none.
    """
    tokens = np.zeros((*xs.shape[:-2], 2 * xs.shape[-2] - 1, xs.shape[-1]))
    tokens[..., 0::2, :] = xs
    tokens[..., 1::2, 0] = ys
    return torch.from_numpy(tokens)
