"""Predictors: least squares and ridge against scipy, argmin and the mean against the mixture."""

import numpy as np
import pytest
import scipy.linalg
from mpmath import mp

from tests.theory import judge
from theory import (
    Argmin,
    LeastSquares,
    PosteriorMean,
    Predictor,
    PromptBatch,
    RegressionMixture,
    Ridge,
    Zero,
)


def noise(batch: int, k: int, d: int, seed: int) -> PromptBatch:
    rng = np.random.default_rng(seed)
    return PromptBatch(rng.standard_normal((batch, k + 1, d)), rng.standard_normal((batch, k)))


def minimum_norm(prompts: PromptBatch) -> list[float]:
    cutoff = 1e-12
    pairs = zip(prompts.examples, prompts.ys, prompts.queries, strict=True)
    return [float(scipy.linalg.lstsq(x, y, cond=cutoff)[0] @ query) for x, y, query in pairs]


def augmented(prompts: PromptBatch, penalty: float) -> list[float]:
    """Ridge as least squares with d more examples, (sqrt(penalty) e_l, 0)."""
    rows = np.sqrt(penalty) * np.eye(prompts.dim)
    solutions = [
        scipy.linalg.lstsq(np.vstack([x, rows]), np.append(y, np.zeros(prompts.dim)))[0]
        for x, y in zip(prompts.examples, prompts.ys, strict=True)
    ]
    return [float(w @ query) for w, query in zip(solutions, prompts.queries, strict=True)]


MIXTURE = RegressionMixture.random(4, 3, 0.5, np.random.default_rng(0))
ALL = (PosteriorMean(MIXTURE), Argmin(MIXTURE), LeastSquares(), Ridge(0.3), Zero())


@pytest.mark.parametrize("predictor", ALL, ids=lambda predictor: predictor.name)
def test_all_prefixes_are_predictions_on_the_prefixes(predictor: Predictor) -> None:
    assert isinstance(predictor, Predictor)
    prompts = MIXTURE.sample_prompts(5, 9, np.random.default_rng(1))
    predictions = predictor.predict_all_prefixes(prompts)
    assert predictions.shape == (5, 10)
    assert predictions.dtype == np.float64
    for n in range(10):
        prefix = predictor.predict(prompts.prefix(n))
        np.testing.assert_allclose(predictions[:, n], prefix, rtol=1e-11, atol=1e-12)


def test_names_tell_predictors_apart() -> None:
    assert len({predictor.name for predictor in (*ALL, Ridge(1.0))}) == 6


