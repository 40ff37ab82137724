"""Squares that lose little where their argument is small, however large it may get.

A gadget for |t| <= T amplifies rounding in proportion to T, also where |t| is far smaller. A winged
square has a *core* for small |t| (pairs of gelus, as in `constructions.gadgets`), and *wings*
c (gelu(s (t - theta)) + gelu(s (-t - theta))) that make up for what the core lacks further out. A
wing's neurons are exactly 0 in float arithmetic until |t| comes near theta, and cost nothing there.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import pi, sqrt

import numpy as np
from jaxtyping import Float
from scipy.special import erf, ndtr

from constructions.gadgets import SquareGadget

#: gelu(x) is exactly 0 in float64 for x <= -9 (measured: -8.38); wings keep a little more away.
SILENT = 9.05

#: |t| up to which the core is alone, in units of the size that t usually has.
ALONE = 1.5

#: No wing is heard before this part of its theta.
EARLIEST = 0.35

#: The distance of two wings, in widths 1/s; more leaves ripples.
STEP = 0.7

#: The first theta, in units of `ALONE`.
FIRST = 1.35

#: Wings are needed up to where they are this many widths beyond the reach.
BEYOND = 6.0

#: Pairs of the core, and its largest scale, in units of 1 / (2 `ALONE`): A and ripples are small.
CORE_PAIRS, CORE_SCALE = 8, 1.5

#: Rows of the stream that wings take turns with; every pair of the core has one of its own.
WING_ROWS = 2

#: What keeps weights small where they hardly matter: those of pairs, and those of wings.
PAIR_RIDGE, WING_RIDGE = 1e-14, 1e-15


@dataclass(frozen=True)
class WingedSquare:
    """t^2 for |t| <= reach: a core and wings, in natural units.

    Parameters
    ----------
    core
        Scales and coefficients of pairs c (gelu(s t) + gelu(-s t)).
    shifts, slopes, coefficients
        theta, s and c of wings c (gelu(s (t - theta)) + gelu(s (-t - theta))), (n,) each.
    reach
        The largest |t|.
    """

    core: SquareGadget
    shifts: Float[np.ndarray, " n"]
    slopes: Float[np.ndarray, " n"]
    coefficients: Float[np.ndarray, " n"]
    reach: float

    @property
    def neurons(self) -> int:
        """Neurons of one square."""
        return 2 * (len(self.core.scales) + len(self.shifts))


def winged_square(unit: float, reach: float) -> WingedSquare:
    """Return the square of arguments up to a reach whose usual size is a unit.

    Coefficients are fitted by least squares to t^2, relative to t^2, in float64: errors are a few
    units of rounding. The size of everything but the reach is fixed, so that it takes about
    13 ln(reach / unit) wings.

    Parameters
    ----------
    unit
        The usual size of |t|, > 0: the noise, for residuals.
    reach
        The largest |t|.

    Raises
    ------
    ValueError
        If one is not positive and finite.
    """
    if not (0 < unit < np.inf and 0 < reach < np.inf):
        raise ValueError(f"winged_square: unit {unit} and reach {reach}; expected positive numbers")
    fitted = _fitted(max(reach / unit, 2 * ALONE))
    return WingedSquare(
        SquareGadget(
            fitted.core.scales / unit,
            fitted.core.coefficients * unit**2,
            fitted.core.relative_error,
        ),
        fitted.shifts * unit,
        fitted.slopes / unit,
        fitted.coefficients * unit**2,
        fitted.reach * unit,
    )


@lru_cache(maxsize=8)
def _fitted(reach: float) -> WingedSquare:
    """The gadget in units of ``unit``."""
    nodes = (2 * np.arange(1, CORE_PAIRS + 1) - 1) * pi / (4 * CORE_PAIRS)
    scales = CORE_SCALE / (2 * ALONE) * np.sin(nodes)
    shifts, slopes = _places(reach)
    t = np.concatenate([np.linspace(ALONE / 50, ALONE, 60), np.geomspace(ALONE, reach, 1200)])
    inputs = (t[:, None] - shifts) * slopes
    wings = np.where(inputs > -SILENT, inputs * ndtr(inputs), 0.0) / slopes
    columns = np.hstack([t[:, None] * erf(np.outer(t, scales) / sqrt(2)), wings]) / t[:, None] ** 2
    ridge = np.repeat([PAIR_RIDGE, WING_RIDGE], [CORE_PAIRS, len(shifts)])
    weights, off = fit(columns, ridge)
    core = SquareGadget(scales, weights[:CORE_PAIRS] / scales, off)
    return WingedSquare(core, shifts, slopes, weights[CORE_PAIRS:] / slopes, reach)


def _places(reach: float) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Shifts and slopes: each as wide as its silence up to `ALONE` and `EARLIEST` permits."""
    shifts, slopes = [], []
    place, width = FIRST * ALONE, 0.0
    while place - BEYOND * width <= reach:
        width = min(place - ALONE, (1 - EARLIEST) * place) / SILENT
        shifts.append(place)
        slopes.append(1 / width)
        place += STEP * width
    return np.array(shifts), np.array(slopes)


def fit(
    columns: Float[np.ndarray, "points n"], ridge: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], float]:
    """Return weights with columns @ weights = 1, as nearly as float64 can, and the largest error.

    Columns are nearly dependent: ``ridge`` times the weights is made small as well. Residuals are
    refined in extended precision.
    """
    q, r = np.linalg.qr(np.vstack([columns, np.diag(ridge)]))
    weights, wide = np.zeros(columns.shape[1]), columns.astype(np.longdouble)
    for _ in range(3):
        left = np.concatenate([(1 - wide @ weights).astype(float), -ridge * weights])
        weights = weights + np.linalg.solve(r, q.T @ left)
    return weights, float(np.abs(wide @ weights - 1).max())


@lru_cache(maxsize=1)
def fitted_square() -> SquareGadget:
    """Return a square on |t| <= 1 of as many pairs as the core's, fitted the same way."""
    nodes = (2 * np.arange(1, CORE_PAIRS + 1) - 1) * pi / (4 * CORE_PAIRS)
    scales = CORE_SCALE * np.sin(nodes)
    t = np.linspace(0.002, 1, 500)
    columns = erf(np.outer(t, scales) / sqrt(2)) / t[:, None]
    weights, off = fit(columns, np.full(CORE_PAIRS, PAIR_RIDGE))
    return SquareGadget(scales, weights / scales, off)
