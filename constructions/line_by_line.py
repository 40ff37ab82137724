"""The trivial schedule: every operator a layer of its own, a division three or four.

Each operator has one recipe. Where the cells it writes are known to be zero, it adds its values;
where they may hold something, the same layer subtracts what was there. Attention adds to the
stream before the local maps see it, so that a recipe that attends *and* must erase goes through
scratch rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import singledispatchmethod

import numpy as np

from constructions.gadgets import HARD_GAP, check_selection, previous_column_gain
from constructions.layer_plan import Affine, Form, Head, LayerPlan, Local, Product, Quotient
from constructions.matrices import Matrix
from constructions.operators import (
    Aff,
    Columns,
    CopyDown,
    CopyOver,
    Div,
    Mov,
    Mul,
    Operator,
    Raw,
    Rows,
    ScaledAgg,
    Sigmoid,
    Soft,
)
from constructions.program import Program
from constructions.stream import ResidualStream

Logits = Sequence[tuple[Form, Form]]


def plan_program(program: Program, stream: ResidualStream) -> list[LayerPlan]:
    """Return the layers of all lines, one line after the other.

    Parameters
    ----------
    program
        The program.
    stream
        The residual stream of this program; gains the constant and scratch rows that are needed.

    Raises
    ------
    ValueError
        If a line divides by a register whose range includes 0, or copies over more columns than
        attention can tell apart.
    """
    plans = []
    for line, operation in enumerate(program.operations, start=1):
        erase = program.overwrites[line - 1]
        plans += _Recipe(program, stream, line, erase).layers(operation)
    return plans


@dataclass(frozen=True)
class _Recipe:
    """Turns one operator into layers."""

    program: Program
    stream: ResidualStream
    line: int
    erase: bool

    @singledispatchmethod
    def layers(self, operation: Operator) -> list[LayerPlan]:
        """Return the layers of the operator."""
        raise TypeError(f"no recipe for operator {type(operation).__name__}")

    @layers.register(CopyDown)
    @layers.register(Mov)
    def _(self, operation: CopyDown | Mov) -> list[LayerPlan]:
        (source,), outside = operation.sources(), self._outside(operation)
        copies = [
            Affine(target, {row: 1.0}, outside, self._bound(row))
            for target, row in zip(_zero(operation.target()), _zero(source), strict=True)
        ]
        return [self._layer([], copies, operation)]

    @layers.register
    def _(self, operation: CopyOver) -> list[LayerPlan]:
        check_selection(self.stream.num_columns, self.stream.epsilon)
        cosine, sine = self.stream.circle()
        gain = previous_column_gain(self.stream.num_columns)
        turn = 2 * np.pi / max(self.stream.num_columns, 4)
        logits = [
            ({cosine: 1.0}, {cosine: gain * np.cos(turn), sine: gain * np.sin(turn)}),
            ({sine: 1.0}, {sine: gain * np.cos(turn), cosine: -gain * np.sin(turn)}),
        ]
        return self._fetch(operation, logits, gain, 1.0)

    @layers.register
    def _(self, operation: ScaledAgg) -> list[LayerPlan]:
        if not operation.columns:
            return [self._layer([], [], operation)]
        allowed = self.stream.columns(operation.columns)
        scale = float(operation.scale) * len(allowed)
        return self._fetch(operation, [self._mask(allowed)], 0.0, scale)

    @layers.register
    def _(self, operation: Soft) -> list[LayerPlan]:
        (source,) = operation.sources()
        basis = self.stream.basis(source.size)
        bound = max(self._bound(row) for row in _zero(source))
        allowed = frozenset(range(1, source.size + 1))
        scores = [({e: 1.0}, {row: 1.0}) for e, row in zip(basis, _zero(source), strict=True)]
        logits = [*scores, self._mask(allowed, bound)]
        return self._fetch(operation, logits, bound, 1.0, values=basis)

    @layers.register
    def _(self, operation: Sigmoid) -> list[LayerPlan]:
        (row,) = _zero(operation.sources()[0])
        (unit,) = self.stream.basis(1)
        logits = [({unit: 1.0}, {row: 1.0}), self._mask(frozenset({1}), self._bound(row))]
        return self._fetch(
            operation, logits, self._bound(row), 1.0, values=[unit], sink_competes=True
        )

    @layers.register
    def _(self, operation: Mul) -> list[LayerPlan]:
        left, right = (_zero(rows) for rows in operation.sources())
        outside = self._outside(operation)
        products = [
            Product({t: 1.0}, {a: 1.0}, {b: 1.0}, outside, self._bound(a), self._bound(b))
            for t, a, b in zip(_zero(operation.target()), left, right, strict=True)
        ]
        return [self._layer([], products, operation)]

    @layers.register
    def _(self, operation: Aff) -> list[LayerPlan]:
        weight, second_weight, bias = (np.asarray(a, float) for a in operation.matrices())
        first, second = operation.sources()
        images = []
        for t, target in enumerate(_zero(operation.target())):
            form = _combine(
                _form(first, weight[t]),
                _form(second, second_weight[t]),
                {self.stream.one(): float(bias[t])} if bias[t] else {},
            )
            images.append(Affine(target, form, self._outside(operation), self._form_bound(form)))
        return [self._layer([], images, operation)]

    @layers.register
    def _(self, operation: Div) -> list[LayerPlan]:
        stream, outside = self.stream, self._outside(operation)
        numerators, (divisor,) = (_zero(rows) for rows in operation.sources())
        register = self.program.register_of(divisor + 1)
        if register.low <= 0 <= register.high:
            raise ValueError(
                f"line {self.line}, {operation}: the divisor's register {register.name!r} ranges "
                f"over {register.low:g}..{register.high:g}; a network can only divide by values "
                "of one sign, away from 0"
            )
        sign = 1.0 if register.low > 0 else -1.0
        gain = stream.division_gain / register.bound
        big, mirror = stream.division()
        size = gain * register.bound
        bound = max(self._bound(row) for row in numerators)
        keep: list[Local] = []
        if self.erase:
            # The targets are erased before the division, and numerators may be among them.
            rows, numerators = numerators, stream.scratch(len(numerators), bound)
            keep = [
                Affine(s, {r: 1.0}, outside, bound) for s, r in zip(numerators, rows, strict=True)
            ]
        # Whatever an earlier division has left in the two rows is taken away.
        place = [
            Affine(big, {divisor: gain, big: -1.0}, outside, 2 * size),
            Affine(mirror, {divisor: -gain, mirror: -1.0}, outside, 2 * size),
        ]
        (basis,) = stream.basis(1)
        columns = stream.columns(operation.target_columns(self.program.num_columns))
        remove = Head(
            tuple(self._gated([self._mask(frozenset({1}))], columns, 0.0)),
            {stream.plus: {basis: -stream.bypass}, stream.minus: {basis: stream.bypass}},
        )
        # LayerNorm turns the row N c into the sign of c, from which +L and -L come back.
        restore = stream.bypass * sign / gain
        quotients = [
            Quotient(stream.plus, {big: restore}, big, gain, outside, stream.bypass),
            Quotient(stream.minus, {big: -restore}, big, gain, outside, stream.bypass),
            *(
                Quotient(target, {row: sign}, big, gain, outside, self._bound(target))
                for target, row in zip(_zero(operation.target()), numerators, strict=True)
            ),
        ]
        tidy = [Affine(row, {row: -1.0}, outside, size) for row in (big, mirror)]
        # With N c beside L the scale is only known to (N c / L)^2: scratch waits for its own layer.
        forget = [Affine(row, {row: -1.0}, outside, bound) for row in numerators if self.erase]
        steps = [
            LayerPlan((), (*place, *keep, *self._erasures(operation)), None),
            LayerPlan((remove,), tuple(quotients), None),
            LayerPlan((), tuple(tidy), None),
            *([LayerPlan((), tuple(forget), None)] if forget else []),
        ]
        return [*steps[:-1], replace(steps[-1], completes=self.line)]

    @layers.register
    def _(self, operation: Raw) -> list[LayerPlan]:
        read_map, own_map, write_map = (
            np.asarray(a, float)
            for a in (operation.read_map, operation.own_map, operation.write_map)
        )
        own_rows = Rows("own", operation.own_rows)
        read_forms = [_form(Rows("read", operation.read_rows), row) for row in read_map]
        own_forms = [_form(own_rows, row) for row in own_map]
        reads = [self._form_bound(form) for form in read_forms]
        scratch = self.stream.scratch(len(read_forms), max(reads, default=0.0))
        head = Head(self._table(operation), dict(zip(scratch, read_forms, strict=True)))
        written = _zero(operation.target())
        local: list[Local] = [
            Affine(row, {row: -1.0}, None, bound) for row, bound in zip(scratch, reads, strict=True)
        ]
        for r, (own, aggregate) in enumerate(zip(own_forms, scratch, strict=True)):
            targets = {row: float(w) for row, w in zip(written, write_map[:, r], strict=True)}
            if operation.kind == "*":
                factors = (own, {aggregate: 1.0}, None, self._form_bound(own), reads[r])
                local.append(Product(targets, *factors))
                continue
            for row, weight in targets.items():
                form = {k: weight * v for k, v in _combine(own, {aggregate: 1.0}).items()}
                bound = abs(weight) * (self._form_bound(own) + reads[r])
                local.append(Affine(row, form, None, bound))
        heads = [head] if read_forms else []
        return [self._layer(heads, local, operation)]

    def _fetch(
        self,
        operation: Operator,
        logits: Logits,
        logit_bound: float,
        scale: float,
        *,
        values: Sequence[int] | None = None,
        sink_competes: bool = False,
    ) -> list[LayerPlan]:
        """One head that brings ``scale`` times the value rows to the target rows."""
        targets = _zero(operation.target())
        rows = _zero(operation.sources()[0]) if values is None else values
        local: list[Local] = []
        if self.erase:
            bound = max(self._bound(row) for row in targets)
            scratch, outside = self.stream.scratch(len(targets), bound), self._outside(operation)
            for s, t in zip(scratch, targets, strict=True):
                local += [Affine(t, {s: 1.0}, outside, bound), Affine(s, {s: -1.0}, None, bound)]
            targets = scratch
        columns = self.stream.columns(operation.target_columns(self.program.num_columns))
        gated = self._gated(logits, columns, logit_bound, sink_competes=sink_competes)
        forms = {target: {row: scale} for target, row in zip(targets, rows, strict=True)}
        return [self._layer([Head(tuple(gated), forms)], local, operation)]

    def _gated(
        self,
        logits: Logits,
        columns: Columns,
        bound: float,
        *,
        sink_competes: bool = False,
    ) -> Logits:
        """Send the queries outside ``columns`` to the sink, and keep it from the others."""
        gap = HARD_GAP + bound
        inside = 0.0 if sink_competes else -gap
        form = {self.stream.one(): inside, self.stream.outside(columns): gap + bound - inside}
        return [*logits, ({self.stream.sink(): 1.0}, form)]

    def _mask(self, allowed: Columns, bound: float = 0.0) -> tuple[Form, Form]:
        """Push every key but the allowed ones (and the sink) below them; |logit| <= bound."""
        masked = frozenset(range(1, self.stream.num_columns)) - allowed
        row = self.stream.outside(frozenset(range(self.stream.num_columns)) - masked)
        return {row: 1.0}, {self.stream.one(): -(HARD_GAP + 2 * bound)}

    def _table(self, operation: Raw) -> tuple[tuple[Form, Form], ...]:
        """Logits that let column i see exactly pi(i), or the sink where pi(i) is empty."""
        stream = self.stream
        attended = {
            stream.before - 1 + i: stream.columns(columns)
            for i, columns in operation.attended.items()
            if columns
        }
        queries = {i: stream.position(i) for i in attended}
        logits = []
        for j in range(1, stream.num_columns):
            hidden = {queries[i]: -HARD_GAP for i, seen in attended.items() if j not in seen}
            logits.append(({stream.position(j): 1.0}, hidden))
        return tuple(self._gated(logits, frozenset(attended), 0.0))

    def _layer(
        self, heads: Sequence[Head], local: Sequence[Local], operation: Operator
    ) -> LayerPlan:
        return LayerPlan(tuple(heads), (*local, *self._erasures(operation)), self.line)

    def _erasures(self, operation: Operator) -> list[Local]:
        if not self.erase:
            return []
        outside = self._outside(operation)
        return [
            Affine(row, {row: -1.0}, outside, self._bound(row)) for row in _zero(operation.target())
        ]

    def _outside(self, operation: Operator) -> int:
        columns = operation.target_columns(self.program.num_columns)
        return self.stream.outside(self.stream.columns(columns))

    def _bound(self, row: int) -> float:
        """The largest magnitude in a row (from 0): a register's, or 1 in a constant row."""
        if row < self.program.num_rows:
            return self.program.register_of(row + 1).bound
        return 1.0

    def _form_bound(self, form: Form) -> float:
        return sum((abs(c) * self._bound(row) for row, c in form.items()), 0.0)


def _zero(rows: Rows) -> list[int]:
    """Rows counted from 0, which are also the rows of the stream."""
    return [row - 1 for row in rows.indices]


def _form(rows: Rows, coefficients: Matrix) -> dict[int, float]:
    return {row: float(c) for row, c in zip(_zero(rows), coefficients, strict=True) if c != 0}


def _combine(*forms: Form) -> dict[int, float]:
    """Add forms; the same row may stand in several."""
    total: dict[int, float] = {}
    for form in forms:
        for row, coefficient in form.items():
            total[row] = total.get(row, 0.0) + coefficient
    return total
