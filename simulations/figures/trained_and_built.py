"""A trained and a hand-built transformer: answers, sensitivity to examples, residual streams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simulations.drawing.style import BLUE, INK, MUTED, ORANGE, VERMILION, page_style
from simulations.figures.curves import (
    Curve,
    Look,
    curve_of,
    draw_curve,
    label_ends,
    logarithmic,
    look_of,
    mark_exact,
)
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.sizes import BAND, joined, said
from simulations.runs.stored_run import StoredRun
from simulations.transformers.probes import LIMIT

__all__ = ["TRAINED_AND_BUILT", "examples_shown"]

#: Height of a row of panels, and of the panel in it, in inches.
ROW, PANEL = 1.85, 1.35

#: Rows of panels of a run.
ROWS = 3

_TRAINED = Look("trained", INK, "-", "D")
_BUILT = Look("built", ORANGE, (0, (8, 2)), "P")
_UNTRAINED = Look("untrained", MUTED, (0, (2, 2)), "X")
_COLOURS = (BLUE, VERMILION, INK)


def examples_shown(max_examples: int) -> tuple[int, ...]:
    """Return the numbers of examples whose sensitivities are drawn, each once."""
    return tuple(
        dict.fromkeys(max(1, round(max_examples * share)) for share in (1 / 6, 1 / 3, 2 / 3))
    )


def _draw(runs: StoredRuns) -> Figure:
    with page_style():
        figure = Figure(figsize=(7.4, ROWS * ROW * len(runs) + 0.1), layout="constrained")
        panels = figure.subplots(ROWS * len(runs), 2, squeeze=False)
        for i, run in enumerate(runs.values()):
            errors, distances, sizes, agreement, layers, prefixes = panels[
                ROWS * i : ROWS * (i + 1)
            ].ravel()
            _errors(errors, run)
            _distances(distances, run)
            _sensitivity(sizes, run)
            _correlation(agreement, run)
            _probes(layers, run)
            _prefixes(prefixes, run)
    return figure


def _title(panel: Axes, text: str, across: str, along: str) -> None:
    panel.set_title(text, loc="left", fontsize=8)
    panel.set_xlabel(across)
    panel.set_ylabel(along)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def _curves(panel: Axes, run: StoredRun, named: Sequence[tuple[str, Look]], lowest: float) -> None:
    """Draw curves over k on a logarithmic axis."""
    ends, highest = [], 0.0
    for i, (name, look) in enumerate(named):
        curve = curve_of(run.arrays, name)
        draw_curve(panel, curve, look, gid=name, phase=i / len(named))
        ends.append((look, float(curve.mean[-1])))
        highest = max(highest, float(curve.high.max()))
    logarithmic(panel, lowest, 2 * highest)
    panel.set_xlim(0, run.config.max_examples)
    label_ends(panel, ends, PANEL)


def _errors(panel: Axes, run: StoredRun) -> None:
    looks = {name: look_of(name) for name in ("posterior_mean", "argmin", "ridge")}
    named = [(f"error/{n}", look) for n, look in {"trained": _TRAINED, **looks}.items()]
    least = min(float(run.arrays[f"{name}/mean"].min()) for name, _ in named)
    _curves(panel, run, named, max(1e-3, least / 2))
    _title(panel, "error of predictions", "examples in the prompt, $k$", "squared error")


def _distances(panel: Axes, run: StoredRun) -> None:
    named = [
        ("distance/posterior_mean", _TRAINED),
        ("apart/built", _BUILT),
        ("apart/argmin", look_of("argmin")),
    ]
    _curves(panel, run, named, 1e-30)
    _title(panel, "distance from the posterior mean", "examples in the prompt, $k$", "$d_k^{sq}$")


def _sensitivity(panel: Axes, run: StoredRun) -> None:
    """Sizes of derivatives by position: lines trained, dotted exact, crosses built."""
    ends, drawn = [], []
    shown = examples_shown(run.config.max_examples)
    for n, colour in zip(shown, _COLOURS, strict=False):
        places = np.arange(1, n + 1)
        own, exact, built = (
            Curve(places, *(run.arrays[f"sensitivity/labels/{who}/{end}"][n - 1, :n]
                            for end in ("mean", "low", "high")))
            for who in ("trained", "exact", "built")
        )  # fmt: skip
        look = Look(f"$n={n}$", colour, "-", "o")
        draw_curve(panel, own, look, gid=f"trained {n}")
        draw_curve(panel, exact, Look("", colour, ":"), gid=f"exact {n}")
        mark_exact(panel, places, built.mean, gid=f"built {n}")
        drawn += [own.low, own.high, exact.low, exact.high]
        ends.append((look, float(own.mean[-1])))
    logarithmic(
        panel,
        float(np.min(np.concatenate(drawn))) / 1.5,
        1.5 * float(np.max(np.concatenate(drawn))),
    )
    panel.set_xlim(0.7, max(shown) + 0.3)
    _title(
        panel, "sensitivity to each label", "example, $i$", r"mean $|\partial f_n/\partial y_i|$"
    )
    label_ends(panel, ends, PANEL)


def _correlation(panel: Axes, run: StoredRun) -> None:
    places = np.arange(1, run.config.max_examples + 1)
    ends = []
    looks = {
        "labels/correlation/built": _BUILT,
        "labels/correlation/trained": Look("trained, by $y_i$", BLUE, "-", "o"),
        "covariates/correlation/trained": Look("trained, by $x_i$", VERMILION, "--", "s"),
    }
    for name, look in looks.items():
        values = run.arrays[f"sensitivity/{name}"]
        draw_curve(panel, Curve(places, values, values, values), look, gid=name)
        ends.append((look, float(values[-1])))
    panel.set_ylim(-0.1, 1.1)
    panel.set_xlim(1, places[-1])
    _title(
        panel, "derivatives against the exact ones", "examples in the prompt, $n$", "correlation"
    )
    label_ends(panel, ends, PANEL)


def _probes(panel: Axes, run: StoredRun) -> None:
    """R^2 by layer: lines for log-odds, hollow markers for the posterior."""
    ends, layers = [], 0
    for who, look in {"built": _BUILT, "trained": _TRAINED, "untrained": _UNTRAINED}.items():
        odds, posterior = (run.arrays[f"probe/{name}/{who}"] for name in ("log_odds", "posterior"))
        places = np.arange(len(odds))
        draw_curve(panel, Curve(places, odds, odds, odds), look, gid=f"log-odds {who}")
        panel.plot(
            places, posterior, color=look.colour, linestyle="", marker=look.marker, markersize=6,
            markerfacecolor="none", markeredgewidth=0.7, gid=f"posterior {who}",
        )  # fmt: skip
        ends.append((look, float(odds[-1])))
        layers = max(layers, len(odds) - 1)
    panel.set_ylim(-0.2, 1.1)
    panel.set_xlim(-0.2, layers + 0.2)
    _title(panel, "a probe of the residual stream", "after layer", "held-out $R^2$")
    label_ends(panel, ends, PANEL)


def _prefixes(panel: Axes, run: StoredRun) -> None:
    ends, longest = [], 1
    for who, look in {"built": _BUILT, "trained": _TRAINED, "untrained": _UNTRAINED}.items():
        values = run.arrays[f"probe/log_odds/{who}/prefixes"][-1]
        known = np.isfinite(values)
        if known.any():
            panel.plot(
                run.arrays["num_examples"][known], values[known], color=look.colour,
                linestyle=look.line, linewidth=1.1, marker=look.marker, markersize=3, gid=who,
            )  # fmt: skip
            ends.append((look, float(values[known][-1])))
            longest = max(longest, int(run.arrays["num_examples"][known][-1]))
    panel.set_ylim(-0.6, 1.1)
    panel.set_xlim(0.8, longest + 0.2)
    _title(panel, "one probe a prefix, last layer", "examples in the prompt, $n$", "held-out $R^2$")
    label_ends(panel, ends, PANEL)


def _describe(runs: StoredRuns) -> str:
    shown = joined(
        dict.fromkeys(n for r in runs.values() for n in examples_shown(r.config.max_examples))
    )
    return (
        f"A GPT-2 ({said(runs, 'layers')} layers, {said(runs, 'heads')} heads, width"
        f" {said(runs, 'width')}) after {said(runs, 'steps')} steps, one seed, and the network of"
        f" Theorem 1 ({said(runs, 'built_layers')} layers, float64), on the same"
        f" {said(runs, 'num_prompts')} new prompts; m = {said(runs, 'num_components')},"
        f" d = {said(runs, 'dim')}, sigma = {said(runs, 'noise_std')}. Top: (f(P) - <w, x>)^2 and"
        f" the squared distance from the posterior mean; the built network's error is the posterior"
        f" mean's, its distance rounding. Middle: mean |df_n/dy_i| after n = {shown} examples,"
        f" lines with bands trained, dotted exact, crosses built; by exchangeability the exact ones"
        f" do not depend on i but by chance; and the correlation over prompts and examples of"
        f" derivatives by labels and by covariates with those of the posterior mean. Bottom: R^2 on"
        f" as many held-out prompts of affine probes of the stream in covariates' columns, for"
        f" log p_j/p_1 (lines) and for p_j (hollow), where no log-odds exceed {LIMIT:g}; untrained:"
        f" the same GPT-2 before training. Left all prefixes of 1 or more examples together, right"
        f" one probe a prefix, as far as there are 5 prompts a feature. {BAND}"
        f" Seed {said(runs, 'seed')}."
    )


TRAINED_AND_BUILT = ExperimentFigure(
    name="pathak2023-trained-and-built",
    title="A trained and a hand-built transformer side by side",
    experiment="pathak2023-trained-and-built",
    draw=_draw,
    describe=_describe,
)
