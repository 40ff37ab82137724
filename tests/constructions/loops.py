"""What circuits mean, in plain loops over columns and entries, in longdouble.

Columns count from 1. This shares no code with the compiler: it reads the values' fields alone.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from constructions.circuit import Circuit
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
from tests.constructions.judges import Matrix

Vector = list[Any]


class Meaning:
    """The values of a circuit on one prompt's tokens (d, q)."""

    def __init__(self, circuit: Circuit, tokens: Matrix) -> None:
        self.circuit = circuit
        self.tokens = tokens.astype(np.longdouble)
        self.q = tokens.shape[1]
        self._held: dict[tuple[int, int], Vector] = {}
        self._columns: dict[int, frozenset[int]] = {}

    def columns(self, value: Value) -> frozenset[int]:
        """The columns where a value is defined."""
        if id(value) not in self._columns:
            self._columns[id(value)] = self._defined(value)
        return self._columns[id(value)]

    def at(self, value: Value, column: int) -> Vector:
        if column not in self.columns(value):
            raise LookupError(f"{self.circuit.name_of(value)} has no meaning in column {column}")
        if (id(value), column) not in self._held:
            self._held[id(value), column] = self._at(value, column)
        return self._held[id(value), column]

    def matrix(self, value: Value) -> Matrix:
        """The value (dim, q) in float64, NaN where it is not defined."""
        found = np.full((value.dim, self.q), np.nan)
        for i in self.columns(value):
            found[:, i - 1] = np.array(self.at(value, i), dtype=np.longdouble)
        return found

    def _defined(self, value: Value) -> frozenset[int]:
        odd, even = frozenset(range(1, self.q + 1, 2)), frozenset(range(2, self.q + 1, 2))
        match value:
            case Token():
                return odd if value.name == "x" else even
            case Previous():
                return even if 1 in self.columns(value.source) else odd
            case Sum():
                return frozenset(i for i in odd | even if _parity(i) in _parities(value.where))
            case Fetch():
                return odd
            case Attention():
                return self.columns(value.query)
            case _:
                result = odd | even
                for source in value.sources:
                    result &= self.columns(source)
                return result

    def _at(self, value: Value, i: int) -> Vector:  # noqa: PLR0911
        match value:
            case Token():
                return [self.tokens[t, i - 1] for t in range(value.size)]
            case Affine():
                return self._affine(value, i)
            case Product():
                return _times(self.at(value.left, i), self.at(value.right, i))
            case ProductSum():
                return self._product_sum(value, i)
            case Previous():
                return self.at(value.source, i - 1) if i > 1 else _zeros(value.dim)
            case Sum():
                return self._summed(value.source, range(1, i))
            case Fetch():
                earlier = value.column < i
                return self.at(value.source, value.column) if earlier else _zeros(value.dim)
            case Mixture():
                weights = _softmax(self.at(value.logits, i))
                return _apply(value.components, weights)
            case Attention():
                return self._attended(value, i)
        raise TypeError(type(value).__name__)

    def _affine(self, value: Affine, i: int) -> Vector:
        result = (
            _zeros(value.dim) if value.shift is None else [np.longdouble(b) for b in value.shift]
        )
        for source, matrix in value.terms:
            result = _plus(result, _apply(matrix, self.at(source, i)))
        return result

    def _product_sum(self, value: ProductSum, i: int) -> Vector:
        result = _zeros(value.dim)
        for matrix, left, right in value.terms:
            product = _times(self.at(left, i), self.at(right, i))
            result = _plus(result, _apply(matrix, product))
        return result

    def _summed(self, source: Value, among: Collection[int]) -> Vector:
        result = _zeros(source.dim)
        for j in self.columns(source) & set(among):
            result = _plus(result, self.at(source, j))
        return result

    def _attended(self, value: Attention, i: int) -> Vector:
        seen = sorted(j for j in self.columns(value.key) if j < i)
        if not seen:
            return _zeros(value.dim)
        query = self.at(value.query, i)
        weights = _softmax([sum(_times(query, self.at(value.key, j))) for j in seen])
        result = _zeros(value.dim)
        for weight, j in zip(weights, seen, strict=True):
            result = _plus(result, [weight * entry for entry in self.at(value.value, j)])
        return result


def _parity(column: int) -> str:
    return "odd" if column % 2 else "even"


def _parities(columns: Any) -> set[str]:
    names = {kind.name for kind in columns.kinds}
    return {"even" if name == "LABEL" else "odd" for name in names}


def _zeros(dim: int) -> Vector:
    return [np.longdouble(0)] * dim


def _plus(a: Vector, b: Vector) -> Vector:
    return [x + y for x, y in zip(a, b, strict=True)]


def _times(a: Vector, b: Vector) -> Vector:
    return [x * y for x, y in zip(a, b, strict=True)]


def _apply(matrix: Matrix, vector: Vector) -> Vector:
    rows, columns = matrix.shape
    assert columns == len(vector)
    return [
        sum((np.longdouble(matrix[r, c]) * vector[c] for c in range(columns)), np.longdouble(0))
        for r in range(rows)
    ]


def _softmax(logits: Vector) -> Vector:
    highest = max(logits)
    powers = [np.exp(logit - highest) for logit in logits]
    return [power / sum(powers) for power in powers]
