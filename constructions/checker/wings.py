"""Squares with wings: pairs of neurons near 0, and neurons that are silent there further out.

F(r) = sum_i c_i psi(s_i r) + sum_k c_k gelu(s_k (|r| - theta_k)), r = b - a. A pair writes a row
of its own, wings share rows, and layer 2 adds all of them up; or all share one row. On each of some
intervals of |r|, wings count that may be heard there; the others are exactly 0, by the rounding
model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import numpy as np
from flint import arb, ctx
from jaxtyping import Bool, Float

from constructions.checker.rounding import PRECISION, SLACK, Rounding, ball, upper
from constructions.checker.series import deviation, truncation
from constructions.checker.squares import (
    CURVATURE,
    Frame,
    Group,
    Polynomial,
    Reading,
    Square,
    sizes_of_inputs,
    square_errors,
    square_of,
)
from constructions.checker.wiring import MismatchError, Reads, Wiring, groups

#: Inputs beyond which gelu(x) is taken to be x; it is, up to `TAIL`, as |gelu(-x)| is.
FAR, TAIL = 9.0, 1.2e-18

#: How long intervals are: in widths of the narrowest wing between silence and FAR, and in ratio.
LENGTH, RATIO = 1.25, 1.05

#: Rounding moves inputs by far less than this; it is checked.
MARGIN = 1e-3

Numbers = Float[np.ndarray, "..."]


@dataclass(frozen=True)
class Wings:
    """The wings for one sign of r, in natural units.

    Parameters
    ----------
    slopes, shifts, factors
        s > 0, theta > 0 and c (n,).
    rows
        Which of the square's rows each writes (n,).
    offsets
        |w| for the zero row, and the exact sum of a neuron's weights, both divided by s (2, n).
    """

    slopes: Numbers
    shifts: Numbers
    factors: Numbers
    rows: Numbers
    offsets: Float[np.ndarray, "2 n"]


def winged_square(
    net: Wiring, rows: Sequence[int], image: int, reach: float, frame: Frame
) -> tuple[Square, list[Wings]]:
    """Return the core of a square, its truncation that of the whole, and its wings by sign of r.

    Parameters
    ----------
    net
        The network.
    rows, image
        The rows that the square is written to, and the row a.
    reach
        The largest |r| of any square: their gadgets are the same then, and enclosed once.
    frame
        Units and scales.

    Raises
    ------
    MismatchError
        If a row is neither a pair's nor wings', or a wing is heard on both sides of 0.
    """
    layout, inward = net.layout, net.matrix(0, "inward")
    if layout.one is None:
        raise MismatchError("layer 1: squares of several rows need a row of ones")
    reads = Reads([layout.token[0]], 0, image, layout.zero)
    pairs: list[Group] = []
    neurons: list[tuple[int, int]] = []
    for place, row in enumerate(rows):
        outward = net.matrix(0, "outward")[row]
        winged = inward[:, layout.one] != 0
        neurons += [(place, int(neuron)) for neuron in np.flatnonzero((outward != 0) & winged)]
        paired = np.where(winged, 0.0, outward)
        used = int(np.count_nonzero(paired))
        if used == 0:
            continue
        what = f"layer 1: square row {row}"
        found = groups(inward, paired, reads, what)
        if len(found) != 1 or 2 * len(found[0].outward) != used or found[0].first[0, 0] > 0:
            raise MismatchError(f"{what}: its neurons are neither pairs nor wings")
        if len(rows) > 1 and np.count_nonzero(outward) != 2:
            raise MismatchError(f"{what}: its neurons are neither one pair nor wings")
        pairs += found
    if not pairs:
        raise MismatchError("layer 1: a square has no pairs")
    parts = [np.concatenate(p) for p in zip(*map(_parts, pairs), strict=True)]
    core = square_of(Group(*parts), np.ones(1), Fraction(-1), reach, frame)
    sides = [_wings(net, neurons, rows, (image, sign), frame) for sign in (1, -1)]
    key = tuple(map(float, parts[1])), tuple(map(float, parts[3]))
    off = max(_truncation(key, frame, core.reach, side, net.rounding.silent) for side in sides)
    return replace(core, truncation=off), sides


def _parts(group: Group) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    return group.first, group.second, group.zero, group.outward


def _wings(
    net: Wiring,
    neurons: list[tuple[int, int]],
    rows: Sequence[int],
    image: tuple[int, int],
    frame: Frame,
) -> Wings:
    """The wings that rise with -a (sign 1 of r = b - a is that of b) or with a."""
    layout, rounding = net.layout, net.rounding
    inward, outward = net.matrix(0, "inward"), net.matrix(0, "outward")
    constant = net.stored.constants[layout.one]
    level = float(constant[0])
    if level <= 0 or (constant != level).any():
        raise MismatchError("constants: the row of ones is not the same positive number everywhere")
    label, row = layout.token[0], image[0]
    allowed = [label, row, layout.one, layout.zero]
    kappa = np.sqrt(frame.width / 2) / frame.bypass
    found = []
    for place, neuron in neurons:
        weights = inward[neuron]
        first, second, fixed, zero = (float(weights[column]) for column in allowed)
        rising = first * float(frame.units[0][0]), second * frame.units[1]
        if np.count_nonzero(weights) != np.count_nonzero(weights[allowed]) or rising[0] == 0:
            raise MismatchError("layer 1: a wing reads other rows than it should")
        if rising[0] != -rising[1] or fixed >= 0:
            raise MismatchError("layer 1: a wing does not rise with the residual beyond its shift")
        # r = <w, x> - y: the image is b, the label a.
        if np.sign(rising[1]) != image[1]:
            continue
        exact = sum(map(Fraction, weights[allowed].tolist()), Fraction(0))
        size = abs(rising[0])
        found.append(
            (
                size * kappa,
                -fixed * level / size,
                float(Fraction(float(outward[rows[place], neuron])) * frame.scale),
                place,
                abs(zero) / size,
                float(abs(exact)) / size,
            )
        )
    table = np.array(found).reshape(-1, 6)
    slopes, shifts, factors, rows_written = table.T[:4]
    wings = Wings(slopes, shifts, factors, rows_written, table.T[4:])
    if (wings.slopes * wings.shifts < rounding.silent + MARGIN).any():
        raise MismatchError("layer 1: a wing is heard where the residual has the other sign")
    return wings


def _heard(
    wings: Wings, ends: tuple[float, float], silent: float
) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"], Numbers, Numbers]:
    """Wings that may be heard on an interval, those of them that are linear there, their inputs."""
    low, high = (wings.slopes * (end - wings.shifts) for end in ends)
    heard = high > -silent - MARGIN
    return heard, heard & (low >= FAR), low - MARGIN, high + MARGIN


def _intervals(wings: Wings, reach: float, silent: float) -> list[tuple[float, float]]:
    """From where the first wing may be heard up to the reach."""
    first = float((wings.shifts - (silent + 2 * MARGIN) / wings.slopes).min(initial=reach))
    ends = [first]
    while ends[-1] < reach:
        step = ends[-1] * RATIO
        heard, far, _, _ = _heard(wings, (ends[-1], step), silent)
        steepest = float(wings.slopes[heard & ~far].max(initial=0.0))
        length = LENGTH / steepest if steepest > 0 else np.inf
        ends.append(min(step, ends[-1] + length, max(reach, ends[-1] * (1 + 1e-9))))
    return list(pairwise(ends))


def _truncation(
    key: tuple[tuple[float, ...], tuple[float, ...]],
    frame: Frame,
    reach: float,
    wings: Wings,
    silent: float,
) -> float:
    """A bound on |F(r) - r^2| / r^2 for 0 < |r| <= reach, one sign of r."""
    data = (tuple(part.tolist()) for part in (wings.slopes, wings.shifts, wings.factors))
    scale = (frame.units[1], frame.bypass, frame.width, frame.scale)
    return _found_truncation(key, scale, tuple(data), reach, silent)


@lru_cache(maxsize=64)
def _found_truncation(
    key: tuple[tuple[float, ...], tuple[float, ...]],
    scale: tuple[float, float, int, Fraction],
    data: tuple[tuple[float, ...], ...],
    reach: float,
    silent: float,
) -> float:
    unit, bypass, width, factor = scale
    slopes, shifts, factors = map(np.array, data)
    wings = Wings(slopes, shifts, factors, np.zeros(0), np.zeros((2, 0)))
    intervals = _intervals(wings, reach, silent)
    with ctx.workprec(PRECISION):
        kappa = (arb(width) / 2).sqrt() / arb(bypass)
        core = [
            (_ball(Fraction(c) * factor), _ball(Fraction(w) * Fraction(unit)) * kappa)
            for w, c in zip(*key, strict=True)
        ]
        first = intervals[0][0] if intervals else reach
        worst = truncation([s for _, s in core], [c for c, _ in core], arb(first), arb(1))
        missed = TAIL * 2 * sum(upper(abs(c)) for c, _ in core)
        # Stored slopes, shifts and factors, as numbers near those that the weights stand for.
        missed += TAIL * float(np.abs(wings.factors).sum())
        for ends in intervals:
            heard, far, _, _ = _heard(wings, ends, silent)
            constant, slope, gelus = arb(0), arb(0), []
            for c, s in core:
                bent = upper(s) * ends[0] < FAR
                slope += -c * s if bent else c * s
                gelus += [(2 * c, s, arb(0))] * bent
            for k in np.flatnonzero(heard).tolist():
                s, theta, c = (arb(part[k]) for part in data)
                if far[k]:
                    slope, constant = slope + c * s, constant - c * s * theta
                else:
                    gelus.append((c, s, theta))
            off = deviation((constant, slope), gelus, ends, arb(1))
            worst = max(worst, (off + missed) / ends[0] ** 2)
    return worst * SLACK


def _ball(value: Fraction) -> arb:
    return ball(value.numerator, value.denominator)


def winged_errors(
    core: Square, sides: list[Wings], reading: Reading, number: int, rounding: Rounding
) -> Mapping[str, Polynomial]:
    """Return bounds p_0 + p_1 |r| + p_2 r^2 on the error of F as computed, by source.

    Parameters
    ----------
    core, sides
        The square.
    reading
        What it reads, ``joint`` included.
    number
        How many rows it is written to.
    rounding
        The network's arithmetic.
    """
    shared = 2 * core.pairs if number == 1 else None
    errors = dict(square_errors(core, reading, shared, rounding))
    inputs = sizes_of_inputs(core, reading, rounding)
    found = [_side_errors(side, core, (reading, inputs), shared, rounding) for side in sides]
    for source in found[0]:
        errors[f"wings: {source}"] = (0.0, 0.0, max(part[source] for part in found))
    # Partial sums of the rows are at most half of all magnitudes and of the whole, about r^2.
    magnitudes = CURVATURE * core.curvatures / 2 + 1 + errors.pop("wings: size")[2]
    rows = 1.02 * (number - 1) * rounding.unit * magnitudes / 2
    errors["sum over rows"] = (0.0, 0.0, rows)
    return errors


def heaviest(core: Square, sides: list[Wings]) -> Square:
    """Return the core with the slopes of the wings: |F(r)| <= slopes |r|, however large r is."""
    steepest = max(float((np.abs(side.factors) * side.slopes).sum()) for side in sides)
    return replace(core, slopes=core.slopes + steepest * SLACK)


def _side_errors(
    wings: Wings,
    core: Square,
    read: tuple[Reading, tuple[float, float]],
    shared: int | None,
    rounding: Rounding,
) -> Mapping[str, float]:
    """By source, the largest error of the wings' sum on any interval, relative to r^2.

    ``read`` has the sizes of the core's inputs as well, ``shared`` is how many neurons of the core
    write the row of the wings, None if there are several.
    """
    reading, (constant, slope) = read
    worst = dict.fromkeys(("size", "gelu", "reading", "weights", "sums"), 0.0)
    u = rounding.unit
    for ends in _intervals(wings, core.reach, rounding.silent):
        heard, _, low, high = _heard(wings, ends, rounding.silent)
        factors = np.abs(wings.factors) * heard
        moved = _moved(wings, ends[1], reading, rounding)
        if (moved * wings.slopes > MARGIN / 2).any():
            return dict.fromkeys(worst, np.inf)
        rising = np.where(high > 0, 1.1291, np.where(high > -1.5, 0.5, _tail(high)))
        left = np.where(high > -1.5, 0.17, _tail(high))
        size = np.maximum(np.abs(low), np.abs(high))
        sizes = factors * np.where(high > 0, np.maximum(high, 0.17), left)
        rows = [int((heard & (wings.rows == row)).sum()) for row in np.unique(wings.rows)]
        count = max(rows, default=0)
        sums = (count + 1) * sizes.sum()
        if shared is not None:  # one after the other with the core's, whose own sum is not here
            inputs = core.slopes * (constant + slope * ends[1]) + ends[1] ** 2
            sums = ((shared + count) / 2 + 1) * sizes.sum() + 1.01 * count / 2 * inputs
        parts = {
            "size": sizes.sum(),
            "gelu": rounding.gelu * u * (factors * size).sum(),
            "reading": (factors * wings.slopes * rising * moved).sum(),
            # As stored they are exact, but for the numbers that this file makes of them.
            "weights": 8
            * u
            * (sizes + factors * rising * (size + wings.slopes * wings.shifts)).sum(),
            "sums": 1.01 * u * sums,
        }
        for source, part in parts.items():
            worst[source] = max(worst[source], float(part) / ends[0] ** 2 * SLACK)
    return worst


def _moved(wings: Wings, r: float, reading: Reading, rounding: Rounding) -> Numbers:
    """Errors of inputs, divided by s, beside those of r that all neurons see alike."""
    u, normalised = rounding.unit, reading.normalised
    mean = normalised.mean
    joint = reading.joint if reading.joint is not None else np.inf
    apart = joint + r + mean / reading.units[1] + mean / float(reading.units[0][0])
    terms = apart + wings.shifts * (1 + mean) + wings.offsets[0] * mean
    # The row of ones is read with two roundings, and LayerNorm's scale.
    threshold = (2.01 * u * (1 + mean) + normalised.scale_error) * wings.shifts
    moved: Numbers = 1.01 * rounding.gamma(4) * terms + threshold + wings.offsets[1] * mean
    return moved


def _tail(x: Numbers) -> Numbers:
    """|x| phi(x), at least |gelu(x)| and |gelu'(x)| for x <= -1.5."""
    bound: Numbers = np.abs(x) * np.exp(-(x**2) / 2) / 2.5
    return bound
