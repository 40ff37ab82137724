import dataclasses
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simulations.experiments.config_files import config_as_json, config_from_json
from simulations.experiments.experiment import NoCheckpoint
from simulations.experiments.layer_errors import CHUNK
from simulations.experiments.linear_attention_shifts import SHIFTS, AttentionShifts, shifts
from simulations.experiments.random_covariances import RANDOM_COVARIANCES, RandomCovariances

MANY = AttentionShifts(
    dim=3, correlation=0.4, train_length=6, num_examples=(1, 2, 4, 9, 40), noise_stds=(1.5,),
    query_scales=(1.0, 2.0), covariate_scales=(0.5, 1.2), prompts=5_000, bootstrap_trials=2,
)  # fmt: skip
RANDOM = RandomCovariances(
    dim=2, spreads=(3.0, 8.0), train_length=5, num_examples=(1, 3, 10, 40), prompts=10_000,
    bootstrap_trials=2,
)  # fmt: skip
SMALL = dataclasses.replace(MANY, prompts=40, bootstrap_trials=50)
BOTH = pytest.mark.parametrize("experiment", [SHIFTS, RANDOM_COVARIANCES], ids=lambda e: e.name)


@pytest.fixture(scope="module")
def many():
    return SHIFTS.run(MANY)


@pytest.fixture(scope="module")
def random():
    return RANDOM_COVARIANCES.run(RANDOM)


def agree(arrays, name):
    """Sampled and exact errors, at every length; a change by half of long ones would be seen."""
    mean, exact, error = (arrays[f"{name}/{key}"] for key in ("mean", "exact", "standard_error"))
    assert np.max(np.abs(mean - exact) / error) < 5
    assert 5 * error[-1] < 0.5 * exact[-1]
    assert np.all(5 * error < 0.8 * exact)


@pytest.mark.parametrize("shift", [name for name in shifts(MANY) if name != "orthogonal"])
def test_shifted_prompts_err_by_the_exact_risk(many, shift):
    agree(many, f"{shift}/linear_attention")


@pytest.mark.parametrize("spread", ["spread-3", "spread-8"])
@pytest.mark.parametrize("trained", ["random", "fixed"])
def test_random_covariances_err_by_the_exact_risk(random, spread, trained):
    agree(random, f"{spread}/{trained}")


def test_the_first_shift_is_none_and_all_are_there(many):
    assert SHIFTS.parts(MANY) == (
        "none", "noise-1.5", "task-2", "query-1", "query-2", "orthogonal",
        "covariates-0.5", "covariates-1.2",
    )  # fmt: skip
    fields = ("mean", "low", "high", "standard_error")
    expected = {"num_examples"}
    for part in SHIFTS.parts(MANY):
        for name in ("linear_attention", "least_squares", "zero"):
            expected |= {f"{part}/{name}/{field}" for field in fields}
        expected |= {f"{part}/linear_attention/{field}" for field in ("exact", "bias")}
    assert set(many) == expected
    assert many["num_examples"].dtype == np.int64


def test_tasks_and_queries_are_shifted_as_said(many):
    """The zero predictor errs by E (w'x)^2 / d, by hand; the query is along the least direction."""
    lam, ones = MANY.covariance, np.ones(MANY.dim)
    expected = {
        "none": np.trace(lam),
        "task-2": 4 * ones @ lam @ ones,
        "query-1": MANY.dim,
        "query-2": 4 * MANY.dim,
    }
    for part, square in expected.items():
        z = many[f"{part}/zero/mean"] - square / MANY.dim
        assert np.all(np.abs(z) < 5 * many[f"{part}/zero/standard_error"] + 1e-12), part
    assert abs(ones @ lam @ ones - np.trace(lam)) > 0.2 * np.trace(lam)
    least = np.min(np.linalg.eigvalsh(lam))
    for size in (1, 2):
        along = shifts(MANY)[f"query-{size}"].query_covariance
        assert np.trace(lam @ along) == pytest.approx(size**2 * MANY.dim * least)


def test_what_is_left_for_long_prompts(many):
    """The bias |(A Lambda' - I)'Q^{1/2}|^2 by hand: c^2 w is answered, not w."""
    lam, d = MANY.covariance, MANY.dim
    gamma = lam + (lam + np.trace(lam) * np.eye(d)) / MANY.train_length
    for part, scale in (("none", 1.0), ("covariates-0.5", 0.5), ("covariates-1.2", 1.2)):
        gap = np.linalg.inv(gamma) @ (scale**2 * lam) - np.eye(d)
        expected = scale**2 * np.trace(gap.T @ lam @ gap) / d
        assert many[f"{part}/linear_attention/bias"] == pytest.approx(expected, rel=1e-12)
    # Noise of the labels is averaged out, and a query elsewhere is answered as well.
    assert many["noise-1.5/linear_attention/bias"] == many["none/linear_attention/bias"]
    assert many["query-2/linear_attention/bias"] == pytest.approx(
        4 * many["query-1/linear_attention/bias"]
    )


