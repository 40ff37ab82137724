"""Infers the range of every wire from the box of the prompts."""

from dataclasses import dataclass
from functools import singledispatchmethod

import numpy as np

from constructions.circuit import Circuit, CircuitError
from constructions.values import (
    LABELS,
    Affine,
    Array,
    Attention,
    Fetch,
    Mixture,
    Previous,
    ProductSum,
    Sum,
    Token,
    Value,
)


@dataclass(frozen=True)
class Range:
    """Bounds low <= value <= high, entry by entry, each (dim,)."""

    low: Array
    high: Array

    @property
    def bound(self) -> Array:
        """The largest magnitudes (dim,)."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    @property
    def largest(self) -> float:
        """The largest magnitude of any entry."""
        return float(self.bound.max())


class Ranges:
    """The range of every wire and operand of a folded circuit.

    Intervals, but for linear functionals of a covariate alone: <c, x> is at most
    min(|c|_1 max |x_l|, |c|_2 max |x|), and a square is not negative.

    Parameters
    ----------
    circuit
        A circuit that `fold_linear` has folded.

    Raises
    ------
    CircuitError
        If a range overflows.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self._found: dict[int, Range] = {}
        with np.errstate(over="ignore", invalid="ignore"):
            for value in circuit.values():
                self._found[id(value)] = self._of(value)
        infinite = [
            circuit.name_of(value)
            for value in circuit.values()
            if not np.isfinite(self[value].bound).all()
        ]
        if infinite:
            raise CircuitError([f"the range of {', '.join(infinite)} overflows: use a smaller box"])

    def __getitem__(self, value: Value) -> Range:
        """Return the range of a wire or operand."""
        return self._found[id(value)]

    @singledispatchmethod
    def _of(self, value: Value) -> Range:
        raise TypeError(f"no range for {type(value).__name__}")

    @_of.register
    def _(self, value: Token) -> Range:
        box = value.box
        entry = box.label if value.columns == LABELS else box.covariate
        return _symmetric(np.full(value.dim, entry))

    @_of.register
    def _(self, value: Affine) -> Range:
        low, high = value.bias.copy(), value.bias.copy()
        for source, matrix in value.terms:
            part = self._image(source, matrix)
            low, high = low + part.low, high + part.high
        return Range(low, high)

    def _image(self, source: Value, matrix: Array) -> Range:
        if isinstance(source, Token) and source.columns != LABELS:
            return _symmetric(source.box.images(matrix))
        held = self[source]
        positive, negative = np.maximum(matrix, 0), np.minimum(matrix, 0)
        return Range(
            positive @ held.low + negative @ held.high, positive @ held.high + negative @ held.low
        )

    @_of.register
    def _(self, value: ProductSum) -> Range:
        low, high = np.zeros(value.dim), np.zeros(value.dim)
        for matrix, left, right in value.terms:
            product = _product(self[left], self[right], square=left is right)
            positive, negative = np.maximum(matrix, 0), np.minimum(matrix, 0)
            low += positive @ product.low + negative @ product.high
            high += positive @ product.high + negative @ product.low
        return Range(low, high)

    @_of.register(Previous)
    @_of.register(Fetch)
    def _(self, value: Previous | Fetch) -> Range:
        return _with_zero(self[value.source])

    @_of.register
    def _(self, value: Sum) -> Range:
        summand = _with_zero(self[value.source])
        count = len(value.source.columns.of(self.circuit.prompt.max_examples))
        return Range(count * summand.low, count * summand.high)

    @_of.register
    def _(self, value: Mixture) -> Range:
        return Range(value.components.min(axis=1), value.components.max(axis=1))

    @_of.register
    def _(self, value: Attention) -> Range:
        return _with_zero(self[value.value])


def _symmetric(bound: Array) -> Range:
    return Range(-bound, bound)


def _with_zero(held: Range) -> Range:
    return Range(np.minimum(held.low, 0), np.maximum(held.high, 0))


def _product(left: Range, right: Range, *, square: bool) -> Range:
    corners = np.array([a * b for a in (left.low, left.high) for b in (right.low, right.high)])
    low = np.zeros(corners.shape[1]) if square else corners.min(axis=0)
    return Range(low, corners.max(axis=0))
