"""Eigenvalues of diag(p) + vv' against 40 digits of mpmath and numpy's eigvalsh."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.gradient_flow.rank_one import eigenvalues, groups, least_eigenvalue


def exact(poles, weights):
    with mpmath.workdps(60):
        v = mpmath.matrix([mpmath.sqrt(mpmath.mpf(float(w))) for w in weights])
        matrix = mpmath.diag([mpmath.mpf(float(p)) for p in poles]) + v * v.T
        return np.array([float(x) for x in sorted(mpmath.eigsy(matrix, eigvals_only=True))])


@given(st.integers(1, 6), st.integers(0, 1000), st.floats(0, 8), st.booleans())
@settings(max_examples=40, deadline=None)
def test_small_ones_are_right_to_the_last_digits(count, seed, decades, repeated):
    """Relative to themselves, however far apart they are: eigvalsh cannot do that."""
    rng = np.random.default_rng(seed)
    poles = 10 ** rng.uniform(-decades, 0, count)
    weights = 10 ** rng.uniform(-decades, 0, count)
    if repeated:
        poles[-1], weights[0] = poles[0], 0.0
    expected = exact(poles, weights)
    np.testing.assert_allclose(eigenvalues(poles, weights), expected, rtol=1e-13)
    assert least_eigenvalue(poles, weights) == pytest.approx(expected[0], rel=1e-13)


@pytest.mark.parametrize("count", [50, 300])
def test_many_are_those_of_eigvalsh(count):
    rng = np.random.default_rng(count)
    poles, weights = rng.uniform(0.1, 1, count), rng.uniform(0, 1, count)
    matrix = np.diag(poles) + np.sqrt(np.outer(weights, weights))
    np.testing.assert_allclose(
        eigenvalues(poles, weights), np.linalg.eigvalsh(matrix), rtol=0, atol=1e-11
    )


def test_equal_poles_keep_all_but_one():
    found = eigenvalues(np.array([2.0, 2.0, 2.0, 5.0]), np.array([1.0, 1.0, 2.0, 0.0]))
    np.testing.assert_allclose(found, [2.0, 2.0, 5.0, 6.0], rtol=1e-15)


def test_weights_of_zero_leave_the_poles():
    poles = np.array([3.0, 1.0, 2.0])
    np.testing.assert_allclose(eigenvalues(poles, np.zeros(3)), [1.0, 2.0, 3.0], rtol=1e-15)
    assert least_eigenvalue(poles, np.zeros(3)) == 1.0
    assert eigenvalues(np.empty(0), np.empty(0)).shape == (0,)


def test_groups_number_the_values_in_ascending_order():
    labels = groups(np.array([5.0, 1.0, 5.0 * (1 + 1e-15), 3.0, 1.0]))
    assert labels.tolist() == [2, 0, 2, 1, 0]
