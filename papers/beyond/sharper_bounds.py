r"""Sharper constants for the lemmas along the trajectory of Zhang et al.

Theorem 4 asks for sqrt(d) sigma^2 |Gamma| < 2. Its proof bounds tr(Gamma Lambda T Lambda T),
T = Theta Theta', by von Neumann's inequality, which costs sqrt(d); but the squares of
`papers.zhang2024.positivity` bound it by |Gamma| |Lambda Theta|_F^2, so that sigma^2 |Gamma| < 2 is
enough. No more is true in any dimension: T = v v', v the first eigenvector of Lambda, attains it.

For PL the proofs bound the curvatures a_ij = gamma_i lambda_i lambda_j of a fixed covariance by
traces; entry by entry, min(a) itself is the best constant.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, product
from typing import Any, NamedTuple

import numpy as np
import sympy as sp

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.flow_lines import (
    Line,
    Threshold,
    fixed_lines,
    frobenius,
    operator_norm,
    random_lines,
)
from papers.zhang2024.positivity import THRESHOLDS, cost_by_squares
from theory.gradient_flow import FlowProblem
from theory.gradient_flow.printed_bounds import printed_bounds
from theory.gradient_flow.sharp_bounds import sharp_bounds

#: How far the library's constants may be from the claim, relatively.
TOLERANCE = 1e-9

#: u of the library is this accurate.
ROUNDING = 1e-10

#: Below this part of the loss at the start l - min l is a difference of rounding errors.
RESOLVED = 1e-10

#: sigma^2 in units of the claimed threshold.
EDGE = 0.999

#: Entries of V in the proof with symbols.
ENTRIES = (1, 2, 3)


@dataclass(frozen=True)
class Sharper:
    """A lower bound s on u(t)^2 from the level of the loss, and a PL constant factor * min(a) * s.

    Parameters
    ----------
    u_squared
        s from |B|, min(a) and l(0).
    factor
        2.
    """

    u_squared: Callable[[float, float, float], float]
    factor: float = 2.0


def _by_level(strength: float, least: float, level: float) -> float:
    return float(-2 * level / (strength + np.sqrt(strength**2 + 2 * least * level)))


def _letters(line: Line) -> tuple[float, float, float]:
    """Return |B|, min(a) and l(0) by the paper's matrices."""
    strength = frobenius(line.mean(lambda lam: lam @ lam))
    basis = np.linalg.eigh(line.mean(lambda lam: lam))[1]

    def curvature(lam: np.ndarray) -> np.ndarray:
        turned = basis.T @ lam @ basis
        return np.outer(np.diag(basis.T @ line.gamma(lam) @ lam @ basis), np.diag(turned))

    return strength, float(np.min(line.mean(curvature))), line.loss(line.start)


def _along(claim: Sharper, line: Line) -> tuple[float, float, str]:
    """Return bound / least u, the gain on the printed PL constant, and what is wrong."""
    strength, least_curvature, level = _letters(line)
    square = claim.u_squared(strength, least_curvature, level)
    constant = claim.factor * least_curvature * square
    printed, library = (
        printed_bounds(line.problem, line.start),
        sharp_bounds(line.problem, line.start),
    )
    gain = constant / printed.pl_constant
    u = line.flow.u(line.times)
    ratio = float(np.sqrt(max(square, 0.0)) / np.min(u))
    if not ratio <= 1 + ROUNDING:
        return ratio, gain, f"u falls to {np.min(u):.10g}, the bound is {np.sqrt(square):.10g}"
    minimum = line.loss(line.problem.limit())
    resolved = RESOLVED * (level - minimum)
    for t in line.times:
        state = line.flow(t)
        excess = line.loss(state) - minimum
        slope = frobenius(line.gradient(state).U) ** 2
        if excess > resolved and not slope >= constant * excess * (1 - ROUNDING):
            told = f"|dl/dU|^2 = {slope / excess:.6g} (l - min l) at t = {t:.4g}"
            return ratio, gain, f"{told}, the constant is {constant:.6g}"
    if not (square >= printed.u_squared * (1 - TOLERANCE) and gain >= 1 - TOLERANCE):
        return ratio, gain, f"the printed constants are better: u^2 >= {printed.u_squared:.6g}"
    for name, found, claimed in (
        ("u_squared_by_level", library.u_squared_by_level, square),
        ("curvature", float(np.min(library.curvature)), least_curvature),
    ):
        if not abs(found / claimed - 1) <= TOLERANCE:
            return ratio, gain, f"sharp_bounds has {found!r} for {name}, not {claimed!r}"
    return ratio, gain, ""


