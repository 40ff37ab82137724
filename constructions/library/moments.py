"""The sums that least squares needs of a prompt, at every prefix: sum_j x_j x_j' and sum_j x_j y_j.

Both are formed by products in the label columns and summed by one head, so that whatever is an
iteration on them takes two layers of attention and then only local ones.
"""

from dataclasses import dataclass

import numpy as np

from constructions.circuit import Prompt
from constructions.values import Value, previous, total


@dataclass(frozen=True)
class Moments:
    """A = sum_j x_j x_j' and b = sum_j x_j y_j over the examples of every prefix.

    Parameters
    ----------
    dim
        d.
    sums
        In the columns of covariates: the entries A_il with i <= l, row by row, then b;
        d (d + 1) / 2 + d numbers.
    """

    dim: int
    sums: Value

    @classmethod
    def of(cls, prompt: Prompt) -> "Moments":
        """Return the moments of a prompt; they take two layers of one head each."""
        d, x, y = prompt.dim, previous(prompt.covariate), prompt.label
        first, second = np.triu_indices(d)
        pairs = (np.eye(d)[first] @ x) * (np.eye(d)[second] @ x)
        with_label = x * (np.ones((d, 1)) @ y)
        size = len(first)
        stacked = np.eye(size + d, size) @ pairs + np.eye(size + d, d, -size) @ with_label
        return cls(d, total(stacked))

    @property
    def with_labels(self) -> Value:
        """B (d)."""
        return self.sums[self.dim * (self.dim + 1) // 2 :]

    def matrix(self, shift: float, scale: float) -> Value:
        """Return shift I + scale A as d^2 numbers, row by row."""
        d = self.dim
        entries = np.zeros((d * d, self.sums.dim))
        for t, (i, j) in enumerate(zip(*np.triu_indices(d), strict=True)):
            entries[[i * d + j, j * d + i], t] = scale
        return entries @ self.sums + shift * np.eye(d).ravel()


def times(matrix: Value, vector: Value) -> Value:
    """Return M v for a square matrix given row by row: d^2 products, one layer.

    Parameters
    ----------
    matrix
        M (d^2).
    vector
        v (d).
    """
    d = vector.dim
    repeated = np.tile(np.eye(d), (d, 1)) @ vector
    return np.kron(np.eye(d), np.ones((1, d))) @ (matrix * repeated)


def inner(left: Value, right: Value) -> Value:
    """Return the inner product of two vectors, one number."""
    return np.ones((1, left.dim)) @ (left * right)
