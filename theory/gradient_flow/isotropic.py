r"""The flow in closed form, where all curvatures a_ij are one number: Lambda = kappa I.

Let a be that number, b = |B|_F, p = <B, V> / b and V~ = V - p B / b. Where u^2 = |V|^2, balanced,

    (u + p)' = (b - a u^2) (u + p),   (u - p)' = -(b + a u^2) (u - p),   V~' = -a u^2 V~,

so that with x = u(0) + p(0), y = u(0) - p(0) and E = exp(-a int_0^t u^2)

    u + p = x E e^{bt},   u - p = y E e^{-bt},   V~ = E V~(0),
    E^{-2} = 1 + 2a int_0^t (x e^{bs} + y e^{-bs})^2 / 4 ds.

All of it is multiplied by e^{-bt} here, so that nothing overflows; as x y = |V~(0)|^2 >= 0 by the
balance, there is no difference in the denominator, and nothing cancels.
"""

from __future__ import annotations

from typing import SupportsFloat

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from theory.gradient_flow.problem import FlowProblem, FlowState
from theory.validation import Problems

__all__ = ["IsotropicFlow"]

#: How far curvatures may be from one number, relatively: rounding of a change of basis.
_SAME_CURVATURE = 1e-13

#: How far u^2 may be from |U|_F^2, relatively: rounding of Theta Theta', with room.
_BALANCED = 1e-13

#: b t beyond which e^{-bt} is 0 in float64: the flow is at its limit.
_REST = 1e3


class IsotropicFlow:
    """The flow from a balanced start where all a_ij are equal, at any time t >= 0.

    For Lambda = kappa I with tasks of covariance S = s I and label noise e, b = kappa^2 s d^{1/2}
    and a = (1 + (1 + d)/N) kappa^3 s + kappa^2 e^2 / N; any problem with d = 1 is one as well.

    Parameters
    ----------
    problem
        The flow.
    start
        (U, u) with u^2 = |U|_F^2 > 0, u of any sign; those of Assumption 3 are.

    Attributes
    ----------
    curvature, drive_norm
        a and b.
    problem, start
        The arguments.

    Raises
    ------
    ValueError
        If the curvatures differ, or the start is not a state of the problem, not balanced or zero.

    Notes
    -----
    Not in Zhang et al.; from their Lemmas 10 and 17.
    """

    def __init__(self, problem: FlowProblem, start: FlowState) -> None:
        problems = Problems("IsotropicFlow")
        low, high = float(np.min(problem.curvature)), float(np.max(problem.curvature))
        if high - low > _SAME_CURVATURE * high:
            problems.add(
                f"the curvatures a_ij of the problem are from {low!r} to {high!r}; expected one"
                " number, as for Lambda = kappa I and S = s I: use solve_flow"
            )
        U, u = problem.state(start.U, start.u)
        size = float(np.linalg.norm(U))
        if u == 0:
            problems.add(
                "u is 0 at the start; a balanced start with u = 0 is zero, and rests there"
            )
        elif abs(u**2 - size**2) > _BALANCED * u**2:
            problems.add(
                f"the start has u^2 = {u**2!r} and |U|_F^2 = {size**2!r}; expected a balanced one,"
                " u^2 = |U|_F^2, as in Assumption 3: use solve_flow_from"
            )
        problems.raise_if_any()
        self.problem = problem
        self.start = FlowState(U, u)
        self.curvature = float(np.mean(problem.curvature))
        self.drive_norm = float(np.linalg.norm(problem.drive))
        self._direction = problem.drive / self.drive_norm
        V = problem.in_eigenbasis(U)
        p = float(np.sum(self._direction * V))
        self._across = V - p * self._direction
        square = float(np.sum(self._across**2))
        # The smaller of u + p and u - p from the balance: it does not cancel there.
        if p * u >= 0:
            self._rising, self._falling = u + p, square / (u + p)
        else:
            self._rising, self._falling = square / (u - p), u - p

    def u(self, times: float | npt.ArrayLike) -> Float[np.ndarray, " m"]:
        """Return u at m times (a number is m = 1), shape (m,).

        Raises
        ------
        ValueError
            If a time is negative or not finite.
        """
        decay, size = self._scales(self._checked(times))
        return np.asarray((self._rising + self._falling * decay) / (2 * size))

    def __call__(self, t: SupportsFloat) -> FlowState:
        """Return (U, u) at time t; errors as for `u`."""
        at = self._checked(float(t))
        decay, size = (float(x[0]) for x in self._scales(at))
        rising, falling = self._rising / (2 * size), self._falling * decay / (2 * size)
        across = float(np.exp(-self.drive_norm * at[0])) / size
        V = (rising - falling) * self._direction + across * self._across
        return FlowState(self.problem.from_eigenbasis(V), rising + falling)

    def _scales(
        self, t: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return e^{-2bt} and e^{-bt} / E."""
        x, y, b = self._rising, self._falling, self.drive_norm
        decay, rest = np.exp(-2 * b * t), -np.expm1(-2 * b * t)
        squares = rest * (x**2 + y**2 * decay) / (8 * b)
        crossed = x * y * t * decay / 2
        return decay, np.sqrt(decay + 2 * self.curvature * (squares + crossed))

    def _checked(self, times: float | npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the times, those at which the flow is at its limit moved to the first of them."""
        problems = Problems("IsotropicFlow")
        given = problems.array("times", np.atleast_1d(np.asarray(times)), ("m",))
        if given is not None and np.any(given < 0):
            problems.add(f"time {float(np.min(given))!r} is before the start, t = 0")
        problems.raise_if_any()
        assert given is not None
        return np.minimum(given, _REST / self.drive_norm)
