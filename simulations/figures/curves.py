"""Curves with bands, and labels at their ends: readable in grey, since line and marker differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from simulations.drawing.style import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, VERMILION
from simulations.experiments.experiment import Arrays

__all__ = [
    "Curve",
    "Look",
    "curve_of",
    "curves_of",
    "draw_curve",
    "family",
    "label_ends",
    "logarithmic",
    "logarithmic_places",
    "look_of",
    "mark_exact",
    "mark_level",
]

#: Markers along a curve.
MARKERS = 8

#: Height of a label, in inches.
LINE_HEIGHT = 0.125


@dataclass(frozen=True)
class Look:
    """How a curve looks, and what its label says.

    Parameters
    ----------
    label
        What it is.
    colour, line, marker
        As matplotlib names them; no marker if empty.
    """

    label: str
    colour: str
    line: Any
    marker: str = ""


@dataclass(frozen=True, eq=False)
class Curve:
    """A mean with its band along an axis.

    Parameters
    ----------
    places
        The axis, such as numbers of examples k, shape (n,).
    mean, low, high
        The curve and the ends of its band, shape (n,).
    """

    places: Int[np.ndarray, " n"] | Float[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    high: Float[np.ndarray, " n"]


#: The predictors of the papers' experiments.
_LOOKS = {
    "posterior_mean": Look("posterior mean", BLUE, "-", "o"),
    "argmin": Look("argmin", VERMILION, "--", "s"),
    "least_squares": Look("least squares", GREEN, "-.", "^"),
    "ridge": Look("ridge", PURPLE, (0, (5, 1, 1, 1, 1, 1)), "v"),
    "zero": Look("zero", MUTED, ":"),
}

#: Looks of a family of one kind, such as the same predictor at several scales.
_FAMILY = (
    (INK, "-", "o"),
    (BLUE, "--", "s"),
    (VERMILION, "-.", "^"),
    (GREEN, (0, (5, 1, 1, 1, 1, 1)), "v"),
    (PURPLE, (0, (1, 1)), "D"),
    (ORANGE, (0, (8, 2)), "P"),
    (MUTED, (0, (2, 2)), "X"),
)


def look_of(predictor: str) -> Look:
    """Return the look of a predictor by its name in the results."""
    return _LOOKS[predictor]


def family(labels: Sequence[str]) -> list[Look]:
    """Return looks for up to seven curves of one kind.

    Raises
    ------
    ValueError
        If there are more.
    """
    if len(labels) > len(_FAMILY):
        raise ValueError(
            f"family: {len(labels)} curves, expected at most {len(_FAMILY)} that can be told apart"
        )
    return [Look(label, *look) for label, look in zip(labels, _FAMILY, strict=False)]


def curve_of(arrays: Arrays, name: str, axis: str = "num_examples") -> Curve:
    """Return the curve ``<name>/mean``, with ``/low`` and ``/high``, of a result."""
    return Curve(arrays[axis], *(arrays[f"{name}/{end}"] for end in ("mean", "low", "high")))


def curves_of(arrays: Arrays, axis: str = "num_examples", prefix: str = "") -> Mapping[str, Curve]:
    """Return the curves ``<prefix><name>/mean``, ``/low`` and ``/high`` of a result, by name."""
    keys = [key for key in arrays if key.startswith(prefix) and key.endswith("/mean")]
    names = [key[len(prefix) : -len("/mean")] for key in keys]
    return {name: curve_of(arrays, f"{prefix}{name}", axis) for name in names}


def draw_curve(axes: Axes, curve: Curve, look: Look, gid: str, phase: float = 0.0) -> None:
    """Draw a curve, with a shaded band; the line has the gid.

    Parameters
    ----------
    axes, curve, look, gid
        Where, what and how.
    phase
        Where the markers begin, from 0 to 1 of their distance: curves that coincide are told apart
        by markers in different places.
    """
    axes.fill_between(
        curve.places, curve.low, curve.high, color=look.colour, alpha=0.22, linewidth=0
    )
    step = max(1, len(curve.places) // MARKERS)
    axes.plot(
        curve.places, curve.mean, color=look.colour, linestyle=look.line, linewidth=1.1,
        marker=look.marker, markersize=3, markevery=(int(phase * step), step), gid=gid,
    )  # fmt: skip


def mark_exact(
    axes: Axes, places: npt.ArrayLike, exact: npt.ArrayLike, gid: str, marks: int = 20
) -> None:
    """Mark exact values with crosses, some twenty of them, where they are finite."""
    x, y = np.asarray(places), np.asarray(exact)
    shown = np.isfinite(y) & (np.arange(len(x)) % max(1, len(x) // marks) == 0)
    axes.plot(
        x[shown], y[shown], linestyle="", marker="+", color=INK, markersize=4,
        markeredgewidth=0.7, zorder=4, gid=gid,
    )  # fmt: skip


def mark_level(axes: Axes, level: float, colour: str, gid: str) -> None:
    """Draw a dotted line across the panel at a value that curves tend to."""
    axes.axhline(level, color=colour, linestyle=(0, (1, 3)), linewidth=0.9, zorder=1, gid=gid)


def logarithmic(axes: Axes, low: float, high: float) -> None:
    """Make the y-axis logarithmic between two values, with ticks that read 0.05, 0.1, 0.2."""
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    subs = (1.0, 2.0, 5.0) if high / low < 200 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(length=2, which="major")
    axes.tick_params(length=1, which="minor")


def logarithmic_places(axes: Axes, low: float, high: float) -> None:
    """Make the x-axis logarithmic between two values, with plain ticks."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def label_ends(
    axes: Axes, ends: Sequence[tuple[Look, float]], height: float, room: float = 0.14
) -> None:
    """Write labels right of the panel at the heights of the curves' ends, none over another.

    Each has a sample of its line before it. Call it when scale and limits of the y-axis are final.

    Parameters
    ----------
    axes
        The panel.
    ends
        Looks, and the last y of their curves.
    height
        Of the panel, in inches.
    room
        Width of the samples, as a share of the panel's width.
    """
    wanted = _fractions(axes, np.array([y for _, y in ends]))
    places = spread(wanted, LINE_HEIGHT / height)
    for (look, _), place in zip(ends, places, strict=True):
        axes.plot(
            [1.04, 1.04 + room / 2, 1.04 + room], [place] * 3, transform=axes.transAxes,
            color=look.colour, linestyle=look.line, linewidth=1.1, marker=look.marker,
            markersize=3, markevery=[1], clip_on=False, gid="sample",
        )  # fmt: skip
        axes.text(
            1.07 + room, place, look.label, transform=axes.transAxes, color=look.colour,
            va="center_baseline", ha="left", fontsize=7,
        )  # fmt: skip


def spread(wanted: npt.NDArray[np.float64], gap: float) -> npt.NDArray[np.float64]:
    """Return places at least `gap` apart, from 0 to 1 if that is enough, near those wanted.

    The least squares solution that keeps their order: the cumulated gaps are taken off, what is
    out of order is averaged (isotonic regression by pooling neighbours), and clipped.
    """
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    pools: list[list[float]] = []
    for value in wanted[order] - steps:
        pools.append([float(value)])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            last = pools.pop()
            pools[-1].extend(last)
    level = np.array([float(np.mean(pool)) for pool in pools for _ in pool])
    places = np.empty(len(wanted))
    places[order] = np.clip(level, 0.0, max(0.0, 1.0 - gap * (len(wanted) - 1))) + steps
    return places


def _fractions(axes: Axes, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return heights in the panel, from 0 to 1, of values on its y-axis; beyond it, the edge."""
    low, high = axes.get_ylim()
    scale = axes.yaxis.get_transform()
    bottom, top = scale.transform(np.array([low, high]))
    inside = np.clip(values, min(low, high), max(low, high))
    return np.asarray((scale.transform(inside) - bottom) / (top - bottom))
