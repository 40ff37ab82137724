"""Trainings in folders: written, gone on with, read back, and refused with one clear error."""

import dataclasses
import json
import shutil
from importlib.metadata import version

import numpy as np
import pytest
import safetensors.torch
import torch

from simulations.stored_folder import DamagedFolderError, read_folder, write_folder
from simulations.transformers import DivergedError, Steps, TrainingRun, train
from simulations.transformers.folder import (
    CHECKPOINT,
    STATE,
    config_differences,
    read_model,
    seed_folder,
    train_in_folder,
)
from simulations.transformers.predictor import ModelPredictor
from tests.simulations.transformers.cases import QUICK, RUNS, bits, changed, undisturbed
from theory import PromptBatch

#: What is written differs in these: the rest is the same in each training.
WRITTEN = ["seeds", "without positions", "spare positions", "dropout", "section 1.2", "gaussian"]


def contents(path):
    """The files of all stored folders, but for seconds."""
    found = {}
    for folder in sorted(child for child in path.iterdir()):
        for name, data in read_folder(folder).files.items():
            if name == "training.json":
                document = json.loads(data)
                assert document.pop("seconds") > 0
                found[folder.name, name] = document
            elif name != "prompts.npz":  # zip files hold the time
                found[folder.name, name] = data
    return found


class StoppedError(Exception):
    """The training is interrupted."""


def stopping_at(step):
    def on_steps(done, total):
        if done >= step:
            raise StoppedError

    return on_steps


@pytest.mark.parametrize("name", WRITTEN)
def test_the_models_that_are_read_are_those_of_the_run(tmp_path, name):
    config = RUNS[name]
    steps = []
    report = train_in_folder(tmp_path, config, on_steps=lambda *done: steps.append(done))
    assert steps[0] == (0, 13)
    assert steps[-1] == (13, 13)
    run = train(TrainingRun(config))
    assert report.folders == tuple(seed_folder(tmp_path, seed) for seed in config.seeds)
    assert report.losses == tuple(run.records().losses[-1])
    assert report.began_at == 0
    rng = np.random.default_rng(0)
    prompts = PromptBatch(rng.normal(size=(5, 5, 3)), rng.normal(size=(5, 4)))
    for number, (seed, model) in enumerate(zip(config.seeds, run.models(), strict=True)):
        saved = read_model(seed_folder(tmp_path, seed))
        assert (saved.config, saved.seed) == (config, seed)
        expected = ModelPredictor(model).predict_all_prefixes(prompts)
        assert np.array_equal(ModelPredictor(saved.model).predict_all_prefixes(prompts), expected)
        records = saved.document["records"]
        assert records["losses"] == run.records().losses[:, number].tolist()
        assert records["gradient_norms"] == run.records().gradient_norms[:, number].tolist()
        assert records["steps"] == [4, 7, 10, 13]


def test_training_json_tells_the_law_and_how_it_was_made(tmp_path):
    train_in_folder(tmp_path, QUICK)
    document = read_model(tmp_path / "seed-0").document
    mixture = QUICK.prompts.mixture
    assert np.array_equal(document["mixture"]["components"], mixture.components)
    assert np.array_equal(document["mixture"]["weights"], mixture.weights)
    assert document["mixture"]["noise_std"] == 0.5
    assert document["versions"]["torch"] == version("torch")
    assert (document["device"], document["processes"], document["seed"]) == ("cpu", 1, 0)
    other = tmp_path / "other"
    train_in_folder(other, RUNS["gaussian"])
    assert read_model(other / "seed-0").document["mixture"] is None


@pytest.mark.parametrize("name", ["seeds", "dropout", "section 1.2", "curriculum"])
def test_a_training_that_was_stopped_goes_on_bitwise(tmp_path, name):
    config = RUNS[name]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_in_folder(whole, config)
    for stop, held in ((3, None), (4, None), (9, 7), (13, 10)):
        with pytest.raises(StoppedError):
            train_in_folder(parts, config, on_steps=stopping_at(stop))
        # A checkpoint is written after every record; what raised at a record came before it.
        if held is not None:
            assert read_folder(parts / CHECKPOINT).metadata["step"] == held
    assert not seed_folder(parts, config.seeds[0]).exists()
    assert train_in_folder(parts, config).began_at == 10
    assert contents(parts) == contents(whole)
    run = TrainingRun.restored(config, read_folder(parts / CHECKPOINT).files[STATE])
    assert bits(run) == undisturbed(name)


