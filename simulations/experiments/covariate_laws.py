"""Figure 1 of Zhang et al.: trained on one law of covariates, asked on another.

Four panels: prompts with the covariance I, and prompts with c diag(lambda), lambda_i exponential of
mean 1 and drawn anew for each task, c = 1, 4, 9. All predictors but the paper's trained GPT-2 are
here: the limits of training a linear self-attention layer in Theorem 4 (on the covariance I) and in
Theorem 8 (on exponential eigenvalues, c = 1), least squares, and 0.

*Normalised.* The paper does not define its "normalized prediction error". The code of Garg et al.,
which it builds on, divides the squared error by d; so do these arrays. The error of the zero
predictor, tr E Lambda / d, is then 1, 1, 4, 9 in the four panels; divided by it, the error would be
relative to that of predicting 0. Both readings are one factor c apart.

Arrays, over the axis ``num_examples`` (M), for each panel (``fixed``, ``random-1``, ...):

- ``PANEL/PREDICTOR/mean|low|high|standard_error`` for ``least_squares``, ``zero``,
  ``fixed_N`` and ``random_N`` with the training lengths N: the layer trained with the covariance I,
  or with random ones. Bands are by bootstrap over covariances (with one fixed covariance, over
  prompts).
- ``PANEL/fixed_N/exact``, ``PANEL/random_N/exact``: the exact risk of these layers, divided by d.
- ``PANEL/fixed/limit``, ``PANEL/random/limit``: its limit for M, N to infinity (the black dashed
  line is that of eq. (23), ``random``); numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from simulations.experiments.experiment import Arrays, Checkpoint, Experiment
from simulations.experiments.layer_errors import (
    DrawnPrompts,
    check_counts,
    check_different,
    check_lengths,
    error_bands,
    limit_layer,
)
from theory import FlowProblem, LinearAttention, random_covariance_risk
from theory.laws import Deterministic, Exponential
from theory.risk import RandomCovarianceRisk
from theory.validation import Problems

__all__ = ["EXPERIMENTS", "FIGURE_1", "CovariateLaws", "exact_risk"]

_FIXED = "fixed"


@dataclass(frozen=True)
class CovariateLaws:
    """What is trained, and what it is asked.

    Parameters
    ----------
    dim
        d >= 1.
    train_lengths
        N, the lengths of the training prompts.
    num_examples
        M, the lengths of the test prompts, ascending, at least 1.
    scales
        c > 0 of the panels with random covariances, different ones.
    covariances, prompts
        Covariances drawn for each panel, at least 2, and prompts for each of them.
    bootstrap_trials
        How often the covariances are resampled.
    seed
        >= 0.

    Raises
    ------
    ValueError
        If one of these does not hold. All problems are listed at once.
    """

    dim: int = 20
    train_lengths: tuple[int, ...] = (40, 70, 100)
    num_examples: tuple[int, ...] = (*range(1, 26), *range(30, 155, 5))
    scales: tuple[float, ...] = (1.0, 4.0, 9.0)
    covariances: int = 64
    prompts: int = 64
    bootstrap_trials: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("CovariateLaws")
        check_counts(problems, self, dim=1, covariances=2, prompts=1, bootstrap_trials=1, seed=0)
        check_lengths(problems, self, "train_lengths", "num_examples")
        check_different(problems, self, "scales")
        problems.raise_if_any()


def _panels(config: CovariateLaws) -> dict[str, float | None]:
    """The scale c of each panel; None for the covariance I."""
    return {_FIXED: None, **{f"random-{scale:g}": scale for scale in config.scales}}


def _parts(config: CovariateLaws) -> tuple[str, ...]:
    return tuple(_panels(config))


def _layers(config: CovariateLaws) -> dict[str, LinearAttention]:
    """The limits of Theorems 4 and 8 by name."""
    laws = [Exponential(1.0)] * config.dim
    layers = {}
    for N in config.train_lengths:
        for name, problem in (
            ("fixed", FlowProblem.fixed(np.eye(config.dim), N)),
            ("random", FlowProblem.random_diagonal(laws, N)),
        ):
            layers[f"{name}_{N}"] = limit_layer(problem)
    return layers


def _draw(
    config: CovariateLaws, scale: float | None, batch: int, rng: np.random.Generator
) -> DrawnPrompts:
    """Draw prompts of one panel, `config.prompts` of each covariance in a row."""
    d, length = config.dim, config.num_examples[-1]
    eigenvalues = np.ones((batch, d))
    if scale is not None:
        drawn = rng.exponential(scale, (batch // config.prompts, d))
        eigenvalues = np.repeat(drawn, config.prompts, axis=0)
    roots = np.sqrt(eigenvalues)
    xs = roots[:, None] * rng.standard_normal((batch, length, d))
    queries, tasks = roots * rng.standard_normal((batch, d)), rng.standard_normal((batch, d))
    return DrawnPrompts(xs, np.einsum("bnd,bd->bn", xs, tasks), queries, tasks)


def _compute(config: CovariateLaws, part: str, checkpoint: Checkpoint) -> Arrays:
    """Sample one panel."""
    panels = _panels(config)
    scale = panels[part]
    return error_bands(
        partial(_draw, config, scale),
        _layers(config),
        config.num_examples,
        prompts=config.covariances * config.prompts,
        trials=config.bootstrap_trials,
        seed=config.seed,
        part=list(panels).index(part),
        group=1 if scale is None else config.prompts,
    )


def exact_risk(
    config: CovariateLaws, trained: str, train_length: int, scale: float | None, num_examples: int
) -> RandomCovarianceRisk:
    """Return the exact risk of a layer in a panel, coordinate by coordinate.

    Parameters
    ----------
    config
        Its `dim` counts.
    trained
        "fixed" or "random": what the layer was trained on.
    train_length
        N.
    scale
        c of the panel; None for the covariance I.
    num_examples
        M.
    """
    d = config.dim
    training = [Deterministic(1) if trained == _FIXED else Exponential(1)] * d
    test = [Deterministic(1) if scale is None else Exponential(scale)] * d
    return random_covariance_risk(training, test, train_length, num_examples)


def _combine(config: CovariateLaws, parts: Mapping[str, Arrays]) -> Arrays:
    """Put the panels side by side, with their closed forms."""
    arrays: dict[str, np.ndarray] = {"num_examples": np.array(config.num_examples)}
    for panel, scale in _panels(config).items():
        arrays |= {f"{panel}/{name}": values for name, values in parts[panel].items()}
        for trained in (_FIXED, "random"):
            for N in config.train_lengths:
                risks = [exact_risk(config, trained, N, scale, M) for M in config.num_examples]
                exact = [float(sum(risk.risk)) / config.dim for risk in risks]
                arrays[f"{panel}/{trained}_{N}/exact"] = np.array(exact)
            endless = exact_risk(config, trained, 1, scale, 1).limit
            arrays[f"{panel}/{trained}/limit"] = np.array(float(sum(endless)) / config.dim)
    return arrays


FIGURE_1 = Experiment(
    name="zhang2024-figure-1",
    title="Linear self-attention trained on fixed and on random covariances, and asked on both",
    source="Zhang et al. 2024, Figure 1 and Appendix E, without the GPT-2 curves",
    config_type=CovariateLaws,
    parts=_parts,
    compute=_compute,
    combine=_combine,
    presets={
        "smoke": {
            "figure-1": CovariateLaws(
                4, (8, 20), (1, 3, 4, 6, 12, 30), (1.0, 4.0), covariances=16, prompts=8,
                bootstrap_trials=100,
            )
        },
        "laptop": {"figure-1": CovariateLaws()},
        "paper": {"figure-1": CovariateLaws(num_examples=tuple(range(1, 201)))},
    },
)  # fmt: skip

EXPERIMENTS: tuple[Experiment[CovariateLaws], ...] = (FIGURE_1,)
