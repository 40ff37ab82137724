"""What one layer of the architecture can compute, as numbers: squares, selection, LayerNorm.

Everything here is a fact about gelu, softmax or LayerNorm alone; `constructions.lowering` puts the
numbers into weight matrices. The architecture is that of pathak2023, Section 1.2. That products
come out of GeLU, and that LayerNorm can be bypassed or made to divide, is in the lemmas of Akyurek
et al. 2023 (arXiv 2211.15661) which pathak2023 cites; the constants and bounds are derived here.
"""

from dataclasses import dataclass
from math import cos, factorial, pi, prod, sin, sqrt

import numpy as np
from jaxtyping import Float

#: A logit gap after which exp underflows to exactly 0 in float64 (at 746) and float32 (at 104).
HARD_GAP = 800.0

#: Added to a neuron's input of size at most 1, this drives gelu to exactly 0 in float arithmetic.
GATE = 16.0


@dataclass(frozen=True)
class SquareGadget:
    """A square as a sum of gelus, on |t| <= 1.

    With psi(t) = gelu(t) + gelu(-t) = t erf(t / sqrt 2), which is even and vanishes at 0,
    t^2 = sum_i c_i psi(s_i t) (1 - e),  |e| <= `relative_error`.

    Parameters
    ----------
    scales
        s (n,).
    coefficients
        c (n,).
    relative_error
        The bound on e that it was designed for, in exact arithmetic; certificates enclose it.
    """

    scales: Float[np.ndarray, " n"]
    coefficients: Float[np.ndarray, " n"]
    relative_error: float


def square_gadget(order: int, relative_error: float) -> SquareGadget:
    """Return the gadget with n = ``order`` scales that meets a relative error, scales largest.

    g(x) = psi(sqrt(x) t) / (sqrt(2/pi) x) = t^2 int_0^1 exp(-x t^2 v^2 / 2) dv tends to t^2 as
    x -> 0. The coefficients extrapolate g to x = 0 from the nodes x_i = s_i^2 (Richardson), and
    the error of interpolation, g^(n)(xi) / n! prod_i (-x_i), is at most
    t^2 prod_i (s_i t)^2 / (2^n n! (2n + 1)). The nodes are Chebyshev's on [0, s^2], that is
    s_i = s sin((2i - 1) pi / 4n): rounding is amplified by sum_i |c_i| s_i = sqrt(pi/2) 2n / s,
    which is smaller by ln n than with equidistant scales, and s is as large as the bound permits.

    Parameters
    ----------
    order
        n >= 1; a square takes 2n neurons.
    relative_error
        The error to meet, in (0, 1).

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    if order < 1 or not 0 < relative_error < 1:
        raise ValueError(
            f"square_gadget: order {order} and relative_error {relative_error}; "
            "expected order >= 1 and 0 < relative_error < 1"
        )
    nodes = [sin((2 * i - 1) * pi / (4 * order)) for i in range(1, order + 1)]
    at_unit_scale = prod(a**2 for a in nodes) / (2**order * factorial(order) * (2 * order + 1))
    scale = (relative_error / at_unit_scale) ** (1 / (2 * order))
    scales = scale * np.array(nodes)
    extrapolation = [
        prod(b**2 / (b**2 - a**2) for b in nodes if b != a) / (sqrt(2 / pi) * (scale * a) ** 2)
        for a in nodes
    ]
    return SquareGadget(scales, np.array(extrapolation), relative_error)


def previous_column_gain(num_columns: int) -> float:
    """Return C such that logits C cos(2 pi (j - i + 1) / T) single out column j = i - 1.

    Columns stand on a circle at angles 2 pi j / T with T = ``num_columns``; among the earlier
    columns, i - 1 is the only one at angle 0 from the query's target, and the next ones lie at
    least C (1 - cos(2 pi / T)) = `HARD_GAP` lower.

    Parameters
    ----------
    num_columns
        T >= 1. With T <= 2 there is nothing to tell apart, and any gain will do.
    """
    return HARD_GAP / (1 - cos(2 * pi / max(num_columns, 4)))


def check_selection(num_columns: int, epsilon: float) -> None:
    """Refuse sizes at which rounding of the logits would blur the selection of a column.

    Raises
    ------
    ValueError
        If the gap is not at least 16 times the rounding of a logit, C epsilon.
    """
    if previous_column_gain(num_columns) * epsilon > HARD_GAP / 16:
        largest = int(2 * pi / sqrt(2 * 16 * epsilon))
        raise ValueError(
            f"{num_columns} columns are more than attention can tell apart with machine epsilon "
            f"{epsilon:.1e} (about {largest}); use fewer examples or float64"
        )


def layer_norm_bypass(epsilon: float, *, divides: bool) -> float:
    """Return L, the size of the two rows +L and -L that make LayerNorm a known scaling.

    With rows of size at most 1 beside them, lambda(v)_r = sqrt(p/2)/L (v_r - mean(v)) up to the
    relative error |v|^2 / (4 L^2); rows are read relative to a row that is always zero, so that
    the mean drops out. L = 16 / sqrt(epsilon) brings the error to p epsilon / 1024. A network
    that divides needs room for a third size, N, between 1 and L (`division_gain`), and takes
    L = epsilon^(-7/8).

    Parameters
    ----------
    epsilon
        Machine epsilon of the network's float type.
    divides
        Whether the network has a division.
    """
    return float(2 ** np.ceil(np.log2(epsilon ** (-7 / 8) if divides else 16 / sqrt(epsilon))))


def quiet_unit(epsilon: float, bypass: float) -> float:
    """Return the size to which computed rows are scaled, constants being of size 1.

    The sum of the rows +L and -L is rounded to about epsilon L, so that making computed rows
    smaller than that would not make LayerNorm's mean smaller.
    """
    return float(2 ** np.floor(np.log2(epsilon * bypass / 4)))


def division_gain(epsilon: float) -> float:
    """Return N: rows +N c and -N c, with +L and -L taken away, make LayerNorm divide by |c|.

    The relative error is |v|^2 / (4 N^2 c^2) for the other rows v, and erasing the two rows
    afterwards, with L back in place, leaves the part (N c / L)^2 / 2 of them. N = epsilon^(-3/4)
    keeps both small.
    """
    return float(2 ** np.floor(np.log2(epsilon ** (-3 / 4))))
