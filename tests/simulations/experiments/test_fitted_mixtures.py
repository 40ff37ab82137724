"""Figures 3 and 4 of Pathak et al. with fitted components, and how often EM finds them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binom

from simulations.baselines import BatchEM, random_start, spread_start
from simulations.experiments import em_recovery, fitted_mixtures, prediction_distances
from simulations.experiments.em_recovery import EMRecovery, success_interval
from simulations.experiments.experiment import NoCheckpoint
from simulations.experiments.fitted_mixtures import (
    FITS,
    FittedMixtures,
    nearest_distances,
    training_prompts,
)
from simulations.experiments.prediction_distances import candidates
from theory.em import PromptStatistics

(FIGURE_3,) = fitted_mixtures.EXPERIMENTS
(FIGURE_4,) = prediction_distances.EXPERIMENTS
(RECOVERY,) = em_recovery.EXPERIMENTS

CONFIG = FittedMixtures(400, 3, 4, 0.5, 12, num_prompts=1500, bootstrap_trials=50, seed=1)
CURVES = ["posterior_mean", *(f"posterior_mean_{fit}" for fits in FITS.values() for fit in fits)]


@pytest.fixture(scope="module")
def figure_3():
    return FIGURE_3.run(CONFIG)


@pytest.fixture(scope="module")
def figure_4():
    return FIGURE_4.run(CONFIG)


def brute_force(components, config, size=4000):
    """E (f_k - y)^2 / d for uniform weights, from sums written out, on prompts of its own."""
    rng = np.random.default_rng(99)
    truth = config.mixture.components[rng.integers(config.num_components, size=size)]
    xs = rng.normal(size=(size, config.max_examples + 1, config.dim))
    ys = np.sum(xs * truth[:, None], axis=2) + config.noise_std * rng.normal(size=xs.shape[:2])
    images = np.einsum("nkd,md->nkm", xs, components)
    squares = np.cumsum((images - ys[:, :, None]) ** 2, axis=1) / (2 * config.noise_std**2)
    squares = np.concatenate([np.zeros_like(squares[:, :1]), squares[:, :-1]], axis=1)
    powers = np.exp(-(squares - squares.min(axis=2, keepdims=True)))
    answers = np.sum(powers * images, axis=2) / powers.sum(axis=2)
    errors = (answers - ys) ** 2 / config.dim
    return errors.mean(axis=0), errors.std(axis=0) / np.sqrt(size)


def test_curves_are_those_of_uniform_weights_on_what_was_fitted(figure_3):
    for name in CURVES:
        fit = name.removeprefix("posterior_mean").removeprefix("_")
        components = figure_3[f"{fit}/components" if fit else "components"]
        expected, error = brute_force(components, CONFIG)
        spread = np.hypot(error, figure_3[f"{name}/standard_error"])
        assert np.all(np.abs(figure_3[f"{name}/mean"] - expected) < 5 * spread), name
        assert np.all(figure_3[f"{name}/low"] <= figure_3[f"{name}/high"])
    assert figure_3["num_examples"].tolist() == list(range(13))


def test_the_oracle_error_is_noise_and_distance(figure_3):
    for fits in FITS.values():
        for fit in fits:
            found = figure_3[f"{fit}/components"]
            least = [min(np.sum((w - v) ** 2) for v in found) for w in CONFIG.mixture.components]
            assert_allclose(figure_3[f"{fit}/distances"] ** 2, least, rtol=1e-12)
            assert_allclose(figure_3[f"oracle_{fit}"], (0.25 + np.mean(least)) / 4, rtol=1e-12)


def test_good_fits_leave_the_oracle_error_for_long_prompts(figure_3):
    """At k = 12 the posterior has decided, and the fit is as good as 400 prompts allow."""
    for fit in ("em_spread", "sa_refined"):
        # A third of 4,800 examples for four coordinates: a standard error of 0.5 sqrt(4/1600).
        assert np.max(figure_3[f"{fit}/distances"]) < 3 * 0.5 * np.sqrt(4 / 1600)
        left = figure_3[f"posterior_mean_{fit}/mean"][-1] - figure_3[f"oracle_{fit}"]
        assert abs(left) < 5 * figure_3[f"posterior_mean_{fit}/standard_error"][-1]


def stream(*key):
    return np.random.default_rng(np.random.SeedSequence(key[0], spawn_key=key[1:]))


@pytest.mark.parametrize(
    ("fit", "start", "number"), [("em", random_start, 0), ("em_spread", spread_start, 1)]
)
def test_each_fit_by_em_begins_where_it_says(figure_3, fit, start, number):
    em = BatchEM(3, 0.5, stream(CONFIG.seed, 4, number), start=start)
    em.fit(training_prompts(CONFIG))
    assert_allclose(figure_3[f"{fit}/components"], em.components_, rtol=1e-12)
    assert_allclose(figure_3[f"{fit}/log_likelihoods"], em.log_likelihoods_, rtol=1e-12)


def test_fits_from_two_starts_are_two(figure_3):
    traces = [figure_3[f"{fit}/log_likelihoods"][0] for fit in ("em", "em_spread")]
    assert traces[0] < traces[1], "a spread start is nearer than a random one"


def test_traces_rise_and_end_where_they_say(figure_3):
    for fit in ("em", "em_spread"):
        trace = figure_3[f"{fit}/log_likelihoods"]
        assert len(trace) == figure_3[f"{fit}/iterations"] + 1
        assert np.all(np.diff(trace) >= -1e-8)
        assert figure_3[f"{fit}/converged"]


def test_every_fit_sees_the_same_prompts_and_the_seed_decides():
    first, again, other = (
        training_prompts(config) for config in (CONFIG, CONFIG, replace(CONFIG, seed=2))
    )
    assert np.array_equal(first.xs, again.xs)
    assert not np.array_equal(first.xs, other.xs)


def test_figure_4_has_every_pair_and_the_triangle_inequality(figure_3, figure_4):
    names = candidates()
    assert len(names) == 10
    assert sum(name.endswith("/mean") for name in figure_4) == 45
    assert_allclose(figure_4["sa/components"], figure_3["sa/components"], rtol=0)

    def root(f, g):
        return np.sqrt(figure_4[f"distance/{f}/{g}/mean"])

    for a, b, c in [names[:3], names[1:4], names[4:7]]:
        assert np.all(root(a, c) <= root(a, b) + root(b, c) + 1e-12)


def test_argmins_answer_with_the_component_of_least_misfit(figure_4):
    """E (argmin - argmin')^2 from sums written out, on prompts of its own."""
    rng, size = np.random.default_rng(98), 6000
    truth = CONFIG.mixture.components[rng.integers(3, size=size)]
    xs = rng.normal(size=(size, CONFIG.max_examples + 1, CONFIG.dim))
    ys = np.sum(xs * truth[:, None], axis=2) + CONFIG.noise_std * rng.normal(size=xs.shape[:2])

    def answers(components, k):
        images = np.einsum("nkd,md->nkm", xs, components)
        misfits = np.sum((images[:, :k] - ys[:, :k, None]) ** 2, axis=1)
        return np.take_along_axis(images[:, k], misfits.argmin(axis=1)[:, None], axis=1)[:, 0]

    for fit in ("em_spread", "sa_refined"):
        found = figure_4[f"{fit}/components"]
        name = f"distance/argmin/argmin_{fit}"
        for k in (1, 2, 12):
            apart = (answers(CONFIG.mixture.components, k) - answers(found, k)) ** 2
            error = np.hypot(apart.std() / np.sqrt(size), figure_4[f"{name}/standard_error"][k])
            assert abs(figure_4[f"{name}/mean"][k] - apart.mean()) < 5 * error
        # The power: a posterior mean in place of this argmin would stand out after one example.
        other = figure_4[f"distance/argmin/posterior_mean_{fit}/mean"][1]
        apart = (answers(CONFIG.mixture.components, 1) - answers(found, 1)) ** 2
        error = np.hypot(apart.std() / np.sqrt(size), figure_4[f"{name}/standard_error"][1])
        assert abs(other - apart.mean()) > 8 * error


def test_distances_to_the_posterior_mean_are_what_errors_exceed(figure_3, figure_4):
    """E (f - y)^2 = E (f* - y)^2 + E (f - f*)^2, for every f: f* is the conditional mean."""
    for fit in ("em_spread", "sa"):
        apart = figure_4[f"distance/posterior_mean/posterior_mean_{fit}/mean"] / CONFIG.dim
        more = figure_3[f"posterior_mean_{fit}/mean"] - figure_3["posterior_mean/mean"]
        spread = np.hypot(
            figure_3[f"posterior_mean_{fit}/standard_error"],
            figure_3["posterior_mean/standard_error"],
        )
        assert np.all(np.abs(more - apart) < 5 * spread)


def test_without_examples_all_answer_the_mean(figure_4):
    assert figure_4["distance/posterior_mean/argmin/mean"][0] == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("experiment", [FIGURE_3, FIGURE_4, RECOVERY])
def test_presets_and_parts(experiment):
    assert set(experiment.presets) == {"smoke", "laptop", "paper"}
    (smoke, *_) = experiment.presets["smoke"].values()
    parts = {
        name: experiment.compute(smoke, name, NoCheckpoint())
        for name in reversed(experiment.parts(smoke))
    }
    backwards, forwards = experiment.combine(smoke, parts), experiment.run(smoke)
    assert set(backwards) == set(forwards)
    assert all(np.array_equal(backwards[name], forwards[name]) for name in forwards)
    assert all(isinstance(array, np.ndarray) for array in forwards.values())
    assert all(np.all(np.isfinite(array)) for array in forwards.values())


def test_the_paper_s_sizes_are_there():
    sizes = {c.training_size for c in FIGURE_3.presets["paper"].values()}
    assert sizes == {15_000, 30_000, 45_000, 60_000}
    assert RECOVERY.presets["laptop"]["m=20"] == EMRecovery()


@pytest.mark.parametrize(
    ("config", "arguments", "message"),
    [
        (FittedMixtures, {"training_size": 4}, "training_size is 4; expected an integer >= 20"),
        (FittedMixtures, {"max_examples": 2}, "max_examples is 2; expected an integer >= 3"),
        (FittedMixtures, {"noise_std": 0.0}, "noise_std is 0.0"),
        (FittedMixtures, {"tol": -1.0, "max_iter": 0}, "2 problem"),
        (EMRecovery, {"starts": 0}, "starts is 0"),
        (EMRecovery, {"radius": 0.0, "noise_std": -1.0, "seed": -1}, "3 problem"),
    ],
)
def test_bad_configs(config, arguments, message):
    given = {"training_size": 100, **arguments}
    with pytest.raises(ValueError, match=message):
        config(**given)


# Recovery


def test_recovery_counts_what_is_found():
    config = replace(RECOVERY.presets["smoke"]["m=4"], noise_std=1.5, starts=7, starts_a_part=3)
    found = RECOVERY.run(config)
    whole = RECOVERY.run(replace(config, starts_a_part=7))
    assert all(np.array_equal(found[name], whole[name]) for name in found)
    for kind in ("random", "spread"):
        near = found[f"{kind}/distances"] <= 0.2
        assert near.shape == (7, 4)
        assert found[f"{kind}/found"].tolist() == near.sum(axis=1).tolist()
        assert found[f"{kind}/success_rate"] == np.mean(near.all(axis=1))
        assert np.all(found[f"{kind}/next_move"][found[f"{kind}/converged"]] < 0.05)
    best = found["truth/log_likelihood"]
    assert np.all(found["spread/log_likelihood"] <= best + 1e-3 * abs(best))


@pytest.mark.parametrize(("kind", "start"), [("random", random_start), ("spread", spread_start)])
def test_every_start_is_algorithm_1_from_its_own_stream(kind, start):
    config = replace(RECOVERY.presets["smoke"]["m=4"], noise_std=1.5, starts=4, tol=0.3)
    found, held = RECOVERY.run(config), em_recovery._statistics(config)
    number = ["random", "spread"].index(kind)
    for i in range(4):
        em = BatchEM(4, 1.5, stream(config.seed, 5, number, i), start=start, tol=0.3).fit(held)
        assert_allclose(found[f"{kind}/log_likelihood"][i], em.log_likelihoods_[-1], rtol=1e-12)
        assert found[f"{kind}/iterations"][i] == em.n_iter_
        once = BatchEM(4, 1.5, start=lambda *_, em=em: em.mixture_, max_iter=1, tol=0.0).fit(held)
        moves = np.linalg.norm(once.components_ - em.components_, axis=1)
        assert_allclose(found[f"{kind}/next_move"][i], moves.max(), rtol=1e-9)
        assert moves.max() > 1e-3
    assert len(set(found["random/log_likelihood"])) == 4


def test_the_interval_of_a_rate_is_exact():
    low, high = success_interval(3, 10)
    assert binom.sf(2, 10, low) == pytest.approx(0.05)
    assert binom.cdf(3, 10, high) == pytest.approx(0.05)
    assert success_interval(0, 10)[0] == 0.0
    assert success_interval(10, 10)[1] == 1.0


def test_distances_are_to_the_nearest():
    found = nearest_distances(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 1.0]]))
    assert found.tolist() == [1.0, pytest.approx(np.hypot(3, 3))]


def test_statistics_hold_the_training_prompts_of_the_seed():
    config = EMRecovery(4, 4, 0.5, 12, 300, starts=1)
    held = em_recovery._statistics(config)
    assert isinstance(held, PromptStatistics)
    assert len(held) == 300
