"""Bounds on what float64 rounding does to a softmax mean (Higham 2002, Chapter 3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from scipy.special import log_softmax

__all__ = ["TINY", "gamma", "softmax_mean_error"]

#: The smallest normal number: what is lost to underflow is less.
TINY = float(np.finfo(np.float64).tiny)

_UNIT_ROUNDOFF = 2.0**-53

#: Exponents are cut here, far above every bound that says anything, so that exp cannot overflow.
_LARGE_EXPONENT = 300.0


def gamma(count: int | Int[np.ndarray, " n"]) -> npt.NDArray[np.float64]:
    """Bound the relative error of `count` roundings in a row: n u / (1 - n u), u = 2^-53.

    Notes
    -----
    Source: Higham, Accuracy and Stability of Numerical Algorithms (2002), Lemma 3.1.
    """
    total = np.asarray(count, dtype=np.float64) * _UNIT_ROUNDOFF
    return np.asarray(total / (1.0 - total))


def softmax_mean_error(
    scores: Float[np.ndarray, "batch m"],
    score_errors: Float[np.ndarray, "batch m"],
    values: Float[np.ndarray, "batch m"],
) -> Float[np.ndarray, " batch"]:
    """Bound how far the mean f = sum_j p_j v_j, p = softmax(l), moves when the scores l move.

    If |delta l_j| <= Delta_j, then

        |delta f| <= min( max_j v_j - min_j v_j,
                          sum_j p_j (e^{Delta_j} - 1) |v_j - f| / sum_j p_j e^{-Delta_j} ),

    for the moved mean minus f is sum_j p_j (e^{delta l_j} - 1)(v_j - f) / sum_j p_j e^{delta l_j}.
    With Delta = max_j Delta_j this is at most (e^{Delta} - 1) e^{Delta} (max_j v_j - min_j v_j).

    Parameters
    ----------
    scores, score_errors, values
        The finite l_j, Delta_j >= 0 and v_j, shape (batch, m), float64.

    Returns
    -------
    numpy.ndarray
        The bounds, shape (batch,), float64.
    """
    log_p = log_softmax(scores, axis=-1)
    mean = np.sum(np.exp(log_p) * values, axis=-1, keepdims=True)
    # p (e^Delta - 1) = e^(log p + Delta) (1 - e^-Delta): no product of 0 with infinity.
    growth = np.exp(np.minimum(log_p + score_errors, _LARGE_EXPONENT)) * -np.expm1(-score_errors)
    moved = np.sum(growth * np.abs(values - mean), axis=-1)
    normaliser = np.sum(np.exp(log_p - score_errors), axis=-1)
    # Dividing by less than e^-300 says no more than the range does.
    bound = moved / np.maximum(normaliser, np.exp(-_LARGE_EXPONENT))
    return np.asarray(np.minimum(np.ptp(values, axis=-1), bound))
