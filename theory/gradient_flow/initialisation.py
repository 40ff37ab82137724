"""Where the flow goes: which starts reach a global minimum, with which sign of u, and which do not.

Write l = L - L(0), c = u^2 - |V|_F^2 and p = <B, V>. *Every* flow line converges: l <= l(0) bounds
u V, so that c bounds u and V, and a bounded gradient flow of a polynomial converges to one critical
point (Lojasiewicz). These are the global minima u V = B/a, and the saddles u = 0, p = 0, where
l = 0 and -c = |V|^2. By the symmetry (V, u) -> (-V, -u) take u(0) >= 0. Then the limit has u > 0

1. if l(0) < 0, since l = 0 on the plane u = 0 and on the saddles; also if u(0) = 0 and p(0) > 0,
   because then l < 0 and u > 0 right after the start (and the limit has u < 0 if p(0) < 0);
2. if c > 0, since u^2 >= c;
3. if u(0) > 0 and the start is aligned (`theory.gradient_flow.sharp_bounds`): p >= 0 and u > 0
   stay, and dp/dt >= u (|B|^2 - max(a) u p) > 0 once u is small, so that p does not go to 0. So it
   is for Assumption 3 with B diagonal, at every scale: no condition on sigma is needed;
4. if c = 0 and u(0) > 0, unless the start lies on *one curve*. A balanced line cannot cross u = 0
   but at the origin, which is the only saddle with c = 0. Near it the saddles form the plane u = 0,
   p = 0, with eigenvalues +|B| and -|B| across it; by the stable manifold theorem the starts that
   go to the origin are one curve for each sign of u, tangent to V = -u B / |B|. On it l > 0, so
   that du/dt = p - u <a o V, V> < -1/2 u <a o V, V>: the curve has one start for each u > 0
   (`stable_curve`). Where a is constant on the entries with B_ij != 0, it is V = -u B / |B|.

For c < 0 such curves end in every saddle, a sphere |V|^2 = -c, p = 0; together they are a
hypersurface, on whose sides the limits have u > 0 and u < 0. For d = 1 there is no saddle with
c < 0, and the limit has the sign of B V(0). Otherwise follow the flow until 1 holds, and ask again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import SupportsFloat

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from scipy import integrate

from theory.gradient_flow.problem import FlowProblem, FlowState
from theory.gradient_flow.sharp_bounds import SharpBounds, sharp_bounds
from theory.validation import Problems

__all__ = ["FlowLimit", "LimitKind", "limit_of", "stable_curve"]

#: Sums below this, relative to the sizes of what is summed, are rounding of a change of basis.
_ROUNDING = 1e-14

#: Relative distance within which a balanced start counts as on the curve to the saddle. Farther
#: out, the flow passes the saddle at a distance that rounding does not bridge.
_CURVE_WIDTH = 1e-6

#: Where `stable_curve` starts on the tangent, relative to the lengths on which the curve bends.
_TANGENT_PART = 1e-5


class LimitKind(StrEnum):
    """Where a flow line ends."""

    POSITIVE = "global minimum with u > 0"
    NEGATIVE = "global minimum with u < 0"
    SADDLE = "saddle"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class FlowLimit:
    """The limit of the flow from a start, as far as it is known.

    Attributes
    ----------
    kind
        Where the flow line ends.
    state
        The limit; None if unknown.
    reason
        What decides it.
    """

    kind: LimitKind
    state: FlowState | None
    reason: str


def limit_of(problem: FlowProblem, start: FlowState) -> FlowLimit:
    """Return the limit of the flow from a start where a theorem decides it (module docstring).

    Parameters
    ----------
    problem
        The flow.
    start
        Any (U, u).

    Returns
    -------
    FlowLimit
        Of kind UNKNOWN where none decides: for d >= 2 and u(0) > 0, if l(0) >= 0, c < 0 and the
        start is not aligned; and where rounding decides. Follow the flow until l < 0, and ask
        again. Balanced starts that are not aligned cost a solve of d^2 equations (`stable_curve`).

    Raises
    ------
    ValueError
        If U is not a finite real matrix of shape (d, d), or u not a finite number.
    """
    U, u = problem.state(start.U, start.u)
    if u < 0:
        return _mirrored(limit_of(problem, FlowState(-U, -u)))
    sign, reason = _from_plane(problem, U) if u == 0 else _from_above(problem, FlowState(U, u))
    balance = problem.balance(FlowState(U, u))
    if sign is LimitKind.POSITIVE:
        return FlowLimit(sign, problem.limit(balance), reason)
    if sign is LimitKind.NEGATIVE:
        return _mirrored(FlowLimit(LimitKind.POSITIVE, problem.limit(balance), reason))
    if sign is LimitKind.SADDLE:
        return FlowLimit(sign, FlowState(U if u == 0 else np.zeros_like(U), 0.0), reason)
    return FlowLimit(sign, None, reason)


def _mirrored(limit: FlowLimit) -> FlowLimit:
    """Return the limit from the start (-U, -u)."""
    kinds = {
        LimitKind.POSITIVE: LimitKind.NEGATIVE,
        LimitKind.NEGATIVE: LimitKind.POSITIVE,
    }
    state = None if limit.state is None else FlowState(-limit.state.U, -limit.state.u)
    return FlowLimit(kinds.get(limit.kind, limit.kind), state, limit.reason)


def _from_plane(problem: FlowProblem, U: Float[np.ndarray, "d d"]) -> tuple[LimitKind, str]:
    """Decide for u = 0."""
    V = problem.in_eigenbasis(U)
    overlap = float(np.sum(problem.drive * V))
    if overlap == 0:
        return LimitKind.SADDLE, "u = 0 and <B, V> = 0: a critical point"
    if abs(overlap) <= _ROUNDING * float(np.linalg.norm(problem.drive) * np.linalg.norm(V)):
        return LimitKind.UNKNOWN, "u = 0 and <B, V> is rounding: near a saddle"
    kind = LimitKind.POSITIVE if overlap > 0 else LimitKind.NEGATIVE
    return kind, "u = 0, and u takes the sign of <B, V>"


def _from_above(problem: FlowProblem, start: FlowState) -> tuple[LimitKind, str]:
    """Decide for u > 0."""
    bounds = sharp_bounds(problem, start)
    size = float(np.linalg.norm(bounds.V))
    cost = start.u**2 * float(np.sum(problem.curvature * bounds.V**2))
    if bounds.level < -_ROUNDING * (cost + start.u * size * float(np.linalg.norm(problem.drive))):
        return LimitKind.POSITIVE, "the loss is below L(0), its value where u = 0"
    if bounds.aligned:
        return LimitKind.POSITIVE, "aligned with B: u stays away from 0 at every scale"
    if problem.dim == 1:
        return _on_the_line(abs(float(start.U[0, 0])), start.u)
    return _by_balance(problem, bounds, _ROUNDING * (start.u**2 + size**2))


def _by_balance(
    problem: FlowProblem, bounds: SharpBounds, rounding: float
) -> tuple[LimitKind, str]:
    """Decide for u > 0 and d >= 2 where the level of the loss and the alignment do not."""
    if bounds.balance > rounding:
        return LimitKind.POSITIVE, "u^2 >= c > 0"
    if bounds.balance < -rounding:
        return LimitKind.UNKNOWN, "c < 0: follow the flow until L < L(0), and ask again"
    curve = problem.in_eigenbasis(stable_curve(problem, bounds.u).U)
    if float(np.linalg.norm(bounds.V - curve)) > _CURVE_WIDTH * bounds.u:
        return LimitKind.POSITIVE, "balanced, and not on the one curve that ends in the saddle"
    return LimitKind.UNKNOWN, "balanced, and within 1e-6 of the curve that ends in the saddle"


def _on_the_line(size: float, u: float) -> tuple[LimitKind, str]:
    """Decide for d = 1 and B V < 0 < u, where floats compare exactly."""
    if size == u:
        return LimitKind.SADDLE, "d = 1 and u = -sign(B) V: the separatrix"
    if size < u:
        return LimitKind.POSITIVE, "u^2 >= c > 0"
    return LimitKind.NEGATIVE, "d = 1 and c < 0: the limit has the sign of B V"


def stable_curve(
    problem: FlowProblem, u: SupportsFloat, saddle: npt.ArrayLike | None = None
) -> FlowState:
    """Return the start with this u > 0 from which the flow ends in a saddle.

    Along the curve V is a function of u, dV/du = (u B - u^2 a o V) / (<B, V> - u <a o V, V>), from
    V = V* + u B / kappa near the saddle (V*, 0), where kappa = -(b + sqrt(b^2 + 4 |B|^2)) / 2,
    b = <a o V*, V*>, is the negative eigenvalue there. Errors shrink on the way out, as the
    positive eigenvalue says. Where a is constant on the drive, the balanced curve is a line.

    Parameters
    ----------
    problem
        The flow.
    u
        u > 0.
    saddle
        U* with <B, V*> = 0, shape (d, d); the origin if None, for a balanced start.

    Returns
    -------
    FlowState
        (U, u) with u^2 - |U|_F^2 = -|U*|_F^2, to about 1e-10.

    Raises
    ------
    ValueError
        If u is not a finite number > 0, or U* is not a finite matrix of a saddle.
    """
    problems = Problems("stable_curve")
    end = problems.number("u", u, 0.0, strict=True)
    problems.raise_if_any()
    centre = _saddle(problem, saddle)
    a, drive = problem.curvature, problem.drive
    strength, size = float(np.linalg.norm(drive)), float(np.linalg.norm(centre))
    cost = float(np.sum(a * centre**2))
    kappa = -(cost + float(np.hypot(cost, 2 * strength))) / 2
    straight = a[drive != 0]
    if size == 0 and np.all(straight == straight[0]):
        return FlowState(problem.from_eigenbasis(-end * (drive / strength)), end)
    lengths = [end, float(np.sqrt(strength / np.max(a))), *([size] if size > 0 else [])]
    first = _TANGENT_PART * min(lengths)

    def slope(at: float, flat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        V = flat.reshape(a.shape)
        fall = np.sum(drive * V) - at * np.sum(a * V**2)
        return np.asarray((at * (drive - at * a * V) / fall).ravel())

    begin = (centre + first * drive / kappa).ravel()
    found = integrate.solve_ivp(
        slope, (first, end), begin, method="LSODA", rtol=1e-12, atol=1e-13 * (first + size)
    )
    V = found.y[:, -1].reshape(a.shape)
    # The balance is known: |V|^2 = u^2 + |V*|^2.
    V *= np.hypot(end, size) / np.linalg.norm(V)
    return FlowState(problem.from_eigenbasis(V), end)


def _saddle(problem: FlowProblem, saddle: npt.ArrayLike | None) -> Float[np.ndarray, "d d"]:
    """Return V* in the eigenbasis."""
    if saddle is None:
        return np.zeros((problem.dim, problem.dim))
    V = problem.in_eigenbasis(problem.state(saddle, 0.0).U)
    overlap = float(np.sum(problem.drive * V))
    if abs(overlap) > _ROUNDING * float(np.linalg.norm(problem.drive) * np.linalg.norm(V)):
        raise ValueError(
            f"stable_curve: <B, V*> is {overlap!r} at the given saddle; expected 0: the saddles are"
            " u = 0 with V* orthogonal to the drive"
        )
    return V
