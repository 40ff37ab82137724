"""How far the hand-built transformer is from the exact matrices, after each of its layers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from constructions import compile_line_by_line
from constructions.interpreter import run
from constructions.library.posterior_mean import initial_matrix, posterior_mean_program
from constructions.matrices import Matrix
from constructions.program import Program
from papers.pathak2023.figures.proof_run import require_equal_weights
from simulations.drawing.style import BLUE, INK, MUTED, VERMILION, number, page_style
from theory import PromptBatch, RegressionMixture


@dataclass(frozen=True, eq=False)
class LayerErrors:
    """The errors in one float type, an entry for the input and each layer (n + 1,).

    The error of a cell is |H - H_exact|, relative to the largest magnitude, over all prompts, in
    the rows of its register at this stage; a prompt's error is the largest of its cells. H_exact
    is the interpreter's stage in extended precision, for the float64 prompt and mixture, so that
    rounding those to float32 counts as error.

    Parameters
    ----------
    dtype
        Name of the float type.
    epsilon
        Its machine epsilon.
    worst, median
        Over the prompts, of the errors in the cells that the layer writes.
    anywhere
        The largest error over all prompts and all cells, written or to be left alone.
    """

    dtype: str
    epsilon: float
    worst: Float[np.ndarray, " stages"]
    median: Float[np.ndarray, " stages"]
    anywhere: Float[np.ndarray, " stages"]


@dataclass(frozen=True, eq=False)
class ErrorStudy:
    """The errors of the transformer on some prompts, in float64 and float32.

    Parameters
    ----------
    mixture
        W* (m, d) and sigma.
    prompts
        The prompts, of k examples each.
    operators
        Names of the operators (n,), a layer each.
    by_precision
        The errors in float64, then in float32.
    """

    mixture: RegressionMixture
    prompts: PromptBatch
    operators: tuple[str, ...]
    by_precision: tuple[LayerErrors, ...]


def measure_errors(mixture: RegressionMixture, prompts: PromptBatch) -> ErrorStudy:
    """Compare every layer of the compiled transformer with the interpreter's stages.

    The interpreter runs in ``numpy.longdouble``. Where that is no more than float64 (on some
    platforms), float64 errors are accurate to its rounding only.

    Parameters
    ----------
    mixture
        Equal weights and sigma > 0.
    prompts
        Prompts of at least one example, within the transformer's default box.

    Raises
    ------
    ValueError
        If mixture or prompts are not as above, or their dimensions differ.
    """
    require_equal_weights(mixture)
    if prompts.num_examples < 1:
        raise ValueError("the prompts have no examples, expected at least one")
    program = posterior_mean_program(
        mixture.components.astype(np.longdouble),
        np.longdouble(mixture.noise_std),
        prompts.num_examples,
    )
    results = tuple(
        _layer_errors(mixture, prompts, program, dtype) for dtype in (torch.float64, torch.float32)
    )
    operators = tuple(operation.name for operation in program.operations)
    return ErrorStudy(mixture, prompts, operators, results)


def _layer_errors(
    mixture: RegressionMixture, prompts: PromptBatch, program: Program, dtype: torch.dtype
) -> LayerErrors:
    network = compile_line_by_line(mixture, prompts.num_examples, dtype=dtype)
    ends = [a for a in network.trace(prompts) if a.line is not None]
    errors = [
        np.abs(activation.matrix - exact) / _register_sizes(exact, program)
        for activation, exact in zip(ends, _exact_stages(prompts, program), strict=True)
    ]
    written = np.array(
        [
            error[:, cells].max(axis=1)
            for error, cells in zip(errors, _written(program), strict=True)
        ],
        dtype=np.float64,
    )
    return LayerErrors(
        dtype=str(dtype).removeprefix("torch."),
        epsilon=torch.finfo(dtype).eps,
        worst=written.max(axis=1),
        median=np.median(written, axis=1),
        anywhere=np.array([error.max() for error in errors], dtype=np.float64),
    )


def _exact_stages(prompts: PromptBatch, program: Program) -> list[Matrix]:
    """Return H^(0), ..., H^(n), each for all prompts (batch, p, q), in longdouble."""
    starts = initial_matrix(prompts.interleaved().astype(np.longdouble), program.num_rows)
    by_prompt = [run(program, start) for start in starts]
    return [np.stack(stage) for stage in zip(*by_prompt, strict=True)]


def _register_sizes(exact: Matrix, program: Program) -> Matrix:
    """Return (p, 1) the largest magnitude in each row's register; 1 if that is all zero."""
    sizes = np.ones((program.num_rows, 1), dtype=exact.dtype)
    for register in program.registers:
        rows = slice(register.first - 1, register.last)
        sizes[rows] = np.abs(exact[:, rows]).max() or 1
    return sizes


