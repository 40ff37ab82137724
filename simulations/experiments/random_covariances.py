"""The layer of Theorem 8 on random covariances, beside that of Theorem 4: both have a floor.

The eigenvalues of a prompt's covariance are drawn from Gamma(k, 1/k), of mean 1 and variance 1/k;
k = 1 is the exponential law of Section 4.3. Two layers of linear self-attention answer, at their
limits of training: ``random``, trained on such covariances (Theorem 8), and ``fixed``, trained on
the covariance I (Theorem 4).

Arrays: ``num_examples`` (M); for each law ``spread-k``, and the predictors ``random``, ``fixed``,
``least_squares`` and ``zero``, ``spread-k/PREDICTOR/mean|low|high|standard_error`` of
(yhat - w'x_query)^2 / d, with the bootstrap band of 90 %; for the layers ``exact``, the same by
`theory.risk`, and two numbers: ``floor``, what is left of it for M to infinity, and ``limit``, for
N to infinity too. The limit of ``random`` is E l - (E l^2)^2 / E l^3 = 1/(k + 2), that of ``fixed``
E l - 2 E l^2 + E l^3 = (k + 2)/k^2: no longer prompts, of training or test, go below.
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
from theory import FlowProblem, random_covariance_risk
from theory.laws import Deterministic, EigenvalueLaw, Gamma
from theory.validation import Problems

__all__ = ["EXPERIMENTS", "RANDOM_COVARIANCES", "RandomCovariances"]


@dataclass(frozen=True)
class RandomCovariances:
    """Laws of random covariances, and what the layers were trained with.

    Parameters
    ----------
    dim
        d >= 1.
    spreads
        k > 0 of the laws Gamma(k, 1/k) of the eigenvalues.
    train_length
        N >= 1, for both layers.
    num_examples
        M, the lengths of the test prompts, ascending, at least 1.
    prompts
        Prompts for each law, >= 2, each with a covariance of its own.
    bootstrap_trials
        How often they are resampled, >= 1.
    seed
        >= 0.

    Raises
    ------
    ValueError
        If one of these does not hold. All problems are listed at once.
    """

    dim: int = 5
    spreads: tuple[float, ...] = (1.0, 4.0, 16.0)
    train_length: int = 40
    num_examples: tuple[int, ...] = (*range(1, 11), 15, 20, 30, 40, 60, 80, 120, 160, 240, 320)
    prompts: int = 8192
    bootstrap_trials: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("RandomCovariances")
        check_counts(problems, self, dim=1, train_length=1, prompts=2, bootstrap_trials=1, seed=0)
        check_lengths(problems, self, "num_examples")
        check_different(problems, self, "spreads")
        problems.raise_if_any()


def _laws(config: RandomCovariances) -> dict[str, Gamma]:
    return {f"spread-{k:g}": Gamma(k, 1 / k) for k in config.spreads}


def _training(config: RandomCovariances, law: Gamma) -> dict[str, list[EigenvalueLaw]]:
    """What each layer is trained on."""
    return {"random": [law] * config.dim, "fixed": [Deterministic(1)] * config.dim}


def _draw(law: Gamma, dim: int, length: int, batch: int, rng: np.random.Generator) -> DrawnPrompts:
    """Draw prompts; the query has the covariance of its prompt, as in the paper."""
    roots = np.sqrt(law.sample(rng, (batch, dim)))
    xs = roots[:, None] * rng.standard_normal((batch, length, dim))
    queries, tasks = roots * rng.standard_normal((batch, dim)), rng.standard_normal((batch, dim))
    return DrawnPrompts(xs, np.einsum("bnd,bd->bn", xs, tasks), queries, tasks)


def _parts(config: RandomCovariances) -> tuple[str, ...]:
    return tuple(_laws(config))


def _compute(config: RandomCovariances, part: str, checkpoint: Checkpoint) -> Arrays:
    """Sample one law."""
    laws = _laws(config)
    layers = {
        name: limit_layer(FlowProblem.random_diagonal(training, config.train_length))
        for name, training in _training(config, laws[part]).items()
    }
    return error_bands(
        partial(_draw, laws[part], config.dim, config.num_examples[-1]),
        layers,
        config.num_examples,
        prompts=config.prompts,
        trials=config.bootstrap_trials,
        seed=config.seed,
        part=list(laws).index(part),
    )


def _combine(config: RandomCovariances, parts: Mapping[str, Arrays]) -> Arrays:
    """Put the laws side by side, with the exact risks."""
    arrays: dict[str, np.ndarray] = {"num_examples": np.array(config.num_examples)}
    for part, law in _laws(config).items():
        arrays |= {f"{part}/{key}": values for key, values in parts[part].items()}
        for name, training in _training(config, law).items():
            risks = [
                random_covariance_risk(training, [law] * config.dim, config.train_length, M)
                for M in config.num_examples
            ]
            exact = np.array([float(sum(risk.risk)) for risk in risks])
            arrays[f"{part}/{name}/exact"] = exact / config.dim
            for key, values in (("floor", risks[0].floor), ("limit", risks[0].limit)):
                arrays[f"{part}/{name}/{key}"] = np.array(float(sum(values)) / config.dim)
    return arrays


RANDOM_COVARIANCES = Experiment(
    name="zhang2024-random-covariances",
    title="The layer of Theorem 8 on random covariances, beside that of Theorem 4: the floors",
    source="Zhang et al. 2024, Section 4.3",
    config_type=RandomCovariances,
    parts=_parts,
    compute=_compute,
    combine=_combine,
    presets={
        "smoke": {
            "random-covariances": RandomCovariances(
                dim=2,
                spreads=(1.0, 4.0),
                train_length=8,
                num_examples=(1, 2, 5, 10, 40),
                prompts=600,
                bootstrap_trials=100,
            )
        },
        "laptop": {"random-covariances": RandomCovariances()},
        "paper": {
            "random-covariances": RandomCovariances(dim=20, num_examples=tuple(range(1, 201)))
        },
    },
)

EXPERIMENTS: tuple[Experiment[RandomCovariances], ...] = (RANDOM_COVARIANCES,)
