"""Sums of decaying squares against the plain sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.gradient_flow.decays import DecayingSquares


def plain(rates, initial, power, S):
    with np.errstate(under="ignore"):
        return np.exp(-2 * np.outer(S, rates)) @ (rates**power * initial**2)


@given(st.integers(1, 3000), st.integers(0, 1000), st.floats(0, 6), st.sampled_from([0, 1, 2]))
@settings(max_examples=40, deadline=None)
def test_few_exponentials_are_as_good_as_many(count, seed, decades, power):
    """To 1e-13 of themselves, at every S until they underflow, not only of their value at 0."""
    rng = np.random.default_rng(seed)
    rates = 10 ** rng.uniform(-decades, 0, count)
    initial = rng.standard_normal(count) * 10 ** rng.uniform(-3, 3)
    squares = DecayingSquares(rates, initial)
    S = np.append(0.0, np.geomspace(1e-3, 100 / np.min(rates), 40))
    expected = plain(rates, initial, power, S)
    np.testing.assert_allclose(squares.moment(power, S), expected, rtol=1e-13, atol=1e-280)


def test_a_quarter_of_a_million_entries_need_few_exponentials():
    rng = np.random.default_rng(0)
    lam = np.geomspace(1e-4, 1, 500)
    squares = DecayingSquares(np.outer(lam, lam).ravel(), rng.standard_normal(250_000))
    assert len(squares._rates) < 1000


def test_what_is_zero_at_the_start_does_not_count():
    rates, initial = np.array([0.1, 2.0, 3.0]), np.array([0.0, 1.0, -2.0])
    squares = DecayingSquares(rates, initial)
    assert squares.slowest == 2.0
    assert squares.moment(1, np.zeros(1))[0] == pytest.approx(2.0 + 12.0)


def test_nothing_decays_to_nothing():
    squares = DecayingSquares(np.empty(0), np.empty(0))
    assert squares.slowest == np.inf
    assert squares.moment(0, np.array([0.0, 1.0])).tolist() == [0.0, 0.0]


def test_the_drop_of_negligible_terms_is_below_rounding():
    """One slow and one fast rate whose term is dropped at the later S."""
    squares = DecayingSquares(np.array([1.0, 60.0]), np.array([1e-9, 1e9]))
    for S in (np.array([0.0]), np.array([0.5]), np.array([2.0, 3.0])):
        expected = plain(np.array([1.0, 60.0]), np.array([1e-9, 1e9]), 0, S)
        np.testing.assert_allclose(squares.moment(0, S), expected, rtol=1e-13)
