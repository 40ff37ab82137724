"""The error of a compiled network by the distance from its box."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.drawing.files import write_figures
from simulations.drawing.style import BLUE, INK, MUTED, VERMILION, page_style
from simulations.experiments.far_from_the_box import FarErrors, FarFromTheBox, measure

_TITLES = {"query": "only the query leaves the box", "prompt": "the whole prompt is scaled"}


def draw_far_from_the_box(directory: Path, config: FarFromTheBox) -> list[Path]:
    """Measure, draw and write far-from-the-box.svg and .png; return their paths.

    Raises
    ------
    ValueError
        If the sizes are those of no mixture.
    """
    return write_figures(directory, {"far-from-the-box": far_figure(config, measure(config))})


def far_figure(config: FarFromTheBox, found: Sequence[FarErrors]) -> Figure:
    """Draw worst and median error against the distance, and the size of f*_pi, a panel a way.

    Parameters
    ----------
    config
        What was measured.
    found
        `simulations.experiments.far_from_the_box.measure` of it.
    """
    with page_style():
        figure = Figure(figsize=(6.5, 2.9), layout="constrained")
        axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
        for panel, errors in zip(axes, found, strict=True):
            _draw(panel, config, errors)
        axes[0].set_ylabel(r"$|\mathrm{TF}(P) - f^*_\pi(P)|$")
        figure.suptitle(
            "A network is right in its box and nowhere far from it: three layers, "
            f"$d={config.dim}$, $m={config.num_components}$, $k={config.num_examples}$, "
            rf"$\sigma={config.noise_std:g}$, {config.num_prompts} prompts",
            fontsize=8,
        )
    return figure


def _draw(panel: Axes, config: FarFromTheBox, errors: FarErrors) -> None:
    panel.axvspan(min(config.factors), 1, color=MUTED, alpha=0.12, linewidth=0)
    panel.loglog(config.factors, errors.exact, color=MUTED, linestyle="--", linewidth=1)
    panel.loglog(config.factors, errors.worst, color=VERMILION, marker="o", markersize=2.5)
    panel.loglog(config.factors, errors.median, color=BLUE, marker="s", markersize=2.5)
    panel.set_title(_TITLES[errors.way], loc="left", fontsize=7.5, color=INK)
    panel.set_xlabel("distance, in boxes")
    panel.set_ylim(1e-16, 1e8)
    middle = len(config.factors) // 2
    for label, values, index, colour, place, side in (
        (r"largest $|f^*_\pi(P)|$", errors.exact, middle - 2, MUTED, (0, 7), "right"),
        ("worst prompt", errors.worst, middle - 3, VERMILION, (-8, 0), "right"),
        ("median", errors.median, middle - 2, BLUE, (8, -4), "left"),
    ):
        panel.annotate(
            label,
            (config.factors[index], values[index]),
            xytext=place,
            textcoords="offset points",
            ha=side,
            color=colour,
        )
    panel.annotate(
        "the box", (1, 1e8), xytext=(-3, -9), textcoords="offset points", ha="right", color=MUTED
    )
