"""What a layer is trained on: laws of prompts that sample, each with its flow in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float

from theory import FlowProblem, RegressionMixture
from theory.laws import DistributedLaw
from theory.validation import Problems

__all__ = [
    "FixedCovarianceTasks",
    "Matrix",
    "MixtureTasks",
    "Prompts",
    "RandomDiagonalTasks",
    "Tasks",
    "rows",
]

#: A matrix that a frozen config can hold, and JSON too: its rows.
Matrix: TypeAlias = tuple[tuple[float, ...], ...]

#: Moments of a mixture below this, relative to its size, are rounding of symmetric components.
_ROUNDING = 1e-12


def rows(matrix: npt.ArrayLike) -> Matrix:
    """Return the rows of a matrix as tuples of floats: ``FixedCovarianceTasks(rows(Lambda), 20)``.

    Raises
    ------
    ValueError
        If it is not a finite real matrix.
    """
    problems = Problems("rows(matrix)")
    given = problems.array("matrix", matrix, ("n", "d"))
    problems.raise_if_any()
    assert given is not None
    return tuple(tuple(row) for row in given.tolist())


class Prompts(NamedTuple):
    """Prompts as the layer sees them, and what it should answer.

    Attributes
    ----------
    embeddings
        E = [x_1 ... x_N x_query; y_1 ... y_N 0] of each prompt, float64, shape (batch, d+1, N+1).
    targets
        w'x_query, without label noise, float64, shape (batch,).
    """

    embeddings: Float[torch.Tensor, "batch rows columns"]
    targets: Float[torch.Tensor, " batch"]


@runtime_checkable
class Tasks(Protocol):
    """A law of training prompts."""

    kind: ClassVar[str]

    @property
    def dim(self) -> int:
        """The dimension d of the covariates."""
        ...

    @property
    def problem(self) -> FlowProblem:
        """The flow on u12 = u21 = 0, whose limit the trained layer is compared with."""
        ...

    @property
    def keeps_plane(self) -> bool:
        """Whether the gradient flow of the whole layer stays on u12 = u21 = 0 once it is there."""
        ...

    def sample(self, batch_size: int, rng: np.random.Generator) -> Prompts:
        """Draw independent prompts with all their randomness."""
        ...


@dataclass(frozen=True)
class FixedCovarianceTasks(Tasks):
    """Prompts of Theorem 4: x ~ N(0, Lambda), w ~ N(0, I), y = w'x.

    Parameters
    ----------
    covariance
        Lambda, symmetric positive definite, shape (d, d): see `rows`.
    prompt_length
        N >= 1.

    Raises
    ------
    ValueError
        If one of these does not hold; all problems are listed at once.

    Notes
    -----
    Source: Zhang et al. 2024, Section 3.3.
    """

    covariance: Matrix
    prompt_length: int
    kind: ClassVar[str] = "fixed covariance"

    def __post_init__(self) -> None:
        _ = self.problem  # which checks the parameters

    @property
    def dim(self) -> int:
        return len(self.covariance)

    @cached_property
    def problem(self) -> FlowProblem:
        return FlowProblem.fixed(np.array(self.covariance), self.prompt_length)

    @property
    def keeps_plane(self) -> bool:
        return True

    def sample(self, batch_size: int, rng: np.random.Generator) -> Prompts:
        w = rng.standard_normal((batch_size, self.dim))
        return _labelled(_normal(rng, batch_size, self.prompt_length, self._root), w)

    @cached_property
    def _root(self) -> Float[np.ndarray, "d d"]:
        return np.linalg.cholesky(np.array(self.covariance))


@dataclass(frozen=True)
class RandomDiagonalTasks(Tasks):
    """Prompts of Theorem 8: Lambda = diag(lambda_i) drawn anew for each prompt, w ~ N(0, I).

    Parameters
    ----------
    laws
        The laws of lambda_1, ..., lambda_d (`theory.laws`): those that have `sample`, which a type
        checker sees and this class does not check.
    prompt_length
        N >= 1.

    Raises
    ------
    ValueError
        If there are no laws, or N < 1.

    Notes
    -----
    Source: Zhang et al. 2024, Section 4.3.
    """

    laws: tuple[DistributedLaw, ...]
    prompt_length: int
    kind: ClassVar[str] = "random diagonal covariance"

    def __post_init__(self) -> None:
        _ = self.problem

    @property
    def dim(self) -> int:
        return len(self.laws)

    @cached_property
    def problem(self) -> FlowProblem:
        return FlowProblem.random_diagonal(self.laws, self.prompt_length)

    @property
    def keeps_plane(self) -> bool:
        return True

    def sample(self, batch_size: int, rng: np.random.Generator) -> Prompts:
        eigenvalues = np.stack([law.sample(rng, (batch_size,)) for law in self.laws], axis=1)
        w = rng.standard_normal((batch_size, self.dim))
        xs = rng.standard_normal((batch_size, self.prompt_length + 1, self.dim))
        xs *= np.sqrt(eigenvalues)[:, None, :]
        return _labelled(xs, w)


@dataclass(frozen=True)
class MixtureTasks(Tasks):
    """Prompts of a regression mixture with fixed components: x ~ N(0, Lambda), w among w_1..w_m.

    y = w'x + noise_std N(0, 1), with one w for the whole prompt, as in Pathak et al. The target
    w'x_query has no noise.

    Parameters
    ----------
    components
        The w_j as rows, shape (m, d): see `rows`.
    covariance
        Lambda, symmetric positive definite, shape (d, d).
    noise_std
        Standard deviation >= 0 of the label noise.
    prompt_length
        N >= 1.
    weights
        The probabilities of the components; None for equal ones.

    Raises
    ------
    ValueError
        If one of these does not hold.

    Notes
    -----
    On u12 = u21 = 0 only S = E ww' matters. That set is invariant if E w = 0 and
    E[(w'Lambda w) w] = 0, as for components in pairs +-w: the derivatives of the loss across it are
    sums over these two moments (`beyond/task-laws-that-leave-zero`).
    """

    components: Matrix
    covariance: Matrix
    noise_std: float
    prompt_length: int
    weights: tuple[float, ...] | None = None
    kind: ClassVar[str] = "regression mixture"

    def __post_init__(self) -> None:
        if (m := self.mixture).dim != len(self.covariance):
            raise ValueError(
                f"MixtureTasks: components have dimension {m.dim} and covariance"
                f" {len(self.covariance)} rows; expected one d for both"
            )
        _ = self.problem

    @property
    def dim(self) -> int:
        return len(self.covariance)

    @cached_property
    def mixture(self) -> RegressionMixture:
        """The mixture, whose posterior mean is the best predictor."""
        weights = None if self.weights is None else np.array(self.weights)
        return RegressionMixture(np.array(self.components), self.noise_std, weights)

    @property
    def task_covariance(self) -> Float[np.ndarray, "d d"]:
        """S = E ww', shape (d, d)."""
        w = self.mixture.components
        return np.asarray(w.T @ (self.mixture.weights[:, None] * w))

    @cached_property
    def problem(self) -> FlowProblem:
        return FlowProblem.general(
            np.array(self.covariance), self.task_covariance, self.noise_std, self.prompt_length
        )

    @property
    def keeps_plane(self) -> bool:
        w, weights = self.mixture.components, self.mixture.weights
        sizes = np.einsum("ji,ik,jk->j", w, np.array(self.covariance), w)
        first, third = weights @ w, (weights * sizes) @ w
        scale = float(np.max(np.abs(w)))
        return bool(
            np.max(np.abs(first)) <= _ROUNDING * scale
            and np.max(np.abs(third)) <= _ROUNDING * scale * float(np.max(sizes))
        )

    def sample(self, batch_size: int, rng: np.random.Generator) -> Prompts:
        weights = self.mixture.weights / np.sum(self.mixture.weights)
        chosen = rng.choice(len(weights), size=batch_size, p=weights)
        xs = _normal(rng, batch_size, self.prompt_length, self._root)
        noise = self.noise_std * rng.standard_normal((batch_size, self.prompt_length))
        return _labelled(xs, self.mixture.components[chosen], noise)

    @cached_property
    def _root(self) -> Float[np.ndarray, "d d"]:
        return np.linalg.cholesky(np.array(self.covariance))


def _normal(
    rng: np.random.Generator, batch_size: int, length: int, root: Float[np.ndarray, "d d"]
) -> Float[np.ndarray, "batch columns d"]:
    """Draw the covariates and the query from N(0, root root')."""
    return np.asarray(rng.standard_normal((batch_size, length + 1, len(root))) @ root.T)


def _labelled(
    xs: Float[np.ndarray, "batch columns d"],
    w: Float[np.ndarray, "batch d"],
    noise: Float[np.ndarray, "batch n"] | float = 0.0,
) -> Prompts:
    """Label the covariates by w, and embed."""
    values = np.matmul(xs, w[:, :, None])[:, :, 0]
    batch, columns, d = xs.shape
    # Stored as E', so that the d+1 numbers of a column lie side by side.
    transposed = np.empty((batch, columns, d + 1))
    transposed[:, :, :-1] = xs
    transposed[:, :-1, -1] = values[:, :-1] + noise
    transposed[:, -1, -1] = 0.0
    embeddings = torch.from_numpy(transposed).transpose(1, 2)
    return Prompts(embeddings, torch.from_numpy(values[:, -1].copy()))
