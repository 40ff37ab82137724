r"""The printed condition on the initial scale is not needed, and where the flow does fail.

*At every scale.* From a balanced start of Assumption 3, B diagonal, w = u + <B, V> / |B| obeys
dw/dt >= (|B| - max(a) u^2) w, so that u >= 1/2 min(w(0), sqrt(|B| / max(a))) at all times, and by
PL the flow goes to the global minimum with u > 0. The difference of the two sides of the inequality
is a sum of three products of factors >= 0; that identity is checked with symbols. The proof is in
`theory.gradient_flow.sharp_bounds`.

*One curve.* A balanced start with u > 0 goes to the global minimum with u > 0 unless it lies on one
curve, which ends in the saddle at the origin (`theory.gradient_flow.initialisation`, where it is
proved by the stable manifold theorem). For isotropic Lambda the curve is V = -u B / |B|, and the
sign of w tells the two basins apart; for d = 1 it does for every balance.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
from scipy import integrate

from papers.ledger import Evidence, Grade, statement
from theory.gradient_flow import FlowProblem, FlowState, random_theta
from theory.gradient_flow.initialisation import LimitKind, limit_of, stable_curve
from theory.gradient_flow.sharp_bounds import sharp_bounds
from theory.gradient_flow.solver import solve_flow
from theory.laws import Exponential, Uniform

#: sigma in units of the root of the scale at which l(0) = 0.
SCALES = (1e-6, 1e-3, 0.3, 1.0, 10.0, 1e3, 1e6)

#: u of the library is this accurate.
ROUNDING = 1e-10

#: Of the library's limit, relatively, at every scale: starts of Assumption 3 are balanced.
TOLERANCE = 1e-10

#: Entries of V in the proof with symbols.
ENTRIES = (1, 2, 3)


@dataclass(frozen=True)
class EveryScale:
    """u(t) >= factor min(w(0), sqrt(|B| / top)), with w = u + p / |B|, for sign = 1.

    Parameters
    ----------
    remainder
        dw/dt - (|B| - A u^2) w with symbols.
    factor
        Before the minimum.
    top
        A from the curvatures.
    capped
        Whether the second term of the minimum is there.
    sign
        U(0) = sign sigma Theta Theta'.
    """

    remainder: Callable[["Letters"], sp.Expr]
    factor: float = 0.5
    top: Callable[[np.ndarray], float] = np.max
    capped: bool = True
    sign: float = 1.0

    def bound(self, problem: FlowProblem, start: FlowState) -> float:
        """Return the bound on u(t)."""
        strength = float(np.linalg.norm(problem.drive))
        V = problem.in_eigenbasis(start.U)
        w = start.u + float(np.sum(problem.drive * V)) / strength
        cap = float(np.sqrt(strength / self.top(problem.curvature)))
        return self.factor * (min(w, cap) if self.capped else w)


class Letters(NamedTuple):
    """Symbols for u, |B| and A, and for the entries of V, a and B."""

    u: sp.Symbol
    strength: sp.Symbol
    top: sp.Symbol
    V: tuple[sp.Symbol, ...]
    a: tuple[sp.Symbol, ...]
    B: tuple[sp.Symbol, ...]


def _remainder(x: Letters, sign: int = 1) -> sp.Expr:
    """A u c + u sum (A - a) V^2 + u^2 / |B| sum (A - a) B V: each >= 0 where c, B V >= 0."""
    balance = x.u**2 - sum(v**2 for v in x.V)
    cost = sum((x.top - a) * v**2 for v, a in zip(x.V, x.a, strict=True))
    drag = sum((x.top - a) * b * v for v, a, b in zip(x.V, x.a, x.B, strict=True))
    return x.top * x.u * balance + x.u * cost + sign * x.u**2 / x.strength * drag


def _identity(claim: EveryScale, entries: int) -> sp.Expr:
    """Return the difference of dw/dt - (|B| - A u^2) w and the claim, along the flow."""
    V, a, B = (sp.symbols(f"{x}1:{entries + 1}", positive=True) for x in ("V", "a", "B"))
    u, strength, top = sp.symbols("u b A", positive=True)
    x = Letters(u, strength, top, V, a, B)
    modes = list(zip(V, a, B, strict=True))
    of_u = sum(b * v - x.u * a * v**2 for v, a, b in modes)
    of_p = sum(b * (x.u * b - x.u**2 * a * v) for v, a, b in modes)
    p = sum(b * v for v, _, b in modes)
    left = of_u + of_p / x.strength - (x.strength - x.top * x.u**2) * (x.u + p / x.strength)
    # |B|^2 is the sum of the B^2: put it for the last of them.
    last = x.strength**2 - sum(b**2 for b in B[:-1])
    return sp.expand(sp.expand((left - claim.remainder(x)) * x.strength).subs(B[-1] ** 2, last))


def _problems(rng: np.random.Generator) -> Iterator[FlowProblem]:
    """Yield d = 1, where the bound is attained, random fixed ones, and random covariances."""
    yield FlowProblem.fixed([[2.0]], 3)
    for dim in (2, 3):
        basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
        lam = basis @ np.diag(np.exp(rng.uniform(-1, 1, dim))) @ basis.T
        yield FlowProblem.fixed((lam + lam.T) / 2, int(rng.integers(1, 2 * dim + 1)))
    yield FlowProblem.random_diagonal([Exponential(1), Uniform(0.5, 2)], 4)


_CLAIM = EveryScale(_remainder)


@statement(
    id="beyond/initialisation-not-needed",
    title="The flow of Assumption 3 reaches the minimum from every scale",
    source="ours; zhang2024, Theorems 4 and 8, assume sigma^2 below a threshold",
    latex=r"u(t) \ge \tfrac12 \min\left(u(0) + \langle B, V(0)\rangle / |B|,"
    r" \sqrt{|B| / \max_{ij} a_{ij}}\right) \text{ for every } \sigma > 0",
    printed=_CLAIM,
    beyond=True,
    mutants={
        "1 % more": replace(_CLAIM, factor=0.505),
        "without the half": replace(_CLAIM, factor=1.0),
        "without the second term": replace(_CLAIM, capped=False),
        "four times the second term": replace(_CLAIM, top=lambda a: float(np.max(a)) / 16),
        "U(0) = -sigma Theta Theta'": replace(_CLAIM, sign=-1.0),
        "a minus in the remainder": replace(_CLAIM, remainder=lambda x: _remainder(x, -1)),
    },
    hypotheses=("B diagonal in the eigenbasis: Theorems 4 and 8", "Assumption 3, any Theta"),
)
def EVERY_SCALE(claim: EveryScale, rng: np.random.Generator) -> Evidence:
    """Check the identity with symbols, and the bound and the limit on flow lines."""
    counterexample, worst, farthest, tried = "", 0.0, 0.0, 0
    for entries in ENTRIES:
        difference = _identity(claim, entries)
        if difference != 0:
            counterexample = f"{entries} entries: the two sides differ by {_value(difference):.4g}"
            break
    for problem, scale in product(_problems(rng), SCALES):
        if counterexample:
            break
        tried += 1
        theta = random_theta(problem.dim, rng)
        sigma = scale * _root(problem, theta)
        start = FlowState(claim.sign * sigma * theta @ theta.T, sigma)
        bound, (least, far, wrong) = claim.bound(problem, start), _least(problem, start, theta)
        farthest = max(farthest, far)
        worst = max(worst, bound / least if least > 0 else np.inf)
        if wrong or not bound <= least * (1 + ROUNDING):
            wrong = wrong or f"u falls to {least:.6g}, the bound is {bound:.6g}"
            counterexample = f"d = {problem.dim}, sigma = {scale:g} of the threshold: {wrong}"
    return Evidence(
        not counterexample,
        Grade.CONFIRMED,
        "the inequality with symbols; the bound over the least u on flow lines, whose ends are at"
        f" most {farthest:.2g} from the limit, relatively",
        f"the identity for {ENTRIES} entries (sums over entries); {tried} flow lines, d <= 3, sigma"
        " from 1e-6 to 1e6 times the threshold",
        worst,
        1 + ROUNDING,
        counterexample,
    )


def _root(problem: FlowProblem, theta: np.ndarray) -> float:
    """Return sigma at which l(0) = 0."""
    return float(np.sqrt(sharp_bounds(problem, FlowState(theta @ theta.T, 1.0)).threshold))


def _least(problem: FlowProblem, start: FlowState, theta: np.ndarray) -> tuple[float, float, str]:
    """Return the least u on the flow, how far its end is off, and what is wrong with the end."""
    if limit_of(problem, start).kind is not LimitKind.POSITIVE:
        return 0.0, 0.0, f"the library has the limit: {limit_of(problem, start).kind}"
    flow = solve_flow(problem, theta, start.u)
    least = float(np.min(flow.u(np.append(0.0, np.geomspace(1e-9, 1, 30) * flow.horizon))))
    end, limit = flow.final, problem.limit()
    off = float(np.hypot(np.linalg.norm(end.U - limit.U), end.u - limit.u)) / limit.u
    return least, off, "" if off <= TOLERANCE else f"the flow ends {off:.3g} from the limit"


def _value(difference: sp.Expr) -> float:
    letters = sorted(difference.free_symbols, key=str)
    return float(difference.subs({x: sp.Rational(k + 2, k + 3) for k, x in enumerate(letters)}))


#: From the problem and u: V of a balanced start that is claimed to end in the saddle.
CurveClaim = Callable[[FlowProblem, float], np.ndarray]


def _on_curve(problem: FlowProblem, u: float) -> np.ndarray:
    return problem.in_eigenbasis(stable_curve(problem, u).U)


def _straight(problem: FlowProblem, u: float) -> np.ndarray:
    return -u * problem.drive / float(np.linalg.norm(problem.drive))


def _turned(problem: FlowProblem, u: float) -> np.ndarray:
    """1 % off the curve, in a direction across it."""
    V = _on_curve(problem, u)
    V[0, -1] += 0.01 * u
    return V * u / float(np.linalg.norm(V))


#: The nearest approach to the origin, over u(0), that counts as ending there. Errors of LSODA grow
#: at the saddle: from 1e-12 it comes as near as about 1e-6.
NEAR = 1e-4

#: Of u at the end, by LSODA.
END_TOLERANCE = 1e-6

#: u(0) in units of u at the limit.
HEIGHTS = (0.3, 1.0, 3.0)


@statement(
    id="beyond/one-curve-does-not-converge",
    title="Balanced starts that do not reach a global minimum are one curve",
    source="ours; zhang2024 has starts of Assumption 3 only",
    latex=r"\dot V = -u^2 a \circ V + u B,\ u = |V|_F:\ (V, u) \to 0 \text{ from one } V"
    r" \text{ for each } u(0) > 0,\ V = -u B/|B| + O(u^3)",
    printed=_on_curve,
    beyond=True,
    mutants={
        "the straight line": _straight,
        "the other sign": lambda problem, u: -_on_curve(problem, u),
        "1 % off the curve": _turned,
        "the curve at twice the height": lambda problem, u: _on_curve(problem, 2 * u) / 2,
    },
    hypotheses=("c = 0", "B not zero"),
)
def ONE_CURVE(claim: CurveClaim, rng: np.random.Generator) -> Evidence:
    """Follow the flow by scipy from the curve, and from beside it."""
    counterexample, worst, tried = "", 0.0, 0
    for problem, height in product([*_problems(rng)][1:], HEIGHTS):
        if counterexample:
            break
        tried += 1
        u = height * problem.limit().u
        V = claim(problem, u)
        nearest, _ = _by_scipy(problem, V, u)
        worst = max(worst, nearest)
        beside = V + 0.01 * u * rng.standard_normal(V.shape)
        _, end = _by_scipy(problem, beside * u / float(np.linalg.norm(beside)), u)
        where = f"d = {problem.dim}, u(0) = {u:.4g}"
        if not nearest <= NEAR:
            counterexample = (
                f"{where}: the flow comes no nearer to the saddle than {nearest:.3g} u(0)"
            )
        elif not abs(end / problem.limit().u - 1) <= END_TOLERANCE:
            counterexample = f"{where}, beside the curve: the flow ends at u = {end:.4g}"
    return Evidence(
        not counterexample,
        Grade.CONFIRMED,
        "the nearest approach to the origin by LSODA, over u(0), from the curve of the library; and"
        " from starts 1 % beside it the end, which is the global minimum with u > 0",
        f"{tried} starts, d = 2 and 3, u(0) in {HEIGHTS} of the limit's",
        worst,
        NEAR,
        counterexample,
    )


def _by_scipy(problem: FlowProblem, V: np.ndarray, u: float) -> tuple[float, float]:
    """Return the least sqrt(|V|^2 + u^2) / |u(0)|, and u at the end."""
    a, drive, dim = problem.curvature, problem.drive, problem.dim
    last = 25 / float(np.linalg.norm(drive)) + 25 / float(np.min(a) * problem.limit().u ** 2)

    def slope(t: float, z: np.ndarray) -> np.ndarray:
        W = z[:-1].reshape(dim, dim)
        of_V = -(z[-1] ** 2) * a * W + z[-1] * drive
        return np.append(of_V.ravel(), np.sum(drive * W) - z[-1] * np.sum(a * W**2))

    begin = np.append(V.ravel(), u)
    found = integrate.solve_ivp(
        slope, (0.0, last), begin, method="LSODA", rtol=1e-12, atol=1e-14 * abs(u)
    )
    return float(np.min(np.linalg.norm(found.y, axis=0))) / abs(u), float(found.y[-1, -1])


@dataclass(frozen=True)
class Sides:
    """dw/dt = rate w + pull c for one curvature, w = side(u, <B, V>, |B|), c = u^2 - |V|^2.

    Parameters
    ----------
    side
        w from u, <B, V> and |B|.
    rate, pull
        From u, |B| and the curvature.
    stretch
        The curvatures of the entries are a, stretch a, stretch^2 a, ...
    """

    side: Callable[[Any, Any, Any], Any]
    rate: Callable[[Any, Any, Any], Any]
    pull: Callable[[Any, Any, Any], Any]
    stretch: int = 1


_SIDES = Sides(lambda u, p, b: u + p / b, lambda u, b, a: b - a * u**2, lambda u, b, a: a * u)


def _sides_identity(claim: Sides, entries: int) -> sp.Expr:
    """Return dw/dt less the claim, along the flow."""
    V, B = (sp.symbols(f"{x}1:{entries + 1}", real=True) for x in ("V", "B"))
    u, a, b = sp.symbols("u a b", positive=True)
    curved = [claim.stretch**k * a for k in range(entries)]
    p = sum(x * y for x, y in zip(B, V, strict=True))
    w = claim.side(u, p, b)
    of_u = p - u * sum(x * v**2 for x, v in zip(curved, V, strict=True))
    slope = sp.diff(w, u) * of_u
    for v, x, y in zip(V, curved, B, strict=True):
        slope += sp.diff(w, v) * (u * y - u**2 * x * v)
    balance = u**2 - sum(v**2 for v in V)
    difference = slope - claim.rate(u, b, a) * w - claim.pull(u, b, a) * balance
    # |B|^2 is the sum of the B^2: put it for the last of them.
    last = b**2 - sum(x**2 for x in B[:-1])
    return sp.expand(sp.expand(difference).subs(B[-1] ** 2, last))


def _not_to_saddle(claim: Sides, problem: FlowProblem, u: float) -> str:
    """Say where the start along B with w = 0 does not go to the saddle."""
    strength = float(np.linalg.norm(problem.drive))
    # w is linear in <B, V>.
    overlap = -float(claim.side(u, 0.0, strength)) / float(claim.side(0.0, 1.0, strength))
    V = overlap * problem.drive / strength**2
    nearest, _ = _by_scipy(problem, V, u)
    told = limit_of(problem, FlowState(problem.from_eigenbasis(V), u)).kind
    if nearest <= NEAR and told in (LimitKind.SADDLE, LimitKind.UNKNOWN):
        return ""
    where = f"d = {problem.dim}, u = {u:.4g}, w = 0: the flow comes no nearer to the saddle than"
    return f"{where} {nearest:.3g} u(0), and the library has the limit: {told}"


@statement(
    id="beyond/basin-of-one-curvature",
    title="The exact basin for isotropic Lambda, balanced or with d = 1",
    source="ours",
    latex=r"\Lambda = \lambda I,\ w = u + \langle B, V\rangle / |B|:\ \dot w = (|B| - a u^2) w"
    r" + a u (u^2 - |V|_F^2); \text{ balanced, or for } d = 1,\ w > 0 \text{ is the basin of}"
    r"\ u > 0 \text{ and } w = 0 \text{ that of the saddle}",
    printed=_SIDES,
    beyond=True,
    mutants={
        "the other side": replace(_SIDES, side=lambda u, p, b: u - p / b),
        "1 % more of V": replace(_SIDES, side=lambda u, p, b: u + p * sp.Rational(101, 100) / b),
        "times |B|": replace(_SIDES, side=lambda u, p, b: u + p * b),
        "a plus in the rate": replace(_SIDES, rate=lambda u, b, a: b + a * u**2),
        "without the balance": replace(_SIDES, pull=lambda u, b, a: 0),
        "two curvatures": replace(_SIDES, stretch=2),
    },
    hypotheses=("Lambda = lambda I", "balanced, or d = 1, where c = w (u - sign(B) V)"),
)
def ONE_CURVATURE(claim: Sides, rng: np.random.Generator) -> Evidence:
    """Differentiate w with symbols; follow the flow by scipy from both sides."""
    counterexample, tried = "", 0
    for entries in ENTRIES:
        difference = _sides_identity(claim, entries)
        if not counterexample and difference != 0:
            counterexample = f"{entries} entries: dw/dt is off by {_value(difference):.4g}"
    for dim in (1, 1, 1, 1, 2, 3):
        if counterexample:
            break
        problem = FlowProblem.fixed(2.0 * np.eye(dim), 3)
        V = rng.standard_normal((dim, dim))
        size = float(np.linalg.norm(V)) * (float(rng.uniform(0.2, 3)) if dim == 1 else 1.0)
        for u in (size, -size):
            tried += 1
            overlap = float(np.sum(problem.drive * V))
            w = float(claim.side(u, overlap, float(np.linalg.norm(problem.drive))))
            _, end = _by_scipy(problem, V, u)
            told = limit_of(problem, FlowState(problem.from_eigenbasis(V), u)).kind
            kind = LimitKind.POSITIVE if w > 0 else LimitKind.NEGATIVE
            if not (w * end > 0 and told is kind):
                counterexample = f"d = {dim}, V = {V.tolist()}, u = {u}: w = {w:.4g}, u ends {end}"
        counterexample = counterexample or _not_to_saddle(claim, problem, size)
    return Evidence(
        not counterexample,
        Grade.PROVED,
        "dw/dt with symbols; by LSODA the sign of u at the end, and that the saddle is reached from"
        " w = 0; what the library says of both",
        f"every d (sums over entries; {ENTRIES} of them with symbols); {tried} flow lines, d <= 3",
        counterexample=counterexample,
    )


STATEMENTS = (EVERY_SCALE, ONE_CURVE, ONE_CURVATURE)
