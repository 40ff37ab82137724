"""Lifts a program of the paper's operators, written for k examples, to a circuit of every prefix.

The operators name rows and literal columns; a circuit names values. Rows are followed line by line,
separately for odd and for even columns. What the program does in the query's column alone, the
circuit does in every odd column: each is the query of its prefix, and nothing that a column reads
comes from later ones.
"""

from dataclasses import dataclass
from functools import singledispatchmethod

import numpy as np

from constructions.circuit import Circuit, CircuitError, Prompt
from constructions.operators import (
    Aff,
    CopyDown,
    CopyOver,
    Mov,
    Mul,
    Operator,
    Rows,
    ScaledAgg,
    Soft,
)
from constructions.program import ColumnSet, Program
from constructions.values import (
    COVARIATES,
    LABELS,
    Affine,
    Mixture,
    Previous,
    Product,
    Sum,
    Token,
    Value,
)

#: Ends the name of what a register holds in the columns of labels.
AT_LABELS = " at labels"


def lift(program: Program, prompt: Prompt, output: int) -> Circuit:
    """Return the circuit that computes, at every prefix, what the program computes at its end.

    Parameters
    ----------
    program
        A program on 2k + 1 columns, k >= 1, whose input is the tokens in rows 1..d.
    prompt
        The input of the circuit, with the program's k.
    output
        The row (from 1) that holds the answer in the last column.

    Raises
    ------
    CircuitError
        If the program has other operators than copy_down, copy_over, mul, aff, scaled_agg, soft
        and mov, writes columns that are not all odd, all even or the last, or reads rows that
        nothing has filled.
    """
    if program.num_columns != prompt.num_columns or prompt.max_examples < 1:
        raise CircuitError(
            [
                f"program {program.name!r} has {program.num_columns} columns, the prompt "
                f"{prompt.num_columns}; expected as many, and at least one example"
            ]
        )
    lifting = _Lifting(prompt, {})
    for row in range(1, prompt.dim + 1):
        lifting.cells[row, COVARIATES] = (prompt.covariate, row - 1)
    lifting.cells[1, LABELS] = (prompt.label, 0)
    names: dict[str, Value] = {}
    for line, operation in enumerate(program.operations, start=1):
        try:
            for kind, value in lifting.written(operation):
                register = program.register_of(operation.target().indices[0])
                # A token that is only moved keeps its own name.
                if not isinstance(value, Token):
                    names[register.name + ("" if kind == COVARIATES else AT_LABELS)] = value
                for t, row in enumerate(operation.target().indices):
                    lifting.cells[row, kind] = (value, t)
        except KeyError as error:
            raise CircuitError(
                [f"line {line}, {operation}: row {error} is read but empty"]
            ) from None
    return Circuit(program.name, prompt, lifting.read(Rows("output", (output,)), COVARIATES), names)


@dataclass(frozen=True)
class _Lifting:
    """What every row holds, in odd and in even columns: a value and an entry of it."""

    prompt: Prompt
    cells: dict[tuple[int, ColumnSet], tuple[Value, int]]

    def read(self, rows: Rows, kind: ColumnSet) -> Value:
        """The value that stands in rows; an affine map if they hold parts of several."""
        found = [self.cells[row, kind] for row in rows.indices]
        first = found[0][0]
        if all(value is first for value, _ in found) and [t for _, t in found] == list(
            range(first.dim)
        ):
            return first
        matrices: dict[int, tuple[Value, np.ndarray]] = {}
        for target, (value, t) in enumerate(found):
            _, matrix = matrices.setdefault(id(value), (value, np.zeros((rows.size, value.dim))))
            matrix[target, t] = 1.0
        return Affine(tuple(matrices.values()))

    def holds_anything(self, rows: Rows, kind: ColumnSet) -> bool:
        """Whether any of the rows has been filled; y is still 0 where the query's residual is."""
        return any((row, kind) in self.cells for row in rows.indices)

    def written(self, operation: Operator) -> list[tuple[ColumnSet, Value]]:
        """The values that a line writes, for each kind of columns."""
        columns = operation.target_columns(self.prompt.num_columns)
        kinds = []
        examples = self.prompt.max_examples
        odd, even = (kind.of(examples) for kind in (COVARIATES, LABELS))
        last = frozenset({self.prompt.num_columns})
        if columns & odd and columns & odd not in (odd, last):
            raise CircuitError([f"{operation} writes some odd columns, expected all or the last"])
        if columns & even and columns & even != even:
            raise CircuitError([f"{operation} writes some even columns, expected all or none"])
        if columns & odd:
            kinds.append(COVARIATES)
        if columns & even:
            kinds.append(LABELS)
        return [(kind, self.value(operation, kind)) for kind in kinds]

    @singledispatchmethod
    def value(self, operation: Operator, kind: ColumnSet) -> Value:
        """What an operator computes in columns of one kind."""
        raise CircuitError([f"{operation}: no circuit for operator {operation.name}"])

    @value.register(CopyDown)
    @value.register(Mov)
    def _(self, operation: CopyDown | Mov, kind: ColumnSet) -> Value:
        return self.read(operation.sources()[0], kind)

    @value.register
    def _(self, operation: CopyOver, kind: ColumnSet) -> Value:
        return Previous(
            self.read(operation.sources()[0], LABELS if kind == COVARIATES else COVARIATES)
        )

    @value.register
    def _(self, operation: Mul, kind: ColumnSet) -> Value:
        left, right = operation.sources()
        factor = self.read(left, kind)
        same = left.indices == right.indices
        return Product(factor, factor if same else self.read(right, kind))

    @value.register
    def _(self, operation: Aff, kind: ColumnSet) -> Value:
        first, second, bias = (np.asarray(part, dtype=float) for part in operation.matrices())
        held = [
            (self.read(rows, kind), matrix)
            for rows, matrix in zip(operation.sources(), (first, second), strict=True)
            if self.holds_anything(rows, kind)
        ]
        # A map that is zero altogether keeps its terms: a value is made of something.
        terms = [(value, matrix) for value, matrix in held if matrix.any()] or held
        return Affine(tuple(terms), bias if bias.any() else None)

    @value.register
    def _(self, operation: ScaledAgg, kind: ColumnSet) -> Value:
        examples = self.prompt.max_examples
        for summed in (LABELS, COVARIATES):
            if operation.columns == summed.of(examples):
                return float(operation.scale) * Sum(self.read(operation.sources()[0], summed))
        raise CircuitError([f"{operation} sums over columns that are not all labels"])

    @value.register
    def _(self, operation: Soft, kind: ColumnSet) -> Value:
        logits = self.read(operation.sources()[0], kind)
        return Mixture(logits, np.eye(logits.dim))
