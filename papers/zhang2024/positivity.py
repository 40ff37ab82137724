r"""Lemmas 18 and 26: u_{-1} stays positive from a small start.

The proofs show l(0) < 0 where sigma^2 is below the threshold, and u cannot vanish then, because
l = 0 where u = 0 and l does not increase. Here l(0) is bounded by squares, in words: with
T = Theta Theta' = A A', I - T = Q Q' and (|Gamma| I - Gamma) Lambda = K K', Lambda = R R',

    tr(Gamma Lambda T Lambda T) = |Gamma| (|Lambda Theta|^2 - |A' Lambda Q|^2) - |K' T R|^2.

For d = 1 and a constant covariance l(0) = 0 exactly at the threshold; with sqrt(d) above instead of
below l(0) > 0 for d = 2, where Theta lies along the larger of two eigenvalues. That u > 0 itself
holds for every sigma (`papers.beyond.initialisation`): a wrong threshold shows in l(0) only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import sympy as sp

from papers.ledger import Correction, Evidence, Fault, Grade, statement
from papers.zhang2024.flow_lines import (
    Line,
    Threshold,
    fixed_along_the_top,
    fixed_lines,
    frobenius,
    operator_norm,
    random_along_the_top,
    random_lines,
)
from papers.zhang2024.letters import disagreement
from theory.gradient_flow import FlowProblem, FlowState
from theory.gradient_flow.printed_bounds import printed_bounds
from theory.gradient_flow.trajectory import positivity
from theory.laws import TwoPoint
from theory.moments.algebra import identity, matrix, symmetric
from theory.moments.expression import scalar

#: sigma^2 at which the hypothesis is put to its edge, in units of the claimed threshold.
EDGE = 0.999

#: How far the library's threshold may be from the claim, relatively.
TOLERANCE = 1e-10

#: How far two means may differ, relatively.
MEAN_TOLERANCE = 1e-12


class Sizes(NamedTuple):
    """What a threshold is made of, as numbers or symbols.

    Parameters
    ----------
    root
        sqrt(d).
    gain
        |Lambda Theta|_F^2, or |E Lambda Theta|_F^2.
    cost
        |Gamma|_op |Lambda Theta|_F^2, or E[|Gamma|_op |Lambda|_F^2].
    short
        The cost with |Lambda|_op in place of |Gamma|_op.
    """

    root: Any
    gain: Any
    cost: Any
    short: Any


@dataclass(frozen=True)
class SmallStart:
    """For sigma^2 below the threshold l(0) < 0, and u(t) > 0 for all t.

    Parameters
    ----------
    threshold
        From the sizes.
    sign
        U(0) = sign sigma Theta Theta'.
    """

    threshold: Callable[[Sizes], Any]
    sign: float = 1.0


def fixed_sizes(line: Line) -> Sizes:
    """Return the sizes of Lemma 18."""
    lam = line.mean(lambda value: value)
    gain = frobenius(lam @ line.theta) ** 2
    gamma = operator_norm(line.gamma(lam))
    return Sizes(float(np.sqrt(line.dim)), gain, gamma * gain, operator_norm(lam) * gain)


def random_sizes(line: Line) -> Sizes:
    """Return the sizes of Lemma 26."""
    gain = frobenius(line.mean(lambda lam: lam) @ line.theta) ** 2
    cost = line.mean(lambda lam: operator_norm(line.gamma(lam)) * frobenius(lam) ** 2)
    short = line.mean(lambda lam: operator_norm(lam) * frobenius(lam) ** 2)
    return Sizes(float(np.sqrt(line.dim)), gain, cost, short)


def _printed(x: Sizes) -> Any:
    """Eqs. (43) and (58): 2 / (sqrt(d) |Gamma|) is 2 gain / (sqrt(d) cost)."""
    return 2 * x.gain / (x.root * x.cost)


def sizes_in_symbols() -> Sizes:
    """Return symbols: 1 + e, e >= 0, for sqrt(d), and positive ones for the rest."""
    excess = sp.Symbol("e", nonnegative=True)
    return Sizes(1 + excess, *sp.symbols("gain cost short", positive=True))


THRESHOLDS: dict[str, Threshold] = {
    "lemma-18": lambda line: float(_printed(fixed_sizes(line))),
    "lemma-26": lambda line: float(_printed(random_sizes(line))),
}

MUTANTS = {
    "a threshold 1 % higher": SmallStart(lambda x: 1.01 * _printed(x)),
    "twice the threshold": SmallStart(lambda x: 2 * _printed(x)),
    "sqrt(d) above": SmallStart(lambda x: x.root**2 * _printed(x)),
    "|Lambda|, not |Gamma|": SmallStart(lambda x: 2 * x.gain / (x.root * x.short)),
    "U(0) = -sigma Theta Theta'": SmallStart(_printed, -1.0),
}


def cost_by_squares(rng: np.random.Generator) -> str:
    """Say where the identity of the module's text fails; nothing, as it is one in words."""
    L, T, K, g = symmetric("Lambda"), symmetric("T"), matrix("K"), scalar("g")
    gram = K @ K.T
    cost = ((L * g - gram) @ T @ L @ T).trace()
    across = (L @ T @ L @ (identity() - T)).trace()
    bound = ((L @ T @ L).trace() - across) * g - (gram @ T @ L @ T).trace()
    return disagreement(cost, bound, rng)


