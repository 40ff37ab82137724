"""Random training distributions of Theorems 4 and 8, with any condition number and scale."""

from collections.abc import Iterator
from enum import StrEnum
from itertools import product

import numpy as np

from papers.zhang2024.flow_lines import Line, Matrix
from theory.gradient_flow import FlowProblem, printed_bounds, random_theta
from theory.laws import EigenvalueLaw, Exponential, Gamma, LogNormal, TwoPoint, Uniform

#: The largest condition number.
CONDITION = 1e4


class Family(StrEnum):
    """The training distributions of the two theorems."""

    FIXED = "theorem-4"
    RANDOM = "theorem-8"


def random_line(
    family: Family, dim: int, ratio: float, rng: np.random.Generator, condition: float = CONDITION
) -> Line:
    """Draw a distribution and Theta, with sigma^2 = ratio times the printed threshold.

    The condition number, in Theorem 8 that of the scales of the eigenvalues, is at most the given.
    """
    spread = float(np.log(condition) * rng.uniform())
    sizes = np.exp(rng.uniform(-1, 1) + spread * (rng.uniform(size=dim) - 0.5))
    length = int(rng.integers(1, 4 * dim + 1))
    theta = random_theta(dim, rng)
    if family is Family.FIXED:
        basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0] * np.sqrt(sizes)
        lam = basis @ basis.T
        atoms: tuple[tuple[float, Matrix], ...] = ((1.0, lam),)
        problem = FlowProblem.fixed(lam, length)
    else:
        laws = [_law(float(size), rng) for size in sizes]
        atoms = tuple(_atoms(laws))
        problem = FlowProblem.random_diagonal(laws, length)
    line = Line("a random problem", atoms, length, theta, 1.0, problem)
    return line.at(float(np.sqrt(ratio * printed_bounds(problem, line.start).threshold)))


def _law(size: float, rng: np.random.Generator) -> EigenvalueLaw:
    laws: tuple[EigenvalueLaw, ...] = (
        Exponential(size),
        Gamma(0.5, size),
        Uniform(0.5 * size, 2 * size),
        TwoPoint(0.5 * size, 2 * size, 0.25),
        LogNormal(float(np.log(size)), 0.7),
    )
    return laws[int(rng.integers(len(laws)))]


def _atoms(laws: list[EigenvalueLaw]) -> Iterator[tuple[float, Matrix]]:
    """Yield values of Lambda with weights that have the laws' moments of degree 1, 2 and 3.

    All expectations of Theorem 8 are of polynomials of degree 3 in each eigenvalue, so that two
    nodes of Gauss's rule for each law give them.
    """
    for chosen in product(*(two_nodes(*map(float, law.moments)) for law in laws)):
        weights, nodes = zip(*chosen, strict=True)
        yield float(np.prod(weights)), np.diag(nodes)


def two_nodes(m1: float, m2: float, m3: float) -> list[tuple[float, float]]:
    """Return weights and nodes x: roots of x^2 - (skew) x - variance around the mean."""
    variance = m2 - m1**2
    skew = (m3 - 3 * m1 * m2 + 2 * m1**3) / variance
    half = float(np.hypot(skew / 2, variance**0.5))
    low, high = skew / 2 - half, skew / 2 + half
    return [(high / (2 * half), m1 + low), (-low / (2 * half), m1 + high)]
