"""What the flow does along time, beside what is proved of it: numbers, with their bounds.

A `Comparison` holds a measured quantity and a bound on it, an `Identity` two quantities that are
equal. The printed bounds are those of Zhang et al. for starts of Assumption 3 below the threshold;
the sharp ones hold for every start with u > 0 (`theory.gradient_flow.sharp_bounds`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from theory.gradient_flow.initialisation import limit_of
from theory.gradient_flow.printed_bounds import PrintedBounds, printed_bounds
from theory.gradient_flow.problem import FlowProblem, FlowState
from theory.gradient_flow.settings import FixedCovariance, RandomDiagonalCovariance
from theory.gradient_flow.sharp_bounds import sharp_bounds
from theory.gradient_flow.solution import FlowSolution
from theory.gradient_flow.spectrum import excited_rate

__all__ = [
    "Comparison",
    "Identity",
    "Side",
    "balance",
    "comparisons",
    "distance_to_limit",
    "loss_decrease",
    "loss_envelope",
    "pl_ratio",
    "pl_ratio_at",
    "positivity",
    "rate",
    "u_lower_bound",
]

#: Gauss-Legendre nodes on each interval of `loss_decrease`.
_NODES = 16


class Side(StrEnum):
    """On which side of the measured quantity a bound lies."""

    LOWER = "lower bound"
    UPPER = "upper bound"


@dataclass(frozen=True)
class Comparison:
    """A measured quantity and a bound on it, at m times.

    Attributes
    ----------
    name
        The quantity and where its bound is from.
    times, measured, bound
        Shape (m,) each.
    side
        Whether `bound` is meant to be below or above `measured`.
    """

    name: str
    times: Float[np.ndarray, " m"]
    measured: Float[np.ndarray, " m"]
    bound: Float[np.ndarray, " m"]
    side: Side

    @property
    def margin(self) -> Float[np.ndarray, " m"]:
        """The room between the two, negative where the bound does not hold."""
        room = self.measured - self.bound
        return np.asarray(room if self.side is Side.LOWER else -room)

    @property
    def looseness(self) -> Float[np.ndarray, " m"]:
        """The larger over the smaller if the bound holds: measured / bound or its inverse.

        At least 1 where the bound holds, infinite where it says nothing; nan for 0 / 0.
        """
        above, below = (
            (self.measured, self.bound) if self.side is Side.LOWER else (self.bound, self.measured)
        )
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(above / below)


@dataclass(frozen=True)
class Identity:
    """Two quantities that theory says are equal, at m times or on m intervals.

    Attributes
    ----------
    name
        What is compared.
    times
        The times, or the ends of the intervals, shape (m,).
    measured, expected
        Shape (m,) each.
    unit
        The size of the terms that make up the two, for `relative_difference`, shape (m,).
    """

    name: str
    times: Float[np.ndarray, " m"]
    measured: Float[np.ndarray, " m"]
    expected: Float[np.ndarray, " m"]
    unit: Float[np.ndarray, " m"]

    @property
    def relative_difference(self) -> Float[np.ndarray, " m"]:
        """(measured - expected) / unit."""
        return np.asarray((self.measured - self.expected) / self.unit)


def balance(flow: FlowSolution, times: npt.ArrayLike) -> Identity:
    """Compare u^2 - |U|_F^2 with its value at the start, in units of u^2 + |U|_F^2.

    Notes
    -----
    0 from the starts of Assumption 3: Zhang et al., Lemmas 17 and 25. Conserved from every start.
    """
    at = _times(times)
    states = [flow(t) for t in at]
    square = np.array([state.u**2 for state in states])
    size = np.array([float(np.sum(state.U**2)) for state in states])
    initial = flow.balance
    return Identity("balance", at, square - size, np.full(len(at), initial), square + size)


def positivity(flow: FlowSolution, times: npt.ArrayLike) -> Comparison:
    """Compare u with 0.

    Notes
    -----
    Source: Zhang et al., Lemmas 18 and 26.
    """
    at = _times(times)
    return Comparison("u > 0", at, flow.u(at), np.zeros(len(at)), Side.LOWER)


def u_lower_bound(
    flow: FlowSolution, times: npt.ArrayLike, bound: float, name: str = "u"
) -> Comparison:
    """Compare u with a constant lower bound on it.

    Parameters
    ----------
    flow, times
        The flow line, and where to look.
    bound
        Such as the root of `u_squared` of `printed_bounds` (Lemmas 19 and 27) or `sharp_bounds`.
    name
        The name of the comparison.
    """
    at = _times(times)
    return Comparison(name, at, flow.u(at), np.full(len(at), float(bound)), Side.LOWER)


def pl_ratio_at(problem: FlowProblem, state: FlowState) -> float:
    """Return |grad L|^2 / (L - min L) = 2 |J' r|^2 / |r|^2 at one point; nan at a minimum.

    r_ij = sqrt(a_ij) (u V_ij - B_ij / a_ij) and J is its derivative in (V, u), so that numerator
    and denominator come from the same r: near the limit, where r is a small difference, the ratio
    is that of a nearby point.
    """
    V = problem.in_eigenbasis(state.U)
    slope = state.u * problem.curvature * V - problem.drive
    gradient = float(np.sum((state.u * slope) ** 2)) + float(np.sum(slope * V)) ** 2
    excess = float(np.sum(slope**2 / problem.curvature)) / 2
    return gradient / excess if excess > 0 else np.nan


def pl_ratio(
    flow: FlowSolution, times: npt.ArrayLike, constant: float, name: str = "PL"
) -> Comparison:
    """Compare |grad L|^2 / (L - min L) with a constant that is meant to bound it from below.

    Parameters
    ----------
    flow, times
        The flow line, and where to look.
    constant
        Such as the `pl_constant` of `printed_bounds` (mu of eq. (30), nu of eq. (61)) or
        `sharp_bounds`.
    name
        The name of the comparison.

    Notes
    -----
    Source: Zhang et al., Lemmas 12, 20 and 28.
    """
    at = _times(times)
    measured = np.array([pl_ratio_at(flow.problem, flow(t)) for t in at])
    return Comparison(name, at, measured, np.full(len(at), float(constant)), Side.LOWER)


def rate(flow: FlowSolution, times: npt.ArrayLike) -> Identity:
    """Compare -1/2 d/dt log(L - min L) = |grad L|^2 / (2 (L - min L)) with the exact rate.

    The two agree as t grows (`excited_rate`), until L - min L is rounding.
    """
    at = _times(times)
    exact = np.full(len(at), excited_rate(flow.problem, flow.start, flow.balance))
    measured = np.array([pl_ratio_at(flow.problem, flow(t)) / 2 for t in at])
    return Identity("rate", at, measured, exact, exact)


def loss_decrease(flow: FlowSolution, times: npt.ArrayLike) -> Identity:
    """Compare L(t_k) - L(t_{k+1}) with the integral of |grad L|^2 between ascending times.

    Parameters
    ----------
    flow
        The flow line.
    times
        Ascending, m + 1 of them, near enough for a Gauss rule with 16 nodes on each interval.

    Returns
    -------
    Identity
        Of length m, at the ends of the intervals, in units of the loss that is lost until then.

    Raises
    ------
    ValueError
        If there are fewer than two times, or they do not ascend.

    Notes
    -----
    dL/dt = -|grad L|^2 <= 0: Zhang et al., proofs of Lemmas 18 and 26.
    """
    at = _times(times)
    if len(at) < 2 or np.any(np.diff(at) <= 0):
        raise ValueError(
            f"loss_decrease: times are {at!r}; expected at least two, each above the one before"
        )
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    half = np.diff(at) / 2
    inside = (at[:-1] + half)[:, None] + half[:, None] * points
    squares = np.array([_gradient_squared(flow, t) for t in inside.ravel()])
    expected = half * (squares.reshape(inside.shape) @ weights)
    excess = flow.excess_loss(at)
    return Identity("loss decrease", at[1:], -np.diff(excess), expected, excess[0] - excess[1:])


def loss_envelope(
    flow: FlowSolution, times: npt.ArrayLike, constant: float, name: str = "PL envelope"
) -> Comparison:
    """Compare L - min L with its upper bound (L - min L)(0) exp(-mu t) for a PL constant mu.

    Notes
    -----
    Source: Zhang et al., proofs of Lemmas 20 and 28.
    """
    at = _times(times)
    first = flow.problem.excess_loss(flow.start)
    envelope = first * np.exp(-float(constant) * at)
    return Comparison(name, at, flow.excess_loss(at), envelope, Side.UPPER)


def distance_to_limit(
    flow: FlowSolution, times: npt.ArrayLike, constant: float, name: str = "distance"
) -> Comparison:
    """Compare the distance of (U, u) from the limit with 2 sqrt((L - min L) / mu).

    The length of the rest of the flow line is int |grad L| dt, and by PL that is at most
    int -dL / sqrt(mu (L - min L)).

    Raises
    ------
    ValueError
        If the limit is not a global minimum, or unknown.
    """
    at = _times(times)
    limit = limit_of(flow.problem, flow.final)
    if limit.state is None or limit.state.u == 0:
        raise ValueError(
            f"distance_to_limit: the limit of this flow is: {limit.kind} ({limit.reason}); expected"
            " a global minimum: solve to a larger `horizon`"
        )
    target = flow.problem.limit(flow.balance)
    sign = np.sign(limit.state.u)
    states = [flow(t) for t in at]
    parts = [(state.U - sign * target.U, state.u - sign * target.u) for state in states]
    measured = np.array([np.hypot(np.linalg.norm(U), u) for U, u in parts])
    bound = 2 * np.sqrt(flow.excess_loss(at) / float(constant))
    return Comparison(name, at, measured, bound, Side.UPPER)


def comparisons(flow: FlowSolution, times: npt.ArrayLike) -> tuple[Comparison, ...]:
    """Return every bound on u, the PL ratio, the loss and the distance, along time.

    The sharp ones, and the printed ones where the start is below the printed threshold; for a start
    of Assumption 3 if the covariance is fixed or random, else for any start with u > 0. What says
    nothing (a bound of 0) is left out.

    Raises
    ------
    ValueError
        If u(0) <= 0, or, for a fixed or random covariance, the start is not one of Assumption 3 or
        a law is given by moments only: there is no printed bound.
    """
    sharp = sharp_bounds(flow.problem, flow.start)
    constants = {"sharp": (sharp.u_squared, sharp.pl_constant)}
    if isinstance(flow.problem.setting, FixedCovariance | RandomDiagonalCovariance):
        printed = _printed(flow)
        constants["printed"] = (printed.u_squared, printed.pl_constant)
    found: list[Comparison] = []
    for source, (u_squared, constant) in constants.items():
        if u_squared <= 0:
            continue
        found.append(u_lower_bound(flow, times, np.sqrt(u_squared), f"u, {source}"))
        by_constant: dict[str, Callable[..., Comparison]] = {
            "PL ratio": pl_ratio,
            "loss": loss_envelope,
            "distance": distance_to_limit,
        }
        for quantity, compare in by_constant.items():
            found.append(compare(flow, times, constant, f"{quantity}, {source}"))
    return tuple(found)


def _printed(flow: FlowSolution) -> PrintedBounds:
    try:
        return printed_bounds(flow.problem, flow.start)
    except ValueError as error:
        raise ValueError(
            f"comparisons: this flow has no printed bounds to compare with ({error}). For any start"
            " with u > 0 there are those of sharp_bounds(flow.problem, flow.start): pass them to"
            " u_lower_bound, pl_ratio, loss_envelope and distance_to_limit"
        ) from error


def _times(times: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.atleast_1d(np.asarray(times, dtype=np.float64))


def _gradient_squared(flow: FlowSolution, t: float) -> float:
    gradient = flow.problem.gradient(flow(t))
    return float(np.sum(gradient.U**2)) + gradient.u**2
