"""Trades heads for depth: a sum over examples becomes a sum of terms computed at the query.

A sum over label columns of g(x_j, y_j) needs a layer that forms the pairs and one that sums. With a
head for every column, the query fetches all examples at once and sums g within its own column.
"""

from collections.abc import Callable

import numpy as np

from constructions.circuit import (
    COVARIATES,
    Affine,
    Circuit,
    CircuitError,
    Fetch,
    Mixture,
    Previous,
    Product,
    Sum,
    Token,
    Value,
)
from constructions.evaluate import Evaluation
from constructions.passes.rebuild import rebuild


def unroll(circuit: Circuit) -> Circuit:
    """Return the circuit with every sum over examples unrolled into one head for every column.

    Raises
    ------
    CircuitError
        If a summand uses more than the tokens of its own and the previous column, or does not
        vanish at an example (0, 0), which is what a head fetches where there is none.
    """
    return rebuild(circuit, lambda value: _unrolled(value, circuit))


def _unrolled(value: Value, circuit: Circuit) -> Value:
    if not isinstance(value, Sum):
        return value
    blank = np.zeros((1, circuit.prompt.dim, circuit.prompt.num_columns))
    if Evaluation(circuit, blank)[value].any():
        raise CircuitError(["a sum whose terms do not vanish at x = 0, y = 0 cannot be unrolled"])
    columns = sorted(value.source.columns.of(circuit.prompt.max_examples))
    # The last covariate is a query of no later column.
    usable = columns[:-1] if value.source.columns == COVARIATES else columns
    terms = [(_at(value.source, column), np.eye(value.dim)) for column in usable]
    return Affine(tuple(terms)) if terms else value


def _at(value: Value, column: int) -> Value:
    """The value of one column, computed wherever it is needed from fetched tokens."""
    if isinstance(value, Token):
        return Fetch(value, column)
    if isinstance(value, Previous):
        return _at(value.source, column - 1)
    apply: Callable[[Value], Value] = lambda source: _at(source, column)  # noqa: E731
    if isinstance(value, Affine):
        return Affine(tuple((apply(v), matrix) for v, matrix in value.terms), value.shift)
    if isinstance(value, Product):
        left = apply(value.left)
        return Product(left, left if value.left is value.right else apply(value.right))
    if isinstance(value, Mixture):
        return Mixture(apply(value.logits), value.components)
    raise CircuitError([f"a sum over {type(value).__name__} cannot be unrolled"])
