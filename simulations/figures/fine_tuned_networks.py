"""A hand-built network fine-tuned on a shifted mixture, and lines between networks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import BLUE, INK, VERMILION, page_style
from simulations.figures.curves import (
    Look,
    family,
    label_ends,
    logarithmic,
    logarithmic_places,
    mark_level,
)
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.sizes import joined, said
from simulations.runs.stored_run import StoredRun

__all__ = ["FINE_TUNED_NETWORKS", "HIGHEST", "LOWEST"]

#: Height of a row of panels, and of the panel in it, in inches.
ROW, PANEL = 1.85, 1.35

#: Rows of panels of a run.
ROWS = 3

#: Distances beyond are drawn at the edge of the panels of fine-tuning.
LOWEST, HIGHEST = 1e-4, 1e4

#: Distances beyond are drawn at the edge of the line through the barrier.
_LEAST = 1e-30

_TITLES = {
    "relative": "relative changes of what is not an address",
    "unshifted": "the same on the mixture it is built for",
    "everywhere": "relative changes of all weights",
    "plain": "plain Adam on all weights",
}


def _draw(runs: StoredRuns) -> Figure:
    with page_style():
        figure = Figure(figsize=(7.4, ROWS * ROW * len(runs) + 0.1), layout="constrained")
        panels = figure.subplots(ROWS * len(runs), 2, squeeze=False)
        for i, run in enumerate(runs.values()):
            *tuned, barrier, line = panels[ROWS * i : ROWS * (i + 1)].ravel()
            for panel, way in zip(tuned, _TITLES, strict=True):
                _fine_tuning(panel, run, way)
            _barrier(barrier, run)
            _line(line, run)
    return figure


def _labels(panel: Axes, title: str, across: str) -> None:
    panel.set_title(title, loc="left", fontsize=8)
    panel.set_xlabel(across)
    panel.set_ylabel("squared distance")


def _fine_tuning(panel: Axes, run: StoredRun, way: str) -> None:
    """The distance from the posterior mean of the prompts' mixture, by step size."""
    sizes, curves = run.arrays[f"{way}/step_sizes"], run.arrays[f"{way}/distances"]
    looks = family([rf"$\eta={_power(float(size))}$" for size in sizes])
    ends = [
        (look, _plot(panel, (run.arrays["steps"], curve), look, f"{way} {size:g}"))
        for size, curve, look in zip(sizes, curves, looks, strict=True)
    ]
    if way == "unshifted":
        scratch = Look("random start", INK, (0, (1, 2)))
        points = run.arrays["scratch/steps"], run.arrays["scratch/distances"]
        ends.append((scratch, _plot(panel, points, scratch, "scratch")))
    else:
        mark_level(panel, float(curves[0, 0]), INK, gid=f"{way} start")
    panel.set_xscale("symlog", linthresh=1)
    panel.set_xlim(0, run.config.steps)
    panel.set_xticks([0, *10 ** np.arange(len(str(run.config.steps)))])
    logarithmic(panel, LOWEST, HIGHEST)
    _labels(panel, _TITLES[way], "steps")
    label_ends(panel, ends, PANEL)


