"""Squares with wings, enclosed: how far they are from t^2, and what their rounding amounts to.

A winged square is F(t) = sum_i c_i psi(s_i t) + W(|t|), W(t) = sum_k c_k gelu(s_k (t - theta_k)).
It is bounded on intervals of |t|: on each, wings count that are heard somewhere; the others are
exactly 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import factorial, log2, sqrt
from typing import Protocol, runtime_checkable

import numpy as np
from flint import arb, arb_series, ctx
from jaxtyping import Bool, Float

from constructions.certificate.bounds import CertificateError
from constructions.certificate.rounding import RoundingModel
from constructions.certificate.squares import EnclosedSquare, SquareErrors, enclose, summation
from constructions.gadgets import SquareGadget
from constructions.winged import WING_ROWS, WingedSquare

#: Intervals are as long as this many widths of the narrowest wing, and their ends grow no faster.
LENGTH, RATIO = 1.2, 1.06

#: Terms of the Taylor polynomials, points at which they are evaluated, bits of balls.
DEGREE, POINTS, BITS = 24, 2048, 128

#: |gelu(x) - x| for x >= 9, and |gelu(x)| for x <= -9.
TAIL, FAR = 1.2e-18, 9.0

#: Rounding moves inputs of wings by less than this.
MARGIN = 1e-3

#: |gelu^(n)| <= 1.0865 (sqrt n! + sqrt (n - 2)!) / sqrt(2 pi), by Cramer's inequality.
CRAMER = 0.46

#: The largest slope of gelu; its largest magnitude, and slope, left of 0.
SLOPE, DIP, HALF = 1.1291, 0.17, 0.5

Numbers = Float[np.ndarray, "..."]


@runtime_checkable
class Lambda(Protocol):
    """What LayerNorm costs; see `constructions.certificate.layer_norm`."""

    @property
    def scale(self) -> float:
        """Its relative error."""
        ...

    @property
    def mean(self) -> float:
        """What it subtracts, at most."""
        ...


@dataclass(frozen=True)
class EnclosedWings:
    """What a certificate needs to know of a winged square.

    Parameters
    ----------
    core
        The core, in natural units; its truncation is that of the whole square.
    starts, ends
        Intervals of |t| (n,); before the first there is no wing.
    heard
        How many wings may be heard on each (n,).
    sizes, inputs
        sum |c gelu(x)| and sum |c x| of these, at most (n,).
    slopes, thresholds
        sum |c gelu'(x)| s and sum |c gelu'(x)| s theta, at most (n,).
    steepest
        sum |c| s over all wings.
    sharpest, furthest
        The largest s, and s theta, of a wing.
    """

    core: EnclosedSquare
    starts: Numbers
    ends: Numbers
    heard: Numbers
    sizes: Numbers
    inputs: Numbers
    slopes: Numbers
    thresholds: Numbers
    steepest: float
    sharpest: float
    furthest: float

    def errors(
        self,
        rounding: RoundingModel,
        apart: float,
        error: float,
        slope: float,
        norm: Lambda,
        *,
        spread: bool,
    ) -> SquareErrors:
        """Return the error of the square of a difference of two rows, the sums in W_out included.

        Parameters
        ----------
        rounding, apart, norm
            As for `quadratic`.
        error, slope
            The two rows are off by at most error + slope |t|.
        spread
            Whether every pair has a row of its own, and wings have `WING_ROWS`; or all share one.

        Raises
        ------
        CertificateError
            If rounding could wake a wing that should be silent.
        """
        u, A, C = rounding.unit_roundoff, self.core.amplification, self.core.curvature
        # Common to all neurons: the rows, read with two roundings each, and LayerNorm's scale.
        c0, c1 = 1.01 * (error + 2.01 * u * apart), norm.scale + 2.1 * u + 1.01 * slope
        # Of a core neuron's own: its two products and their sum, and its weights' common size.
        h0, h1 = 1.01 * u * apart, 6 * u
        reach0, reach1 = c0 + h0, 1 + c1 + h1
        reach = reach0, reach1
        beside = self.quadratic(rounding, apart + 2 * c0, norm, None if spread else reach)
        # The sum of the core: pairs of their own rows, sum |c psi| <= C t^2 / 2; or all of it.
        adding = 0.0 if spread else summation(self.core.neurons, rounding)
        pairs = u * C / 2 if spread else adding
        linear = 2 * c0 * (1 + c1) + C * (reach0 * h1 + reach1 * h0)
        # gelu, and its product with a weight.
        each = ((rounding.pair + 1.01) * u + 1.01 * adding) * A
        linear += each * reach1
        return SquareErrors(
            constant=c0**2 + C * reach0 * h0 + each * reach0,
            linear=linear,
            quadratic=self.core.truncation * 1.01
            + 2 * c1
            + c1**2
            + C * reach1 * h1
            # The weights of W_out.
            + 3 * u * C / 2
            + 1.01 * pairs
            + sum(beside.values()),
        )

    def quadratic(
        self,
        rounding: RoundingModel,
        apart: float,
        norm: Lambda,
        together: tuple[float, float] | None = None,
    ) -> Mapping[str, float]:
        """Return bounds on errors of W, and of its sum with the core, relative to t^2, by source.

        Parameters
        ----------
        rounding
            The model of arithmetic.
        apart
            The two rows that t is the difference of are at most this plus |t| together, with
            LayerNorm's mean.
        norm
            The mean, relative to the row of ones, and the relative error of LayerNorm's scale.
        together
            If all neurons write one row: inputs of the core are at most s (a + b |t|), (a, b).
        """
        u, t = rounding.unit_roundoff, self.ends
        # Four products and their sum, two of them with the rows of ones and of zeros; weights; the
        # row of ones as it is read, and scaled.
        moved = self.slopes * (rounding.gamma(4) * (apart + t) + 6 * u * t)
        fixed = rounding.gamma(4) * (1 + 2 * norm.mean) + 6.1 * u * (1 + norm.mean) + norm.scale
        moved = moved + 1.01 * fixed * self.thresholds
        # A wing that falls silent is at t < theta: so is what moves its input.
        woken = self.sharpest * rounding.gamma(4) * apart
        woken += self.furthest * (rounding.gamma(4) + 6 * u + 1.01 * fixed)
        if not woken <= MARGIN:
            raise CertificateError(
                f"rounding moves inputs of wings by {woken:.2g}, more than {MARGIN:g}, and those "
                "that should be silent may be heard"
            )
        additions = self.core.neurons / 2 + WING_ROWS - 1
        rows = {
            "gelu": rounding.gelu * u * (self.inputs + moved),
            "reading": SLOPE * moved,
            "weights": 3 * u * self.sizes,
        }
        if together is None:
            rows["sum"] = u * (self.heard / WING_ROWS + 2) * self.sizes
            # The sum of all rows: any partial one is at most (sum of magnitudes + t^2) / 2.
            magnitudes = self.sizes + (self.core.curvature / 2 + 1) * t**2
            rows["rows"] = 1.01 * additions * u * magnitudes / 2
        else:
            # As `summation`: magnitudes, and the total; what the core's own sum costs is not here.
            core = self.core.amplification * (together[0] + together[1] * t)
            more = 1.01 * u * self.heard / 2
            rows["sum"] = (summation(self.core.neurons, rounding) + more) * self.sizes
            rows["rows"] = more * (core + t**2)
        return {
            name: 1.01 * float((row / self.starts**2).max(initial=0.0))
            for name, row in rows.items()
        }


def enclose_wings(winged: WingedSquare, rounding: RoundingModel) -> EnclosedWings:
    """Return rigorous figures of a winged square, from its coefficients as they are stored.

    Raises
    ------
    CertificateError
        If a wing is heard where the argument is on the other side of 0.
    """
    core = (winged.core.scales, winged.core.coefficients)
    wings = (winged.shifts, winged.slopes, winged.coefficients)
    data = tuple(tuple(map(float, part)) for part in (*core, *wings))
    return _enclosed(data, winged.reach, rounding.silent)


@lru_cache(maxsize=16)
def _enclosed(data: tuple[tuple[float, ...], ...], reach: float, silent: float) -> EnclosedWings:
    scales, coefficients, theta, s, c = map(np.array, data)
    silent = silent + MARGIN
    if (theta * s < silent).any():
        raise CertificateError("a wing of the square is heard on both sides of 0")
    # A power of two, by which the core is rescaled exactly; small: there its power series is sharp.
    first = 2.0 ** (np.floor(log2(min(float((theta - silent / s).min(initial=reach)), reach))) - 5)
    starts, ends = _intervals(theta, s, silent, first, reach)
    low, high = ((t[:, None] - theta) * s for t in (starts, ends))
    heard, far = high > -silent, low >= FAR
    size = np.abs(c) * heard
    steep = np.where(high > 0, SLOPE, np.minimum(HALF, _tail(high))) * s * size
    core = enclose(SquareGadget(np.array(scales) * first, np.array(coefficients) / first**2, 0.0))
    pairs = np.array(scales), np.array(coefficients)
    off = _truncation(pairs, (theta, s, c), (starts, ends), (heard & ~far, far))
    # Wings that are not heard, and those that are far, in place of 0 and of x.
    missed = TAIL * (float(np.abs(c).sum()) + 2 * float(np.abs(coefficients).sum()))
    missed /= float((theta - silent / s).min(initial=reach)) ** 2
    return EnclosedWings(
        EnclosedSquare(
            max(core.truncation, off) + missed,
            core.amplification * first,
            core.curvature,
            core.neurons,
        ),
        starts,
        ends,
        heard.sum(axis=1).astype(float),
        (size * np.where(high > 0, np.maximum(high, DIP), np.minimum(DIP, _tail(high)))).sum(
            axis=1
        ),
        (size * np.maximum(np.abs(low), np.abs(high))).sum(axis=1),
        steep.sum(axis=1),
        (steep * theta).sum(axis=1),
        float((np.abs(c) * s).sum()) * (1 + 1e-9),
        float(s.max(initial=0.0)),
        float((s * theta).max(initial=0.0)),
    )


def _tail(x: Numbers) -> Numbers:
    """|x| phi(x), at least |gelu| and |gelu'| where x <= -1.5; infinite elsewhere."""
    bound: Numbers = np.where(x <= -1.5, np.abs(x) * np.exp(-(x**2) / 2) / 2.5, np.inf)
    return bound


