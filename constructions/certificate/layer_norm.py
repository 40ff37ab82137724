"""What LayerNorm costs: its scale and its mean, from the rows beside +L and -L."""

from dataclasses import dataclass

import numpy as np

from constructions.certificate.rounding import RoundingModel
from constructions.certificate.squares import EnclosedSquare
from constructions.certificate.wings import EnclosedWings
from constructions.compiled_circuit import CompiledCircuit
from constructions.passes.allocate import is_square
from constructions.values import Affine, Previous, ProductSum, Token


@dataclass(frozen=True)
class LayerNormErrors:
    """The errors that all reads of a layer share.

    Parameters
    ----------
    scale
        nu: relative error of lambda's scaling sqrt(p/2) / L.
    mean
        |mu|, in stored units.
    """

    scale: float
    mean: float


def layer_norm_errors(
    model: CompiledCircuit,
    layer: int,
    rounding: RoundingModel,
    square: EnclosedSquare,
    wings: EnclosedWings | None = None,
) -> LayerNormErrors:
    """Return the errors of LayerNorm in a layer (from 0), in every column of the prompt.

    Parameters
    ----------
    model
        The network.
    layer
        The layer whose feed-forward part reads.
    rounding
        The model of arithmetic.
    square
        The gadget: products hold up to A times their range where their factors are out of range.
    wings
        The gadget of squares that have wings.
    """
    stream = model.stream
    stored = _stored(model, layer, square, wings)
    constants = model.constants.double().numpy()[:, stream.before :]
    large = np.array([stream.plus, stream.minus])
    small = np.delete(constants, large, axis=0)
    p, u, L = stream.num_rows, rounding.unit_roundoff, stream.bypass
    imbalance = float(np.abs(small.sum(axis=0)).max()) + rounding.gamma(p) * float(
        np.abs(small).sum(axis=0).max()
    )
    # A sum that holds L is rounded to L u at each of its p steps; the rest is at most p + others.
    total = float(stored.sum()) - (_spared(model, stored) if layer == 0 else 0.0)
    mean = (total + imbalance) / p + 2 * L * u
    squares = float((small**2).sum(axis=0).max()) + float((stored**2).sum())
    scale = 12 * u + (2 * squares + 4 * p * mean**2) / L**2
    return LayerNormErrors(scale, mean)


def _spared(model: CompiledCircuit, stored: np.ndarray) -> float:
    """By how much the sum of the first layer's rows is less than that of their magnitudes.

    What heads have brought from the covariates are linear forms of the same x: their sum is a form.
    """
    spared = 0.0
    for wire in model.schedule[0].attended:
        form = wire.sources[0]
        if not (isinstance(wire, Previous) and isinstance(form, Affine) and len(form.terms) == 1):
            continue
        ((source, matrix),) = form.terms
        if source is not model.circuit.prompt.covariate or form.shift is not None:
            continue
        rows = model.allocation[wire]
        units = np.array([model.stream.rows[row].unit for row in rows])
        together = model.circuit.prompt.box.images((units @ matrix)[None, :])
        spared += max(0.0, float(stored[rows].sum()) - 1.01 * float(together[0]))
    return spared


def _stored(
    model: CompiledCircuit, layer: int, square: EnclosedSquare, wings: EnclosedWings | None
) -> np.ndarray:
    """The largest magnitude that each computed row can hold in any column, in stored units.

    Where a product's factors are out of their range, in columns that it is not meant for, it
    holds no more than A times its largest argument, times its area.
    """
    rows = len(model.allocation.rows)
    largest = np.zeros(rows)
    box = model.circuit.prompt.box
    entry = max(box.covariate, box.label)
    for wire in model.wires:
        places = model.allocation[wire]
        if isinstance(wire, Token):
            largest[places] = entry
            continue
        if not any(
            wire is held
            for scheduled in model.schedule[: layer + 1]
            for held in (*scheduled.attended, *scheduled.multiplied)
        ):
            continue
        bound = model.ranges[wire].bound
        if isinstance(wire, ProductSum):
            natural = wings if wings is not None and is_square(wire) else None
            bound = np.maximum(bound, _out_of_range(model, wire, largest, square, natural))
        for rows_of, size in zip(model.allocation.all_rows(wire), bound, strict=True):
            largest[rows_of] = np.maximum(largest[rows_of], size)
    units = np.array([row.unit for row in model.stream.rows[:rows]])
    stored: np.ndarray = 1.01 * largest * units
    return stored


def _out_of_range(
    model: CompiledCircuit,
    wire: ProductSum,
    largest: np.ndarray,
    square: EnclosedSquare,
    wings: EnclosedWings | None,
) -> np.ndarray:
    total = np.zeros(wire.dim)
    for matrix, left, right in wire.terms:
        arguments = np.zeros(left.dim)
        area = model.ranges[left].bound * model.ranges[right].bound
        for factor in (left, right):
            for source, weights in getattr(factor, "terms", ()):
                reach = np.abs(weights) @ largest[model.allocation[source]]
                bound = model.ranges[factor].bound
                arguments += np.divide(reach, bound, out=np.zeros_like(reach), where=bound > 0)
            arguments += np.abs(getattr(factor, "bias", np.zeros(left.dim)))
        growth = area * square.amplification * arguments * 2
        if wings is not None:  # the core's and the wings' slopes, on an argument in natural units
            steepest = wings.core.amplification + wings.steepest
            growth = steepest * arguments * model.ranges[left].bound
        total += np.abs(matrix) @ growth
    return total
