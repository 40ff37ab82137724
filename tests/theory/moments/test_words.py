"""Words are canonical, and the algebra of letters is that of arrays."""

import doctest
import inspect
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import moments, population_loss
from theory.moments import words
from theory.moments.algebra import Matrix, identity, matrix, outer, symmetric, vector
from theory.moments.evaluation import derivative, evaluate, substitute
from theory.moments.expression import Expression, scalar
from theory.moments.printing import latex
from theory.moments.words import Letter, transpose

A, B, L = matrix("A"), matrix("B"), symmetric("Lambda")
a, b, u = vector("a"), vector("b"), scalar("u")

LETTERS = [
    Letter("A"),
    Letter("A", transposed=True),
    Letter("B"),
    Letter("B", transposed=True),
    Letter("Lambda", symmetric=True),
]
some_words = st.lists(st.sampled_from(LETTERS), max_size=6).map(tuple)


def arrays(seed: int, d: int = 3) -> dict[str, Any]:
    """Integer values of the letters, as exact objects."""
    rng = np.random.default_rng(seed)
    integers = np.vectorize(int, otypes=[object])
    square = {name: integers(rng.integers(-9, 10, (d, d))) for name in "AB"}
    lam = integers(rng.integers(-9, 10, (d, d)))
    ends = {name: integers(rng.integers(-9, 10, d)) for name in "ab"}
    return square | {"Lambda": lam + lam.T, "u": Fraction(2, 3), "d": d} | ends


@given(word=some_words, turn=st.integers(0, 5), flip=st.booleans())
def test_a_trace_is_a_word_up_to_rotation_and_transposition(word, turn, flip):
    turn = min(turn, len(word))
    other = word[turn:] + word[:turn]
    assert words.trace(transpose(other) if flip else other) == words.trace(word)


@given(word=some_words)
def test_a_form_is_a_word_up_to_transposition(word):
    assert words.form("b", transpose(word), "a") == words.form("a", word, "b")
    assert transpose(transpose(word)) == word


@given(word=some_words, other=some_words)
def test_words_with_different_spellings_are_different_numbers(word, other):
    """Two traces are equal in d = 3 only if they are one: tested where words are short."""
    if len(word) > 3 or len(other) > 3:
        return
    values = arrays(seed=7)
    first, second = (Expression.product([words.trace(w)]) for w in (word, other))
    assert (first == second) == (evaluate(first, values) == evaluate(second, values))


def formulas(values: Mapping[str, Any]) -> list[Any]:
    """Formulas that letters and arrays both understand."""
    A, B, L, a, b, u = (values[name] for name in ("A", "B", "Lambda", "a", "b", "u"))
    dyad = outer(a, B @ b)
    return [
        (A @ B.T @ L).trace() * (a @ L @ b) - u**2 * (b @ A.T @ a),
        (u * A + dyad - L).trace() ** 2,
        ((A + dyad) @ (B - dyad.T) @ L @ dyad).trace(),
        ((A.T @ dyad @ A) @ (L @ dyad.T)).trace() * Fraction(1, 3),
        (a * 2 - b * Fraction(1, 5) + dyad @ a) @ (A @ a + a @ B),
        (1 - u) * (a @ (A - A.T) @ b) + 3 * (a @ a),
        a @ (dyad @ b) - (a @ a) * (b @ B @ b) * 0,
    ]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 4))
def test_the_algebra_of_letters_is_that_of_arrays(seed, d):
    values = arrays(seed, d)
    letters = {"A": A, "B": B, "Lambda": L, "a": a, "b": b, "u": u}
    for symbolic, number in zip(formulas(letters), formulas(values), strict=True):
        assert evaluate(symbolic, values) == number


def test_equality_is_that_of_polynomials():
    assert (A @ L @ B).trace() == (B.T @ L @ A.T).trace()
    assert (A @ L @ B).trace() != (A.T @ L @ B).trace()
    assert a @ L @ b == b @ L @ a
    assert a @ A @ b != b @ A @ a
    assert (A @ B).T == B.T @ A.T
    assert L.T == L
    assert (a @ b + u) ** 2 == (a @ b) ** 2 + 2 * u * (a @ b) + u * u
    assert (a @ b) - (b @ a) == 0
    assert not (a @ b) - (b @ a)
    assert identity().trace() == scalar("d")
    assert outer(a, b).trace() == a @ b
    assert hash((A @ L).trace()) == hash((L @ A.T).trace())
    assert hash(A @ identity()) == hash(A)
    assert scalar("u") != "u"
    assert a != A
    assert 2 - u == -(u - 2)


