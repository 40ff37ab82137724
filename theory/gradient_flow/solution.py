"""The trajectory of a gradient flow, at any time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Protocol, SupportsFloat, runtime_checkable

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from theory.gradient_flow.problem import FlowState
from theory.gradient_flow.reduced import Point, Points, ReducedFlow
from theory.validation import Problems

__all__ = ["FlowSolution", "Step"]

#: Where in each step `balance_drift` looks.
_DRIFT_SAMPLES = np.array([0.31, 0.83])


@runtime_checkable
class Step(Protocol):
    """A piece of the trajectory."""

    begin: Point
    end: Point
    defect: float
    rounding: float

    @property
    def truncation(self) -> float:
        """Estimate of the defect for the choice of the next step."""
        ...

    def at(self, times: Float[np.ndarray, " m"]) -> Points:
        """Return the points at these times of the step."""
        ...

    def collocated_u(self, times: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Return u at these times as the solver's unknown, not from the balance."""
        ...

    def slope(self, times: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Return the derivative of `at(times).u`."""
        ...


class FlowSolution:
    """The flow from one start, from time 0 to a horizon and, once it has converged, beyond.

    Made by `solve_flow` and `solve_flow_from`.

    Attributes
    ----------
    problem, start
        What was solved.
    balance
        u^2 - |U|_F^2, which the solver keeps: exactly 0 for a start of Assumption 3.
    horizon
        The time at which the solve ended.
    converged
        Whether the state at the horizon is a global minimum to 1e-14, by the exact rate. The flow
        then rests there for all later times; otherwise these are refused.
    error_estimate
        The largest estimate over all steps of the relative defect of u: by how much the solver's u
        misses its equation between the points where it obeys it. At most the tolerance, or what
        rounding allows: far from balance u is the quotient of a sum that cancels and a large one.
    num_steps
        Steps taken.
    """

    def __init__(
        self, flow: ReducedFlow, steps: list[Step], horizon: float, converged: bool
    ) -> None:
        self.problem = flow.problem
        self.start = flow.origin
        self.balance = flow.balance
        self.horizon = horizon
        self.converged = converged
        self.error_estimate = max(step.defect for step in steps)
        self.num_steps = len(steps)
        self._flow = flow
        self._steps = steps
        self._begins = np.array([step.begin.time for step in steps])

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        return f"FlowSolution({self.problem}, {state} at t = {self.horizon:.6g})"

    def __call__(self, t: SupportsFloat) -> FlowState:
        """Return (U, u) at time t.

        Raises
        ------
        ValueError
            If t is negative or not finite, or beyond the horizon of a flow that has not converged.
        """
        points = self._points(np.array([float(t)]))
        return FlowState(self._flow.matrix(float(points.phase[0]), points.V[0]), float(points.u[0]))

    @cached_property
    def final(self) -> FlowState:
        """(U, u) at the horizon."""
        return self(self.horizon)

    def u(self, times: float | npt.ArrayLike) -> Float[np.ndarray, " m"]:
        """Return u at m times (a number is m = 1), shape (m,); errors as for a call."""
        return self._points(times).u

    def excess_loss(self, times: float | npt.ArrayLike) -> Float[np.ndarray, " m"]:
        """Return L - min L at m times, shape (m,): 1/2 sum_ij a_ij (u V_ij - B_ij / a_ij)^2."""
        return self._flow.excess_loss(self._points(times))

    def loss(self, times: float | npt.ArrayLike) -> Float[np.ndarray, " m"]:
        """Return the population loss L at m times, shape (m,)."""
        return self.problem.minimal_loss + self.excess_loss(times)

    def residual(self, times: float | npt.ArrayLike) -> Float[np.ndarray, " m"]:
        """Return the relative residual of du/dt = <B, V> - u <a o V, V> at m times, shape (m,).

        du/dt is the derivative of `u`, and the unit is |<B, V>| + |u| <a o V, V>. Where the solver
        works in the phase, u comes from the balance, and the solver does not use this equation.
        """
        given = self._checked(times)
        points, slope = self._points(given), np.empty(len(given))
        for index, here in self._pieces(given):
            slope[here] = self._steps[index].slope(given[here])
        gain = self._flow.overlap(points.V)
        cost = points.u * self._flow.weighted_squares(points.phase, points.V)
        return np.asarray((slope - (gain - cost)) / (np.abs(gain) + np.abs(cost)))

    @cached_property
    def balance_drift(self) -> float:
        """The largest |u^2 - |U|_F^2 - c| / (u^2 + |U|_F^2), c the `balance`.

        Measured between the nodes of every step, with U in its original basis and for u the
        solver's polynomial, which obeys the balance at the nodes only. (The u of a call comes from
        the balance, where the solver works in the phase.)
        """
        worst = 0.0
        for step in self._steps:
            times = step.begin.time + _DRIFT_SAMPLES * (step.end.time - step.begin.time)
            points, us = step.at(times), step.collocated_u(times)
            for phase, V, u in zip(points.phase, points.V, us, strict=True):
                size = float(np.sum(self._flow.matrix(float(phase), V) ** 2))
                square = float(u) ** 2
                worst = max(worst, abs(square - size - self.balance) / (square + size))
        return worst

    def _points(self, times: float | npt.ArrayLike) -> Points:
        given = self._checked(times)
        count = len(given)
        found = Points(np.empty(count), np.empty((count, len(self._flow.drive))), np.empty(count))
        for index, here in self._pieces(given):
            for into, values in zip(found, self._steps[index].at(given[here]), strict=True):
                into[here] = values
        return found

    def _pieces(
        self, times: npt.NDArray[np.float64]
    ) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
        """Yield the steps that hold some of the times, and which times."""
        which = np.searchsorted(self._begins, times, side="right") - 1
        for index in np.unique(which):
            yield int(index), which == index

    def _checked(self, times: float | npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the times, those after convergence moved to the horizon."""
        problems = Problems("FlowSolution")
        given = problems.array("times", np.atleast_1d(np.asarray(times)), ("m",))
        problems.raise_if_any()
        assert given is not None
        if np.any(given < 0):
            problems.add(f"time {float(np.min(given))!r} is before the start, t = 0")
        if np.any(given > self.horizon) and not self.converged:
            problems.add(
                f"time {float(np.max(given))!r} is beyond the horizon {self.horizon!r}, where the"
                " flow has not converged: solve with a larger `horizon`"
            )
        problems.raise_if_any()
        return np.minimum(given, self.horizon)
