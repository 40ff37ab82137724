"""Linear self-attention trained by SGD, beside gradient flow and its limit; the balance drifts."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import BLUE, INK, MUTED, VERMILION, page_style
from simulations.figures.curves import Look, label_ends, logarithmic, mark_level
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.runs.stored_run import StoredRun
from simulations.training.config import TrainingConfig
from simulations.training.config_json import config_as_json

__all__ = ["TRAINED_ATTENTION", "named_run", "training_length"]

#: Height of a row of panels, and of the panel in it, in inches.
ROW, PANEL = 1.55, 1.1

_WEIGHTS = (Look("$u$", BLUE, "", "o"), Look(r"$\|U\|_F$", VERMILION, "", "s"))
_ERRORS = {
    "u": Look("$u$", BLUE, "-", "o"),
    "U": Look("$U$", VERMILION, "--", "s"),
    "product": Look("$uU$", INK, "-.", "^"),
}


def _shows(config: TrainingConfig) -> bool:
    """Whether the theorems are about this run: SGD, Assumption 3, tasks that keep the plane."""
    ways = (config.optimiser, config.gradient, config.attention, config.start.kind)
    return ways == ("sgd", "sampled", "linear", "assumption 3") and config.tasks.keeps_plane


def _draw(runs: StoredRuns) -> Figure:
    with page_style():
        figure = Figure(figsize=(7.4, ROW * len(runs) + 0.2), layout="constrained")
        rows = figure.subplots(len(runs), 3, squeeze=False)
        for (weights, errors, balance), (label, run) in zip(rows, runs.items(), strict=True):
            _weights(weights, run)
            _errors(errors, run)
            _balance(balance, run)
            weights.set_ylabel(label)
            for panel in (weights, errors, balance):
                panel.set_xlim(0, run.config.steps)
                panel.tick_params(length=2, which="major")
        titles = ("weights and gradient flow", "relative distance to the limit", "drift of balance")
        for panel, title in zip(rows[0], titles, strict=True):
            panel.set_title(title, loc="left", fontsize=8)
        for panel in rows[-1]:
            panel.set_xlabel("steps")
    return figure


def _weights(panel: Axes, run: StoredRun) -> None:
    """Trained u and |U| as marks, the flow as lines, limits dotted."""
    arrays, steps = run.arrays, run.arrays["trace/steps"]
    trained = (
        arrays["trace/projection_value"][:, -1, -1],
        np.linalg.norm(arrays["trace/key_query"][:, :-1, :-1], axis=(1, 2)),
    )
    flow = arrays["flow/u"], np.linalg.norm(arrays["flow/U"], axis=(1, 2))
    limit = float(arrays["limit/u"]), float(np.linalg.norm(arrays["limit/U"]))
    for name, look, own, ideal, end in zip(("u", "U"), _WEIGHTS, trained, flow, limit, strict=True):
        panel.plot(steps, ideal, color=look.colour, linewidth=0.9, gid=f"flow {name}")
        panel.plot(
            steps, own, color=look.colour, linestyle="", marker=look.marker, markersize=2.6,
            gid=f"trained {name}",
        )  # fmt: skip
        mark_level(panel, end, look.colour, gid=f"limit {name}")
    low, high = min(map(np.min, (*trained, *flow))), max(*map(np.max, trained), *limit)
    panel.set_ylim(low - 0.05 * (high - low), high + 0.08 * (high - low))
    ends = [(look, float(own[-1])) for look, own in zip(_WEIGHTS, trained, strict=True)]
    label_ends(panel, ends, PANEL)


def _errors(panel: Axes, run: StoredRun) -> None:
    """Errors of the weights as they were, and of the result as stars."""
    arrays = run.arrays
    ends, drawn = [], []
    for name, look in _ERRORS.items():
        errors, result = arrays[f"trace/{name}_error"], float(arrays[f"error/{name}"])
        panel.plot(
            arrays["trace/steps"], errors, color=look.colour, linestyle=look.line, linewidth=1.0,
            marker=look.marker, markersize=2.6, markevery=3, gid=f"error {name}",
        )  # fmt: skip
        panel.plot(
            run.config.steps, result, color=look.colour, linestyle="", marker="*", markersize=6,
            markeredgecolor="white", markeredgewidth=0.4, clip_on=False, zorder=5,
            gid=f"result {name}",
        )  # fmt: skip
        ends.append((look, result))
        drawn += [result, *errors.tolist()]
    logarithmic(panel, min(drawn) / 1.5, max(drawn) * 1.5)
    label_ends(panel, ends, PANEL, room=0.2)


def _balance(panel: Axes, run: StoredRun) -> None:
    """The balance less that of the start, and what the squares of the steps say it must be."""
    arrays, steps = run.arrays, run.arrays["trace/steps"]
    drift = arrays["trace/balance"] - float(arrays["start_balance"])
    panel.axhline(0.0, color=MUTED, linewidth=0.6)
    panel.plot(steps, drift, color=BLUE, linewidth=1.2, gid="drift")
    panel.plot(
        steps, arrays["trace/squared_steps"], color=INK, linestyle="", marker="+", markersize=4,
        markeredgewidth=0.7, gid="squared steps",
    )  # fmt: skip


def training_length(config: TrainingConfig) -> int:
    """Return N, the length of the training prompts, whatever the tasks are."""
    document: Any = config_as_json(config)
    return int(document["tasks"]["prompt_length"])


def named_run(label: str, config: TrainingConfig) -> str:
    """Return a run in words: tasks, steps, batches, step size."""
    tasks, length = config.tasks, training_length(config)
    batches = f" of {config.batch_size:,} prompts" if config.gradient == "sampled" else ""
    return (
        f"{label} ({tasks.kind}, d = {tasks.dim}, N = {length}, {config.steps:,} steps"
        f"{batches}, step size {config.step_size:.3g}, seed {config.seed})"
    )


def _describe(runs: StoredRuns) -> str:
    listed = "; ".join(named_run(label, run.config) for label, run in runs.items())
    return (
        f"All parameters of W^PV and W^KQ are trained by SGD from Assumption 3: {listed}. Left: u"
        f" and |U|_F as they are after a step (marks), the gradient flow from the same start at the"
        f" same time (lines) and its limit (dotted). Middle: |u - u*|/|u*|, |U - U*|_F/|U*|_F and"
        f" the same for u U; stars: the result, which averages the last steps. Right: the balance"
        f" u^2 + |u12|^2 - |U|_F^2 - |u21|^2, which the flow keeps at 0 (line), and the sum of"
        f" |df|^2 - |dV|^2 over the steps (crosses), which is its drift exactly."
    )


TRAINED_ATTENTION = ExperimentFigure(
    name="zhang2024-trained",
    title="Trained linear self-attention beside the limits of Theorems 4 and 8",
    experiment="zhang2024-trained",
    draw=_draw,
    describe=_describe,
    shows=_shows,
)
