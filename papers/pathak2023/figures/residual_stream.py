"""The residual stream of a built network for one prompt: what stands where, and who moves it.

Blocks of rows from top to bottom, the input and the layers from left to right. Between two states
stand the layer's marks: which blocks its matrices read, and which they write.
"""

import re
from collections.abc import Sequence
from math import ceil, floor, log10

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, LogNorm
from matplotlib.figure import Figure

from constructions.library.posterior_mean_transformer import PosteriorMeanTransformer
from papers.pathak2023.figures.proof_run import require_legible
from papers.pathak2023.figures.stream_layout import Block, StreamRun
from simulations.drawing.style import BLUE, FAINT, INK, MUTED, VERMILION, page_style
from theory import PromptBatch

#: Inches: a cell's width and height, the space between blocks and before the constants.
CELL_WIDTH, CELL_HEIGHT, GAP, BREAK = 0.118, 0.092, 0.055, 0.3
#: Inches: the lowest block, whose name must fit, and the narrowest state, whose title must.
LOWEST, NARROWEST = 0.125, 1.55
#: Inches: the margins, and the marks of a layer between two states.
LEFT, RIGHT, TOP, BOTTOM, MARKS = 1.62, 0.08, 0.82, 1.0, 0.94
#: Inches from a state to the marks for reading and for writing, and between two of them.
READING, WRITING, STEP = 0.17, 0.67, 0.115
#: Smaller magnitudes are rounding.
FINEST = 1e-13
#: From what is stored quietly to the rows +L and -L.
COLOURS = LinearSegmentedColormap.from_list(
    "magnitude", ["#e3eef7", "#9ecae1", "#4292c6", "#2c5c99", "#3b2a6b", "#1c0f30"]
)
#: For cells that hold something which nothing reads.
IDLE = ListedColormap(["#e6e6e6"])
EXPLANATION = (
    "Each thin row is a row of the residual stream, each column a token; left of the dashed line "
    "stand the sink and the basis columns.",
    "Colour: the magnitude as it is stored (white: exactly 0). Grey: left over where the value "
    "is not defined; nothing reads it. Framed: what the layer has just written.",
    "Blue dots: blocks that a layer reads, as query (q), key (k) or value (v) of its heads, or in "
    "its neurons (n), which see every row through LayerNorm.",
    "Red triangles: blocks to which its heads (h) or its neurons (n) add. Attention comes first, "
    "so that neurons read what the heads of the same layer have brought.",
)


def residual_stream_figure(model: PosteriorMeanTransformer, prompt: PromptBatch) -> Figure:
    """Draw the stored magnitudes of every row and column: the input, and after every layer.

    Parameters
    ----------
    model
        A built network, of two layers or three, with d <= 6 and m <= 6.
    prompt
        A batch of one prompt of 1 to 4 examples, in the model's box.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a state, with the axes labels "state 0", ...; between two panels one with the
        layer's marks, "layer 1", ...; and the colour bar.

    Raises
    ------
    ValueError
        If a size is beyond what can be read, or the prompt is not one that the model answers.
    """
    require_legible(
        dim=prompt.dim,
        num_components=model.mixture.num_components,
        num_examples=prompt.num_examples,
    )
    run = StreamRun.of(model, prompt)
    places, height = _places(run.blocks)
    num_states, num_columns = len(run.stored), len(run.columns)
    panel = max(NARROWEST, CELL_WIDTH * num_columns)
    width = LEFT + num_states * panel + (num_states - 1) * MARKS + RIGHT
    low, high = _scale(run)
    norm = LogNorm(10.0**low, 10.0**high)
    with page_style():
        figure = Figure(figsize=(width, TOP + height + BOTTOM))
        for state in range(num_states):
            left = LEFT + state * (panel + MARKS)
            axes = _axes(figure, (left, panel, height), f"state {state}", float(num_columns))
            _draw_state(axes, run, state, places, norm)
            if state == 0:
                _name_blocks(axes, run.blocks, places)
            else:
                marks = _axes(figure, (left - MARKS, MARKS, height), f"layer {state}", MARKS)
                marks.set_axis_off()
                _draw_marks(marks, run, state - 1, places)
        _explain(figure, norm, range(low, high + 1, max(1, ceil((high - low) / 6))))
        sizes = (
            f"$d={prompt.dim}$, $m={model.mixture.num_components}$, $k={prompt.num_examples}$",
            f"{model.stream.num_rows} rows, {num_columns} columns",
        )
        figure.text(0.12 / width, 1 - 0.3 / figure.get_size_inches()[1], "\n".join(sizes), va="top")
    return figure


