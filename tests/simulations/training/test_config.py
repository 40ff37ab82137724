import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.store import Store
from simulations.training import (
    Assumption3Start,
    DenseStart,
    TrainingConfig,
    UnbalancedStart,
    config_as_json,
    config_from_json,
)
from simulations.training.tasks import RandomDiagonalTasks
from tests.simulations.training.cases import FIXED, QUICK, RANDOM, TASKS, preset
from theory import FlowProblem
from theory.full_flow import balance_of_layer
from theory.laws import DistributedLaw
from theory.population_loss import LayerBlocks

STARTS = (Assumption3Start(0.3, 2), UnbalancedStart(0.5, 0.2, 1), DenseStart(0.1, 4))


def changed(**fields):
    return dataclasses.replace(QUICK, **fields)


@pytest.mark.parametrize("tasks", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.kind)
def test_a_config_survives_json(tasks, start):
    config = changed(tasks=tasks, start=start)
    document = json.loads(json.dumps(config_as_json(config)))
    again = config_from_json(document)
    assert again == config
    assert hash(again) == hash(config)
    assert Store.address(config_as_json(again)) == Store.address(document)


@pytest.mark.parametrize("name", ["smoke", "laptop"])
def test_presets_survive_json(name):
    for config in preset(name).values():
        assert config_from_json(json.loads(json.dumps(config_as_json(config)))) == config


@given(
    steps=st.integers(1, 10**9),
    step_size=st.floats(1e-300, 1e300),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**70),
    optimiser=st.sampled_from(["sgd", "adam"]),
)
def test_any_numbers_survive_json(steps, step_size, share, seed, optimiser):
    config = changed(
        steps=steps, step_size=step_size, decay_from=share, average_from=1 - share, seed=seed,
        optimiser=optimiser, checkpoints=1,
    )  # fmt: skip
    assert config_from_json(json.loads(json.dumps(config_as_json(config)))) == config


def test_fields_with_defaults_may_be_left_out():
    document = {
        "tasks": {"kind": "fixed covariance", "covariance": [[2.0, 0.5], [0.5, 1.0]],
                  "prompt_length": 6},
        "start": {"kind": "assumption 3", "scale": 0.4},
        "steps": 5,
        "step_size": 0.01,
        "checkpoints": 2,
    }  # fmt: skip
    expected = TrainingConfig(FIXED, Assumption3Start(0.4), 5, 0.01, checkpoints=2)
    assert config_from_json(document) == expected


@given(st.integers(1, 500), st.floats(0, 1), st.floats(0, 1), st.data())
def test_the_schedule(steps, decay_from, average_from, data):
    checkpoints = data.draw(st.integers(1, steps))
    config = changed(
        steps=steps, decay_from=decay_from, average_from=average_from, checkpoints=checkpoints
    )
    sizes = np.array([config.step_size_at(step) for step in range(steps)])
    assert np.all(sizes > 0)
    assert np.all(np.diff(sizes) <= 0)
    constant = np.arange(steps) <= decay_from * steps
    assert np.all(sizes[constant] >= 0.01 * (1 - 1e-12))
    # Linear, to zero one step after the last.
    decaying = sizes[~constant]
    expected = 0.01 * np.arange(len(decaying), 0, -1) / (steps * (1 - decay_from) or 1)
    np.testing.assert_allclose(decaying, expected, rtol=1e-9)
    assert 0 <= config.first_averaged < steps
    assert len(set(config.checkpoint_steps)) == checkpoints
    assert config.checkpoint_steps[-1] == steps
    assert min(config.checkpoint_steps) >= 1