def _intervals(
    theta: Numbers, s: Numbers, silent: float, first: float, reach: float
) -> tuple[Numbers, Numbers]:
    """Intervals from ``first`` to the reach, short where narrow wings are neither 0 nor linear."""
    ends = [first]
    while ends[-1] < reach:
        t = ends[-1]
        x = (np.array([t, RATIO * t])[:, None] - theta) * s
        near = (x[1] > -silent) & (x[0] < FAR)
        length = LENGTH / float(s[near].max()) if near.any() else np.inf
        ends.append(min(t + length, RATIO * t, max(reach, t * (1 + 1e-9))))
    return np.array(ends[:-1]), np.array(ends[1:])


def _truncation(
    core: tuple[Numbers, Numbers],
    wings: tuple[Numbers, Numbers, Numbers],
    intervals: tuple[Numbers, Numbers],
    kinds: tuple[Bool[np.ndarray, "n wings"], Bool[np.ndarray, "n wings"]],
) -> float:
    """The largest |F(t) - t^2| / t^2 on the intervals, with gelu(x) = x for wings that are far."""
    before = ctx.prec, ctx.cap
    ctx.prec, ctx.cap = BITS, DEGREE
    theta, s, c = wings
    grid = np.linspace(-1, 1, POINTS)
    worst = 0.0
    try:
        for start, end, near, far in zip(*intervals, *kinds, strict=True):
            middle, half = (start + end) / 2, (end - start) / 2 * (1 + 1e-12)
            # psi(x) = 2 gelu(x) - x; gelu(x) = x far out.
            bent = core[0] * start < FAR
            total = _line(middle, half, core[0], np.where(bent, -core[1], core[1]), 0 * core[0])
            total += _line(middle, half, s[far], c[far], theta[far])
            slopes = np.concatenate([core[0][bent], s[near]])
            factors = np.concatenate([2 * core[1][bent], c[near]])
            shifts = np.concatenate([0 * core[0][bent], theta[near]])
            total += _gelus(middle, half, slopes, factors, shifts)
            t = arb_series([arb(middle), arb(half)])
            found = [total[j] for j in range(DEGREE)]
            for j, part in enumerate((t * t)[k] for k in range(3)):
                found[j] -= part
            numbers = np.array([float(x.mid()) for x in found])
            sizes, order = np.abs(numbers), np.arange(DEGREE)
            rest = sum(float(x.rad()) for x in found) + 1e-14 * float(sizes.sum())
            rest += float((order * sizes).sum()) / (POINTS - 1)
            steps = np.abs(factors) * (slopes * half) ** DEGREE
            rest += CRAMER / sqrt(factorial(DEGREE)) * float(steps.sum())
            largest = float(np.abs(np.polynomial.polynomial.polyval(grid, numbers)).max())
            worst = max(worst, (largest + rest) / start**2)
    finally:
        ctx.prec, ctx.cap = before
    return worst * (1 + 1e-9)


def _line(middle: float, half: float, s: Numbers, c: Numbers, theta: Numbers) -> arb_series:
    """The sum of c s (t - theta), t = middle + half z, as a series in z."""
    total = arb_series([0])
    for si, ci, shift in zip(s.tolist(), c.tolist(), theta.tolist(), strict=True):
        weight = arb(ci) * arb(si)
        total += arb_series([weight * (arb(middle) - arb(shift)), weight * arb(half)])
    return total


def _gelus(middle: float, half: float, s: Numbers, c: Numbers, theta: Numbers) -> arb_series:
    """The sum of c gelu(s (t - theta)) as a series in z."""
    total = arb_series([0])
    root = arb(2).sqrt()
    for si, ci, shift in zip(s.tolist(), c.tolist(), theta.tolist(), strict=True):
        slope = arb(si)
        x = arb_series([slope * (arb(middle) - arb(shift)), slope * arb(half)])
        total += arb(ci) / 2 * x * ((x / root).erf() + 1)
    return total
