"""Tables of grouped examples, in CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from theory.grouped_examples import GroupedExamples
from theory.validation import Problems

__all__ = ["read_csv_columns", "read_grouped_csv"]


def read_csv_columns(path: Path | str) -> list[str]:
    """Return the names of the columns of a table, which `read_grouped_csv` may be asked for.

    Raises as that does if the file cannot be read.
    """
    rows = _rows(path)
    return rows[0][1] if rows else []


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
        The group and the label are none.
    intercept
        Whether a first covariate that is always 1 is added.

    Raises
    ------
    ValueError
        If a column is missing or has two roles, a cell is not a finite number, or a group has no
        name. All problems are listed at once, with their lines.
    OSError
        If the file cannot be read.
    """
    problems = Problems(str(path))
    if isinstance(covariates, str):
        raise ValueError(f"covariates is {covariates!r}; expected a list of names")
    rows = _rows(path)
    header = rows[0][1] if rows else []
    names = [c for c in header if c not in (group, label)] if covariates is None else covariates
    _check_columns(header, [group, label, *names], problems)
    if len(rows) < 2:
        problems.add(f"there are {max(len(rows) - 1, 0)} rows below the header; expected some")
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


def _rows(path: Path | str) -> list[tuple[int, list[str]]]:
    """Return the cells of each line that is not empty, with its number; the first is the header."""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            return [(reader.line_num, [c.strip() for c in cells]) for cells in reader if cells]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not CSV in UTF-8: {error}") from error


def _check_columns(header: Sequence[str], wanted: Sequence[str], problems: Problems) -> None:
    """Note what is wrong with the columns that are wanted: group, label, covariates."""
    there = f"the columns are {', '.join(header) or 'none'}"
    if len(wanted) < 3:
        problems.add(f"{there}; expected at least one covariate beside group and label")
    for name in dict.fromkeys(wanted):
        if header.count(name) != 1:
            near = get_close_matches(name, header, n=1) if name not in header else []
            advice = f": did you mean {near[0]!r}?" if near else ""
            problems.add(f"{there}; expected exactly one that is called {name!r}{advice}")
        if wanted.count(name) > 1:
            problems.add(
                f"column {name!r} is asked for {wanted.count(name)} times; expected different"
                " columns for the group, the label and each covariate"
            )


def _number(cell: str, line: int, column: str, problems: Problems) -> float:
    try:
        number = float(cell)
    except ValueError:
        problems.add(f"line {line}, column {column} is {cell!r}; expected a number")
        return 0.0
    return problems.number(f"line {line}, column {column}", number, float("-inf"), strict=False)
