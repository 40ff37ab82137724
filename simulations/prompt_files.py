"""The users' own prompts and components, read from files; the suffix tells the format.

Prompts, of one dimension d and of any lengths k >= 0 (``.npz``: of one length):

``.npz``
    arrays ``xs``, shape (batch, k+1, d), and ``ys``, shape (batch, k).
``.csv``
    a row for each pair (x_i, y_i), in order; the last row of a prompt is its query, without y::

        prompt,x1,x2,y
        a,0.5,-1.0,2.5
        a,1.0,0.0,-0.5
        a,2.0,1.5,
        b,0.1,0.2,
``.json``
    a list of prompts; names are optional::

        [{"name": "a", "examples": [{"x": [0.5, -1.0], "y": 2.5}], "query": [2.0, 1.5]},
         {"examples": [], "query": [0.1, 0.2]}]

Components w_1, ..., w_m, with weights or without:

``.npz``
    arrays ``components``, shape (m, d), and optionally ``weights``, shape (m,).
``.csv``
    a row for each component; the column ``weight`` is optional::

        w1,w2,weight
        1.0,0.5,0.25
        -1.0,2.0,0.75
``.json``
    ``{"components": [[1.0, 0.5], [-1.0, 2.0]], "weights": [0.25, 0.75]}``

A prompt without a name is called by its number in the file, from ``"1"``. Text is UTF-8. A file
that does not hold exactly this is refused, in one error that tells every problem and its place.
"""

import csv
import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from reprlib import repr as brief
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int

from theory.prompts import PromptBatch
from theory.validation import Problems

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class PromptGroup:
    """The prompts of one length in a file.

    Attributes
    ----------
    positions
        The places of the prompts in the file, from 0, shape (batch,), integers.
    prompts
        The prompts themselves, in the order of the file.
    """

    positions: Int[np.ndarray, " batch"]
    prompts: PromptBatch


@dataclass(frozen=True, eq=False)
class PromptFile:
    """The prompts of a file, grouped by their length k.

    Attributes
    ----------
    names
        The names of all prompts, in the order of the file.
    groups
        One group for each length, the shortest first; every prompt is in one group.
    """

    names: tuple[str, ...]
    groups: tuple[PromptGroup, ...]

    def assemble(self, answers: Sequence[Float[np.ndarray, " _"]]) -> Float[np.ndarray, " n"]:
        """Put the answers to all groups back into the order of the file.

        Parameters
        ----------
        answers
            For each group, in the order of `groups`, one number for each prompt.

        Raises
        ------
        ValueError
            If the answers do not fit the groups.
        """
        given = [answer.shape for answer in answers]
        expected = [group.positions.shape for group in self.groups]
        if given != expected:
            raise ValueError(
                f"assemble: the answers have the shapes {given}; expected {expected}: one array "
                "for each group, one number for each prompt"
            )
        whole = np.empty(len(self.names))
        for group, answer in zip(self.groups, answers, strict=True):
            whole[group.positions] = answer
        return whole


@dataclass(frozen=True, eq=False)
class Components:
    """The components of a mixture, as read: whether the weights sum to 1 is for the mixture to say.

    Attributes
    ----------
    components
        The w_1, ..., w_m as rows, shape (m, d), float64.
    weights
        The weight of each component, shape (m,), float64, or None if the file has none.
    """

    components: Float[np.ndarray, "m d"]
    weights: Float[np.ndarray, " m"] | None


def read_prompts(path: Path) -> PromptFile:
    """Read prompts from an ``.npz``, ``.csv`` or ``.json`` file (see the module).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the suffix is unknown, or the file does not hold prompts as described.
    """
    readers = {".npz": _prompts_from_npz, ".csv": _prompts_from_csv, ".json": _prompts_from_json}
    return _read(path, readers)


def read_components(path: Path) -> Components:
    """Read components from an ``.npz``, ``.csv`` or ``.json`` file (see the module).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the suffix is unknown, or the file does not hold components as described.
    """
    readers = {
        ".npz": _components_from_npz,
        ".csv": _components_from_csv,
        ".json": _components_from_json,
    }
    return _read(path, readers)


