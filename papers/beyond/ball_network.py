"""A network of Section 1.2 in ball arithmetic: rigorous enclosures of what it answers.

Written from the formulas of the paper, on python-flint's balls, and independent of torch: every
number that comes out contains the exact value for the given float64 weights. Variants of the
architecture, with one part replaced, are for the mutants of the statements.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from flint import arb, arb_mat
from jaxtyping import Float

from constructions.architecture import LayerWeights


@dataclass(frozen=True)
class Architecture:
    """The parts of a layer; the default is pathak2023, Section 1.2.

    Parameters
    ----------
    layer_norm
        Whether the feed-forward part reads lambda(v), or v itself.
    hidden
        What a neuron makes of its input u: gelu(u); max(u, 0)^2; or gated: gelu(u) times the
        input of the next neuron.
    sees_itself
        Whether a column attends to itself as well.
    softmax
        Whether logits go through the softmax, or weigh the values as they are.
    """

    layer_norm: bool = True
    hidden: Literal["gelu", "squared relu", "gated gelu"] = "gelu"
    sees_itself: bool = False
    softmax: bool = True


SECTION_1_2 = Architecture()


@dataclass(frozen=True)
class Network:
    """Layers with an embedding of prompts and a linear read-out of the query's column.

    Parameters
    ----------
    layers
        The weights.
    constants
        What stands in the stream beside the tokens (p, q), by column; the prompt's columns last.
    embedding
        E (p, d): a token z in column i makes it constants_i + E z.
    readout
        c (p,): the answer is <c, h> for the last column h.
    architecture
        The parts of a layer.
    """

    layers: tuple[LayerWeights, ...]
    constants: Float[np.ndarray, "p q"]
    embedding: Float[np.ndarray, "p d"]
    readout: Float[np.ndarray, " p"]
    architecture: Architecture = SECTION_1_2

    def states(self, prompt: arb_mat) -> list[arb_mat]:
        """Return the stream (p, q) before, between and after the layers, for tokens (d, 2k+1)."""
        state = balls(self.constants)
        tokens = balls(self.embedding) * prompt
        before = state.ncols() - tokens.ncols()
        for row in range(tokens.nrows()):
            for column in range(tokens.ncols()):
                state[row, before + column] += tokens[row, column]
        states = [state]
        for weights in self.layers:
            attended = states[-1] + attention(weights, states[-1], self.architecture)
            states.append(attended + feed_forward(weights, attended, self.architecture))
        return states

    def linear_part(self, query: arb_mat) -> arb:
        """Return <c, constants + E x> for the query x (d, 1): the answer of no layers at all."""
        last = column_of(balls(self.constants), self.constants.shape[1] - 1)
        return (balls(self.readout[None]) * (last + balls(self.embedding) * query))[0, 0]

    def answer(self, state: arb_mat) -> arb:
        """Return <c, h> for the last column of a state."""
        return (balls(self.readout[None]) * column_of(state, state.ncols() - 1))[0, 0]


def balls(array: Float[np.ndarray, "rows columns"]) -> arb_mat:
    """Return float64 entries as exact balls."""
    return arb_mat([[arb(float(entry)) for entry in row] for row in array])


def column_of(matrix: arb_mat, column: int) -> arb_mat:
    """Return one column (from 0) as a matrix of one column."""
    return arb_mat([[matrix[row, column]] for row in range(matrix.nrows())])


def first_columns(matrix: arb_mat, count: int) -> arb_mat:
    """Return the first columns."""
    rows = range(matrix.nrows())
    return arb_mat([[matrix[row, column] for column in range(count)] for row in rows])


def attention(weights: LayerWeights, H: arb_mat, architecture: Architecture) -> arb_mat:
    """Return a_i = sum_heads W^C W^V H_{:i} softmax((W^K H_{:i})' W^Q h_i), a_1 = 0, (p, q).

    Source: pathak2023, Section 1.2.
    """
    p, q = H.nrows(), H.ncols()
    total = arb_mat(p, q)
    own = 1 if architecture.sees_itself else 0
    for query, key, value, output in heads_of(weights):
        logits = (key * H).transpose() * (query * H)
        weighted = arb_mat(q, q)
        for i in range(1, q):
            seen = [logits[j, i] for j in range(i + own)]
            for j, weight in enumerate(softmax(seen) if architecture.softmax else seen):
                weighted[j, i] = weight
        total = total + output * (value * H * weighted)
    return total


def heads_of(weights: LayerWeights) -> Iterator[tuple[arb_mat, arb_mat, arb_mat, arb_mat]]:
    """Yield W^Q, W^K, W^V, W^C of every head."""
    for head in zip(weights.query, weights.key, weights.value, weights.output, strict=True):
        query, key, value, output = (balls(matrix.double().numpy()) for matrix in head)
        yield query, key, value, output


def softmax(logits: Sequence[arb]) -> list[arb]:
    """Return softmax of balls, shifted by the midpoint of the largest."""
    largest = max(logit.mid() for logit in logits)
    powers = [(logit - largest).exp() for logit in logits]
    total = sum(powers, arb(0))
    return [power / total for power in powers]


def feed_forward(weights: LayerWeights, V: arb_mat, architecture: Architecture) -> arb_mat:
    """Return W_out gelu(W_in lambda(v)) for every column v, (p, q). Source: Section 1.2."""
    if not weights.inward.shape[0]:
        return arb_mat(V.nrows(), V.ncols())
    read = layer_norm(V) if architecture.layer_norm else V
    inputs = balls(weights.inward.double().numpy()) * read
    rows, columns = range(inputs.nrows()), range(inputs.ncols())
    hidden = arb_mat(
        [[_neuron(inputs, row, column, architecture) for column in columns] for row in rows]
    )
    return balls(weights.outward.double().numpy()) * hidden


def layer_norm(V: arb_mat) -> arb_mat:
    """Return lambda(v) = sqrt(p) (v - mean(v) 1) / |v - mean(v) 1| for every column v."""
    p, result = V.nrows(), arb_mat(V.nrows(), V.ncols())
    for column in range(V.ncols()):
        entries = [V[row, column] for row in range(p)]
        mean = sum(entries, arb(0)) / p
        centred = [entry - mean for entry in entries]
        scale = (arb(p) / sum((entry * entry for entry in centred), arb(0))).sqrt()
        for row, entry in enumerate(centred):
            result[row, column] = entry * scale
    return result


def gelu(u: arb) -> arb:
    """Return u Phi(u) = u erfc(-u / sqrt 2) / 2."""
    return u * (-u / arb(2).sqrt()).erfc() / 2


def _neuron(inputs: arb_mat, row: int, column: int, architecture: Architecture) -> arb:
    u = inputs[row, column]
    if architecture.hidden == "squared relu":
        # relu(u)^2 = u (u + |u|) / 2.
        return u * (u + abs(u)) / 2
    if architecture.hidden == "gated gelu":
        return gelu(u) * inputs[(row + 1) % inputs.nrows(), column]
    return gelu(u)
