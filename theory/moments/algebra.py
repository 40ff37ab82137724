"""Vectors and matrices of unknown dimension, written as in numpy: A @ B, A.T, p @ A @ q, trace.

A matrix is a linear combination of words and of dyads W p (V q)', a vector of words applied to
letters, both with `Expression` coefficients. They have the operations of numpy arrays of two and
one axes that formulas use, so that a formula written once serves words and arrays alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar, overload

import numpy as np

from theory.moments import words
from theory.moments.expression import Expression, Number
from theory.moments.words import Letter, Word, checked_name

__all__ = ["Dyad", "Matrix", "Ray", "Vector", "identity", "matrix", "outer", "symmetric", "vector"]


class Ray(NamedTuple):
    """A word applied to a vector: W p."""

    word: Word
    letter: str

    def under(self, word: Word) -> Ray:
        """Multiply by a word from the left."""
        return Ray(word + self.word, self.letter)


class Dyad(NamedTuple):
    """The matrix W p (V q)' of rank one."""

    left: Ray
    right: Ray


K = TypeVar("K", Ray, Word | Dyad)
C = TypeVar("C", bound="_Combination[Any]")
Scalars: TypeAlias = Expression | Number


class _Combination(Generic[K]):
    """A linear combination with expressions as coefficients."""

    __slots__ = ("terms",)

    #: Arrays leave the operators to this class, which refuses them; else numpy would take it apart.
    __array_ufunc__: ClassVar[None] = None

    terms: dict[K, Expression]

    def __init__(self, terms: Iterable[tuple[K, Scalars]]) -> None:
        total: defaultdict[K, Expression] = defaultdict(lambda: Expression({}))
        for key, coefficient in terms:
            total[key] += coefficient
        self.terms = {key: c for key, c in total.items() if c}

    def __add__(self: C, other: C) -> C:
        if type(other) is not type(self):
            raise TypeError(_no_summand(self, other))
        return type(self)([*self.terms.items(), *other.terms.items()])

    def __radd__(self, other: object) -> None:
        raise TypeError(_no_summand(self, other))

    def __sub__(self: C, other: C) -> C:
        return self + (-other if isinstance(other, _Combination) else other)

    def __neg__(self: C) -> C:
        return self * -1

    def __mul__(self: C, factor: Scalars) -> C:
        return type(self)((key, c * factor) for key, c in self.terms.items())

    __rmul__ = __mul__

    def __truediv__(self: C, divisor: Number) -> C:
        return type(self)((key, c / divisor) for key, c in self.terms.items())

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.terms == getattr(other, "terms", None)

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __repr__(self) -> str:
        terms = [_spell_multiple(c, _spell(key)) for key, c in self.terms.items()]
        return " + ".join(terms).replace("+ -", "- ") or "0"


class Vector(_Combination[Ray]):
    """A vector of unknown dimension; make one with `vector`."""

    __slots__ = ()

    @overload
    def __matmul__(self, other: Vector) -> Expression: ...
    @overload
    def __matmul__(self, other: Matrix) -> Vector: ...
    def __matmul__(self, other: Vector | Matrix) -> Expression | Vector:
        if isinstance(other, Matrix):
            return other.T @ self
        if not isinstance(other, Vector):
            raise TypeError(_no_factor(self, other))
        total = Expression({})
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                total += a * b * _inner(left, right)
        return total


class Matrix(_Combination["Word | Dyad"]):
    """A square matrix of unknown dimension; make one with `matrix`, `symmetric` or `outer`."""

    __slots__ = ()

    @property
    def T(self) -> Matrix:
        """The transpose."""
        return Matrix((_transposed(key), c) for key, c in self.terms.items())

    @overload
    def __matmul__(self, other: Vector) -> Vector: ...
    @overload
    def __matmul__(self, other: Matrix) -> Matrix: ...
    def __matmul__(self, other: Vector | Matrix) -> Vector | Matrix:
        mine = self.terms.items()
        if isinstance(other, Vector):
            return Vector(_applied(a, b, c * e) for a, c in mine for b, e in other.terms.items())
        if not isinstance(other, Matrix):
            raise TypeError(_no_factor(self, other))
        return Matrix(_multiplied(a, b, c * e) for a, c in mine for b, e in other.terms.items())

    def trace(self) -> Expression:
        """Give the trace."""
        total = Expression({})
        for key, c in self.terms.items():
            closed = _inner(*key) if isinstance(key, Dyad) else _trace(key)
            total += c * closed
        return total