_SHARPER = Sharper(_by_level)


@statement(
    id="beyond/sharper-bounds",
    title="Sharper lower bounds on u and PL constants",
    source="ours; zhang2024, Lemmas 19, 20, 27 and 28 have smaller ones",
    latex=r"u(t)^2 \ge s = \frac{-2\ell(0)}{|B| + \sqrt{|B|^2 + 2\min(a)\ell(0)}},"
    r"\ \|\nabla\ell\|^2 \ge 2 \min(a)\, s\, (\ell - \min\ell)",
    printed=_SHARPER,
    beyond=True,
    mutants={
        "u^2 1 % larger": Sharper(lambda *x: 1.01 * _by_level(*x)),
        "the PL constant 1 % larger": replace(_SHARPER, factor=2.02),
        "twice the PL constant": replace(_SHARPER, factor=4.0),
        "the other root": Sharper(
            lambda b, a, level: float((b + np.sqrt(b**2 + 2 * a * level)) / a)
        ),
        "1 % more of min(a)": Sharper(lambda b, a, level: _by_level(b, 1.01 * a, level)),
        "|B| alone below": Sharper(lambda b, a, level: -2 * level / b),
    },
    hypotheses=("Assumption 3", "l(0) < 0"),
    depends_on=("beyond/threshold-without-root-d", "beyond/pl-inequality-at-a-point"),
)
def SHARPER(claim: Sharper, rng: np.random.Generator) -> Evidence:
    """Compare with flow lines and with the printed constants."""
    counterexample, worst, tried = "", 0.0, 0
    gains: list[float] = []
    families = (
        fixed_lines(THRESHOLDS["lemma-18"], rng),
        random_lines(THRESHOLDS["lemma-26"], rng),
    )
    for line in (line for family in families for line in family):
        tried += 1
        ratio, gain, wrong = _along(claim, line)
        worst, gains = max(worst, ratio), [*gains, gain]
        if wrong:
            counterexample = f"{line}: {wrong}"
            break
    return Evidence(
        not counterexample,
        Grade.CONFIRMED,
        "the bound over the least u on flow lines of the library, and |dl/dU|^2 by the paper's"
        f" matrices (the PL constant is {min(gains):.3g} to {max(gains):.3g} times the printed)",
        f"{tried} flow lines, d <= 4, sigma^2 from 1e-4 to 0.95 of the printed threshold",
        worst,
        1 + ROUNDING,
        counterexample,
    )


def _without_root(line: Line) -> float:
    """2 E|Lambda Theta|^2 / E[|Gamma| |Lambda Theta|^2], 2 / |Gamma| for a fixed Lambda."""
    gain = line.mean(lambda lam: frobenius(lam @ line.theta) ** 2)
    norms = line.mean(lambda lam: operator_norm(line.gamma(lam)) * frobenius(lam @ line.theta) ** 2)
    return 2 * gain / norms


def _with_lambda(line: Line) -> float:
    """Take |Lambda| for |Gamma|."""
    gain = line.mean(lambda lam: frobenius(lam @ line.theta) ** 2)
    return 2 * gain / line.mean(lambda lam: operator_norm(lam) * frobenius(lam @ line.theta) ** 2)


