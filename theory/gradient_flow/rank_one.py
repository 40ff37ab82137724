"""Eigenvalues of diag(p) + vv', each to high relative accuracy, by the secular equation.

Between two neighbouring poles p_k < p_{k+1} lies one root x of

    1 + sum_j v_j^2 / (p_j - x) = 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

__all__ = ["eigenvalues", "groups", "least_eigenvalue"]

#: Poles this close, relatively, count as one: float64 separates their root from them no better.
_EQUAL_POLES = 1e-14


def groups(poles: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Number the distinct values among poles > 0, ascending from 0; equal up to 1e-14 is equal."""
    order = np.argsort(poles)
    ascending = poles[order]
    new = np.diff(ascending, prepend=ascending[:1]) > _EQUAL_POLES * ascending
    labels = np.empty(len(poles), dtype=np.int64)
    labels[order] = np.cumsum(new)
    return labels


def eigenvalues(
    poles: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Return the eigenvalues of diag(poles) + vv' with v_j^2 = weights_j, ascending.

    Parameters
    ----------
    poles
        p_j > 0, shape (n,), in any order.
    weights
        v_j^2 >= 0, shape (n,).

    Notes
    -----
    A pole of multiplicity m stays an eigenvalue m - 1 times, and m times where its weight is 0.
    Takes n^2 numbers of memory.
    """
    distinct, total, multiplicity = _merged(poles, weights)
    moved = total > 0
    kept = np.repeat(distinct, multiplicity - moved)
    roots = _roots(distinct[moved], total[moved], int(np.count_nonzero(moved)))
    return np.sort(np.concatenate([kept, roots]))


def least_eigenvalue(poles: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> float:
    """Return the least of `eigenvalues`, in time n log n, for n >= 1."""
    distinct, total, multiplicity = _merged(poles, weights)
    moved = total > 0
    kept = distinct[multiplicity > moved]
    roots = _roots(distinct[moved], total[moved], min(1, int(np.count_nonzero(moved))))
    return float(np.min(np.concatenate([kept[:1], roots])))


def _merged(
    poles: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return distinct poles, ascending, with the sum of their weights and their multiplicity."""
    labels = groups(poles)
    distinct = np.full(int(np.max(labels, initial=-1)) + 1, np.inf)
    np.minimum.at(distinct, labels, poles)
    total = np.bincount(labels, weights, minlength=len(distinct))
    count = np.bincount(labels, minlength=len(distinct)).astype(np.int64)
    return distinct, np.asarray(total, dtype=np.float64), count


def _roots(
    poles: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"], count: int
) -> npt.NDArray[np.float64]:
    """Return the first `count` roots of the secular equation, for distinct poles, by bisection.

    The unknown is the distance to the pole below, so that differences of poles do not cancel.
    """
    base = poles[:count, None]
    from_base = poles[None, :] - base
    low = np.zeros(count)
    # The last root is at most the sum of the weights above the last pole.
    high = np.append(np.diff(poles), np.sum(weights))[:count]
    eps = float(np.finfo(np.float64).eps)
    with np.errstate(divide="ignore"):
        while (high - low > eps * (poles[:count] + low)).any():
            middle = (low + high) / 2
            below = 1 + (weights / (from_base - middle[:, None])).sum(axis=1) < 0
            low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(poles[:count] + low)
