r"""Displays (4) and (6): f*_pi is the posterior mean, and what is left of it without noise.

Given w = w_j, the density of (x_1, y_1, ..., x_k, y_k, x_{k+1}) is the product of the densities of
the covariates, which are the same for all j and cancel, and of N(<w_j, x_i>, sigma^2) at y_i. So
p_j is proportional to exp(-sum_i r_ij^2 / 2 sigma^2), and the mean of y_{k+1} is <sum_j p_j w_j,
x_{k+1}>. For sigma = 0, which Section 1.1 allows, display (4) divides by zero; with t =
exp(-1/2 sigma^2) -> 0 and the misfits a_j = sum_i r_ij^2, p_j = t^{a_j} / sum_l t^{a_l} tends to
1/(number of minimisers) on the minimisers, and to 0 elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import sympy as sp

from papers.ledger import Correction, Evidence, Fault, Grade, statement
from theory import PromptBatch, RegressionMixture

#: Numbers of components and of examples, in proofs; d is any, for <w_j, x_i> are symbols.
SIZES = tuple(product((1, 2, 3), (0, 1, 2)))


def _dot(p: Sequence[Any], v: Sequence[Any]) -> Any:
    return sum(a * b for a, b in zip(p, v, strict=True))


@dataclass(frozen=True)
class PosteriorClaim:
    """The posterior of display (6) and the answer of display (4).

    Parameters
    ----------
    exponent
        Of a component, from its <w_j, x_i> for i = 1..k+1 (the last is the query's), the labels
        and sigma.
    answer
        From the p_j and <w_j, x_{k+1}>.
    power
        Of the powers e^exponent before they are divided by their sum.
    """

    exponent: Callable[[Sequence[Any], Sequence[Any], Any], Any]
    answer: Callable[[Sequence[Any], Sequence[Any]], Any]
    power: int = 1


def _misfit(u: Sequence[Any], y: Sequence[Any]) -> Any:
    return sum(((a - b) ** 2 for a, b in zip(u, y, strict=False)), sp.Integer(0))


_POSTERIOR = PosteriorClaim(lambda u, y, sigma: -_misfit(u, y) / (2 * sigma**2), _dot)

_EXPONENTS: dict[str, PosteriorClaim] = {
    "1/sigma^2": replace(_POSTERIOR, exponent=lambda u, y, s: -_misfit(u, y) / s**2),
    "1/(2 sigma)": replace(_POSTERIOR, exponent=lambda u, y, s: -_misfit(u, y) / (2 * s)),
    "plus": replace(_POSTERIOR, exponent=lambda u, y, s: _misfit(u, y) / (2 * s**2)),
    "1 % more": replace(
        _POSTERIOR, exponent=lambda u, y, s: -_misfit(u, y) * sp.Rational(101, 200) / s**2
    ),
    "the query as an example with label 0": replace(
        _POSTERIOR, exponent=lambda u, y, s: -_misfit(u, [*y, 0]) / (2 * s**2)
    ),
    "the last example dropped": replace(
        _POSTERIOR, exponent=lambda u, y, s: -_misfit(u, y[:-1]) / (2 * s**2)
    ),
}


def _symbols(m: int, k: int) -> tuple[list[list[sp.Symbol]], list[sp.Symbol], sp.Symbol]:
    """<w_j, x_i> by j and i = 1..k+1, the labels, and sigma."""
    u = [list(sp.symbols(f"u{j}_1:{k + 2}", real=True)) for j in range(1, m + 1)]
    return u, list(sp.symbols(f"y1:{k + 1}", real=True)), sp.Symbol("sigma", positive=True)


def _log_odds_are_wrong(claim: PosteriorClaim, m: int, k: int) -> str:
    """Compare log p_1/p_j with Bayes' rule for the densities of eqs. (1) and (2)."""
    u, y, sigma = _symbols(m, k)
    # The logarithm of the density of N(<w_j, x_i>, sigma^2) at y_i; the covariates cancel.
    logs = [
        sum(
            (
                -sp.log(sp.sqrt(2 * sp.pi) * sigma) - ((label - mean) / sigma) ** 2 / 2
                for label, mean in zip(y, row[:k], strict=True)
            ),
            sp.Integer(0),
        )
        for row in u
    ]
    for j in range(1, m):
        told = claim.power * (claim.exponent(u[0], y, sigma) - claim.exponent(u[j], y, sigma))
        gap = sp.expand(told - logs[0] + logs[j])
        if gap != 0:
            free = sorted(gap.free_symbols, key=str)
            at = {symbol: value for value, symbol in enumerate(free, start=1)}
            return f"m = {m}, k = {k}: log p_1/p_{j + 1} is off by {gap.subs(at)} at {at}"
    return ""


@statement(
    id="pathak2023/display-4",
    title="f*_pi is the posterior mean of y_{k+1}, and w-hat does not depend on x_{k+1}",
    source="Section 2, display (4)",
    latex=r"f_\pi^*(P) = \langle \hat w(P), x_{k+1}\rangle = \mathbf{E}[y_{k+1} \mid P]",
    printed=_POSTERIOR,
    mutants={
        **_EXPONENTS,
        "squared weights": replace(_POSTERIOR, power=2),
        "the prior mean": replace(_POSTERIOR, answer=lambda p, v: sum(v) / len(v)),
        "the answer 1 % longer": replace(
            _POSTERIOR, answer=lambda p, v: _dot(p, v) * sp.Rational(101, 100)
        ),
    },
    hypotheses=("sigma > 0", "x_{k+1} and the covariates are independent of w"),
    depends_on=("pathak2023/display-2", "pathak2023/display-6"),
)
def POSTERIOR_MEAN(claim: PosteriorClaim, rng: np.random.Generator) -> Evidence:
    """Apply Bayes' rule with symbols; average <w_j, x_{k+1}> with weights that are symbols."""
    wrong = ""
    for m, k in SIZES:
        wrong = wrong or _log_odds_are_wrong(claim, m, k)
        p, v = sp.symbols(f"p1:{m + 1}", positive=True), sp.symbols(f"v1:{m + 1}", real=True)
        gap = sp.expand(claim.answer(p, v) - sum(p[j] * v[j] for j in range(m)))
        if not wrong and gap != 0:
            wrong = f"m = {m}: the answer is off by {gap}, with p_j and v_j = <w_j, x_2> as symbols"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "log odds of the claim against those of the densities, and E y_{k+1} = sum_j p_j <w_j, x>",
        f"every d, prompt and sigma > 0; (m, k) in {SIZES}",
        counterexample=wrong,
    )


