"""scipy's solvers on the flow: on the matrix equation, in two bases, and on the reduced system."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import integrate, sparse

from theory import FlowProblem, FlowState

#: Seconds that one run of a peer may take, and how many times as long as the best one so far.
BUDGET, LAG = 3.0, 2.0

#: Evaluations of the right-hand side between two looks at the clock.
_LOOK = 256

#: Of rtol: the atol that the peers are tried with.
_ATOLS = (1e-1, 1e-3)

_STEP_OF_LADDER = 10**-0.5
_LEAST_RTOL = 3e-14

Array = np.ndarray
Function = Callable[[float, Array], Any]


class OverBudgetError(Exception):
    """A run took too many seconds."""


@dataclass(frozen=True)
class Equation:
    """y' = slope(t, y), and how to read (U, u) from y.

    Parameters
    ----------
    name
        For the table.
    slope, jacobian
        Functions of t and y.
    sparse_jacobian
        The Jacobian as a sparse matrix, for the solvers that take one.
    start
        y(0).
    states
        From y at m times, shape (m, n), to what has to be right, one row for each time: all of
        (U, u) up to a change of basis that keeps the norm.
    """

    name: str
    slope: Function
    jacobian: Function
    sparse_jacobian: Function
    start: Array
    states: Callable[[Array], Array]


def matrix_equation(name: str, covariance: Array, length: int, start: FlowState) -> Equation:
    """Return dU/dt = -u^2 Gamma Lambda U Lambda + u Lambda^2 and du/dt as in Lemma 10."""
    dim = len(covariance)
    gamma = (1 + 1 / length) * covariance + np.trace(covariance) / length * np.eye(dim)
    left, square = gamma @ covariance, covariance @ covariance
    operator = np.kron(left, covariance)

    def slope(t: float, y: Array) -> Array:
        U, u = y[:-1].reshape(dim, dim), y[-1]
        pull = u * (left @ U @ covariance) - square
        found = np.empty_like(y)
        found[:-1] = (-u * pull).ravel()
        found[-1] = -np.vdot(pull, U)
        return found

    def jacobian(t: float, y: Array) -> Array:
        U, u = y[:-1].reshape(dim, dim), y[-1]
        curved = left @ U @ covariance
        found = np.empty((len(y), len(y)))
        found[:-1, :-1] = -(u**2) * operator
        found[:-1, -1] = found[-1, :-1] = (square - 2 * u * curved).ravel()
        found[-1, -1] = -np.vdot(curved, U)
        return found

    begin = np.append(start.U.ravel(), start.u)
    arrow = partial(_arrow, jacobian, _pattern(len(begin), operator))
    return Equation(name, slope, jacobian, arrow, begin, lambda y: y)


def _pattern(size: int, operator: Array) -> tuple[Array, Array]:
    filled = np.ones((size, size), dtype=bool)
    filled[:-1, :-1] = operator != 0
    rows, columns = np.nonzero(filled)
    return rows, columns


def _arrow(jacobian: Function, pattern: tuple[Array, Array], t: float, y: Array) -> Any:
    dense = jacobian(t, y)
    return sparse.csc_matrix((dense[pattern], pattern), shape=dense.shape)


def reduced_system(problem: FlowProblem, start: FlowState) -> Equation:
    """Return the system for the diagonal of V, S = int u^2 dt, and u; the rest is V(0) e^{-aS}."""
    dim = problem.dim
    V0 = problem.in_eigenbasis(start.U)
    off = ~np.eye(dim, dtype=bool)
    rates, drive = np.diag(problem.curvature).copy(), np.diag(problem.drive).copy()
    quiet = problem.curvature[off]
    weights = quiet * V0[off] ** 2

    def slope(t: float, y: Array) -> Array:
        V, S, u = y[:dim], y[dim], y[dim + 1]
        found = np.empty_like(y)
        found[:dim] = u * (drive - u * rates * V)
        found[dim] = u * u
        found[dim + 1] = drive @ V - u * (rates @ (V * V) + weights @ np.exp(-2 * S * quiet))
        return found

    def jacobian(t: float, y: Array) -> Array:
        V, S, u = y[:dim], y[dim], y[dim + 1]
        decayed = weights * np.exp(-2 * S * quiet)
        found = np.zeros((dim + 2, dim + 2))
        found[range(dim), range(dim)] = -(u**2) * rates
        found[:dim, dim + 1] = found[dim + 1, :dim] = drive - 2 * u * rates * V
        found[dim, dim + 1] = 2 * u
        found[dim + 1, dim] = 2 * u * (quiet @ decayed)
        found[dim + 1, dim + 1] = -(rates @ (V * V) + np.sum(decayed))
        return found

    def states(y: Array) -> Array:
        full = np.empty((len(y), dim, dim))
        full[:, off] = V0[off] * np.exp(-np.outer(y[:, dim], quiet))
        full[:, range(dim), range(dim)] = y[:, :dim]
        return np.column_stack([full.reshape(len(y), -1), y[:, dim + 1]])

    begin = np.concatenate([np.diag(V0), [0.0, start.u]])
    pattern = _pattern(dim + 2, np.eye(dim + 1))
    arrow = partial(_arrow, jacobian, pattern)
    return Equation("reduced system", slope, jacobian, arrow, begin, states)


@dataclass(frozen=True)
class Peer:
    """A solver of scipy on an equation, at tolerances of its own.

    Parameters
    ----------
    equation
        What is solved.
    solver
        "odeint", or a method of `solve_ivp`, with "+" if it is given the Jacobian.
    rtol, atol
        The tolerances.
    """

    equation: Equation
    solver: str
    rtol: float = math.nan
    atol: float = math.nan

    def __str__(self) -> str:
        """Name the peer as in a table."""
        return f"{self.equation.name}, {self.solver.replace('+', ' with its Jacobian')}"

    def solve(self, times: Array, budget: float = math.inf) -> Array:
        """Return y at the times, the first of them 0.

        Raises
        ------
        OverBudgetError
            If it takes more than `budget` seconds.
        """
        method, jacobian = self.solver.removesuffix("+"), self.equation.jacobian
        if method in ("BDF", "Radau"):
            jacobian = self.equation.sparse_jacobian
        given = jacobian if self.solver.endswith("+") else None
        slope = _within(budget, self.equation.slope)
        tolerances = {"rtol": self.rtol, "atol": self.atol}
        if method == "odeint":
            found, told = integrate.odeint(
                slope,
                self.equation.start,
                times,
                Dfun=given,
                tfirst=True,
                mxstep=10**6,
                full_output=True,
                **tolerances,
            )
            assert told["message"] == "Integration successful."
            return np.asarray(found)
        options = {} if method == "DOP853" else {"jac": given}
        solution = integrate.solve_ivp(
            slope,
            (0.0, times[-1]),
            self.equation.start,
            method=method,
            t_eval=times,
            **tolerances,
            **options,
        )
        assert solution.success
        return np.asarray(solution.y.T)

    def tuned(
        self, times: Array, expected: Array, error: float, budget: float
    ) -> tuple[float, "Peer"] | None:
        """Return the peer with the loosest tolerances within this error, and its seconds.

        The better of the two choices of atol / rtol. None if it does not get there in time.
        """
        found: list[tuple[float, Peer]] = []
        for part in _ATOLS:
            rtol = 10 * error
            while rtol >= _LEAST_RTOL:
                peer = Peer(self.equation, self.solver, rtol, part * rtol)
                begin = time.process_time()
                try:
                    y = self.equation.states(peer.solve(times, budget))
                except OverBudgetError:
                    break
                if worst_error(y, expected) <= error:
                    found.append((time.process_time() - begin, peer))
                    break
                rtol *= _STEP_OF_LADDER
        return min(found, key=lambda pair: pair[0], default=None)


def worst_error(found: Array, expected: Array) -> float:
    """Return the largest relative error of a row."""
    size = np.linalg.norm(expected, axis=1)
    return float(np.max(np.linalg.norm(found - expected, axis=1) / size))


def _within(budget: float, slope: Function) -> Function:
    begin, calls = time.process_time(), 0

    def counted(t: float, y: Array) -> Any:
        nonlocal calls
        calls += 1
        if calls % _LOOK == 0 and time.process_time() - begin > budget:
            raise OverBudgetError
        return slope(t, y)

    return counted


def finalists(equation: Equation, times: Array, expected: Array, error: float) -> list[Peer]:
    """Return scipy's solvers that may be the fastest within this error; none if all are slow.

    odeint, which is LSODA without the overhead of solve_ivp, the implicit ones, and DOP853.
    """
    found: list[tuple[float, Peer]] = []
    for solver in ("odeint+", "odeint", "BDF+", "Radau+", "DOP853"):
        best = min((seconds for seconds, _ in found), default=math.inf)
        budget = min(BUDGET, LAG * best)
        tuned = Peer(equation, solver).tuned(times, expected, error, budget)
        found += [] if tuned is None else [tuned]
    best = min((seconds for seconds, _ in found), default=math.inf)
    return [peer for seconds, peer in found if seconds <= LAG * best]
