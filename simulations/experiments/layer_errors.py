"""Errors of linear self-attention layers, and of baselines, on drawn prompts of many lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from simulations.bootstrap import bootstrap_band
from simulations.experiments.experiment import Arrays
from theory import FlowProblem, LeastSquares, LinearAttention, Predictor, PromptBatch, Zero
from theory.validation import Problems

__all__ = [
    "DrawPrompts",
    "DrawnPrompts",
    "check_counts",
    "check_different",
    "check_lengths",
    "error_bands",
    "limit_layer",
    "stream",
]

#: Prompts drawn from one stream of random numbers; part of what a result depends on.
CHUNK = 512

#: The stream of the bootstrap, beside those of the chunks.
_BOOTSTRAP = 2**32 - 1


class DrawnPrompts(NamedTuple):
    """Prompts of the longest length, and what their queries should be answered with.

    Attributes
    ----------
    xs, ys
        The examples: the first M of them are the prompt of length M.
    queries, tasks
        x_query and w: the error is that against w'x_query.
    """

    xs: Float[np.ndarray, "batch n d"]
    ys: Float[np.ndarray, "batch n"]
    queries: Float[np.ndarray, "batch d"]
    tasks: Float[np.ndarray, "batch d"]


#: Draws so many prompts.
DrawPrompts: TypeAlias = Callable[[int, np.random.Generator], DrawnPrompts]


def stream(seed: int, *key: int) -> np.random.Generator:
    """Return the generator of one stream of a seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def limit_layer(problem: FlowProblem) -> LinearAttention:
    """Return the layer at the limit of gradient flow: Theorem 4, or Theorem 8."""
    U, u = problem.limit()
    return LinearAttention.from_blocks(np.zeros(problem.dim), np.zeros(problem.dim), U, u)


def error_bands(
    draw: DrawPrompts,
    layers: Mapping[str, Predictor],
    lengths: tuple[int, ...],
    *,
    prompts: int,
    trials: int,
    seed: int,
    part: int,
    group: int = 1,
    orthogonal: bool = False,
) -> Arrays:
    """Return the errors of layers, least squares and 0 at every length, with bootstrap bands.

    Parameters
    ----------
    draw
        The law of the prompts.
    layers
        What predicts, by name, beside ``least_squares`` and ``zero``.
    lengths
        M. One prompt serves all of them.
    prompts, trials
        How many prompts, and how often they are resampled.
    seed, part
        Which random numbers.
    group
        How many prompts in a row are alike, in that `draw` gives them one covariance: it is called
        for whole groups, and whole groups are resampled.
    orthogonal
        Whether each query is made orthogonal to the examples that its prompt has.

    Returns
    -------
    dict
        ``NAME/mean|low|high|standard_error`` of (yhat - w'x_query)^2 / d, shape (lengths,).
    """
    predictors = {**layers, "least_squares": LeastSquares(), "zero": Zero()}
    squares: dict[str, list[np.ndarray]] = {name: [] for name in predictors}
    size = group * max(1, CHUNK // group)
    for chunk, first in enumerate(range(0, prompts, size)):
        drawn = draw(min(size, prompts - first), stream(seed, part, chunk))
        columns: dict[str, list[np.ndarray]] = {name: [] for name in predictors}
        for M in lengths:
            xs, queries = drawn.xs[:, :M], drawn.queries
            if orthogonal:
                queries = _off_the_span(xs, queries)
            batch = PromptBatch(np.concatenate([xs, queries[:, None]], axis=1), drawn.ys[:, :M])
            targets = np.einsum("bd,bd->b", drawn.tasks, queries)
            for name, predictor in predictors.items():
                errors = predictor.predict(batch) - targets
                columns[name].append(errors**2 / batch.dim)
        for name, of_lengths in columns.items():
            squares[name].append(np.stack(of_lengths, axis=1))
    clusters = np.arange(prompts) // group
    arrays: dict[str, np.ndarray] = {}
    for name, rows in squares.items():
        values, rng = np.concatenate(rows), stream(seed, part, _BOOTSTRAP)
        arrays |= bootstrap_band(values, rng, clusters=clusters, trials=trials).as_arrays(name)
    return arrays


def _off_the_span(
    xs: Float[np.ndarray, "batch m d"], queries: Float[np.ndarray, "batch d"]
) -> Float[np.ndarray, "batch d"]:
    """The queries without their part in the span of the examples: 0 if these span everything."""
    if xs.shape[1] >= xs.shape[2]:
        return np.zeros_like(queries)
    basis = np.linalg.qr(xs.transpose(0, 2, 1))[0]
    return np.asarray(queries - np.einsum("bdm,bem,be->bd", basis, basis, queries))


def check_counts(problems: Problems, config: object, **least: int) -> None:
    """Check the whole numbers of a frozen config, and set them to plain integers."""
    for name, lower in least.items():
        object.__setattr__(config, name, problems.count(name, getattr(config, name), lower))


def check_lengths(problems: Problems, config: object, *names: str) -> None:
    """Check tuples of lengths, each at least 1, ascending and not empty."""
    for name in names:
        given = getattr(config, name)
        lengths = tuple(problems.count(f"{name}[{i}]", x, 1) for i, x in enumerate(given))
        if not lengths or list(lengths) != sorted(set(lengths)):
            problems.add(f"{name} is {given}; expected at least one length, ascending")
        object.__setattr__(config, name, lengths)


def check_different(problems: Problems, config: object, *names: str) -> None:
    """Check tuples of positive numbers, no two alike: each names a part of the experiment."""
    for name in names:
        given = getattr(config, name)
        sizes = tuple(
            problems.number(f"{name}[{i}]", x, 0.0, strict=True) for i, x in enumerate(given)
        )
        if len({f"{size:g}" for size in sizes}) < len(sizes):
            problems.add(
                f"{name} is {given}; expected different numbers, to six digits: each names a part"
            )
        object.__setattr__(config, name, sizes)
