r"""Theorems 4 and 8: gradient flow converges to one global minimum, with these limits.

*One point.* At a global minimum u U = A, where A is the zero of E[Gamma Lambda A Lambda] -
E[Lambda^2], which is linear in A; with u > 0 and u^2 = |U|_F^2, which the flow keeps, u^4 = |A|_F^2
has one solution. A and the two exponents are checked with symbols, for every N and every law of
independent eigenvalues.

*Convergence* is Lemmas 18 to 20 and 26 to 28; the flow is followed here by scipy on the paper's
matrices, and by the library. The hypothesis Theta Lambda != 0 holds whenever Lambda is positive
definite and |Theta Theta'|_F = 1, and the one on sigma is not needed
(`beyond/initialisation-not-needed`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
from scipy import integrate

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.drawn_lines import CONDITION, Family, random_line
from papers.zhang2024.flow_lines import Line, Matrix, frobenius
from theory.gradient_flow import FlowState
from theory.gradient_flow.solver import solve_flow_from

#: How far the library's limit may be from the claim, relatively.
TOLERANCE = 1e-11

#: The same for scipy's, at rtol 1e-11.
SCIPY_TOLERANCE = 1e-8

#: Dimensions of the proof with symbols.
DIMENSIONS = (1, 2, 3)

#: Flow lines of the library in the check, and the largest dimension.
LINES, LARGEST = 12, 10

#: sigma^2 in units of the printed threshold, in the check.
BELOW = (1e-6, 0.95)


class World(NamedTuple):
    """What A is made of: E f(Lambda), 1/N, I and the inverse, of symbols or of numbers."""

    mean: Callable[[Callable[[Any], Any]], Any]
    inverse_length: Any
    eye: Any
    inverse: Callable[[Any], Any]

    def gamma(self, lam: Any, trace: Any = 1) -> Any:
        """Return Gamma, with a factor before its trace."""
        return lam * (1 + self.inverse_length) + self.eye * (
            lam.trace() * self.inverse_length * trace
        )


@dataclass(frozen=True)
class LimitClaim:
    """u goes to |A|_F^u_power, and U to |A|_F^U_power A, from U(0) = sign sigma Theta Theta'.

    Parameters
    ----------
    product
        A.
    u_power, U_power
        1/2 and -1/2.
    sign
        1.
    u_start
        u(0) / sigma.
    """

    product: Callable[[World], Any]
    u_power: Fraction = Fraction(1, 2)
    U_power: Fraction = Fraction(-1, 2)
    sign: float = 1.0
    u_start: float = 1.0

    def limit(self, line: Line) -> FlowState:
        """Return the limit of (U, u) by the paper's matrices."""
        A = self.product(World(line.mean, 1 / line.length, np.eye(line.dim), np.linalg.inv))
        size = frobenius(A)
        return FlowState(A * size ** float(self.U_power), size ** float(self.u_power))

    def start(self, line: Line) -> FlowState:
        """Return the start."""
        return FlowState(self.sign * line.start.U, self.u_start * line.start.u)


def _inverse_gamma(w: World, trace: Any = 1) -> Any:
    return w.inverse(w.mean(lambda lam: w.gamma(lam, trace)))


def _random_product(w: World, trace: Any = 1) -> Any:
    """(E Gamma Lambda^2)^{-1} E Lambda^2."""
    curved = w.mean(lambda lam: w.gamma(lam, trace) @ lam @ lam)
    return w.inverse(curved) @ w.mean(lambda lam: lam @ lam)


def _square_of_the_mean(w: World) -> Any:
    mean = w.mean(lambda lam: lam)
    return w.inverse(w.mean(lambda lam: w.gamma(lam) @ lam @ lam)) @ mean @ mean


FIXED, RANDOM = LimitClaim(_inverse_gamma), LimitClaim(_random_product)


def _mutants(claim: LimitClaim) -> dict[str, LimitClaim]:
    """Return wrong limits, and starts outside Assumption 3."""
    of_trace = _inverse_gamma if claim is FIXED else _random_product
    return {
        "u goes to |A|": replace(claim, u_power=Fraction(1)),
        "u goes to |A|^{1/4}": replace(claim, u_power=Fraction(1, 4)),
        "the two exponents swapped": replace(claim, u_power=claim.U_power, U_power=claim.u_power),
        "Gamma with Lambda, not (1 + 1/N) Lambda": replace(
            claim, product=lambda w: of_trace(_without_length(w))
        ),
        "Gamma without its trace": replace(claim, product=lambda w: of_trace(w, 0)),
        "1 % more trace in Gamma": replace(
            claim, product=lambda w: of_trace(w, sp.Rational(101, 100))
        ),
        "a limit 1 % larger": replace(
            claim, product=lambda w: claim.product(w) * sp.Rational(101, 100)
        ),
        "the negative limit": replace(claim, product=lambda w: -claim.product(w)),
        "u(0) = 1.01 sigma": replace(claim, u_start=1.01),
        "U(0) = -sigma Theta Theta'": replace(claim, sign=-1.0),
    }


