"""The layer of Theorem 4 under the shifts of Zhang et al. 2024, Section 4.2."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import BLUE, page_style
from simulations.figures.curves import (
    Look,
    curves_of,
    draw_curve,
    label_ends,
    logarithmic,
    logarithmic_places,
    look_of,
    mark_exact,
    mark_level,
)
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.sizes import BAND, said
from simulations.runs.stored_run import StoredRun

__all__ = ["LINEAR_ATTENTION_SHIFTS"]

#: Height of a row of panels, and of the panel in it, in inches.
ROW, PANEL, COLUMNS = 1.7, 1.25, 3

_LOOKS: Mapping[str, Look] = {
    "linear_attention": Look("linear attention", BLUE, "-", "o"),
    "least_squares": look_of("least_squares"),
    "zero": look_of("zero"),
}

#: What the shifts are called, by the first word of their names.
_TITLES = {
    "none": "no shift",
    "noise": r"label noise, $\sigma={}$",
    "task": r"one task, $w={}\cdot 1_d$",
    "query": r"query from $N(0, {}^2 d\, vv')$",
    "orthogonal": "query off the examples' span",
    "covariates": r"covariates and query $\times\,{}$",
}


def _draw(runs: StoredRuns) -> Figure:
    (run,) = runs.values()
    names = _shifts(run)
    rows = -(-len(names) // COLUMNS)
    low, high = _limits(run, names)
    with page_style():
        figure = Figure(figsize=(7.4, ROW * rows + 0.1), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
        for i, (panel, name) in enumerate(zip(panels, names, strict=False)):
            _panel(panel, run, name)
            logarithmic(panel, low, high)
            if i % COLUMNS == COLUMNS - 1:
                curves = curves_of(run.arrays, prefix=f"{name}/")
                ends = [(look, float(curves[key].mean[-1])) for key, look in _LOOKS.items()]
                label_ends(panel, ends, PANEL)
        for panel in panels[len(names) :]:
            panel.set_axis_off()
        for panel in panels[::COLUMNS]:
            panel.set_ylabel("squared error / $d$")
            panel.tick_params(labelleft=True)
        for panel in panels[max(0, len(names) - COLUMNS) : len(names)]:
            panel.set_xlabel("examples in the prompt, $M$")
            panel.tick_params(labelbottom=True)
    return figure


def _shifts(run: StoredRun) -> list[str]:
    ending = "/zero/mean"
    return [key.removesuffix(ending) for key in run.arrays if key.endswith(ending)]


def _limits(run: StoredRun, names: list[str]) -> tuple[float, float]:
    """The ends of all y-axes: what is shown of the layer and of 0; least squares may go beyond."""
    layers = [run.arrays[f"{name}/linear_attention/mean"] for name in names]
    zeros = [run.arrays[f"{name}/zero/mean"] for name in names if name != "orthogonal"]
    shown = np.concatenate(layers + zeros)
    return float(shown[shown > 1e-6].min()) / 2, 2 * float(shown.max())


def _panel(panel: Axes, run: StoredRun, name: str) -> None:
    curves = curves_of(run.arrays, prefix=f"{name}/")
    for i, (predictor, look) in enumerate(_LOOKS.items()):
        gid = f"{name}/{predictor}"
        draw_curve(panel, curves[predictor], look, gid=gid, phase=i / len(_LOOKS))
    exact = f"{name}/linear_attention/exact"
    mark_exact(panel, run.arrays["num_examples"], run.arrays[exact], gid=exact)
    bias = f"{name}/linear_attention/bias"
    if np.isfinite(run.arrays[bias]):
        mark_level(panel, float(run.arrays[bias]), BLUE, gid=bias)
    lengths = run.arrays["num_examples"]
    logarithmic_places(panel, float(lengths[0]), float(lengths[-1]))
    kind, _, size = name.partition("-")
    panel.set_title(_TITLES[kind].format(size), loc="left", fontsize=7.5)


def _describe(runs: StoredRuns) -> str:
    (run,) = runs.values()
    config = run.config
    return (
        f"Mean of (yhat - w'x)^2 / d over {said(runs, 'prompts')} prompts for each shift, for the"
        f" layer at the limit of training on N(0, Lambda), Lambda_ij = {config.correlation:g}^|i-j|"
        f", d = {config.dim}, prompt length N = {config.train_length}; least squares and the answer"
        f" 0 beside. Crosses: the layer's exact risk; dotted: its limit for M to infinity. v is"
        f" the unit eigenvector of Lambda's least eigenvalue; a query off the span of the examples"
        f" has its part in the span removed, and is 0 for M >= d. Least squares leaves the axes"
        f" where it is exact, and near M = d with noise. {BAND} Seed {config.seed}."
    )


LINEAR_ATTENTION_SHIFTS = ExperimentFigure(
    name="zhang2024-shifts",
    title="Linear self-attention under shifts of task, query and covariates (Zhang et al. 2024,"
    " Section 4.2)",
    experiment="zhang2024-shifts",
    draw=_draw,
    describe=_describe,
)
