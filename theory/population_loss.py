"""The population loss of the full linear self-attention layer, in closed form (Zhang et al. 2024).

The prompts: x_1, ..., x_N and x_query ~ N(0, Lambda), w ~ N(0, S), y_i = w'x_i + e_i with
e_i ~ N(0, s^2), all independent; the target is w'x_query. The layer predicts by eq. (6), with all
of u12, u21, U11 and u_1. `theory.moments.layer` derives the formula below for every d and N.

Everything is computed in whitened coordinates x = L z, Lambda = L L', in which Lambda is the
identity: u12, u21, U11 and S become L'u12, L'u21, L'U11 L and L'S L.
"""

from __future__ import annotations

from functools import cached_property
from typing import SupportsFloat, SupportsIndex

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from theory.validation import Problems
from theory.whitened_loss import LayerBlocks, LayerGradient, WhitenedLoss

__all__ = ["LayerBlocks", "LayerGradient", "PopulationLoss"]

#: In bytes: at d = 300 it would have 61 GiB.
_LARGEST_HESSIAN = 2**30


class PopulationLoss:
    """The population loss L(u12, u21, U11, u_1) = 1/2 E (yhat - w'x_query)^2.

    With p = u12, q = u21, U = U11, u = u_1, c = tr(S Lambda) + s^2, |a|^2 = a'Lambda a and

        M = u U + p q',        g = U'Lambda p + u c q,
        V = (U + U')/2,        r = tr(V Lambda) p + 2 V Lambda p,

    it is

        2L = tr(S Lambda) - 2 tr(S Lambda M Lambda) + (1 + 1/N) tr(Lambda S Lambda M Lambda M')
           + |g + r/N|^2 + |g|^2/N + 2 (1 + 2/N) u^2 tr(S Lambda S Lambda) |q|^2
           + 1/N [ (|p|^2 + u^2 c) (tr(U Lambda U'Lambda) + c |q|^2)
                   + 4u p'Lambda S Lambda U Lambda q ]
           + 2/N^2 [ |p|^2 tr(V Lambda V Lambda) + 2 |V Lambda p|^2 ].

    It is even in (p, q), so that u12 = u21 = 0 is invariant under gradient flow.

    Parameters
    ----------
    covariance
        Lambda, symmetric positive definite, shape (d, d).
    prompt_length
        N >= 1, the number of examples of a prompt.
    task_covariance
        S, symmetric positive semidefinite, shape (d, d); the identity by default.
    noise_std
        s >= 0, of the labels of the examples (the target has no noise).

    Raises
    ------
    ValueError
        If one of these does not hold. All problems are listed at once.

    Notes
    -----
    Source: Zhang et al. 2024, eqs. (6) and (8) (S = I, s = 0 there), where the loss is worked out
    for u12 = u21 = 0 only (Lemmas 10 and 15). The formula is ours; it assumes Gaussian tasks, which
    matters only where u12 or u21 is not 0.

    Examples
    --------
    >>> import numpy as np
    >>> loss = PopulationLoss(np.diag([1.0, 4.0]), prompt_length=4)
    >>> loss([0, 0], [0, 0], np.zeros((2, 2)), 1.0)  # predicts 0: tr(Lambda)/2
    2.5
    """

    def __init__(
        self,
        covariance: npt.ArrayLike,
        prompt_length: SupportsIndex,
        task_covariance: npt.ArrayLike | None = None,
        noise_std: SupportsFloat = 0.0,
    ) -> None:
        problems = Problems("PopulationLoss")
        lam = problems.covariance("covariance (Lambda)", covariance)
        self.prompt_length = problems.count("prompt_length (N)", prompt_length, 1)
        self.noise_std = problems.number("noise_std", noise_std, 0.0, strict=False)
        tasks = None if lam is None else np.eye(len(lam))
        if task_covariance is not None:
            name = "task_covariance (S)"
            tasks = problems.covariance(name, task_covariance, definite=False)
            if lam is not None and tasks is not None and tasks.shape != lam.shape:
                problems.add(
                    f"{name} has shape {tasks.shape}; expected that of covariance, {lam.shape}"
                )
        problems.raise_if_any()
        assert lam is not None
        assert tasks is not None
        self.covariance, self.task_covariance = lam, tasks
        self._root = np.linalg.cholesky(lam)

    def __repr__(self) -> str:
        return (
            f"PopulationLoss(dim={self.dim}, prompt_length={self.prompt_length},"
            f" noise_std={self.noise_std:g})"
        )

    @property
    def dim(self) -> int:
        """The dimension d of the covariates."""
        return len(self.covariance)

    def __call__(
        self,
        u12: npt.ArrayLike,
        u21: npt.ArrayLike,
        U11: npt.ArrayLike,
        u_1: npt.ArrayLike | SupportsFloat,
    ) -> float:
        """Return L, half the mean squared error, at a cost of O(d^3).

        Parameters
        ----------
        u12, u21
            Shape (d,).
        U11
            Shape (d, d).
        u_1
            A number.

        Raises
        ------
        ValueError
            If the weights do not have these shapes, or are not real and finite.
        """
        return self._at(u12, u21, U11, u_1).loss()

    def gradient(
        self,
        u12: npt.ArrayLike,
        u21: npt.ArrayLike,
        U11: npt.ArrayLike,
        u_1: npt.ArrayLike | SupportsFloat,
    ) -> LayerGradient:
        """Return the gradient of L by every block, at a cost of O(d^3); see `__call__`."""
        return self._whiten(self._at(u12, u21, U11, u_1).gradient(), self._root)

    def hessian(
        self,
        u12: npt.ArrayLike,
        u21: npt.ArrayLike,
        U11: npt.ArrayLike,
        u_1: npt.ArrayLike | SupportsFloat,
    ) -> Float[np.ndarray, "n n"]:
        """Return the Hessian of L over the vector `LayerBlocks.stacked`, at a cost of O(d^5).

        Parameters
        ----------
        u12, u21, U11, u_1
            As for `__call__`.

        Returns
        -------
        numpy.ndarray
            Shape (n, n) with n = d^2 + 2d + 1, exactly symmetric. Rows and columns are ordered as
            the weights in `LayerBlocks.stacked`: the d entries of u12, the d of u21, the d^2 of U11
            row by row (U11[i, j] is number 2d + d i + j, from 0), and u_1 as the last.

        Raises
        ------
        ValueError
            As for `__call__`, and if it has more than 2^30 bytes, which is for d > 106. The
            computation needs about five times the memory of the result.
        """
        at = self._at(u12, u21, U11, u_1)
        n = (self.dim + 1) ** 2
        size = n * n * np.dtype(np.float64).itemsize
        if size > _LARGEST_HESSIAN:
            raise ValueError(
                f"PopulationLoss.hessian: for d = {self.dim} it has n = {n} rows, and {size} bytes;"
                f" expected at most {_LARGEST_HESSIAN} bytes, which is d <= 106: take differences"
                " of gradients in the directions that you need"
            )
        half = self._pulled_back(at.hessian())
        hessian = self._pulled_back(np.ascontiguousarray(half.T))
        return np.asarray(hessian / 2 + hessian.T / 2)

    def _pulled_back(self, rows: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
        """Multiply by J', the Jacobian of the whitened weights by the weights."""
        d, root, moved = self.dim, self._root, np.empty_like(rows)
        moved[:d], moved[d : 2 * d], moved[-1] = root @ rows[:d], root @ rows[d : 2 * d], rows[-1]
        left = root @ rows[2 * d : -1].reshape(d, -1)  # G becomes L G L'
        moved[2 * d : -1] = (root @ left.reshape(d, d, -1)).reshape(d * d, -1)
        return moved

    def _at(
        self,
        u12: npt.ArrayLike,
        u21: npt.ArrayLike,
        U11: npt.ArrayLike,
        u_1: npt.ArrayLike | SupportsFloat,
    ) -> WhitenedLoss:
        subject = "PopulationLoss(u12, u21, U11, u_1)"
        given = LayerBlocks.of((u12, u21, U11, u_1), subject=subject, dim=self.dim)
        blocks = self._whiten(given, self._root.T)
        return WhitenedLoss(*blocks, self._tasks, self.noise_std**2, 1 / self.prompt_length)

    @cached_property
    def _tasks(self) -> Float[np.ndarray, "d d"]:
        """L'S L, the covariance of L'w."""
        return np.asarray(self._root.T @ self.task_covariance @ self._root)

    @staticmethod
    def _whiten(blocks: LayerBlocks, A: Float[np.ndarray, "d d"]) -> LayerBlocks:
        """Give (A p, A q, A U A', u): A = L' whitens weights, A = L brings gradients back."""
        p, q, U, u = blocks
        return LayerBlocks(A @ p, A @ q, A @ U @ A.T, u)
