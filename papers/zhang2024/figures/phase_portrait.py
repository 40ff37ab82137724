"""The plane (U, u) for d = 1: flow lines are hyperbolas of balance, limits lie on u U = 1/Gamma."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import BLUE, FAINT, INK, MUTED, VERMILION, page_style
from theory import FlowProblem, FlowState
from theory.gradient_flow.initialisation import limit_of

#: Points of the grid of the loss, across, and of a flow line.
GRID, ARC = 201, 100

#: Starts of the flow lines, in units of the limit: on the border, and near the origin.
EDGE, NEAR = 2.0, 0.12


@dataclass(frozen=True)
class PhasePortrait:
    """What is drawn.

    Parameters
    ----------
    eigenvalue
        Lambda = lambda > 0.
    prompt_length
        N >= 1.
    scale
        sigma of the start of Assumption 3 that is marked, in units of u at the limit.
    """

    eigenvalue: float = 1.0
    prompt_length: int = 4
    scale: float = 0.15

    @property
    def problem(self) -> FlowProblem:
        """The flow."""
        return FlowProblem.fixed([[self.eigenvalue]], self.prompt_length)


def phase_portrait_figure(portrait: PhasePortrait) -> Figure:
    """Draw flow lines, contours of the loss, both curves of minima, the saddle and the limit.

    Raises
    ------
    ValueError
        If lambda, N or the scale are not as `PhasePortrait` says.
    """
    problem = portrait.problem
    if not portrait.scale > 0:
        raise ValueError(f"scale is {portrait.scale!r}; expected sigma > 0 in units of the limit")
    unit = problem.limit().u
    with page_style():
        figure = Figure(figsize=(4.6, 4.5), layout="constrained")
        axes = figure.subplots()
        _contours(axes, problem, unit)
        _basins(axes, unit)
        for start in _starts(unit):
            _flow_line(axes, problem, start, MUTED, 0.7)
        _minima(axes, problem, unit)
        _assumption_3(axes, problem, portrait.scale * unit)
        edge = EDGE * unit
        axes.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
        axes.set_xlabel("$U_{11}$")
        axes.set_ylabel("$u_{-1}$")
        axes.tick_params(length=2)
        figure.suptitle(
            "Gradient flow for $d=1$: each line keeps $u^2 - U^2$ and ends where $uU = 1/\\Gamma$\n"
            rf"$\Lambda={portrait.eigenvalue:g}$, $N={portrait.prompt_length}$,"
            rf" $\Gamma={portrait.eigenvalue * (1 + 2 / portrait.prompt_length):.4g}$,"
            rf" start of Assumption 3 with $\sigma={portrait.scale * unit:.3g}$",
            fontsize=8,
        )
    return figure


def _starts(unit: float) -> list[FlowState]:
    """Return starts on the border, each on a hyperbola of its own, and at the separatrix."""
    places = np.array([0.25, 0.6, 0.95, 1.3, 1.65]) * unit
    edge = EDGE * unit
    vertical = [FlowState(np.array([[s * x]]), e * edge) for x in places for s, e in _SIGNS]
    horizontal = [FlowState(np.array([[e * edge]]), s * x) for x in places for s, e in _SIGNS]
    from_saddle = FlowState(np.array([[-NEAR * unit]]), -NEAR * unit)
    return [*vertical, *horizontal, from_saddle]


_SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


def _flow_line(
    axes: Axes, problem: FlowProblem, start: FlowState, colour: str, width: float
) -> None:
    points = flow_line(problem, start)
    axes.plot(*points.T, color=colour, linewidth=width, gid="flow line", zorder=3)
    _arrow(axes, points, colour)


def flow_line(problem: FlowProblem, start: FlowState) -> Float[np.ndarray, "m 2"]:
    """Return the points (U, u) from a start to its limit: an arc of a hyperbola u^2 - U^2 = c.

    Raises
    ------
    ValueError
        If d is not 1.
    """
    if problem.dim != 1:
        raise ValueError(f"flow_line: the problem has d = {problem.dim}; expected d = 1: a plane")
    limit = limit_of(problem, start).state
    assert limit is not None  # for d = 1 every limit is known
    c = problem.balance(start)
    ends = np.array([[x.U[0, 0], x.u] for x in (start, limit)])
    # On a branch with c > 0 u keeps its sign, and U goes one way; else the other way round.
    moving = 0 if c > 0 else 1
    along = np.linspace(float(ends[0, moving]), float(ends[1, moving]), ARC)
    kept = np.sign(ends[0, 1 - moving]) * np.sqrt(along**2 + abs(c))
    return np.stack([along, kept] if moving == 0 else [kept, along], axis=1)


def _arrow(axes: Axes, points: Float[np.ndarray, "m 2"], colour: str) -> None:
    """Put an arrowhead half-way along a line."""
    lengths = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    if lengths[-1] == 0:
        return
    tip, tail = (
        (
            float(np.interp(part * lengths[-1], lengths, points[:, 0])),
            float(np.interp(part * lengths[-1], lengths, points[:, 1])),
        )
        for part in (0.5, 0.48)
    )
    axes.annotate(
        "", tip, tail, zorder=4,
        arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 0, "mutation_scale": 7},
    )  # fmt: skip


def _contours(axes: Axes, problem: FlowProblem, unit: float) -> None:
    """Draw contours of the excess loss, logarithmically spaced."""
    line = np.linspace(-EDGE, EDGE, GRID) * unit
    a, b = float(problem.curvature[0, 0]), float(problem.drive[0, 0])
    U, u = np.meshgrid(line, line)
    excess = a / 2 * (u * U - b / a) ** 2
    top = b**2 / (2 * a)
    axes.contour(U, u, excess, levels=top * np.array([0.05, 0.3, 1, 2.5, 5, 9, 15]),
                 colors=FAINT, linewidths=0.5, zorder=1)  # fmt: skip


def _basins(axes: Axes, unit: float) -> None:
    """Shade the starts whose limit has u < 0, and draw the separatrix u = -U."""
    edge = EDGE * unit
    axes.fill([-edge, edge, -edge], [edge, -edge, -edge], color=FAINT, alpha=0.35, lw=0, zorder=0)
    axes.plot([-edge, edge], [edge, -edge], color=INK, linewidth=1, linestyle=(0, (4, 2)), zorder=3)
    for tail in (-1, 1):
        points = np.array([[tail * edge, -tail * edge], [0.0, 0.0]])
        _arrow(axes, points, INK)
    at = 1.43 * unit
    axes.annotate(
        "separatrix", (at, -at), xytext=(-4, -4), textcoords="offset points", rotation=-45,
        ha="center", va="center", rotation_mode="anchor", zorder=6, bbox=_BACKGROUND,
    )  # fmt: skip


_BACKGROUND = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}


def _minima(axes: Axes, problem: FlowProblem, unit: float) -> None:
    product = float(problem.minimiser[0, 0])
    line = np.linspace(product / (EDGE * unit), EDGE * unit, GRID)
    for sign in (1, -1):
        axes.plot(
            sign * line, sign * product / line, color=BLUE, linewidth=2, zorder=2, gid="minima"
        )
        axes.plot(sign * unit, sign * unit, marker="o", color=BLUE, markersize=5, zorder=6)
    axes.plot(0, 0, marker="x", color=INK, markersize=6, markeredgewidth=1.3, zorder=6)
    for text, place, away, side in (
        ("limit", (unit, unit), (6, 3), "left"),
        ("saddle", (0.0, 0.0), (-8, -3), "right"),
        (r"global minima, $uU=1/\Gamma$", (product / (1.72 * unit), 1.72 * unit), (7, -2), "left"),
    ):
        axes.annotate(
            text, place, xytext=away, textcoords="offset points", zorder=7, bbox=_BACKGROUND,
            color=INK if text == "saddle" else BLUE, ha=side,
        )  # fmt: skip


def _assumption_3(axes: Axes, problem: FlowProblem, scale: float) -> None:
    _flow_line(axes, problem, FlowState(np.array([[scale]]), scale), VERMILION, 1.6)
    axes.plot(scale, scale, marker="s", color=VERMILION, markersize=4, zorder=6)
    axes.annotate(
        "start", (scale, scale), xytext=(8, -3), textcoords="offset points", color=VERMILION,
        zorder=7, bbox=_BACKGROUND,
    )  # fmt: skip
