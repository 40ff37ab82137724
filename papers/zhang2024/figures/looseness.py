"""How far every bound along the flow is from what it bounds, printed and sharp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papers.zhang2024.figures.study import FlowStudy
from simulations.drawing.style import BLUE, INK, MUTED, VERMILION, page_style
from theory.gradient_flow.trajectory import Comparison, comparisons

#: What `theory.gradient_flow.trajectory.comparisons` calls the quantities, and the panels' titles.
_PANELS = {
    "u": "$u$ over its lower bound",
    "PL ratio": r"$\|\nabla L\|^2/(L-\min L)$ over $\mu$",
    "loss": r"envelope over $L-\min L$",
    "distance": "bound over distance to the limit",
}

_STYLES = {"printed": (VERMILION, "--"), "sharp": (BLUE, "-")}


def looseness_figure(study: FlowStudy) -> Figure:
    """Draw larger over smaller for every bound along time, a panel a quantity; 1 is attained.

    Returns
    -------
    matplotlib.figure.Figure
        Four panels, both axes logarithmic, with the printed and the sharp bound each.
    """
    found = comparisons(study.flow, study.times)
    with page_style():
        figure = Figure(figsize=(6.6, 4.2), layout="constrained")
        panels = figure.subplots(2, 2, sharex=True).ravel()
        for panel, (quantity, title) in zip(panels, _PANELS.items(), strict=True):
            _draw(panel, [c for c in found if c.name.startswith(f"{quantity},")])
            panel.set_title(title, loc="left", fontsize=8)
        for panel in panels[2:]:
            panel.set_xlabel("$t$")
        for panel in panels[::2]:
            panel.set_ylabel("looseness")
        figure.suptitle(
            "How loose each bound is along time (1: attained)\n" + study.parameters, fontsize=8
        )
    return figure


def _draw(panel: Axes, found: Sequence[Comparison]) -> None:
    panel.axhline(1.0, color=MUTED, linewidth=0.8, zorder=1)
    for comparison in found:
        source = comparison.name.rpartition(", ")[2]
        colour, style = _STYLES[source]
        values = comparison.looseness
        panel.loglog(comparison.times, values, color=colour, linestyle=style, linewidth=1.3,
                     gid=comparison.name)  # fmt: skip
        # The printed bound is the looser one: above, and to the left where curves rise.
        place, above = int(0.88 * len(values)), source == "printed"
        steep = values[-1] > 10 * values[place]
        away, side = (-5 if above else 5, "right" if above else "left") if steep else (0, "center")
        panel.annotate(
            source, (comparison.times[place], values[place]), color=colour, ha=side,
            xytext=(away, 0 if steep else 4 if above else -4), textcoords="offset points",
            va="center" if steep else "bottom" if above else "top",
        )  # fmt: skip
    top = max(float(np.nanmax(c.looseness)) for c in found)
    panel.set_ylim(0.6, max(top, 10) * 3)
    panel.tick_params(length=2, which="major", colors=INK)
    panel.tick_params(length=0, which="minor")
