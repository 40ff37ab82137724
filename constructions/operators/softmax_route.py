"""The operators div, mov and sigmoid, out of which Lemma 2 builds the softmax."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from constructions.matrices import Matrix, logistic
from constructions.operators.base import Columns, Operator, Rows
from constructions.operators.program_lines import InLastColumn, WithinColumns


@dataclass(frozen=True)
class Mov(WithinColumns):
    """mov(H; k, k', l, I): H'_{k'+t, i} = H_{k+t, i} for i in I, in either direction.

    Source: pathak2023, Appendix B.3.1. Parameters as for `CopyDown`.
    """

    name: ClassVar[str] = "mov"


@dataclass(frozen=True)
class Sigmoid(InLastColumn):
    """sigmoid(H; k, k'): H'_{k', q} = 1 / (1 + e^{-H_{k, q}}).

    Source: pathak2023, Appendix B.3.1.
    """

    name: ClassVar[str] = "sigmoid"
    source_row: int
    target_row: int

    def sources(self) -> tuple[Rows, ...]:
        """Row k."""
        return (Rows.interval("source", self.source_row, self.source_row),)

    def target(self) -> Rows:
        """Row k'."""
        return Rows.interval("target", self.target_row, self.target_row)

    def values(self, H: Matrix) -> Matrix:
        """The logistic function of one entry."""
        return np.array([[logistic(H[self.source_row - 1, -1])]])


@dataclass(frozen=True)
class Div(Operator):
    """div(H; j, k, k', l, I): H'_{k'+t, i} = H_{k+t, i} / H_{j, i} for i in I.

    Source: pathak2023, Appendix B.3.1. (The operator of the same name in Akyurek et al. divides
    by the absolute value.)

    Raises
    ------
    ZeroDivisionError
        On application, if a divisor is zero; the column is named.
    """

    name: ClassVar[str] = "div"
    divisor: int
    first: int
    target_row: int
    last: int
    columns: Columns

    def sources(self) -> tuple[Rows, ...]:
        """The numerators and the divisor."""
        return (
            Rows.interval("numerator", self.first, self.last),
            Rows.interval("divisor", self.divisor, self.divisor),
        )

    def target(self) -> Rows:
        """The quotients."""
        return Rows.interval("target", self.target_row, self.target_row + self.last - self.first)

    def target_columns(self, num_columns: int) -> Columns:
        """I."""
        return self.columns

    def values(self, H: Matrix) -> Matrix:
        """Entrywise quotients."""
        numerators, divisors = (rows.of(H, self.columns) for rows in self.sources())
        for column, divisor in zip(sorted(self.columns), divisors[0], strict=True):
            if divisor == 0:
                raise ZeroDivisionError(f"{self}: the divisor in column {column} is zero")
        quotients: Matrix = numerators / divisors
        return quotients
