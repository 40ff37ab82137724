"""Squares out of GeLU pairs: what a group of neurons computes, from its weights alone.

With psi(x) = gelu(x) + gelu(-x), a group of pairs computes F(r) = sum_i c_i psi(s_i r) with
r = b + rho <c, a> for rows a and b. How far that is from a square is in `series`; errors of the
inputs are carried through psi and gelu by their slopes, |psi'(x)| <= sqrt(8/pi) |x|,
|psi''| <= sqrt(8/pi), and |gelu'(x)| + |gelu'(-x)| <= 1.26.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import pi, sqrt

import numpy as np
from flint import arb, ctx
from jaxtyping import Float

from constructions.checker.layer_norm import Normalised
from constructions.checker.rounding import PRECISION, SLACK, Rounding, ball, bound_by, upper
from constructions.checker.series import truncation

#: sup |psi''|, with room for rounding.
CURVATURE = sqrt(8 / pi) * SLACK

#: Bounds p_0 + p_1 |r| + p_2 r^2 on an error: the three coefficients.
Polynomial = tuple[float, float, float]

Pairs = Float[np.ndarray, " pairs"]


@dataclass(frozen=True)
class Group:
    """Pairs of neurons that read rows a_1, ..., a row b and the zero row, and write one row.

    Parameters
    ----------
    first, second, zero
        Weights on the rows a (pairs, rows), on b and on the zero row, of the neuron of each pair
        that has second > 0.
    outward
        What the pair is multiplied by.
    """

    first: Float[np.ndarray, "pairs rows"]
    second: Pairs
    zero: Pairs
    outward: Pairs

    @property
    def rows_read(self) -> int:
        """How many rows any neuron reads."""
        weights = np.column_stack([self.first, self.second, self.zero])
        return int((weights != 0).sum(axis=1).max())


@dataclass(frozen=True)
class Square:
    """F(r) = sum_i c_i psi(s_i r), nearly gain r^2, r = b + ratio <form, a>.

    Parameters
    ----------
    gain
        The coefficient that r^2 should have.
    truncation
        A bound on |F(r) - gain r^2| / r^2 for |r| <= reach.
    reach
        The largest |r|, and a little more.
    ratio
        |rho|.
    form
        |c_r|, the entries of the form (rows,).
    slopes, curvatures
        sum_i |c_i| s_i and sum_i |c_i| s_i^2.
    deviations
        The largest errors of any pair's own rho c_r (rows,).
    zero
        The largest weight of the zero row, relative to that of b.
    offset
        The largest sum of a neuron's weights, relative to that of b.
    pairs
        How many pairs there are.
    rows_read
        How many rows a neuron reads; rounding of inputs is sign-symmetric for two, not for three.
    floor
        How much a vanishing number in the sum can cost, in natural units per unit of it.
    scale
        What turns the row that is written into natural units, without its sign.
    """

    gain: Fraction
    truncation: float
    reach: float
    ratio: float
    form: Float[np.ndarray, " rows"]
    slopes: float
    curvatures: float
    deviations: Float[np.ndarray, " rows"]
    zero: float
    offset: float
    pairs: int
    rows_read: int
    floor: float
    scale: float


@dataclass(frozen=True)
class Reading:
    """What a square reads.

    Parameters
    ----------
    entry, norm
        Bounds on |a_r| and on the Euclidean norm |a|.
    second
        A bound on |b|.
    error
        A bound on the error of b + ratio <form, a> as it stands in the rows.
    units
        The units of the rows a (rows,), and of b.
    normalised
        LayerNorm of the column.
    joint
        If ratio = +-1 and there is one row a: |a| + |b| <= joint + |r|.
    slope
        The error is larger by this times |r|.
    """

    entry: float
    norm: float
    second: float
    error: float
    units: tuple[Float[np.ndarray, " _"], float]
    normalised: Normalised
    joint: float | None = None
    slope: float = 0.0


@dataclass(frozen=True)
class Frame:
    """What turns stored weights into natural ones.

    Parameters
    ----------
    units
        The units of the rows a (rows,), and of b.
    bypass, width
        L and the number p of rows: LayerNorm scales by sqrt(p/2) / L.
    scale
        What turns the row that is written into natural units.
    """

    units: tuple[Float[np.ndarray, " _"], float]
    bypass: float
    width: int
    scale: Fraction


def square_of(
    group: Group,
    form: Float[np.ndarray, " rows"],
    ratio: Fraction,
    reach: float,
    frame: Frame,
    *,
    gain: Fraction = Fraction(1),
) -> Square:
    """Return what a group computes.

    Parameters
    ----------
    group
        The pairs.
    form, ratio
        c and rho: r = b + rho <c, a>.
    reach
        The largest |r|.
    frame
        Units and scales.
    gain
        The coefficient that r^2 should have.
    """
    reach *= 1 + 2.0**-10
    second = [Fraction(float(w)) * Fraction(frame.units[1]) for w in group.second]
    with ctx.workprec(PRECISION):
        kappa = (arb(frame.width) / 2).sqrt() / arb(frame.bypass)
        scales = [_ball(s) * kappa for s in second]
        factors = [_ball(Fraction(float(c)) * frame.scale) for c in group.outward]
        off = truncation(scales, factors, arb(reach), _ball(gain))
        pairs = list(zip(factors, scales, strict=True))
        slopes = upper(sum((abs(c) * s for c, s in pairs), arb(0)))
        bends = upper(sum((abs(c) * s * s for c, s in pairs), arb(0)))
        floor = upper(sum((abs(c) for c in factors), len(factors) * _ball(abs(frame.scale))))
    weights = np.column_stack([group.first, group.second, group.zero])
    offsets = [abs(sum(map(Fraction, row), Fraction(0))) for row in weights.tolist()]
    return Square(
        gain=gain,
        truncation=off,
        reach=reach,
        ratio=abs(float(ratio)) * SLACK,
        form=np.abs(form),
        slopes=slopes,
        curvatures=bends,
        deviations=_deviations(group, form, ratio, second, frame),
        zero=float(np.abs(group.zero / (group.second * frame.units[1])).max()) * SLACK,
        offset=max(float(o / b) for o, b in zip(offsets, second, strict=True)) * SLACK,
        pairs=len(group.outward),
        rows_read=group.rows_read,
        floor=2 * floor,
        scale=float(abs(frame.scale)),
    )


def _deviations(
    group: Group,
    form: Float[np.ndarray, " rows"],
    ratio: Fraction,
    second: list[Fraction],
    frame: Frame,
) -> Float[np.ndarray, " rows"]:
    """Exactly, for it is a difference of nearly equal numbers."""
    worst = np.zeros(len(form))
    for row in np.flatnonzero(group.first.any(axis=0) | (form != 0)).tolist():
        unit, target = Fraction(float(frame.units[0][row])), ratio * Fraction(float(form[row]))
        worst[row] = SLACK * max(
            float(abs(Fraction(float(a)) * unit / b - target))
            for a, b in zip(group.first[:, row], second, strict=True)
        )
    return worst


def _ball(value: Fraction) -> arb:
    return ball(value.numerator, value.denominator)


def square_errors(
    square: Square, reading: Reading, neurons: int | None, rounding: Rounding
) -> Mapping[str, Polynomial]:
    """Return bounds p_0 + p_1 |r| + p_2 r^2 on the error of F as computed, by source.

    Parameters
    ----------
    square
        The group.
    reading
        What it reads.
    neurons
        How many neurons write the row, all groups together: the sum over them is rounded. None if
        every pair writes a row of its own.
    rounding
        The network's arithmetic.
    """
    u, nu = rounding.unit, reading.normalised.scale_error
    gain = float(abs(square.gain)) * SLACK
    common, odd, plain = _input_errors(square, reading, rounding)
    # r' = (1 + nu)(r + common): what all neurons see alike.
    shift = (1.01 * common[0], nu + 1.01 * common[1])
    seen = (shift[0], 1 + shift[1])
    moved = _times(shift, (shift[0], 2 + shift[1]))
    inputs = _times((1.0, 0.0), (seen[0] + odd[0] + plain[0], seen[1] + odd[1] + plain[1]))
    slopes, bends = square.slopes, square.curvatures
    errors: dict[str, Polynomial] = {
        "truncation": _scaled(_times(seen, seen), square.truncation),
        "common reading error": _scaled(moved, gain),
        "odd rounding of inputs": _scaled(
            _times((seen[0] + odd[0], seen[1] + odd[1]), odd), CURVATURE * bends
        ),
        "plain rounding of inputs": _added(
            _scaled(_times((1.0, 0.0), plain), 1.26 * slopes),
            _scaled(_times(plain, plain), 2 * bends),
        ),
        "gelu": _added(
            _scaled(inputs, 2 * rounding.gelu * u * slopes),
            (2 * rounding.tiny * square.floor, 0.0, 0.0),
        ),
    }
    terms = _scaled(inputs, slopes * (1 + 2 * rounding.gelu * u))
    result = _added(_scaled(_times((0.0, 1.0), (0.0, 1.0)), gain), *errors.values())
    if neurons is None:
        # Products are rounded, and then the sum of each pair: sum |c psi| <= bends psi'' r^2 / 2.
        pairs = _scaled(_times(seen, seen), 1.1 * CURVATURE * bends / 2)
        errors["sum over neurons"] = _scaled(_added(terms, pairs), 1.01 * u)
        return errors
    # Products are rounded; any order of summation: partial sums are at most (terms + result) / 2.
    slack = u * (1 + 16 * neurons * u)
    added = _scaled(_added(terms, result), (neurons - 1) / 2 * slack)
    errors["sum over neurons"] = _added(added, _scaled(terms, slack))
    return errors


def sizes_of_inputs(square: Square, reading: Reading, rounding: Rounding) -> tuple[float, float]:
    """Return a and b: inputs of the square's neurons, as computed, are at most s_i (a + b |r|)."""
    common, odd, plain = _input_errors(square, reading, rounding)
    scale = 1 + reading.normalised.scale_error
    return (1.01 * (common[0] + odd[0] + plain[0]), scale + 1.01 * (common[1] + odd[1] + plain[1]))


