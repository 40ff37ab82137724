r"""The flow from starts without balance: in closed form for d = 1, and from u = 0 for every d.

*d = 1.* Write c = u^2 - V^2 and p = u + V, so that u - V = c / p. Along the flow P = p^2 obeys

    dP/dt = 2 B P - a P^2 / 2 + a c^2 / 2,

a Riccati equation with constant coefficients. With r = sqrt(4 B^2 + a^2 c^2), its fixed points
P+ = (r + 2B) / a and -P- = -(r - 2B) / a = -c^2 / P+, and e = exp(-r t),

    P(t) = (P(0) (P+ + e P-) + c^2 (1 - e)) / (P(0) (1 - e) + P- + e P+),

and p keeps its sign: every term is >= 0, and nothing cancels (with P- = c^2 / P+).

*u = 0.* There l = L - L(0) = 0 and dl/dt = -<B, V>^2, so that l < 0 at once and u never vanishes
again: the limit is the global minimum with the sign of <B, V> and c = -|V|^2. Who follows the flow
back a little has starts with c < 0 from which u passes through 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import sympy as sp
from scipy import integrate

from papers.ledger import Evidence, Grade, statement
from theory.gradient_flow import FlowProblem, FlowState
from theory.gradient_flow.initialisation import LimitKind, limit_of
from theory.gradient_flow.solver import solve_flow_from
from theory.laws import Exponential, Uniform

#: Of the library's flow for d = 1, in units of |u| + |V|: ten times the tolerance of its steps.
TOLERANCE = 1e-11

#: Of the library's flow beside LSODA with rtol = 1e-12, in units of |u| + |V|.
JUDGE_TOLERANCE = 1e-9

#: V and u at the start for d = 1, in units of u at the balanced limit: c < 0 with u = 0, rising,
#: falling and passing through 0, c > 0 with V of either sign, and c = 0.
STARTS = (
    *((1.0, 0.0), (-2.0, 0.0), (1e-3, 0.0), (2.0, 0.5), (2.0, -0.5), (-3.0, 2.9), (-1.0, 1e-6)),
    *((0.5, 2.0), (-0.5, 2.0), (0.0, -1.0), (30.0, 10.0), (-10.0, 9.0), (0.1, 0.1)),
)

#: Of the six lines through the plane u = 0, those that start before it; some with either sign.
_FROM_BEFORE = (0, 3, 4)

#: Where the lines are compared, in units of the horizon.
PARTS = np.append(0.0, np.geomspace(1e-4, 1.0, 16))


def _square(first: Any, e: Any, c: Any, top: Any) -> Any:
    """Return P where exp(-r t) is e, from P(0), c and P+."""
    low = c**2 / top  # (r - 2B) / a would cancel for small c
    above = first * (top + e * low) + c**2 * (1 - e)
    return above / (first * (1 - e) + low + e * top)


@dataclass(frozen=True)
class Riccati:
    """The flow for d = 1, from a, B, c and p = mixed(u, V) at the start.

    Parameters
    ----------
    rate
        r from a, B and c.
    drift
        dP/dt from P, a, B and c.
    mixed
        p from u and V.
    u
        From p and c.
    """

    rate: Callable[[Any, Any, Any], Any]
    drift: Callable[[Any, Any, Any, Any], Any]
    mixed: Callable[[Any, Any], Any]
    u: Callable[[Any, Any], Any]

    def at(self, problem: FlowProblem, V: float, u: float, times: np.ndarray) -> np.ndarray:
        """Return u at the times."""
        a, b = float(problem.curvature[0, 0]), float(problem.drive[0, 0])
        c, p = (u - V) * (u + V), self.mixed(u, V)
        rate = float(self.rate(a, b, c))
        square = _square(p**2, np.exp(-rate * times), c, (rate + 2 * b) / a)
        return np.asarray(self.u(np.copysign(np.sqrt(square), p), c))


_RICCATI = Riccati(
    lambda a, b, c: (4 * b**2 + a**2 * c**2) ** sp.Rational(1, 2),
    lambda P, a, b, c: 2 * b * P - a * P**2 / 2 + a * c**2 / 2,
    lambda u, V: u + V,
    lambda p, c: (p + c / p) / 2,
)


def _not_the_flow(claim: Riccati) -> str:
    """Say with symbols where P does not obey the flow, or the closed form not the equation of P."""
    u, V, first, e = sp.symbols("u V P e", real=True)
    a, b, r = sp.symbols("a b r", positive=True)
    c, product = u**2 - V**2, u * V
    p = claim.mixed(u, V)
    slope = sp.diff(p**2, u) * V * (b - a * product) + sp.diff(p**2, V) * u * (b - a * product)
    if wrong := sp.expand(slope - claim.drift(p**2, a, b, c)):
        return f"dP/dt along the flow is off by {wrong}"
    if wrong := sp.simplify(claim.u(p, c) - u):
        return f"u from p and c is off by {wrong}"
    c = sp.Symbol("c", real=True)
    square = _square(first, e, c, (r + 2 * b) / a)
    # With r^2 as the claim has it; de/dt = -r e.
    known = claim.rate(a, b, c) ** 2
    for name, difference in (
        ("P(0)", square.subs(e, 1) - first),
        ("dP/dt", -r * e * sp.diff(square, e) - claim.drift(square, a, b, c)),
    ):
        above = sp.expand(sp.numer(sp.together(difference)))
        if wrong := sp.expand(sp.rem(above, r**2 - known, r)):
            return f"{name} of the closed form is off by a multiple of {sp.factor(wrong)}"
    return ""


@statement(
    id="beyond/flow-in-one-dimension",
    title="For d = 1 the flow is explicit from every start",
    source="ours; for balanced starts it is the logistic equation",
    latex=r"d = 1,\ c = u^2 - V^2,\ P = (u + V)^2:\ \dot P = 2BP - \tfrac{a}{2}(P^2 - c^2),\ P(t) ="
    r" \frac{P(0)(P_+ + e^{-rt}P_-) + c^2(1 - e^{-rt})}{P(0)(1 - e^{-rt}) + P_- + e^{-rt}P_+},"
    r"\ r = \sqrt{4B^2 + a^2c^2},\ P_\pm = (r \pm 2B)/a",
    printed=_RICCATI,
    beyond=True,
    mutants={
        "the rate of balanced starts": replace(_RICCATI, rate=lambda a, b, c: 2 * b),
        "a rate 1 % larger": replace(
            _RICCATI, rate=lambda a, b, c: _RICCATI.rate(a, b, c) * sp.Rational(101, 100)
        ),
        "a minus before c^2": replace(
            _RICCATI, drift=lambda P, a, b, c: 2 * b * P - a * P**2 / 2 - a * c**2 / 2
        ),
        "u - V for u + V": replace(_RICCATI, mixed=lambda u, V: u - V),
        "u and V exchanged": replace(_RICCATI, u=lambda p, c: (p - c / p) / 2),
    },
    hypotheses=("d = 1", "u + V not 0 at the start: else it is the separatrix"),
)
def ONE_DIMENSION(claim: Riccati, rng: np.random.Generator) -> Evidence:
    """Prove it with symbols; compare the library's flow with it."""
    counterexample, worst = _not_the_flow(claim), 0.0
    for V, u in STARTS:
        if counterexample:
            break
        problem = FlowProblem.fixed([[float(rng.uniform(0.5, 2))]], int(rng.integers(1, 6)))
        unit = problem.limit().u
        flow = solve_flow_from(problem, FlowState(unit * np.array([[V]]), unit * u))
        times = PARTS * flow.horizon
        found = flow.u(times)
        # |V| by the balance.
        sizes = np.abs(found) + np.sqrt(np.maximum(found**2 - unit**2 * (u**2 - V**2), 0.0))
        off = float(np.max(np.abs(found - claim.at(problem, unit * V, unit * u, times)) / sizes))
        worst = max(worst, off)
        if not off <= TOLERANCE:
            counterexample = f"V = {V:g}, u = {u:g} of the limit's: the flow is {off:.3g} off"
    return Evidence(
        not counterexample,
        Grade.PROVED,
        "the equation of P and its solution with symbols; the library's u beside it, over |u| +"
        " |V|, on its flow from u = 0, through u = 0, and for c of either sign",
        f"every a, B, c and start; {len(STARTS)} flow lines of the library",
        worst,
        TOLERANCE,
        counterexample,
    )


