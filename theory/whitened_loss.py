"""The population loss of the full layer in whitened coordinates, with two derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from theory.validation import Problems

__all__ = ["LayerBlocks", "LayerGradient", "WhitenedLoss"]


class LayerBlocks(NamedTuple):
    """The weights that a prediction depends on, or a gradient by them: (u12, u21, U11, u_1)."""

    u12: Float[np.ndarray, " d"]
    u21: Float[np.ndarray, " d"]
    U11: Float[np.ndarray, "d d"]
    u_1: float

    @property
    def stacked(self) -> Float[np.ndarray, " n"]:
        """The vector (u12, u21, U11 row by row, u_1), of n = d^2 + 2d + 1 entries."""
        return np.concatenate([self.u12, self.u21, self.U11.ravel(), [self.u_1]])

    @classmethod
    def of(
        cls, blocks: Sequence[Any], *, subject: str = "LayerBlocks.of", dim: int | None = None
    ) -> LayerBlocks:
        """Convert four array-likes, or blocks made of them, into read-only float64 blocks.

        Parameters
        ----------
        blocks
            (u12, u21, U11, u_1) of shapes (d,), (d,), (d, d) and (); a `LayerBlocks` is one.
        subject
            Opens the error message.
        dim
            d; that of u12 by default.

        Raises
        ------
        ValueError
            If there are not four, or they do not have these shapes, or are not real and finite.
            All problems are listed at once.
        """
        problems = Problems(subject)
        names = cls._fields
        if len(blocks) != len(names):
            problems.add(f"{len(blocks)} blocks are given; expected four: {', '.join(names)}")
            problems.raise_if_any()
        axes: tuple[tuple[str, ...], ...] = (("d",), ("d",), ("d", "d"), ())
        given = (*blocks[:3], np.asarray(blocks[3]))
        read = [problems.array(*each) for each in zip(names, given, axes, strict=True)]
        first = read[0]
        d = dim if dim is not None or first is None else len(first)
        source = "u12" if dim is None else "Lambda"
        if d == 0:
            problems.add("u12 has no entries; expected d >= 1 of them")
        for name, block, shape in zip(names, read, axes, strict=True):
            wanted = (d,) * len(shape)
            if block is not None and d is not None and block.shape != wanted:
                problems.add(
                    f"{name} has shape {block.shape}; expected {wanted}: {source} has d = {d}"
                )
        problems.raise_if_any()
        u12, u21, U11, u_1 = (np.asarray(block) for block in read)
        return cls(u12, u21, U11, float(u_1))

    @classmethod
    def unstack(cls, vector: Float[np.ndarray, " n"]) -> LayerBlocks:
        """Give the blocks of a stacked vector.

        Raises
        ------
        ValueError
            If its length is not d^2 + 2d + 1 = (d + 1)^2 for some d >= 1.
        """
        d = int(np.sqrt(len(vector))) - 1
        if d < 1 or (d + 1) ** 2 != len(vector):
            raise ValueError(
                f"LayerBlocks.unstack(vector): vector has {len(vector)} entries; expected"
                " d^2 + 2d + 1 for some d >= 1: u12, u21, U11 row by row and u_1, in this order"
            )
        u12, u21, U11, u_1 = np.split(vector, [d, 2 * d, 2 * d + d * d])
        return cls(u12, u21, U11.reshape(d, d), float(u_1[0]))


#: A gradient has the blocks of the weights.
LayerGradient = LayerBlocks


@dataclass(frozen=True)
class WhitenedLoss:
    """The loss at one point, for Lambda = I.

    The names are those of `PopulationLoss`; `S` is the covariance of w, `s2` the variance of the
    noise, and `a` is 1/N. In these coordinates it is half of

        tr S - 2 tr(S M) + (1+a) tr(S M M') + |g + a r|^2 + a |g|^2 + 2 (1+2a) u^2 tr(S^2) |q|^2
        + a [ (|p|^2 + u^2 c) (|U|^2 + c |q|^2) + 4u p'S U q ] + 2 a^2 [ |p|^2 |V|^2 + 2 |V p|^2 ].
    """

    p: Float[np.ndarray, " d"]
    q: Float[np.ndarray, " d"]
    U: Float[np.ndarray, "d d"]
    u: float
    S: Float[np.ndarray, "d d"]
    s2: float
    a: float

    @cached_property
    def c(self) -> float:
        """The variance of a label."""
        return float(np.trace(self.S)) + self.s2

    @cached_property
    def M(self) -> Float[np.ndarray, "d d"]:
        """Given w and the query z, the part of the mean of one example's term odd in w is w'M z."""
        return np.asarray(self.u * self.U + np.outer(self.p, self.q))

    @cached_property
    def V(self) -> Float[np.ndarray, "d d"]:
        """The symmetric part of U: all that the query's own term p'z z'U z sees."""
        return np.asarray((self.U + self.U.T) / 2)

    @cached_property
    def g(self) -> Float[np.ndarray, " d"]:
        """The part even in w has the mean g'z over w."""
        return np.asarray(self.U.T @ self.p + self.u * self.c * self.q)

    @cached_property
    def r(self) -> Float[np.ndarray, " d"]:
        """The vector E[z p'z z'U z]."""
        return np.asarray(np.trace(self.U) * self.p + 2 * self.V @ self.p)

    @cached_property
    def alpha(self) -> float:
        """E (p'x + u y)^2 over x, e and w."""
        return float(self.p @ self.p) + self.u**2 * self.c

    @cached_property
    def beta(self) -> float:
        """E (x'U z + y q'z)^2."""
        return float(np.sum(self.U**2)) + self.c * float(self.q @ self.q)

    @cached_property
    def kappa(self) -> float:
        """(1 + 2a) tr(S^2), from the variance of w'w."""
        return (1 + 2 * self.a) * float(np.sum(self.S**2))

    def loss(self) -> float:
        """Return L: half of the sum above."""
        p, q, U, u, S, a, V = self.p, self.q, self.U, self.u, self.S, self.a, self.V
        k = self.g + a * self.r
        squares = (
            np.trace(S)
            - 2 * np.sum(S * self.M)
            + (1 + a) * np.sum(self.M * (S @ self.M))
            + k @ k
            + a * (self.g @ self.g)
            + 2 * self.kappa * u**2 * (q @ q)
            + a * (self.alpha * self.beta + 4 * u * (p @ S @ U @ q))
            + 2 * a**2 * ((p @ p) * np.sum(V**2) + 2 * np.sum((V @ p) ** 2))
        )
        return float(squares) / 2

    def gradient(self) -> LayerGradient:
        """Return the gradient by p, q, U and u, at a cost of O(d^3)."""
        p, q, U, u, S, a, V = self.p, self.q, self.U, self.u, self.S, self.a, self.V
        c, alpha, beta, kappa = self.c, self.alpha, self.beta, self.kappa
        by_M = (1 + a) * S @ self.M - S
        k = self.g + a * self.r
        by_g, by_r = k + a * self.g, a * k
        Vp, Sp, SUq = V @ p, S @ p, S @ U @ q
        square, trace = float(np.sum(V**2)), float(np.trace(U))
        of_p = by_M @ q + U @ by_g + trace * by_r + 2 * V @ by_r
        of_p += a * (beta * p + 2 * u * SUq) + a**2 * (2 * square * p + 4 * V @ Vp)
        of_q = by_M.T @ p + u * c * by_g
        of_q += a * (alpha * c * q + 2 * u * U.T @ Sp) + 2 * kappa * u**2 * q
        of_U = u * by_M + np.outer(p, by_g) + (p @ by_r) * np.eye(len(p))
        of_U += np.outer(p, by_r) + np.outer(by_r, p)
        of_U += a * (alpha * U + 2 * u * np.outer(Sp, q))
        of_U += 2 * a**2 * ((p @ p) * V + np.outer(p, Vp) + np.outer(Vp, p))
        of_u = np.sum(by_M * U) + c * (q @ by_g) + 2 * kappa * u * (q @ q)
        of_u += a * (beta * c * u + 2 * (p @ SUq))
        return LayerGradient(of_p, of_q, of_U, float(of_u))

    def hessian(self) -> Float[np.ndarray, "n n"]:
        """Return the Hessian over the stacked vector, at a cost of O(d^5)."""
        d = len(self.p)
        places = np.split(np.arange((d + 1) ** 2), [d, 2 * d, 2 * d + d * d])
        hessian = np.zeros(((d + 1) ** 2, (d + 1) ** 2))
        for (row, column), block in {**self._vector_blocks(), **self._matrix_blocks()}.items():
            rows, columns = places[row], places[column]
            flat = np.reshape(block, (len(rows), len(columns)))
            hessian[np.ix_(rows, columns)] = flat
            hessian[np.ix_(columns, rows)] = flat.T
        # The squares |g + a r|^2 / 2 and a |g|^2 / 2: here their first derivatives, twice.
        of_g, of_r = self._jacobians()
        of_k = of_g + self.a * of_r
        return np.asarray(hessian + of_k.T @ of_k + self.a * of_g.T @ of_g)

    def _vector_blocks(self) -> dict[tuple[int, int], npt.NDArray[np.float64]]:
        """Second derivatives by (p, q, U, u) = (0, 1, 2, 3), where U is in none of the two."""
        p, q, U, u, S, a, V = self.p, self.q, self.U, self.u, self.S, self.a, self.V
        c, eye = self.c, np.eye(len(p))
        by_M = (1 + a) * S @ self.M - S
        by_g = (1 + a) * self.g + a * self.r
        Sp, SU = S @ p, S @ U
        pp = (1 + a) * (q @ q) * S + a * self.beta * eye + a**2 * (2 * np.sum(V**2) * eye)
        qq = (1 + a) * (p @ Sp) + a * c * self.alpha + 2 * self.kappa * u**2
        qu = (1 + 3 * a) * U.T @ Sp + c * by_g + (2 * a * c**2 + 4 * self.kappa) * u * q
        uu = (1 + a) * np.sum(U * SU) + a * c * self.beta + 2 * self.kappa * (q @ q)
        return {
            (0, 0): pp + 4 * a**2 * V @ V,
            (0, 1): by_M + np.outer((1 + a) * Sp + 2 * a * c * p, q) + 2 * a * u * SU,
            (0, 3): (1 + 3 * a) * SU @ q,
            (1, 1): qq * eye,
            (1, 3): qu,
            (3, 3): np.asarray(uu),
        }

    def _matrix_blocks(self) -> dict[tuple[int, int], npt.NDArray[np.float64]]:
        """Second derivatives by U and another block; U_kl has the last two indices."""
        p, q, U, u, S, a, V = self.p, self.q, self.U, self.u, self.S, self.a, self.V
        eye, product = np.eye(len(p)), np.multiply.outer
        by_M = (1 + a) * S @ self.M - S
        by_g, by_r = (1 + a) * self.g + a * self.r, a * (self.g + a * self.r)
        Sp, s = S @ p, by_r + 2 * a**2 * V @ p
        pU = (1 + 3 * a) * u * product(S, q) + 2 * a * product(p, U + 2 * a * V)
        pU += product(eye, by_g) + product(by_r, eye) + _both(product(eye, s))
        pU += 2 * a**2 * _both(product(V, p))
        UU = _crossed(((1 + a) * u**2 * S + a * self.alpha * eye), eye)
        UU += a**2 * _both(_crossed((p @ p) * eye + np.outer(p, p), eye))
        UU += a**2 * _both(_crossed(eye, np.outer(p, p)))
        return {
            (0, 2): pU,
            (1, 2): (1 + 3 * a) * u * np.einsum("k,jl->jkl", Sp, eye),
            (2, 2): UU,
            (2, 3): by_M + (1 + a) * u * S @ U + 2 * a * (self.c * u * U + np.outer(Sp, q)),
        }

    def _jacobians(self) -> tuple[Float[np.ndarray, "d n"], Float[np.ndarray, "d n"]]:
        """Derivatives of g and r by the stacked vector."""
        p, U, eye = self.p, self.U, np.eye(len(self.p))
        entries = np.multiply.outer(eye, p)  # of U p by U_kl: delta_ik p_l
        g_U = entries.transpose(0, 2, 1)
        r_U = np.multiply.outer(p, eye) + entries + g_U
        none = np.zeros_like(p)[:, None]
        shape = (len(p), -1)
        of_g = [U.T, self.u * self.c * eye, g_U.reshape(shape), self.c * self.q[:, None]]
        of_r = [np.trace(U) * eye + 2 * self.V, 0 * eye, r_U.reshape(shape), none]
        return np.hstack(of_g), np.hstack(of_r)


def _both(tensor: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Add the transposition of the last two indices: what depends on U + U' only."""
    return np.asarray(tensor + tensor.swapaxes(-1, -2))


def _crossed(A: Float[np.ndarray, "d d"], B: Float[np.ndarray, "d d"]) -> npt.NDArray[np.float64]:
    """Give A_ik B_jl with the indices ijkl."""
    return np.asarray(np.einsum("ik,jl->ijkl", A, B))