def _places(blocks: Sequence[Block]) -> tuple[list[tuple[float, float]], float]:
    """Return the top and height of every block in inches from the top, and the height of all."""
    places, top = [], 0.0
    for number, block in enumerate(blocks):
        if number:
            top += GAP if block.computed == blocks[number - 1].computed else BREAK
        size = max(LOWEST, CELL_HEIGHT * len(block.rows))
        places.append((top, size))
        top += size
    return places, top


def _scale(run: StreamRun) -> tuple[int, int]:
    """Powers of ten around all sizes; what is smaller than `FINEST` is drawn like it."""
    sizes = np.abs(run.stored[:, run.meant])
    low = max(float(sizes[sizes > 0].min()), FINEST)
    return floor(log10(low)), ceil(log10(sizes.max()))


def _axes(figure: Figure, place: tuple[float, float, float], label: str, across: float) -> Axes:
    """Axes of a given left edge, width and height in inches, measured from the top downwards."""
    left, width, height = place
    whole_width, whole_height = figure.get_size_inches()
    axes = figure.add_axes(
        (
            left / whole_width,
            BOTTOM / whole_height,
            width / whole_width,
            height / whole_height,
        ),
        label=label,
    )
    axes.set(xlim=(0, across), ylim=(height, 0))
    return axes


def _draw_state(
    axes: Axes, run: StreamRun, state: int, places: list[tuple[float, float]], norm: LogNorm
) -> None:
    num_columns = len(run.columns)
    changed = run.changed(state)
    for block, (top, size) in zip(run.blocks, places, strict=True):
        rows = list(block.rows)
        sizes, meant = np.abs(run.stored[state, rows]), run.meant[rows]
        edges = np.linspace(top, top + size, len(rows) + 1)
        for shown, name in ((meant, "meant"), (~meant, "idle")):
            cells = np.ma.masked_where((sizes == 0) | ~shown, sizes)
            colours = COLOURS if name == "meant" else IDLE
            axes.pcolormesh(
                np.arange(num_columns + 1), edges, cells, norm=norm, cmap=colours,
                gid=f"{name} {block.name}", rasterized=True,
            )  # fmt: skip
        axes.plot(
            [0, num_columns, num_columns, 0, 0],
            [top, top, top + size, top + size, top],
            color=FAINT, lw=0.4, clip_on=False, zorder=2,
        )  # fmt: skip
        _frame(axes, changed[rows], top, size)
    axes.axvline(run.num_prefix, color=MUTED, lw=0.5, ls=(0, (2, 2)), zorder=3)
    axes.set_frame_on(False)
    axes.set_yticks([])
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(num_columns) + 0.5, run.columns, fontsize=5.5)
    axes.get_xticklabels()[0].set(rotation=90, fontsize=5.5)
    axes.tick_params(length=0, pad=1)
    title = "input" if state == 0 else f"after layer {state}"
    axes.text(num_columns / 2, -0.52, title, ha="center", va="bottom", fontsize=8.5, clip_on=False)
    axes.text(
        num_columns / 2, -0.34, _short(run.added[state]), ha="center", va="bottom",
        fontsize=6.5, color=MUTED, clip_on=False,
    )  # fmt: skip


def _frame(axes: Axes, changed: Bool[np.ndarray, "rows columns"], top: float, size: float) -> None:
    """Frame the runs of consecutive columns in which a block has changed."""
    columns = changed.any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], columns, [False]]).astype(int)))
    for left, right in edges.reshape(-1, 2):
        axes.plot(
            [left, right, right, left, left], [top, top, top + size, top + size, top],
            color=VERMILION, lw=0.9, solid_joinstyle="miter", clip_on=False, zorder=5,
            gid="changed",
        )  # fmt: skip


