"""What every operator of Appendix B shares: arguments as data, validation, application.

Every operator raises `OperatorError` when it is applied to a matrix that it is not defined on.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Concatenate, ParamSpec

import numpy as np

from constructions.matrices import Matrix, as_matrix

Columns = frozenset[int]


class OperatorError(ValueError):
    """An operator cannot be applied; the message lists every reason."""

    def __init__(self, operator: "Operator", problems: list[str]) -> None:
        self.problems = problems
        super().__init__(f"{operator}: " + "; ".join(problems))


@dataclass(frozen=True)
class Rows:
    """Rows of a matrix, counted from 1, under the name that they have as an argument."""

    label: str
    indices: tuple[int, ...]

    @classmethod
    def interval(cls, label: str, first: int, last: int) -> "Rows":
        """Rows ``first..last``, inclusive; none if last < first."""
        return cls(label, tuple(range(first, last + 1)))

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self.indices)

    def problems(self, num_rows: int) -> Iterator[str]:
        """Yield what is wrong with these rows in a matrix of ``num_rows`` rows."""
        if not self.indices:
            yield f"the {self.label} rows are an empty interval (last before first)"
        outside = [row for row in self.indices if not 1 <= row <= num_rows]
        if outside:
            yield f"{self.label} rows {outside} are not within 1..{num_rows}"

    def of(self, H: Matrix, columns: Iterable[int]) -> Matrix:
        """Entries (these rows, the given columns in increasing order) of H."""
        chosen: Matrix = H[np.ix_(np.array(self.indices, dtype=int) - 1, _zero_based(columns))]
        return chosen


def _zero_based(columns: Iterable[int]) -> Matrix:
    return np.array(sorted(columns), dtype=int) - 1


@dataclass(frozen=True)
class Operator(ABC):
    """An operator of Appendix B with its arguments: a map of (p, q) matrices."""

    name: ClassVar[str]

    @abstractmethod
    def sources(self) -> tuple[Rows, ...]:
        """The row blocks that are read."""

    @abstractmethod
    def target(self) -> Rows:
        """The rows that are written."""

    @abstractmethod
    def target_columns(self, num_columns: int) -> Columns:
        """The columns that are written, of a matrix with ``num_columns`` columns."""

    @abstractmethod
    def values(self, H: Matrix) -> Matrix:
        """The new entries (target rows, target columns in increasing order) of a valid H."""

    def problems(self, num_rows: int, num_columns: int) -> list[str]:
        """Return every reason why the operator is not defined on (p, q) matrices."""
        found = [p for rows in (*self.sources(), self.target()) for p in rows.problems(num_rows)]
        outside = sorted(c for c in self.target_columns(num_columns) if not 1 <= c <= num_columns)
        if outside:
            found.append(f"columns {outside} are not within 1..{num_columns}")
        return found

    def __call__(self, H: object) -> Matrix:
        """Apply the operator to H (p, q) and return H' (p, q); H is left alone.

        Raises
        ------
        OperatorError
            If rows, columns, shapes or causality do not fit; all reasons at once.
        """
        matrix = as_matrix(H)
        if problems := self.problems(*matrix.shape):
            raise OperatorError(self, problems)
        columns = self.target_columns(matrix.shape[1])
        if not columns:
            return matrix
        new = self.values(matrix)
        result = matrix.astype(np.result_type(matrix, new))
        rows = np.array(self.target().indices) - 1
        result[np.ix_(rows, _zero_based(columns))] = new
        return result

    def __str__(self) -> str:
        """Print as the paper does: ``copy_down(H; 1, 4, 3, {1, 3})``."""
        return f"{self.name}(H; {', '.join(_show(getattr(self, f.name)) for f in fields(self))})"


def _show(value: Any) -> str:
    if isinstance(value, frozenset):
        return "{" + ", ".join(map(str, sorted(value))) + "}"
    if np.ndim(value) > 0:
        return "array of shape " + str(np.shape(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


P = ParamSpec("P")


def on_matrix(operator: Callable[P, Operator]) -> Callable[Concatenate[object, P], Matrix]:
    """Turn an operator class into the paper's notation, with the matrix as first argument."""

    def apply(H: object, /, *args: P.args, **kwargs: P.kwargs) -> Matrix:
        return operator(*args, **kwargs)(H)

    apply.__doc__ = operator.__doc__
    return apply
