"""Pathak et al. 2023, Section 4: transformers on nonlinear components, and on random mixtures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import PURPLE, page_style
from simulations.figures.curves import (
    Look,
    curve_of,
    draw_curve,
    label_ends,
    logarithmic,
    look_of,
    mark_level,
)
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.sizes import BAND, said
from simulations.figures.trained_models import (
    NOT_SHOWN,
    TRANSFORMER,
    draw_seeds,
    examples_axis,
    lower_end,
    seed_curves,
    told_seeds,
    told_training,
)
from simulations.runs.stored_run import StoredRun

__all__ = ["OPEN_QUESTIONS"]

#: Height of the figure and of its panels, in inches.
HEIGHT, PANEL = 2.4, 1.8

#: The upper end of the panels, over the largest error of a transformer and that of the answer 0:
#: least squares has no finite mean near k = d.
ABOVE = 2.0

_LOOKS: Mapping[str, Look] = {
    "posterior_mean": look_of("posterior_mean"),
    "best_linear": Look("best linear", PURPLE, "--", "v"),
    "least_squares": look_of("least_squares"),
    "zero": look_of("zero"),
}
_FLOOR = Look("floor", PURPLE, (0, (1, 3)))


def _draw(runs: StoredRuns) -> Figure:
    columns = len(runs)
    with page_style():
        figure = Figure(figsize=(0.8 + 3.3 * columns, HEIGHT), layout="constrained")
        panels = figure.subplots(1, columns, squeeze=False)[0]
        for panel, run in zip(panels, runs.values(), strict=True):
            _panel(panel, run)
        panels[0].set_ylabel("squared error / $d$")
    return figure


def _title(law: Any) -> str:
    what = "nonlinear components" if law.kind == "nonlinear" else "random mixtures"
    return rf"{what}, $m={law.num_components}$, $d={law.dim}$, $\sigma={law.noise_std:g}$"


def _panel(panel: Axes, run: StoredRun) -> None:
    arrays, ends, floor = run.arrays, [], float(run.arrays["floor"])
    curves = {
        name: curve_of(arrays, f"error/{name}") for name in _LOOKS if f"error/{name}/mean" in arrays
    }
    for i, (name, curve) in enumerate(curves.items()):
        draw_curve(panel, curve, _LOOKS[name], gid=name, phase=i / len(curves))
        ends.append((_LOOKS[name], float(curve.mean[-1])))
    # Last, over the curve that it is nearest to.
    model = draw_seeds(panel, seed_curves(run, "error"), TRANSFORMER, "transformer", phase=0.5)
    ends.append((TRANSFORMER, float(model.mean[-1])))
    best = min(float(curve.mean.min()) for curve in curves.values())
    if floor > 0:  # none is known for nonlinear components: NaN
        mark_level(panel, floor, _FLOOR.colour, gid="floor")
        ends.append((_FLOOR, floor))
        best = min(best, floor)
    high = ABOVE * max(float(model.high.max()), float(curves["zero"].high.max()))
    logarithmic(panel, lower_end(best, float(model.mean.min())), high)
    examples_axis(panel, arrays["num_examples"])
    panel.set_xlabel("examples in the prompt, $k$")
    panel.set_title(_title(run.config.training.prompts), loc="left", fontsize=8)
    label_ends(panel, ends, PANEL)


def _told(run: StoredRun) -> str:
    law, model = run.config.training.prompts, told_training(run.config.training)
    sizes = f"m = {law.num_components}, d = {law.dim}, sigma = {law.noise_std:g}; {model}"
    if law.kind == "nonlinear":
        return (
            f"Nonlinear components: each prompt has one of m fixed networks of two layers and"
            f" {law.hidden} hidden units ({sizes}). The posterior mean knows the networks."
        )
    return (
        f"Random mixtures: each prompt has m regressors of its own, each example one of them"
        f" ({sizes}). Best linear: ridge regression with the penalty m (sigma^2 + d (1 - 1/m)), the"
        f" best of all predictors that are linear in the labels. Floor, dotted: 1 - 1/m, the error"
        f" with known regressors, as none tells the component of the query."
    )


def _describe(runs: StoredRuns) -> str:
    return (
        f"Mean of (f(P) - y)^2 / d, y the query's label without noise, over"
        f" {said(runs, 'num_prompts')} new prompts of k examples, the same for all predictors."
        f" {' '.join(_told(run) for run in runs.values())} Least squares is linear regression in x;"
        f" its mean is not finite near k = d, where it leaves the panel. {NOT_SHOWN} {BAND}"
        f" {told_seeds(run.config.training for run in runs.values())} Seed of the new prompts"
        f" {said(runs, 'seed')}."
    )


OPEN_QUESTIONS = ExperimentFigure(
    name="pathak2023-open-questions",
    title="Transformers on nonlinear components and on random mixtures (open questions of Pathak et"
    " al. 2023, Section 4)",
    experiment="pathak2023-open-questions",
    draw=_draw,
    describe=_describe,
)
