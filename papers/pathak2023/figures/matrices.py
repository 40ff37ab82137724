"""The matrices H^(0), ..., H^(9) of Appendix B.2.1 for an actual prompt, as heatmaps.

Exact zeros are left blank, so that the eye sees the matrix fill up; the cells that an operator
writes are outlined.
"""

from collections.abc import Iterator, Sequence
from math import ceil, floor, log10

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap, SymLogNorm
from matplotlib.figure import Figure

from constructions.matrices import Matrix
from constructions.operators import Operator
from constructions.program import Program
from papers.pathak2023.figures.proof_run import ProofRun, require_legible
from simulations.drawing.style import FAINT, INK, MUTED, page_style

#: Panels side by side; inches: a panel, the space between them, and the margins.
PER_ROW = 5
PANEL, ACROSS, DOWN, LEFT, RIGHT, TOP, BOTTOM = 1.25, 0.1, 0.5, 0.62, 0.08, 0.28, 0.72
#: Inches: the smallest and largest height of a cell, and that of a panel if cells allow it.
LOWEST_CELL, HIGHEST_CELL, PANEL_HEIGHT = 0.085, 0.2, 3.0
#: Powers of ten between which colours tell magnitudes apart.
FINEST, COARSEST = -4, 3
#: Negative to positive through a light grey, which a blank cell is whiter than; blue and orange
#: can be told apart by colour-blind readers, and dark from light in print.
COLOURS = LinearSegmentedColormap.from_list(
    "signed",
    ["#08306b", "#2171b5", "#6baed6", "#c6dbef", "#e2e2e2",
     "#fdd0a2", "#fd8d3c", "#d94801", "#7f2704"],
)  # fmt: skip
#: What the paper calls the registers; s holds squares, and in the query's column the scores.
SYMBOLS = {
    "token": r"$x_i,\tilde y_i$",
    "x": "$x_i$",
    "y": "$y_i$",
    "r": "$r_i$",
    "s": "$r_i^2,s$",
    "p": "$p$",
    "pr": r"$p\circ r_{k+1}$",
    "f": r"$f_\pi^*(P)$",
}


def matrices_figure(run: ProofRun) -> Figure:
    """Draw every stage of a run as a heatmap, a panel a stage, under the operator that made it.

    Parameters
    ----------
    run
        The prompt and the interpreter's stages, with 1 <= k <= 4, 1 <= m <= 6 and 1 <= d <= 6.

    Returns
    -------
    matplotlib.figure.Figure
        As many panels as stages, and a last one for the colour bar. The scale of colours is
        symmetric about 0, and logarithmic between the smallest and the largest magnitude that
        occur, cut at 1e-4 and 1e3: what is smaller is a light grey, an exact zero is white.

    Raises
    ------
    ValueError
        If a size is beyond what can be read; the message says the limits.
    """
    prompt, program = run.prompt, run.program
    require_legible(
        dim=prompt.dim,
        num_components=run.mixture.num_components,
        num_examples=prompt.num_examples,
    )
    norm = _scale(run.stages)
    with page_style():
        figure, panels = _page(len(run.stages), program.num_rows)
        for number, (panel, matrix) in enumerate(zip(panels, run.stages, strict=True)):
            cells = np.ma.masked_equal(matrix, 0.0)
            image = panel.pcolormesh(cells, norm=norm, cmap=COLOURS, ec="white", lw=0.4)
            operator = None if number == 0 else program.operations[number - 1]
            panel.set_title(_title(number, operator), fontsize=8, pad=4)
            _rule(panel, program, labelled=number % PER_ROW == 0)
            if operator is not None:
                _outline(panel, operator, program.num_columns)
        bar = figure.add_axes(_fractions(figure, (LEFT, 0.34, 3 * PANEL, 0.09)))
        _colour_bar(figure, image, bar, norm)
    return figure


def _scale(stages: Sequence[Matrix]) -> SymLogNorm:
    """Fit the colours to the magnitudes that occur, in whole powers of ten."""
    values = np.abs(np.concatenate([stage.ravel() for stage in stages]))
    values = values[values > 0] if values.any() else np.ones(1)
    low = min(max(floor(log10(values.min())), FINEST), COARSEST - 1)
    high = max(min(ceil(log10(values.max())), COARSEST), low + 1)
    return SymLogNorm(10.0**low, vmin=-(10.0**high), vmax=10.0**high, base=10)


