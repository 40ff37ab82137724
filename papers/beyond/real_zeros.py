"""How many real zeros polynomials have in common, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp
from flint import fmpq, fmpq_mat

from papers.beyond.layer_polynomial import inertia

#: Powers of the letters.
Powers = tuple[int, ...]


def count_real_zeros(polynomials: Sequence[sp.Expr], letters: Sequence[sp.Symbol]) -> int:
    """Count the distinct real zeros of an ideal with finitely many zeros, by Hermite's trace form.

    On the quotient ring, (b, c) -> tr(multiplication by b c) has their number as signature.

    Parameters
    ----------
    polynomials
        With rational coefficients.
    letters
        The unknowns.

    Raises
    ------
    ValueError
        If there are infinitely many complex zeros.
    """
    ideal = sp.groebner(polynomials, *letters, order="grevlex")
    if not ideal.is_zero_dimensional:
        raise ValueError(f"{list(ideal.exprs)} have infinitely many zeros; expected finitely many")
    quotient = _Quotient(ideal.exprs, letters)
    traces = [quotient.trace(m) for m in quotient.basis]

    def form(b: Powers, c: Powers) -> fmpq:
        # The trace is linear in the product, and that is a combination of the basis.
        parts = zip(quotient.reduced(_times(b, c)), traces, strict=True)
        return sum((x * t for x, t in parts), fmpq(0))

    signs = inertia([[form(b, c) for c in quotient.basis] for b in quotient.basis])
    return signs.positive - signs.negative


class _Quotient:
    """The polynomials modulo a Groebner basis, as a vector space over its standard monomials."""

    def __init__(self, groebner: Sequence[sp.Expr], letters: Sequence[sp.Symbol]) -> None:
        self._ring = sp.ring(letters, sp.QQ, order="grevlex")[0]
        self._divisors = [self._ring.from_expr(g) for g in groebner]
        count = len(letters)
        self._units = [tuple(int(i == k) for i in range(count)) for k in range(count)]
        self.basis = self._standard()
        self._places = {m: i for i, m in enumerate(self.basis)}
        self._by_letter = [
            fmpq_mat([self.reduced(_times(m, unit)) for m in self.basis]).transpose()
            for unit in self._units
        ]

    def reduced(self, monomial: Powers) -> list[fmpq]:
        """Return the coordinates of a monomial."""
        entries = [fmpq(0)] * len(self.basis)
        for m, c in self._ring({monomial: 1}).rem(self._divisors).iterterms():
            entries[self._places[m]] = fmpq(int(c.numerator), int(c.denominator))
        return entries

    def trace(self, monomial: Powers) -> fmpq:
        """Return the trace of the multiplication by a monomial."""
        size = len(self.basis)
        product = fmpq_mat([[int(i == j) for j in range(size)] for i in range(size)])
        for factor, power in zip(self._by_letter, monomial, strict=True):
            for _ in range(power):
                product = factor * product
        return sum((product[i, i] for i in range(size)), fmpq(0))

    def _standard(self) -> list[Powers]:
        """Return the monomials that no leading one divides, by ascending degree."""
        leading = [g.leading_expv() for g in self._divisors]
        found: list[Powers] = []
        layer: list[Powers] = [(0,) * len(self._units)]
        while layer := [m for m in layer if not any(_divides(b, m) for b in leading)]:
            found += layer
            layer = sorted({_times(m, unit) for m in layer for unit in self._units})
        return found


def _times(left: Powers, right: Powers) -> Powers:
    return tuple(m + n for m, n in zip(left, right, strict=True))


def _divides(left: Powers, right: Powers) -> bool:
    return all(m <= n for m, n in zip(left, right, strict=True))