def _input_errors(
    square: Square, reading: Reading, rounding: Rounding
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Errors h_0 + h_1 |r| of a neuron's input, divided by s_i: common, odd and plain.

    Each row is subtracted from and scaled with two roundings, which all neurons see alike.
    """
    u, mean = rounding.unit, reading.normalised.mean
    read = 2.01 * u
    sizes = (reading.second + square.ratio * _reach(square.form, reading), 0.0)
    if reading.joint is not None and reading.joint < sizes[0]:
        sizes = (reading.joint * SLACK, SLACK)
    units, second_unit = reading.units
    aside = mean / second_unit + square.ratio * mean * float((square.form / units).sum())
    aside += square.zero * mean
    common = (reading.error + read * (sizes[0] + aside), reading.slope + read * sizes[1])
    own = _reach(square.deviations, reading)
    own += read * mean * float((square.deviations / units).sum()) + square.offset * mean
    if square.rows_read <= 2:
        # Two products, fused or not, and their sum, which is near r.
        apart = sizes[0] + aside + own
        beyond = reading.error + aside + own
        dot = (1.01 * u * (apart + beyond), 1.01 * u * (sizes[1] + 1 + reading.slope))
        return common, (1.01 * own + dot[0], dot[1]), (0.0, 0.0)
    # Fused or not, a sum of products is within the same bound.
    gamma = 1.01 * rounding.gamma(square.rows_read)
    dot = (gamma * (sizes[0] + aside + own), gamma * sizes[1])
    return common, (1.01 * own, 0.0), dot


def _reach(form: Float[np.ndarray, " rows"], reading: Reading) -> float:
    return float(bound_by(form[None, :], reading.entry, reading.norm)[0])


def _times(p: tuple[float, float], q: tuple[float, float]) -> Polynomial:
    return (p[0] * q[0], p[0] * q[1] + p[1] * q[0], p[1] * q[1])


def _scaled(p: Polynomial, factor: float) -> Polynomial:
    return (p[0] * factor, p[1] * factor, p[2] * factor)


def _added(*terms: Polynomial) -> Polynomial:
    return (sum(t[0] for t in terms), sum(t[1] for t in terms), sum(t[2] for t in terms))
