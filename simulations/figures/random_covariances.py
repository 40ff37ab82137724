"""The layers of Theorems 4 and 8 on random covariances, and the floors that they cannot pass."""

from __future__ import annotations

from collections.abc import Mapping

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
    logarithmic_places,
    look_of,
    mark_exact,
    mark_level,
)
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.sizes import BAND, joined, said
from simulations.runs.stored_run import StoredRun

__all__ = ["RANDOM_COVARIANCES"]

#: Height of the figure and of its panels, in inches.
HEIGHT, PANEL = 2.3, 1.75

_LAYERS: Mapping[str, Look] = {
    "random": Look("trained on these", VERMILION, "--", "s"),
    "fixed": Look("trained on $I$", BLUE, "-", "o"),
}
_LOOKS = {**_LAYERS, "least_squares": look_of("least_squares"), "zero": look_of("zero")}


def _draw(runs: StoredRuns) -> Figure:
    (run,) = runs.values()
    spreads = run.config.spreads
    arrays = run.arrays
    means = [arrays[f"spread-{k:g}/{name}/mean"] for k in spreads for name in (*_LAYERS, "zero")]
    floors = [float(arrays[f"spread-{k:g}/{name}/limit"]) for k in spreads for name in _LAYERS]
    low = min(*floors, float(np.min(means))) / 2
    with page_style():
        figure = Figure(figsize=(7.4, HEIGHT), layout="constrained")
        panels = figure.subplots(1, len(spreads), sharey=True, squeeze=False)[0]
        for panel, k in zip(panels, spreads, strict=True):
            _panel(panel, run, k)
            logarithmic(panel, low, 1.5 * float(np.max(means)))
        ends = [
            (look, float(arrays[f"spread-{spreads[-1]:g}/{name}/mean"][-1]))
            for name, look in _LOOKS.items()
        ]
        label_ends(panels[-1], ends, PANEL)
        panels[0].set_ylabel("squared error / $d$")
    return figure


def _panel(panel: Axes, run: StoredRun, k: float) -> None:
    law = f"spread-{k:g}"
    curves = curves_of(run.arrays, prefix=f"{law}/")
    for i, (predictor, look) in enumerate(_LOOKS.items()):
        gid = f"{law}/{predictor}"
        draw_curve(panel, curves[predictor], look, gid=gid, phase=i / len(_LOOKS))
    for name, look in _LAYERS.items():
        exact, floor = f"{law}/{name}/exact", f"{law}/{name}/limit"
        mark_exact(panel, run.arrays["num_examples"], run.arrays[exact], gid=exact)
        mark_level(panel, float(run.arrays[floor]), look.colour, gid=floor)
    lengths = run.arrays["num_examples"]
    logarithmic_places(panel, float(lengths[0]), float(lengths[-1]))
    panel.set_xlabel("examples in the prompt, $M$")
    panel.set_title(rf"$\lambda_i\sim\mathrm{{Gamma}}({k:g},\,1/{k:g})$", loc="left", fontsize=8)


def _describe(runs: StoredRuns) -> str:
    (run,) = runs.values()
    config = run.config
    return (
        f"Mean of (yhat - w'x)^2 / d over {said(runs, 'prompts')} prompts, each with its own"
        f" covariance diag(lambda), lambda_i from Gamma(k, 1/k) of mean 1, for"
        f" k = {joined(config.spreads)}, in d = {config.dim} dimensions. Layers of linear"
        f" self-attention at their limits of training with prompt length N = {config.train_length}:"
        f" on these covariances (Theorem 8) and on the covariance I (Theorem 4). Crosses: exact"
        f" risks. Dotted: their limits for M, N to infinity, 1/(k+2) and (k+2)/k^2, which are not"
        f" 0: no longer prompts, of training or test, bring the errors there. Least squares, exact"
        f" from M = d on, leaves the axis. {BAND} The errors have heavy tails: a sampled mean is"
        f" often below the exact risk. Seed {config.seed}."
    )


RANDOM_COVARIANCES = ExperimentFigure(
    name="zhang2024-random-covariances",
    title="Linear self-attention cannot learn random covariances (Zhang et al. 2024, Section 4.3)",
    experiment="zhang2024-random-covariances",
    draw=_draw,
    describe=_describe,
)
