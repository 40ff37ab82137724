"""Turns a scheduled circuit into layer plans: heads and products on rows of the stream."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod

import numpy as np

from constructions.circuit import Circuit
from constructions.gadgets import HARD_GAP, check_selection, previous_column_gain
from constructions.layer_plan import Aside, Form, Head, LayerPlan, Product
from constructions.operators import Columns
from constructions.passes.allocate import Allocation, is_square
from constructions.passes.ranges import Ranges
from constructions.passes.reach import Reach
from constructions.passes.schedule import ScheduledLayer
from constructions.program import ColumnSet
from constructions.stream import ResidualStream
from constructions.values import (
    COVARIATES,
    LABELS,
    Affine,
    Attention,
    Fetch,
    Mixture,
    Previous,
    ProductSum,
    Sum,
    Value,
)

Logits = Sequence[tuple[Form, Form]]


def num_basis_columns(circuit: Circuit) -> int:
    """Return how many basis columns the mixtures of a circuit need."""
    mixtures = [value for value in circuit.values() if isinstance(value, Mixture)]
    return max((mixture.logits.dim for mixture in mixtures), default=0)


@dataclass(frozen=True)
class Planner:
    """Plans the layers of a folded, scheduled and allocated circuit.

    Parameters
    ----------
    circuit, ranges, allocation
        What the passes have made.
    stream
        The residual stream; gains the constant rows that are needed.
    winged
        Whether squares have wings.
    in_parts
        Whether sums of a prompt's entries are added up in parts.
    """

    circuit: Circuit
    ranges: Ranges
    allocation: Allocation
    stream: ResidualStream
    winged: bool = False
    in_parts: bool = False
    reach: Reach = field(init=False)

    def __post_init__(self) -> None:
        """Bound what stands in columns where it means nothing."""
        gated = self.stream.before > 0
        reach = Reach(self.circuit, self.ranges, self.allocation, gated=gated)
        object.__setattr__(self, "reach", reach)

    def plan(self, layers: Sequence[ScheduledLayer]) -> list[LayerPlan]:
        """Return one plan for every layer.

        Raises
        ------
        ValueError
            If there are more columns than attention can tell apart in the float type.
        """
        return [
            LayerPlan(
                tuple(self._head(wire) for wire in layer.attended),
                tuple(product for wire in layer.multiplied for product in self._products(wire)),
                None,
            )
            for layer in layers
        ]

    def forms(self, operand: Value) -> list[dict[int, float]]:
        """Return the linear functionals of a column that make up an operand."""
        if not isinstance(operand, Affine):
            return [dict.fromkeys(rows, 1.0) for rows in self.allocation.all_rows(operand)]
        forms: list[dict[int, float]] = [{} for _ in range(operand.dim)]
        for source, matrix in operand.terms:
            for t, form in enumerate(forms):
                entries = zip(self.allocation.all_rows(source), matrix[t], strict=True)
                for row, coefficient in ((r, c) for rows, c in entries if c != 0 for r in rows):
                    form[row] = form.get(row, 0.0) + float(coefficient)
        for form, shift in zip(forms, operand.bias, strict=True):
            if shift != 0:
                form[self.stream.shift()] = float(shift)
        return forms

    def _products(self, wire: ProductSum) -> list[Product]:
        """Without constant prefix columns, products are gated: see `_gate`."""
        rows = self.allocation.all_rows(wire)
        wings = self.winged and is_square(wire)
        products: list[Product] = []
        for matrix, left, right in wire.terms:
            outside = None if self.stream.before else self._gate(wire, left, right)
            lefts = self.forms(left)
            rights = lefts if left is right else self.forms(right)
            bounds = zip(self.ranges[left].bound, self.ranges[right].bound, strict=True)
            for t, (left_bound, right_bound) in enumerate(bounds):
                entries = [(r, float(c)) for r, c in zip(rows, matrix[:, t], strict=True) if c != 0]
                # Products that are spread over rows take turns.
                turn = 0 if wings else len(products)
                products.append(
                    Product(
                        {r[turn % len(r)]: c for r, c in entries},
                        lefts[t],
                        rights[t],
                        outside,
                        float(left_bound),
                        float(right_bound),
                        self._aside(entries) if wings else None,
                    )
                )
        return products

    def _aside(self, entries: Sequence[tuple[list[int], float]]) -> Aside:
        """The further rows of a square, with the row of ones."""
        count = min(len(rows) for rows, _ in entries)
        forms = tuple({rows[i]: c for rows, c in entries} for i in range(1, count))
        return Aside(forms, self.stream.one())

    def _gate(self, wire: ProductSum, left: Value, right: Value) -> int:
        """The row that is 0 in the columns of a term, and 1 elsewhere.

        Sums need their terms to be 0 in the sink's column; and a head that finds nothing to fetch
        yet brings the sink, which without a prefix is x_1.
        """
        fetched = [
            value.column
            for factor in (left, right)
            for value in _read(factor)
            if isinstance(value, Fetch)
        ]
        latest = max(fetched, default=0)
        vanishes = any(
            all(isinstance(value, Fetch) for value in _read(factor)) for factor in (left, right)
        )
        if fetched and not (vanishes and latest - min(fetched) <= 1):
            self._need_zero_sink("a product that does not vanish before its columns are there")
        seen = self.stream.columns(range(latest + 1, self.circuit.prompt.num_columns + 1))
        return self.stream.outside(self._columns(wire.columns) & seen)

    @singledispatchmethod
    def _head(self, wire: Value) -> Head:
        raise TypeError(f"no head for {type(wire).__name__}")

    @_head.register
    def _(self, wire: Previous) -> Head:
        stream = self.stream
        check_selection(stream.num_columns, stream.epsilon)
        cosine, sine = stream.circle()
        gain = previous_column_gain(stream.num_columns)
        turn = 2 * np.pi / max(stream.num_columns, 4)
        logits: list[tuple[Form, Form]] = [
            ({cosine: 1.0}, {cosine: gain * np.cos(turn), sine: gain * np.sin(turn)}),
            ({sine: 1.0}, {sine: gain * np.cos(turn), cosine: -gain * np.sin(turn)}),
        ]
        if stream.before:
            logits.append(self._sink({stream.one(): -(HARD_GAP + gain)}, wire.columns, gain))
        in_parts = self.in_parts and isinstance(wire.source, Affine) and len(wire.source.terms) == 1
        return Head(tuple(logits), self._values(wire, self.forms(wire.source)), in_parts)

    @_head.register
    def _(self, wire: Sum) -> Head:
        """The sink's weight makes the denominator the same at every prefix."""
        stream = self.stream
        products = all(isinstance(source, ProductSum) for source in _read(wire.source))
        if not products or wire.source.columns != LABELS:
            self._need_zero_sink("a sum of anything but products in the columns of labels")
        summed = stream.columns(wire.source.columns.of(self.circuit.prompt.max_examples))
        most = max(1, len(summed))
        fill, values = f"ln({most + 1} - number seen)", np.zeros(stream.num_columns)
        for column in stream.columns(wire.columns.of(self.circuit.prompt.max_examples)):
            seen = sum(1 for other in summed if other < column)
            # Without a prefix, the first column is the sink, and not one of the summands.
            values[column] = np.log(most + 1 - seen)
        row = stream.constant(f"{fill}, {_name(wire)}", values)
        logits = [
            self._mask(summed, 0.0),
            self._sink({row: 1.0}, wire.columns, float(np.log(most + 1))),
        ]
        forms = [{r: (most + 1) * c for r, c in form.items()} for form in self.forms(wire.source)]
        return Head(tuple(logits), self._values(wire, forms))

    @_head.register
    def _(self, wire: Fetch) -> Head:
        """The column, if it is earlier; the sink otherwise. The column does not see itself."""
        stream = self.stream
        if not all(isinstance(reader, ProductSum) for reader in self._readers(wire)):
            self._need_zero_sink("fetching a column for anything but products")
        (column,) = stream.columns([wire.column])
        row = stream.position(column)
        key: tuple[Form, Form] = (
            {row: 1.0},
            {stream.one(): 2 * HARD_GAP, row: -4 * HARD_GAP},
        )
        logits = (key, self._sink({stream.one(): HARD_GAP}, wire.columns, 2 * HARD_GAP))
        return Head(logits, self._values(wire, self.forms(wire.source)))

    @_head.register
    def _(self, wire: Mixture) -> Head:
        """Keys are the basis columns, which carry e_1, ..., e_n; values are the components."""
        stream, size = self.stream, wire.logits.dim
        basis = stream.basis(size)
        first = 1 if stream.before else 0
        bound = float(self.reach.of(wire.logits).max())
        scores: list[tuple[Form, Form]] = [
            ({e: 1.0}, form) for e, form in zip(basis, self.forms(wire.logits), strict=True)
        ]
        logits = [*scores, self._mask(frozenset(range(first, first + size)), bound)]
        if stream.before:
            low = {stream.one(): -(HARD_GAP + bound)}
            logits.append(self._sink(low, wire.columns, HARD_GAP + bound))
        forms = [
            {e: float(c) for e, c in zip(basis, row, strict=True) if c != 0}
            for row in wire.components
        ]
        return Head(tuple(logits), self._values(wire, forms))

    @_head.register
    def _(self, wire: Attention) -> Head:
        """The sink is below every key that may be seen, and above every one that may not."""
        stream = self.stream
        seen = stream.columns(wire.key.columns.of(self.circuit.prompt.max_examples))
        bound = float(self.reach.of(wire.query) @ self.reach.of(wire.key))
        pairs = list(zip(self.forms(wire.key), self.forms(wire.query), strict=True))
        row = stream.outside(seen | {0})
        hidden: tuple[Form, Form] = ({row: 1.0}, {stream.one(): -(2 * HARD_GAP + 3 * bound)})
        low = {stream.one(): -(HARD_GAP + bound)}
        logits = [*pairs, hidden, self._sink(low, wire.columns, HARD_GAP + 2 * bound)]
        return Head(tuple(logits), self._values(wire, self.forms(wire.value)))

    def _readers(self, wire: Value) -> list[Value]:
        """The wires, or the output, whose operands read a wire."""
        values = self.circuit.values()
        operands = {id(v) for v in values if isinstance(v, Affine) and wire in v.sources}
        readers = [v for v in values if any(id(source) in operands for source in v.sources)]
        return readers + [self.circuit.output] * (id(self.circuit.output) in operands)

    def _need_zero_sink(self, what: str) -> None:
        if not self.stream.before:
            raise ValueError(
                f"{what} needs a sink that holds nothing, and without prefix columns the sink is "
                "the column of x_1; compile with prefix_columns=True"
            )

    def _values(self, wire: Value, forms: list[dict[int, float]]) -> dict[int, Form]:
        return dict(zip(self.allocation[wire], forms, strict=True))

    def _mask(self, allowed: Columns, bound: float) -> tuple[Form, Form]:
        """Push every key but the allowed ones and the sink below them; |logit| <= bound."""
        row = self.stream.outside(allowed | {0})
        return {row: 1.0}, {self.stream.one(): -(HARD_GAP + 2 * bound)}

    def _sink(self, inside: Form, columns: ColumnSet, bound: float) -> tuple[Form, Form]:
        """The sink's logit: ``inside`` in the columns that are meant, above all others elsewhere.

        Every other logit, and the magnitude of ``inside``, is at most ``bound`` + HARD_GAP.
        """
        stream = self.stream
        form = dict(inside)
        if stream.before:
            outside = stream.outside(self._columns(columns))
            form[outside] = form.get(outside, 0.0) + 3 * HARD_GAP + 4 * bound
        return {stream.sink(): 1.0}, form

    def _columns(self, columns: ColumnSet) -> Columns:
        return self.stream.columns(columns.of(self.circuit.prompt.max_examples))


def _name(wire: Sum) -> str:
    return f"{_kind(wire.source.columns)} into {_kind(wire.columns)}"


def _kind(columns: ColumnSet) -> str:
    return {COVARIATES: "covariates", LABELS: "labels"}.get(columns, "columns")


def _read(operand: Value) -> list[Value]:
    """The wires that an operand reads, its constant counting as one."""
    if not isinstance(operand, Affine):
        return [operand]
    return [*operand.sources, *([operand] if operand.shift is not None else [])]