def gain_by_squares(rng: np.random.Generator) -> str:
    """Say where E tr(Lambda^2 T) is not |E Lambda Theta|^2 plus a square, for two values.

    The square is p q |(Lambda_1 - Lambda_2) Theta|^2 for the weights p and q = 1 - p.
    """
    one, other, theta, p = (*map(symmetric, ("Lambda1", "Lambda2")), matrix("Theta"), scalar("p"))
    q = 1 - p

    def size(L: Any) -> Any:
        return (L @ theta @ theta.T @ L).trace()

    left = size(one) * p + size(other) * q
    return disagreement(left, size(one * p + other * q) + size(one - other) * (p * q), rng)


def _above(claim: SmallStart) -> str:
    """Say where the claimed threshold is above the one of the squares, 2 gain / cost."""
    x = sizes_in_symbols()
    excess = sp.factor(2 * x.gain / x.cost - sp.nsimplify(claim.threshold(x)))
    if excess.is_nonnegative:
        return ""
    return f"in symbols, 2 gain / cost is not always above the threshold: {excess} for sqrt(d)=1+e"


def _evidence(
    claim: SmallStart,
    lines: Callable[[Threshold], Iterator[Line]],
    sizes: Callable[[Line], Sizes],
    scope: str,
    rng: np.random.Generator,
) -> Evidence:
    tried = list(lines(lambda each: float(claim.threshold(sizes(each)))))
    worst, counterexample = _levels(claim, tried, sizes)
    for line in tried:
        counterexample = counterexample or _library(line, float(claim.threshold(sizes(line))))
    counterexample = counterexample or cost_by_squares(rng) or gain_by_squares(rng) or _above(claim)
    return Evidence(
        not counterexample,
        Grade.PROVED,
        "l(0) < 0 below the threshold, by squares in words; the largest l(0) / sigma^2, by the"
        " paper's matrices (it must be < 0), and u along flow lines of the library",
        f"every d, Lambda, N and Theta, given that l falls along the flow; {len(tried)} starts,"
        f" {scope}, sigma^2 in (1e-4, 0.3, 0.95, 0.999) thresholds",
        worst,
        0.0,
        counterexample,
    )


def _levels(
    claim: SmallStart, lines: list[Line], sizes: Callable[[Line], Sizes]
) -> tuple[float, str]:
    """Return the largest l(0) / sigma^2 on the lines and at their edge, and where it is not < 0."""
    worst, counterexample = -np.inf, ""
    for line in lines:
        threshold = float(claim.threshold(sizes(line)))
        for each in (line, line.at(float(np.sqrt(EDGE * threshold)))):
            start = FlowState(claim.sign * each.start.U, each.sigma)
            level = each.loss(start) / each.sigma**2
            worst = max(worst, level)
            if not counterexample and not level < 0:
                counterexample = (
                    f"{each}: sigma^2 = {each.sigma**2 / threshold:.4g} of the threshold, and"
                    f" l(0) = {level * each.sigma**2:.4g} is not < 0"
                )
    return worst, counterexample


def _library(line: Line, threshold: float) -> str:
    """Say where the library's u is not > 0 at the edge, or its threshold is another one."""
    at_edge = line.at(float(np.sqrt(EDGE * threshold)))
    least = float(np.min(positivity(at_edge.flow, at_edge.times).margin))
    found = printed_bounds(line.problem, line.start).threshold
    if not least > 0:
        return f"{at_edge}: u falls to {least:.4g}"
    if not abs(found / threshold - 1) <= TOLERANCE:
        return f"{line}: printed_bounds has the threshold {found!r}, not {threshold!r}"
    return ""


@statement(
    id="zhang2024/lemma-18",
    title="u stays positive from a small start",
    source="Lemma 18, eq. (43)",
    latex=r"0 < \sigma < \sqrt{2 / (\sqrt{d} \|\Gamma\|_{op})} \Rightarrow"
    r" \ell(0) < 0,\ u_{-1}(t) > 0 \text{ for all } t \ge 0",
    printed=SmallStart(_printed),
    mutants=MUTANTS
    | {
        "|Gamma|^{1/2}, not |Gamma|": SmallStart(
            lambda x: _printed(x) * (x.cost / x.gain) ** sp.Rational(1, 2)
        ),
    },
    hypotheses=("Assumption 3",),
    depends_on=("zhang2024/lemma-15", "zhang2024/lemma-18-start"),
)
def LEMMA_18(claim: SmallStart, rng: np.random.Generator) -> Evidence:
    """Bound l(0) in words; put sigma just below the threshold."""
    return _evidence(
        claim,
        lambda threshold: chain(fixed_lines(threshold, rng), fixed_along_the_top(threshold)),
        fixed_sizes,
        "d <= 4, fixed covariance",
        rng,
    )


