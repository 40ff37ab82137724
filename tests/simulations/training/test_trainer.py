import dataclasses
import json

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from simulations.store import Store
from simulations.training import (
    DenseStart,
    Training,
    TrainingDivergedError,
    UnbalancedStart,
    resume,
    train,
)
from tests.simulations.training.cases import QUICK, TASKS

DENSE = dataclasses.replace(QUICK, start=DenseStart(0.2), decay_from=0.4, average_from=0.5)
RUNS = {
    "sgd": DENSE,
    "adam": dataclasses.replace(DENSE, optimiser="adam"),
    "softmax": dataclasses.replace(DENSE, attention="softmax", tasks=TASKS["mixture"]),
    "softmax, adam": dataclasses.replace(DENSE, attention="softmax", optimiser="adam"),
    "exact": dataclasses.replace(DENSE, gradient="exact"),
    "exact, adam": dataclasses.replace(DENSE, gradient="exact", optimiser="adam"),
    "random": dataclasses.replace(DENSE, tasks=TASKS["random"]),
}
ALL = pytest.mark.parametrize("config", RUNS.values(), ids=RUNS)


class KilledError(Exception):
    """What stops a run in these tests."""


def bits(trained):
    """All numbers of a result, bit by bit."""
    arrays = [trained.projection_value, trained.key_query]
    arrays += [getattr(trained.trace, f.name) for f in dataclasses.fields(trained.trace)]
    return [(a.dtype, a.shape, a.tobytes()) for a in arrays]


@ALL
def test_a_run_that_goes_on_gives_the_same_bits(config):
    whole = bits(train(config))
    assert bits(train(config)) == whole
    for step in (0, 1, 6, 13, 22, 23):
        run = Training(config)
        run.advance(step)
        assert bits(resume(config, run.save())) == whole


@pytest.fixture(scope="module")
def wholes():
    return {name: bits(train(config)) for name, config in RUNS.items()}


@given(st.sampled_from(sorted(RUNS)), st.lists(st.integers(0, 23), max_size=4).map(sorted))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_run_may_be_stopped_many_times(wholes, name, stops):
    run = Training(RUNS[name])
    for stop in stops:
        run.advance(stop)
        run = Training.restored(RUNS[name], run.save())
    run.advance(23)
    assert bits(run.result()) == wholes[name]


def test_a_run_killed_at_any_checkpoint_goes_on_from_the_store(tmp_path):
    store, key, killed = Store(tmp_path), {"training": "d2"}, 0

    def keep_and_die(run):
        nonlocal killed
        killed += 1
        store.put(key, {"state.safetensors": run.save()})
        raise KilledError

    with pytest.raises(KilledError):
        train(DENSE, keep_and_die)
    result = None
    while result is None:
        try:
            result = resume(DENSE, store.get(key).files["state.safetensors"], keep_and_die)
        except KilledError:
            continue
    assert killed == DENSE.checkpoints
    assert bits(result) == bits(train(DENSE))


def test_progress_is_told_at_every_checkpoint():
    seen = []
    train(QUICK, lambda run: seen.append(run.step))
    assert tuple(seen) == QUICK.checkpoint_steps == (6, 12, 18, 23)


def test_seeds_and_steps_matter():
    first = train(QUICK)
    other = train(dataclasses.replace(QUICK, seed=1))
    assert not np.array_equal(first.U, other.U)


@ALL
def test_steps_are_those_of_the_optimiser_by_hand(config):
    """SGD and Adam written out, averages and all, with gradients of a layer of our own."""
    run, m, v = Training(config), 0.0, 0.0
    layer, kept = run._layer, []
    for step in range(config.steps):
        before = np.stack([p.detach().numpy().copy() for p in layer.parameters()])
        run._gradient(layer, step)
        g = np.stack([p.grad.numpy().copy() for p in layer.parameters()])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        corrected = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
        change = g if config.optimiser == "sgd" else corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        run.advance(step + 1)
        after = np.stack([p.detach().numpy().copy() for p in layer.parameters()])
        expected = before - config.step_size_at(step) * change
        assert_allclose(after, expected, rtol=1e-10, atol=1e-13)
        kept.append(after)
    found = run.result()
    averaged = np.mean(kept[config.first_averaged :], axis=0)
    assert_allclose([found.projection_value, found.key_query], averaged, rtol=1e-12, atol=1e-15)
    at = found.trace.steps - 1
    assert np.array_equal(found.trace.key_query, np.array(kept)[at, 1])
    assert np.array_equal(found.trace.projection_value, np.array(kept)[at, 0])


