"""Sweeps: a file that names an experiment and a grid becomes a list of configs.

A sweep file is TOML or JSON::

    experiment = "pathak2023-figure-7"
    preset = "laptop"        # optional: the configs to begin with
    label = "m=5"            # optional: only this one of the preset's

    [base]                   # optional: fields that are the same for all
    seed = 3

    [grid]                   # every combination, the last key varies fastest
    noise_std = [0.5, 1.0]
    num_components = [2, 5]

Fields of nested configs are reached by dots (``tasks.prompt_length = [20, 40]``), entries of lists
by their number (``shifts.0 = [0.33, 0.5]``). A file may hold several sweeps instead, as tables
``[[sweep]]`` with these keys.
"""

from __future__ import annotations

import difflib
import itertools
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast, get_args

from simulations.experiments.catalogue import find_experiment
from simulations.experiments.config_files import config_as_json, config_from_json, set_fields
from simulations.experiments.experiment import Experiment, Preset
from simulations.stored_folder import JSON

__all__ = ["MOST_POINTS", "SweepPoint", "read_sweep"]

#: A grid with more points is taken for a mistake.
MOST_POINTS = 100_000

#: What to begin with, as JSON; the fields to set; what was varied.
_Candidate: TypeAlias = tuple[dict[str, JSON], dict[str, JSON], dict[str, JSON]]

_KEYS = ("experiment", "preset", "label", "base", "grid")


@dataclass(frozen=True)
class SweepPoint:
    """One point of a sweep.

    Attributes
    ----------
    experiment, config
        What to compute.
    varied
        The point's values of the keys of the grid.
    """

    experiment: Experiment[Any]
    config: Any
    varied: Mapping[str, JSON]


def read_sweep(path: Path) -> list[SweepPoint]:
    """Read a sweep file: every point of its grids, in order.

    Raises
    ------
    ValueError
        If the file is neither TOML nor JSON, an experiment, preset, label or key is unknown, a list
        of the grid is empty or repeats a value, two points are the same config, or a config refuses
        a value. All problems are listed at once, each with its place in the file.
    OSError
        If the file cannot be read.
    """
    document = _document(path)
    problems: list[str] = []
    tables = {"": document}
    if "sweep" in document:
        tables = _tables(document, problems)
    points: list[SweepPoint] = []
    for where, table in tables.items():
        found: list[str] = []
        points += _points(table, found)
        problems += [where + problem for problem in found]
    _note_repeated(points, problems)
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise ValueError(f"{path}: invalid sweep:{listed}")
    return points


# The file


def _document(path: Path) -> dict[str, Any]:
    if path.suffix not in {".toml", ".json"}:
        raise ValueError(f"{path}: a sweep file is .toml or .json")
    kind = path.suffix[1:].upper()
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if kind == "JSON" else tomllib.loads(text)
    except ValueError as error:  # of either parser, or of a text that is not UTF-8
        raise ValueError(f"{path}: this is no {kind}: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path}: holds a {type(document).__name__}; expected an object")
    return document


def _tables(document: dict[str, Any], problems: list[str]) -> dict[str, dict[str, Any]]:
    for key in document:
        if key != "sweep":
            problems.append(f"{key} stands beside [[sweep]]; expected it inside of each")
    listed = document["sweep"]
    if not isinstance(listed, list) or not listed:
        problems.append("sweep is no list of tables; write each one as [[sweep]]")
        return {}
    tables = {f"sweep[{i}]: ": table for i, table in enumerate(listed)}
    for where, table in tables.items():
        if not isinstance(table, dict):
            problems.append(f"{where}expected a table, got {table!r}")
    return {where: table for where, table in tables.items() if isinstance(table, dict)}


# One sweep


def _points(table: dict[str, Any], problems: list[str]) -> list[SweepPoint]:
    """Return the points of a sweep; what is wrong is noted, and its points left out."""
    for key in table:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"expected {', '.join(_KEYS)}"
            problems.append(f"there is no key {key!r}: {advice}")
    experiment = _experiment(table, problems)
    starts = _starts(table, experiment, problems) if experiment else {}
    base = _flat(_table(table, "base", problems))
    grid = _flat(_table(table, "grid", problems))
    for key in sorted(base.keys() & grid.keys()):
        problems.append(f"{key} is in [base] and in [grid]; expected it in one of them")
    usable = {key: _values(key, values, problems) for key, values in grid.items()}
    if experiment is None:
        return []
    number = len(starts) * math.prod(len(values) for values in usable.values())
    if number > MOST_POINTS:
        problems.append(f"the grid has {number:,} points; expected at most {MOST_POINTS:,}")
        usable = {key: values[:1] for key, values in usable.items()}
    if not starts or not all(usable.values()):
        problems += _refused_anyhow(experiment, starts, base, usable)
        return []
    return _decoded(experiment, _candidates(starts, base, usable), problems)


def _candidates(
    starts: Mapping[str, dict[str, JSON]], base: dict[str, JSON], grid: Mapping[str, list[JSON]]
) -> list[_Candidate]:
    """Return every combination of a start and values of the grid."""
    candidates = []
    for label, start in starts.items():
        told: dict[str, JSON] = {"label": label} if len(starts) > 1 else {}
        for values in itertools.product(*grid.values()):
            point = dict(zip(grid, values, strict=True))
            candidates.append((start, base | point, told | point))
    return candidates


