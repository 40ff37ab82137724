r"""Displays inside two proofs: the terms I to VI of Appendix B, and the loss at the start (A.4).

Appendix B splits the risk by b = Gamma^{-1} E[yx] and a = Lambda^{-1} E[yx]. Three cross terms
vanish: IV and V because the mean of yhat given the query is b'x_query, VI because a is the best
linear predictor. Here all six are summed over all prompts of finite laws.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.flow_lines import Line, fixed_lines, frobenius, operator_norm, random_lines
from papers.zhang2024.positivity import THRESHOLDS
from papers.zhang2024.theorem_5 import FINITE_LAWS

#: A law of (x, y) of equal probabilities.
Pairs = tuple[tuple[tuple[int, ...], int], ...]

_TERMS = ("I", "II", "III", "IV", "V", "VI")


class Moments(NamedTuple):
    """What the terms are made of; Lambda and Gamma by their diagonals."""

    lam: list[Fraction]
    gamma: list[Fraction]
    cross: list[Fraction]
    spread: list[Fraction]
    N: int
    M: int

    @property
    def best(self) -> list[Fraction]:
        """The vector a of eq. (47)."""
        return [c / x for c, x in zip(self.cross, self.lam, strict=True)]

    @property
    def shrunk(self) -> list[Fraction]:
        """The vector b of eq. (48)."""
        return [c / g for c, g in zip(self.cross, self.gamma, strict=True)]


@dataclass(frozen=True)
class TermsClaim:
    """The vector b, and the terms II and III; IV, V and VI are zero.

    `asked` says that the query is a pair of its own; if not, it is the last example.
    """

    shrunk: Callable[[Moments], list[Fraction]]
    second: Callable[[Moments], Fraction]
    third: Callable[[Moments], Fraction]
    asked: bool = True


def _second(m: Moments) -> Fraction:
    """tr(Sigma Gamma^{-2} Lambda) / M."""
    parts = (s * x / g**2 for s, x, g in zip(m.spread, m.lam, m.gamma, strict=True))
    return sum(parts, Fraction(0)) / m.M


def _third(m: Moments, doubled: int = 2) -> Fraction:
    """tr[(I - Gamma Lambda^{-1})^2 Gamma^{-2} Lambda^3 aa'], Gamma - Lambda multiplied out."""
    total, trace = Fraction(0), sum(m.lam)
    for a, x, g in zip(m.best, m.lam, m.gamma, strict=True):
        total += a**2 * (x**3 + doubled * trace * x**2 + trace**2 * x) / g**2
    return total / m.N**2


_TERMS_CLAIM = TermsClaim(lambda m: m.shrunk, _second, _third)


@statement(
    id="zhang2024/appendix-b-terms",
    title="The six terms of the risk",
    source="Appendix B, eqs. (47) and (48), the terms I to VI",
    latex=r"b = \Gamma^{-1}\mathbb{E}[yx],\ II = \mathbb{E}(\hat y - \langle b, x\rangle)^2 ="
    r" \tfrac1M\mathrm{tr}[\Sigma\Gamma^{-2}\Lambda],\ III = \mathbb{E}\langle b - a, x\rangle^2 ="
    r" \tfrac1{N^2}[\|a\|^2_{\Gamma^{-2}\Lambda^3} + 2\,\mathrm{tr}(\Lambda)"
    r"\|a\|^2_{\Gamma^{-2}\Lambda^2} + \mathrm{tr}(\Lambda)^2\|a\|^2_{\Gamma^{-2}\Lambda}],\ IV = V"
    r" = VI = 0",
    printed=_TERMS_CLAIM,
    mutants={
        "b = a": replace(_TERMS_CLAIM, shrunk=lambda m: m.best),
        "b = E[yx]": replace(_TERMS_CLAIM, shrunk=lambda m: m.cross),
        "b 1 % longer": replace(
            _TERMS_CLAIM, shrunk=lambda m: [v * Fraction(101, 100) for v in m.shrunk]
        ),
        "1/M^2 in II": replace(_TERMS_CLAIM, second=lambda m: _second(m) / m.M),
        "1/N in III": replace(_TERMS_CLAIM, third=lambda m: _third(m) * m.N),
        "the middle of III once": replace(_TERMS_CLAIM, third=lambda m: _third(m, 1)),
        "the query is the last example": replace(_TERMS_CLAIM, asked=False),
    },
    hypotheses=("the pairs and the query are independent, of one law", "E xx' = Lambda"),
    depends_on=("zhang2024/eq-12", "zhang2024/eq-14"),
)
def TERMS(claim: TermsClaim, rng: np.random.Generator) -> Evidence:
    """Sum each of the six over all prompts, in fractions."""
    wrong, tried = "", 0
    for law in FINITE_LAWS:
        for N, M in ((1, 1), (2, 1), (3, 2)):
            tried += 1
            wrong = wrong or _wrong_terms(claim, law, N, M)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the means of the six products over all prompts, in fractions",
        f"{tried} laws and lengths with N <= 3 and M <= 2 (every law by its moments: theorem-5)",
        counterexample=wrong,
    )


