"""The risk in exact arithmetic, and what it refuses; sampling is in `test_risk_monte_carlo`."""

import re
import subprocess
import sys
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from theory import PromptBatch
from theory.gradient_flow import FlowProblem
from theory.laws import Deterministic, Exponential, Gamma, TwoPoint
from theory.linear_attention import LinearAttention
from theory.risk import (
    LabelMoments,
    QueryMoments,
    expected_chain,
    linear_risk,
    random_covariance_risk,
    risk_from_samples,
    shifted_risk,
    theorem_5_bias,
    weight_chain,
)

LAM = np.array([[2.0, 0.5], [0.5, 1.0]])

#: Three points with the moments of N(0, 1) to order 5: what is of degree 4 in x is exact.
POINTS = ((-np.sqrt(3), 1 / 6), (0.0, 2 / 3), (np.sqrt(3), 1 / 6))


def test_every_prompt_of_a_finite_law_gives_the_risk():
    # All 9^3 prompts of two examples and a query, their labels linear: exact, up to rounding.
    w, M, A = np.array([1.0, -2.0]), 2, np.array([[0.5, 0.2], [-0.1, 0.7]])
    root = np.linalg.cholesky(LAM)
    single = [(root @ np.array([a, b]), p * q) for (a, p), (b, q) in product(POINTS, repeat=2)]
    prompts = list(product(single, repeat=M + 1))
    xs = np.array([[x for x, _ in prompt] for prompt in prompts])
    weights = np.array([np.prod([p for _, p in prompt]) for prompt in prompts])
    layer = LinearAttention.from_blocks(np.zeros(2), np.zeros(2), A.T, 1.0)
    ys = xs @ w
    errors = layer.predict(PromptBatch(xs, ys[:, :-1])) - ys[:, -1]
    expected = float(weights @ errors**2)
    moments = LabelMoments.linear(LAM, w)
    assert linear_risk(A, moments, M).total == pytest.approx(expected, rel=1e-12)
    assert shifted_risk(A, LAM, np.outer(w, w), 0.0, M).total == pytest.approx(expected, rel=1e-12)


def test_the_bias_of_theorem_5_keeps_its_digits_for_long_prompts():
    lam, a = [Fraction(1, 1000), Fraction(7)], [Fraction(3), Fraction(-2)]
    trace, N = sum(lam), 10**9
    gaps = [(x + trace) / N / (x + (x + trace) / N) for x in lam]
    exact = sum(x * (g * w) ** 2 for x, g, w in zip(lam, gaps, a, strict=True))
    found = sum(theorem_5_bias(np.diag(np.array(lam, float)), N, np.array(a, float)))
    assert found == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize("eigenvalues", [(1, 2, Fraction(1, 3)), (1, 1), (5,), (1, 1000, 3, 40)])
@pytest.mark.parametrize("N", [1, 7, 1000])
def test_the_chains_are_ordered_and_their_first_side_is_the_risk(eigenvalues, N):
    M, lam = 6, np.diag(np.array(eigenvalues, dtype=float))
    A = FlowProblem.fixed(lam, N).minimiser
    chain = expected_chain(eigenvalues, N, M)
    risk = shifted_risk(A, lam, np.eye(len(lam)), 0.0, M)
    assert_allclose([float(chain.variance), float(chain.bias)], risk[1:], rtol=1e-8)
    assert chain.variance < chain.variance_bound
    assert chain.bias < chain.bias_first <= chain.bias_extreme <= chain.bias_condition
    assert chain.bias < chain.bias_uniform
    assert min(chain.looseness.values()) > 0
    w = list(range(1, len(lam) + 1))
    one = weight_chain(eigenvalues, w, N, M)
    of_w = linear_risk(A, LabelMoments.linear(lam, w), M)
    assert float(one.exact) == pytest.approx(of_w.excess, rel=1e-8)
    assert_allclose([float(b) for b in one.biases], theorem_5_bias(lam, N, w), rtol=1e-10)
    assert one.variance < one.variance_bound
    assert all(b < c for b, c in zip(one.biases, one.bias_bounds, strict=True))


@pytest.mark.parametrize("d", [1, 4])
@pytest.mark.parametrize("N", [1, 10])
def test_the_exponential_example_in_fractions(d, N):
    laws = [Exponential(1)] * d
    found = random_covariance_risk(laws, laws, N, N)
    alpha = Fraction(N, 3 * N + d + 5)
    assert found.coefficients == found.frozen_query == (alpha,) * d
    assert found.regression == (2 * alpha,) * d
    assert found.risk == (1 - 2 * alpha,) * d
    assert found.limit == (Fraction(1, 3),) * d
    assert float(sum(found.risk)) == pytest.approx(
        2 * FlowProblem.random_diagonal(laws, N).minimal_loss, rel=1e-12
    )


