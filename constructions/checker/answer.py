"""Layer 3's products: sum_l wbar_l x_l, with bounds on its error by source."""

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from constructions.checker.heads import Softmax
from constructions.checker.layer_norm import Normalised
from constructions.checker.rounding import OWN_UNIT, SLACK, bound_by
from constructions.checker.squares import (
    Frame,
    Group,
    Reading,
    Square,
    square_errors,
    square_of,
)
from constructions.checker.wiring import MismatchError, Reads, Wiring, groups


def answer_errors(net: Wiring, mixed: Softmax, normalised: Normalised) -> Mapping[str, float]:
    """Return bounds on the error of the answer, given exact posterior weights, by source.

    Parameters
    ----------
    net
        The network.
    mixed
        What layer 3's head brings.
    normalised
        LayerNorm of the columns of covariates in layer 3.

    Raises
    ------
    MismatchError
        If a neuron that writes the answer is none of a product x_l wbar_l.
    """
    box, layout = net.stored.certificate.box, net.layout
    total = float(bound_by(net.stored.components, box.covariate, box.covariate_norm).max())
    factors = bound_by(mixed.forms, box.covariate, box.covariate_norm)
    static = float((mixed.value_errors @ factors).max())
    entered = 0.0 if net.stored.certificate.dtype == "float64" else 1.01 * net.rounding.unit
    # The relative error of exp does not hold for numbers that are not normal.
    vanishing = 4 * len(mixed.values) * net.rounding.tiny
    errors = {
        "components as stored": static,
        "rounding of the posterior's mean": 1.01
        * (mixed.mean_error + entered + vanishing)
        * (total + static),
    }
    inward, outward = net.matrix(2, "inward"), net.matrix(2, "outward")[list(layout.answer)]
    written = 0
    largest = (np.abs(mixed.values) + mixed.value_errors).max(axis=0)
    # The rows of the answer are added up in float64, after the last layer.
    additions = 1.01 * (len(outward) - 1) * OWN_UNIT
    errors["read-out"] = additions * float((factors * largest).sum())
    for entry, (form, row) in enumerate(zip(mixed.forms, layout.mixture, strict=True)):
        rows = Reads(list(layout.token), int(np.abs(form).argmax()), row, layout.zero)
        # The first row of the answer that any of the product's neurons writes.
        holds = (outward[:, inward[:, row] != 0] != 0).any(axis=1)
        place = int(holds.argmax())
        found = groups(inward, outward[place], rows, f"layer 3: product {entry + 1}")
        neurons = int(np.count_nonzero(outward[place]))
        written += sum(2 * len(group.outward) for group in found)
        units = (net.stored.units[rows.first], float(net.stored.units[row]))
        scale = 1 / Fraction(float(net.stored.units[layout.answer[place]]))
        frame = Frame(units, net.bypass, len(net.stored.units), scale)
        sizes = (float(factors[entry]), float(largest[entry]) * (1 + mixed.mean_error) * SLACK)
        squares = _squares(found, form, rows.main, sizes, frame)
        product = {"coefficients": _coefficient_error(squares, sizes)}
        widest = (1 + entered) * box.covariate, (1 + entered) * box.covariate_norm
        reading = Reading(*widest, sizes[1], 0.0, units, normalised)
        for square, _ in squares:
            parts = square_errors(square, reading, neurons, net.rounding)
            for source, (p0, p1, p2) in parts.items():
                error = p0 + p1 * square.reach + p2 * square.reach**2
                product[source] = product.get(source, 0.0) + error
        for source, error in product.items():
            errors[f"products: {source}"] = errors.get(f"products: {source}", 0.0) + error
    if written != np.count_nonzero(outward):
        raise MismatchError("layer 3: a neuron writes the answer but is part of no product")
    return errors


def _squares(
    found: list[Group],
    form: Float[np.ndarray, " d"],
    main: int,
    sizes: tuple[float, float],
    frame: Frame,
) -> list[tuple[Square, Fraction]]:
    """The squares of w + rho a, a = <form, x>, times b and -b, b = 1 / 2 (rho_1 - rho_2)."""
    ratios = [_ratio(group, form, main, frame) for group in found]
    if not found:  # nothing is multiplied where a factor is always 0
        return []
    if len(found) != 2:
        raise MismatchError("layer 3: a product is not a difference of two squares")
    gain = 1 / (2 * (ratios[0] - ratios[1]))
    pairs = zip(found, ratios, (gain, -gain), strict=True)
    return [
        (square_of(group, form, r, sizes[1] + abs(float(r)) * sizes[0], frame, gain=b), r)
        for group, r, b in pairs
    ]


def _ratio(group: Group, form: Float[np.ndarray, " d"], main: int, frame: Frame) -> Fraction:
    """The first pair's rho: any will do, the others are compared with it."""
    first, second = Fraction(float(group.first[0, main])), Fraction(float(group.second[0]))
    scaled = first * Fraction(float(frame.units[0][main])) / Fraction(float(form[main]))
    return scaled / (second * Fraction(frame.units[1]))


def _coefficient_error(squares: list[tuple[Square, Fraction]], sizes: tuple[float, float]) -> float:
    """The terms x w, x^2 and w^2 of the sum of squares, less x w."""
    x, w = sizes
    mixed = abs(sum((2 * s.gain * r for s, r in squares), Fraction(-1)))
    first = abs(sum((s.gain * r * r for s, r in squares), Fraction(0)))
    second = abs(sum((s.gain for s, _ in squares), Fraction(0)))
    return (float(mixed) * x * w + float(first) * x**2 + float(second) * w**2) * SLACK
