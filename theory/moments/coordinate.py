"""Gaussian moments in coordinates: exact polynomials for one dimension d, monomial by monomial.

This engine knows no matrices, traces or pairings, only E z^{2n} = (2n-1)!! v^n for z ~ N(0, v). It
judges the dimension-free engine, with which it shares no code. It imports sympy, so that `theory`
does not import it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from math import prod
from operator import mul
from typing import Any, SupportsIndex, TypeAlias

from sympy import QQ
from sympy.polys.rings import PolyRing

from theory.validation import Problems

__all__ = ["CoordinateMoments", "Polynomial", "dot", "expectation"]

#: A `sympy.polys.rings.PolyElement`: a polynomial with rational coefficients, or an integer.
Polynomial: TypeAlias = Any
Vector: TypeAlias = Sequence[Polynomial]
Matrix: TypeAlias = Sequence[Vector]


def expectation(polynomial: Polynomial, variances: Mapping[Polynomial, Polynomial]) -> Polynomial:
    """Take the expectation over independent centred Gaussians, monomial by monomial.

    Parameters
    ----------
    polynomial
        An element of a sympy polynomial ring.
    variances
        For every random generator of the ring its variance, free of random generators: an element
        of the ring, or an integer.

    Returns
    -------
    PolyElement
        The sum of c prod_z E z^{n_z} over the monomials, free of the random generators.

    Raises
    ------
    ValueError
        If a key of `variances` is not a generator of the ring.
    """
    ring = polynomial.ring
    strangers = [str(z) for z in variances if z not in ring.gens]
    if strangers:
        raise ValueError(
            f"variances has the keys {', '.join(strangers)}; expected generators of the ring"
            f" {ring}: take the expectation in the ring that has them"
        )
    places = [ring.gens.index(z) for z in variances]
    fixed: dict[tuple[int, ...], dict[tuple[int, ...], Any]] = defaultdict(dict)
    for monomial, coefficient in polynomial.iterterms():
        powers = tuple(monomial[i] for i in places)
        if not any(n % 2 for n in powers):  # odd moments are 0
            rest = list(monomial)
            for i in places:
                rest[i] = 0
            fixed[powers][tuple(rest)] = coefficient
    return sum(
        (
            ring.from_dict(rest) * prod(map(_moment, variances.values(), powers))
            for powers, rest in fixed.items()
        ),
        ring.zero,
    )


def dot(left: Vector, right: Vector) -> Polynomial:
    """Give the inner product of two vectors of polynomials."""
    return sum(map(mul, left, right))


class CoordinateMoments:
    """The ring of the coordinates in dimension d, and the population loss derived in it.

    The covariance Lambda = diag(lam_1, ..., lam_d) of the covariates is diagonal: this is a choice
    of basis, and no restriction.

    Parameters
    ----------
    dim
        The dimension d >= 1.

    Attributes
    ----------
    ring
        The polynomial ring over the rationals, in all symbols below.
    eigenvalues
        lam_1, ..., lam_d.
    u12, u21, U11, u_1
        The weights of the layer, as in `theory.linear_attention.LinearAttention`.
    inverse_length
        1/N, for prompts of N examples.
    task_factor
        A lower triangular matrix T with symbols, for tasks w = T g, g ~ N(0, I), of covariance TT'.
    noise_std
        sigma, of the noise of the labels.
    example, query, normal, noise
        x, the query and g as vectors of generators, and eps ~ N(0, 1); `variances` has them all.
    variances
        Of every random generator.

    Raises
    ------
    ValueError
        If `dim` is not an integer >= 1.
    """

    def __init__(self, dim: SupportsIndex) -> None:
        problems = Problems("CoordinateMoments(dim)")
        self.dim = d = problems.count("dim", dim, 1)
        problems.raise_if_any()
        vectors = [f"{name}{i + 1}" for name in ("lam", "p", "q", "x", "z", "g") for i in range(d)]
        matrix = [f"U{i + 1}{j + 1}" for i in range(d) for j in range(d)]
        triangle = [f"T{i + 1}{j + 1}" for i in range(d) for j in range(i + 1)]
        self.ring = PolyRing([*vectors, *matrix, *triangle, "u", "sigma", "eps", "1/N"], QQ)
        rest = iter(self.ring.gens)
        self.eigenvalues, self.u12, self.u21, self.example, self.query, self.normal = (
            list(islice(rest, d)) for _ in range(6)
        )
        self.U11 = [list(islice(rest, d)) for _ in range(d)]
        self.task_factor = [[*islice(rest, i + 1), *[0] * (d - i - 1)] for i in range(d)]
        self.u_1, self.noise_std, self.noise, self.inverse_length = rest
        covariates = zip(self.example + self.query, 2 * self.eigenvalues, strict=True)
        self.variances = dict(covariates) | dict.fromkeys((*self.normal, self.noise), 1)

    def population_loss_given_task(self, task: Vector, noise_std: Polynomial = 0) -> Polynomial:
        """Derive L = 1/2 E[(yhat - w'x_query)^2 | w] of the full layer, for labels w'x + sigma eps.

        With f_i = (u12'x_i + u_1 y_i)(x_i'U11 x_query + y_i u21'x_query) for the examples and
        h = u12'x_query x_query'U11 x_query for the query's own column,
        yhat = (f_1 + ... + f_N + h) / N. Given w and the query the f_i are independent, so that
        E (f_1 + ... + f_N)^2 = N E f^2 + N (N-1) (E f)^2.

        Parameters
        ----------
        task
            w, shape (d,): of ring elements or integers, such as the attribute `normal`.
        noise_std
            sigma: a ring element or an integer, such as the attribute `noise_std`.

        Returns
        -------
        PolyElement
            L, in the eigenvalues, the weights, 1/N, and the symbols of the arguments.

        Notes
        -----
        Source: Zhang et al. 2024, eqs. (6) and (8), here with noise.
        """
        x, z, w = self.example, self.query, task
        y = dot(w, x) + noise_std * self.noise
        keyed = [dot(row, z) for row in self.U11]
        one = (dot(self.u12, x) + self.u_1 * y) * (dot(x, keyed) + y * dot(self.u21, z))
        own = self.inverse_length * dot(self.u12, z) * dot(z, keyed) - dot(w, z)
        mean = self._expectation(one, (*x, self.noise))
        square = self.inverse_length * one**2 + (1 - self.inverse_length) * mean**2
        error = square + 2 * mean * own + own**2
        return self._expectation(error, (*x, *z, self.noise)) / 2

    def population_loss(
        self, task_factor: Matrix | None = None, noise_std: Polynomial = 0
    ) -> Polynomial:
        """Derive L = 1/2 E (yhat - w'x_query)^2: the mean over w of `population_loss_given_task`.

        Parameters
        ----------
        task_factor
            T, shape (d, d), for tasks w ~ N(0, T T'): of ring elements or integers, such as the
            attribute `task_factor`; the identity by default, which is the law of Zhang et al.
        noise_std
            sigma: a ring element or an integer, such as the attribute `noise_std`.

        Returns
        -------
        PolyElement
            L, in the eigenvalues, the weights, 1/N, and the symbols of the arguments.
        """
        w = self.normal if task_factor is None else [dot(row, self.normal) for row in task_factor]
        return self._expectation(self.population_loss_given_task(w, noise_std), self.normal)

    def _expectation(self, polynomial: Polynomial, over: Iterable[Polynomial]) -> Polynomial:
        return expectation(polynomial, {z: self.variances[z] for z in over})


def _moment(variance: Polynomial, power: int) -> Polynomial:
    """E z^n = (n-1)!! v^{n/2}, n even."""
    return prod(range(1, power, 2)) * variance ** (power // 2)
