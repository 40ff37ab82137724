r"""For d = 1 every stationary point of the full layer is a global minimum or a strict saddle.

The proof is in `theory.full_flow.one_dimension`. Here its identities are checked with symbols: that
the loss is a convex quadratic of the symmetric matrix X = sym(f v'), f = (u12, u_1), v = (U11,
u21), that the gradient is (Q v, Q f), what Q of rank one leaves, and the sign of its eigenvalue.
For some N the stationary points are counted independently: those with |f| = |v|, to which all
others can be scaled, are the real zeros of an ideal, and their number is the signature of Hermite's
trace form.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from papers.beyond.real_zeros import count_real_zeros
from papers.ledger import Evidence, Grade, statement
from theory.full_flow import OneDimension, PointKind, StationaryPoint, solve_full_flow
from theory.moments.coordinate import CoordinateMoments
from theory.population_loss import PopulationLoss
from theory.whitened_loss import LayerBlocks

#: 1/N, and the weights u12, u21, U11, u_1.
A = sp.Symbol("a", positive=True)
WEIGHTS = sp.symbols("p q U u", real=True)

#: N for which the stationary points are counted.
COUNTED = (1, 2, 7)

#: Of the library's points, relative.
TOLERANCE = 1e-12

#: Balanced starts that are followed, each with either sign.
STARTS = 1


@cache
def _loss() -> sp.Expr:
    """Derive L for Lambda = 1 in coordinates."""
    moments = CoordinateMoments(1)
    names = [*moments.u12, *moments.u21, moments.U11[0][0], moments.u_1, moments.inverse_length]
    known = dict(zip(map(str, names), (*WEIGHTS, A), strict=True)) | {"lam1": 1}
    loss = moments.population_loss().as_expr()
    return sp.expand(loss.subs({x: known[str(x)] for x in loss.free_symbols}))


def _quadratic(x: Sequence[Any]) -> Any:
    """Return 2L of X = ((A, B/2), (B/2, C))."""
    first, mixed, last = x
    square = (1 + 2 * A) * mixed**2 + (1 + 3 * A) * (1 + 5 * A) * first**2
    return 1 - 2 * mixed + square + 2 * (1 + 5 * A) * first * last + 3 * (1 + 2 * A) * last**2


def _entries() -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    p, q, U, u = WEIGHTS
    return p * U, u * U + p * q, u * q


def _slope(x: Sequence[Any]) -> sp.Matrix:
    """Return Q at X: the derivatives of L by A, B and C as ((Q_A, Q_B), (Q_B, Q_C))."""
    letters = sp.symbols("A B C")
    of = [sp.diff(_quadratic(letters), y).subs(dict(zip(letters, x, strict=True))) for y in letters]
    return sp.Matrix([[of[0], of[1]], [of[1], of[2]]]) / 2


@dataclass(frozen=True)
class StationaryPoints:
    """All stationary points for d = 1 and Lambda = 1.

    Parameters
    ----------
    product
        u_1 U11 + u12 u21 at the global minima, from a = 1/N.
    saddle_product
        The same at the saddles other than 0, in a and the `ROOT`.
    saddle_ratio
        A / C there.
    minima, saddles
        How many there are with |f| = |v|, 0 among the saddles.
    sign
        Of s n'Qn at the saddles with f = s v, n orthogonal to v: the loss falls there if > 0.
    """

    product: sp.Expr
    saddle_product: sp.Expr
    saddle_ratio: sp.Expr
    minima: int = 4
    saddles: int = 5
    sign: int = 1


_GAMMA, _TOP = 1 + 2 * A, (1 + 3 * A) * (1 + 5 * A)
#: The positive root of `_SQUARE`.
ROOT = sp.Symbol("r", positive=True)
_SQUARE = 3 * _GAMMA * _TOP
_KAPPA = _GAMMA + (1 + 5 * A) / 2 + ROOT / 2
_CLAIM = StationaryPoints(1 / _GAMMA, 1 / _KAPPA, ROOT / _TOP)


@statement(
    id="beyond/no-other-minima-for-d-1",
    title="For d = 1 every stationary point is a global minimum or a strict saddle",
    source="ours",
    latex=r"d = 1,\ \Lambda = 1:\ \nabla L = 0 \Rightarrow"
    r" u_{12} = u_{21} = 0,\ u_{-1} U_{11} = 1/\Gamma; \text{ or } u_{-1} = U_{11} = 0,"
    r"\ u_{12} u_{21} = 1/\Gamma; \text{ or a strict saddle: } 0, \text{ or }"
    r" (u_{12}, u_{-1}) \parallel (U_{11}, u_{21}),\ u_{-1} U_{11} + u_{12} u_{21} = 1/\kappa",
    printed=_CLAIM,
    beyond=True,
    mutants={
        "1 + 1/N where 1 + 2/N is": replace(_CLAIM, product=1 / (1 + A)),
        "1 % more of 1/kappa": replace(_CLAIM, saddle_product=sp.Rational(101, 100) / _KAPPA),
        "a minus before the root": replace(_CLAIM, saddle_product=1 / (_KAPPA - ROOT)),
        "A = C at the saddles": replace(_CLAIM, saddle_ratio=sp.Integer(1)),
        "two minima": replace(_CLAIM, minima=2),
        "without the saddles with f = -v": replace(_CLAIM, saddles=3),
        "no saddle but minima": replace(_CLAIM, sign=-1),
    },
    hypotheses=("d = 1; Lambda = 1 (another one scales the weights)", "S = 1, no noise"),
    depends_on=("beyond/layer-minimum",),
)
def NO_OTHER_MINIMA(claim: StationaryPoints, rng: np.random.Generator) -> Evidence:
    """Check the identities of the proof; count real zeros; look at the library's points."""
    wrong = _wrong_identity() or _wrong_points(claim)
    for length in COUNTED:
        wrong = wrong or _wrong_count(claim, length)
    error = 0.0
    if not wrong:
        error, wrong = _wrong_library(claim, rng)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the identities of the proof with symbols; the number of real zeros by the signature of the"
        " trace form; then the points of theory.full_flow.OneDimension and their kinds",
        f"every N; the number of zeros for N in {COUNTED}; the library at four lambda and N",
        error,
        TOLERANCE,
        wrong,
    )


