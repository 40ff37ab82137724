"""Zhang et al. 2024, Figure 1, without GPT-2: trained on one law of covariates, asked on others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import BLUE, VERMILION, page_style
from simulations.figures.curves import (
    Look,
    curves_of,
    draw_curve,
    label_ends,
    logarithmic,
    look_of,
    mark_exact,
    mark_level,
)
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.sizes import BAND, joined, said
from simulations.runs.stored_run import StoredRun

__all__ = ["COVARIATE_LAWS"]

#: Errors below are not shown: least squares without noise is exact from M = d on.
LOWEST = 0.02

#: Height of a row of panels, and of the panel in it, in inches.
ROW, PANEL = 2.2, 1.7

#: Line and marker of each training length, up to four.
_LENGTHS = ((":", "v"), ("--", "s"), ("-", "o"), ("-.", "D"))


def _draw(runs: StoredRuns) -> Figure:
    (run,) = runs.values()
    names = list(_panels(run.config))
    rows = -(-len(names) // 2)
    with page_style():
        figure = Figure(figsize=(7.4, ROW * rows), layout="constrained")
        panels = figure.subplots(rows, 2, squeeze=False).ravel()
        for panel, name in zip(panels, names, strict=False):
            _panel(panel, run, name)
        for panel in panels[len(names) :]:
            panel.set_axis_off()
        for panel in panels[::2]:
            panel.set_ylabel("squared error / $d$")
        for panel in panels[max(0, len(names) - 2) : len(names)]:
            panel.set_xlabel("examples in the prompt, $M$")
    return figure


def _panels(config: Any) -> dict[str, str]:
    """The panels' titles by the names that the arrays have."""
    random = {f"random-{c:g}": rf"random covariances, $c={c:g}$" for c in config.scales}
    return {"fixed": r"covariance $I$", **random}


def _looks(config: Any) -> Iterator[tuple[str, Look]]:
    yield "least_squares", look_of("least_squares")
    yield "zero", look_of("zero")
    for trained, colour in (("fixed", BLUE), ("random", VERMILION)):
        for N, (line, marker) in zip(config.train_lengths, _LENGTHS, strict=False):
            label = (
                f"trained on $I$, $N={N}$" if trained == "fixed" else f"trained on random, $N={N}$"
            )
            yield f"{trained}_{N}", Look(label, colour, line, marker)


def _panel(panel: Axes, run: StoredRun, name: str) -> None:
    arrays, config, ends, highest = run.arrays, run.config, [], 1.0
    curves = curves_of(arrays, prefix=f"{name}/")
    looks = dict(_looks(config))
    for i, (predictor, look) in enumerate(looks.items()):
        curve, gid = curves[predictor], f"{name}/{predictor}"
        draw_curve(panel, curve, look, gid=gid, phase=i / len(looks))
        ends.append((look, float(curve.mean[-1])))
        highest = max(highest, float(np.max(curve.high)))
        if f"{gid}/exact" in arrays:
            mark_exact(panel, curve.places, arrays[f"{gid}/exact"], gid=f"{gid}/exact", marks=7)
    for trained, colour in (("fixed", BLUE), ("random", VERMILION)):
        key = f"{name}/{trained}/limit"
        if float(arrays[key]) > LOWEST:
            mark_level(panel, float(arrays[key]), colour, gid=key)
    logarithmic(panel, LOWEST, 1.5 * highest)
    panel.set_xlim(0, float(arrays["num_examples"][-1]))
    panel.set_title(_panels(config)[name], loc="left", fontsize=8)
    label_ends(panel, ends, PANEL)


def _describe(runs: StoredRuns) -> str:
    (run,) = runs.values()
    config = run.config
    return (
        f"Mean of (yhat - w'x)^2 / d in d = {config.dim} dimensions on prompts of M examples"
        f" without noise, {said(runs, 'covariances')} covariances and {said(runs, 'prompts')}"
        f" prompts of each in every panel. Random covariances are c diag(lambda), lambda_i"
        f" exponential of mean 1. Layers of linear self-attention at the limits of training on the"
        f" covariance I (Theorem 4) and on random ones with c = 1 (Theorem 8), for training lengths"
        f" N = {joined(config.train_lengths)}; least squares; the answer 0. Crosses: the exact"
        f" risks of the layers. Dotted: their limits for M, N to infinity; that of training on"
        f" random covariances is eq. (23), the paper's dashed line. Errors below {LOWEST:g} are not"
        f" shown. {BAND} What is resampled is covariances, not prompts, where they are random."
        f" The errors have heavy tails there, and the curves of a panel share the covariances: they"
        f" are off the crosses together."
        f" Seed {config.seed}."
    )


COVARIATE_LAWS = ExperimentFigure(
    name="zhang2024-figure-1",
    title="Linear self-attention trained on one law of covariates and asked on others (Zhang et al."
    " 2024, Figure 1, without GPT-2)",
    experiment="zhang2024-figure-1",
    draw=_draw,
    describe=_describe,
)
