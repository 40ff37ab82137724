"""Solves the gradient flow of all weights of the layer by scipy's LSODA.

The Hessian is the Jacobian, exact; near a minimum its eigenvalues spread over the square of the
condition number of Lambda, so that an explicit method needs as many steps. Of scipy's implicit
methods LSODA is the cheapest here (for d = 2 four times cheaper than Radau, 1.6 times than BDF, at
the same tolerance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat

import numpy as np
from jaxtyping import Float
from scipy.integrate import OdeSolution, solve_ivp

from theory.full_flow.stationary import StationaryPoint
from theory.population_loss import LayerBlocks, PopulationLoss
from theory.validation import Problems

__all__ = ["FullFlowSolution", "balance_of_layer", "solve_full_flow"]

#: Of the gradient, relative to |Lambda^2|_op |start|, at which a point counts as stationary.
_STATIONARY = 1e-9

#: Local errors of the solver, relative and (to the norm of the start) absolute.
_RTOL, _ATOL = 1e-10, 1e-12


def balance_of_layer(weights: LayerBlocks | Sequence[Any]) -> float:
    """Return |u12|^2 + u_1^2 - |U11|_F^2 - |u21|^2, which gradient flow conserves.

    The prediction is bilinear in (u12, u_1) and (U11, u21). So the loss does not change under
    (s u12, s u_1, U11/s, u21/s), and its derivative in s at s = 1 is 0:
    <u12, dL/du12> + u_1 dL/du_1 = <U11, dL/dU11> + <u21, dL/du21>. Along the flow the balance's
    derivative is minus twice the difference of the two sides.

    Parameters
    ----------
    weights
        (u12, u21, U11, u_1), as arrays or array-likes of shapes (d,), (d,), (d, d) and ().

    Raises
    ------
    ValueError
        If they do not have these shapes, or are not real and finite.

    Notes
    -----
    On u12 = u21 = 0 it is the balance u_1^2 - |U11|_F^2 of Zhang et al., Lemma 17. It is the only
    quadratic form of the weights that is conserved for every Lambda: the matrix f f' - V V' with
    f = (u12, u_1), V = (U11; u21'), which two linear layers side by side would conserve, is not,
    because the prompt stands between f and V (statements beyond/conserved-quantity,
    beyond/no-other-conserved-quadratic).
    """
    p, q, U, u = LayerBlocks.of(weights, subject="balance_of_layer(weights)")
    return float(p @ p + u**2 - np.sum(U**2) - q @ q)


@dataclass(frozen=True, eq=False, repr=False)
class FullFlowSolution:
    """A trajectory, from its start until the gradient vanishes or the horizon is reached.

    Once it has converged, it rests at its last point for all later times.

    Attributes
    ----------
    loss
        The loss whose gradient drives it.
    times
        The solver's steps, from 0 on.
    converged
        Whether it ends where the gradient is below 1e-9 |Lambda^2|_op |start|.
    """

    loss: PopulationLoss
    times: Float[np.ndarray, " steps"]
    converged: bool
    _dense: OdeSolution

    def __call__(self, t: SupportsFloat) -> LayerBlocks:
        """Return the weights at time t.

        Raises
        ------
        ValueError
            If t is negative or not finite, or beyond the horizon of a flow that has not converged.
        """
        problems = Problems("FullFlowSolution(t)")
        time = problems.number("t", t, 0.0, strict=False)
        if time > self.horizon and not self.converged:
            problems.add(
                f"t is {time!r}, beyond the horizon {self.horizon!r}, where the flow has not"
                " converged: solve with a longer horizon"
            )
        problems.raise_if_any()
        return LayerBlocks.unstack(np.asarray(self._dense(min(time, self.horizon))))

    def __repr__(self) -> str:
        return (
            f"FullFlowSolution(dim={self.loss.dim}, horizon={self.horizon:g},"
            f" steps={len(self.times) - 1}, converged={self.converged})"
        )

    @property
    def horizon(self) -> float:
        """The last time."""
        return float(self.times[-1])

    @property
    def final(self) -> StationaryPoint:
        """The last point; stationary if `converged`."""
        return StationaryPoint(self.loss, self(self.horizon))

    @property
    def balance_drift(self) -> float:
        """The largest change of `balance_of_layer`, relative to the largest |weights|^2."""
        points = [self(t) for t in self.times]
        balances = [balance_of_layer(point) for point in points]
        size = max(float(point.stacked @ point.stacked) for point in points)
        return max(abs(b - balances[0]) for b in balances) / size if size else 0.0


def solve_full_flow(
    loss: PopulationLoss,
    start: LayerBlocks | Sequence[Any],
    *,
    horizon: SupportsFloat = 1e7,
) -> FullFlowSolution:
    """Solve d(u12, u21, U11, u_1)/dt = -grad L from a start.

    Parameters
    ----------
    loss
        The loss.
    start
        (u12, u21, U11, u_1) at t = 0, as arrays or array-likes.
    horizon
        Where to stop at the latest; the flow stops before, where the gradient vanishes. A start on
        the way into a saddle may stop there.

    Raises
    ------
    ValueError
        If the start does not fit the loss, the horizon is not a positive number, or d > 106, for
        which `PopulationLoss.hessian` is too large.
    ArithmeticError
        If the solver gives up.
    """
    problems = Problems("solve_full_flow")
    last = problems.number("horizon", horizon, 0.0, strict=True)
    problems.raise_if_any()
    x = LayerBlocks.of(start, subject="solve_full_flow(start)", dim=loss.dim).stacked
    norm = float(np.linalg.norm(x))
    level = _STATIONARY * float(np.linalg.norm(loss.covariance, 2)) ** 2 * norm

    def slope(t: float, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return -loss.gradient(*LayerBlocks.unstack(x)).stacked

    def jacobian(t: float, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n n"]:
        return -loss.hessian(*LayerBlocks.unstack(x))

    def distance(t: float, x: Float[np.ndarray, " n"]) -> float:
        return float(np.linalg.norm(slope(t, x))) - level

    distance.terminal = True  # type: ignore[attr-defined]
    found = solve_ivp(
        slope, (0.0, last), x, "LSODA", jac=jacobian, events=distance,
        dense_output=True, rtol=_RTOL, atol=_ATOL * (norm or 1.0),
    )  # fmt: skip
    if not found.success:
        raise ArithmeticError(f"solve_full_flow: {found.message} at t = {found.t[-1]:g}")
    assert found.sol is not None  # asked for
    # A start that is stationary crosses no level.
    converged = found.status == 1 or distance(0.0, found.y[:, -1]) <= 0
    return FullFlowSolution(loss, found.t, converged, found.sol)
