r"""How fast the flow converges, exactly: the eigenvalues of the Hessian of the loss at the limit.

Where V is U in the bases in which the loss is a sum over entries, the excess loss is 1/2 |r|^2 with
r_ij = sqrt(a_ij) (u V_ij - B_ij / a_ij). All r vanish at the minima, so that the Hessian is J'J for
the Jacobian J of r by (V, u); J is u sqrt(a_ij) on the diagonal, with a last column sqrt(a) V =
y / u, y = B / sqrt(a). J'J has the eigenvalues of JJ' = u^2 diag(a) + y y' / u^2, and one more,
0, along the orbit (s U, u / s) of minima; where B_ij = 0 an entry stands alone, with u^2 a_ij. For
Theorem 4, a_ij = gamma_i lambda_i lambda_j and y_i = lambda_i gamma_i^{-1/2}.

Zhang et al. bound the rate from below, by half the PL constant (Lemmas 20 and 28).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from scipy import optimize

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.flow_lines import Line, Matrix
from theory.gradient_flow import (
    FlowProblem,
    FlowSolution,
    FlowState,
    convergence_rate,
    printed_bounds,
    random_theta,
    spectrum,
)
from theory.laws import TwoPoint

#: Entries with B_ij != 0 in the proof with symbols; one more has none.
ENTRIES = (1, 2, 3)

#: Of the library's spectrum, relative to the largest eigenvalue.
TOLERANCE = 1e-12

#: Of the library's rate: eigvalsh has small eigenvalues to rounding of the largest.
LIBRARY_TOLERANCE = 1e-9

#: Of the measured rate: the next mode is long gone where it is measured.
RATE_TOLERANCE = 1e-4

#: Excess losses, over that of the start, between which the rate is measured.
LEVELS = (1e-13, 1e-17)

#: Ratio of neighbouring eigenvalues of the covariance, so that the modes are apart.
STEP = 4.0


@dataclass(frozen=True)
class SpectrumClaim:
    """The eigenvalues at the minima: 0, those of `block`, and `quiet` for an entry with B_ij = 0.

    Parameters
    ----------
    block
        A matrix from u, and a = r^2 and B of the driven entries.
    quiet
        An eigenvalue from u and a.
    """

    block: Callable[[Any, list[Any], list[Any]], Any]
    quiet: Callable[[Any, Any], Any]


def _block(
    u: Any, r: list[Any], B: list[Any], *, weight: Any = 1, poles: int = 2, y_power: int = 2
) -> Any:
    y = sp.Matrix([b / root for b, root in zip(B, r, strict=True)])
    return u**poles * sp.diag(*[root**2 for root in r]) + y * y.T * weight / u**y_power


def _quiet(u: Any, a: Any) -> Any:
    return u**2 * a


_SPECTRUM = SpectrumClaim(_block, _quiet)


def _wrong_spectrum(claim: SpectrumClaim, entries: int) -> str:
    """Compare characteristic polynomials, for any u; nothing if they agree."""
    r = list(sp.symbols(f"r1:{entries + 1}", positive=True))
    B = list(sp.symbols(f"B1:{entries + 1}", positive=True))
    V = list(sp.symbols(f"V1:{entries + 1}"))
    u, x, q, Q = sp.symbols("u x q Q", positive=True)
    loss = sum(root**2 * u**2 * v**2 / 2 - b * u * v for root, b, v in zip(r, B, V, strict=True))
    loss += q * u**2 * Q**2 / 2
    minimum = {v: b / (root**2 * u) for root, b, v in zip(r, B, V, strict=True)} | {Q: 0}
    hessian = sp.hessian(loss, [*V, u, Q]).subs(minimum)
    if any(hessian[-1, k] != 0 for k in range(entries + 1)):
        return "an entry without drive does not stand alone"
    arrow = hessian[:-1, :-1]
    found = (x * sp.eye(entries + 1) - arrow).det() * (x - hessian[-1, -1])
    block = claim.block(u, r, B)
    claimed = x * (x * sp.eye(entries) - block).det() * (x - claim.quiet(u, q))
    if sp.cancel(found - claimed) == 0:
        return ""
    letters = [u, q, *r, *B]
    at = {letter: sp.Rational(k + 3, 2) for k, letter in enumerate(letters)}
    given = ", ".join(f"{letter} = {value}" for letter, value in at.items())
    wanted = sorted(map(float, sp.Poly(found.subs(at), x).nroots()))
    told = sorted(float(sp.re(root)) for root in sp.Poly(claimed.subs(at), x).nroots())
    numbers = [", ".join(f"{value:.6g}" for value in values) for values in (wanted, told)]
    return (
        f"{entries} driven entries, {given}: eigenvalues {numbers[0]}, the claim has {numbers[1]}"
    )


def hessian(line: Line, at: FlowState) -> Matrix:
    """Return the second derivatives of the loss by (U, u), by the paper's matrices."""
    U, u = at

    def curved(lam: Matrix) -> Matrix:
        return np.asarray(np.kron(line.gamma(lam) @ lam, lam), dtype=np.float64)

    def pull(lam: Matrix) -> Matrix:
        return np.asarray(2 * u * line.gamma(lam) @ lam @ U @ lam - lam @ lam)

    by_both = line.mean(pull).ravel()
    by_u = line.mean(lambda lam: float(np.sum((line.gamma(lam) @ lam @ U @ lam) * U)))
    return np.asarray(
        np.block([[u**2 * line.mean(curved), by_both[:, None]], [by_both[None, :], by_u]])
    )


