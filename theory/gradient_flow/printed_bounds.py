"""Constants of Zhang et al. 2024 along the flow, as printed: thresholds, lower bounds on u, PL.

Theorem 4 has them in Lemmas 18-20, Theorem 8 in Lemmas 26-28. `theory.gradient_flow.sharp_bounds`
has sharper ones, for every problem and start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from scipy import integrate

from theory.gradient_flow.problem import FlowProblem, FlowState
from theory.gradient_flow.settings import FixedCovariance, RandomDiagonalCovariance
from theory.laws import Deterministic, DistributedLaw, TwoPoint, Uniform
from theory.validation import Problems

__all__ = ["PrintedBounds", "mean_norms", "printed_bounds"]

#: How far a start may be from Assumption 3, relative to its norm: rounding, with room.
_TOLERANCE = 1e-9

#: Relative error beyond which the quadrature of `mean_norms` has failed.
_QUADRATURE_ERROR = 1e-8

#: Parts of E lambda^3 between which the quadrature has intervals of its own: no peak is missed.
_QUANTILES = (1e-6, 0.01, 0.1, 0.5, 0.9, 0.99, 1 - 1e-6, 1 - 1e-9, 1 - 1e-12)

#: Halvings of the interval of log x in which a quantile lies, from 1,400 to 1e-6.
_BISECTIONS = 30


@dataclass(frozen=True)
class PrintedBounds:
    """The printed constants for one start U = sigma T, u = sigma, T = Theta Theta'.

    Attributes
    ----------
    scale
        sigma.
    gain
        |Lambda Theta|_F^2 for a fixed covariance, |E Lambda Theta|_F^2 for a random one.
    cost
        sqrt(d) |Gamma|_op |Lambda Theta|_F^2, or sqrt(d) E[|Gamma|_op |Lambda|_F^2].
    largest_drive
        |Lambda|_op^2, or |E Lambda^2|_op.
    dim
        d.
    curvature
        1 / (tr(Gamma^{-1} Lambda^{-1}) tr(Lambda^{-1})), or eta = min_ij zeta_ij.
    """

    scale: float
    gain: float
    cost: float
    largest_drive: float
    dim: int
    curvature: float

    @property
    def threshold(self) -> float:
        """What sigma^2 must be less than: 2 gain / cost.

        Notes
        -----
        Source: Zhang et al., Theorem 4 and eq. (43); Theorem 8, eqs. (21) and (58).
        """
        return 2 * self.gain / self.cost

    @property
    def scale_ratio(self) -> float:
        """Return sigma^2 / `threshold`; the printed lemmas assume that it is less than 1."""
        return self.scale**2 / self.threshold

    @property
    def u_squared(self) -> float:
        """The lower bound sigma^2 (2 gain - sigma^2 cost) / (2 sqrt(d) largest_drive) on u(t)^2.

        Not positive, and then saying nothing, from the threshold on.

        Notes
        -----
        Source: Zhang et al., eqs. (44) and (60).
        """
        room = 2 * self.gain - self.scale**2 * self.cost
        return self.scale**2 * room / (2 * float(np.sqrt(self.dim)) * self.largest_drive)

    @property
    def pl_constant(self) -> float:
        """The constant mu of eq. (30), or nu of eq. (61): 2 curvature u_squared.

        It is meant to satisfy |grad l|^2 >= mu (l - min l) along the flow.
        """
        return 2 * self.curvature * self.u_squared


def printed_bounds(problem: FlowProblem, start: FlowState) -> PrintedBounds:
    """Return the printed constants for a start of Assumption 3.

    Parameters
    ----------
    problem
        A problem with fixed or random diagonal covariance.
    start
        U = sigma Theta Theta', u = sigma > 0, |Theta Theta'|_F = 1 (`assumption_3` makes it).

    Raises
    ------
    ValueError
        If the start is not one of Assumption 3, the problem is of another kind, or a law of its
        eigenvalues is given by moments only.
    """
    direction = _direction(problem, start)
    setting = problem.setting
    if isinstance(setting, FixedCovariance):
        return _fixed(setting, start.u, problem.in_eigenbasis(direction))
    if isinstance(setting, RandomDiagonalCovariance):
        return _random(setting, start.u, direction, float(np.min(problem.curvature)))
    raise ValueError(
        f"printed_bounds: the setting is {type(setting).__name__}; Zhang et al. print constants for"
        " fixed and random diagonal covariances only: use sharp_bounds, which covers every problem"
    )


def mean_norms(setting: RandomDiagonalCovariance) -> float:
    """Return E[|Gamma|_op |Lambda|_F^2] = E[((1 + 1/N) max_k lambda_k + tr/N) sum_j lambda_j^2].

    By E[lambda_j^2 max] = int_0^inf (E lambda_j^2 - E[lambda_j^2; max <= x]) dx, to about 1e-9.

    Raises
    ------
    ValueError
        If a law is given by its moments only, or the quadrature is off by more than 1e-8 (a law of
        your own with jumps; log-normal laws with std_log = 4).

    Notes
    -----
    Source: Zhang et al., eqs. (21) and (58).
    """
    laws = setting.distributed_laws
    rest = np.sum(setting.first) - setting.first
    trace = float(np.sum(setting.third + setting.second * rest))
    length = setting.prompt_length
    return (1 + 1 / length) * _largest_times_square(laws) + trace / length


def _fixed(
    setting: FixedCovariance, scale: float, direction: Float[np.ndarray, "d d"]
) -> PrintedBounds:
    lam, gam = setting.eigenvalues, setting.gamma_eigenvalues
    gain = float(np.sum(lam**2 * np.diag(direction)))
    return PrintedBounds(
        scale=scale,
        gain=gain,
        cost=float(np.sqrt(setting.dim) * np.max(gam)) * gain,
        largest_drive=float(np.max(lam)) ** 2,
        dim=setting.dim,
        curvature=1 / float(np.sum(1 / (gam * lam)) * np.sum(1 / lam)),
    )


def _random(
    setting: RandomDiagonalCovariance,
    scale: float,
    direction: Float[np.ndarray, "d d"],
    least_curvature: float,
) -> PrintedBounds:
    return PrintedBounds(
        scale=scale,
        gain=float(np.sum(setting.first**2 * np.diag(direction))),
        cost=float(np.sqrt(setting.dim)) * mean_norms(setting),
        largest_drive=float(np.max(setting.second)),
        dim=setting.dim,
        curvature=least_curvature,
    )


def _direction(problem: FlowProblem, start: FlowState) -> Float[np.ndarray, "d d"]:
    """Return Theta Theta' = U / u."""
    problems = Problems("Assumption 3")
    U, u = problem.state(start.U, start.u)
    norm = float(np.linalg.norm(U))
    if u <= 0:
        problems.add(f"u is {u!r}; expected the scale sigma > 0")
    if abs(norm - u) > _TOLERANCE * max(norm, abs(u)):
        problems.add(f"|U|_F is {norm!r} and u {u!r}; expected a balanced start, |U|_F = u")
    if np.max(np.abs(U - U.T)) > _TOLERANCE * norm or (
        np.linalg.eigvalsh(U / 2 + U.T / 2)[0] < -_TOLERANCE * norm
    ):
        problems.add("U is not symmetric positive semidefinite; expected sigma Theta Theta'")
    problems.raise_if_any()
    return np.asarray(U / u)


