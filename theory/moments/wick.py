"""Expectations over Gaussian vectors by pairings, for every dimension at once.

For x ~ N(0, C), the expectation of a product of forms with x at their ends is the sum over all ways
to join the ends in pairs by C (Isserlis, Wick): a'W x and x'V b become a'W C V b, and a form whose
own ends meet, x'W x, becomes tr(W C).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from theory.moments import words
from theory.moments.algebra import Matrix
from theory.moments.expression import Expression, Monomial
from theory.moments.words import Factor, Form, Letter, Scalar, Word

__all__ = ["expectation"]


def expectation(expression: Expression, laws: Mapping[str, Matrix | Expression]) -> Expression:
    """Take the expectation over independent centred Gaussian vectors and numbers.

    Parameters
    ----------
    expression
        What to average.
    laws
        For the name of every random vector its covariance, a matrix made by `symmetric`; for the
        name of every random scalar its variance, an expression.

    Returns
    -------
    Expression
        The exact expectation, free of the random letters.

    Raises
    ------
    ValueError
        If the covariance of a vector is not one symmetric letter.
    """
    for name, law in laws.items():
        if isinstance(law, Matrix):
            letter = _symmetric_letter(name, law)
            expression = _sum(_over_vector(m, name, letter) * c for m, c in _terms(expression))
        else:
            expression = _sum(_over_scalar(m, name, law) * c for m, c in _terms(expression))
    return expression


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
        " theory.moments.symmetric(...), and substitute the matrix that it stands for afterwards"
    )


def _over_scalar(monomial: Monomial, name: str, variance: Expression) -> Expression:
    """E z^n = (n-1)!! v^{n/2}."""
    powers = dict(monomial)
    power = powers.pop(Scalar(name), 0)
    if power % 2:
        return Expression({})
    rest = Expression({frozenset(powers.items()): prod(range(1, power, 2))})
    return rest * variance ** (power // 2)


def _over_vector(monomial: Monomial, name: str, covariance: Letter) -> Expression:
    fixed: list[Factor] = []
    random: list[Form] = []
    for factor, power in monomial:
        if isinstance(factor, Form) and name in (factor.left, factor.right):
            random += [factor] * power
        else:
            fixed += [factor] * power
    ends = sum((f.left == name) + (f.right == name) for f in random)
    if ends % 2:
        return Expression({})
    return _sum(
        Expression.product(fixed + joined) for joined in _pairings(random, name, covariance)
    )


def _pairings(forms: list[Form], name: str, covariance: Letter) -> Iterator[list[Factor]]:
    """Give the factors that remain, once for every way to pair the ends that are x = `name`."""
    place = next((i for i, f in enumerate(forms) if name in (f.left, f.right)), None)
    if place is None:
        yield [words.form(*f) for f in forms]
        return
    chosen, others = forms[place], forms[:place] + forms[place + 1 :]
    left, word = _open(chosen, name)
    word += (covariance,)
    if left == name:  # the form's own ends meet
        for rest in _pairings(others, name, covariance):
            yield [words.trace(word), *rest]
    for i, other in enumerate(others):
        remaining = others[:i] + others[i + 1 :]
        for right, tail in _continuations(other, name):
            joined = Form(left, word + tail, right)
            yield from _pairings([joined, *remaining], name, covariance)


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
