"""Runs a circuit exactly as its values are defined, on batches of tokens."""

from functools import singledispatch

import numpy as np
from jaxtyping import Shaped

from constructions.circuit import Circuit
from constructions.program import ColumnSet
from constructions.values import (
    Affine,
    Attention,
    Fetch,
    Mixture,
    Previous,
    Product,
    ProductSum,
    Sum,
    Token,
    Value,
)

Tokens = Shaped[np.ndarray, "batch d columns"]
Tensor = Shaped[np.ndarray, "batch dim columns"]


class Evaluation:
    """The values of a circuit on tokens; each is computed when it is first asked for.

    Parameters
    ----------
    circuit
        The circuit.
    tokens
        (batch, d, q) with q odd and at most 2K + 1; float64 or longdouble.

    Raises
    ------
    ValueError
        If the tokens have another shape.
    """

    def __init__(self, circuit: Circuit, tokens: Tokens) -> None:
        prompt = circuit.prompt
        if (
            tokens.ndim != 3
            or tokens.shape[1] != prompt.dim
            or tokens.shape[2] % 2 == 0
            or tokens.shape[2] > prompt.num_columns
        ):
            raise ValueError(
                f"circuit {circuit.name!r}: tokens have shape {tokens.shape}, expected "
                f"(batch, {prompt.dim}, q) with q odd and at most {prompt.num_columns}"
            )
        self.circuit = circuit
        self.tokens = tokens
        self._found: dict[int, Tensor] = {}
        for value in circuit.values():
            self._found[id(value)] = _within(value.columns, _compute(value, self))

    def __getitem__(self, value: Value) -> Tensor:
        """Return a value (batch, dim, q); zero in the columns where it is not defined."""
        return self._found[id(value)]


def evaluate(circuit: Circuit, tokens: Tokens) -> Tensor:
    """Return the circuit's output (batch, dim, q)."""
    return Evaluation(circuit, tokens)[circuit.output]


def columns_of(columns: ColumnSet, num_columns: int) -> list[int]:
    """Return the columns (from 0) of a set, among the first ``num_columns``, an odd number."""
    return sorted(column - 1 for column in columns.of((num_columns - 1) // 2))


def _within(columns: ColumnSet, values: Tensor) -> Tensor:
    kept = np.zeros_like(values)
    inside = columns_of(columns, values.shape[2])
    kept[:, :, inside] = values[:, :, inside]
    return kept


@singledispatch
def _compute(value: Value, run: Evaluation) -> Tensor:
    raise TypeError(f"no meaning for {type(value).__name__}")


@_compute.register
def _(value: Token, run: Evaluation) -> Tensor:
    rows: Tensor = run.tokens[:, : value.dim]
    return rows


@_compute.register
def _(value: Affine, run: Evaluation) -> Tensor:
    batch, _, q = run.tokens.shape
    result: Tensor = np.zeros((batch, value.dim, q), run.tokens.dtype)
    result += value.bias[:, None]
    for source, matrix in value.terms:
        result += matrix @ run[source]
    return result


@_compute.register
def _(value: Product, run: Evaluation) -> Tensor:
    product: Tensor = run[value.left] * run[value.right]
    return product


@_compute.register
def _(value: ProductSum, run: Evaluation) -> Tensor:
    batch, _, q = run.tokens.shape
    result = np.zeros((batch, value.dim, q), run.tokens.dtype)
    for matrix, left, right in value.terms:
        result += matrix @ (run[left] * run[right])
    return result


@_compute.register
def _(value: Previous, run: Evaluation) -> Tensor:
    shifted = np.zeros_like(run[value.source])
    shifted[:, :, 1:] = run[value.source][:, :, :-1]
    return shifted


@_compute.register
def _(value: Sum, run: Evaluation) -> Tensor:
    sums = np.zeros_like(run[value.source])
    sums[:, :, 1:] = run[value.source].cumsum(axis=2)[:, :, :-1]
    return sums


@_compute.register
def _(value: Fetch, run: Evaluation) -> Tensor:
    source = run[value.source]
    fetched = np.zeros_like(source)
    fetched[:, :, value.column :] = source[:, :, value.column - 1 : value.column]
    return fetched


@_compute.register
def _(value: Mixture, run: Evaluation) -> Tensor:
    logits = run[value.logits]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    mixed: Tensor = value.components @ (powers / powers.sum(axis=1, keepdims=True))
    return mixed


@_compute.register
def _(value: Attention, run: Evaluation) -> Tensor:
    query, key, mixed = run[value.query], run[value.key], run[value.value]
    q = query.shape[2]
    seen = np.zeros((q, q), dtype=bool)
    seen[:, columns_of(value.key.columns, q)] = True
    seen &= np.tri(q, k=-1, dtype=bool)
    logits = np.where(seen, query.transpose(0, 2, 1) @ key, -np.inf)
    highest = logits.max(axis=2, keepdims=True)
    powers = np.exp(logits - np.where(np.isfinite(highest), highest, 0.0))
    weights = powers / np.maximum(powers.sum(axis=2, keepdims=True), np.finfo(powers.dtype).tiny)
    result: Tensor = mixed @ weights.transpose(0, 2, 1)
    return result
