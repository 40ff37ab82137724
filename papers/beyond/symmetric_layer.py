"""The full layer's loss for Lambda = I on weights along one direction, for every d.

For a unit vector v, p = P v, q = Q v and U = x vv' + t (I - vv') are the weights that no rotation
around v moves. The loss is invariant under rotations, so that gradient flow keeps this set.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from theory.moments.algebra import identity, outer, vector
from theory.moments.evaluation import substitute
from theory.moments.expression import Expression, scalar
from theory.moments.layer import derive_loss
from theory.moments.words import Form, Scalar

#: The dimension d and the number N of examples.
DIM, LENGTH = sp.symbols("d N", positive=True)

#: P, Q, x, t and u.
WEIGHTS = sp.symbols("P Q x t u", real=True)


@cache
def symmetric_loss() -> sp.Expr:
    """Derive L in P, Q, x, t, u, d and N, for tasks w ~ N(0, I) without noise."""
    along = vector("v")
    part = outer(along, along)
    values = {
        "Lambda": identity(),
        "S": identity(),
        "sigma": Expression({}),
        "p": along * scalar("P"),
        "q": along * scalar("Q"),
        "U": part * scalar("x") + (identity() - part) * scalar("t"),
    }
    symbols = {str(letter): letter for letter in (*WEIGHTS, DIM)} | {"1/N": 1 / LENGTH}
    total = sp.Integer(0)
    for monomial, c in substitute(derive_loss(), values).terms.items():
        term = sp.Rational(c.numerator, c.denominator)
        for factor, power in monomial:
            # The only form is v'v = 1.
            assert isinstance(factor, Scalar | Form)
            term *= symbols[factor.name] ** power if isinstance(factor, Scalar) else 1
        total += term
    return sp.expand(total)
