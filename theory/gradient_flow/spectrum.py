"""The exact rate of convergence: eigenvalues of the Hessian of the loss at the limit of the flow.

The excess loss is a sum of squares, 1/2 sum_ij r_ij^2 with r_ij = sqrt(a_ij) (u V_ij - B_ij/a_ij).
All r vanish at the limit, so that the Hessian there is J'J, for J the derivative of r in (V, u).
J J' = u^2 diag(a) + y y' / u^2, y = B / sqrt(a), has the same eigenvalues but one: the Hessian also
has a zero, along the orbit (s U, u / s) of global minima.
"""

from __future__ import annotations

from typing import SupportsFloat

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from theory.gradient_flow.problem import FlowProblem, FlowState
from theory.gradient_flow.rank_one import eigenvalues, groups, least_eigenvalue

__all__ = ["convergence_rate", "excited_rate", "spectrum"]

#: Entries of a start below this, relative to its norm, are rounding of a change of basis.
_ROUNDING = 1e-14


def spectrum(problem: FlowProblem, balance: SupportsFloat = 0.0) -> Float[np.ndarray, " modes"]:
    """Return all eigenvalues of the Hessian of L(U, u) at the limit with this balance.

    u^2 a_ij where B_ij = 0; the eigenvalues of u^2 diag(a) + y y' / u^2, y = B / sqrt(a), over the
    other entries; and 0.

    Parameters
    ----------
    problem
        The flow.
    balance
        u^2 - |U|_F^2; 0 for the starts of Assumption 3.

    Returns
    -------
    numpy.ndarray
        d^2 + 1 eigenvalues, ascending, shape (d^2 + 1,), each to high relative accuracy. Takes n^2
        numbers of memory for n entries B_ij != 0 (n = d if G and Lambda commute, else d^2).

    Raises
    ------
    ValueError
        If `balance` is not a finite number.

    Notes
    -----
    Not in Zhang et al., who bound the rate from below (Lemmas 20 and 28).
    """
    quiet, poles, weights = _modes(problem, float(problem.limit(balance).u) ** 2)
    return np.sort(np.concatenate([[0.0], quiet, eigenvalues(poles, weights)]))


def convergence_rate(problem: FlowProblem, balance: SupportsFloat = 0.0) -> float:
    """Return the least eigenvalue of `spectrum` other than 0.

    The distance to the limit decays as exp(-rate t), the excess loss as exp(-2 rate t), from almost
    every start. Cheap also where all d^2 entries of B count.

    Raises
    ------
    ValueError
        If `balance` is not a finite number.
    """
    quiet, poles, weights = _modes(problem, float(problem.limit(balance).u) ** 2)
    return min(float(np.min(quiet, initial=np.inf)), least_eigenvalue(poles, weights))


def excited_rate(
    problem: FlowProblem, start: FlowState, balance: SupportsFloat | None = None
) -> float:
    """Return the least eigenvalue of `spectrum` of a mode that the start excites.

    A start that misses a mode of these two kinds misses it for all times, because these modes obey
    linear equations of their own, dm/dt = -a u^2 m: an entry with B_ij = 0; and, among entries with
    equal a_ij, what of V is orthogonal to B. All other modes mix on the way, and count as excited
    (they are, from almost every start). Example: Lambda = c I from U(0) = sigma I / d^{1/4}.

    Parameters
    ----------
    problem, start
        The flow, and where it starts.
    balance
        u^2 - |U|_F^2 of the start, where it is known better than from rounded squares.
    """
    V = problem.in_eigenbasis(start.U)
    known = problem.balance(start) if balance is None else balance
    u_squared = problem.limit(known).u ** 2
    active = problem.drive != 0
    _, poles, weights = _modes(problem, u_squared)
    rounding = _ROUNDING * float(np.linalg.norm(V))
    quiet = u_squared * problem.curvature[~active & (np.abs(V) > rounding)]
    labels = groups(poles)
    apart = _apart(V[active], problem.drive[active], labels) > rounding
    kept = poles[apart]
    # One representative of each group of equal poles carries the modes that mix.
    first = np.unique(labels, return_index=True)[1]
    mixed = least_eigenvalue(poles[first], np.bincount(labels, weights))
    return min(float(np.min(quiet, initial=np.inf)), float(np.min(kept, initial=np.inf)), mixed)


def _modes(
    problem: FlowProblem, u_squared: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return u^2 a where B = 0, and poles u^2 a and weights B^2 / (a u^2) of the other entries."""
    active: Bool[np.ndarray, "d d"] = problem.drive != 0
    quiet = u_squared * problem.curvature[~active]
    a, b = problem.curvature[active], problem.drive[active]
    return quiet, u_squared * a, b**2 / (a * u_squared)


def _apart(
    entries: Float[np.ndarray, " n"], drive: Float[np.ndarray, " n"], labels: npt.NDArray[np.int64]
) -> Float[np.ndarray, " n"]:
    """Return |V - (its part along B)|, entry by entry, group by group."""
    along = np.bincount(labels, drive * entries) / np.bincount(labels, drive**2)
    return np.asarray(np.abs(entries - along[labels] * drive))
