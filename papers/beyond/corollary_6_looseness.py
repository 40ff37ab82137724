r"""What is loose in the chain of Corollary 6 of Zhang et al., step by step, and by what factor.

The exact risk of noiseless tasks w ~ N(0, I) is a sum over the eigenvalues of Lambda, of trace T:

    sum_i (1/M) lambda_i^2 (lambda_i + T)/gamma_i^2 + (1/N^2) lambda_i (lambda_i + T)^2/gamma_i^2.

1. "Gamma >= Lambda" puts lambda_i^2 in place of gamma_i^2. It multiplies the i-th summand, of the
   variance and of the bias, by exactly (1 + (1 + T/lambda_i)/N)^2: nothing for N -> infinity,
   (1 + (d+1)/N)^2 for isotropic Lambda, and without bound where T/lambda_i outgrows N.
2. The mean over w is exact.
3. tr(Lambda^{-1}) tr(Lambda) <= d^2 kappa loses at most a factor 4 for even d and 4 d^2/(d^2 - 1)
   for odd d >= 3: the largest product is d^2 + floor(d^2/4) (kappa-1)^2/kappa, with floor(d/2)
   eigenvalues at the top and the others at the bottom. (It is convex in each eigenvalue l, as
   (l + s)(1/l + r) is, so that corners of [1, kappa]^d are enough.) It is all that is lost for
   N -> infinity, and nothing for kappa = 1.
4. So what is loose at finite N is step 1. The bias never exceeds min(1, (d+3)/(4 (N+1))) T, for any
   condition number, by ((N+1) l + T)^2 >= 4 (N+1) l T; eta does as soon as d^2 kappa > N^2. A bound
   without kappa must be of order 1/N: d - 1 eigenvalues T/(N+1) have that much bias.
"""

from collections.abc import Callable, Iterator, Sequence
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
    """The largest tr(Lambda) tr(Lambda^{-1}), from d and kappa, and the loss of d^2 kappa at most.

    Parameters
    ----------
    largest
        From d and kappa.
    loss
        The supremum over kappa of d^2 kappa / largest, from d >= 2.
    """

    largest: Callable[[int, Any], Any]
    loss: Callable[[int], Fraction]


