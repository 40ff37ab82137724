"""The gradient flow by adaptive collocation: in the phase S = int u^2 dt where it can, else t."""

from __future__ import annotations

from collections.abc import Callable
from typing import SupportsFloat

import numpy as np
import numpy.typing as npt

from theory.gradient_flow.collocation import ORDER
from theory.gradient_flow.horizon import Horizon
from theory.gradient_flow.phase_step import phase_step
from theory.gradient_flow.problem import FlowProblem, FlowState
from theory.gradient_flow.reduced import Point, ReducedFlow
from theory.gradient_flow.solution import FlowSolution, Step
from theory.gradient_flow.start import assumption_3
from theory.gradient_flow.time_step import STAGES, time_step
from theory.validation import Problems

__all__ = ["DEFAULT_TOLERANCE", "TOLERANCES", "solve_flow", "solve_flow_from"]

DEFAULT_TOLERANCE = 1e-12

#: What a tolerance may be: float64 does not reach less, and more is no solution.
TOLERANCES = (1e-13, 1e-3)

#: A solve with more steps than this has lost its way.
_MAX_STEPS = 20_000

_SHRINK, _GROWTH = 0.2, 8.0
_SAFETY = 0.9

#: A start this large, or whose inverse is, has squares or a loss that float64 cannot hold.
_LARGEST = 1e140

#: Of a defect to the tolerance: what is below is noise, and as good as this.
_LEAST_RATIO = 1e-6


def solve_flow(
    problem: FlowProblem,
    theta: npt.ArrayLike,
    scale: SupportsFloat,
    *,
    tolerance: SupportsFloat = DEFAULT_TOLERANCE,
    horizon: SupportsFloat | None = None,
    on_progress: Callable[[float], object] | None = None,
) -> FlowSolution:
    """Solve the flow from the start of Assumption 3, U(0) = scale Theta Theta', u(0) = scale.

    Parameters
    ----------
    problem
        The flow.
    theta, scale
        The start: see `assumption_3`.
    tolerance
        On the relative defect of u on each step, from 1e-13 to 1e-3. The ends of steps, and so the
        limit, are far more accurate.
    horizon
        The time to end at. Default: when the state is the limit to 1e-14, by the exact rate.
    on_progress
        Called after each step with an estimate of the part that is done, from 0 to 1.

    Raises
    ------
    ValueError
        If the start is not one of Assumption 3, the tolerance not in [1e-13, 1e-3], or the horizon
        not > 0.

    Notes
    -----
    Source of the flow: Zhang et al. 2024, Lemmas 10 and 15, Corollary 22.
    """
    # Balanced by Assumption 3, and not only up to the rounding of u^2, which at large scales would
    # move the limit.
    flow = _reduced(problem, assumption_3(problem, theta, scale), balance=0.0)
    return _solve(flow, tolerance, horizon, on_progress)


def solve_flow_from(
    problem: FlowProblem,
    start: FlowState | tuple[npt.ArrayLike, SupportsFloat],
    *,
    tolerance: SupportsFloat = DEFAULT_TOLERANCE,
    horizon: SupportsFloat | None = None,
    on_progress: Callable[[float], object] | None = None,
) -> FlowSolution:
    """Solve the flow from any start; see `solve_flow` for the other arguments.

    Parameters
    ----------
    problem
        The flow.
    start
        A `FlowState` (or a pair) of U and u, balanced or not, u of any sign or 0. A flow that comes
        to rest at a saddle instead of a global minimum ends there, with `converged` False. The
        balance is that of the numbers as given (`FlowProblem.balance`).

    Raises
    ------
    ValueError
        If the flow does not move from the start (u = 0 and <B, V> = 0: a saddle of the loss), or as
        for `solve_flow`.
    """
    if not (isinstance(start, tuple) and len(start) == 2):
        raise ValueError(
            f"start is {type(start).__name__}; expected FlowState(U, u), or the pair (U, u)"
        )
    begin = problem.state(*start)
    flow = _reduced(problem, begin, problem.balance(begin))
    return _solve(flow, tolerance, horizon, on_progress)


def _solve(
    flow: ReducedFlow,
    tolerance: SupportsFloat,
    horizon: SupportsFloat | None,
    on_progress: Callable[[float], object] | None,
) -> FlowSolution:
    problems = Problems("solve_flow")
    wanted = problems.number("tolerance", tolerance, TOLERANCES[0], strict=False)
    if wanted > TOLERANCES[1]:
        problems.add(f"tolerance is {wanted!r}; expected a number from 1e-13 to 1e-3")
    end = None if horizon is None else problems.number("horizon", horizon, 0.0, strict=True)
    if flow.start.u == 0 and float(flow.overlap(flow.start.V[None])[0]) == 0:
        problems.add(
            "u is 0 and so is tr(B'U), the slope of u (B = Lambda^2 for a fixed covariance): the"
            " start is a saddle of the loss, and the flow does not move; the theorems assume u > 0:"
            " expected u != 0, or U with tr(B'U) != 0"
        )
    problems.raise_if_any()
    until = Horizon(flow, end)
    steps = _steps(flow, until, wanted, on_progress)
    return FlowSolution(flow, steps, min(until.time, steps[-1].end.time), until.converged)