def test_a_finished_training_is_left_as_it_is(tmp_path):
    report = train_in_folder(tmp_path, RUNS["seeds"])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = train_in_folder(tmp_path, RUNS["seeds"], on_steps=stopping_at(0))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert again == dataclasses.replace(report, began_at=13, seconds=again.seconds)
    # The checkpoint may go; a model that is missing is written again.
    written = contents(tmp_path)
    shutil.rmtree(tmp_path / "seed-3")
    assert train_in_folder(tmp_path, RUNS["seeds"]).began_at == 13
    assert contents(tmp_path) == written
    shutil.rmtree(tmp_path / CHECKPOINT)
    assert train_in_folder(tmp_path, RUNS["seeds"], on_steps=stopping_at(0)).began_at == 13


OTHERS = {
    "steps.count": (changed(steps=dataclasses.replace(QUICK.steps, count=14)), "13 there and 14"),
    "prompts.noise_std": (
        changed(prompts=dataclasses.replace(QUICK.prompts, noise_std=0.25)),
        "0.5 there and 0.25",
    ),
    "model.positions": (RUNS["without positions"], "'learned' there and 'none'"),
    "seeds": (changed(seeds=(0, 1)), "[0] there and [0, 1]"),
    "curriculum": (RUNS["curriculum"], "None there and {"),
}


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("field", OTHERS)
def test_another_config_is_refused_by_the_field_that_differs(tmp_path, field, finished):
    if finished:
        train_in_folder(tmp_path, QUICK)
    else:
        with pytest.raises(StoppedError):
            train_in_folder(tmp_path, QUICK, on_steps=stopping_at(9))
    before = contents(tmp_path)
    config, words = OTHERS[field]
    with pytest.raises(ValueError, match="is of another config") as caught:
        train_in_folder(tmp_path, config)
    assert f"{field} is {words}" in str(caught.value)
    assert contents(tmp_path) == before


def test_all_fields_that_differ_are_named():
    there = {"a": 1, "b": {"c": [1, 2], "d": None}, "gone": 0}
    here = {"a": 2, "b": {"c": [1, 3], "d": None}}
    assert config_differences(there, here) == [
        "a is 1 there and 2 here",
        "b.c is [1, 2] there and [1, 3] here",
        "gone is 0 there and None here",
    ]
    assert config_differences(there, there) == []


def test_a_training_that_diverges_keeps_its_last_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(Steps, "step_size_at", lambda _, step: 1e30 if step >= 7 else 3e-3)
    with pytest.raises(DivergedError, match="diverged between steps 7 and 10"):
        train_in_folder(tmp_path, RUNS["seeds"])
    stored = read_folder(tmp_path / CHECKPOINT)
    assert stored.metadata["step"] == 7
    tensors = safetensors.torch.load(stored.files[STATE])
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    with pytest.raises(DivergedError):
        train_in_folder(tmp_path, RUNS["seeds"])
    assert read_folder(tmp_path / CHECKPOINT).files == stored.files


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds notes\.txt, and no training"):
        train_in_folder(tmp_path, QUICK)
    with pytest.raises(FileExistsError, match="is a file"):
        train_in_folder(tmp_path / "notes.txt", QUICK)
    write_folder(tmp_path / "a" / CHECKPOINT, {STATE: b""}, {"kind": "other"})
    with pytest.raises(FileExistsError, match="kind 'other', not a checkpoint"):
        train_in_folder(tmp_path / "a", QUICK)
    write_folder(tmp_path / "b" / "seed-0", {"x": b""}, {"kind": "other"})
    with pytest.raises(DamagedFolderError, match="kind 'other', expected 'trained-transformer'"):
        train_in_folder(tmp_path / "b", QUICK)
    # Beside a training notes do no harm.
    train_in_folder(tmp_path / "c", QUICK)
    (tmp_path / "c" / "notes.txt").write_text("mine")
    assert train_in_folder(tmp_path / "c", QUICK).began_at == 13


