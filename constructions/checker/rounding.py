"""The rounding model of docs/certificates.md, and arithmetic that never rounds a bound down.

Bounds are built from additions, products, quotients and roots of non-negative numbers. In float64
each of them errs by at most 2^-53 relative, so that a result that fewer than 2^22 of them lead to
is no bound only by a factor `SLACK`, which callers multiply by at the end.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from flint import arb, ctx, fmpq
from jaxtyping import Bool, Float

#: What makes up for the rounding of the bounds' own arithmetic.
SLACK = 1 + 2.0**-30

#: Bits of ball arithmetic: power series of squares cancel about 60 of them.
PRECISION = 256

#: Unit roundoff of the checker's own arithmetic.
OWN_UNIT = 2.0**-53


@dataclass(frozen=True)
class Rounding:
    """How a float type rounds.

    Parameters
    ----------
    unit
        u, the unit roundoff.
    gelu
        G: gelu(x) errs by at most G u |x|.
    exp
        exp errs by at most this many u, relative.
    gap
        exp(x) = 0 for x <= -gap.
    tiny
        The smallest normal number; smaller ones are off by at most this.
    silent
        gelu(x) = 0 for x <= -silent.
    """

    unit: float
    gelu: float
    exp: float
    gap: float
    tiny: float
    silent: float

    def gamma(self, n: int | float) -> float:
        """Return gamma_n = n u / (1 - n u); infinite where n u is 1 or more."""
        return n * self.unit / (1 - n * self.unit) if n * self.unit < 1 else np.inf


#: The assumptions of the certificate, by dtype.
ROUNDING = {
    "float64": Rounding(2.0**-53, 2.0, 2.0, 746.0, 2.0**-1022, 9.0),
    "float32": Rounding(2.0**-24, 6.0, 2.0, 104.0, 2.0**-126, 6.0),
}


def is_power_of_two(values: Float[np.ndarray, "..."]) -> Bool[np.ndarray, "..."]:
    """Return where values are +- a power of two: multiplying by those is exact."""
    mantissas, _ = np.frexp(values)
    found: npt.NDArray[np.bool_] = np.abs(mantissas) == 0.5
    return found


def product_error(weight: float, rounding: Rounding) -> float:
    """Return the relative error of multiplying by a weight: none if it is a power of two."""
    return 0.0 if abs(float(np.frexp(weight)[0])) == 0.5 else rounding.unit


def depths(n: int) -> Float[np.ndarray, " n"]:
    """Return how often each of n terms can be rounded, for the largest term first.

    A term takes part in a product and in at most n - 1 additions; in any order of summation the
    depths of all terms add up to at most those of one term after the other.
    """
    found: Float[np.ndarray, " n"] = 1.0 + np.minimum(np.arange(n, 0, -1.0), max(n - 1, 0))
    return found


def dot_error_in_parts(
    weights: Float[np.ndarray, "parts n"],
    entry: float,
    norm: float,
    near: float,
    rounding: Rounding,
) -> float:
    """Return a bound on the rounding of sum_l weights_pl x_l, summed by p, and of the sum of these.

    Add u/2 |r| for every part, and once more, if the whole sum is at most ``near`` + |r|.

    An addition errs by u times its result. In a tree of additions with results of c_1 <= c_2 <= ...
    terms, c_k is at most k + 1; and no result exceeds half the sum of all magnitudes and the total.

    Parameters
    ----------
    weights
        A row for each part.
    entry, norm
        Bounds on |x_l| and on the Euclidean norm |x|.
    near
        As above; may be infinite.
    rounding
        The arithmetic.
    """
    inside = sum(dot_error(row, entry, norm, rounding) for row in weights)
    sizes = np.sort(bound_by(weights, entry, norm))[::-1]
    sums = np.minimum(np.cumsum(sizes)[1:], (sizes.sum() + near) / 2)
    sums[-1:] = np.minimum(sums[-1:], near)
    # To higher order: every result is itself off by a few u.
    return inside + float(sums.sum()) * rounding.unit * (1 + rounding.gamma(4 * weights.size))


def dot_error(
    weights: Float[np.ndarray, " n"], entry: float, norm: float, rounding: Rounding
) -> float:
    """Return a bound on the rounding of sum_l weights_l x_l, in any order.

    Parameters
    ----------
    weights
        The weights (n,).
    entry, norm
        Bounds on |x_l| and on the Euclidean norm |x|.
    rounding
        The arithmetic.
    """
    sizes = np.sort(np.abs(weights[weights != 0]))[::-1]
    if not len(sizes):
        return 0.0
    if len(sizes) == 1:
        return float(sizes[0]) * product_error(float(sizes[0]), rounding) * entry
    gammas = np.array([rounding.gamma(n) for n in depths(len(sizes))])
    return float(min((sizes * gammas).sum() * entry, np.linalg.norm(sizes * gammas) * norm))


def multiply(
    left: tuple[Float[np.ndarray, "a b"], Float[np.ndarray, "a b"]],
    right: tuple[Float[np.ndarray, "b c"], Float[np.ndarray, "b c"]],
    rounding: Rounding,
) -> tuple[Float[np.ndarray, "a c"], Float[np.ndarray, "a c"]]:
    """Return a matrix product, and bounds on what a network's evaluation differs from it.

    Exact zeros cost nothing, nor does a single product with a power of two.

    Parameters
    ----------
    left, right
        Pairs (matrix, bounds on its error).
    rounding
        The network's arithmetic, in any order of summation.
    """
    (A, A_error), (B, B_error) = left, right
    A_size, B_size = np.abs(A) + A_error, np.abs(B) + B_error
    terms = (A_size > 0).astype(float) @ (B_size > 0).astype(float)
    A_plain, B_plain = (
        ((size > 0) & ~(is_power_of_two(M) & (error == 0))).astype(float)
        for M, error, size in ((A, A_error, A_size), (B, B_error, B_size))
    )
    plain = A_plain @ B_plain
    # The centre is rounded as well, in the arithmetic of the checker.
    unit = rounding.unit + OWN_UNIT
    relative = np.where(terms <= 1, np.minimum(plain, 1), 1.01 * terms) * unit
    error = relative * (A_size @ B_size) + A_error @ B_size + np.abs(A) @ B_error
    return A @ B, error * SLACK


def bound_by(
    matrix: Float[np.ndarray, "n d"], entry: float, norm: float
) -> Float[np.ndarray, " n"]:
    """Return sup sum_l |c_l| |x_l| for every row c, over |x_l| <= entry and |x| <= norm."""
    entries = np.abs(matrix).sum(axis=1) * entry
    norms = np.sqrt((matrix**2).sum(axis=1)) * norm
    bounds: Float[np.ndarray, " n"] = np.minimum(entries, norms) * SLACK
    return bounds


def upper(ball: arb) -> float:
    """Return a float that is at least |x| for every x of the ball."""
    found = float(ball.abs_upper())
    return found * SLACK if np.isfinite(found) else np.inf


def log_error(values: Float[np.ndarray, " n"], logs: Float[np.ndarray, " n"]) -> float:
    """Return the largest |logs_i - ln values_i - s|, for the best of all shifts s."""
    with ctx.workprec(PRECISION):
        off = [arb(float(b)) - arb(float(v)).log() for v, b in zip(values, logs, strict=True)]
        middle = (max(float(x.mid()) for x in off) + min(float(x.mid()) for x in off)) / 2
        return max(upper(x - arb(middle)) for x in off)


def exp_error(logs: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"], over: int) -> float:
    """Return the largest |exp(logs_i) / (over - i) - 1| (over - i) / over, errors included.

    The i-th value should be over - i; what counts is the error of a denominator ``over``.
    """
    with ctx.workprec(PRECISION):
        return max(
            upper((arb(float(c), float(e)).exp() - (over - i)) / over)
            for i, (c, e) in enumerate(zip(logs, errors, strict=True))
        )


def ball(numerator: int, denominator: int) -> arb:
    """Return a fraction as a ball, at the precision in force."""
    return arb(fmpq(numerator, denominator))
