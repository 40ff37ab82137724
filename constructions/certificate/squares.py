"""The gadget for squares, enclosed: truncation in ball arithmetic, amplification of rounding."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import pi, sqrt

from flint import arb, arb_series, ctx

from constructions.certificate.rounding import RoundingModel
from constructions.gadgets import SquareGadget

#: Twice the largest slope of gelu, 1.12904..., at x = sqrt 2.
TWO_SLOPES = 2.2581

#: The second-order slope of psi: |psi'(x)| <= sqrt(8 / pi) |x|.
CURVATURE = sqrt(8 / pi)


@dataclass(frozen=True)
class SquareErrors:
    """|computed - t^2| <= constant + linear |t| + quadratic t^2, for |t| <= 1.

    ``linear`` leaves out the sum in W_out, which depends on what else is written to the row
    (`summation`).
    """

    constant: float
    linear: float
    quadratic: float


@dataclass(frozen=True)
class EnclosedSquare:
    """What a certificate needs to know of a gadget.

    Parameters
    ----------
    truncation
        tau: |sum_i c_i psi(s_i t) - t^2| <= tau t^2 for |t| <= 1, for the coefficients as stored.
    amplification
        A = sum_i |c_i| s_i.
    curvature
        C = sum_i |c_i| s_i^2 sqrt(8 / pi).
    neurons
        2n.
    """

    truncation: float
    amplification: float
    curvature: float
    neurons: int

    def errors(
        self, rounding: RoundingModel, common: float, odd: float, rough: float, scale: float
    ) -> SquareErrors:
        """Return the error of a square whose argument is read with the given errors.

        Parameters
        ----------
        rounding
            The model of arithmetic.
        common
            Error of t that all neurons share.
        odd
            Error that differs between scales, but not between the two neurons of a pair.
        rough
            Error that differs between neurons.
        scale
            Relative error of t: LayerNorm's.
        """
        u = rounding.unit_roundoff
        reach = common + odd + rough + scale
        return SquareErrors(
            constant=common**2
            + self.curvature * odd * reach
            + TWO_SLOPES * self.amplification * rough
            + self.amplification * (rounding.pair * reach + 2 * rounding.gelu * rough) * u,
            linear=2 * common + self.curvature * odd + rounding.pair * u * self.amplification,
            quadratic=self.truncation * (1 + reach) ** 2
            + (2 * scale + scale**2)
            + 3 * u * self.curvature,
        )


#: Power series serve up to here; beyond, Taylor expansions on intervals whose ends grow by a ratio.
NEAR = 0.02
RATIO = 1.1
DEGREE = 16


@lru_cache(maxsize=256)
def _enclosed(scales: tuple[float, ...], coefficients: tuple[float, ...]) -> tuple[float, ...]:
    """tau, A and C, each rounded up, in balls of 256 bits."""
    before = ctx.prec, ctx.cap
    ctx.prec, ctx.cap = 256, DEGREE + 1
    try:
        s, c = [arb(x) for x in scales], [arb(x) for x in coefficients]
        # Magnitudes of a whole series add up to little more than its sum where s t is below 1.
        truncation = _upper(_series(s, c, 1.0)) if max(scales) <= 1 else _by_intervals(s, c)
        amplification = _total(abs(ci) * si for ci, si in zip(c, s, strict=True))
        curvature = _total(abs(ci) * si**2 for ci, si in zip(c, s, strict=True))
        return truncation, _upper(amplification), _upper(curvature * (8 / arb.pi()).sqrt())
    finally:
        ctx.prec, ctx.cap = before


def _upper(ball: arb) -> float:
    return float(ball.upper()) * (1 + 2.0**-50)


def _total(terms: Iterable[arb]) -> arb:
    return sum(terms, arb(0))


def _series(s: list[arb], c: list[arb], reach: float) -> arb:
    """Bound |sum_i c_i psi(s_i t) / t^2 - 1| on |t| <= reach by the magnitudes of its terms.

    psi(x) = sqrt(2/pi) sum_k (-1)^k x^(2k+2) / (2^k k! (2k+1)).
    """
    root = (2 / arb.pi()).sqrt()
    largest = max(float(si) for si in s) * reach
    total, k, power = arb(0), 0, arb(1)
    while True:
        moment = _total(ci * si ** (2 * k + 2) for ci, si in zip(c, s, strict=True))
        term = root * moment / (power * (2 * k + 1))
        total += abs(term - 1) if k == 0 else abs(term) * arb(reach) ** (2 * k)
        k += 1
        power *= 2 * k
        tail = _total(
            abs(ci) * si**2 * (si * reach) ** (2 * k) for ci, si in zip(c, s, strict=True)
        )
        tail /= power
        if k > largest**2 and float(tail.upper()) < 1e-40:
            # From here on each term is at most half of the one before.
            return total + 2 * root * tail


def _by_intervals(s: list[arb], c: list[arb]) -> float:
    """The same bound on |t| <= 1, by Taylor expansions beyond the reach of the power series."""
    worst, start = _upper(_series(s, c, NEAR)), NEAR
    while start < 1:
        end = min(start * RATIO, 1.0)
        middle, half = (arb(start) + arb(end)) / 2, (arb(end) - arb(start)) / 2
        start = end
        expansion = _quotient(s, c, middle)
        # Lagrange: the last coefficient anywhere in the interval bounds the remainder.
        remainder = _quotient(s, c, middle + arb(0, _upper(half)))[DEGREE]
        bound = abs(expansion[0] - 1) + abs(remainder) * half**DEGREE
        bound += _total(abs(expansion[j]) * half**j for j in range(1, DEGREE))
        worst = max(worst, _upper(bound))
    return worst


def _quotient(s: list[arb], c: list[arb], middle: arb) -> arb_series:
    """The expansion of sum_i c_i psi(s_i t) / t^2 = sum_i c_i s_i erf(s_i t / sqrt 2) / t."""
    t = arb_series([middle, 1])
    total = arb_series([0])
    for ci, si in zip(c, s, strict=True):
        total += ci * si * (t * (si / arb(2).sqrt())).erf()
    return total / t


def summation(neurons: int, rounding: RoundingModel) -> float:
    """Return g: a sum in W_out errs by g (sum |z| + |sum z|), z what its N neurons add.

    The terms z are products; the N - 1 additions, in any order, err by u times a partial sum,
    which is at most the sum of the positive or of the negative terms: (sum |z| + |sum z|) / 2.
    """
    return rounding.gamma(1 + neurons / 2)


def enclose(square: SquareGadget) -> EnclosedSquare:
    """Return rigorous figures of a gadget, from its coefficients as they are stored.

    psi is entire: near 0 the magnitudes of the terms of its series are added up, beyond that
    Taylor expansions bound it interval by interval, all in balls of 256 bits.
    """
    truncation, amplification, curvature = _enclosed(
        tuple(map(float, square.scales)), tuple(map(float, square.coefficients))
    )
    return EnclosedSquare(truncation, amplification, curvature, 2 * len(square.scales))
