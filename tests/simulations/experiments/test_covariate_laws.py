import dataclasses
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simulations.experiments.config_files import config_as_json, config_from_json
from simulations.experiments.covariate_laws import FIGURE_1, CovariateLaws, exact_risk
from simulations.experiments.experiment import NoCheckpoint

SMOKE = FIGURE_1.presets["smoke"]["figure-1"]

#: One prompt for each covariance, short ones and mild tails: the means are nearly normal.
MANY = CovariateLaws(
    dim=2, train_lengths=(5,), num_examples=(1, 2, 4, 9), scales=(0.25, 0.5), covariances=20_000,
    prompts=1, bootstrap_trials=2, seed=5,
)  # fmt: skip


@pytest.fixture(scope="module")
def smoke():
    return FIGURE_1.run(SMOKE)


@pytest.fixture(scope="module")
def many():
    return FIGURE_1.run(MANY)


def test_the_arrays_have_the_names_that_figures_read(smoke):
    assert FIGURE_1.parts(SMOKE) == ("fixed", "random-1", "random-4")
    layers = [f"{trained}_{N}" for trained in ("fixed", "random") for N in SMOKE.train_lengths]
    assert smoke["num_examples"].dtype == np.int64
    expected = {"num_examples"}
    for panel in FIGURE_1.parts(SMOKE):
        for name in ("least_squares", "zero", *layers):
            fields = ("mean", "low", "high", "standard_error")
            expected |= {f"{panel}/{name}/{field}" for field in fields}
        expected |= {f"{panel}/{name}/exact" for name in layers}
        expected |= {f"{panel}/fixed/limit", f"{panel}/random/limit"}
    assert set(smoke) == expected
    for name, values in smoke.items():
        assert values.shape == (() if name.endswith("limit") else (len(SMOKE.num_examples),))


def test_each_part_is_a_pure_function_of_the_config(smoke):
    parts = {
        part: FIGURE_1.compute(SMOKE, part, NoCheckpoint())
        for part in reversed(FIGURE_1.parts(SMOKE))
    }
    again = FIGURE_1.combine(SMOKE, parts)
    assert {name: values.tobytes() for name, values in again.items()} == {
        name: values.tobytes() for name, values in smoke.items()
    }
    other = FIGURE_1.compute(dataclasses.replace(SMOKE, seed=1), "fixed", NoCheckpoint())
    assert not np.array_equal(other["zero/mean"], smoke["fixed/zero/mean"])
    assert not np.array_equal(smoke["random-4/zero/mean"], 4 * smoke["random-1/zero/mean"])


@pytest.mark.parametrize("c", [1.0, 4.0, 9.0])
def test_the_dashed_lines_by_hand(c):
    """E (alpha c l - 1)^2 c l with E l^k = k!: alpha is 1/3 by eq. (23), and 1 for N(0, I)."""
    for trained, alpha in (("random", 1 / 3), ("fixed", 1)):
        expected = c - 2 * alpha * 2 * c**2 + alpha**2 * 6 * c**3
        limit = exact_risk(CovariateLaws(), trained, 7, c, 3).limit
        assert sum(limit) / 20 == pytest.approx(expected, rel=1e-14)
    assert sum(exact_risk(CovariateLaws(), "random", 7, None, 3).limit) == pytest.approx(80 / 9)


def z_scores(arrays, panel, name, exact):
    return (arrays[f"{panel}/{name}/mean"] - exact) / arrays[f"{panel}/{name}/standard_error"]


@pytest.mark.parametrize("panel", ["fixed", "random-0.25", "random-0.5"])
def test_the_layers_err_by_their_exact_risk(many, panel):
    for trained in ("fixed", "random"):
        for N in MANY.train_lengths:
            name = f"{trained}_{N}"
            exact = many[f"{panel}/{name}/exact"]
            assert np.max(np.abs(z_scores(many, panel, name, exact))) < 5
            # The power; the tails grow with the scale.
            error = many[f"{panel}/{name}/standard_error"]
            assert np.all(5 * error[2:] < exact[2:])


def test_least_squares_and_zero_where_they_are_known(many):
    d, M = MANY.dim, np.array(MANY.num_examples)
    short = d > M
    for panel, size in (("fixed", 1.0), ("random-0.25", 0.25), ("random-0.5", 0.5)):
        assert np.all(np.abs(z_scores(many, panel, "zero", size)) < 5)
        # Without noise, what the examples span is known.
        assert np.all(many[f"{panel}/least_squares/mean"][~short] < 1e-12)
    expected = 1 - M[short] / d
    z = (many["fixed/least_squares/mean"][short] - expected) / many[
        "fixed/least_squares/standard_error"
    ][short]
    assert np.all(np.abs(z) < 5)


def test_bands_know_that_prompts_of_one_covariance_are_alike():
    config = dataclasses.replace(SMOKE, prompts=50, bootstrap_trials=400)
    found = FIGURE_1.compute(config, "random-4", NoCheckpoint())
    single = dataclasses.replace(config, covariances=16 * 50, prompts=1)
    alone = FIGURE_1.compute(single, "random-4", NoCheckpoint())
    for name in ("fixed_20", "random_20"):
        assert found[f"{name}/standard_error"][-1] > 1.5 * alone[f"{name}/standard_error"][-1]
    for predictor in ("zero", "random_8"):
        low, mean, high = (found[f"{predictor}/{field}"] for field in ("low", "mean", "high"))
        assert np.all(low < mean)
        assert np.all(mean < high)
        error = found[f"{predictor}/standard_error"]
        assert_allclose((high - low) / error, 2 * 1.645, rtol=0.3)


@pytest.mark.parametrize("preset", FIGURE_1.presets)
def test_configs_survive_json(preset):
    for config in FIGURE_1.presets[preset].values():
        document = json.loads(json.dumps(config_as_json(FIGURE_1, config)))
        assert config_from_json(FIGURE_1, document) == config


def test_the_sizes_of_the_paper():
    config = FIGURE_1.presets["paper"]["figure-1"]
    assert (config.dim, config.train_lengths) == (20, (40, 70, 100))
    assert (config.covariances, config.prompts, config.bootstrap_trials) == (64, 64, 1000)
    assert config.scales == (1, 4, 9)
    assert max(config.num_examples) > max(config.train_lengths)


def test_bad_configs():
    with pytest.raises(ValueError, match="7 problem") as caught:
        CovariateLaws(0, (), (3, 2), (1.0, 1.0), 1, 0, 0)
    for told in (
        "dim", "train_lengths is ()", "num_examples is (3, 2); expected at least one length,",
        "scales is (1.0, 1.0); expected different", "covariances", "prompts", "bootstrap_trials",
    ):  # fmt: skip
        assert told in str(caught.value)
    with pytest.raises(ValueError, match=r"scales\[1\]"):
        CovariateLaws(scales=(1.0, -1.0))
