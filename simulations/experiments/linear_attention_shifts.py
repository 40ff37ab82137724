"""The layer of Theorem 4 under the shifts of Section 4.2, sampled and exact, for every length.

The layer is linear self-attention at the limit of training on N(0, Lambda), Lambda_ij = r^|i-j|.
The parts are

- ``none``: no shift;
- ``noise-S``: labels with noise of standard deviation S (a task shift);
- ``task-S``: one task w = S (1, ..., 1)' instead of w ~ N(0, I) (a task shift);
- ``query-S``: the query in one direction, that of Lambda's least eigenvalue, N(0, S^2 d vv');
- ``orthogonal``: the query without its part in the span of the examples. The best answer for it is
  0, that of least squares; the paper says that the layer's is 0 too;
- ``covariates-C``: covariates and query multiplied by C.

Arrays: ``num_examples`` (M); for each shift and the predictors ``linear_attention``,
``least_squares`` and ``zero``, ``SHIFT/PREDICTOR/mean|low|high|standard_error`` of
(yhat - w'x_query)^2 / d, with the bootstrap band of 90 %; ``SHIFT/linear_attention/exact``, the
same by `theory.risk`, and ``SHIFT/linear_attention/bias``, what is left of it for M to infinity, a
number: both NaN for ``orthogonal``, whose query depends on the examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from simulations.experiments.experiment import Arrays, Checkpoint, Experiment
from simulations.experiments.layer_errors import (
    DrawnPrompts,
    check_counts,
    check_different,
    check_lengths,
    error_bands,
    limit_layer,
)
from theory import FlowProblem, shifted_risk
from theory.validation import Problems

__all__ = ["EXPERIMENTS", "SHIFTS", "AttentionShifts", "Shift", "shifts"]


@dataclass(frozen=True)
class AttentionShifts:
    """What the layer was trained on, and the sizes of the shifts.

    Parameters
    ----------
    dim
        d >= 2.
    correlation
        r, Lambda_ij = r^|i-j|, between -1 and 1.
    train_length
        N >= 1.
    num_examples
        M, the lengths of the test prompts, ascending, at least 1.
    noise_stds, task_scales, query_scales, covariate_scales
        Sizes of the shifts, > 0.
    prompts
        Prompts for each shift, >= 2.
    bootstrap_trials
        How often they are resampled, >= 1.
    seed
        >= 0.

    Raises
    ------
    ValueError
        If one of these does not hold. All problems are listed at once.
    """

    dim: int = 10
    correlation: float = 0.3
    train_length: int = 40
    num_examples: tuple[int, ...] = (*range(1, 16), 20, 30, 40, 60, 80, 120, 160, 240, 320)
    noise_stds: tuple[float, ...] = (1.0,)
    task_scales: tuple[float, ...] = (2.0,)
    query_scales: tuple[float, ...] = (1.0,)
    covariate_scales: tuple[float, ...] = (0.5, 0.9, 1.1, 1.5)
    prompts: int = 4096
    bootstrap_trials: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("AttentionShifts")
        check_counts(problems, self, dim=2, train_length=1, prompts=2, bootstrap_trials=1, seed=0)
        check_lengths(problems, self, "num_examples")
        check_different(
            problems, self, "noise_stds", "task_scales", "query_scales", "covariate_scales"
        )
        r = problems.number("correlation", self.correlation, -1.0, strict=True)
        if r >= 1:
            problems.add(f"correlation is {r!r}; expected it between -1 and 1")
        object.__setattr__(self, "correlation", r)
        problems.raise_if_any()

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Lambda, shape (d, d)."""
        index = np.arange(self.dim)
        return np.asarray(self.correlation ** np.abs(np.subtract.outer(index, index)).astype(float))

    @property
    def problem(self) -> FlowProblem:
        """The training of the layer."""
        return FlowProblem.fixed(self.covariance, self.train_length)


