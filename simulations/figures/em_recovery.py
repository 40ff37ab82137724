"""How many components Algorithm 1 finds from each of its random starts, and from spread starts."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simulations.drawing.style import BLUE, VERMILION, page_style
from simulations.figures.curves import Look
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.sizes import said
from simulations.runs.stored_run import StoredRun

__all__ = ["EM_RECOVERY"]

#: Where bars and marks of each kind are, beside their number.
SHIFTS = (-0.2, 0.2)

#: Height of a row of panels, in inches.
ROW = 1.9

#: The kinds of starts; the "line" of a look hatches its bars.
_LOOKS = {
    "random": Look("random starts (Algorithm 1)", VERMILION, "////", "s"),
    "spread": Look("spread starts", BLUE, "", "o"),
}


def _draw(runs: StoredRuns) -> Figure:
    with page_style():
        figure = Figure(figsize=(7.4, ROW * len(runs) + 0.1), layout="constrained")
        rows = figure.subplots(len(runs), 2, squeeze=False)
        for (left, right), run in zip(rows, runs.values(), strict=True):
            _histogram(left, run)
            _likelihoods(right, run)
            for panel in (left, right):
                panel.set_xlim(-0.7, run.config.num_components + 0.7)
                panel.xaxis.set_major_locator(MaxNLocator(integer=True))
                panel.tick_params(length=2)
        for panel in rows[-1]:
            panel.set_xlabel("components found")
    return figure


def _histogram(panel: Axes, run: StoredRun) -> None:
    m, starts = run.config.num_components, run.config.starts
    numbers = np.arange(m + 1)
    for (kind, look), shift in zip(_LOOKS.items(), SHIFTS, strict=True):
        counts = np.bincount(run.arrays[f"{kind}/found"], minlength=m + 1)
        rate = 100 * float(run.arrays[f"{kind}/success_rate"])
        panel.bar(
            numbers + shift, counts, width=0.4, facecolor="white" if look.line else look.colour,
            edgecolor=look.colour, hatch=look.line, linewidth=0.7,
            label=f"{look.label}: all {m} in {rate:.3g} %",
        )  # fmt: skip
    panel.set_ylim(0, 1.35 * starts)
    panel.set_yticks(np.linspace(0, starts, 3, dtype=int))
    panel.set_ylabel(f"starts, of {starts}")
    panel.legend(loc="upper left", frameon=False, fontsize=7, handlelength=1.4, borderpad=0.2)
    panel.set_title(f"$m={m}$, $n$ = {run.config.training_size:,}", loc="left", fontsize=8)


def _likelihoods(panel: Axes, run: StoredRun) -> None:
    """How much less likely the prompts are than at the fixed point near the truth."""
    best, n = float(run.arrays["truth/log_likelihood"]), run.config.training_size
    most = 1.0  # an axis for what is only rounding would show noise
    for (kind, look), shift in zip(_LOOKS.items(), SHIFTS, strict=True):
        lost = (best - run.arrays[f"{kind}/log_likelihood"]) / n
        panel.plot(
            run.arrays[f"{kind}/found"] + shift, lost, linestyle="", marker=look.marker,
            markersize=4, markerfacecolor="none", color=look.colour, markeredgewidth=0.8, gid=kind,
        )  # fmt: skip
        most = max(most, float(lost.max()))
    panel.set_ylim(-0.07 * most, 1.1 * most)
    panel.set_ylabel("log-likelihood lost, a prompt")


def _describe(runs: StoredRuns) -> str:
    rates = "; ".join(
        f"{label}: {kind} {100 * float(run.arrays[f'{kind}/success_rate']):.3g} %"
        f" (90 % interval {100 * float(run.arrays[f'{kind}/success_low']):.2g} to"
        f" {100 * float(run.arrays[f'{kind}/success_high']):.3g} %)"
        for label, run in runs.items()
        for kind in _LOOKS
    )
    return (
        f"Batch EM with the stopping rule of Algorithm 1 on n = {said(runs, 'training_size')}"
        f" prompts of {said(runs, 'num_examples')} examples, d = {said(runs, 'dim')},"
        f" sigma = {said(runs, 'noise_std')}, from {said(runs, 'starts')} starts of each kind on"
        f" the same prompts: random, as printed (hatched, squares), and spread, which is ours"
        f" (filled, circles). Left: of how many true components one of the fitted ones is within"
        f" {said(runs, 'radius')}. Right: what is missing of the log-likelihood of the fixed point"
        f" that EM reaches from the true mixture, divided by n: it tells good starts from bad ones"
        f" without the truth. All found: {rates}. Seed {said(runs, 'seed')}."
    )


EM_RECOVERY = ExperimentFigure(
    name="pathak2023-em-recovery",
    title="How many components Algorithm 1 finds, by its starts",
    experiment="pathak2023-em-recovery",
    draw=_draw,
    describe=_describe,
)