def _lines(rng: np.random.Generator) -> Iterator[Line]:
    """Yield fixed covariances of d = 1 to 4 and random ones of d = 2 and 3, scales 0.1 and 1."""
    for dim in (1, 2, 3, 4):
        sizes = 2 * STEP ** -(np.arange(dim) + rng.uniform(-0.1, 0.1, dim))
        basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
        lam = basis @ np.diag(sizes) @ basis.T
        lam, length = (lam + lam.T) / 2, int(rng.integers(1, 3 * dim + 1))
        theta, problem = random_theta(dim, rng), FlowProblem.fixed(lam, length)
        yield Line("fixed covariance", ((1.0, lam),), length, theta, 0.1, problem)
    for dim in (2, 3):
        middle = 2 * STEP ** -np.arange(dim)
        values = np.array([0.8 * middle, 1.3 * middle])
        atoms = tuple(
            (0.5**dim, np.diag(values[list(chosen), range(dim)]))
            for chosen in np.ndindex((2,) * dim)
        )
        laws = [TwoPoint(float(low), float(high), 0.5) for low, high in values.T]
        problem = FlowProblem.random_diagonal(laws, 4)
        yield Line("random covariance", atoms, 4, random_theta(dim, rng), 1.0, problem)


@statement(
    id="beyond/spectrum-at-the-limit",
    title="All eigenvalues of the Hessian at the limits of Theorems 4 and 8",
    source="ours; zhang2024, Lemmas 20 and 28, bound the rate from below",
    latex=r"\{0\} \cup \{u^2 a_{ij} : B_{ij} = 0\} \cup \mathrm{eig}\left(u^2 \mathrm{diag}(a)"
    r" + y y^\top / u^2\right),\quad y = B / \sqrt{a};\quad \text{Theorem 4: } a_{ij} = \gamma_i"
    r" \lambda_i \lambda_j,\ y_i = \lambda_i \gamma_i^{-1/2}",
    printed=_SPECTRUM,
    beyond=True,
    mutants={
        "without y y'": replace(_SPECTRUM, block=partial(_block, weight=0)),
        "1 % more of y y'": replace(_SPECTRUM, block=partial(_block, weight=sp.Rational(101, 100))),
        "minus y y'": replace(_SPECTRUM, block=partial(_block, weight=-1)),
        "u, not u^2, before diag(a)": replace(_SPECTRUM, block=partial(_block, poles=1)),
        "y y' u^2": replace(_SPECTRUM, block=partial(_block, y_power=-2)),
        "y = B": replace(
            _SPECTRUM,
            block=lambda u, r, B: _block(u, r, [b * x for b, x in zip(B, r, strict=True)]),
        ),
        "u a_ij where there is no drive": replace(_SPECTRUM, quiet=lambda u, a: u * a),
    },
    hypotheses=("u > 0 and u V = B / a: the limits, and all other global minima",),
    depends_on=("zhang2024/lemma-15", "zhang2024/lemma-23"),
)
def SPECTRUM(claim: SpectrumClaim, rng: np.random.Generator) -> Evidence:
    """Compare characteristic polynomials; then the library with the paper's matrices."""
    wrong = next(filter(None, (_wrong_spectrum(claim, n) for n in ENTRIES)), "")
    error = 0.0
    for line in _lines(rng):
        found = spectrum(line.problem)
        expected = np.linalg.eigvalsh(hessian(line, line.problem.limit()))
        error = max(error, float(np.max(np.abs(found - expected)) / expected[-1]))
    if not wrong and not error <= TOLERANCE:
        wrong = f"theory.spectrum is off by {error:.3g} of the largest eigenvalue"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the characteristic polynomial of the Hessian with symbols; then theory.spectrum against"
        " the eigenvalues of the Hessian in the paper's matrices, relative to the largest",
        f"every u, a and B, {ENTRIES} driven entries and one without drive (for every number of"
        " them by J'J and JJ'); the library at 6 problems, d <= 4",
        error,
        TOLERANCE,
        wrong,
    )


