"""One step of the flow in time, by Radau collocation: near u = 0, and where balance says little.

    V' = -u^2 a V + u B,   u' = <B, V> - u sum_ij a_ij V_ij^2,   S' = u^2.

u is a polynomial on the step, and obeys its equation at the Radau nodes; at given u the equations
for V are linear and independent of each other, so that only u is left to solve for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from numpy.polynomial import legendre

from theory.gradient_flow.reduced import Point, Points, ReducedFlow

__all__ = ["STAGES", "RadauRule", "TimeStep", "radau_rule", "time_step"]

#: Nodes of a step after its start; the last one is its end.
STAGES = 10

_NEWTON_STEPS = 12

#: Newton has converged when u moves by less than this part of its largest value.
_CONVERGED = 1e-14

#: A move this small is rounding if the next one is no smaller.
_STALLED = 1e-9

#: Units of rounding in the terms of a stiff equation of u that its last coefficients show, where a
#: step is 1e9 times as long as u takes to settle: measured.
_ROUNDINGS = 10000


@dataclass(frozen=True)
class RadauRule:
    """The Radau IIA rule on [0, 1] with `STAGES` nodes.

    Attributes
    ----------
    nodes
        c_k, shape (s,).
    integrals, inverse
        A_kl = int_0^{c_k} L_l, and A^{-1}, shape (s, s).
    to_legendre
        Takes values at 0 and the nodes to the coefficients in P_n(2c - 1), shape (s + 1, s + 1).
    """

    nodes: Float[np.ndarray, " s"]
    integrals: Float[np.ndarray, "s s"]
    inverse: Float[np.ndarray, "s s"]
    to_legendre: Float[np.ndarray, "s1 s1"]


@cache
def radau_rule() -> RadauRule:
    """Return the rule: its nodes are the roots of P_s - P_{s-1} on [-1, 1]."""
    difference = np.zeros(STAGES + 1)
    difference[-2:] = -1.0, 1.0
    points = np.sort(np.real(legendre.legroots(difference)))
    derivative = legendre.legder(difference)
    for _ in range(3):
        points -= legendre.legval(points, difference) / legendre.legval(points, derivative)
    points[-1] = 1.0
    to_coefficients = np.linalg.inv(legendre.legvander(points, STAGES - 1))
    antiderivatives = legendre.legint(to_coefficients, lbnd=-1, axis=0)
    integrals = legendre.legvander(points, STAGES) @ antiderivatives / 2
    with_start = np.linalg.inv(legendre.legvander(np.append(-1.0, points), STAGES))
    return RadauRule((points + 1) / 2, integrals, np.linalg.inv(integrals), with_start)


class TimeStep:
    """The flow on times [t, t + length].

    Parameters
    ----------
    flow
        What flows.
    begin
        The point at t.
    length
        Of the step, > 0.
    u, V
        At the nodes, shapes (s,) and (s, n).
    """

    def __init__(
        self,
        flow: ReducedFlow,
        begin: Point,
        length: float,
        u: Float[np.ndarray, " s"],
        V: Float[np.ndarray, "s n"],
    ) -> None:
        self.begin = begin
        self.length = length
        phase = begin.phase + length * radau_rule().integrals @ u**2
        end = Point(begin.time + length, float(phase[-1]), V[-1], float(u[-1]))
        self.end = flow.balanced(end)
        fit = radau_rule().to_legendre
        self._u = fit @ np.append(begin.u, u)
        self._phase = fit @ np.append(begin.phase, phase)
        self._V = fit @ np.vstack([begin.V, V])
        #: Estimate of the relative error on the step: the last coefficients of u and of V.
        self.defect = max(_tail(self._u[:, None]), _tail(self._V))
        #: What rounding alone makes of `defect`.
        self.rounding = _rounding(flow, self.end, length)

    @property
    def truncation(self) -> float:
        """Estimate of `defect` without rounding, for the choice of the next step.

        As for a step in the phase: c_9 <= c_5 (c_5 / c_3)^2 for coefficients that fall like r^n.
        """
        return float(min(self.defect, max(_unrounded(self._u[:, None]), _unrounded(self._V))))

    def at(self, times: Float[np.ndarray, " m"]) -> Points:
        """Return the points at these times of the step."""
        values = legendre.legvander(2 * (times - self.begin.time) / self.length - 1, STAGES)
        return Points(values @ self._phase, values @ self._V, values @ self._u)

    def collocated_u(self, times: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Return the polynomial u at these times of the step."""
        return self.at(times).u

    def slope(self, times: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Return du/dt of the polynomial u at these times of the step."""
        local = 2 * (times - self.begin.time) / self.length - 1
        return np.asarray(2 / self.length * legendre.legval(local, legendre.legder(self._u)))


def _tail(coefficients: npt.NDArray[np.float64]) -> float:
    """Return the size of the last two coefficients of (columns of) a polynomial, relatively."""
    size = np.linalg.norm(coefficients, axis=1)
    return float(np.max(size[-2:]) / max(np.max(size), np.finfo(np.float64).tiny))


def _rounding(flow: ReducedFlow, end: Point, length: float) -> float:
    """Return the relative error of u by rounding of the terms of its equation.

    A stiff step finds u from <B, V> = u <a o V, V>, and the terms of <B, V> may cancel.
    """
    cost = float(flow.weighted_squares(np.array([end.phase]), end.V[None])[0])
    size = max(abs(end.u), float(np.finfo(np.float64).tiny))
    terms = float(np.abs(flow.drive) @ np.abs(end.V)) / size + cost
    return _ROUNDINGS * float(np.finfo(np.float64).eps) * terms / (cost + 1 / length)


def _unrounded(coefficients: npt.NDArray[np.float64]) -> float:
    """Return what `_tail` would be without rounding, from coefficients of middle degrees."""
    size = np.linalg.norm(coefficients, axis=1)
    low, middle = float(np.max(size[2:4])), float(np.max(size[4:6]))
    largest = max(float(np.max(size)), float(np.finfo(np.float64).tiny))
    return middle / largest * (middle / low) ** 2 if low > 0 else 0.0


def time_step(flow: ReducedFlow, begin: Point, length: float) -> TimeStep | None:
    """Return the step of this length, or None if Newton's method does not find one.

    Parameters
    ----------
    flow
        What flows.
    begin
        Where the step starts.
    length
        In units of t.
    """
    A = length * radau_rule().integrals
    u = np.full(STAGES, begin.u)
    previous = np.inf
    for _ in range(_NEWTON_STEPS):
        V, response = _driven(flow, begin, length, u)
        phase = begin.phase + A @ u**2
        cost = flow.weighted_squares(phase, V)
        slope = flow.overlap(V) - u * cost
        # d slope / d u, through V, through the phase of the quiet entries, and itself.
        sensitivity = flow.drive - 2 * u[:, None] * flow.rates * V
        jacobian = np.einsum("kn,nkl->kl", sensitivity, response)
        jacobian += 4 * u[:, None] * flow.quiet.moment(2, phase)[:, None] * A * u
        jacobian -= np.diag(cost)
        if float(np.max(cost)) * length > 1:  # as in `_driven`
            inverse = radau_rule().inverse / length
            move = np.linalg.solve(inverse - jacobian, inverse @ (u - begin.u) - slope)
        else:
            move = np.linalg.solve(np.eye(STAGES) - A @ jacobian, u - begin.u - A @ slope)
        if not np.all(np.isfinite(move)):
            return None
        u = u - move
        scale = max(float(np.max(np.abs(u))), abs(begin.u))
        size = float(np.max(np.abs(move))) / max(scale, np.finfo(np.float64).tiny)
        if size <= _CONVERGED or previous <= size <= _STALLED:
            V, _ = _driven(flow, begin, length, u)
            return TimeStep(flow, begin, length, u, V)
        previous = size
    return None


def _driven(
    flow: ReducedFlow, begin: Point, length: float, u: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return V at the nodes, shape (s, n), for u there, and dV_nk / du_l, shape (n, s, s).

    (I + a A diag(u^2)) V = V(0) + B A u for each entry; multiplied by A^{-1} where a u^2 is fast,
    so that V = B / (a u) comes out without the rounding of A.
    """
    rule, square = radau_rule(), u**2
    A, inverse = length * rule.integrals, rule.inverse / length
    fast = (flow.rates * (length * float(np.max(square))) > 1)[:, None, None]
    rates = flow.rates[:, None, None]
    system = np.where(
        fast, inverse + rates * np.diag(square), np.eye(STAGES) + rates * (A * square)
    )
    right = np.where(
        fast[:, 0],
        np.multiply.outer(begin.V, np.sum(inverse, axis=1)) + np.multiply.outer(flow.drive, u),
        begin.V[:, None] + np.multiply.outer(flow.drive, A @ u),
    )
    V = np.linalg.solve(system, right[..., None])[..., 0]
    source = flow.drive[:, None] - 2 * flow.rates[:, None] * V * u
    pushed = np.where(fast, np.eye(STAGES), A) * source[:, None, :]
    return np.ascontiguousarray(V.T), np.linalg.solve(system, pushed)