def _plot(
    panel: Axes,
    curve: tuple[np.ndarray, Float[np.ndarray, " n"]],
    look: Look,
    gid: str,
    limits: tuple[float, float] = (LOWEST, HIGHEST),
) -> float:
    """Draw a curve within limits, and return its end."""
    places, values = curve
    shown = np.clip(values, *limits)
    panel.plot(
        places, shown, color=look.colour, linestyle=look.line, linewidth=1.1, marker=look.marker,
        markersize=3, markevery=max(1, len(shown) // 8), gid=gid,
    )  # fmt: skip
    return float(shown[-1])


def _power(value: float) -> str:
    """A number such as 0.003 in mathtext."""
    digits, exponent = f"{value:.0e}".split("e")
    return rf"10^{{{int(exponent)}}}" if digits == "1" else rf"{digits}\cdot 10^{{{int(exponent)}}}"


def _barrier(panel: Axes, run: StoredRun) -> None:
    """From either network towards the other, by the share of the other."""
    shares = run.arrays["barrier/shares"][1:]
    looks = {
        "scratch": Look("from trained", VERMILION, "-", "s"),
        "built": Look("from built", BLUE, "--", "o"),
    }
    curves = {name: run.arrays[f"barrier/from_{name}"][1:] for name in looks}
    known = np.concatenate(list(curves.values()))
    limits = (_LEAST, 100 * float(np.max(known[np.isfinite(known)], initial=1.0)))
    for name, look in looks.items():
        _plot(panel, (shares, curves[name]), look, f"barrier {name}", limits)
    logarithmic(panel, *limits)
    logarithmic_places(panel, float(shares[0]), 1.0)
    panel.set_xticks([1e-18, 1e-12, 1e-6, 1.0], ["$10^{-18}$", "$10^{-12}$", "$10^{-6}$", "1"])
    panel.set_yticks([1e-30, 1.0, 1e30], ["$10^{-30}$", "1", "$10^{30}$"])
    _labels(panel, "between a trained network and the built one", "share of the other network")
    ends = [(look, float(curves[name][0])) for name, look in looks.items()]
    label_ends(panel, ends, PANEL)


def _line(panel: Axes, run: StoredRun) -> None:
    ends, shares = [], run.arrays["line/shares"]
    looks = {
        "old": Look("mixture built for", BLUE, "-", "o"),
        "new": Look("shifted mixture", VERMILION, "--", "s"),
    }
    for name, look in looks.items():
        points = shares, run.arrays[f"line/{name}"]
        ends.append((look, _plot(panel, points, look, f"line {name}", (0.0, np.inf))))
    panel.set_xlim(0, 1)
    panel.set_ylim(bottom=0)
    _labels(panel, "from the built network to the fine-tuned one", "share of the change, $t$")
    label_ends(panel, ends, PANEL)


def _describe(runs: StoredRuns) -> str:
    sizes = [f"{float(run.arrays['line/step_size']):g}" for run in runs.values()]
    largest = max(float(run.arrays["largest_weight"]) for run in runs.values())
    least = min(float(run.arrays["smallest_weight"]) for run in runs.values())
    return (
        f"The network of Theorem 1 ({said(runs, 'built_layers')} layers, float64, weights from"
        f" {least:.0e} to {largest:.0e}) for m = {said(runs, 'num_components')},"
        f" d = {said(runs, 'dim')}, sigma = {said(runs, 'noise_std')} and up to"
        f" {said(runs, 'max_examples')} examples, trained by Adam on prompts with regressors w_j +"
        f" {said(runs, 'shift')} 1/sqrt(d). Mean over {said(runs, 'num_prompts')} held-out prompts"
        f" and their prefixes of (f(P) - g(P))^2, not divided by d, to the posterior mean of the"
        f" prompts' mixture; dotted: before the first step; one run each. Top left: changes delta"
        f" of w (1 + delta), of weights that attention does not find columns by; right: the same on"
        f" unshifted prompts, where no step improves on rounding, beside a network of the same"
        f" shapes from random weights. Middle: relative changes of all weights, and plain steps on"
        f" all weights. Values beyond {LOWEST:g} and {HIGHEST:g} are drawn there. Bottom left: on"
        f" the straight line between that trained network and the built one, from either end, by"
        f" the share of the other; neurons and scales of rows are not matched. Right: along"
        f" w (1 + t delta) of the step size {joined(sizes)}, on prompts of either mixture."
        f" Seed {said(runs, 'seed')}."
    )


FINE_TUNED_NETWORKS = ExperimentFigure(
    name="pathak2023-fine-tuned",
    title="Fine-tuning a hand-built network needs steps that know its scales",
    experiment="pathak2023-fine-tuned",
    draw=_draw,
    describe=_describe,
)
