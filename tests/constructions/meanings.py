"""Operators of `constructions`, one of each, and what the judges say that they should do."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from constructions.operators import (
    Aff,
    CopyDown,
    CopyOver,
    Div,
    Mov,
    Mul,
    Operator,
    Raw,
    ScaledAgg,
    Sigmoid,
    Soft,
)
from tests.constructions import judges
from tests.constructions.judges import Matrix

EYE = np.eye(2)
TWO_BY_TWO = np.array([[1.0, -2.0], [0.5, 3.0]])

#: One of each, on matrices of 6 rows and 4 columns; sources and targets overlap in some.
ONE_OF_EACH: tuple[Operator, ...] = (
    CopyDown(1, 2, 3, frozenset({1, 4})),
    CopyOver(2, 1, 4, frozenset({2, 3, 4})),
    Mov(3, 2, 5, frozenset({1, 2})),
    Mul(1, 2, 2, 3, frozenset({2, 4})),
    Aff(1, 3, 2, 2, 4, 3, TWO_BY_TWO, EYE, np.array([1.0, 2.0]), frozenset({1, 3})),
    ScaledAgg(-0.5, 1, 3, 2, 4, frozenset({1, 3})),
    Soft(1, 3, 2),
    Sigmoid(2, 2),
    Div(1, 1, 2, 3, frozenset({1, 4})),
    Raw("+", (1, 2), (2, 3), (6, 1), TWO_BY_TWO, EYE, TWO_BY_TWO, {2: frozenset({1}),
        4: frozenset({1, 2, 3})}),
    Raw("*", (1, 2), (2, 3), (6, 1), TWO_BY_TWO, EYE, TWO_BY_TWO, {2: frozenset({1}),
        4: frozenset({1, 3})}),
)  # fmt: skip

JUDGES: dict[type[Operator], Callable[..., Matrix]] = {
    CopyDown: judges.copy_down,
    CopyOver: judges.copy_over,
    Mov: judges.mov,
    Mul: judges.mul,
    Aff: judges.aff,
    ScaledAgg: judges.scaled_agg,
    Soft: judges.soft,
    Div: judges.div,
    Sigmoid: judges.sigmoid,
    Raw: judges.raw,
}


def judged(operator: Operator, H: Matrix, exp: Callable[[Any], Any] = np.exp) -> Matrix:
    """The judge's H', from the operator's arguments in the paper's order."""
    arguments = [getattr(operator, field.name) for field in fields(operator)]
    if isinstance(operator, Soft | Sigmoid):
        arguments.append(exp)
    return JUDGES[type(operator)](H, *arguments)


def written(operator: Operator, shape: tuple[int, ...]) -> Matrix:
    """Mark the entries that the operator writes, from its arguments alone, as booleans."""
    touched = np.zeros(shape, dtype=bool)
    rows = [row - 1 for row in operator.target().indices]
    columns = [column - 1 for column in operator.target_columns(shape[1])]
    touched[np.ix_(rows, columns)] = True
    return touched
