"""What the step size 0.1 of Pathak et al. 2023 can mean: losses along trainings by their step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import INK, MUTED, page_style
from simulations.figures.curves import MARKERS, Look, family, label_ends, logarithmic, mark_level
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.mixture_transformers import mixture_title
from simulations.figures.sizes import joined
from simulations.figures.trained_models import told_training
from simulations.runs.stored_run import StoredRun

__all__ = ["STEP_SIZES"]

#: Height of the figure and of its panels, in inches.
HEIGHT, PANEL = 2.9, 2.35

#: The upper end of the panel at most, over the loss of the answer 0.
ABOVE = 3.0

_LEVELS: Mapping[str, Look] = {
    "zero": Look("zero", MUTED, (0, (1, 3))),
    "optimal": Look("posterior mean", INK, (0, (1, 3))),
}


def _draw(runs: StoredRuns) -> Figure:
    with page_style():
        figure = Figure(figsize=(0.4 + 4.2 * len(runs), HEIGHT), layout="constrained")
        panels = figure.subplots(1, len(runs), squeeze=False)[0]
        for panel, run in zip(panels, runs.values(), strict=True):
            _panel(panel, run)
        panels[0].set_ylabel("loss in training, noise included")
    return figure


def _looks(run: StoredRun) -> Iterator[Look]:
    """A look for each training: of one step size, one colour and marker; dashed if helped."""
    helped = run.arrays["clipped"].tolist()
    sizes = list(dict.fromkeys(run.arrays["step_sizes"].tolist()))
    of = dict(zip(sizes, family([f"{size:g}" for size in sizes]), strict=True))
    for size, with_help in zip(run.arrays["step_sizes"].tolist(), helped, strict=True):
        label, line = (f"{size:g}, helped", "--") if with_help else (f"{size:g}", "-")
        yield replace(of[size], label=label, line=line)


def _panel(panel: Axes, run: StoredRun) -> None:
    arrays, ends = run.arrays, []
    steps, (zero, optimal) = arrays["steps"], (float(arrays[name]) for name in _LEVELS)
    for name, look in _LEVELS.items():
        level = float(arrays[name])
        mark_level(panel, level, look.colour, gid=name)
        ends.append((look, level))
    for look, losses in zip(_looks(run), arrays["losses"], strict=True):
        for seed, loss in zip(run.config.training.seeds, losses, strict=True):
            panel.plot(
                steps, loss, color=look.colour, linestyle=look.line, linewidth=1.1,
                marker=look.marker, markersize=3, markevery=max(1, len(steps) // MARKERS),
                gid=f"{look.label}, seed {seed}",
            )  # fmt: skip
        ends.append(_end(look, losses))
    highest = float(np.nanmax(arrays["losses"], initial=zero))
    logarithmic(panel, 0.9 * optimal, min(1.2 * highest, ABOVE * zero))
    panel.set_xlim(0, float(steps[-1]))
    panel.set_xlabel("step")
    panel.set_title(mixture_title(run.config.training.prompts), loc="left", fontsize=8)
    label_ends(panel, ends, PANEL)


def _end(look: Look, losses: Float[np.ndarray, "seeds records"]) -> tuple[Look, float]:
    """Where the label of a training stands, and whether it says that training diverged."""
    last = losses[:, -1]
    if np.all(np.isfinite(last)):
        return look, float(np.mean(last))
    return replace(look, label=f"{look.label}: diverged"), float(np.inf)


def _describe(runs: StoredRuns) -> str:
    told = "; ".join(
        f"m = {law.num_components}, d = {law.dim}, sigma = {law.noise_std:g}"
        f" ({told_training(run.config.training)})"
        for run in runs.values()
        for law in (run.config.training.prompts,)
    )
    sizes = joined(dict.fromkeys(size for run in runs.values() for size in run.config.step_sizes))
    helped = joined(dict.fromkeys(size for run in runs.values() for size in run.config.helped))
    seeds = joined(dict.fromkeys(s for run in runs.values() for s in run.config.training.seeds))
    return (
        f"Mean of (f(P) - y)^2, not divided by d, with the noise of y, over all prefixes of the"
        f" prompts of the batches between two records: {told}. Adam with the constant step sizes"
        f" {sizes}, without warm-up; dashed, helped: {helped} with gradients of norm at most 1 and"
        f" a warm-up of 100 steps. A line for each seed of training: {seeds}. Dotted: the loss of"
        f" the answer 0, d + sigma^2, and that of the posterior mean, sampled. What is more than"
        f" {ABOVE:g} times the former is not shown, nor what follows when training diverges."
    )


STEP_SIZES = ExperimentFigure(
    name="pathak2023-step-sizes",
    title="What the step size 0.1 can mean: losses in training (Pathak et al. 2023, Appendix C)",
    experiment="pathak2023-step-sizes",
    draw=_draw,
    describe=_describe,
)