def test_substitution_and_derivatives():
    f = u * (A @ L @ A.T @ L).trace() + (a @ A @ b) ** 2
    V = matrix("V")
    assert (
        substitute(f, {"A": A + V})
        == u * ((A + V) @ L @ (A + V).T @ L).trace() + (a @ (A + V) @ b) ** 2
    )
    assert derivative(f, {"A": V}) == 2 * u * (A @ L @ V.T @ L).trace() + 2 * (a @ A @ b) * (
        a @ V @ b
    )
    assert derivative(f, {"u": Expression.constant(1)}) == (A @ L @ A.T @ L).trace()
    assert derivative(f, {"a": b, "u": u}) == f - (a @ A @ b) ** 2 + 2 * (a @ A @ b) * (b @ A @ b)
    W = symmetric("W")
    assert derivative(f, {"Lambda": W}) == u * (A @ L @ A.T @ W + A @ W @ A.T @ L).trace()
    assert (u**2 * (a @ b) + u).coefficient("u", 2) == a @ b
    assert (u**2 * (a @ b) + 3).coefficient("u", 0) == 3


def test_what_has_no_value_is_refused():
    with pytest.raises(ValueError, match="no value for A, u; expected one for every letter of u"):
        evaluate(u * (A @ L).trace(), {"Lambda": np.eye(2)})
    with pytest.raises(ValueError, match="Lambda is symmetric and its value is not"):
        evaluate((A @ L).trace(), {"A": np.eye(2), "Lambda": np.array([[1, 2], [0, 1]])})
    with pytest.raises(ValueError, match="Lambda is symmetric and its value is not"):
        substitute((A @ L).trace(), {"Lambda": B})


def test_formulas_are_printed():
    n = scalar("1/N")
    f = (1 + n) * u**2 * (L @ A @ L @ A.T).trace() - 2 * (a @ A.T @ b) + Fraction(1, 2) * n**2
    assert str(f) == "-2 a'A' b + (1 + 1/N) u^2 tr(A Lambda A' Lambda) + 1/2 1/N^2"
    assert latex(f) == (
        r"-2 a^\top A^\top b + (1 + \frac{1}{N}) u^{2} \mathrm{tr}(A \Lambda A^\top \Lambda)"
        r" + \tfrac{1}{2} \frac{1}{N^{2}}"
    )
    assert str((a @ a) ** 2 - n * u + (3 - 2 * n) * (A @ B).trace()) == (
        "(3 - 2/N) tr(A B) + (a'a)^2 - 1/N u"
    )
    assert str(Expression({})) == "0"
    assert repr(Matrix([])) == "0"


def test_letters_are_printed_without_ornaments():
    assert [repr(x) for x in (A, A.T, L, a, identity())] == ["A", "A'", "Lambda", "a", "I"]
    assert repr(u * A + outer(a, b)) == "u A + a b'"
    assert repr(A * (1 + u) - 2 * L + outer(a, B @ b)) == "(1 + u) A - 2 Lambda + a (B b)'"
    assert repr(identity() - A) == "I - A"
    assert repr(-(A @ a)) == "-A a"


@pytest.mark.parametrize("power", [-1, -7])
def test_a_negative_power_is_refused(power):
    with pytest.raises(ValueError, match=f"power is {power}; expected an integer >= 0"):
        (a @ A @ b) ** power


def test_a_power_that_is_no_integer_is_refused():
    for bad in (0.5, Fraction(1, 2), "2"):
        with pytest.raises(TypeError):  # here by the checks of types; else a ValueError
            u**bad
    assert u**0 == 1
    assert u ** np.int64(2) == u * u


@pytest.mark.parametrize("maker", [vector, matrix, symmetric, scalar])
def test_a_name_that_is_none_is_refused(maker):
    for blank in ("", " "):
        with pytest.raises(ValueError, match=rf"{maker.__name__}\(name\): name is '.*'; expected"):
            maker(blank)
    with pytest.raises(TypeError, match=rf"{maker.__name__}\(name\): name is 3; expected a string"):
        inspect.unwrap(maker)(3)


def test_sums_of_different_kinds_are_refused():
    plus = inspect.unwrap(Matrix.__add__)
    with pytest.raises(TypeError, match=r"A \+ the vector a: expected a matrix"):
        plus(A, a)
    with pytest.raises(TypeError, match=r"a \+ the matrix A: expected a vector"):
        plus(a, A)
    with pytest.raises(TypeError, match=r"A \+ the int 1: .* write identity\(\) \* it"):
        plus(A, 1)
    with pytest.raises(TypeError):
        A - 1
    with pytest.raises(TypeError, match=r"A \+ the scalar expression u: "):
        plus(A, u)
    with pytest.raises(TypeError, match=r"A \+ the ndarray"):
        plus(A, np.eye(2))
    for other in (np.eye(2), 1, u):
        with pytest.raises(TypeError, match=r"A \+ the .*: expected a matrix to add to a matrix"):
            other + A


def test_products_with_other_things_are_refused():
    for left, right in ((A, np.eye(2)), (a, np.ones(2)), (a, 3), (A, u)):
        product = inspect.unwrap(type(left).__matmul__)
        with pytest.raises(TypeError, match="expected a vector or a matrix of theory"):
            product(left, right)
    with pytest.raises(TypeError, match="unsupported operand"):
        np.eye(2) @ A


@pytest.mark.parametrize("module", [moments, population_loss])
def test_the_examples_in_the_docstrings_run(module):
    assert doctest.testmod(module) == (0, 4 if module is moments else 3)
