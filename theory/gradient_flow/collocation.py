"""Exponential collocation: one step of V' = -aV + B phi, phi^{-2} = c + |V|^2, in S.

On a step [S_0, S_0 + h] phi is a polynomial through Gauss-Legendre nodes c_k, and V is exact for
that polynomial: with z = a h,

    V(S_0 + c h) = e^{-cz} V(S_0) + h B int_0^c e^{-z(c - s)} phi(s) ds,

so that no rate is too fast for a step, however long. Gauss nodes make int phi^2 exact as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from numpy.polynomial import chebyshev, legendre

__all__ = ["ORDER", "GaussRule", "decay_integral", "gauss_rule", "memory_weights", "restriction"]

#: Nodes on a step.
ORDER = 16

#: Above this y the recurrence for the integrals runs upwards, below it downwards.
_TURN = 64.0

#: Start of the downward recurrence: what is wrong there is damped by e^{-80} at degree `ORDER`.
_TOP = 56

#: z is tabulated on [0, 1), [1, 2), ..., [2^12, 2^13) and [2^13, inf).
_LAST_BAND = 14

#: Chebyshev nodes on a band, enough for e^{-zc} on [x, 2x] to rounding (cf. `decays`).
_BAND_NODES = 20


@dataclass(frozen=True)
class GaussRule:
    """The Gauss-Legendre rule on [0, 1] with `ORDER` nodes, and its interpolation.

    Attributes
    ----------
    nodes, weights
        c_k and w_k, shape (s,).
    to_legendre
        Takes values at the nodes to the coefficients in P_n(2c - 1), shape (s, s).
    ends
        Takes values at the nodes to the values of their polynomial at 0 and at 1, shape (2, s).
    """

    nodes: Float[np.ndarray, " s"]
    weights: Float[np.ndarray, " s"]
    to_legendre: Float[np.ndarray, "s s"]
    ends: Float[np.ndarray, "2 s"]


@cache
def gauss_rule() -> GaussRule:
    """Return the rule."""
    points, weights = legendre.leggauss(ORDER)
    values = legendre.legvander(points, ORDER - 1)  # column n is P_n
    to_legendre = (2 * np.arange(ORDER) + 1)[:, None] * (values * weights[:, None] / 2).T
    ends = legendre.legvander(np.array([-1.0, 1.0]), ORDER - 1) @ to_legendre
    return GaussRule((points + 1) / 2, weights / 2, to_legendre, ends)


def restriction(ends: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m s s"]:
    """Return the maps of Legendre coefficients on [0, 1] to those of the part [0, end].

    Parameters
    ----------
    ends
        Numbers in [0, 1], shape (m,).

    Returns
    -------
    numpy.ndarray
        Shape (m, s, s): p(end x) has the coefficients `result[k] @ p` in P_n(2x - 1).
    """
    rule = gauss_rule()
    within = legendre.legvander(2 * np.multiply.outer(ends, rule.nodes) - 1, ORDER - 1)
    return np.asarray(rule.to_legendre @ within)


def decay_integral(
    y: Float[np.ndarray, "*shape"], coefficients: Float[np.ndarray, "s *#shape"]
) -> Float[np.ndarray, "*shape"]:
    """Return int_0^1 e^{-y(1-x)} q(x) dx for q(x) = sum_n coefficients[n] P_n(2x - 1).

    Parameters
    ----------
    y
        Rates >= 0, any shape; from 0 to the largest float64 without loss.
    coefficients
        One array for each degree n < `ORDER`, which broadcasts against y.

    Notes
    -----
    int_0^1 e^{-y(1-x)} P_n(2x - 1) dx = e^{-y/2} i_n(y/2), the modified spherical Bessel function
    of the first kind: DLMF 10.54.2. Its recurrence (DLMF 10.51.4) is stable downwards, and upwards
    as long as n^2 is not much above y.
    """
    short = _downwards(np.minimum(y, _TURN) / 2, coefficients)
    long = _upwards(np.maximum(y, _TURN) / 2, coefficients)
    return np.where(y <= _TURN, short, long)


def _downwards(
    x: npt.NDArray[np.float64], coefficients: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Sum c_n e^{-x} i_n(x) from the ratios i_n / i_{n-1}, as Horner's rule does."""
    ratio = np.zeros_like(x)
    total = coefficients[-1]
    for n in range(_TOP, 0, -1):
        ratio = x / ((2 * n + 1) + x * ratio)
        if n < len(coefficients):
            total = coefficients[n - 1] + ratio * total
    with np.errstate(invalid="ignore", divide="ignore"):
        zeroth = np.where(x > 0, -np.expm1(-2 * x) / (2 * x), 1.0)
    return np.asarray(zeroth * total)


