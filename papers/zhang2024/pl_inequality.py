r"""Lemmas 12, 20 and 28: the PL inequality along the flow, and where the flow ends.

The proofs bound the square of dl/dU_11 alone: |dl/dU_11|^2 >= mu (l - min l). For d = 1 this is an
equality at t = 0 as sigma goes to 0, so that a constant 1 % larger fails there. The lemmas' own
inequality has the square of dl/du on its left too, and for d = 1 that is as large again: a balanced
flow then has |grad l|^2 >= 2 mu (l - min l).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import integrate

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.flow_lines import (
    Line,
    Matrix,
    fixed_lines,
    frobenius,
    operator_norm,
    random_lines,
)
from papers.zhang2024.positivity import THRESHOLDS
from theory.gradient_flow import FlowState
from theory.gradient_flow.printed_bounds import printed_bounds
from theory.gradient_flow.trajectory import Comparison, loss_envelope, pl_ratio

#: How far the library's constant and the limit may be from the claim, relatively.
TOLERANCE = 1e-9

#: Of an envelope, by rounding.
ROUNDING = 1e-10

#: Below this part of the loss at the start l - min l is a difference of rounding errors.
RESOLVED = 1e-10

#: Of LSODA, per step and in units of the state.
SCIPY_RTOL = 1e-10

#: Of the limit that scipy finds: the flow contracts towards it, so that errors do not add up.
SCIPY_TOLERANCE = 10 * SCIPY_RTOL


@dataclass(frozen=True)
class Convergence:
    """A PL constant, and the limit.

    Parameters
    ----------
    constant
        mu of the line.
    product
        The limit A of u U.
    power
        u goes to |A|_F^power, U to |A|_F^(-power) A.
    """

    constant: Callable[[Line], float]
    product: Callable[[Line], Matrix]
    power: float = 0.5

    def limit(self, line: Line) -> FlowState:
        """Return the limit of (U, u)."""
        product = self.product(line)
        size = frobenius(product)
        return FlowState(product * size**-self.power, size**self.power)


def _mu(line: Line) -> float:
    """Eq. (30)."""
    lam = line.mean(lambda value: value)
    gam, inverse = line.gamma(lam), np.linalg.inv(lam)
    traces = np.trace(np.linalg.inv(gam) @ inverse) * np.trace(inverse)
    square, root = line.sigma**2, np.sqrt(line.dim)
    gain = frobenius(lam @ line.theta) ** 2
    room = 2 - root * square * operator_norm(gam)
    return float(square / (root * operator_norm(lam) ** 2 * traces) * gain * room)


def _nu(line: Line) -> float:
    """Eq. (61)."""
    square, root = line.sigma**2, np.sqrt(line.dim)
    gain = frobenius(line.mean(lambda lam: lam) @ line.theta) ** 2
    norms = line.mean(lambda lam: operator_norm(line.gamma(lam)) * frobenius(lam) ** 2)
    top = operator_norm(line.mean(lambda lam: lam @ lam))
    return float(_eta(line) * square / (root * top) * (2 * gain - root * square * norms))


def _eta(line: Line) -> float:
    """The least of all gamma_i and zeta_ij = E[Gamma_ii Lambda_ii Lambda_jj]."""
    zeta = line.mean(lambda lam: np.outer(np.diag(line.gamma(lam) @ lam), np.diag(lam)))
    return float(np.min(zeta))


def _inverse_gamma(line: Line) -> Matrix:
    return np.asarray(np.linalg.inv(line.gamma(line.mean(lambda lam: lam))))


def _random_product(line: Line) -> Matrix:
    """(E Gamma Lambda^2)^{-1} E Lambda^2, with xi_i / gamma_i on the diagonal."""
    curved = line.mean(lambda lam: line.gamma(lam) @ lam @ lam)
    return np.asarray(np.linalg.solve(curved, line.mean(lambda lam: lam @ lam)))


FIXED = Convergence(_mu, _inverse_gamma)
RANDOM = Convergence(_nu, _random_product)


def _scaled(claim: Convergence, factor: float) -> Convergence:
    return replace(claim, constant=lambda line: factor * claim.constant(line))


def _mutants(claim: Convergence) -> dict[str, Convergence]:
    """Return wrong constants and wrong limits."""
    return {
        "a constant 1 % larger": _scaled(claim, 1.01),
        "twice the constant": _scaled(claim, 2.0),
        "the negative constant": _scaled(claim, -1.0),
        "sigma, not sigma^2": replace(claim, constant=lambda x: claim.constant(x) / x.sigma),
        "u goes to |A|": replace(claim, power=1.0),
        "u goes to |A|^{1/4}": replace(claim, power=0.25),
        "a limit 1 % larger": replace(claim, product=lambda line: 1.01 * claim.product(line)),
        "the negative limit": replace(claim, product=lambda line: -claim.product(line)),
    }


def _in_the_proof(line: Line, state: FlowState, minimum: float) -> float:
    """Return |dl/dU|^2 / (l - min l), by the paper's matrices."""
    excess = line.loss(state) - minimum
    return frobenius(line.gradient(state).U) ** 2 / excess if excess > 0 else np.inf


