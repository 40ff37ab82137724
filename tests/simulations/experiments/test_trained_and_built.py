"""A trained and a built transformer: the arrays of a run, against computations of their own."""

import dataclasses

import numpy as np
import pytest

from simulations.experiments.catalogue import find_experiment
from simulations.experiments.config_files import config_as_json, config_from_json
from simulations.experiments.trained_and_built import TrainedAndBuilt
from tests.simulations.figures.smoke import smoke_runs

EXPERIMENT = find_experiment("pathak2023-trained-and-built")
CONFIG = EXPERIMENT.presets["smoke"]["m=2"]


@pytest.fixture(scope="module")
def arrays():
    ((_, run),) = smoke_runs(EXPERIMENT.name).items()
    return run.arrays


def posterior_means(W, sigma, xs, ys):
    """f* at every prefix, prompt by prompt."""
    found = np.zeros(xs.shape[:2])
    for b, (covariates, labels) in enumerate(zip(xs, ys, strict=True)):
        for n in range(len(covariates)):
            squares = ((covariates[:n] @ W.T - labels[:n, None]) ** 2).sum(axis=0)
            p = np.exp((squares.min() - squares) / (2 * sigma**2))
            found[b, n] = p @ (W @ covariates[n]) / p.sum()
    return found


def test_the_built_network_answers_and_moves_as_the_posterior_mean(arrays):
    assert np.all(arrays["apart/built/mean"] < 1e-24)
    np.testing.assert_allclose(arrays["error/built/mean"], arrays["error/posterior_mean/mean"])
    for kind in ("labels", "covariates"):
        assert np.all(arrays[f"sensitivity/{kind}/distance/built"] < 1e-22)
        np.testing.assert_allclose(arrays[f"sensitivity/{kind}/correlation/built"], 1.0)
        assert np.all(arrays[f"sensitivity/{kind}/distance/trained"] > 1e-3)


def test_errors_are_those_of_the_prompts(arrays):
    prompts, exact = CONFIG.new_prompts(10)
    W = CONFIG.prompts.mixture.components
    answers = posterior_means(W, CONFIG.noise_std, prompts.xs, prompts.ys)
    expected = np.mean((answers - exact) ** 2, axis=0)
    np.testing.assert_allclose(arrays["error/posterior_mean/mean"], expected)


def test_sizes_of_derivatives_are_triangular(arrays):
    later = np.triu(np.ones((4, 4), dtype=bool), 1)
    for kind in ("labels", "covariates"):
        for who in ("trained", "built", "exact"):
            mean = arrays[f"sensitivity/{kind}/{who}/mean"]
            assert np.isnan(mean[later]).all()
            assert np.all(mean[~later] > 0)


def test_first_derivatives_are_those_of_the_first_answers(arrays):
    """Of df_1/dy_1 by differences of the independent posterior mean."""
    prompts, _ = CONFIG.new_prompts(10)
    W, h = CONFIG.prompts.mixture.components, 1e-5
    ends = [
        posterior_means(W, CONFIG.noise_std, prompts.xs, prompts.ys + sign * h)[:, 1]
        for sign in (1, -1)
    ]
    expected = np.mean(np.abs(ends[0] - ends[1])) / (2 * h)
    assert arrays["sensitivity/labels/exact/mean"][0, 0] == pytest.approx(expected, rel=1e-6)


def test_probes_find_in_the_built_network_what_the_schedule_says(arrays):
    odds, posterior = arrays["probe/log_odds/built"], arrays["probe/posterior/built"]
    assert odds.shape == (4,)
    assert np.all(odds[:2] < 0.2)
    assert np.all(odds[2:] > 1 - 1e-9)
    assert posterior[2] < 0.99
    for who in ("trained", "untrained"):
        assert arrays[f"probe/log_odds/{who}"].shape == (3,)
        assert arrays[f"probe/log_odds/{who}/prefixes"].shape == (3, 5)
    at_prefixes = arrays["probe/log_odds/built/prefixes"]
    assert np.isnan(at_prefixes[:, 0]).all()
    assert np.all(at_prefixes[2:, 1:] > 1 - 1e-9)
    cells = arrays["probe/cells"]
    assert cells[0] == CONFIG.num_prompts
    assert np.all((cells >= 0) & (cells <= CONFIG.num_prompts))


class Kept:
    """A checkpoint in memory; it stops the run after some saves."""

    def __init__(self, saves: int) -> None:
        self.state, self.left = None, saves

    def load(self):
        return self.state

    def save(self, state):
        self.state, self.left = state, self.left - 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_a_killed_run_goes_on_with_the_same_result(arrays):
    checkpoint = Kept(7)
    with pytest.raises(KeyboardInterrupt):
        EXPERIMENT.compute(CONFIG, "run", checkpoint)
    resumed = EXPERIMENT.compute(CONFIG, "run", checkpoint)
    for name, values in resumed.items():
        assert values.tobytes() == arrays[name].tobytes(), name


def test_configs_are_read_back_and_wrong_ones_refused_at_once():
    document = config_as_json(EXPERIMENT, CONFIG)
    assert config_from_json(EXPERIMENT, document) == CONFIG
    with pytest.raises(ValueError, match="num_components is 1") as error:
        TrainedAndBuilt(1, 0, -1.0, heads=3, num_prompts=1, built_layers=3, seed=-1)
    for part in ("dim is 0", "noise_std is -1", "multiple of heads, 3", "num_prompts is 1",
                 "seed is -1"):  # fmt: skip
        assert part in str(error.value)
    with pytest.raises(ValueError, match="built_layers is 4; expected one of 2, 3"):
        config_from_json(EXPERIMENT, {**document, "built_layers": 4})


def test_components_do_not_depend_on_the_training():
    other = dataclasses.replace(CONFIG, steps=10, width=8, max_examples=2)
    first, second = (config.prompts.mixture.components for config in (CONFIG, other))
    assert np.array_equal(first, second)
