"""Sums of many decaying exponentials, from a few hundred of them.

The entries of V that the loss does not drive are V_ij(0) e^{-a_ij S}: for d = 500 a quarter of a
million. Their sums of squares need only one exponential for each of the Chebyshev nodes that
interpolate a -> e^{-2aS} on short ranges of a.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

__all__ = ["DecayingSquares"]

#: Nodes in a range [x, 2x] of rates: e^{-2aS} is met to 1e-17 of its largest value, for every S.
_NODES = 20

#: The first range is this part of the slowest rate. What decays with it is then met to rounding in
#: units of itself, and not only of the sum at S = 0, until it underflows.
_FIRST_RANGE = 2.0**-10

#: Terms below e^{-700} are dropped: just before they underflow, as weights can be 1e140.
_NEGLIGIBLE = 700.0


class DecayingSquares:
    """The sums of a_n^p v_n^2 for v_n(S) = v_n(0) e^{-a_n S}.

    Parameters
    ----------
    rates
        a_n > 0, shape (n,).
    initial
        v_n(0), shape (n,).
    """

    def __init__(self, rates: Float[np.ndarray, " n"], initial: Float[np.ndarray, " n"]) -> None:
        moving = initial != 0
        merged, weights = _merge(rates[moving], np.square(initial[moving]))
        order = np.argsort(merged)
        self._rates = merged[order]
        self._weights = weights[order]

    @property
    def slowest(self) -> float:
        """The least rate a_n, infinite if nothing decays."""
        return float(self._rates[0]) if len(self._rates) else np.inf

    def _terms(self, S: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m n"]:
        alive = len(self._rates)
        if len(S) and (least := float(np.min(S))) > 0:
            alive = int(np.searchsorted(2 * least * self._rates, _NEGLIGIBLE))
        decay = np.exp(np.multiply.outer(-2 * S, self._rates[:alive]))
        return np.asarray(decay * self._weights[:alive])

    def moment(self, power: int, S: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Return sum_n a_n^power v_n(S)^2, shape (m,)."""
        terms = self._terms(S)
        return np.asarray(terms @ self._rates[: terms.shape[1]] ** power)


def _merge(
    rates: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Replace the rates by interpolation nodes, if these are fewer, and share out the weights."""
    if len(rates) <= _NODES:
        return rates, weights
    slowest = float(np.min(rates))
    first = slowest * _FIRST_RANGE
    excess = (rates - slowest) / first
    # Ranges [0, 1), [1, 2), [2, 4), ... of the excess: frexp gives the exponent of the upper end.
    mantissa, exponent = np.frexp(excess)
    ranges = np.maximum(exponent, 0)
    local = np.where(ranges == 0, 2 * excess - 1, 4 * mantissa - 3)
    used, position = np.unique(ranges, return_inverse=True)
    if len(used) * _NODES >= len(rates):
        return rates, weights
    k = np.arange(_NODES)
    angles = np.pi * (k + 0.5) / _NODES
    moments = np.empty((len(used), _NODES))
    before, now = weights, weights * local
    moments[:, 0] = np.bincount(position, before)
    for degree in range(1, _NODES):
        moments[:, degree] = np.bincount(position, now)
        before, now = now, 2 * local * now - before
    moments[:, 1:] *= 2
    shared = moments @ np.cos(np.outer(k, angles)) / _NODES
    lower = np.where(used == 0, 0.0, 2.0 ** (used - 1.0))
    width = np.where(used == 0, 1.0, lower)
    nodes = lower[:, None] + width[:, None] * (1 + np.cos(angles)) / 2
    return slowest + first * nodes.ravel(), shared.ravel()
