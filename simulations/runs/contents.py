"""What lies in the store for a run: its keys, its files, and how they are read back."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from simulations.experiments.config_files import config_as_json, config_from_json
from simulations.experiments.experiment import Arrays, Experiment
from simulations.runs.source_code import code_version
from simulations.runs.stored_run import StoredRun
from simulations.store import Store, default_root
from simulations.stored_folder import JSON, DamagedFolderError, StoredFolder

__all__ = [
    "CONFIG",
    "MADE",
    "RESULT",
    "Job",
    "arrays_as_bytes",
    "arrays_from_bytes",
    "job_of",
    "read_part",
    "read_run",
    "removal",
    "with_remedy",
]

CONFIG, RESULT, MADE = "config.json", "result.safetensors", "made.json"

#: float32 is for the weights of trained models: half the size of a result, and exact.
_DTYPES = tuple(map(np.dtype, (np.float64, np.float32, np.int64, np.bool_)))


@dataclass(frozen=True, eq=False)
class Job:
    """One config of an experiment, as it will be computed and stored.

    Attributes
    ----------
    experiment, config
        What to compute; the config as it is read back from `document`.
    document
        The config as JSON.
    code
        The version of the present code.
    """

    experiment: Experiment[Any]
    config: Any
    document: dict[str, JSON]
    code: str

    @property
    def key(self) -> dict[str, JSON]:
        """The key of the finished run."""
        return self._key("run")

    @property
    def address(self) -> str:
        """The address of the finished run."""
        return Store.address(self.key)

    def part_key(self, part: str) -> dict[str, JSON]:
        """Return the key of a finished part, until the run is finished."""
        return {**self._key("part"), "part": part}

    def checkpoint_key(self, part: str) -> dict[str, JSON]:
        """Return the key of the state of a part, until the part is finished."""
        return {**self._key("checkpoint"), "part": part}

    def parts(self) -> tuple[str, ...]:
        """Return the names of the parts.

        Raises
        ------
        ValueError
            If there are none, or two of one name.
        """
        names = tuple(self.experiment.parts(self.config))
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"{self.experiment.name} has the parts {names}; expected one or more, all different"
            )
        return names

    def _key(self, kind: str) -> dict[str, JSON]:
        return {
            "kind": kind,
            "experiment": self.experiment.name,
            "config": self.document,
            "code": self.code,
        }


def job_of(experiment: Experiment[Any], config: Any) -> Job:
    """Return the job of a config, under the present code.

    Raises
    ------
    TypeError, ValueError
        If the config has no JSON, or none that gives the same config back; see `config_as_json`.
    """
    document = config_as_json(experiment, config)
    read = config_from_json(experiment, document)
    if config_as_json(experiment, read) != document:
        raise ValueError(
            f"{experiment.name}: its decode does not undo its encode for {document}; repair them"
        )
    return Job(experiment, read, document, code_version(experiment))


# Arrays


def arrays_as_bytes(arrays: Arrays, where: str) -> bytes:
    """Return arrays as safetensors: equal arrays give equal bytes, in whatever order.

    Raises
    ------
    TypeError
        If one is not an array of float64, float32, int64 or bool under a text name.
    """
    wrong = [
        f"{name!r} is {_told(array)}"
        for name, array in arrays.items()
        if not isinstance(name, str)
        or not isinstance(array, np.ndarray | np.generic)
        or array.dtype not in _DTYPES
    ]
    if wrong:
        raise TypeError(
            f"{where} returned what cannot be stored: {'; '.join(wrong)}; expected arrays of"
            " float64, float32, int64 or bool by text names"
        )
    # A copy in order "C" keeps the shape () of a single number, and is what safetensors reads.
    plain = {name: np.array(arrays[name], order="C") for name in sorted(arrays)}
    return safetensors.numpy.save(plain)


def arrays_from_bytes(data: bytes, where: str) -> dict[str, np.ndarray]:
    """Return the arrays of `arrays_as_bytes`, by name in order.

    Raises
    ------
    DamagedFolderError
        If the bytes are not safetensors.
    """
    try:
        arrays = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise DamagedFolderError(f"{where} is not safetensors ({error})") from error
    return dict(sorted(arrays.items()))


def _told(array: object) -> str:
    if isinstance(array, np.ndarray | np.generic):
        return f"an array of {array.dtype}"
    return f"a {type(array).__name__}"


# Reading


def read_part(store: Store, key: Mapping[str, JSON]) -> tuple[dict[str, np.ndarray], float] | None:
    """Return the arrays of a stored part and the seconds it took, or None.

    Raises
    ------
    DamagedFolderError
        If it is damaged; the message has the remedy.
    """
    with with_remedy(store):
        stored = store.get(dict(key))
        if stored is None:
            return None
        made = _made(stored)
        return _arrays(stored), float(made["seconds"])


def read_run(store: Store, key: Mapping[str, JSON], config: Any) -> StoredRun | None:
    """Return the run that is stored under a key, or None.

    Parameters
    ----------
    store
        Where to look.
    key
        The key of a finished run.
    config
        What the run's config is, decoded.

    Raises
    ------
    DamagedFolderError
        If it is damaged; the message has the remedy.
    """
    with with_remedy(store):
        stored = store.get(dict(key))
        if stored is None:
            return None
        if _document(stored, CONFIG) != key.get("config"):
            raise DamagedFolderError(
                f"{stored.path / CONFIG} is not the config of the folder's key"
            )
        return StoredRun(
            experiment=str(key["experiment"]),
            config=config,
            arrays=_arrays(stored),
            address=Store.address(dict(key)),
            code=str(key["code"]),
            made=_made(stored),
        )


@contextmanager
def with_remedy(store: Store) -> Iterator[None]:
    """Say what to do about a damaged folder of a store."""
    try:
        yield
    except DamagedFolderError as error:
        remedy = f"take it away with: {removal(store)}, then start the run again"
        raise DamagedFolderError(f"{error}; {remedy}") from error


def removal(store: Store) -> str:
    """Return the command that takes away what is damaged in a store."""
    where = "" if store.root == default_root() else f" --store {shlex.quote(str(store.root))}"
    return f"iclproof runs clean --damaged{where}"


def _arrays(stored: StoredFolder) -> dict[str, np.ndarray]:
    return arrays_from_bytes(_file(stored, RESULT), str(stored.path / RESULT))


def _made(stored: StoredFolder) -> dict[str, Any]:
    made = _document(stored, MADE)
    if not isinstance(made.get("seconds"), int | float):
        raise DamagedFolderError(f"{stored.path / MADE} holds no seconds")
    return made


def _document(stored: StoredFolder, name: str) -> dict[str, Any]:
    place = stored.path / name
    try:
        document = json.loads(_file(stored, name))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DamagedFolderError(f"{place} is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise DamagedFolderError(f"{place} holds {document!r}; expected an object")
    return document


def _file(stored: StoredFolder, name: str) -> bytes:
    if name not in stored.files:
        raise DamagedFolderError(f"{stored.path} has no {name}: this program did not write it")
    return stored.files[name]
