r"""Corollary 6 and the chain of displays that leads to it from Theorem 5, for noiseless tasks.

Every inequality of the chain is one between rational functions of positive letters: the
eigenvalues of Lambda (ordered: lambda_1 = m, then gaps), w_i^2, N and M. It is proved by the
coefficients of the difference, none of which is negative. All bounds are attained in the limit
N -> infinity and Lambda = I, so that no constant may be smaller; how loose they are elsewhere is
the subject of `papers.beyond.corollary_6_looseness`.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import product
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import sympy
from sympy.polys.fields import field

from papers.ledger import Evidence, Grade, statement
from theory.moments.algebra import matrix, symmetric, vector
from theory.moments.evaluation import evaluate
from theory.moments.expression import Expression, scalar
from theory.moments.wick import expectation
from theory.risk import expected_chain, weight_chain

DIMENSIONS = (1, 2, 3)

#: Eigenvalues of Lambda.
Spectrum = tuple[int | Fraction, ...]

#: Where wrong constants show, and where the library is compared.
SPECTRA: tuple[Spectrum, ...] = (
    (1,),
    (3,),
    (Fraction(1, 2),),
    (1, 1),
    (1, 2),
    (1, 100),
    (1, 1, 5),
    (2, 30, 7),
)
LENGTHS = (1, 2, 10, 10**6)


class Setting(NamedTuple):
    """lambda_i, w_i^2, N and M; numbers of any kind."""

    eigenvalues: Sequence[Any]
    squares: Sequence[Any]
    N: Any
    M: Any

    @property
    def trace(self) -> Any:
        """tr(Lambda)."""
        return sum(self.eigenvalues)

    def norm(self, power: int, damped: bool = False) -> Any:
        """|w|^2 with the weights Lambda^power, with Gamma^-2 if damped."""
        return sum(
            v * self._weight(x, power, damped)
            for v, x in zip(self.squares, self.eigenvalues, strict=True)
        )

    def trace_of(self, power: int, damped: bool = False) -> Any:
        """tr(Lambda^power), with Gamma^-2 if damped."""
        return sum(self._weight(x, power, damped) for x in self.eigenvalues)

    def _weight(self, x: Any, power: int, damped: bool) -> Any:
        return x**power / (x + (x + self.trace) / self.N) ** 2 if damped else x**power


#: Terms of the risk or of a bound: the variance, then the three parts of the bias.
Terms = Callable[[Setting], tuple[Any, ...]]


def noiseless_terms(
    s: Setting, *, spread: int = 2, doubled: int = 2, traces: int = 2, halves: int = 1
) -> tuple[Any, ...]:
    """Return the first display; the arguments after the setting are for the mutants."""
    return (
        (halves * s.norm(3, True) + s.norm(1) * s.trace_of(spread, True)) / s.M,
        s.norm(3, True) / s.N**2,
        doubled * s.norm(2, True) * s.trace / s.N**2,
        s.norm(1, True) * s.trace**traces / s.N**2,
    )


_RISK_MUTANTS: dict[str, Terms] = {
    "tr(Gamma^-2 Lambda)": partial(noiseless_terms, spread=1),
    "the middle term once": partial(noiseless_terms, doubled=1),
    "tr(Lambda) once": partial(noiseless_terms, traces=1),
    "the first part of the variance left out": partial(noiseless_terms, halves=0),
    "the first part of the variance twice": partial(noiseless_terms, halves=2),
    "1 % more": lambda s: tuple(term * 101 / 100 for term in noiseless_terms(s)),
}


@statement(
    id="zhang2024/noiseless-risk",
    title="The risk of the trained layer for one noiseless task",
    source="first display after Theorem 5",
    latex=r"\mathbf{E}(\hat y - \langle w, x\rangle)^2 = \tfrac1M\{\|w\|^2_{\Gamma^{-2}\Lambda^3}"
    r" + \mathrm{tr}(\Gamma^{-2}\Lambda^2)\|w\|^2_\Lambda\} + \tfrac1{N^2}[\|w\|^2_{\Gamma^{-2}"
    r"\Lambda^3} + 2\|w\|^2_{\Gamma^{-2}\Lambda^2}\mathrm{tr}\Lambda + \|w\|^2_{\Gamma^{-2}\Lambda}"
    r"\mathrm{tr}(\Lambda)^2]",
    printed=noiseless_terms,
    mutants=_RISK_MUTANTS,
    hypotheses=("x ~ N(0, Lambda), y = w'x", "the layer at the limit of Theorem 4"),
    depends_on=("zhang2024/theorem-5", "zhang2024/theorem-5-sigma"),
)
def NOISELESS(claim: Terms, rng: np.random.Generator) -> Evidence:
    """Average over M Gaussian examples by pairings; compare rational functions."""
    wrong = next(filter(None, (_wrong_risk(claim, d) for d in (1, 2))), "")
    for spectrum, N in product(SPECTRA, LENGTHS):
        wrong = wrong or _wrong_library(claim, spectrum, N)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the mean square of the error by pairings, as a rational function of lambda, w, N and M;"
        " theory.risk.weight_chain in fractions",
        "every d: weights of lambda_i and tr(Lambda), in d = 1 and 2",
        counterexample=wrong,
    )


def sampled_mean_risk() -> Expression:
    """Return E(x'A g - w'x)^2 with g = (1/M) sum_i x_i x_i'w, by pairings, for every d and M."""
    lam, A, r = symmetric("Lambda"), matrix("A"), scalar("r")
    x, first, second, w = (vector(name) for name in ("x", "x1", "x2", "w"))
    one, other = ((x @ A @ z) * (z @ w) for z in (first, second))
    laws = {"x1": lam, "x2": lam, "x": lam}
    # Each of the M examples meets itself once and M - 1 others: r = 1/M.
    square = r * one**2 + (1 - r) * one * other
    return expectation(square - 2 * one * (x @ w) + (x @ w) ** 2, laws)