@dataclass(frozen=True)
class FromThePlane:
    """The limit from u = 0: sign (A / u, u), 2 u^2 = c + sqrt(c^2 + 4 |A|^2).

    Parameters
    ----------
    sign
        From <B, V>.
    balance
        c from |V|^2.
    factor
        Of u.
    """

    sign: Callable[[float], float]
    balance: Callable[[float], float]
    factor: float = 1.0

    def u(self, problem: FlowProblem, V: np.ndarray) -> float:
        """Return u at the limit."""
        size = float(np.sum((problem.drive / problem.curvature) ** 2))
        c = self.balance(float(np.sum(V**2)))
        # c < 0: the conjugate form, which does not cancel.
        root = float(np.sqrt(c**2 + 4 * size))
        square = (c + root) / 2 if c > 0 else 2 * size / (root - c)
        return self.factor * self.sign(float(np.sum(problem.drive * V))) * float(np.sqrt(square))


_PLANE = FromThePlane(lambda overlap: float(np.sign(overlap)), lambda square: -square)


@statement(
    id="beyond/starts-with-u-zero",
    title="From u = 0 the flow takes the sign of <B, V>, and its limit is explicit",
    source="ours; zhang2024 has starts of Assumption 3 only",
    latex=r"u(0) = 0,\ \langle B, V(0)\rangle \ne 0:\ u \to \mathrm{sign}\langle B, V(0)\rangle"
    r" \sqrt{(c + \sqrt{c^2 + 4 |A|_F^2})/2},\ c = -|V(0)|_F^2,\ uU \to A",
    printed=_PLANE,
    beyond=True,
    mutants={
        "always u > 0": replace(_PLANE, sign=lambda overlap: 1.0),
        "the other sign": replace(_PLANE, sign=lambda overlap: -np.sign(overlap)),
        "the balanced limit": replace(_PLANE, balance=lambda square: 0.0),
        "c = |V|^2": replace(_PLANE, balance=lambda square: square),
        "1 % more": replace(_PLANE, factor=1.01),
    },
    hypotheses=("u = 0", "<B, V> not 0: else the start is a saddle"),
)
def STARTS_WITH_U_ZERO(claim: FromThePlane, rng: np.random.Generator) -> Evidence:
    """Follow the flow by scipy and by the library, from u = 0 and from a little before."""
    counterexample, worst, tried = "", 0.0, 0
    for problem, V, start in _from_the_plane(rng):
        tried += 1
        wanted = claim.u(problem, V)
        off, wrong = _along(problem, start, wanted)
        worst = max(worst, off)
        told = limit_of(problem, FlowState(problem.from_eigenbasis(V), 0.0)).kind
        if told is not (LimitKind.POSITIVE if wanted > 0 else LimitKind.NEGATIVE):
            wrong = wrong or f"the library has the limit: {told}"
        if wrong:
            counterexample = f"d = {problem.dim}, u(0) = {start.u:.4g}: {wrong}"
            break
    return Evidence(
        not counterexample,
        Grade.CONFIRMED,
        "the ends by LSODA and by the library against the claim, and the library's line beside"
        " LSODA's on the way, over |u| + |V|",
        f"{tried} flow lines, d = 2 and 3, half of them through u = 0",
        worst,
        JUDGE_TOLERANCE,
        counterexample,
    )