def test_whole_numbers_become_floats_where_floats_belong():
    """Equal configs then have one address in the store."""
    assert isinstance(config_as_json(changed(step_size=1.0, decay_from=1.0))["step_size"], float)


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.kind)
def test_starts(start):
    problem = FlowProblem.fixed(np.diag([1.0, 2.0, 3.0]), 5)
    layer, again = start.layer(problem), start.layer(problem)
    assert np.array_equal(layer.key_query, again.key_query)
    other = dataclasses.replace(start, seed=9).layer(problem)
    assert not np.array_equal(layer.key_query, other.key_query)
    off = np.any(layer.u12 != 0) or np.any(layer.u21 != 0)
    assert start.on_plane == (not off)
    balance = balance_of_layer(LayerBlocks(layer.u12, layer.u21, layer.U11, layer.u_1))
    if isinstance(start, Assumption3Start):
        assert balance == pytest.approx(0, abs=1e-15)
        assert np.min(np.linalg.eigvalsh(layer.U11)) > -1e-15
    if isinstance(start, UnbalancedStart):
        assert balance == pytest.approx(0.5**2 - 0.2**2, rel=1e-12)
    if isinstance(start, DenseStart):
        assert np.all(layer.key_query != 0)
        assert np.all(layer.projection_value != 0)


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        (
            {"steps": 0, "step_size": -1.0, "batch_size": 0, "seed": -1, "checkpoints": 0},
            ("5 problem", "steps is 0", "step_size is -1.0", "batch_size is 0", "seed is -1"),
        ),
        ({"checkpoints": 24}, ("checkpoints is 24; expected at most one a step, 23",)),
        ({"decay_from": 1.5, "average_from": -0.1}, ("decay_from is 1.5", "average_from is -0.1")),
        ({"step_size": float("nan")}, ("step_size is nan",)),
        ({"gradient": "exact", "attention": "softmax"}, ("no closed form",)),
        (
            {"gradient": "exact", "tasks": RANDOM, "start": DenseStart(0.1)},
            ("random diagonal covariance tasks with a dense start", "u12 = u21 = 0 only"),
        ),
        ({"gradient": "exact", "tasks": TASKS["triangle"]}, ("make it symmetric",)),
    ],
)
def test_bad_configs(fields, messages):
    with pytest.raises(ValueError, match="TrainingConfig") as caught:
        changed(**fields)
    for message in messages:
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Assumption3Start(0.0), "scale is 0.0"),
        (lambda: UnbalancedStart(1.0, -1.0), "size is -1.0"),
        (lambda: DenseStart(0.1, -3), "seed is -3"),
    ],
)
def test_bad_starts(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def documented(**changes):
    document = json.loads(json.dumps(config_as_json(QUICK)))
    return {key: value for key, value in {**document, **changes}.items() if value is not ...}


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        (
            {"step_sizes": 0.1, "steps": ..., "tasks": {"kind": "fixd"}},
            ("3 problem", "no field 'step_sizes': did you mean 'step_size'?", "lacks the field",
             "tasks is of kind 'fixd'; expected one of 'fixed covariance'"),
        ),
        ({"start": 3}, ("start is of kind 3",)),
        (
            {"start": {"kind": "dense", "std": 0.1, "sed": 1}},
            ("start has no field 'sed': did you mean 'seed'?",),
        ),
        (
            {"tasks": {"kind": "fixed covariance", "covariance": [[-1.0]], "prompt_length": 3}},
            ("tasks:", "positive definite"),
        ),
        (
            {"tasks": {"kind": "fixed covariance", "covariance": [[1.0], [2.0, 3.0]],
                       "prompt_length": 3}},
            ("tasks:",),
        ),
        (
            {"tasks": {"kind": "random diagonal covariance", "prompt_length": 3,
                       "laws": [{"law": "cauchy"}]}},
            ("law is 'cauchy'; expected one of 'exponential'",),
        ),
        (
            {"tasks": {"kind": "random diagonal covariance", "prompt_length": 3,
                       "laws": [{"law": "exponential", "rate": 1.0}]}},
            ("law 'exponential' has no parameter 'rate'",),
        ),
        ({"optimiser": 7, "zzz": 1}, ("no field 'zzz': expected some of tasks, start",)),
    ],
)  # fmt: skip
def test_bad_json(changes, messages):
    with pytest.raises(ValueError, match="TrainingConfig from JSON") as caught:
        config_from_json(documented(**changes))
    for message in messages:
        assert message in str(caught.value)


def test_a_law_without_a_name_has_no_json():
    class Mine(DistributedLaw):
        moments = (1.0, 2.0, 6.0)

        def sample(self, rng, shape):
            return rng.exponential(size=shape)

        def truncated_moment(self, power, upper):
            raise NotImplementedError

    config = changed(tasks=RandomDiagonalTasks((Mine(),), 3))
    with pytest.raises(ValueError, match="has no name in JSON"):
        config_as_json(config)
