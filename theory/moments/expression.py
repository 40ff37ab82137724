"""Polynomials in traces, forms and scalars with rational coefficients; equality is decided."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import SupportsIndex, TypeAlias

from theory.moments.words import Factor, Scalar, checked_name
from theory.validation import Problems

__all__ = ["Expression", "Monomial", "Number", "scalar"]

#: Factors with their powers >= 1.
Monomial: TypeAlias = frozenset[tuple[Factor, int]]

#: What an expression can be added to and multiplied by, beside expressions.
Number: TypeAlias = int | Fraction


class Expression:
    """A polynomial with rational coefficients in the scalars that words make, for every d.

    Expressions are values: `==` is the equality of polynomials, which is that of the numbers they
    stand for in every dimension (see `theory.moments.words`).

    Parameters
    ----------
    terms
        The coefficient of every monomial; zeros are dropped.
    """

    __slots__ = ("terms",)

    terms: dict[Monomial, Fraction]

    def __init__(self, terms: Mapping[Monomial, Number]) -> None:
        self.terms = {
            m: c if isinstance(c, Fraction) else Fraction(c) for m, c in terms.items() if c
        }

    @classmethod
    def constant(cls, value: Number) -> Expression:
        """Give the constant polynomial."""
        return cls({frozenset(): value})

    @classmethod
    def product(cls, factors: Iterable[Factor]) -> Expression:
        """Give the monomial that is the product of these factors."""
        return cls({frozenset(Counter(factors).items()): 1})

    def __add__(self, other: Expression | Number) -> Expression:
        if not isinstance(other, Expression | int | Fraction):
            return NotImplemented
        total = defaultdict(Fraction, self.terms)
        for monomial, coefficient in _lift(other).terms.items():
            total[monomial] += coefficient
        return Expression(total)

    __radd__ = __add__

    def __neg__(self) -> Expression:
        return self * -1

    def __sub__(self, other: Expression | Number) -> Expression:
        if not isinstance(other, Expression | int | Fraction):
            return NotImplemented
        return self + -_lift(other)

    def __rsub__(self, other: Number) -> Expression:
        return -self + other

    def __mul__(self, other: Expression | Number) -> Expression:
        if isinstance(other, int | Fraction):
            return Expression({m: c * other for m, c in self.terms.items()})
        if not isinstance(other, Expression):
            return NotImplemented  # vectors and matrices know how
        total: defaultdict[Monomial, Fraction] = defaultdict(Fraction)
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                total[_merge(left, right)] += a * b
        return Expression(total)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Number) -> Expression:
        return self * Fraction(1, divisor)

    def __pow__(self, power: SupportsIndex) -> Expression:
        problems = Problems("Expression ** power")
        count = problems.count("power", power, 0)
        problems.raise_if_any()
        result = Expression.constant(1)
        for _ in range(count):
            result = result * self
        return result

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Expression | int | Fraction):
            return NotImplemented
        return self.terms == _lift(other).terms

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __len__(self) -> int:
        return len(self.terms)

    def __repr__(self) -> str:
        from theory.moments.printing import text  # noqa: PLC0415 (printing knows expressions)

        return text(self)

    def coefficient(self, symbol: str, power: int) -> Expression:
        """Give what multiplies the given power of a scalar, as an expression without it."""
        factor = Scalar(symbol)
        return Expression(
            {
                m - {(factor, power)}: c
                for m, c in self.terms.items()
                if dict(m).get(factor, 0) == power
            }
        )

    def monomials(self) -> list[Expression]:
        """Give the terms one by one, coefficients included; their sum is the expression."""
        return [Expression({m: c}) for m, c in self.terms.items()]

    def factors(self) -> set[Factor]:
        """Give every scalar, trace and form that occurs."""
        return {factor for monomial in self.terms for factor, _ in monomial}


def scalar(name: str) -> Expression:
    """Give a scalar without a value, such as u_1 or 1/N; a name that is no name is refused."""
    return Expression.product([Scalar(checked_name("scalar", name))])


def _lift(value: Expression | Number) -> Expression:
    return value if isinstance(value, Expression) else Expression.constant(value)


def _merge(left: Monomial, right: Monomial) -> Monomial:
    powers = dict(left)
    for factor, power in right:
        powers[factor] = powers.get(factor, 0) + power
    return frozenset(powers.items())
