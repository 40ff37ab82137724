"""Trainings on disk: a checkpoint while they last, then a folder for the model of each seed.

``OUT/checkpoint`` holds ``state.safetensors``, the bytes of `TrainingRun.save`. ``OUT/seed-N``
holds ``training.json`` (config, mixture, records, versions, seconds, device) and the model: for
"gpt2" the files of `constructions.gpt2_files`, which stock GPT-2 reads; for "section-1.2"
``weights.safetensors``, its parameters by name. All are folders of `simulations.stored_folder`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import nn

from constructions.gpt2 import GPT2
from constructions.gpt2_files import read_gpt2, saved_gpt2
from simulations.experiments.config_files import fields_as_json, fields_from_json
from simulations.parallel.environment import environment
from simulations.stored_folder import (
    JSON,
    DamagedFolderError,
    folder_names,
    read_folder,
    read_metadata,
    write_folder,
)
from simulations.transformers.config import TransformerTraining
from simulations.transformers.models import new_model
from simulations.transformers.processes import ALONE, Processes
from simulations.transformers.prompts import MixturePrompts
from simulations.transformers.run import TrainingRun
from simulations.write_errors import naming

__all__ = [
    "CHECKPOINT",
    "MODEL_KIND",
    "FolderReport",
    "SavedModel",
    "config_differences",
    "read_model",
    "seed_folder",
    "train_in_folder",
]

#: The folder of the state in that of a training, and its file.
CHECKPOINT, STATE = "checkpoint", "state.safetensors"

#: What a folder of a model holds, beside the files of a stock GPT-2.
TRAINING, WEIGHTS = "training.json", "weights.safetensors"

#: The kinds of stored folders.
MODEL_KIND, CHECKPOINT_KIND = "trained-transformer", "transformer-checkpoint"

_SEED = re.compile(r"seed-\d+")

#: What lies in the folder of a training, that of killed writers included.
_OURS = re.compile(r"\.?(checkpoint|seed-\d+)(\..*)?")

#: Steps between two calls of `on_steps`.
_STEPS = 5

#: Told the steps that are taken, and their number in all.
OnSteps: TypeAlias = Callable[[int, int], object]


@dataclass(frozen=True)
class FolderReport:
    """What `train_in_folder` did.

    Attributes
    ----------
    folders
        The folder of each seed, in the order of the config.
    began_at
        The step that it went on from: 0 for a new training, the last if it was finished before.
    seconds
        Time of training in all, that of earlier calls included.
    losses
        Of each seed, over the batches of the last record, noise included.
    """

    folders: tuple[Path, ...]
    began_at: int
    seconds: float
    losses: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class SavedModel:
    """A trained model that was read from its folder.

    Attributes
    ----------
    model
        It, in float32, in evaluation mode.
    config, seed
        The training, and which of its models this is.
    document
        All of ``training.json``.
    """

    model: nn.Module
    config: TransformerTraining
    seed: int
    document: Mapping[str, Any]


def seed_folder(path: Path, seed: int) -> Path:
    """Return where the model of a seed lies in the folder of a training."""
    return path / f"seed-{seed}"


def train_in_folder(
    path: Path,
    config: TransformerTraining,
    processes: Processes = ALONE,
    on_steps: OnSteps | None = None,
) -> FolderReport:
    """Train, or go on with what the folder holds, and write the models.

    A checkpoint is written at every record, when losses and weights are known to be finite; after
    a kill at any moment the same call goes on from there, on the CPU with bitwise the same result.
    If the training is finished, nothing is done.

    Parameters
    ----------
    path
        A new or empty folder, or one that this function has written; with several processes, each
        must see it. The first writes.
    config
        The training.
    processes
        That train together, as `joined_processes` returns them.
    on_steps
        Told of progress.

    Returns
    -------
    FolderReport
        In every process.

    Raises
    ------
    ValueError
        If the folder holds another training, with the fields that differ, or its files are
        damaged; if the config asks for a GPU that is not there; nothing is changed then.
    FileExistsError
        If the folder holds something else.
    DivergedError
        As in `TrainingRun.advance`; the last checkpoint is kept.
    """
    _require_ours(path)
    if (done := _finished(path, config)) is not None:
        return done
    run, seconds = _opened(path, config, processes)
    began_at, start = run.step, time.monotonic() - seconds
    if on_steps is not None:
        on_steps(run.step, config.steps.count)
    for record in config.record_steps:
        while run.step < record:
            run.advance(min(record, run.step + _STEPS))
            if on_steps is not None:
                on_steps(run.step, config.steps.count)
            if run.step == record and processes.rank == 0:
                _save(path, run, time.monotonic() - start)
    seconds = time.monotonic() - start if began_at < run.step else seconds
    if processes.rank == 0:
        _write_models(path, run, seconds)
    folders = tuple(seed_folder(path, seed) for seed in config.seeds)
    return FolderReport(folders, began_at, seconds, tuple(run.records().losses[-1].tolist()))


def read_model(path: Path) -> SavedModel:
    """Read the model of one seed; its answers are bitwise those of the model that was written.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    DamagedFolderError
        If a checksum fails, or the contents are not those of a trained model.
    """
    stored = read_folder(path)
    if (kind := stored.metadata.get("kind")) != MODEL_KIND:
        raise DamagedFolderError(
            f"{path}: a folder of kind {kind!r}, expected {MODEL_KIND!r}: train one with iclproof"
            " train"
        )
    try:
        document = json.loads(stored.files[TRAINING])
        config = fields_from_json("config", TransformerTraining, document["config"])
        seed = int(document["seed"])
        if config.model.architecture == "gpt2":
            model: nn.Module = read_gpt2(stored.files)[0]
        else:
            model = new_model(config, seed)
            model.load_state_dict(safetensors.torch.load(stored.files[WEIGHTS]))
        _require_mixture(document["mixture"], config)
    except (LookupError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        told = " ".join(str(error).split())
        raise DamagedFolderError(f"{path}: not the contents of a trained model: {told}") from error
    return SavedModel(model.eval(), config, seed, document)


def config_differences(there: object, wanted: object, where: str = "") -> list[str]:
    """Return the fields of two configs as JSON that differ, with both values."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        names = dict.fromkeys([*wanted, *there])
        parts = [(f"{where}.{n}" if where else n, there.get(n), wanted.get(n)) for n in names]
        return [told for name, a, b in parts for told in config_differences(a, b, name)]
    return [] if there == wanted else [f"{where} is {there!r} there and {wanted!r} here"]


