"""Gives every wire rows of the residual stream; wires share rows where they cannot meet.

What attention brings is exactly 0 in the columns that it is not meant for, so that two attended
wires of different kinds of columns fit into the same rows. Products are not gated, and keep theirs.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from constructions.circuit import Circuit
from constructions.passes.fold_linear import operands
from constructions.passes.ranges import Ranges
from constructions.passes.schedule import ScheduledLayer
from constructions.program import ColumnKind
from constructions.values import ProductSum, Value

#: Rows that only attention reads are scaled to this size, out of the way of LayerNorm's mean.
QUIET = 2.0**-24


@dataclass
class Row:
    """One row: what it holds, in which kinds of columns, and how large it may get.

    ``scale`` is what the row is divided by when it is stored: at least the largest magnitude.
    ``attended`` says that attention writes it, ``multiplied`` that a product reads it.
    """

    labels: list[str]
    scale: float
    kinds: frozenset[ColumnKind]
    attended: bool
    multiplied: bool


@dataclass(frozen=True)
class Allocation:
    """The rows of every wire.

    Parameters
    ----------
    rows
        All rows, the d token rows first.
    of
        Wire (by identity) -> its rows, from 0.
    further
        Wire (by identity) -> for every entry the rows beside it that hold the rest of it: what it
        is worth is the sum. Only products that are spread over rows have any.
    """

    rows: list[Row]
    of: dict[int, list[int]] = field(default_factory=dict)
    further: dict[int, list[list[int]]] = field(default_factory=dict)

    def __getitem__(self, wire: Value) -> list[int]:
        """Return the rows (from 0) of a wire."""
        return self.of[id(wire)]

    def all_rows(self, wire: Value) -> list[list[int]]:
        """Return, for every entry of a wire, the rows that add up to it."""
        further = self.further.get(id(wire), [[]] * wire.dim)
        return [[row, *more] for row, more in zip(self[wire], further, strict=True)]

    def labelled(self) -> list[tuple[str, float]]:
        """Return (label, scale) of every row."""
        return [(" | ".join(row.labels), row.scale) for row in self.rows]


def allocate(
    circuit: Circuit,
    layers: list[ScheduledLayer],
    ranges: Ranges,
    *,
    share: bool,
    spread: int = 1,
) -> Allocation:
    """Return the rows of all wires of a scheduled circuit.

    Parameters
    ----------
    circuit
        The folded circuit.
    layers
        Its schedule.
    ranges
        Its ranges.
    share
        Whether attended wires are exactly 0 outside their columns, and may share rows.
    spread
        The rows of every square. If there are several, sums of products are spread, too, over one
        for each, so that the sums over neurons are shorter.
    """
    prompt = circuit.prompt
    entry = max(prompt.box.covariate, prompt.box.label)
    both = prompt.covariate.columns.kinds | prompt.label.columns.kinds
    allocation = Allocation([Row(["token"], entry, both, False, True) for _ in range(prompt.dim)])
    allocation.of[id(prompt.covariate)] = list(range(prompt.dim))
    allocation.of[id(prompt.label)] = [0]
    read, rows = _read_by_products(circuit), allocation.rows
    for layer in layers:
        for wire in (*layer.attended, *layer.multiplied):
            attended = share and not isinstance(wire, ProductSum)
            blank = Row([], 0.0, frozenset(), attended, id(wire) in read)
            allocation.of[id(wire)] = [
                _place(wire, float(bound), circuit.name_of(wire), blank, allocation.rows)
                for bound in ranges[wire].bound
            ]
            if spread > 1 and isinstance(wire, ProductSum) and id(wire) not in read:
                allocation.further[id(wire)] = [
                    [
                        _place(wire, float(bound), f"{circuit.name_of(wire)}, more", blank, rows)
                        for _ in range(_rows_for(wire, spread) - 1)
                    ]
                    for bound in ranges[wire].bound
                ]
    _scale(circuit, allocation, ranges)
    return allocation


def is_square(wire: ProductSum) -> bool:
    """Whether a wire squares one factor, entry by entry."""
    return len(wire.terms) == 1 and all(
        left is right and np.array_equal(matrix, np.diag(np.diag(matrix)))
        for matrix, left, right in wire.terms
    )


def _rows_for(wire: ProductSum, spread: int) -> int:
    if is_square(wire):
        return spread
    products = sum(left.dim for _, left, _ in wire.terms)
    return products if wire.dim == 1 else 1


def _read_by_products(circuit: Circuit) -> set[int]:
    return {
        id(source)
        for wire in circuit.values()
        if isinstance(wire, ProductSum)
        for form in operands(wire)
        for source, _ in form.terms
    }


def _place(wire: Value, bound: float, label: str, blank: Row, rows: list[Row]) -> int:
    """Return a row for one entry of a wire: one that can be shared, or a new one.

    Wires that products read are not mixed with others, whose scale may be a very different one.
    """
    kinds = wire.columns.kinds
    free = (
        r
        for r, row in enumerate(rows)
        if row.attended and blank.attended and row.multiplied == blank.multiplied
        if not row.kinds & kinds
    )
    r = next(free, len(rows))
    if r == len(rows):
        rows.append(replace(blank, labels=[]))
    held = rows[r]
    held.kinds |= kinds
    held.scale = max(held.scale, bound)
    held.labels.append(label)
    return r


def _scale(circuit: Circuit, allocation: Allocation, ranges: Ranges) -> None:
    """Choose scales so that reading through LayerNorm loses as little as possible.

    Rows that one factor adds up get one scale: their difference is read without the zero row. The
    two factors of a product get scales that make them equally large, so that LayerNorm's mean is
    small beside both; where products disagree, the first one is served. Rows that no product reads
    are stored far below all others.
    """
    rows = allocation.rows
    tied = _Ties(rows)
    products = [wire for wire in circuit.values() if isinstance(wire, ProductSum)]
    held = {
        id(form): sorted({r for source, _ in form.terms for r in allocation[source]})
        for wire in products
        for form in operands(wire)
    }
    for group in held.values():
        scale = max(rows[r].scale for other in group for r in tied.of(other))
        for r in group:
            tied.join(group[0], r)
        for r in tied.of(group[0]):
            rows[r].scale = scale
    for wire in products:
        for _, left, right in wire.terms:
            tied.match(
                held[id(left)][0],
                held[id(right)][0],
                *(ranges[form].largest for form in (left, right)),
            )
    for row in rows:
        if not row.multiplied:
            row.scale /= QUIET


class _Ties:
    """Rows whose scales stand in fixed proportions."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self._tied = [{r} for r in range(len(rows))]

    def of(self, row: int) -> set[int]:
        """The rows that are tied to a row, with itself."""
        return self._tied[row]

    def join(self, first: int, second: int) -> None:
        """Tie two rows, and all that are tied to either."""
        both = self._tied[first] | self._tied[second]
        for row in both:
            self._tied[row] = both

    def match(self, first: int, second: int, size: float, other: float) -> None:
        """Raise the scales of one of two factors, which is stored in units of its first row."""
        scales = self._rows[first].scale, self._rows[second].scale
        if second in self._tied[first] or min(size, other, *scales) == 0:
            return
        ratio = (size / scales[0]) / (other / scales[1])
        for row in self._tied[first if ratio > 1 else second]:
            self._rows[row].scale *= max(ratio, 1 / ratio)
        self.join(first, second)
