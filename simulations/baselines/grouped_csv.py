"""Tables of grouped examples, in CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from theory.grouped_examples import GroupedExamples
from theory.validation import Problems

__all__ = ["read_grouped_csv"]


def read_grouped_csv(
    path: Path | str,
    *,
    group: str = "group",
    label: str = "y",
    covariates: Sequence[str] | None = None,
    intercept: bool = False,
) -> GroupedExamples:
    """Read a table with a header, a row for each example, in any order.

    Parameters
    ----------
    path
        A CSV file in UTF-8.
    group, label
        The columns of the groups' names, which are read as text, and of the labels.
    covariates
        Those of the covariates, in the order that components will have; by default all others.
    intercept
        Whether a first covariate that is always 1 is added.

    Raises
    ------
    ValueError
        If a column is missing, a cell is not a finite number, or a group has no name. All problems
        are listed at once, with their lines.
    OSError
        If the file cannot be read.
    """
    problems = Problems(str(path))
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [c.strip() for c in cells]) for cells in reader if cells]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not CSV in UTF-8: {error}") from error
    header = rows[0][1] if rows else []
    names = [c for c in header if c not in (group, label)] if covariates is None else covariates
    missing = [name for name in (group, label, *names) if name not in header]
    if missing or len(rows) < 2 or not names or len(set(header)) < len(header):
        problems.add(
            f"the columns are {', '.join(header) or 'none'}, with {max(len(rows) - 1, 0)} rows;"
            f" expected different columns, {group} and {label}, and covariates"
            f"{''.join(f' {name}' for name in missing if name not in (group, label))} among them,"
            " and rows below"
        )
        problems.raise_if_any()
    columns = [header.index(name) for name in (*names, label)]
    groups: list[str] = []
    numbers: list[list[float]] = []
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            problems.add(f"line {line} has {len(cells)} cells; expected {len(header)}")
            continue
        groups.append(cells[header.index(group)])
        if not groups[-1]:
            problems.add(f"line {line}, column {group} is empty; expected a name")
        numbers.append([_number(cells[c], line, header[c], problems) for c in columns])
    problems.raise_if_any()
    xs = [[1.0] * intercept + row[:-1] for row in numbers]
    return GroupedExamples(xs, [row[-1] for row in numbers], groups)


def _number(cell: str, line: int, column: str, problems: Problems) -> float:
    try:
        number = float(cell)
    except ValueError:
        problems.add(f"line {line}, column {column} is {cell!r}; expected a number")
        return 0.0
    return problems.number(f"line {line}, column {column}", number, float("-inf"), strict=False)
