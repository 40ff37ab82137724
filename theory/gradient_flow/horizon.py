"""When a solve ends: at the limit, by the exact rate; at rest at a saddle; or when it is told."""

from __future__ import annotations

import numpy as np

from theory.gradient_flow.reduced import Point, ReducedFlow
from theory.gradient_flow.spectrum import excited_rate

__all__ = ["LIMIT_ACCURACY", "Horizon"]

#: The state at the default horizon is this near to the limit, relatively.
LIMIT_ACCURACY = 1e-14

#: Nearer to the minima than this the distance decays at the rate of the linearisation.
_LINEAR = 1e-3

#: A flow this much slower than at its fastest, and still far from the minima, sits at a saddle.
_AT_REST = 1e-12


class Horizon:
    """The time at which a solve ends.

    With a given time, that one. Without, the time at which the distance to the global minima,
    |uV - B/a| / |B/a|, is 1e-14: once it is delta <= 1e-3 it decays as e^{-rate t} or faster, for
    the least excited eigenvalue of the Hessian at the limit, so that the time is at most
    t + ln(delta / 1e-14) / rate.

    Parameters
    ----------
    flow
        What flows.
    given
        The horizon that the caller asks for, if any.
    """

    def __init__(self, flow: ReducedFlow, given: float | None) -> None:
        self._flow = flow
        self._rate = excited_rate(flow.problem, flow.origin, flow.balance)
        self._given = given
        # From a balanced start the only saddle to come to rest at is 0, and a large start passes
        # by it fast at first: there the speed to compare with is that near the limit.
        usual = float(np.linalg.norm(flow.drive)) * float(np.linalg.norm(flow.minimiser)) ** 0.5
        self._slow = usual if flow.balance == 0 else np.inf
        self._fastest = 0.0
        self._settled = np.inf
        self._at_rest = False

    @property
    def time(self) -> float:
        """The horizon, as far as it is known: infinite at first, if none was given."""
        return self._settled if self._given is None else self._given

    @property
    def converged(self) -> bool:
        """Say whether the state at the horizon is a global minimum, to `LIMIT_ACCURACY`."""
        return not self._at_rest and self.time >= self._settled

    def reached(self, point: Point) -> bool:
        """Take note of a point, and say whether the solve may end there."""
        gap = self._flow.gap(point)
        if gap <= _LINEAR:
            wait = float(np.log(max(gap / LIMIT_ACCURACY, 1.0))) / self._rate
            self._settled = min(self._settled, point.time + wait)
        elif self._given is None and self._stands(point):
            self._at_rest = True
            self._settled = point.time
        return point.time >= self.time

    def fraction(self, point: Point) -> float:
        """Estimate how much of the solve is over, from 0 to 1."""
        if np.isfinite(self.time):
            return min(1.0, point.time / self.time)
        wait = float(np.log(max(self._flow.gap(point), 1.0) / LIMIT_ACCURACY)) / self._rate
        return point.time / (point.time + wait)

    def _stands(self, point: Point) -> bool:
        """Say whether the flow has come to rest at a saddle, u = <B, V> = 0."""
        overlap = abs(float(self._flow.overlap(point.V[None])[0]))
        speed = abs(point.u) * float(np.linalg.norm(self._flow.drive)) + overlap
        self._fastest = max(self._fastest, speed)
        return speed <= _AT_REST * min(self._fastest, self._slow)
