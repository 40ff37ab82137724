"""Prompts and components as JSON."""

import json
import math
from pathlib import Path
from reprlib import repr as brief
from typing import Any, TypeVar

import numpy as np

from simulations.prompt_files.checks import (
    check_keys,
    check_number,
    check_weight_count,
    refuse,
)
from simulations.prompt_files.contents import (
    Components,
    NamedPrompt,
    PromptFile,
    group_by_length,
    name_by_number,
)
from theory.prompts import PromptBatch
from theory.validation import Problems

_T = TypeVar("_T")
_KINDS: dict[type, str] = {list: "a list", dict: "an object", str: "text"}


def read_prompts(path: Path, problems: Problems) -> PromptFile:
    """Read a list of objects with ``examples``, ``query`` and, if there, ``name``."""
    records = _typed(_load(path), list, "the file", problems)
    points: dict[str, list[float]] = {}
    prompts = [_prompt(record, i, points, problems) for i, record in enumerate(records)]
    firsts: dict[str, int] = {}
    for i, prompt in enumerate(prompts):
        if (first := firsts.setdefault(prompt.name, i)) != i:
            problems.add(f"[{i}].name: {prompt.name!r} is the name of [{first}]; expected another")
    problems.raise_if_any()
    if not prompts:
        refuse("the file holds no prompts; expected at least one", problems)
    _check_lengths(points, problems)
    return group_by_length(prompts)


def encode_prompts(prompts: PromptBatch) -> bytes:
    """Return the list, a line for each prompt, that `read_prompts` reads back exactly."""
    lines = []
    for name, xs, ys in name_by_number(prompts):
        examples = [{"x": x, "y": y} for x, y in zip(xs[:-1], ys, strict=True)]
        lines.append(json.dumps({"name": name, "examples": examples, "query": xs[-1]}))
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def read_components(path: Path, problems: Problems) -> Components:
    """Read an object with ``components`` and, if there, ``weights``."""
    record = _object(_load(path), "the file", {"components"}, {"weights"}, problems)
    rows = _typed(record.get("components", []), list, "components", problems)
    places = [f"components[{i}]" for i in range(len(rows))]
    points = {place: _vector(row, place, problems) for place, row in zip(places, rows, strict=True)}
    weights = None
    if "weights" in record:
        weights = np.array(_vector(record["weights"], "weights", problems))
        check_weight_count(len(weights), len(rows), problems)
    problems.raise_if_any()
    if not points:
        refuse("components is empty; expected at least one", problems)
    _check_lengths(points, problems)
    return Components(np.array(list(points.values())), weights)


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON in UTF-8: {error}") from error


def _prompt(
    value: Any, position: int, points: dict[str, list[float]], problems: Problems
) -> NamedPrompt:
    """Read one prompt, and note every point of it in `points`, by its place in the file."""
    place = f"[{position}]"
    record = _object(value, place, {"examples", "query"}, {"name"}, problems)
    name = _typed(record.get("name", str(position + 1)), str, f"{place}.name", problems)
    xs, ys = [], []
    examples = _typed(record.get("examples", []), list, f"{place}.examples", problems)
    for index, example in enumerate(examples):
        where = f"{place}.examples[{index}]"
        pair = _object(example, where, {"x", "y"}, set(), problems)
        points[f"{where}.x"] = _vector(pair.get("x", []), f"{where}.x", problems)
        xs.append(points[f"{where}.x"])
        ys.append(_number(pair.get("y", 0.0), f"{where}.y", problems))
    points[f"{place}.query"] = _vector(record.get("query", []), f"{place}.query", problems)
    return NamedPrompt(name, [*xs, points[f"{place}.query"]], ys)


def _check_lengths(points: dict[str, list[float]], problems: Problems) -> None:
    (first, point), *others = points.items()
    if not point:
        refuse(f"{first} is empty; expected at least one number", problems)
    for place, other in others:
        if len(other) != len(point):
            problems.add(f"{place} has length {len(other)}; expected {len(point)}, as {first}")
    problems.raise_if_any()


def _typed(value: Any, kind: type[_T], place: str, problems: Problems) -> _T:
    """Return `value` if it is of the kind, else note the problem and return an empty one."""
    if isinstance(value, kind):
        return value
    problems.add(f"{place} is {brief(value)}; expected {_KINDS[kind]}")
    return kind()


def _object(
    value: Any, place: str, required: set[str], optional: set[str], problems: Problems
) -> dict[str, Any]:
    record: dict[str, Any] = _typed(value, dict, place, problems)
    if record is value:
        check_keys(record, place, required, optional, problems)
    return record


def _vector(value: Any, place: str, problems: Problems) -> list[float]:
    entries = _typed(value, list, place, problems)
    return [_number(entry, f"{place}[{i}]", problems) for i, entry in enumerate(entries)]


def _number(value: Any, place: str, problems: Problems) -> float:
    if type(value) in (int, float):  # but not a bool, nor a text that looks like a number
        return check_number(value, place, problems)
    problems.add(f"{place} is {brief(value)}; expected a finite number")
    return math.nan
