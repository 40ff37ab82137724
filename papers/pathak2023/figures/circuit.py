"""Figure 1: the arithmetic circuit of f*_pi, with the numbers of a prompt on its wires.

The circuit runs from left to right. Examples stand above one another, the query at the bottom;
its residuals go straight across to the products of level 5. Source: pathak2023, Figure 1 and
Section 2, displays (5) and (6).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from papers.pathak2023.figures.proof_run import ProofRun, require_legible
from simulations.drawing.style import BLUE, FAINT, INK, MUTED, VERMILION, number, page_style

#: Inches: the page, the distance of rows, the space between examples, and the two margins.
WIDTH, PITCH, GAP, HEAD, FOOT = 7.6, 0.205, 0.17, 1.04, 0.3
#: Inches between lines of small print.
LEADING = 0.15
#: Left edge and width of the columns of nodes, in inches.
COLUMNS = {
    "input": (0.08, 1.36),
    "r": (1.78, 0.69),
    "square": (2.7, 0.69),
    "s": (3.84, 0.62),
    "p": (4.72, 0.72),
    "pr": (5.8, 0.92),
    "f": (7.0, 0.52),
}
#: Coordinates of a covariate that are printed on one line.
PER_LINE = 3


@dataclass(frozen=True, eq=False)
class CircuitValues:
    """The numbers on the wires, as they stand in the interpreter's matrices.

    Parameters
    ----------
    xs
        x_1, ..., x_{k+1} (k+1, d), from H^(0).
    ys
        y_1, ..., y_k (k,), from H^(0).
    residuals
        r_ij (k+1, m) of display (5), from H^(4).
    squares
        r_ij^2 for the examples (k, m), from H^(5).
    scores
        s_j = -1/(2 sigma^2) sum_i r_ij^2 (m,), from H^(6).
    posterior
        p_j (m,) of display (6), from H^(7).
    products
        p_j r_{k+1,j} (m,), from H^(8).
    prediction
        f*_pi(P), from H^(9).
    """

    xs: Float[np.ndarray, "k1 d"]
    ys: Float[np.ndarray, " k"]
    residuals: Float[np.ndarray, "k1 m"]
    squares: Float[np.ndarray, "k m"]
    scores: Float[np.ndarray, " m"]
    posterior: Float[np.ndarray, " m"]
    products: Float[np.ndarray, " m"]
    prediction: float

    @classmethod
    def of(cls, run: ProofRun) -> "CircuitValues":
        """Read them from the stages; nothing is computed here."""
        labels, query = slice(1, None, 2), -1
        residuals = run.block(4, "r")
        return cls(
            xs=run.block(0, "token")[:, 0::2].T,
            ys=run.block(0, "token")[0, labels],
            residuals=np.vstack([residuals[:, labels].T, residuals[:, query]]),
            squares=run.block(5, "s")[:, labels].T,
            scores=run.block(6, "s")[:, query],
            posterior=run.block(7, "p")[:, query],
            products=run.block(8, "pr")[:, query],
            prediction=float(run.block(9, "f")[0, query]),
        )

    @property
    def winner(self) -> int:
        """The component (from 0) with the largest posterior weight."""
        return int(np.argmax(self.posterior))


def circuit_figure(run: ProofRun) -> Figure:
    """Draw the circuit of Figure 1 for the k and m of a run, with its numbers.

    Every printed number is a text whose gid names it: ``r-1-2`` is r_12, ``square-1-2`` its
    square, ``s-2``, ``p-2``, ``pr-2`` the score, weight and product of component 2, ``f`` the
    prediction, ``y-1`` a label, ``x-1-1`` the first line of x_1, ``w-2`` component 2.

    Parameters
    ----------
    run
        The prompt and the interpreter's stages, with 1 <= k <= 4, 1 <= m <= 6 and 1 <= d <= 6.

    Returns
    -------
    matplotlib.figure.Figure
        One page-wide drawing, 7.6 inches wide.

    Raises
    ------
    ValueError
        If a size is beyond what can be read; the message says the limits.
    """
    values = CircuitValues.of(run)
    layout = _Layout.of(values)
    require_legible(dim=layout.d, num_components=layout.m, num_examples=layout.k)
    with page_style():
        figure = Figure(figsize=(WIDTH, layout.height))
        canvas = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, layout.height))
        canvas.set_axis_off()
        _headings(canvas, layout)
        _edges(canvas, layout, values.winner)
        for node in _nodes(values, layout):
            node.draw(canvas)
        _key(canvas, layout, run, values.winner)
    return figure


@dataclass(frozen=True)
class _Layout:
    """Where rows stand, in inches from below; rows of examples and of the query by component."""

    k: int
    m: int
    d: int
    height: float
    rows: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, values: CircuitValues) -> "_Layout":
        (k, m), d = values.squares.shape, values.xs.shape[1]
        block = max(m, ceil(d / PER_LINE) + 1) * PITCH
        foot = FOOT + ceil(m / 2) * LEADING
        height = HEAD + (k + 1) * block + k * GAP + GAP / 2 + foot
        tops = [height - HEAD - i * (block + GAP) - (i == k) * GAP / 2 for i in range(k + 1)]
        offset = (block - m * PITCH) / 2 + PITCH / 2
        rows = tuple(tuple(top - offset - j * PITCH for j in range(m)) for top in tops)
        return cls(k, m, d, height, rows)

    def centre(self, i: int) -> float:
        """The height of the middle of example i (from 0; k is the query)."""
        return (self.rows[i][0] + self.rows[i][-1]) / 2

    def component(self, j: int) -> float:
        """The height of score and weight of component j: spread over the examples' rows."""
        middle = (self.centre(0) + self.centre(self.k - 1)) / 2
        reach = self.rows[0][0] - self.rows[self.k - 1][-1]
        pitch = min(2.4 * PITCH, reach / max(self.m - 1, 1))
        return middle + ((self.m - 1) / 2 - j) * pitch

    def inputs(self, i: int) -> list[float]:
        """The heights of the lines that print x_i and, for an example, y_i."""
        count = ceil(self.d / PER_LINE) + (i < self.k)
        return [self.centre(i) + ((count - 1) / 2 - n) * PITCH for n in range(count)]


