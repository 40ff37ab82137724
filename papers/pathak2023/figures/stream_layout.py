"""What the picture of the residual stream shows: blocks of rows, and who reads and writes them."""

from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from jaxtyping import Bool, Float

from constructions.evaluate import columns_of
from constructions.library.posterior_mean_transformer import PosteriorMeanTransformer
from constructions.passes.schedule import ScheduledLayer
from constructions.program import ColumnSet
from constructions.stream import ResidualStream
from constructions.values import Attention, Fetch, Mixture, Previous, ProductSum, Sum, Value
from theory import PromptBatch

#: How the labels of constant rows begin, and the block that they are drawn in.
CONSTANTS = (
    ("one", "one"),
    ("zero", "zero, to read others against"),
    ("+L", "+L and −L, for LayerNorm"),
    ("-L", "+L and −L, for LayerNorm"),
    ("balance", "balance"),
    ("sink", "is the sink"),
    ("cos", "place on a circle (cos, sin)"),
    ("sin", "place on a circle (cos, sin)"),
    ("position", "is column 1, 2, ..."),
    ("ln(", "ln(K + 1 − examples seen)"),
    ("e_", "basis $e_1$, ..., $e_m$"),
    ("not ", "is outside a set of columns"),
)

#: What a layer does to bring a value about.
DEEDS: dict[type[Value], str] = {
    Previous: "copy",
    Sum: "sum",
    Fetch: "fetch",
    Mixture: "softmax",
    Attention: "attend",
    ProductSum: "multiply",
}

#: Matrices that read the stream, and those that write to it, with the letters of the figure.
READERS = (("q", "query"), ("k", "key"), ("v", "value"), ("n", "inward"))
WRITERS = (("h", "output"), ("n", "outward"))


@dataclass(frozen=True)
class Block:
    """Rows (from 0) of the stream under one name; ``computed`` if they hold values."""

    name: str
    rows: tuple[int, ...]
    computed: bool


@dataclass(frozen=True, eq=False)
class StreamRun:
    """One prompt through the residual stream of a built network.

    Parameters
    ----------
    blocks
        All rows in blocks: tokens and computed values first, then constants.
    columns
        The name of every column.
    num_prefix
        How many of the columns stand before the prompt.
    meant
        Which cells (rows, columns) are meant to hold something: constants, and values in the
        columns in which they are defined.
    stored
        The stream as it is stored (layers + 1, rows, columns): the input, and after every layer.
    added
        The names of the values that each of those has added.
    deeds
        What each layer does, in a word or two.
    reads, writes
        Letter of a matrix -> which rows it reads or writes, (layers, rows).
    """

    blocks: tuple[Block, ...]
    columns: tuple[str, ...]
    num_prefix: int
    meant: Bool[np.ndarray, "rows columns"]
    stored: Float[np.ndarray, "states rows columns"]
    added: tuple[tuple[str, ...], ...]
    deeds: tuple[str, ...]
    reads: dict[str, Bool[np.ndarray, "layers rows"]]
    writes: dict[str, Bool[np.ndarray, "layers rows"]]

    @classmethod
    def of(cls, model: PosteriorMeanTransformer, prompt: PromptBatch) -> "StreamRun":
        """Run a network on a batch of one prompt.

        Raises
        ------
        ValueError
            If there is not exactly one prompt, or the model does not answer it.
        """
        if prompt.batch_size != 1:
            raise ValueError(f"got {prompt.batch_size} prompts, expected a batch of one")
        trace, stream = model.trace(prompt), model.stream
        known = [tuple(state.values) for state in trace]
        layers = [layer.weights() for layer in model.layers]
        return cls(
            blocks=_blocks(stream, len(model.allocation.rows)),
            columns=_column_names(stream, prompt.num_examples),
            num_prefix=stream.before,
            meant=_meant(model, 2 * prompt.num_examples + 1),
            stored=np.stack([state.stream[0] for state in trace]) * stream.units()[:, None],
            added=(known[0], *(b[len(a) :] for a, b in pairwise(known))),
            deeds=tuple(_deeds(layer) for layer in model.schedule),
            reads={
                letter: np.stack([_rows(getattr(layer, kind).numpy(), -1) for layer in layers])
                for letter, kind in READERS
            },
            writes={
                letter: np.stack([_rows(getattr(layer, kind).numpy(), -2) for layer in layers])
                for letter, kind in WRITERS
            },
        )

    def changed(self, layer: int) -> Bool[np.ndarray, "rows columns"]:
        """Return the cells that a layer (from 1) has changed as it is meant to; 0 is the prompt."""
        tokens = np.isin(np.arange(len(self.meant)), self.blocks[0].rows)[:, None]
        before = np.where(tokens, 0.0, self.stored[0]) if layer == 0 else self.stored[layer - 1]
        changed: Bool[np.ndarray, "rows columns"] = self.meant & (self.stored[layer] != before)
        return changed


def _rows(weights: Float[np.ndarray, "..."], axis: int) -> Bool[np.ndarray, " rows"]:
    """Which rows of the stream a matrix, or those of all heads, has entries for."""
    others = tuple(a for a in range(weights.ndim) if a != axis % weights.ndim)
    used: Bool[np.ndarray, " rows"] = (weights != 0).any(axis=others)
    return used


def _meant(model: PosteriorMeanTransformer, num_columns: int) -> Bool[np.ndarray, "rows columns"]:
    before = model.stream.before
    meant = np.ones((model.stream.num_rows, before + num_columns), dtype=bool)
    for r, row in enumerate(model.allocation.rows):
        meant[r] = False
        meant[r, before + np.array(columns_of(ColumnSet(row.kinds), num_columns))] = True
    return meant


def _deeds(layer: ScheduledLayer) -> str:
    words = [DEEDS[type(wire)] for wire in (*layer.attended, *layer.multiplied)]
    return ", ".join(dict.fromkeys(words))


def _blocks(stream: ResidualStream, num_computed: int) -> tuple[Block, ...]:
    labels = [row.label for row in stream.rows]
    blocks = []
    for name, group in groupby(range(num_computed), key=lambda r: labels[r]):
        shown = "tokens x, y" if name == "token" else name.replace(" | ", " / ")
        blocks.append(Block(shown, tuple(group), True))
    constants: dict[str, list[int]] = {name: [] for _, name in CONSTANTS}
    for row in range(num_computed, len(labels)):
        constants[_kind(labels[row])].append(row)
    blocks += [Block(name, tuple(rows), False) for name, rows in constants.items() if rows]
    return tuple(blocks)


def _kind(label: str) -> str:
    return next(name for start, name in CONSTANTS if label.startswith(start))


def _column_names(stream: ResidualStream, num_examples: int) -> tuple[str, ...]:
    prefix = ["sink", *(f"$e_{{{t + 1}}}$" for t in range(stream.before - 1))]
    tokens = [f"${kind}_{{{i}}}$" for i in range(1, num_examples + 2) for kind in "xy"][:-1]
    return tuple((prefix if stream.before else []) + tokens)
