r"""Lemmas 10, 15, 21 and Corollary 22: the flow on u_12 = u_21 = 0.

`theory.moments.layer` derives the loss of the full layer for every d and N; the flow is minus its
derivative in the direction of a letter. That u_12 = u_21 = 0 persists is part of the lemmas: the
derivatives by them vanish there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.letters import disagreement
from theory.gradient_flow import FlowProblem, FlowState
from theory.laws import TwoPoint
from theory.moments.algebra import Matrix, identity, matrix, symmetric, vector
from theory.moments.coordinate import CoordinateMoments
from theory.moments.evaluation import derivative, substitute
from theory.moments.expression import Expression, scalar
from theory.moments.layer import INVERSE_LENGTH, LAMBDA, U11, U_1, derive_loss, plain_tasks
from theory.population_loss import PopulationLoss

#: How far the library's gradient may be from the claim, relative to the largest entry.
TOLERANCE = 1e-12

#: How many random problems it is tried on, and the dimensions of a proof in coordinates.
PROBLEMS, DIMENSIONS = 10, (1, 2, 3)

#: A law of the covariance: gives the mean of a function of it.
Mean = Callable[[Callable[[Any], Any]], Any]


class Plane(NamedTuple):
    """A point with u_12 = u_21 = 0, in letters or in arrays, and the law of the covariance."""

    U: Any
    u: Any
    mean: Mean
    inverse_length: Any
    eye: Any


@dataclass(frozen=True)
class FlowClaim:
    """(dU_11/dt, du_{-1}/dt) at a point of the plane, and which letters are zero there."""

    flow: Callable[[Plane], tuple[Any, Any]]
    zero: frozenset[str] = frozenset({"p", "q"})


def gamma(A: Any, inverse_length: Any, eye: Any) -> Any:
    """Give Gamma = (1 + 1/N) Lambda + tr(Lambda)/N I."""
    return A * (1 + inverse_length) + eye * (A.trace() * inverse_length)


def _flow(s: Plane, gamma: Callable[..., Any] = gamma, drive: int = 1) -> tuple[Any, Any]:
    """Eqs. (27) and (49)."""
    U, u, a, eye = s.U, s.u, s.inverse_length, s.eye
    pull = s.mean(lambda A: A @ A) * drive
    curved = s.mean(lambda A: gamma(A, a, eye) @ A @ U @ A)
    return pull * u - curved * u**2, ((pull - curved * u) @ U.T).trace()


def _other_side(s: Plane) -> tuple[Any, Any]:
    """U Gamma where Gamma U belongs."""
    U, u, a, eye = s.U, s.u, s.inverse_length, s.eye
    curved = s.mean(lambda A: A @ U @ A @ gamma(A, a, eye))
    return s.mean(lambda A: A @ A) * u - curved * u**2, _flow(s)[1]


def _averages_apart(s: Plane) -> tuple[Any, Any]:
    """E[Gamma Lambda] U E[Lambda] where E[Gamma Lambda U Lambda] belongs."""
    curved = s.mean(lambda A: gamma(A, s.inverse_length, s.eye) @ A) @ s.U @ s.mean(lambda A: A)
    pull = s.mean(lambda A: A @ A)
    return pull * s.u - curved * s.u**2, ((pull - curved * s.u) @ s.U.T).trace()


def _square_of_the_mean(s: Plane) -> tuple[Any, Any]:
    """E[Lambda]^2 where E[Lambda^2] belongs."""
    mean = s.mean(lambda A: A)
    spread = mean @ mean - s.mean(lambda A: A @ A)
    of_U, of_u = _flow(s)
    return of_U + spread * s.u, of_u + (spread @ s.U.T).trace()


_WRONG_FLOWS = {
    "the drive pushes away": FlowClaim(partial(_flow, drive=-1)),
    "twice the drive": FlowClaim(partial(_flow, drive=2)),
    "Gamma on the other side of U": FlowClaim(_other_side),
    "Gamma without its trace": FlowClaim(partial(_flow, gamma=lambda A, a, eye: A * (1 + a))),
    "half of dU_11/dt": FlowClaim(lambda s: (_flow(s)[0] / 2, _flow(s)[1])),
    "1 % more trace in Gamma": FlowClaim(
        partial(_flow, gamma=lambda A, a, eye: A * (1 + a) + eye * (A.trace() * a * 101 / 100))
    ),
    "u_21 need not be zero": FlowClaim(_flow, frozenset({"p"})),
    "u_12 need not be zero": FlowClaim(_flow, frozenset({"q"})),
}


@cache
def _pulls(loss: Expression) -> dict[str, Expression]:
    """Minus the derivatives of the loss by U, u, p and q, along letters."""
    along: dict[str, Any] = {"U": matrix("V"), "u": scalar("v"), "p": vector("v"), "q": vector("v")}
    return {name: -derivative(loss, {name: letter}) for name, letter in along.items()}


def _wrong_flow(claim: FlowClaim, loss: Expression, mean: Mean, rng: np.random.Generator) -> str:
    """Compare all four derivatives of the loss, for every d and N; nothing if they agree."""
    of_U, of_u = claim.flow(Plane(U11, U_1, mean, INVERSE_LENGTH, identity()))
    along = {"U": (of_U.T @ matrix("V")).trace(), "u": of_u * scalar("v")}
    zero = {name: vector(name) * 0 for name in claim.zero}
    for name, pull in _pulls(loss).items():
        claimed = along.get(name, Expression({}))
        wrong = disagreement(substitute(pull, zero), claimed, rng)
        if wrong:
            return f"minus the derivative by {name} along {'V' if name == 'U' else 'v'}: {wrong}"
    return ""


def _library_error(claim: FlowClaim, atoms: int, rng: np.random.Generator) -> float:
    """Largest error of the library's gradient, on average over some covariances."""
    worst = 0.0
    for _ in range(PROBLEMS):
        d, N = (int(n) for n in rng.integers(1, 6, 2))
        roots, weights = rng.standard_normal((atoms, d, d)), rng.dirichlet(np.ones(atoms))
        law = list(zip(weights, roots @ roots.swapaxes(1, 2) + 0.1 * np.eye(d), strict=True))
        U, u, zero = rng.standard_normal((d, d)), float(rng.standard_normal()), np.zeros(d)
        gradients = [w * PopulationLoss(A, N).gradient(zero, zero, U, u).stacked for w, A in law]
        plane = Plane(U, u, _mean_over(law), 1 / N, np.eye(d))
        of_U, of_u = claim.flow(plane)
        claimed = np.concatenate([zero, zero, of_U.ravel(), [of_u]])
        error = np.max(np.abs(sum(gradients) + claimed)) / np.max(np.abs(claimed))
        worst = max(worst, float(error))
    return worst


