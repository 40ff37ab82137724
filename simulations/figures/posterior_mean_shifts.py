"""Pathak et al. 2023, Figures 7 to 9: the posterior mean on prompts of a shifted law."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import page_style
from simulations.figures.curves import (
    Curve,
    draw_curve,
    family,
    label_ends,
    logarithmic,
    mark_level,
)
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.sizes import BAND, QUERY_NOISE, joined, said
from simulations.runs.stored_run import StoredRun

__all__ = ["POSTERIOR_MEAN_SHIFTS"]

#: Ticks of the number of examples.
_TICKS = (0, 1, 2, 5, 10, 20, 30, 40, 50, 60)

#: Height of the figure and of its panels, in inches.
HEIGHT, PANEL = 2.6, 2.1


def _draw(letter: str, runs: StoredRuns) -> Figure:
    columns = len(runs)
    with page_style():
        figure = Figure(figsize=(1.2 + 3.1 * columns, HEIGHT), layout="constrained")
        panels = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
        for panel, run in zip(panels, runs.values(), strict=True):
            _panel(panel, run)
        low = min(float(run.arrays["posterior_mean/limit"].min()) for run in runs.values())
        high = max(float(run.arrays["posterior_mean/high"].max()) for run in runs.values())
        for panel, run in zip(panels, runs.values(), strict=True):
            logarithmic(panel, low / 1.5, 1.3 * high)
            _labels(panel, run, letter)
        panels[0].set_ylabel("squared error / $d$")
    return figure


def _panel(panel: Axes, run: StoredRun) -> None:
    arrays, config = run.arrays, run.config
    looks = family([f"{shift:g}" for shift in config.shifts])
    for i, look in enumerate(looks):
        limit = float(arrays["posterior_mean/limit"][i])
        mark_level(panel, limit, look.colour, gid=f"limit {look.label}")
        draw_curve(panel, _curve(run, i), look, gid=f"shift {look.label}", phase=i / len(looks))
    # Most of it happens for small k.
    panel.set_xscale("function", functions=(np.sqrt, np.square))
    panel.set_xticks([k for k in _TICKS if k <= config.max_examples])
    panel.set_xlim(0, config.max_examples)
    panel.set_xlabel("examples in the prompt, $k$")
    panel.set_title(
        rf"$m={config.num_components}$, $d={config.dim}$, $\sigma={config.noise_std:g}$",
        loc="left", fontsize=8,
    )  # fmt: skip


def _labels(panel: Axes, run: StoredRun, letter: str) -> None:
    looks = family([rf"$\{letter}={shift:g}$" for shift in run.config.shifts])
    ends = [float(mean[-1]) for mean in run.arrays["posterior_mean/mean"]]
    label_ends(panel, list(zip(looks, ends, strict=True)), PANEL)


def _curve(run: StoredRun, i: int) -> Curve:
    mean, low, high = (run.arrays[f"posterior_mean/{end}"][i] for end in ("mean", "low", "high"))
    return Curve(run.arrays["num_examples"], mean, low, high)


def _describe(law: str, limit: str, runs: StoredRuns) -> str:
    shifts = joined(dict.fromkeys(shift for run in runs.values() for shift in run.config.shifts))
    return (
        f"Mean of (f(P) - y)^2 / d of the posterior mean of an unshifted mixture of"
        f" m = {said(runs, 'num_components')} components in d = {said(runs, 'dim')} dimensions,"
        f" sigma = {said(runs, 'noise_std')}, on {said(runs, 'num_prompts')} prompts of k examples"
        f" for each shift: {law}, for {shifts}; k on a square-root scale. Dotted: the exact limit"
        f" for k -> infinity, {limit}. {BAND} {QUERY_NOISE} Seed {said(runs, 'seed')}."
    )


def _figure(number: int, kind: str, letter: str, law: str, limit: str) -> ExperimentFigure:
    draw: Callable[[StoredRuns], Figure] = partial(_draw, letter)
    return ExperimentFigure(
        name=f"pathak2023-figure-{number}",
        title=f"The posterior mean under {kind} (Pathak et al. 2023, Figure {number})",
        experiment=f"pathak2023-figure-{number}",
        draw=draw,
        describe=partial(_describe, law, limit),
    )


POSTERIOR_MEAN_SHIFTS = (
    _figure(
        7,
        "covariate scaling",
        "kappa",
        "covariates and query from N(0, kappa^2 I)",
        "sigma^2 / d whatever kappa is",
    ),
    _figure(
        8,
        "weight scaling",
        "alpha",
        "labels of the regressors alpha w_j",
        "where the posterior has settled on the nearest component",
    ),
    _figure(
        9,
        "a weight shift",
        "epsilon",
        "labels of w_j + (epsilon / sqrt(d)) (1, ..., 1)",
        "where the posterior has settled on the nearest component",
    ),
)
