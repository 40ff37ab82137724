"""Pairings against monomials: the word engine, the coordinate engine, and known moments."""

import inspect
import re
from fractions import Fraction
from itertools import product
from math import factorial
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import QQ
from sympy.polys.rings import PolyRing

from theory.moments import coordinate
from theory.moments.algebra import identity, matrix, outer, symmetric, vector
from theory.moments.coordinate import CoordinateMoments
from theory.moments.evaluation import evaluate, substitute
from theory.moments.expression import Expression, scalar
from theory.moments.wick import expectation

A, B, C = matrix("A"), matrix("B"), symmetric("C")
a, b, x = vector("a"), vector("b"), vector("x")


def test_lemma_30_follows_for_every_d():
    """E[x x'A x x'] = C (A + A') C + tr(A C) C, read off its forms a' . b."""
    moment = expectation((a @ x) * (x @ A @ x) * (x @ b), {"x": C})
    assert moment == a @ (C @ (A + A.T) @ C + C * (A @ C).trace()) @ b


@pytest.mark.parametrize(
    ("tasks", "noise"), [("fixed", False), ("fixed", True), ("random", False), ("random", True)]
)
def test_the_sigma_of_theorem_5_follows_for_every_d(tasks, noise):
    """Sigma = Cov(x y) for y = w'x + e: |w|_C^2 C + C w w'C, and s^2 C for the noise."""
    w, e, s = vector("w"), scalar("e"), scalar("s")
    y = w @ x + e * (1 if noise else 0)
    laws = {"x": C, "e": s**2}
    mean = expectation((a @ x) * y, laws), expectation((b @ x) * y, laws)
    found = expectation((a @ x) * y * y * (x @ b), laws) - mean[0] * mean[1]
    Cw = C @ w
    sigma = C * (w @ C @ w) + outer(Cw, Cw) + C * (s**2 * (1 if noise else 0))
    assert found == a @ sigma @ b
    if tasks == "random":  # on average over w ~ N(0, S): tr(S C) C + C S C
        S = symmetric("S")
        average = C * (S @ C).trace() + C @ S @ C + C * (s**2 * (1 if noise else 0))
        assert expectation(found, {"w": S}) == a @ average @ b


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5])
def test_the_number_of_pairings(n):
    pairings = factorial(2 * n) // (2**n * factorial(n))
    assert expectation((a @ x) ** (2 * n), {"x": C}) == pairings * (a @ C @ a) ** n
    assert expectation((a @ x) ** (2 * n + 1), {"x": C}) == 0
    s = scalar("s")
    assert expectation(scalar("e") ** (2 * n), {"e": s}) == pairings * s**n
    assert expectation(scalar("e") ** (2 * n + 1), {"e": s}) == 0


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_moments_of_a_quadratic_form_are_those_of_its_cumulants(n):
    """The n-th cumulant of x'Cx for x ~ N(0, I) is 2^{n-1} (n-1)! tr(C^n)."""
    found = substitute(expectation((x @ A @ x) ** n, {"x": C}), {"C": identity(), "A": C})
    t = sympy.Symbol("t")
    traces = sympy.symbols("k1:5")
    generating = sympy.exp(sum(2**k * traces[k] * t ** (k + 1) / (k + 1) for k in range(4)))
    moment = sympy.diff(generating, t, n).subs(t, 0).expand()
    expected = Expression({})
    for powers, coefficient in sympy.Poly(moment, *traces).terms():
        term = Expression.constant(int(coefficient))
        for k, power in enumerate(powers, 1):
            word = C
            for _ in range(k - 1):
                word = word @ C
            term = term * word.trace() ** power
        expected += term
    assert found == expected


FORMS = [
    lambda A, B, a, b, x, w: a @ x,
    lambda A, B, a, b, x, w: x @ A @ x,
    lambda A, B, a, b, x, w: x @ A.T @ w,
    lambda A, B, a, b, x, w: w @ B @ x + b @ w,
    lambda A, B, a, b, x, w: w @ (A @ B) @ w - a @ w,
    lambda A, B, a, b, x, w: (x @ b) * (w @ w),
]