class _OneLessOverN(World):
    """A world whose Gamma is Lambda + tr(Lambda)/N I."""

    def gamma(self, lam: Any, trace: Any = 1) -> Any:
        return super().gamma(lam, trace) - lam * self.inverse_length


def _without_length(w: World) -> World:
    return _OneLessOverN(*w)


def _symbolic_world(family: Family, dim: int) -> World:
    """Return Lambda = diag(x_i); for Theorem 8 with moments m_{ik} of x_i^k, for every law."""
    letters = sp.symbols(f"x1:{dim + 1}", positive=True)
    lam = sp.diag(*letters)

    def moments(entry: sp.Expr) -> sp.Expr:
        terms = sp.Poly(sp.expand(entry), *letters).terms()
        return sum(
            (
                coefficient * sp.prod([_moment(i, power) for i, power in enumerate(powers)])
                for powers, coefficient in terms
            ),
            sp.Integer(0),
        )

    def mean(f: Callable[[Any], Any]) -> Any:
        return f(lam) if family is Family.FIXED else f(lam).applyfunc(moments)

    length = sp.Symbol("N", positive=True)
    return World(mean, 1 / length, sp.eye(dim), lambda matrix: matrix.inv())


def _moment(index: int, power: int) -> sp.Expr:
    return sp.Symbol(f"m{index + 1}_{power}", positive=True) if power else sp.Integer(1)


def wrong_point(claim: LimitClaim, family: Family) -> str:
    """Say why the claim is not the one balanced minimum, with symbols; nothing if it is."""
    powers = claim.u_power, claim.U_power
    if sum(powers) != 0:
        return f"u U = |A|^({sum(powers)}) A: not a minimum, for |A| not 1"
    if 2 * claim.u_power != 2 * claim.U_power + 2:
        return f"u^2 / |U|^2 = |A|^({2 * (claim.u_power - claim.U_power - 1)}): not balanced"
    for dim in DIMENSIONS:
        w = _symbolic_world(family, dim)
        slope = _slope(w, claim.product(w))
        for i, j in product(range(dim), repeat=2):
            if sp.cancel(slope[i, j]) != 0:
                at = {x: k + 2 for k, x in enumerate(sorted(slope[i, j].free_symbols, key=str))}
                given = ", ".join(f"{x} = {value}" for x, value in at.items())
                value = sp.cancel(slope[i, j]).subs(at)
                return f"d = {dim}: dl/dA[{i}, {j}] is {value} at the claim, not 0, for {given}"
    return ""


def _slope(w: World, A: Any) -> Any:
    """Return dl/dA, of which A is the only zero."""
    return w.mean(lambda lam: w.gamma(lam) @ lam @ A @ lam) - w.mean(lambda lam: lam @ lam)


def distance(found: FlowState, limit: FlowState) -> float:
    """Return how far a state is from the limit, relatively to it."""
    off = np.hypot(frobenius(found.U - limit.U), found.u - limit.u)
    return float(off / np.hypot(frobenius(limit.U), limit.u))


def wrong_limit(claim: LimitClaim, line: Line) -> tuple[float, str]:
    """Return how far the library is from the claim, and say so if it is too far.

    Both its flow, which does not know the limit, and its closed form.
    """
    limit, told = claim.limit(line), line.problem.limit()
    flow = solve_flow_from(line.problem, claim.start(line))
    ends = distance(flow.final, limit) if flow.converged else np.inf
    off = max(ends, distance(told, limit))
    if off <= TOLERANCE:
        return off, ""
    return off, _told(line, told if ends <= TOLERANCE else flow.final, limit)


def _told(line: Line, end: FlowState, limit: FlowState) -> str:
    return (
        f"{line}: the limit is u = {end.u:.8g}, U_11 = {end.U[0, 0]:.8g}, not"
        f" u = {limit.u:.8g}, U_11 = {limit.U[0, 0]:.8g}"
    )


def _wrong_by_scipy(claim: LimitClaim, line: Line) -> str:
    """Follow eq. (27) or (49) by LSODA on the paper's matrices."""
    dim, limit, start = line.dim, claim.limit(line), claim.start(line)
    pull = frobenius(line.mean(lambda lam: lam @ lam))
    # No a_ij is below this: the linearised flow is faster than u^2 times it.
    least = line.mean(
        lambda lam: (
            float(np.min(line.gamma(lam)[range(dim), range(dim)]))
            * float(np.linalg.eigvalsh(lam)[0] ** 2)
        )
    )
    last = 20 / (least * limit.u**2) + 4 * abs(float(np.log(start.u / limit.u))) / pull

    def slope(t: float, flat: Matrix) -> Matrix:
        gradient = line.gradient(FlowState(flat[:-1].reshape(dim, dim), float(flat[-1])))
        return -np.append(gradient.U.ravel(), gradient.u)

    begin = np.append(start.U.ravel(), start.u)
    found = integrate.solve_ivp(
        slope, (0.0, last), begin, method="LSODA", rtol=1e-11, atol=1e-13
    ).y[:, -1]
    end = FlowState(found[:-1].reshape(dim, dim), float(found[-1]))
    return "" if distance(end, limit) <= SCIPY_TOLERANCE else _told(line, end, limit)


