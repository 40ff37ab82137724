"""Layer plans to weights: the only place where units, gelus and LayerNorm meet.

Rows are stored in units; attention is linear in the values and bilinear in the logits, so that
units only rescale its matrices. Local maps pass through LayerNorm, which the rows +L and -L turn
into the scaling sqrt(p/2)/L; every form is read relative to a row that is always zero, so that
LayerNorm's mean drops out, and multiplied back by L/sqrt(p/2).
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float

from constructions.architecture import LayerWeights
from constructions.gadgets import GATE, SquareGadget, square_gadget
from constructions.layer_plan import (
    Affine,
    Aside,
    Form,
    Head,
    LayerPlan,
    Product,
    Quotient,
    partial_sums,
)
from constructions.stream import ResidualStream
from constructions.winged import SINGLE, WingedSquare, fitted_square

Row = Float[np.ndarray, " p"]


def gadget_for(dtype: torch.dtype) -> SquareGadget:
    """Return the square that balances truncation and rounding in a float type."""
    return square_gadget(10, 1e-15) if dtype == torch.float64 else fitted_square(SINGLE)


def lower(
    plans: list[LayerPlan],
    stream: ResidualStream,
    dtype: torch.dtype,
    square: SquareGadget,
    winged: WingedSquare | None = None,
) -> list[LayerWeights]:
    """Return the weights of every planned layer.

    Parameters
    ----------
    plans
        The layers; all rows they name belong to ``stream``.
    stream
        The residual stream, complete: no rows may be added afterwards.
    dtype
        torch.float32 or torch.float64.
    square
        The gadget that products are made of.
    winged
        The gadget for squares that have a row for wings.

    Raises
    ------
    ValueError
        If a weight overflows or vanishes in the float type.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # refused in `_in_type`
        return [_lower_layer(plan, dtype, _Neurons(stream, square, winged)) for plan in plans]


def _lower_layer(plan: LayerPlan, dtype: torch.dtype, neurons: "_Neurons") -> LayerWeights:
    heads = [_head_matrices(head, neurons.stream) for head in plan.heads]
    p = neurons.stream.num_rows
    d_att = max((max(len(q), len(v)) for q, _, v, _ in heads), default=0)
    query, key, value = (np.zeros((len(heads), d_att, p)) for _ in range(3))
    output = np.zeros((len(heads), p, d_att))
    for h, (q, k, v, o) in enumerate(heads):
        query[h, : len(q)], key[h, : len(k)], value[h, : len(v)] = q, k, v
        output[h, :, : o.shape[1]] = o
    for local in plan.locals:
        neurons.add(local)
    arrays = (query, key, value, output, *neurons.matrices())
    return LayerWeights(*(_in_type(array, dtype) for array in arrays))


def _in_type(array: Float[np.ndarray, "..."], dtype: torch.dtype) -> Float[torch.Tensor, "..."]:
    """Convert weights; refuse those that the type turns into infinity or nothing."""
    tensor = torch.tensor(array, dtype=dtype)
    lost = (tensor == 0).numpy() & (array != 0)
    if not bool(torch.isfinite(tensor).all()) or lost.any():
        raise ValueError(
            f"weights of the network lie outside the range of {dtype}; "
            "rescale the problem (components, noise, box) towards 1"
        )
    return tensor


def _head_matrices(
    head: Head, stream: ResidualStream
) -> tuple[
    Float[np.ndarray, "logits p"],
    Float[np.ndarray, "logits p"],
    Float[np.ndarray, "values p"],
    Float[np.ndarray, "p values"],
]:
    """One dimension of d_att per pair of key and query, and one per target row or part of it."""
    units = stream.units()
    query, key = np.zeros((2, len(head.logits), stream.num_rows))
    values = [
        (target, part)
        for target, form in head.values.items()
        for part in (partial_sums(form) if head.in_parts else [form])
    ]
    value = np.zeros((len(values), stream.num_rows))
    output = np.zeros((stream.num_rows, len(values)))
    for t, forms in enumerate(head.logits):
        for weights, form in zip((key, query), forms, strict=True):
            for row, coefficient in form.items():
                weights[t, row] = coefficient / units[row]
    for t, (target, form) in enumerate(values):
        # A plain sum is left to the values, which are then exact, its factor to the output.
        sizes = {abs(coefficient) for coefficient in form.values()}
        factor = sizes.pop() if len(sizes) == 1 < len(form) else 1.0
        output[target, t] = units[target] * factor
        for row, coefficient in form.items():
            value[t, row] = coefficient / factor / units[row]
    return query, key, value, output


