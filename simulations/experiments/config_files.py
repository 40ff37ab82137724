"""Configs of experiments as JSON, and back: for any frozen dataclass of plain values."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, Literal, TypeVar, Union

import numpy as np

from simulations.experiments.experiment import Experiment
from simulations.stored_folder import JSON, require_json
from theory.validation import Problems

__all__ = [
    "changed",
    "config_as_json",
    "config_from_json",
    "fields_as_json",
    "fields_from_json",
    "set_fields",
    "setting",
]

Config = TypeVar("Config")

_WANTED: Mapping[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a finite number",
    str: "text",
    type(None): "null",
}


def config_as_json(experiment: Experiment[Config], config: Config) -> dict[str, JSON]:
    """Return a config as what JSON can hold; equal configs give equal JSON.

    Fields may be int, float, str, bool, None, `Literal`, tuples and unions of these, and frozen
    dataclasses of them; with fields of other kinds the experiment needs its own `encode` and
    `decode`. A whole number in a field of floats becomes a float: ``1`` and ``1.0`` are one config.

    Raises
    ------
    TypeError
        If the config is not of the experiment's `config_type`, or a field is of another kind.
    ValueError
        If a value is not of its field's type, or not finite. All problems are listed at once.
    """
    if not isinstance(config, experiment.config_type):
        raise TypeError(
            f"{experiment.name}: the config is a {type(config).__name__}; expected a"
            f" {experiment.config_type.__name__}"
        )
    if experiment.encode is not None:
        document = _plain(experiment.encode(config))
        require_json(document, f"config of {experiment.name}")
        return _as_object(document)
    read = config_from_json(experiment, _as_object(_plain(config)))
    if read != config:
        raise TypeError(
            f"{experiment.name}: {config!r} is {read!r} when read back from JSON; give the"
            " experiment an encode and a decode of its own"
        )
    return _as_object(_plain(read))


def config_from_json(experiment: Experiment[Config], document: Mapping[str, Any]) -> Config:
    """Return the config of a JSON document; fields with defaults may be left out.

    Raises
    ------
    ValueError
        If a key is unknown or missing, a value is not of its field's type, or the config type
        refuses it. All problems are listed at once.
    TypeError
        If a field is of a type that has no JSON: see `config_as_json`.
    """
    if experiment.decode is not None:
        return experiment.decode(document)
    return fields_from_json(f"config of {experiment.name}", experiment.config_type, document)


def fields_as_json(config: object) -> dict[str, JSON]:
    """Return any frozen dataclass of plain values as what JSON can hold.

    Raises
    ------
    TypeError
        If it is no dataclass.
    """
    return _as_object(_plain(config))


def fields_from_json(
    subject: str,
    config_type: type[Config],
    document: Mapping[str, Any],
    settings: Mapping[str, JSON] | None = None,
) -> Config:
    """Return a frozen dataclass of plain values from JSON, whatever experiment it belongs to.

    Parameters
    ----------
    subject
        What errors call it.
    config_type
        The dataclass; fields with defaults may be left out.
    document
        The fields.
    settings
        New values of some of them: see `set_fields`.

    Raises
    ------
    ValueError, TypeError
        As `config_from_json`, and if the name of a setting leads nowhere.
    """
    found: list[str] = []
    if settings:
        document = set_fields(document, settings, found)
    config = _read(found, "", config_type, document)
    problems = Problems(subject)
    for problem in found:
        problems.add(problem)
    problems.raise_if_any()
    return typing.cast(Config, config)


def changed(experiment: Experiment[Config], config: Config, settings: Mapping[str, JSON]) -> Config:
    """Return a config with some fields set anew: ``{"seed": 3, "tasks.prompt_length": 20}``.

    Parameters
    ----------
    experiment
        Whose config it is.
    config
        What to begin with.
    settings
        New values, as JSON has them, by field; see `set_fields`.

    Raises
    ------
    ValueError
        As `config_from_json`, and if a name leads nowhere. All problems are listed at once.
    """
    found: list[str] = []
    document = set_fields(config_as_json(experiment, config), settings, found)
    if not found:
        return config_from_json(experiment, document)
    try:
        config_from_json(experiment, document)
    except ValueError as error:
        found += _listed("", error)
    problems = Problems(f"config of {experiment.name}")
    for problem in found:
        problems.add(problem)
    problems.raise_if_any()
    return config


def set_fields(
    document: Mapping[str, JSON], settings: Mapping[str, JSON], problems: list[str]
) -> dict[str, JSON]:
    """Return a config as JSON with some fields set anew.

    Parameters
    ----------
    document
        The config; it is left as it is.
    settings
        Values by name. A dot leads into a nested field, a number into a list, counted from 0:
        ``tasks.prompt_length``, ``shifts.0`` or ``shifts[0]``. A field that is not there is added:
        whether the config has such a field is for `config_from_json` to say.
    problems
        Names that lead nowhere are noted here, and not set.
    """
    changed: dict[str, JSON] = deepcopy(dict(document))
    for name, value in settings.items():
        *outer, last = re.sub(r"\[([^\]]*)\]", r".\1", name).split(".")
        place: Any = changed
        try:
            for i, step in enumerate(outer):
                where = ".".join(outer[:i])
                if isinstance(place, dict):
                    place.setdefault(step, {})
                place = place[_step(place, step, where, name)]
            place[_step(place, last, ".".join(outer), name)] = value
        except ValueError as error:
            problems.append(str(error))
    return changed


def _step(place: Any, step: str, where: str, name: str) -> str | int:
    """Return what `step` is in an object or a list: a key or an index."""
    if isinstance(place, dict):
        return step
    if not isinstance(place, list):
        raise ValueError(
            f"{step!r} in {name!r} is no nested field: {where} is {place!r}; set {where} itself"
        )
    if not (step.isascii() and step.isdigit() and int(step) < len(place)):
        told = (
            f"an index from 0 to {len(place) - 1}" if place else "the whole list, since it is empty"
        )
        raise ValueError(
            f"{step!r} in {name!r} is no entry of the list {where}, which is {place!r};"
            f" expected {told}"
        )
    return int(step)


def setting(text: str) -> tuple[str, JSON]:
    """Return name and value of ``name=value``; what is no JSON is text.

    Raises
    ------
    ValueError
        If there is no name before a ``=``.
    """
    name, sign, value = text.partition("=")
    if not name.strip() or not sign:
        raise ValueError(f"the setting {text!r} is not of the form name=value, such as seed=3")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value.strip()


# To JSON


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields if field.init}
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


def _as_object(document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise TypeError(f"a config as JSON is {document!r}; expected an object")
    return document


# From JSON: every function returns the value that a hint asks for, or notes problems


def _read(problems: list[str], where: str, hint: Any, value: Any) -> Any:
    origin, members = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _read_union(problems, where, hint, value)
    if origin is tuple:
        return _read_tuple(problems, where, hint, value)
    if dataclasses.is_dataclass(hint):
        return _read_dataclass(problems, where, hint, value)
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in members):
            advice = _meant(value, members)
            problems.append(f"{where} is {value!r}; expected {_told(hint)}{advice}")
        return value
    if hint not in _WANTED:
        raise TypeError(
            f"the field {where} is of type {hint}, which has no JSON; give the experiment an encode"
            " and a decode of its own"
        )
    if hint is float and type(value) is int and abs(value) < 2**1023:
        return float(value)
    # By type, not by instance: True is no 1.
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        problems.append(f"{where} is {value!r}; expected {_told(hint)}")
    return value


def _read_union(problems: list[str], where: str, hint: Any, value: Any) -> Any:
    refused: dict[Any, list[str]] = {}
    for member in typing.get_args(hint):
        refused[member] = []
        read = _read(refused[member], where, member, value)
        if not refused[member]:
            return read
    meant = [member for member in refused if _is_meant(member, value)]
    if len(meant) == 1:
        problems += refused[meant[0]]
    else:
        problems.append(f"{where} is {value!r}; expected {_told(hint)}")
    return None


def _is_meant(member: Any, value: Any) -> bool:
    """Whether an object is one of this dataclass, which `kind`, if there is such a field, says."""
    if not dataclasses.is_dataclass(member) or not isinstance(value, Mapping):
        return False
    kinds = typing.get_args(typing.get_type_hints(member).get("kind"))
    return not kinds or value.get("kind", kinds[0]) in kinds


def _read_tuple(problems: list[str], where: str, hint: Any, value: Any) -> Any:
    members = typing.get_args(hint)
    repeats = len(members) == 2 and members[1] is Ellipsis
    if not isinstance(value, list | tuple) or (not repeats and len(value) != len(members)):
        problems.append(f"{where} is {value!r}; expected {_told(hint)}")
        return None
    kinds = members[:1] * len(value) if repeats else members
    return tuple(
        _read(problems, f"{where}[{i}]", kind, entry)
        for i, (kind, entry) in enumerate(zip(kinds, value, strict=True))
    )


def _read_dataclass(problems: list[str], where: str, kind: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        problems.append(f"{where or 'the config'} is {value!r}; expected {_told(kind)}")
        return None
    prefix = f"{where}." if where else ""
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    hints = typing.get_type_hints(kind)
    misspelt: set[str] = set()
    for name in [str(name) for name in value if name not in fields]:
        absent = [field for field in fields if field not in value]
        near = difflib.get_close_matches(name, absent, n=1) or difflib.get_close_matches(
            name, fields, n=1
        )
        misspelt |= set(near)
        advice = (
            f": did you mean {near[0]!r}?" if near else f"; expected some of {', '.join(fields)}"
        )
        problems.append(f"there is no field {prefix + name!r}{advice}")
    unusable: list[str] = []
    read = {n: _read(unusable, prefix + n, hints[n], value[n]) for n in fields if n in value}
    lacking = [name for name, field in fields.items() if name not in value and _is_needed(field)]
    unusable += [f"the field {prefix + n!r} is missing" for n in lacking if n not in misspelt]
    problems += unusable
    if unusable or lacking:
        return None
    try:
        return kind(**read)
    except ValueError as error:
        problems += _listed(where, error)
        return None


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def _listed(where: str, error: ValueError) -> list[str]:
    """Return the problems that an error of `Problems` lists; of another error, its text."""
    first, *rest = str(error).splitlines() or [repr(error)]
    listed = [line.removeprefix("  - ") for line in rest if line.startswith("  - ")]
    prefix = f"{where}: " if where else ""
    return [prefix + problem for problem in listed or [" ".join([first, *rest])]]


def _meant(value: Any, choices: Iterable[Any]) -> str:
    near = difflib.get_close_matches(str(value), map(str, choices), n=1)
    return f": did you mean {near[0]!r}?" if near else ""


def _told(hint: Any) -> str:
    """Return what a hint asks for, in words."""
    origin, members = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_told, members))
    if origin is Literal:
        return f"one of {', '.join(map(repr, members))}"
    if origin is tuple and len(members) == 2 and members[1] is Ellipsis:
        return f"a list, each entry {_told(members[0])}"
    if origin is tuple:
        return f"a list of {len(members)}: {', '.join(map(_told, members))}"
    if dataclasses.is_dataclass(hint):
        names = ", ".join(field.name for field in dataclasses.fields(hint) if field.init)
        return f"an object with the fields {names}"
    return _WANTED[hint]