class Shift(NamedTuple):
    """A law of test prompts, as in `theory.shifted_risk`.

    Attributes
    ----------
    covariance, task_covariance, query_covariance
        Lambda', S and Q, shape (d, d).
    noise_std
        Of the labels of the examples.
    orthogonal
        Whether the query is made orthogonal to the examples.
    """

    covariance: Float[np.ndarray, "d d"]
    task_covariance: Float[np.ndarray, "d d"]
    query_covariance: Float[np.ndarray, "d d"]
    noise_std: float = 0.0
    orthogonal: bool = False

    def draw(self, length: int, batch: int, rng: np.random.Generator) -> DrawnPrompts:
        """Draw prompts, with queries that are not yet orthogonal to anything."""
        d = len(self.covariance)
        xs = rng.standard_normal((batch, length, d)) @ _root(self.covariance).T
        tasks, queries = (
            rng.standard_normal((batch, d)) @ _root(matrix).T
            for matrix in (self.task_covariance, self.query_covariance)
        )
        noise = self.noise_std * rng.standard_normal((batch, length))
        return DrawnPrompts(xs, np.einsum("bnd,bd->bn", xs, tasks) + noise, queries, tasks)


def _root(matrix: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """A root R with RR' = matrix, which may be singular."""
    eigenvalues, basis = np.linalg.eigh(matrix)
    return np.asarray(basis * np.sqrt(np.maximum(eigenvalues, 0.0)))


def shifts(config: AttentionShifts) -> dict[str, Shift]:
    """Return the shifts of a config by name."""
    lam, eye, d = config.covariance, np.eye(config.dim), config.dim
    none = Shift(lam, eye, lam)
    found = {"none": none}
    for size in config.noise_stds:
        found[f"noise-{size:g}"] = none._replace(noise_std=size)
    for size in config.task_scales:
        found[f"task-{size:g}"] = none._replace(task_covariance=size**2 * np.ones((d, d)))
    least = np.linalg.eigh(lam)[1][:, 0]
    for size in config.query_scales:
        along = size**2 * d * np.outer(least, least)
        found[f"query-{size:g}"] = none._replace(query_covariance=along)
    found["orthogonal"] = none._replace(orthogonal=True)
    for size in config.covariate_scales:
        scaled = size**2 * lam
        found[f"covariates-{size:g}"] = Shift(scaled, eye, scaled)
    return found


def _parts(config: AttentionShifts) -> tuple[str, ...]:
    return tuple(shifts(config))


def _compute(config: AttentionShifts, part: str, checkpoint: Checkpoint) -> Arrays:
    """Sample one shift."""
    found = shifts(config)
    return error_bands(
        partial(found[part].draw, config.num_examples[-1]),
        {"linear_attention": limit_layer(config.problem)},
        config.num_examples,
        prompts=config.prompts,
        trials=config.bootstrap_trials,
        seed=config.seed,
        part=list(found).index(part),
        orthogonal=found[part].orthogonal,
    )


def _combine(config: AttentionShifts, parts: Mapping[str, Arrays]) -> Arrays:
    """Put the shifts side by side, with the exact risks."""
    arrays: dict[str, np.ndarray] = {"num_examples": np.array(config.num_examples)}
    for name, shift in shifts(config).items():
        arrays |= {f"{name}/{key}": values for key, values in parts[name].items()}
        exact, bias = _exact(config, shift)
        arrays[f"{name}/linear_attention/exact"] = exact
        arrays[f"{name}/linear_attention/bias"] = np.array(bias)
    return arrays


def _exact(config: AttentionShifts, shift: Shift) -> tuple[Float[np.ndarray, " lengths"], float]:
    """The exact errors, and their limit for long prompts."""
    if shift.orthogonal:
        return np.full(len(config.num_examples), np.nan), np.nan
    risks = [
        shifted_risk(
            config.problem.minimiser,
            shift.covariance,
            shift.task_covariance,
            shift.noise_std,
            M,
            query_covariance=shift.query_covariance,
        )
        for M in config.num_examples
    ]
    # The floor is the noise of the query's label, which the errors here do not have.
    return np.array([risk.excess for risk in risks]) / config.dim, risks[0].bias / config.dim


SHIFTS = Experiment(
    name="zhang2024-shifts",
    title="The layer of Theorem 4 under shifts of task, query and covariates",
    source="Zhang et al. 2024, Section 4.2",
    config_type=AttentionShifts,
    parts=_parts,
    compute=_compute,
    combine=_combine,
    presets={
        "smoke": {
            "shifts": AttentionShifts(
                dim=3,
                train_length=8,
                num_examples=(1, 2, 3, 5, 10, 40),
                covariate_scales=(0.5, 1.5),
                prompts=600,
                bootstrap_trials=100,
            )
        },
        "laptop": {"shifts": AttentionShifts()},
        "paper": {"shifts": AttentionShifts(dim=20, num_examples=tuple(range(1, 201)))},
    },
)

EXPERIMENTS: tuple[Experiment[AttentionShifts], ...] = (SHIFTS,)