def _reduced(problem: FlowProblem, start: FlowState, balance: float) -> ReducedFlow:
    """Return the flow, unless the loss at the start is beyond float64 or squares underflow."""
    problems = Problems("solve_flow")
    size = max(abs(start.u), float(np.max(np.abs(start.U))))
    with np.errstate(over="ignore"):
        loss = np.max(problem.curvature) * np.float64(size) ** 4 * problem.dim**2
    if not loss < _LARGEST**2:
        problems.add(
            f"the start has entries up to {size:.3g}, and curvatures up to"
            f" {float(np.max(problem.curvature)):.3g}: the loss there is beyond float64;"
            " expected a smaller scale, or covariates in other units"
        )
    if 0 < size < 1 / _LARGEST:
        problems.add(
            f"the start has entries of at most {size:.3g}, whose squares underflow; expected a"
            f" scale of at least {1 / _LARGEST:g}, or covariates in other units"
        )
    problems.raise_if_any()
    return ReducedFlow(problem, start, balance)


def _steps(
    flow: ReducedFlow,
    until: Horizon,
    tolerance: float,
    on_progress: Callable[[float], object] | None,
) -> list[Step]:
    """Return steps that lead to the horizon."""
    steps: list[Step] = []
    point, done = flow.start, until.reached(flow.start)
    in_phase = _in_phase(flow, point)
    length = _step_length(flow, point, in_phase, tolerance)
    while not steps or not done:
        if in_phase is not (now := _in_phase(flow, point)):
            in_phase, length = now, _step_length(flow, point, now, tolerance)
        steps.append(_accepted(flow, point, length, in_phase))
        point = steps[-1].end
        done = until.reached(point)
        if on_progress is not None:
            on_progress(1.0 if done else until.fraction(point))
        if len(steps) > _MAX_STEPS:
            raise RuntimeError(
                f"no horizon after {_MAX_STEPS} steps, at t = {point.time!r}: give a `horizon`"
            )
    return steps


def _in_phase(flow: ReducedFlow, point: Point) -> bool:
    """Say whether u can come from the balance here: it does not vanish nearby, nor cancel."""
    if flow.balance > 0:
        return True
    growing = point.u * float(flow.overlap(point.V[None])[0]) > 0
    return growing and flow.determines_u(point)


def _step_length(flow: ReducedFlow, point: Point, in_phase: bool, tolerance: float) -> _StepLength:
    first = _first_length(flow, point, in_phase)
    return _StepLength(first, ORDER if in_phase else STAGES, tolerance)


def _first_length(flow: ReducedFlow, point: Point, in_phase: bool) -> float:
    """Return a length on which u changes by about a part of itself."""
    V, phase = point.V[None], np.array([point.phase])
    gain = float(abs(flow.overlap(V)[0]))
    cost = float(flow.weighted_squares(phase, V)[0])
    fastest = float(flow.rates[-1])
    if in_phase:
        return 1 / (2 * (gain / abs(point.u) + cost) / point.u**2 + fastest)
    speed = abs(point.u) * float(np.linalg.norm(flow.drive)) + gain
    size = abs(point.u) + float(np.linalg.norm(point.V))
    return 1 / (cost + point.u**2 * fastest + speed / size)


class _StepLength:
    """The length of the next step, by a predictive controller (Gustafsson 1994).

    Where the flow is slow on geometrically growing phases, each step is as much easier than the
    one before as it is longer: the ratio of the last two lengths goes into the next one.
    """

    def __init__(self, first: float, order: int, tolerance: float) -> None:
        self.now = first
        self._order = order
        self._tolerance = tolerance
        self._last: tuple[float, float] | None = None

    def fits(self, step: Step | None) -> bool:
        """Say whether a step of length `now` is within the tolerance; set the next length."""
        if step is None:
            self.now *= _SHRINK
            return False
        if step.defect > max(self._tolerance, step.rounding):
            self.now *= min(max(self._factor(step.defect), _SHRINK), _SAFETY)
            return False
        factor = self._factor(step.truncation)
        following = min(max(factor * self._trend(factor), _SHRINK), _GROWTH)
        self._last = (self.now, factor)
        self.now *= following
        return True

    def _factor(self, defect: float) -> float:
        return float(_SAFETY * max(defect / self._tolerance, _LEAST_RATIO) ** (-1 / self._order))

    def _trend(self, factor: float) -> float:
        """Return by how much the length that fits grows from step to step."""
        if self._last is None:
            return 1.0
        length, before = self._last
        return max(1.0, self.now * factor / (length * before))


def _accepted(flow: ReducedFlow, point: Point, length: _StepLength, in_phase: bool) -> Step:
    """Return a step within the tolerance."""
    least = 1e-15 * (point.phase if in_phase else point.time)
    while length.now > least:
        step: Step | None = (phase_step if in_phase else time_step)(flow, point, length.now)
        if length.fits(step):
            assert step is not None
            return step
    raise RuntimeError(
        f"the tolerance is out of reach at t = {point.time!r}, u = {point.u!r}: rounding is larger"
        " there; give a larger `tolerance`"
    )
