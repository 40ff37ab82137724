"""The gradient flow of a linear self-attention layer on u_12 = u_21 = 0: loss, minima, limit."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple, SupportsFloat, SupportsIndex

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from theory.gradient_flow.settings import (
    EntrywiseLoss,
    FixedCovariance,
    GeneralTasks,
    RandomDiagonalCovariance,
    TrainingSetting,
)
from theory.laws import EigenvalueLaw
from theory.validation import Problems

__all__ = ["FlowProblem", "FlowState"]


#: Curvatures and drives must lie within this and its inverse: their squares are taken.
_LARGEST = 1e140


class FlowState(NamedTuple):
    """A point of the flow: U = U_11 of shape (d, d) and u = u_{-1}."""

    U: Float[np.ndarray, "d d"]
    u: float


class FlowProblem:
    """Gradient flow dU/dt = -dL/dU, du/dt = -dL/du of the population loss on u_12 = u_21 = 0.

    In the bases of `setting.entrywise_loss()`, with V = left' U right,

        dV_ij/dt = -u^2 a_ij V_ij + u B_ij,   du/dt = -sum_ij (u a_ij V_ij^2 - B_ij V_ij),

    and u^2 - |U|_F^2 does not change. Make one with `fixed`, `random_diagonal` or `general`.

    Parameters
    ----------
    setting
        The distribution of the training prompts.

    Attributes
    ----------
    curvature, drive
        a and B, shape (d, d).
    loss_at_zero
        L(0).

    Raises
    ------
    ValueError
        If the curvatures a_ij or all drives B_ij are beyond 1e140 or below 1e-140: then float64 has
        no room for the flow, and the covariates need other units.

    Notes
    -----
    Source: Zhang et al. 2024, Lemmas 10 and 15, Corollary 22 and Lemma 23.
    """

    def __init__(self, setting: TrainingSetting) -> None:
        self.setting = setting
        with np.errstate(over="ignore", under="ignore"):
            loss = setting.entrywise_loss()
        _check_range(loss)
        self.curvature = loss.curvature
        self.drive = loss.drive
        self.loss_at_zero = loss.at_zero
        self._left = loss.left
        self._right = loss.right

    @classmethod
    def fixed(cls, covariance: npt.ArrayLike, prompt_length: SupportsIndex) -> FlowProblem:
        """Return the problem of Theorem 4: see `FixedCovariance` for arguments and errors."""
        return cls(FixedCovariance(covariance, prompt_length))

    @classmethod
    def random_diagonal(
        cls, laws: Iterable[EigenvalueLaw], prompt_length: SupportsIndex
    ) -> FlowProblem:
        """Return the problem of Theorem 8: see `RandomDiagonalCovariance`."""
        return cls(RandomDiagonalCovariance(laws, prompt_length))

    @classmethod
    def general(
        cls,
        covariance: npt.ArrayLike,
        task_covariance: npt.ArrayLike,
        noise_std: float,
        prompt_length: SupportsIndex,
    ) -> FlowProblem:
        """Return the problem of a task law of mean zero with label noise: see `GeneralTasks`."""
        return cls(GeneralTasks(covariance, task_covariance, noise_std, prompt_length))

    def __repr__(self) -> str:
        return f"FlowProblem(dim={self.dim}, setting={type(self.setting).__name__})"

    @property
    def dim(self) -> int:
        """The dimension d."""
        return self.setting.dim

    def in_eigenbasis(self, U: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
        """Return V = left' U right, shape (d, d)."""
        return np.asarray(self._left.T @ U @ self._right)

    def from_eigenbasis(self, V: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
        """Return U = left V right', shape (d, d)."""
        return np.asarray(self._left @ V @ self._right.T)

    def state(self, U: npt.ArrayLike, u: SupportsFloat) -> FlowState:
        """Validate a point of the flow.

        Raises
        ------
        ValueError
            If U is not a finite real matrix of shape (d, d), or u not a finite number.
        """
        problems = Problems("FlowState")
        matrix = problems.array("U", U, ("d", "d"))
        number = problems.number("u", u, -np.finfo(np.float64).max, strict=False)
        if matrix is not None and matrix.shape != (self.dim, self.dim):
            problems.add(f"U has shape {matrix.shape}; expected {(self.dim, self.dim)}")
        problems.raise_if_any()
        assert matrix is not None
        return FlowState(matrix, number)

    @cached_property
    def _product(self) -> Float[np.ndarray, "d d"]:
        return np.asarray(self.drive / self.curvature)

    @property
    def minimiser(self) -> Float[np.ndarray, "d d"]:
        """The product A = u U of every global minimum, shape (d, d).

        Gamma^{-1} for a fixed covariance, (E Gamma Lambda^2)^{-1} E Lambda^2 for a random one, and
        [(1 + 1/N) S Lambda + (c/N) I]^{-1} S for general tasks.

        Notes
        -----
        Source: Zhang et al., Lemma 11 and eq. (56).
        """
        return self.from_eigenbasis(self._product)

    def limit(self, balance: SupportsFloat = 0.0) -> FlowState:
        """Return the global minimum with u > 0 and u^2 - |U|_F^2 = `balance`.

        u^2 = (c + sqrt(c^2 + 4 |A|_F^2)) / 2 for the balance c, and U = A / u; for c = 0 that is
        u = |A|_F^{1/2}. It is the limit of the flow from every start with this balance that
        reaches a global minimum with u > 0.

        Raises
        ------
        ValueError
            If `balance` is not a finite number.

        Notes
        -----
        Source: Zhang et al., Theorems 4 and 8 (balance 0).
        """
        problems = Problems("FlowProblem.limit")
        c = problems.number("balance", balance, -np.finfo(np.float64).max, strict=False)
        problems.raise_if_any()
        size = float(np.linalg.norm(self._product))
        root = np.hypot(c, 2 * size)
        # c < 0: the conjugate form, which does not cancel.
        square = (c + root) / 2 if c >= 0 else 2 * size**2 / (root - c)
        u = float(np.sqrt(square))
        return FlowState(self.minimiser / u, u)

    @property
    def minimal_loss(self) -> float:
        """The minimum L(0) - 1/2 sum_ij B_ij^2 / a_ij of the loss.

        Notes
        -----
        Source: Zhang et al., Corollary 16 and Lemma 24, with the constant L(0) added.
        """
        return self.loss_at_zero - float(np.sum(self.drive * self._product)) / 2

    def excess_loss(self, state: FlowState) -> float:
        """Return L(U, u) - min L = 1/2 sum_ij a_ij (u V_ij - B_ij / a_ij)^2.

        It is not a difference of losses, but u V - B / a cancels near a minimum: with M = L(0) -
        min L, the relative error is e sqrt(M / (L - min L)). Here e is below 1e-15 for (U, u) as
        given, and for states of a solved flow below 1e-13 (d = 1, scales 1e-6 to 1e6, against the
        logistic solution in 60 digits): 1e-5 of an excess of 1e-16 M, no digit below 1e-26 M.

        Notes
        -----
        Source: Zhang et al., Corollary 16 and Lemma 24.
        """
        gap = state.u * self.in_eigenbasis(state.U) - self._product
        return float(np.sum(self.curvature * gap**2)) / 2

    def loss(self, state: FlowState) -> float:
        """Return the population loss L(U, u), half the mean squared error."""
        return self.minimal_loss + self.excess_loss(state)

    def gradient(self, state: FlowState) -> FlowState:
        """Return (dL/dU, dL/du), of shapes (d, d) and ()."""
        V = self.in_eigenbasis(state.U)
        slope = state.u * self.curvature * V - self.drive
        return FlowState(self.from_eigenbasis(state.u * slope), float(np.sum(slope * V)))

    @staticmethod
    def balance(state: FlowState) -> float:
        """Return u^2 - |U|_F^2, which the flow conserves (Lemmas 17 and 25).

        Of the numbers as given: for U and u that are themselves rounded it is uncertain by
        1e-16 u^2, which moves the limit where u is much larger than there. `solve_flow` knows that
        its start is balanced, and uses 0.
        """
        # The squares cancel: extended precision, where the platform has it.
        square = np.longdouble(state.u) ** 2
        return float(square - np.sum(np.square(state.U.astype(np.longdouble))))


def _check_range(loss: EntrywiseLoss) -> None:
    """Refuse a loss whose coefficients float64 holds, but not their squares."""
    problems = Problems("FlowProblem")
    for name, least, largest in (
        ("curvatures a", float(np.min(loss.curvature)), float(np.max(loss.curvature))),
        ("drive B", float(np.max(np.abs(loss.drive))), float(np.max(np.abs(loss.drive)))),
    ):
        if least < 1 / _LARGEST or not largest <= _LARGEST:
            problems.add(
                f"the {name} of the loss, of the order of the covariance's second or third power,"
                f" have entries from {least:.3g} to {largest:.3g}; expected them from"
                f" {1 / _LARGEST:g} to {_LARGEST:g}: give the covariates in other units"
            )
    problems.raise_if_any()
