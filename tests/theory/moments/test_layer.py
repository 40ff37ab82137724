"""The full loss: two exact engines, the readable formula, and a sum over examples agree exactly."""

import time
from fractions import Fraction
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pytest
from sympy import QQ
from sympy.polys.rings import PolyRing

from tests.theory.moments.coordinates import objects, values
from theory.moments import layer
from theory.moments.algebra import matrix, outer, vector
from theory.moments.coordinate import CoordinateMoments, expectation
from theory.moments.evaluation import derivative, evaluate, substitute
from theory.moments.expression import Expression, scalar
from theory.moments.layer import INVERSE_LENGTH, LAMBDA, NOISE, TASKS, U11, U12, U21, U_1

DERIVED, CLOSED = layer.derive_loss(), layer.closed_loss()


def test_the_readable_formula_is_the_derived_one():
    assert CLOSED == DERIVED
    assert len(DERIVED) == 41


def test_the_words_take_far_less_than_five_seconds():
    """About 0.01 s; the issue asks for 5 s, and this for a tenth of it."""
    functions = layer.derive_loss, layer.derive_loss_given_task
    for function in functions:
        function.cache_clear()
    start = time.process_time()
    assert layer.derive_loss() == DERIVED
    assert time.process_time() - start < 0.5
    assert [function.cache_info().misses for function in functions] == [1, 1]


@cache
def in_coordinates(d: int) -> tuple[CoordinateMoments, Any]:
    """The loss by the coordinate engine, with symbols for S = TT' and sigma."""
    moments = CoordinateMoments(d)
    return moments, moments.population_loss(moments.task_factor, moments.noise_std)


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_both_engines_derive_the_same_loss(d):
    moments = CoordinateMoments(d)
    assert evaluate(DERIVED, values(moments, general=False)) == moments.population_loss()
    plain = layer.plain_tasks(DERIVED)
    assert evaluate(plain, values(moments, general=False)) == moments.population_loss()


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_both_engines_derive_the_same_loss_for_general_tasks(d):
    moments, expected = in_coordinates(d)
    assert evaluate(DERIVED, values(moments, general=True)) == expected


@pytest.mark.parametrize("d", [1, 2, 3])
def test_both_engines_derive_the_same_loss_given_the_task(d):
    moments = CoordinateMoments(d)
    expected = moments.population_loss_given_task(moments.normal, moments.noise_std)
    given = values(moments, general=True) | {"w": objects(moments.normal, (d,))}
    assert evaluate(layer.derive_loss_given_task(), given) == expected


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_change_of_any_coefficient_by_one_percent_is_rejected_by_both_engines(d):
    moments, expected = in_coordinates(d)
    given = values(moments, general=True)
    monomials = DERIVED.monomials()
    assert sum(monomials, Expression({})) == DERIVED
    for monomial in monomials:
        wrong = DERIVED + monomial * Fraction(1, 100)
        assert wrong != CLOSED
        assert evaluate(wrong, given) != expected


@pytest.mark.parametrize("term", range(len(layer.SHORT_LOSS)))
def test_a_change_of_any_coefficient_of_the_readable_formula_is_rejected_too(term):
    change = layer.SHORT_LOSS.monomials()[term] * Fraction(1, 100)
    wrong = substitute(layer.SHORT_LOSS + change, layer.ABBREVIATIONS)
    assert wrong != DERIVED
    moments, expected = in_coordinates(2)
    assert evaluate(wrong, values(moments, general=True)) != expected


@pytest.mark.parametrize("d", [1, 2])
def test_a_change_of_any_coefficient_of_the_coordinate_engine_is_rejected_by_the_words(d):
    moments, expected = in_coordinates(d)
    found = evaluate(DERIVED, values(moments, general=True))
    for monomial, coefficient in expected.iterterms():
        wrong = expected + moments.ring.from_dict({monomial: coefficient / 100})
        assert found != wrong


@pytest.mark.parametrize("name", ["1/N", "S", "sigma", "u", "p", "q", "U", "Lambda"])
def test_a_change_of_any_letter_is_seen(name):
    """Nothing in the comparison is vacuous: each letter matters to both sides."""
    moments, expected = in_coordinates(2)
    given = values(moments, general=True)
    changed = given | {name: given[name] * 2}
    assert evaluate(DERIVED, changed) != expected


