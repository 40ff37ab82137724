"""The starts of Assumption 3: U(0) = scale Theta Theta', u(0) = scale."""

from __future__ import annotations

from typing import SupportsFloat

import numpy as np
import numpy.typing as npt

from theory.gradient_flow.problem import FlowProblem, FlowState
from theory.validation import Problems

__all__ = ["assumption_3", "random_theta"]

#: How far |Theta Theta'|_F may be from 1: rounding of a normalisation in float64, with room.
_NORM_TOLERANCE = 1e-9


def assumption_3(problem: FlowProblem, theta: npt.ArrayLike, scale: SupportsFloat) -> FlowState:
    """Return the start U = scale Theta Theta', u = scale, which is balanced.

    Parameters
    ----------
    problem
        The flow, of dimension d.
    theta
        Theta, shape (d, d), with |Theta Theta'|_F = 1 and a part that the loss sees
        (<B, Theta Theta'> > 0: Theta Lambda != 0 in Assumption 3, |E Lambda Theta| != 0 in
        Theorem 8).
    scale
        sigma > 0.

    Raises
    ------
    ValueError
        If one of these does not hold.

    Notes
    -----
    Source: Zhang et al. 2024, Assumption 3.
    """
    problems = Problems("Assumption 3")
    given = problems.array("theta", theta, ("d", "d"))
    sigma = problems.number("scale (sigma)", scale, 0.0, strict=True)
    if given is not None and given.shape != (problem.dim, problem.dim):
        problems.add(f"theta has shape {given.shape}; expected {(problem.dim, problem.dim)}")
    problems.raise_if_any()
    assert given is not None
    gram = given @ given.T
    norm = float(np.linalg.norm(gram))
    if abs(norm - 1) > _NORM_TOLERANCE:
        problems.add(
            f"|theta theta'|_F is {norm!r}; Assumption 3 has 1: divide theta by the square root"
            " of this norm"
        )
    elif float(np.sum(problem.drive * problem.in_eigenbasis(gram))) <= 0:
        problems.add(
            "theta does not overlap with the drive of the flow, <B, theta theta'> <= 0; the"
            " theorems assume Theta Lambda != 0: choose another theta"
        )
    problems.raise_if_any()
    return FlowState(sigma * gram / norm, sigma)


def random_theta(dim: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw Theta with Theta Theta' = MM' / |MM'|_F, M a matrix of standard normals, shape (d, d).

    Notes
    -----
    Source: Zhang et al. 2024, the example after Assumption 3.
    """
    m = rng.standard_normal((dim, dim))
    return np.asarray(m / np.sqrt(np.linalg.norm(m @ m.T)))