def _refused_anyhow(
    experiment: Experiment[Any],
    starts: Mapping[str, dict[str, JSON]],
    base: dict[str, JSON],
    grid: Mapping[str, list[JSON]],
) -> list[str]:
    """Return what is wrong with fields though the preset is unknown, or a list has no values.

    Without a known preset that is what is wrong with each of the experiment's presets. A key
    without values is tried with null, which tells whether there is such a field.
    """
    if not starts:
        presets = [configs for configs in experiment.presets.values() if configs]
        firsts = [config_as_json(experiment, next(iter(configs.values()))) for configs in presets]
        starts = {str(i): first for i, first in enumerate(firsts)} or {"": {}}
    told: list[list[str]] = []
    for start in starts.values():
        # A field that the start has needs no value, and null might hide what else is wrong.
        tried = {
            key: values or [None] for key, values in grid.items() if values or key not in start
        }
        found: list[str] = []
        _decoded(experiment, _candidates({"": start}, base, tried), found)
        absent = tuple(f"{key} is None;" for key, values in grid.items() if not values)
        told.append([line for line in found if not line.startswith(absent)])
    return [line for line in told[0] if all(line in other for other in told)]


def _experiment(table: dict[str, Any], problems: list[str]) -> Experiment[Any] | None:
    name = table.get("experiment")
    if not isinstance(name, str):
        problems.append(f"experiment is {name!r}; expected its name, as text")
        return None
    try:
        return find_experiment(name)
    except ValueError as error:
        problems.append(str(error))
        return None


def _starts(
    table: dict[str, Any], experiment: Experiment[Any], problems: list[str]
) -> dict[str, dict[str, JSON]]:
    """Return the configs to begin with, as JSON by label: the preset's, or one without fields."""
    preset, label = table.get("preset"), table.get("label")
    if preset is None:
        if label is not None:
            problems.append(f"label is {label!r} without a preset; name the preset, too")
        return {"": {}}
    configs = experiment.presets.get(cast(Preset, preset)) if _is_preset(preset) else None
    if not configs:
        known = ", ".join(experiment.presets) or "none: give all fields in [base]"
        problems.append(f"preset is {preset!r}; {experiment.name} has {known}")
        return {}
    if label is not None and label not in configs:
        problems.append(
            f"label is {label!r}; the preset {preset} of {experiment.name} has {', '.join(configs)}"
        )
        return {}
    return {
        name: config_as_json(experiment, config)
        for name, config in configs.items()
        if label in {None, name}
    }


def _is_preset(value: object) -> bool:
    return value in get_args(Preset)


def _table(table: dict[str, Any], key: str, problems: list[str]) -> dict[str, Any]:
    part = table.get(key, {})
    if not isinstance(part, dict):
        problems.append(f"{key} is {part!r}; expected a table")
        return {}
    if key in table and not part:
        problems.append(f"[{key}] is empty; leave it out, or give it keys")
    return part


def _values(key: str, values: Any, problems: list[str]) -> list[JSON]:
    """Return the values of a key of the grid, each once; what is wrong with the list is noted."""
    if not isinstance(values, list):
        problems.append(
            f"[grid] {key} is {values!r}; expected a list of values (one value for all goes to"
            " [base])"
        )
        return [values]
    if not values:
        problems.append(f"[grid] {key} is an empty list; expected one value or more")
    by_text: dict[str, list[JSON]] = {}
    for value in values:
        by_text.setdefault(json.dumps(value, sort_keys=True, default=str), []).append(value)
    for text, same in by_text.items():
        if len(same) > 1:
            problems.append(f"[grid] {key} has the value {text} {len(same)} times")
    return [same[0] for same in by_text.values()]


# From a grid to configs


def _decoded(
    experiment: Experiment[Any], candidates: list[_Candidate], problems: list[str]
) -> list[SweepPoint]:
    points, refused = [], dict[str, list[str]]()
    for start, settings, varied in candidates:
        lines: list[str] = []
        document = set_fields(start, settings, lines)
        try:
            config = config_from_json(experiment, document)
        except ValueError as error:
            lines += _lines(error)
        else:
            points += [] if lines else [SweepPoint(experiment, config, varied)]
        for line in lines:
            refused.setdefault(line, []).append(_told(varied))
    for line, at in refused.items():
        # What every point has wrong is wrong in the base, or in the name of a key.
        few = ", ".join(at[:3]) + (f" and {len(at) - 3} more" if len(at) > 3 else "")
        problems.append(line + (f" (at {few})" if len(at) < len(candidates) else ""))
    return points


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one, with dotted keys: TOML reads ``a.b = 1`` as nested."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _lines(error: ValueError) -> list[str]:
    """Return the problems that an error lists, or its one."""
    _, *rest = str(error).splitlines() or [""]
    return [line.strip().removeprefix("- ") for line in rest] or [str(error)]


def _told(varied: Mapping[str, JSON]) -> str:
    return " ".join(f"{key}={json.dumps(value, default=str)}" for key, value in varied.items())


def _note_repeated(points: list[SweepPoint], problems: list[str]) -> None:
    seen: dict[str, SweepPoint] = {}
    for point in points:
        config = config_as_json(point.experiment, point.config)
        text = json.dumps([point.experiment.name, config], sort_keys=True)
        first = seen.setdefault(text, point)
        if first is not point:
            problems.append(
                f"{point.experiment.name} has one config twice: at {_told(first.varied) or 'base'}"
                f" and at {_told(point.varied) or 'base'}"
            )
