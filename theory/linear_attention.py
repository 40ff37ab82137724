"""The linear self-attention layer, and its prediction as a quadratic form (Zhang et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, SupportsFloat

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from theory.prompts import PromptBatch
from theory.validation import Problems

__all__ = ["LinearAttention", "embed", "quadratic_form", "query_matrix"]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LinearAttention:
    """One layer of linear self-attention, f_LSA(E) = E + W^PV E (E' W^KQ E) / N.

    The prediction for the query is the bottom right entry of f_LSA(E), where E (see `embed`) holds
    a prompt with N examples. It depends only on the last row (u12', u_1) of W^PV and on the first d
    columns (U11, u21) of W^KQ:

        yhat = (u12', u_1) (E E' / N) [U11; u21'] x_query.

    Both matrices are stored as read-only, C-contiguous float64 copies. The layer is a
    `theory.predictors.Predictor`.

    Parameters
    ----------
    projection_value
        W^PV, shape (d+1, d+1), d >= 1.
    key_query
        W^KQ, shape (d+1, d+1).

    Raises
    ------
    ValueError
        If the matrices are not square, real and finite, of one size that is at least 2. All
        problems are listed at once.

    Notes
    -----
    Source: Zhang et al. 2024, Section 3.2, eqs. (3) to (6).
    """

    projection_value: npt.NDArray[np.float64]
    key_query: npt.NDArray[np.float64]
    name: ClassVar[str] = "linear attention"

    def __init__(self, projection_value: npt.ArrayLike, key_query: npt.ArrayLike) -> None:
        problems = Problems("LinearAttention(projection_value, key_query)")
        value = problems.array("projection_value", projection_value, ("d+1", "d+1"))
        key = problems.array("key_query", key_query, ("d+1", "d+1"))
        if value is not None and key is not None:
            _check_sizes(value, key, problems)
        problems.raise_if_any()
        object.__setattr__(self, "projection_value", value)
        object.__setattr__(self, "key_query", key)

    @classmethod
    def from_blocks(
        cls,
        u12: npt.ArrayLike,
        u21: npt.ArrayLike,
        U11: npt.ArrayLike,
        u_1: npt.ArrayLike | SupportsFloat,
    ) -> LinearAttention:
        """Build the layer from the blocks that its prediction depends on; all else is 0.

        Parameters
        ----------
        u12
            First d entries of the last row of W^PV, shape (d,).
        u21
            First d entries of the last row of W^KQ, shape (d,).
        U11
            First d rows and columns of W^KQ, shape (d, d).
        u_1
            The last entry u_{-1} of W^PV.

        Raises
        ------
        ValueError
            If the blocks do not fit each other, or are not real and finite.

        Notes
        -----
        Source: Zhang et al. 2024, eqs. (5), (6) and (24).
        """
        problems = Problems("LinearAttention.from_blocks(u12, u21, U11, u_1)")
        row = problems.array("u12", u12, ("d",))
        column = problems.array("u21", u21, ("d",))
        block = problems.array("U11", U11, ("d", "d"))
        corner = problems.array("u_1", np.asarray(u_1), ())
        if row is not None and column is not None and block is not None:
            d = len(row)
            if len(column) != d or block.shape != (d, d):
                problems.add(
                    f"u12, u21 and U11 have shapes {row.shape}, {column.shape} and {block.shape};"
                    " expected (d,), (d,) and (d, d) with one d, the dimension of the covariates"
                )
        problems.raise_if_any()
        key = np.block([[block, np.zeros((d, 1))], [column, np.zeros(1)]])
        value = np.zeros((d + 1, d + 1))
        value[-1, :-1], value[-1, -1] = row, corner
        return cls(value, key)

    def __repr__(self) -> str:
        return f"LinearAttention(dim={self.dim})"

    @property
    def dim(self) -> int:
        """The dimension d of the covariates."""
        return len(self.key_query) - 1

    @property
    def u12(self) -> Float[np.ndarray, " d"]:
        """The block u_12 = w_21^PV, shape (d,)."""
        return self.projection_value[-1, :-1]

    @property
    def u21(self) -> Float[np.ndarray, " d"]:
        """The block u_21 = w_21^KQ, shape (d,)."""
        return self.key_query[-1, :-1]

    @property
    def U11(self) -> Float[np.ndarray, "d d"]:
        """The block U_11 = W_11^KQ, shape (d, d)."""
        return self.key_query[:-1, :-1]

    @property
    def u_1(self) -> float:
        """The block u_{-1} = w_22^PV."""
        return float(self.projection_value[-1, -1])

    @property
    def vector(self) -> Float[np.ndarray, " entries"]:
        """The vector u = Vec(U), U = [[U11, u12], [u21', u_1]], column by column, (d+1)^2 entries.

        Notes
        -----
        Source: Zhang et al. 2024, Lemma 9.
        """
        last = self.projection_value[-1, :, None]
        return np.hstack([self.key_query[:, :-1], last]).ravel(order="F")

    def output(
        self, embeddings: Float[np.ndarray, "batch rows columns"]
    ) -> Float[np.ndarray, "batch rows columns"]:
        """Apply the layer: E + W^PV E (E' W^KQ E) / rho with rho = N, one less than the columns.

        The products are taken as (W^PV (E E' / N) W^KQ) E, so that no (N+1, N+1) matrix is formed.

        Parameters
        ----------
        embeddings
            Embedding matrices E, shape (batch, d+1, N+1), N >= 1: see `embed`.

        Returns
        -------
        numpy.ndarray
            f_LSA(E), shape (batch, d+1, N+1), float64.

        Raises
        ------
        ValueError
            If the embeddings have not d+1 rows, or N = 0, where rho = 0.

        Notes
        -----
        Source: Zhang et al. 2024, eq. (3) and the choice of rho below eq. (4).
        """
        problems = Problems("LinearAttention.output(embeddings)")
        columns = embeddings.shape[2]
        if embeddings.shape[1] != self.dim + 1:
            problems.add(
                f"embeddings has shape {embeddings.shape}; expected d+1 = {self.dim + 1} rows, as"
                " the weights have"
            )
        if columns < 2:
            problems.add(
                f"embeddings has {columns} column(s), so that rho = N is {columns - 1}; expected"
                " N + 1 >= 2: the layer divides by N"
            )
        problems.raise_if_any()
        gram = _gram(embeddings)
        return np.asarray(embeddings + (self.projection_value @ gram @ self.key_query) @ embeddings)

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Predict the label of the query by eq. (6), from all k examples, at a cost of O(k d).

        Returns
        -------
        numpy.ndarray
            The bottom right entries of `output(embed(prompts))`, shape (batch,), float64. They are
            averages over the k examples; without examples (k = 0) there is nothing to attend to,
            and the prediction is 0, as least squares has it.

        Raises
        ------
        ValueError
            If the prompts have another dimension than the layer.
        """
        examples, weights = self._attended(prompts)
        sums = np.einsum("bk,bkr->br", weights, examples)
        return self._read(sums, prompts.queries, np.asarray(prompts.num_examples))

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Predict y_{n+1} from the first n examples, n = 0..k, shape (batch, k+1), float64.

        Prefix n is a prompt of its own: it is divided by rho = n. For n = 0 the prediction is 0, as
        in `predict`, which states the errors too.
        """
        examples, weights = self._attended(prompts)
        sums = np.zeros((prompts.batch_size, prompts.num_examples + 1, prompts.dim + 1))
        np.cumsum(weights[:, :, None] * examples, axis=1, out=sums[:, 1:])
        return self._read(sums, prompts.xs, np.arange(prompts.num_examples + 1))

    def _attended(
        self, prompts: PromptBatch
    ) -> tuple[Float[np.ndarray, "batch k rows"], Float[np.ndarray, "batch k"]]:
        """Give the columns z_i = (x_i, y_i) as rows, and the weights u12'x_i + u_1 y_i."""
        if prompts.dim != self.dim:
            raise ValueError(
                f"the prompts have covariates of dimension {prompts.dim} and the layer has"
                f" dim = {self.dim}; expected the same: build the layer for d = {prompts.dim}"
            )
        examples = np.concatenate([prompts.examples, prompts.ys[:, :, None]], axis=2)
        return examples, examples @ self.projection_value[-1]

    def _read(
        self,
        sums: Float[np.ndarray, "*prompts rows"],
        queries: Float[np.ndarray, "*prompts d"],
        num_examples: npt.NDArray[np.integer],
    ) -> Float[np.ndarray, "*prompts"]:
        """Add the query's own column (x, 0) to the sums over the examples, and apply W^KQ."""
        attended = sums.copy()
        attended[..., :-1] += (queries @ self.u12)[..., None] * queries
        predictions = np.sum(attended * (queries @ self.key_query[:, :-1].T), axis=-1)
        return np.asarray(np.where(num_examples > 0, predictions / np.maximum(num_examples, 1), 0))


def embed(prompts: PromptBatch) -> Float[np.ndarray, "batch rows columns"]:
    """Stack every prompt into E = [x_1 ... x_k x_query; y_1 ... y_k 0].

    Returns
    -------
    numpy.ndarray
        Float64, shape (batch, d+1, k+1).

    Notes
    -----
    Source: Zhang et al. 2024, eq. (4).
    """
    labels = np.pad(prompts.ys, ((0, 0), (0, 1)))
    return np.concatenate([prompts.xs.transpose(0, 2, 1), labels[:, None, :]], axis=1)


def query_matrix(prompts: PromptBatch) -> Float[np.ndarray, "batch rows rows"]:
    """Border a zero matrix by every query: X = [[0, x_query], [x_query', 0]].

    Its characteristic polynomial is mu^{d-1} (mu^2 - |x_query|^2).

    Returns
    -------
    numpy.ndarray
        Float64, shape (batch, d+1, d+1).

    Notes
    -----
    Source: Zhang et al. 2024, Lemma 9, eq. (24), and Section 5.1.
    """
    matrices = np.zeros((prompts.batch_size, prompts.dim + 1, prompts.dim + 1))
    matrices[:, :-1, -1] = prompts.queries
    matrices[:, -1, :-1] = prompts.queries
    return matrices


def quadratic_form(prompts: PromptBatch) -> Float[np.ndarray, "batch entries entries"]:
    """Give H = 1/2 X (x) (E E' / N), with which yhat = u'Hu for u = `LinearAttention.vector`.

    The eigenvalues of H are half the products of those of X, which are |x_query|, -|x_query| and 0,
    with those of E E' / N. Almost surely min(N, d) + 1 of them are negative: this is the d+1 of
    Section 5.1 if the prompt has N >= d examples, and less otherwise.

    Returns
    -------
    numpy.ndarray
        Symmetric matrices, float64, shape (batch, (d+1)^2, (d+1)^2).

    Raises
    ------
    ValueError
        If the prompts have no examples: H divides by N.

    Notes
    -----
    Source: Zhang et al. 2024, Lemma 9, eq. (24).
    """
    if prompts.num_examples == 0:
        raise ValueError(
            "quadratic_form(prompts): the prompts have N = 0 examples; expected N >= 1"
        )
    entries = (prompts.dim + 1) ** 2
    gram = _gram(embed(prompts))
    products = np.einsum("bij,bkl->bikjl", query_matrix(prompts), gram)
    return np.asarray(0.5 * products.reshape(prompts.batch_size, entries, entries))


def _gram(
    embeddings: Float[np.ndarray, "batch rows columns"],
) -> Float[np.ndarray, "batch rows rows"]:
    """Give E E' / N for embeddings of N + 1 columns."""
    return np.asarray(embeddings @ embeddings.transpose(0, 2, 1) / (embeddings.shape[2] - 1))


def _check_sizes(
    value: npt.NDArray[np.float64], key: npt.NDArray[np.float64], problems: Problems
) -> None:
    if not (value.shape == key.shape == (len(value), len(value)) and len(value) >= 2):
        problems.add(
            f"projection_value has shape {value.shape} and key_query {key.shape}; expected"
            " (d+1, d+1) for both, with d >= 1 the dimension of the covariates"
        )