EIGENVALUES = st.lists(st.fractions(Fraction(1, 100), 100), min_size=1, max_size=5)
LENGTHS = st.integers(1, 10**6)


@given(EIGENVALUES, LENGTHS, LENGTHS)
def test_the_chain_is_ordered_for_every_spectrum(eigenvalues, N, M):
    chain = expected_chain(eigenvalues, N, M)
    assert 0 < chain.variance < chain.variance_bound
    assert 0 < chain.bias < min(chain.bias_first, chain.bias_uniform)
    assert chain.bias_first <= chain.bias_extreme <= chain.bias_condition
    assert chain.exact < chain.corollary_6
    # What Gamma >= Lambda loses lies between the factors of the extreme eigenvalues.
    trace, loss = sum(eigenvalues), chain.bias_first / chain.bias
    small, large = ((1 + (1 + trace / x) / N) ** 2 for x in (max(eigenvalues), min(eigenvalues)))
    assert small <= loss <= large


@given(st.integers(2, 7), st.fractions(1, 1000), LENGTHS)
def test_the_condition_step_loses_little_against_the_sharp_bound_in_d_and_kappa(d, kappa, N):
    half = d // 2
    chain = expected_chain([Fraction(1)] * (d - half) + [kappa] * half, N, 1)
    assert chain.bias_extreme == chain.bias_first
    assert chain.bias_condition / chain.bias_first <= Fraction(d**2, d**2 // 4)


@given(st.lists(st.fractions(Fraction(1, 10**6), 10**6), min_size=2, max_size=12))
def test_the_condition_step_loses_less_than_d_squared_for_a_given_covariance(eigenvalues):
    d, kappa = len(eigenvalues), max(eigenvalues) / min(eigenvalues)
    product = sum(eigenvalues) * sum(1 / x for x in eigenvalues)
    assert 1 <= d**2 * kappa / product < d**2
    chain = expected_chain(eigenvalues, 7, 1)
    assert 1 <= chain.bias_condition / chain.bias_first < d**2


def test_for_a_given_covariance_the_condition_step_may_lose_nearly_d_squared():
    # Ten eigenvalues, eight of them at the geometric mean of the ends: 99.84 of 100, not 4.
    spectrum = [1, *[10**4] * 8, 10**8]
    product = sum(spectrum) * sum(Fraction(1, x) for x in spectrum)
    assert float(10**2 * 10**8 / product) == pytest.approx(99.84, abs=0.005)
    chain = expected_chain(spectrum, 10**9, 5)
    assert chain.bias_extreme / chain.bias_first == pytest.approx(24.96, abs=0.01)
    assert chain.looseness["tr(Lambda^-1) tr(Lambda) <= d^2 kappa"] > 99.8


@pytest.mark.parametrize(
    "eigenvalues",
    [np.array([1, 2]), np.array([1, 2], dtype=np.uint8), (1, 2), np.array([1, 2], dtype=object)],
)
def test_integers_of_every_kind_are_computed_with_exactly(eigenvalues):
    assert expected_chain(eigenvalues, 20, 50) == expected_chain([1, 2], 20, 50)
    assert weight_chain(eigenvalues, eigenvalues, 20, 50) == weight_chain([1, 2], [1, 2], 20, 50)
    assert isinstance(expected_chain(eigenvalues, 20, 50).exact, Fraction)


def test_arrays_of_floats_are_taken():
    found = expected_chain(np.array([0.5, 0.25]), 20, 50)
    exact = expected_chain([Fraction(1, 2), Fraction(1, 4)], 20, 50)
    assert_allclose([float(v) for v in found], [float(v) for v in exact], rtol=1e-14)
    assert weight_chain([1, 2], np.array([-1.0, 0.0]), 20, 50).exact > 0


def test_the_looseness_names_its_steps():
    found = expected_chain([1, 1, 1], 10, 5).looseness
    assert found["Gamma >= Lambda, in the bias"] == pytest.approx(1.4**2)
    assert found["Gamma >= Lambda, in the variance"] == pytest.approx(1.4**2)
    assert found["tr(Lambda^-1) tr(Lambda) <= d^2 kappa"] == 1
    assert found["the largest such product in its place"] == 1
    # Long prompts: only the condition number is lost, a factor near 4.
    far = expected_chain([1, 1, 10**6, 10**6], 10**9, 5).looseness
    assert far["Gamma >= Lambda, in the bias"] == pytest.approx(1, abs=0.02)
    assert far["tr(Lambda^-1) tr(Lambda) <= d^2 kappa"] == pytest.approx(4, rel=1e-3)
    # An ill-conditioned covariance and a short prompt: the bound says nothing.
    assert expected_chain([1, 10**8], 10, 5).looseness["Corollary 6 in all"] > 1e6


@given(st.integers(1, 4), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_a_query_of_the_examples_law_is_theorem_5(d, M, seed):
    rng = np.random.default_rng(seed)
    root, w, A = rng.standard_normal((d, d)), rng.standard_normal(d), rng.standard_normal((d, d))
    lam = root @ root.T + 0.1 * np.eye(d)
    moments = LabelMoments.linear(lam, w, 0.5)
    found = linear_risk(A, moments, M, QueryMoments.of_weights(lam, w, 0.5))
    assert_allclose(found, linear_risk(A, moments, M), rtol=1e-9, atol=1e-12)
    assert_allclose(found, shifted_risk(A, lam, np.outer(w, w), 0.5, M), rtol=1e-9, atol=1e-12)
    assert found.total == pytest.approx(found.floor + found.variance + found.bias)


@given(st.integers(1, 4), st.integers(1, 10**6), st.integers(0, 2**32 - 1))
def test_the_layer_has_no_bias_on_gamma(d, N, seed):
    root = np.random.default_rng(seed).standard_normal((d, d))
    lam = root @ root.T + 0.1 * np.eye(d)
    gamma = lam + (lam + np.trace(lam) * np.eye(d)) / N
    risk = shifted_risk(FlowProblem.fixed(lam, N).minimiser, gamma, np.eye(d), 0.3, 2)
    assert risk.bias < 1e-18 * np.trace(gamma) * np.linalg.cond(lam) ** 2
    assert risk.floor == pytest.approx(0.09)


def test_a_constant_covariance_has_no_floor():
    laws = [Deterministic(2), Deterministic(Fraction(1, 3))]
    found = random_covariance_risk(laws, laws, 4, 5)
    chain = expected_chain([2, Fraction(1, 3)], 4, 5)
    assert found.limit == (0, 0)
    assert sum(found.risk) == chain.exact
    assert sum(found.floor) == chain.bias


def test_the_coefficients_are_the_limit_of_training():
    laws = [Gamma(2.5, 0.4), TwoPoint(1, 4), Exponential(2)]
    found = random_covariance_risk(laws, laws, 3, 8)
    minimiser = FlowProblem.random_diagonal(laws, 3).minimiser
    assert_allclose(np.diag([float(a) for a in found.coefficients]), minimiser, rtol=1e-12)


def test_quadrature_and_samples_have_the_moments_of_the_linear_law():
    w = np.array([1.0, -2.0])
    exact = LabelMoments.linear(LAM, w, 0.3)
    found = LabelMoments.of_function(LAM, lambda x: x @ w, 0.3, nodes=4)
    for name in ("covariance", "label_square", "cross", "weighted_covariance"):
        assert_allclose(getattr(found, name), getattr(exact, name), rtol=1e-12)
    pairs = LabelMoments.from_samples(np.array([[1.0, 0], [0, 2]]), np.array([3.0, -1]))
    assert_allclose(pairs.weighted_covariance, [[4.5, 0], [0, 2]])
    assert_allclose(pairs.cross, [1.5, -1])
    assert pairs.label_square == 5


def test_the_excess_needs_no_second_moment_of_the_label():
    # d = 1, y = |x|^-0.6: E y^2 is infinite, E y^2 x^2 = E |x|^0.8 is not.
    moments = LabelMoments([[1.0]], np.inf, [0.0], [[0.88]])
    found = linear_risk(np.array([[0.5]]), moments, 2)
    assert found.total == np.inf
    assert found.excess == pytest.approx(0.25 * 0.88 / 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelMoments(LAM, 0.1, [1.0, 0.0], np.eye(2)), "label_square .* below"),
        (lambda: LabelMoments(LAM, 9.0, [2.0, 0.0], np.eye(2)), "covariance of yx"),
        (lambda: LabelMoments(LAM, np.nan, [0.0, 0.0], np.eye(2)), "label_square .* nan"),
        (lambda: LabelMoments(-LAM, 1.0, [0.0, np.inf], np.eye(2)), "3 problem.*Theorem 5 assumes"),
        (lambda: LabelMoments(LAM, 1.0, [0.0], np.eye(2)), "with one d"),
        (lambda: LabelMoments(LAM, 1.0, [0, 0], np.full((2, 2), np.inf)), "Theorem 5 assumes"),
        (lambda: LabelMoments(LAM, 1.0, [np.inf, 0], np.eye(2)), "Theorem 5 assumes"),
        (lambda: LabelMoments(np.diag([1.0, 0.0]), 1.0, [0, 0], np.eye(2)), "theorems assume"),
        (lambda: LabelMoments.linear(LAM, [1.0, 2.0], np.inf), "noise_std is inf"),
        (lambda: LabelMoments.of_function(LAM, lambda x: x), "the result of function has shape"),
        (lambda: LabelMoments.of_function(LAM, lambda x: x[:5, 0]), "5 labels for 1600 points"),
        (
            lambda: LabelMoments.of_function(np.eye(1), lambda x: np.where(x > 0, np.inf, 0)[:, 0]),
            "expected finite",
        ),
        (lambda: LabelMoments.from_samples(np.eye(2), np.ones(3)), "expected n >= 1 pairs"),
        (lambda: LabelMoments.from_samples(np.eye(2)[:1], np.ones(1)), "degenerate directions"),
        (lambda: risk_from_samples(np.eye(1), np.ones((1, 1)), np.ones(1), 1), "n >= 2"),
        (lambda: shifted_risk(np.eye(2), LAM, LAM, 0.0, 0), "M. is 0"),
        (lambda: shifted_risk(np.eye(2), LAM, np.eye(3), 0.0, 1), "one shape"),
        (lambda: weight_chain([1, 2], [1], 1, 1), "1 weights for 2 eigenvalues"),
        (lambda: expected_chain([], 1, 1), "d >= 1 eigenvalues"),
        (lambda: QueryMoments.of_weights(LAM, [1.0], 0.0), "expected d = 2"),
        (lambda: LabelMoments.linear(LAM, [1.0, 2.0], -1.0), "noise_std is -1.0"),
        (lambda: LabelMoments.of_function(np.eye(6), np.sum), "at most 4000000"),
        (lambda: QueryMoments(np.diag([1.0, 0.0]), [0.0, 1.0], 5.0), "not in the range"),
        (lambda: QueryMoments(LAM, [1.0, 0.0], 0.1), "label_square .v. is 0.1"),
        (lambda: linear_risk(np.eye(3), LabelMoments.linear(LAM, [1, 0]), 0), "2 problem"),
        (lambda: shifted_risk(np.eye(2), LAM, -LAM, 0.0, 1), "semidefinite"),
        (lambda: theorem_5_bias(LAM, 0, [1.0]), "2 problem"),
        (lambda: expected_chain([1, -1], 0, 1), "2 problem"),
        (lambda: random_covariance_risk([Exponential(1)], [], 1, 1), "test is empty"),
        (
            lambda: random_covariance_risk([Exponential(1)] * 2, [Exponential(1)], 1, 1),
            "training has 2 laws and test 1; expected d >= 1 of each",
        ),
        (lambda: expected_chain(np.eye(2), 20, 50), r"shape \(2, 2\); expected .* shape \(d,\)"),
        (lambda: expected_chain(np.array(3.0), 20, 50), r"shape \(\); expected"),
        (lambda: expected_chain(np.array([]), 20, 50), "eigenvalues is empty"),
        (lambda: expected_chain([1.0, np.nan], 20, 50), r"eigenvalues\[1\] is nan"),
        (lambda: expected_chain([1, np.inf], 20, 50), r"eigenvalues\[1\] is inf"),
        (lambda: weight_chain([1, 2], [np.nan, 1], 20, 50), r"weights\[0\] is nan"),
        (lambda: weight_chain([1, 2], np.eye(2), 20, 50), "weights has shape"),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        make()


#: What the type checks of these tests refuse before the library does; users have none.
WRONG_TYPES = """
import numpy as np
import pytest
from theory.laws import Exponential
from theory.risk import expected_chain, random_covariance_risk, weight_chain
law = Exponential(1)
assert expected_chain([np.int64(1), np.int32(2)], 9, 9) == expected_chain([1, 2], 9, 9)
for make, message in (
    (lambda: expected_chain(3, 20, 50), "eigenvalues is 3; expected a list or an array"),
    (lambda: expected_chain("12", 20, 50), "eigenvalues is '12'; expected a list"),
    (lambda: expected_chain([[1, 2]], 20, 50), "expected a finite number > 0"),
    (lambda: expected_chain([1, "a"], 20, 50), "is 'a'; expected a finite number > 0"),
    (lambda: weight_chain([1, 2], None, 20, 50), "weights is None; expected a list"),
    (lambda: weight_chain([1, 2], [1j, 1], 20, 50), "is 1j; expected a finite number"),
    (lambda: random_covariance_risk([1], [1], 20, 50), "(?s)training.0. is 1; expected laws.*test"),
    (lambda: random_covariance_risk(law, [law], 20, 50), "training is Exp.*a list of one law"),
):
    with pytest.raises(ValueError, match=message):
        make()
"""


def test_wrong_types_are_refused_where_nothing_checks_types():
    subprocess.run([sys.executable, "-c", WRONG_TYPES], check=True)