def _wrong_risk(claim: Terms, d: int) -> str:
    names = [f"{k}{i}" for k in "lw" for i in range(d)]
    (_, *gens) = field([*names, "N", "M"], sympy.QQ)
    lam, w, N, M = gens[:d], gens[d : 2 * d], gens[-2], gens[-1]
    values: dict[str, Any] = {"w": np.array(w, dtype=object), "r": 1 / M, "d": d}
    for name, diagonal in (("Lambda", lam), ("A", [1 / (v + (v + sum(lam)) / N) for v in lam])):
        values[name] = np.full((d, d), 0 * N, dtype=object)
        values[name][np.diag_indices(d)] = diagonal
    claimed = sum(claim(Setting(lam, [v**2 for v in w], N, M)))
    found = evaluate(sampled_mean_risk(), values)
    if found == claimed:
        return ""
    at = dict(zip([*names, "N", "M"], [2] * d + list(range(1, d + 1)) + [1, 2], strict=True))
    point = list(zip(gens, at.values(), strict=True))
    numbers = tuple(_at(value, point) for value in (found, claimed))
    return f"d = {d}, {at}: the risk is {numbers[0]}, and the claim says {numbers[1]}"


def _at(value: Any, point: list[tuple[Any, int]]) -> Any:
    places = [(generator.numer, number) for generator, number in point]
    return value.numer.evaluate(places) / value.denom.evaluate(places)


def _wrong_library(claim: Terms, spectrum: Spectrum, N: int) -> str:
    chain = weight_chain(spectrum, [2] * len(spectrum), N, 3)
    claimed = claim(_setting(spectrum, N, 3, 4))
    if (chain.variance, *chain.biases) == claimed:
        return ""
    return f"Lambda = diag({_spell(spectrum)}), N = {N}: theory.risk.weight_chain differs"


def _setting(spectrum: Spectrum, N: int, M: int, square: int = 1) -> Setting:
    lam = [Fraction(x) for x in spectrum]
    return Setting(lam, [Fraction(square)] * len(lam), Fraction(N), Fraction(M))


def bound_terms(s: Setting, *, more: int = 1, doubled: int = 2, inverse: int = -1) -> Any:
    """Return the second display; the arguments after the setting are for the mutants."""
    return (
        (len(s.eigenvalues) + more) * s.norm(1) / s.M,
        s.norm(1) / s.N**2,
        doubled * s.norm(0) * s.trace / s.N**2,
        s.norm(inverse) * s.trace**2 / s.N**2,
    )


_BOUND_MUTANTS: dict[str, Terms] = {
    "d, not d + 1": partial(bound_terms, more=0),
    "the middle term once": partial(bound_terms, doubled=1),
    "|w|^2 in the last term": partial(bound_terms, inverse=0),
    "1 % less": lambda s: tuple(term * 99 / 100 for term in bound_terms(s)),
    # Equal for Lambda = I, and for d = 1; 1 + 2/N would be right.
    "Gamma >= (1 + (d + 1)/N) Lambda": lambda s: tuple(
        term / (1 + (len(s.eigenvalues) + 1) / s.N) ** 2 for term in bound_terms(s)
    ),
    "Gamma >= (1 + 3/N) Lambda": lambda s: tuple(
        term / (1 + 3 / s.N) ** 2 for term in bound_terms(s)
    ),
}