def _upwards(
    x: npt.NDArray[np.float64], coefficients: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Sum c_n e^{-x} i_n(x) for large x by i_{n+1} = i_{n-1} - (2n + 1) i_n / x."""
    before = 0.5 / x  # e^{-2x} is below rounding
    now = (0.5 - before) / x
    total = coefficients[0] * before + coefficients[1] * now
    for n in range(1, len(coefficients) - 1):
        before, now = now, before - (2 * n + 1) / x * now
        total = total + coefficients[n + 1] * now
    return np.asarray(total)


def memory_weights(z: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n k s"]:
    """Return W_kl(z) = int_0^{c_k} e^{-z(c_k - s)} L_l(s) ds for all nodes c_k and for c = 1.

    Parameters
    ----------
    z
        Rates times the length of the step, >= 0, ascending, shape (n,).

    Returns
    -------
    numpy.ndarray
        Shape (n, s + 1, s); L_l is the Lagrange polynomial of node l.
    """
    mantissa, exponent = np.frexp(z)
    bands = np.clip(exponent, 0, _LAST_BAND)
    local = 4 * mantissa - 3
    local[bands == 0] = 2 * z[bands == 0] - 1
    local[bands == _LAST_BAND] = 2.0**_LAST_BAND / z[bands == _LAST_BAND] - 1
    modes = np.cos(np.multiply.outer(np.arccos(local), np.arange(_BAND_NODES)))
    modes /= 1 + z[:, None]  # the tables hold (1 + z) W, which has a limit as z grows
    weights = np.empty((len(z), (ORDER + 1) * ORDER))
    present = np.flatnonzero(np.bincount(bands))
    stops = np.searchsorted(bands, present, side="right")
    start = 0
    for band, stop in zip(present, stops, strict=True):
        np.matmul(modes[start:stop], _tables()[band], out=weights[start:stop])
        start = stop
    return weights.reshape(len(z), ORDER + 1, ORDER)


@cache
def _tables() -> Float[np.ndarray, "bands modes weights"]:
    """Return the Chebyshev coefficients of (1 + z) W_kl(z) in the local variable of each band."""
    points = chebyshev.chebpts1(_BAND_NODES)
    lower = np.concatenate([[0.0], 2.0 ** np.arange(_LAST_BAND - 1)])
    width = np.concatenate([[1.0], lower[1:]])
    z = lower[:, None] + width[:, None] * (1 + points) / 2
    z = np.vstack([z, 2.0**_LAST_BAND / (1 + points)])
    values = (1 + z[:, :, None]) * _memory_weights_by_recurrence(z.ravel()).reshape(*z.shape, -1)
    fit = np.linalg.inv(chebyshev.chebvander(points, _BAND_NODES - 1))
    return np.asarray(fit @ values)


def _memory_weights_by_recurrence(z: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n k s"]:
    rule = gauss_rule()
    ends = np.append(rule.nodes, 1.0)
    # L_l on [0, c_k], as coefficients of degree n: shape (n, k, l).
    restricted = np.moveaxis(restriction(ends) @ rule.to_legendre, 0, 1)
    y = z[:, None, None] * ends[:, None]
    shape = (len(z), ORDER + 1, ORDER)
    integral = decay_integral(np.broadcast_to(y, shape), restricted[:, None])
    return np.asarray(ends[:, None] * integral)
