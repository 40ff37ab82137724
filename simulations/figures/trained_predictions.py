"""Errors of trained layers on new prompts, beside those of the limit's predictor."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import INK, VERMILION, page_style
from simulations.figures.curves import (
    Curve,
    Look,
    curve_of,
    draw_curve,
    label_ends,
    logarithmic,
    logarithmic_places,
)
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.sizes import BAND
from simulations.figures.trained_attention import named_run, training_length
from simulations.runs.stored_run import StoredRun
from simulations.training.config import TrainingConfig

__all__ = ["TRAINED_PREDICTIONS"]

#: Height of a row of panels, and of the panel in it, in inches; panels in a row.
ROW, PANEL, COLUMNS = 1.6, 1.1, 4

_LOOKS = {"limit": Look("limit", INK, "-"), "trained": Look("trained", VERMILION, "--", "o")}


def _shows(config: TrainingConfig) -> bool:
    return config.gradient == "sampled"


def _draw(runs: StoredRuns) -> Figure:
    rows = -(-len(runs) // COLUMNS)
    with page_style():
        figure = Figure(figsize=(7.4, ROW * rows + 0.1), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for i, (panel, (label, run)) in enumerate(zip(panels, runs.items(), strict=False)):
            _panel(panel, label, run)
            if i % COLUMNS == COLUMNS - 1:
                curves = _curves(run)
                ends = [(look, float(curves[name].mean[-1])) for name, look in _LOOKS.items()]
                label_ends(panel, ends, PANEL, room=0.2)
        for panel in panels[len(runs) :]:
            panel.set_axis_off()
        for panel in panels[::COLUMNS]:
            panel.set_ylabel("squared error / $d$")
        for panel in panels[max(0, len(runs) - COLUMNS) : len(runs)]:
            panel.set_xlabel("examples, $M$")
    return figure


def _curves(run: StoredRun) -> dict[str, Curve]:
    return {name: curve_of(run.arrays, name) for name in _LOOKS}


def _panel(panel: Axes, label: str, run: StoredRun) -> None:
    curves, drawn = _curves(run), []
    for name, look in _LOOKS.items():
        draw_curve(panel, curves[name], look, gid=f"{label} {name}")
        drawn += [curves[name].low, curves[name].high]
    lengths = run.arrays["num_examples"]
    logarithmic_places(panel, float(lengths[0]), float(lengths[-1]))
    logarithmic(panel, float(np.min(drawn)) / 1.4, 1.4 * float(np.max(drawn)))
    panel.axvline(training_length(run.config), color=INK, linewidth=0.5, linestyle=(0, (1, 2)))
    panel.set_title(label, loc="left", fontsize=7.5)
    errors = {"$u$": float(run.arrays["error/u"]), "$uU$": float(run.arrays["error/product"])}
    said = [f"{name}: {100 * error:.2g} %" for name, error in errors.items() if np.isfinite(error)]
    panel.text(
        0.96, 0.95, "\n".join(said), transform=panel.transAxes, ha="right", va="top", fontsize=7
    )


def _describe(runs: StoredRuns) -> str:
    listed = "; ".join(named_run(label, run.config) for label, run in runs.items())
    return (
        f"Mean of (yhat - w'x)^2 / d on the same new prompts of M examples, for the trained layer"
        f" and for linear self-attention at the limit of the flow on u12 = u21 = 0; dotted:"
        f" the training length N. {BAND} The numbers are the relative distances"
        f" of u and u U from that limit. It is the limit of training only where optimiser, start"
        f" and tasks keep u12 = u21 = 0: Adam does not keep the balance, dense starts and"
        f" lopsided mixtures leave that plane, and softmax attention is another layer. Runs:"
        f" {listed}."
    )


TRAINED_PREDICTIONS = ExperimentFigure(
    name="zhang2024-trained-predictions",
    title="What trained layers predict, beside the limit of linear self-attention",
    experiment="zhang2024-trained",
    draw=_draw,
    describe=_describe,
    shows=_shows,
)