def _along_the_first_eigenvector(rng: np.random.Generator) -> Iterator[Line]:
    """Yield Theta Theta' = v v' for random Lambda: there l(0) = 0 at 2 / |Gamma|."""
    for dim in (1, 2, 3, 4):
        basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
        lam = basis @ np.diag(np.exp(rng.uniform(-1, 1, dim))) @ basis.T
        lam = (lam + lam.T) / 2
        v = np.linalg.eigh(lam)[1][:, -1:]
        theta = np.hstack([v, np.zeros((dim, dim - 1))])
        problem = FlowProblem.fixed(lam, dim)
        yield Line("Theta along the top", ((1.0, lam),), dim, theta, 1.0, problem)


@statement(
    id="beyond/threshold-without-root-d",
    title="The conditions of Theorems 4 and 8 without sqrt(d)",
    source="ours; zhang2024, Theorems 4 and 8 and eqs. (43) and (58), have sqrt(d)",
    latex=r"\sigma^2\, \mathbf{E}[\|\Gamma\|_{op} \|\Lambda\Theta\|_F^2]"
    r" < 2\, \mathbf{E}\|\Lambda\Theta\|_F^2 \Rightarrow \ell(0) < 0",
    printed=_without_root,
    beyond=True,
    mutants={
        "1 % higher": lambda line: 1.01 * _without_root(line),
        "twice": lambda line: 2 * _without_root(line),
        "times sqrt(d)": lambda line: _without_root(line) * max(line.dim, 2) ** 0.5,
        "|Lambda|, not |Gamma|": _with_lambda,
        "the least eigenvalue of Gamma": lambda line: (
            2 / float(np.linalg.eigvalsh(line.mean(line.gamma))[0])
        ),
    },
    hypotheses=("Assumption 3", "fixed or random covariance"),
    depends_on=("zhang2024/lemma-15",),
)
def WITHOUT_ROOT(claim: Threshold, rng: np.random.Generator) -> Evidence:
    """Bound l(0) in words; put sigma^2 just below the claim."""
    counterexample, worst, tried = cost_by_squares(rng), -np.inf, 0
    attained = _along_the_first_eigenvector(rng)
    for line in chain(attained, fixed_lines(claim, rng), random_lines(claim, rng)):
        tried += 1
        each = line.at(float(np.sqrt(EDGE * claim(line))))
        level = each.loss(each.start) / each.sigma**2
        worst = max(worst, level)
        if not level < 0:
            counterexample = f"{each}: l(0) = {level * each.sigma**2:.4g} is not < 0"
            break
        found = sharp_bounds(each.problem, each.start).threshold
        if not found >= claim(line) * (1 - TOLERANCE):
            counterexample = f"{each}: sharp_bounds has the threshold {found!r}"
            break
    return Evidence(
        not counterexample,
        Grade.PROVED,
        "tr(Gamma Lambda T Lambda T) <= |Gamma| |Lambda Theta|^2 by squares, in words; the largest"
        " l(0) / sigma^2 at 0.999 of the threshold (it must be < 0)",
        f"the inequality for every d, Lambda, N and Theta; the claim, a number for each start, at"
        f" {tried} of them, d <= 4, among them those that attain it",
        float(worst),
        0.0,
        counterexample,
    )


class Point(NamedTuple):
    """u, and a and the slope r = u a V - B of every entry in the eigenbasis."""

    u: Any
    a: tuple[Any, ...]
    r: tuple[Any, ...]


@dataclass(frozen=True)
class Pointwise:
    """|dl/dU|^2 = sum u^2 r^2 is at least factor u^power least(a) (l - min l).

    Parameters
    ----------
    least
        From the curvatures, which ascend.
    factor, power
        2 and 2.
    """

    least: Callable[[tuple[Any, ...]], Any]
    factor: Any = 2
    power: int = 2

    def excess(self, x: Point) -> Any:
        """Return the left side less the right; l - min l = 1/2 sum r^2 / a."""
        above = sum(r**2 / a for a, r in zip(x.a, x.r, strict=True)) / 2
        right = self.factor * x.u**self.power * self.least(x.a) * above
        return sum((x.u * r) ** 2 for r in x.r) - right


