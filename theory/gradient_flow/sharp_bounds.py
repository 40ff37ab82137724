"""Bounds along the flow that are sharper than the printed ones, for every problem and start.

Write l = L - L(0) = 1/2 u^2 <a o V, V> - u <B, V> and c for the balance u^2 - |V|_F^2.

*By the level of the loss.* If l(0) < 0, then u never vanishes, because l = 0 where u = 0 and l does
not increase. By |<B, V>| <= |B| |V| the product s = u |V| obeys 1/2 min(a) s^2 - |B| s <= l(0) at
all times, so that s >= (|B| - sqrt(|B|^2 + 2 min(a) l(0))) / min(a) >= -l(0) / |B|, and
u^2 (u^2 - c) = s^2.

*At every scale.* Let p_g be the sum of B_ij V_ij over the entries whose curvature is g, and call a
start with u > 0 *aligned* if p_g >= 0 for every g; every start of Assumption 3 is, where B is
diagonal, because the diagonal of a positive semidefinite matrix is not negative. From
dV/dt = -u^2 a o V + u B follows dp_g/dt = u |B_g|^2 - u^2 g p_g, so that p_g >= 0 stays while
u > 0. Hence p = <B, V> >= 0 and du/dt = p - u <a o V, V> >= -u <a o V, V>: u keeps its sign. Now
let A = max(a) and w = u + p / |B|. Then

    dw/dt - (|B| - A u^2) w
        = A u c + u sum_ij (A - a_ij) V_ij^2 + u^2 / |B| sum_g (A - g) p_g >= A u c.

As u <= w, w can fall only where u^2, and so w^2, is above |B| / A - max(-c, 0): at all times w^2 is
at least m = min(w(0)^2, |B| / A - max(-c, 0)). By p <= |B| |V| = |B| sqrt(u^2 - c) this gives
u >= (w^2 + c) / (2 w) >= (m + c) / (2 sqrt(m)) if m > |c|; that is
u >= 1/2 min(w(0), sqrt(|B| / A)) for balanced starts: no threshold is needed.

*PL.* |dL/dV|^2 = sum_ij u^2 a_ij^2 (u V_ij - B_ij/a_ij)^2 >= 2 u^2 min(a) (L - min L).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from theory.gradient_flow.problem import FlowProblem, FlowState
from theory.gradient_flow.rank_one import groups

__all__ = ["SharpBounds", "sharp_bounds"]

#: Sums below this, relative to the sizes of what is summed, are rounding of a change of basis.
_ROUNDING = 1e-14

#: The error of u^2 - |V|_F^2 in units of u^2 + |V|_F^2, with room.
_BALANCE_ROUNDING = 2e-15

_NEGATIVE = (
    "Bounds on |u| are those of the start (-U, -u), from which the flow is the mirror image; they"
    " say nothing where u may come to 0. A start of Assumption 3 has u = sigma > 0"
)
_ZERO = "A bound on u(t) for all t >= 0 is 0 here: take a later state of the flow, where u > 0"


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
        size = float(np.max(np.abs(self.V)))
        if size == 0:
            return np.inf
        # In units of the largest entry: its square may not be a float.
        V = self.V / size
        slope = 2 * float(np.sum(self.drive * V)) / float(np.sum(self.curvature * V**2))
        return slope * (self.u / size)

    @property
    def level(self) -> float:
        """Return l(0) = L - L(0) at the start."""
        return self.u**2 * self._cost / 2 - self.u * self._overlap

    @property
    def balance(self) -> float:
        """Return c = u^2 - |V|_F^2."""
        return self.u**2 - float(np.sum(self.V**2))

    @property
    def aligned(self) -> bool:
        """Say whether p_g >= 0 for every curvature g: then the flow converges at every scale.

        For B_ij V_ij >= 0 at all entries it is so in any case. Up to rounding of the basis.
        """
        active = self.drive != 0
        labels = groups(self.curvature[active])
        overlaps = np.bincount(labels, (self.drive * self.V)[active])
        sizes = np.sqrt(np.bincount(labels, self.drive[active] ** 2))
        return bool(np.all(overlaps >= -_ROUNDING * float(np.linalg.norm(self.V)) * sizes))

    @property
    def u_squared_by_level(self) -> float:
        """The lower bound on u(t)^2 that follows from l(t) <= l(0), if l(0) < 0 or c > 0; else 0.

        (c + sqrt(c^2 + 4 s^2)) / 2 for the s of the module's text. Attained at t = 0 if all entries
        with B_ij != 0 have the curvature min(a), V is along B, and u^2 at most its limit: as for
        d = 1 from a small scale.
        """
        drive = float(np.linalg.norm(self.drive))
        least = float(np.min(self.curvature))
        level = min(0.0, self.level)
        s = -2 * level / (drive + np.sqrt(max(0.0, drive**2 + 2 * least * level)))
        c = self._least_balance
        root = np.hypot(c, 2 * s)
        if c >= 0:
            return float(c + root) / 2
        return float(2 * s**2 / (root - c))

    @property
    def u_squared_at_every_scale(self) -> float:
        """The lower bound on u(t)^2 of an aligned start, at every scale: (m + c)^2 / (4 m).

        c or 0 where m is at most |c|, and 0 if the start is not aligned. Attained for d = 1 at
        t = 0 if w(0)^2 <= |B| / max(a).
        """
        if not self.aligned:
            return 0.0
        drive, c = float(np.linalg.norm(self.drive)), self._least_balance
        w = self.u + max(0.0, self._overlap) / drive
        m = min(w**2, drive / float(np.max(self.curvature)) - max(-c, 0.0))
        return (m + c) ** 2 / (4 * m) if m > abs(c) else max(c, 0.0)

    @property
    def u_squared(self) -> float:
        """The better of the two lower bounds on u(t)^2; 0 where neither says anything."""
        return max(self.u_squared_by_level, self.u_squared_at_every_scale)

    @property
    def pl_constant(self) -> float:
        """A constant mu with |grad L|^2 >= mu (L - min L) along the flow: 2 min(a) u_squared."""
        return 2 * float(np.min(self.curvature)) * self.u_squared

    @property
    def _least_balance(self) -> float:
        """A number below c: the bounds grow with c, and c is a difference."""
        return self.balance - _BALANCE_ROUNDING * (self.u**2 + float(np.sum(self.V**2)))

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
            f"sharp_bounds: u is {u!r}; expected u > 0. {_NEGATIVE if u < 0 else _ZERO}"
        )
    return SharpBounds(problem.curvature, problem.drive, problem.in_eigenbasis(U), u)
