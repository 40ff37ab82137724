"""Points where the gradient of the full layer's loss vanishes, and what kind of points they are.

The prediction splits by its parity in the labels. The odd part is w'-linear, g_xy' M x_query with
M = u U + p q' and g_xy the mean of y_i x_i; the even part has p'xx'U x_query and u y^2 q'x_query,
and vanishes for p = q = 0. For a symmetric law of the tasks the two are uncorrelated, and the
target is odd:

    L = 1/2 E (odd part - target)^2 + 1/2 E (even part)^2
      >= min_M 1/2 E (g_xy' M x_query - target)^2.

So the global minimum on p = q = 0 is the one of the full loss, for every d. Where it is attained:
the even part vanishes only for (p = 0 or U = 0) and (u = 0 or q = 0), and M must be the minimiser
A. If A has rank two or more, this leaves p = q = 0, u U = A. If it has rank one, as for d = 1,
also u = 0, U = 0, p q' = A.

For d = 1 there is no other local minimum (`theory.full_flow.one_dimension`). For d >= 2 there are:
`rank_one_point` for short prompts, and points with all weights in use for long ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import SupportsIndex

import numpy as np
from jaxtyping import Float

from theory.gradient_flow import FlowProblem
from theory.population_loss import LayerBlocks, PopulationLoss
from theory.validation import Problems

__all__ = ["PointKind", "StationaryPoint", "global_minimum", "rank_one_point"]

#: Eigenvalues below this, relative to the largest, count as zero: the ones that symmetries make.
_ZERO = 1e-7

#: Gradients below this, relative to |Lambda^2|_op |weights|, count as zero.
_STATIONARY = 1e-7

#: Losses above the minimum by less than this, relative to the loss of the prediction 0, reach it.
_REACHED = 1e-9


class PointKind(StrEnum):
    """What a point of the loss is, up to the symmetries of the layer."""

    GLOBAL_MINIMUM = "global minimum"
    LOCAL_MINIMUM = "local minimum that is not global"
    SADDLE = "saddle"
    NOT_STATIONARY = "not stationary"


@dataclass(frozen=True, eq=False)
class StationaryPoint:
    """A point of the loss with what its first two derivatives say.

    Attributes
    ----------
    loss
        The loss.
    weights
        The point; four array-likes in the order of `LayerBlocks` are converted.

    Raises
    ------
    ValueError
        If the weights do not fit the loss.
    """

    loss: PopulationLoss
    weights: LayerBlocks

    def __post_init__(self) -> None:
        read = LayerBlocks.of(self.weights, subject="StationaryPoint(weights)", dim=self.loss.dim)
        object.__setattr__(self, "weights", read)

    @property
    def gradient_norm(self) -> float:
        """The Euclidean norm of the gradient: 0 up to rounding, or the tolerance of a solver."""
        return float(np.linalg.norm(self.loss.gradient(*self.weights).stacked))

    @property
    def kind(self) -> PointKind:
        """What the point is, by its gradient, its excess and the signs of `eigenvalues`.

        A point without negative eigenvalues counts as a minimum: its flat directions are taken for
        those of symmetries (see `num_zero`).
        """
        size = float(np.linalg.norm(self.weights.stacked))
        strength = float(np.linalg.norm(self.loss.covariance, 2)) ** 2
        if self.gradient_norm > _STATIONARY * strength * size:
            return PointKind.NOT_STATIONARY
        if self.num_negative:
            return PointKind.SADDLE
        zero = np.zeros(self.loss.dim)
        of_zero = self.loss(zero, zero, np.zeros((self.loss.dim, self.loss.dim)), 0.0)
        reached = self.excess <= _REACHED * of_zero
        return PointKind.GLOBAL_MINIMUM if reached else PointKind.LOCAL_MINIMUM

    @property
    def excess(self) -> float:
        """How far the loss is above its global minimum."""
        return self.loss(*self.weights) - self.loss(*global_minimum(self.loss))

    @cached_property
    def eigenvalues(self) -> Float[np.ndarray, " n"]:
        """The eigenvalues of the Hessian, ascending."""
        return np.linalg.eigvalsh(self.loss.hessian(*self.weights))

    @property
    def num_negative(self) -> int:
        """Directions in which the loss falls: 0 at a local minimum."""
        return int(np.sum(self.eigenvalues < -self._zero))

    @property
    def num_zero(self) -> int:
        """Flat directions, by eigenvalues of less than 1e-7 of the largest.

        The scaling (u12, u_1) -> s (u12, u_1), (U11, u21) -> (U11, u21) / s, which leaves the loss
        alone, makes one, unless all weights vanish. Rotations that commute with Lambda (and S) make
        others where they move the point.
        """
        return int(np.sum(np.abs(self.eigenvalues) <= self._zero))

    @property
    def scale_curvature(self) -> float:
        """|H s| / |s| for the scaling's direction s = (u12, -u21, -U11, u_1); 0 if s = 0.

        It vanishes where the gradient does.
        """
        p, q, U, u = self.weights
        s = LayerBlocks(p, -q, -U, u).stacked
        size = float(np.linalg.norm(s))
        moved = float(np.linalg.norm(self.loss.hessian(*self.weights) @ s))
        return moved / size if size else 0.0

    @property
    def _zero(self) -> float:
        return _ZERO * float(np.max(np.abs(self.eigenvalues)))


def global_minimum(loss: PopulationLoss) -> LayerBlocks:
    """Return the global minimum with u12 = u21 = 0, u_1 > 0 and u_1 = |U11|_F.

    The global minima are all (0, 0, U, u) with u U = u_1 U11, and for a minimiser u_1 U11 of rank
    one (as for d = 1) also those with U11 = 0, u_1 = 0 and u12 u21' = that product.

    Notes
    -----
    Source: Zhang et al., Lemma 11, for u12 = u21 = 0. That it is global for the full layer is ours:
    see the text of this module.
    """
    problem = FlowProblem.general(
        loss.covariance, loss.task_covariance, loss.noise_std, loss.prompt_length
    )
    U, u = problem.limit()
    zero = np.zeros(loss.dim)
    return LayerBlocks(zero, zero, U, u)


def rank_one_point(loss: PopulationLoss, index: SupportsIndex = 0) -> LayerBlocks:
    """Return the stationary point U11 = 0, u_1 = 0, u12 u21' = the `index`-th part of A alone.

    A, the minimiser of `global_minimum`, is kept in one direction v of Lambda only, the one of the
    `index`-th largest eigenvalue, with |u12| = |u21|. Both parts of the loss are stationary there:
    the even one has no terms of first order in (U11, u_1) at (0, 0). For index 0 it is a local
    minimum that is not global if N is small: for d >= 2 and Lambda = I, just for N = 1; N = 2 and
    d <= 14; N = 3 and d <= 3; N = 4 and d = 2. For d = 1 it is global.

    Parameters
    ----------
    loss
        A loss with S = I and no label noise, the setting of Zhang et al.
    index
        From 0, the largest, to d - 1.

    Raises
    ------
    ValueError
        If the loss has another task law, or there is no such eigenvalue.
    """
    problems = Problems("rank_one_point")
    place = problems.count("index", index, 0)
    if place >= loss.dim:
        problems.add(f"index is {place}; expected less than d = {loss.dim}")
    if loss.noise_std or np.any(loss.task_covariance != np.eye(loss.dim)):
        problems.add(
            "the loss has label noise or a task covariance S; expected S = I without noise:"
            " elsewhere the eigenvectors of A and Lambda differ"
        )
    problems.raise_if_any()
    eigenvalues, vectors = np.linalg.eigh(loss.covariance)
    lam, v = float(eigenvalues[-1 - place]), vectors[:, -1 - place]
    gamma = lam + (lam + float(np.sum(eigenvalues))) / loss.prompt_length
    zero = np.zeros_like(loss.covariance)
    return LayerBlocks(v / np.sqrt(gamma), v / np.sqrt(gamma), zero, 0.0)