def _page(num_panels: int, num_rows: int) -> tuple[Figure, list[Axes]]:
    """Return an empty page with the panels on it."""
    cell = min(max(PANEL_HEIGHT / num_rows, LOWEST_CELL), HIGHEST_CELL)
    height, lines = cell * num_rows, ceil(num_panels / PER_ROW)
    width = LEFT + PER_ROW * PANEL + (PER_ROW - 1) * ACROSS + RIGHT
    total = TOP + lines * height + (lines - 1) * DOWN + BOTTOM
    figure = Figure(figsize=(width, total))
    panels = []
    for number in range(num_panels):
        line, place = divmod(number, PER_ROW)
        left = LEFT + place * (PANEL + ACROSS)
        bottom = total - TOP - (line + 1) * height - line * DOWN
        panels.append(figure.add_axes(_fractions(figure, (left, bottom, PANEL, height))))
    return figure, panels


def _fractions(
    figure: Figure, inches: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Turn (left, bottom, width, height) in inches into fractions of the page."""
    width, height = figure.get_size_inches()
    return inches[0] / width, inches[1] / height, inches[2] / width, inches[3] / height


def _title(number: int, operator: Operator | None) -> str:
    return rf"$H^{{({number})}}$  " + ("input" if operator is None else operator.name)


def _rule(panel: Axes, program: Program, *, labelled: bool) -> None:
    """Name columns and, in the first panel of a line, registers; part registers by hairlines."""
    panel.invert_yaxis()
    last = (program.num_columns + 1) // 2
    names = [f"${kind}_{i}$" for i in range(1, last + 1) for kind in "xy"][:-1]
    panel.set_xticks(np.arange(program.num_columns) + 0.5, names, fontsize=6.5)
    registers = program.registers
    middles = [(register.first - 1 + register.last) / 2 for register in registers]
    labels = [SYMBOLS[r.name] for r in registers] if labelled else []
    panel.set_yticks(middles if labelled else [], labels, fontsize=7)
    panel.tick_params(length=0, pad=2)
    for register in registers[:-1]:
        panel.axhline(register.last, color=FAINT, lw=0.4, zorder=1)
    for spine in panel.spines.values():
        spine.set(color=MUTED, linewidth=0.4)


def _outline(panel: Axes, operator: Operator, num_columns: int) -> None:
    """Frame the cells that an operator writes, neighbouring columns in one frame."""
    rows = operator.target().indices
    top, bottom = min(rows) - 1, max(rows)
    for first, last in _runs(sorted(operator.target_columns(num_columns))):
        panel.plot(
            [first - 1, last, last, first - 1, first - 1],
            [top, top, bottom, bottom, top],
            color=INK, lw=1.1, solid_joinstyle="miter", clip_on=False, zorder=5, gid="written",
        )  # fmt: skip


def _runs(columns: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of every run of consecutive columns.

    >>> list(_runs([2, 4, 5]))
    [(2, 2), (4, 5)]
    """
    starts = [c for c in columns if c - 1 not in columns]
    ends = [c for c in columns if c + 1 not in columns]
    yield from zip(starts, ends, strict=True)


def _colour_bar(figure: Figure, image: QuadMesh, bar: Axes, norm: SymLogNorm) -> None:
    scale = figure.colorbar(image, cax=bar, orientation="horizontal")
    low, high = round(log10(norm.linthresh)), round(log10(norm.inverse(1.0)))
    powers = range(high, low - 1, -max(1, ceil((high - low) / 5)))
    ticks = [*(-(10.0**p) for p in powers), 0.0, *(10.0**p for p in reversed(powers))]
    names = [
        *(f"$-10^{{{p}}}$" for p in powers), "$0$", *(f"$10^{{{p}}}$" for p in reversed(powers)),
    ]  # fmt: skip
    scale.set_ticks(ticks, labels=names, fontsize=6.5)
    scale.ax.minorticks_off()
    scale.ax.tick_params(length=2, pad=2)
    scale.outline.set_linewidth(0.4)
    bar.text(
        1.04, 0.5, "Blank cells are exactly 0 (in float64); framed cells are newly written.",
        transform=bar.transAxes, va="center", fontsize=7, color=MUTED,
    )  # fmt: skip
