r"""The risk of the limit of Theorem 8 under random covariances: exact, with a floor.

Given Lambda the risk is that of `papers.beyond.risk_under_shift` with A = diag(alpha), a polynomial
in the eigenvalues; averaging puts moments in place of their powers. Whatever the lengths of the
prompts, it stays above sum_i E lambda_i - (E lambda_i^2)^2 / E lambda_i^3, which is 0 only if all
eigenvalues are constant: by Cauchy and Schwarz for lambda^{1/2} and lambda^{3/2}.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import factorial
from typing import Any

import numpy as np
from sympy import QQ
from sympy.polys.fields import field
from sympy.polys.rings import PolyElement, PolyRing

from papers.beyond.risk_under_shift import derive_risk
from papers.ledger import Evidence, Grade, statement
from theory.laws import Deterministic, Exponential, Gamma, TwoPoint, Uniform
from theory.moments.algebra import identity, symmetric
from theory.moments.evaluation import evaluate, substitute
from theory.moments.expression import Expression, scalar
from theory.moments.words import Scalar
from theory.risk import random_covariance_risk

DIMENSIONS = (1, 2, 3)


@cache
def risk_polynomial(d: int) -> tuple[PolyRing, PolyElement]:
    """Return the risk for S = I in alpha_i, moments m1_i, m2_i, m3_i of lambda_i, and r = 1/M.

    A = diag(alpha), examples and query have the covariance Lambda, whose eigenvalues are
    independent: every power lambda_i^k becomes the moment mk_i.
    """
    names = [f"{k}_{i}" for i in range(d) for k in ("alpha", "lambda", "m1", "m2", "m3")]
    ring = PolyRing([*names, "r"], QQ)
    symbols = dict(zip([*names, "r"], ring.gens, strict=True))
    values: dict[str, Any] = {"f": ring.zero, "1/M": symbols["r"], "d": d}
    for name, entries in (
        ("A", [symbols[f"alpha_{i}"] for i in range(d)]),
        ("L", [symbols[f"lambda_{i}"] for i in range(d)]),
        ("Q", [symbols[f"lambda_{i}"] for i in range(d)]),
        ("S", [ring.one] * d),
    ):
        values[name] = np.full((d, d), ring.zero, dtype=object)
        values[name][np.diag_indices(d)] = entries
    given_covariance = evaluate(derive_risk(), values)
    averaged: dict[tuple[int, ...], Any] = {}
    for monomial, coefficient in given_covariance.iterterms():
        powers = list(monomial)
        for i in range(d):
            power, powers[5 * i + 1] = powers[5 * i + 1], 0
            if power:
                powers[5 * i + 1 + power] += 1
        key = tuple(powers)
        averaged[key] = averaged.get(key, 0) + coefficient
    return ring, ring.from_dict(averaged)


def risk_at(
    d: int, alpha: Sequence[Fraction], moments: Sequence[Sequence[Fraction]], r: Fraction
) -> Fraction:
    """Evaluate `risk_polynomial`."""
    ring, polynomial = risk_polynomial(d)
    numbers: list[Fraction] = []
    for a, m in zip(alpha, moments, strict=True):
        numbers += [a, Fraction(0), *m]
    places = zip(ring.gens, (QQ(v.numerator, v.denominator) for v in [*numbers, r]), strict=True)
    value = polynomial.evaluate(list(places))
    return Fraction(int(value.numerator), int(value.denominator))


@dataclass(frozen=True)
class ExampleClaim:
    """The example at finite N, from d and N.

    Parameters
    ----------
    alpha
        The coefficients of the trained layer: the factor of w_i x_i in the mean of its prediction
        if the query does not depend on Lambda.
    risk
        The risk for M = N, divided by d.
    """

    alpha: Callable[[Any, Any], Any]
    risk: Callable[[Any, Any], Any]


def _alpha(d: Any, N: Any) -> Any:
    return N / (3 * N + d + 5)


_EXAMPLE = ExampleClaim(_alpha, lambda d, N: 1 - 2 * _alpha(d, N))


@statement(
    id="beyond/exponential-example",
    title="The example of exponential eigenvalues at finite N",
    source="ours; zhang2024, Section 4.3, has the limit 1/3",
    latex=r"\alpha_i = \frac{N}{3N + d + 5},\quad \mathbf{E}(\hat y - y)^2 = d(1 - 2\alpha_i)"
    r" \text{ for } M = N",
    printed=_EXAMPLE,
    beyond=True,
    mutants={
        "1/3": ExampleClaim(lambda d, N: N / (3 * N), _EXAMPLE.risk),
        "d + 4": ExampleClaim(lambda d, N: N / (3 * N + d + 4), _EXAMPLE.risk),
        "2 d + 5": ExampleClaim(lambda d, N: N / (3 * N + 2 * d + 5), _EXAMPLE.risk),
        "right for N = 1, 2, 10 and 1000": ExampleClaim(
            lambda d, N: _alpha(d, N) * (1 + (N - 1) * (N - 2) * (N - 10) * (N - 1000)),
            _EXAMPLE.risk,
        ),
        "a risk that is right for d <= 3": ExampleClaim(
            _alpha, lambda d, N: _EXAMPLE.risk(d, N) + (d - 1) * (d - 2) * (d - 3)
        ),
        "the risk 1 - alpha": ExampleClaim(_alpha, lambda d, N: 1 - _alpha(d, N)),
        "the limit of the risk, 1/3": ExampleClaim(_alpha, lambda d, N: N / (3 * N)),
        "1 % more": ExampleClaim(lambda d, N: _alpha(d, N) * 101 / 100, _EXAMPLE.risk),
    },
    hypotheses=("lambda_i exponential of mean 1, w ~ N(0, I)",),
    depends_on=("beyond/risk-under-shift",),
)
def EXAMPLE(claim: ExampleClaim, rng: np.random.Generator) -> Evidence:
    """The coefficient is where the risk of training has no slope; E lambda^k = k!."""
    wrong = ""
    moments = [Fraction(factorial(k)) for k in (1, 2, 3)]
    for d in DIMENSIONS:
        for N in (1, 2, 10, 1000):
            sizes, told = (Fraction(d), Fraction(N)), f"d = {d}, N = M = {N}"
            alpha = claim.alpha(*sizes)
            inverse, h = Fraction(1, N), Fraction(1)
            # The risk is quadratic in alpha_1: its slope is a difference of values.
            others = [alpha] * (d - 1)
            after, before = (
                risk_at(d, [alpha + e, *others], [moments] * d, inverse) for e in (h, -h)
            )
            risk = risk_at(d, [alpha] * d, [moments] * d, inverse)
            if not wrong and after != before:
                wrong = f"{told}: the risk has the slope {(after - before) / 2} at alpha = {alpha}"
            if not wrong and risk != d * claim.risk(*sizes):
                wrong = f"{told}: the risk is {risk}, and the claim says {d * claim.risk(*sizes)}"
            laws = [Exponential(1)] * d
            found = random_covariance_risk(laws, laws, N, N)
            if not wrong and (found.frozen_query != (alpha,) * d or sum(found.risk) != risk):
                wrong = f"{told}: theory.risk.random_covariance_risk differs"
    wrong = wrong or _wrong_example(claim)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the slope and value of the risk, derived by pairings, with letters for d and N = M, and in"
        " fractions; and theory.risk",
        f"every d and N; in fractions, and with the library, d in {DIMENSIONS}, N = M = 1, 2, 10,"
        " 1000",
        counterexample=wrong,
    )


def _wrong_example(claim: ExampleClaim) -> str:
    """Compare with letters for d and N; all alpha_i are equal, by symmetry."""
    (_, d, N) = field(["d", "N"], QQ)
    alpha = claim.alpha(d, N)
    # The risk is quadratic in alpha.
    slope = (_exponential_risk(alpha + 1, d, 1 / N) - _exponential_risk(alpha - 1, d, 1 / N)) / 2
    if slope != 0:
        return f"letters for d and N: the risk has the slope {slope} at alpha = {alpha}"
    risk, told = _exponential_risk(alpha, d, 1 / N), d * claim.risk(d, N)
    return "" if risk == told else f"letters for d and N: the risk is {risk}, not {told}"


def _exponential_risk(alpha: Any, d: Any, r: Any) -> Any:
    """Average the derived risk for A = alpha I, S = I over independent exponential eigenvalues."""
    lam, total = symmetric("Lambda"), 0 * d
    values = {"A": identity() * scalar("alpha"), "L": lam, "Q": lam, "S": identity()}
    for monomial, c in substitute(derive_risk(), values | {"f": Expression({})}).terms.items():
        term, powers = 0 * d + 1, []
        for factor, power in monomial:
            if isinstance(factor, Scalar):
                term *= {"alpha": alpha, "1/M": r, "d": d}[factor.name] ** power
            else:
                powers += [len(factor.word)] * power
        total += term * _mean_of_sums(powers, d) * c.numerator / c.denominator
    return total


def _mean_of_sums(powers: Sequence[int], d: Any) -> Any:
    """Return the mean of a product of at most two sums of lambda_i^k, with E lambda^k = k!."""
    if len(powers) < 2:
        return factorial(powers[0]) * d if powers else 1
    one, other = powers
    # The same eigenvalue, or two.
    return factorial(one + other) * d + factorial(one) * factorial(other) * d * (d - 1)


#: The risk from alpha_i, (m1, m2, m3)_i and r = 1/M, in letters or numbers.
FloorClaim = Callable[[Sequence[Any], Sequence[Sequence[Any]], Any], Any]


def _floor_risk(
    alpha: Sequence[Any], moments: Sequence[Sequence[Any]], r: Any, own: int = 2, cross: int = 2
) -> Any:
    trace = sum(m[0] for m in moments)
    return sum(
        a**2 * (m[2] + r * (own * m[2] + m[1] * (trace - m[0]))) - cross * a * m[1] + m[0]
        for a, m in zip(alpha, moments, strict=True)
    )


@statement(
    id="beyond/random-covariance-floor",
    title="The risk under random covariances, and its floor for prompts of any length",
    source="ours; zhang2024, Section 4.3, shows for one law that there is a floor",
    latex=r"\sum_i \alpha_i^2 \mathbf{E}[((1 + \tfrac1M)\lambda_i + \tfrac1M \mathrm{tr}\Lambda)"
    r"\lambda_i^2] - 2\alpha_i\mathbf{E}\lambda_i^2 + \mathbf{E}\lambda_i \to \sum_i"
    r" \mathbf{E}\lambda_i - \frac{(\mathbf{E}\lambda_i^2)^2}{\mathbf{E}\lambda_i^3} \ge 0",
    printed=_floor_risk,
    beyond=True,
    mutants={
        "lambda_i once in the variance": lambda a, m, r: _floor_risk(a, m, r, own=1),
        "the cross term once": lambda a, m, r: _floor_risk(a, m, r, cross=1),
        "without the first moment": lambda a, m, r: _floor_risk(a, m, r) - sum(v[0] for v in m),
        "M + 1 examples": lambda a, m, r: _floor_risk(a, m, r / 2),
        "E lambda_i E lambda_i^2 for E lambda_i^3": lambda a, m, r: _floor_risk(
            a, [(v[0], v[1], v[0] * v[1]) for v in m], r
        ),
        "1 % more": lambda a, m, r: _floor_risk(a, m, r) * 101 / 100,
    },
    hypotheses=(
        "independent eigenvalues with finite third moments, w ~ N(0, I)",
        "the floor is 0 if and only if every lambda_i is constant (Cauchy and Schwarz)",
    ),
    depends_on=("beyond/risk-under-shift",),
)
def FLOOR(claim: FloorClaim, rng: np.random.Generator) -> Evidence:
    """Compare with the average of the derived risk; then the library, law by law."""
    wrong = ""
    for d in DIMENSIONS:
        ring, found = risk_polynomial(d)
        g = ring.gens
        letters = [g[5 * i : 5 * i + 5] for i in range(d)]
        claimed = claim([x[0] for x in letters], [x[2:] for x in letters], g[-1])
        if not wrong and claimed != found:
            # lambda = 1 or 3 with probability 1/2 has the moments 2, 5, 14.
            numbers = [(x, v) for x, v in zip(g, [*[1, 0, 2, 5, 14] * d, 1], strict=True)]
            values = (p.evaluate(numbers) for p in (found, claimed))
            wrong = "d = {}, alpha = 1, M = 1, moments (2, 5, 14): the risk is {}, not {}".format(
                d, *values
            )
    for laws in ((Exponential(1), TwoPoint(1, 4)), (Uniform(1, 2), Deterministic(3)), (Gamma(3),)):
        training, moments = [*laws], [[Fraction(m) for m in law.moments] for law in laws]
        found_by_library = random_covariance_risk(training, training, 4, 5)
        alpha = [m[1] / m[2] for m in moments]
        limit = claim(alpha, moments, Fraction(0))
        constant = all(isinstance(law, Deterministic) for law in laws)
        if not wrong and not (sum(found_by_library.limit) == limit and (limit > 0 or constant)):
            wrong = f"{laws}: the floor is {sum(found_by_library.limit)}, the claim says {limit}"
        expected = claim(list(found_by_library.coefficients), moments, Fraction(1, 5))
        if not wrong and sum(found_by_library.risk) != expected:
            wrong = f"{laws}: theory.risk.random_covariance_risk differs for N = 4, M = 5"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the risk by pairings, averaged over the eigenvalues, as a polynomial in their moments; and"
        " theory.risk in fractions",
        f"d in {DIMENSIONS}, every law, alpha and M; three sets of laws with the library",
        counterexample=wrong,
    )


STATEMENTS = (EXAMPLE, FLOOR)