@dataclass(frozen=True)
class _Node:
    """A printed number with its symbol, in a column, at a height."""

    gid: str
    symbol: str
    text: str
    column: str
    y: float
    colour: str = INK

    def draw(self, canvas: Axes) -> None:
        left, width = COLUMNS[self.column]
        canvas.text(
            left + 0.03, self.y, self.symbol, va="center", fontsize=7,
            color=MUTED if self.colour == INK else self.colour,
        )  # fmt: skip
        canvas.text(
            left + width - 0.03, self.y, self.text, ha="right", va="center", color=self.colour,
            fontsize=7 if self.column == "input" else 7.5, gid=self.gid,
        )  # fmt: skip


def _nodes(values: CircuitValues, layout: _Layout) -> Iterator[_Node]:
    yield from _input_nodes(values, layout)
    k, winner = layout.k, values.winner
    for i, row in enumerate(layout.rows):
        for j, y in enumerate(row):
            colour = BLUE if j == winner and i < k else VERMILION if i == k else INK
            index = f"{i + 1}{j + 1}"
            gid = f"{i + 1}-{j + 1}"
            yield _Node(
                f"r-{gid}", f"$r_{{{index}}}$", number(values.residuals[i, j]), "r", y, colour
            )
            if i < k:
                square = number(values.squares[i, j])
                yield _Node(f"square-{gid}", f"$r_{{{index}}}^2$", square, "square", y, colour)
    for j in range(layout.m):
        colour, y = BLUE if j == winner else INK, layout.component(j)
        yield _Node(f"s-{j + 1}", f"$s_{j + 1}$", number(values.scores[j]), "s", y, colour)
        yield _Node(f"p-{j + 1}", f"$p_{j + 1}$", number(values.posterior[j]), "p", y, colour)
        symbol = f"$p_{j + 1}r_{{{k + 1}{j + 1}}}$"
        product = number(values.products[j])
        yield _Node(f"pr-{j + 1}", symbol, product, "pr", layout.rows[k][j], colour)
    yield _Node("f", "", number(values.prediction), "f", layout.centre(k))


