"""Points at which the restricted losses are compared: with symbols, and drawn with the library.

Lambda = diag(r_i^2) and Gamma = diag(k_i^2) have a symbol for every eigenvalue: all that the proofs
use of Gamma is that it is positive and diagonal with Lambda, and so they hold for every N.
"""

from itertools import islice, product
from typing import Any, NamedTuple

import numpy as np
from sympy import QQ
from sympy.polys.fields import FracField

from theory.gradient_flow import FlowProblem
from theory.laws import TwoPoint


class Point(NamedTuple):
    """A point of the plane and the matrices of its problem, in arrays of symbols or of floats."""

    U: Any
    u: Any
    covariance: Any
    covariance_root: Any
    gamma: Any
    gamma_root: Any
    gamma_inverse: Any


def symbolic_point(d: int) -> Point:
    """Give a point all of whose numbers are symbols."""
    names = [f"{name}{i + 1}" for name in "rk" for i in range(d)]
    names += [f"U{i + 1}{j + 1}" for i in range(d) for j in range(d)]
    field = FracField([*names, "u"], QQ)
    gens = iter(field.gens)
    roots, gamma_roots = (diagonal(list(islice(gens, d)), field.zero) for _ in range(2))
    gamma = gamma_roots @ gamma_roots
    inverse = diagonal([field.one / gamma[i, i] for i in range(d)], field.zero)
    U = _objects(list(islice(gens, d * d))).reshape(d, d)
    return Point(U, next(gens), roots @ roots, roots, gamma, gamma_roots, inverse)


def diagonal(entries: Any, zero: Any) -> Any:
    """Give a diagonal matrix, with its own zero off the diagonal."""
    matrix = np.full((len(entries), len(entries)), zero, dtype=object)
    for i, entry in enumerate(entries):
        matrix[i, i] = entry
    return matrix


def _objects(entries: list[Any]) -> Any:
    array = np.empty(len(entries), dtype=object)
    array[:] = entries
    return array


def drawn_point(rng: np.random.Generator) -> tuple[Point, FlowProblem]:
    """Draw a problem with a covariance that is not diagonal, and a point of its flow."""
    d, N = (int(n) for n in rng.integers(1, 6, 2))
    root = rng.standard_normal((d, d))
    covariance = root @ root.T + 0.1 * np.eye(d)
    gamma = (1 + 1 / N) * covariance + np.trace(covariance) / N * np.eye(d)
    at = rng.standard_normal((d, d)), float(rng.uniform(0.3, 2))
    matrices = covariance, _root(covariance), gamma, _root(gamma), np.linalg.inv(gamma)
    return Point(*at, *matrices), FlowProblem.fixed(covariance, N)


def _root(A: Any) -> Any:
    eigenvalues, basis = np.linalg.eigh(A)
    return basis * np.sqrt(eigenvalues) @ basis.T


class Entries(NamedTuple):
    """A point, and the coefficients of eq. (51) for a random diagonal covariance."""

    U: Any
    u: Any
    gamma: Any
    xi: Any
    zeta: Any


def symbolic_entries(d: int) -> Entries:
    """Give a point all of whose numbers are symbols."""
    pairs = list(product(range(1, d + 1), repeat=2))
    names = [f"{name}{i}" for name in ("gamma", "xi") for i in range(1, d + 1)]
    names += [f"{name}{i}{j}" for name in ("zeta", "U") for i, j in pairs]
    field = FracField([*names, "u"], QQ)
    gens = iter(field.gens)
    gamma, xi = (_objects(list(islice(gens, d))) for _ in range(2))
    zeta, U = (_objects(list(islice(gens, d * d))).reshape(d, d) for _ in range(2))
    return Entries(U, next(gens), gamma, xi, zeta)


def drawn_entries(rng: np.random.Generator) -> tuple[Entries, FlowProblem]:
    """Draw two-point laws; gamma, xi and zeta are sums over all 2^d values of lambda."""
    d, N = (int(n) for n in rng.integers(1, 5, 2))
    low, high, p = rng.uniform(0.2, 1, d), rng.uniform(1, 4, d), rng.uniform(0.1, 0.9, d)
    laws = [TwoPoint(*map(float, entry)) for entry in zip(low, high, p, strict=True)]
    rates, xi = np.zeros((d, d)), np.zeros(d)
    for upper in product((False, True), repeat=d):
        weight, lam = np.prod(np.where(upper, 1 - p, p)), np.where(upper, high, low)
        of_gamma = (1 + 1 / N) * lam + np.sum(lam) / N
        rates += weight * np.outer(of_gamma * lam, lam)
        xi += weight * lam**2
    at = rng.standard_normal((d, d)), float(rng.uniform(0.3, 2))
    s = Entries(*at, np.diag(rates), xi, rates - np.diag(np.diag(rates)))
    return s, FlowProblem.random_diagonal(laws, N)


def off_diagonal(d: int) -> list[tuple[int, int]]:
    """Give the places (i, j) with i != j."""
    return [(i, j) for i, j in product(range(d), repeat=2) if i != j]
