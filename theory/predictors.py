"""Predictors of the query's label, for whole prompts and for every prefix of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from theory.mixture import RegressionMixture
from theory.prompts import PromptBatch
from theory.validation import Problems

__all__ = ["Argmin", "LeastSquares", "PosteriorMean", "Predictor", "Ridge", "Zero"]


@runtime_checkable
class Predictor(Protocol):
    """Anything that predicts the label of the query from the examples before it."""

    @property
    def name(self) -> str:
        """What figures and tables call the predictor."""
        ...

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Predict y_{k+1} of every prompt, shape (batch,), float64."""
        ...

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Predict y_{n+1} from the first n examples, n = 0..k, shape (batch, k+1), float64."""
        ...


@dataclass(frozen=True)
class PosteriorMean:
    """The Bayes predictor of a mixture, f* (Pathak et al. 2023, eq. (4)).

    Parameters
    ----------
    mixture
        The mixture, with its noise level; sigma = 0 is the limit sigma -> 0.
    """

    mixture: RegressionMixture
    name: ClassVar[str] = "posterior mean"

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Evaluate `RegressionMixture.posterior_mean`, which states errors and accuracy."""
        return self.mixture.posterior_mean(prompts)

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Evaluate `RegressionMixture.posterior_mean_all_prefixes`."""
        return self.mixture.posterior_mean_all_prefixes(prompts)


@dataclass(frozen=True)
class Argmin:
    """Predict by the component with the least sum of squares (Pathak et al. 2023, eq. (7)).

    Ties are averaged with the prior weights, which makes this the limit sigma -> 0 of eq. (4); with
    no examples it is the prior mean. `RegressionMixture.scores` says when components count as tied.

    Parameters
    ----------
    mixture
        The mixture; its noise level plays no role, nor do its components of weight 0.
    """

    mixture: RegressionMixture
    name: ClassVar[str] = "argmin"

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Evaluate the posterior mean at sigma = 0."""
        return self.mixture.with_noise_std(0.0).posterior_mean(prompts)

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Evaluate the posterior mean at sigma = 0 on every prefix."""
        return self.mixture.with_noise_std(0.0).posterior_mean_all_prefixes(prompts)


class _SpectralRegression(ABC):
    """Linear predictors <w, x>, w = V h(S) U'y, of the singular values (x_1 ... x_n)' = U S V'."""

    @abstractmethod
    def _inverse(
        self, singular_values: Float[np.ndarray, "batch rank"], size: int
    ) -> Float[np.ndarray, "batch rank"]:
        """Evaluate h(s), which stands for 1/s; `size` is the larger of n and d."""

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Predict from all k examples, shape (batch,), float64."""
        padded = prompts.pad(max(prompts.num_examples, 1))
        rows = np.concatenate([padded.examples, padded.ys[:, :, None]], axis=2)
        return self._evaluate(rows, prompts.queries, prompts.num_examples)

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Predict from the first n examples, n = 0..k, shape (batch, k+1), float64.

        Every example updates a triangular factor, so that the cost is of order k d^3, not k^2 d^2.
        """
        factors = enumerate(_triangular_factors(prompts))
        return np.stack([self._evaluate(rows, prompts.xs[:, n], n) for n, rows in factors], axis=1)

    def _evaluate(
        self,
        rows: Float[np.ndarray, "batch rows columns"],
        queries: Float[np.ndarray, "batch d"],
        num_examples: int,
    ) -> Float[np.ndarray, " batch"]:
        """Predict at the queries from rows (x', y), one for each example or a factor of those."""
        u, singular_values, vt = np.linalg.svd(rows[:, :, :-1], full_matrices=False)
        labels = np.einsum("bnr,bn->br", u, rows[:, :, -1])
        coordinates = np.einsum("brd,bd->br", vt, queries)
        inverse = self._inverse(singular_values, max(num_examples, rows.shape[2] - 1))
        return np.asarray(np.sum(coordinates * inverse * labels, axis=1))


@dataclass(frozen=True)
class LeastSquares(_SpectralRegression):
    """Ordinary least squares, of minimum norm (Pathak et al. 2023, Section 3.1).

    The prediction is <w, x_{n+1}>, where w is the shortest minimiser of
    sum_{i <= n} (<w, x_i> - y_i)^2; it is 0 without examples. Singular values of (x_1, ..., x_n) up
    to 16 max(n, d) 2^-52 times the largest, or below 2^-1022, count as 0: rounding alone can make
    them that large.
    """

    name: ClassVar[str] = "least squares"

    def _inverse(
        self, singular_values: Float[np.ndarray, "batch rank"], size: int
    ) -> Float[np.ndarray, "batch rank"]:
        largest = np.max(singular_values, axis=1, keepdims=True)
        limits = np.finfo(np.float64)
        # What is subnormal has no finite inverse.
        cutoff = np.maximum(16.0 * size * limits.eps * largest, limits.tiny)
        kept = singular_values > cutoff
        return np.asarray(np.where(kept, 1.0 / np.where(kept, singular_values, 1.0), 0.0))


@dataclass(frozen=True)
class Ridge(_SpectralRegression):
    """Ridge regression: <w, x_{n+1}> with w = (X'X + penalty I)^{-1} X'y, X = (x_1 ... x_n)'.

    It is computed from the singular values s of X as s / (s^2 + penalty). X'X is never formed, so
    the error grows with the condition number of X and not with its square.

    Parameters
    ----------
    penalty
        The weight of |w|^2, finite and positive. It is the Bayes choice for w ~ N(0, I) and noise
        of variance `penalty`.

    Raises
    ------
    ValueError
        If `penalty` is not a finite positive number.
    """

    penalty: float

    def __post_init__(self) -> None:
        problems = Problems("Ridge(penalty), which is LeastSquares() for penalty -> 0")
        problems.number("penalty", self.penalty, 0.0, strict=True)
        problems.raise_if_any()

    @property
    def name(self) -> str:
        """The name, with the penalty."""
        return f"ridge {self.penalty:g}"

    def _inverse(
        self, singular_values: Float[np.ndarray, "batch rank"], size: int
    ) -> Float[np.ndarray, "batch rank"]:
        norms = np.hypot(singular_values, np.sqrt(self.penalty))  # squares could overflow
        return np.asarray(singular_values / norms / norms)


@dataclass(frozen=True)
class Zero:
    """Predict 0, whatever the prompt: the best one can do without looking, if the mean is 0."""

    name: ClassVar[str] = "zero"

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Return zeros, shape (batch,), float64."""
        return np.zeros(prompts.batch_size)

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Return zeros, shape (batch, k+1), float64."""
        return np.zeros((prompts.batch_size, prompts.num_examples + 1))


def _triangular_factors(prompts: PromptBatch) -> Iterator[Float[np.ndarray, "batch rows columns"]]:
    """Yield R_n with R_n'R_n = sum_{i <= n} (x_i', y_i)'(x_i', y_i), for n = 0..k.

    R_n has the singular values of the first n examples, and their least-squares problems, in at
    most d+1 rows. R_0 is one zero row, an example that changes nothing.
    """
    factor = np.zeros((prompts.batch_size, 1, prompts.dim + 1))
    yield factor
    rows = np.concatenate([prompts.examples, prompts.ys[:, :, None]], axis=2)
    for n in range(prompts.num_examples):
        stacked = np.concatenate([factor, rows[:, n : n + 1]], axis=1)
        factor = np.asarray(np.linalg.qr(stacked, mode="r"))
        yield factor
