"""Exact gradients: u and U are as near to the limit as the step size allows, u U as time allows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.style import MUTED, page_style
from simulations.figures.curves import Look, family, label_ends, logarithmic, logarithmic_places
from simulations.figures.experiment_figure import ExperimentFigure, StoredRuns
from simulations.figures.trained_attention import named_run
from simulations.runs.stored_run import StoredRun
from simulations.training.config import TrainingConfig

__all__ = ["TRAINED_STEP_SIZE"]

#: Height of the figure and of its panels, in inches.
HEIGHT, PANEL = 2.4, 1.85

#: Errors below are drawn at this height: an exact 0 has no logarithm.
LOWEST = 1e-16


def _shows(config: TrainingConfig) -> bool:
    return config.gradient == "exact"


def _groups(runs: StoredRuns) -> dict[str, list[StoredRun]]:
    """Runs that differ in the step size only, by the label of the first, by step size."""
    groups: dict[str, list[StoredRun]] = {}
    for label, run in runs.items():
        own = (run.config.tasks, run.config.start)
        for members in groups.values():
            if (members[0].config.tasks, members[0].config.start) == own:
                members.append(run)
                break
        else:
            groups[label] = [run]
    return {
        label: sorted(members, key=lambda run: float(run.config.step_size))
        for label, members in groups.items()
    }


def _draw(runs: StoredRuns) -> Figure:
    groups = _groups(runs)
    sizes = [float(run.config.step_size) for run in runs.values()]
    looks = dict(zip(groups, family(list(groups)), strict=True))
    with page_style():
        figure = Figure(figsize=(7.4, HEIGHT), layout="constrained")
        left, right = figure.subplots(1, 2)
        for panel, names, hollow, title in (
            (left, ("error/u", "error/U"), "error/U", "$u$ (filled) and $U$ (hollow)"),
            (right, ("error/product", "explained/u"), "explained/u",
             "$uU$ (filled); $u$ with its drift of balance (hollow)"),
        ):  # fmt: skip
            drawn = [
                _series(panel, members, name, looks[label], name == hollow)
                for label, members in groups.items()
                for name in names
            ]
            everything = np.concatenate(drawn)
            logarithmic(panel, float(everything.min()) / 3, 3 * float(everything.max()))
            logarithmic_places(panel, min(sizes) / 1.5, 1.5 * max(sizes))
            panel.set_xlabel("step size")
            panel.set_title(title, loc="left", fontsize=8)
        for members in groups.values():
            _first_order(left, members)
        left.set_ylabel("relative distance to the limit")
        ends = [
            (looks[label], max(LOWEST, float(members[-1].arrays["error/product"])))
            for label, members in groups.items()
        ]
        label_ends(right, ends, PANEL)
    return figure


def _series(
    panel: Axes, members: Sequence[StoredRun], name: str, look: Look, hollow: bool
) -> np.ndarray:
    sizes = np.array([run.config.step_size for run in members])
    errors = np.maximum([float(run.arrays[name]) for run in members], LOWEST)
    panel.plot(
        sizes, errors, color=look.colour, linestyle="" if hollow else look.line, linewidth=1.0,
        marker=look.marker, markersize=6 if hollow else 3, gid=f"{look.label} {name}",
        markerfacecolor="none" if hollow else look.colour,
    )  # fmt: skip
    return errors


def _first_order(panel: Axes, members: Sequence[StoredRun]) -> None:
    """Draw the line of slope 1 through the error of u at the least step size."""
    if len(members) < 2:
        return
    sizes = np.array([run.config.step_size for run in members])
    line = float(members[0].arrays["error/u"]) * sizes / sizes[0]
    panel.plot(sizes, line, color=MUTED, linestyle=":", linewidth=1.0, zorder=1, gid="first order")


def _describe(runs: StoredRuns) -> str:
    groups = _groups(runs)
    listed = "; ".join(named_run(label, members[0].config) for label, members in groups.items())
    return (
        f"Gradient descent with the exact population gradient, for one time of the flow at several"
        f" step sizes; at the least of them: {listed}. Left: |u - u*|/|u*| and |U - U*|_F/|U*|_F,"
        f" and dotted the line of first order through the least step size: a step of size eta moves"
        f" the balance by eta^2, so the sum moves by eta. Right: the same for u U, which does not"
        f" depend on the step size, and for u against the limit with the balance that the result"
        f" has. Errors below {LOWEST:g} are drawn there."
    )


TRAINED_STEP_SIZE = ExperimentFigure(
    name="zhang2024-trained-step-size",
    title="With exact gradients u U reaches its limit, u and U are off by the order of the step"
    " size",
    experiment="zhang2024-trained",
    draw=_draw,
    describe=_describe,
    shows=_shows,
)