def _wrong_identity() -> str:
    p, q, U, u = WEIGHTS
    entries = _entries()
    if sp.expand(2 * _loss() - _quadratic(entries)) != 0:
        return "2L is not the quadratic of X"
    f, v, Q = sp.Matrix([p, u]), sp.Matrix([U, q]), _slope(entries)
    for block, side in ((f, v), (v, f)):
        gradient = sp.Matrix([sp.diff(_loss(), x) for x in block])
        if sp.expand(gradient - Q * side) != sp.zeros(2, 1):
            return "the gradient is not (Q v, Q f)"
    letters = sp.symbols("A B C")
    hessian = sp.hessian(_quadratic(letters), letters)
    minors = [hessian[:k, :k].det() for k in (1, 2, 3)]
    if not all(c > 0 for m in minors for c in sp.Poly(sp.expand(m), A).coeffs()):
        return f"the quadratic is not convex: its minors are {minors}"
    return "" if _slope((0, 0, 0)).det() != 0 else "Q is singular at X = 0"


def _wrong_points(claim: StationaryPoints) -> str:
    """Put the claimed X into Q = 0, and into Q v = 0 for X = s vv' with B^2 = 4AC."""
    at_minimum = _slope((0, claim.product, 0)).applyfunc(sp.cancel)
    if at_minimum != sp.zeros(2, 2):
        return f"N = 1: Q is {at_minimum.subs(A, 1).tolist()}, not 0, at the claimed minima"
    B, ratio = claim.saddle_product, claim.saddle_ratio
    AC = B**2 / 4
    first, last = sp.symbols("A C")
    squares = {first**2: AC * ratio, last**2: AC / ratio, first * last: AC}
    Q = _slope((first, B, last))
    # s v_1 (Q v)_1, s v_2 (Q v)_2 and s n'Qn with s v v' = X: all of degree 2 in A and C.
    rows = (Q[0, 0] * first + Q[0, 1] * B / 2, Q[1, 1] * last + Q[0, 1] * B / 2)
    *rest, falls = (
        sp.expand(x).subs(squares) for x in (*rows, Q[0, 0] * last - Q[0, 1] * B + Q[1, 1] * first)
    )
    numbers = {A: 1.0, ROOT: float(sp.sqrt(_SQUARE.subs(A, 1)))}
    for row in rest:
        numerator = sp.fraction(sp.cancel(row))[0]
        if sp.rem(numerator, ROOT**2 - _SQUARE, ROOT) != 0:
            return f"N = 1: s v (Q v) is {float(row.subs(numbers)):.6g}, not 0, at the saddles"
    # Its terms are positive as Q_B = Gamma B - 1 < 0, because kappa > Gamma.
    value = falls.subs(numbers)
    return "" if value * claim.sign > 0 else f"N = 1: s n'Qn is {float(value):.6g} at the saddles"


