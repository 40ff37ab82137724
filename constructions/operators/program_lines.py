"""The six operators of Appendix B.1, of which the program of Appendix B.2 is made."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from constructions.matrices import Matrix, softmax
from constructions.operators.base import Columns, Operator, Rows


class BlockToBlock(Operator):
    """Operators that take rows ``first..last`` to as many rows from ``target_row`` on."""

    first: int
    last: int
    target_row: int

    def sources(self) -> tuple[Rows, ...]:
        """The rows read."""
        return (Rows.interval("source", self.first, self.last),)

    def target(self) -> Rows:
        """The rows written."""
        return Rows.interval("target", self.target_row, self.target_row + self.last - self.first)


@dataclass(frozen=True)
class WithinColumns(BlockToBlock):
    """Operators that copy rows ``first..last`` to ``target_row``.. in given columns."""

    first: int
    target_row: int
    last: int
    columns: Columns

    def target_columns(self, num_columns: int) -> Columns:
        return self.columns

    def values(self, H: Matrix) -> Matrix:
        return self.sources()[0].of(H, self.columns)


@dataclass(frozen=True)
class CopyDown(WithinColumns):
    """copy_down(H; k, k', l, I): H'_{k':l', i} = H_{k:l, i} for i in I, l' = k' + l - k.

    Source: pathak2023, Appendix B.1. The paper asks for k' >= k ("down") and l >= k. It also
    prints "k' <= q"; what makes the operator well-defined is l' <= p, and that is checked.

    Parameters
    ----------
    first, target_row, last
        k, k' and l: rows ``first..last`` are copied to ``target_row`` and below.
    columns
        I, the columns in which this happens.
    """

    name: ClassVar[str] = "copy_down"

    def problems(self, num_rows: int, num_columns: int) -> list[str]:
        """Return every reason why the operator is not defined on (p, q) matrices."""
        found = super().problems(num_rows, num_columns)
        if self.target_row < self.first:
            found.append(f"target row {self.target_row} lies above source row {self.first}")
        return found


@dataclass(frozen=True)
class CopyOver(WithinColumns):
    """copy_over(H; k, k', l, I): H'_{k':l', i} = H_{k:l, i-1} for i in I.

    Source: pathak2023, Appendix B.1. Column 1 has no column to its left and must not be in I.
    Parameters as for `CopyDown`.
    """

    name: ClassVar[str] = "copy_over"

    def problems(self, num_rows: int, num_columns: int) -> list[str]:
        """Return every reason why the operator is not defined on (p, q) matrices."""
        found = super().problems(num_rows, num_columns)
        if 1 in self.columns:
            found.append("column 1 has no previous column to copy from")
        return found

    def values(self, H: Matrix) -> Matrix:
        """The entries one column to the left."""
        return self.sources()[0].of(H, (i - 1 for i in self.columns))


@dataclass(frozen=True)
class Mul(Operator):
    """mul(H; k, k', k'', l, I): H'_{k''+t, i} = H_{k+t, i} H_{k'+t, i}, 0 <= t <= l - k, i in I.

    Source: pathak2023, Appendix B.1.

    Parameters
    ----------
    left, right, target_row, last
        k, k', k'' and l: rows ``left..last`` times as many rows from ``right`` on.
    columns
        I.
    """

    name: ClassVar[str] = "mul"
    left: int
    right: int
    target_row: int
    last: int
    columns: Columns

    def sources(self) -> tuple[Rows, ...]:
        """The two factors."""
        reach = self.last - self.left
        return (
            Rows.interval("left factor", self.left, self.last),
            Rows.interval("right factor", self.right, self.right + reach),
        )

    def target(self) -> Rows:
        """The product."""
        return Rows.interval("target", self.target_row, self.target_row + self.last - self.left)

    def target_columns(self, num_columns: int) -> Columns:
        """I."""
        return self.columns

    def values(self, H: Matrix) -> Matrix:
        """Entrywise products."""
        left, right = (rows.of(H, self.columns) for rows in self.sources())
        product: Matrix = left * right
        return product


@dataclass(frozen=True, eq=False)
class Aff(Operator):
    """aff(H; k, k', k'', l, l', l'', W, W', b, I): affine maps within columns.

    H'_{k'':l'', i} = W H_{k:l, i} + W' H_{k':l', i} + b for i in I.
    Source: pathak2023, Appendix B.1. The paper gives W the shape d'' x d with l = k + d, which is
    one short of the l - k + 1 rows of an inclusive interval; shapes here fit the intervals.

    Parameters
    ----------
    first, second, target_row, last, second_last, target_last
        k, k', k'', l, l', l'' in the paper's order.
    weight, second_weight
        W (target rows, first rows) and W' (target rows, second rows); a scalar 0 is the zero map.
    bias
        b (target rows,), or one scalar for all rows.
    columns
        I.
    """

    name: ClassVar[str] = "aff"
    first: int
    second: int
    target_row: int
    last: int
    second_last: int
    target_last: int
    weight: Any
    second_weight: Any
    bias: Any
    columns: Columns

    def sources(self) -> tuple[Rows, ...]:
        """The two inputs."""
        return (
            Rows.interval("first", self.first, self.last),
            Rows.interval("second", self.second, self.second_last),
        )

    def target(self) -> Rows:
        """The output."""
        return Rows.interval("target", self.target_row, self.target_last)

    def target_columns(self, num_columns: int) -> Columns:
        """I."""
        return self.columns

    def problems(self, num_rows: int, num_columns: int) -> list[str]:
        """Return every reason why the operator is not defined on (p, q) matrices."""
        found = super().problems(num_rows, num_columns)
        rows = self.target().size
        for label, weight, block in zip(
            ("W", "W'"), (self.weight, self.second_weight), self.sources(), strict=True
        ):
            shape = np.shape(weight)
            if shape != (rows, block.size) and not _is_zero_scalar(weight):
                found.append(
                    f"{label} has shape {shape}, but maps {block.size} {block.label} rows to "
                    f"{rows} target rows: expected ({rows}, {block.size})"
                )
        if np.shape(self.bias) not in ((), (rows,)):
            found.append(f"b has shape {np.shape(self.bias)}, expected ({rows},) or a scalar")
        return found

    def matrices(self) -> tuple[Matrix, Matrix, Matrix]:
        """W, W' and b as full arrays (scalars filled in)."""
        rows = self.target().size
        weights = [
            np.zeros((rows, block.size)) if _is_zero_scalar(weight) else np.asarray(weight)
            for weight, block in zip((self.weight, self.second_weight), self.sources(), strict=True)
        ]
        return weights[0], weights[1], np.broadcast_to(np.asarray(self.bias), (rows,))

    def values(self, H: Matrix) -> Matrix:
        """W H_{k:l} + W' H_{k':l'} + b."""
        weight, second_weight, bias = self.matrices()
        first, second = (rows.of(H, self.columns) for rows in self.sources())
        image: Matrix = weight @ first + second_weight @ second + bias[:, None]
        return image


def _is_zero_scalar(value: Any) -> bool:
    return np.shape(value) == () and bool(np.asarray(value) == 0)


@dataclass(frozen=True)
class ScaledAgg(BlockToBlock):
    """scaled_agg(H; a, k, l, k', i, I): H'_{k'+t, i} = a sum_{j in I} H_{k+t, j}, I in [i - 1].

    Source: pathak2023, Appendix B.1. An empty I gives the empty sum, 0.

    Parameters
    ----------
    scale
        a (the paper's alpha).
    first, last, target_row
        k, l and k'.
    column
        i, the one column written.
    columns
        I, the columns summed over; all before ``column``.
    """

    name: ClassVar[str] = "scaled_agg"
    scale: Any
    first: int
    last: int
    target_row: int
    column: int
    columns: Columns

    def target_columns(self, num_columns: int) -> Columns:
        """{i}."""
        return frozenset({self.column})

    def problems(self, num_rows: int, num_columns: int) -> list[str]:
        """Return every reason why the operator is not defined on (p, q) matrices."""
        found = super().problems(num_rows, num_columns)
        bad = sorted(j for j in self.columns if not 1 <= j < self.column)
        if bad:
            found.append(
                f"summed columns {bad} are not all before column {self.column}: not causal"
            )
        return found

    def values(self, H: Matrix) -> Matrix:
        """The scaled sums, as one column."""
        sums: Matrix = self.scale * self.sources()[0].of(H, self.columns).sum(axis=1)
        return sums[:, None]


@dataclass(frozen=True)
class InLastColumn(Operator):
    """Operators of the final column q."""

    def target_columns(self, num_columns: int) -> Columns:
        return frozenset({num_columns})


@dataclass(frozen=True)
class Soft(InLastColumn, BlockToBlock):
    """soft(H; k, l, k'): H'_{k'+t, q} = e^{H_{k+t, q}} / sum_t' e^{H_{k+t', q}}.

    Source: pathak2023, Appendix B.1. Computed with the maximum subtracted.

    Parameters
    ----------
    first, last, target_row
        k, l and k'.
    """

    name: ClassVar[str] = "soft"
    first: int
    last: int
    target_row: int

    def values(self, H: Matrix) -> Matrix:
        """The softmax of the logits, as one column."""
        return softmax(self.sources()[0].of(H, self.target_columns(H.shape[1]))[:, 0])[:, None]