@settings(max_examples=25, deadline=None)
@given(
    d=st.integers(1, 3),
    chosen=st.lists(st.sampled_from(FORMS), min_size=1, max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_products_of_forms_have_the_same_mean_in_coordinates(d, chosen, seed):
    rng = np.random.default_rng(seed)
    ring = PolyRing([f"{n}{i}" for n in "xw" for i in range(d)], QQ)
    x_, w_ = (objects(ring.gens[i * d : (i + 1) * d]) for i in range(2))
    A_, B_, T = (rng.integers(-4, 5, (d, d)).astype(object) for _ in range(3))
    a_, b_ = (rng.integers(-4, 5, d).astype(object) for _ in range(2))
    words, number = Expression.constant(1), ring.one
    for build in chosen:
        words = words * build(A, B, a, b, x, vector("w"))
        number = number * build(A_, B_, a_, b_, T @ x_, w_)
    mean = expectation(words, {"x": symmetric("C"), "w": symmetric("D")})
    values = {"A": A_, "B": B_, "a": a_, "b": b_, "C": T @ T.T, "D": np.eye(d, dtype=int)}
    expected = coordinate.expectation(number, dict.fromkeys(ring.gens, 1))
    assert evaluate(mean, values) == Fraction(str(expected.as_expr()))


def objects(entries: Any) -> np.ndarray:
    array = np.empty(len(entries), dtype=object)
    for i, entry in enumerate(entries):
        array[i] = entry
    return array


def test_a_covariance_that_is_no_letter_is_refused():
    for covariance in (matrix("A"), C @ C, 2 * C, identity(), C + symmetric("D"), C - C):
        with pytest.raises(ValueError, match=r"covariance of x is .* expected a single symmetric"):
            expectation(a @ x, {"x": covariance})


#: Without the checks of types that the tests install.
UNHOOKED = inspect.unwrap(expectation)


@pytest.mark.parametrize(
    ("averaged", "said"),
    [
        (x, "the vector x"),
        (A, "the matrix A"),
        (outer(x, x), "the matrix x x'"),
        (3, "3, of type int"),
        ("x", "'x', of type str"),
    ],
)
def test_what_is_no_scalar_has_no_expectation(averaged, said):
    with pytest.raises(TypeError, match=f"expression is {re.escape(said)}; expected a scalar"):
        UNHOOKED(averaged, {"x": C})


@pytest.mark.parametrize("law", ["C", np.eye(2), 1, x])
def test_a_law_of_another_kind_is_refused(law):
    with pytest.raises(TypeError, match=r"the law of x is .*expected symmetric\('C'\)"):
        UNHOOKED(x @ A @ x, {"x": law})


def test_a_law_of_the_wrong_kind_is_refused():
    with pytest.raises(ValueError, match="law of the vector x is the expression v; expected its"):
        expectation(x @ A @ x, {"x": scalar("v")})
    with pytest.raises(ValueError, match="law of the scalar e is the matrix C; expected its"):
        expectation(scalar("e") ** 2, {"e": C})


def test_large_powers_are_quick_because_equal_terms_are_merged():
    """2027025 and 316234143225 pairings, as many terms as partitions of n, and the moments."""
    one = np.array([[1]], dtype=object)
    for n, partitions, moment in ((8, 22, 2027025), (12, 77, 316234143225)):
        found = expectation((x @ C @ x) ** n, {"x": C})
        assert len(found) == partitions
        assert evaluate(found, {"C": one}) == moment  # E x^{2n} for d = 1


def test_coordinate_moments_of_monomials():
    ring = PolyRing("x,y,v", QQ)
    s, t, v = ring.gens
    for i, j in product(range(7), repeat=2):
        expected = [1, 0, 1, 0, 3, 0, 15][i] * v ** (i // 2) * [1, 0, 4, 0, 48, 0, 960][j]
        assert coordinate.expectation(s**i * t**j * v, {s: v, t: 4}) == v * expected
    assert coordinate.expectation(s + t**2, {t: v}) == s + v
    with pytest.raises(ValueError, match="variances has the keys u; expected generators"):
        coordinate.expectation(s, {PolyRing("u", QQ).gens[0]: 1})


def test_coordinate_moments_of_a_bad_dimension():
    for dim in (0, -1):
        with pytest.raises(ValueError, match=f"dim is {dim}; expected an integer >= 1"):
            CoordinateMoments(dim)