def _evidence(claim: LimitClaim, family: Family, rng: np.random.Generator) -> Evidence:
    wrong, worst = wrong_point(claim, family), 0.0
    wrong = wrong or _wrong_by_scipy(claim, random_line(family, 2, 0.5, rng, condition=3.0))
    for k in range(LINES):
        if wrong:
            break
        dim = 1 + k % (LARGEST if family is Family.FIXED else LARGEST // 2)
        ratio = float(np.exp(rng.uniform(*np.log(BELOW))))
        off, wrong = wrong_limit(claim, random_line(family, dim, ratio, rng))
        worst = max(worst, off)
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "the claim is the only balanced minimum with u > 0, with symbols; the end of the flow by"
        " LSODA on the paper's matrices, and of the library's flow, and the library's closed form,"
        " relative to the claim",
        f"symbols: d in {DIMENSIONS}, every N, every Lambda or law; LSODA: d = 2; {LINES}"
        f" random problems, condition up to {CONDITION:g}, sigma^2 from {BELOW[0]:g} to"
        f" {BELOW[1]:g} of the threshold",
        worst,
        TOLERANCE,
        wrong,
    )


@dataclass(frozen=True)
class LimitReport:
    """How far the library's limits are from a theorem's at worst, on random problems."""

    family: Family
    count: int
    worst: float
    worst_case: str
    seconds: float


def survey(
    family: Family, count: int, rng: np.random.Generator, ratios: tuple[float, float] = (1e-6, 1e3)
) -> LimitReport:
    """Compare limits on random problems, d <= 10, sigma^2 / threshold in a range, log-uniform."""
    claim = FIXED if family is Family.FIXED else RANDOM
    begin, worst, case = time.process_time(), -1.0, ""
    for _ in range(count):
        ratio = float(np.exp(rng.uniform(*np.log(ratios))))
        line = random_line(family, int(rng.integers(1, LARGEST + 1)), ratio, rng)
        off, _ = wrong_limit(claim, line)
        if off > worst:
            worst, case = off, f"{line}, sigma^2 = {ratio:.3g} of the threshold"
    return LimitReport(family, count, worst, case, time.process_time() - begin)


@statement(
    id="zhang2024/theorem-4",
    title="Gradient flow converges to a global minimum, and its limits",
    source="Theorem 4, eq. (11)",
    latex=r"W^{KQ} \to [\mathrm{tr}(\Gamma^{-2})]^{-1/4} \begin{pmatrix} \Gamma^{-1} & 0 \\ 0 & 0"
    r" \end{pmatrix},\quad W^{PV} \to [\mathrm{tr}(\Gamma^{-2})]^{1/4} \begin{pmatrix} 0 & 0 \\ 0 &"
    r" 1 \end{pmatrix}",
    printed=FIXED,
    mutants=_mutants(FIXED),
    hypotheses=(
        "x ~ N(0, Lambda), Lambda positive definite, w ~ N(0, I)",
        "Assumption 3",
        "sigma^2 |Gamma|_op sqrt(d) < 2",
    ),
    depends_on=(
        "zhang2024/lemma-10",
        "zhang2024/lemma-11",
        "zhang2024/lemma-20",
        "zhang2024/definition-1",
    ),
)
def THEOREM_4(claim: LimitClaim, rng: np.random.Generator) -> Evidence:
    """Check the point with symbols, and follow the flow."""
    return _evidence(claim, Family.FIXED, rng)


@statement(
    id="zhang2024/theorem-8",
    title="Gradient flow with a random covariance: convergence and limits",
    source="Theorem 8, eqs. (21) and (22)",
    latex=r"W^{KQ} \to \|A\|_F^{-1/2} \begin{pmatrix} A & 0 \\ 0 & 0 \end{pmatrix},\quad"
    r" W^{PV} \to \|A\|_F^{1/2} \begin{pmatrix} 0 & 0 \\ 0 & 1 \end{pmatrix},\quad"
    r" A = [\mathbb{E}\Gamma_\tau\Lambda_\tau^2]^{-1} \mathbb{E}\Lambda_\tau^2",
    printed=RANDOM,
    mutants=_mutants(RANDOM)
    | {
        "(E Lambda)^2, not E Lambda^2": LimitClaim(_square_of_the_mean),
        "the inverse of E Gamma, as in Theorem 4": LimitClaim(_inverse_gamma),
    },
    hypotheses=(
        "Lambda diagonal, eigenvalues independent, positive, with three moments",
        "Assumption 3, |E Lambda Theta|_F != 0",
        "sigma^2 < 2 |E Lambda Theta|_F^2 / (sqrt(d) E[|Gamma|_op |Lambda|_F^2])",
    ),
    depends_on=(
        "zhang2024/lemma-21",
        "zhang2024/lemma-24",
        "zhang2024/lemma-28",
        "zhang2024/definition-7",
    ),
)
def THEOREM_8(claim: LimitClaim, rng: np.random.Generator) -> Evidence:
    """Check the point with symbols, and follow the flow."""
    return _evidence(claim, Family.RANDOM, rng)


STATEMENTS = (THEOREM_4, THEOREM_8)