def _wrong_count(claim: StationaryPoints, length: int) -> str:
    minima, others = _counts(length)
    if (minima, others) == (claim.minima, claim.saddles):
        return ""
    return f"N = {length}: {minima} minima and {others} other stationary points with |f| = |v|"


@cache
def _counts(length: int) -> tuple[int, int]:
    """Count the stationary points with |f| = |v| and Gamma B = 1, and the others."""
    p, q, U, u = WEIGHTS
    at = {A: sp.Rational(1, length)}
    balanced = [p**2 + u**2 - U**2 - q**2, *(sp.diff(_loss(), x).subs(at) for x in WEIGHTS)]
    minimal = _GAMMA.subs(at) * (u * U + p * q) - 1
    minima = count_real_zeros([*balanced, minimal], WEIGHTS)
    return minima, count_real_zeros(balanced, WEIGHTS) - minima


def _wrong_library(claim: StationaryPoints, rng: np.random.Generator) -> tuple[float, str]:
    """Look at the points of the library for random lambda and N."""
    worst = 0.0
    for length in (1, 2, 5, 100):
        scale = float(rng.uniform(0.2, 5))
        loss = PopulationLoss([[scale]], length)
        points = OneDimension.of(loss)
        at = {A: 1 / length, ROOT: float(sp.sqrt(_SQUARE.subs(A, sp.Rational(1, length))))}
        told = f"lambda = {scale:.4g}, N = {length}"
        listed = (
            (points.minima, claim.product, claim.minima, PointKind.GLOBAL_MINIMUM),
            (points.saddles[1:], claim.saddle_product, claim.saddles - 1, PointKind.SADDLE),
        )
        for weights, product, count, kind in listed:
            if len(weights) != count:
                return 0.0, f"{told}: the library has {len(weights)} of the kind {kind}"
            for w in weights:
                expected = float(product.subs(at)) / scale
                off = abs(float(w.u_1 * w.U11[0, 0] + w.u12[0] * w.u21[0]) / expected - 1)
                found = StationaryPoint(loss, w)
                worst = max(worst, off, found.gradient_norm / (scale**2 * np.sqrt(1 / scale)))
                if not worst <= TOLERANCE or found.kind is not kind:
                    return worst, f"{told}: {w} is: {found.kind}, off by {worst:.3g}"
    return worst, ""


@dataclass(frozen=True)
class Basins:
    """The sign of a determinant of the start decides on the limit.

    Parameters
    ----------
    determinant
        From p, q, U, u: it keeps its sign along the flow.
    balanced
        Whether the start has |f| = |v|.
    positive
        Whether u12 = u21 = 0 at the limit if it is > 0.
    """

    determinant: Callable[[Any, Any, Any, Any], Any]
    balanced: bool = True
    positive: bool = True


_BASINS = Basins(lambda p, q, U, u: u * U - p * q)