def _mean_over(law: list[tuple[Any, Any]]) -> Mean:
    def mean(f: Callable[[Any], Any]) -> Any:
        first, *rest = (f(A) * weight for weight, A in law)
        return sum(rest, first)

    return mean


def _evidence(wrong: str, error: float, scope: str) -> Evidence:
    if not wrong and not error <= TOLERANCE:
        wrong = f"theory.PopulationLoss has a gradient that is off by {error:.3g} relative"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "minus the derivatives of the derived loss by all four blocks; then the gradient of"
        " theory.PopulationLoss, relative to its largest entry",
        f"every d and N, {scope}; the library at {PROBLEMS} random problems with d <= 5",
        error,
        TOLERANCE,
        wrong,
    )


@statement(
    id="zhang2024/lemma-10",
    title="The dynamical system of gradient flow",
    source="Section 5.2, Lemma 10, eq. (27)",
    latex=r"\dot U_{11} = -u_{-1}^2 \Gamma\Lambda U_{11} \Lambda + u_{-1} \Lambda^2,\quad"
    r" \dot u_{-1} = -\mathrm{tr}[u_{-1} \Gamma\Lambda U_{11} \Lambda U_{11}^\top"
    r" - \Lambda^2 U_{11}^\top],\quad u_{12} = u_{21} = 0",
    printed=FlowClaim(_flow),
    mutants=_WRONG_FLOWS,
    hypotheses=("x ~ N(0, Lambda), w ~ N(0, I), no noise", "u_12(0) = u_21(0) = 0"),
    depends_on=("zhang2024/lemma-9", "zhang2024/lemma-14", "zhang2024/lemma-30"),
)
def LEMMA_10(claim: FlowClaim, rng: np.random.Generator) -> Evidence:
    """Differentiate the derived loss in the directions of letters."""
    wrong = _wrong_flow(claim, plain_tasks(derive_loss()), lambda f: f(LAMBDA), rng)
    return _evidence(wrong, _library_error(claim, 1, rng), "every Lambda")