def test_least_squares_tolerates_what_the_layer_does_not(many):
    enough = many["num_examples"] >= MANY.dim
    for part in ("none", "task-2", "query-2", "covariates-0.5", "covariates-1.2"):
        assert np.all(many[f"{part}/least_squares/mean"][enough] < 1e-9)
    # With noise it has the exact sigma^2 d / (M - d - 1) for M > d + 1, over d, for the covariance
    # of the query.
    M = many["num_examples"]
    late = MANY.dim + 4 < M
    z = (many["noise-1.5/least_squares/mean"] - 1.5**2 / np.maximum(M - MANY.dim - 1, 1)) / many[
        "noise-1.5/least_squares/standard_error"
    ]
    assert np.all(np.abs(z[late]) < 5)


def test_an_orthogonal_query(many):
    """Zero is the best answer, and least squares gives it; the layer only if Lambda = I."""
    short = many["num_examples"] < MANY.dim
    names = [f"orthogonal/{name}/mean" for name in ("linear_attention", "least_squares", "zero")]
    layer, regression, zero = (many[name] for name in names)
    assert_allclose(regression[short], zero[short], rtol=1e-9)
    assert np.all(layer[short] > 1.02 * zero[short])
    assert np.all(many[names[0]][~short] == 0)
    assert np.all(np.isnan(many["orthogonal/linear_attention/exact"]))
    round_law = dataclasses.replace(SMALL, correlation=0.0)
    found = SHIFTS.compute(round_law, "orthogonal", NoCheckpoint())
    assert_allclose(found["linear_attention/mean"], found["zero/mean"], rtol=1e-9)


def test_the_floors_do_not_vanish(random):
    for k in RANDOM.spreads:
        limit = {name: random[f"spread-{k:g}/{name}/limit"] for name in ("random", "fixed")}
        assert limit["random"] == pytest.approx(1 / (k + 2), rel=1e-12)
        assert limit["fixed"] == pytest.approx((k + 2) / k**2, rel=1e-12)
        for name in ("random", "fixed"):
            exact = random[f"spread-{k:g}/{name}/exact"]
            assert np.all(exact > random[f"spread-{k:g}/{name}/floor"])
            assert np.all(np.diff(exact) < 0)
        # Beyond the length of training it is the least of all linear layers no more.
        assert random[f"spread-{k:g}/random/floor"] > limit["random"]
    longer = dataclasses.replace(RANDOM, train_length=10**9, prompts=2, num_examples=(10**3,))
    floor = RANDOM_COVARIANCES.combine(
        longer, {part: {} for part in RANDOM_COVARIANCES.parts(longer)}
    )
    assert floor["spread-3/random/floor"] == pytest.approx(0.2, rel=1e-8)


@BOTH
def test_each_part_is_a_pure_function_of_the_config(experiment):
    config = next(iter(experiment.presets["smoke"].values()))
    whole = experiment.run(config)
    parts = {
        part: experiment.compute(config, part, NoCheckpoint())
        for part in reversed(experiment.parts(config))
    }
    again = experiment.combine(config, parts)
    assert {name: values.tobytes() for name, values in again.items()} == {
        name: values.tobytes() for name, values in whole.items()
    }
    part = experiment.parts(config)[0]
    other = experiment.compute(dataclasses.replace(config, seed=9), part, NoCheckpoint())
    assert not np.array_equal(other["zero/mean"], parts[part]["zero/mean"])


def test_more_prompts_begin_with_the_same_ones():
    """Chunks have streams of their own: the first one does not depend on what follows."""
    one, two = (
        SHIFTS.compute(dataclasses.replace(SMALL, prompts=n), "none", NoCheckpoint())
        for n in (CHUNK, 2 * CHUNK)
    )
    both = SHIFTS.compute(dataclasses.replace(SMALL, prompts=2 * CHUNK), "none", NoCheckpoint())
    assert np.array_equal(both["zero/mean"], two["zero/mean"])
    assert not np.array_equal(one["zero/mean"], two["zero/mean"])
    error = np.hypot(one["zero/standard_error"], two["zero/standard_error"])
    assert np.all(np.abs(one["zero/mean"] - two["zero/mean"]) < 5 * error)


@BOTH
def test_configs_survive_json(experiment):
    for preset in experiment.presets.values():
        for config in preset.values():
            document = json.loads(json.dumps(config_as_json(experiment, config)))
            assert config_from_json(experiment, document) == config


@pytest.mark.parametrize(
    ("make", "messages"),
    [
        (
            lambda: AttentionShifts(1, 1.0, 0, (), (0.0,), (2.0, 2.0)),
            ("6 problem", "dim", "train_length", "num_examples is ()", "noise_stds[0]",
             "task_scales is (2.0, 2.0)", "correlation is 1.0; expected it between -1 and 1"),
        ),
        (lambda: AttentionShifts(correlation=-1.0), ("correlation",)),
        (
            lambda: RandomCovariances(0, (), 0, (0,), 1, 0, -1),
            ("dim", "train_length", "num_examples[0]", "prompts", "bootstrap_trials", "seed"),
        ),
        (lambda: RandomCovariances(spreads=(1.0, 1.0000000001)), ("different",)),
    ],
)  # fmt: skip
def test_bad_configs(make, messages):
    with pytest.raises(ValueError, match="problem") as caught:
        make()
    for message in messages:
        assert message in str(caught.value)
