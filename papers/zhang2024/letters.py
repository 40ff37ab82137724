"""Numbers for the letters of a proof by words: what a wrong claim gets wrong, at one place."""

from typing import Any

import numpy as np

from theory.moments.evaluation import evaluate
from theory.moments.expression import Expression
from theory.moments.words import Factor, Form, Scalar

#: The dimension of the counterexamples.
DIM = 2

#: Tries to find a place where the sides differ: they agree by chance on, say, symmetric matrices.
_DRAWS = 20


def disagreement(found: Expression, claimed: Expression, rng: np.random.Generator) -> str:
    """Say where two expressions differ, with numbers; nothing if they are equal for every d."""
    if found == claimed:
        return ""
    for _ in range(_DRAWS):
        values = _values(found.factors() | claimed.factors(), rng)
        reached, told = (float(evaluate(side, values)) for side in (found, claimed))
        if not np.isclose(reached, told):
            break
    listed = ", ".join(f"{name} = {_flat(value)}" for name, value in sorted(values.items()))
    return f"d = {DIM}, {listed}: {reached:.6g}, and the claim says {told:.6g}"


def _values(factors: set[Factor], rng: np.random.Generator) -> dict[str, Any]:
    """Draw positive numbers, vectors, matrices, and positive definite symmetric matrices."""
    values: dict[str, Any] = {}
    for factor in sorted(factors, key=str):
        if isinstance(factor, Scalar):
            number = (
                DIM
                if factor.name == "d"
                else 0.5
                if factor.name in ("1/N", "1/M")
                else rng.integers(1, 4)
            )
            values.setdefault(factor.name, float(number))
            continue
        if isinstance(factor, Form):
            for name in (factor.left, factor.right):
                values.setdefault(name, rng.integers(1, 4, DIM).astype(float))
        for letter in factor.word:
            root = rng.integers(1, 4, (DIM, DIM)).astype(float)
            value = root @ root.T + np.eye(DIM) if letter.symmetric else root
            values.setdefault(letter.name, value)
    return values


def _flat(value: Any) -> str:
    return str(np.asarray(value).tolist())
