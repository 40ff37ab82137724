"""The figure of a user's model beside the candidates: errors, and the distance to each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterMathtext

from simulations.bootstrap import Band
from simulations.drawing.files import RESOLUTION, svg, write_whole
from simulations.drawing.style import BLUE, GREEN, INK, ORANGE, PURPLE, VERMILION, page_style
from simulations.experiments.error_curves import prefix_lengths
from simulations.figures.curves import Curve, Look, draw_curve, label_ends, logarithmic, look_of
from simulations.model_comparison import ModelComparison

__all__ = ["draw_comparison", "require_figure_suffix", "write_comparison"]

#: Height of the figure and of the panels in it, in inches.
HEIGHT, PANEL = 2.5, 2.0

MODEL = Look("model", INK, "-", "D")

LOOKS: Mapping[str, Look] = {
    "posterior mean": look_of("posterior_mean"),
    "argmin": look_of("argmin"),
    "prior mean": Look("prior mean", ORANGE, (0, (8, 2)), "P"),
    "ridge": look_of("ridge"),
    "least squares": look_of("least_squares"),
    "zero": look_of("zero"),
    "posterior mean, EM": Look("posterior mean, EM", BLUE, (0, (1, 1)), "x"),
    "argmin, EM": Look("argmin, EM", VERMILION, (0, (1, 1)), "x"),
    "posterior mean, SA": Look("posterior mean, SA", GREEN, (0, (3, 1)), "+"),
    "argmin, SA": Look("argmin, SA", PURPLE, (0, (3, 1)), "+"),
}

#: What may leave the panel: it has a peak at k = d.
_PEAKED = "least squares"

#: What is below the lowest mean, as a factor.
_MARGIN = 1.5

#: Decades of a panel at most. What is lower, as of a network that is a candidate but for rounding,
#: is drawn at the lower edge, and its label says so.
_DECADES: Mapping[str, int] = {"error": 4, "distance": 6}


def require_figure_suffix(path: Path) -> None:
    """Refuse a file that is neither SVG nor PNG.

    Raises
    ------
    ValueError
        That names the suffix.
    """
    if path.suffix.lower() not in (".svg", ".png"):
        raise ValueError(f"{path} has the suffix {path.suffix!r}; expected .svg or .png")


def write_comparison(path: Path, found: ModelComparison) -> None:
    """Write the figure of a comparison, atomically.

    Raises
    ------
    ValueError
        If the file is neither SVG nor PNG.
    OSError
        If it cannot be written.
    """
    require_figure_suffix(path)
    figure = draw_comparison(found)
    if path.suffix.lower() == ".svg":
        write_whole(path, svg(figure))
        return
    buffer = BytesIO()
    with page_style():
        figure.savefig(buffer, format="png", dpi=RESOLUTION)
    write_whole(path, buffer.getvalue())


def draw_comparison(found: ModelComparison) -> Figure:
    """Draw the errors of model and candidates, and the squared distances between them.

    Both are divided by d, on logarithmic axes, with 90 % bootstrap bands; estimated candidates have
    none, which would hide the others. Where the labels without noise are not known there are no
    errors, and only one panel. Least squares may leave the panel near k = d.
    """
    comparison = found.comparison
    kinds = {"error": comparison.errors} if comparison.errors else {}
    kinds |= {"distance": comparison.distances}
    labels = {
        "error": r"squared error / $d$",
        "distance": r"squared distance to the model / $d$",
    }
    with page_style():
        figure = Figure(figsize=(0.3 + 3.3 * len(kinds), HEIGHT))
        figure.set_layout_engine("constrained", w_pad=0.08, wspace=0.02)
        panels = figure.subplots(1, len(kinds), squeeze=False)[0]
        for panel, (kind, bands) in zip(panels, kinds.items(), strict=True):
            _panel(panel, bands, found.dim, kind)
            panel.set_ylabel(labels[kind])
            panel.set_xlabel("examples, $k$")
    return figure


def _panel(panel: Axes, bands: Mapping[str, Band], dim: int, kind: str) -> None:
    # The model last: over the curve that it is nearest to.
    names = sorted(bands, key=lambda name: name not in LOOKS)
    curves = {name: _curve(bands[name], dim, with_band="," not in name) for name in names}
    low, high = _limits(curves, _DECADES[kind])
    ends = []
    for i, (name, curve) in enumerate(curves.items()):
        look = LOOKS.get(name, MODEL)
        band = (np.maximum(end, low / _MARGIN) for end in (curve.low, curve.high))
        lifted = Curve(curve.places, np.maximum(curve.mean, low), *band)
        draw_curve(panel, lifted, look, gid=f"{kind}: {name}", phase=i / len(curves))
        below = curve.mean[-1] < low
        # What has curves below it is a power of ten.
        power = rf"$<10^{{{np.log10(low):.0f}}}$"
        said = replace(look, label=f"{look.label} {power}") if below else look
        ends.append((said, float(curve.mean[-1])))
    logarithmic(panel, low / _MARGIN, high)
    if low < 1e-3:
        panel.yaxis.set_major_formatter(LogFormatterMathtext())
    panel.set_xlim(0, max(1, len(next(iter(curves.values())).places) - 1))
    label_ends(panel, ends, PANEL)


def _curve(band: Band, dim: int, *, with_band: bool) -> Curve:
    """A curve divided by d; without a band its ends are the curve."""
    ends = (band.low, band.high) if with_band else (band.mean, band.mean)
    mean, low, high = (values / dim for values in (band.mean, *ends))
    return Curve(prefix_lengths(len(mean) - 1), mean, low, high)


def _limits(curves: Mapping[str, Curve], decades: int) -> tuple[float, float]:
    """The least positive mean, at most so many decades below the largest, least squares aside."""
    named = [c.mean for name, c in curves.items() if name != _PEAKED or len(curves) == 1]
    means = np.concatenate(named)
    positive = means[means > 0]
    if not len(positive):
        return 0.1, 1.0
    high = 1.6 * float(positive.max())
    least = 10.0 ** (np.floor(np.log10(high)) - decades)
    return float(max(positive.min(), least)), high