def _short(names: Sequence[str]) -> str:
    """Name up to three values; of more, the first two and the last."""
    shown = list(names) if len(names) <= 3 else [*names[:2], "...", names[-1]]
    return "+ " + ", ".join(pretty(name) for name in shown)


def pretty(name: str) -> str:
    """Set the letters of the proof in a name as mathematics.

    >>> pretty("W x_1"), pretty("squared r at labels")
    ('$W x_{1}$', 'squared $r$ at labels')
    """
    letters = re.sub(r"\b([Wxyrslpf])('?)(?:_(\d+))?(?!\w)", _letter, name)
    return letters.replace("$ $", " ")


def _letter(found: re.Match[str]) -> str:
    letter, prime, index = found.groups()
    return f"${letter}{prime}" + (f"_{{{index}}}$" if index else "$")


def _name_blocks(axes: Axes, blocks: Sequence[Block], places: list[tuple[float, float]]) -> None:
    for block, (top, size) in zip(blocks, places, strict=True):
        count = f"  ({len(block.rows)})" if len(block.rows) > 1 else ""
        axes.text(
            -0.8, top + size / 2, pretty(block.name) + count, ha="right", va="center", fontsize=6.8,
            color=INK if block.computed else MUTED, clip_on=False, gid=f"block {block.name}",
        )  # fmt: skip
    first = next(place for block, place in zip(blocks, places, strict=True) if not block.computed)
    axes.text(
        -0.8, first[0] - 0.07, "constant rows:", ha="right", va="bottom", fontsize=6.8,
        style="italic", color=MUTED, clip_on=False,
    )  # fmt: skip


def _draw_marks(axes: Axes, run: StreamRun, layer: int, places: list[tuple[float, float]]) -> None:
    """Dots for the blocks that a layer reads, triangles for those that it writes."""
    axes.text(
        MARKS / 2, -0.52, f"layer {layer + 1} →", ha="center", va="bottom", fontsize=7.5,
        color=MUTED, clip_on=False,
    )  # fmt: skip
    axes.text(
        MARKS / 2, -0.34, run.deeds[layer], ha="center", va="bottom", fontsize=6.5, color=MUTED,
        clip_on=False,
    )  # fmt: skip
    for start, word, kinds, colour, mark in (
        (READING, "reads", run.reads, BLUE, "o"),
        (WRITING, "writes", run.writes, VERMILION, ">"),
    ):
        middle = start + STEP * (len(kinds) - 1) / 2
        axes.text(middle, -0.2, word, ha="center", fontsize=6, color=colour, clip_on=False)
        for step, (letter, rows) in enumerate(kinds.items()):
            across = start + STEP * step
            axes.text(across, -0.07, letter, ha="center", fontsize=6, color=colour, clip_on=False)
            used = [
                top + size / 2
                for block, (top, size) in zip(run.blocks, places, strict=True)
                if rows[layer, list(block.rows)].any()
            ]
            axes.plot(
                [across] * len(used), used, mark, color=colour, ms=3.1, mew=0, clip_on=False,
                gid=f"{word} {letter}",
            )  # fmt: skip


def _explain(figure: Figure, norm: LogNorm, powers: Sequence[int]) -> None:
    """The colour bar, and how to read the page."""
    width, height = figure.get_size_inches()
    bar = figure.add_axes((LEFT / width, 0.76 / height, 2.2 / width, 0.08 / height))
    scale = figure.colorbar(ScalarMappable(norm, COLOURS), cax=bar, orientation="horizontal")
    scale.set_ticks([10.0**p for p in powers], labels=[f"$10^{{{p}}}$" for p in powers])
    scale.ax.minorticks_off()
    scale.ax.tick_params(length=2, pad=2, labelsize=6)
    scale.outline.set_linewidth(0.4)
    for line, text in enumerate(EXPLANATION):
        figure.text(0.12 / width, (0.42 - 0.115 * line) / height, text, fontsize=6.6, color=MUTED)
