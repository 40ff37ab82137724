"""Random circuits of every kind of value, with small ranges."""

from collections.abc import Callable

import numpy as np

from constructions.box import Box
from constructions.circuit import Circuit, Prompt
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
    Value,
)

Rng = np.random.Generator


def random_circuit(seed: int, size: int) -> Circuit:
    """A circuit of about ``size`` random values on random tokens, all of which it depends on."""
    rng = np.random.default_rng(seed)
    dim, examples = int(rng.integers(1, 4)), int(rng.integers(0, 4))
    box = Box.entrywise(dim, float(rng.choice([0.5, 2.0])), float(rng.choice([0.5, 3.0, 50.0])))
    prompt = Prompt(dim, examples, box)
    pool: list[Value] = [prompt.covariate, prompt.label]
    while len(pool) < size + 2:
        made = MAKERS[int(rng.integers(len(MAKERS)))](rng, pool, examples)
        if made is not None:
            pool.append(made)
    used = {id(source) for value in pool for source in value.sources}
    ends = [v for v in pool if id(v) not in used and _at_queries(v)]
    terms = tuple((value, _matrix(rng, 2, value.dim)) for value in ends)
    # A network has at least one layer.
    terms = (*terms, (prompt.covariate * prompt.covariate, _matrix(rng, 2, dim)))
    output = Affine(terms, rng.uniform(-1, 1, 2) if rng.random() < 0.5 else None)
    names = {f"v{i}": value for i, value in enumerate(pool[2:])}
    return Circuit(f"random {seed}", prompt, output, names)


def _at_queries(value: Value) -> bool:
    return value.columns.kinds >= COVARIATES.kinds


def _pick(rng: Rng, values: list[Value]) -> Value | None:
    """Any of the values; later ones twice as often, so that circuits become deep."""
    if not values:
        return None
    recent = values[-2:] if rng.random() < 0.5 else values
    return recent[int(rng.integers(len(recent)))]


def _pure(pool: list[Value]) -> list[Value]:
    return [v for v in pool if v.columns.kinds in (COVARIATES.kinds, LABELS.kinds)]


def _matrix(rng: Rng, rows: int, columns: int) -> np.ndarray:
    """Entries of size 1 / columns; a few matrices have zeros, and some are the identity."""
    if rows == columns and rng.random() < 0.3:
        return np.eye(rows)
    matrix = rng.uniform(-1, 1, (rows, columns)) / columns
    matrix[rng.random((rows, columns)) < 0.2] = 0.0
    return matrix


def _mapped(rng: Rng, value: Value, rows: int) -> Value:
    shift = rng.uniform(-1, 1, rows) if rng.random() < 0.4 else None
    return Affine(((value, _matrix(rng, rows, value.dim)),), shift)


def _affine(rng: Rng, pool: list[Value], _: int) -> Value | None:
    first = _pick(rng, pool)
    if first is None:
        return None
    rows = int(rng.integers(1, 4))
    second = _pick(rng, [v for v in pool if v.columns.kinds & first.columns.kinds])
    terms = [(v, _matrix(rng, rows, v.dim)) for v in (first, second) if v is not None]
    return Affine(tuple(terms), rng.uniform(-1, 1, rows) if rng.random() < 0.4 else None)


def _product(rng: Rng, pool: list[Value], _: int) -> Value | None:
    left = _pick(rng, pool)
    if left is None or rng.random() < 0.3:
        return None if left is None else 0.5 * Product(left, left)
    right = _pick(rng, [v for v in pool if v.columns.kinds & left.columns.kinds])
    return None if right is None else 0.5 * Product(left, _mapped(rng, right, left.dim))


def _previous(rng: Rng, pool: list[Value], _: int) -> Value | None:
    source = _pick(rng, _pure(pool))
    return None if source is None else Previous(source)


def _sum(rng: Rng, pool: list[Value], _: int) -> Value | None:
    source = _pick(rng, _pure(pool))
    where = (COVARIATES, COVARIATES, LABELS, EVERY)[int(rng.integers(4))]
    return None if source is None else 0.5 * Sum(source, where)


def _fetch(rng: Rng, pool: list[Value], examples: int) -> Value | None:
    source = _pick(rng, pool)
    columns = [] if source is None else sorted(source.columns.of(examples))
    if source is None or not columns:
        return None
    return Fetch(source, columns[int(rng.integers(len(columns)))])


def _mixture(rng: Rng, pool: list[Value], _: int) -> Value | None:
    logits = _pick(rng, pool)
    if logits is None:
        return None
    return Mixture(logits, _matrix(rng, int(rng.integers(1, 4)), logits.dim))


def _attention(rng: Rng, pool: list[Value], _: int) -> Value | None:
    query, key = _pick(rng, pool), _pick(rng, _pure(pool))
    if query is None or key is None:
        return None
    value = _pick(rng, [v for v in pool if v.columns == key.columns])
    size = int(rng.integers(1, 3))
    if value is None:
        return None
    return Attention(_mapped(rng, query, size), _mapped(rng, key, size), value)


MAKERS: tuple[Callable[[Rng, list[Value], int], Value | None], ...] = (
    _affine, _product, _product, _previous, _sum, _fetch, _mixture, _attention,
)  # fmt: skip