#: The rate from a line; the claim is that the distance to the limit decays as exp(-rate t).
RateClaim = Callable[[Line], float]


def _exact(line: Line) -> float:
    """Return the least eigenvalue but the 0, by the paper's matrices."""
    return float(np.linalg.eigvalsh(hessian(line, line.problem.limit()))[1])


def _least_curvature(line: Line) -> float:
    """u^2 min a_ij: the rate without y y'."""
    return float(line.problem.limit().u ** 2 * np.min(line.problem.curvature))


def _pl_rate(line: Line) -> float:
    """Return half the printed PL constant."""
    return printed_bounds(line.problem, line.start).pl_constant / 2


def measured_rate(flow: FlowSolution) -> float:
    """Return the mean of -1/2 d ln(L - min L)/dt between the times of two levels."""
    first = float(flow.excess_loss(0.0)[0])

    def over(t: float, level: float) -> float:
        return float(np.log(flow.excess_loss(t)[0] / (level * first)))

    times = [optimize.brentq(over, 0.0, flow.horizon, args=(level,)) for level in LEVELS]
    return float(np.log(LEVELS[0] / LEVELS[1]) / (2 * (times[1] - times[0])))


@statement(
    id="beyond/exact-rate",
    title="The exact rate of convergence, beside the printed bound on it",
    source="ours; zhang2024, Lemmas 20 and 28, have exp(-mu t) for the loss",
    latex=r"\lim_{t \to \infty} -\tfrac1t \ln |(U_{11}, u_{-1}) - \lim| = \text{the least"
    r" eigenvalue but } 0 \text{ of the Hessian at the limit} \ge \mu/2,\quad d = 1: 2\lambda^2",
    printed=_exact,
    beyond=True,
    mutants={
        "1 % more": lambda line: 1.01 * _exact(line),
        "1 % less": lambda line: 0.99 * _exact(line),
        "half: that of the loss": lambda line: _exact(line) / 2,
        "the least u^2 a_ij": _least_curvature,
        "half the PL constant": _pl_rate,
        "the next eigenvalue": lambda line: float(
            np.linalg.eigvalsh(hessian(line, line.problem.limit()))[min(2, line.dim**2)]
        ),
    },
    hypotheses=("Assumption 3", "a start that excites the slowest mode: almost every one does"),
    depends_on=("beyond/spectrum-at-the-limit", "zhang2024/lemma-20", "zhang2024/lemma-28"),
)
def RATE(claim: RateClaim, rng: np.random.Generator) -> Evidence:
    """Measure the rate on the library's flow lines."""
    wrong, worst, parts = "", 0.0, []
    for line in _lines(rng):
        claimed, found = claim(line), measured_rate(line.flow)
        worst = max(worst, abs(found / claimed - 1))
        parts.append(_pl_rate(line) / claimed)
        if not abs(found / claimed - 1) <= RATE_TOLERANCE:
            wrong = f"{line}: the rate is {found:.6g}, the claim {claimed:.6g}"
        elif not _pl_rate(line) <= claimed:
            wrong = f"{line}: half the PL constant, {_pl_rate(line):.6g}, is above {claimed:.6g}"
        elif not abs(convergence_rate(line.problem) / claimed - 1) <= LIBRARY_TOLERANCE:
            wrong = f"{line}: convergence_rate is {convergence_rate(line.problem)!r}"
        if wrong:
            break
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "the claim, relatively, against half the rate at which the loss falls on the library's"
        f" flow from {LEVELS[0]:g} to {LEVELS[1]:g} of its first excess, and against"
        " theory.convergence_rate"
        f" (half the printed PL constant is {min(parts):.2g} to {max(parts):.2g} of it)",
        "fixed covariances, d <= 4, and random ones, d = 2 and 3",
        worst,
        RATE_TOLERANCE,
        wrong,
    )


STATEMENTS = (SPECTRUM, RATE)
