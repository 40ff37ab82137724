"""The loss of the full layer as a polynomial with rational coefficients, for one Lambda and N.

Its derivatives are exact in rationals and enclosed in balls, so that the kind of a stationary point
can be decided, not estimated. Derived in coordinates, it shares no code with
`theory.PopulationLoss`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

from flint import fmpq, fmpq_mat

from theory.moments.coordinate import CoordinateMoments

#: Powers of the weights in the order of `theory.whitened_loss.LayerBlocks.stacked`.
Powers = tuple[int, ...]


class Inertia(NamedTuple):
    """How many eigenvalues of a symmetric matrix are negative, zero and positive."""

    negative: int
    zero: int
    positive: int


@dataclass(frozen=True)
class LayerPolynomial:
    """A polynomial of the weights (u12, u21, U11 row by row, u_1).

    Attributes
    ----------
    dim
        d.
    terms
        The coefficient of every monomial.
    """

    dim: int
    terms: Mapping[Powers, fmpq]

    @classmethod
    def loss(cls, eigenvalues: Sequence[int], prompt_length: int) -> LayerPolynomial:
        """Return L for Lambda = diag(eigenvalues), tasks w ~ N(0, I), and labels without noise."""
        moments = CoordinateMoments(len(eigenvalues))
        weights = [*moments.u12, *moments.u21, *(x for row in moments.U11 for x in row)]
        weights.append(moments.u_1)
        known = dict(zip(moments.eigenvalues, map(fmpq, eigenvalues), strict=True))
        known[moments.inverse_length] = fmpq(1, prompt_length)
        places = [moments.ring.gens.index(x) for x in weights]
        values = {moments.ring.gens.index(x): value for x, value in known.items()}
        terms: dict[Powers, fmpq] = {}
        for monomial, coefficient in moments.population_loss().iterterms():
            value = fmpq(int(coefficient.numerator), int(coefficient.denominator))
            value *= prod((v ** monomial[i] for i, v in values.items()), start=fmpq(1))
            powers = tuple(monomial[i] for i in places)
            terms[powers] = terms.get(powers, fmpq(0)) + value
        return cls(len(eigenvalues), terms)

    @property
    def size(self) -> int:
        """The number (d + 1)^2 of weights."""
        return (self.dim + 1) ** 2

    def __call__(self, point: Sequence[Any]) -> Any:
        """Return the value at a point, in its arithmetic."""
        return sum(
            (
                prod((x**n for x, n in zip(point, powers, strict=True) if n), start=c)
                for powers, c in self.terms.items()
            ),
            fmpq(0),
        )

    def derivative(self, place: int) -> LayerPolynomial:
        """Return the derivative by one weight."""
        terms: dict[Powers, fmpq] = {}
        for powers, c in self.terms.items():
            if n := powers[place]:
                terms[(*powers[:place], n - 1, *powers[place + 1 :])] = c * n
        return LayerPolynomial(self.dim, terms)

    def gradient(self, point: Sequence[Any]) -> list[Any]:
        """Return the gradient at a point, in its arithmetic."""
        return [self.derivative(i)(point) for i in range(self.size)]

    def hessian(self, point: Sequence[Any]) -> list[list[Any]]:
        """Return the Hessian at a point, in its arithmetic."""
        rows = [[fmpq(0)] * self.size for _ in range(self.size)]
        for i in range(self.size):
            slope = self.derivative(i)
            for j in range(i + 1):
                rows[i][j] = rows[j][i] = slope.derivative(j)(point)
        return rows


def inertia(matrix: Sequence[Sequence[fmpq]]) -> Inertia:
    """Count the signs of the eigenvalues of a symmetric matrix of rationals, exactly.

    All roots of its characteristic polynomial are real, so that by Descartes' rule as many are
    positive as the coefficients change sign.
    """
    coefficients = fmpq_mat(matrix).charpoly().coeffs()
    kept = [c for c in coefficients if c != 0]
    positive = sum(a * b < 0 for a, b in pairwise(kept))
    zero = coefficients.index(kept[0])
    return Inertia(len(matrix) - zero - positive, zero, positive)


def is_positive_definite(matrix: Sequence[Sequence[Any]]) -> bool:
    """Say whether Gaussian elimination proves it: every pivot is certainly positive.

    For balls this is a proof for every symmetric matrix that they enclose; False proves nothing.
    """
    rows = [list(row) for row in matrix]
    for k, row in enumerate(rows):
        if not row[k] > 0:
            return False
        for i in range(k + 1, len(rows)):
            factor = rows[i][k] / row[k]
            for j in range(k + 1, len(rows)):
                rows[i][j] = rows[i][j] - factor * row[j]
    return True
