"""Expressions with values in place of their letters: numbers, polynomials, or other words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import reduce
from operator import matmul, mul
from typing import Any

from theory.moments.algebra import Matrix, Vector, matrix, symmetric, vector
from theory.moments.expression import Expression, scalar
from theory.moments.words import Factor, Form, Letter, Scalar, Trace, Word

__all__ = ["derivative", "evaluate", "substitute"]


def evaluate(expression: Expression, values: Mapping[str, Any]) -> Any:
    """Evaluate with numpy arrays, exact or not.

    Parameters
    ----------
    expression
        What to evaluate.
    values
        For the name of every letter a value: numbers for scalars, arrays of shape (d,) for vectors
        and (d, d) for matrices. Arrays of dtype object may hold fractions or elements of a
        polynomial ring; the arithmetic is that of the entries. The dimension is the scalar "d".

    Returns
    -------
    Any
        A number or a polynomial.

    Raises
    ------
    ValueError
        If a letter has no value, or a symmetric letter has one that is not symmetric.
    """
    factors = expression.factors()
    missing = sorted({name for f in factors for name in _names(f)} - set(values))
    if missing:
        raise ValueError(
            f"no value for {', '.join(missing)}; expected one for every letter of {expression!r}"
        )
    for letter in _letters(factors):
        value = values[letter.name]
        if letter.symmetric and not _is_symmetric(value):
            raise ValueError(f"{letter.name} is symmetric and its value is not: {value!r}")
    known = {factor: _value(factor, values) for factor in factors}
    total: Any = 0
    for monomial, coefficient in expression.terms.items():
        product = reduce(mul, (known[f] for f, power in monomial for _ in range(power)), 1)
        total = total + _scaled(product, coefficient)
    return total


def substitute(
    expression: Expression, values: Mapping[str, Expression | Vector | Matrix]
) -> Expression:
    """Put other expressions, vectors and matrices in place of letters; the rest stays.

    Raises
    ------
    ValueError
        If the value of a symmetric letter is not symmetric.
    """
    own: dict[str, Any] = {}
    for factor in expression.factors():
        if isinstance(factor, Scalar):
            own[factor.name] = scalar(factor.name)
        elif isinstance(factor, Form):
            own |= {name: vector(name) for name in (factor.left, factor.right)}
    for letter in _letters(expression.factors()):
        own[letter.name] = symmetric(letter.name) if letter.symmetric else matrix(letter.name)
    found: Expression = evaluate(expression, own | dict(values)) + Expression({})
    return found


def derivative(
    expression: Expression, directions: Mapping[str, Expression | Vector | Matrix]
) -> Expression:
    """Differentiate in a direction: the part linear in t at letter + t direction.

    With a new letter as direction, this determines the gradient: it is G where the derivative is
    the inner product of G and the letter, tr(G'V) or g'v.

    Parameters
    ----------
    expression
        What to differentiate.
    directions
        For the name of every letter that moves its direction.
    """
    step = scalar("(step)")
    moved: dict[str, Any] = {}
    for name, direction in directions.items():
        if isinstance(direction, Matrix):
            moved[name] = _own_matrix(expression, name) + direction * step
        elif isinstance(direction, Vector):
            moved[name] = vector(name) + direction * step
        else:
            moved[name] = scalar(name) + direction * step
    return substitute(expression, moved).coefficient("(step)", 1)


def _scaled(value: Any, factor: Fraction) -> Any:
    """Multiply in the arithmetic of the value; a quotient of integers is a fraction."""
    if isinstance(value, int):
        return value * factor
    return value * factor.numerator / factor.denominator


def _own_matrix(expression: Expression, name: str) -> Matrix:
    kept = any(x.symmetric for x in _letters(expression.factors()) if x.name == name)
    return symmetric(name) if kept else matrix(name)


def _letters(factors: Iterable[Factor]) -> set[Letter]:
    return {letter for f in factors if not isinstance(f, Scalar) for letter in f.word}


def _names(factor: Factor) -> set[str]:
    if isinstance(factor, Scalar):
        return {factor.name}
    ends = {factor.left, factor.right} if isinstance(factor, Form) else set()
    return ends | {letter.name for letter in factor.word}


def _is_symmetric(value: Any) -> bool:
    same = value == value.T
    return same if isinstance(same, bool) else bool(same.all())


def _value(factor: Factor, values: Mapping[str, Any]) -> Any:
    if isinstance(factor, Scalar):
        return values[factor.name]
    if isinstance(factor, Trace):
        return reduce(matmul, _spelled(factor.word, values)).trace()
    return reduce(matmul, _spelled(factor.word, values), values[factor.left]) @ values[factor.right]


def _spelled(word: Word, values: Mapping[str, Any]) -> list[Any]:
    return [values[x.name].T if x.transposed else values[x.name] for x in word]