_POINTWISE = Pointwise(lambda a: a[0])


def _at_numbers(claim: Pointwise) -> str:
    """Say where the claim fails with all slopes but the first 0; nothing if it holds there."""
    for entries, u in product(ENTRIES, (Fraction(1, 2), Fraction(2))):
        a = tuple(Fraction(k + 1) for k in range(entries))
        point = Point(u, a, (Fraction(1), *[Fraction(0)] * (entries - 1)))
        if claim.excess(point) < 0:
            listed = ", ".join(map(str, a))
            return f"u = {u}, a = ({listed}), r = (1, 0, ...): {claim.excess(point)} is not >= 0"
    return ""


def _by_squares(claim: Pointwise, entries: int) -> str:
    """Say where the excess is not sum u^2 (a - min a) r^2 / a, with symbols."""
    u, first = sp.symbols("u a", positive=True)
    steps = sp.symbols(f"s2:{entries + 1}", nonnegative=True)
    a = tuple(first + sum(steps[:k], sp.Integer(0)) for k in range(entries))
    r = sp.symbols(f"r1:{entries + 1}", real=True)
    squares = sum(u**2 * (x - first) * y**2 / x for x, y in zip(a, r, strict=True))
    difference = claim.excess(Point(u, a, r)) - squares
    return "" if sp.simplify(difference) == 0 else f"{entries} entries: {difference} is not 0"


@statement(
    id="beyond/pl-inequality-at-a-point",
    title="The PL inequality at every point, with its best constant",
    source="ours; zhang2024, proofs of Lemmas 20 and 28, have smaller constants for fixed Lambda",
    latex=r"\|\partial\ell/\partial U_{11}\|_F^2 \ge 2 u^2 \min_{ij}(a_{ij})\,"
    r" (\ell - \min \ell),\ a_{ij} = \gamma_i \lambda_i \lambda_j \text{ or } \zeta_{ij}",
    printed=_POINTWISE,
    beyond=True,
    mutants={
        "1 % more": replace(_POINTWISE, factor=sp.Rational(202, 100)),
        "twice": replace(_POINTWISE, factor=4),
        "u, not u^2": replace(_POINTWISE, power=1),
        "the largest curvature": Pointwise(lambda a: a[-1]),
        "the mean curvature": Pointwise(lambda a: sum(a) / len(a)),
    },
    depends_on=("zhang2024/lemma-15",),
)
def POINTWISE(claim: Pointwise, rng: np.random.Generator) -> Evidence:
    """Write the difference of the sides as squares; compare the printed curvature with min a."""
    counterexample = _at_numbers(claim)
    for entries in ENTRIES:
        counterexample = counterexample or _by_squares(claim, entries)
    worst = 0.0
    for line in fixed_lines(THRESHOLDS["lemma-18"], rng):
        _, least, _ = _letters(line)
        printed = printed_bounds(line.problem, line.start).curvature
        worst = max(worst, printed / least)
        if not counterexample and not printed <= least * (1 + TOLERANCE):
            counterexample = f"{line}: the printed curvature is {printed!r}, above {least!r}"
    return Evidence(
        not counterexample,
        Grade.PROVED,
        "the difference of the sides is sum u^2 (a - min a) r^2 / a, r = u a V - B, and 0 where r"
        " is 0 but in the entry with the least a; the largest ratio of the printed"
        " 1 / (tr(Gamma^-1 Lambda^-1) tr(Lambda^-1)) to min a",
        f"every d (a sum over entries; {ENTRIES} of them with symbols)",
        worst,
        1 + TOLERANCE,
        counterexample,
    )


STATEMENTS = (WITHOUT_ROOT, POINTWISE, SHARPER)
