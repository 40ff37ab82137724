r"""Theorems 4 and 8 against layers that were trained for real, with all weights free.

Three kinds of evidence meet in a check. *Exact gradients* of the population loss, two tiny runs
with the step halved: u U is right to 1e-8, and u and U to first order in the step, so that their
extrapolation is right to 1e-3. *SGD* on sampled prompts, one tiny run with eigenvalues of light
tails: to 6 %. *Committed runs* of `simulations.experiments.trained_attention`, preset ``laptop``:
d = 5 and 20, to 3 % in u, U and u U (4 % for exponential eigenvalues), and 1e-8 in u U for exact
gradients. They must be there. Their checksums are verified as they are read, and the errors stored
beside the weights must be those of the weights; they may be of an earlier version of the code, and
the limit is computed here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from papers.ledger import Evidence, Grade, statement
from simulations.experiments.trained_attention import TRAINED
from simulations.runs import Runs, laptop_results
from simulations.training import (
    Assumption3Start,
    FixedCovarianceTasks,
    RandomDiagonalTasks,
    TrainingConfig,
    stable_step_size,
    stable_step_size_on_plane,
    train,
)
from simulations.training.presets import autoregressive
from theory import FlowState, convergence_rate
from theory.laws import Exponential, Uniform

#: Largest relative errors: of u U by exact gradients, of u and U extrapolated to step 0.
PRODUCT, EXTRAPOLATED = 1e-8, 1e-3

Matrix = Float[np.ndarray, "d d"]


class Sampled(NamedTuple):
    """A tiny run of SGD.

    Attributes
    ----------
    tasks, start
        As in `TrainingConfig`.
    share
        The step in units of the largest stable one.
    steps, batch_size
        As in `TrainingConfig`.
    tolerance
        Of u, U and u U: six standard deviations or more above the mean error of 16 seeds.
    """

    tasks: FixedCovarianceTasks | RandomDiagonalTasks
    start: Assumption3Start
    share: float
    steps: int
    batch_size: int
    tolerance: float


class Live(NamedTuple):
    """What is trained in a check, and what must be near the limit.

    Attributes
    ----------
    tasks, start
        Of the runs with exact gradients.
    sgd
        The run on sampled prompts. Exponential eigenvalues have such tails that in 2 of 50 runs of
        300 steps on 1,024 prompts a single batch threw u far off: there the law is another.
    committed, tolerance
        Labels of stored runs by SGD, and what they must keep; those with exact gradients are the
        same labels with ``-exact``.
    """

    tasks: FixedCovarianceTasks | RandomDiagonalTasks
    start: Assumption3Start
    sgd: Sampled
    committed: tuple[str, ...]
    tolerance: float


_FIXED_TASKS = FixedCovarianceTasks(autoregressive(2, 0.1), 4)
_LIGHT_TASKS = RandomDiagonalTasks((Uniform(0.2, 1.8),) * 2, 6)

FIXED_RUN = Live(
    _FIXED_TASKS,
    Assumption3Start(0.4, 1),
    Sampled(_FIXED_TASKS, Assumption3Start(0.4, 1), 0.1, 300, 256, 0.06),
    ("d5", "d20"),
    0.03,
)
EXPONENTIAL_RUN = Live(
    RandomDiagonalTasks((Exponential(1.0),) * 2, 6),
    Assumption3Start(0.45, 1),
    Sampled(_LIGHT_TASKS, Assumption3Start(0.45, 1), 0.1, 300, 512, 0.06),
    ("exponential",),
    0.04,
)


@dataclass(frozen=True)
class TrainedClaim:
    """Training ends at u = |A|_F^u_power and U = |A|_F^U_power A.

    Parameters
    ----------
    product
        A, from the covariance or its moments, d and N.
    u_power, U_power
        1/2 and -1/2.
    """

    product: Callable[[Any, int], Matrix]
    u_power: float = 0.5
    U_power: float = -0.5

    def limit(self, tasks: FixedCovarianceTasks | RandomDiagonalTasks) -> FlowState:
        """Return the claimed limit."""
        law = (
            np.array(tasks.covariance)
            if isinstance(tasks, FixedCovarianceTasks)
            else np.array([[float(m) for m in law.moments] for law in tasks.laws])
        )
        A = self.product(law, tasks.prompt_length)
        size = float(np.linalg.norm(A))
        return FlowState(A * size**self.U_power, size**self.u_power)


@cache
def _exact(live: Live) -> tuple[FlowState, FlowState]:
    """The ends of two runs with exact gradients, the second with half the step."""
    ends, problem = [], live.tasks.problem
    for share in (0.12, 0.06):
        step_size = share * stable_step_size_on_plane(problem)
        steps = round(20 / convergence_rate(problem) / step_size)
        config = TrainingConfig(
            live.tasks, live.start, steps, step_size, gradient="exact", checkpoints=1
        )
        trained = train(config)
        ends.append(FlowState(trained.U, trained.u))
    return ends[0], ends[1]


@cache
def _by_sgd(sgd: Sampled, seed: int) -> FlowState:
    """The end of a run on sampled prompts."""
    step_size = sgd.share * stable_step_size(sgd.tasks)
    config = TrainingConfig(
        sgd.tasks, sgd.start, sgd.steps, step_size, sgd.batch_size,
        decay_from=0.6, average_from=0.6, checkpoints=1, seed=seed,
    )  # fmt: skip
    trained = train(config)
    return FlowState(trained.U, trained.u)


class Judged(NamedTuple):
    """One comparison of a trained layer."""

    told: str
    end: FlowState
    tasks: FixedCovarianceTasks | RandomDiagonalTasks
    product_tolerance: float
    tolerance: float

    def worst(self, claim: TrainedClaim) -> float:
        """Return the largest error in units of its tolerance."""
        u, U, product = self.errors(claim.limit(self.tasks))
        return max(u / self.tolerance, U / self.tolerance, product / self.product_tolerance)

    def errors(self, limit: FlowState) -> tuple[float, float, float]:
        """Return the relative errors of u, U and u U."""
        return (
            abs(self.end.u - limit.u) / abs(limit.u),
            _relative(self.end.U, limit.U),
            _relative(self.end.u * self.end.U, limit.u * limit.U),
        )


def _relative(found: Matrix, expected: Matrix) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@cache
def _stored(live: Live) -> tuple[Judged, ...]:
    """The committed runs.

    Raises
    ------
    LookupError
        If one is not there.
    ValueError
        If the errors stored with one are not those of its weights.
    """
    runs, found = Runs(laptop_results()), []
    for label in live.committed:
        for name, product, both in (
            (label, live.tolerance, live.tolerance),
            (f"{label}-exact", PRODUCT, live.tolerance),
        ):
            config = TRAINED.presets["laptop"][name]
            run = runs.find_any_code(TRAINED, config)
            if run is None:
                raise LookupError(
                    f"there is no committed run {name!r} in {laptop_results().root}; make it with:"
                    f" iclproof runs start {TRAINED.name} --label {name}"
                )
            tasks = config.tasks
            assert isinstance(tasks, FixedCovarianceTasks | RandomDiagonalTasks)
            u = float(run.arrays["projection_value"][-1, -1])
            end = FlowState(run.arrays["key_query"][:-1, :-1], u)
            found.append(Judged(f"the committed run {name!r}", end, tasks, product, both))
            told = found[-1].errors(tasks.problem.limit())
            stored = [float(run.arrays[f"error/{key}"]) for key in ("u", "U", "product")]
            if not np.allclose(told, stored, rtol=1e-6, atol=1e-12):
                raise ValueError(
                    f"the committed run {name!r} stores the errors {stored} of u, U and u U, but"
                    f" its weights have {told}: it was altered; make it anew"
                )
    return tuple(found)


def _judged(live: Live, seed: int) -> Iterator[Judged]:
    """Yield the cheap comparisons first."""
    first, second = _exact(live)
    # The errors of u and U are of first order in the step, that of u U is none.
    step_0 = FlowState(2 * second.U - first.U, 2 * second.u - first.u)
    yield Judged("exact gradients, step 0 by extrapolation", step_0, live.tasks, 0.01, EXTRAPOLATED)
    yield Judged("exact gradients", second, live.tasks, PRODUCT, 0.02)
    yield from _stored(live)
    sgd = live.sgd
    told = f"SGD, {sgd.steps} steps on {sgd.batch_size} prompts"
    yield Judged(told, _by_sgd(sgd, seed), sgd.tasks, sgd.tolerance, sgd.tolerance)


def _evidence(claim: TrainedClaim, live: Live, rng: np.random.Generator) -> Evidence:
    worst, wrong = 0.0, ""
    seed = int(rng.integers(2**31))
    for judged in _judged(live, seed):
        share = judged.worst(claim)
        worst = max(worst, share)
        if not share <= 1:
            limit, u = claim.limit(judged.tasks), judged.end.u
            wrong = (
                f"{judged.told}, d = {len(judged.end.U)}, N = {judged.tasks.prompt_length}: u ="
                f" {u:.6f} and u U_11 = {u * judged.end.U[0, 0]:.6f}, and the claim says"
                f" {limit.u:.6f} and {limit.u * limit.U[0, 0]:.6f}"
            )
            break
    labels = ", ".join(judged.told.split("'")[1] for judged in _stored(live))
    law = "uniform eigenvalues" if live.sgd.tasks is _LIGHT_TASKS else "the same law"
    return Evidence(
        not wrong,
        Grade.TRAINED,
        "the largest of the relative errors of u, U and u U, each over its tolerance: exact"
        f" gradients, u U {PRODUCT:g}, u and U {EXTRAPOLATED:g} extrapolated to step 0; SGD to"
        f" {live.sgd.tolerance:g}; committed runs by SGD to {live.tolerance:g}",
        f"trained here: d = 2, N = {live.tasks.prompt_length}, SGD with {law}; committed runs:"
        f" {labels} (checksums verified, made by their own version of the code)",
        worst,
        1.0,
        wrong,
    )


def _gamma_inverse(lam: Matrix, N: int, own: float = 1.0, trace: float = 1.0) -> Matrix:
    gamma = lam * (1 + own / N) + trace * np.trace(lam) / N * np.eye(len(lam))
    return np.asarray(np.linalg.inv(gamma))


_FIXED = TrainedClaim(_gamma_inverse)


@statement(
    id="zhang2024/trained-fixed",
    title="A layer trained with all its weights free ends at the limit of Theorem 4",
    source="Theorem 4, for gradient descent and stochastic gradients",
    latex=r"u \to \|\Gamma^{-1}\|_F^{1/2},\quad U \to \|\Gamma^{-1}\|_F^{-1/2}\,\Gamma^{-1}"
    r" \text{ up to } O(\eta) \text{ and noise}",
    printed=_FIXED,
    mutants={
        "Gamma with Lambda, not (1 + 1/N) Lambda": TrainedClaim(
            lambda lam, N: _gamma_inverse(lam, N, own=0.0)
        ),
        "Gamma without its trace": TrainedClaim(lambda lam, N: _gamma_inverse(lam, N, trace=0.0)),
        "1 % more trace in Gamma": TrainedClaim(lambda lam, N: _gamma_inverse(lam, N, trace=1.01)),
        "N + 1 for N": TrainedClaim(lambda lam, N: _gamma_inverse(lam, N + 1)),
        "u goes to |A|": replace(_FIXED, u_power=1.0),
        "u goes to |A|^0.51": replace(_FIXED, u_power=0.51, U_power=-0.51),
        "the powers swapped": replace(_FIXED, u_power=-0.5, U_power=0.5),
    },
    hypotheses=("x ~ N(0, Lambda), w ~ N(0, I)", "a start of Assumption 3", "a small step"),
    depends_on=("zhang2024/theorem-4",),
)
def FIXED(claim: TrainedClaim, rng: np.random.Generator) -> Evidence:
    """Train with exact and with sampled gradients; read the committed runs."""
    return _evidence(claim, FIXED_RUN, rng)


def _random_product(moments: Float[np.ndarray, "d 3"], N: int, others: float = 1.0) -> Matrix:
    """E l_i^2 / E[((1 + 1/N) l_i + tr/N) l_i^2], a diagonal matrix."""
    m1, m2, m3 = moments.T
    trace = others * (np.sum(m1) - m1)
    return np.diag(m2 / (m3 + (2 * m3 + m2 * trace) / N))


_RANDOM = TrainedClaim(_random_product)


@statement(
    id="zhang2024/trained-exponential",
    title="A layer trained on exponential eigenvalues ends at the limit of Theorem 8",
    source="Theorem 8, eq. (22), for gradient descent and stochastic gradients",
    latex=r"u\,U \to [\mathbf{E}\Gamma\Lambda^2]^{-1}\mathbf{E}\Lambda^2 =: A,\quad"
    r" u \to \|A\|_F^{1/2} \text{ up to } O(\eta) \text{ and noise}",
    printed=_RANDOM,
    mutants={
        "the limit of Theorem 4 for E Lambda": TrainedClaim(
            lambda moments, N: _gamma_inverse(np.diag(moments[:, 0]), N)
        ),
        "N = infinity: 1/3": TrainedClaim(lambda moments, N: np.eye(len(moments)) / 3),
        "(E Lambda)^2 for E Lambda^2": TrainedClaim(
            lambda moments, N: _random_product(
                np.stack([moments[:, 0], moments[:, 0] ** 2, moments[:, 2]], axis=1), N
            )
        ),
        "1 % more of the other eigenvalues": TrainedClaim(
            lambda moments, N: _random_product(moments, N, others=1.01)
        ),
        "N + 1 for N": TrainedClaim(lambda moments, N: _random_product(moments, N + 1)),
        "u goes to |A|^{1/4}": replace(_RANDOM, u_power=0.25),
    },
    hypotheses=("lambda_i exponential of mean 1, w ~ N(0, I)", "a start of Assumption 3"),
    depends_on=("zhang2024/theorem-8",),
)
def EXPONENTIAL(claim: TrainedClaim, rng: np.random.Generator) -> Evidence:
    """Train with exact and with sampled gradients; read the committed run."""
    return _evidence(claim, EXPONENTIAL_RUN, rng)


STATEMENTS = (FIXED, EXPONENTIAL)
