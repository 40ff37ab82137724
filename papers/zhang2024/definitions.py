r"""Definitions 1, 2 and 7 for the layer: what they define exists, and is what the library computes.

With the squared loss, the expectation in eq. (1) is twice the population loss, and the trained
layer is a minimiser over all weights (`beyond/layer-minimum` for u_12 and u_21). In Definition 2
the risk of that layer, V/M + b, falls with M: the errors eta up to which it learns are those with
eta >= b, whether eq. (2) has < or <= (the scan leaves that open): M(epsilon) = V/epsilon serves
both, with one example more for <. In Definition 7 the loss is a mean over covariances.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import product
from math import floor
from typing import Any, NamedTuple

import numpy as np

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.corollary_6 import sampled_mean_risk
from theory.gradient_flow import FlowProblem, FlowState
from theory.laws import Deterministic, TwoPoint
from theory.moments.algebra import matrix, vector
from theory.moments.evaluation import derivative, evaluate
from theory.moments.expression import Expression, scalar
from theory.moments.layer import derive_loss, plain_tasks
from theory.population_loss import PopulationLoss

#: Eigenvalues of Lambda and N.
SETTINGS = tuple(product(((1,), (3,), (1, 2), (1, 5, 2)), (1, 20)))

#: Of the library, relatively.
TOLERANCE = 1e-12

#: Random weights that compete with the trained ones.
COMPETITORS = 40


def gamma(lam: list[Fraction], N: int) -> list[Fraction]:
    """Return the diagonal of Gamma."""
    return [x + (x + sum(lam)) / N for x in lam]


@dataclass(frozen=True)
class TrainedClaim:
    """A minimiser of eq. (1), and the least expectation.

    Parameters
    ----------
    product
        The diagonal of u_{-1} U_11, from the eigenvalues of Lambda and N.
    least
        E (f(P) - h(x_query))^2 there.
    u12
        Every entry of u_12.
    """

    product: Callable[[list[Fraction], int], list[Fraction]]
    least: Callable[[list[Fraction], int], Fraction]
    u12: Fraction = Fraction(0)


def _inverse_gamma(lam: list[Fraction], N: int) -> list[Fraction]:
    return [1 / g for g in gamma(lam, N)]


def _least(lam: list[Fraction], N: int) -> Fraction:
    return sum((x - x**2 / g for x, g in zip(lam, gamma(lam, N), strict=True)), Fraction(0))


_TRAINED = TrainedClaim(_inverse_gamma, _least)


@statement(
    id="zhang2024/definition-1",
    title="The layer trained on in-context examples of linear functions",
    source="Section 3.1, Definition 1, eq. (1), with the squared loss; Theorem 4",
    latex=r"\theta^* \in \mathrm{argmin}_\theta\,\mathbb{E}(f_\theta(P) - h(x_{\mathrm{query}}))^2"
    r" \text{ for } u_{-1}U_{11} = \Gamma^{-1},\ u_{12} = u_{21} = 0;\quad \min ="
    r" \mathrm{tr}\,\Lambda - \mathrm{tr}(\Lambda^2\Gamma^{-1})",
    printed=_TRAINED,
    mutants={
        "trained on N + 1 examples": replace(
            _TRAINED, product=lambda lam, N: _inverse_gamma(lam, N + 1)
        ),
        "Lambda^-1, the limit of long prompts": replace(
            _TRAINED, product=lambda lam, N: [1 / x for x in lam]
        ),
        "I, as in the construction of von Oswald et al.": replace(
            _TRAINED, product=lambda lam, N: [Fraction(1)] * len(lam)
        ),
        "1 % more": replace(
            _TRAINED,
            product=lambda lam, N: [v * Fraction(101, 100) for v in _inverse_gamma(lam, N)],
        ),
        "half the least expectation, the population loss": replace(
            _TRAINED, least=lambda lam, N: _least(lam, N) / 2
        ),
        "zero": replace(_TRAINED, least=lambda lam, N: Fraction(0)),
        "u_12 not zero": replace(_TRAINED, u12=Fraction(1, 100)),
    },
    hypotheses=("x ~ N(0, Lambda), h(x) = w'x with w ~ N(0, I)", "the squared loss"),
    depends_on=("zhang2024/lemma-11", "beyond/layer-minimum"),
)
def DEFINITION_1(claim: TrainedClaim, rng: np.random.Generator) -> Evidence:
    """Differentiate the derived loss of all weights at the claim; let other weights compete."""
    wrong, error = "", 0.0
    for eigenvalues, N in SETTINGS:
        lam = [Fraction(x) for x in eigenvalues]
        A, least = claim.product(lam, N), claim.least(lam, N)
        place = f"Lambda = diag{eigenvalues}, N = {N}"
        wrong = wrong or _wrong_trained(claim, lam, N, place)
        loss, d = PopulationLoss(np.diag(np.array(lam, dtype=float)), N), len(lam)
        for _ in range(COMPETITORS // len(SETTINGS) + 1):
            spread = float(rng.uniform(0.01, 1))
            U = np.diag(np.array(A, dtype=float)) + spread * rng.standard_normal((d, d))
            p, q = spread * rng.standard_normal((2, d))
            other = 2 * loss(p, q, U, 1.0)
            if not wrong and not other >= float(least) * (1 - TOLERANCE):
                wrong = f"{place}: other weights reach {other:.6g}, below {float(least):.6g}"
        limit = FlowProblem.fixed(loss.covariance, N).limit()
        reached = 2 * loss(np.zeros(d), np.zeros(d), *limit)
        error = max(error, abs(reached - float(least)) / float(sum(lam)))
    if not wrong and not error <= TOLERANCE:
        wrong = f"the library's limit misses the least expectation by {error:.3g} tr(Lambda)"
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "all derivatives of the derived loss at the claim, and its value, in fractions; that the"
        " stationary point is a minimum is beyond/layer-minimum; the library's limit and other"
        " weights",
        f"{len(SETTINGS)} settings with d <= 3; about {COMPETITORS} other weights",
        error,
        TOLERANCE,
        wrong,
    )


@cache
def _loss() -> Expression:
    return plain_tasks(derive_loss())


@cache
def _slopes() -> dict[str, Expression]:
    """Derivatives of the derived loss in the directions of letters."""
    loss = _loss()
    along: dict[str, Any] = {"U": matrix("V"), "u": scalar("v"), "p": vector("a"), "q": vector("b")}
    return {name: derivative(loss, {name: letter}) for name, letter in along.items()}


def _wrong_trained(claim: TrainedClaim, lam: list[Fraction], N: int, place: str) -> str:
    d = len(lam)
    values: dict[str, Any] = {"p": np.full(d, claim.u12), "q": np.full(d, Fraction(0))}
    values |= {"Lambda": _diagonal(lam), "U": _diagonal(claim.product(lam, N)), "u": Fraction(1)}
    values |= {"1/N": Fraction(1, N), "d": d, "v": Fraction(1)}
    values |= {letter: np.array([Fraction(i + 1) for i in range(d)]) for letter in "ab"}
    values["V"] = np.multiply.outer(values["a"], values["a"]) + _diagonal([Fraction(1)] * d)
    for name, slope in _slopes().items():
        found = evaluate(slope, values)
        if found != 0:
            return f"{place}: the loss has the slope {found} by {name}"
    value = 2 * evaluate(_loss(), values)
    least = claim.least(lam, N)
    return "" if value == least else f"{place}: the expectation is {value}, not {least}"


def _diagonal(entries: list[Fraction]) -> Any:
    array = np.full((len(entries),) * 2, Fraction(0))
    array[np.diag_indices(len(entries))] = entries
    return array


class LearningClaim(NamedTuple):
    """The least eta of Definition 2, and M(epsilon), from Lambda and N."""

    eta: Callable[[list[Fraction], int], Fraction]
    enough: Callable[[list[Fraction], int, Fraction], Fraction]


def _bias(lam: list[Fraction], N: int) -> Fraction:
    """E (x'Gamma^{-1} Lambda w - x'w)^2."""
    gam = gamma(lam, N)
    return sum((x * (1 - x / g) ** 2 for x, g in zip(lam, gam, strict=True)), Fraction(0))


def _spread(lam: list[Fraction], N: int) -> Fraction:
    """M times the variance."""
    gam = gamma(lam, N)
    cubes = sum(x**3 / g**2 for x, g in zip(lam, gam, strict=True))
    squares = sum(x**2 / g**2 for x, g in zip(lam, gam, strict=True))
    return Fraction(cubes + squares * sum(lam))


_LEARNS = LearningClaim(_bias, lambda lam, N, epsilon: _spread(lam, N) / epsilon)


@statement(
    id="zhang2024/definition-2",
    title="In-context learning of linear functions: the least error, and enough examples",
    source="Section 3.1, Definition 2, eq. (2); Section 4.1, below Corollary 6 ('prediction error"
    " bounded away from zero'); scan ambiguous: < or <= in eq. (2), and both are checked",
    latex=r"M \ge V/\varepsilon \Rightarrow \mathbb{E}(f(P) - h(x_{\mathrm{query}}))^2 \le b +"
    r" \varepsilon,\ b = \mathrm{tr}[\Lambda(I - \Lambda\Gamma^{-1})^2] > 0,\ \text{and no }"
    r"\eta < b \text{ will do}",
    printed=_LEARNS,
    mutants={
        "every eta >= 0": _LEARNS._replace(eta=lambda lam, N: Fraction(0)),
        "1 % less": _LEARNS._replace(eta=lambda lam, N: _bias(lam, N) * Fraction(99, 100)),
        "1 % more, which is not the least": _LEARNS._replace(
            eta=lambda lam, N: _bias(lam, N) * Fraction(101, 100)
        ),
        "eta of N + 1": _LEARNS._replace(eta=lambda lam, N: _bias(lam, N + 1)),
        "1 % fewer examples": _LEARNS._replace(
            enough=lambda lam, N, epsilon: _spread(lam, N) * Fraction(99, 100) / epsilon
        ),
        "M independent of epsilon": _LEARNS._replace(
            enough=lambda lam, N, epsilon: _spread(lam, N)
        ),
    },
    hypotheses=("x ~ N(0, Lambda), w ~ N(0, I)", "N finite: eta falls like 1/N^2"),
    depends_on=("zhang2024/definition-1", "zhang2024/noiseless-risk"),
)
def DEFINITION_2(claim: LearningClaim, rng: np.random.Generator) -> Evidence:
    """Average the squared error over M examples by pairings; look at its limit, and at M."""
    wrong = ""
    for eigenvalues, N in SETTINGS:
        lam = [Fraction(x) for x in eigenvalues]
        eta = claim.eta(lam, N)
        place = f"Lambda = diag{eigenvalues}, N = {N}"
        least = _risk(lam, N, Fraction(0))
        if not wrong and not (eta == least and least > 0):
            wrong = f"{place}: the risk falls to {least} as M grows, and the claim says {eta}"
        for epsilon in (Fraction(1, 1000), Fraction(1, 7), Fraction(999, 1000)):
            bound = claim.enough(lam, N, epsilon)
            wrong = wrong or _not_enough(lam, N, bound, eta + epsilon, place)
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "the mean square of the error by pairings, as a function of 1/M, in fractions",
        f"{len(SETTINGS)} settings with d <= 3, epsilon = 1/1000, 1/7, 999/1000, both readings",
        counterexample=wrong,
    )


def _not_enough(lam: list[Fraction], N: int, bound: Fraction, goal: Fraction, place: str) -> str:
    # As if M were real: at the bound, and strictly above it for the strict reading.
    first = max(bound, Fraction(1))
    whole = floor(first) + 1
    for M, strict in ((first, False), (Fraction(whole), True), (Fraction(3 * whole), True)):
        risk = _risk(lam, N, 1 / M)
        if not (risk < goal if strict else risk <= goal):
            return f"{place}: for M = {M} the risk is {risk}, and {goal} is claimed"
    return ""


@cache
def _sampled() -> Expression:
    return sampled_mean_risk()


def _risk(lam: list[Fraction], N: int, inverse: Fraction) -> Fraction:
    """Return E(yhat - w'x)^2 over M examples, the query and w ~ N(0, I)."""
    d, total = len(lam), Fraction(0)
    values: dict[str, Any] = {"Lambda": _diagonal(lam), "r": inverse, "d": d}
    values["A"] = _diagonal([1 / g for g in gamma(lam, N)])
    # The mean of a quadratic form of w ~ N(0, I) is its trace.
    for i in range(d):
        values["w"] = np.array([Fraction(int(i == j)) for j in range(d)])
        total += evaluate(_sampled(), values)
    return total


@dataclass(frozen=True)
class RandomTraining:
    """The loss (20) from the losses (8) at the values of Lambda, and the minimiser of (19).

    Parameters
    ----------
    loss
        From the law, as weights and eigenvalues, and the loss (8) of eigenvalues.
    product
        The diagonal of u_{-1} U_11, from the law and N.
    """

    loss: Callable[[Any, Callable[[Any], float]], float]
    product: Callable[[Any, int], Any]


def _mean_loss(law: Any, loss: Callable[[Any], float]) -> float:
    return float(sum(p * loss(lam) for p, lam in law))


def _gamma_array(lam: Any, N: int) -> Any:
    return lam + (lam + np.sum(lam)) / N


def _product(law: Any, N: int) -> Any:
    square = sum(p * lam**2 for p, lam in law)
    return square / sum(p * _gamma_array(lam, N) * lam**2 for p, lam in law)


_RANDOM = RandomTraining(_mean_loss, _product)


@statement(
    id="zhang2024/definition-7",
    title="Training with random covariances, and Definition 1 as the case of one covariance",
    source="Section 4.3, Definition 7, eqs. (19) and (20), and the sentence below: 'we recover the"
    " previous definition'",
    latex=r"L = \mathbb{E}_\Lambda L_\Lambda,\ \mathrm{argmin}\,L \ni \theta^*:\ u_{-1}U_{11} ="
    r" [\mathbb{E}\Gamma\Lambda^2]^{-1}\mathbb{E}\Lambda^2;\quad \mathrm{supp}\,\Delta ="
    r" \{\mathcal D_x\} \Rightarrow u_{-1}U_{11} = \Gamma^{-1}",
    printed=_RANDOM,
    mutants={
        "the loss at the mean covariance": replace(
            _RANDOM, loss=lambda law, loss: loss(sum(p * lam for p, lam in law))
        ),
        "every covariance alike": replace(
            _RANDOM, loss=lambda law, loss: sum(loss(lam) for _, lam in law) / len(law)
        ),
        "1 % more loss": replace(_RANDOM, loss=lambda *of: 1.01 * _mean_loss(*of)),
        "the mean of the minimisers": replace(
            _RANDOM, product=lambda law, N: sum(p / _gamma_array(lam, N) for p, lam in law)
        ),
        "the minimiser at the mean covariance": replace(
            _RANDOM, product=lambda law, N: 1 / _gamma_array(sum(p * lam for p, lam in law), N)
        ),
        "trained on N + 1 examples": replace(_RANDOM, product=lambda law, N: _product(law, N + 1)),
    },
    hypotheses=("Lambda diagonal, eigenvalues independent and positive",),
    depends_on=("zhang2024/definition-1", "zhang2024/lemma-24"),
)
def DEFINITION_7(claim: RandomTraining, rng: np.random.Generator) -> Evidence:
    """Sum the full loss over the covariances; compare the library's problem and its minimiser."""
    wrong, worst = "", 0.0
    for laws, N in product(_LAWS, (1, 3)):
        problem = FlowProblem.random_diagonal(laws, N)
        law, d = _atoms(laws), len(laws)
        losses = [(p, PopulationLoss(np.diag(lam), N)) for p, lam in law]
        zero, place = np.zeros(d), f"{[str(law) for law in laws]}, N = {N}"
        U, u = rng.standard_normal((d, d)), float(rng.uniform(0.5, 2))
        state = FlowState(U, u)
        claimed = claim.loss(law, lambda lam, N=N, at=state: _loss_at(lam, N, at))  # type: ignore[misc]
        gaps = [abs(problem.loss(state) / claimed - 1)]
        U, u = np.diag(claim.product(law, N)), 1.0
        slopes = [p * loss.gradient(zero, zero, U, u).stacked for p, loss in losses]
        gaps.append(float(np.max(np.abs(sum(slopes)))))
        if all(isinstance(each, Deterministic) for each in laws):
            fixed = FlowProblem.fixed(np.diag(law[0][1]), N)
            gaps.append(float(np.max(np.abs(fixed.minimiser - U))))
            gaps.append(abs(fixed.loss(state) / claimed - 1))
        worst = max(worst, *gaps)
        if not wrong and not max(gaps) <= TOLERANCE:
            told = ", ".join(f"{gap:.3g}" for gap in gaps)
            wrong = f"{place}: the loss, and the slope at the minimiser, are off by {told}"
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "theory.FlowProblem.random_diagonal against sums of the full loss over all covariances: its"
        " loss, and the gradient by all blocks at the minimiser; FlowProblem.fixed for one value",
        f"{len(_LAWS)} laws with d <= 3, two of them of one covariance, N = 1 and 3",
        worst,
        TOLERANCE,
        wrong,
    )


_LAWS: tuple[tuple[TwoPoint | Deterministic, ...], ...] = (
    (TwoPoint(0.5, 2.0, 0.25),),
    (TwoPoint(0.5, 2.0, 0.25), TwoPoint(1.0, 3.0)),
    (Deterministic(2.0),),
    (Deterministic(0.5), Deterministic(1.0), Deterministic(3.0)),
)


def _atoms(laws: tuple[TwoPoint | Deterministic, ...]) -> list[tuple[float, Any]]:
    """Return the values of the eigenvalues with their probabilities."""
    values = [
        [(float(law.probability), law.low), (1 - float(law.probability), law.high)]
        if isinstance(law, TwoPoint)
        else [(1.0, law.value)]
        for law in laws
    ]
    return [
        (float(np.prod([p for p, _ in chosen])), np.array([float(x) for _, x in chosen]))
        for chosen in product(*values)
    ]


def _loss_at(lam: Any, N: int, state: FlowState) -> float:
    zero = np.zeros(len(lam))
    return PopulationLoss(np.diag(lam), N)(zero, zero, *state)


STATEMENTS = (DEFINITION_1, DEFINITION_2, DEFINITION_7)
