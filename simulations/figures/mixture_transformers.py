"""Pathak et al. 2023, Figure 2: errors of trained transformers and candidates by prompt length."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import page_style
from simulations.figures.curves import Look, curve_of, draw_curve, label_ends, logarithmic, look_of
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
from simulations.transformers import MixturePrompts

__all__ = ["MIXTURE_TRANSFORMERS", "has_noise", "mixture_title", "told_mixtures"]

#: Height of a row of panels, and of the panel in it, in inches.
ROW, PANEL = 2.2, 1.65

#: The upper end of the panels: least squares has no finite mean near k = d if there is noise.
HIGHEST = 4.0

_CANDIDATES = ("posterior_mean", "argmin", "ridge", "least_squares", "zero")


def has_noise(config: Any) -> bool:
    """Tell whether labels have noise: without, there are neither estimates nor shifts."""
    return bool(config.prompts.noise_std > 0)


def mixture_title(law: MixturePrompts) -> str:
    """Return the title of a panel: m, d and sigma."""
    return rf"$m={law.num_components}$, $d={law.dim}$, $\sigma={law.noise_std:g}$"


def told_mixtures(runs: StoredRuns) -> str:
    """Return mixtures and models of the runs in words."""
    return "; ".join(
        f"m = {law.num_components}, d = {law.dim}, sigma = {law.noise_std:g}"
        f" ({told_training(run.config.training)})"
        for run in runs.values()
        for law in (run.config.prompts,)
    )


def _draw(runs: StoredRuns) -> Figure:
    columns = min(2, len(runs))
    rows = -(-len(runs) // columns)
    with page_style():
        figure = Figure(figsize=(7.4 if columns == 2 else 4.2, ROW * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
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
    ends: list[tuple[Look, float]] = []
    names = [name for name in _CANDIDATES if f"error/{name}/mean" in run.arrays]
    for i, name in enumerate(names):
        curve, look = curve_of(run.arrays, f"error/{name}"), look_of(name)
        draw_curve(panel, curve, look, gid=name, phase=i / len(names))
        ends.append((look, float(curve.mean[-1])))
    # Last, over the curve that it is nearest to.
    model = draw_seeds(panel, seed_curves(run, "error"), TRANSFORMER, "transformer", phase=0.5)
    ends.append((TRANSFORMER, float(model.mean[-1])))
    best = float(run.arrays["error/posterior_mean/mean"].min())
    logarithmic(panel, lower_end(best, float(model.mean.min())), HIGHEST)
    examples_axis(panel, run.arrays["num_examples"])
    panel.set_title(mixture_title(run.config.prompts), loc="left", fontsize=8)
    label_ends(panel, ends, PANEL)


def _describe(runs: StoredRuns) -> str:
    exact = " For sigma = 0 the posterior mean is exact from k = 1 on, least squares from k = d on."
    infinite = (
        " Least squares is drawn by its mean, as all else: for sigma > 0 its expectation is"
        f" infinite at k = d - 1, d and d + 1, where it leaves the panel at {HIGHEST:g}."
    )
    noisy = any(has_noise(run.config) for run in runs.values())
    clean = not all(has_noise(run.config) for run in runs.values())
    return (
        f"Mean of (f(P) - <w, x_query>)^2 / d, without the noise of the query's label, over"
        f" {said(runs, 'num_prompts')} new prompts of k examples, the same for all predictors, for"
        f" the mixtures {told_mixtures(runs)}; w_j uniform on the sphere of radius"
        f" sqrt(d), x ~ N(0, I). Posterior mean and argmin know the w_j; ridge has the penalty"
        f" sigma^2.{infinite if noisy else ''}{exact if clean else ''} {NOT_SHOWN} {BAND}"
        f" {told_seeds(run.config.training for run in runs.values())} Seed of the new prompts"
        f" {said(runs, 'seed')}."
    )


MIXTURE_TRANSFORMERS = ExperimentFigure(
    name="pathak2023-figure-2-transformers",
    title="Trained transformers on prompts of one mixture (Pathak et al. 2023, Figure 2)",
    experiment="pathak2023-transformers",
    draw=_draw,
    describe=_describe,
)
