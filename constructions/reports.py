"""How large a compiled network is, and how large its weights are, beside the paper's budget."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import sparse
from torch import Tensor

from constructions.architecture import LayerWeights
from constructions.gadgets import SquareGadget
from constructions.stream import ResidualStream


@dataclass(frozen=True)
class WeightNorms:
    """Norms of the matrices of one kind, one number a layer; 0 where a layer has none.

    Parameters
    ----------
    spectral
        The largest singular value; of several heads, the largest.
    frobenius
        The root of the sum of all squared entries, over all heads.
    largest
        The largest magnitude of an entry.
    """

    spectral: tuple[float, ...]
    frobenius: tuple[float, ...]
    largest: tuple[float, ...]


@dataclass(frozen=True)
class PaperBudget:
    """What pathak2023 gives its construction of f*_pi, Theorem 1 and Appendix B.2.

    Parameters
    ----------
    operators
        9; a prior that is not uniform takes one more. The paper gives each one layer or more.
    rows
        p = 2d + 4m + 2.
    columns
        q = 2k + 1.
    """

    operators: int
    rows: int
    columns: int

    @classmethod
    def for_posterior_mean(
        cls, dim: int, num_components: int, max_examples: int, *, prior: bool
    ) -> "PaperBudget":
        """Return the budget for d, m and k, with a prior or with the paper's uniform one."""
        return cls(9 + prior, 2 * dim + 4 * num_components + 2, 2 * max_examples + 1)


@dataclass(frozen=True)
class CircuitReport:
    """The size of a compiled circuit.

    Parameters
    ----------
    circuit
        Its name.
    dtype
        "float64" or "float32".
    layers
        The number of layers.
    heads, attention_widths, feed_forward_widths
        Heads, d_att and d_ff, of each layer.
    width
        p, the rows of the residual stream.
    columns
        q, the columns of the residual stream for the longest prompt.
    parameters, nonzero_parameters
        The entries of all weight matrices, and those that are not 0.
    extra_rows
        Rows that hold no value of the circuit, but constants.
    extra_columns
        Constant columns before the prompt.
    constants
        What the extra rows hold, by name.
    norms
        By kind of matrix: query, key, value, output, inward, outward.
    gadget_order
        n: a square takes 2n neurons, a product 4n.
    gadget_error
        The proven relative error of a square, in exact arithmetic.
    budget
        The paper's own, where the circuit is the paper's.
    certified_error
        A bound on the error for every prompt in the box; None if there is no certificate.
    measured_error
        The largest error found on prompts; None if nothing was measured.
    """

    circuit: str
    dtype: str
    layers: int
    heads: tuple[int, ...]
    attention_widths: tuple[int, ...]
    feed_forward_widths: tuple[int, ...]
    width: int
    columns: int
    parameters: int
    nonzero_parameters: int
    extra_rows: int
    extra_columns: int
    constants: tuple[str, ...]
    norms: dict[str, WeightNorms]
    gadget_order: int
    gadget_error: float
    budget: PaperBudget | None = None
    certified_error: float | None = None
    measured_error: float | None = None

    @classmethod
    def of(
        cls,
        circuit: str,
        weights: Sequence[LayerWeights],
        stream: ResidualStream,
        num_computed: int,
        square: SquareGadget,
    ) -> "CircuitReport":
        """Return the report of a network.

        Parameters
        ----------
        circuit
            The circuit's name.
        weights
            The weights of each layer.
        stream
            The residual stream.
        num_computed
            How many of its rows, the first ones, hold values of the circuit.
        square
            The gadget that products are made of.
        """
        kinds = [field.name for field in fields(LayerWeights)]
        matrices = {kind: [_float64(getattr(layer, kind)) for layer in weights] for kind in kinds}
        everything = [matrix for of_kind in matrices.values() for matrix in of_kind]
        return cls(
            circuit=circuit,
            dtype=str(weights[0].inward.dtype).removeprefix("torch."),
            layers=len(weights),
            heads=tuple(layer.query.shape[0] for layer in weights),
            attention_widths=tuple(layer.query.shape[1] for layer in weights),
            feed_forward_widths=tuple(layer.inward.shape[0] for layer in weights),
            width=stream.num_rows,
            columns=stream.num_columns,
            parameters=sum(matrix.size for matrix in everything),
            nonzero_parameters=sum(int(np.count_nonzero(matrix)) for matrix in everything),
            extra_rows=stream.num_rows - num_computed,
            extra_columns=stream.before,
            constants=tuple(row.label for row in stream.rows[num_computed:]),
            norms={kind: _norms(of_kind) for kind, of_kind in matrices.items()},
            gadget_order=len(square.scales),
            gadget_error=square.relative_error,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name: numbers, strings, lists and dictionaries, as JSON has them.

        ``json.loads(json.dumps(report.as_dict()))`` is the same again.
        """
        found: dict[str, Any] = _as_lists(asdict(self))
        return found


def _float64(weights: Float[Tensor, "*shape"]) -> Float[np.ndarray, "*shape"]:
    array: Float[np.ndarray, "*shape"] = weights.detach().double().cpu().numpy()
    return array


def _norms(layers: Sequence[Float[np.ndarray, "..."]]) -> WeightNorms:
    return WeightNorms(
        spectral=tuple(
            # One matrix, or one for each head.
            max(map(_spectral, matrix if matrix.ndim == 3 else [matrix]), default=0.0)
            for matrix in layers
        ),
        frobenius=tuple(float(np.linalg.norm(matrix)) for matrix in layers),
        largest=tuple(float(np.abs(matrix).max(initial=0.0)) for matrix in layers),
    )


def _spectral(matrix: Float[np.ndarray, "rows columns"]) -> float:
    """The root of the largest eigenvalue of A A' or A' A, whichever is smaller.

    Built weights are mostly zeros, so that these products are cheap where a singular value
    decomposition of A is not.
    """
    size = float(np.abs(matrix).max(initial=0.0))
    if size == 0:
        return 0.0
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    scaled = sparse.csr_array(wide[wide.any(axis=1)] / size)
    gram = (scaled @ scaled.T).toarray()
    return size * float(np.sqrt(np.linalg.eigvalsh(gram)[-1]))


def _as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_lists(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_as_lists(part) for part in value]
    return value
