"""Expectations over Gaussian vectors by pairings, for every dimension at once.

For x ~ N(0, C), the expectation of a product of forms with x at their ends is the sum over all ways
to join the ends in pairs by C (Isserlis, Wick): a'W x and x'V b become a'W C V b, and a form whose
own ends meet, x'W x, becomes tr(W C).

The sum is taken end by end, and what is left after a join is a product of forms again, taken once
however many joins lead to it: equal terms are merged on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod
from typing import TypeAlias

from theory.moments import words
from theory.moments.algebra import Matrix, Vector
from theory.moments.expression import Expression, Monomial
from theory.moments.words import Factor, Form, Letter, Scalar, Word

__all__ = ["expectation"]

#: Forms with the random vector at one end or both, in order.
_Forms: TypeAlias = tuple[Form, ...]


def expectation(expression: Expression, laws: Mapping[str, Matrix | Expression]) -> Expression:
    """Take the expectation over independent centred Gaussian vectors and numbers.

    Parameters
    ----------
    expression
        What to average: a scalar, such as x @ A @ x or a trace.
    laws
        For the name of every random vector its covariance, a matrix made by `symmetric`; for the
        name of every random scalar its variance, an expression.

    Returns
    -------
    Expression
        The exact expectation, free of the random letters.

    Raises
    ------
    TypeError
        If the first argument is not an expression, or a law neither a matrix nor an expression.
    ValueError
        If the covariance of a vector is not one symmetric letter, or a name has a law of the wrong
        kind.

    Notes
    -----
    A monomial in which x occurs 2n times has (2n - 1)!! = 1, 3, 15, 105, 945, ... pairings, and as
    many terms if all its forms differ: a product of six forms x'A_i x has 10395, and takes 2 s.
    Powers cost less, because equal forms are merged: (x'Cx)^8 and (x'Ax)^8, with 2027025 pairings,
    have 22 and 157 terms, and take 0.03 s and 0.15 s.
    """
    if not isinstance(expression, Expression):
        raise TypeError(
            f"expectation(expression, laws): expression is {_described(expression)}; expected a"
            " scalar expression: make one as x @ A @ x, as M.trace() for a matrix M, or as"
            " Expression.constant(3)"
        )
    for name, law in laws.items():
        if isinstance(law, Matrix):
            if Scalar(name) in expression.factors():
                raise ValueError(
                    f"the law of the scalar {name} is {_described(law)}; expected its variance, an"
                    " expression such as scalar('sigma') ** 2"
                )
            expression = _over_vector(expression, name, _symmetric_letter(name, law))
        elif isinstance(law, Expression):
            if any(isinstance(f, Form) and name in (f.left, f.right) for f in expression.factors()):
                raise ValueError(
                    f"the law of the vector {name} is {_described(law)}; expected its covariance, a"
                    " symmetric letter: use theory.moments.algebra.symmetric(...)"
                )
            expression = _sum(_over_scalar(m, name, law) * c for m, c in _terms(expression))
        else:
            raise TypeError(
                f"the law of {name} is {_described(law)}; expected symmetric('C') for a vector, an"
                " expression for a scalar: put numbers in their place in the result, with"
                " theory.moments.evaluation.evaluate"
            )
    return expression


def _described(value: object) -> str:
    if isinstance(value, Vector):
        return f"the vector {value!r}"
    if isinstance(value, Matrix):
        return f"the matrix {value!r}"
    if isinstance(value, Expression):
        return f"the expression {value!r}"
    return f"{' '.join(repr(value).split())}, of type {type(value).__name__}"


def _terms(expression: Expression) -> Iterator[tuple[Monomial, Expression]]:
    return ((m, Expression.constant(c)) for m, c in expression.terms.items())


def _sum(parts: Iterator[Expression]) -> Expression:
    return sum(parts, Expression({}))


def _symmetric_letter(name: str, covariance: Matrix) -> Letter:
    match list(covariance.terms.items()):
        case [((Letter(symmetric=True) as letter,), coefficient)] if coefficient == 1:
            return letter
    raise ValueError(
        f"the covariance of {name} is {covariance!r}; expected a single symmetric letter: use"
        " theory.moments.algebra.symmetric(...), and substitute the matrix that it stands for"
        " afterwards"
    )


def _over_scalar(monomial: Monomial, name: str, variance: Expression) -> Expression:
    """E z^n = (n-1)!! v^{n/2}."""
    powers = dict(monomial)
    power = powers.pop(Scalar(name), 0)
    if power % 2:
        return Expression({})
    rest = Expression({frozenset(powers.items()): prod(range(1, power, 2))})
    return rest * variance ** (power // 2)


def _over_vector(expression: Expression, name: str, covariance: Letter) -> Expression:
    pairings = _Pairings(name, covariance)
    return _sum(pairings.of_monomial(m) * c for m, c in _terms(expression))


class _Pairings:
    """The expectations of products of forms over one vector, each found once."""

    def __init__(self, name: str, covariance: Letter) -> None:
        self._name = name
        self._covariance = covariance
        self._found: dict[_Forms, Expression] = {(): Expression.constant(1)}

    def of_monomial(self, monomial: Monomial) -> Expression:
        fixed: list[Factor] = []
        random: list[Form] = []
        for factor, power in monomial:
            kept = not (isinstance(factor, Form) and self._name in (factor.left, factor.right))
            (fixed if kept else random).extend([factor] * power)  # type: ignore[list-item]
        ends = sum((f.left == self._name) + (f.right == self._name) for f in random)
        if ends % 2:
            return Expression({})
        return self._of_forms(tuple(sorted(random))) * Expression.product(fixed)

    def _of_forms(self, forms: _Forms) -> Expression:
        if forms not in self._found:
            self._found[forms] = _sum(self._joins(forms[0], forms[1:]))
        return self._found[forms]

    def _joins(self, chosen: Form, others: _Forms) -> Iterator[Expression]:
        """Give what becomes of the product, once for every partner of one end of the first."""
        left, word = _open(chosen, self._name)
        word += (self._covariance,)
        if left == self._name:  # the form's own ends meet
            yield self._of_forms(others) * Expression.product([words.trace(word)])
        for other, count in Counter(others).items():
            place = others.index(other)
            remaining = others[:place] + others[place + 1 :]
            for right, tail in _continuations(other, self._name):
                joined = words.form(left, word + tail, right)
                if self._name in (left, right):
                    rest = self._of_forms(tuple(sorted((*remaining, joined))))
                else:
                    rest = self._of_forms(remaining) * Expression.product([joined])
                yield rest * count


def _open(chosen: Form, name: str) -> tuple[str, Word]:
    """Spell the form as left' W x."""
    if chosen.right == name:
        return chosen.left, chosen.word
    return chosen.right, words.transpose(chosen.word)


def _continuations(other: Form, name: str) -> Iterator[tuple[str, Word]]:
    """Spell the form as x' W right, in one or two ways."""
    if other.left == name:
        yield other.right, other.word
    if other.right == name:
        yield other.left, words.transpose(other.word)