def _from_the_plane(
    rng: np.random.Generator,
) -> Iterator[tuple[FlowProblem, np.ndarray, FlowState]]:
    """Yield problems with V where u is 0, and starts on that flow line: there, and before it."""
    problems = (
        FlowProblem.fixed(np.diag(np.exp(rng.uniform(-1, 1, 2))), 3),
        FlowProblem.random_diagonal([Exponential(1), Uniform(0.5, 2)], 4),
        FlowProblem.fixed(np.diag(np.exp(rng.uniform(-1, 1, 3))), 2),
    )
    for index, (problem, sign) in enumerate(product(problems, (1.0, -1.0))):
        V = rng.standard_normal((problem.dim, problem.dim)) * problem.limit().u
        strength = float(np.linalg.norm(problem.drive))
        # Of V along B: of this sign, and not small.
        along = sign * float(rng.uniform(0.3, 1)) * float(np.linalg.norm(V)) / strength
        V += problem.drive * (along - float(np.sum(problem.drive * V)) / strength**2)
        start = FlowState(problem.from_eigenbasis(V), 0.0)
        if index in _FROM_BEFORE:
            # Back in time the flow blows up, but not as soon as this.
            fastest = strength + float(np.max(problem.curvature) * np.sum(V**2))
            (start,) = _by_scipy(problem, start, [-0.1 / fastest])
        yield problem, V, start


def _along(problem: FlowProblem, start: FlowState, wanted: float) -> tuple[float, str]:
    """Return how far the library is from LSODA or the claim, and say so if it is too far."""
    flow = solve_flow_from(problem, start)
    times = PARTS[1:] * flow.horizon
    worst, told = 0.0, ""
    for t, judged in zip(times, _by_scipy(problem, start, list(times)), strict=True):
        found = flow(t)
        size = float(np.linalg.norm(judged.U)) + abs(judged.u)
        off = float(np.hypot(np.linalg.norm(found.U - judged.U), found.u - judged.u)) / size
        worst = max(worst, off)
        if not (told or off <= JUDGE_TOLERANCE):
            told = f"the flow is {off:.3g} from LSODA's at t = {t:.4g}"
    for u in (judged.u, flow.final.u):
        off = abs(u / wanted - 1)
        worst = max(worst, off)
        if not (told or off <= JUDGE_TOLERANCE):
            told = f"the flow ends at u = {u:.8g}, not {wanted:.8g}"
    return worst, told


def _by_scipy(problem: FlowProblem, start: FlowState, times: list[float]) -> list[FlowState]:
    """Return the flow at the times, all of one sign and away from 0, by LSODA."""
    shape = start.U.shape

    def slope(t: float, z: np.ndarray) -> np.ndarray:
        gradient = problem.gradient(FlowState(z[:-1].reshape(shape), float(z[-1])))
        return -np.append(gradient.U.ravel(), gradient.u)

    begin = np.append(start.U.ravel(), start.u)
    found = integrate.solve_ivp(
        slope,
        (0.0, times[-1]),
        begin,
        method="LSODA",
        t_eval=times,
        rtol=1e-12,
        atol=1e-14 * float(np.linalg.norm(begin)),
    )
    return [FlowState(z[:-1].reshape(shape), float(z[-1])) for z in found.y.T]


STATEMENTS = (ONE_DIMENSION, STARTS_WITH_U_ZERO)