def _moments(law: Pairs, N: int, M: int) -> Moments:
    n, d = len(law), len(law[0][0])
    lam = [Fraction(sum(x[i] ** 2 for x, _ in law), n) for i in range(d)]
    cross = [Fraction(sum(x[i] * y for x, y in law), n) for i in range(d)]
    squares = [Fraction(sum((x[i] * y) ** 2 for x, y in law), n) for i in range(d)]
    spread = [s - c**2 for s, c in zip(squares, cross, strict=True)]
    return Moments(lam, [x + (x + sum(lam)) / N for x in lam], cross, spread, N, M)


def _dot(a: Any, x: Any) -> Fraction:
    return sum((v * t for v, t in zip(a, x, strict=True)), Fraction(0))


def _wrong_terms(claim: TermsClaim, law: Pairs, N: int, M: int) -> str:
    m = _moments(law, N, M)
    a, b, sums = m.best, claim.shrunk(m), [Fraction(0)] * 6
    for prompt in product(law, repeat=M + claim.asked):
        examples, (x, y) = prompt[:M], prompt[-1]
        mean = [Fraction(sum(e[i] * label for e, label in examples), M) for i in range(len(x))]
        yhat = _dot([v / g for v, g in zip(mean, m.gamma, strict=True)], x)
        first, second, third = _dot(a, x) - y, yhat - _dot(b, x), _dot(b, x) - _dot(a, x)
        squares = (first**2, second**2, third**2)
        products = (*squares, 2 * second * first, 2 * second * third, 2 * third * first)
        sums = [total + value for total, value in zip(sums, products, strict=True)]
    count = len(law) ** (M + claim.asked)
    found = [total / count for total in sums[1:]]
    claimed = [claim.second(m), claim.third(m), *[Fraction(0)] * 3]
    for name, reached, told in zip(_TERMS[1:], found, claimed, strict=True):
        if reached != told:
            return (
                f"(x, y) uniform on {law}, N = {N}, M = {M}: {name} is {reached}, and the claim"
                f" says {told}"
            )
    return ""


#: Bounds on tr(Gamma Lambda T Lambda T), T = Theta Theta', averaged over the law of Lambda.
ChainOf = Callable[[Line], list[float]]


@dataclass(frozen=True)
class StartClaim:
    """l(0) = curved sigma^4 times the trace minus pull sigma^2, and the chain of bounds on it."""

    curved: float
    pull: Callable[[Line], float]
    fixed: ChainOf
    random: ChainOf


def _trace(line: Line) -> float:
    T = line.theta @ line.theta.T
    return line.mean(lambda lam: float(np.trace(line.gamma(lam) @ lam @ T @ lam @ T)))


def _pull(line: Line) -> float:
    return line.mean(lambda lam: frobenius(lam @ line.theta) ** 2)


def _fixed_chain(line: Line, root: float = 0.5) -> list[float]:
    T, lam = line.theta @ line.theta.T, line.mean(lambda value: value)
    size = line.dim**root * operator_norm(line.gamma(lam))
    gain = frobenius(lam @ line.theta) ** 2
    return [size * frobenius(lam @ T @ lam @ T), size * gain * frobenius(T), size * gain]


