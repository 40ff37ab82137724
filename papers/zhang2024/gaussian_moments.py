r"""Lemma 30 and the Sigma of Theorem 5 for linear models: fourth moments, for every dimension.

A matrix M is known from its forms a'M b with vectors a, b that are letters; the expectations of
those are sums over pairings (`theory.moments.wick`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.letters import disagreement
from theory.moments import coordinate
from theory.moments.algebra import Matrix, Vector, matrix, outer, symmetric, vector
from theory.moments.coordinate import CoordinateMoments
from theory.moments.evaluation import evaluate
from theory.moments.expression import Expression, scalar
from theory.moments.wick import expectation

LAMBDA, X = symmetric("Lambda"), vector("x")
LEFT, RIGHT = vector("a"), vector("b")

#: The dimensions in which the coordinate engine judges the pairings.
DIMENSIONS = (1, 2, 3)


@dataclass(frozen=True)
class FourthMomentClaim:
    """E[X X'A X X'] from A and Lambda, for a Gaussian X or for every X of mean zero."""

    moment: Callable[[Matrix, Matrix], Matrix]
    gaussian: bool = True


#: The covariance of x y for y = w'x + e, Var e = s^2, from w, Lambda and s^2.
SigmaClaim = Callable[[Vector, Matrix, Expression], Matrix]


def _lemma_30(A: Matrix, L: Matrix) -> Matrix:
    return L @ (A + A.T) @ L + L * (A @ L).trace()


@statement(
    id="zhang2024/lemma-30",
    title="The fourth moment of a Gaussian vector",
    source="Appendix D, Lemma 30",
    latex=r"\mathbb{E}[XX^\top A XX^\top] = \Lambda (A + A^\top) \Lambda"
    r" + \mathrm{tr}(A\Lambda)\Lambda",
    printed=FourthMomentClaim(_lemma_30),
    mutants={
        "A twice, for a symmetric A": FourthMomentClaim(
            lambda A, L: 2 * (L @ A @ L) + L * (A @ L).trace()
        ),
        "minus the transpose": FourthMomentClaim(
            lambda A, L: L @ (A - A.T) @ L + L * (A @ L).trace()
        ),
        "the trace of A alone": FourthMomentClaim(lambda A, L: L @ (A + A.T) @ L + L * A.trace()),
        "without the trace": FourthMomentClaim(lambda A, L: L @ (A + A.T) @ L),
        "1 % more trace": FourthMomentClaim(
            lambda A, L: L @ (A + A.T) @ L + L * (A @ L).trace() * 101 / 100
        ),
        "for every X of mean zero": FourthMomentClaim(_lemma_30, gaussian=False),
    },
    hypotheses=("X ~ N(0, Lambda)", "A is fixed"),
)
def LEMMA_30(claim: FourthMomentClaim, rng: np.random.Generator) -> Evidence:
    """Sum over the three pairings; judge the claim in coordinates too."""
    A = matrix("A")
    moment = expectation((LEFT @ X) * (X @ A @ X) * (X @ RIGHT), {"x": LAMBDA})
    counterexample = disagreement(moment, LEFT @ claim.moment(A, LAMBDA) @ RIGHT, rng)
    if not claim.gaussian:
        counterexample = counterexample or _wrong_for_signs(claim)
    for d in DIMENSIONS:
        counterexample = counterexample or _wrong_in_coordinates(claim, d)
    return Evidence(
        not counterexample,
        Grade.PROVED,
        "the sum over pairings of a'X X'A X X'b, and its mean monomial by monomial",
        f"every d, Lambda and A by words; d in {DIMENSIONS} in coordinates",
        counterexample=counterexample,
    )


def _wrong_for_signs(claim: FourthMomentClaim) -> str:
    """Try X = 1 or -1 in dimension 1, where X X'A X X' = A always."""
    one = {"Lambda": np.eye(1), "A": np.eye(1), "a": np.ones(1), "b": np.ones(1), "d": 1}
    claimed = evaluate(LEFT @ claim.moment(matrix("A"), LAMBDA) @ RIGHT, one)
    if claimed == 1:
        return ""
    return f"d = 1, X = 1 or -1 with equal odds, A = 1: the moment is 1, the claim says {claimed}"


def _wrong_in_coordinates(claim: FourthMomentClaim, d: int) -> str:
    """Compare for A = U, a = u12 and b = u21 with symbols, Lambda diagonal."""
    moments = CoordinateMoments(d)
    letters = {"Lambda": np.diag([moments.ring.zero] * d), "A": moments.U11}
    values: dict[str, Any] = {k: np.array(v, dtype=object) for k, v in letters.items()}
    values["Lambda"][np.diag_indices(d)] = moments.eigenvalues
    x, a, b = (np.array(v, dtype=object) for v in (moments.example, moments.u12, moments.u21))
    product = (a @ x) * (x @ values["A"] @ x) * (x @ b)
    expected = coordinate.expectation(product, {z: moments.variances[z] for z in moments.example})
    form = LEFT @ claim.moment(matrix("A"), LAMBDA) @ RIGHT
    claimed = evaluate(form, values | {"a": a, "b": b, "d": d})
    return "" if claimed == expected else f"d = {d}: the polynomials differ by {claimed - expected}"


def _sigma(w: Vector, L: Matrix, noise: Expression) -> Matrix:
    sigma: Matrix = L * (w @ L @ w) + outer(L @ w, L @ w) + L * noise
    return sigma


@statement(
    id="zhang2024/theorem-5-sigma",
    title="The Sigma of Theorem 5 for a linear model",
    source="Section 4.1, below Theorem 5 (without noise there; with noise ours)",
    latex=r"\Sigma = \|w\|_\Lambda^2 \Lambda + \Lambda w w^\top \Lambda"
    r"\ (+\, s^2 \Lambda \text{ for noise of variance } s^2)",
    printed=_sigma,
    mutants={
        "the dyad twice, a second moment": lambda w, L, noise: (
            _sigma(w, L, noise) + outer(L @ w, L @ w)
        ),
        "minus the dyad": lambda w, L, noise: _sigma(w, L, noise) - 2 * outer(L @ w, L @ w),
        "|w| without Lambda": lambda w, L, noise: L * (w @ w) + outer(L @ w, L @ w) + L * noise,
        "without the noise": lambda w, L, noise: L * (w @ L @ w) + outer(L @ w, L @ w),
        "1 % more": lambda w, L, noise: _sigma(w, L, noise) * 101 / 100,
    },
    hypotheses=("x ~ N(0, Lambda)", "y = w'x + e with e ~ N(0, s^2), s = 0 as printed"),
    depends_on=("zhang2024/lemma-30",),
)
def SIGMA(claim: SigmaClaim, rng: np.random.Generator) -> Evidence:
    """Cov(x y) by pairings."""
    w, e, variance = vector("w"), scalar("e"), scalar("s") ** 2
    y = w @ X + e
    laws: dict[str, Matrix | Expression] = {"x": LAMBDA, "e": variance}
    means = [expectation((end @ X) * y, laws) for end in (LEFT, RIGHT)]
    covariance = expectation((LEFT @ X) * y**2 * (X @ RIGHT), laws) - means[0] * means[1]
    counterexample = disagreement(covariance, LEFT @ claim(w, LAMBDA, variance) @ RIGHT, rng)
    return Evidence(
        not counterexample,
        Grade.PROVED,
        "the covariance of a'x y and b'x y by pairings",
        "every d, Lambda, w and s",
        counterexample=counterexample,
    )


STATEMENTS = (LEMMA_30, SIGMA)
