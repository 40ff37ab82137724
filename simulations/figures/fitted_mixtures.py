"""Pathak et al. 2023, Figure 3, without transformers: posterior means with fitted components."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import BLUE, GREEN, INK, PURPLE, VERMILION, page_style
from simulations.experiments.fitted_mixtures import FITS
from simulations.figures.curves import (
    Look,
    curves_of,
    draw_curve,
    label_ends,
    logarithmic,
    mark_level,
)
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.sizes import BAND, QUERY_NOISE, said
from simulations.runs.stored_run import StoredRun

__all__ = ["FITTED_MIXTURES", "FIT_LOOKS"]

#: Height of a row of panels, and of the panel in it, in inches.
ROW, PANEL = 1.75, 1.3

#: The fits by their names in the results; the empty name is that of the true components.
FIT_LOOKS: Mapping[str, Look] = {
    "": Look("true components", INK, "-"),
    "em": Look("EM", VERMILION, "--", "s"),
    "em_spread": Look("EM, spread start", BLUE, "-.", "o"),
    "sa": Look("SA", GREEN, (0, (1, 1)), "^"),
    "sa_refined": Look("SA, refined", PURPLE, (0, (5, 1, 1, 1, 1, 1)), "v"),
}


def _draw(runs: StoredRuns) -> Figure:
    places = {(run.config.num_components, run.config.training_size): run for run in runs.values()}
    rows, columns = (sorted({place[i] for place in places}) for i in (0, 1))
    with page_style():
        figure = Figure(
            figsize=(1.2 + 1.55 * max(2, len(columns)), ROW * len(rows) + 0.1), layout="constrained"
        )
        panels = figure.subplots(len(rows), len(columns), sharex=True, sharey="row", squeeze=False)
        for i, m in enumerate(rows):
            row = {n: run for n in columns if (run := places.get((m, n))) is not None}
            low, high = _limits(list(row.values()))
            for j, n in enumerate(columns):
                if n in row:
                    _panel(panels[i, j], row[n])
                    logarithmic(panels[i, j], low, high)
                else:
                    panels[i, j].set_axis_off()
            last = max(row)
            label_ends(panels[i, columns.index(last)], _ends(row[last]), PANEL, room=0.25)
            panels[i, 0].set_ylabel("squared error / $d$")
        for panel in panels[-1]:
            panel.set_xlabel("examples, $k$")
    return figure


def _curve_name(fit: str) -> str:
    return f"posterior_mean_{fit}" if fit else "posterior_mean"


def _limits(runs: list[StoredRun]) -> tuple[float, float]:
    means = [run.arrays[f"{_curve_name(fit)}/mean"] for run in runs for fit in FIT_LOOKS]
    return float(np.min(means)) / 1.3, 1.5 * float(np.max(means))


def _ends(run: StoredRun) -> list[tuple[Look, float]]:
    return [
        (look, float(run.arrays[f"{_curve_name(fit)}/mean"][-1])) for fit, look in FIT_LOOKS.items()
    ]


def _panel(panel: Axes, run: StoredRun) -> None:
    config, curves = run.config, curves_of(run.arrays)
    for i, (fit, look) in enumerate(FIT_LOOKS.items()):
        name = _curve_name(fit)
        draw_curve(panel, curves[name], look, gid=name, phase=i / len(FIT_LOOKS))
        if fit:
            mark_level(panel, float(run.arrays[f"oracle_{fit}"]), look.colour, f"oracle_{fit}")
    panel.set_xlim(0, config.max_examples)
    title = f"$m={config.num_components}$, $n$ = {config.training_size:,}"
    panel.set_title(title, loc="left", fontsize=7.5)


def _found(runs: StoredRuns) -> str:
    """How many components each EM ended near, the numbers behind the curves."""
    counts = [
        f"{label}: "
        + ", ".join(
            f"{FIT_LOOKS[fit].label} {int(np.sum(run.arrays[f'{fit}/distances'] <= 0.2))}"
            for group in FITS.values()
            for fit in group
        )
        for label, run in runs.items()
    ]
    return "; ".join(counts)


def _describe(runs: StoredRuns) -> str:
    return (
        f"Mean of (f(P) - y)^2 / d over {said(runs, 'num_prompts')} new prompts of k examples, for"
        f" posterior means with the true components, and with those estimated from n prompts of"
        f" {said(runs, 'max_examples')} examples: by EM (Algorithm 1, one random start; and one"
        f" spread start, which is ours) and by the subspace algorithm (SA, also refined);"
        f" d = {said(runs, 'dim')}, sigma = {said(runs, 'noise_std')}. Dotted: the oracle"
        f" prediction error of each set of components, (sigma^2 + mean_j min |w_j - w|^2) / d,"
        f" which is left for long prompts. Components found within 0.2: {_found(runs)}. {BAND}"
        f" {QUERY_NOISE} Seed {said(runs, 'seed')}."
    )


FITTED_MIXTURES = ExperimentFigure(
    name="pathak2023-figure-3",
    title="Posterior means with components that EM and the subspace algorithm found (Pathak et al."
    " 2023, Figure 3, without transformers)",
    experiment="pathak2023-figure-3",
    draw=_draw,
    describe=_describe,
)
