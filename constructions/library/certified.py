"""Certificates of hand-built f*_pi: for every prompt of the box, and for the prompt at hand."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from constructions.certificate.analysis import Analysis, margin
from constructions.certificate.bounds import Bound, Certificate, CertificateError
from constructions.certificate.rounding import RoundingModel
from constructions.certificate.sizes import BoxSizes, PromptSizes
from constructions.certificate.squares import enclose
from constructions.compiled_circuit import CompiledCircuit
from constructions.gadgets import SquareGadget, square_gadget
from constructions.passes.allocate import is_square
from constructions.values import Fetch, Mixture, Previous, ProductSum, Sum, Value
from constructions.winged import (
    DOUBLE,
    SINGLE,
    SquarePlan,
    WingedSquare,
    fitted_square,
    winged_square,
)
from theory import PromptBatch

#: A stored certificate states this many times the bound: a checker that reasons otherwise may come
#: out a little above it (with coarse gadgets, up to 1.3 times).
ROOM = 1.5

#: The same for networks with wings, whose checked bounds come out below.
WINGED_ROOM = 1.1

#: How much further than residuals squares with wings reach.
FURTHER = 1.02

#: The largest gadget that a tolerance may ask for: 2n neurons a square.
LARGEST_ORDER = 14


def certify_circuit(model: CompiledCircuit) -> Bound:
    """Return a bound on the error of any compiled circuit, for all prompts of its box, as a tree.

    Raises
    ------
    CertificateError
        If the network has no constant prefix columns, or a step of the argument fails.
    """
    return _widened(Analysis(model, BoxSizes(model.ranges)).answer())


def certify_box(model: CompiledCircuit, square: SquareGadget | None = None) -> Certificate:
    """Return the bounds on |TF(P) - f*_pi(P)| for all prompts of the model's box.

    Parameters
    ----------
    model
        A network of f*_pi for K examples.
    square
        The gadget; by default the model's own.

    Raises
    ------
    CertificateError
        If a step of the argument fails; the message says which, and what to relax.
    """
    enclosed = enclose(model.square if square is None else square)
    explained = float(model.circuit.prompt.max_examples)
    box, likely = (
        Analysis(model, BoxSizes(model.ranges, least), enclosed).answer()
        for least in (None, explained)
    )
    # A certificate for part of the box is never worse than that of the whole.
    return Certificate(_widened(box), _widened(min(likely, box, key=lambda bound: bound.value)))


def certify_prompts(model: CompiledCircuit, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
    """Return a bound on the error of the answers to each prompt, at every prefix, (batch,).

    Raises
    ------
    CertificateError
        As `certify_box`.
    """
    enclosed, tokens = enclose(model.square), prompts.interleaved()
    bounds = []
    for token in tokens:
        sizes = PromptSizes(model.ranges, model.folded, token[None])
        bounds.append(margin(Analysis(model, sizes, enclosed).answer().value))
    return np.array(bounds)


def gadget_within(model: CompiledCircuit, tolerance: float) -> SquareGadget:
    """Return the smallest gadget with which the explained certificate is within a tolerance.

    Parameters
    ----------
    model
        The network, with any gadget.
    tolerance
        The bound to meet, > 0.

    Raises
    ------
    CertificateError
        If none is; the message names the largest part of the best bound, and what to relax.
    """
    _check_positive(tolerance)
    if not model.stream.before:
        raise CertificateError(
            "networks without constant prefix columns have no certificate: build with prefix "
            "columns, or without a tolerance"
        )
    best: Bound | None = None
    for order in range(1, LARGEST_ORDER + 1):
        last = np.inf
        for digits in range(2, 16):
            square = square_gadget(order, 10.0**-digits)
            try:
                bound = _explained(model, square)
            except CertificateError:
                continue  # scores too coarse with this gadget; a finer one may do
            if bound.value <= tolerance:
                return square
            if best is None or bound.value < best.value:
                best = bound
            if bound.value > last:
                break  # from here on rounding, which finer scales amplify, outweighs truncation
            last = bound.value
    raise CertificateError(_unreachable(tolerance, best, model.dtype))


def _check_positive(tolerance: float) -> None:
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}, expected a positive number")


def within_reach(model: CompiledCircuit, tolerance: float) -> bool:
    """Whether it is worth looking for a plain gadget: the best are not twice as good as this."""
    _check_positive(tolerance)
    try:
        return _explained(model, fitted_square(plan_for(model.dtype))).value <= 2 * tolerance
    except CertificateError:
        return True  # the search says why


def wings_for(model: CompiledCircuit, noise_std: float) -> WingedSquare | None:
    """Return a gadget with wings for a network's squared residuals; None if it takes none.

    Squares with wings are for constant prefix columns and sums over examples, that is three layers.
    """
    residuals = [
        wire.terms[0][1]
        for scheduled in model.schedule
        for wire in scheduled.multiplied
        if is_square(wire)
    ]
    summed = any(isinstance(wire, Sum) for layer in model.schedule for wire in layer.attended)
    if not model.stream.before or len(residuals) != 1 or not summed:
        return None
    reach = FURTHER * float(model.ranges[residuals[0]].largest)
    return winged_square(noise_std, reach, plan_for(model.dtype))


def plan_for(dtype: torch.dtype) -> SquarePlan:
    """Return how fitted squares, with wings or without, are made for a float type."""
    return DOUBLE if dtype == torch.float64 else SINGLE


def check_within(model: CompiledCircuit, tolerance: float) -> None:
    """Raise a CertificateError if a network's explained certificate exceeds a tolerance."""
    bound = certify_box(model).explained
    if not bound.value <= tolerance:
        raise CertificateError(_unreachable(tolerance, bound, model.dtype))