@pytest.mark.parametrize(("k", "d"), [(1, 1), (1, 5), (4, 5), (5, 5), (6, 5), (40, 5)])
def test_least_squares_agrees_with_scipy(k: int, d: int) -> None:
    prompts = noise(6, k, d, seed=2)
    predictions = LeastSquares().predict_all_prefixes(prompts)
    np.testing.assert_array_equal(predictions[:, 0], 0)
    for n in range(1, k + 1):
        expected = minimum_norm(prompts.prefix(n))
        np.testing.assert_allclose(predictions[:, n], expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("seed", range(20))
def test_least_squares_of_deficient_rank_has_minimum_norm(seed: int) -> None:
    """Covariates in a plane of R^4, up to the rounding of their coordinates."""
    full = noise(3, 12, 4, seed)
    plane = np.random.default_rng(seed + 100).standard_normal((2, 4))
    xs = full.xs.copy()
    xs[:, :-1] = full.examples[:, :, :2] @ plane
    prompts = PromptBatch(xs, full.ys)
    predictions = LeastSquares().predict_all_prefixes(prompts)
    for n in (2, 4, 12):
        expected = minimum_norm(prompts.prefix(n))
        np.testing.assert_allclose(predictions[:, n], expected, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(LeastSquares().predict(prompts), predictions[:, -1], rtol=1e-9)


@pytest.mark.parametrize("penalty", [1e-8, 0.1, 1.0, 1e4])
@pytest.mark.parametrize(("k", "d"), [(1, 4), (4, 4), (30, 4)])
def test_ridge_agrees_with_augmented_least_squares(penalty: float, k: int, d: int) -> None:
    prompts = noise(6, k, d, seed=3)
    predictions = Ridge(penalty).predict_all_prefixes(prompts)
    np.testing.assert_array_equal(predictions[:, 0], 0)
    for n in range(1, k + 1):
        expected = augmented(prompts.prefix(n), penalty)
        np.testing.assert_allclose(predictions[:, n], expected, rtol=1e-6, atol=1e-9)


def test_ridge_solves_the_normal_equations() -> None:
    prompts = noise(1, 7, 3, seed=4)
    x, y = prompts.examples[0], prompts.ys[0]
    w = np.linalg.solve(x.T @ x + 0.5 * np.eye(3), x.T @ y)
    np.testing.assert_allclose(Ridge(0.5).predict(prompts), [w @ prompts.queries[0]], rtol=1e-12)
    wrong = np.linalg.solve(x.T @ x + 1.0 * np.eye(3), x.T @ y)  # the penalty taken twice
    assert abs(Ridge(0.5).predict(prompts)[0] - wrong @ prompts.queries[0]) > 1e-3


def test_ridge_refuses_bad_penalties() -> None:
    for penalty in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"penalty is .*; expected a finite number > 0"):
            Ridge(penalty)


def test_argmin_is_the_component_of_least_squares_error() -> None:
    prompts = MIXTURE.sample_prompts(8, 3, np.random.default_rng(5))
    components, weights = MIXTURE.components.tolist(), MIXTURE.weights.tolist()
    for n in range(4):
        prefix = prompts.prefix(n)
        pairs = zip(prefix.xs.tolist(), prefix.ys.tolist(), strict=True)
        exact = [float(judge.argmin_mean(xs, ys, components, weights)) for xs, ys in pairs]
        np.testing.assert_allclose(Argmin(MIXTURE).predict(prefix), exact, rtol=0, atol=1e-14)


@pytest.mark.parametrize("k", [0, 3, 8])
def test_zero_examples_change_no_prediction(k: int) -> None:
    prompts = MIXTURE.sample_prompts(5, k, np.random.default_rng(6))
    for predictor in ALL:
        np.testing.assert_allclose(
            predictor.predict(prompts.pad(k + 4)), predictor.predict(prompts), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("exponent", [9, 10, 11, 12, 13])
@pytest.mark.parametrize("turned", [False, True])
def test_least_squares_keeps_what_rounding_cannot_have_made(exponent: int, turned: bool) -> None:
    """X = diag(1, 10^-exponent), also in another basis: w is that of the exact inverse.

    Rounding moves a singular value by some 2^-52, 0.2 % of 1e-13; and the answer is cut off, that
    is of size 1, if the small one counts as 0.
    """
    small = 10.0**-exponent
    xs = np.diag([1.0, small])
    if turned:
        angles = np.array([0.3, 1.1])
        left, right = ([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in angles)
        xs = np.array(left) @ xs @ np.array(right)
    with mp.workdps(60):
        ys = np.array([0.7, -0.4])
        w = mp.lu_solve(mp.matrix(xs.tolist()), mp.matrix(ys.tolist()))
        expected = float(w[0] - 2 * w[1])
    prompts = PromptBatch(np.concatenate([xs, [[1.0, -2.0]]])[None], ys[None])
    assert abs(expected) > 0.005 / small
    tolerance = 200 * 2.0**-52 / small
    for found in (
        LeastSquares().predict(prompts)[0],
        LeastSquares().predict_all_prefixes(prompts)[0, -1],
    ):
        assert found == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize(("share", "kept"), [(0.9, False), (1.1, True)])
@pytest.mark.parametrize("k", [2, 9])
def test_least_squares_cuts_off_at_its_limit(share: float, kept: bool, k: int) -> None:
    """16 max(n, d) 2^-52 times the largest: in diagonal problems, where nothing is rounded."""
    small = share * 16 * k * 2.0**-52
    xs = np.zeros((1, k + 1, 2))
    xs[0, :2] = np.diag([1.0, small])
    xs[0, -1] = [0.0, small]
    ys = np.zeros((1, k))
    ys[0, 1] = 5.0
    assert LeastSquares().predict(PromptBatch(xs, ys))[0] == pytest.approx(5.0 * kept)
