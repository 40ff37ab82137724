"""The gadget for squares, enclosed: truncation in ball arithmetic, amplification of rounding."""

from dataclasses import dataclass
from functools import lru_cache
from math import pi, sqrt

from flint import arb, ctx

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


@lru_cache(maxsize=64)
def _enclosed(scales: tuple[float, ...], coefficients: tuple[float, ...]) -> tuple[float, ...]:
    before = ctx.prec
    ctx.prec = 256
    try:
        s = [arb(x) for x in scales]
        c = [arb(x) for x in coefficients]
        largest = max(scales)
        root = (2 / arb.pi()).sqrt()
        total, k, power = arb(0), 0, arb(1)
        # psi(s t) = root sum_k (-1)^k (s t)^(2k+2) / (2^k k! (2k+1)); |t| <= 1.
        while True:
            moment = sum((ci * si ** (2 * k + 2) for ci, si in zip(c, s, strict=True)), arb(0))
            term = root * moment / (power * (2 * k + 1))
            total += abs(term - 1) if k == 0 else abs(term)
            k += 1
            power *= 2 * k
            tail = sum((abs(ci) * si**2 for ci, si in zip(c, s, strict=True)), arb(0)) * (
                arb(largest) ** (2 * k) / power
            )
            if k > largest**2 and float(tail.upper()) < 1e-30:
                break
        # From here on each term is at most half of the one before.
        total += 2 * root * tail
        amplification = sum((abs(ci) * si for ci, si in zip(c, s, strict=True)), arb(0))
        curvature = sum((abs(ci) * si**2 for ci, si in zip(c, s, strict=True)), arb(0))
        curvature *= (8 / arb.pi()).sqrt()
        return tuple(float(x.upper()) * (1 + 1e-15) for x in (total, amplification, curvature))
    finally:
        ctx.prec = before


def summation(neurons: int, rounding: RoundingModel) -> float:
    """Return g: a sum in W_out errs by g (sum |z| + |sum z|), z what its N neurons add.

    The terms z are products; the N - 1 additions, in any order, err by u times a partial sum,
    which is at most the sum of the positive or of the negative terms: (sum |z| + |sum z|) / 2.
    """
    return rounding.gamma(1 + neurons / 2)


def enclose(square: SquareGadget) -> EnclosedSquare:
    """Return rigorous figures of a gadget, from its coefficients as they are stored.

    psi is entire: the coefficient of t^2 in sum_i c_i psi(s_i t) is compared with 1, and the
    magnitudes of all others are added up, in balls of 256 bits.
    """
    truncation, amplification, curvature = _enclosed(
        tuple(map(float, square.scales)), tuple(map(float, square.coefficients))
    )
    return EnclosedSquare(truncation, amplification, curvature, 2 * len(square.scales))
