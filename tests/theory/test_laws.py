"""Laws of eigenvalues against scipy's quadrature and sampling."""

import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from theory.gradient_flow import FlowProblem
from theory.laws import (
    Deterministic,
    DistributedLaw,
    Exponential,
    Gamma,
    GivenMoments,
    LogNormal,
    TwoPoint,
    Uniform,
    listed_laws,
)
from theory.validation import Problems

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
        (lambda: Exponential(1e200), "third moment beyond float64.*finite third moments"),
        (lambda: Exponential(10**200), "third moment beyond float64"),
        (lambda: Exponential(10**400), "expected a finite number > 0"),
        (lambda: Exponential(Fraction(1, 10**150)), "third moment beyond float64 or below it"),
        (lambda: Gamma(1e103, 1.0), "third moment beyond"),
        (lambda: Gamma(1.0, np.float64(1e200)), "third moment beyond"),
        (lambda: Deterministic(1e-110), "or below it"),
        (lambda: Uniform(0, 1e150), "third moment beyond"),
        (lambda: Uniform(float("nan"), 1.0), "low is nan"),
        (lambda: TwoPoint(1.0, 1e150), "third moment beyond"),
        (lambda: TwoPoint(1.0, 2.0, float("nan")), "probability is nan"),
        (lambda: GivenMoments(1e200, 1e300, 1e300), "no positive random variable"),
        (lambda: LogNormal(0.0, 1e200), "third moment beyond float64"),
        (lambda: FlowProblem.random_diagonal([], 3), "random_diagonal.*laws is empty"),
    ],
)
def test_bad_laws_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        make()


def test_moments_at_the_edge_of_float64_are_accepted():
    assert GivenMoments(1e100, 1e200, 1e300).moments == (1e100, 1e200, 1e300)
    assert Exponential(1e102).moments[2] == pytest.approx(6e306)
    assert Exponential(1e-102).moments[2] == pytest.approx(6e-306)


class OfNoMoments:
    """A law of somebody else, with an infinite third moment."""

    moments = (1.0, 2.0, float("inf"))


def test_laws_are_listed_with_their_problems():
    problems = Problems("here")
    assert listed_laws(problems, "laws", iter([Exponential(1)])) == (Exponential(1),)
    problems.raise_if_any()
    assert listed_laws(problems, "laws", [Exponential(1), OfNoMoments()]) == ()
    with pytest.raises(ValueError, match=r"laws\[1\] has moments .*inf.*finite third moments"):
        problems.raise_if_any()


#: What the type checks of these tests refuse before the library does; users have none.
WRONG_TYPES = """
import pytest
from theory.gradient_flow import FlowProblem
from theory.laws import Exponential, GivenMoments, LogNormal, TwoPoint, Uniform
flow = FlowProblem.random_diagonal
for make, message in (
    (lambda: flow([1.0, 2.0], 5), r"(?s)FlowProblem.random_diagonal: 2 problem.*laws.0. is 1.0"),
    (lambda: flow(Exponential(1.0), 5), "for d = 1, a list of one law"),
    (lambda: flow(3, 5), "laws is 3; expected laws of `theory.laws`"),
    (lambda: Exponential("a"), "scale is 'a'; expected a finite number > 0"),
    (lambda: Exponential(1j), "scale is 1j"),
    (lambda: GivenMoments(1, "a", 3), "the second moment is 'a'"),
    (lambda: Uniform("a", 1), "low is 'a'; expected 0 <= low < high"),
    (lambda: TwoPoint(1, 2, None), "probability is None"),
    (lambda: LogNormal("a", 1.0), "mean_log is 'a'"),
):
    with pytest.raises(ValueError, match=message):
        make()
"""


def test_wrong_types_are_refused_where_nothing_checks_types():
    subprocess.run([sys.executable, "-c", WRONG_TYPES], check=True)


LAMBDA = np.diag([1.0, 2.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FlowProblem.fixed(LAMBDA, 10**400), r"FlowProblem\.fixed:.*above 1e\+15"),
        (
            lambda: FlowProblem.general(LAMBDA, LAMBDA, 0.0, 10**16),
            r"FlowProblem\.general:.*1e\+1",
        ),
        (lambda: FlowProblem.random_diagonal([Exponential(1)], 10**5000), r"above 1e\+15"),
        (
            lambda: FlowProblem.fixed([[1, 0.5], [0.4, 1]], 3),
            r"1\] is 0\.5 and \[1, 0\] 0\.4;",
        ),
        (
            lambda: FlowProblem.fixed(np.diag([1e-8, 1e8]), 3),
            r"from 1e-08 to 1e\+08, the smallest below d eps times the largest \(4\.44e-08\)",
        ),
    ],
)
def test_settings_tell_who_was_called_and_what_is_out_of_range(make, message):
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        make()


def test_the_longest_prompts_are_the_limit():
    assert FlowProblem.fixed(LAMBDA, 10**15).minimiser == pytest.approx(np.diag([1.0, 0.5]))
