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
import sympy
from sympy.polys.fields import field

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.flow_lines import Line, fixed_lines, frobenius, operator_norm, random_lines
from papers.zhang2024.positivity import THRESHOLDS
from papers.zhang2024.theorem_5 import FINITE_LAWS
from theory.moments.algebra import matrix, symmetric, vector
from theory.moments.evaluation import evaluate
from theory.moments.expression import Expression, scalar
from theory.moments.wick import expectation

#: A law of (x, y) of equal probabilities.
Pairs = tuple[tuple[tuple[int, ...], int], ...]

_TERMS = ("I", "II", "III", "IV", "V", "VI")


#: N and M with all prompts, one by one.
_LENGTHS = ((1, 1), (2, 1), (3, 2), (5, 3))

#: N and M in the moments, beside their letters.
_LONG = (*product(range(1, 7), repeat=2), (1000, 1), (1, 1000), (10**6, 10**9))

#: Where the letters are: weights of lambda_i and tr(Lambda) are known from d = 2.
_SYMBOLIC_DIMENSIONS = (1, 2)


class Moments(NamedTuple):
    """What the terms are made of, numbers or letters; Lambda and Gamma by their diagonals."""

    lam: list[Any]
    gamma: list[Any]
    cross: list[Any]
    spread: list[Any]
    N: Any
    M: Any

    @property
    def best(self) -> list[Any]:
        """The vector a of eq. (47)."""
        return [c / x for c, x in zip(self.cross, self.lam, strict=True)]

    @property
    def shrunk(self) -> list[Any]:
        """The vector b of eq. (48)."""
        return [c / g for c, g in zip(self.cross, self.gamma, strict=True)]


@dataclass(frozen=True)
class TermsClaim:
    """The vector b, and the terms II and III; IV, V and VI are zero.

    `asked` says that the query is a pair of its own; if not, it is the last example.
    """

    shrunk: Callable[[Moments], list[Any]]
    second: Callable[[Moments], Any]
    third: Callable[[Moments], Any]
    asked: bool = True


def _second(m: Moments) -> Any:
    """tr(Sigma Gamma^{-2} Lambda) / M."""
    return sum(s * x / g**2 for s, x, g in zip(m.spread, m.lam, m.gamma, strict=True)) / m.M


def _third(m: Moments, doubled: int = 2) -> Any:
    """tr[(I - Gamma Lambda^{-1})^2 Gamma^{-2} Lambda^3 aa'], Gamma - Lambda multiplied out."""
    trace = sum(m.lam)
    parts = (
        a**2 * (x**3 + doubled * trace * x**2 + trace**2 * x) / g**2
        for a, x, g in zip(m.best, m.lam, m.gamma, strict=True)
    )
    return sum(parts) / m.N**2


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
        "b 1 % longer": replace(_TERMS_CLAIM, shrunk=lambda m: [v * 101 / 100 for v in m.shrunk]),
        "1/M^2 in II": replace(_TERMS_CLAIM, second=lambda m: _second(m) / m.M),
        "(3 - M)/2 in II, which is 1/M for M = 1 and 2": replace(
            _TERMS_CLAIM, second=lambda m: _second(m) * m.M * (3 - m.M) / 2
        ),
        "III doubled for N >= 4": replace(
            _TERMS_CLAIM, third=lambda m: _third(m) * (2 if m.N >= 4 else 1)
        ),
        "1/N in III": replace(_TERMS_CLAIM, third=lambda m: _third(m) * m.N),
        "the middle of III once": replace(_TERMS_CLAIM, third=lambda m: _third(m, 1)),
        "the query is the last example": replace(_TERMS_CLAIM, asked=False),
    },
    hypotheses=("the pairs and the query are independent, of one law", "E xx' = Lambda"),
    depends_on=("zhang2024/eq-12", "zhang2024/eq-14"),
)
def TERMS(claim: TermsClaim, rng: np.random.Generator) -> Evidence:
    """Sum each of the six over all prompts, in fractions; then letters for moments, N and M."""
    wrong, tried = "", 0
    for law in FINITE_LAWS:
        for N, M in _LENGTHS[: 3 if len(law) > 3 else 4]:
            tried += 1
            wrong = wrong or _wrong_terms(claim, law, N, M)
    numbers = ([1, 3], [2, -1], [5, 7], [1])
    for N, M in () if wrong else _LONG:
        moments = [[Fraction(v) for v in values] for values in numbers]
        told = f"lambda, E yx, Sigma_ii, Sigma_12 of {numbers}, N = {N}, M = {M}"
        wrong = wrong or _wrong_by_moments(claim, moments, Fraction(N), Fraction(M), told)
    for d in () if wrong else _SYMBOLIC_DIMENSIONS:
        corner = [f"o{i}{j}" for i in range(d) for j in range(i)]
        names = [f"{k}{i}" for k in ("lambda", "c", "s") for i in range(d)]
        (_, *gens) = field([*names, *corner, "N", "M"], sympy.QQ)
        moments = [gens[:d], gens[d : 2 * d], gens[2 * d : 3 * d], gens[3 * d : -2]]
        wrong = wrong or _wrong_by_moments(claim, moments, gens[-2], gens[-1], f"d = {d}")
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the means of the six products as rational functions of the moments, N and M, by pairings;"
        " over all prompts of finite laws, in fractions",
        f"every law, N and M by moments, weights of lambda_i and tr(Lambda) in d ="
        f" {_SYMBOLIC_DIMENSIONS}; all prompts of {tried} laws and lengths with N <= 5, M <= 3",
        counterexample=wrong,
    )


