"""What the figures of trained transformers share: curves of several seeds, and models in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from simulations.drawing.style import INK
from simulations.figures.curves import Curve, Look, draw_curve
from simulations.figures.sizes import joined
from simulations.runs.stored_run import StoredRun
from simulations.transformers import TransformerTraining

__all__ = [
    "NOT_SHOWN",
    "TRANSFORMER",
    "draw_seeds",
    "examples_axis",
    "lower_end",
    "mean_of_seeds",
    "seed_curves",
    "told_seeds",
    "told_training",
]

#: The trained model, as in the figure of ``iclproof compare``.
TRANSFORMER = Look("transformer", INK, "-", "D")

#: How far below the least error of a transformer panels reach, as a factor.
BELOW = 20.0

#: Of what `lower_end` leaves out.
NOT_SHOWN = (
    f"What is more than {BELOW:g} times below the least error of the transformer is not shown."
)

#: Of the lines of single seeds, beside that of their mean.
_THIN = 0.45

_ARCHITECTURES = {"gpt2": "GPT-2", "section-1.2": "architecture of Section 1.2"}


def seed_curves(run: StoredRun, name: str, row: int | tuple[()] = ()) -> list[Curve]:
    """Return the curve ``seed-S/<name>`` of every seed S of the training, by ``num_examples``.

    Parameters
    ----------
    run
        Of a config with a `training`.
    name
        What it is a curve of.
    row
        Which row of arrays that hold several curves, shape (rows, n); none for those of one.
    """
    arrays = run.arrays
    return [
        Curve(
            arrays["num_examples"],
            *(arrays[f"seed-{seed}/{name}/{end}"][row] for end in ("mean", "low", "high")),
        )
        for seed in run.config.training.seeds
    ]


def mean_of_seeds(curves: Sequence[Curve]) -> Curve:
    """Return the mean of the curves: the band is that of the only one; several have none."""
    if len(curves) == 1:
        return curves[0]
    mean = np.mean([curve.mean for curve in curves], axis=0)
    return Curve(curves[0].places, mean, mean, mean)


def draw_seeds(
    axes: Axes, curves: Sequence[Curve], look: Look, gid: str, phase: float = 0.0
) -> Curve:
    """Draw the mean of the curves of seeds, and if there are several a thin line for each.

    The lines have the gids ``<gid>`` and ``<gid>/0``, ``<gid>/1``, ... Return the mean.
    """
    mean = mean_of_seeds(curves)
    if len(curves) > 1:
        for i, curve in enumerate(curves):
            axes.plot(
                curve.places, curve.mean, color=look.colour, linewidth=_THIN, alpha=0.6,
                gid=f"{gid}/{i}",
            )  # fmt: skip
    draw_curve(axes, mean, look, gid, phase)
    return mean


def examples_axis(axes: Axes, lengths: Int[np.ndarray, " n"]) -> None:
    """Let the x-axis reach from 0 to the last number of examples, with ticks at whole numbers."""
    axes.set_xlim(0, float(lengths[-1]))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def lower_end(best: float, model: float) -> float:
    """Return the lower end of a panel: below the least error of the best candidate, if it can be.

    Parameters
    ----------
    best, model
        The least errors of the best candidate, which may be 0, and of the transformer.
    """
    return max(best, model / BELOW) / 1.5


def told_training(training: TransformerTraining) -> str:
    """Return model and training in words: "GPT-2 of 3 layers, 4 heads and width 64, ..."."""
    model, steps = training.model, training.steps
    return (
        f"{_ARCHITECTURES[model.architecture]} of {model.layers} layers, {model.heads} heads and"
        f" width {model.width}, {steps.count:,} steps of {steps.batch_size} prompts"
    )


def told_seeds(trainings: Iterable[TransformerTraining]) -> str:
    """Return a sentence on the lines of the seeds of trainings, as `draw_seeds` draws them."""
    seeds = dict.fromkeys(training.seeds for training in trainings)
    several = joined(dict.fromkeys(seed for found in seeds if len(found) > 1 for seed in found))
    alone = joined(dict.fromkeys(found[0] for found in seeds if len(found) == 1))
    if not several:
        return f"One transformer, of seed {alone}, with its band."
    lines = (
        f"Transformers of the seeds {several}: thin lines, one a seed, and a thick one, their mean,"
        " without bands"
    )
    return f"{lines}; where there is that of seed {alone} only, its band." if alone else f"{lines}."
