"""Fine-tuned networks: the arrays of a run, against computations of their own."""

import numpy as np
import pytest

from simulations.experiments.catalogue import find_experiment
from simulations.experiments.config_files import config_as_json, config_from_json
from simulations.experiments.fine_tuned_networks import FineTunedNetworks
from tests.simulations.figures.smoke import smoke_runs

EXPERIMENT = find_experiment("pathak2023-fine-tuned")
CONFIG = EXPERIMENT.presets["smoke"]["m=2"]


@pytest.fixture(scope="module")
def arrays():
    ((_, run),) = smoke_runs(EXPERIMENT.name).items()
    return run.arrays


def posterior_mean_distance(W, V, rng, k=3):
    """E (f_W - f_V)^2 over prompts of V and their prefixes, sigma = 1; and its deviation."""
    found = []
    for _ in range(4000):
        xs = rng.standard_normal((k + 1, W.shape[1]))
        ys = xs @ V[rng.integers(len(V))] + rng.standard_normal(k + 1)
        gaps = []
        for n in range(k + 1):
            answers = []
            for components in (W, V):
                squares = ((xs[:n] @ components.T - ys[:n, None]) ** 2).sum(axis=0)
                p = np.exp(-squares / 2)
                answers.append(p @ (components @ xs[n]) / p.sum())
            gaps.append((answers[0] - answers[1]) ** 2)
        found.append(np.mean(gaps))
    return np.mean(found), np.std(found)


def test_training_starts_at_the_distance_of_the_posterior_means(arrays):
    W = CONFIG.mixture.components
    V = W + CONFIG.shift / np.sqrt(CONFIG.dim)
    np.testing.assert_allclose(CONFIG.shifted.components, V)
    mean, deviation = posterior_mean_distance(W, V, np.random.default_rng(3))
    for way in ("relative", "everywhere", "plain"):
        starts = arrays[f"{way}/distances"][:, 0]
        assert np.all(starts == starts[0])
        # The run has 64 prompts.
        assert abs(starts[0] - mean) < 4 * deviation / CONFIG.num_prompts**0.5
    assert np.all(arrays["unshifted/distances"][:, 0] < 1e-24)


def test_relative_changes_improve_and_plain_steps_destroy(arrays):
    start = arrays["relative/distances"][0, 0]
    assert arrays["relative/distances"][0, -1] < 0.8 * start
    sizes = arrays["plain/step_sizes"]
    assert np.array_equal(sizes, CONFIG.plain_step_sizes)
    assert arrays["plain/distances"][0, -1] > 1e6 * start
    assert arrays["plain/distances"][1, -1] < start


def test_on_its_own_mixture_training_only_takes_away(arrays):
    distances = arrays["unshifted/distances"]
    assert np.all(distances[:, 1:] > 1e10 * distances[:, :1])


def test_lines_have_the_ends_that_they_should(arrays):
    assert arrays["line/shares"][[0, -1]].tolist() == [0, 1]
    assert arrays["line/old"][0] < 1e-24
    best = arrays["relative/distances"][:, -1].min()
    ends = [arrays["relative/distances"][0, 0], best]
    np.testing.assert_allclose(arrays["line/new"][[0, -1]], ends, rtol=1e-12)
    np.testing.assert_allclose(arrays["barrier/shares"][[0, 1, -1]], [0, 1e-18, 1], rtol=1e-12)
    scratch, built = arrays["barrier/from_scratch"], arrays["barrier/from_built"]
    end = arrays["scratch/distances"][-1]
    np.testing.assert_allclose([scratch[0], built[-1]], end, rtol=1e-12)
    assert max(scratch[-1], built[0]) < 1e-24
    assert scratch[:-1].max() > 1e6 * scratch[0]


def test_sizes_of_weights_are_those_of_the_network(arrays):
    sizes = np.concatenate([p.detach().numpy().ravel() for p in CONFIG.built().parameters()])
    assert arrays["largest_weight"] == np.abs(sizes).max() > 1e9
    assert arrays["smallest_weight"] == np.abs(sizes[sizes != 0]).min()


def test_steps_are_dense_at_first(arrays):
    steps = arrays["steps"]
    assert steps[[0, 1, -1]].tolist() == [0, 1, CONFIG.steps]
    assert np.all(np.diff(steps) > 0)
    assert arrays["scratch/steps"][-1] == CONFIG.scratch_steps
    assert arrays["scratch/distances"].shape == arrays["scratch/steps"].shape


def test_configs_are_read_back_and_wrong_ones_refused_at_once():
    document = config_as_json(EXPERIMENT, CONFIG)
    assert config_from_json(EXPERIMENT, document) == CONFIG
    with pytest.raises(ValueError, match="dim is 0") as error:
        FineTunedNetworks(2, 0, 0.0, shift=-1.0, step_sizes=(), plain_step_sizes=(1e-3, 0.0))
    for part in ("noise_std is 0", "shift is -1", "step_sizes is ()", "plain_step_sizes is (0.001"):
        assert part in str(error.value)
