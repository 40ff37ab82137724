"""Laws of eigenvalues against scipy's quadrature and sampling."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from theory.laws import (
    Deterministic,
    DistributedLaw,
    Exponential,
    Gamma,
    GivenMoments,
    LogNormal,
    TwoPoint,
    Uniform,
)

#: Each law with scipy's own, where scipy has it.
SAME = {
    "exponential": (Exponential(0.7), stats.expon(scale=0.7)),
    "gamma": (Gamma(2.5, 0.4), stats.gamma(2.5, scale=0.4)),
    "gamma below 1": (Gamma(0.5, 2.0), stats.gamma(0.5, scale=2.0)),
    "uniform": (Uniform(0.5, 3.0), stats.uniform(0.5, 2.5)),
    "lognormal": (LogNormal(0.3, 0.6), stats.lognorm(0.6, scale=np.exp(0.3))),
}


@pytest.mark.parametrize("name", SAME)
def test_moments_are_scipys(name):
    law, reference = SAME[name]
    assert isinstance(law, DistributedLaw)
    expected = [reference.moment(k) for k in (1, 2, 3)]
    np.testing.assert_allclose([float(m) for m in law.moments], expected, rtol=1e-12)


@pytest.mark.parametrize("power", range(4))
@pytest.mark.parametrize("name", SAME)
def test_truncated_moments_are_scipys_integrals(name, power):
    law, reference = SAME[name]
    uppers = np.array([0.1, 0.8, 2.0, 9.0])
    low = reference.support()[0]
    expected = [
        reference.expect(lambda x: x**power, lb=low, ub=upper, epsabs=1e-13) if upper > low else 0.0
        for upper in uppers
    ]
    np.testing.assert_allclose(law.truncated_moment(power, uppers), expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("law", [TwoPoint(1.0, 4.0, 0.3), Deterministic(2.0)])
@pytest.mark.parametrize("power", range(4))
def test_truncated_moments_of_atoms_jump_at_the_atoms(law, power):
    atoms = {1.0: 0.3, 4.0: 0.7} if isinstance(law, TwoPoint) else {2.0: 1.0}
    uppers = np.array([0.5, 1.0, 1.5, 2.0, 3.9, 4.0, 100.0])
    expected = [sum(p * x**power for x, p in atoms.items() if x <= u) for u in uppers]
    np.testing.assert_allclose(law.truncated_moment(power, uppers), expected, rtol=1e-14)
    whole = law.truncated_moment(power, np.array([np.inf]))[0]
    assert whole == pytest.approx(1.0 if power == 0 else float(law.moments[power - 1]))


@pytest.mark.parametrize(
    "law", [*(law for law, _ in SAME.values()), TwoPoint(1.0, 4.0, 0.3), Deterministic(2.0)]
)
def test_samples_follow_the_moments(law):
    # 40,000 draws: the mean's standard error is known, and a 3 % error of it would show (power
    # above 0.99 for every law here: std/mean < 1.5, so 3 % is at least 4 standard errors).
    drawn = law.sample(np.random.default_rng(1), (200, 200))
    assert drawn.shape == (200, 200)
    first, second, _ = (float(m) for m in law.moments)
    error = np.sqrt(max(second - first**2, 0.0) / drawn.size)
    assert abs(np.mean(drawn) - first) <= 4 * error + 1e-12


def test_rational_parameters_have_exact_moments():
    assert Exponential(1).moments == (1, 2, 6)
    assert Exponential(Fraction(1, 3)).moments == (Fraction(1, 3), Fraction(2, 9), Fraction(6, 27))
    assert Uniform(0, 1).moments == (Fraction(1, 2), Fraction(1, 3), Fraction(1, 4))
    assert TwoPoint(1, 3).moments == (2, 5, 14)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=5))
def test_moments_of_any_positive_sample_are_accepted(values):
    moments = [float(np.mean(np.power(values, k))) for k in (1, 2, 3)]
    assert GivenMoments(*moments).moments == tuple(moments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GivenMoments(1.0, 0.5, 1.0), "no positive random variable"),
        (lambda: GivenMoments(1.0, 4.0, 5.0), "no positive random variable"),
        (lambda: GivenMoments(1.0, 2.0, float("inf")), "third moment is inf.*finite third moments"),
        (lambda: GivenMoments(-1.0, 2.0, float("nan")), "2 problem"),
        (lambda: Exponential(0), "scale is 0; expected a finite number > 0"),
        (lambda: Gamma(-1.0, 1.0), "shape is -1.0"),
        (lambda: Uniform(2.0, 1.0), "low is 2.0; expected 0 <= low < high"),
        (lambda: TwoPoint(1.0, 2.0, 1.5), "probability is 1.5"),
        (lambda: LogNormal(0.0, 0.0), "std_log is 0.0"),
        (lambda: LogNormal(0.0, 20.0), "third moment beyond float64"),
        (lambda: Deterministic(float("inf")), "value is inf"),
    ],
)
def test_bad_laws_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        make()