def _two_atoms() -> list[tuple[Expression, Matrix]]:
    """Two covariances with their weights, all of them letters."""
    return [(scalar(f"pi{k}"), symmetric(f"Lambda{k}")) for k in (1, 2)]


@cache
def _two_atom_loss() -> Expression:
    fixed = plain_tasks(derive_loss())
    return sum((w * substitute(fixed, {"Lambda": A}) for w, A in _two_atoms()), Expression({}))


@statement(
    id="zhang2024/lemma-21",
    title="The dynamical system for a random covariance",
    source="Appendix C.1, Lemma 21, eq. (49)",
    latex=r"\dot U_{11} = -u_{-1}^2 \mathbb{E}[\Gamma_\tau\Lambda_\tau U_{11} \Lambda_\tau]"
    r" + u_{-1} \mathbb{E}[\Lambda_\tau^2],\quad \dot u_{-1} = -u_{-1} \mathrm{tr}\,\mathbb{E}["
    r"\Gamma_\tau\Lambda_\tau U_{11} \Lambda_\tau U_{11}^\top]"
    r" + \mathrm{tr}(\mathbb{E}[\Lambda_\tau^2] U_{11}^\top)",
    printed=FlowClaim(_flow),
    mutants=_WRONG_FLOWS
    | {
        "averages of factors apart": FlowClaim(_averages_apart),
        "the square of the mean covariance": FlowClaim(_square_of_the_mean),
    },
    hypotheses=("Lambda_tau positive definite, with finite third moments", "u_12 = u_21 = 0 at 0"),
    depends_on=("zhang2024/lemma-10",),
)
def LEMMA_21(claim: FlowClaim, rng: np.random.Generator) -> Evidence:
    """Average the derived loss over a law of two atoms with symbols; the loss is linear in it."""
    wrong = _wrong_flow(claim, _two_atom_loss(), _mean_over(_two_atoms()), rng)
    scope = "laws of Lambda with two atoms in letters (all is linear in the law)"
    return _evidence(wrong, _library_error(claim, 3, rng), scope)


@dataclass(frozen=True)
class LossClaim:
    """The loss of Lemma 15 at a point of the plane, and which letters are zero there."""

    loss: Callable[[Plane], Any]
    zero: frozenset[str] = frozenset({"p", "q"})


def _restricted(s: Plane, curvature: int = 1, drive: int = 1, percent: int = 100) -> Any:
    """Twice eq. (28) is u^2 tr(Gamma Lambda U Lambda U') - 2 u tr(Lambda^2 U')."""
    a, eye = s.inverse_length, s.eye
    first = s.mean(lambda A: gamma(A, a, eye) @ A @ s.U @ A @ s.U.T).trace() * s.u**2
    second = (s.mean(lambda A: A @ A) @ s.U.T).trace() * s.u
    return first * curvature * percent / 200 - second * drive