def _explained(model: CompiledCircuit, square: SquareGadget) -> Bound:
    sizes = BoxSizes(model.ranges, float(model.circuit.prompt.max_examples))
    return _widened(Analysis(model, sizes, enclose(square)).answer())


def _unreachable(tolerance: float, best: Bound | None, dtype: torch.dtype) -> str:
    relax = "a larger tolerance, a smaller box, fewer examples or more noise"
    if dtype != torch.float64:
        relax = f"float64, {relax}"
    if best is None:
        return f"tolerance {tolerance:g}: no gadget gives scores that can be certified; try {relax}"
    largest = max(best.parts, key=lambda part: part.value)
    return (
        f"tolerance {tolerance:g} cannot be certified: the best bound is {best.value:.2e}, of "
        f"which {largest.value:.2e} come from: {largest.name}; try {relax}"
    )


def _widened(bound: Bound) -> Bound:
    return Bound(bound.name, margin(bound.value), bound.rule, bound.parts)


def certificate_document(model: CompiledCircuit) -> dict[str, Any]:
    """Return the certificate of a three- or two-layer network of f*_pi as data for JSON.

    Beside the bounds and their tree it names the assumptions on arithmetic and the rows of the
    stream that hold each part of the computation, so that a checker that knows nothing of the
    compiler can go through the stored weights.

    Raises
    ------
    CertificateError
        If there is no certificate.
    """
    certificate, stream = certify_box(model), model.stream
    room = ROOM if model.winged is None else WINGED_ROOM
    kinds = {
        "image": Previous,
        "fetched": Fetch,
        "product": ProductSum,
        "score": Sum,
        "mixture": Mixture,
    }
    rows = {
        name: [r for wire in model.wires if isinstance(wire, kind) for r in _rows(model, wire)]
        for name, kind in kinds.items()
    }
    answer = _rows(model, model.wires[-1])
    squares = [row for row in rows.pop("product") if row not in answer]
    scores = rows["score"] or squares
    return {
        "version": 1,
        "dtype": str(model.dtype).removeprefix("torch."),
        "max_examples": model.circuit.prompt.max_examples,
        "box": asdict(model.circuit.prompt.box),
        "assumptions": RoundingModel.of(model.dtype).as_dict(),
        "layout": {
            "token": list(range(model.circuit.prompt.dim)),
            **rows,
            "square": squares,
            "score": scores,
            "answer": answer,
            "zero": stream.zero,
            "plus": stream.plus,
            "minus": stream.minus,
            **({} if model.winged is None else {"one": stream.one()}),
        },
        "bounds": {
            "box": room * certificate.box.value,
            "explained": room * certificate.explained.value,
        },
        "tree": certificate.as_dict(),
    }


def _rows(model: CompiledCircuit, wire: Value) -> list[int]:
    """All rows of a wire, entry by entry."""
    return [row for rows in model.allocation.all_rows(wire) for row in rows]