def test_without_averages_the_result_is_the_last_step():
    trained = train(QUICK)
    assert np.array_equal(trained.key_query, trained.trace.key_query[-1])


def test_the_trace_has_the_mean_loss_between_checkpoints():
    losses, run = [], Training(QUICK)
    for step in range(23):
        losses.append(run._gradient(run._layer, step))
        run.advance(step + 1)
    expected = [np.mean(losses[i:j]) for i, j in ((0, 6), (6, 12), (12, 18), (18, 23))]
    assert_allclose(run.result().trace.loss, expected, rtol=1e-14)


@pytest.mark.parametrize("name", ["sgd", "exact", "random", "adam"])
def test_the_balance_drifts_by_the_squares_of_the_steps(name):
    """Exactly, for SGD, whatever the noise; Adam's own scaling breaks it to first order."""
    trained = train(RUNS[name])
    drift = trained.trace.balance - trained.start_balance
    squares = trained.trace.squared_steps
    if name == "adam":
        assert np.all(np.abs(drift - squares) > 10 * np.abs(squares))
    else:
        assert_allclose(drift, squares, rtol=1e-10, atol=1e-15)
        assert np.all(np.abs(drift) > 1e-6)


@ALL
def test_weights_that_no_prediction_reads_stay(config):
    start = config.start.layer(config.tasks.problem)
    trained = train(dataclasses.replace(config, average_from=1.0))
    assert np.array_equal(trained.projection_value[:-1], start.projection_value[:-1])
    assert np.array_equal(trained.key_query[:, -1], start.key_query[:, -1])
    assert np.all(trained.projection_value[-1] != start.projection_value[-1])
    assert np.all(trained.key_query[:, :-1] != start.key_query[:, :-1])


@pytest.mark.parametrize("gradient", ["sampled", "exact"])
@pytest.mark.parametrize("tasks", [QUICK.tasks, TASKS["random"]], ids=["fixed", "random"])
def test_too_large_a_step_is_told(gradient, tasks):
    start = UnbalancedStart(2.0, 2.0)
    config = dataclasses.replace(QUICK, step_size=30.0, start=start, gradient=gradient, tasks=tasks)
    with pytest.raises(TrainingDivergedError, match="take a smaller step_size"):
        train(config)


def tampered(state, **changes):
    """The bytes of a run whose JSON has been changed, or one of whose tensors has."""
    length = int.from_bytes(state[:8], "little")
    found = json.loads(json.loads(state[8 : 8 + length])["__metadata__"]["state"])
    tensors = safetensors.torch.load(state)
    for name, value in changes.items():
        if isinstance(value, torch.Tensor):
            tensors[name.replace("_", ".")] = value
        else:
            found[name] = value
    kept = {key: value for key, value in found.items() if value is not ...}
    return safetensors.torch.save(tensors, {"state": json.dumps(kept)})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: b"", "damaged"),
        (lambda state: state[:-1], "damaged"),
        (lambda state: b"not a state at all", "damaged"),
        (lambda state: safetensors.torch.save({"weights.0": torch.zeros(1)}), "damaged"),
        (lambda state: tampered(state, step=...), "damaged"),
        (lambda state: tampered(state, weights_0=torch.zeros(1)), r"weights.0 is \(1,\)"),
        (lambda state: tampered(state, format=2), "format 2; expected 1"),
    ],
)
def test_damaged_states(damage, message):
    run = Training(QUICK)
    run.advance(3)
    assert tampered(run.save()) is not None
    with pytest.raises(ValueError, match=message):
        resume(QUICK, damage(run.save()))


def test_a_state_belongs_to_its_config():
    saved = Training(QUICK).save()
    with pytest.raises(ValueError, match="that of another config"):
        resume(dataclasses.replace(QUICK, step_size=0.02), saved)


def test_a_result_needs_all_steps():
    run = Training(QUICK)
    run.advance(4)
    with pytest.raises(ValueError, match="4 of 23 steps are taken"):
        run.result()
    for until in (3, 24):
        with pytest.raises(ValueError, match="expected a number from 4"):
            run.advance(until)