def test_damage_is_named(tmp_path):
    with pytest.raises(StoppedError):
        train_in_folder(tmp_path, QUICK, on_steps=stopping_at(9))
    state = tmp_path / CHECKPOINT / STATE
    good = state.read_bytes()
    state.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(DamagedFolderError, match=r"state\.safetensors does not match its checksum"):
        train_in_folder(tmp_path, QUICK)
    state.write_bytes(good)
    train_in_folder(tmp_path, QUICK)
    seed = tmp_path / "seed-0"
    files, kind = read_folder(seed).files, {"kind": "trained-transformer"}
    for name, data in {
        "training.json": b"{}",
        "model.safetensors": b"",
        "config.json": b"[]",
    }.items():
        write_folder(seed, files | {name: data}, kind)
        with pytest.raises(DamagedFolderError, match="seed-0: not the contents of a trained model"):
            read_model(seed)
    with pytest.raises(FileNotFoundError, match="seed-1"):
        read_model(tmp_path / "seed-1")


def test_another_training_that_begins_in_the_folder_meanwhile_is_noticed(tmp_path):
    """Whoever writes second is refused, at a checkpoint or with its models."""
    other = changed(seeds=(0, 5))

    def intrude(done, total):
        if done == 4:
            with pytest.raises(StoppedError):
                train_in_folder(tmp_path, other, on_steps=stopping_at(9))

    with pytest.raises(ValueError, match=r"checkpoint is of another config: seeds is \[0, 5\]"):
        train_in_folder(tmp_path, QUICK, on_steps=intrude)

    def finish(done, total):
        if done == 13 and not (tmp_path / "late" / "seed-5").exists():
            (tmp_path / "late" / CHECKPOINT).rename(tmp_path / "kept")
            train_in_folder(tmp_path / "late", other)
            shutil.rmtree(tmp_path / "late" / CHECKPOINT)

    with pytest.raises(ValueError, match=r"seed-0 is of another config: seeds is \[0, 5\]"):
        train_in_folder(tmp_path / "late", QUICK, on_steps=finish)
    assert read_model(tmp_path / "late" / "seed-0").config == other


def test_the_folder_of_another_seed_is_noticed(tmp_path):
    train_in_folder(tmp_path, RUNS["seeds"])
    shutil.rmtree(tmp_path / "seed-3")
    shutil.copytree(tmp_path / "seed-0", tmp_path / "seed-3")
    with pytest.raises(ValueError, match="seed-3 holds the model of seed 0: remove it"):
        train_in_folder(tmp_path, RUNS["seeds"])


def test_a_mixture_that_its_seed_does_not_draw_any_more_is_noticed(tmp_path):
    train_in_folder(tmp_path, QUICK)
    seed = tmp_path / "seed-0"
    stored = read_folder(seed)
    document = json.loads(stored.files["training.json"])
    for mixture in (None, document["mixture"] | {"noise_std": 0.75}):
        text = json.dumps(document | {"mixture": mixture}).encode()
        write_folder(seed, {**stored.files, "training.json": text}, stored.metadata)
        with pytest.raises(DamagedFolderError, match="another mixture than its config draws"):
            read_model(seed)


def test_a_step_that_is_not_that_of_the_state_is_noticed(tmp_path):
    with pytest.raises(StoppedError):
        train_in_folder(tmp_path, QUICK, on_steps=stopping_at(9))
    stored = read_folder(tmp_path / CHECKPOINT)
    write_folder(tmp_path / CHECKPOINT, stored.files, {**stored.metadata, "step": 4})
    with pytest.raises(DamagedFolderError, match="its state is that of step 7, and it says 4"):
        train_in_folder(tmp_path, QUICK)
