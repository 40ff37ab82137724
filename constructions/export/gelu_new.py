"""Squares from ``gelu_new``, the tanh form of GeLU, in place of the erf form.

gelu_new(u) = u/2 (1 + tanh(c (u + a u^3))) with c = sqrt(2/pi) and a = 0.044715. Its odd part is
u/2 as well, so that linear maps stay exact, and its even part psi(t) = gelu_new(t) + gelu_new(-t)
= t tanh(c (t + a t^3)) begins with c t^2, as that of the erf form does: the same combination of
scales that cancels t^4, ..., t^2n for one cancels them for the other. The remainder differs: psi
has poles, the nearest at |t|^2 = 7.99, and its Taylor coefficients fall no faster than 7.99^-k.
"""

import numpy as np

from constructions.gadgets import SquareGadget, square_gadget

#: R and M: |g(x)| <= M on the circle |x| = R, for g of `gelu_new_square` at t = 1.
RADIUS, LARGEST = 7.0, 7.37


def gelu_new_square(order: int, relative_error: float) -> SquareGadget:
    """Return the square gadget for ``gelu_new``, with n = ``order`` scales, as large as may be.

    g(x) = psi(sqrt(x)) / (c x) is analytic for |x| < 7.99 and g(0) = 1. The polynomial through
    g(x_i), x_i = (s_i t)^2 with |t| <= 1, misses g(0) by Hermite's remainder, the mean over the
    circle |x| = R of g(x) prod_i (-x_i) / (x - x_i), which is at most M prod_i x_i / (R - x_i) and
    largest at t = 1. The nodes are Chebyshev's, as in `constructions.gadgets.square_gadget`, and
    the largest scale s is found by bisection.

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
    model = square_gadget(order, relative_error)
    # Richardson's weights do not change when all scales shrink by one factor.
    nodes = (model.scales / model.scales[-1]) ** 2
    low, high = 0.0, RADIUS
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if LARGEST * np.prod(middle * nodes / (RADIUS - middle * nodes)) <= relative_error:
            low = middle
        else:
            high = middle
    shrink = float(np.sqrt(low) / model.scales[-1])
    return SquareGadget(shrink * model.scales, model.coefficients / shrink**2, relative_error)