def _input_nodes(values: CircuitValues, layout: _Layout) -> Iterator[_Node]:
    for i, x in enumerate(values.xs):
        heights = layout.inputs(i)
        colour = VERMILION if i == layout.k else INK
        for n, line in enumerate(_vector_lines(x)):
            symbol = f"$x_{i + 1}$" if n == 0 else ""
            yield _Node(f"x-{i + 1}-{n + 1}", symbol, line, "input", heights[n], colour)
        if i < layout.k:
            label = number(values.ys[i])
            yield _Node(f"y-{i + 1}", f"$y_{i + 1}$", label, "input", heights[-1], colour)


def _vector_lines(vector: Float[np.ndarray, " d"]) -> list[str]:
    """Print a vector (d,), in brackets if d > 1, on as many lines as it needs."""
    entries = [number(v) for v in vector]
    lines = [entries[start : start + PER_LINE] for start in range(0, len(entries), PER_LINE)]
    if len(entries) == 1:
        return entries
    return ("(" + ",\n".join(", ".join(line) for line in lines) + ")").split("\n")


def _left(column: str) -> float:
    return COLUMNS[column][0]


def _right(column: str) -> float:
    return sum(COLUMNS[column])


def _edges(canvas: Axes, layout: _Layout, winner: int) -> None:
    """Draw the wires, the winning component last, so that it lies on top."""
    for i in range(layout.k + 1):
        lines, x = layout.inputs(i), _right("input") + 0.04
        ends = lines[0] + 0.07, lines[-1] - 0.07
        canvas.plot([x, x], ends, color=MUTED, lw=0.6, solid_capstyle="butt", zorder=4)
    for j in sorted(range(layout.m), key=lambda j: j == winner):
        style = (BLUE, 1.1, 3) if j == winner else (FAINT, 0.6, 2)
        query = (VERMILION, 1.1 if j == winner else 0.45, 2)
        _posterior_wires(canvas, layout, j, style)
        _query_wires(canvas, layout, j, style, query)
    bar = _softmax_bar()
    ends = layout.component(0) + 0.11, layout.component(layout.m - 1) - 0.11
    canvas.plot([bar, bar], ends, color=INK, lw=1.6, solid_capstyle="butt", zorder=4)


def _softmax_bar() -> float:
    return (_right("s") + _left("p")) / 2


def _posterior_wires(canvas: Axes, layout: _Layout, j: int, style: "_Style") -> None:
    """Draw how p_j comes about: from the inputs to the product with the query's residual."""
    y = layout.component(j)
    for i in range(layout.k):
        row = layout.rows[i][j]
        _wire(canvas, (_right("input") + 0.04, layout.centre(i)), (_left("r"), row), style)
        _wire(canvas, (_right("r"), row), (_left("square"), row), style)
        _wire(canvas, (_right("square"), row), (_left("s"), y), style)
    _wire(canvas, (_right("s"), y), (_softmax_bar(), y), style)
    _wire(canvas, (_softmax_bar(), y), (_left("p"), y), style)
    _wire(canvas, (_right("p"), y), (_left("pr"), layout.rows[layout.k][j]), style)


def _query_wires(canvas: Axes, layout: _Layout, j: int, style: "_Style", query: "_Style") -> None:
    """Draw the query's residual from the input to the product, and the product to the sum."""
    row, middle = layout.rows[layout.k][j], layout.centre(layout.k)
    _wire(canvas, (_right("input") + 0.04, middle), (_left("r"), row), query)
    _wire(canvas, (_right("r"), row), (_left("pr"), row), query)
    _wire(canvas, (_right("pr"), row), (_left("f"), middle), style)


