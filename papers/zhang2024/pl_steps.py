r"""Eqs. (45), (46), (64), (65) and the steps between them: inside the proofs of Lemmas 20 and 28.

In the eigenbasis of Lambda everything is entrywise. With K = u Lambda^{1/2} U Lambda^{1/2} -
Lambda Gamma^{-1} and G = Gamma Lambda^{1/2} K Lambda^{1/2},

    dl/dU = u G,   l - min l = 1/2 sum_ij G_ij^2 / (gamma_i lambda_i lambda_j),
    u U - Gamma^{-1} = Lambda^{-1/2} K Lambda^{-1/2},

so that each inequality of norms is one between 1/(gamma_i lambda_i lambda_j) and a constant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import sympy
from sympy.polys.fields import field

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.flow_lines import random_lines
from papers.zhang2024.positivity import THRESHOLDS
from papers.zhang2024.restricted_points import (
    Entries,
    Point,
    off_diagonal,
    symbolic_entries,
    symbolic_point,
)
from theory.gradient_flow.solver import solve_flow_from

DIMENSIONS = (1, 2, 3)

#: Of limits of flow lines, relatively.
TOLERANCE = 1e-9

#: A constant from the eigenvalues of Gamma and Lambda, the least first.
Constant = Callable[[Sequence[Any], Sequence[Any]], Any]


def _traces(gamma: Sequence[Any], lam: Sequence[Any]) -> Any:
    """tr(Gamma^{-1} Lambda^{-1}) tr(Lambda^{-1}): squares of Frobenius norms."""
    return sum(1 / (g * x) for g, x in zip(gamma, lam, strict=True)) * sum(1 / x for x in lam)


def _operator_norms(gamma: Sequence[Any], lam: Sequence[Any]) -> Any:
    """The same with operator norms."""
    return 1 / (gamma[0] * lam[0] ** 2)


def _too_small(constant: Constant, d: int) -> str:
    """Say where the constant is less than 1/(gamma_i lambda_i lambda_j), or not shown to be more.

    The eigenvalues are m, m + g_1, m + g_1 + g_2 with letters m, g_k > 0.
    """
    (_, *gens) = field([*(f"l{i}" for i in range(d)), "N"], sympy.QQ)
    lam = [sum(gens[: i + 1]) for i in range(d)]
    gamma = _gamma(lam, gens[-1])
    value = constant(gamma, lam)
    for i, j in product(range(d), repeat=2):
        gap = value - 1 / (gamma[i] * lam[i] * lam[j])
        if any(c < 0 for part in (gap.numer, gap.denom) for c in part.itercoeffs()):
            return _where_too_small(constant, d, i, j)
    return ""


def _gamma(lam: Sequence[Any], N: Any) -> list[Any]:
    return [x + (x + sum(lam)) / N for x in lam]


def _where_too_small(constant: Constant, d: int, i: int, j: int) -> str:
    for scale in (Fraction(1, 4), Fraction(1), Fraction(4)):
        lam = [scale * (k + 1) for k in range(d)]
        gamma = _gamma(lam, Fraction(1))
        value, needed = constant(gamma, lam), 1 / (gamma[i] * lam[i] * lam[j])
        if value < needed:
            return (
                f"lambda = ({', '.join(map(str, lam))}), N = 1: the constant is {value}, and"
                f" 1/(gamma_i lambda_i lambda_j) = {needed} for (i, j) = {(i + 1, j + 1)}"
            )
    return f"d = {d}: the constant minus 1/(gamma_i lambda_i lambda_j) has a negative coefficient"


@dataclass(frozen=True)
class PlStep:
    """dl/dU, the constant of eq. (46), and mu from the bound b on u^2 and the constant."""

    slope: Callable[[Point], Any]
    constant: Constant
    mu: Callable[[Any, Any], Any]


def _inner(s: Point, sign: int = 1) -> Any:
    """Return K = u Lambda^{1/2} U Lambda^{1/2} - Lambda Gamma^{-1}."""
    root = s.covariance_root
    return root @ s.U @ root * s.u - s.covariance @ s.gamma_inverse * sign


def _outer(s: Point, sign: int = 1) -> Any:
    root = s.covariance_root
    return s.gamma @ root @ _inner(s, sign) @ root


_PL_STEP = PlStep(lambda s: _outer(s) * s.u, _traces, lambda b, c: 2 * b / c)


@statement(
    id="zhang2024/eq-45",
    title="The PL constant from two displays",
    source="Appendix A.4, proof of Lemma 20, eqs. (45) and (46)",
    latex=r"\left\|\tfrac{\partial\tilde\ell}{\partial U_{11}}\right\|_F^2 = u_{-1}^2\|\Gamma"
    r"\Lambda^{1/2}K\Lambda^{1/2}\|_F^2,\quad \tilde\ell - \min\tilde\ell \le \tfrac12\|\Gamma"
    r"\Lambda^{1/2}K\Lambda^{1/2}\|_F^2\,\mathrm{tr}(\Gamma^{-1}\Lambda^{-1})"
    r"\mathrm{tr}(\Lambda^{-1}),\quad K = u_{-1}\Lambda^{1/2}U_{11}\Lambda^{1/2} - \Lambda"
    r"\Gamma^{-1}",
    printed=_PL_STEP,
    mutants={
        "without Gamma": replace(_PL_STEP, slope=lambda s: s.gamma_inverse @ _outer(s) * s.u),
        "plus Lambda Gamma^-1": replace(_PL_STEP, slope=lambda s: _outer(s, -1) * s.u),
        "u^2, not u": replace(_PL_STEP, slope=lambda s: _outer(s) * s.u**2),
        "tr(Gamma^-1) without Lambda^-1": replace(
            _PL_STEP, constant=lambda g, x: sum(1 / v for v in g) * sum(1 / v for v in x)
        ),
        "without the second trace": replace(
            _PL_STEP, constant=lambda g, x: sum(1 / (v * w) for v, w in zip(g, x, strict=True))
        ),
        "1/lambda_max for the second trace": replace(
            _PL_STEP,
            constant=lambda g, x: sum(1 / (v * w) for v, w in zip(g, x, strict=True)) / x[-1],
        ),
        "1 % less": replace(_PL_STEP, constant=lambda g, x: _traces(g, x) * 99 / 100),
        "mu without the 2": replace(_PL_STEP, mu=lambda b, c: b / c),
    },
    hypotheses=("Gamma and Lambda commute, and are positive definite",),
    depends_on=("zhang2024/corollary-16", "zhang2024/lemma-19"),
)
def EQ_45(claim: PlStep, rng: np.random.Generator) -> Evidence:
    """Differentiate l with symbols; compare constants by their coefficients."""
    wrong = ""
    for d in DIMENSIONS:
        wrong = wrong or _wrong_slope(claim, d) or _too_small(claim.constant, d)
    b, c = sympy.symbols("b c", positive=True)
    # |dl/dU|^2 >= b |G|^2 and |G|^2 >= 2 (l - min l) / c.
    if not wrong and sympy.simplify(claim.mu(b, c) - 2 * b / c) != 0:
        wrong = f"b = 1, c = 1: (45) and (46) give mu = 2, and the claim {claim.mu(1, 1):g}"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "dl/dU and l - min l as rational functions of the roots of the eigenvalues; the constant"
        " minus 1/(gamma_i lambda_i lambda_j) has no negative coefficient",
        f"d in {DIMENSIONS}, every Lambda, N, U and u (the entries show every d)",
        counterexample=wrong,
    )


def _wrong_slope(claim: PlStep, d: int) -> str:
    s = symbolic_point(d)
    loss = s.u**2 / 2 * (s.gamma @ s.covariance @ s.U @ s.covariance @ s.U.T).trace()
    loss -= s.u * (s.covariance @ s.covariance @ s.U.T).trace()
    slope = claim.slope(s)
    least = -(s.covariance @ s.covariance @ s.gamma_inverse).trace() / 2
    gap, G = loss - least, _outer(s)
    for i, j in product(range(d), repeat=2):
        found = loss.diff(s.U[i, j])
        if found != slope[i, j]:
            return f"d = {d}, entry {(i + 1, j + 1)} of dl/dU: {found}, and the claim {slope[i, j]}"
        gap -= G[i, j] ** 2 / (2 * s.gamma[i, i] * s.covariance[i, i] * s.covariance[j, j])
    return "" if gap == 0 else f"d = {d}: l - min l is off the sum of squares by {gap}"


@statement(
    id="zhang2024/eq-46-limit",
    title="From the loss to the distance of u U from Gamma^-1",
    source="Appendix A.4, end of the proof of Lemma 20; scan ambiguous: the kinds of the norms are"
    " not legible; Frobenius norms are read, and operator norms hold as well (the check has both)",
    latex=r"\|u_{-1}U_{11} - \Gamma^{-1}\|_F^2 \le \|\Gamma^{-1/2}\Lambda^{-1/2}\|^2\,\|"
    r"\Gamma^{1/2}K\|_F^2\,\|\Lambda^{-1/2}\|^2,\ \|\Gamma^{1/2}K\|_F^2 ="
    r" 2(\tilde\ell - \min\tilde\ell)",
    printed=(_traces, _operator_norms),
    mutants={
        "without Gamma^-1": (lambda g, x: sum(1 / v for v in x) ** 2, _operator_norms),
        "Lambda^{-1/2} once": (
            lambda g, x: sum(1 / (v * w) for v, w in zip(g, x, strict=True)),
            _operator_norms,
        ),
        "1 % less of the Frobenius norms": (
            lambda g, x: _traces(g, x) * 99 / 100,
            _operator_norms,
        ),
        "1 % less of the operator norms": (
            _traces,
            lambda g, x: _operator_norms(g, x) * 99 / 100,
        ),
        "the largest eigenvalue once": (_traces, lambda g, x: 1 / (g[0] * x[0] * x[-1])),
        "the norm of Lambda^{1/2}": (_traces, lambda g, x: x[-1] / (g[0] * x[0])),
    },
    hypotheses=("Gamma and Lambda commute, and are positive definite",),
    depends_on=("zhang2024/corollary-16",),
)
def EQ_46_LIMIT(claim: tuple[Constant, ...], rng: np.random.Generator) -> Evidence:
    """Write u U - Gamma^{-1} as Lambda^{-1/2} K Lambda^{-1/2}, entry by entry."""
    wrong = ""
    for d in DIMENSIONS:
        s = symbolic_point(d)
        K = _inner(s)
        for i, j in product(range(d), repeat=2):
            distance = s.U[i, j] * s.u - s.gamma_inverse[i, j]
            share = s.gamma_root[i, i] * K[i, j] / s.gamma_root[i, i]
            share = share / (s.covariance_root[i, i] * s.covariance_root[j, j])
            if not wrong and distance != share:
                wrong = f"d = {d}: entry {(i + 1, j + 1)} of u U - Gamma^-1 is off by a factor"
        for constant in claim:
            wrong = wrong or _too_small(constant, d)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "entries as rational functions; the constants minus 1/(gamma_i lambda_i lambda_j) have no"
        " negative coefficient",
        f"d in {DIMENSIONS}, every Lambda, N, U and u (the entries show every d)",
        counterexample=wrong,
    )


@dataclass(frozen=True)
class GradientSquares:
    """The square of dl_rdm/dU, and the factor between its terms and those of 2 (l - min l)."""

    square: Callable[[Entries], Any]
    rate: Callable[[Any, Any], Any]


def _squares(s: Entries, power: int = 2, off: int = 1) -> Any:
    d = len(s.gamma)
    on = sum(s.gamma[i] ** power * (s.U[i, i] * s.u - s.xi[i] / s.gamma[i]) ** 2 for i in range(d))
    rest = [s.zeta[i, j] ** power * s.U[i, j] ** 2 for i, j in off_diagonal(d)]
    return (on + sum(rest) * s.u**2 * off) * s.u**2


_SQUARES = GradientSquares(_squares, lambda curvature, u: 2 * curvature * u**2)


@statement(
    id="zhang2024/appendix-c-gradient",
    title="The square of the gradient beside the excess, term by term",
    source="Appendix C.3, proof of Lemma 28, second display to 'it suffices to make'",
    latex=r"\sum_{ij}\left(\tfrac{\partial\ell_{rdm}}{\partial u_{ij}}\right)^2 = \sum_i\gamma_i^2"
    r"\left(u_{ii}u_{-1} - \tfrac{\xi_i}{\gamma_i}\right)^2u_{-1}^2 + \sum_{i\ne j}\zeta_{ij}^2"
    r"u_{ij}^2u_{-1}^4;\quad \gamma_iu_{-1}^2,\,\zeta_{ij}u_{-1}^2 \ge \tfrac\nu2 \Rightarrow"
    r"\|\nabla\ell_{rdm}\|^2 \ge \nu(\ell_{rdm} - \min\ell_{rdm})",
    printed=_SQUARES,
    mutants={
        "gamma, not its square": replace(_SQUARES, square=lambda s: _squares(s, 1)),
        "without u^2": replace(_SQUARES, square=lambda s: _squares(s) / s.u**2),
        "without the entries off the diagonal": replace(
            _SQUARES, square=lambda s: _squares(s, off=0)
        ),
        "nu, not nu / 2": replace(_SQUARES, rate=lambda curvature, u: curvature * u**2),
        "u, not u^2": replace(_SQUARES, rate=lambda curvature, u: 2 * curvature * u),
        "1 % more": replace(_SQUARES, square=lambda s: _squares(s) * 101 / 100),
    },
    hypotheses=("zeta_ij > 0, gamma_i > 0",),
    depends_on=("zhang2024/lemma-24",),
)
def GRADIENT(claim: GradientSquares, rng: np.random.Generator) -> Evidence:
    """Differentiate eq. (53) with a symbol for every coefficient and entry."""
    wrong = next(filter(None, (_wrong_squares(claim, d) for d in DIMENSIONS)), "")
    return Evidence(
        not wrong,
        Grade.PROVED,
        "derivatives of eq. (53), as rational functions of gamma, xi, zeta, U and u",
        f"d in {DIMENSIONS} (the sums show every d)",
        counterexample=wrong,
    )


def _wrong_squares(claim: GradientSquares, d: int) -> str:
    s = symbolic_entries(d)
    places = off_diagonal(d)
    loss = sum(
        s.gamma[i] * s.u**2 * s.U[i, i] ** 2 / 2 - s.xi[i] * s.U[i, i] * s.u for i in range(d)
    )
    loss += sum(s.zeta[i, j] * s.u**2 * s.U[i, j] ** 2 / 2 for i, j in places)
    slopes = {(i, j): loss.diff(s.U[i, j]) for i, j in product(range(d), repeat=2)}
    found, claimed = sum(v**2 for v in slopes.values()), claim.square(s)
    if found != claimed:
        return f"d = {d}: the square of the gradient by U is {found}, and the claim says {claimed}"
    for (i, j), slope in slopes.items():
        curvature = s.gamma[i] if i == j else s.zeta[i, j]
        goal = s.xi[i] / s.gamma[i] if i == j else 0
        excess = curvature * (s.U[i, j] * s.u - goal) ** 2 / 2
        if slope**2 != claim.rate(curvature, s.u) * excess:
            return (
                f"d = {d}, entry {(i + 1, j + 1)}: the square is {slope**2 / excess} times the"
                f" excess, and the claim says {claim.rate(curvature, s.u)}"
            )
    return ""


@dataclass(frozen=True)
class LimitClaim:
    """u_ii u -> diagonal(xi_i, gamma_i), u_ij u -> 0, u^power -> the sum of its power 2."""

    diagonal: Callable[[Any, Any], Any]
    power: int = 4
    off: float = 0.0
    balanced: bool = True


_LIMIT = LimitClaim(lambda xi, gamma: xi / gamma)


@statement(
    id="zhang2024/eq-64",
    title="The limits of u_ij u_{-1} and of u_{-1}^4",
    source="Appendix C.3, end of the proof of Lemma 28, eqs. (64) and (65)",
    latex=r"u_{ii}u_{-1} \to \tfrac{\xi_i}{\gamma_i},\ u_{ij}u_{-1} \to 0,\ u_{-1}^4 ="
    r" u_{-1}^2\sum_{ij}u_{ij}^2 \to \sum_i\tfrac{\xi_i^2}{\gamma_i^2}",
    printed=_LIMIT,
    mutants={
        "gamma/xi": replace(_LIMIT, diagonal=lambda xi, gamma: gamma / xi),
        "1 % more": replace(_LIMIT, diagonal=lambda xi, gamma: 1.01 * xi / gamma),
        "u^2": replace(_LIMIT, power=2),
        "u^3": replace(_LIMIT, power=3),
        "1 % off the diagonal": replace(_LIMIT, off=0.01),
        "u(0) = 1.5 sigma": replace(_LIMIT, balanced=False),
    },
    hypotheses=("Assumption 3, which makes u^2 = |U|^2", "sigma below (58)"),
    depends_on=(
        "zhang2024/lemma-24",
        "zhang2024/lemma-25",
        "zhang2024/lemma-27",
        "zhang2024/appendix-c-gradient",
    ),
)
def EQ_64(claim: LimitClaim, rng: np.random.Generator) -> Evidence:
    """Look at the ends of flow lines, with gamma and xi as sums over the covariance's values."""
    worst, wrong, tried = 0.0, "", 0
    for line in list(random_lines(THRESHOLDS["lemma-26"], rng))[1::3]:
        tried += 1
        start = line.start if claim.balanced else line.start._replace(u=1.5 * line.sigma)
        U, u = solve_flow_from(line.problem, start).final
        xi = np.diag(line.mean(lambda lam: lam @ lam))
        gamma = np.diag(line.mean(lambda lam, line=line: line.gamma(lam) @ lam @ lam))  # type: ignore[misc]
        limits = claim.diagonal(xi, gamma)
        goal = np.diag(limits) + claim.off * np.max(limits) * (1 - np.eye(line.dim))
        total = float(np.sum(limits**2))
        gaps = np.max(np.abs(U * u - goal)) / np.max(limits), abs(u**claim.power / total - 1)
        worst = max(worst, float(max(gaps)))
        if not wrong and not max(gaps) <= TOLERANCE:
            wrong = (
                f"{line}: u U_11 ends {gaps[0]:.4g} from the claim, relatively, and"
                f" u^{claim.power} is {u**claim.power:.6g}, beside {total:.6g}"
            )
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "the ends of flow lines of the library against sums over the covariance's values",
        f"{tried} flow lines, d <= 3, two-point and constant eigenvalues",
        worst,
        TOLERANCE,
        wrong,
    )


STATEMENTS = (EQ_45, EQ_46_LIMIT, GRADIENT, EQ_64)