@statement(
    id="zhang2024/lemma-26",
    title="u stays positive from a small start, with a random covariance",
    source="Lemma 26, eqs. (58) and (59); Theorem 8, eq. (21)",
    latex=r"0 < \sigma < \sqrt{2 \|\mathbf{E}\Lambda_\tau \Theta\|_F^2 / (\sqrt{d}"
    r"\,\mathbf{E}[\|\Gamma_\tau\|_{op} \|\Lambda_\tau\|_F^2])} \Rightarrow u_{-1}(t) > 0",
    printed=SmallStart(_printed),
    mutants=MUTANTS
    | {
        "|E Lambda Theta|, not its square": SmallStart(
            lambda x: _printed(x) * x.gain ** sp.Rational(1, 2)
        ),
    },
    hypotheses=("Assumption 3", "independent positive eigenvalues with finite third moments"),
    depends_on=("zhang2024/lemma-18-start", "zhang2024/lemma-21"),
)
def LEMMA_26(claim: SmallStart, rng: np.random.Generator) -> Evidence:
    """Bound l(0) in words; put sigma just below the threshold."""
    return _evidence(
        claim,
        lambda threshold: chain(random_lines(threshold, rng), random_along_the_top(threshold)),
        random_sizes,
        "d <= 3, two-point and constant eigenvalues",
        rng,
    )


#: What the proof says that E tr[Lambda^2 Theta Theta'] is.
TraceStep = Callable[[Line], float]


def _norm_of_mean(line: Line) -> float:
    return frobenius(line.mean(lambda lam: lam) @ line.theta) ** 2


def _one_or_three() -> Line:
    """Lambda = 1 or 3, as likely as each other, with the mean 2 and the mean square 5."""
    atoms = tuple((0.5, np.array([[value]])) for value in (1.0, 3.0))
    problem = FlowProblem.random_diagonal((TwoPoint(1.0, 3.0, 0.5),), 1)
    name = "Lambda = 1 or 3 with probability 1/2 each, Theta = 1"
    return Line(name, atoms, 1, np.eye(1), 1.0, problem)


def _mean_of_norm(line: Line) -> float:
    return line.mean(lambda lam: frobenius(lam @ line.theta) ** 2)


@statement(
    id="zhang2024/lemma-26-trace",
    title="A step in the proof of Lemma 26: E tr(Lambda^2 Theta Theta')",
    source="proof of Lemma 26, 'From the property of trace, we know'",
    latex=r"\mathbf{E}\,\mathrm{tr}[\sigma^2 \Lambda_\tau^2 \Theta\Theta^\top]"
    r" = \sigma^2 \|\mathbf{E}\Lambda_\tau \Theta\|_F^2",
    printed=_norm_of_mean,
    correction=Correction[TraceStep](
        _mean_of_norm,
        "It is sigma^2 E|Lambda Theta|_F^2, which is at least sigma^2 |E Lambda Theta|_F^2 by"
        " Jensen: the lemma stands, and its threshold may have the larger number.",
        Fault.GAP,
        latex=r"\mathbf{E}\,\mathrm{tr}[\sigma^2 \Lambda_\tau^2 \Theta\Theta^\top]"
        r" = \sigma^2\, \mathbf{E} \|\Lambda_\tau \Theta\|_F^2",
    ),
    mutants={
        "1 % more": lambda line: 1.01 * _mean_of_norm(line),
        "negative": lambda line: -_mean_of_norm(line),
        "half": lambda line: _mean_of_norm(line) / 2,
        "|E Lambda^2 Theta|": lambda line: frobenius(line.mean(lambda lam: lam @ lam) @ line.theta),
        "the norm, not its square": lambda line: line.mean(lambda lam: frobenius(lam @ line.theta)),
    },
    hypotheses=("Assumption 3",),
    depends_on=(),
)
def TRACE_STEP(claim: TraceStep, rng: np.random.Generator) -> Evidence:
    """Sum over the values of the covariance."""
    counterexample, worst = "", 0.0
    for line in (_one_or_three(), *random_lines(THRESHOLDS["lemma-26"], rng)):
        T = line.theta @ line.theta.T
        exact = line.mean(lambda lam, T=T: float(np.trace(lam @ lam @ T)))  # type: ignore[misc]
        off = abs(claim(line) / exact - 1)
        worst = max(worst, off)
        if not counterexample and not off <= MEAN_TOLERANCE:
            counterexample = (
                f"{line}: E tr(Lambda^2 Theta Theta') = {exact:.6g}, not {claim(line):.6g}"
            )
    return Evidence(
        not counterexample,
        Grade.CONFIRMED,
        "the mean of the trace against the claim, relatively",
        "two-point and constant eigenvalues, 1 and 3 first, d <= 3, by enumeration",
        worst,
        MEAN_TOLERANCE,
        counterexample,
    )


STATEMENTS = (LEMMA_18, LEMMA_26, TRACE_STEP)
