import numpy as np
import pytest
from numpy.testing import assert_allclose

from simulations.baselines import BatchEM
from simulations.baselines.starts import random_start, spread_start
from theory import PromptBatch, RegressionMixture
from theory.em import PromptStatistics, expectation_step, maximisation_step


@pytest.fixture(scope="module")
def mixture():
    return RegressionMixture.random(5, 4, 0.5, np.random.default_rng(0))


@pytest.fixture(scope="module")
def prompts(mixture):
    return mixture.sample_prompts(400, 12, np.random.default_rng(1))


def distances(found, mixture):
    return np.min(np.linalg.norm(found[None] - mixture.components[:, None], axis=2), axis=1)


def test_it_finds_the_components(mixture, prompts):
    fitted = BatchEM(5, 0.5, start=spread_start).fit(prompts)
    assert fitted.converged_
    # 80 prompts of 12 examples a component: a standard error of 0.5 / sqrt(960) a coordinate.
    assert np.max(distances(fitted.components_, mixture)) < 5 * 0.5 / np.sqrt(960) * 2
    assert_allclose(np.sort(fitted.weights_), 0.2, atol=0.08)


def test_a_run_is_algorithm_1_step_by_step(prompts):
    rng = np.random.default_rng(7)
    statistics = PromptStatistics(prompts)
    now = random_start(statistics, 5, 0.5, rng)
    trace = []
    while True:
        expectation = expectation_step(statistics, now)
        trace.append(expectation.log_likelihood)
        before, now = now, maximisation_step(statistics, expectation.responsibilities, 0.5)
        moves = [min(np.linalg.norm(w - v) for v in before.components) for w in now.components]
        if max(moves) <= 1e-3:
            break
    fitted = BatchEM(5, 0.5, random_state=7).fit(prompts)
    assert_allclose(fitted.components_, now.components, rtol=1e-12)
    assert_allclose(fitted.log_likelihoods_[:-1], trace, rtol=1e-13)
    assert fitted.n_iter_ == len(trace)
    assert np.all(np.diff(fitted.log_likelihoods_) >= -1e-9)


def test_the_rule_asks_for_the_nearest_component_of_before_as_printed():
    """Both components go to 3/5 at once, where the first one was: the rule is met, and w_2 moved.

    With j' = j, or with the two indices of max_j min_j' changed about, it would not be.
    """
    before = RegressionMixture([[3 / 5], [41 / 15]], 1.0)
    prompt = PromptBatch([[[2.0], [1.0], [0.0]]], [[2.0, -1.0]])
    em = BatchEM(2, 1.0, start=lambda *_: before).fit(prompt)
    assert (em.n_iter_, em.converged_) == (1, True)
    assert_allclose(em.components_, 3 / 5, rtol=1e-12)


def test_the_random_start_is_uniform_on_simplex_and_sphere(prompts):
    starts = [
        random_start(PromptStatistics(prompts), 3, 0.5, np.random.default_rng(seed))
        for seed in range(400)
    ]
    components = np.array([start.components for start in starts])
    assert_allclose(np.linalg.norm(components, axis=2), 2.0, rtol=1e-12)
    # Uniform on the simplex of three: each weight has mean 1/3 and variance 1/18.
    weights = np.array([start.weights for start in starts])
    assert np.all(np.abs(weights.mean(axis=0) - 1 / 3) < 4 * np.sqrt(1 / 18 / 400))
    assert_allclose(weights.var(axis=0), 1 / 18, rtol=0.3)


def test_more_starts_never_give_less(prompts):
    one, many = (BatchEM(5, 0.5, random_state=3, n_init=n).fit(prompts) for n in (1, 6))
    assert len(many.runs_) == 6
    assert many.runs_[0] == one.log_likelihoods_[-1]
    assert many.log_likelihoods_[-1] == max(many.runs_)


def test_the_iterations_end_at_max_iter(prompts):
    seen = []
    fitted = BatchEM(
        5, 0.5, max_iter=2, tol=0.0, on_iteration=lambda *at: seen.append(at), n_init=2
    ).fit(prompts)
    assert fitted.n_iter_ == 2
    assert not fitted.converged_
    assert seen == [(0, 1), (0, 2), (1, 1), (1, 2)]


def test_predictions_are_the_posterior_mean_of_what_was_fitted(mixture, prompts):
    fitted = BatchEM(5, 0.5, start=spread_start).fit(prompts)
    new = mixture.sample_prompts(50, 12, np.random.default_rng(2))
    plug_in = RegressionMixture(fitted.components_, 0.5, fitted.weights_)
    assert_allclose(fitted.predict(new), plug_in.posterior_mean(new))
    assert fitted.predict_all_prefixes(new).shape == (50, 13)
    assert_allclose(fitted.responsibilities(new), plug_in.posterior(new), atol=1e-12)
    assert fitted.score(new) == pytest.approx(
        expectation_step(PromptStatistics(new), plug_in).log_likelihood / 50
    )
    assert abs(fitted.score(new) - fitted.score(prompts)) < 1.5


def test_the_same_seed_gives_the_same_fit(prompts):
    first, second = (BatchEM(5, 0.5, random_state=1).fit(prompts) for _ in range(2))
    assert np.array_equal(first.components_, second.components_)


def test_seeding_needs_no_misfit_to_go_on():
    """Two equal components: nothing is left to explain after the first."""
    prompts = PromptBatch(np.ones((3, 3, 1)), np.full((3, 2), 2.0))
    start = spread_start(PromptStatistics(prompts), 2, 1.0, np.random.default_rng(0))
    assert_allclose(start.components, [[2.0], [2.0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_components": 0}, "n_components is 0; expected an integer >= 1"),
        ({"noise_std": 0.0}, "noise_std is 0.0; expected a finite number > 0"),
        ({"tol": -1.0}, "tol is -1.0"),
        ({"n_init": 0}, "n_init is 0"),
        ({"max_iter": 0}, "max_iter is 0"),
    ],
)
def test_bad_parameters(prompts, arguments, message):
    with pytest.raises(ValueError, match=message):
        BatchEM(**{"n_components": 2, "noise_std": 1.0, **arguments}).fit(prompts)


def test_it_must_be_fitted_first(prompts):
    with pytest.raises(AttributeError, match="call fit"):
        BatchEM(2, 1.0).predict(prompts)