def write_prompts(path: Path, prompts: PromptBatch) -> None:
    """Write prompts to an ``.npz``, ``.csv`` or ``.json`` file that reads back exactly.

    Raises
    ------
    ValueError
        If the suffix is unknown.
    """
    writers = {".npz": _prompts_to_npz, ".csv": _prompts_to_csv, ".json": _prompts_to_json}
    _by_suffix(path, writers)(path, prompts)


def _by_suffix(path: Path, choices: Mapping[str, _T]) -> _T:
    try:
        return choices[path.suffix.lower()]
    except KeyError:
        raise ValueError(
            f"{path} has the suffix {path.suffix!r}; expected one of {', '.join(choices)}"
        ) from None


def _read(path: Path, readers: Mapping[str, Callable[[Path, Problems], _T]]) -> _T:
    reader = _by_suffix(path, readers)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: check the path")
    return reader(path, Problems(str(path)))


def _refuse(problems: Problems, problem: str) -> None:
    """Raise at once, for a problem that leaves nothing else to look at."""
    problems.add(problem)
    problems.raise_if_any()


class _Prompt(NamedTuple):
    name: str
    xs: list[list[float]]
    ys: list[float]


def _grouped(prompts: Sequence[_Prompt]) -> PromptFile:
    lengths = np.array([len(prompt.ys) for prompt in prompts])
    groups = []
    for length in np.unique(lengths):
        positions = np.flatnonzero(lengths == length)
        members = [prompts[position] for position in positions.tolist()]
        batch = PromptBatch([prompt.xs for prompt in members], [prompt.ys for prompt in members])
        groups.append(PromptGroup(positions, batch))
    return PromptFile(tuple(prompt.name for prompt in prompts), tuple(groups))


def _components(rows: Sequence[Sequence[float]], weights: Sequence[float] | None) -> Components:
    return Components(np.array(rows), None if weights is None else np.array(weights))


def _default_names(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(1, count + 1))


def _number(value: float, given: object, place: str, problems: Problems) -> float:
    if not math.isfinite(value):
        problems.add(f"{place} is {brief(given)}; expected a finite number")
    return value


# .npz


def _arrays(
    path: Path, required: set[str], optional: set[str], problems: Problems
) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:  # np.load takes other formats, and damaged headers
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"{damaged} does not match its checksum")
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as .npz: {error}; write it anew") from error
    _check_keys(arrays, "the archive", required, optional, problems)
    problems.raise_if_any()
    return arrays


