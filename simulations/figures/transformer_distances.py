"""Pathak et al. 2023, Figure 4: how far trained transformers are from the candidates."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import BLUE, GREEN, INK, PURPLE, VERMILION, page_style
from simulations.figures.curves import Curve, Look, label_ends, logarithmic, look_of
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.mixture_transformers import has_noise, mixture_title, told_mixtures
from simulations.figures.sizes import BAND, joined, said
from simulations.figures.trained_models import (
    draw_seeds,
    examples_axis,
    mean_of_seeds,
    seed_curves,
    told_seeds,
)
from simulations.runs.stored_run import StoredRun

__all__ = ["TRANSFORMER_DISTANCES"]

#: Height of a row of panels, and of the panel in it, in inches.
ROW, PANEL = 1.9, 1.4

#: The candidates that know the mixture or no mixture, and those that estimate it.
_KNOWN: Mapping[str, Look] = {
    name: look_of(name) for name in ("posterior_mean", "argmin", "ridge", "least_squares")
}
_ESTIMATED: Mapping[str, Look] = {
    "posterior_mean_em": Look("posterior mean, EM", BLUE, "-", "o"),
    "argmin_em": Look("argmin, EM", VERMILION, "--", "s"),
    "posterior_mean_sa": Look("posterior mean, SA", GREEN, "-.", "^"),
    "argmin_sa": Look("argmin, SA", PURPLE, (0, (5, 1, 1, 1, 1, 1)), "v"),
}

#: The distance that the others are measured by: between posterior mean and argmin.
_YARDSTICK = Look("posterior mean to argmin", INK, (0, (1, 1.5)))

#: Its mean is not finite near k = d: it may leave the panel.
_PEAKED = "least_squares"


def _draw(runs: StoredRuns) -> Figure:
    with page_style():
        figure = Figure(figsize=(7.4, ROW * len(runs) + 0.1), layout="constrained")
        rows = figure.subplots(len(runs), 2, sharey="row", squeeze=False)
        for row, run in zip(rows, runs.values(), strict=True):
            _row(list(row), run)
        for panel in rows[-1]:
            panel.set_xlabel("examples in the prompt, $k$")
    return figure


def _row(row: list[Axes], run: StoredRun) -> None:
    shown = [
        {name: look for name, look in looks.items() if f"apart/{name}/mean" in run.arrays}
        for looks in (_KNOWN, _ESTIMATED)
    ]
    shown[0] = {"posterior_mean": _KNOWN["posterior_mean"], **shown[0]}
    low, high = _limits(run, [name for looks in shown for name in looks])
    kinds = ("from the transformer to", "from the transformer to estimates")
    for panel, kind, looks in zip(row, kinds, shown, strict=True):
        _panel(panel, run, looks, (low, high))
        panel.set_title(f"{mixture_title(run.config.prompts)}: {kind}", loc="left", fontsize=8)
    row[0].set_ylabel("squared distance, not divided by $d$")


def _limits(run: StoredRun, names: list[str]) -> tuple[float, float]:
    means = {name: _distance(run, name).mean for name in names}
    high = max(float(mean.max()) for name, mean in means.items() if name != _PEAKED)
    return min(float(mean.min()) for mean in means.values()) / 2, 1.6 * high


def _distance(run: StoredRun, name: str) -> Curve:
    return mean_of_seeds(seed_curves(run, f"distance/{name}"))


def _panel(
    panel: Axes, run: StoredRun, looks: Mapping[str, Look], limits: tuple[float, float]
) -> None:
    ends = []
    for i, (name, look) in enumerate(looks.items()):
        curves = seed_curves(run, f"distance/{name}")
        mean = draw_seeds(panel, curves, look, gid=name, phase=i / len(looks))
        ends.append((look, float(mean.mean[-1])))
    places, apart = run.arrays["num_examples"], run.arrays["apart/argmin/mean"]
    panel.plot(
        places, apart, color=_YARDSTICK.colour, linestyle=_YARDSTICK.line, linewidth=1.1,
        gid="apart/argmin",
    )  # fmt: skip
    ends.append((_YARDSTICK, float(apart[-1])))
    logarithmic(panel, *limits)
    examples_axis(panel, places)
    label_ends(panel, ends, PANEL)


def _sizes(runs: StoredRuns) -> str:
    sizes = dict.fromkeys(run.config.estimated_from for run in runs.values())
    return joined(sizes)


def _describe(runs: StoredRuns) -> str:
    return (
        f"d_k^sq, the mean of (f(P) - g(P))^2, not divided by d, over {said(runs, 'num_prompts')}"
        f" prompts of k examples, from f, a transformer trained on a mixture, to g. Left: posterior"
        f" mean and argmin with the true components, ridge with the penalty sigma^2, least squares"
        f" (which leaves the panel near k = d, where its mean is not finite). Right: posterior mean"
        f" and argmin with components that are estimated from {_sizes(runs)} prompts by EM (spread"
        f" start) and by the subspace algorithm (SA). Dotted, in both: from the posterior mean to"
        f" the argmin, with true components. Mixtures: {told_mixtures(runs)}. {BAND}"
        f" {told_seeds(run.config.training for run in runs.values())} Seed of the prompts"
        f" {said(runs, 'seed')}."
    )


TRANSFORMER_DISTANCES = ExperimentFigure(
    name="pathak2023-figure-4-transformers",
    title="Which candidate trained transformers are nearest to (Pathak et al. 2023, Figure 4)",
    experiment="pathak2023-transformers",
    draw=_draw,
    describe=_describe,
    shows=has_noise,
)
