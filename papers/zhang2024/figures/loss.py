"""The loss along time beside its PL envelopes, printed and sharp, and its exact rate."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from papers.zhang2024.figures.study import FlowStudy
from simulations.drawing.style import BLUE, INK, MUTED, VERMILION, page_style
from theory.gradient_flow import excited_rate
from theory.gradient_flow.trajectory import loss_envelope

#: Where the time axis ends, by the excess loss relative to its first value.
SHOWN = 1e-16

#: Times, equally spaced.
POINTS = 400


def loss_figure(study: FlowStudy) -> Figure:
    """Draw the excess loss, its envelopes exp(-mu t), and exp(-2 rate t) with the exact rate.

    Returns
    -------
    matplotlib.figure.Figure
        One panel with a logarithmic loss; the line of the exact rate goes through the last point.
    """
    flow = study.flow
    first = study.problem.excess_loss(flow.start)
    end = float(study.times[flow.excess_loss(study.times) > SHOWN * first][-1])
    times = np.linspace(0.0, end, POINTS)
    excess = flow.excess_loss(times)
    rate = excited_rate(study.problem, flow.start, flow.balance)
    constants = study.constants
    with page_style():
        figure = Figure(figsize=(5.2, 3.3), layout="constrained")
        axes = figure.subplots()
        exact = excess[-1] * np.exp(-2 * rate * (times - end))
        axes.semilogy(times, exact, color=MUTED, linestyle="-.", linewidth=1, gid="exact rate")
        axes.semilogy(times, excess, color=INK, linewidth=1.8, gid="loss")
        for source, colour, style in (("printed", VERMILION, "--"), ("sharp", BLUE, "-")):
            bound = loss_envelope(flow, times, constants[source]).bound
            axes.semilogy(times, bound, color=colour, linestyle=style, linewidth=1.2, gid=source)
        axes.set(xlim=(0, end), ylim=(SHOWN * first / 3, 30 * max(first, float(exact[0]))))
        axes.set_xlabel("$t$")
        axes.set_ylabel(r"$L(t) - \min L$")
        axes.tick_params(length=2)
        middle = POINTS // 2
        for text, x, y, away, colour, side in (
            (rf"printed envelope, $\mu={constants['printed']:.2g}$", end, first, (-4, 6),
             VERMILION, "right"),
            (rf"sharp envelope, $\mu={constants['sharp']:.2g}$", end,
             first * np.exp(-constants["sharp"] * end), (-4, -10), BLUE, "right"),
            (rf"exact rate, $2 \times {rate:.3g}$", times[middle], exact[middle], (8, 2), MUTED,
             "left"),
            ("loss", times[middle // 2], excess[middle // 2], (-6, -8), INK, "right"),
        ):  # fmt: skip
            axes.annotate(
                text, (x, y), xytext=away, textcoords="offset points", color=colour, ha=side
            )
        figure.suptitle(
            "The loss falls at the exact rate; the PL envelopes are bounds\n" + study.parameters,
            fontsize=8,
        )
    return figure