def _written(program: Program) -> Iterator[Bool[np.ndarray, "p q"]]:
    """Yield, for the input and every line, which cells (p, q) it writes."""
    shape = program.num_rows, program.num_columns
    cells = np.zeros(shape, dtype=bool)
    for name in program.inputs:
        register = program.register(name)
        cells[register.first - 1 : register.last] = True
    yield cells
    for operation in program.operations:
        cells = np.zeros(shape, dtype=bool)
        columns = np.array(sorted(operation.target_columns(program.num_columns))) - 1
        cells[np.ix_(np.array(operation.target().indices) - 1, columns)] = True
        yield cells


def errors_figure(study: ErrorStudy) -> Figure:
    """Draw the error after every layer, on a log scale, a panel for each float type.

    Parameters
    ----------
    study
        What `measure_errors` returns.

    Returns
    -------
    matplotlib.figure.Figure
        Panels side by side with one scale. Results that are exact are marked 0 at the bottom.
    """
    mixture, prompts = study.mixture, study.prompts
    with page_style():
        figure = Figure(figsize=(7.4, 3.3))
        panels = figure.subplots(1, len(study.by_precision), sharey=True, squeeze=False)[0]
        figure.subplots_adjust(left=0.08, right=0.985, bottom=0.2, top=0.85, wspace=0.06)
        for panel, errors in zip(panels, study.by_precision, strict=True):
            _draw_panel(panel, errors, study.operators)
        panels[0].set_ylim(*_limits(study))
        panels[0].set_ylabel("error relative to the register's size")
        panels[0].legend(loc="upper left", frameon=False, fontsize=7, handlelength=1.6)
        figure.suptitle(
            "The hand-built transformer against the exact program, layer by layer: "
            f"$d={mixture.dim}$, $m={mixture.num_components}$, $k={prompts.num_examples}$, "
            rf"$\sigma={mixture.noise_std:.3g}$, {prompts.batch_size} prompts",
            fontsize=8.5, x=0.08, ha="left", y=0.97,
        )  # fmt: skip
    return figure


def _draw_panel(panel: Axes, errors: LayerErrors, operators: tuple[str, ...]) -> None:
    places = np.arange(len(operators) + 1)
    series = (
        (errors.anywhere, "largest error in any cell", MUTED, ":", ""),
        (errors.worst, "cells written, worst prompt", VERMILION, "-", "o"),
        (errors.median, "cells written, median prompt", BLUE, "-", "D"),
    )
    for values, label, colour, line, marker in series:
        shown = np.where(values > 0, values, np.nan)
        panel.plot(
            places, shown, label=label, color=colour, ls=line, marker=marker, lw=0.9, ms=3.2,
            clip_on=False,
        )  # fmt: skip
    _mark_exact(panel, errors)
    panel.axhline(errors.epsilon, color=INK, lw=0.6, ls="--", zorder=1)
    panel.set_yscale("log")
    panel.set_xlim(-0.4, places[-1] + 0.4)
    names = ["input", *(f"{layer} {name}" for layer, name in enumerate(operators, start=1))]
    panel.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=7)
    epsilon = rf"machine $\varepsilon$ = {number(errors.epsilon)}, dashed"
    panel.set_title(f"{errors.dtype}: {epsilon}", fontsize=8, loc="left", pad=4)
    panel.tick_params(length=2, which="both", pad=2)
    panel.spines[["top", "right"]].set_visible(False)


def _mark_exact(panel: Axes, errors: LayerErrors) -> None:
    """Write a 0 at the foot of the panel where a series has no error at all."""
    heights = panel.get_xaxis_transform()
    for values, colour, height in ((errors.worst, VERMILION, 0.07), (errors.median, BLUE, 0.02)):
        for place in np.flatnonzero(values == 0).tolist():
            panel.text(place, height, "0", color=colour, ha="center", fontsize=7, transform=heights)
    if not (errors.worst.all() and errors.median.all()):
        panel.plot([], [], ls="", marker="$0$", color=MUTED, ms=4, mew=0, label="no error at all")


def _limits(study: ErrorStudy) -> tuple[float, float]:
    """Return the ends of the common scale, whole powers of ten around all that is drawn."""
    drawn = np.concatenate(
        [
            values
            for errors in study.by_precision
            for values in (errors.worst, errors.median, errors.anywhere, [errors.epsilon])
        ]
    )
    drawn = drawn[drawn > 0]
    low, high = np.floor(np.log10(drawn.min())), np.ceil(np.log10(drawn.max()))
    return float(10.0 ** (low - 1)), float(10.0 ** (high + 2))