@pytest.mark.parametrize(("d", "N"), [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)])
def test_the_sum_over_the_examples_is_multiplied_out(d, N):
    """Every x_i and noise e_i has symbols of its own: that the examples are alike is not used."""
    sizes = {"p": d, "q": d, "U": d * d, "u": 1, "z": d, "w": d, "x": N * d, "e": N}
    ring = PolyRing([f"{name}{i}" for name, size in sizes.items() for i in range(size)], QQ)
    gens = iter(ring.gens)
    p, q, U, u, z, w, x, e = (objects(list(islice(gens, n)), (n,)) for n in sizes.values())
    U, u, normals = U.reshape(d, d), u[0], [*z, *w, *x, *e]
    # x = A x', w = B w' with x', w' standard normal: Lambda = AA' and S = BB' are not diagonal.
    A, B = np.array([[2, 0], [1, 3]])[:d, :d], np.array([[1, 1], [0, 2]])[:d, :d]
    z, w, xs, sigma = A @ z, B @ w, x.reshape(N, d) @ A.T, 2
    ys = xs @ w + sigma * e
    prediction = (p @ z) * (z @ U @ z)
    for x_i, y_i in zip(xs, ys, strict=True):
        prediction += (p @ x_i + u * y_i) * (x_i @ U @ z + y_i * (q @ z))
    square = (prediction - N * (w @ z)) ** 2
    letters = {"p": p, "q": q, "U": U, "u": u, "Lambda": A @ A.T, "S": B @ B.T}
    found = evaluate(DERIVED, letters | {"sigma": sigma, "1/N": QQ(1, N)})
    assert found == expectation(square, dict.fromkeys(normals, 1)) / (2 * N * N)


def test_zero_stays_zero_for_every_d_and_N():
    flipped = substitute(DERIVED, {"p": -U12, "q": -U21})
    assert flipped == DERIVED
    # The gradient by p and q vanishes at p = q = 0, in every direction.
    slope = derivative(DERIVED, {"p": vector("dp"), "q": vector("dq")})
    zero = vector("p") * 0
    assert substitute(slope, {"p": zero, "q": zero}) == 0
    # p alone is another matter: the loss is not even in it.
    assert substitute(DERIVED, {"p": -U12}) != DERIVED


def gamma(S=TASKS):
    """G = (1 + 1/N) Lambda S Lambda + (tr(S Lambda) + sigma^2)/N Lambda."""
    c = (S @ LAMBDA).trace() + NOISE**2
    return (1 + INVERSE_LENGTH) * (LAMBDA @ S @ LAMBDA) + LAMBDA * (INVERSE_LENGTH * c)


def test_lemma_10_follows_for_every_d_and_N():
    plane = {"p": vector("p") * 0, "q": vector("q") * 0}
    V, v = matrix("V"), scalar("v")
    of_U = substitute(derivative(DERIVED, {"U": V}), plane)
    of_u = substitute(derivative(DERIVED, {"u": v}), plane)
    G = gamma()
    drive = LAMBDA @ TASKS @ LAMBDA
    by_U = U_1**2 * (G @ U11 @ LAMBDA) - U_1 * drive
    by_u = (U_1 * (G @ U11 @ LAMBDA @ U11.T) - drive @ U11.T).trace()
    assert of_U == (by_U.T @ V).trace()
    assert of_u == by_u * v
    # For S = I without noise: G = Gamma Lambda, with Gamma of Theorem 4.
    printed = layer.plain_tasks(of_U)
    trace = LAMBDA.trace() * INVERSE_LENGTH
    G = (1 + INVERSE_LENGTH) * (LAMBDA @ LAMBDA) + trace * LAMBDA
    assert printed == ((U_1**2 * (G @ U11 @ LAMBDA) - U_1 * (LAMBDA @ LAMBDA)).T @ V).trace()


def test_the_formula_is_printed():
    assert str(2 * layer.SHORT_LOSS) == (
        "tr(Lambda S) + (1 + 1/N) g'Lambda g - 2 tr(Lambda M Lambda S)"
        " + (1 + 1/N) tr(Lambda M Lambda M' Lambda S)"
        " + (2 + 4/N) u^2 tr(Lambda S Lambda S) q'Lambda q + 2/N g'Lambda r"
        " + 1/N c p'Lambda p q'Lambda q + 1/N tr(Lambda U Lambda U') p'Lambda p"
        " + 1/N c^2 u^2 q'Lambda q + 1/N c u^2 tr(Lambda U Lambda U')"
        " + 4/N u p'Lambda S Lambda U Lambda q + 1/N^2 r'Lambda r"
        " + 4/N^2 p'Lambda V Lambda V Lambda p + 2/N^2 tr(Lambda V Lambda V) p'Lambda p"
    )
    assert U_1 * U11 + outer(U12, U21) == layer.ABBREVIATIONS["M"]
