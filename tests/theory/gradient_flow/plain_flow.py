"""Random problems and starts, and scipy on the plain equation of the flow, as a judge."""

import numpy as np
from scipy import integrate

from theory.gradient_flow import FlowProblem, FlowState, random_theta
from theory.laws import Exponential, Gamma, LogNormal, TwoPoint, Uniform

LAWS = (Exponential(1), Uniform(0.5, 2.0), TwoPoint(1.0, 3.0, 0.25), Gamma(0.5, 2.0), LogNormal())


def covariance(dim: int, rng: np.random.Generator, spread: float = 2.0) -> np.ndarray:
    basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    lam = basis @ np.diag(np.exp(rng.uniform(-spread / 2, spread / 2, dim))) @ basis.T
    return (lam + lam.T) / 2


def fixed(dim: int, rng: np.random.Generator) -> FlowProblem:
    return FlowProblem.fixed(covariance(dim, rng), int(rng.integers(1, 4 * dim + 1)))


def random_diagonal(dim: int, rng: np.random.Generator) -> FlowProblem:
    laws = [LAWS[i] for i in rng.integers(len(LAWS), size=dim)]
    return FlowProblem.random_diagonal(laws, int(rng.integers(1, 4 * dim + 1)))


def general(dim: int, rng: np.random.Generator) -> FlowProblem:
    lam, tasks = covariance(dim, rng), covariance(dim, rng)
    return FlowProblem.general(lam, tasks, float(rng.uniform(0, 1)), 2 * dim)


FAMILIES = (fixed, random_diagonal, general)


def psd_start(problem: FlowProblem, scale: float, rng: np.random.Generator) -> FlowState:
    """A start of Assumption 3, without its condition on Theta."""
    theta = random_theta(problem.dim, rng)
    return FlowState(scale * theta @ theta.T, scale)


def judged(problem: FlowProblem, start: FlowState, times: np.ndarray) -> list[FlowState]:
    """The flow at these times, the first of them 0, by LSODA on dU/dt, du/dt in matrix form."""
    dim = problem.dim
    loss = problem.setting.entrywise_loss()

    def slope(t, z):
        V, u = loss.left.T @ z[:-1].reshape(dim, dim) @ loss.right, z[-1]
        to_V = -(u**2) * loss.curvature * V + u * loss.drive
        to_u = -np.sum(u * loss.curvature * V**2 - loss.drive * V)
        return np.append((loss.left @ to_V @ loss.right.T).ravel(), to_u)

    begin = np.append(start.U.ravel(), start.u)
    found = integrate.solve_ivp(
        slope,
        (0.0, times[-1]),
        begin,
        method="LSODA",
        t_eval=times,
        rtol=1e-11,
        atol=1e-13 * float(np.max(np.abs(begin))),
    )
    assert found.success
    return [FlowState(z[:-1].reshape(dim, dim), float(z[-1])) for z in found.y.T]