def _pl(claim: Convergence, line: Line, found: Comparison) -> str:
    """Say where the constant fails on the library's flow; nothing if it holds."""
    constant, flow, times = claim.constant(line), line.flow, line.times
    if not constant > 0:
        return f"the constant is {constant:.4g}, not > 0"
    k = int(np.argmin(found.margin))
    if found.margin[k] < 0:
        return f"|grad l|^2 = {found.measured[k]:.6g} (l - min l) at t = {times[k]:.4g}"
    minimum = line.loss(claim.limit(line))
    resolved = RESOLVED * (line.loss(line.start) - minimum)
    for t in times:
        state = flow(t)
        ratio = _in_the_proof(line, state, minimum)
        if line.loss(state) - minimum > resolved and not ratio >= constant * (1 - ROUNDING):
            return f"|dl/dU|^2 = {ratio:.6g} (l - min l) at t = {t:.4g}, and mu = {constant:.6g}"
    envelope = loss_envelope(flow, times, constant)
    if not np.nanmin(envelope.looseness) >= 1 - ROUNDING:
        return f"the loss is above its envelope by a factor {1 / np.nanmin(envelope.looseness):.6g}"
    library = printed_bounds(line.problem, line.start).pl_constant
    if not abs(library / constant - 1) <= TOLERANCE:
        return f"printed_bounds has the constant {library!r}, not {constant!r}"
    return ""


def _ends(claim: Convergence, line: Line, end: FlowState, tolerance: float) -> tuple[float, str]:
    """Return how far the end is from the claimed limit, and say so if it is too far."""
    limit = claim.limit(line)
    off = float(np.hypot(frobenius(end.U - limit.U), end.u - limit.u)) / abs(end.u)
    told = f"the flow ends at u = {end.u:.8g}, U_11 = {end.U[0, 0]:.8g}, not at u = {limit.u:.8g}"
    return off, "" if off <= tolerance else f"{told}, U_11 = {limit.U[0, 0]:.8g}"


def _evidence(claim: Convergence, lines: Iterator[Line], scope: str) -> Evidence:
    counterexample, worst, least, tried = "", 0.0, np.inf, 0
    for line in lines:
        tried += 1
        off, wrong = _ends(claim, line, line.flow.final, TOLERANCE)
        worst = max(worst, off)
        found = pl_ratio(line.flow, line.times, claim.constant(line))
        wrong = wrong or _pl(claim, line, found)
        if wrong:
            counterexample = f"{line}: {wrong}"
            break
        least = min(least, float(np.nanmin(found.looseness)))
    return Evidence(
        not counterexample,
        Grade.CONFIRMED,
        "the distance of the library's limit from the claim, relatively; the PL inequality and its"
        " proof's stronger one, by the paper's matrices, and the envelope exp(-mu t)"
        f" (|grad l|^2 is at least {least:.4g} mu (l - min l) on all lines)",
        f"{tried} flow lines, {scope}, sigma^2 from 1e-4 to 0.95 of the threshold",
        worst,
        TOLERANCE,
        counterexample,
    )


_PL_LATEX = (
    r"\|\nabla \ell\|_2^2 \ge \mu\,(\ell - \min \ell),\ \mu = \tfrac{\sigma^2 \|\Lambda\Theta\|_F^2"
    r" [2 - \sqrt{d}\sigma^2\|\Gamma\|_{op}]}{\sqrt{d}\|\Lambda\|_{op}^2"
    r"\mathrm{tr}(\Gamma^{-1}\Lambda^{-1})\mathrm{tr}(\Lambda^{-1})};\ u_{-1} \to"
    r" \|\Gamma^{-1}\|_F^{1/2},\ U_{11} \to \|\Gamma^{-1}\|_F^{-1/2}\Gamma^{-1}"
)


@statement(
    id="zhang2024/lemma-20",
    title="PL inequality and limits",
    source="Lemma 20, eqs. (30), (45), (46)",
    latex=_PL_LATEX,
    printed=FIXED,
    mutants=_mutants(FIXED),
    hypotheses=("Assumption 3", "sigma^2 below the threshold of Lemma 18"),
    depends_on=(
        "zhang2024/lemma-17",
        "zhang2024/lemma-19",
        "zhang2024/eq-45",
        "zhang2024/eq-46-limit",
    ),
)
def LEMMA_20(claim: Convergence, rng: np.random.Generator) -> Evidence:
    """Follow the library's flow."""
    lines = fixed_lines(THRESHOLDS["lemma-18"], rng)
    return _evidence(claim, lines, "d <= 4, fixed covariance")


