"""Pathak et al. 2023, Figures 5 and 6: trained transformers on shifted prompts, beside the optimum.

The optimum for prompts that are not shifted: the posterior mean, whose panels are those of Figures
7 to 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import page_style
from simulations.figures.curves import Curve, Look, draw_curve, family, label_ends, logarithmic
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.mixture_transformers import has_noise, mixture_title, told_mixtures
from simulations.figures.sizes import BAND, joined, said
from simulations.figures.trained_models import NOT_SHOWN, lower_end, mean_of_seeds, seed_curves
from simulations.runs.stored_run import StoredRun

__all__ = ["TRANSFORMER_SHIFTS"]

#: Ticks of the number of examples.
_TICKS = (0, 1, 2, 5, 10, 15, 20, 30, 40, 60)

_PREDICTORS = ("transformer", "posterior mean")

#: Height of a row of panels, and of the panel in it, in inches.
ROW, PANEL = 1.9, 1.4


@dataclass(frozen=True)
class _Kind:
    """A kind of shift: its name in the results, its letter, the law of its prompts, and the figure.

    The figure is that of the posterior mean alone.
    """

    name: str
    letter: str
    law: str
    figure: int


_COVARIATES = _Kind(
    "covariate-scaling", "kappa", "covariates and query from N(0, kappa^2 I)", figure=7
)
_WEIGHTS = (
    _Kind("weight-scaling", "alpha", "labels of the regressors alpha w_j", figure=8),
    _Kind("weight-shift", "epsilon", "labels of w_j + (epsilon / sqrt(d)) (1, ..., 1)", figure=9),
)


def _draw(kinds: tuple[_Kind, ...], runs: StoredRuns) -> Figure:
    """A row for each run; for each kind the transformer, and right of it the posterior mean."""
    with page_style():
        figure = Figure(figsize=(7.4, ROW * len(runs) + 0.1), layout="constrained")
        panels = figure.subplots(len(runs), 2 * len(kinds), squeeze=False)
        for row, run in zip(panels, runs.values(), strict=True):
            for i, kind in enumerate(kinds):
                _pair(row[2 * i], row[2 * i + 1], run, kind)
                _labels(row[2 * i + 1], run, kind, room=0.14 * len(kinds))
            for panel, predictor in zip(row, len(kinds) * _PREDICTORS, strict=True):
                panel.set_title(predictor, loc="left", fontsize=8)
            told = mixture_title(run.config.prompts) + (": " if len(kinds) == 1 else "\n")
            row[0].set_title(f"{told}{_PREDICTORS[0]}", loc="left", fontsize=8, linespacing=1.0)
            row[0].set_ylabel("squared error / $d$")
        for panel in panels[-1]:
            panel.set_xlabel("examples, $k$")
    return figure


def _pair(left: Axes, right: Axes, run: StoredRun, kind: _Kind) -> None:
    of = dict(zip(_PREDICTORS, _predictors(run, kind), strict=True))
    shifts = run.arrays[f"{kind.name}/shifts"]
    looks = _looks(run, kind)
    for panel, (predictor, curves) in zip((left, right), of.items(), strict=True):
        for i, (look, curve) in enumerate(zip(looks, curves, strict=True)):
            gid = f"{predictor}: {kind.name} {shifts[i]:g}"
            draw_curve(panel, curve, look, gid=gid, phase=i / len(looks))
        _places(panel, int(run.arrays["num_examples"][-1]))
        logarithmic(panel, *_limits(of))
    right.tick_params(labelleft=False)


def _labels(panel: Axes, run: StoredRun, kind: _Kind, room: float) -> None:
    ends = run.arrays[f"{kind.name}/posterior_mean/mean"][:, -1].tolist()
    label_ends(panel, list(zip(_looks(run, kind), ends, strict=True)), PANEL, room=room)


def _looks(run: StoredRun, kind: _Kind) -> list[Look]:
    return family([rf"$\{kind.letter}={shift:g}$" for shift in run.arrays[f"{kind.name}/shifts"]])


def _predictors(run: StoredRun, kind: _Kind) -> Iterator[list[Curve]]:
    """The curves of all shifts: of the transformer, and of the posterior mean."""
    shifts = range(len(run.arrays[f"{kind.name}/shifts"]))
    yield [mean_of_seeds(seed_curves(run, kind.name, i)) for i in shifts]
    name, places = f"{kind.name}/posterior_mean", run.arrays["num_examples"]
    yield [
        Curve(places, *(run.arrays[f"{name}/{end}"][i] for end in ("mean", "low", "high")))
        for i in shifts
    ]


def _limits(of: Mapping[str, list[Curve]]) -> tuple[float, float]:
    least = {name: min(float(c.mean.min()) for c in curves) for name, curves in of.items()}
    high = max(float(curve.high.max()) for curves in of.values() for curve in curves)
    return lower_end(least["posterior mean"], least["transformer"]), 1.3 * high


def _places(panel: Axes, longest: int) -> None:
    """Most of it happens for small k."""
    panel.set_xscale("function", functions=(np.sqrt, np.square))
    panel.set_xticks([k for k in _TICKS if k <= longest])
    panel.set_xlim(0, longest)


def _describe(kinds: tuple[_Kind, ...], runs: StoredRuns) -> str:
    arrays = next(iter(runs.values())).arrays
    laws = "; ".join(f"{k.law}, for {joined(arrays[f'{k.name}/shifts'].tolist())}" for k in kinds)
    figures = joined(kind.figure for kind in kinds)
    known = dict.fromkeys(run.config.training.seeds for run in runs.values())
    seeds = ", or ".join(joined(own) if len(own) > 1 else f"{own[0]} only" for own in known)
    return (
        f"Mean of (f(P) - <w, x_query>)^2 / d, without the noise of the query's label, on"
        f" {said(runs, 'num_prompts')} prompts of k examples for each shift: {laws}; k on a"
        f" square-root scale. Transformers trained on prompts without shift, the mean over"
        f" the seeds of training ({seeds}), and the posterior mean of the mixture without shift,"
        f" as in Figure{'s' if len(kinds) > 1 else ''} {figures}. Mixtures:"
        f" {told_mixtures(runs)}. {NOT_SHOWN} {BAND} Means over several seeds have none. Seed"
        f" of the prompts {said(runs, 'seed')}."
    )


def _figure(number: int, title: str, *kinds: _Kind) -> ExperimentFigure:
    return ExperimentFigure(
        name=f"pathak2023-figure-{number}-transformers",
        title=f"{title} (Pathak et al. 2023, Figure {number})",
        experiment="pathak2023-transformers",
        draw=partial(_draw, kinds),
        describe=partial(_describe, kinds),
        shows=has_noise,
    )


TRANSFORMER_SHIFTS = (
    _figure(5, "Trained transformers under covariate scaling", _COVARIATES),
    _figure(6, "Trained transformers under weight scaling and a weight shift", *_WEIGHTS),
)
