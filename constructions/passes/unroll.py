"""Trades heads for depth: a sum over examples becomes a sum of terms computed at the query.

A sum over label columns of g(x_j, y_j) needs a layer that forms the pairs and one that sums. With a
head for every column, the query fetches all examples at once and sums g within its own column.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from constructions.circuit import Circuit, CircuitError
from constructions.evaluate import evaluate
from constructions.passes.lift import AT_LABELS
from constructions.passes.rebuild import rebuild
from constructions.values import (
    COVARIATES,
    Affine,
    Fetch,
    Mixture,
    Previous,
    Product,
    Sum,
    Token,
    Value,
)


def unroll(circuit: Circuit) -> Circuit:
    """Return the circuit with every sum over examples unrolled into one head for every column.

    Raises
    ------
    CircuitError
        If a summand uses more than the tokens of one example, or does not vanish at an example
        (0, 0), which is what a head fetches where there is none, or if a sum is needed in the
        columns of labels.
    """
    copies = _Copies()
    unrolled = rebuild(circuit, lambda value: _unrolled(value, circuit, copies))
    return replace(unrolled, names=unrolled.names | copies.names(unrolled))


def _unrolled(value: Value, circuit: Circuit, copies: "_Copies") -> Value:
    if not isinstance(value, Sum):
        return value
    if value.where != COVARIATES:
        raise CircuitError(["a sum into columns of labels cannot be unrolled"])
    blank = np.zeros((1, circuit.prompt.dim, circuit.prompt.num_columns))
    if evaluate(replace(circuit, output=value, names={}), blank).any():
        raise CircuitError(["a sum whose terms do not vanish at x = 0, y = 0 cannot be unrolled"])
    columns = sorted(value.source.columns.of(circuit.prompt.max_examples))
    # The last covariate is a query of no later column.
    usable = columns[:-1] if value.source.columns == COVARIATES else columns
    terms = [(copies.at(value.source, column), np.eye(value.dim)) for column in usable]
    return Affine(tuple(terms)) if terms else value


@dataclass
class _Copies:
    """The copies of values at single columns: (value by identity, column) -> (value, copy)."""

    made: dict[tuple[int, int], tuple[Value, Value]] = field(default_factory=dict)

    def at(self, value: Value, column: int) -> Value:
        """The value of one column, computed wherever it is needed from fetched tokens."""
        key = id(value), column
        if key not in self.made:
            self.made[key] = value, self._make(value, column)
        return self.made[key][1]

    def _make(self, value: Value, column: int) -> Value:
        if isinstance(value, Token):
            return Fetch(value, column)
        if isinstance(value, Previous):
            # A query sees both tokens of an example or none, but y_{j-1} without x_j.
            if column % 2:
                raise CircuitError(["a sum over more than single examples cannot be unrolled"])
            return self.at(value.source, column - 1)
        if isinstance(value, Affine):
            terms = tuple((self.at(v, column), matrix) for v, matrix in value.terms)
            return Affine(terms, value.shift)
        if isinstance(value, Product):
            return Product(self.at(value.left, column), self.at(value.right, column))
        if isinstance(value, Mixture):
            return Mixture(self.at(value.logits, column), value.components)
        raise CircuitError([f"a sum over {type(value).__name__} cannot be unrolled"])

    def names(self, circuit: Circuit) -> dict[str, Value]:
        """Names x_i for the copy of x at example i, and r_i for that of "r at labels"."""
        found = {
            f"{value.name}_{(column + 1) // 2}": copy
            for (_, column), (value, copy) in list(self.made.items())
            if isinstance(value, Token)
        }
        # Where "r" and "r at labels" both have a copy, r_i is the example's.
        for name, value in sorted(
            circuit.names.items(), key=lambda item: not item[0].endswith(AT_LABELS)
        ):
            for column in range(1, circuit.prompt.num_columns + 1):
                # An affine map that only a name speaks of has copies where its sources have.
                known = [value] if not isinstance(value, Affine) else value.sources
                if all((id(source), column) in self.made for source in known):
                    label = f"{name.removesuffix(AT_LABELS)}_{(column + 1) // 2}"
                    found.setdefault(label, self.at(value, column))
        return found
