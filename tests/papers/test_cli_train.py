"""`iclproof train`: into a folder, on after a kill, in two processes; one error for a bad call."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from simulations.experiments.config_files import fields_as_json
from simulations.stored_folder import read_folder
from simulations.transformers import Steps, TrainingRun
from simulations.transformers.folder import CHECKPOINT, STATE, read_model
from tests.simulations.transformers.cases import QUICK, changed

PROGRAM = Path(sys.executable).with_name("iclproof")
SHORT = ("--set", "steps.count=4", "--set", "steps.batch_size=4", "--set", "records=2")


def written(path, config=QUICK):
    file = path / "config.json"
    file.write_text(json.dumps(fields_as_json(config)))
    return file


def test_a_preset_is_trained_once(iclproof, tmp_path):
    call = ("train", "--preset", "smoke", "--label", "m=2", *SHORT, "--out", tmp_path / "out")
    done = iclproof(*call, "--json")
    assert (done.code, done.err) == (0, "")
    data = json.loads(done.out)
    assert (data["began_at"], data["steps"]) == (0, 4)
    assert [model["seed"] for model in data["models"]] == [0, 1]
    assert data["config"]["steps"]["batch_size"] == 4
    for model in data["models"]:
        document = read_model(Path(model["folder"])).document
        assert document["records"]["losses"][-1] == model["loss"]
        assert document["config"] == data["config"]
    again = iclproof(*call)
    assert (again.code, again.err) == (0, "")
    assert "finished before: nothing to do" in again.out
    assert f"iclproof compare {tmp_path / 'out' / 'seed-0'}" in again.out


def test_a_file_gives_the_config_also_that_of_a_model(iclproof, tmp_path):
    out = tmp_path / "out"
    done = iclproof("train", "--config", written(tmp_path), "--out", out)
    assert (done.code, done.err) == (0, "")
    assert "13 steps" in done.out
    file, other = out / "seed-0" / "training.json", tmp_path / "other"
    done = iclproof("train", "--config", file, "--set", "seeds=[5]", "--out", other, "--json")
    assert json.loads(done.out)["models"][0]["folder"] == str(other / "seed-5")
    assert read_model(other / "seed-5").config == changed(seeds=(5,))


def test_a_kill_costs_nothing(iclproof, tmp_path):
    config = changed(steps=Steps(120, 6, warm_up=3), records=40)
    file, whole, killed = written(tmp_path, config), tmp_path / "whole", tmp_path / "killed"
    assert iclproof("train", "--config", file, "--out", whole).code == 0
    process = subprocess.Popen(
        [PROGRAM, "train", "--config", file, "--out", killed],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    while process.poll() is None and not (killed / CHECKPOINT).exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = iclproof("train", "--config", file, "--out", killed, "--json")
    assert (done.code, done.err) == (0, "")
    assert 0 < json.loads(done.out)["began_at"] < 120
    states = [read_folder(path / CHECKPOINT).files[STATE] for path in (whole, killed)]
    assert states[0] == states[1]
    weights = [(path / "seed-0" / "model.safetensors").read_bytes() for path in (whole, killed)]
    assert weights[0] == weights[1]


@pytest.mark.slow  # test_processes has two processes every day
def test_two_processes_train_as_one(iclproof, tmp_path):
    file, two, one = written(tmp_path), tmp_path / "two", tmp_path / "one"
    done = subprocess.run(
        [
            PROGRAM.with_name("torchrun"), "--nproc-per-node", "2", "--master-port", "29917",
            PROGRAM, "train", "--config", file, "--out", two, "--json",
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 13  # told once
    assert iclproof("train", "--config", file, "--out", one).code == 0
    found = [read_model(path / "seed-0").document for path in (two, one)]
    assert [document["processes"] for document in found] == [2, 1]
    losses = [np.array(document["records"]["losses"]) for document in found]
    assert np.abs(losses[0] - losses[1]).max() < 1e-6


def test_divergence_is_one_line_and_exit_code_1(iclproof, tmp_path, monkeypatch):
    monkeypatch.setattr(Steps, "step_size_at", lambda _, step: 1e30 if step >= 7 else 3e-3)
    out = tmp_path / "out"
    done = iclproof("train", "--config", written(tmp_path), "--out", out)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "training diverged between steps 7 and 10" in done.err
    assert f"the last checkpoint in {out} is kept" in done.err
    stored = read_folder(out / CHECKPOINT)
    assert TrainingRun.restored(QUICK, stored.files[STATE]).step == 7


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give a config once"),
        (["--preset", "smoke", "--config", "x.json"], "give a config once"),
        (["--config", "x.json", "--label", "m=2"], "--label goes with --preset"),
        (["--preset", "smok"], "did you mean 'smoke'?"),
        (["--preset", "smoke", "--label", "m2"], "did you mean 'm=2'?"),
        (["--preset", "laptop"], "several labels"),
        (["--preset", "smoke", "--label", "m=2", "--device", "gpu"], "expected cpu or cuda"),
        (["--preset", "smoke", "--label", "m=2", "--set", "step=1"], "no field 'step'"),
        (["--preset", "smoke", "--label", "m=2", "--set", "records"], "not of the form name=value"),
        (
            ["--preset", "smoke", "--label", "m=2", "--set", "prompts.noise_std=-1"],
            "noise_std is -1.0; expected a finite number >= 0",
        ),
        (["--config", "absent.json"], "absent.json: No such file"),
        (["--config", "text.json"], "text.json is not JSON"),
        (["--config", "list.json"], "list.json holds list; expected an object"),
        (["--config", "kind.json"], "prompts is {'kind': 'x'}; expected an object with"),
    ],
)
def test_bad_calls_are_one_line_and_write_nothing(iclproof, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "kind.json").write_text('{"prompts": {"kind": "x"}}')
    done = iclproof("train", *options, "--out", "out")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert words in done.err
    assert not (tmp_path / "out").exists()


def test_no_gpu_is_one_line(iclproof, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = iclproof(
        "train", "--preset", "smoke", "--label", "m=2", "--device", "cuda", "--out", tmp_path / "o"
    )
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "torch finds no GPU here" in done.err
    assert not (tmp_path / "o").exists()


def test_another_config_and_other_things_are_one_line(iclproof, tmp_path):
    file, out = written(tmp_path), tmp_path / "out"
    assert iclproof("train", "--config", file, "--out", out).code == 0
    done = iclproof("train", "--config", file, "--set", "model.layers=1", "--out", out)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "model.layers is 2 there and 1 here" in done.err
    done = iclproof("train", "--config", file, "--out", tmp_path)
    assert done.code == 2
    assert "and no training" in done.err