#: p_1, ..., p_m from the scores s_j = -sum_i r_ij^2 / 2 sigma^2.
WeightClaim = Callable[[Sequence[sp.Symbol]], list[sp.Expr]]


def _softmax(s: Sequence[Any], factor: Any = 1) -> list[sp.Expr]:
    powers = [sp.exp(factor * score) for score in s]
    return [power / sum(powers) for power in powers]


@statement(
    id="pathak2023/display-6",
    title="The p_j are probabilities, the softmax of the scores, with odds e^{s_i - s_j}",
    source="Section 2, display (6)",
    latex=r"p_j = e^{s_j} / \sum_\ell e^{s_\ell},\quad"
    r" s_j = -\tfrac{1}{2\sigma^2} \sum_{i=1}^k (\langle w_j^*, x_i\rangle - y_i)^2",
    printed=_softmax,
    mutants={
        "without the denominator": lambda s: [sp.exp(score) for score in s],
        "the sum over the others": lambda s: [
            sp.exp(a) / (sum(sp.exp(b) for b in s if b != a) or 1) for a in s
        ],
        "of 2 s": lambda s: _softmax(s, 2),
        "of -s": lambda s: _softmax(s, -1),
        "of 1.01 s": lambda s: _softmax(s, sp.Rational(101, 100)),
        "linear weights": lambda s: [score / sum(s) for score in s],
    },
    hypotheses=("sigma > 0",),
)
def PROBABILITIES(claim: WeightClaim, rng: np.random.Generator) -> Evidence:
    """Check sum and odds with symbols; they determine the p_j."""
    wrong = ""
    for m in (1, 2, 3):
        s = sp.symbols(f"s1:{m + 1}", real=True)
        p = claim(s)
        at = dict(zip(s, (0, -1, -3), strict=False))
        if not wrong and sp.simplify(sum(p) - 1) != 0:
            wrong = f"s = {[*at.values()]}: the sum is {_number(sum(p), at)}"
        for j in range(1, m):
            odds = sp.exp(s[0] - s[j])
            if not wrong and sp.simplify(p[0] / p[j] - odds) != 0:
                wrong = (
                    f"s = {[*at.values()]}: p_1/p_{j + 1} is {_number(p[0] / p[j], at)},"
                    f" not {_number(odds, at)}"
                )
    return Evidence(
        not wrong,
        Grade.PROVED,
        "sum p_j = 1 and p_1/p_j = e^{s_1 - s_j}, with symbols",
        "every prompt; m in (1, 2, 3)",
        counterexample=wrong,
    )


def _number(value: sp.Expr, at: dict[sp.Symbol, int]) -> str:
    return str(sp.N(sp.sympify(value).subs(at), 4))


