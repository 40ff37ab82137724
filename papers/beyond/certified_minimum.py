"""Minima of the full layer's loss for Lambda = I, enclosed in ball arithmetic.

The point is sought among p = P e_1, q = Q e_1, U = diag(U_1, ..., U_d): reflections of the axes
keep this set, so that the gradient does not leave it. On it the gradient G and the balance b are
one equation more than unknowns; but <G, s> = 0 for the scaling's direction s = (p, -q, -U, u), so
that G + b s = 0 if and only if G = 0 and b = 0, as s is not 0.

*Existence.* Krawczyk's test: K = m - C F(m) + (I - C F'(X)) (X - m) inside X proves that the box X
holds exactly one zero of F, and that K holds it. *Minimum.* The Hessian H vanishes at it along s
and along the rotations r_2, ..., r_d of e_1. If H + ss' + sum r r' is positive definite over K,
then H is positive on what is orthogonal to these, and the point is a local minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from flint import arb, arb_mat, fmpq
from scipy import optimize

from papers.beyond.layer_polynomial import LayerPolynomial, is_positive_definite
from theory.population_loss import PopulationLoss
from theory.whitened_loss import LayerBlocks

#: The half-width of the box in which Krawczyk's test is made.
RADIUS = 1e-9

#: Newton steps that refine the float64 point to the precision of the balls.
REFINEMENTS = 3


@dataclass(frozen=True)
class CertifiedMinimum:
    """A stationary point, enclosed.

    Attributes
    ----------
    dim, length
        d and N.
    diagonal
        P, Q, U_1, ..., U_d and u.
    excess
        The loss over its global minimum.
    is_minimum
        Whether it is proved to be a local minimum.
    """

    dim: int
    length: int
    diagonal: tuple[arb, ...]
    excess: arb
    is_minimum: bool


def certify(dim: int, length: int) -> CertifiedMinimum:
    """Enclose a stationary point with all weights in use, at the precision of the context.

    Raises
    ------
    ArithmeticError
        If Krawczyk's test fails.
    """
    loss = LayerPolynomial.loss((1,) * dim, length)
    places = [0, dim, *(2 * dim + i * (dim + 1) for i in range(dim)), loss.size - 1]
    system = _System(loss, places)
    box = system.enclose(_guess(dim, length))
    point = system.whole(box)
    hessian = loss.hessian(point)
    for null in (_scaling(dim, point), *(_rotation(dim, point, j) for j in range(1, dim))):
        for i, x in enumerate(null):
            for j, y in enumerate(null):
                hessian[i][j] = hessian[i][j] + x * y
    gamma = 1 + fmpq(dim + 1, length)
    excess = loss(point) - fmpq(dim, 2) * (1 - 1 / gamma)
    return CertifiedMinimum(dim, length, tuple(box), excess, is_positive_definite(hessian))


class _System:
    """G + b s on the diagonal weights."""

    def __init__(self, loss: LayerPolynomial, places: Sequence[int]) -> None:
        self.loss, self.places = loss, places
        self._slopes = [loss.derivative(i) for i in places]
        self._bends = [[slope.derivative(j) for j in places] for slope in self._slopes]
        # Of (P, Q, U, u) in s and in the gradient of b / 2.
        self._signs = [1, *[-1] * (len(places) - 2), 1]

    def whole(self, diagonal: Sequence[Any]) -> list[Any]:
        """Return all weights."""
        point = [arb(0)] * self.loss.size
        for place, x in zip(self.places, diagonal, strict=True):
            point[place] = x
        return point

    def value(self, diagonal: Sequence[arb]) -> arb_mat:
        """Return F."""
        point, b = self.whole(diagonal), self._balance(diagonal)
        scaled = zip(self._slopes, self._signs, diagonal, strict=True)
        return arb_mat([[slope(point) + b * sign * x] for slope, sign, x in scaled])

    def derivative(self, diagonal: Sequence[arb]) -> arb_mat:
        """Return F'."""
        point, b = self.whole(diagonal), self._balance(diagonal)
        s = [sign * x for sign, x in zip(self._signs, diagonal, strict=True)]
        size = range(len(s))
        return arb_mat(
            [
                [
                    self._bends[i][j](point)
                    + 2 * s[i] * s[j]
                    + (b * self._signs[i] if i == j else 0)
                    for j in size
                ]
                for i in size
            ]
        )

    def _balance(self, diagonal: Sequence[arb]) -> arb:
        return sum((s * x * x for s, x in zip(self._signs, diagonal, strict=True)), arb(0))

    def enclose(self, guess: Sequence[float]) -> list[arb]:
        """Return a box with exactly one zero of F, near the guess."""
        middle = arb_mat([[arb(x)] for x in guess])
        for _ in range(REFINEMENTS):
            entries = middle.entries()
            middle = (middle - self.derivative(entries).mid().solve(self.value(entries))).mid()
        exact = middle.entries()
        inverse = self.derivative(exact).mid().inv().mid()
        box = [arb(x, RADIUS) for x in exact]
        away = arb_mat([[b - x] for b, x in zip(box, exact, strict=True)])
        identity = arb_mat([[int(i == j) for j in range(len(exact))] for i in range(len(exact))])
        image = middle - inverse * self.value(exact)
        image += (identity - inverse * self.derivative(box)) * away
        found = image.entries()
        if not all(b.contains_interior(x) for b, x in zip(box, found, strict=True)):
            raise ArithmeticError(f"Krawczyk's test fails near {list(guess)}")
        return list(found)


def _scaling(dim: int, point: Sequence[Any]) -> list[Any]:
    """Return (p, -q, -U, u)."""
    return [x if i < dim or i == len(point) - 1 else -x for i, x in enumerate(point)]


def _rotation(dim: int, point: Sequence[Any], other: int) -> list[Any]:
    """Return how the rotation from e_1 towards e_other moves (p, q, U, u)."""
    blocks = np.array(point[2 * dim : -1], dtype=object).reshape(dim, dim)
    turn = np.zeros((dim, dim), dtype=object)
    turn[other, 0], turn[0, other] = 1, -1
    moved = turn @ blocks - blocks @ turn
    p, q = (turn @ np.array(point[k : k + dim], dtype=object) for k in (0, dim))
    return [*p, *q, *moved.ravel(), 0]


def _guess(dim: int, length: int) -> list[float]:
    """Minimise in float64 from where p q' does one direction and u U the others."""
    loss = PopulationLoss(np.eye(dim), length)

    def weights(z: npt.NDArray[np.float64]) -> LayerBlocks:
        axis = np.eye(dim)[0]
        return LayerBlocks(z[0] * axis, z[1] * axis, np.diag(z[2:-1]), float(z[-1]))

    def value(z: npt.NDArray[np.float64]) -> float:
        return loss(*weights(z))

    def slope(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        g = loss.gradient(*weights(z))
        return np.array([g.u12[0], g.u21[0], *np.diag(g.U11), g.u_1])

    ratio = (1 / length) ** 0.25
    start: npt.NDArray[np.float64] = np.full(dim + 3, 1 / ratio)
    start[[0, 1, 2, -1]] = 1.0, 1.0, -ratio, ratio
    found = optimize.minimize(value, start, jac=slope, method="BFGS")
    # Balance it: (p, u) s and (q, U) / s.
    z = found.x
    left, right = float(np.hypot(z[0], z[-1])), float(np.linalg.norm(z[1:-1]))
    s = np.sqrt(right / left)
    return [z[0] * s, *(z[1:-1] / s), z[-1] * s]
