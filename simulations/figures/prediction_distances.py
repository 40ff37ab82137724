"""Pathak et al. 2023, Figure 4, without transformers: how far apart the candidates answer."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import page_style
from simulations.figures.curves import Curve, curves_of, draw_curve, label_ends, logarithmic
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.fitted_mixtures import FIT_LOOKS
from simulations.figures.sizes import BAND, said
from simulations.runs.stored_run import StoredRun

__all__ = ["PREDICTION_DISTANCES"]

#: Distances below are not shown: exact posterior mean and argmin meet for long prompts.
LOWEST = 1e-5

#: Height of a row of panels, and of the panel in it, in inches.
ROW, PANEL = 1.9, 1.4

#: What the distance is from.
_REFERENCE = "posterior_mean"


def _draw(runs: StoredRuns) -> Figure:
    highest = max(
        float(curve.high.max()) for run in runs.values() for curve in _distances(run).values()
    )
    with page_style():
        figure = Figure(figsize=(7.4, ROW * len(runs) + 0.1), layout="constrained")
        rows = figure.subplots(len(runs), 2, sharex=True, sharey=True, squeeze=False)
        for row, run in zip(rows, runs.values(), strict=True):
            for panel, kind in zip(row, ("posterior_mean", "argmin"), strict=True):
                _panel(panel, run, kind, 1.5 * highest)
            row[0].set_ylabel("squared distance, not divided by $d$")
        for panel in rows[-1]:
            panel.set_xlabel("examples in the prompt, $k$")
    return figure


def _distances(run: StoredRun) -> Mapping[str, Curve]:
    return curves_of(run.arrays, prefix=f"distance/{_REFERENCE}/")


def _panel(panel: Axes, run: StoredRun, kind: str, highest: float) -> None:
    curves, ends = _distances(run), []
    for i, (fit, look) in enumerate(FIT_LOOKS.items()):
        name = f"{kind}_{fit}" if fit else kind
        if name == _REFERENCE:
            continue
        curve = curves[name]
        draw_curve(panel, curve, look, gid=name, phase=i / len(FIT_LOOKS))
        ends.append((look, float(curve.mean[-1])))
    logarithmic(panel, LOWEST, highest)
    panel.set_xlim(0, run.config.max_examples)
    of_kind = "posterior means" if kind == "posterior_mean" else "argmins"
    panel.set_title(rf"$m={run.config.num_components}$: {of_kind} with", loc="left", fontsize=8)
    label_ends(panel, ends, PANEL)


def _describe(runs: StoredRuns) -> str:
    return (
        f"Mean of (f(P) - g(P))^2, not divided by d, over {said(runs, 'num_prompts')} prompts of k"
        f" examples, from f, the posterior mean with the true components, to g: posterior means"
        f" (left) and argmins (right) with the components that are named, estimated from"
        f" n = {said(runs, 'training_size')} prompts by EM (Algorithm 1, one random start; and one"
        f" spread start) and by the subspace algorithm (SA, also refined); d = {said(runs, 'dim')},"
        f" sigma = {said(runs, 'noise_std')}. Distances below {LOWEST:g} are not shown. {BAND}"
        f" Seed {said(runs, 'seed')}."
    )


PREDICTION_DISTANCES = ExperimentFigure(
    name="pathak2023-figure-4",
    title="How far predictions are from those of the posterior mean (Pathak et al. 2023, Figure 4,"
    " without transformers)",
    experiment="pathak2023-figure-4",
    draw=_draw,
    describe=_describe,
)
