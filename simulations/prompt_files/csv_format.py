"""Prompts and components as tables, in CSV."""

import csv
import io
from itertools import groupby
from pathlib import Path
from reprlib import repr as brief
from typing import NamedTuple

import numpy as np

from simulations.prompt_files.checks import check_number, refuse
from simulations.prompt_files.contents import (
    Components,
    NamedPrompt,
    PromptFile,
    group_by_length,
    name_by_number,
)
from theory.prompts import PromptBatch
from theory.validation import Problems


class _Row(NamedTuple):
    line: int
    cells: list[str]


def read_prompts(path: Path, problems: Problems) -> PromptFile:
    """Read a table ``prompt,x1,...,xd,y``, a row for each pair and for each query."""
    header, rows = _table(path, problems)
    dim = max(len(header.cells) - 2, 1)
    expected = ["prompt", *(f"x{i}" for i in range(1, dim + 1)), "y"]
    _check_header(header, expected, "prompt,x1,...,xd,y", problems)
    prompts: dict[str, NamedPrompt] = {}
    for name, run in groupby(rows, key=lambda row: row.cells[0]):
        block = list(run)
        if not name:
            problems.add(f"line {block[0].line}, column prompt: empty; expected a name")
        elif name in prompts:
            problems.add(
                f"line {block[0].line}, column prompt: {name!r} starts again; expected the rows "
                "of a prompt one after another, and another name for another prompt"
            )
        xs = [_numbers(row, header, slice(1, -1), problems) for row in block]
        prompts[name] = NamedPrompt(name, xs, _labels(block, header, problems))
    problems.raise_if_any()
    return group_by_length(list(prompts.values()))


def encode_prompts(prompts: PromptBatch) -> bytes:
    """Return the table that `read_prompts` reads back exactly."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["prompt", *(f"x{i}" for i in range(1, prompts.dim + 1)), "y"])
    for name, xs, ys in name_by_number(prompts):
        writer.writerows([name, *x, y] for x, y in zip(xs, [*ys, ""], strict=True))
    return buffer.getvalue().encode()


def read_components(path: Path, problems: Problems) -> Components:
    """Read a table ``w1,...,wd`` or ``w1,...,wd,weight``, a row for each component."""
    header, rows = _table(path, problems)
    weighted = header.cells[-1] == "weight"
    dim = max(len(header.cells) - weighted, 1)
    expected = [*(f"w{i}" for i in range(1, dim + 1)), *["weight"] * weighted]
    _check_header(header, expected, "w1,...,wd or w1,...,wd,weight", problems)
    values = np.array([_numbers(row, header, slice(None), problems) for row in rows])
    problems.raise_if_any()
    return Components(values[:, :dim], values[:, -1] if weighted else None)


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
        refuse(f"{len(rows)} lines; expected a header and at least one row below it", problems)
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
        refuse(f"line {header.line}: the columns are {given}; expected {form}", problems)


def _numbers(row: _Row, header: _Row, columns: slice, problems: Problems) -> list[float]:
    return [
        check_number(cell, f"line {row.line}, column {name}", problems)
        for name, cell in zip(header.cells[columns], row.cells[columns], strict=True)
    ]


def _labels(block: list[_Row], header: _Row, problems: Problems) -> list[float]:
    """Read the labels of one prompt: all its rows have one, but the last, its query."""
    *examples, query = block
    labels = []
    for row in examples:
        if row.cells[-1]:
            labels += _numbers(row, header, slice(-1, None), problems)
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
