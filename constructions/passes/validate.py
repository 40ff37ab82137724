"""Refuses circuits that are not well formed, with all problems at once."""

from collections.abc import Iterator
from functools import singledispatch

import numpy as np

from constructions.circuit import Circuit, CircuitError
from constructions.program import ColumnSet
from constructions.values import (
    COVARIATES,
    EVERY,
    LABELS,
    Affine,
    Attention,
    Fetch,
    Mixture,
    Previous,
    Product,
    Sum,
    Token,
    Value,
)


def validate(circuit: Circuit) -> Circuit:
    """Return the circuit as it is.

    Raises
    ------
    CircuitError
        If shapes do not fit, numbers are not finite, a value is used in columns where it is not
        defined, a token belongs to another prompt, or the output misses the covariates' columns.
    """
    problems = []
    for value in circuit.values():
        name = circuit.name_of(value)
        problems += [f"{name}: {problem}" for problem in _problems(value, circuit)]
    if not circuit.output.columns.kinds >= COVARIATES.kinds:
        problems.append("the output is not defined in the columns of covariates")
    if problems:
        raise CircuitError(problems)
    return circuit


@singledispatch
def _problems(value: Value, circuit: Circuit) -> Iterator[str]:
    yield f"unknown kind of value {type(value).__name__}"


@_problems.register
def _(value: Token, circuit: Circuit) -> Iterator[str]:
    if value not in (circuit.prompt.covariate, circuit.prompt.label):
        yield (
            "it is a token of another Prompt object than the circuit's; make every value from one "
            "prompt, and give that one to the circuit"
        )


@_problems.register
def _(value: Affine, circuit: Circuit) -> Iterator[str]:
    for source, matrix in value.terms:
        if matrix.shape != (value.dim, source.dim):
            yield (
                f"a matrix of shape {matrix.shape} maps a value of dimension {source.dim} into "
                f"dimension {value.dim}"
            )
        if not np.isfinite(matrix).all():
            yield "a matrix has entries that are not finite"
    if value.bias.shape != (value.dim,) or not np.isfinite(value.bias).all():
        yield f"the constant has shape {value.bias.shape} or is not finite, expected ({value.dim},)"
    yield from _nowhere(value)


@_problems.register
def _(value: Product, circuit: Circuit) -> Iterator[str]:
    if value.left.dim != value.right.dim:
        dims = f"{value.left.dim} and {value.right.dim}"
        yield f"it multiplies dimensions {dims}, expected equal ones"
    yield from _nowhere(value)


@_problems.register
def _(value: Previous, circuit: Circuit) -> Iterator[str]:
    yield from _one_kind(value.source, "previous")


@_problems.register
def _(value: Sum, circuit: Circuit) -> Iterator[str]:
    yield from _one_kind(value.source, "a sum")


@_problems.register
def _(value: Fetch, circuit: Circuit) -> Iterator[str]:
    available = value.source.columns.of(circuit.prompt.max_examples)
    if value.column not in available:
        yield f"column {value.column} is fetched, where its source is not defined"


@_problems.register
def _(value: Mixture, circuit: Circuit) -> Iterator[str]:
    if value.components.shape[1] != value.logits.dim or not np.isfinite(value.components).all():
        yield (
            f"components of shape {value.components.shape} are mixed by {value.logits.dim} logits, "
            "expected a finite matrix with one column for each"
        )
    yield from _nowhere(value)


@_problems.register
def _(value: Attention, circuit: Circuit) -> Iterator[str]:
    if value.query.dim != value.key.dim:
        yield f"query and key have dimensions {value.query.dim} and {value.key.dim}"
    if value.key.columns != value.value.columns:
        yield "key and value are defined in different columns"
    yield from _one_kind(value.key, "a key")
    yield from _nowhere(value)


def _one_kind(source: Value, user: str) -> Iterator[str]:
    if not _is_one_kind(source.columns):
        yield (
            f"{user} needs a value of covariate columns or of label columns, got one of "
            f"{sorted(kind.value for kind in source.columns.kinds) or 'no columns'}"
        )


def _is_one_kind(columns: ColumnSet) -> bool:
    return columns.kinds in (COVARIATES.kinds, LABELS.kinds)


def _nowhere(value: Value) -> Iterator[str]:
    if not value.columns.kinds <= EVERY.kinds or not value.columns.kinds:
        yield "its sources have no column in common (use previous or total to bring one over)"
