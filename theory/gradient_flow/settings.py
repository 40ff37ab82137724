"""The training distributions of a linear self-attention layer: what its gradient flow depends on.

On the set u_12 = u_21 = 0 the population loss is a sum over entries once U_11 is written in the
right bases (`EntrywiseLoss`), whatever the distribution:

    L(U, u) = L(0) + sum_ij (1/2 a_ij u^2 V_ij^2 - B_ij u V_ij),   V = left' U right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, SupportsIndex, runtime_checkable

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from theory.laws import DistributedLaw, EigenvalueLaw, listed_laws
from theory.validation import Problems

__all__ = [
    "EntrywiseLoss",
    "FixedCovariance",
    "GeneralTasks",
    "RandomDiagonalCovariance",
    "TrainingSetting",
]

#: The longest prompts: their 1/N is below 1e-15, nearly the rounding of the limit N = infinity.
_LONGEST = 10**15


@dataclass(frozen=True)
class EntrywiseLoss:
    """The restricted population loss in the bases in which it is a sum over entries.

    Attributes
    ----------
    curvature
        a_ij > 0, shape (d, d).
    drive
        B_ij, shape (d, d).
    left, right
        Orthogonal matrices, shape (d, d), with V = left' U right.
    at_zero
        L(0): the loss of the prediction 0, half the mean of (w'x)^2.
    """

    curvature: Float[np.ndarray, "d d"]
    drive: Float[np.ndarray, "d d"]
    left: Float[np.ndarray, "d d"]
    right: Float[np.ndarray, "d d"]
    at_zero: float


@runtime_checkable
class TrainingSetting(Protocol):
    """A distribution of training prompts."""

    @property
    def dim(self) -> int:
        """The dimension d of the covariates."""
        ...

    def entrywise_loss(self) -> EntrywiseLoss:
        """Return the restricted population loss, entry by entry."""
        ...


class FixedCovariance(TrainingSetting):
    """Prompts of Zhang et al. 2024, Section 3.3: x ~ N(0, Lambda), w ~ N(0, I), y = w'x.

    Parameters
    ----------
    covariance
        Lambda, symmetric positive definite, shape (d, d).
    prompt_length
        N, from 1 to 10^15: the number of examples of a training prompt.

    Attributes
    ----------
    eigenvalues, basis
        lambda_i, ascending, shape (d,), and the eigenvectors as columns, shape (d, d).
    gamma_eigenvalues
        Those of Gamma = (1 + 1/N) Lambda + tr(Lambda)/N I, shape (d,).

    Raises
    ------
    ValueError
        If Lambda is not symmetric positive definite, or N is below 1 or above 10^15.
    """

    def __init__(self, covariance: npt.ArrayLike, prompt_length: SupportsIndex) -> None:
        problems = Problems("FlowProblem.fixed")
        given = problems.covariance("covariance (Lambda)", covariance)
        self.prompt_length = problems.count("prompt_length (N)", prompt_length, 1, _LONGEST)
        problems.raise_if_any()
        assert given is not None
        self.covariance = given
        self.eigenvalues, self.basis = np.linalg.eigh(given)
        self.gamma_eigenvalues = (
            self.eigenvalues + (self.eigenvalues + np.sum(self.eigenvalues)) / self.prompt_length
        )

    @property
    def dim(self) -> int:
        return len(self.eigenvalues)

    def entrywise_loss(self) -> EntrywiseLoss:
        """Return a_ij = gamma_i lambda_i lambda_j, B = diag(lambda_i^2), L(0) = tr(Lambda)/2.

        Notes
        -----
        Source: Zhang et al., Lemmas 10 and 15, in the eigenbasis of Lambda.
        """
        lam = self.eigenvalues
        return EntrywiseLoss(
            curvature=np.outer(self.gamma_eigenvalues * lam, lam),
            drive=np.diag(lam**2),
            left=self.basis,
            right=self.basis,
            at_zero=float(np.sum(lam)) / 2,
        )


class RandomDiagonalCovariance(TrainingSetting):
    """Prompts of Zhang et al. 2024, Section 4.3: Lambda = diag(lambda_i), drawn for each prompt.

    Parameters
    ----------
    laws
        The laws of the independent eigenvalues lambda_1, ..., lambda_d (`theory.laws`).
    prompt_length
        N, from 1 to 10^15.

    Attributes
    ----------
    first, second, third
        E lambda_i, E lambda_i^2, E lambda_i^3, shape (d,) each.

    Raises
    ------
    ValueError
        If these are no laws, a moment is not finite and positive, or N is out of range.
    """

    def __init__(self, laws: Iterable[EigenvalueLaw], prompt_length: SupportsIndex) -> None:
        problems = Problems("FlowProblem.random_diagonal")
        self.prompt_length = problems.count("prompt_length (N)", prompt_length, 1, _LONGEST)
        self.laws = listed_laws(problems, "laws", laws)
        problems.raise_if_any()
        moments = np.array([[float(m) for m in law.moments] for law in self.laws])
        self.first, self.second, self.third = moments.T

    @property
    def dim(self) -> int:
        return len(self.laws)

    def entrywise_loss(self) -> EntrywiseLoss:
        """Return a_ij = zeta_ij (i != j), a_ii = gamma_i, B = diag(xi_i).

        Notes
        -----
        a_ij = E[((1 + 1/N) lambda_i + sum_k lambda_k / N) lambda_i lambda_j], xi_i = E lambda_i^2.
        Source: Zhang et al., Corollary 22, eq. (51).
        """
        return EntrywiseLoss(
            curvature=self._curvature(),
            drive=np.diag(self.second),
            left=np.eye(self.dim),
            right=np.eye(self.dim),
            at_zero=float(np.sum(self.first)) / 2,
        )

    def _curvature(self) -> Float[np.ndarray, "d d"]:
        m1, m2, m3 = self.first, self.second, self.third
        rest = np.sum(m1) - m1 - m1[:, None]  # sum of E lambda_k over k != i, j
        pairs = np.outer(m2, m1)
        off = pairs + (pairs + pairs.T + np.outer(m1, m1) * rest + pairs) / self.prompt_length
        np.fill_diagonal(off, m3 + (2 * m3 + m2 * (np.sum(m1) - m1)) / self.prompt_length)
        return np.asarray(off)

    @property
    def distributed_laws(self) -> tuple[DistributedLaw, ...]:
        """The laws, if each of them has a distribution.

        Raises
        ------
        ValueError
            If a law is given by its moments only.
        """
        found = tuple(law for law in self.laws if isinstance(law, DistributedLaw))
        if len(found) < len(self.laws):
            missing = next(law for law in self.laws if not isinstance(law, DistributedLaw))
            raise ValueError(
                f"{missing!r} has moments but no distribution, and this quantity depends on more"
                " than three moments; give a law that samples and has truncated moments"
            )
        return found


class GeneralTasks(TrainingSetting):
    """Prompts with any task law of mean zero: x ~ N(0, Lambda), E ww' = S, y = w'x + e.

    Parameters
    ----------
    covariance
        Lambda, symmetric positive definite, shape (d, d).
    task_covariance
        S, symmetric positive semidefinite, not zero, shape (d, d). Only S enters: this layer cannot
        tell a mixture from a Gaussian with the same second moments.
    noise_std
        Standard deviation s >= 0 of the label noise of the examples; the target is w'x_query.
    prompt_length
        N, from 1 to 10^15.

    Raises
    ------
    ValueError
        If one of these does not hold.

    Notes
    -----
    The set u_12 = u_21 = 0 is invariant if also E[(w'Lambda w) w] = 0, as for every symmetric law.
    Source: ours; the loss, of which this is the part u_12 = u_21 = 0, is derived in
    `theory.population_loss`.
    """

    def __init__(
        self,
        covariance: npt.ArrayLike,
        task_covariance: npt.ArrayLike,
        noise_std: float,
        prompt_length: SupportsIndex,
    ) -> None:
        problems = Problems("FlowProblem.general")
        lam = problems.covariance("covariance (Lambda)", covariance)
        tasks = problems.covariance("task_covariance (S)", task_covariance, definite=False)
        self.noise_std = problems.number("noise_std", noise_std, 0.0, strict=False)
        self.prompt_length = problems.count("prompt_length (N)", prompt_length, 1, _LONGEST)
        if lam is not None and tasks is not None and lam.shape != tasks.shape:
            problems.add(
                f"task_covariance has shape {tasks.shape}; expected that of covariance, {lam.shape}"
            )
        if tasks is not None and not np.any(tasks):
            problems.add("task_covariance (S) is zero; expected tasks w that are not always 0")
        problems.raise_if_any()
        assert lam is not None
        assert tasks is not None
        self.covariance = lam
        self.task_covariance = tasks

    @property
    def dim(self) -> int:
        return len(self.covariance)

    @property
    def label_variance(self) -> float:
        """Return c = tr(S Lambda) + s^2, the variance of a label."""
        return float(np.sum(self.covariance * self.task_covariance)) + self.noise_std**2

    @property
    def cross_moment(self) -> Float[np.ndarray, "d d"]:
        """Return Lambda S Lambda, shape (d, d)."""
        return np.asarray(self.covariance @ self.task_covariance @ self.covariance)

    @property
    def gram(self) -> Float[np.ndarray, "d d"]:
        """Return G = E gg' = (1 + 1/N) Lambda S Lambda + (c/N) Lambda for g = (1/N) sum y_i x_i."""
        cross = self.cross_moment
        return cross + (cross + self.label_variance * self.covariance) / self.prompt_length

    def entrywise_loss(self) -> EntrywiseLoss:
        """Return a_ij = g_i lambda_j and B = left' Lambda S Lambda right in the bases of G, Lambda.

        Where G and Lambda commute one basis serves both, and B is diagonal.
        """
        gram, lam = self.gram, self.covariance
        left, right = _joint_eigenbases(gram, lam)
        g = np.einsum("ia,ij,ja->a", left, gram, left)
        eigenvalues = np.einsum("ia,ij,ja->a", right, lam, right)
        drive = left.T @ self.cross_moment @ right
        if left is right:
            drive = np.diag(np.diag(drive))
        return EntrywiseLoss(
            curvature=np.outer(g, eigenvalues),
            drive=drive,
            left=left,
            right=right,
            at_zero=float(np.sum(self.covariance * self.task_covariance)) / 2,
        )


def _joint_eigenbases(
    gram: Float[np.ndarray, "d d"], covariance: Float[np.ndarray, "d d"]
) -> tuple[Float[np.ndarray, "d d"], Float[np.ndarray, "d d"]]:
    """Return eigenbases of two matrices: the same array twice if one basis serves both."""
    of_gram = np.linalg.eigh(gram)[1]
    of_covariance = np.linalg.eigh(covariance)[1]
    for basis in (of_covariance, of_gram):
        if all(_diagonalises(basis, matrix) for matrix in (gram, covariance)):
            return basis, basis
    return of_gram, of_covariance


def _diagonalises(basis: Float[np.ndarray, "d d"], matrix: Float[np.ndarray, "d d"]) -> bool:
    turned = basis.T @ matrix @ basis
    diagonal = np.diag(turned)
    # In units of the geometric mean of two eigenvalues, so that small ones count too.
    scale = np.sqrt(np.outer(diagonal, diagonal))
    off = np.abs(turned - np.diag(diagonal)) / scale
    return bool(np.max(off) <= 1e-12)
