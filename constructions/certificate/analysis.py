"""Composes the error of a compiled circuit wire by wire, as docs/certificates.md derives it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatchmethod
from math import log, sqrt

import numpy as np

from constructions.architecture import LayerWeights
from constructions.certificate.bounds import Bound, CertificateError
from constructions.certificate.feed_forward import FeedForward, is_score
from constructions.certificate.layer_norm import layer_norm_errors
from constructions.certificate.rounding import RoundingModel
from constructions.certificate.scores import ScoreErrors, gibbs
from constructions.certificate.selection import constant_logits, highest_other
from constructions.certificate.sizes import Sizes, Vector
from constructions.certificate.squares import EnclosedSquare, enclose
from constructions.certificate.sums import sum_in_parts
from constructions.certificate.wings import enclose_wings
from constructions.compiled_circuit import CompiledCircuit
from constructions.layer_plan import Head
from constructions.values import (
    Affine,
    Array,
    Attention,
    Fetch,
    Mixture,
    Previous,
    ProductSum,
    Sum,
    Token,
    Value,
)


@dataclass(frozen=True)
class WireError:
    """How far a wire may be from its exact value.

    Parameters
    ----------
    rounding
        Absolute bound for each entry (dim,).
    scores
        For a wire that is a sum of squares, the same as a function of the score; else None.
    mixing
        For a mixture: what its logits are off by, besides ``rounding``; else None.
    """

    rounding: Vector
    scores: ScoreErrors | None = None
    mixing: ScoreErrors | None = None


class Analysis:
    """The errors of all wires of a compiled circuit, for prompts of given sizes.

    Parameters
    ----------
    model
        A network with constant prefix columns.
    sizes
        How large values are.
    square
        The gadget; by default the network's own.

    Raises
    ------
    CertificateError
        If a step of the argument fails; the message says which.
    """

    def __init__(
        self, model: CompiledCircuit, sizes: Sizes, square: EnclosedSquare | None = None
    ) -> None:
        if not model.stream.before:
            raise CertificateError("networks without constant prefix columns have no certificate")
        self.model = model
        self.sizes = sizes
        self.rounding = RoundingModel.of(model.dtype)
        self.square = enclose(model.square) if square is None else square
        winged = model.winged
        self.wings = None if winged is None else enclose_wings(winged, self.rounding)
        self._errors: dict[int, WireError] = {}
        # Of products: the error that does not come from the logits of a mixture.
        self._alone: dict[int, Vector] = {}
        self._layer = 0
        for token in model.folded.values():
            if not isinstance(token, Token):
                continue
            # float64 tokens are stored as they are, in units that are powers of two.
            exact = self.rounding.unit_roundoff <= 2.0**-53
            lost = 0.0 if exact else self.rounding.unit_roundoff
            self._errors[id(token)] = WireError(lost * self._bound(token))
        for layer, scheduled in enumerate(model.schedule):
            self._layer = layer
            for head, wire in enumerate(scheduled.attended):
                self._errors[id(wire)] = self._attended(wire, head)
            if scheduled.multiplied:
                self._multiply(layer, scheduled.multiplied)

    def _multiply(self, layer: int, wires: Sequence[ProductSum]) -> None:
        norm = layer_norm_errors(self.model, layer, self.rounding, self.square, self.wings)
        shared = (self.model, self.sizes, self.rounding, self.square, norm)
        feed_forward = FeedForward(*shared, self.total, self.wings, self.near)
        for wire in wires:
            if is_score(wire):
                scores = feed_forward.scores(wire)
                self._errors[id(wire)] = WireError(scores.largest(self.sizes), scores)
            else:
                self._errors[id(wire)] = WireError(feed_forward.products(wire))
                alone = FeedForward(*shared, lambda source: self.error(source).rounding)
                self._alone[id(wire)] = alone.products(wire)

    def error(self, wire: Value) -> WireError:
        """Return the error of a wire."""
        return self._errors[id(wire)]

    def total(self, wire: Value) -> Vector:
        """Return all that a wire may be off by (dim,): a mixture's logits count, too."""
        held = self.error(wire)
        everything: Vector = held.rounding + self._mixed(wire, held)
        return everything

    def answer(self) -> Bound:
        """Return the bound on the output, as a tree.

        The read-out, at the end, is a sum in float64.
        """
        output = self.model.folded.output
        sharp = self._mixture_times_token(output)
        if sharp is not None:
            return sharp
        value, _ = self._operand(output, terms_extra=2)
        return Bound.sum("answer", Bound("answer, entry by entry", float(value.max())))

    # --- attention -------------------------------------------------------------------------

    @singledispatchmethod
    def _attended(self, wire: Value, head: int) -> WireError:
        raise CertificateError(f"no rule for {type(wire).__name__}")

    @_attended.register(Previous)
    @_attended.register(Fetch)
    def _(self, wire: Previous | Fetch, head: int) -> WireError:
        self._check_attention(wire, head, most=1)
        if self.model.plans[self._layer].heads[head].in_parts:
            return WireError(self._in_parts(wire.source, head))
        error, _ = self._operand(wire.source, terms_extra=2)
        return WireError(error)

    def _in_parts(self, operand: Value, head: int) -> Vector:
        """The error of linear forms of one wire that a head adds up part by part."""
        planned = self.model.plans[self._layer].heads[head]
        entries = range(operand.dim)
        return np.array([self._entry_in_parts(operand, planned, t, np.inf)[0] for t in entries])

    def _entry_in_parts(
        self, operand: Value, head: Head, entry: int, near: float
    ) -> tuple[float, float]:
        """The error of one of these forms: constant, and slope, where it is at most near + |t|."""
        single = _single(operand)
        if single is None:
            raise CertificateError("no rule for sums in parts of more than one value")
        source, matrix = single
        off = self.error(source).rounding
        rows = self.model.allocation[source]
        held = dict(zip(rows, (self._bound(source) + off).tolist(), strict=True))
        form = list(head.values.values())[entry]
        constant, slope = sum_in_parts(form, held, self.rounding, near)
        return constant + float(np.abs(matrix[entry]) @ off), slope

    def near(self, wire: Value, entry: int, size: float) -> tuple[float, float]:
        """Return the error of an entry as (constant, slope) of t, where it is at most size + |t|.

        A sum in parts errs by less if it comes out small.
        """
        for layer, scheduled in enumerate(self.model.schedule):
            heads = self.model.plans[layer].heads
            for head, attended in zip(heads, scheduled.attended, strict=True):
                if attended is wire and head.in_parts:
                    return self._entry_in_parts(wire.sources[0], head, entry, size)
        return float(self.total(wire)[entry]), 0.0

    @_attended.register
    def _(self, wire: Sum, head: int) -> WireError:
        self._check_attention(wire, head, most=None)
        rounding, count = self.rounding, self.sizes.count(wire.source)
        most = len(wire.source.columns.of(self.model.circuit.prompt.max_examples)) + 1
        # exp and its argument, twice; the sum of the weights; a division; the weighted sum.
        relative = rounding.gamma(2 * rounding.exp + 3 * log(most) + 2 * most + 6)
        terms = self._terms(wire.source)
        relative = relative + rounding.gamma(terms + 4)
        summand, scores = self._operand(wire.source, terms_extra=3)
        size = self.sizes.bound(wire.source) + summand
        if scores is not None:
            summed = scores.summed(count, relative, most)
            return WireError(summed.largest(self.sizes), summed)
        # What the sink's column holds where it should hold 0 counts ``most`` times at most.
        return WireError(count * (summand + relative * size) + most * summand)

    @_attended.register
    def _(self, wire: Mixture, head: int) -> WireError:
        rounding, logits = self.rounding, wire.logits
        self._check_mixture(wire, head)
        error, scores = self._operand(logits, terms_extra=3)
        terms = self._terms(logits)
        constant = np.abs(logits.bias) if isinstance(logits, Affine) else np.zeros(logits.dim)
        # The logit itself, and the argument of exp, at most as large.
        relative = rounding.gamma(2 * terms + 6)
        if scores is None or scores.sign > 0:
            # Gibbs' inequality bounds mean scores L of logits -L, not of logits +L.
            size = self.sizes.bound(logits)
            mixing = ScoreErrors.absolute(float((error + 2 * relative * size).max()))
        else:
            mixing = scores.with_rounding(relative, float(constant.max()))
        size = np.abs(wire.components).max(axis=1)
        # exp, the sum of the weights, the division, the sum over components, its weights.
        spread = rounding.gamma(2 * rounding.exp + 2 * logits.dim + 6)
        return WireError(spread * size, mixing=mixing)

    @_attended.register
    def _(self, wire: Attention, head: int) -> WireError:
        rounding = self.rounding
        query, _ = self._operand(wire.query, terms_extra=3)
        key, _ = self._operand(wire.key, terms_extra=3)
        value, _ = self._operand(wire.value, terms_extra=3)
        sizes = [self.sizes.bound(part) for part in (wire.query, wire.key)]
        logit = float(query @ sizes[1] + key @ sizes[0] + query @ key)
        logit += rounding.gamma(wire.query.dim + 6) * 3 * float(sizes[0] @ sizes[1])
        count = self.sizes.count(wire.key)
        size = self.sizes.bound(wire.value)
        # |Cov(a, v)| <= 2 |a| |v| / 2 along the path; weights and sums as for a mixture.
        relative = rounding.gamma(2 * rounding.exp + 3 * count + 6)
        return WireError(value + (2 * logit + relative) * size)

    def _check_attention(self, wire: Value, head: int, most: int | None) -> None:
        """Prove that a head sees what it should: the selected columns, or the sink."""
        model = self.model
        stream = model.stream
        constant_rows = np.array([row.constant is not None for row in stream.rows])
        constants = model.constants.double().numpy()
        weights: LayerWeights = model.layers[self._layer].weights()
        logits = constant_logits(weights, head, constants, constant_rows, self.rounding)
        seen = logits.attended(self.rounding)
        examples = model.circuit.prompt.max_examples
        targets = stream.columns(wire.columns.of(examples))
        (source,) = wire.sources
        sources = stream.columns(source.columns.of(examples))
        for column in range(1, stream.num_columns):
            found = set(np.flatnonzero(seen[column]).tolist())
            expected = self._expected(wire, column, targets, sources)
            if found != expected:
                raise CertificateError(
                    f"layer {self._layer + 1}, head {head + 1}: column {column} may attend to "
                    f"columns {sorted(found)[:6]}, expected {sorted(expected)[:6]}; fewer examples "
                    "or float64 keep columns apart"
                )

    def _check_mixture(self, wire: Mixture, head: int) -> None:
        """Prove that only basis columns get weight, whatever the logits of the prompt are."""
        stream = self.model.stream
        constants = self.model.constants.double().numpy()
        constant_rows = np.array([row.constant is not None for row in stream.rows])
        weights: LayerWeights = self.model.layers[self._layer].weights()
        found = highest_other(
            weights,
            head,
            constants,
            constant_rows,
            num_basis=wire.logits.dim,
            targets=stream.columns(wire.columns.of(self.model.circuit.prompt.max_examples)),
            rounding=self.rounding,
        )
        # The range holds for exact logits; computed ones are off by far less than 1.
        reach = float(self.model.ranges[wire.logits].largest) + 1.0
        if found + reach > -self.rounding.underflow:
            raise CertificateError(
                f"layer {self._layer + 1}, head {head + 1}: columns that carry no component may "
                f"get weight, their logits reach {found:.3g} and those of components -{reach:.3g}; "
                "use more noise or a smaller box"
            )

    def _expected(
        self, wire: Value, column: int, targets: frozenset[int], sources: frozenset[int]
    ) -> set[int]:
        if column not in targets:
            return {0}
        if isinstance(wire, Previous):
            return {column - 1}
        if isinstance(wire, Fetch):
            (fetched,) = self.model.stream.columns([wire.column])
            return {fetched if fetched < column else 0}
        return {0} | {s for s in sources if s < column}

    # --- operands --------------------------------------------------------------------------

    def _bound(self, wire: Value) -> Vector:
        return self.sizes.bound(wire)

    def _terms(self, operand: Value) -> int:
        """The most rows that one entry of an operand adds up."""
        if not isinstance(operand, Affine):
            return 1
        counts = sum(
            ((matrix != 0).sum(axis=1) for _, matrix in operand.terms),
            np.zeros(operand.dim, dtype=int),
        )
        return int((counts + (operand.bias != 0)).max())

    def _operand(self, operand: Value, terms_extra: int) -> tuple[Vector, ScoreErrors | None]:
        """The error of an operand that a head reads: its wires' errors, and rounding."""
        forms: Sequence[tuple[Value, Array]] = (
            operand.terms if isinstance(operand, Affine) else ((operand, np.eye(operand.dim)),)
        )
        bias = operand.bias if isinstance(operand, Affine) else np.zeros(operand.dim)
        gamma = self.rounding.gamma(self._terms(operand) + terms_extra)
        error: Vector = gamma * np.abs(bias)
        scores = None
        for source, matrix in forms:
            held = self.error(source)
            weights = np.abs(matrix)
            own = held.rounding + self._mixed(source, held)
            error = error + weights @ own + gamma * (weights @ (self._bound(source) + own))
            if held.scores is not None and len(forms) == 1:
                scores = held.scores.scaled(matrix, gamma)
        return error, scores

    def _mixed(self, source: Value, held: WireError) -> Vector:
        """The error of a mixture's entries on their own."""
        if held.mixing is None or not isinstance(source, Mixture):
            return np.zeros(source.dim)
        ranges = np.ptp(source.components, axis=1)
        least = self._least_score(source, held.mixing)
        count = source.logits.dim
        return np.array([gibbs(held.mixing, float(r), least, count).value for r in ranges])

    def _least_score(self, mixture: Mixture, mixing: ScoreErrors) -> float:
        return mixing.least(self.sizes, mixture.logits)

    def _read_out(self, wire: ProductSum) -> float:
        """What adding up the rows of a wire costs, in float64, after the last layer."""
        additions = len(self.model.allocation.all_rows(wire)[0]) - 1
        total = sum(
            float(np.abs(matrix[0]) @ (self._bound(left) * self._bound(right)))
            for matrix, left, right in wire.terms
        )
        return 1.01 * additions * 2.0**-53 * total

    def _mixture_times_token(self, output: Value) -> Bound | None:
        """The bound on an answer <mixture, token>, sharper than entry by entry; None for others."""
        if not (isinstance(output, Affine) and len(output.terms) == 1 and output.shift is None):
            return None
        wire, matrix = output.terms[0]
        if not isinstance(wire, ProductSum) or len(wire.terms) != 1 or wire.dim != 1:
            return None
        scale = float(np.abs(matrix).max())
        weights, *factors = wire.terms[0]
        for mixed, token in (factors, factors[::-1]):
            first, second = _single(mixed), _single(token)
            if first is None or second is None:
                continue
            (mixture, left), (source, right) = first, second
            if not (isinstance(mixture, Mixture) and isinstance(source, Token)):
                continue
            held = self.error(mixture)
            if held.mixing is None or matrix.shape != (1, 1):
                continue
            form = scale * left.T @ (weights.T * right)
            spread = self.sizes.spread(mixture.components.T @ form, source)
            alone = float(self._alone[id(wire)][0]) + self._read_out(wire)
            products = Bound("products of the last layer", scale * alone)
            least = self._least_score(mixture, held.mixing)
            mixed_up = gibbs(held.mixing, spread, least, mixture.logits.dim)
            return Bound.sum("answer", products, mixed_up)
        return None


def _single(factor: Value) -> tuple[Value, Array] | None:
    """The wire and the matrix of a factor that is a linear map of one wire."""
    if not isinstance(factor, Affine) or len(factor.terms) != 1 or factor.shift is not None:
        return None
    return factor.terms[0]


def margin(value: float) -> float:
    """Widen a bound by more than the rounding of its own computation, which only adds."""
    return value * (1 + 1e-9) + sqrt(np.finfo(float).tiny)
