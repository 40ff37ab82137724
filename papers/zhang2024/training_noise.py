r"""What finite steps and noise do to the balance, and what leaves u_12 = u_21 = 0.

The prediction is bilinear in f = (u_12, u) and V = (U_11, u_21), so <f, dL/df> = <V, dL/dV> for
every batch: a step of SGD changes |f|^2 - |V|^2 by exactly eta^2 (|dL/df|^2 - |dL/dV|^2). Over a
given time of the flow, eta times the number of steps, that is of order eta, with noise or without.
Theorems 4 and 8 assume balance; what a layer ends at follows its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from papers.ledger import Evidence, Grade, statement
from simulations.training import (
    Assumption3Start,
    FixedCovarianceTasks,
    MixtureTasks,
    TrainedAttention,
    TrainingConfig,
    rows,
    stable_step_size,
    stable_step_size_on_plane,
    train,
)
from simulations.training.presets import autoregressive, symmetric_mixture, triangle_mixture

_NEAR = FixedCovarianceTasks(autoregressive(2, 0.1), 6)
_START = Assumption3Start(0.4, 1)

#: Of the balance against the squares of the steps: rounding of some hundred steps.
ROUNDING = 1e-9

#: Halving the step halves the drift up to this share: the second order in the step.
FIRST_ORDER = 0.1


@dataclass(frozen=True)
class BalanceClaim:
    """The drift is factor times sum |df|^2 - |dV|^2, and of this order in eta over a given time."""

    factor: float = 1.0
    order: float = 1.0
    optimiser: str = "sgd"


@cache
def _noisy(optimiser: str, seed: int) -> tuple[TrainedAttention, ...]:
    """Short runs on sampled prompts: one law that keeps the plane, and one that leaves it."""
    steps = {"sgd": 0.02, "adam": 0.003}[optimiser]
    return tuple(
        train(
            TrainingConfig(
                tasks, _START, 60, steps, 32, "adam" if optimiser == "adam" else "sgd",
                checkpoints=3, seed=seed,
            )
        )
        for tasks in (_NEAR, triangle_mixture(6, 0.5))
    )  # fmt: skip


@cache
def _halved() -> tuple[float, float]:
    """The drifts of exact gradients over one time of the flow, the second with half the step."""
    step_size = 0.06 * stable_step_size_on_plane(_NEAR.problem)
    drifts = []
    for factor in (1, 2):
        config = TrainingConfig(
            _NEAR, _START, 150 * factor, step_size / factor, gradient="exact", checkpoints=1
        )
        trained = train(config)
        drifts.append(trained.balance - trained.start_balance)
    return drifts[0], drifts[1]


@statement(
    id="zhang2024/balance-under-sgd",
    title="How far SGD moves the balance: by the squares of its steps, so to first order in eta",
    source="ours; Lemmas 17 and 25 have the balance of the flow, which does not move",
    latex=r"\Delta(|f|^2 - |V|^2) = \eta^2(|\partial_f L|^2 - |\partial_V L|^2),\quad"
    r" f = (u_{12}, u_{-1}),\ V = (U_{11}, u_{21})",
    printed=BalanceClaim(),
    beyond=True,
    mutants={
        "the other sign": BalanceClaim(factor=-1.0),
        "twice that": BalanceClaim(factor=2.0),
        "1 % more": BalanceClaim(factor=1.01),
        "no drift, as in the flow": BalanceClaim(factor=0.0),
        "of order eta^2 over a given time": BalanceClaim(order=2.0),
        "for Adam": BalanceClaim(optimiser="adam"),
    },
    hypotheses=("steps of SGD, with any batches", "linear self-attention"),
    depends_on=("zhang2024/lemma-17",),
)
def BALANCE(claim: BalanceClaim, rng: np.random.Generator) -> Evidence:
    """Train for some steps on batches of 32 prompts; halve the step of exact gradients."""
    worst, wrong = 0.0, ""
    for trained in _noisy(claim.optimiser, int(rng.integers(2**31))):
        drift = trained.trace.balance - trained.start_balance
        squares = trained.trace.squared_steps
        error = float(np.max(np.abs(drift - claim.factor * squares) / np.max(np.abs(drift))))
        worst = max(worst, error)
        if not wrong and not error <= ROUNDING:
            wrong = (
                f"{trained.config.tasks.kind}, d = {trained.config.tasks.dim}, 60 steps: the"
                f" balance moves by {drift[-1]:.6g}, the squares of the steps sum to"
                f" {squares[-1]:.6g}"
            )
    whole, half = _halved()
    ratio, expected = whole / half, 2**claim.order
    if not wrong and not abs(ratio / expected - 1) <= FIRST_ORDER:
        wrong = (
            f"exact gradients, d = 2: with half the step the drift is {half:.4g}, not {whole:.4g}:"
            f" the ratio is {ratio:.3f}, and the claim says {expected:g}"
        )
    return Evidence(
        not wrong,
        Grade.TRAINED,
        "the drift against the sum of squares, relative, at three places of two runs of 60 steps;"
        f" the ratio of the drifts at eta and eta/2 within {FIRST_ORDER:.0%} of 2",
        "d = 2 and 3; a law that keeps u_12 = u_21 = 0 and one that leaves it; the identity holds"
        " for every d and batch, since the prediction is bilinear",
        worst,
        ROUNDING,
        wrong,
    )


#: What counts as near and as far: relative errors of u, U and u U.
NEAR, FAR = 0.07, 0.09


@dataclass(frozen=True)
class OptimiserClaim:
    """Which of u, U and u U an optimiser brings near the limit of the theorem, and why."""

    optimiser: str
    near: tuple[bool, bool, bool]
    by_own_balance: bool = True


@cache
def _optimised(optimiser: str, seed: int) -> tuple[tuple[float, float, float], float]:
    """Errors of u, U and u U, and the error of u for the limit with the balance of the result."""
    step_size = 0.03 if optimiser == "adam" else 0.1 * stable_step_size(_NEAR)
    config = TrainingConfig(
        _NEAR, _START, 350, step_size, 256, "adam" if optimiser == "adam" else "sgd",
        decay_from=0.4, average_from=0.6, checkpoints=1, seed=seed,
    )  # fmt: skip
    trained = train(config)
    errors = []
    for balance in (0.0, trained.balance):
        limit = _NEAR.problem.limit(balance)
        product = limit.u * limit.U
        errors.append(
            (
                abs(trained.u / limit.u - 1),
                float(np.linalg.norm(trained.U - limit.U) / np.linalg.norm(limit.U)),
                float(np.linalg.norm(trained.product - product) / np.linalg.norm(product)),
            )
        )
    return errors[0], errors[1][0]


_ADAM = OptimiserClaim("adam", (False, False, True))


@statement(
    id="zhang2024/adam-leaves-the-balance",
    title="Adam ends at the product u U of Theorem 4, and at neither its u nor its U",
    source="ours; Theorem 4 is on gradient flow, the experiments of the paper use Adam",
    latex=r"u\,U \approx \Gamma^{-1},\quad u \not\approx \|\Gamma^{-1}\|_F^{1/2}:\quad"
    r" \text{with its own } c = u^2 - \|U\|_F^2,\ "
    r"u^2 = \tfrac12(c + \sqrt{c^2 + 4\|\Gamma^{-1}\|_F^2})",
    printed=_ADAM,
    beyond=True,
    mutants={
        "u too": replace(_ADAM, near=(True, False, True)),
        "U too": replace(_ADAM, near=(False, True, True)),
        "not even u U": replace(_ADAM, near=(False, False, False)),
        "SGD the same": replace(_ADAM, optimiser="sgd"),
        "not by its balance": replace(_ADAM, by_own_balance=False),
    },
    hypotheses=("a start of Assumption 3", "a fixed covariance"),
    depends_on=("zhang2024/trained-fixed", "zhang2024/balance-under-sgd"),
)
def ADAM(claim: OptimiserClaim, rng: np.random.Generator) -> Evidence:
    """Train on sampled prompts; compare with the limits at balance 0 and at the balance found."""
    errors, explained = _optimised(claim.optimiser, int(rng.integers(2**31)))
    wrong = ""
    named = zip(("u", "U", "u U"), errors, claim.near, strict=True)
    for name, error, near in named:
        if not wrong and not (error <= NEAR if near else error >= FAR):
            said = f"below {NEAR:.0%}" if near else f"above {FAR:.0%}"
            wrong = f"{claim.optimiser}, d = 2, N = 6: {name} is off by {error:.1%}, claimed {said}"
    if not wrong and (explained <= NEAR) != claim.by_own_balance:
        wrong = f"{claim.optimiser}: for its own balance u is off by {explained:.2%}"
    return Evidence(
        not wrong,
        Grade.TRAINED,
        f"relative errors, near is below {NEAR:.0%} and far above {FAR:.0%}; the figure is that of"
        " u U",
        "d = 2, N = 6, 350 steps on 256 prompts",
        errors[2],
        NEAR,
        wrong,
    )


#: The components of a mixture and the covariance tell whether training leaves u_12 = u_21 = 0.
MixtureClaim = Callable[[MixtureTasks], bool]

#: |(u_12, u_21)| / |(U, u)|: what noise leaves is below, what the drift makes above.
OFF_PLANE = 0.05

#: How many standard errors below the restricted minimum the risk must be.
BELOW = 4.0


def _third(tasks: MixtureTasks, weigh: bool = True) -> bool:
    """Whether E[(w'Lambda w) w] != 0; without weighing, for I in place of Lambda."""
    w, lam = np.array(tasks.components), np.array(tasks.covariance)
    sizes = np.einsum("ji,ik,jk->j", w, lam if weigh else np.eye(len(lam)), w)
    return bool(np.linalg.norm(np.mean(sizes[:, None] * w, axis=0)) > 1e-9)


def _simplex() -> MixtureTasks:
    """Three components at 120 degrees: not symmetric, but of one norm."""
    angles = 2 * np.pi * np.arange(3) / 3
    w = 1.2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return MixtureTasks(rows(w), rows(np.eye(2)), 0.5, 6)


MIXTURES = (triangle_mixture(6, 0.5), _simplex(), symmetric_mixture(6, 0.5))


@cache
def _mixed(number: int, seed: int) -> tuple[float, float, float]:
    """How far off the plane training ends, the excess risk, and its standard error."""
    tasks = MIXTURES[number]
    config = TrainingConfig(
        tasks, _START, 700, 0.25 * stable_step_size(tasks), 128, decay_from=0.5, average_from=0.6,
        checkpoints=1, seed=seed,
    )  # fmt: skip
    trained = train(config)
    weights = trained.weights
    off = np.hypot(np.linalg.norm(weights.u12), np.linalg.norm(weights.u21))
    excess = trained.held_out_risk(32768).excess
    return float(off / np.hypot(weights.u_1, np.linalg.norm(weights.U11))), *excess


@statement(
    id="zhang2024/mixtures-that-leave",
    title="Mixtures with E[(w'Lambda w) w] != 0: training ends below the restricted minimum",
    source="ours; Lemma 10 uses u_12 = u_21 = 0 for w ~ N(0, I)",
    latex=r"\mathbf{E}w = 0,\ \mathbf{E}[(w^\top\Lambda w)w] \ne 0 \Rightarrow (u_{12}, u_{21})"
    r" \not\to 0,\ L < \min_{u_{12} = u_{21} = 0} L",
    printed=_third,
    beyond=True,
    mutants={
        "if E w != 0": lambda tasks: bool(
            np.linalg.norm(np.mean(np.array(tasks.components), axis=0)) > 1e-9
        ),
        "never, as for Gaussian tasks": lambda tasks: False,
        "every mixture": lambda tasks: True,
        "every mixture that is not symmetric": lambda tasks: len(tasks.components) % 2 == 1,
    },
    hypotheses=("E w = 0", "a start of Assumption 3"),
)
def MIXTURE(claim: MixtureClaim, rng: np.random.Generator) -> Evidence:
    """Train on three mixtures: three norms, one norm at 120 degrees, and +-w."""
    seed, wrong, margin = int(rng.integers(2**31)), "", 0.0
    for number, tasks in enumerate(MIXTURES):
        off, excess, error = _mixed(number, seed)
        leaves = claim(tasks)
        share = (OFF_PLANE / off) if leaves else off / OFF_PLANE
        if leaves:
            share = max(share, BELOW * error / max(-excess, 1e-300))
        margin = max(margin, share)
        if not share <= 1:
            wrong = (
                f"{len(tasks.components)} components, d = {tasks.dim}: (u_12, u_21) is {off:.3f} of"
                f" (U, u), and the risk {excess:.4f} +- {error:.4f} above that of the restricted"
                " minimum"
            )
            break
    return Evidence(
        not wrong,
        Grade.TRAINED,
        f"off the plane by more than {OFF_PLANE:g} of the weights, and below the restricted minimum"
        f" by {BELOW:g} standard errors on 32,768 paired prompts; or on it to {OFF_PLANE:g}; the"
        " figure is the largest share of these bounds",
        "three mixtures, d = 2 and 3, N = 6, 700 steps of SGD on 128 prompts",
        margin,
        1.0,
        wrong,
    )


STATEMENTS = (BALANCE, ADAM, MIXTURE)