def _largest(d: int, kappa: Any) -> Any:
    return d**2 + (d**2 // 4) * (kappa - 1) ** 2 / kappa


_PRODUCT = ProductClaim(_largest, lambda d: Fraction(d**2, d**2 // 4))


@statement(
    id="beyond/corollary-6-condition-step",
    title="What the condition number loses in Corollary 6: a factor 4",
    source="ours; zhang2024, last display before Corollary 6; Kantorovich for even d",
    latex=r"\max \mathrm{tr}\Lambda\,\mathrm{tr}\Lambda^{-1} = d^2 + \lfloor d^2/4\rfloor"
    r"\frac{(\kappa - 1)^2}{\kappa},\quad \frac{d^2\kappa}{\max} \le"
    r" \frac{d^2}{\lfloor d^2/4\rfloor}",
    printed=_PRODUCT,
    beyond=True,
    mutants={
        "d^2 kappa": _PRODUCT._replace(largest=lambda d, kappa: d**2 * kappa),
        "Kantorovich, for odd d too": _PRODUCT._replace(
            largest=lambda d, kappa: d**2 * (1 + kappa) ** 2 / (4 * kappa)
        ),
        "one eigenvalue at the top": _PRODUCT._replace(
            largest=lambda d, kappa: d**2 + (d - 1) * (kappa - 1) ** 2 / kappa
        ),
        "a factor 2": _PRODUCT._replace(loss=lambda d: Fraction(2)),
        "a factor 4 for odd d too": _PRODUCT._replace(loss=lambda d: Fraction(4)),
        "1 % less": _PRODUCT._replace(largest=lambda d, kappa: _largest(d, kappa) * 99 / 100),
    },
    hypotheses=("lambda_i in [1, kappa], d >= 2, both ends taken",),
    depends_on=("zhang2024/corollary-6",),
)
def CONDITION_STEP(claim: ProductClaim, rng: np.random.Generator) -> Evidence:
    """Try every corner with a letter for kappa = 1 + s, and the limit s -> infinity."""
    (rationals, s) = field(["s"], sympy.QQ)
    kappa, wrong = 1 + s, ""
    for d in range(2, 8):
        corners = [(j * kappa + d - j) * (j / kappa + d - j) for j in range(1, d)]
        gaps = [claim.largest(d, kappa) - corner for corner in corners]
        loss = d**2 * kappa / claim.largest(d, kappa)
        if not wrong and not (_nonnegative(gaps) and rationals.zero in gaps):
            j = d // 2
            told = float(_at(corners[j - 1], 3)), float(_at(claim.largest(d, kappa), 3))
            wrong = (
                f"d = {d}, kappa = 4, {j} at the top: {told[0]:.6g}, and the claim {told[1]:.6g}"
            )
        # The loss grows with s towards the claimed limit and stays below.
        rest = claim.loss(d) - loss
        if not wrong and not (_nonnegative([rest]) and rest.numer.degree() < rest.denom.degree()):
            wrong = f"d = {d}, kappa = 10^6: the loss is {float(_at(loss, 10**6)):.6g}"
            wrong += f", and the claim says {claim.loss(d)} at most, and nearly that"
        found = expected_chain([1] * (d - d // 2) + [7] * (d // 2), 10, 1)
        if not wrong and found.bias_extreme != found.bias_first:
            wrong = f"d = {d}: theory.risk's bound is not attained with half of them at the top"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "claim minus product at every corner has no negative coefficient in kappa - 1, and is 0 at"
        " one; theory.risk attains it",
        "d from 2 to 7, every kappa",
        counterexample=wrong,
    )


def _nonnegative(values: Sequence[Any]) -> bool:
    parts = (part for value in values for part in (value.numer, value.denom))
    return all(c > 0 for part in parts for c in part.itercoeffs())


def _at(value: Any, number: int) -> Any:
    return value.numer.evaluate(0, number) / value.denom.evaluate(0, number)


class UniformClaim(NamedTuple):
    """bias/T <= ``upper`` for every Lambda, and > ``lower`` for some, from d and N."""

    upper: Callable[[int, int], Fraction]
    lower: Callable[[int, int], Fraction]


_UNIFORM = UniformClaim(
    lambda d, N: min(Fraction(1), Fraction(d + 3, 4 * (N + 1))),
    lambda d, N: Fraction((d - 1) * (N + 2) ** 2, 4 * (N + 1) ** 3),
)


@statement(
    id="beyond/bias-without-condition-number",
    title="A bound on the bias for every condition number, of the only possible order 1/N",
    source="ours; zhang2024, Corollary 6, has order kappa/N^2",
    latex=r"\frac{(d-1)(N+2)^2}{4(N+1)^3} < \sup_\Lambda"
    r"\frac{\text{bias}}{\mathrm{tr}\Lambda} \le \min\Big(1, \frac{d+3}{4(N+1)}\Big)",
    printed=_UNIFORM,
    beyond=True,
    mutants={
        "(d + 2)/(4 (N + 1))": _UNIFORM._replace(upper=lambda d, N: Fraction(d + 2, 4 * (N + 1))),
        "(d + 3)/(5 (N + 1))": _UNIFORM._replace(upper=lambda d, N: Fraction(d + 3, 5 * (N + 1))),
        "of order 1/N^2": _UNIFORM._replace(
            upper=lambda d, N: Fraction((d + 3) ** 2, 4 * (N + 1) ** 2)
        ),
        "d eigenvalues below": _UNIFORM._replace(
            lower=lambda d, N: Fraction((d + 1) * (N + 2) ** 2, 4 * (N + 1) ** 3)
        ),
        "a third below": _UNIFORM._replace(
            lower=lambda d, N: Fraction((d - 1) * (N + 2) ** 2, 3 * (N + 1) ** 3)
        ),
    },
    hypotheses=("x ~ N(0, Lambda), w ~ N(0, I), no noise", "N >= d for the lower bound"),
    depends_on=("zhang2024/corollary-6",),
)
def UNIFORM(claim: UniformClaim, rng: np.random.Generator) -> Evidence:
    """Look for a spectrum that exceeds the bound; prove the inequality behind it."""
    (_, x, T, N) = field(["lambda", "T", "N"], sympy.QQ)
    wrong, nearest = "", Fraction(0)
    square = ((N + 1) * x + T) ** 2 - 4 * (N + 1) * x * T
    if square != ((N + 1) * x - T) ** 2:
        wrong = "lambda = T = N = 1: the square is not a square"
    for d, length in product((1, 2, 3, 6), (1, 2, 8, 500)):
        biases = {spectrum: _bias(spectrum, length) for spectrum in _spectra(d, length)}
        spectrum, top = max(biases.items(), key=lambda item: item[1])
        nearest = max(nearest, top / claim.upper(d, length))
        shown = ", ".join(map(str, spectrum))
        told = f"N = {length}, Lambda = diag({shown}): bias/T = {float(top):.4g}"
        if not wrong and not top <= claim.upper(d, length):
            wrong = f"{told}, and the claim says at most {float(claim.upper(d, length)):.4g}"
        if not wrong and length >= d and not top > claim.lower(d, length):
            wrong = f"{told}, and the claim says over {float(claim.lower(d, length)):.4g}"
    for length in () if wrong else (1, 2, 8, 500):
        found = expected_chain((1, 1, 3), length, 1)
        if (found.bias, found.bias_uniform) != (
            5 * _bias((Fraction(1), Fraction(1), Fraction(3)), length),
            5 * claim.upper(3, length),
        ):
            wrong = f"N = {length}, Lambda = diag(1, 1, 3): theory.risk.expected_chain differs"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "((N+1) l + T)^2 - 4 (N+1) l T is a square, and sum (l + T)^2 <= (d + 3) T^2; spectra that"
        " come near: the largest bias over the bound",
        "every Lambda, d and N; d in (1, 2, 3, 6) and N up to 500 in fractions",
        float(nearest),
        1.0,
        wrong,
    )


def _spectra(d: int, N: int) -> Iterator[tuple[Fraction, ...]]:
    """Yield spectra of trace 1 with j eigenvalues c/(N+1), c around 1, and the others equal."""
    for j, c in product(range(d), map(Fraction, ("1", "2", "1/2", "1/1000000"))):
        rest = 1 - j * c / (N + 1)
        if rest > 0:
            yield (c / (N + 1),) * j + (rest / (d - j),) * (d - j)


def _bias(spectrum: Sequence[Fraction], N: int) -> Fraction:
    T = sum(spectrum)
    return sum((x * ((x + T) / ((N + 1) * x + T)) ** 2 for x in spectrum), Fraction(0)) / T


STATEMENTS = (GAMMA_STEP, CONDITION_STEP, UNIFORM)
