"""Zhang et al. 2024, Figure 1: GPT-2 on linear regression, and on prompts of other lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import BLUE, FAINT, INK, VERMILION, page_style
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
    draw_seeds,
    examples_axis,
    seed_curves,
    told_seeds,
    told_training,
)
from simulations.runs.stored_run import StoredRun

__all__ = ["GAUSSIAN_TRANSFORMERS"]

#: Height of a row of panels, and of the panel in it, in inches.
ROW, PANEL = 2.3, 1.8

#: Where least squares, exact from M = d on, leaves the panel: as far below the least error of a
#: transformer, as a factor.
BELOW = 3.0

_LAWS: Mapping[str, str] = {
    "fixed": r"covariance $I$",
    "random-1": r"random covariances, $c=1$",
    "random-4": r"random covariances, $c=4$",
    "random-9": r"random covariances, $c=9$",
}

#: By the covariance of training, and the positions.
_LOOKS: Mapping[tuple[str, str], Look] = {
    ("identity", "learned"): Look("on $I$, with positions", BLUE, "-", "o"),
    ("identity", "none"): Look("on $I$, without", BLUE, "--", "s"),
    ("exponential", "learned"): Look("on random, with positions", VERMILION, "-", "D"),
    ("exponential", "none"): Look("on random, without", VERMILION, "--", "v"),
}
_LIMIT = Look("linear attention, limit", INK, (0, (1, 3)))


def _draw(runs: StoredRuns) -> Figure:
    with page_style():
        figure = Figure(figsize=(7.4, 2 * ROW), layout="constrained")
        panels = figure.subplots(2, 2, squeeze=False)
        for panel, law in zip(panels.ravel(), _LAWS, strict=True):
            _panel(panel, runs, law)
        for panel in panels[:, 0]:
            panel.set_ylabel("squared error / $d$")
        for panel in panels[-1]:
            panel.set_xlabel("examples in the prompt, $M$")
    return figure


def _baselines(panel: Axes, run: StoredRun, law: str) -> list[tuple[Look, float]]:
    """Draw what was not trained; return the ends of the curves."""
    ends = []
    for i, name in enumerate(("least_squares", "zero")):
        curve, look = curve_of(run.arrays, f"{law}/{name}"), look_of(name)
        draw_curve(panel, curve, look, gid=f"{law}/{name}", phase=i / 2)
        ends.append((look, float(curve.mean[-1])))
    return ends


def _look(config: Any) -> Look:
    return _LOOKS[config.training.prompts.covariance, config.training.model.positions]


def _panel(panel: Axes, runs: StoredRuns, law: str) -> None:
    first = next(iter(runs.values()))
    ends, lows, highs = _baselines(panel, first, law), [], [1.0]
    for i, run in enumerate(runs.values()):
        look, gid = _look(run.config), f"{law}/{_look(run.config).label}"
        mean = draw_seeds(panel, seed_curves(run, law), look, gid, phase=i / len(runs))
        ends.append((look, float(mean.mean[-1])))
        lows.append(float(mean.mean.min()))
        highs.append(float(mean.high.max()))
    level = float(first.arrays[f"{law}/linear_attention/limit"])
    mark_level(panel, level, _LIMIT.colour, gid=f"{law}/limit")
    ends.append((_LIMIT, level))
    for N in dict.fromkeys(run.config.training.prompts.num_examples for run in runs.values()):
        panel.axvline(N, color=FAINT, linewidth=0.8, zorder=0, gid=f"{law}/N")
    logarithmic(panel, min(lows) / BELOW, 1.5 * max(*highs, level))
    examples_axis(panel, first.arrays["num_examples"])
    panel.set_title(_LAWS[law], loc="left", fontsize=8)
    label_ends(panel, ends, PANEL)


def _describe(runs: StoredRuns) -> str:
    first = next(iter(runs.values())).config
    law = first.training.prompts
    models = dict.fromkeys(told_training(run.config.training) for run in runs.values())
    return (
        f"Mean of (yhat - w'x)^2 / d in d = {law.dim} dimensions on {said(runs, 'num_prompts')}"
        f" prompts of M examples without noise, w ~ N(0, I), the same for every predictor. Random"
        f" covariances are c diag(lambda), lambda_i exponential of mean 1, anew for each prompt."
        f" Transformers ({'; '.join(models)}) trained on prompts of N = {law.num_examples} examples"
        f" (grey line), with the covariance I and with random ones of c = 1, with learned positions"
        f" and with none: beyond N learned ones have the values of the start of training. Dotted:"
        f" the error of linear self-attention, trained on random covariances of c = 1, for M, N to"
        f" infinity (for c = 1 eq. (23), the paper's dashed line). Least squares, exact from M = d"
        f" on, and the answer 0. What is more than {BELOW:g} times below the least error of all"
        f" transformers is not shown. {BAND}"
        f" {told_seeds(run.config.training for run in runs.values())} Seed of the"
        f" prompts {said(runs, 'seed')}."
    )


GAUSSIAN_TRANSFORMERS = ExperimentFigure(
    name="zhang2024-figure-1-transformers",
    title="Transformers on linear regression, and on prompts longer than they were trained on"
    " (Zhang et al. 2024, Figure 1)",
    experiment="zhang2024-transformers",
    draw=_draw,
    describe=_describe,
)
