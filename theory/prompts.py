"""Prompts (x_1, y_1, ..., x_k, y_k, x_{k+1}), in batches (Pathak et al. 2023, Section 1.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from theory.validation import Problems

__all__ = ["PromptBatch"]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class PromptBatch:
    """A batch of prompts P = (x_1, y_1, ..., x_k, y_k, x_{k+1}) of one length.

    Both arrays are stored as read-only, C-contiguous float64 copies.

    Parameters
    ----------
    xs
        The covariates x_1, ..., x_{k+1} of every prompt, shape (batch, k+1, d), with batch >= 1,
        k >= 0 and d >= 1. The last one is the query.
    ys
        The labels y_1, ..., y_k of every prompt, shape (batch, k).

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or an entry is not a finite real number. All problems
        are listed at once.

    Notes
    -----
    Source: Pathak et al. 2023, Section 1.1.
    """

    xs: npt.NDArray[np.float64]
    ys: npt.NDArray[np.float64]

    def __init__(self, xs: npt.ArrayLike, ys: npt.ArrayLike) -> None:
        problems = Problems("PromptBatch(xs, ys)")
        covariates = problems.array("xs", xs, ("batch", "k+1", "d"))
        labels = problems.array("ys", ys, ("batch", "k"))
        if covariates is not None:
            _check_sizes(covariates, problems)
        if covariates is not None and labels is not None:
            _check_agreement(covariates, labels, problems)
        problems.raise_if_any()
        object.__setattr__(self, "xs", covariates)
        object.__setattr__(self, "ys", labels)

    def __repr__(self) -> str:
        sizes = f"batch_size={self.batch_size}, num_examples={self.num_examples}, dim={self.dim}"
        return f"PromptBatch({sizes})"

    def __len__(self) -> int:
        return self.batch_size

    def __getitem__(self, which: slice) -> PromptBatch:
        """Take the prompts [i:j] of the batch; an empty slice, or an index, is a `ValueError`."""
        return PromptBatch(self.xs[which], self.ys[which])

    @property
    def batch_size(self) -> int:
        """The number of prompts."""
        return int(self.xs.shape[0])

    @property
    def num_examples(self) -> int:
        """The number k of labelled examples of each prompt."""
        return int(self.ys.shape[1])

    @property
    def dim(self) -> int:
        """The dimension d of the covariates."""
        return int(self.xs.shape[2])

    @property
    def examples(self) -> Float[np.ndarray, "batch k d"]:
        """The labelled covariates x_1, ..., x_k."""
        return self.xs[:, :-1]

    @property
    def queries(self) -> Float[np.ndarray, "batch d"]:
        """The queries x_{k+1}."""
        return self.xs[:, -1]

    def prefix(self, num_examples: int) -> PromptBatch:
        """Cut to (x_1, y_1, ..., x_n, y_n, x_{n+1}) with n = `num_examples`.

        Raises
        ------
        ValueError
            If `num_examples` is not between 0 and k.
        """
        if not 0 <= num_examples <= self.num_examples:
            raise ValueError(
                f"prefix({num_examples}): the prompts have {self.num_examples} examples;"
                f" expected a number from 0 to {self.num_examples}"
            )
        return PromptBatch(self.xs[:, : num_examples + 1], self.ys[:, :num_examples])

    def pad(self, num_examples: int) -> PromptBatch:
        """Insert zero examples (x, y) = (0, 0) before the query, up to `num_examples` in all.

        The residual <w, x> - y of such an example is 0 under every w, so that it changes no
        likelihood, no posterior and no least-squares solution.

        Raises
        ------
        ValueError
            If the prompts already have more than `num_examples` examples.
        """
        missing = num_examples - self.num_examples
        if missing < 0:
            raise ValueError(
                f"pad({num_examples}): the prompts already have {self.num_examples} examples;"
                f" expected at least that many (to shorten them, use prefix)"
            )
        zeros = np.zeros((self.batch_size, missing, self.dim))
        xs = np.concatenate([self.examples, zeros, self.xs[:, -1:]], axis=1)
        return PromptBatch(xs, np.pad(self.ys, ((0, 0), (0, missing))))

    def interleaved(self) -> Float[np.ndarray, "batch d columns"]:
        """Lay every prompt out as the 2k+1 columns x_1, ytilde_1, ..., ytilde_k, x_{k+1}.

        Returns
        -------
        numpy.ndarray
            Float64, shape (batch, d, 2k+1), where ytilde_i = (y_i, 0, ..., 0) in R^d: the first d
            rows of H^(0).

        Notes
        -----
        Source: Pathak et al. 2023, Appendices B.2 and B.2.1.
        """
        columns = np.zeros((self.batch_size, self.dim, 2 * self.num_examples + 1))
        columns[:, :, 0::2] = self.xs.transpose(0, 2, 1)
        columns[:, 0, 1::2] = self.ys
        return columns


def _check_sizes(xs: Float[np.ndarray, "batch columns d"], problems: Problems) -> None:
    expected = (("batch", "prompt"), ("k+1", "covariate, the query"), ("d", "coordinate"))
    for axis, (size, what) in enumerate(expected):
        if xs.shape[axis] == 0:
            problems.add(
                f"xs has shape {xs.shape}, with {size} = 0; expected at least one {what},"
                f" on axis {axis}"
            )


def _check_agreement(
    xs: Float[np.ndarray, "batch1 columns d"],
    ys: Float[np.ndarray, "batch2 k"],
    problems: Problems,
) -> None:
    given = f"xs has shape {xs.shape} and ys has shape {ys.shape}"
    if xs.shape[0] != ys.shape[0]:
        problems.add(f"{given}: {xs.shape[0]} and {ys.shape[0]} prompts; expected as many in both")
    if xs.shape[1] >= 1 and ys.shape[1] != xs.shape[1] - 1:
        problems.add(
            f"{given}: expected {xs.shape[1] - 1} labels for each prompt, one fewer than its"
            f" {xs.shape[1]} covariates, for the query has none; got {ys.shape[1]}"
        )