def _random_chain(line: Line, root: float = 0.5, power: int = 2) -> list[float]:
    T = line.theta @ line.theta.T
    first = line.mean(lambda lam: operator_norm(line.gamma(lam)) * frobenius(lam @ T @ lam @ T))
    last = line.mean(lambda lam: operator_norm(line.gamma(lam)) * frobenius(lam) ** power)
    return [line.dim**root * first, line.dim**root * last * frobenius(T) ** 2]


_START = StartClaim(0.5, _pull, _fixed_chain, _random_chain)

#: Of sums of products of matrices, relatively.
ROUNDING = 1e-12


@statement(
    id="zhang2024/lemma-18-start",
    title="The loss at the start, and the chain of bounds on it",
    source="Appendix A.4, proof of Lemma 18, second half; Appendix C.3, proof of Lemma 26 (its"
    " trace in the corrected form of lemma-26-trace)",
    latex=r"\ell(0) = \tfrac{\sigma^4}2\mathrm{tr}[\Gamma\Lambda T\Lambda T] - \sigma^2"
    r"\|\Lambda\Theta\|_F^2,\ \mathrm{tr}[\Gamma\Lambda T\Lambda T] \le \sqrt d\,\|\Gamma\|_{op}"
    r"\|\Lambda T\Lambda T\|_F \le \sqrt d\,\|\Gamma\|_{op}\|\Lambda\Theta\|_F^2\|T\|_F,\ T ="
    r"\Theta\Theta^\top",
    printed=_START,
    mutants={
        "without sqrt(d)": replace(_START, fixed=lambda line: _fixed_chain(line, 0.0)),
        "without sqrt(d), random": replace(_START, random=lambda line: _random_chain(line, 0.0)),
        "d^{1/4}": replace(_START, fixed=lambda line: _fixed_chain(line, 0.25)),
        "1 % less": replace(_START, fixed=lambda line: [0.99 * v for v in _fixed_chain(line)]),
        "1 % less, random": replace(
            _START, random=lambda line: [0.99 * v for v in _random_chain(line)]
        ),
        "|Lambda|_F, not its square": replace(
            _START, random=lambda line: _random_chain(line, power=1)
        ),
        "sigma^4 without the half": replace(_START, curved=1.0),
        "|Lambda^2 Theta|^2": replace(
            _START, pull=lambda line: line.mean(lambda lam: frobenius(lam @ lam @ line.theta) ** 2)
        ),
    },
    hypotheses=("|T|_F = 1", "Gamma and Lambda are positive definite"),
    depends_on=("zhang2024/lemma-15", "zhang2024/lemma-26-trace", "zhang2024/lemma-31"),
)
def START(claim: StartClaim, rng: np.random.Generator) -> Evidence:
    """Evaluate every member of both chains in the paper's matrices; for d = 1 all are equal."""
    wrong, worst, tried = "", 0.0, 0
    for lines, chain in (
        (fixed_lines(THRESHOLDS["lemma-18"], rng), claim.fixed),
        (random_lines(THRESHOLDS["lemma-26"], rng), claim.random),
    ):
        for line in lines:
            tried += 1
            trace, sigma = _trace(line), line.sigma
            loss = claim.curved * sigma**4 * trace - sigma**2 * claim.pull(line)
            off = abs(loss - line.loss(line.start)) / (sigma**2 * _pull(line))
            members = [trace, *chain(line)]
            steps = [1 - b / a for a, b in pairwise(members)]
            worst = max(worst, off, *steps)
            if not wrong and not max(off, *steps) <= ROUNDING:
                told = ", ".join(f"{value:.6g}" for value in members)
                wrong = f"{line}: l(0) is off by {off:.3g} relative, and the chain is {told}"
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "l(0) of eqs. (28) and (53), and each member of the chains against the next, relatively",
        f"{tried} starts with d <= 4, fixed covariances and two-point laws; equality for d = 1",
        worst,
        ROUNDING,
        wrong,
    )


STATEMENTS = (TERMS, START)