def _require_ours(path: Path) -> None:
    """Refuse a folder of other things before hours of training, not after them."""
    if path.is_dir():
        names = sorted(child.name for child in path.iterdir())
        if names and not any(map(_OURS.fullmatch, names)):
            raise FileExistsError(
                f"{path} holds {', '.join(names[:4])}, and no training; nothing was written: choose"
                " a new or empty folder, or that of a training to go on with"
            )
    elif path.exists():
        raise FileExistsError(f"{path} is a file, expected a folder; nothing was written")


def _finished(path: Path, config: TransformerTraining) -> FolderReport | None:
    """The report of a finished training; None if some seed has no folder."""
    documents = _documents(path, config)
    folders = tuple(seed_folder(path, seed) for seed in config.seeds)
    if any(folder.name not in documents for folder in folders):
        return None
    own = [documents[folder.name] for folder in folders]
    losses = tuple(float(document["records"]["losses"][-1]) for document in own)
    return FolderReport(folders, config.steps.count, float(own[0]["seconds"]), losses)


def _documents(path: Path, config: TransformerTraining) -> dict[str, Mapping[str, Any]]:
    """What is told of the models that are there; they must be of this training."""
    documents: dict[str, Mapping[str, Any]] = {}
    for name in sorted(name for name in folder_names(path) if _SEED.fullmatch(name)):
        found = read_model(path / name)
        if name != f"seed-{found.seed}":
            raise ValueError(f"{path / name} holds the model of seed {found.seed}: remove it")
        _require_same(path / name, fields_as_json(found.config), config)
        documents[name] = found.document
    return documents


