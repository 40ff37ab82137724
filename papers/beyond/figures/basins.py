"""Where starts go: on the balanced set of Zhang et al., and with all weights of the layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sympy as sp
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from papers.beyond.symmetric_layer import DIM, LENGTH, WEIGHTS, symmetric_loss
from simulations.drawing.files import write_figures
from simulations.drawing.style import BLUE, INK, VERMILION, page_style
from theory import FlowProblem
from theory.gradient_flow.initialisation import stable_curve

#: A field of vectors: the right side of an equation for many points at once, shape (n, m).
Field = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

#: Steps of the classical Runge-Kutta method, in the length of the flow line for large gradients.
STEP, STEPS = 0.1, 350

#: The largest N for which, for d = 2, u = 0 and U = 0 at a local minimum that is not global.
MAX_LENGTH = 4

#: White for limits with u12 = u21 = 0, grey for the others.
_TWO = ListedColormap(["#ffffff", "#cfcfcf"])


@dataclass(frozen=True)
class BasinMaps:
    """What is drawn.

    Parameters
    ----------
    eigenvalues
        The two of Lambda in the first panel.
    prompt_length
        N, in all panels, from 1 to 4: for larger N, the minimum that is not global moves off the
        right panel's axis.
    resolution
        Starts across a panel.
    """

    eigenvalues: tuple[float, float] = (1.0, 3.0)
    prompt_length: int = 2
    resolution: int = 141

    def __post_init__(self) -> None:
        """Refuse what has no picture; the problem refuses eigenvalues that are not positive."""
        if not 1 <= self.prompt_length <= MAX_LENGTH:
            raise ValueError(
                f"prompt_length is {self.prompt_length}; expected 1 to {MAX_LENGTH}: for larger N"
                " the point of the right panel is a saddle (beyond/other-minima)"
            )
        if self.resolution < 2:
            raise ValueError(f"resolution is {self.resolution}; expected at least 2 starts across")


def draw_basins(directory: Path, maps: BasinMaps | None = None) -> list[Path]:
    """Draw and write flow-basins.svg and .png; return their paths.

    Raises
    ------
    ValueError
        If the eigenvalues are not positive, or N < 1.
    """
    return write_figures(directory, {"flow-basins": basins_figure(maps or BasinMaps())})


def basins_figure(maps: BasinMaps) -> Figure:
    """Draw three maps of starts.

    Returns
    -------
    matplotlib.figure.Figure
        Left, balanced starts with u > 0 and u12 = u21 = 0 for d = 2: all but one curve reach the
        global minimum; contours tell how near to the saddle they come. Middle, all weights for
        d = 1, over (u12, u21): two kinds of global minima. Right, all weights for d = 2: starts
        p = q = alpha v, U = beta I, u = beta, and a minimum that is not global.

    Raises
    ------
    ValueError
        If the eigenvalues are not positive, or N < 1.
    """
    problem = FlowProblem.fixed(np.diag(maps.eigenvalues), maps.prompt_length)
    with page_style():
        figure = Figure(figsize=(7.4, 3.05), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        _balanced(left, problem, maps)
        _one_dimension(middle, maps)
        _two_dimensions(right, maps)
        listed = ", ".join(f"{x:g}" for x in maps.eigenvalues)
        figure.suptitle(
            "Where starts go. White: to a global minimum with $u_{12}=u_{21}=0$."
            rf"  $N={maps.prompt_length}$; left: $\Lambda=\mathrm{{diag}}({listed})$,"
            r" middle: $\Lambda=1$, right: $\Lambda=I$",
            fontsize=8,
        )
    return figure


def descend(
    field: Field, starts: npt.NDArray[np.float64], steps: int = STEPS
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Follow a field from many starts, slowed down to speed |field| / (1 + |field|).

    Parameters
    ----------
    field
        The vectors at points of shape (n, m).
    starts
        Shape (n, m).
    steps
        How many.

    Returns
    -------
    tuple of numpy.ndarray
        The ends, shape (n, m), and the least size of the last coordinate on the way, shape (m,).
    """

    def slowed(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        vectors = field(x)
        return np.asarray(vectors / (1 + np.linalg.norm(vectors, axis=0)))

    x, least = starts, np.abs(starts[-1])
    for _ in range(steps):
        first = slowed(x)
        second = slowed(x + STEP / 2 * first)
        third = slowed(x + STEP / 2 * second)
        x = x + STEP / 6 * (first + 2 * second + 2 * third + slowed(x + STEP * third))
        least = np.minimum(least, np.abs(x[-1]))
    return x, least


def layer_field(dim: int, prompt_length: int) -> Field:
    """Return minus the gradient by (P, Q, x, t, u) of `papers.beyond.symmetric_layer`."""
    P, Q, x, t, u = WEIGHTS
    loss = symmetric_loss().subs({DIM: dim, LENGTH: prompt_length})
    # t stands for d - 1 entries of U, each of which moves by its own derivative.
    shares = {P: 1, Q: 1, x: 1, t: max(dim - 1, 1), u: 1}
    slopes = [-sp.diff(loss, weight) / share for weight, share in shares.items()]
    compiled = sp.lambdify([WEIGHTS], slopes, modules="numpy", cse=True)

    def field(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.array([np.broadcast_to(row, points.shape[1:]) for row in compiled(points)])

    return field


def _grid(low: float, high: float, maps: BasinMaps) -> tuple[Float[np.ndarray, "n n"], ...]:
    line = np.linspace(low, high, maps.resolution)
    return tuple(np.meshgrid(line, line))


def _balanced(panel: Axes, problem: FlowProblem, maps: BasinMaps) -> None:
    a, b = np.diag(problem.curvature)[:, None], np.diag(problem.drive)[:, None]

    def field(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        V, u = points[:-1], points[-1]
        of_u = np.sum(b * V - u * a * V**2, axis=0)
        return np.concatenate([-(u**2) * a * V + u * b, of_u[None]])

    edge = 1.6 * float(np.max(np.abs(problem.limit().U)))
    first, second = _grid(-edge, edge, maps)
    size = np.hypot(first, second)
    starts = np.stack([first.ravel(), second.ravel(), size.ravel()])
    least = descend(field, starts)[1].reshape(size.shape)
    # From a start with a large u the flow falls to the limit's u: no sign of the saddle.
    nearness = least / np.maximum(np.minimum(size, problem.limit().u), np.finfo(float).tiny)
    levels = (0.1, 0.3, 0.5, 0.7, 0.9)
    lines = panel.contour(first, second, nearness, levels=levels, colors=BLUE, linewidths=0.7)
    panel.clabel(lines, fmt=lambda level: f"{level:g}", fontsize=6)
    curve = np.array([_stable(problem, u) for u in np.linspace(0.02, 1.5, 40) * edge])
    panel.plot(*np.vstack([np.zeros(2), curve]).T, color=VERMILION, linewidth=1.8, gid="curve")
    U = problem.limit().U
    panel.plot(U[0, 0], U[1, 1], marker="o", color=INK, markersize=4)
    panel.plot(0, 0, marker="x", color=INK, markersize=5)
    _label(panel, "limit", (U[0, 0], U[1, 1]), (5, 3))
    _label(panel, "saddle", (0.0, 0.0), (6, 3))
    at = curve[np.argmin(np.abs(curve[:, 1] + 0.8 * edge))]
    text = "the one\ncurve to\nthe saddle"
    _label(panel, text, (at[0], at[1]), (-29, -2), colour=VERMILION, side="right")
    panel.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
    panel.set(xlabel="$U_{11}$'s entry (1, 1)", ylabel="entry (2, 2)")
    panel.set_title(
        "$u_{12}=u_{21}=0$, $u(0)=|U(0)|$, $d=2$:\nleast $u(t)\\,/\\min(u(0), u(\\infty))$",
        fontsize=7.5,
    )
    panel.tick_params(length=2)


def _stable(problem: FlowProblem, u: float) -> tuple[float, float]:
    U = stable_curve(problem, u).U
    return float(U[0, 0]), float(U[1, 1])


def _one_dimension(panel: Axes, maps: BasinMaps) -> None:
    """Draw starts (u12, u21) with U11 = u_1 = 1 in units of the minimum."""
    unit = (1 + 2 / maps.prompt_length) ** -0.5
    p, q = _grid(-2.5 * unit, 2.5 * unit, maps)
    same = np.full(p.size, unit)
    ends = descend(
        layer_field(1, maps.prompt_length), np.stack([p.ravel(), q.ravel(), same, 0 * same, same])
    )[0]
    kinds = _kinds(ends).reshape(p.shape)
    panel.pcolormesh(p, q, kinds, cmap=_TWO, vmin=0, vmax=1, shading="nearest", rasterized=True)
    edge = 2.5 * unit
    panel.plot([-edge, edge], [-edge, edge], color=BLUE, linestyle=":", linewidth=1)
    panel.plot([-edge, edge], [edge, -edge], color=BLUE, linestyle=":", linewidth=1)
    line = np.linspace(unit / 2.5, edge, 100)
    for sign in (1, -1):
        panel.plot(sign * line, sign * unit**2 / line, color=VERMILION, linestyle="--", linewidth=1)
    _label(panel, "balanced", (-0.62 * edge, 0.62 * edge), (5, 3), colour=BLUE)
    place = (edge, unit**2 / edge)
    _label(panel, "$u_{12}u_{21}=u_{-1}U_{11}$", place, (-3, -9), colour=VERMILION, side="right")
    panel.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
    panel.set(xlabel="$u_{12}$", ylabel="$u_{21}$")
    panel.set_title(
        f"all weights, $d=1$, $U_{{11}}=u_{{-1}}={unit:.3g}$:\n"
        r"grey: to $u_{12}u_{21}=1/\Gamma$",
        fontsize=7.5,
    )
    panel.tick_params(length=2)


def _two_dimensions(panel: Axes, maps: BasinMaps) -> None:
    """Draw starts p = q = alpha v, U = beta I, u = beta."""
    alpha, beta = _grid(0.0, 1.5, maps)
    a, b = alpha.ravel(), beta.ravel()
    ends = descend(layer_field(2, maps.prompt_length), np.stack([a, a, b, b, b]))[0]
    kinds = _kinds(ends).reshape(alpha.shape)
    panel.pcolormesh(
        alpha, beta, kinds, cmap=_TWO, vmin=0, vmax=1, shading="nearest", rasterized=True
    )
    gamma = 1 + 3 / maps.prompt_length
    panel.plot([0, 1.5], [0, 1.5], color=BLUE, linestyle=":", linewidth=1)
    _label(panel, "border for $d=1$", (1.1, 1.1), (-6, 2), colour=BLUE, side="right")
    panel.plot(gamma**-0.5, 0, marker="D", color=VERMILION, markersize=4, clip_on=False)
    panel.plot(0, gamma**-0.5, marker="o", color=INK, markersize=4, clip_on=False)
    panel.plot(0, 0, marker="x", color=INK, markersize=5, clip_on=False)
    _label(panel, "global", (0.0, gamma**-0.5), (6, -2))
    _label(panel, "not global", (gamma**-0.5, 0.0), (-2, 6), colour=VERMILION)
    panel.set(xlim=(0, 1.5), ylim=(0, 1.5), aspect="equal")
    panel.set(
        xlabel=r"$\alpha$:  $u_{12}=u_{21}=\alpha v$",
        ylabel=r"$\beta$:  $U_{11}=\beta I$, $u_{-1}=\beta$",
    )
    excess = 1 / (2 * gamma)
    panel.set_title(
        f"all weights, $d=2$; grey: to a local\nminimum, {excess:.3g} above the global one",
        fontsize=7.5,
    )
    panel.tick_params(length=2)


def _kinds(ends: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return 0 where u U is in use at the end, 1 where p q' is alone."""
    return np.asarray(np.abs(ends[4]) < np.abs(ends[0])).astype(float)


def _label(
    panel: Axes,
    text: str,
    place: tuple[float, float],
    away: tuple[int, int],
    *,
    colour: str = INK,
    side: str = "left",
) -> None:
    panel.annotate(
        text, place, xytext=away, textcoords="offset points", color=colour, ha=side, fontsize=7,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}, zorder=8,
    )  # fmt: skip