@statement(
    id="zhang2024/lemma-15",
    title="The flow is that of a simpler loss",
    source="Section 5.2, eq. (28), and Appendix A.3, Lemma 15, eq. (41)",
    latex=r"\tilde\ell(U_{11}, u_{-1}) = \mathrm{tr}[\tfrac12 u_{-1}^2 \Gamma\Lambda U_{11}"
    r" \Lambda U_{11}^\top - u_{-1} \Lambda^2 U_{11}^\top],\quad"
    r" L = \tilde\ell + \tfrac12 \mathrm{tr}\,\Lambda",
    printed=LossClaim(_restricted),
    mutants={
        "without the half": LossClaim(partial(_restricted, curvature=2)),
        "plus the drive": LossClaim(partial(_restricted, drive=-1)),
        "twice the drive": LossClaim(partial(_restricted, drive=2)),
        "1 % more curvature": LossClaim(partial(_restricted, percent=101)),
        "u^2 in the drive": LossClaim(lambda s: _restricted(s) + _restricted(s, 0) * (s.u - 1)),
        "u_21 need not be zero": LossClaim(_restricted, frozenset({"p"})),
        "u_12 need not be zero": LossClaim(_restricted, frozenset({"q"})),
    },
    hypotheses=("u_12(0) = u_21(0) = 0",),
    depends_on=("zhang2024/lemma-10", "zhang2024/lemma-29"),
)
def LEMMA_15(claim: LossClaim, rng: np.random.Generator) -> Evidence:
    """The derived loss on the plane is the claim up to a constant, and the constant is tr/2."""
    zero = {name: vector(name) * 0 for name in claim.zero}
    loss = substitute(plain_tasks(derive_loss()), zero)
    claimed = claim.loss(Plane(U11, U_1, lambda f: f(LAMBDA), INVERSE_LENGTH, identity()))
    wrong = disagreement(loss, claimed + LAMBDA.trace() / 2, rng)
    error = 0.0
    for _ in range(PROBLEMS):
        d, N = (int(n) for n in rng.integers(1, 6, 2))
        root = rng.standard_normal((d, d))
        A, U = root @ root.T + 0.1 * np.eye(d), rng.standard_normal((d, d))
        u = float(rng.standard_normal())
        value = FlowProblem.fixed(A, N).loss(FlowState(U, u))
        plane = Plane(U, u, _mean_over([(1.0, A)]), 1 / N, np.eye(d))
        gap = abs(value - claim.loss(plane) - np.trace(A) / 2)
        error = max(error, float(gap / (abs(value) + np.trace(A))))
    if not wrong and not error <= TOLERANCE:
        wrong = f"theory.FlowProblem.fixed has a loss that is off by {error:.3g} relative"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the derived loss on u_12 = u_21 = 0; then that of theory.FlowProblem.fixed",
        f"every d, N and Lambda; the library at {PROBLEMS} random problems with d <= 5",
        error,
        TOLERANCE,
        wrong,
    )


@dataclass(frozen=True)
class EntryClaim:
    """Integrands of eq. (51): gamma_i, xi_i and zeta_ij are the means of these over lambda.

    `diagonal` says whether Lambda is; if not, lambda_i stands for its entry (i, i).
    """

    gamma: Callable[[Any, int, Any], Any]
    xi: Callable[[Any, int], Any]
    zeta: Callable[[Any, int, int, Any], Any]
    diagonal: bool = True


def _gamma_entry(lam: Any, i: int, a: Any) -> Any:
    return (1 + a) * lam[i] ** 3 + a * lam[i] ** 2 * sum(lam)


def _zeta_entry(lam: Any, i: int, j: int, a: Any) -> Any:
    return (1 + a) * lam[i] ** 2 * lam[j] + a * lam[i] * lam[j] * sum(lam)


_ENTRIES = EntryClaim(_gamma_entry, lambda lam, i: lam[i] ** 2, _zeta_entry)


@statement(
    id="zhang2024/corollary-22",
    title="The dynamical system for a random diagonal covariance, entry by entry",
    source="Appendix C.1, Corollary 22, eqs. (51) and (52); scan ambiguous: the index of the sum in"
    " gamma_i is not legible; all j are read, j != i is a mutant",
    latex=r"\dot u_{ii} = -\gamma_i u_{-1}^2 u_{ii} + \xi_i u_{-1},\quad"
    r" \dot u_{ij} = -\zeta_{ij} u_{-1}^2 u_{ij},\quad \dot u_{-1} = -\sum_i \gamma_i u_{-1}"
    r" u_{ii}^2 - \sum_{i \ne j} \zeta_{ij} u_{-1} u_{ij}^2 + \sum_i \xi_i u_{ii}",
    printed=_ENTRIES,
    mutants={
        "the sum in gamma_i without j = i": replace(
            _ENTRIES, gamma=lambda lam, i, a: _gamma_entry(lam, i, a) - a * lam[i] ** 3
        ),
        "xi_i = E lambda_i": replace(_ENTRIES, xi=lambda lam, i: lam[i]),
        "minus xi_i": replace(_ENTRIES, xi=lambda lam, i: -(lam[i] ** 2)),
        "zeta_ij transposed": replace(
            _ENTRIES, zeta=lambda lam, i, j, a: _zeta_entry(lam, j, i, a)
        ),
        "1 % more of gamma_i": replace(
            _ENTRIES, gamma=lambda lam, i, a: _gamma_entry(lam, i, a) * 101 / 100
        ),
        "Lambda_tau need not be diagonal": replace(_ENTRIES, diagonal=False),
    },
    hypotheses=("Lambda_tau diagonal", "u_12 = u_21 = 0"),
    depends_on=("zhang2024/lemma-21",),
)
def COROLLARY_22(claim: EntryClaim, rng: np.random.Generator) -> Evidence:
    """Integrands are polynomials in lambda: equal for every law where they are equal."""
    wrong = "" if claim.diagonal else _wrong_off_the_diagonal(claim)
    wrong = wrong or next(filter(None, (_wrong_entries(claim, d) for d in DIMENSIONS)), "")
    error = max(_moments_error(claim, rng) for _ in range(PROBLEMS))
    if not wrong and not error <= TOLERANCE:
        wrong = f"theory.FlowProblem.random_diagonal has entries that are off by {error:.3g}"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the coordinate engine's loss, differentiated, as polynomials in lambda; then the"
        " coefficients of theory.FlowProblem.random_diagonal against means over all atoms",
        f"d in {DIMENSIONS}, every N and law; the library at {PROBLEMS} laws of two points each",
        error,
        TOLERANCE,
        wrong,
    )