def _prompts_from_npz(path: Path, problems: Problems) -> PromptFile:
    arrays = _arrays(path, {"xs", "ys"}, set(), problems)
    try:
        prompts = PromptBatch(arrays["xs"], arrays["ys"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    group = PromptGroup(np.arange(prompts.batch_size), prompts)
    return PromptFile(_default_names(prompts.batch_size), (group,))


def _prompts_to_npz(path: Path, prompts: PromptBatch) -> None:
    with path.open("wb") as file:
        np.savez(file, xs=prompts.xs, ys=prompts.ys)


def _components_from_npz(path: Path, problems: Problems) -> Components:
    arrays = _arrays(path, {"components"}, {"weights"}, problems)
    rows = problems.array("components", arrays["components"], ("m", "d"))
    if rows is not None and rows.size == 0:
        problems.add(f"components has shape {rows.shape}; expected m >= 1 and d >= 1")
    weights = problems.array("weights", arrays["weights"], ("m",)) if "weights" in arrays else None
    if rows is not None and weights is not None:
        _check_count(len(weights), len(rows), problems)
    problems.raise_if_any()
    return Components(np.asarray(rows), weights)


def _check_count(weights: int, components: int, problems: Problems) -> None:
    if weights != components:
        problems.add(f"weights: {weights} for {components} components; expected one for each")


# .csv


class _Row(NamedTuple):
    line: int
    cells: list[str]


def _table(path: Path, problems: Problems) -> tuple[_Row, list[_Row]]:
    """Return the header and the rows below it, each as wide as the header; skip blank lines."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [_Row(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not CSV in UTF-8: {error}") from error
    rows = [row for row in rows if row.cells]
    if len(rows) < 2:
        _refuse(problems, f"{len(rows)} lines; expected a header and at least one row below it")
    header, *body = rows
    for line, cells in body:
        if len(cells) != len(header.cells):
            columns = f"{len(header.cells)}: {','.join(header.cells)}"
            problems.add(f"line {line}: {len(cells)} cells; expected {columns}")
    problems.raise_if_any()
    return header, body


def _check_header(header: _Row, expected: list[str], form: str, problems: Problems) -> None:
    if header.cells != expected:
        given = ",".join(header.cells)
        _refuse(problems, f"line {header.line}: the columns are {given}; expected {form}")


def _cells(row: _Row, header: _Row, columns: slice, problems: Problems) -> list[float]:
    return [
        _number(_parsed(cell), cell, f"line {row.line}, column {name}", problems)
        for name, cell in zip(header.cells[columns], row.cells[columns], strict=True)
    ]


def _parsed(given: str | int | float) -> float:
    try:
        return float(given)
    except (ValueError, OverflowError):
        return math.nan


def _prompts_from_csv(path: Path, problems: Problems) -> PromptFile:
    header, rows = _table(path, problems)
    dim = max(len(header.cells) - 2, 1)
    expected = ["prompt", *(f"x{i}" for i in range(1, dim + 1)), "y"]
    _check_header(header, expected, "prompt,x1,...,xd,y", problems)
    prompts: dict[str, _Prompt] = {}
    for name, run in groupby(rows, key=lambda row: row.cells[0]):
        block = list(run)
        if not name:
            problems.add(f"line {block[0].line}, column prompt: empty; expected a name")
        elif name in prompts:
            problems.add(
                f"line {block[0].line}, column prompt: {name!r} starts again; expected the rows "
                "of a prompt one after another, and another name for another prompt"
            )
        xs = [_cells(row, header, slice(1, -1), problems) for row in block]
        prompts[name] = _Prompt(name, xs, _labels(block, header, problems))
    problems.raise_if_any()
    return _grouped(list(prompts.values()))


def _labels(block: list[_Row], header: _Row, problems: Problems) -> list[float]:
    """Read the labels of one prompt: all its rows have one, but the last, its query."""
    *examples, query = block
    labels = []
    for row in examples:
        if row.cells[-1]:
            labels += _cells(row, header, slice(-1, None), problems)
        else:
            problems.add(
                f"line {row.line}, column y: empty, but prompt {row.cells[0]!r} goes on; expected "
                "a label: only the last row of a prompt, its query, has none"
            )
    if query.cells[-1]:
        problems.add(
            f"line {query.line}, column y: {brief(query.cells[-1])} in the last row of prompt "
            f"{query.cells[0]!r}; expected an empty cell, for the last row is the query"
        )
    return labels


def _prompts_to_csv(path: Path, prompts: PromptBatch) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["prompt", *(f"x{i}" for i in range(1, prompts.dim + 1)), "y"])
        for name, xs, ys in _rows(prompts):
            writer.writerows([name, *x, y] for x, y in zip(xs, [*ys, ""], strict=True))


def _rows(prompts: PromptBatch) -> list[_Prompt]:
    names = _default_names(prompts.batch_size)
    values = zip(names, prompts.xs.tolist(), prompts.ys.tolist(), strict=True)
    return [_Prompt(*value) for value in values]


def _components_from_csv(path: Path, problems: Problems) -> Components:
    header, rows = _table(path, problems)
    weighted = header.cells[-1] == "weight"
    dim = max(len(header.cells) - weighted, 1)
    expected = [*(f"w{i}" for i in range(1, dim + 1)), *["weight"] * weighted]
    _check_header(header, expected, "w1,...,wd or w1,...,wd,weight", problems)
    values = [_cells(row, header, slice(None), problems) for row in rows]
    problems.raise_if_any()
    weights = [row[-1] for row in values] if weighted else None
    return _components([row[:dim] for row in values], weights)


# .json


def _loaded(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON in UTF-8: {error}") from error


def _check_keys(
    found: Iterable[str], place: str, required: set[str], optional: set[str], problems: Problems
) -> None:
    if missing := required - set(found):
        problems.add(f"{place} lacks {', '.join(sorted(missing))}")
    if unknown := set(found) - required - optional:
        known = ", ".join(sorted(required | optional))
        problems.add(f"{place} has the unknown {', '.join(sorted(unknown))}; expected {known}")


def _typed(value: Any, kind: type[_T], place: str, problems: Problems) -> _T:
    """Return `value` if it is of the kind, else note the problem and return an empty one."""
    if isinstance(value, kind):
        return value
    expected = {"list": "a list", "dict": "an object", "str": "text"}[kind.__name__]
    problems.add(f"{place} is {brief(value)}; expected {expected}")
    return kind()


def _object(
    value: Any, place: str, required: set[str], optional: set[str], problems: Problems
) -> dict[str, Any]:
    record: dict[str, Any] = _typed(value, dict, place, problems)
    if record is value:
        _check_keys(record, place, required, optional, problems)
    return record


def _json_number(value: Any, place: str, problems: Problems) -> float:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return _number(_parsed(value) if plain else math.nan, value, place, problems)


def _vector(value: Any, place: str, problems: Problems) -> list[float]:
    entries = _typed(value, list, place, problems)
    return [_json_number(entry, f"{place}[{i}]", problems) for i, entry in enumerate(entries)]


def _check_lengths(places: list[str], vectors: list[list[float]], problems: Problems) -> None:
    dim = len(vectors[0])
    if dim == 0:
        _refuse(problems, f"{places[0]} is empty; expected at least one number")
    for place, vector in zip(places, vectors, strict=True):
        if len(vector) != dim:
            problems.add(f"{place} has length {len(vector)}; expected {dim}, as {places[0]}")
    problems.raise_if_any()


def _prompts_from_json(path: Path, problems: Problems) -> PromptFile:
    records = _typed(_loaded(path), list, "the file", problems)
    prompts = [_prompt_from_json(record, i, problems) for i, record in enumerate(records)]
    firsts: dict[str, int] = {}
    for i, prompt in enumerate(prompts):
        if (first := firsts.setdefault(prompt.name, i)) != i:
            problems.add(f"[{i}].name: {prompt.name!r} is the name of [{first}]; expected another")
    problems.raise_if_any()
    if not prompts:
        _refuse(problems, "the file holds no prompts; expected at least one")
    places = [place for i, prompt in enumerate(prompts) for place in _places(i, prompt)]
    _check_lengths(places, [x for prompt in prompts for x in prompt.xs], problems)
    return _grouped(prompts)


def _prompt_from_json(value: Any, position: int, problems: Problems) -> _Prompt:
    place = f"[{position}]"
    record = _object(value, place, {"examples", "query"}, {"name"}, problems)
    name = _typed(record.get("name", str(position + 1)), str, f"{place}.name", problems)
    xs, ys = [], []
    examples = _typed(record.get("examples", []), list, f"{place}.examples", problems)
    for index, example in enumerate(examples):
        where = f"{place}.examples[{index}]"
        pair = _object(example, where, {"x", "y"}, set(), problems)
        xs.append(_vector(pair.get("x", []), f"{where}.x", problems))
        ys.append(_json_number(pair.get("y", 0.0), f"{where}.y", problems))
    query = _vector(record.get("query", []), f"{place}.query", problems)
    return _Prompt(name, [*xs, query], ys)


def _places(position: int, prompt: _Prompt) -> list[str]:
    examples = [f"[{position}].examples[{i}].x" for i in range(len(prompt.ys))]
    return [*examples, f"[{position}].query"]


def _prompts_to_json(path: Path, prompts: PromptBatch) -> None:
    records = []
    for name, xs, ys in _rows(prompts):
        examples = [{"x": x, "y": y} for x, y in zip(xs[:-1], ys, strict=True)]
        records.append(json.dumps({"name": name, "examples": examples, "query": xs[-1]}))
    path.write_text("[\n" + ",\n".join(records) + "\n]\n", encoding="utf-8")


def _components_from_json(path: Path, problems: Problems) -> Components:
    record = _object(_loaded(path), "the file", {"components"}, {"weights"}, problems)
    rows = _typed(record.get("components", []), list, "components", problems)
    vectors = [_vector(row, f"components[{i}]", problems) for i, row in enumerate(rows)]
    weights = _vector(record["weights"], "weights", problems) if "weights" in record else None
    if weights is not None:
        _check_count(len(weights), len(rows), problems)
    problems.raise_if_any()
    if not vectors:
        _refuse(problems, "components is empty; expected at least one")
    _check_lengths([f"components[{i}]" for i in range(len(rows))], vectors, problems)
    return _components(vectors, weights)