#: The p_j for sigma = 0, from the misfits; None where they are not defined.
LimitClaim = Callable[[list[int]], list[Fraction] | None]


def _ties(a: list[int]) -> list[Fraction]:
    return [Fraction(int(x == min(a)), a.count(min(a))) for x in a]


def _first_of_ties(a: list[int]) -> list[Fraction]:
    return [Fraction(int(j == a.index(min(a)))) for j in range(len(a))]


def _power(j: str) -> str:
    misfit = rf"\sum_{{i=1}}^k (\langle w_{j}^*, x_i \rangle - y_i)^2"
    return rf"\exp\Big(-\frac{{1}}{{2\sigma^2}} {misfit}\Big)"


def _listed(values: Sequence[Fraction | int]) -> str:
    return f"({', '.join(map(str, values))})"


#: t = exp(-1/2 sigma^2) of sigma = 0.066: misfits are integers.
SMALL = Fraction(1, 10**50)


@statement(
    id="pathak2023/display-4-zero-noise",
    title="Without noise f*_pi is the mean over the components that fit best",
    source="Section 2, display (4), for the sigma = 0 that Section 1.1 allows",
    latex=r"\hat w(P) := \frac{\sum_{j=1}^m w_j^* "
    + _power("j")
    + r"}{\sum_{\ell=1}^m "
    + _power(r"\ell")
    + r"},\quad \sigma \ge 0",
    printed=lambda a: None,
    correction=Correction[LimitClaim](
        _ties,
        "Display (4) divides by sigma^2 = 0. Its limit is the argmin of display (7), where ties are"
        " averaged; for noiseless labels M are the components that explain all examples.",
        Fault.GAP,
        latex=r"\hat w(P) := \frac{1}{|M|} \sum_{j \in M} w_j^*,\quad"
        r" M = \mathop{\mathrm{arg\,min}}_j \sum_{i=1}^k (\langle w_j^*, x_i \rangle"
        r" - y_i)^2,\quad \sigma = 0",
    ),
    mutants={
        "the first minimiser": _first_of_ties,
        "all components": lambda a: [Fraction(1, len(a))] * len(a),
        "the worst": lambda a: _ties([-x for x in a]),
        "zero misfit only": lambda a: [Fraction(int(x == 0), max(a.count(0), 1)) for x in a],
        "1 % left elsewhere": lambda a: [
            Fraction(99, 100) * p + Fraction(1, 100 * len(a)) for p in _ties(a)
        ],
    },
    hypotheses=("equal weights",),
    depends_on=("pathak2023/display-4",),
)
def ZERO_NOISE(claim: LimitClaim, rng: np.random.Generator) -> Evidence:
    """Evaluate the posterior at a tiny sigma in fractions; compare theory's sigma = 0 as well."""
    wrong = ""
    tried = [[0], [0, 1], [1, 1], [2, 1, 1], [3, 1, 2], [1, 1, 1]]
    for a in tried:
        powers = [SMALL**x for x in a]
        p = [power / sum(powers) for power in powers]
        told = claim(a)
        if told is None:
            wrong = wrong or (
                f"m = 1, sigma = 0 and the misfit {a[0]} (as for k = 1, w_1 = x_1 = y_1 = 1):"
                f" display (4) has exp(-{a[0]}/0), and p_1 = {p[0]} for all sigma > 0"
            )
        elif not wrong and max(abs(x - y) for x, y in zip(p, told, strict=True)) > 2 * SMALL:
            limits = [x.limit_denominator(100) for x in p]
            wrong = f"misfits {_listed(a)}: p tends to {_listed(limits)}, not to {_listed(told)}"
    for m in () if wrong else (2, 3):
        W, xs = rng.integers(-2, 3, (m, 1)), rng.integers(-2, 3, (20, 3, 1))
        ys = rng.integers(-2, 3, (20, 2))
        prompts = PromptBatch(xs.astype(float), ys.astype(float))
        found = RegressionMixture(W.astype(float), 0.0).posterior(prompts)
        for i in range(20):
            misfits = [int(np.sum((xs[i, :2] @ w - ys[i]) ** 2)) for w in W]
            told = claim(misfits)
            if not wrong and not np.allclose(found[i], np.array(told, dtype=float), atol=1e-14):
                claimed = _listed(told or [])
                wrong = f"misfits {_listed(misfits)}: theory has {found[i]}, the claim {claimed}"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the posterior at exp(-1/2 sigma^2) = 1e-50, in fractions; theory's for sigma = 0",
        f"misfits {tried}, and those of 40 prompts of integers",
        counterexample=wrong,
    )


STATEMENTS = (POSTERIOR_MEAN, PROBABILITIES, ZERO_NOISE)
