"""What one layer's neurons get wrong: how they read factors, square them and add them up."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from constructions.certificate.bounds import CertificateError
from constructions.certificate.layer_norm import LayerNormErrors
from constructions.certificate.rounding import RoundingModel
from constructions.certificate.scores import ScoreErrors
from constructions.certificate.sizes import Sizes, Vector
from constructions.certificate.squares import EnclosedSquare, SquareErrors, summation
from constructions.certificate.wings import EnclosedWings
from constructions.compiled_circuit import CompiledCircuit
from constructions.passes.allocate import is_square
from constructions.values import Affine, Array, ProductSum, Value


@dataclass(frozen=True)
class Read:
    """How neurons read one factor, divided by its range.

    Parameters
    ----------
    common
        The error that all neurons share: the rows' own, and LayerNorm's.
    size
        The magnitudes that a neuron adds up, LayerNorm's mean included.
    terms
        How many rows it adds, the zero row included where the weights do not cancel.
    """

    common: float
    size: float
    terms: int


@dataclass(frozen=True)
class FeedForward:
    """The feed-forward part of one layer, under a model of arithmetic.

    Parameters
    ----------
    model, sizes, rounding, square
        As in `Analysis`.
    norm
        What LayerNorm costs in this layer.
    error_of
        The error that a wire has when it is read (dim,).
    wings
        The gadget of squares that have wings.
    near
        The error of an entry as (constant, slope) of t, where it is at most a given size + |t|;
        needed with wings.
    """

    model: CompiledCircuit
    sizes: Sizes
    rounding: RoundingModel
    square: EnclosedSquare
    norm: LayerNormErrors
    error_of: Callable[[Value], Vector]
    wings: EnclosedWings | None = None
    near: Callable[[Value, int, float], tuple[float, float]] | None = None

    def products(self, wire: ProductSum) -> Vector:
        """Return the error of a sum of products (dim,)."""
        neurons = self._neurons(wire)
        total: Vector = np.zeros(wire.dim)
        for matrix, left, right in wire.terms:
            errors = [self._product(left, right, t, neurons) for t in range(left.dim)]
            total = total + np.abs(matrix) @ np.array(errors)
        return total

    def scores(self, wire: ProductSum) -> ScoreErrors:
        """Return the error of a diagonal sum of squares, as a function of what is squared."""
        if self.wings is not None and is_square(wire):
            return self._winged(wire, self.wings)
        adding = summation(self._neurons(wire), self.rounding)
        parts = []
        for matrix, factor, _ in wire.terms:
            bounds, weight = self.model.ranges[factor].bound, np.abs(np.diag(matrix))
            squares = [self._square(factor, t) for t in range(factor.dim)]
            linear = np.array([s.linear for s in squares]) + adding * self.square.amplification
            quadratic = np.array([s.quadratic for s in squares]) + adding
            parts.append(
                ScoreErrors(
                    weight * bounds**2 * np.array([s.constant for s in squares]),
                    weight * bounds * linear,
                    weight * quadratic,
                    weight,
                    (factor,),
                    sign=-1 if (matrix < 0).any() else 1,
                )
            )
        return ScoreErrors.of_terms(parts)

    def _winged(self, wire: ProductSum, wings: EnclosedWings) -> ScoreErrors:
        """The same for squares with wings, in natural units."""
        ((matrix, factor, _),) = wire.terms
        weight = np.abs(np.diag(matrix))
        spread = len(self.model.allocation.all_rows(wire)[0]) > 1
        errors = [
            wings.errors(self.rounding, *self._difference(factor, t), self.norm, spread=spread)
            for t in range(factor.dim)
        ]
        constant, linear, quadratic = (
            weight * np.array([getattr(e, name) for e in errors])
            for name in ("constant", "linear", "quadratic")
        )
        sign = -1 if (matrix < 0).any() else 1
        return ScoreErrors(constant, linear, quadratic, weight, (factor,), sign=sign)

    def _difference(self, factor: Value, entry: int) -> tuple[float, float, float]:
        """A, E_0 and E_1: two rows are together at most A + |t|, off by at most E_0 + E_1 |t|.

        Raises
        ------
        CertificateError
            If the factor is not the difference of two rows of the same unit.
        """
        found = [
            (source, int(i), float(row[i]))
            for source, row in _forms(factor, entry)
            for i in np.flatnonzero(row)
        ]
        places = [self.model.allocation[source][i] for source, i, _ in found]
        units = {self.model.stream.rows[place].unit for place in places}
        shift = factor.shift if isinstance(factor, Affine) else None
        signs = sorted(sign for *_, sign in found)
        if self.near is None or signs != [-1.0, 1.0] or len(units) > 1 or shift is not None:
            raise CertificateError("squares with wings need differences of two rows as factors")
        sizes = [float(self.sizes.bound(source)[i]) for source, i, _ in found]
        # Each is at most the other and |t|.
        parts = [self.near(source, i, min(sizes)) for source, i, _ in found]
        constant, slope = (sum(part[k] for part in parts) for k in range(2))
        mean = self.norm.mean / units.pop()
        return 2 * (min(sizes) + mean + constant), constant, slope

    def _neurons(self, wire: ProductSum) -> int:
        """The most neurons that write into one row of the wire."""
        counts = np.zeros(wire.dim, dtype=int)
        shared = len(self.model.allocation.all_rows(wire)[0])
        for matrix, left, right in wire.terms:
            each = self.square.neurons * (1 if left is right else 2)
            counts += each * -(-(matrix != 0).sum(axis=1) // shared)
        return int(counts.max())

    def _square(self, factor: Value, entry: int) -> SquareErrors:
        read = self._read(factor, entry)
        odd, rough = self._own_rounding(read.size, read.terms)
        return self.square.errors(self.rounding, read.common, odd, rough, self.norm.scale)

    def _product(self, left: Value, right: Value, entry: int, neurons: int) -> float:
        """The error of x y = X Y (t_1^2 - t_2^2), t = (x/X +- y/Y) / 2."""
        bounds = [float(self.model.ranges[f].bound[entry]) for f in (left, right)]
        area = bounds[0] * bounds[1]
        if area == 0:
            return 0.0
        first, second = self._read(left, entry), self._read(right, entry)
        x, y = (
            min(float(self.sizes.bound(f)[entry]) / b, 1.0)
            for f, b in zip((left, right), bounds, strict=True)
        )
        # What both squares read in common acts like an error of the factors themselves.
        factors = x * second.common + y * first.common + first.common * second.common
        size = (first.size + second.size) / 2
        odd, rough = self._own_rounding(size, first.terms + second.terms + 1)
        rest = self.square.errors(self.rounding, 0.0, odd, rough, self.norm.scale)
        adding = summation(neurons, self.rounding)
        # |t_1| + |t_2| and t_1^2 + t_2^2 are at most the larger of |x|/X and |y|/Y, and its square.
        largest = max(x, y)
        linear = rest.linear + adding * self.square.amplification
        quadratic = rest.quadratic + 2 * adding
        return area * (
            factors * (1 + 4 * self.rounding.unit_roundoff)
            + 2 * rest.constant
            + linear * largest
            + quadratic * largest**2
        )

    def _own_rounding(self, size: float, terms: int) -> tuple[float, float]:
        """Rounding of the neurons' weights and sums: what is odd, and what has no symmetry."""
        dot = self.rounding.gamma(terms) * size
        weighing = 6 * self.rounding.unit_roundoff * size
        return (dot + weighing, 0.0) if terms <= 2 else (weighing, dot)

    def _read(self, factor: Value, entry: int) -> Read:
        bound = float(self.model.ranges[factor].bound[entry])
        if bound == 0:
            return Read(0.0, 0.0, 0)
        stream, u = self.model.stream, self.rounding.unit_roundoff
        common = sizes = balance = 0.0
        terms = 0
        for source, row in _forms(factor, entry):
            weights = np.abs(row)
            units = np.array([stream.rows[r].unit for r in self.model.allocation[source]])
            held = self.sizes.bound(source) + self.error_of(source)
            held = held + np.where(weights > 0, self.norm.mean / units, 0.0)
            common += float(weights @ (self.error_of(source) + 2 * u * held))
            sizes += float(weights @ held)
            terms += int((weights > 0).sum())
            balance += float((row / units).sum())
        shift = float(factor.bias[entry]) if isinstance(factor, Affine) else 0.0
        if shift != 0:
            unit = stream.rows[stream.shift()].unit
            held_shift = abs(shift) * (1 + self.norm.mean / unit)
            common, sizes = common + 2 * u * held_shift, sizes + held_shift
            terms, balance = terms + 1, balance + shift / unit
        return Read(common / bound, sizes / bound, terms + (balance != 0))


def is_score(wire: ProductSum) -> bool:
    """Whether a wire is a sum of squares, entry by entry, with weights of one sign."""
    if any(matrix.shape[0] != matrix.shape[1] for matrix, _, _ in wire.terms):
        return False
    weights = [np.diag(matrix) for matrix, _, _ in wire.terms]
    same = all(np.array_equal(w, weights[0]) for w in weights)
    one_sign = bool((weights[0] > 0).all() or (weights[0] < 0).all())
    return (
        same
        and one_sign
        and all(
            left is right and np.array_equal(matrix, np.diag(np.diag(matrix)))
            for matrix, left, right in wire.terms
        )
    )


def _forms(factor: Value, entry: int) -> list[tuple[Value, Array]]:
    if isinstance(factor, Affine):
        return [(source, matrix[entry]) for source, matrix in factor.terms]
    return [(factor, np.eye(factor.dim)[entry])]
