"""What a store holds of runs: finished ones, parts of unfinished ones, and what is damaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeAlias, cast

from simulations.experiments import catalogue
from simulations.experiments.config_files import config_as_json
from simulations.runs.contents import read_part, read_run
from simulations.runs.source_code import code_version
from simulations.store import Store
from simulations.stored_folder import JSON, DamagedFolderError

__all__ = [
    "Key",
    "ListedRun",
    "State",
    "addresses_of_runs",
    "current_code",
    "damage",
    "label_of",
    "list_runs",
    "run_key",
    "stored_keys",
]

#: The key of a run, a part or a checkpoint.
Key: TypeAlias = Mapping[str, Any]

State: TypeAlias = Literal["finished", "unfinished", "damaged"]

_KINDS = ("run", "part", "checkpoint")


@dataclass(frozen=True)
class ListedRun:
    """A run of which there is something in the store.

    Attributes
    ----------
    experiment, config, code
        The name of the experiment, the config as JSON and the version of the code.
    address
        Where the finished run lies, or will.
    state
        "finished", "unfinished" (there are parts or checkpoints only) or "damaged".
    label
        ``preset/label`` if the config is one of the experiment's presets, else "".
    is_current
        Whether the present code would make this very run; None of an experiment that the catalogue
        does not have, such as one of your own: its code is not known here.
    parts
        The parts that are kept, of an unfinished run.
    made
        How it was made: see `StoredRun`; empty if it is not finished.
    """

    experiment: str
    config: Mapping[str, JSON]
    code: str
    address: str
    state: State
    label: str
    is_current: bool | None
    parts: tuple[str, ...] = ()
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> dict[str, JSON]:
        """The key of the finished run in the store."""
        return {
            "kind": "run",
            "experiment": self.experiment,
            "config": dict(self.config),
            "code": self.code,
        }


def list_runs(store: Store) -> list[ListedRun]:
    """Return what is in a store of every run, by experiment, label and date."""
    parts: dict[str, tuple[Key, list[str]]] = {}
    for kind in ("checkpoint", "part"):
        for key in stored_keys(store, kind).values():
            kept = parts.setdefault(Store.address(run_key(key)), (run_key(key), []))[1]
            kept += [str(key["part"])] if kind == "part" else []
    listed = []
    for address, key in stored_keys(store, "run").items():
        parts.pop(address, None)
        try:
            run = read_run(store, key, key["config"])
        except DamagedFolderError:
            listed.append(_listed(key, "damaged"))
        else:
            listed += [] if run is None else [_listed(key, "finished", made=run.made)]
    listed += [
        _listed(key, "unfinished", parts=tuple(sorted(kept))) for key, kept in parts.values()
    ]
    return sorted(listed, key=lambda r: (r.experiment, r.label, str(r.made.get("date")), r.address))


def stored_keys(store: Store, kind: str) -> dict[str, Key]:
    """Return the keys of one kind by address: "run", "part" or "checkpoint".

    What has no readable key is left out; `damage` tells of it.
    """
    found: dict[str, Key] = {}
    for address in store.addresses():
        try:
            key = store.key_at(address)
        except (DamagedFolderError, FileNotFoundError):  # the latter: removed since it was listed
            continue
        if isinstance(key, dict) and key.get("kind") == kind and _is_whole(key):
            found[address] = key
    return found


def addresses_of_runs(store: Store) -> list[str]:
    """Return where runs, parts and checkpoints lie, and what nobody can read.

    Other things that the store keeps are left out.
    """
    found = []
    for address in store.addresses():
        try:
            key = store.key_at(address)
        except DamagedFolderError:
            found.append(address)
        except FileNotFoundError:  # removed by another process since it was listed
            continue
        else:
            found += [address] if isinstance(key, dict) and key.get("kind") in _KINDS else []
    return found


def damage(store: Store) -> dict[str, str]:
    """Return what is wrong with damaged entries among `addresses_of_runs`, by address."""
    found = {}
    for address in addresses_of_runs(store):
        try:
            key = cast(dict[str, JSON], store.key_at(address))
            if key["kind"] == "run":
                read_run(store, key, key.get("config"))
            elif key["kind"] == "part":
                read_part(store, key)
            else:
                store.get(key)
        except DamagedFolderError as error:
            found[address] = str(error)
        except FileNotFoundError:
            continue
    return found


def run_key(key: Key) -> dict[str, JSON]:
    """Return the key of the run that a part or a checkpoint belongs to."""
    return {**{name: value for name, value in key.items() if name != "part"}, "kind": "run"}


def label_of(experiment: str, config: Mapping[str, JSON]) -> str:
    """Return ``preset/label`` of a config, or "" if it is none of the presets."""
    return _labels(experiment).get(Store.address(dict(config)), "")


def current_code(experiment: str) -> str | None:
    """Return the present code's version for an experiment; None if there is no such experiment."""
    known = catalogue.experiments()
    return code_version(known[experiment]) if experiment in known else None


@cache
def _labels(experiment: str) -> Mapping[str, str]:
    known = catalogue.experiments()
    if experiment not in known:
        return {}
    found: dict[str, str] = {}
    for preset, configs in known[experiment].presets.items():
        for label, config in configs.items():
            # A config that two presets share goes by the smaller one, which comes first.
            address = Store.address(config_as_json(known[experiment], config))
            found.setdefault(address, f"{preset}/{label}")
    return found


def _listed(
    key: Key, state: State, *, parts: tuple[str, ...] = (), made: Mapping[str, JSON] | None = None
) -> ListedRun:
    return ListedRun(
        experiment=key["experiment"],
        config=key["config"],
        code=key["code"],
        address=Store.address(dict(key)),
        state=state,
        label=label_of(key["experiment"], key["config"]),
        is_current=_is_current(key),
        parts=parts,
        made=made or {},
    )


def _is_current(key: Key) -> bool | None:
    present = current_code(key["experiment"])
    return None if present is None else present == key["code"]


def _is_whole(key: Key) -> bool:
    names = {"experiment", "config", "code"} | ({"part"} if key["kind"] != "run" else set())
    return names <= set(key)