def _require_same(folder: Path, there: object, config: TransformerTraining) -> None:
    wanted = json.loads(json.dumps(fields_as_json(config)))
    if found := config_differences(json.loads(json.dumps(there)), wanted):
        raise ValueError(
            f"{folder} is of another config: {'; '.join(found)}; go on with the config that it has,"
            " or train into another folder"
        )


def _opened(
    path: Path, config: TransformerTraining, processes: Processes
) -> tuple[TrainingRun, float]:
    """The run that the checkpoint holds, or a new one, and its seconds so far."""
    folder = path / CHECKPOINT
    try:
        stored = read_folder(folder)
    except FileNotFoundError:
        return TrainingRun(config, processes), 0.0
    if (kind := stored.metadata.get("kind")) != CHECKPOINT_KIND:
        raise FileExistsError(
            f"{folder} is of kind {kind!r}, not a checkpoint: choose another path"
        )
    _require_same(folder, stored.metadata["config"], config)
    seconds = stored.metadata["seconds"]
    run = TrainingRun.restored(config, stored.files[STATE], processes)
    if run.step != stored.metadata["step"]:
        raise DamagedFolderError(
            f"{folder}: its state is that of step {run.step}, and it says"
            f" {stored.metadata['step']}; expected the same: remove it to start again"
        )
    return run, seconds if isinstance(seconds, float) else 0.0


def _save(path: Path, run: TrainingRun, seconds: float) -> None:
    with suppress(FileNotFoundError):  # another training may have begun there meanwhile
        _require_same(path / CHECKPOINT, read_metadata(path / CHECKPOINT)["config"], run.config)
    metadata: dict[str, JSON] = {
        "kind": CHECKPOINT_KIND,
        "config": fields_as_json(run.config),
        "step": run.step,
        "seconds": seconds,
        "versions": dict(environment()),
    }
    with naming(path):
        write_folder(path / CHECKPOINT, {STATE: run.save()}, metadata)


def _write_models(path: Path, run: TrainingRun, seconds: float) -> None:
    _documents(path, run.config)  # refuses models of another training that came meanwhile
    for number, (seed, model) in enumerate(zip(run.config.seeds, run.models(), strict=True)):
        document = {**_described(run, number), "seed": seed, "seconds": seconds}
        files = {TRAINING: json.dumps(document, indent=1, allow_nan=False).encode()}
        if isinstance(model, GPT2):
            files |= saved_gpt2(model)
        else:
            weights = {name: p.contiguous() for name, p in model.state_dict().items()}
            files[WEIGHTS] = safetensors.torch.save(weights)
        with naming(path):
            write_folder(seed_folder(path, seed), files, {"kind": MODEL_KIND})


def _described(run: TrainingRun, number: int) -> dict[str, Any]:
    """What training.json tells of the model of this number, beside its seed and seconds."""
    config, records = run.config, run.records()
    on_gpu = config.device == "cuda"
    return {
        "config": fields_as_json(config),
        "mixture": _mixture(config),
        "records": {
            "steps": records.steps.tolist(),
            "losses": records.losses[:, number].tolist(),
            "gradient_norms": records.gradient_norms[:, number].tolist(),
        },
        "versions": dict(environment()),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "processes": run.processes.count,
    }


def _mixture(config: TransformerTraining) -> dict[str, Any] | None:
    """The mixture that a config draws, as JSON."""
    if not isinstance(config.prompts, MixturePrompts):
        return None
    law = config.prompts.mixture
    return {
        "components": law.components.tolist(),
        "weights": law.weights.tolist(),
        "noise_std": law.noise_std,
    }


def _require_mixture(found: Any, config: TransformerTraining) -> None:
    """Refuse a mixture that is not drawn any more as it was when the model was trained."""
    drawn = _mixture(config)
    same = (found is None) == (drawn is None) and (
        drawn is None or all(np.allclose(found[name], drawn[name], rtol=1e-9) for name in drawn)
    )
    if not same:
        raise ValueError(f"{TRAINING} has another mixture than its config draws")
