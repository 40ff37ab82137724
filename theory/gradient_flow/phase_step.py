"""One step of the flow in the phase S = int u^2 dt, by exponential collocation.

There V' = -aV + B phi is linear in phi = 1/u, and one scalar equation remains,

    phi^{-2} = c + |V|_F^2,   t = int phi^2 dS.

phi is a polynomial that obeys it at the Gauss nodes of the step; V and t are exact for that phi.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from numpy.polynomial import legendre

from theory.gradient_flow.collocation import (
    ORDER,
    decay_integral,
    gauss_rule,
    memory_weights,
    restriction,
)
from theory.gradient_flow.reduced import Point, Points, ReducedFlow

__all__ = ["PhaseStep", "phase_step"]

_NEWTON_STEPS = 12

#: Newton has converged when u^2 moves by less than this, relatively: the next step is rounding.
_CONVERGED = 1e-9

#: A step of Newton's method does not divide u^2 by more than 1 / this.
_LEAST_FACTOR = 0.1

_BISECTIONS = 60

_IDENTITY = np.eye(ORDER)


class PhaseStep:
    """The flow on phases [S, S + length].

    Parameters
    ----------
    flow
        What flows.
    begin
        The point at S.
    length
        Of the step, > 0.
    phi
        1/u at the Gauss nodes, shape (s,).
    end_V
        V at the end, shape (n,).
    """

    def __init__(
        self,
        flow: ReducedFlow,
        begin: Point,
        length: float,
        phi: Float[np.ndarray, " s"],
        end_V: Float[np.ndarray, " n"],
    ) -> None:
        self._flow = flow
        self.begin = begin
        self.length = length
        rule = gauss_rule()
        self._phi = rule.to_legendre @ phi
        phase = begin.phase + length
        self.end = Point(
            begin.time + length * float(rule.weights @ phi**2),
            phase,
            end_V,
            float(_u(flow, np.array([phase]), end_V[None], begin.u)[0]),
        )
        ends = rule.ends @ phi
        #: Estimate of |phi / phi(V) - 1| on the step: it is largest at the ends of a step.
        self.defect = float(max(abs(ends[0] * begin.u - 1), abs(ends[1] * self.end.u - 1)))
        #: What rounding alone makes of `defect`: nothing beyond any tolerance.
        self.rounding = 0.0

    @property
    def truncation(self) -> float:
        """Estimate of `defect` without rounding, for the choice of the next step.

        The coefficients of phi fall like c_n = r^n or faster. Those of middle degrees, which
        rounding does not reach, tell r: c_16 <= c_8 (c_8 / c_4)^2.
        """
        size = np.abs(self._phi)
        low, middle = float(np.max(size[4:6])), float(np.max(size[8:10]))
        unrounded = middle / size[0] * (middle / low) ** 2 if low > 0 else 0.0
        return float(min(self.defect, unrounded))

    def at(self, times: Float[np.ndarray, " m"]) -> Points:
        """Return the points at these times of the step."""
        parts = self._parts(times)
        phase = self.begin.phase + self.length * parts
        rates = np.multiply.outer(parts * self.length, self._flow.rates)
        local = np.moveaxis(restriction(parts) @ self._phi, -1, 0)  # degree, time
        memory = (self.length * parts)[:, None] * decay_integral(rates, local[:, :, None])
        V = np.exp(-rates) * self.begin.V + self._flow.drive * memory
        return Points(phase, V, _u(self._flow, phase, V, self.begin.u))

    def collocated_u(self, times: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Return 1/phi of the polynomial phi, at these times of the step."""
        return np.asarray(1 / legendre.legval(2 * self._parts(times) - 1, self._phi))

    def slope(self, times: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Return du/dt of `at`: the derivative of the balance along V' = -u^2 aV + u^2 phi B."""
        points = self.at(times)
        ratio = points.u / self.collocated_u(times)
        cost = points.u * self._flow.weighted_squares(points.phase, points.V)
        return np.asarray(ratio * self._flow.overlap(points.V) - cost)

    @cached_property
    def _duration(self) -> npt.NDArray[np.float64]:
        """Legendre coefficients of the time since the start of the step."""
        half = self.length / 2
        return np.asarray(legendre.legint(legendre.legmul(self._phi, self._phi), lbnd=-1) * half)

    def _parts(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the parts c of the step at which these times are reached, by safe Newton steps."""
        wanted = times - self.begin.time
        low, high = np.zeros_like(wanted), np.ones_like(wanted)
        c = np.clip(wanted / max(self.end.time - self.begin.time, np.finfo(float).tiny), 0, 1)
        for _ in range(_BISECTIONS):
            excess = legendre.legval(2 * c - 1, self._duration) - wanted
            low, high = np.where(excess < 0, c, low), np.where(excess < 0, high, c)
            slope = self.length * legendre.legval(2 * c - 1, self._phi) ** 2
            newton = c - excess / slope
            inside = (newton >= low) & (newton <= high)
            following = np.where(inside, newton, (low + high) / 2)
            settled = np.max(np.abs(following - c), initial=0.0) <= 1e-16
            c = following
            if settled:
                break
        return c


def phase_step(flow: ReducedFlow, begin: Point, length: float) -> PhaseStep | None:
    """Return the step of this length, or None if Newton's method does not find one.

    Parameters
    ----------
    flow
        What flows.
    begin
        Where the step starts; u != 0.
    length
        In units of S.
    """
    rule = gauss_rule()
    ends = np.append(rule.nodes, 1.0)
    z = flow.rates * length
    memory = memory_weights(z)
    decayed = np.exp(-np.multiply.outer(z, ends)) * begin.V[:, None]
    gain = flow.drive * length
    phases = begin.phase + length * rule.nodes
    known = flow.balance + flow.quiet.moment(0, phases)
    square = np.full(ORDER, begin.u**2)
    of_nodes = memory.transpose(1, 0, 2)[:-1]
    for _ in range(_NEWTON_STEPS):
        # Newton on w = u^2 at the nodes: w - c - |V|_F^2 is nearly concave in w and rising, so that
        # steps from below do not overshoot; in phi they do.
        phi = np.copysign(1 / np.sqrt(square), begin.u)
        at_nodes = decayed[:, :-1] + gain[:, None] * (memory @ phi)[:, :-1]
        residual = square - known - np.einsum("nk,nk->k", at_nodes, at_nodes)
        # sum_n V_nk gain_n memory_nkl, a product of a row and a matrix for each node k.
        slope = ((at_nodes * gain[:, None]).T[:, None, :] @ of_nodes)[:, 0, :]
        move = _solve(_IDENTITY + slope * (phi / square), residual)
        if move is None:
            return None
        change = move / square
        size = float(np.max(np.abs(change)))
        if not np.isfinite(size):
            return None
        square = square * np.maximum(1 - change, _LEAST_FACTOR)
        if size <= _CONVERGED:
            phi = np.copysign(1 / np.sqrt(square), begin.u)
            end_V = decayed[:, -1] + gain * (memory[:, -1] @ phi)
            step = PhaseStep(flow, begin, length, phi, end_V)
            return step if np.isfinite(step.defect) else None
    return None


def _solve(
    jacobian: npt.NDArray[np.float64], residual: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64] | None:
    try:
        return np.asarray(np.linalg.solve(jacobian, residual))
    except np.linalg.LinAlgError:
        return None


def _u(
    flow: ReducedFlow,
    phase: npt.NDArray[np.float64],
    V: npt.NDArray[np.float64],
    sign: float,
) -> npt.NDArray[np.float64]:
    """Return u of this sign from the balance; nan where there is none."""
    square = flow.balance + flow.squares(phase, V)
    return np.copysign(np.sqrt(np.where(square > 0, square, np.nan)), sign)