@statement(
    id="zhang2024/lemma-28",
    title="PL inequality and limits with a random covariance",
    source="Lemma 28, eqs. (61) to (63)",
    latex=r"\|\nabla \ell_{rdm}\|_2^2 \ge \nu\,(\ell_{rdm} - \min \ell_{rdm}),\ \nu ="
    r" \tfrac{\eta\sigma^2}{\sqrt{d}\|\mathbf{E}\Lambda_\tau^2\|_{op}}[2\|\mathbf{E}\Lambda_\tau"
    r"\Theta\|_F^2 - \sqrt{d}\sigma^2\mathbf{E}[\|\Gamma_\tau\|_{op}\|\Lambda_\tau\|_F^2]];"
    r"\ u_{-1} \to [\textstyle\sum_i \xi_i^2/\gamma_i^2]^{1/4},"
    r"\ u_{ij} \to \mathbf{1}_{i=j}[\sum_i \xi_i^2/\gamma_i^2]^{-1/4} \xi_i/\gamma_i",
    printed=RANDOM,
    mutants=_mutants(RANDOM),
    hypotheses=("Assumption 3", "sigma^2 below the threshold of Lemma 26"),
    depends_on=(
        "zhang2024/lemma-25",
        "zhang2024/lemma-27",
        "zhang2024/appendix-c-gradient",
        "zhang2024/eq-64",
    ),
)
def LEMMA_28(claim: Convergence, rng: np.random.Generator) -> Evidence:
    """Follow the library's flow."""
    lines = random_lines(THRESHOLDS["lemma-26"], rng)
    return _evidence(claim, lines, "d <= 3, two-point and constant eigenvalues")


@statement(
    id="zhang2024/lemma-12",
    title="PL inequality and limits, as the main text states them",
    source="Lemma 12, eq. (30)",
    latex=_PL_LATEX,
    printed=FIXED,
    mutants=_mutants(FIXED),
    hypotheses=("Assumption 3", "sigma^2 below the threshold of Lemma 18"),
    depends_on=("zhang2024/lemma-20",),
)
def LEMMA_12(claim: Convergence, rng: np.random.Generator) -> Evidence:
    """Follow eq. (27) by scipy, without the library's flow."""
    counterexample, worst, tried = "", 0.0, 0
    for line in fixed_lines(THRESHOLDS["lemma-18"], rng):
        if line.dim > 3:
            continue
        tried += 1
        states = _by_scipy(line)
        off, wrong = _ends(claim, line, states[-1], SCIPY_TOLERANCE)
        worst = max(worst, off)
        constant = claim.constant(line)
        if not wrong and not constant > 0:
            wrong = f"the constant is {constant:.4g}, not > 0"
        minimum = line.loss(claim.limit(line))
        resolved = RESOLVED * (line.loss(line.start) - minimum)
        for state in states:
            ratio = _in_the_proof(line, state, minimum)
            if line.loss(state) - minimum > resolved and not wrong and not ratio >= constant:
                wrong = (
                    f"|dl/dU|^2 = {ratio:.6g} (l - min l) at u = {state.u:.4g}, mu = {constant:.6g}"
                )
        if wrong:
            counterexample = f"{line}: {wrong}"
            break
    return Evidence(
        not counterexample,
        Grade.CONFIRMED,
        "the end of the flow by LSODA, relatively to the claim, and the PL inequality on the way",
        f"{tried} flow lines, d <= 3, sigma^2 from 1e-4 to 0.95 of the threshold",
        worst,
        SCIPY_TOLERANCE,
        counterexample,
    )


def _by_scipy(line: Line) -> list[FlowState]:
    """Solve eq. (27) until long after the slowest mode has decayed."""
    dim, lam = line.dim, line.mean(lambda value: value)
    slowest = float(np.linalg.eigvalsh(lam)[0]) ** 2
    last = 25 / slowest + 2 * np.log(1 / line.sigma) / frobenius(lam @ lam)

    def slope(t: float, flat: Matrix) -> Matrix:
        gradient = line.gradient(FlowState(flat[:-1].reshape(dim, dim), float(flat[-1])))
        return -np.append(gradient.U.ravel(), gradient.u)

    found = integrate.solve_ivp(
        slope,
        (0.0, last),
        np.append(line.start.U.ravel(), line.start.u),
        method="LSODA",
        t_eval=np.linspace(0.0, last, 60),
        rtol=SCIPY_RTOL,
        atol=1e-12 * line.sigma,
    )
    return [FlowState(z[:-1].reshape(dim, dim), float(z[-1])) for z in found.y.T]


STATEMENTS = (LEMMA_12, LEMMA_20, LEMMA_28)