@statement(
    id="zhang2024/noiseless-bound",
    title="The bound on the risk for one noiseless task, from Gamma >= Lambda",
    source="second display after Theorem 5",
    latex=r"\mathbf{E}(\hat y - \langle w, x\rangle)^2 \le \tfrac{d+1}{M}\|w\|^2_\Lambda +"
    r" \tfrac1{N^2}[\|w\|^2_\Lambda + 2\|w\|_2^2\mathrm{tr}\Lambda"
    r" + \|w\|^2_{\Lambda^{-1}}\mathrm{tr}(\Lambda)^2]",
    printed=bound_terms,
    mutants=_BOUND_MUTANTS,
    hypotheses=("x ~ N(0, Lambda), y = w'x",),
    depends_on=("zhang2024/noiseless-risk",),
)
def BOUND(claim: Terms, rng: np.random.Generator) -> Evidence:
    """Compare term by term."""
    wrong = ""
    for spectrum, N in product(SPECTRA, LENGTHS):
        setting = _setting(spectrum, N, 3)
        exact, bound = noiseless_terms(setting), claim(setting)
        if not wrong and not all(e <= b for e, b in zip(exact, bound, strict=True)):
            wrong = (
                f"Lambda = diag({_spell(spectrum)}), w = (1, ...), N = {N}, M = 3: the parts"
                f" {_floats(exact)} and their bounds {_floats(bound)}"
            )
    for d in () if wrong else DIMENSIONS:
        setting = _positive_setting(d)
        gaps = (b - e for e, b in zip(noiseless_terms(setting), claim(setting), strict=True))
        if not all(map(_positive, gaps)):
            wrong = f"d = {d}: a bound minus its part has a negative coefficient"
    for spectrum, N in () if wrong else product(SPECTRA, LENGTHS):
        chain = weight_chain(spectrum, [1] * len(spectrum), N, 3)
        if (chain.variance_bound, *chain.bias_bounds) != claim(_setting(spectrum, N, 3)):
            wrong = f"Lambda = diag({_spell(spectrum)}), N = {N}: theory.risk.weight_chain differs"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "each part of the bound minus the part of the risk has no negative coefficient in lambda,"
        " w^2, N and M; and equals theory.risk.weight_chain in fractions",
        f"d in {DIMENSIONS}, every Lambda, w, N and M (its weights show every d)",
        counterexample=wrong,
    )


def _spell(spectrum: Spectrum) -> str:
    return ", ".join(map(str, spectrum))


def _floats(terms: Sequence[Any]) -> list[float]:
    return [float(f"{float(term):.4g}") for term in terms]


def _positive_setting(d: int, ordered: bool = False) -> Setting:
    """Return letters; ``ordered`` has the eigenvalues m, m + g_1, m + g_1 + g_2 and w_i^2 = 1."""
    names = [*(f"l{i}" for i in range(d)), *([] if ordered else [f"v{i}" for i in range(d)])]
    (rationals, *gens) = field([*names, "N", "M"], sympy.QQ)
    lam = [sum(gens[: i + 1]) for i in range(d)] if ordered else gens[:d]
    squares = [rationals.one] * d if ordered else gens[d : 2 * d]
    return Setting(lam, squares, gens[-2], gens[-1])


def _positive(value: Any) -> bool:
    """Tell whether a rational function is positive for positive letters, by its coefficients."""
    signs = {c > 0 for part in (value.numer, value.denom) for c in part.itercoeffs()}
    return signs == {True}


class AverageBound(NamedTuple):
    """The two bounds in the mean over w: epsilon M and eta, from (tr Lambda, d, kappa, N)."""

    variance: Callable[[Any, int], Any]
    bias: Callable[[Any, int, Any, Any], Any]


def _eta(T: Any, d: int, kappa: Any, N: Any) -> Any:
    return (1 + 2 * d + d**2 * kappa) * T / N**2


_COROLLARY = AverageBound(lambda T, d: (d + 1) * T, _eta)