def _wrong_entries(claim: EntryClaim, d: int) -> str:
    moments = CoordinateMoments(d)
    lam, U, u, a = moments.eigenvalues, moments.U11, moments.u_1, moments.inverse_length
    loss = moments.population_loss().evaluate([(z, 0) for z in (*moments.u12, *moments.u21)])
    loss = loss.set_ring(moments.ring)
    of_u = moments.ring.zero
    for i, j in product(range(d), repeat=2):
        rate = claim.gamma(lam, i, a) if i == j else claim.zeta(lam, i, j, a)
        drive = claim.xi(lam, i) if i == j else 0
        claimed, found = -rate * u**2 * U[i][j] + drive * u, -loss.diff(U[i][j])
        of_u += -rate * u * U[i][j] ** 2 + drive * U[i][j]
        if claimed != found:
            return f"d = {d}: du_{i + 1}{j + 1}/dt is {found}, and the claim says {claimed}"
    found = -loss.diff(u)
    return "" if of_u == found else f"d = {d}: du/dt is off by {of_u - found}"


def _wrong_off_the_diagonal(claim: EntryClaim) -> str:
    """Try Lambda = [[2, 1], [1, 2]] with N = 1, U_11 = I and u_{-1} = 1."""
    A, zero = np.array([[2.0, 1.0], [1.0, 2.0]]), np.zeros(2)
    found = -float(PopulationLoss(A, 1).gradient(zero, zero, np.eye(2), 1.0).U11[0, 1])
    claimed = -claim.zeta(np.diag(A), 0, 1, 1.0) * 0.0
    if found == claimed:
        return ""
    return (
        f"d = 2, Lambda = {A.tolist()}, N = 1, U_11 = I, u = 1: du_12/dt is {found:.6g}, and the"
        f" claim says {claimed:.6g}"
    )


def _moments_error(claim: EntryClaim, rng: np.random.Generator) -> float:
    """Compare the library's coefficients with sums over all 2^d values of lambda."""
    d, N = (int(n) for n in rng.integers(1, 5, 2))
    low, high, p = rng.uniform(0.2, 1, d), rng.uniform(1, 4, d), rng.uniform(0.1, 0.9, d)
    laws = [TwoPoint(*map(float, parameters)) for parameters in zip(low, high, p, strict=True)]
    problem = FlowProblem.random_diagonal(laws, N)
    curvature, drive = np.zeros((d, d)), np.zeros((d, d))
    for upper in product((0, 1), repeat=d):
        up = np.array(upper, dtype=bool)
        weight, lam = np.prod(np.where(up, 1 - p, p)), np.where(up, high, low)
        for i, j in product(range(d), repeat=2):
            of = claim.gamma(lam, i, 1 / N) if i == j else claim.zeta(lam, i, j, 1 / N)
            curvature[i, j] += weight * of
        drive += weight * np.diag([claim.xi(lam, i) for i in range(d)])
    errors = np.abs(curvature / problem.curvature - 1), np.abs(drive - problem.drive)
    return float(max(np.max(errors[0]), np.max(errors[1])))


STATEMENTS = (LEMMA_10, LEMMA_15, LEMMA_21, COROLLARY_22)
