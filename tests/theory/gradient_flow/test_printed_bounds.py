"""The printed constants against the paper's matrix formulas, enumeration and scipy's quadrature."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from tests.theory.gradient_flow.plain_flow import FAMILIES, covariance, judged, psd_start
from theory.gradient_flow import FlowProblem, FlowState, assumption_3, random_theta
from theory.gradient_flow.printed_bounds import mean_norms, printed_bounds
from theory.gradient_flow.settings import RandomDiagonalCovariance
from theory.gradient_flow.trajectory import pl_ratio_at
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

SEEDS = st.integers(0, 10_000)


@given(st.integers(1, 5), SEEDS, st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_fixed_covariance_has_eqs_30_43_and_44(dim, seed, length):
    rng = np.random.default_rng(seed)
    lam, theta = covariance(dim, rng), random_theta(dim, rng)
    sigma = float(rng.uniform(0.01, 1))
    problem = FlowProblem.fixed(lam, length)
    bounds = printed_bounds(problem, assumption_3(problem, theta, sigma))
    gam = (1 + 1 / length) * lam + np.trace(lam) / length * np.eye(dim)
    top = np.linalg.norm(gam, 2)
    assert bounds.threshold == pytest.approx(2 / (np.sqrt(dim) * top), rel=1e-12)
    assert bounds.scale_ratio == pytest.approx(sigma**2 * np.sqrt(dim) * top / 2, rel=1e-12)
    room = np.linalg.norm(lam @ theta) ** 2 * (2 - np.sqrt(dim) * sigma**2 * top)
    below = sigma**2 / (2 * np.sqrt(dim) * np.linalg.norm(lam, 2) ** 2) * room
    size = sigma**2 * np.linalg.norm(lam @ theta) ** 2
    assert bounds.u_squared == pytest.approx(below, rel=1e-11, abs=1e-13 * size)
    inverse = np.linalg.inv(lam)
    traces = np.trace(np.linalg.inv(gam) @ inverse) * np.trace(inverse)
    mu = sigma**2 / (np.sqrt(dim) * np.linalg.norm(lam, 2) ** 2 * traces) * room
    assert bounds.pl_constant == pytest.approx(mu, rel=1e-10, abs=1e-12 * size)


def test_random_covariance_has_eqs_58_60_and_61_by_enumeration():
    laws = [TwoPoint(1.0, 3.0, 0.25), TwoPoint(0.5, 2.0, 0.5), TwoPoint(1.0, 5.0, 0.9)]
    length, sigma = 4, 0.1
    theta = random_theta(3, np.random.default_rng(0))
    first, second, norms = np.zeros(3), np.zeros(3), 0.0
    for choice in np.ndindex(2, 2, 2):
        lam = np.array([(law.low, law.high)[c] for law, c in zip(laws, choice, strict=True)])
        odds = [(law.probability, 1 - law.probability) for law in laws]
        weight = np.prod([pair[c] for pair, c in zip(odds, choice, strict=True)])
        gam = (1 + 1 / length) * lam + np.sum(lam) / length
        first, second = first + weight * lam, second + weight * lam**2
        norms += weight * np.max(gam) * np.sum(lam**2)
    problem = FlowProblem.random_diagonal(laws, length)
    assert mean_norms(problem.setting) == pytest.approx(norms, rel=1e-12)
    bounds = printed_bounds(problem, assumption_3(problem, theta, sigma))
    gain = np.linalg.norm(np.diag(first) @ theta) ** 2
    assert bounds.threshold == pytest.approx(2 * gain / (np.sqrt(3) * norms), rel=1e-12)
    room = 2 * gain - np.sqrt(3) * sigma**2 * norms
    below = sigma**2 / (2 * np.sqrt(3) * np.max(second)) * room
    assert bounds.u_squared == pytest.approx(below, rel=1e-12)
    least = np.min(problem.curvature)
    nu = least * sigma**2 / (np.sqrt(3) * np.max(second)) * room
    assert bounds.pl_constant == pytest.approx(nu, rel=1e-12)


def test_mean_norms_of_two_densities_is_a_double_integral():
    laws = (Exponential(1.0), Uniform(0.5, 2.0))
    length = 3

    def integrand(y, x):
        gam = (1 + 1 / length) * max(x, y) + (x + y) / length
        return gam * (x**2 + y**2) * np.exp(-x) / 1.5

    # The kink at x = y stands on an edge of every piece.
    pieces = [((0.0, 0.5), (0.5, 2.0)), ((2.0, 60.0), (0.5, 2.0))]
    expected = sum(
        integrate.dblquad(integrand, *xs, *ys, epsabs=1e-11, epsrel=1e-12)[0] for xs, ys in pieces
    )
    for edges in ((lambda x: 0.5, lambda x: x), (lambda x: x, lambda x: 2.0)):
        expected += integrate.dblquad(integrand, 0.5, 2.0, *edges, epsrel=1e-12)[0]
    found = mean_norms(RandomDiagonalCovariance(laws, length))
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "law",
    [
        Exponential(1e-6),
        Exponential(1e6),
        Gamma(0.1, 1.0),
        Gamma(1e4, 1.0),
        LogNormal(0.0, 2.5),
        LogNormal(3.0, 1e-3),
        Uniform(0.0, 1.0),
        TwoPoint(1e-3, 1e3, 0.999),
        Deterministic(7.0),
    ],
)
def test_mean_norms_of_one_eigenvalue_is_a_third_moment(law):
    setting = RandomDiagonalCovariance((law,), 5)
    expected = (1 + 2 / 5) * float(law.moments[2])
    assert mean_norms(setting) == pytest.approx(expected, rel=2e-9)


def test_mean_norms_of_a_dominant_law_and_of_narrow_peaks_far_apart():
    """lambda_2 = 1,000 is the largest: E = ((1 + 2/N) 1000 + E l_1/N) 1e6 + lower terms."""
    length = 4
    laws = (Uniform(1.0, 2.0), Deterministic(1000.0))
    first, second, third = 1.5, 7 / 3, 3.75
    largest = (1 + 1 / length) * 1000 * (second + 1e6)
    trace = third + first * 1e6 + 1000 * second + 1e9
    found = mean_norms(RandomDiagonalCovariance(laws, length))
    assert found == pytest.approx(largest + trace / length, rel=1e-9)
    narrow = RandomDiagonalCovariance((LogNormal(0.0, 1e-4), LogNormal(10.0, 1e-4)), length)
    exact = RandomDiagonalCovariance((Deterministic(1.0), Deterministic(np.exp(10.0))), length)
    assert mean_norms(narrow) == pytest.approx(mean_norms(exact), rel=1e-6)


@given(st.integers(1, 4), SEEDS, st.sampled_from((0, 1)), st.floats(1e-4, 0.999))
@settings(max_examples=25, deadline=None)
def test_the_printed_bounds_hold_along_the_judged_flow(dim, seed, family, ratio):
    rng = np.random.default_rng(seed)
    problem = FAMILIES[family](dim, rng)
    start = psd_start(problem, 1.0, rng)
    scale = np.sqrt(ratio * printed_bounds(problem, start).threshold)
    start = FlowState(start.U * scale, scale)
    bounds = printed_bounds(problem, start)
    assert bounds.scale_ratio == pytest.approx(ratio)
    assert problem.loss(start) < problem.loss_at_zero
    times = np.linspace(0, 5 / np.linalg.norm(problem.drive), 100)
    for state in judged(problem, start, times):
        assert state.u**2 >= bounds.u_squared * (1 - 1e-9) > 0
        assert pl_ratio_at(problem, state) >= bounds.pl_constant


def test_the_bound_says_nothing_from_the_threshold_on():
    problem = FlowProblem.fixed(np.diag([1.0, 2.0]), 4)
    unit = np.eye(2) / np.sqrt(2)
    threshold = printed_bounds(problem, FlowState(unit, 1.0)).threshold
    for ratio, sign in ((0.999, 1), (1.001, -1)):
        scale = np.sqrt(ratio * threshold)
        assert sign * printed_bounds(problem, FlowState(scale * unit, scale)).u_squared > 0


@pytest.mark.parametrize(
    ("U", "u", "message"),
    [
        (np.eye(2), 1.0, "balanced start"),
        (np.eye(2) / np.sqrt(2), -1.0, "scale sigma > 0"),
        (np.diag([0.6, -0.8]), 1.0, "positive semidefinite"),
        (np.array([[0.6, 0.8], [0.0, 0.0]]), 1.0, "symmetric"),
    ],
)
def test_starts_outside_assumption_3_are_refused(U, u, message):
    with pytest.raises(ValueError, match=message):
        printed_bounds(FlowProblem.fixed(np.diag([1.0, 2.0]), 4), FlowState(U, u))


def test_other_problems_are_refused():
    start = FlowState(np.eye(2) / np.sqrt(2), 1.0)
    with pytest.raises(ValueError, match="use sharp_bounds"):
        printed_bounds(FlowProblem.general(np.eye(2), np.eye(2), 0.1, 3), start)
    moments = FlowProblem.random_diagonal([GivenMoments(1.0, 2.0, 6.0)] * 2, 3)
    with pytest.raises(ValueError, match="moments but no distribution"):
        printed_bounds(moments, start)


@dataclass(frozen=True)
class Comb(DistributedLaw):
    """1, ..., 50 with equal probabilities: a law with jumps that the library does not know."""

    scale: float = 1.0

    @property
    def moments(self) -> tuple[float, float, float]:
        return tuple(float(np.mean(self._atoms**k)) for k in (1, 2, 3))

    @property
    def _atoms(self) -> np.ndarray:
        return self.scale * np.arange(1.0, 51)

    def sample(self, rng, shape):
        return rng.choice(self._atoms, shape)

    def truncated_moment(self, power, upper):
        below = self._atoms <= np.asarray(upper)[:, None]
        return np.mean(below * self._atoms**power, axis=1)


def test_a_law_with_unknown_jumps_is_refused_rather_than_integrated_wrongly():
    with pytest.raises(ValueError, match="smooth distribution functions"):
        mean_norms(RandomDiagonalCovariance((Comb(), Exponential(1.0)), 3))
    assert replace(Comb(), scale=2.0).moments[0] == 51.0