@statement(
    id="zhang2024/corollary-6",
    title="The layer learns noiseless linear models up to eta, with examples of order 1/epsilon",
    source="Corollary 6 and the display before it",
    latex=r"M \ge (d+1)\mathrm{tr}(\Lambda)/\varepsilon \Rightarrow \mathbf{E}(\hat y -"
    r" \langle w, x\rangle)^2 \le \eta + \varepsilon,\ \eta = (1 + 2d + d^2\kappa)"
    r"\mathrm{tr}(\Lambda)/N^2",
    printed=_COROLLARY,
    mutants={
        "d tr(Lambda)/epsilon": _COROLLARY._replace(variance=lambda T, d: d * T),
        "kappa left out": AverageBound(
            _COROLLARY.variance, lambda T, d, kappa, N: _eta(T, d, 1, N)
        ),
        "d kappa": AverageBound(
            _COROLLARY.variance, lambda T, d, kappa, N: (1 + 2 * d + d * kappa) * T / N**2
        ),
        "without the 1": AverageBound(
            _COROLLARY.variance, lambda T, d, kappa, N: _eta(T, d, kappa, N) - T / N**2
        ),
        "1/N^3": AverageBound(_COROLLARY.variance, lambda T, d, kappa, N: _eta(T, d, kappa, N) / N),
        "eta 1 % less": AverageBound(
            _COROLLARY.variance, lambda T, d, kappa, N: _eta(T, d, kappa, N) * 99 / 100
        ),
        "epsilon 1 % less": _COROLLARY._replace(variance=lambda T, d: (d + 1) * T * 99 / 100),
    },
    hypotheses=("x ~ N(0, Lambda), w ~ N(0, I), y = w'x", "the layer at the limit of Theorem 4"),
    depends_on=("zhang2024/noiseless-bound", "zhang2024/definition-2", "zhang2024/eq-12"),
)
def COROLLARY_6(claim: AverageBound, rng: np.random.Generator) -> Evidence:
    """Bound variance and bias, each; then take the least M that is allowed."""
    wrong = next(filter(None, (_wrong_average(claim, *case) for case in _average_cases())), "")
    for d in () if wrong else DIMENSIONS:
        if not _average_is_bounded(claim, d):
            wrong = f"d = {d}: eta minus the bias has a negative coefficient"
    for spectrum, N in () if wrong else product(SPECTRA, LENGTHS):
        chain, s = expected_chain(spectrum, N, 3), _setting(spectrum, N, 3)
        kappa = Fraction(max(spectrum)) / min(spectrum)
        exact, eta = sum(noiseless_terms(s)), claim.bias(s.trace, len(spectrum), kappa, s.N)
        if (chain.exact, chain.bias_condition) != (exact, eta):
            wrong = (
                f"Lambda = diag({_spell(spectrum)}), N = {N}: theory.risk.expected_chain differs"
            )
    return Evidence(
        not wrong,
        Grade.PROVED,
        "each bound minus its part of the risk has no negative coefficient in the least eigenvalue,"
        " the gaps, N and M; the risk in fractions at the least M allowed; theory.risk",
        f"d in {DIMENSIONS}, every Lambda, N and M; {len(SPECTRA)} spectra in fractions",
        counterexample=wrong,
    )


def _average_cases() -> Iterator[tuple[Spectrum, int, Fraction]]:
    for spectrum, N in product(SPECTRA, LENGTHS):
        for scale in (Fraction(1, 2), Fraction(1, 10), Fraction(1, 10**4)):
            yield spectrum, N, Fraction(sum(spectrum)) * scale


def _wrong_average(claim: AverageBound, spectrum: Spectrum, N: int, eps: Fraction) -> str:
    d, T, kappa = len(spectrum), Fraction(sum(spectrum)), Fraction(max(spectrum)) / min(spectrum)
    M = max(ceil(claim.variance(T, d) / eps), 1)
    variance, *biases = noiseless_terms(_setting(spectrum, N, M))
    allowed = (eps, claim.bias(T, d, kappa, Fraction(N)))
    told = f"Lambda = diag({_spell(spectrum)}), N = {N}, epsilon = {eps}, M = {M}"
    for part, found, bound in zip(
        ("variance", "bias"), (variance, sum(biases)), allowed, strict=True
    ):
        if not found <= bound:
            return (
                f"{told}: the {part} is {float(found):.6g}, and the claim says {float(bound):.6g}"
            )
    return ""


def _average_is_bounded(claim: AverageBound, d: int) -> bool:
    s = _positive_setting(d, ordered=True)
    variance, *biases = noiseless_terms(s)
    kappa = s.eigenvalues[-1] / s.eigenvalues[0]
    bounds = (claim.variance(s.trace, d) / s.M, claim.bias(s.trace, d, kappa, s.N))
    return _positive(bounds[0] - variance) and _positive(bounds[1] - sum(biases))


STATEMENTS = (NOISELESS, BOUND, COROLLARY_6)
