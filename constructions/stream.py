"""The residual stream of a compiled program: the paper's rows and columns, and what is added.

Extra columns stand before the prompt: a *sink* that heads attend to when they have nothing to
fetch, and *basis* columns that carry the unit vectors e_1, e_2, ... for softmax heads. Extra rows
hold constants (one, positions, indicators of column sets, +L and -L for LayerNorm) and scratch
space. Rows are stored in units, powers of two. What the program computes is stored *quietly*, far
below the constants, and one row balances the constants so that they sum to 0: LayerNorm's mean is
then so small that closing a gate, which reads a constant row relative to the zero row, leaves the
value it lets through untouched.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from constructions.gadgets import division_gain, layer_norm_bypass, quiet_unit
from constructions.operators import Columns, Div, Sigmoid, Soft
from constructions.program import Program


@dataclass(frozen=True)
class StreamRow:
    """A row: its label, the unit it is stored in, and its constant values (or None)."""

    label: str
    unit: float
    constant: Float[np.ndarray, " columns"] | None


class ResidualStream:
    """Rows and columns of the stream; constants and scratch rows are added while planning.

    Parameters
    ----------
    rows
        What is computed, from row 0 on: pairs (label, largest magnitude).
    prompt_columns
        How many columns the prompt takes; they come last.
    epsilon, tiny
        Machine epsilon and smallest normal number of the network's float type; they decide the
        sizes L and N, and which ranges can be scaled.
    num_basis
        How many basis columns there are.
    prefix
        Whether sink and basis stand in constant columns before the prompt; otherwise they share
        the first columns of the prompt.
    divides
        Whether a division is planned.
    gated
        Whether gates are planned: computed rows are then stored quietly.

    Raises
    ------
    ValueError
        If a row has no finite range, or one that the float type cannot scale.
    """

    def __init__(
        self,
        rows: Iterable[tuple[str, float]],
        prompt_columns: int,
        epsilon: float,
        tiny: float,
        *,
        num_basis: int = 0,
        prefix: bool = True,
        divides: bool = False,
        gated: bool = True,
    ) -> None:
        computed = list(rows)
        _check_scalable(computed, epsilon / tiny)
        self.epsilon = epsilon
        self.num_basis = num_basis
        self.before = 1 + num_basis if prefix else 0
        self.num_columns = self.before + prompt_columns
        self.bypass = layer_norm_bypass(epsilon, divides=divides)
        self.division_gain = division_gain(epsilon)
        self._quiet = quiet_unit(epsilon, self.bypass) if gated else 1.0
        self.rows: list[StreamRow] = [
            StreamRow(label, self._unit_for(bound), None) for label, bound in computed
        ]
        self._index: dict[str, int] = {}
        self.zero = self.constant("zero", np.zeros(self.num_columns))
        self.plus = self.constant("+L", np.full(self.num_columns, self.bypass))
        self.minus = self.constant("-L", np.full(self.num_columns, -self.bypass))
        self._balance = self._row("balance", 1.0, None)

    @classmethod
    def of_program(cls, program: Program, epsilon: float, tiny: float) -> "ResidualStream":
        """Return the stream of a program that is compiled line by line.

        Raises
        ------
        ValueError
            If a register has no finite range, or one that the float type cannot scale.
        """
        try:
            return cls(
                [(r.name, r.bound) for r in program.registers for _ in range(r.dim)],
                program.num_columns,
                epsilon,
                tiny,
                num_basis=_basis_columns(program),
                divides=any(isinstance(operation, Div) for operation in program.operations),
            )
        except ValueError as error:
            raise ValueError(f"program {program.name!r}: {error}") from None

    @property
    def num_rows(self) -> int:
        """The width p of the network."""
        return len(self.rows)

    @property
    def prompt_columns(self) -> slice:
        """The columns (from 0) of the prompt."""
        return slice(self.before, None)

    def columns(self, of_program: Iterable[int]) -> Columns:
        """Translate columns of the prompt (from 1) to columns of the stream (from 0)."""
        return frozenset(self.before - 1 + column for column in of_program)

    def one(self) -> int:
        """The row of ones."""
        return self.constant("one", np.ones(self.num_columns))

    def shift(self) -> int:
        """The row that constants of affine maps are read from: 1 in the prompt, 0 before it.

        A sum over columns must find nothing in the sink.
        """
        values = np.zeros(self.num_columns)
        values[self.prompt_columns] = 1.0
        return self.constant("one in the prompt", values)

    def sink(self) -> int:
        """The indicator row of the sink column."""
        return self.indicator(frozenset({0}), "sink")

    def circle(self) -> tuple[int, int]:
        """The rows cos and sin of 2 pi j / T, j the column and T their number (at least 4)."""
        angles = 2 * np.pi * np.arange(self.num_columns) / max(self.num_columns, 4)
        return self.constant("cos", np.cos(angles)), self.constant("sin", np.sin(angles))

    def basis(self, size: int) -> list[int]:
        """The rows whose entry in the t-th basis column is 1, for t = 1..size."""
        first = 1 if self.before else 0
        return [self.indicator(frozenset({first + t}), f"e_{t + 1}") for t in range(size)]

    def position(self, column: int) -> int:
        """The indicator row of one column of the stream (from 0)."""
        return self.indicator(frozenset({column}), f"position {column}")

    def outside(self, columns: Columns) -> int:
        """The indicator row of all columns (from 0) but these: 0 on them, 1 elsewhere."""
        return self.indicator(frozenset(range(self.num_columns)) - columns, f"not {_show(columns)}")

    def indicator(self, columns: Columns, label: str) -> int:
        """A constant row: 1 on these columns (from 0), 0 elsewhere."""
        values = np.zeros(self.num_columns)
        values[sorted(columns)] = 1.0
        return self.constant(label, values)

    def scratch(self, size: int, bound: float) -> list[int]:
        """Rows that are zero between lines, for values up to ``bound``."""
        unit = self._unit_for(bound)
        return [self._row(f"scratch {t} (x {unit:g})", unit, None) for t in range(1, size + 1)]

    def division(self) -> tuple[int, int]:
        """The rows for +N c and -N c."""
        return self._row("+Nc", 1.0, None), self._row("-Nc", 1.0, None)

    def embed(self, H: Float[np.ndarray, "*batch p q"]) -> Float[np.ndarray, "*batch rows columns"]:
        """Return the stream for program matrices H^(0), with constants, not in stored units."""
        stream = np.zeros((*H.shape[:-2], self.num_rows, self.num_columns), dtype=H.dtype)
        for index, row in enumerate(self.rows):
            if row.constant is not None:
                stream[..., index, :] = row.constant
        # +L and -L cancel; the other constants are small integers, logarithms, cosines and sines.
        others = [
            row.constant
            for index, row in enumerate(self.rows)
            if row.constant is not None and index not in (self.plus, self.minus)
        ]
        stream[..., self._balance, :] = -np.sum(others, axis=0)
        stream[..., : H.shape[-2], self.prompt_columns] = H
        return stream

    def units(self) -> Float[np.ndarray, " rows"]:
        """The unit of every row: stored value = value * unit."""
        return np.array([row.unit for row in self.rows])

    def _unit_for(self, bound: float) -> float:
        """The power of two that scales values up to ``bound`` to the quiet unit or below."""
        return self._quiet * float(2.0 ** -np.ceil(np.log2(bound))) if bound > 0 else self._quiet

    def constant(self, label: str, values: Float[np.ndarray, " columns"]) -> int:
        """The row of this label, which holds the same values (columns,) for every prompt."""
        # Constants are at most 1, but for +L and -L, which must be stored as they are.
        return self._row(label, 1.0, values)

    def _row(self, label: str, unit: float, constant: Float[np.ndarray, " columns"] | None) -> int:
        if label not in self._index:
            self._index[label] = len(self.rows)
            self.rows.append(StreamRow(label, unit, constant))
        return self._index[label]


def _check_scalable(rows: list[tuple[str, float]], largest: float) -> None:
    unscalable = {
        f"{label!r} up to {bound:.3g}": None
        for label, bound in rows
        if bound != 0 and not 1 / largest < bound < largest
    }
    if unscalable:
        raise ValueError(
            f"the ranges of registers {', '.join(unscalable)} are not between {1 / largest:.1e} "
            f"and {largest:.1e}, which the float type can scale; give the program a (smaller) box "
            "of prompts, or rescale noise and prompts"
        )


def _show(columns: Columns) -> str:
    return "{" + ", ".join(map(str, sorted(columns))) + "}"


def _basis_columns(program: Program) -> int:
    sizes = [0]
    for operation in program.operations:
        if isinstance(operation, Soft):
            sizes.append(operation.target().size)
        elif isinstance(operation, Sigmoid | Div):
            sizes.append(1)
    return max(sizes)
