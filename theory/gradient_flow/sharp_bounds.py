"""Bounds along the flow that are sharper than the printed ones, for every problem and start.

Write l = L - L(0) = 1/2 u^2 <a o V, V> - u <B, V> and c for the balance u^2 - |V|_F^2.

*Small scale.* If l(0) < 0, then u never vanishes, because l = 0 where u = 0 and l does not
increase. By |<B, V>| <= |B| |V| the product s = u |V| obeys 1/2 min(a) s^2 - |B| s <= l(0) at all
times, so that s >= (|B| - sqrt(|B|^2 + 2 min(a) l(0))) / min(a) >= -l(0) / |B|, and
u^2 (u^2 - c) = s^2.

*Every scale.* If B_ij V_ij(0) >= 0 for all ij, as for every start of Assumption 3 where B is
diagonal, then it stays so while u > 0, by dV/dt = -u^2 a o V + u B, so that p = <B, V> >= 0 and
dp/dt >= u |B|^2 - max(a) u^2 p. From du/dt = p - u <a o V, V> >= -u <a o V, V> the sign of u cannot
change. If also c >= 0, then <a o V, V> <= max(a) u^2, and w = u + p / |B| has
dw/dt >= (|B| - max(a) u^2) w: w can fall only where u, and so w, is above sqrt(|B| / max(a)). As
p <= |B| u, this gives u >= w/2 >= 1/2 min(w(0), sqrt(|B| / max(a))): no threshold is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from theory.gradient_flow.problem import FlowProblem, FlowState

__all__ = ["SharpBounds", "sharp_bounds"]

#: Entries below this, relative to the norm of the start, are rounding of a change of basis.
_ROUNDING = 1e-14


@dataclass(frozen=True)
class SharpBounds:
    """Bounds on the flow from the start (V, u), u > 0.

    Attributes
    ----------
    curvature, drive
        a and B of the problem, shape (d, d).
    V
        The start in the eigenbasis, shape (d, d).
    u
        Of the start.
    """

    curvature: Float[np.ndarray, "d d"]
    drive: Float[np.ndarray, "d d"]
    V: Float[np.ndarray, "d d"]
    u: float

    @property
    def threshold(self) -> float:
        """The square 2 <B, T> / <a o T, T>, T = V/u, of the scale u = sigma below which l(0) < 0.

        Not positive where <B, T> is not: then l(0) < 0 at no scale; infinite for V = 0.
        """
        overlap, cost = self._overlap / self.u, self._cost / self.u**2
        return 2 * overlap / cost if cost > 0 else np.inf

    @property
    def scale_ratio(self) -> float:
        """Return u^2 / `threshold`; l(0) < 0 if it is between 0 and 1."""
        return self.u**2 / self.threshold

    @property
    def balance(self) -> float:
        """Return c = u^2 - |V|_F^2."""
        return self.u**2 - float(np.sum(self.V**2))

    @property
    def aligned(self) -> bool:
        """Say whether B_ij V_ij >= 0 for all ij: then the flow converges at every scale."""
        rounding = _ROUNDING * float(np.linalg.norm(self.V)) * np.abs(self.drive)
        return bool(np.all(self.drive * self.V >= -rounding))

    @property
    def u_squared_by_level(self) -> float:
        """The lower bound on u(t)^2 that follows from l(t) <= l(0), if l(0) < 0 or c > 0; else 0.

        (c + sqrt(c^2 + 4 s^2)) / 2 for the s of the module's text. Attained at t = 0 if B has one
        nonzero curvature, V is along B, and u^2 is at most its limit (d = 1 from a small scale).
        """
        drive = float(np.linalg.norm(self.drive))
        least = float(np.min(self.curvature))
        level = min(0.0, self.u**2 * self._cost / 2 - self.u * self._overlap)
        s = -2 * level / (drive + np.sqrt(max(0.0, drive**2 + 2 * least * level)))
        c, root = self.balance, np.hypot(self.balance, 2 * s)
        if c >= 0:
            return float(c + root) / 2
        return float(2 * s**2 / (root - c))

    @property
    def u_squared_at_every_scale(self) -> float:
        """The lower bound on u(t)^2 if the start is aligned and c >= 0, for every scale; else 0."""
        if not self.aligned or self.balance < -_ROUNDING * self.u**2:
            return 0.0
        drive = float(np.linalg.norm(self.drive))
        w = self.u + max(0.0, self._overlap) / drive
        return min(w**2, drive / float(np.max(self.curvature))) / 4

    @property
    def u_squared(self) -> float:
        """The better of the two lower bounds on u(t)^2; 0 where neither says anything."""
        return max(self.u_squared_by_level, self.u_squared_at_every_scale)

    @property
    def pl_constant(self) -> float:
        """A constant mu with |grad L|^2 >= mu (L - min L) along the flow: 2 min(a) u_squared."""
        return 2 * float(np.min(self.curvature)) * self.u_squared

    @property
    def _overlap(self) -> float:
        return float(np.sum(self.drive * self.V))

    @property
    def _cost(self) -> float:
        return float(np.sum(self.curvature * self.V**2))


def sharp_bounds(problem: FlowProblem, start: FlowState) -> SharpBounds:
    """Return bounds on the flow of any problem from any start with u > 0.

    Raises
    ------
    ValueError
        If U is not a finite matrix of shape (d, d) or u not a number > 0.
    """
    U, u = problem.state(start.U, start.u)
    if u <= 0:
        raise ValueError(
            f"u is {u!r}; expected u > 0: the flow is symmetric, so change the signs of U and u"
        )
    return SharpBounds(problem.curvature, problem.drive, problem.in_eigenbasis(U), u)
