"""Section 1.2: the architecture, as the module that every network here is built on computes it.

The judge is a set of plain loops written from the formulas, one column and one head at a time. The
hand-built networks themselves do not notice small changes of the architecture (their gates and
gaps leave room), so that this statement holds what the others take for granted.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float

from constructions.architecture import Layer, LayerWeights
from papers.ledger import Evidence, Grade, statement

ROWS, COLUMNS, HEADS, ATTENTION_WIDTH, FEED_FORWARD_WIDTH = 5, 6, 2, 3, 7

#: Largest difference of an entry of the layer's output from the judge's.
TOLERANCE = 1e-12

Column = list[float]
LayerClaim = Callable[[LayerWeights], torch.nn.Module]


def _times(matrix: Float[np.ndarray, "rows columns"], vector: Column) -> Column:
    return [sum(float(m) * v for m, v in zip(row, vector, strict=True)) for row in matrix]


def _layer_by_loops(weights: LayerWeights, H: Float[np.ndarray, "p q"]) -> Float[np.ndarray, "p q"]:
    """h_i' = a_i + h_i + W_out gelu(W_in lambda(a_i + h_i)), column by column."""
    query, key, value, output, inward, outward = (
        getattr(weights, name).numpy()
        for name in ("query", "key", "value", "output", "inward", "outward")
    )
    columns = [list(map(float, column)) for column in H.T]
    results = []
    for i, h in enumerate(columns):
        v = list(h)
        for head in range(len(query) if i > 0 else 0):
            q = _times(query[head], h)
            keys = [_times(key[head], earlier) for earlier in columns[:i]]
            logits = [sum(a * b for a, b in zip(k, q, strict=True)) for k in keys]
            powers = [math.exp(z - max(logits)) for z in logits]
            for j, power in enumerate(powers):
                read = _times(output[head], _times(value[head], columns[j]))
                v = [a + power / sum(powers) * b for a, b in zip(v, read, strict=True)]
        mean = sum(v) / len(v)
        norm = math.sqrt(sum((x - mean) ** 2 for x in v))
        normal = [math.sqrt(len(v)) * (x - mean) / norm for x in v]
        hidden = [u / 2 * (1 + math.erf(u / math.sqrt(2))) for u in _times(inward, normal)]
        results.append([a + b for a, b in zip(v, _times(outward, hidden), strict=True)])
    return np.array(results).T


class _Wrong(Layer):
    """A layer with one thing changed."""

    scale = 1.0
    diagonal = 1
    approximate = "none"
    epsilon = 0.0

    def attend(self, H: Float[torch.Tensor, "batch p q"]) -> Float[torch.Tensor, "batch p q"]:
        """Attention with another scale, or another first hidden diagonal."""
        q = H.shape[-1]
        hidden = torch.ones(q, q, dtype=torch.bool).triu(diagonal=self.diagonal - 1)
        total = torch.zeros_like(H)
        for head in range(len(self.query)):
            logits = (self.query[head] @ H).transpose(-1, -2) @ (self.key[head] @ H) * self.scale
            weights = logits.masked_fill(hidden, -torch.inf).softmax(dim=-1).nan_to_num()
            total = total + self.output[head] @ (self.value[head] @ H @ weights.transpose(-1, -2))
        return total

    def feed_forward(self, V: Float[torch.Tensor, "batch p q"]) -> Float[torch.Tensor, "batch p q"]:
        """The feed-forward part with another GeLU or LayerNorm."""
        centred = V - V.mean(dim=-2, keepdim=True)
        variance = (centred**2).mean(dim=-2, keepdim=True) + self.epsilon
        normal = centred / variance.sqrt()
        hidden = torch.nn.functional.gelu(self.inward @ normal, approximate=self.approximate)
        increment: torch.Tensor = self.outward @ hidden
        return increment


def _wrong(**changes: object) -> LayerClaim:
    def build(weights: LayerWeights) -> torch.nn.Module:
        layer = _Wrong(weights)
        for name, value in changes.items():
            setattr(layer, name, value)
        return layer

    return build


@statement(
    id="pathak2023/section-1-2",
    title="The architecture: strictly causal attention, erf GeLU, LayerNorm",
    source="Section 1.2, display (3) and the formulas after it",
    latex=r"h_i' = a_i + h_i + W^{out} \sigma_\bullet(W^{in} \lambda(a_i + h_i)),\quad"
    r" a_i = \sum_j W_j^C W_j^V H_{:i}\, \mathrm{softmax}((W_j^K H_{:i})^\top W_j^Q h_i)",
    printed=Layer,
    mutants={
        "a column sees itself": _wrong(diagonal=2),
        "the previous column is hidden": _wrong(diagonal=0),
        "logits divided by sqrt(d_att)": _wrong(scale=ATTENTION_WIDTH**-0.5),
        "tanh GeLU": _wrong(approximate="tanh"),
        "LayerNorm with epsilon 1e-5": _wrong(epsilon=1e-5),
        "LayerNorm with epsilon 1e-9": _wrong(epsilon=1e-9),
    },
    hypotheses=("no column has equal entries",),
)
def ARCHITECTURE(claim: LayerClaim, rng: np.random.Generator) -> Evidence:
    """Compare the layer with plain loops on random weights and matrices."""
    wide, tall = (HEADS, ATTENTION_WIDTH, ROWS), (HEADS, ROWS, ATTENTION_WIDTH)
    shapes = (wide, wide, wide, tall, (FEED_FORWARD_WIDTH, ROWS), (ROWS, FEED_FORWARD_WIDTH))
    worst = 0.0
    for _ in range(20):
        weights = LayerWeights(*(torch.tensor(0.5 * rng.normal(size=shape)) for shape in shapes))
        H = rng.normal(size=(ROWS, COLUMNS))
        with torch.no_grad():
            found = claim(weights)(torch.tensor(H)[None])[0].numpy()
        worst = max(worst, float(np.abs(found - _layer_by_loops(weights, H)).max()))
    return Evidence(
        worst <= TOLERANCE,
        Grade.CONFIRMED,
        "a layer of the module against plain loops from the formulas",
        f"20 layers of random weights, {HEADS} heads, matrices ({ROWS}, {COLUMNS}), float64",
        worst,
        TOLERANCE,
        "" if worst <= TOLERANCE else f"an entry of the output is off by {worst:.3g}",
    )


STATEMENTS = (ARCHITECTURE,)
