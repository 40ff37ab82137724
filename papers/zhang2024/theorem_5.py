r"""Theorem 5: the exact risk of the trained layer on prompts of any law, in three parts.

The error x'A g - y of the prediction is linear in (x, y), the query and its label, and affine in
g = (1/M) sum_i y_i x_i, which is independent of them. So its square averages to the same for any
two laws whose second moments agree: those of (x, y), and of g, of mean E xy and covariance Sigma/M.
Gaussian stand-ins with these moments give, by pairings, for every d and every matrix A,

    floor + tr(A'Lambda A Sigma)/M + |A Lambda a - a|_Lambda^2,

and (16) is this for A = Gamma^{-1}, eigenvalue by eigenvalue. That x is Gaussian, and E y, are not
used; all prompts of laws that are not Gaussian, one by one, say the same.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import sympy
from sympy.polys.fields import field

from papers.ledger import Evidence, Grade, statement
from theory.gradient_flow import FlowProblem
from theory.moments.algebra import matrix, symmetric, vector
from theory.moments.evaluation import evaluate
from theory.moments.expression import Expression, scalar
from theory.moments.wick import expectation
from theory.risk import LabelMoments, linear_risk, theorem_5_bias

#: Of the library against the claim, relative to the risk.
TOLERANCE = 1e-10

#: How many random laws the library is tried on.
PROBLEMS = 20

#: Where the proof with symbols is: weights that depend on lambda_i and the trace alone are known
#: from d = 2, where the two are free.
SYMBOLIC_DIMENSIONS = (1, 2)


class Law(NamedTuple):
    """What (16) needs, in the eigenbasis of Lambda; numbers of any kind."""

    eigenvalues: Sequence[Any]
    best: Sequence[Any]
    spread: Any
    floor: Any
    N: Any
    M: Any


#: The terms of the risk, in the order of (16).
RiskClaim = Callable[[Law], tuple[Any, ...]]

TERMS = ("the floor", "the variance", "the first bias", "the second bias", "the third bias")


def printed_terms(
    law: Law,
    *,
    training: int = 2,
    test: int = 1,
    traces: tuple[int, int] = (1, 2),
    doubled: int = 2,
    centred: bool = True,
    traced: bool = True,
) -> tuple[Any, ...]:
    """Return the five terms of (16); the arguments after the law are for the mutants."""
    lam, T = law.eigenvalues, sum(law.eigenvalues)
    gamma = [x + (x + T if traced else x) / law.N for x in lam]
    spread = [law.spread[i][i] for i in range(len(lam))]
    if not centred:
        spread = [s + (x * a) ** 2 for s, x, a in zip(spread, lam, law.best, strict=True)]
    weighted = [
        sum(a**2 * x**k / g**2 for a, x, g in zip(law.best, lam, gamma, strict=True))
        for k in (3, 2, 1)
    ]
    rate = law.N**training
    return (
        law.floor,
        sum(s * x / g**2 for s, x, g in zip(spread, lam, gamma, strict=True)) / law.M**test,
        weighted[0] / rate,
        doubled * T ** traces[0] * weighted[1] / rate,
        T ** traces[1] * weighted[2] / rate,
    )


def without(term: int) -> RiskClaim:
    """Return (16) with one of its terms dropped."""
    return scaled(term, Fraction(0))


def scaled(term: int, factor: Fraction) -> RiskClaim:
    """Return (16) with one of its terms multiplied."""

    def claim(law: Law) -> tuple[Any, ...]:
        terms = printed_terms(law)
        return (*terms[:term], _times(factor, terms[term]), *terms[term + 1 :])

    return claim


def _times(factor: Fraction, term: Any) -> Any:
    """Multiply in integers, which floats, fractions and rational functions all take."""
    return term * factor.numerator / factor.denominator


_MUTANTS: dict[str, RiskClaim] = {
    **{f"{name} dropped": without(i) for i, name in enumerate(TERMS)},
    **{f"{name} 1 % more": scaled(i, Fraction(101, 100)) for i, name in enumerate(TERMS)},
    "1/N, not 1/N^2": partial(printed_terms, training=1),
    "1/M^2": partial(printed_terms, test=2),
    "the middle term once": partial(printed_terms, doubled=1),
    "tr(Lambda) once in the last term": partial(printed_terms, traces=(1, 1)),
    "E y^2 xx' for Sigma": partial(printed_terms, centred=False),
    "Gamma with lambda_i where tr(Lambda) is": partial(printed_terms, traced=False),
}


@statement(
    id="zhang2024/theorem-5",
    title="The risk of the trained layer on prompts of any law",
    source="Theorem 5, eqs. (15) and (16); Appendix B",
    latex=r"\mathbf{E}(\hat y - y)^2 = \min_w \mathbf{E}(\langle w, x\rangle - y)^2"
    r" + \tfrac1M \mathrm{tr}[\Sigma\Gamma^{-2}\Lambda] + \tfrac1{N^2}"
    r" [\|a\|^2_{\Gamma^{-2}\Lambda^3} + 2\mathrm{tr}(\Lambda)\|a\|^2_{\Gamma^{-2}\Lambda^2}"
    r" + \mathrm{tr}(\Lambda)^2\|a\|^2_{\Gamma^{-2}\Lambda}]",
    printed=printed_terms,
    mutants=_MUTANTS,
    hypotheses=(
        "E xx' = Lambda is positive definite; E xy and E y^2 xx' are finite",
        "E y^2 is finite, or both sides are infinite (printed: x Gaussian, E y finite; not needed)",
    ),
    depends_on=("zhang2024/theorem-5-sigma", "zhang2024/appendix-b-terms"),
)
def THEOREM_5(claim: RiskClaim, rng: np.random.Generator) -> Evidence:
    """Go through all prompts of finite laws; prove it with symbols; then try the library."""
    wrong = next(filter(None, (_wrong_over_all_prompts(claim, *case) for case in _cases())), "")
    wrong = wrong or next(
        filter(None, (_wrong_with_symbols(claim, d) for d in SYMBOLIC_DIMENSIONS)), ""
    )
    error = 0.0 if wrong else max(_library_error(claim, rng) for _ in range(PROBLEMS))
    if not wrong and not error <= TOLERANCE:
        wrong = f"theory.risk differs from the claim by {error:.3g} relative"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the mean square of the error by pairings, as a rational function; in fractions, the mean"
        " over all prompts of finite laws; then theory.risk",
        f"every law: weights of lambda_i and tr(Lambda) in d = {SYMBOLIC_DIMENSIONS}; all"
        f" prompts of {len(FINITE_LAWS)} laws with N, M <= 3; the library at {PROBLEMS} random"
        " laws, d <= 5",
        error,
        TOLERANCE,
        wrong,
    )


#: (x, y) of equal probability, with E xx' diagonal: a mean, noise that depends on x, curved labels.
FINITE_LAWS: tuple[tuple[tuple[tuple[int, ...], int], ...], ...] = (
    (((1,), 1), ((-1,), 0)),
    (((2,), 1), ((-1,), 3), ((-1,), 0)),
    (((1, 2), 1), ((1, -2), 3), ((-1, 2), 0), ((-1, -2), -1)),
    (((3, 0), 2), ((-3, 0), 1), ((0, 1), 1), ((0, -1), -2), ((0, 1), 0), ((0, -1), 2)),
)


def _cases() -> Iterator[tuple[int, int, int]]:
    """Yield the law, N and M."""
    for index, law in enumerate(FINITE_LAWS):
        for N, M in ((1, 1), (2, 1), (1, 2), (3, 3) if len(law) < 4 else (3, 2)):
            yield index, N, M


def _wrong_over_all_prompts(claim: RiskClaim, index: int, N: int, M: int) -> str:
    pairs = [(tuple(map(Fraction, x)), Fraction(y)) for x, y in FINITE_LAWS[index]]
    d, n = len(pairs[0][0]), len(pairs)
    lam = [sum((x[i] ** 2 for x, _ in pairs), Fraction(0)) / n for i in range(d)]
    gamma = [v + (v + sum(lam)) / N for v in lam]
    total: Any = Fraction(0)
    for *examples, (query, label) in product(pairs, repeat=M + 1):
        sums = [sum(y * x[i] for x, y in examples) / M for i in range(d)]
        total += (sum(q * s / g for q, s, g in zip(query, sums, gamma, strict=True)) - label) ** 2
    found = total / n ** (M + 1)
    claimed = sum(claim(_law_of(pairs, lam, N, M)))
    if claimed == found:
        return ""
    return (
        f"(x, y) uniform on {FINITE_LAWS[index]}, N = {N}, M = {M}: the mean over all prompts is"
        f" {found}, and the claim says {claimed}"
    )


def _law_of(pairs: Any, lam: list[Fraction], N: int, M: int) -> Law:
    """Return the moments by their definitions (15)."""
    d, n = len(lam), len(pairs)
    cross = [sum(y * x[i] for x, y in pairs) / n for i in range(d)]
    spread = [
        [sum((y * x[i] - cross[i]) * (y * x[j] - cross[j]) for x, y in pairs) / n for j in range(d)]
        for i in range(d)
    ]
    best = [c / v for c, v in zip(cross, lam, strict=True)]
    floor = sum((sum(a * t for a, t in zip(best, x, strict=True)) - y) ** 2 for x, y in pairs) / n
    return Law(lam, best, spread, floor, Fraction(N), Fraction(M))


def general_risk() -> Expression:
    """Return E(x'A g - y)^2 by pairings: y = a'x + e, E e^2 = f, g = Lambda a + t z, t^2 = 1/M."""
    lam, spread, A = symmetric("Lambda"), symmetric("Sigma"), matrix("A")
    x, z, a = vector("x"), vector("z"), vector("a")
    g = lam @ a + z * scalar("t")
    error = x @ A @ g - x @ a - scalar("e")
    return expectation(error**2, {"x": lam, "z": spread, "e": scalar("f")})


def _wrong_with_symbols(claim: RiskClaim, d: int) -> str:
    """Compare rational functions of the eigenvalues, a, Sigma, the floor, N and t = M^{-1/2}."""
    corner = [f"s{i}{j}" for i in range(d) for j in range(i, d)]
    names = [*(f"l{i}" for i in range(d)), *(f"a{i}" for i in range(d)), *corner, "f", "N", "t"]
    (rationals, *gens) = field(names, sympy.QQ)
    values = dict(zip(names, gens, strict=True))
    lam, a = ([values[f"{k}{i}"] for i in range(d)] for k in "la")
    spread = [[values[f"s{min(i, j)}{max(i, j)}"] for j in range(d)] for i in range(d)]
    N, t, floor = values["N"], values["t"], values["f"]
    arrays: dict[str, Any] = {"a": np.array(a, dtype=object), "Sigma": np.array(spread)}
    for name, diagonal in (
        ("Lambda", lam),
        ("A", [1 / (v + (v + sum(lam)) / N) for v in lam]),
    ):
        arrays[name] = np.full((d, d), rationals.zero, dtype=object)
        arrays[name][np.diag_indices(d)] = diagonal
    found = evaluate(general_risk(), arrays | {"f": floor, "t": t, "d": d})
    difference = sum(claim(Law(lam, a, spread, floor, N, 1 / t**2))) - found
    return "" if difference == 0 else f"d = {d}: the risk and the claim differ by {difference}"


def _library_error(claim: RiskClaim, rng: np.random.Generator) -> float:
    """Draw a law by its moments, Lambda not diagonal, and compare the risk and its parts."""
    d, N, M = (int(n) for n in rng.integers(1, 6, 3))
    root, a = rng.standard_normal((d, d)), rng.standard_normal(d)
    lam = root @ root.T + 0.1 * np.eye(d)
    other = rng.standard_normal((d, d))
    spread, floor = other @ other.T, float(rng.uniform(0, 3))
    moments = LabelMoments(lam, floor + a @ lam @ a, lam @ a, spread + np.outer(lam @ a, lam @ a))
    eigenvalues, basis = np.linalg.eigh(lam)
    law = Law(list(eigenvalues), list(basis.T @ a), basis.T @ spread @ basis, floor, N, M)
    terms = np.array([float(term) for term in claim(law)])
    risk = linear_risk(FlowProblem.fixed(lam, N).minimiser, moments, M)
    found = np.array([risk.floor, risk.variance, *theorem_5_bias(lam, N, a)])
    total = abs(risk.floor + risk.variance + risk.bias - terms.sum())
    return float(max(np.max(np.abs(found - terms)), total) / risk.total)


STATEMENTS = (THEOREM_5,)
