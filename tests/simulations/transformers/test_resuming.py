"""Trainings that are stopped, killed and resumed, bit by bit; states that are damaged."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.stored_folder import clean_leftovers, read_folder
from simulations.transformers import Curriculum, MixturePrompts, Steps, TrainingRun, train
from tests.simulations.transformers.cases import DROPPED, QUICK, RUNS, bits, changed, undisturbed

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_goes_on_gives_the_same_bits(name):
    config = RUNS[name]
    run = TrainingRun(config)
    for step in (0, 1, 5, 12, 13):
        run.advance(step)
        saved = run.save()
        other = TrainingRun.restored(config, saved)
        assert other.save() == saved
        assert bits(train(other)) == undisturbed(name)
    # What was saved went on, too, as if it had not been.
    assert bits(run) == undisturbed(name)


def test_no_two_of_the_runs_are_the_same():
    """Each option matters, so that what was compared was not twice the same training."""
    assert len({str(undisturbed(name)) for name in RUNS}) == len(RUNS)


@given(st.sampled_from(sorted(RUNS)), st.lists(st.integers(0, 13), max_size=4).map(sorted))
@settings(max_examples=8)
def test_a_run_may_be_stopped_many_times(name, stops):
    run = TrainingRun(RUNS[name])
    for stop in stops:
        run.advance(stop)
        run = TrainingRun.restored(RUNS[name], run.save())
    assert bits(train(run)) == undisturbed(name)


def test_a_model_of_several_is_bitwise_the_one_of_its_seed_alone():
    for name in ("seeds", "dropout", "clip", "section 1.2"):
        config = RUNS[name]
        run = train(TrainingRun(config))
        for number, seed in enumerate(config.seeds):
            alone = train(TrainingRun(dataclasses.replace(config, seeds=(seed,))))
            mine, theirs = run.weights()[number], alone.weights()[0]
            assert all(torch.equal(mine[n], theirs[n]) for n in mine)
            assert run.records().losses[:, number].tolist() == alone.records().losses[:, 0].tolist()


def test_numbers_drawn_elsewhere_change_nothing():
    run = TrainingRun(RUNS["dropout"])
    for step in range(1, 14):
        torch.manual_seed(step)
        torch.rand(step)
        run.advance(step)
    assert bits(run) == undisturbed("dropout")


# Killed

KILLED = changed(
    prompts=MixturePrompts(2, 2, 0.5, 4),
    model=DROPPED,
    steps=Steps(60, 6, warm_up=5, clip=1.0),
    curriculum=Curriculum(dim=1, points=2, every=15),
    records=10,
)

TRAINED_IN_A_FOLDER = """
import os, sys
from pathlib import Path
import torch
from simulations.stored_folder import read_folder, write_folder
from simulations.transformers import TrainingRun, train
from tests.simulations.transformers.test_resuming import KILLED

torch.set_num_threads(1)
root = Path(sys.argv[1])

def keep(run):
    write_folder(root / "run", {"state.safetensors": run.save()}, {"step": run.step})

def start():
    # Until the first checkpoint there is none.
    try:
        saved = read_folder(root / "run").files["state.safetensors"]
    except FileNotFoundError:
        return TrainingRun(KILLED)
    return TrainingRun.restored(KILLED, saved)