def vector(name: str) -> Vector:
    """Give a vector without a value; a name that is not a string, or blank, is refused."""
    return Vector([(Ray((), checked_name("vector", name)), 1)])


def matrix(name: str) -> Matrix:
    """Give a square matrix without a value; a name that is not a string, or blank, is refused."""
    return Matrix([((Letter(checked_name("matrix", name)),), 1)])


def symmetric(name: str) -> Matrix:
    """Give a symmetric matrix without a value: it equals its transpose; names as in `matrix`."""
    return Matrix([((Letter(checked_name("symmetric", name), symmetric=True),), 1)])


def identity() -> Matrix:
    """Give the identity matrix; its trace is the scalar d."""
    return Matrix([((), 1)])


def outer(left: Any, right: Any) -> Any:
    """Give the matrix left right', of two vectors of this module or of two arrays."""
    if not isinstance(left, Vector):
        return np.multiply.outer(left, right)
    return Matrix(
        (Dyad(a, b), c * e) for a, c in left.terms.items() for b, e in right.terms.items()
    )


def _spell(key: Any) -> str:
    if isinstance(key, Dyad):
        right = _spell(key.right)
        return f"{_spell(key.left)} " + (f"({right})'" if key.right.word else f"{right}'")
    word = key.word if isinstance(key, Ray) else key
    letters = [letter.name + "'" * letter.transposed for letter in word]
    return " ".join([*letters, key.letter] if isinstance(key, Ray) else letters or ["I"])


def _spell_multiple(coefficient: Expression, what: str) -> str:
    if coefficient == 1:
        return what
    if coefficient == -1:
        return f"-{what}"
    return f"{coefficient!r} {what}" if len(coefficient) == 1 else f"({coefficient!r}) {what}"


def _kind(value: object) -> str:
    """Say what an operand is in the words of a user."""
    named = {Vector: "vector", Matrix: "matrix", Expression: "scalar expression"}
    return named.get(type(value), type(value).__name__)


def _given(value: object) -> str:
    return " ".join(f"the {_kind(value)} {value!r}".split())


def _no_summand(to: object, other: object) -> str:
    scalar_to_matrix = isinstance(to, Matrix) and isinstance(other, Expression | Number)
    advice = ": for a multiple of the identity write identity() * it" if scalar_to_matrix else ""
    return f"{to!r} + {_given(other)}: expected a {_kind(to)} to add to a {_kind(to)}{advice}"


def _no_factor(left: object, right: object) -> str:
    return (
        f"{left!r} @ {_given(right)}: expected a vector or a matrix of theory.moments.algebra; put"
        " arrays in place of letters with theory.moments.evaluation.evaluate, and multiply by"
        " scalars with *"
    )


def _trace(word: Word) -> Expression:
    return Expression.product([words.trace(word)])


def _inner(left: Ray, right: Ray) -> Expression:
    word = words.transpose(left.word) + right.word
    return Expression.product([words.form(left.letter, word, right.letter)])


def _transposed(key: Word | Dyad) -> Word | Dyad:
    return Dyad(key.right, key.left) if isinstance(key, Dyad) else words.transpose(key)


def _applied(left: Word | Dyad, ray: Ray, c: Expression) -> tuple[Ray, Expression]:
    if isinstance(left, Dyad):
        return left.left, c * _inner(left.right, ray)
    return ray.under(left), c


def _multiplied(
    left: Word | Dyad, right: Word | Dyad, c: Expression
) -> tuple[Word | Dyad, Expression]:
    if isinstance(left, Dyad) and isinstance(right, Dyad):
        return Dyad(left.left, right.right), c * _inner(left.right, right.left)
    if isinstance(left, Dyad):
        assert not isinstance(right, Dyad)
        return Dyad(left.left, left.right.under(words.transpose(right))), c
    if isinstance(right, Dyad):
        return Dyad(right.left.under(left), right.right), c
    return left + right, c
