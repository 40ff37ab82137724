"""How far a sum of GeLU pairs is from a square, on a whole interval: Taylor models in balls.

psi(z) = gelu(z) + gelu(-z) = sqrt(2/pi) z^2 I_0(z^2) with I_n(y) = int_0^1 v^{2n} exp(-y v^2/2) dv,
and the n-th derivative of I_0 is (-1/2)^n I_n, at most 1 / (2^n (2n + 1)). Where gelus of large
arguments cancel to many digits only the coefficients of the difference are small: they are
computed with balls, and then the polynomial in floats.
"""

from math import ceil, factorial, inf, pi, sqrt

import numpy as np
from flint import arb, ctx
from jaxtyping import Float

from constructions.checker.rounding import PRECISION, SLACK, upper

#: Terms of each Taylor polynomial.
DEGREE = 28

#: Points at which a polynomial is evaluated; its slope covers what is between.
POINTS = 2048

#: No more Taylor polynomials than these, whatever the scales: beyond, there is no bound.
MOST = 64


def truncation(scales: list[arb], factors: list[arb], reach: arb, target: arb) -> float:
    """Return a bound on |sum_i c_i psi(s_i r) / r^2 - target| over 0 < |r| <= reach.

    Parameters
    ----------
    scales, factors
        s > 0 and c.
    reach, target
        The largest |r|, and what c_i psi(s_i r) should add up to, relative to r^2.
    """
    with ctx.workprec(PRECISION):
        root = (2 / arb.pi()).sqrt()
        steps = [(s * reach) ** 2 for s in scales]
        weights = [root * c * s * s for c, s in zip(factors, scales, strict=True)]
        count = ceil(max(upper(step) for step in steps) / 8)
        if not count <= MOST:
            return inf
        radius = arb(1) / (2 * count)
        models = [
            _model(steps, weights, (2 * i + 1) * radius, radius, target) for i in range(count)
        ]
        least = [
            abs(w) * (step * radius / 2) ** DEGREE for w, step in zip(weights, steps, strict=True)
        ]
        rest = upper(sum(least, arb(0)) / (factorial(DEGREE) * (2 * DEGREE + 1)))
    return (max(map(_largest, models)) + rest) * SLACK


def deviation(
    line: tuple[arb, arb], gelus: list[tuple[arb, arb, arb]], ends: tuple[float, float], target: arb
) -> float:
    """Return a bound on |a + b r + sum c gelu(s (r - theta)) - target r^2| on an interval of r.

    gelu'' = phi - phi'', so that all derivatives are Hermite functions: |phi^(n)| is at most
    1.0865 sqrt(n!) / sqrt(2 pi), by Cramer's inequality.

    Parameters
    ----------
    line
        a and b.
    gelus
        Triples c, s > 0, theta.
    ends
        The interval.
    target
        As above.
    """
    with ctx.workprec(PRECISION):
        centre, radius = (arb(ends[0]) + arb(ends[1])) / 2, (arb(ends[1]) - arb(ends[0])) / 2
        coefficients = [arb(0)] * DEGREE
        coefficients[0] = line[0] + line[1] * centre - target * centre**2
        coefficients[1] = (line[1] - 2 * target * centre) * radius
        coefficients[2] = -target * radius**2
        least = arb(0)
        for factor, slope, shift in gelus:
            stride, scaled = slope * radius, factor
            for n, derivative in enumerate(_derivatives(slope * (centre - shift))):
                coefficients[n] += scaled * derivative
                scaled *= stride / (n + 1)
            least += abs(scaled)
        middles = [float(c.mid()) for c in coefficients]
        errors = [upper(c - arb(m)) for c, m in zip(coefficients, middles, strict=True)]
        rest = upper(least) * 1.0865 * 2 * sqrt(factorial(DEGREE)) / sqrt(2 * pi)
        return (_largest(np.array(middles + errors)) + rest) * SLACK


def _derivatives(x: arb) -> list[arb]:
    """gelu(x), gelu'(x), ..., of order DEGREE - 1."""
    density = (-x * x / 2).exp() / (2 * arb.pi()).sqrt()
    below = (1 + (x / arb(2).sqrt()).erf()) / 2
    phis = [density, -x * density]
    for n in range(2, DEGREE):
        phis.append(-x * phis[-1] - (n - 1) * phis[-2])
    higher = [phis[n - 2] - phis[n] for n in range(2, DEGREE)]
    return [x * below, below + x * density, *higher]


def _model(
    steps: list[arb], weights: list[arb], centre: arb, radius: arb, target: arb
) -> Float[np.ndarray, " _"]:
    """Taylor coefficients of the difference in units of the radius, then bounds on their errors."""
    coefficients = [-target] + [arb(0)] * (DEGREE - 1)
    for step, weight in zip(steps, weights, strict=True):
        factor, stride = weight, -step * radius / 2
        for n, moment in enumerate(_moments(step * centre)):
            coefficients[n] += factor * moment
            factor *= stride / (n + 1)
    middles = [float(c.mid()) for c in coefficients]
    errors = [upper(c - arb(m)) for c, m in zip(coefficients, middles, strict=True)]
    return np.array(middles + errors)


def _moments(y: arb) -> list[arb]:
    """I_0(y), ..., I_{DEGREE - 1}(y): downwards, I_{n-1} = (y I_n + exp(-y/2)) / (2n - 1)."""
    decay, term = (-y / 2).exp(), arb(1) / (2 * DEGREE - 1)
    total, k, small = arb(0), 0, 2.0**-PRECISION
    # I_n(y) = exp(-y/2) sum_k y^k / ((2n + 1)(2n + 3) ... (2n + 2k + 1)), all terms positive.
    while upper(term) > small or 2 * upper(y) > 2 * DEGREE + 2 * k:
        total += term
        k += 1
        term *= y / (2 * DEGREE - 1 + 2 * k)
    moments = [decay * (total + arb(0, 2 * upper(term)))]
    for n in range(DEGREE - 1, 0, -1):
        moments.append((y * moments[-1] + decay) / (2 * n - 1))
    return moments[::-1]


def _largest(model: Float[np.ndarray, " _"]) -> float:
    """The largest value of a polynomial on [-1, 1], and a little more."""
    middles, errors = np.split(model, 2)
    degrees = np.arange(len(middles))
    points = np.linspace(-1, 1, POINTS)
    values = np.abs(np.polynomial.polynomial.polyval(points, middles)).max()
    sizes = np.abs(middles)
    between = (degrees * sizes).sum() / (POINTS - 1)
    rounded = 4 * len(middles) * 2.0**-53 * sizes.sum()
    return float(values + between + rounded + errors.sum())
