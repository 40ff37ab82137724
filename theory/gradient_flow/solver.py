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
        On the relative defect of u on each step. The ends of steps, and so the limit, are far more
        accurate.
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
    Source of the flow: Zhang et al. 2023, Lemmas 10 and 15, Corollary 22.
    """
    start = assumption_3(problem, theta, scale)
    return solve_flow_from(
        problem, start, tolerance=tolerance, horizon=horizon, on_progress=on_progress
    )


def solve_flow_from(
    problem: FlowProblem,
    start: FlowState,
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
        (U, u), balanced or not, u of any sign or 0. A flow that comes to rest at a saddle instead
        of a global minimum ends there, with `converged` False.

    Raises
    ------
    ValueError
        If the flow does not move from the start (u = 0 and <B, V> = 0: a saddle of the loss), or as
        for `solve_flow`.
    """
    problems = Problems("solve_flow")
    wanted = problems.number("tolerance", tolerance, TOLERANCES[0], strict=False)
    if wanted > TOLERANCES[1]:
        problems.add(f"tolerance is {wanted!r}; expected at most {TOLERANCES[1]:g}")
    end = None if horizon is None else problems.number("horizon", horizon, 0.0, strict=True)
    problems.raise_if_any()
    begin = problem.state(start.U, start.u)
    flow = ReducedFlow(problem, begin)
    if begin.u == 0 and float(flow.overlap(flow.start.V[None])[0]) == 0:
        raise ValueError(
            "u is 0 and so is <B, V>, the slope of u: the start is a saddle of the loss, and the"
            " flow does not move; expected u != 0 or U that overlaps with the drive B"
        )
    until = Horizon(flow, end)
    steps = _steps(flow, until, wanted, on_progress)
    return FlowSolution(flow, steps, min(until.time, steps[-1].end.time), until.converged)


def _steps(
    flow: ReducedFlow,
    until: Horizon,
    tolerance: float,
    on_progress: Callable[[float], object] | None,
) -> list[Step]:
    """Return steps that lead to the horizon."""
    steps: list[Step] = []
    point, done = flow.start, until.reached(flow.start)
    in_phase, length = None, 0.0
    while not steps or not done:
        if in_phase is not (now := _in_phase(flow, point)):
            in_phase, length = now, _first_length(flow, point, now)
        step, length = _accepted(flow, point, length, in_phase, tolerance)
        steps.append(step)
        point = step.end
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


def _accepted(
    flow: ReducedFlow, point: Point, length: float, in_phase: bool, tolerance: float
) -> tuple[Step, float]:
    """Return a step within the tolerance, no longer than `length`, and the length to try next."""
    order = ORDER if in_phase else STAGES
    least = 1e-15 * (point.phase if in_phase else point.time)
    while length > least:
        step: Step | None = (phase_step if in_phase else time_step)(flow, point, length)
        if step is None:
            length *= _SHRINK
            continue
        accepted = step.defect <= tolerance
        ratio = max((step.truncation if accepted else step.defect) / tolerance, 1e-300)
        factor = min(max(_SAFETY * ratio ** (-1 / order), _SHRINK), _GROWTH)
        if accepted:
            return step, length * factor
        length *= min(factor, _SAFETY)
    raise RuntimeError(
        f"the tolerance {tolerance:g} is out of reach at t = {point.time!r}, u = {point.u!r}:"
        " rounding is larger there; give a larger `tolerance`"
    )
