"""What a store holds of runs: finished ones, parts of unfinished ones, and what is damaged."""

from __future__ import annotations

import json
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
    "nearest_label",
    "run_key",
    "stored_keys",
]

#: The key of a run, a part or a checkpoint.
Key: TypeAlias = Mapping[str, Any]

State: TypeAlias = Literal["finished", "unfinished", "damaged"]

_KINDS = ("run", "part", "checkpoint")

#: How many changed fields, and how many characters of a value, `nearest_label` tells.
_MOST_CHANGES, _MOST_CHARACTERS = 3, 24


@dataclass(frozen=True)
class ListedRun:
    """A run of which there is something in the store.

    Attributes
    ----------
    experiment, config, code
        The name of the experiment, the config as JSON and the version of the code; empty for a
        damaged folder that does not tell whose it is.
    address
        Where the finished run lies, or will.
    state
        "finished", "unfinished" (there are parts or checkpoints only) or "damaged": the run or a
        part of it cannot be used.
    label
        ``preset/label`` if the config is one of the experiment's presets, else "".
    is_current
        Whether the present code would make this very run; None of an experiment that the catalogue
        does not have, such as one of your own: its code is not known here.
    parts
        The parts that are kept, of an unfinished run.
    made
        How it was made: see `StoredRun`; empty if it is not finished.
    damaged
        Where its damaged folders lie. Those of all runs are those that `damage` tells of.
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
    damaged: tuple[str, ...] = ()

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
    harmed = damage(store)
    kept: dict[str, _Kept] = {}
    for kind in _KINDS:
        for address, key in stored_keys(store, kind).items():
            of_run = kept.setdefault(Store.address(run_key(key)), _Kept(run_key(key)))
            of_run.kinds.add(kind)
            if address in harmed:
                of_run.damaged[address] = kind
            elif kind == "part":
                of_run.parts.append(str(key["part"]))
    listed = [run for of_run in kept.values() for run in _listed(store, of_run)]
    # Damaged folders that do not tell whose they are.
    left = set(harmed).difference(*(of_run.damaged for of_run in kept.values()))
    listed += [ListedRun("", {}, "", at, "damaged", "", None, damaged=(at,)) for at in left]
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
    # A config that two presets share goes by the smaller one, which comes first.
    presets = _labels(experiment).items()
    return next((label for label, preset in presets if preset == dict(config)), "")


def nearest_label(experiment: str, config: Mapping[str, JSON]) -> str:
    """Return the label of the preset that is nearest to a config, and what differs from it.

    As ``smoke/m=3, seed=3, noise_std=0.5``; "" for an experiment that the catalogue does not have.
    The nearest preset is the one with the fewest fields that differ.
    """
    own, nearest = _flat(config), None
    for label, preset in _labels(experiment).items():
        theirs = _flat(preset)
        names = [name for name in {**theirs, **own} if _differ(name, own, theirs)]
        if nearest is None or len(names) < len(nearest[1]):
            nearest = label, names
    if nearest is None:
        return ""
    label, names = nearest
    told = [f"{name}={_short(own[name])}" if name in own else f"no {name}" for name in names]
    more = [f"and {len(told) - _MOST_CHANGES} more"] if len(told) > _MOST_CHANGES else []
    return ", ".join([label, *told[:_MOST_CHANGES], *more])


def current_code(experiment: str) -> str | None:
    """Return the present code's version for an experiment; None if there is no such experiment."""
    known = catalogue.experiments()
    return code_version(known[experiment]) if experiment in known else None


@cache
def _labels(experiment: str) -> Mapping[str, Mapping[str, JSON]]:
    """Return the configs of all presets as JSON, by ``preset/label``."""
    known = catalogue.experiments()
    if experiment not in known:
        return {}
    return {
        f"{preset}/{label}": config_as_json(known[experiment], config)
        for preset, configs in known[experiment].presets.items()
        for label, config in configs.items()
    }


def _flat(config: Mapping[str, JSON], prefix: str = "") -> dict[str, JSON]:
    """Return nested fields by the names that ``--set`` takes."""
    flat: dict[str, JSON] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _differ(name: str, one: Mapping[str, JSON], other: Mapping[str, JSON]) -> bool:
    return name not in one or name not in other or one[name] != other[name]


def _short(value: JSON) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."


@dataclass
class _Kept:
    """What a store keeps of a run.

    Attributes
    ----------
    key
        Of the run.
    kinds
        Of the folders that are there.
    parts
        Those that are sound.
    damaged
        The kinds of damaged folders, by address.
    """

    key: Key
    kinds: set[str] = field(default_factory=set)
    parts: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)


def _listed(store: Store, kept: _Kept) -> list[ListedRun]:
    """Return the run; nothing if another process has taken it away since its key was read."""
    key, parts, made = kept.key, sorted(kept.parts), dict[str, Any]()
    # A damaged checkpoint keeps no run from being finished; a damaged part does.
    state: State = "damaged" if "part" in kept.damaged.values() else "unfinished"
    if "run" in kept.kinds:
        parts = []
        try:
            run = read_run(store, key, key["config"])
        except DamagedFolderError:
            state = "damaged"
        else:
            if run is None:
                return []
            state, made = "finished", dict(run.made)
    return [
        ListedRun(
            experiment=key["experiment"],
            config=key["config"],
            code=key["code"],
            address=Store.address(dict(key)),
            state=state,
            label=label_of(key["experiment"], key["config"]),
            is_current=_is_current(key),
            parts=tuple(parts),
            made=made,
            damaged=tuple(kept.damaged),
        )
    ]


def _is_current(key: Key) -> bool | None:
    present = current_code(key["experiment"])
    return None if present is None else present == key["code"]


def _is_whole(key: Key) -> bool:
    names = {"experiment", "config", "code"} | ({"part"} if key["kind"] != "run" else set())
    return names <= set(key)
