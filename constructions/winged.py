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


@dataclass(frozen=True)
class SquarePlan:
    """How squares are made for a float type: how many neurons, how wide, how far apart.

    Parameters
    ----------
    silent
        gelu(x) is taken to be exactly 0 for x <= -silent: a little more than certificates assume.
    alone
        |t| up to which the core is alone, in units of the size that t usually has.
    first
        The first theta, in units of ``alone``.
    earliest
        No wing is heard before this part of its theta.
    step
        The distance of two wings, in widths 1/s; more leaves ripples.
    beyond
        Wings are needed up to where they are this many widths beyond the reach.
    pairs, scale
        Pairs of the core, and the largest scale, in units of 1 / (2 ``alone``).
    pair_ridge, wing_ridge
        What keeps weights small where they hardly matter: those of pairs, and those of wings.
    """

    silent: float
    alone: float
    first: float
    earliest: float
    step: float
    beyond: float
    pairs: int
    scale: float
    pair_ridge: float
    wing_ridge: float

    def scales(self) -> Float[np.ndarray, " pairs"]:
        """Scales of the pairs for |t| <= 1: Chebyshev's nodes, as in `square_gadget`."""
        nodes = (2 * np.arange(1, self.pairs + 1) - 1) * pi / (4 * self.pairs)
        return self.scale * np.sin(nodes)


#: For float64: errors are a few units of rounding. gelu vanishes from -8.38 on (measured).
DOUBLE = SquarePlan(
    silent=9.05,
    alone=1.5,
    first=1.35,
    earliest=0.35,
    step=0.7,
    beyond=6.0,
    pairs=8,
    scale=1.5,
    pair_ridge=1e-14,
    wing_ridge=1e-15,
)

#: For float32: errors are 1e-7 near 0 and 5e-7 far out. gelu vanishes from -5.55 on (measured).
SINGLE = SquarePlan(
    silent=6.05,
    alone=6.0,
    first=2.0,
    earliest=0.2,
    step=1.1,
    beyond=2.0,
    pairs=6,
    scale=2.6,
    pair_ridge=1e-8,
    wing_ridge=1e-9,
)

#: Where a square is spread over rows, wings take turns with this many; pairs have one each.
WING_ROWS = 2


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


def winged_square(unit: float, reach: float, plan: SquarePlan = DOUBLE) -> WingedSquare:
    """Return the square of arguments up to a reach whose usual size is a unit.

    Coefficients are fitted by least squares to t^2, relative to t^2, in float64. The size of
    everything but the reach is fixed: wings number about 20 ln(reach / unit) + 5 with the plan for
    float64, where errors are a few units of rounding, and 7.6 ln(reach / unit) - 16 with that for
    float32.

    Parameters
    ----------
    unit
        The usual size of |t|, > 0: the noise, for residuals.
    reach
        The largest |t|.
    plan
        How it is made.

    Raises
    ------
    ValueError
        If one is not positive and finite.
    """
    if not (0 < unit < np.inf and 0 < reach < np.inf):
        raise ValueError(f"winged_square: unit {unit} and reach {reach}; expected positive numbers")
    fitted = _fitted(max(reach / unit, 2 * plan.alone), plan)
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
def _fitted(reach: float, plan: SquarePlan) -> WingedSquare:
    """The gadget in units of ``unit``."""
    alone, scales = plan.alone, plan.scales() / (2 * plan.alone)
    shifts, slopes = _places(reach, plan)
    t = np.concatenate([np.linspace(alone / 50, alone, 60), np.geomspace(alone, reach, 1200)])
    inputs = (t[:, None] - shifts) * slopes
    wings = np.where(inputs > -plan.silent, inputs * ndtr(inputs), 0.0) / slopes
    columns = np.hstack([t[:, None] * erf(np.outer(t, scales) / sqrt(2)), wings]) / t[:, None] ** 2
    ridge = np.repeat([plan.pair_ridge, plan.wing_ridge], [plan.pairs, len(shifts)])
    weights, off = fit(columns, ridge)
    core = SquareGadget(scales, weights[: plan.pairs] / scales, off)
    return WingedSquare(core, shifts, slopes, weights[plan.pairs :] / slopes, reach)


def _places(
    reach: float, plan: SquarePlan
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Shifts and slopes: each as wide as its silence, up to ``alone`` and ``earliest``, permits."""
    shifts, slopes = [], []
    place, width = plan.first * plan.alone, 0.0
    while place - plan.beyond * width <= reach:
        width = min(place - plan.alone, (1 - plan.earliest) * place) / plan.silent
        shifts.append(place)
        slopes.append(1 / width)
        place += plan.step * width
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


@lru_cache(maxsize=4)
def fitted_square(plan: SquarePlan = DOUBLE) -> SquareGadget:
    """Return a square on |t| <= 1 of as many pairs as a plan's core, fitted the same way."""
    scales = plan.scales()
    t = np.linspace(0.002, 1, 500)
    columns = erf(np.outer(t, scales) / sqrt(2)) / t[:, None]
    weights, off = fit(columns, np.full(plan.pairs, plan.pair_ridge))
    return SquareGadget(scales, weights / scales, off)
