"""Expressions as formulas, in plain text and in LaTeX: terms collected by powers of 1/N."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction

from theory.moments.expression import Expression, Monomial
from theory.moments.words import Factor, Form, Letter, Scalar, Word

__all__ = ["latex", "text"]

#: The scalar by whose powers terms are collected.
INVERSE_LENGTH = "1/N"

_GREEK = ("Gamma", "Lambda", "Sigma", "sigma", "kappa", "gamma", "lambda", "tau")


def text(expression: Expression) -> str:
    """Print as plain text, such as (1 + 1/N) tr(Lambda U Lambda U') - 2 p'Lambda q."""
    return _print(expression, _Plain())


def latex(expression: Expression) -> str:
    r"""Print as LaTeX, such as (1 + N^{-1}) \mathrm{tr}(\Lambda U \Lambda U^\top)."""
    return _print(expression, _Latex())


class _Plain:
    """Spells the parts of a formula."""

    def name(self, name: str) -> str:
        return name

    def letter(self, letter: Letter) -> str:
        return self.name(letter.name) + "'" * letter.transposed

    def trace(self, inside: str) -> str:
        return f"tr({inside})"

    def transposed(self, name: str) -> str:
        return f"{name}'"

    def power(self, base: str, power: int) -> str:
        return f"{base}^{power}"

    def length(self, power: int, numerator: int) -> str:
        return f"{numerator}/N" + (f"^{power}" if power > 1 else "")

    def fraction(self, value: Fraction) -> str:
        return str(value)


class _Latex(_Plain):
    def name(self, name: str) -> str:
        base, _, index = name.partition("_")
        base = f"\\{base}" if base in _GREEK else base
        return f"{base}_{{{index}}}" if index else base

    def letter(self, letter: Letter) -> str:
        return self.name(letter.name) + r"^\top" * letter.transposed

    def trace(self, inside: str) -> str:
        return rf"\mathrm{{tr}}({inside})"

    def transposed(self, name: str) -> str:
        return rf"{name}^\top "

    def power(self, base: str, power: int) -> str:
        return f"{base}^{{{power}}}"

    def length(self, power: int, numerator: int) -> str:
        return rf"\frac{{{numerator}}}{{N" + (f"^{{{power}}}" if power > 1 else "") + "}"

    def fraction(self, value: Fraction) -> str:
        if value.denominator == 1:
            return str(value)
        return rf"\tfrac{{{value.numerator}}}{{{value.denominator}}}"


def _print(expression: Expression, style: _Plain) -> str:
    collected: defaultdict[Monomial, dict[int, Fraction]] = defaultdict(dict)
    length = Scalar(INVERSE_LENGTH)
    for monomial, coefficient in expression.terms.items():
        power = dict(monomial).get(length, 0)
        collected[monomial - {(length, power)}][power] = coefficient
    pieces = [
        _term(coefficients, [_power(f, n, style) for f, n in sorted(monomial, key=_order)], style)
        for monomial, coefficients in sorted(collected.items(), key=_sort_key)
    ]
    if not pieces:
        return "0"
    first, *rest = pieces
    start = first.removeprefix("+ ") if first.startswith("+") else "-" + first[2:]
    return " ".join([start, *rest])


def _sort_key(item: tuple[Monomial, Mapping[int, Fraction]]) -> tuple[int, int, list[str]]:
    monomial, coefficients = item
    size = sum(power * _size(factor) for factor, power in monomial)
    return min(coefficients), size, sorted(str(f) for f in monomial)


def _order(item: tuple[Factor, int]) -> tuple[int, str]:
    """Scalars first, then traces, then forms."""
    factor, _ = item
    return (len(factor) if isinstance(factor, Form) else not isinstance(factor, Scalar)), str(
        factor
    )


def _size(factor: Factor) -> int:
    if isinstance(factor, Scalar):
        return 1
    return len(factor.word) + 2 * isinstance(factor, Form)


def _term(coefficients: Mapping[int, Fraction], factors: list[str], style: _Plain) -> str:
    sign = "-" if all(c < 0 for c in coefficients.values()) else "+"
    flip = -1 if sign == "-" else 1
    parts = [_over_length(c * flip, n, style) for n, c in sorted(coefficients.items())]
    head = parts[0] if len(parts) == 1 else f"({' + '.join(parts).replace('+ -', '- ')})"
    if head == "1" and factors:
        return f"{sign} {' '.join(factors)}"
    return f"{sign} {' '.join([head, *factors])}"


def _over_length(value: Fraction, power: int, style: _Plain) -> str:
    if power == 0:
        return style.fraction(value)
    if value.denominator == 1:
        return style.length(power, value.numerator)
    return f"{style.fraction(value)} {style.length(power, 1)}"


def _power(factor: Factor, power: int, style: _Plain) -> str:
    if isinstance(factor, Scalar):
        base = style.name(factor.name)
        return style.power(base, power) if power > 1 else base
    if isinstance(factor, Form):
        base = _form(factor, style)
        return style.power(f"({base})", power) if power > 1 else base
    base = style.trace(_word(factor.word, style))
    return style.power(base, power) if power > 1 else base


def _form(factor: Form, style: _Plain) -> str:
    left, right = style.transposed(style.name(factor.left)), style.name(factor.right)
    return left + " ".join(filter(None, [_word(factor.word, style), right]))


def _word(word: Word, style: _Plain) -> str:
    return " ".join(style.letter(letter) for letter in word)
