"""How often Algorithm 1 finds all components from its own random starts, and from others.

One training set, many starts: ``random``, Algorithm 1 as printed (weights uniform on the simplex,
components uniform on the sphere, and its stopping rule), and ``spread``, the same from
`simulations.baselines.spread_start`. A component is found if one of the fitted ones is within
``radius`` of it.

Arrays, for each START, one entry for each start: ``START/found`` (components found),
``START/success`` (all m), ``START/iterations``, ``START/converged`` (the rule was met before
t_max), ``START/log_likelihood`` (at the end), ``START/distances``, shape (starts, m), and
``START/next_move``, max_j |w_j(t+1) - w_j(t)| of one more iteration: the rule compares each w_j
with the nearest one of before, of whatever index. ``START/success_rate``, with its exact 90 %
interval (Clopper-Pearson) ``START/success_low|success_high``. ``truth/log_likelihood``: of the
fixed point that EM reaches from the true mixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from scipy.stats import beta

from simulations.baselines import BatchEM, random_start, spread_start
from simulations.experiments.error_curves import draw_mixture
from simulations.experiments.experiment import Arrays, Checkpoint, Experiment, Preset
from simulations.experiments.fitted_mixtures import nearest_distances
from theory import RegressionMixture
from theory.em import PromptStatistics, expectation_step, maximisation_step
from theory.validation import Problems

__all__ = ["EXPERIMENTS", "STARTS", "EMRecovery", "success_interval"]

#: The kinds of starts.
STARTS = MappingProxyType({"random": random_start, "spread": spread_start})

#: Keys of the streams of a seed, beside that of the mixture.
_TRAINING, _STARTS = 3, 5


@dataclass(frozen=True)
class EMRecovery:
    """The training prompts and the starts.

    Parameters
    ----------
    num_components, dim, noise_std
        m, d and sigma > 0.
    num_examples
        k >= 1.
    training_size
        n >= 1.
    starts
        Of each kind, >= 1.
    starts_a_part
        How many of them one part of the run makes, >= 1; no result depends on it.
    radius
        A component is found if a fitted one is as near as this, > 0.
    max_iter, tol
        t_max and epsilon of Algorithm 1.
    seed
        >= 0.

    Raises
    ------
    ValueError
        If a number is out of range; all problems are listed at once.
    """

    num_components: int = 20
    dim: int = 20
    noise_std: float = 1.0
    num_examples: int = 60
    training_size: int = 15_000
    starts: int = 50
    starts_a_part: int = 5
    radius: float = 0.2
    max_iter: int = 20_000
    tol: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("EMRecovery")
        for name in ("num_components", "dim", "num_examples", "starts", "starts_a_part"):
            problems.count(name, getattr(self, name), 1)
        problems.count("training_size", self.training_size, 1)
        problems.count("max_iter", self.max_iter, 1)
        problems.count("seed", self.seed, 0)
        for name in ("noise_std", "radius"):
            number = problems.number(name, getattr(self, name), 0.0, strict=True)
            object.__setattr__(self, name, number)
        tol = problems.number("tol", self.tol, 0.0, strict=False)
        object.__setattr__(self, "tol", tol)
        problems.raise_if_any()

    @property
    def mixture(self) -> RegressionMixture:
        """The mixture, drawn from the seed."""
        return draw_mixture(self.num_components, self.dim, self.noise_std, self.seed)


def success_interval(successes: int, trials: int, level: float = 0.9) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of a rate."""
    tail = (1 - level) / 2
    low = beta.ppf(tail, successes, trials - successes + 1) if successes else 0.0
    high = beta.ppf(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
    return float(low), float(high)


def _parts(config: EMRecovery) -> tuple[str, ...]:
    firsts = range(0, config.starts, config.starts_a_part)
    return ("truth", *(f"{kind}-{first}" for kind in STARTS for first in firsts))


def _stream(config: EMRecovery, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=key))


def _statistics(config: EMRecovery) -> PromptStatistics:
    rng = _stream(config, _TRAINING)
    prompts = config.mixture.sample_prompts(config.training_size, config.num_examples, rng)
    return PromptStatistics(prompts)


def _compute(config: EMRecovery, part: str, checkpoint: Checkpoint) -> Arrays:
    statistics, mixture = _statistics(config), config.mixture
    if part == "truth":
        em = BatchEM(
            config.num_components,
            config.noise_std,
            start=lambda *_: mixture,
            max_iter=config.max_iter,
            tol=config.tol,
        )
        return {"truth/log_likelihood": np.asarray(em.fit(statistics).log_likelihoods_[-1])}
    kind, _, first = part.rpartition("-")
    numbers = range(int(first), min(int(first) + config.starts_a_part, config.starts))
    rows: dict[str, list[np.ndarray]] = {}
    for number in numbers:
        em = BatchEM(
            config.num_components,
            config.noise_std,
            _stream(config, _STARTS, list(STARTS).index(kind), number),
            start=STARTS[kind],
            max_iter=config.max_iter,
            tol=config.tol,
        ).fit(statistics)
        gamma = expectation_step(statistics, em.mixture_).responsibilities
        after = maximisation_step(statistics, gamma, config.noise_std)
        moves = np.linalg.norm(after.components - em.components_, axis=1)
        for name, value in {
            "iterations": np.array(em.n_iter_),
            "converged": np.array(em.converged_),
            "log_likelihood": em.log_likelihoods_[-1],
            "distances": nearest_distances(mixture.components, em.components_),
            "next_move": np.max(moves),
        }.items():
            rows.setdefault(f"{kind}/{name}", []).append(value)
    return {name: np.array(values) for name, values in rows.items()}


def _combine(config: EMRecovery, parts: Mapping[str, Arrays]) -> Arrays:
    """Put the starts in their order, and count."""
    arrays: dict[str, np.ndarray] = dict(parts["truth"])
    for kind in STARTS:
        own = [parts[name] for name in _parts(config) if name.startswith(f"{kind}-")]
        arrays |= {name: np.concatenate([rows[name] for rows in own]) for name in own[0]}
        found = np.sum(arrays[f"{kind}/distances"] <= config.radius, axis=1)
        success = found == config.num_components
        low, high = success_interval(int(np.sum(success)), config.starts)
        arrays |= {
            f"{kind}/found": found,
            f"{kind}/success": success,
            f"{kind}/success_rate": np.mean(success),
            f"{kind}/success_low": np.array(low),
            f"{kind}/success_high": np.array(high),
        }
    return {name: np.asarray(array) for name, array in arrays.items()}


_PRESETS: Final[Mapping[Preset, Mapping[str, EMRecovery]]] = MappingProxyType(
    {
        "smoke": {"m=4": EMRecovery(4, 4, 0.5, 12, 300, starts=6, starts_a_part=2)},
        "laptop": {"m=5": EMRecovery(5), "m=20": EMRecovery()},
        "paper": {
            f"m={m}, n={n}": EMRecovery(m, training_size=n)
            for m in (5, 20)
            for n in (15_000, 30_000, 45_000, 60_000)
        },
    }
)

EXPERIMENTS: tuple[Experiment[EMRecovery], ...] = (
    Experiment(
        name="pathak2023-em-recovery",
        title="How often Algorithm 1 finds all components, from its own starts and from others",
        source="Pathak et al. 2023, Appendix C.2 (a study of ours)",
        config_type=EMRecovery,
        parts=_parts,
        compute=_compute,
        combine=_combine,
        presets=_PRESETS,
    ),
)