@statement(
    id="beyond/basins-for-d-1",
    title="For d = 1 the sign of u_{-1} U_11 - u_12 u_21 decides on a balanced start's limit",
    source="ours",
    latex=r"u_{12}^2 + u_{-1}^2 = U_{11}^2 + u_{21}^2: \quad u_{-1} U_{11} > u_{12} u_{21}"
    r" \Rightarrow u_{12}, u_{21} \to 0,\quad u_{-1} U_{11} < u_{12} u_{21}"
    r" \Rightarrow U_{11}, u_{-1} \to 0, \quad \text{but for starts that end in a saddle}",
    printed=_BASINS,
    beyond=True,
    mutants={
        "from every start": replace(_BASINS, balanced=False),
        "the sum of the products": Basins(lambda p, q, U, u: u * U + p * q),
        "1 % more of u_12 u_21": Basins(lambda p, q, U, u: 100 * u * U - 101 * p * q),
        "u_12 and U_11 exchanged": Basins(lambda p, q, U, u: u * p - U * q),
        "the other way round": replace(_BASINS, positive=False),
    },
    hypotheses=("d = 1", "S = 1, no noise", "a balanced start"),
    depends_on=("beyond/no-other-minima-for-d-1", "beyond/conserved-quantity"),
)
def BASINS(claim: Basins, rng: np.random.Generator) -> Evidence:
    """Differentiate the determinant along the flow with symbols; then follow starts."""
    wrong = _wrong_derivative(claim)
    for _ in range(STARTS):
        wrong = wrong or _wrong_basin(claim, rng)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the derivative of the determinant along the flow with symbols, which must be a multiple of"
        " it; then the limits of the library's flow lines",
        f"every N and lambda; {2 * STARTS} flow lines",
        counterexample=wrong,
    )


def _wrong_derivative(claim: Basins) -> str:
    """Compare dD/dt |e|^2 |h|^2 with (h'Qh |e|^2 - e'Qe |h|^2) D, e = f + v, h = f - v."""
    p, q, U, u = WEIGHTS
    f, v, Q = sp.Matrix([p, u]), sp.Matrix([U, q]), _slope(_entries())
    D, e, h = claim.determinant(*WEIGHTS), f + v, f - v
    slope = -sum(sp.diff(D, x) * sp.diff(_loss(), x) for x in WEIGHTS)
    factor = (h.T * Q * h)[0] * e.dot(e) - (e.T * Q * e)[0] * h.dot(h)
    rest = sp.expand(slope * e.dot(e) * h.dot(h) - factor * D)
    if claim.balanced:
        rest = sp.rem(rest, p**2 + u**2 - U**2 - q**2, p)
    if rest == 0:
        return ""
    at = dict(
        zip((*WEIGHTS, A), (sp.sqrt(2) if claim.balanced else 3, 2, 1, sp.sqrt(3), 1), strict=True)
    )
    return (
        "dD/dt is no multiple of D: its remainder is"
        f" {float(rest.subs(at)):.6g} at {', '.join(f'{x} = {y}' for x, y in at.items())}"
    )


def _wrong_basin(claim: Basins, rng: np.random.Generator) -> str:
    """Follow a balanced start with either sign of the determinant."""
    loss = PopulationLoss([[float(rng.uniform(0.5, 2))]], int(rng.integers(1, 6)))
    first, second = rng.uniform(0.2, np.pi - 0.2), rng.uniform(-np.pi, np.pi)
    size = float(np.exp(rng.uniform(-1, 0)))
    for turn in (first, -first):
        u, p = size * np.sin(second), size * np.cos(second)
        q, U = size * np.sin(second - turn), size * np.cos(second - turn)
        start = LayerBlocks(np.array([p]), np.array([q]), np.array([[U]]), float(u))
        limit = solve_full_flow(loss, start).final
        if limit.kind is not PointKind.GLOBAL_MINIMUM:
            return f"the flow ends at {limit.weights}, which is: {limit.kind}"
        found = abs(limit.weights.u_1) > abs(float(limit.weights.u12[0]))
        if found != ((claim.determinant(p, q, U, u) > 0) == claim.positive):
            D = float(claim.determinant(p, q, U, u))
            return f"D = {D:.4g} at {start}, and the limit is {limit.weights}"
    return ""


STATEMENTS = (NO_OTHER_MINIMA, BASINS)
