"""Networks to try a theorem about all networks on: random ones, and the compiled ones."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from constructions import compile_line_by_line, compile_posterior_mean
from constructions.architecture import LayerWeights
from constructions.library.posterior_mean import initial_matrix
from papers.beyond.ball_network import Architecture, Network
from theory import RegressionMixture

ROWS, HEADS, ATTENTION_WIDTH, FEED_FORWARD_WIDTH, LAYERS = 7, 2, 2, 6, 2


def random_networks(
    dim: int, columns: int, count: int, architecture: Architecture, rng: np.random.Generator
) -> list[Network]:
    """Return networks of normal weights and constants.

    In every other one no logit sees the direction of the last coordinate, so that the softmax does
    not saturate on a query far out; every third one has nearly no feed-forward part, so that what
    attention adds counts.
    """
    networks = []
    for number in range(count):
        embedding = rng.normal(size=(ROWS, dim))
        layers = []
        for _ in range(LAYERS):
            wide, tall = (HEADS, ATTENTION_WIDTH, ROWS), (HEADS, ROWS, ATTENTION_WIDTH)
            shapes = (wide, wide, wide, tall)
            query, key, value, output = (rng.normal(size=shape) for shape in shapes)
            if number % 2:
                query, key = (_blind(matrix, embedding[:, -1]) for matrix in (query, key))
            inward = rng.normal(size=(FEED_FORWARD_WIDTH, ROWS))
            outward = rng.normal(size=(ROWS, FEED_FORWARD_WIDTH)) * (1.0 if number % 3 else 1e-6)
            arrays = (query, key, value, output, inward, outward)
            layers.append(LayerWeights(*(torch.tensor(array) for array in arrays)))
        constants, readout = rng.normal(size=(ROWS, columns)), rng.normal(size=ROWS)
        networks.append(Network(tuple(layers), constants, embedding, readout, architecture))
    return networks


def compiled_networks(mixture: RegressionMixture, num_examples: int) -> list[Network]:
    """Return the networks that compute f*_pi on a box: three layers, two, and line by line."""
    shape = (1, mixture.dim, 2 * num_examples + 1)
    networks = []
    for layers in (3, 2):
        wired = compile_posterior_mean(mixture, num_examples, layers=layers)
        (form,) = wired.answers
        units = wired.stream.units()
        state = wired.embed(np.zeros(shape))
        weights = [layer.weights() for layer in wired.layers]
        networks.append(_network(weights, state, units, form, mixture.dim))
    lines = compile_line_by_line(mixture, num_examples)
    blank = initial_matrix(np.zeros(shape), lines.program.num_rows)
    weights = [layer.weights() for layer in lines.layers]
    form = {lines.program.num_rows - 1: 1.0}
    state, units = lines.embed(blank), lines.stream.units()
    return [*networks, _network(weights, state, units, form, mixture.dim)]


def _network(
    layers: Sequence[LayerWeights],
    blank: Float[torch.Tensor, "1 p q"],
    units: Float[np.ndarray, " p"],
    form: dict[int, float],
    dim: int,
) -> Network:
    embedding, readout = np.zeros((len(units), dim)), np.zeros(len(units))
    embedding[:dim] = np.diag(units[:dim])
    for row, coefficient in form.items():
        readout[row] = coefficient / units[row]
    return Network(tuple(layers), blank[0].double().numpy(), embedding, readout)


def _blind(
    matrix: Float[np.ndarray, "heads width p"], direction: Float[np.ndarray, " p"]
) -> Float[np.ndarray, "heads width p"]:
    """Remove what a matrix makes of one direction."""
    unit = direction / np.linalg.norm(direction)
    blind: Float[np.ndarray, "heads width p"] = matrix - (matrix @ unit)[..., None] * unit
    return blind
