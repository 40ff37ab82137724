r"""Lemmas 11, 23, 24 and Corollary 16: the restricted losses, their minima and their minimisers.

In the eigenbasis of Lambda the loss is a sum over the entries of U_11, each of which is treated by
itself: what is proved with symbols for d = 1, 2, 3 has the same steps in every dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.dynamics import DIMENSIONS, PROBLEMS, TOLERANCE
from papers.zhang2024.restricted_points import (
    Entries,
    Point,
    diagonal,
    drawn_entries,
    drawn_point,
    off_diagonal,
    symbolic_entries,
    symbolic_point,
)
from theory.gradient_flow import FlowState


def _fixed_loss(s: Point) -> Any:
    """Eq. (28) entry by entry, for diagonal matrices."""
    g, lam, U, u = np.diag(s.gamma), np.diag(s.covariance), s.U, s.u
    pairs = product(range(len(U)), repeat=2)
    curved = sum(g[i] * lam[i] * lam[j] * U[i, j] ** 2 for i, j in pairs)
    return curved * u**2 / 2 - u * sum(lam[i] ** 2 * U[i, i] for i in range(len(U)))


def _evidence(wrong: str, error: float, comparison: str) -> Evidence:
    if not wrong and not error <= TOLERANCE:
        wrong = f"theory.FlowProblem differs from the claim by {error:.3g} relative"
    return Evidence(
        not wrong,
        Grade.PROVED,
        comparison,
        f"d in {DIMENSIONS} with symbols, every N; the library at {PROBLEMS} problems with d <= 5",
        error,
        TOLERANCE,
        wrong,
    )


def _relative(found: Any, claimed: Any) -> float:
    size = max(float(np.max(np.abs(found))), 1e-300)
    return float(np.max(np.abs(np.asarray(found) - np.asarray(claimed)))) / size


@dataclass(frozen=True)
class ProductClaim:
    """u_{-1} U_11 at every global minimum, for Lambda definite, or semidefinite too."""

    product: Callable[[Point], Any]
    definite: bool = True


@statement(
    id="zhang2024/lemma-11",
    title="The global minima of the restricted loss",
    source="Section 5.2, Lemma 11, eq. (29)",
    latex=r"u_{-1} U_{11} = \Gamma^{-1} \text{ at every global minimum of } \tilde\ell",
    printed=ProductClaim(lambda s: s.gamma_inverse),
    mutants={
        "minus Gamma^{-1}": ProductClaim(lambda s: -s.gamma_inverse),
        "twice Gamma^{-1}": ProductClaim(lambda s: 2 * s.gamma_inverse),
        "Gamma^{-2}": ProductClaim(lambda s: s.gamma_inverse @ s.gamma_inverse),
        "Lambda Gamma^{-1}": ProductClaim(lambda s: s.covariance @ s.gamma_inverse),
        "1 % more": ProductClaim(lambda s: s.gamma_inverse * 101 / 100),
        "Lambda semidefinite": ProductClaim(lambda s: s.gamma_inverse, definite=False),
    },
    hypotheses=("Lambda positive definite",),
    depends_on=("zhang2024/lemma-15", "zhang2024/corollary-16"),
)
def LEMMA_11(claim: ProductClaim, rng: np.random.Generator) -> Evidence:
    """The loss is strictly convex in A = u U, and its derivative by A is zero at one A only."""
    wrong = "" if claim.definite else _wrong_if_semidefinite(claim)
    for d in DIMENSIONS:
        s = symbolic_point(d)
        claimed = claim.product(s)
        slope = s.gamma @ s.covariance @ claimed @ s.covariance - s.covariance @ s.covariance
        for i, j in product(range(d), repeat=2):
            # At u = 0 the loss is 0, above its minimum: every global minimum has such an A.
            if not wrong and slope[i, j] != 0:
                wrong = f"d = {d}, A = {claimed.tolist()}: dl/dA[{i}, {j}] is {slope[i, j]}, not 0"
    drawn = [drawn_point(rng) for _ in range(PROBLEMS)]
    error = max(_relative(problem.minimiser, claim.product(s)) for s, problem in drawn)
    return _evidence(
        wrong,
        error,
        "the derivative of the loss by u U, which is strictly convex in it; then"
        " theory.FlowProblem.fixed(...).minimiser",
    )


def _wrong_if_semidefinite(claim: ProductClaim) -> str:
    """Try Lambda = diag(1, 0) with N = 1, so that Gamma = diag(3, 1): U_22 changes nothing."""
    covariance, gamma = (diagonal([Fraction(a), Fraction(b)], 0) for a, b in ((1, 0), (3, 1)))
    inverse = diagonal([Fraction(1, 3), Fraction(1)], 0)
    s = Point(inverse, 1, covariance, covariance, gamma, None, inverse)
    other = s._replace(U=diagonal([Fraction(1, 3), Fraction(2)], 0))
    if _fixed_loss(other) > _fixed_loss(s) or not np.any(claim.product(s) != other.U):
        return ""
    return (
        f"Lambda = diag(1, 0), N = 1: the loss at U = diag(1/3, 2), u = 1 is {_fixed_loss(other)},"
        f" as at Gamma^-1 = diag(1/3, 1), and u U is not {np.diag(claim.product(s)).tolist()}"
    )


@dataclass(frozen=True)
class CompletedSquare:
    """The minimum of the loss and its excess over it, if Gamma commutes with Lambda or not."""

    minimum: Callable[[Point], Any]
    excess: Callable[[Point], Any]
    commuting: bool = True


def _minimum(s: Point, percent: int = -100) -> Any:
    return (s.covariance @ s.covariance @ s.gamma_inverse).trace() * percent / 200


def _excess(s: Point, sign: int = 1, *, gamma_root: bool = True, u_power: int = 1) -> Any:
    """1/2 |Gamma^{1/2} (u Lambda^{1/2} U Lambda^{1/2} - Lambda Gamma^{-1})|_F^2."""
    root = s.covariance_root
    gap = root @ s.U @ root * s.u**u_power - s.covariance @ s.gamma_inverse * sign
    return np.sum((s.gamma_root @ gap if gamma_root else gap) ** 2) / 2


@statement(
    id="zhang2024/corollary-16",
    title="The minimum of the restricted loss, and the excess over it",
    source="Appendix A.3, Corollary 16",
    latex=r"\min \tilde\ell = -\tfrac12 \mathrm{tr}[\Lambda^2 \Gamma^{-1}],\quad"
    r" \tilde\ell - \min\tilde\ell = \tfrac12 \|\Gamma^{1/2} (u_{-1} \Lambda^{1/2} U_{11}"
    r" \Lambda^{1/2} - \Lambda\Gamma^{-1})\|_F^2",
    printed=CompletedSquare(_minimum, _excess),
    mutants={
        "plus in the gap": CompletedSquare(_minimum, partial(_excess, sign=-1)),
        "a positive minimum": CompletedSquare(partial(_minimum, percent=100), _excess),
        "the minimum without its half": CompletedSquare(partial(_minimum, percent=-200), _excess),
        "without Gamma^{1/2}": CompletedSquare(_minimum, partial(_excess, gamma_root=False)),
        "u^2 in the gap": CompletedSquare(_minimum, partial(_excess, u_power=2)),
        "a minimum 1 % deeper": CompletedSquare(partial(_minimum, percent=-101), _excess),
        "1 % moved to the excess": CompletedSquare(
            partial(_minimum, percent=-101), lambda s: _excess(s) - _minimum(s) / 100
        ),
        "any positive definite Gamma": CompletedSquare(_minimum, _excess, commuting=False),
    },
    hypotheses=("Lambda positive definite", "Gamma commutes with Lambda, as that of Lemma 10 does"),
    depends_on=("zhang2024/lemma-15", "zhang2024/lemma-32"),
)
def COROLLARY_16(claim: CompletedSquare, rng: np.random.Generator) -> Evidence:
    """Complete the square with symbols; the excess is zero at u = 1, U = Gamma^{-1}."""
    wrong = "" if claim.commuting else _wrong_if_not_commuting(claim)
    for d in DIMENSIONS:
        s = symbolic_point(d)
        attained = claim.excess(s._replace(U=s.gamma_inverse, u=s.u / s.u))
        wrong = wrong or _differ(d, _fixed_loss(s) - claim.minimum(s), claim.excess(s))
        wrong = wrong or _differ(d, s.u * 0, attained, "excess at the minimiser ")
    error = 0.0
    for _ in range(PROBLEMS):
        s, problem = drawn_point(rng)
        # The loss at zero is a constant that the paper leaves out.
        minimum = problem.minimal_loss - problem.loss_at_zero
        errors = (
            abs(minimum - claim.minimum(s)) / problem.loss_at_zero,
            _relative(problem.excess_loss(FlowState(s.U, s.u)), claim.excess(s)),
        )
        error = max(error, *map(float, errors))
    return _evidence(
        wrong,
        error,
        "the completed square against eq. (28); then minimal_loss and excess_loss of"
        " theory.FlowProblem.fixed",
    )


def _wrong_if_not_commuting(claim: CompletedSquare) -> str:
    """Try Lambda = diag(1, 4), Gamma^{1/2} = [[2, 1], [1, 2]] at U = I, u = 1."""
    root, gamma_root = np.diag([1.0, 2.0]), np.array([[2.0, 1.0], [1.0, 2.0]])
    covariance, gamma = root @ root, gamma_root @ gamma_root
    s = Point(np.eye(2), 1.0, covariance, root, gamma, gamma_root, np.linalg.inv(gamma))
    found = float(np.trace(gamma @ covariance @ covariance / 2 - covariance @ covariance))
    claimed = claim.minimum(s) + claim.excess(s)
    if abs(found - claimed) <= TOLERANCE:
        return ""
    return (
        f"Lambda = diag(1, 4), Gamma = {gamma.tolist()}, U = I, u = 1: the loss is {found:.6g}, and"
        f" the claim says {claimed:.6g}"
    )


def _differ(d: int, found: Any, claimed: Any, where: str = "excess ") -> str:
    """Say how two rational functions of one field differ, with numbers for the symbols."""
    if found == claimed:
        return ""
    gens = found.field.ring.gens
    numbers = [(g, 2 + i % 5) for i, g in enumerate(gens)]
    values = [x.numer.evaluate(numbers) / x.denom.evaluate(numbers) for x in (found, claimed)]
    listed = ", ".join(f"{g} = {n}" for g, n in numbers)
    return f"d = {d}, {listed}: {where}{values[0]}, and the claim says {values[1]}"


def _random_loss(s: Entries, half: int = 2, sign: int = -1, *, off: bool = True) -> Any:
    """Eq. (53), its second line."""
    d, U, u = len(s.U), s.U, s.u
    curved = sum(s.gamma[i] * u**2 * U[i, i] ** 2 for i in range(d))
    if off:
        curved += sum(s.zeta[i, j] * u**2 * U[i, j] ** 2 for i, j in off_diagonal(d))
    return curved / half + sign * sum(s.xi[i] * u * U[i, i] for i in range(d))


#: The loss of Lemma 23 at a point, from gamma, xi and zeta.
RandomLossClaim = Callable[[Entries], Any]


_WRONG_RANDOM_LOSSES: dict[str, RandomLossClaim] = {
    "without the halves": partial(_random_loss, half=1),
    "plus xi": partial(_random_loss, sign=1),
    "without the entries off the diagonal": partial(_random_loss, off=False),
    "zeta transposed": lambda s: _random_loss(s._replace(zeta=s.zeta.T)),
    "1 % more": lambda s: _random_loss(s) * 101 / 100,
}


@statement(
    id="zhang2024/lemma-23",
    title="The flow with a random diagonal covariance is that of a simpler loss",
    source="Appendix C.2, Lemma 23, eq. (53)",
    latex=r"\ell_{\mathrm{rdm}} = \tfrac12 \sum_i \gamma_i u_{-1}^2 u_{ii}^2"
    r" + \tfrac12 \sum_{i \ne j} \zeta_{ij} u_{-1}^2 u_{ij}^2 - \sum_i \xi_i u_{ii} u_{-1}",
    printed=_random_loss,
    mutants=_WRONG_RANDOM_LOSSES,
    hypotheses=("Lambda_tau diagonal", "u_12 = u_21 = 0"),
    depends_on=("zhang2024/corollary-22",),
)
def LEMMA_23(claim: RandomLossClaim, rng: np.random.Generator) -> Evidence:
    """Differentiate the claim: minus its derivatives must be eq. (52)."""
    wrong = next(filter(None, (_wrong_slope(claim, d) for d in DIMENSIONS)), "")
    error = 0.0
    for _ in range(PROBLEMS):
        s, problem = drawn_entries(rng)
        # Both without the loss at zero, which the paper leaves out.
        found = problem.loss(FlowState(s.U, s.u)) - problem.loss_at_zero
        size = abs(found) + problem.loss_at_zero
        error = max(error, float(abs(found - claim(s)) / size))
    return _evidence(
        wrong,
        error,
        "minus the derivatives of the loss against eq. (52); then the loss of"
        " theory.FlowProblem.random_diagonal",
    )


def _wrong_slope(claim: RandomLossClaim, d: int) -> str:
    s = symbolic_entries(d)
    loss, u = claim(s), s.u
    of_u = u * 0
    for i, j in product(range(d), repeat=2):
        rate, drive = (s.gamma[i], s.xi[i]) if i == j else (s.zeta[i, j], 0)
        flow, found = -rate * u**2 * s.U[i, j] + drive * u, -loss.diff(s.U[i, j])
        of_u += -rate * u * s.U[i, j] ** 2 + drive * s.U[i, j]
        if found != flow:
            return f"d = {d}: minus dl/du_{i + 1}{j + 1} is {found}, and eq. (52) has {flow}"
    found = -loss.diff(u)
    return "" if found == of_u else f"d = {d}: minus dl/du is {found}, and eq. (52) has {of_u}"


@dataclass(frozen=True)
class RandomMinimum:
    """Eqs. (54), (55) and (56): the minimum, the excess over it, and u U at the minimisers.

    `positive` says whether zeta_ij > 0, or zeta_ij >= 0 is enough.
    """

    minimum: Callable[[Entries], Any]
    excess: Callable[[Entries], Any]
    product: Callable[[Entries], Any]
    positive: bool = True


def _random_minimum(s: Entries, percent: int = -100) -> Any:
    return sum(s.xi[i] ** 2 / s.gamma[i] for i in range(len(s.U))) * percent / 200


def _random_excess(s: Entries, sign: int = -1, off: int = 1) -> Any:
    d, U, u = len(s.U), s.U, s.u
    gaps = sum(s.gamma[i] * (U[i, i] * u + sign * s.xi[i] / s.gamma[i]) ** 2 for i in range(d))
    return (gaps + off * sum(s.zeta[i, j] * (U[i, j] * u) ** 2 for i, j in off_diagonal(d))) / 2


def _random_product(s: Entries) -> Any:
    return [s.xi[i] / s.gamma[i] for i in range(len(s.U))]


_LEMMA_24 = RandomMinimum(_random_minimum, _random_excess, _random_product)


@statement(
    id="zhang2024/lemma-24",
    title="The minimum and the minimisers for a random diagonal covariance",
    source="Appendix C.2, Lemma 24, eqs. (54) to (56)",
    latex=r"\min \ell_{\mathrm{rdm}} = -\tfrac12 \sum_i \xi_i^2/\gamma_i,\quad"
    r" \ell_{\mathrm{rdm}} - \min \ell_{\mathrm{rdm}} = \tfrac12 \sum_i \gamma_i"
    r" (u_{ii} u_{-1} - \xi_i/\gamma_i)^2 + \tfrac12 \sum_{i \ne j} \zeta_{ij} u_{-1}^2 u_{ij}^2,"
    r"\quad u_{-1} u_{ij} = 1(i = j)\, \xi_i/\gamma_i",
    printed=_LEMMA_24,
    mutants={
        "a positive minimum": replace(_LEMMA_24, minimum=partial(_random_minimum, percent=100)),
        "plus in the gap": replace(_LEMMA_24, excess=partial(_random_excess, sign=1)),
        "twice zeta": replace(_LEMMA_24, excess=partial(_random_excess, off=2)),
        "gamma/xi": replace(
            _LEMMA_24, product=lambda s: [s.gamma[i] / s.xi[i] for i in range(len(s.U))]
        ),
        "a minimum 1 % deeper": replace(_LEMMA_24, minimum=partial(_random_minimum, percent=-101)),
        "minimisers 1 % off": replace(
            _LEMMA_24, product=lambda s: [x * 101 / 100 for x in _random_product(s)]
        ),
        "zeta_ij >= 0": replace(_LEMMA_24, positive=False),
    },
    hypotheses=("gamma_i, zeta_ij > 0",),
    depends_on=("zhang2024/lemma-23",),
)
def LEMMA_24(claim: RandomMinimum, rng: np.random.Generator) -> Evidence:
    """Complete the square with symbols; the excess is zero at the minimisers with u = 1."""
    wrong = "" if claim.positive else _wrong_without_zeta(claim)
    for d in DIMENSIONS:
        s = symbolic_entries(d)
        at = s._replace(U=diagonal(claim.product(s), s.u * 0), u=s.u / s.u)
        wrong = wrong or _differ(d, _random_loss(s) - claim.minimum(s), claim.excess(s))
        wrong = wrong or _differ(d, s.u * 0, claim.excess(at), "excess at the minimiser ")
    error = 0.0
    for _ in range(PROBLEMS):
        s, problem = drawn_entries(rng)
        minimum = problem.minimal_loss - problem.loss_at_zero
        errors = (
            abs(minimum - claim.minimum(s)) / problem.loss_at_zero,
            _relative(problem.excess_loss(FlowState(s.U, s.u)), claim.excess(s)),
            _relative(problem.minimiser, np.diag(claim.product(s))),
        )
        error = max(error, *map(float, errors))
    return _evidence(
        wrong,
        error,
        "the completed square against eq. (53); then minimal_loss, excess_loss and minimiser of"
        " theory.FlowProblem.random_diagonal",
    )


def _wrong_without_zeta(claim: RandomMinimum) -> str:
    """Try gamma = xi = (1, 1) and zeta = 0: u_12 changes nothing."""
    U = np.array([[1.0, 1.0], [0.0, 1.0]])
    s = Entries(U, 1.0, np.ones(2), np.ones(2), np.zeros((2, 2)))
    if _random_loss(s) > _random_loss(s._replace(U=np.eye(2))):
        return ""
    return (
        f"gamma = xi = (1, 1), zeta = 0: the loss at U = {U.tolist()}, u = 1 is {_random_loss(s)},"
        f" as at U = I, and u u_12 = 1, not 0"
    )


STATEMENTS = (LEMMA_11, COROLLARY_16, LEMMA_23, LEMMA_24)