@dataclass
class _Neurons:
    """Collects the hidden neurons of one layer."""

    stream: ResidualStream
    square: SquareGadget
    winged: WingedSquare | None = None
    inward: list[Row] = field(default_factory=list)
    outward: list[Row] = field(default_factory=list)

    def add(self, local: Affine | Product | Quotient) -> None:
        """Add the neurons of one local map."""
        if isinstance(local, Product):
            self._add_product(local)
        elif local.bound > 0:
            self._add_linear(local)

    def matrices(self) -> tuple[Float[np.ndarray, "d_ff p"], Float[np.ndarray, "p d_ff"]]:
        """W_in and W_out."""
        if not self.inward:
            p = self.stream.num_rows
            return np.zeros((0, p)), np.zeros((p, 0))
        return np.stack(self.inward), np.stack(self.outward, axis=1)

    def _add_linear(self, local: Affine | Quotient) -> None:
        """gelu(u) - gelu(-u) = u exactly, with the form scaled to |u| <= 1 for the gate."""
        size = self.stream.bypass if isinstance(local, Affine) else local.gain
        form = self._read(local.form, size) / local.bound
        self._add_pair(form, 1.0, local.outside, {local.target: local.bound}, odd=True)

    def _add_product(self, local: Product) -> None:
        """X y = X Y / 4 ((x/X + y/Y)^2 - (x/X - y/Y)^2), or one square if both are the same."""
        if min(local.left_bound, local.right_bound) == 0:
            return
        if self.winged is not None and local.aside is not None:
            self._add_winged(local, local.aside, self.winged)
            return
        left, right = (
            self._read(form, self.stream.bypass) / bound
            for form, bound in (
                (local.left, local.left_bound),
                (local.right, local.right_bound),
            )
        )
        area = local.left_bound * local.right_bound
        if local.left == local.right:
            self._add_square(left, area, local)
        else:
            self._add_square((left + right) / 2, area, local)
            self._add_square((left - right) / 2, -area, local)

    def _add_winged(self, local: Product, aside: Aside, winged: WingedSquare) -> None:
        """Add t^2 in natural units: each pair of the core to a row, wings to the rows after.

        If there is only one row, all goes there.
        """
        form = self._read(local.left, self.stream.bypass)
        rows = [local.targets, *aside.rows]
        pairs = len(winged.core.scales)
        core = (winged.core.scales, winged.core.coefficients, rows if aside.rows else rows * pairs)
        for scale, coefficient, targets in zip(*core, strict=False):
            scaled = {row: c * coefficient for row, c in targets.items()}
            self._add_pair(scale * form, float(scale), None, scaled, odd=False)
        threshold = self._read({aside.one: 1.0}, self.stream.bypass)
        columns = [self._column(targets) for targets in rows[pairs:] or rows]
        wings = (winged.shifts, winged.slopes, winged.coefficients)
        for k, (shift, slope, coefficient) in enumerate(zip(*wings, strict=True)):
            for side in (slope, -slope):
                self.inward.append(side * form - slope * shift * threshold)
                self.outward.append(coefficient * columns[k % len(columns)])

    def _add_square(self, form: Row, factor: float, local: Product) -> None:
        """Add factor * t^2 for |t| <= 1, as sum_i c_i (gelu(s_i t) + gelu(-s_i t))."""
        for scale, coefficient in zip(self.square.scales, self.square.coefficients, strict=True):
            targets = {row: c * factor * coefficient for row, c in local.targets.items()}
            self._add_pair(scale * form, float(scale), local.outside, targets, odd=False)

    def _add_pair(
        self, form: Row, reach: float, outside: int | None, targets: Form, *, odd: bool
    ) -> None:
        """Two neurons: c (gelu(u) -+ gelu(-u)), |u| <= reach, driven to 0 in columns outside."""
        gate = np.zeros(self.stream.num_rows)
        if outside is not None:
            # The input is then at most reach - (GATE + reach + 1).
            strength = GATE + reach + 1
            gate = self._read({outside: -strength}, self.stream.bypass)
        column = self._column(targets)
        self.inward += [form + gate, -form + gate]
        self.outward += [column, -column if odd else column]

    def _column(self, targets: Form) -> Row:
        """A column of W_out that adds coefficients to target rows, in their units."""
        column = np.zeros(self.stream.num_rows)
        for row, coefficient in targets.items():
            column[row] += coefficient * self.stream.rows[row].unit
        return column

    def _read(self, form: Form, size: float) -> Row:
        """Weights that recover a form from lambda(v), where rows +-``size`` dominate v."""
        gain = size / np.sqrt(self.stream.num_rows / 2)
        weights = np.zeros(self.stream.num_rows)
        for row, coefficient in form.items():
            weights[row] += gain * coefficient / self.stream.rows[row].unit
        weights[self.stream.zero] -= weights.sum()
        return weights
