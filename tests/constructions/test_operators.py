"""Every operator of Appendix B against the judge's plain loops, on every kind of scalar."""

from dataclasses import fields

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from constructions.operators import (
    Aff,
    CopyDown,
    CopyOver,
    Div,
    Mov,
    Mul,
    Operator,
    Raw,
    ScaledAgg,
    Sigmoid,
    Soft,
    aff,
    copy_down,
    copy_over,
    div,
    mov,
    mul,
    raw,
    scaled_agg,
    sigmoid,
    soft,
)
from tests.constructions.judges import Matrix
from tests.constructions.meanings import ONE_OF_EACH, judged, written
from tests.constructions.strategies import MAKERS, shapes_and_operators

#: At most 7 terms a sum, entries up to 3 and quotients up to 6: 64 roundings are plenty.
ROUNDINGS = 64 * 6

TWO_BY_TWO = np.array([[1.0, -2.0], [0.5, 3.0]])


def entries(shape: tuple[int, int], rng: np.random.Generator, dtype: type) -> Matrix:
    """Numbers with 0.5 <= |h| <= 3, so that any row can divide, in full precision of dtype."""
    signs = rng.choice([-1, 1], shape).astype(dtype)
    return signs * (1 + rng.integers(0, 100, shape).astype(dtype) / 33) / 2 * dtype(1.4)


@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
@pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.name)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_operator_means_what_appendix_b_says(
    kind: type[Operator], dtype: type, data: st.DataObject
) -> None:
    shape, build, rng = data.draw(shapes_and_operators((kind,)))
    operator = build()
    H = entries(shape, rng, dtype)
    before = H.copy()
    result = operator(H)
    assert result.dtype == dtype
    assert not np.shares_memory(result, H)
    np.testing.assert_array_equal(H, before)
    untouched = ~written(operator, shape)
    np.testing.assert_array_equal(result[untouched], H[untouched])
    np.testing.assert_allclose(
        result, judged(operator, H), rtol=0, atol=ROUNDINGS * float(np.finfo(dtype).eps)
    )


@pytest.mark.parametrize("operator", ONE_OF_EACH, ids=str)
def test_copies_are_exact_and_the_rest_is_left_alone(operator: Operator) -> None:
    H = entries((6, 4), np.random.default_rng(0), np.float64)
    difference = np.abs(operator(H) - judged(operator, H))
    exact = isinstance(operator, CopyDown | CopyOver | Mov | Mul | Div)
    assert np.all(difference[~written(operator, H.shape)] == 0)
    assert np.all(difference <= (0 if exact else 1e-15 * ROUNDINGS))
    assert np.any(operator(H) != H)


@pytest.mark.parametrize("operator", ONE_OF_EACH, ids=str)
def test_operator_on_mpmath_entries_keeps_fifty_digits(operator: Operator) -> None:
    with mpmath.workdps(50):
        H = entries((6, 4), np.random.default_rng(1), np.float64)
        exact = np.vectorize(mpmath.mpf, otypes=[object])(H) / 7
        result = operator(exact)
        expected = judged(operator, exact, mpmath.exp)
        assert max(abs(a - b) for a, b in zip(result.flat, expected.flat, strict=True)) < 1e-47
        assert all(isinstance(value, mpmath.mpf) for value in result.flat)


@pytest.mark.parametrize("operator", ONE_OF_EACH, ids=str)
def test_operator_on_sympy_symbols_is_an_identity(operator: Operator) -> None:
    H = np.array([[sympy.Symbol(f"h{r}{c}") for c in range(4)] for r in range(6)])
    result, expected = operator(H), judged(operator, H, sympy.exp)
    assert all(sympy.simplify(a - b) == 0 for a, b in zip(result.flat, expected.flat, strict=True))


def test_operator_accepts_lists_sympy_and_mpmath_matrices() -> None:
    operator = Mov(1, 2, 1, frozenset({2}))
    as_integers = operator([[1, 2], [3, 4]])
    assert as_integers.dtype == np.float64
    np.testing.assert_array_equal(as_integers, [[1, 2], [3, 2]])
    np.testing.assert_array_equal(operator(sympy.Matrix([[1, 2], [3, 4]])), [[1, 2], [3, 2]])
    np.testing.assert_array_equal(operator(mpmath.matrix([[1, 2], [3, 4]])), [[1, 2], [3, 2]])


def test_function_notation_is_the_operator_applied() -> None:
    notations = {
        CopyDown: copy_down, CopyOver: copy_over, Mov: mov, Mul: mul, Aff: aff,
        ScaledAgg: scaled_agg, Soft: soft, Sigmoid: sigmoid, Div: div, Raw: raw,
    }  # fmt: skip
    H = entries((6, 4), np.random.default_rng(2), np.float64)
    for operator in ONE_OF_EACH:
        arguments = [getattr(operator, field.name) for field in fields(operator)]
        applied = notations[type(operator)](H, *arguments)
        np.testing.assert_array_equal(applied, operator(H))
        assert np.any(applied != H)


def test_function_notation_takes_the_papers_arguments_in_order() -> None:
    H = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    down = copy_down(H, 1, 2, 2, frozenset({1}))
    np.testing.assert_array_equal(down, [[1, 2], [1, 4], [3, 6]])
    over = copy_over(H, 1, 2, 2, frozenset({2}))
    np.testing.assert_array_equal(over, [[1, 2], [3, 1], [5, 3]])
    sums = scaled_agg(H, 10.0, 1, 2, 2, 2, frozenset({1}))
    np.testing.assert_array_equal(sums, [[1, 2], [3, 10], [5, 30]])


def test_empty_column_sets_change_nothing_and_an_empty_sum_is_zero() -> None:
    H = entries((6, 4), np.random.default_rng(3), np.float64)
    for operator in (CopyDown(1, 2, 2, frozenset()), Div(1, 1, 2, 1, frozenset())):
        np.testing.assert_array_equal(operator(H), H)
    summed = scaled_agg(H, 2.0, 1, 2, 3, 4, frozenset())
    np.testing.assert_array_equal(summed[2:4, 3], 0)


def test_aff_reads_scalar_zero_weights_and_scalar_biases() -> None:
    H = entries((6, 4), np.random.default_rng(4), np.float64)
    short = aff(H, 1, 5, 3, 2, 6, 4, TWO_BY_TWO, 0, 1.5, frozenset({2}))
    full = aff(
        H, 1, 5, 3, 2, 6, 4, TWO_BY_TWO, 0 * TWO_BY_TWO, np.array([1.5, 1.5]), frozenset({2})
    )
    np.testing.assert_array_equal(short, full)
    np.testing.assert_allclose(short[2:4, 1], TWO_BY_TWO @ H[:2, 1] + 1.5, rtol=1e-14)


def test_softmax_and_sigmoid_do_not_overflow() -> None:
    H = np.array([[1e4, -1e4], [1e4, 1e4], [0.0, 0.0]])
    np.testing.assert_array_equal(soft(H, 1, 2, 2)[1:, 1], [0, 1])
    assert sigmoid(H, 1, 3)[2, 1] == 0
    assert sigmoid(H, 2, 3)[2, 1] == 1


def test_operators_print_as_the_paper_writes_them() -> None:
    assert str(CopyDown(1, 4, 3, frozenset({3, 1}))) == "copy_down(H; 1, 4, 3, {1, 3})"
    assert str(Soft(1, 2, 3)) == "soft(H; 1, 2, 3)"
