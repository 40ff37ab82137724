"""A prompt, a task and a layer with a symbol for every entry, for proofs in coordinates.

The covariates are x = R g, g standard normal and R lower triangular with symbols, so that every
positive definite Lambda = R R' is one of them.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from sympy import QQ
from sympy.polys.rings import PolyRing

from theory.moments import coordinate


class SymbolicPrompt:
    """The letters of Appendix A for one d and N, in arrays of polynomials.

    Parameters
    ----------
    d, N
        Dimension and number of examples.
    plane
        Whether u_12 = u_21 = 0.

    Attributes
    ----------
    E
        The embedding (4).
    covariance
        Lambda.
    task, query
        w and x_query.
    U
        [[U_11, u_12], [u_21', u_{-1}]].
    """

    def __init__(self, d: int, N: int, *, plane: bool) -> None:
        self.d, self.N = d, N
        names = [f"w{i}" for i in range(d)]
        names += [f"g{t}{i}" for t in range(N + 1) for i in range(d)]
        names += [f"R{i}{j}" for i in range(d) for j in range(i + 1)]
        names += [f"U{i}{j}" for i in range(d + 1) for j in range(d + 1)]
        self.ring = PolyRing(names, QQ)
        gens = iter(self.ring.gens)
        self._normals = list(islice(gens, d + (N + 1) * d))
        root = np.full((d, d), self.ring.zero, dtype=object)
        for i in range(d):
            root[i, : i + 1] = list(islice(gens, i + 1))
        self.covariance = root @ root.T
        self.U = array(gens, (d + 1, d + 1))
        if plane:
            self.U[:-1, -1] = self.U[-1, :-1] = self.ring.zero
        self.task = array(self._normals[:d], (d,))
        xs = array(self._normals[d:], (N + 1, d)) @ root.T
        self.query = xs[-1]
        self.xs = xs[:-1]
        self.labels = self.xs @ self.task
        self.E = np.vstack([xs.T, np.append(self.labels, self.ring.zero)])

    @property
    def gram(self) -> Any:
        """E E' / N."""
        return self.E @ self.E.T / self.N

    @property
    def sample_covariance(self) -> Any:
        """The hat Lambda of eq. (32)."""
        return self.xs.T @ self.xs / self.N

    @property
    def X(self) -> Any:
        """[[0, x_query], [x_query', 0]]."""
        X = np.full((self.d + 1, self.d + 1), self.ring.zero, dtype=object)
        X[:-1, -1] = X[-1, :-1] = self.query
        return X

    @property
    def H(self) -> Any:
        """The matrix of eq. (24)."""
        return np.kron(self.X, self.gram) / 2

    @property
    def u(self) -> Any:
        """Vec(U)."""
        return vec(self.U)

    def prediction(self) -> Any:
        """Return the bottom right entry of eq. (3)."""
        U, x = self.U, self.query
        return U[:, -1] @ self.gram @ (U[:, :-1] @ x)

    def mean(self, value: Any) -> Any:
        """Return the expectation over prompts and tasks, entry by entry."""
        return self._mean(value, self._normals)

    def mean_given_task(self, value: Any) -> Any:
        """Return the expectation over prompts, entry by entry."""
        return self._mean(value, self._normals[self.d :])

    def _mean(self, value: Any, over: list[Any]) -> Any:
        variances = dict.fromkeys(over, 1)
        entries = (
            coordinate.expectation(self.ring.zero + entry, variances)
            for entry in np.asarray(value, dtype=object).ravel()
        )
        return array(entries, np.shape(value))

    def over_tasks(self, value: Any, moments: Sequence[Any]) -> Any:
        """Replace w_i^n by the n-th of the moments, for independent w_i, entry by entry."""
        entries = []
        for entry in np.ravel(value):
            total = self.ring.zero
            for monomial, coefficient in entry.iterterms():
                factor = coefficient
                for power in monomial[: self.d]:
                    factor *= moments[power - 1] if power else 1
                rest = (*[0] * self.d, *monomial[self.d :])
                total += self.ring.from_dict({rest: self.ring.domain.convert(factor)})
            entries.append(total)
        return array(entries, np.shape(value))

    def numbers(self) -> list[tuple[Any, int]]:
        """Return 2, 3, 4 in turn for all letters, to say where two polynomials differ."""
        return [(z, 2 + i % 3) for i, z in enumerate(self.ring.gens)]

    def difference(self, name: str, found: Any, claimed: Any) -> str:
        """Say where two arrays of polynomials differ, or that their shapes do."""
        size = f"d = {self.d}, N = {self.N}, {name}"
        if np.shape(found) != np.shape(claimed):
            return f"{size}: the shape is {np.shape(found)}, and the claim has {np.shape(claimed)}"
        pairs = zip(np.ravel(found), np.ravel(claimed), strict=True)
        for place, (reached, told) in enumerate(pairs):
            gap = self.ring.zero + reached - told
            if gap:
                values = [(self.ring.zero + v).evaluate(self.numbers()) for v in (reached, told)]
                return (
                    f"{size}, entry {place}, letters 2, 3, 4 in turn: {values[0]}, not {values[1]}"
                )
        return ""


def vec(matrix: Any) -> Any:
    """Stack the columns."""
    return matrix.ravel(order="F")


def array(entries: Iterable[Any], shape: tuple[int, ...]) -> Any:
    """Fill an array of objects with the next entries."""
    result = np.empty(int(np.prod(shape)), dtype=object)
    result[:] = list(islice(entries, result.size))
    return result.reshape(shape)
