r"""The labels move the posterior mean of the component: d/dy_1 <w(P), x> in closed form.

With p_j the posterior weights of k examples, w(P) = sum_j p_j w_j and r_1j = <w_j, x_1> - y_1,

    d/dy_1 <w(P), x> = Cov_p(<w_j, x>, <w_j, x_1>) / sigma^2,

the covariance over j with weights p. At x = x_1 it is a variance, which is positive as soon as two
components of positive weight have different <w_j, x_1>: w(P) cannot be the same for all labels.
"""

from collections.abc import Callable

import numpy as np
import sympy as sp

from papers.ledger import Evidence, Grade, statement

#: The derivative, from p (m,), <w_j, x> (m,), <w_j, x_1> (m,) and sigma.
SlopeClaim = Callable[[list[sp.Expr], list[sp.Expr], list[sp.Expr], sp.Symbol], sp.Expr]

SIZES = ((2, 1), (2, 2), (3, 1), (3, 2), (4, 1))


def _covariance(
    p: list[sp.Expr], at_query: list[sp.Expr], at_example: list[sp.Expr], sigma: sp.Symbol
) -> sp.Expr:
    return (_mean(p, _times(at_query, at_example)) - _mean(p, at_query) * _mean(p, at_example)) / (
        sigma**2
    )


def _mean(p: list[sp.Expr], values: list[sp.Expr]) -> sp.Expr:
    return sum(a * b for a, b in zip(p, values, strict=True))


def _times(left: list[sp.Expr], right: list[sp.Expr]) -> list[sp.Expr]:
    return [a * b for a, b in zip(left, right, strict=True)]


@statement(
    id="beyond/labels-move-the-posterior",
    title="The posterior mean of the component depends on every label",
    source="ours; from pathak2023, eq. (4)",
    latex=r"\partial_{y_1} \langle \hat w(P), x \rangle = \sigma^{-2}"
    r" \mathrm{Cov}_{p}(\langle w_j, x \rangle, \langle w_j, x_1 \rangle)",
    printed=_covariance,
    beyond=True,
    mutants={
        "the wrong sign": lambda p, a, b, s: -_covariance(p, a, b, s),
        "twice": lambda p, a, b, s: 2 * _covariance(p, a, b, s),
        "sigma, not sigma^2": lambda p, a, b, s: s * _covariance(p, a, b, s),
        "the second moment": lambda p, a, b, s: _mean(p, _times(a, b)) / s**2,
        "the variance at the query": lambda p, a, b, s: _covariance(p, a, a, s),
    },
    hypotheses=("sigma > 0",),
)
def LABELS_MOVE(claim: SlopeClaim, rng: np.random.Generator) -> Evidence:
    """Differentiate eq. (4) with symbols."""
    counterexample = ""
    for m, k in SIZES:
        # Linear functionals are symbols of their own: v_j = <w_j, x>, u_ij = <w_j, x_i>.
        v = list(sp.symbols(f"v1:{m + 1}"))
        u = [list(sp.symbols(f"u{i}_1:{m + 1}")) for i in range(1, k + 1)]
        y, prior = sp.symbols(f"y1:{k + 1}"), sp.symbols(f"pi1:{m + 1}", positive=True)
        sigma = sp.Symbol("sigma", positive=True)
        powers = [
            sp.exp(-sum((u[i][j] - y[i]) ** 2 for i in range(k)) / (2 * sigma**2)) for j in range(m)
        ]
        weights = [a * b for a, b in zip(prior, powers, strict=True)]
        p = [weight / sum(weights) for weight in weights]
        difference = sp.diff(_mean(p, v), y[0]) - claim(p, v, u[0], sigma)
        # The exponentials as symbols of their own leave a rational function.
        plain = difference.subs(dict(zip(powers, sp.symbols(f"e1:{m + 1}"), strict=True)))
        if sp.expand(sp.numer(sp.together(plain))) != 0:
            counterexample = f"m = {m}, k = {k}: the derivative differs by {_value(difference)}"
            break
    return Evidence(
        not counterexample,
        Grade.PROVED,
        "the derivative of eq. (4) by the first label against the covariance",
        f"(m, k) in {SIZES}, every d, prior, sigma and prompt",
        counterexample=counterexample,
    )


def _value(difference: sp.Expr) -> float:
    """The difference at one place, for people."""
    symbols = sorted(difference.free_symbols, key=str)
    numbers = {symbol: sp.Rational(3 + i * i, 20) for i, symbol in enumerate(symbols)}
    return float(difference.subs(numbers))


STATEMENTS = (LABELS_MOVE,)