def _largest_times_square(laws: tuple[DistributedLaw, ...]) -> float:
    """Return E[max_k lambda_k sum_j lambda_j^2] for independent lambda."""

    def exceeding(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return sum_j E[lambda_j^2; max > x]."""
        flat = np.append(x.ravel(), np.inf)
        below = np.array([law.truncated_moment(0, flat) for law in laws])
        squares = np.array([law.truncated_moment(2, flat) for law in laws])
        # The whole moments from the same formula, so that the integrand does end at exactly 0.
        within = np.sum(squares * _products_of_others(below), axis=0)
        return np.asarray(within[-1] - within[:-1]).reshape(x.shape)

    edges = np.array([0.0, *sorted({x for law in laws for x in _edges(law)}), np.inf])
    found = integrate.tanhsinh(exceeding, edges[:-1], edges[1:], rtol=1e-12)
    total, error = float(np.sum(found.integral)), float(np.sum(found.error))
    if not error <= _QUADRATURE_ERROR * total:
        raise ValueError(
            f"E[max lambda sum lambda^2] came out as {total!r} with an error of {error!r}; expected"
            " laws of smooth distribution functions and moderate tails: use those of theory.laws"
        )
    return total


def _products_of_others(factors: Float[np.ndarray, "d n"]) -> Float[np.ndarray, "d n"]:
    """Return prod_{k != j} factors_k, without division."""
    ones = np.ones((1, factors.shape[1]))
    before = np.cumprod(np.concatenate([ones, factors[:-1]]), axis=0)
    after = np.cumprod(np.concatenate([ones, factors[:0:-1]]), axis=0)[::-1]
    return np.asarray(before * after)


def _edges(law: DistributedLaw) -> list[float]:
    """Return points x > 0 that part the line where the truncated moments change their manner."""
    match law:
        case Deterministic():
            return [float(law.value)]
        case TwoPoint():
            return [float(law.low), float(law.high)]
        case Uniform():
            return [float(x) for x in (law.low, law.high) if x > 0]
        case _:
            return _quantiles(law)


def _quantiles(law: DistributedLaw) -> list[float]:
    """Return where E[lambda^3; lambda <= x] passes given parts of E lambda^3."""
    levels = np.array(_QUANTILES) * float(law.moments[2])
    low, high = np.full(len(levels), -700.0), np.full(len(levels), 700.0)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = law.truncated_moment(3, np.exp(middle)) < levels
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return [float(x) for x in np.exp(high)]
