r"""The bias of Corollary 6 of Zhang et al., bounded for every condition number, by order 1/N.

The bias over T = tr(Lambda) is sum_i l ((l + T)/((N+1) l + T))^2 / T. By ((N+1) l + T)^2 >=
4 (N+1) l T and sum (l + T)^2 <= (d+3) T^2 it never exceeds min(1, (d+3)/(4 (N+1))); eta of
Corollary 6 does as soon as d^2 kappa > N^2. A bound without kappa must be of order 1/N: d - 1
eigenvalues T/(N+1) have that much bias.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import sympy
from sympy.polys.fields import field
from sympy.polys.rings import PolyRing

from papers.ledger import Evidence, Grade, statement
from theory.risk import expected_chain


class UniformClaim(NamedTuple):
    """bias/T <= 1 and ``most`` for every Lambda, and > ``lower`` for some, from d and N."""

    most: Callable[[Any, Any], Any]
    lower: Callable[[Any, Any], Any]

    def upper(self, d: int, N: int) -> Fraction:
        """Return the smaller of 1 and `most`."""
        return min(Fraction(1), Fraction(self.most(Fraction(d), Fraction(N))))


_BOUNDS = UniformClaim(
    lambda d, N: (d + 3) / (4 * (N + 1)),
    lambda d, N: (d - 1) * (N + 2) ** 2 / (4 * (N + 1) ** 3),
)


@statement(
    id="beyond/bias-without-condition-number",
    title="A bound on the bias for every condition number, of the only possible order 1/N",
    source="ours; zhang2024, Corollary 6, has order kappa/N^2",
    latex=r"\frac{(d-1)(N+2)^2}{4(N+1)^3} < \sup_\Lambda"
    r"\frac{\text{bias}}{\mathrm{tr}\Lambda} \le \min\Big(1, \frac{d+3}{4(N+1)}\Big)",
    printed=_BOUNDS,
    beyond=True,
    mutants={
        "(d + 2)/(4 (N + 1))": _BOUNDS._replace(most=lambda d, N: (d + 2) / (4 * (N + 1))),
        "(d + 3)/(5 (N + 1))": _BOUNDS._replace(most=lambda d, N: (d + 3) / (5 * (N + 1))),
        "of order 1/N^2": _BOUNDS._replace(most=lambda d, N: (d + 3) ** 2 / (4 * (N + 1) ** 2)),
        "d eigenvalues below": _BOUNDS._replace(
            lower=lambda d, N: (d + 1) * (N + 2) ** 2 / (4 * (N + 1) ** 3)
        ),
        "a third below": _BOUNDS._replace(
            lower=lambda d, N: (d - 1) * (N + 2) ** 2 / (3 * (N + 1) ** 3)
        ),
        "less, but for d = 1, 2, 3 and 6": _BOUNDS._replace(
            most=lambda d, N: (
                (d + 3) / (4 * (N + 1)) - ((d - 1) * (d - 2) * (d - 3) * (d - 6)) ** 2 / (N + 1)
            )
        ),
        "more below, but for d = 1, 2, 3 and 6": _BOUNDS._replace(
            lower=lambda d, N: (
                _BOUNDS.lower(d, N) + ((d - 1) * (d - 2) * (d - 3) * (d - 6)) ** 2 / (N + 1)
            )
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
        least = claim.lower(Fraction(d), Fraction(length))
        if not wrong and length >= d and not top > least:
            wrong = f"{told}, and the claim says over {float(least):.4g}"
    wrong = wrong or _unproved(claim)
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
        "((N+1) l + T)^2 - 4 (N+1) l T is a square, and (d + 3) T^2 - sum (l + T)^2 the sum of the"
        " products of two l; with letters for d and N both claims follow; spectra that come near:"
        " the largest bias over the bound",
        "every Lambda, d and N (the sum for d = 1, 2, 3, which shows every d); in fractions d in"
        " (1, 2, 3, 6), N up to 500",
        float(nearest),
        1.0,
        wrong,
    )


def _unproved(claim: UniformClaim) -> str:
    """Say which claim does not follow, with letters for d and N, from what is proved."""
    for dim in (1, 2, 3):
        gens = PolyRing([f"l{i}" for i in range(dim)], sympy.QQ).gens
        trace = sum(gens)
        rest = (dim + 3) * trace**2 - sum((x + trace) ** 2 for x in gens)
        if any(c < 0 for c in rest.itercoeffs()):
            return f"d = {dim}: (d + 3) T^2 - sum (l + T)^2 is {rest}"
    # d = 1 + n and N = 1 + k, for the lower bound d + k, with n and k >= 0.
    (rationals, n, k) = field(["n", "k"], sympy.QQ)
    d, N = 1 + n, 1 + k
    if not _has_no_minus(more := claim.most(d, N) - (d + 3) / (4 * (N + 1))):
        return f"d = 1 + n, N = 1 + k: the upper bound less (d + 3)/(4 (N + 1)) is {more}"
    # d - 1 eigenvalues T/(N+1), and one more; T = 1.
    N = d + k
    small = rationals.one / (N + 1)
    top = 1 - n * small
    low, high = (x * ((x + 1) / ((N + 1) * x + 1)) ** 2 for x in (small, top))
    more = n * low + high - claim.lower(d, N)
    if more == 0 or not _has_no_minus(more):
        return f"d = 1 + n, N = d + k: the bias/T of d - 1 eigenvalues T/(N+1) is {more} above"
    return ""


def _has_no_minus(value: Any) -> bool:
    """Tell whether no coefficient of a rational function is negative."""
    return all(c > 0 for part in (value.numer, value.denom) for c in part.itercoeffs())


def _spectra(d: int, N: int) -> Iterator[tuple[Fraction, ...]]:
    """Yield spectra of trace 1 with j eigenvalues c/(N+1), c around 1, and the others equal."""
    for j, c in product(range(d), map(Fraction, ("1", "2", "1/2", "1/1000000"))):
        rest = 1 - j * c / (N + 1)
        if rest > 0:
            yield (c / (N + 1),) * j + (rest / (d - j),) * (d - j)


def _bias(spectrum: Sequence[Fraction], N: int) -> Fraction:
    T = sum(spectrum)
    return sum((x * ((x + T) / ((N + 1) * x + T)) ** 2 for x in spectrum), Fraction(0)) / T


STATEMENTS = (UNIFORM,)
