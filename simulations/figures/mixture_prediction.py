"""Pathak et al. 2023, Figure 2, without its transformers: errors by prompt length."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import page_style
from simulations.figures.curves import (
    curves_of,
    draw_curve,
    label_ends,
    logarithmic,
    look_of,
    mark_exact,
)
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.sizes import BAND, QUERY_NOISE, joined, said
from simulations.runs.stored_run import StoredRun

__all__ = ["MIXTURE_PREDICTION"]

#: What is shown of the errors: oracles without noise are 0 up to rounding, least squares with
#: noise has no finite mean near k = d.
LOWEST, HIGHEST = 0.02, 10.0

#: Height of a row of panels, and of the panel in it, in inches.
ROW, PANEL = 2.2, 1.65


def _draw(runs: StoredRuns) -> Figure:
    columns = min(2, len(runs))
    rows = -(-len(runs) // columns)
    with page_style():
        figure = Figure(figsize=(7.4 if columns == 2 else 4.2, ROW * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        for panel, run in zip(panels, runs.values(), strict=False):
            _panel(panel, run)
        for panel in panels[len(runs) :]:
            panel.set_axis_off()
        for panel in panels[: len(runs)][-columns:]:
            panel.set_xlabel("examples in the prompt, $k$")
        for panel in panels[::columns]:
            panel.set_ylabel("squared error / $d$")
    return figure


def _panel(panel: Axes, run: StoredRun) -> None:
    config, ends = run.config, []
    curves = curves_of(run.arrays)
    for i, (predictor, curve) in enumerate(curves.items()):
        look = look_of(predictor)
        draw_curve(panel, curve, look, gid=predictor, phase=i / len(curves))
        ends.append((look, float(curve.mean[-1])))
    exact = run.arrays["least_squares/expected"]
    mark_exact(panel, run.arrays["num_examples"], exact, gid="least_squares/expected")
    logarithmic(panel, LOWEST, HIGHEST)
    panel.set_xlim(0, config.max_examples)
    title = rf"$m={config.num_components}$, $\sigma={config.noise_std:g}$"
    panel.set_title(title, loc="left", fontsize=8)
    label_ends(panel, ends, PANEL)


def _describe(runs: StoredRuns) -> str:
    mixtures = joined(
        f"m = {run.config.num_components}, sigma = {run.config.noise_std:g}"
        for run in runs.values()
    )
    return (
        f"Mean of (f(P) - y)^2 / d over {said(runs, 'num_prompts')} prompts of k examples, the same"
        f" for every predictor, for mixtures in d = {said(runs, 'dim')} dimensions: {mixtures}; w_j"
        f" uniform on the sphere of radius sqrt(d), x ~ N(0, I). The posterior mean and the argmin"
        f" know the w_j. Crosses: the exact expectation of minimum-norm least squares, which for"
        f" sigma > 0 is infinite at k = d - 1, d, d + 1. Errors below {LOWEST:g} are not shown (for"
        f" sigma = 0 both oracles are exact from k = 1 on, least squares from k = d on), nor above"
        f" {HIGHEST:g}. {BAND} {QUERY_NOISE} Seed {said(runs, 'seed')}."
    )


MIXTURE_PREDICTION = ExperimentFigure(
    name="pathak2023-figure-2",
    title="Predictions on prompts of one mixture (Pathak et al. 2023, Figure 2, without"
    " transformers)",
    experiment="pathak2023-figure-2",
    draw=_draw,
    describe=_describe,
)
