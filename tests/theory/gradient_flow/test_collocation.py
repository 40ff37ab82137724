"""The integrals of exponential collocation against mpmath's quadrature."""

import mpmath
import numpy as np
import pytest
from numpy.polynomial import legendre

from theory.gradient_flow.collocation import (
    ORDER,
    decay_integral,
    gauss_rule,
    memory_weights,
    restriction,
)


def quadrature(y, degree):
    """int_0^1 e^{-y(1-x)} P_n(2x - 1) dx to 25 digits, in pieces that see the layer at x = 1."""
    with mpmath.workdps(30):
        edges = [0, *(1 - mpmath.mpf(8) ** -k for k in range(1, 10)), 1]
        return float(
            mpmath.quad(
                lambda x: mpmath.exp(-mpmath.mpf(y) * (1 - x)) * legendre_at(degree, 2 * x - 1),
                edges,
                maxdegree=5,
            )
        )


def legendre_at(degree, x):
    """P_n by Bonnet's recurrence."""
    before, now = mpmath.mpf(0), mpmath.mpf(1)
    for n in range(degree):
        before, now = now, ((2 * n + 1) * x * now - n * before) / (n + 1)
    return now


@pytest.mark.parametrize("y", [0.0, 1e-9, 0.3, 5.0, 63.0, 65.0, 900.0, 1e7])
@pytest.mark.parametrize("degree", [0, 1, 2, 7, ORDER - 1])
def test_decay_integrals_are_those_of_quadrature(y, degree):
    coefficients = np.zeros((ORDER, 1))
    coefficients[degree] = 1.0
    found = decay_integral(np.array([y]), coefficients)[0]
    # Relative to the integral of degree 0: what matters in a sum over degrees.
    assert found == pytest.approx(quadrature(y, degree), abs=2e-15 * quadrature(y, 0))


def test_no_rate_is_too_fast():
    coefficients = np.ones((ORDER, 1))
    huge = decay_integral(np.array([1e300]), coefficients)[0]
    assert huge == pytest.approx(ORDER / 1e300, rel=1e-14)


def test_the_rule_integrates_squares_of_its_polynomials():
    rule = gauss_rule()
    assert np.sum(rule.weights) == pytest.approx(1.0, rel=1e-15)
    for power in range(2 * ORDER):
        assert rule.weights @ rule.nodes**power == pytest.approx(1 / (power + 1), rel=1e-13)


def test_interpolation_meets_the_nodes_and_the_ends():
    rule, rng = gauss_rule(), np.random.default_rng(0)
    series = rng.standard_normal(ORDER)
    values = legendre.legval(2 * rule.nodes - 1, series)
    np.testing.assert_allclose(rule.to_legendre @ values, series, atol=1e-13)
    np.testing.assert_allclose(rule.ends @ values, legendre.legval([-1.0, 1.0], series), atol=1e-12)


def test_restriction_is_the_same_polynomial_on_a_part():
    series, x = np.random.default_rng(1).standard_normal(ORDER), np.linspace(0, 1, 9)
    ends = np.array([0.0, 1e-3, 0.4, 1.0])
    for end, part in zip(ends, restriction(ends) @ series, strict=True):
        expected = legendre.legval(2 * end * x - 1, series)
        np.testing.assert_allclose(legendre.legval(2 * x - 1, part), expected, atol=1e-12)


def test_weights_in_every_band_are_those_of_the_exact_integrals():
    """Tables on z in [0, 1), [1, 2), ..., [2^12, 2^13), beyond: V is exact for a polynomial phi."""
    rule, rng = gauss_rule(), np.random.default_rng(2)
    z = np.sort(np.concatenate([[0.0, 1e-6], 2 ** rng.uniform(-3, 16, 40), [1e12]]))
    ends = np.append(rule.nodes, 1.0)
    series = rng.standard_normal(ORDER)
    values = legendre.legval(2 * rule.nodes - 1, series)
    found = memory_weights(z) @ values
    for k, end in enumerate(ends):
        part = restriction(np.array([end]))[0] @ series
        expected = end * decay_integral(z * end, part[:, None] * np.ones(len(z)))
        np.testing.assert_allclose(found[:, k] * (1 + z), expected * (1 + z), atol=2e-14)