def _products() -> tuple[Expression, ...]:
    """Return II to VI by pairings, from E xx' = Lambda, E yx = c, E y^2 xx' = G and r = 1/M.

    yhat = x'A g, g the mean of M vectors y_i x_i of mean c, each of which meets itself once and
    M - 1 others in g g'; z stands for one of them.
    """
    A, x, z, c, r = matrix("A"), vector("x"), vector("z"), vector("c"), scalar("r")
    a, b, laws = vector("a"), vector("b"), {"x": symmetric("Lambda"), "z": symmetric("G")}
    mean, gap = x @ A @ c - b @ x, (b - a) @ x
    square = r * (x @ A @ z) ** 2 + (1 - r) * (x @ A @ c) ** 2
    second = square - 2 * (x @ A @ c) * (b @ x) + (b @ x) ** 2
    # The label of the query is met in y x only: E y v'x = c'v.
    labels = (c @ A @ c - b @ c, (b - a) @ c)
    return (
        expectation(second, laws),
        expectation(gap**2, laws),
        2 * (expectation(mean * (a @ x), laws) - labels[0]),
        2 * expectation(mean * gap, laws),
        2 * (expectation(gap * (a @ x), laws) - labels[1]),
    )


def _wrong_by_moments(
    claim: TermsClaim, moments: list[list[Any]], N: Any, M: Any, told: str
) -> str:
    """Compare II to VI; the moments are lambda, E yx, and Sigma on and off the diagonal."""
    lam, cross, spread, corner = moments
    m = Moments(lam, [x + (x + sum(lam)) / N for x in lam], cross, spread, N, M)
    d, zero, off = len(lam), 0 * N, iter(corner)
    G = np.array([[c * e for e in cross] for c in cross], dtype=object)
    for i in range(d):
        G[i, i] += spread[i]
        for j in range(i):
            G[i, j] = G[j, i] = G[i, j] + next(off)
    values: dict[str, Any] = {"G": G, "r": 1 / M, "d": d}
    for name, vector_ in (("a", m.best), ("b", claim.shrunk(m)), ("c", cross)):
        values[name] = np.array(vector_, dtype=object)
    for name, entries in (("Lambda", lam), ("A", [1 / g for g in m.gamma])):
        values[name] = np.full((d, d), zero, dtype=object)
        values[name][np.diag_indices(d)] = entries
    claimed = (claim.second(m), claim.third(m), zero, zero, zero)
    for name, expression, wanted in zip(_TERMS[1:], _products(), claimed, strict=True):
        if (found := evaluate(expression, values)) != wanted:
            return f"{told}: {name} is {found}, and the claim says {wanted}"
    return ""


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
