"""The flow without what is known: the driven entries of V, and u.

An entry with B_ij = 0 is V_ij(0) e^{-a_ij S} in the phase S(t) = int_0^t u^2. What is left to solve
for is u and the entries with B_ij != 0: d of d^2 where G and Lambda commute.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from theory.gradient_flow.decays import DecayingSquares
from theory.gradient_flow.problem import FlowProblem, FlowState

__all__ = ["Point", "Points", "ReducedFlow"]


#: With c < 0 the balance u^2 = c + |V|^2 gives u to 1 / this many units of rounding at worst.
_LEAST_PART = 0.05


class Point(NamedTuple):
    """Where the flow is: time t, phase S, the driven entries V (ascending in a) and u."""

    time: float
    phase: float
    V: Float[np.ndarray, " n"]
    u: float


class Points(NamedTuple):
    """`Point` at m times, one row each."""

    phase: Float[np.ndarray, " m"]
    V: Float[np.ndarray, "m n"]
    u: Float[np.ndarray, " m"]


class ReducedFlow:
    """The driven entries and sums over the others.

    Parameters
    ----------
    problem
        The flow.
    start
        Where it starts.
    balance
        c = u^2 - |U|_F^2 of the start, which need not be computed from rounded squares.

    Attributes
    ----------
    rates, drive
        a and B of the driven entries, ascending in a, shape (n,).
    quiet
        The entries that only decay.
    problem, origin, balance
        The arguments.
    start
        The start as a `Point`.
    minimiser
        B / a, which u V equals at the global minima, shape (n,).
    """

    def __init__(self, problem: FlowProblem, start: FlowState, balance: float) -> None:
        V = problem.in_eigenbasis(start.U)
        self._driven: Bool[np.ndarray, "d d"] = problem.drive != 0
        rates = problem.curvature[self._driven]
        self._order = np.argsort(rates)
        self.rates = rates[self._order]
        self.drive = problem.drive[self._driven][self._order]
        self.quiet = DecayingSquares(problem.curvature[~self._driven], V[~self._driven])
        self.problem = problem
        self.origin = start
        self._initial = V
        self.balance = balance
        self.start = Point(0.0, 0.0, V[self._driven][self._order], start.u)
        self.minimiser = self.drive / self.rates

    def squares(
        self, phase: Float[np.ndarray, " m"], V: Float[np.ndarray, "m n"]
    ) -> Float[np.ndarray, " m"]:
        """Return |V|_F^2, all entries."""
        return np.asarray(np.sum(V**2, axis=1) + self.quiet.moment(0, phase))

    def weighted_squares(
        self, phase: Float[np.ndarray, " m"], V: Float[np.ndarray, "m n"]
    ) -> Float[np.ndarray, " m"]:
        """Return sum_ij a_ij V_ij^2, all entries."""
        return np.asarray(V**2 @ self.rates + self.quiet.moment(1, phase))

    def determines_u(self, point: Point) -> bool:
        """Say whether u^2 = c + |V|_F^2 loses at most a digit or so to cancellation here."""
        return self.balance >= 0 or point.u**2 >= -_LEAST_PART * self.balance

    def balanced(self, point: Point) -> Point:
        """Return the point with u from the balance, where that is the more accurate u.

        It keeps the flow on stable manifolds that the balance defines, such as U = -u for d = 1.
        """
        square = self.balance + float(self.squares(np.array([point.phase]), point.V[None])[0])
        if square <= 0 or not self.determines_u(point):
            return point
        return point._replace(u=float(np.copysign(np.sqrt(square), point.u)))

    def overlap(self, V: Float[np.ndarray, "m n"]) -> Float[np.ndarray, " m"]:
        """Return <B, V>."""
        return np.asarray(V @ self.drive)

    def excess_loss(self, points: Points) -> Float[np.ndarray, " m"]:
        """Return 1/2 sum_ij a_ij (u V_ij - B_ij / a_ij)^2."""
        gap = points.u[:, None] * points.V - self.minimiser
        quiet = points.u**2 * self.quiet.moment(1, points.phase)
        return np.asarray(gap**2 @ self.rates + quiet) / 2

    def gap(self, point: Point) -> float:
        """Return |u V - B / a|_F / |B / a|_F, the distance to the global minima."""
        driven = float(np.sum((point.u * point.V - self.minimiser) ** 2))
        quiet = point.u**2 * float(self.quiet.moment(0, np.array([point.phase]))[0])
        return float(np.sqrt((driven + quiet) / np.sum(self.minimiser**2)))

    def matrix(self, phase: float, V: Float[np.ndarray, " n"]) -> Float[np.ndarray, "d d"]:
        """Return U for the driven entries V at this phase, in the original basis."""
        full = np.zeros_like(self._initial)
        moving = ~self._driven & (self._initial != 0)
        # e^{-aS} below the least float64 is 0, as it should be.
        full[moving] = self._initial[moving] * np.exp(-self.problem.curvature[moving] * phase)
        ordered = np.empty_like(V)
        ordered[self._order] = V
        full[self._driven] = ordered
        return self.problem.from_eigenbasis(full)