# Everything is imported once; each line on stdin asks for a child that trains.
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        train(start(), keep)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.mark.slow  # a kill of every day is that of `iclproof train`
def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(tmp_path):
    """SIGKILL between and within checkpoints, four times, then to the end."""
    server = subprocess.Popen(
        [sys.executable, "-c", TRAINED_IN_A_FOLDER, tmp_path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    kills, steps = 0, []
    with server:
        for delay in (0.0, 0.03, 0.01, 0.02, None):
            server.stdin.write("train\n")
            server.stdin.flush()
            child = int(server.stdout.readline())
            if delay is not None:
                wait_for_a_checkpoint(tmp_path / "run", steps)
                time.sleep(delay)
                os.kill(child, signal.SIGKILL)
            status = int(server.stdout.readline())
            kills += os.WIFSIGNALED(status)
            assert delay is not None or status == 0
            steps.append(read_folder(tmp_path / "run").metadata["step"])
        server.stdin.close()
    assert kills >= 2, steps
    assert steps == sorted(steps)
    clean_leftovers(tmp_path, older_than=0.0)
    stored = read_folder(tmp_path / "run")
    assert stored.metadata["step"] == 60
    whole = train(TrainingRun(KILLED))
    assert stored.files["state.safetensors"] == whole.save()
    assert bits(TrainingRun.restored(KILLED, stored.files["state.safetensors"])) == bits(whole)


def wait_for_a_checkpoint(folder, steps):
    """Until there is a checkpoint that was not there when the child started, or it is the last."""
    least, deadline = (steps[-1] if steps else 0), time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            found = read_folder(folder).metadata["step"]
        except FileNotFoundError:
            found = 0
        if found > least or found == 60:
            return
        time.sleep(0.005)
    raise TimeoutError(f"no checkpoint after step {least}")


# Damage


@pytest.fixture(scope="module")
def saved():
    run = TrainingRun(QUICK)
    run.advance(6)
    return run.save()


def tampered(state, *, drop=(), tensors=None, **changes):
    """The bytes of a run some of whose JSON, or of whose tensors, are others."""
    length = int.from_bytes(state[:8], "little")
    found = json.loads(json.loads(state[8 : 8 + length])["__metadata__"]["state"])
    held = safetensors.torch.load(state) | (tensors or {})
    kept = {name: value for name, value in (found | changes).items() if value is not ...}
    return safetensors.torch.save(
        {name: tensor for name, tensor in held.items() if name not in drop},
        {"state": json.dumps(kept)},
    )


DAMAGES = {
    "nothing": (lambda state: b"", "damaged"),
    "half": (lambda state: state[: len(state) // 2], "damaged"),
    "all but the last byte": (lambda state: state[:-1], "damaged"),
    "other bytes": (lambda state: b"not a state at all", "damaged"),
    "no JSON": (lambda state: safetensors.torch.save({"sums": torch.zeros(1)}), "damaged"),
    "no step": (lambda state: tampered(state, step=...), "damaged"),
    "no config": (lambda state: tampered(state, config=...), "damaged"),
    "words for a step": (lambda state: tampered(state, step="six"), "damaged"),
    "a step below 0": (lambda state: tampered(state, step=-1), "step is -1, of 13"),
    "a step too late": (lambda state: tampered(state, step=14), "step is 14, of 13"),
    "another format": (lambda state: tampered(state, format=2), "format 2; expected 1"),
    "no weight": (lambda state: tampered(state, drop=["weights.3"]), "weights.3 is missing"),
    "a weight of another shape": (
        lambda state: tampered(state, tensors={"weights.0": torch.zeros(1)}),
        r"weights.0 is \(1,\), expected shape",
    ),
    "no records": (lambda state: tampered(state, drop=["records"]), "records is missing"),
    "no moment": (
        lambda state: tampered(state, drop=["optimiser.2.exp_avg"]),
        "optimiser.2.exp_avg is missing",
    ),
    "no moments at all": (
        lambda state: tampered(
            state, drop=[n for n in safetensors.torch.load(state) if n.startswith("optimiser")]
        ),
        "optimiser.0.exp_avg is missing",
    ),
    "a moment of another shape": (
        lambda state: tampered(state, tensors={"optimiser.2.exp_avg_sq": torch.zeros(1)}),
        r"optimiser.2.exp_avg_sq is \(1,\)",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_states(saved, damage, message):
    TrainingRun.restored(QUICK, tampered(saved))
    with pytest.raises(ValueError, match=message):
        TrainingRun.restored(QUICK, damage(saved))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seeds": (1,)}, r"config.seeds is \[0\] there, and \[1\] was asked for"),
        (
            {"steps": dataclasses.replace(QUICK.steps, step_size=0.02)},
            "config.steps.step_size is 0.003 there, and 0.02",
        ),
        (
            {"prompts": dataclasses.replace(QUICK.prompts, components_seed=5)},
            "config.prompts.components_seed is 2 there, and 5",
        ),
        ({"model": DROPPED}, "config.model.dropout is 0.0 there, and 0.2"),
        ({"curriculum": Curriculum()}, "config.curriculum is None there, and {'dim': 5"),
        ({"precision": "bfloat16"}, "config.precision is 'float32' there, and 'bfloat16'"),
        ({"records": 5}, "config.records is 4 there, and 5"),
        ({"prompts": RUNS["gaussian"].prompts}, "config.prompts.* was asked for"),
    ],
)
def test_a_state_of_another_config_names_the_field(saved, changes, told):
    with pytest.raises(ValueError, match=f"that of another config: {told}"):
        TrainingRun.restored(changed(**changes), saved)