#: Colour, line width and drawing order.
_Style = tuple[str, float, int]


def _wire(
    canvas: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    style: _Style,
) -> None:
    """Draw a curve that leaves and arrives horizontally."""
    colour, weight, order = style
    middle = (start[0] + end[0]) / 2
    points = [start, (middle, start[1]), (middle, end[1]), end]
    path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    canvas.add_patch(PathPatch(path, fill=False, ec=colour, lw=weight, zorder=order))


def _headings(canvas: Axes, layout: _Layout) -> None:
    """Name what every level computes, and the matrix that holds it."""
    headings = (
        ("input", "input", "prompt $P$", "", r"$H^{(0)}$"),
        ("r", "level 1", "residuals",
         "$r_{ij}=\\langle w_j^*,x_i\\rangle$\n$\\;-\\,y_i\\,\\mathbf{1}\\{i\\neq k{+}1\\}$",
         r"$H^{(4)}$, aff"),
        ("square", "level 2", "squares", "$r_{ij}^2,\\;i\\leq k$", r"$H^{(5)}$, mul"),
        ("s", "level 3", "scaled sums",
         r"$s_j=-\frac{1}{2\sigma^2}\sum_{i=1}^{k}\,r_{ij}^2$", r"$H^{(6)}$, scaled_agg"),
        ("p", "level 4", "softmax", r"$p_j=e^{s_j}/\sum_\ell\, e^{s_\ell}$", r"$H^{(7)}$, soft"),
        ("pr", "level 5", "weighted sum", r"$\sum_j\,p_j\,r_{k+1,j}$",
         r"$H^{(8)}$, mul"),
        ("f", "", "output", r"$f_\pi^*(P)$", r"$H^{(9)}$, aff"),
    )  # fmt: skip
    top = layout.height - 0.08
    for column, level, name, formula, stage in headings:
        left = _left(column) + 0.03
        canvas.text(left, top, level, va="top", fontsize=6.5, color=MUTED)
        canvas.text(left, top - 0.13, name, va="top", fontsize=8.5)
        canvas.text(left, top - 0.33, formula, va="top", fontsize=7, linespacing=1.35)
        canvas.text(left, top - 0.77, stage, va="bottom", fontsize=6.5, color=MUTED)
    canvas.plot([_left("input"), WIDTH - 0.08], [top - 0.82] * 2, color=MUTED, lw=0.5)


def _key(canvas: Axes, layout: _Layout, run: ProofRun, winner: int) -> None:
    """Say what the colours mean, and what sigma and the components are."""
    first = FOOT - 0.14 + ceil(layout.m / 2) * LEADING
    sigma = rf"$\sigma={run.mixture.noise_std:.3g}$"
    canvas.text(_left("input") + 0.03, first, sigma, va="center", fontsize=7, color=MUTED)
    entries = (
        (_left("r"), BLUE, f"component {winner + 1}, the most probable"),
        (_left("s"), VERMILION, f"residuals of the query, $r_{{{layout.k + 1}j}}$"),
    )
    for left, colour, text in entries:
        canvas.plot([left + 0.03, left + 0.23], [first, first], color=colour, lw=1.1)
        canvas.text(left + 0.29, first, text, va="center", fontsize=7, color=colour)
    half = ceil(layout.m / 2)
    for j, component in enumerate(run.mixture.components):
        left, y = (_left("input") + 0.03, WIDTH / 2)[j // half], first - (1 + j % half) * LEADING
        text = f"$w_{j + 1}^*=\\,$" + " ".join(_vector_lines(component))
        colour = BLUE if j == winner else MUTED
        canvas.text(left, y, text, va="center", fontsize=7, color=colour, gid=f"w-{j + 1}")
