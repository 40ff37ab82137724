"""The Read-Arithmetic-Write operator of Definition 1."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from constructions.matrices import Matrix
from constructions.operators.base import Columns, Operator, Rows

NO_COLUMNS: Columns = frozenset()


@dataclass(frozen=True, eq=False)
class Raw(Operator):
    """RAW(H; I, J, K, T_I, T_J, T_K, pi): read, combine, write, in every column i.

    H'_{K, i} = T_K ( T_J H_{J, i} (*) ( T_I / max(|pi(i)|, 1) ) sum_{i' in pi(i)} H_{I, i'} ),
    with (*) the entrywise sum ("+") or product ("*"); all other rows stay. Note that it writes
    rows K of *every* column: where pi(i) is empty, the aggregate is 0.
    Source: pathak2023, Definition 1, displays (8a) and (8b).

    Parameters
    ----------
    kind
        "+" or "*".
    read_rows, own_rows, write_rows
        I, J, K: rows from 1. I and J may be empty; the empty read gives the zero vector.
    read_map, own_map, write_map
        T_I (r, |I|), T_J (r, |J|), T_K (|K|, r); for an empty I or J give shape (r, 0).
    attended
        pi: column -> columns before it; a column that is missing attends to none.
    """

    name: ClassVar[str] = "RAW"
    kind: Literal["+", "*"]
    read_rows: tuple[int, ...]
    own_rows: tuple[int, ...]
    write_rows: tuple[int, ...]
    read_map: Any
    own_map: Any
    write_map: Any
    attended: Mapping[int, Columns]

    def sources(self) -> tuple[Rows, ...]:
        """Rows I and J, where they are not empty."""
        read, own = Rows("read", self.read_rows), Rows("own", self.own_rows)
        return tuple(rows for rows in (read, own) if rows.indices)

    def target(self) -> Rows:
        """Rows K."""
        return Rows("written", self.write_rows)

    def target_columns(self, num_columns: int) -> Columns:
        """Every column."""
        return frozenset(range(1, num_columns + 1))

    def problems(self, num_rows: int, num_columns: int) -> list[str]:
        """Return every reason why the operator is not defined on (p, q) matrices."""
        found = super().problems(num_rows, num_columns)
        if self.kind not in ("+", "*"):
            found.append(f"kind is {self.kind!r}, expected '+' or '*'")
        r = np.shape(self.write_map)[-1] if np.ndim(self.write_map) == 2 else -1
        for label, matrix, shape in (
            ("T_I", self.read_map, (r, len(self.read_rows))),
            ("T_J", self.own_map, (r, len(self.own_rows))),
            ("T_K", self.write_map, (len(self.write_rows), r)),
        ):
            if np.shape(matrix) != shape:
                found.append(f"{label} has shape {np.shape(matrix)}, expected {shape}")
        if len(set(self.write_rows)) < len(self.write_rows):
            found.append(f"written rows {list(self.write_rows)} repeat")
        beyond = sorted(i for i in self.attended if not 1 <= i <= num_columns)
        if beyond:
            found.append(f"pi is given for columns {beyond}, which are not within 1..{num_columns}")
        for i, columns in sorted(self.attended.items()):
            bad = sorted(j for j in columns if not 1 <= j < i)
            if bad:
                found.append(f"pi({i}) holds {bad}, which are not before column {i}: not causal")
        return found

    def values(self, H: Matrix) -> Matrix:
        """T_K applied to the combination, for every column."""
        columns = range(1, H.shape[1] + 1)
        read = np.asarray(self.read_map) @ np.stack([self._mean(H, i) for i in columns], axis=1)
        own = np.asarray(self.own_map) @ Rows("own", self.own_rows).of(H, columns)
        combined = own + read if self.kind == "+" else own * read
        written: Matrix = np.asarray(self.write_map) @ combined
        return written

    def _mean(self, H: Matrix, i: int) -> Matrix:
        columns = self.attended.get(i, NO_COLUMNS)
        sums: Matrix = Rows("read", self.read_rows).of(H, columns).sum(axis=1)
        return sums / max(len(columns), 1)
