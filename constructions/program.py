"""Programs as data: registers, column sets, and the operators that fill them line by line."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from constructions.operators import Columns, Operator, Rows

Cell = tuple[int, int]


class ColumnKind(Enum):
    """What a column of H^(0) = [x_1, y_1, ..., x_k, y_k, x_{k+1}] holds."""

    COVARIATE = "x"
    LABEL = "y"
    QUERY = "query"


def column_kind(column: int, num_examples: int) -> ColumnKind:
    """Return the kind of a column (from 1) of a prompt with k examples, 2k + 1 columns."""
    if column == 2 * num_examples + 1:
        return ColumnKind.QUERY
    return ColumnKind.COVARIATE if column % 2 else ColumnKind.LABEL


@dataclass(frozen=True)
class ColumnSet:
    """A set of columns as a predicate over their kind, for prompts of any length.

    Source: pathak2023, Appendix B.2: I_odd(k) = {2j - 1 : j in [k + 1]}, I_even(k) = {2j : j in
    [k]}, and {2k + 1}.
    """

    kinds: frozenset[ColumnKind]

    def __contains__(self, kind: ColumnKind) -> bool:
        """Whether columns of this kind belong to the set."""
        return kind in self.kinds

    def __or__(self, other: "ColumnSet") -> "ColumnSet":
        """Return the union."""
        return ColumnSet(self.kinds | other.kinds)

    def of(self, num_examples: int) -> Columns:
        """Return the columns (from 1) of a prompt with k examples."""
        every = range(1, 2 * num_examples + 2)
        return frozenset(i for i in every if column_kind(i, num_examples) in self)


I_ODD = ColumnSet(frozenset({ColumnKind.COVARIATE, ColumnKind.QUERY}))
I_EVEN = ColumnSet(frozenset({ColumnKind.LABEL}))
QUERY = ColumnSet(frozenset({ColumnKind.QUERY}))


@dataclass(frozen=True)
class Register:
    """A named block of rows with the range that its values stay in.

    Parameters
    ----------
    name
        What a trace or a figure calls it.
    first, dim
        The first row (from 1) and the number of rows.
    low, high
        Bounds of every value that the rows ever hold, in any column.
    """

    name: str
    first: int
    dim: int
    low: float
    high: float

    @property
    def last(self) -> int:
        """The last row."""
        return self.first + self.dim - 1

    @property
    def rows(self) -> Rows:
        """The rows as an argument of an operator."""
        return Rows.interval(self.name, self.first, self.last)

    @property
    def bound(self) -> float:
        """The largest magnitude that a value can have."""
        return max(abs(self.low), abs(self.high))


def stack_registers(
    ranges: Iterable[tuple[str, int, float, float]], first: int = 1
) -> tuple[Register, ...]:
    """Return registers one below the other, from (name, dim, low, high) and the first row."""
    registers: list[Register] = []
    for name, dim, low, high in ranges:
        registers.append(Register(name, first, dim, low, high))
        first += dim
    return tuple(registers)


class ProgramError(ValueError):
    """A program is not well formed; the message lists every reason."""

    def __init__(self, name: str, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(f"program {name!r}: " + "; ".join(problems))


@dataclass(frozen=True, eq=False)
class Program:
    """Operators applied one after the other to a (p, q) matrix, with names for its rows.

    Parameters
    ----------
    name
        What reports call it.
    registers
        Blocks of rows that cover 1..p without gap or overlap, in this order.
    num_columns
        q.
    operations
        The lines, in order.
    inputs
        Names of the registers that the caller fills; all other entries of H^(0) are 0.
    """

    name: str
    registers: tuple[Register, ...]
    num_columns: int
    operations: tuple[Operator, ...]
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what is not well formed.

        Raises
        ------
        ProgramError
            With all problems of registers and operators at once.
        """
        if problems := list(self._problems()):
            raise ProgramError(self.name, problems)

    @property
    def num_rows(self) -> int:
        """The number of rows p."""
        return self.registers[-1].last

    def register(self, name: str) -> Register:
        """Return the register of this name; KeyError lists the names there are."""
        for register in self.registers:
            if register.name == name:
                return register
        raise KeyError(f"no register {name!r}; there are {[r.name for r in self.registers]}")

    def register_of(self, row: int) -> Register:
        """Return the register that holds a row (from 1)."""
        return next(r for r in self.registers if r.first <= row <= r.last)

    @cached_property
    def overwrites(self) -> tuple[bool, ...]:
        """For each line, whether it writes a cell that an input or an earlier line has filled.

        A program in single-assignment form has no such line.
        """
        written = self._first_written
        return tuple(bool(self._written(op) - written[i]) for i, op in enumerate(self.operations))

    @cached_property
    def fresh_cells(self) -> npt.NDArray[np.bool_]:
        """The cells (p, q) that a line fills for the first time: they must be 0 in H^(0)."""
        fresh = np.zeros((self.num_rows, self.num_columns), dtype=bool)
        for row, column in set().union(*self._first_written):
            fresh[row - 1, column - 1] = True
        return fresh

    @cached_property
    def _first_written(self) -> tuple[set[Cell], ...]:
        """For each line, the cells that neither an input nor an earlier line has filled."""
        filled = {
            (row, column)
            for name in self.inputs
            for row in self.register(name).rows.indices
            for column in range(1, self.num_columns + 1)
        }
        found = []
        for operation in self.operations:
            found.append(self._written(operation) - filled)
            filled |= found[-1]
        return tuple(found)

    def _written(self, operation: Operator) -> set[Cell]:
        columns = operation.target_columns(self.num_columns)
        return {(row, column) for row in operation.target().indices for column in columns}

    def _problems(self) -> Iterator[str]:
        if not self.registers:
            yield "it has no registers"
            return
        free = 1
        for register in self.registers:
            if register.first != free or register.dim < 1:
                yield (
                    f"register {register.name!r} covers rows {register.first}..{register.last}; "
                    f"expected at least one row, from row {free} on"
                )
            if not register.low <= register.high:
                yield f"register {register.name!r} has the range {register.low}..{register.high}"
            free = register.last + 1
        names = [register.name for register in self.registers]
        unknown = sorted(set(self.inputs) - set(names))
        if unknown or len(set(names)) < len(names):
            yield f"inputs {unknown} are not registers, or names repeat: {names}"
        for line, operation in enumerate(self.operations, start=1):
            for problem in operation.problems(free - 1, self.num_columns):
                yield f"line {line}, {operation}: {problem}"
