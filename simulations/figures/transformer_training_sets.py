"""Pathak et al. 2023, Figure 3: transformers of n prompts, beside estimates from as many."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import BLUE, GREEN, PURPLE, page_style
from simulations.figures.curves import Look, curve_of, draw_curve, label_ends, logarithmic
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.sizes import BAND, said
from simulations.figures.trained_models import (
    NOT_SHOWN,
    TRANSFORMER,
    draw_seeds,
    examples_axis,
    lower_end,
    mean_of_seeds,
    seed_curves,
    told_seeds,
    told_training,
)
from simulations.runs.stored_run import StoredRun

__all__ = ["TRANSFORMER_TRAINING_SETS"]

#: Height of the figure and of its panels, in inches.
HEIGHT, PANEL = 2.1, 1.6

_CANDIDATES: Mapping[str, Look] = {
    "posterior_mean": Look("true components", BLUE, "--", "o"),
    "posterior_mean_em": Look("EM", PURPLE, "-.", "s"),
    "posterior_mean_sa": Look("SA", GREEN, (0, (1, 1)), "^"),
}


def _draw(runs: StoredRuns) -> Figure:
    ordered = sorted(runs.values(), key=_size)
    models = [mean_of_seeds(seed_curves(run, "error")) for run in ordered]
    best = min(float(run.arrays["error/posterior_mean/mean"].min()) for run in ordered)
    least = min(float(model.mean.min()) for model in models)
    most = max(float(model.high.max()) for model in models)
    with page_style():
        figure = Figure(figsize=(1.4 + 1.5 * max(2, len(ordered)), HEIGHT), layout="constrained")
        panels = figure.subplots(1, len(ordered), sharey=True, squeeze=False)[0]
        for panel, run in zip(panels, ordered, strict=True):
            ends = _panel(panel, run)
            logarithmic(panel, lower_end(best, least), 1.3 * max(1.0, most))
        label_ends(panels[-1], ends, PANEL, room=0.25 if len(ordered) > 2 else 0.14)
        panels[0].set_ylabel("squared error / $d$")
    return figure


def _size(run: StoredRun) -> int:
    return int(run.config.training.training_set.size)


def _panel(panel: Axes, run: StoredRun) -> list[tuple[Look, float]]:
    """Draw the curves of a run; return their ends."""
    ends = []
    for i, (name, look) in enumerate(_CANDIDATES.items()):
        curve = curve_of(run.arrays, f"error/{name}")
        draw_curve(panel, curve, look, gid=name, phase=i / len(_CANDIDATES))
        ends.append((look, float(curve.mean[-1])))
    # Last, over the curve that it is nearest to.
    model = draw_seeds(panel, seed_curves(run, "error"), TRANSFORMER, "transformer", phase=0.5)
    examples_axis(panel, run.arrays["num_examples"])
    panel.set_xlabel("examples, $k$")
    law = run.config.prompts
    title = f"$m={law.num_components}$, $n$ = {_size(run):,}"
    panel.set_title(title, loc="left", fontsize=7.5)
    return [*ends, (TRANSFORMER, float(model.mean[-1]))]


def _describe(runs: StoredRuns) -> str:
    law = next(iter(runs.values())).config.prompts
    sets = "; ".join(
        f"n = {_size(run):,} ({told_training(run.config.training)}, dropout"
        f" {run.config.training.model.dropout:g})"
        for run in sorted(runs.values(), key=_size)
    )
    return (
        f"Mean of (f(P) - <w, x_query>)^2 / d, without the noise of the query's label, over"
        f" {said(runs, 'num_prompts')} new prompts of k examples of a mixture of"
        f" m = {law.num_components} components in d = {law.dim} dimensions, sigma ="
        f" {law.noise_std:g}. Transformers trained on a fixed set of n prompts of"
        f" {law.num_examples} examples, shuffled anew in each batch (Appendix C.1): {sets}."
        f" Posterior means with the true components, and with those estimated from as many prompts"
        f" of the same law by EM (spread start) and by the subspace algorithm (SA); the candidates"
        f" have sets of prompts of their own. {NOT_SHOWN} {BAND}"
        f" {told_seeds(run.config.training for run in runs.values())} Seed of the new prompts"
        f" {said(runs, 'seed')}."
    )


TRANSFORMER_TRAINING_SETS = ExperimentFigure(
    name="pathak2023-figure-3-transformers",
    title="Transformers trained on a fixed set of prompts (Pathak et al. 2023, Figure 3)",
    experiment="pathak2023-training-sets",
    draw=_draw,
    describe=_describe,
)
