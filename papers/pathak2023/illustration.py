"""The matrices H^(0), ..., H^(9) of Appendix B.2.1, written down block by block with symbols.

Nothing here runs an operator: the blocks are formulas in x_i, y_i, w_j and sigma, so that they can
judge the program of Appendix B.2 line by line.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy

from constructions.matrices import Matrix


@dataclass(frozen=True)
class Illustration:
    """The illustration for d, m, k with symbolic prompt, components and noise.

    Parameters
    ----------
    d, m, k
        Dimension, components, examples; each at least 1.
    """

    d: int
    m: int
    k: int

    @cached_property
    def xs(self) -> Matrix:
        """Covariates x_1..x_{k+1} as symbols, (k + 1, d)."""
        return self._symbols("x", self.k + 1, self.d)

    @cached_property
    def ys(self) -> Matrix:
        """Labels y_1..y_k as symbols, (k,)."""
        return np.array([sympy.Symbol(f"y_{i + 1}", real=True) for i in range(self.k)])

    @cached_property
    def components(self) -> Matrix:
        """W* as symbols, (m, d)."""
        return self._symbols("w", self.m, self.d)

    @cached_property
    def sigma(self) -> sympy.Symbol:
        """The noise level, positive."""
        return sympy.Symbol("sigma", positive=True)

    @property
    def shape(self) -> tuple[int, int]:
        """(p, q) = (2d + 4m + 2, 2k + 1)."""
        return 2 * self.d + 4 * self.m + 2, 2 * self.k + 1

    @cached_property
    def matrices(self) -> list[Matrix]:
        """H^(0), ..., H^(9), each (p, q), of sympy expressions."""
        d, m, k = self.d, self.m, self.k
        H = np.full(self.shape, sympy.Integer(0), dtype=object)
        even, odd, last = range(1, 2 * k, 2), range(0, 2 * k + 1, 2), 2 * k
        H[:d, odd], H[0, even] = self.xs.T, self.ys
        stages = [H]

        def after(rows: slice, columns: Any, values: Any) -> None:
            grown = stages[-1].copy()
            grown[rows, columns] = values
            stages.append(grown)

        x, y, r = slice(d, 2 * d), slice(2 * d, 2 * d + 1), slice(2 * d + 1, 2 * d + m + 1)
        s, p, pr, f = (slice(r.stop + i * m, r.stop + (i + 1) * m) for i in range(4))
        residuals = self.components @ self.xs.T
        residuals[:, :k] = residuals[:, :k] - self.ys
        scores = -(residuals[:, :k] ** 2).sum(axis=1) / (2 * self.sigma**2)
        powers = np.array([sympy.exp(score) for score in scores])
        posterior = powers / powers.sum()
        after(x, odd, self.xs.T)
        after(x, even, self.xs[:k].T)
        after(y, even, self.ys[None])
        after(r, [*even, last], residuals)
        after(s, even, residuals[:, :k] ** 2)
        after(s, last, scores)
        after(p, last, posterior)
        after(pr, last, posterior * residuals[:, k])
        after(slice(f.start, f.start + 1), last, (posterior * residuals[:, k]).sum())
        return stages

    def _symbols(self, letter: str, rows: int, columns: int) -> Matrix:
        return np.array(
            [
                [sympy.Symbol(f"{letter}_{i + 1}{j + 1}", real=True) for j in range(columns)]
                for i in range(rows)
            ],
            dtype=object,
        )


def difference(found: Matrix, expected: Matrix) -> str:
    """Describe the first entry in which two symbolic matrices differ; empty if there is none."""
    for row, column in np.ndindex(expected.shape):
        gap = sympy.expand(found[row, column] - expected[row, column])
        if gap != 0 and sympy.simplify(gap) != 0:
            pair = [sympy.sympify(M[row, column]) for M in (found, expected)]
            return f"entry ({row + 1}, {column + 1}) is {pair[0]}, expected {pair[1]}{_at(*pair)}"
    return ""


def _at(found: sympy.Expr, expected: sympy.Expr) -> str:
    """Both values at small distinct integers, where there are symbols."""
    symbols = sorted(found.free_symbols | expected.free_symbols, key=str)
    if not symbols:
        return ""
    at = {symbol: value for value, symbol in enumerate(symbols, start=1)}
    where = ", ".join(f"{symbol} = {value}" for symbol, value in at.items())
    return f"; at {where}: {found.subs(at)} instead of {expected.subs(at)}"
