r"""What is loose in the chain of Corollary 6 of Zhang et al., step by step, and by what factor.

The exact risk of noiseless tasks w ~ N(0, I) is a sum over the eigenvalues of Lambda, of trace T:

    sum_i (1/M) lambda_i^2 (lambda_i + T)/gamma_i^2 + (1/N^2) lambda_i (lambda_i + T)^2/gamma_i^2.

1. "Gamma >= Lambda" puts lambda_i^2 in place of gamma_i^2. It multiplies the i-th summand, of the
   variance and of the bias, by exactly (1 + (1 + T/lambda_i)/N)^2: nothing for N -> infinity,
   (1 + (d+1)/N)^2 for isotropic Lambda, and without bound where T/lambda_i outgrows N.
2. The mean over w is exact.
3. tr(Lambda^{-1}) tr(Lambda) <= d^2 kappa, for d >= 2. The product lies between

       (sqrt(kappa) + 1/sqrt(kappa) + d - 2)^2  and  d^2 + floor(d^2/4) (kappa - 1)^2/kappa,

   and d and kappa allow no better: it is the first with all eigenvalues but two at the geometric
   mean of these, and the second with floor(d/2) at the top and the others at the bottom. So d^2
   kappa is less than d^2/floor(d^2/4) times the sharp bound in d and kappa, 4 for even d and
   4 d^2/(d^2 - 1) for odd d. For a given Lambda it is at least 1 and less than d^2 times the
   product; both factors are approached as kappa -> infinity. Nothing is lost for kappa = 1.
   Upper end, for every d: the product is convex in each eigenvalue l, as (l + s)(1/l + r) is, so
   that corners of [1, kappa]^d are enough; with j at the top a corner has
   d^2 + j (d - j) (kappa - 1)^2/kappa. Lower end: with k^2 = kappa, the extremes 1 and k^2, and
   X and Y the sums of the m = d - 2 other eigenvalues and of their inverses, the product is
   (k + 1/k + m)^2 + (XY - m^2) + (k + 1/k) (kY + X/k - 2m); XY >= m^2 by Cauchy-Schwarz, and the
   last bracket is the sum of (l - k)^2/(k l).
4. So what is loose at finite N is step 1: `papers.beyond.uniform_bias` bounds the bias for every
   condition number.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import sympy
from sympy.polys.fields import field

from papers.ledger import Evidence, Grade, statement
from theory.risk import expected_chain

#: Factor by which step 1 enlarges a summand, from lambda, T and N.
FactorClaim = Callable[[Any, Any, Any], Any]

SPECTRA: tuple[tuple[int, ...], ...] = ((1,), (2, 2, 2), (1, 2), (1, 50, 3), (1, 10**6))
LENGTHS = (1, 3, 40, 10**6)


def _factor(x: Any, T: Any, N: Any) -> Any:
    return (1 + (1 + T / x) / N) ** 2


@statement(
    id="beyond/corollary-6-gamma-step",
    title="What Gamma >= Lambda loses in Corollary 6",
    source="ours; zhang2024, second display after Theorem 5",
    latex=r"\frac{\text{bound}_i}{\text{risk}_i} = \Big(1 + \frac{1 + \mathrm{tr}(\Lambda)/"
    r"\lambda_i}{N}\Big)^2",
    printed=_factor,
    beyond=True,
    mutants={
        "not squared": lambda x, T, N: 1 + (1 + T / x) / N,
        "T/lambda alone": lambda x, T, N: (1 + T / x / N) ** 2,
        "N + 1": lambda x, T, N: (1 + (1 + T / x) / (N + 1)) ** 2,
        "isotropic, (1 + 2 T/lambda/N)^2": lambda x, T, N: (1 + 2 * T / x / N) ** 2,
        "1 % more": lambda x, T, N: _factor(x, T, N) * 101 / 100,
    },
    hypotheses=("x ~ N(0, Lambda), w ~ N(0, I), no noise",),
    depends_on=("zhang2024/corollary-6",),
)
def GAMMA_STEP(claim: FactorClaim, rng: np.random.Generator) -> Evidence:
    """Divide the summands; for whole sums the factor lies between the least and the largest."""
    (_, x, T, N) = field(["lambda", "T", "N"], sympy.QQ)
    gamma = x + (x + T) / N
    wrong = ""
    for part, exact, bound in (
        ("variance", x**2 * (x + T) / gamma**2, x + T),
        ("bias", x * (x + T) ** 2 / gamma**2 / N**2, (x + T) ** 2 / x / N**2),
    ):
        if not wrong and bound / exact != claim(x, T, N):
            place = Fraction(1), Fraction(3), Fraction(2)
            wrong = (
                f"lambda = 1, T = 3, N = 2: the {part} grows by {_factor(*place)}, and the claim"
                f" says {claim(*place)}"
            )
    widest = 1.0
    for spectrum, length in () if wrong else product(SPECTRA, LENGTHS):
        factors = [claim(Fraction(v), Fraction(sum(spectrum)), length) for v in spectrum]
        chain = expected_chain(spectrum, length, 5)
        ratios = (chain.variance_bound / chain.variance, chain.bias_first / chain.bias)
        widest = max(widest, float(ratios[1]))
        if not all(min(factors) <= ratio <= max(factors) for ratio in ratios):
            wrong = f"Lambda = diag{spectrum}, N = {length}: theory.risk has the factors {ratios}"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the quotient of summands as a rational function; theory.risk's sums lie between the least"
        f" and the largest factor (up to {widest:.3g} there)",
        "every lambda, tr(Lambda) and N, so every d",
        counterexample=wrong,
    )


class ProductClaim(NamedTuple):
    """The range of tr(Lambda) tr(Lambda^{-1}), and what d^2 kappa loses; d = 2 h + p, p = 0 or 1.

    Parameters
    ----------
    largest
        The sharp bound, from h, p and kappa.
    smallest
        The least product, from d and sqrt(kappa).
    loss
        The supremum over kappa of d^2 kappa / largest, from h and p.
    worst
        The supremum over Lambda of d^2 kappa / product, from d.
    """

    largest: Callable[[Any, int, Any], Any]
    smallest: Callable[[Any, Any], Any]
    loss: Callable[[Any, int], Any]
    worst: Callable[[Any], Any]


def _largest(h: Any, p: int, kappa: Any) -> Any:
    return (2 * h + p) ** 2 + h * (h + p) * (kappa - 1) ** 2 / kappa


def _loss(h: Any, p: int) -> Any:
    return (2 * h + p) ** 2 / (h * (h + p))


_PRODUCT = ProductClaim(
    _largest, lambda d, root: (root + 1 / root + d - 2) ** 2, _loss, lambda d: d**2
)


@statement(
    id="beyond/corollary-6-condition-step",
    title="What d^2 kappa loses in Corollary 6, for every d: to the sharp bound in d and kappa less"
    " than d^2/floor(d^2/4); for a given Lambda less than d^2",
    source="ours; zhang2024, last display before Corollary 6; Kantorovich for even d",
    latex=r"\Big(\sqrt\kappa + \tfrac1{\sqrt\kappa} + d - 2\Big)^2 \le"
    r" \mathrm{tr}\Lambda\,\mathrm{tr}\Lambda^{-1} \le d^2 + \lfloor d^2/4\rfloor"
    r"\frac{(\kappa - 1)^2}{\kappa},\quad 1 \le \frac{d^2\kappa}{\max} <"
    r" \frac{d^2}{\lfloor d^2/4\rfloor},\quad 1 \le \frac{d^2\kappa}{\mathrm{tr}\Lambda\,"
    r"\mathrm{tr}\Lambda^{-1}} < d^2, \text{ all sharp}",
    printed=_PRODUCT,
    beyond=True,
    mutants={
        "d^2 kappa": _PRODUCT._replace(largest=lambda h, p, kappa: (2 * h + p) ** 2 * kappa),
        "Kantorovich, for odd d too": _PRODUCT._replace(
            largest=lambda h, p, kappa: (2 * h + p) ** 2 * (1 + kappa) ** 2 / (4 * kappa)
        ),
        "one eigenvalue at the top": _PRODUCT._replace(
            largest=lambda h, p, kappa: (
                (2 * h + p) ** 2 + (2 * h + p - 1) * (kappa - 1) ** 2 / kappa
            )
        ),
        "1 % less": _PRODUCT._replace(largest=lambda h, p, k: _largest(h, p, k) * 99 / 100),
        "a factor 2": _PRODUCT._replace(loss=lambda h, p: h**0 * 2),
        "a factor 4 for odd d too": _PRODUCT._replace(loss=lambda h, p: h**0 * 4),
        "a factor 4 for a given Lambda": _PRODUCT._replace(worst=lambda d: d**0 * 4),
        "a factor d for a given Lambda": _PRODUCT._replace(worst=lambda d: d),
        "a factor d^2 - 1 for a given Lambda": _PRODUCT._replace(worst=lambda d: d**2 - 1),
        "at least d^2": _PRODUCT._replace(smallest=lambda d, root: d**2),
        "1 % more": _PRODUCT._replace(
            smallest=lambda d, root: _PRODUCT.smallest(d, root) * 101 / 100
        ),
    },
    hypotheses=("lambda_i in [1, kappa], d >= 2, both ends taken",),
    depends_on=("zhang2024/corollary-6",),
)
def CONDITION_STEP(claim: ProductClaim, rng: np.random.Generator) -> Evidence:
    """Look for spectra that speak against it; prove it with letters for d and kappa."""
    wrong = next(filter(None, (_wrong_range(claim, d) for d in range(2, 9))), "")
    if not wrong and not (_is_upper_end(claim) and _is_lower_end(claim)):
        wrong = "d and kappa as letters: the claim is not what they give (no spectrum with d <= 8)"
    for d in () if wrong else range(2, 9):
        found = expected_chain([1] * (d - d // 2) + [7] * (d // 2), 10, 1)
        if found.bias_extreme != found.bias_first:
            wrong = f"d = {d}: theory.risk's bound is not attained with half of them at the top"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "differences as rational functions of floor(d/2), the number at the top, sqrt(kappa) and"
        " sums: squares, or no negative coefficient; convexity and Cauchy-Schwarz are in the"
        " module; theory.risk attains the upper end",
        "every d >= 2 and every Lambda; spectra with d <= 8 in fractions",
        counterexample=wrong,
    )


#: sqrt(kappa) of the spectra; the last is near enough to infinity for a loss to be 1e-5 from its
#: supremum.
ROOTS = (Fraction(2), Fraction(10), Fraction(10**8))


def _wrong_range(claim: ProductClaim, d: int) -> str:
    """Compare products of spectra, the extreme ones among them, with both ends and the losses."""
    h, p = Fraction(d // 2), d % 2
    for root in ROOTS:
        kappa = root**2
        corners = [[Fraction(1)] * (d - j) + [kappa] * j for j in range(1, d)]
        products = {_product(x): x for x in (*corners, [Fraction(1), *[root] * (d - 2), kappa])}
        low, high = min(products), max(products)
        told = f"d = {d}, kappa = {kappa}"
        for name, found, claimed in (
            ("largest", high, claim.largest(h, p, kappa)),
            ("smallest", low, claim.smallest(Fraction(d), root)),
        ):
            if found != claimed:
                shown = ", ".join(map(str, products[found]))
                return (
                    f"{told}: tr(Lambda) tr(Lambda^-1) of the {name} is {float(found):.6g}, for"
                    f" Lambda = diag({shown}), and the claim says {float(claimed):.6g}"
                )
        for name, found, most in (
            ("to the sharp bound", d**2 * kappa / high, claim.loss(h, p)),
            ("for a given Lambda", d**2 * kappa / low, claim.worst(Fraction(d))),
        ):
            near = root < ROOTS[-1] or found > most * (1 - Fraction(1, 10**5))
            if not (1 <= found < most and near):
                return (
                    f"{told}: {name} the loss is {float(found):.6g}, and the claim says"
                    f" {float(most):.6g} at most, and nearly that"
                )
    return ""


def _product(spectrum: Sequence[Fraction]) -> Fraction:
    return sum(spectrum, Fraction(0)) * sum((1 / x for x in spectrum), Fraction(0))


def _is_upper_end(claim: ProductClaim) -> bool:
    """Compare with a corner that has h + t at the top: t (t - p) >= 0 for integers t, p = 0, 1."""
    (rationals, h, t, kappa, x, rest, inverses) = field(
        ["h", "t", "kappa", "l", "s", "r"], sympy.QQ
    )
    # Convex in l > 0: the second derivative of (l + s)(1/l + r) is 2 s/l^3.
    if ((x + rest) * (1 / x + inverses)).diff(x).diff(x) != 2 * rest / x**3:
        return False
    for p in (0, 1):
        top, bottom = h + t, h + p - t
        corner = (top * kappa + bottom) * (top / kappa + bottom)
        if claim.largest(h, p, kappa) - corner != t * (t - p) * (kappa - 1) ** 2 / kappa:
            return False
        loss = (2 * h + p) ** 2 * kappa / claim.largest(h, p, kappa)
        if not _tends_from_below(loss, claim.loss(h, p) * rationals.one, 2):
            return False
    return True


def _is_lower_end(claim: ProductClaim) -> bool:
    """Compare with any spectrum 1, k^2 and m others, of sums X and Y."""
    (rationals, m, k, X, Y) = field(["m", "k", "X", "Y"], sympy.QQ)
    least = claim.smallest(m + 2, k)
    gap = (1 + k**2 + X) * (1 + 1 / k**2 + Y) - least
    mean = (1 + k**2 + m * k) * (1 + 1 / k**2 + m / k)
    loss = (m + 2) ** 2 * k**2 / least
    return bool(
        gap == (X * Y - m**2) + (k + 1 / k) * (k * Y + X / k - 2 * m)
        and mean == least
        and _tends_from_below(loss, claim.worst(m + 2) * rationals.one, 1)
    )


def _tends_from_below(value: Any, bound: Any, letter: int) -> bool:
    """Tell whether bound - value is positive, by its coefficients, and falls to 0 in the letter."""
    rest = bound - value
    coefficients = (c for part in (rest.numer, rest.denom) for c in part.itercoeffs())
    falls = rest.numer.degree(letter) < rest.denom.degree(letter)
    return bool(rest != 0 and all(c > 0 for c in coefficients) and falls)


STATEMENTS = (GAMMA_STEP, CONDITION_STEP)
