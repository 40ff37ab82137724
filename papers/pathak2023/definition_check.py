"""How a definition of an operator is judged: it must be defined where it says so.

A definition is a condition on its arguments and a formula for the entries that it changes. It is
well-defined if, wherever the condition holds, every entry that the formula reads or writes exists;
and it should hold wherever that is so. All reads are of H, all writes go to H', so that blocks may
overlap. The library's operators are judged along with it: they must refuse what the condition
excludes, and agree with the formula elsewhere. Small arguments are tried exhaustively.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from constructions.operators import Columns, Operator, OperatorError
from papers.ledger import Correction, Evidence, Grade, Statement, statement

#: Reads H_{row, column}, both from 1.
Read = Callable[[int, int], float]

#: Values by (row, column), both from 1.
Entries = dict[tuple[int, int], float]


@dataclass(frozen=True)
class Case:
    """An operator on (p, q) matrices.

    Parameters
    ----------
    p, q
        The shape.
    rows
        The row arguments, in the paper's order.
    columns
        I.
    column
        The i of scaled_agg.
    """

    p: int
    q: int
    rows: tuple[int, ...]
    columns: Columns = frozenset()
    column: int = 1

    def fits(self, *rows: int) -> bool:
        """Whether these rows exist."""
        return all(1 <= row <= self.p for row in rows)

    def __str__(self) -> str:
        """Print the shape."""
        return f"p = {self.p}, q = {self.q}"


@dataclass(frozen=True)
class Definition:
    """The condition on the arguments, and the entries of H' that may differ from H."""

    allowed: Callable[[Case], bool]
    entries: Callable[[Case, Read], Entries]


class _NoEntryError(IndexError):
    """A definition reads what is not there."""


def matrix_of(p: int, q: int) -> list[list[float]]:
    """Return a matrix (p, q) of distinct numbers, one of them 0."""
    return [[float((3 * row + 7 * column) % 11 - 3) for column in range(q)] for row in range(p)]


def judge(
    make: Callable[[Case], Operator], cases: Sequence[Case], claim: Definition, tolerance: float
) -> str:
    """Return the first case in which the definition fails, by size; empty if there is none."""
    for case in cases:
        H, operator = matrix_of(case.p, case.q), make(case)
        try:
            found = operator(H)
        except (OperatorError, ZeroDivisionError) as error:
            if claim.allowed(case):
                reasons = str(error).removeprefix(f"{operator}: ")
                why = _wrong_entry(claim, case, H, None, tolerance) or reasons
                return f"{case}: {operator} is allowed, and not defined: {why}"
            continue
        if not claim.allowed(case):
            return f"{case}: {operator} is excluded, and is defined"
        if wrong := _wrong_entry(claim, case, H, found, tolerance):
            return f"{case}, {operator}: {wrong}"
    return ""


def _wrong_entry(
    claim: Definition, case: Case, H: list[list[float]], found: Any, tolerance: float
) -> str:
    """What is wrong with the entries that are read, written, and found (None: nowhere)."""

    def read(row: int, column: int) -> float:
        if not (case.fits(row) and 1 <= column <= case.q):
            raise _NoEntryError(f"H_({row}, {column}) is read, and does not exist")
        return H[row - 1][column - 1]

    try:
        changed = claim.entries(case, read)
    except _NoEntryError as error:
        return str(error)
    if outside := [e for e in changed if not (case.fits(e[0]) and 1 <= e[1] <= case.q)]:
        return f"H'_{outside[0]} is written, and does not exist"
    if found is None:
        return ""
    for row, column in np.ndindex(case.p, case.q):
        told = changed.get((row + 1, column + 1), H[row][column])
        if abs(found[row, column] - told) > tolerance:
            return (
                f"H'_({row + 1}, {column + 1}) is {found[row, column] + 0.0:g}, not {told + 0.0:g},"
                f" for H = ({'; '.join(', '.join(f'{x:g}' for x in numbers) for numbers in H)})"
            )
    return ""


def define(
    name: str,
    source: str,
    latex: str,
    make: Callable[[Case], Operator],
    cases: Sequence[Case],
    *,
    printed: Definition,
    mutants: dict[str, Definition],
    correction: Correction[Definition] | None = None,
    tolerance: float = 0.0,
) -> Statement[Definition]:
    """Return the statement that an operator's definition is well-defined and the library's.

    Parameters
    ----------
    name
        The operator, as the paper writes it.
    source, latex, printed, mutants, correction
        As in `papers.ledger.statement`.
    make
        The library's operator for a case.
    cases
        Arguments, smallest first.
    tolerance
        Of an entry.
    """

    def check(claim: Definition, rng: np.random.Generator) -> Evidence:
        wrong = judge(make, cases, claim, tolerance)
        return Evidence(
            not wrong,
            Grade.CONFIRMED if tolerance else Grade.PROVED,
            "where the definition is defined, and its entries, against constructions.operators",
            f"all {len(cases)} arguments for matrices up to {cases[-1].p} x {cases[-1].q}",
            counterexample=wrong,
        )

    return statement(
        id=f"pathak2023/definition-{name.replace('_', '-')}",
        title=f"The definition of {name}",
        source=source,
        latex=latex,
        printed=printed,
        mutants=mutants,
        correction=correction,
    )(check)


def shapes(largest: int) -> list[tuple[int, int]]:
    """Return shapes (p, q), smallest first."""
    sizes = range(1, largest + 1)
    return sorted(product(sizes, sizes), key=lambda shape: (sum(shape), shape))


def cases_of(largest: int, num_rows: int) -> list[Case]:
    """Return all row arguments up to p + 1, with I = {1}, {q} and [q]."""

    def every() -> Iterator[Case]:
        for p, q in shapes(largest):
            for rows in product(range(1, p + 2), repeat=num_rows):
                for last in dict.fromkeys(((1,), (q,), tuple(range(1, q + 1)))):
                    yield Case(p, q, rows, frozenset(last))

    return list(every())
