r"""Assumption 3, and what it gives: Lemmas 17 and 25, u_{-1}^2 = tr(U_11 U_11') along the flow.

The difference of the two is conserved from every start, and 0 at those of Assumption 3. It is
differentiated here along eqs. (27) and (49) with words of matrices, so that the dimension plays no
part.

The condition Theta Lambda != 0 of Assumption 3 follows from |Theta Theta'|_F = 1, because Lambda is
invertible.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.flow_lines import Line, Matrix, fixed_lines, random_lines
from papers.zhang2024.letters import disagreement
from papers.zhang2024.positivity import THRESHOLDS
from theory.gradient_flow.problem import FlowProblem, FlowState
from theory.gradient_flow.solver import solve_flow_from
from theory.gradient_flow.start import assumption_3
from theory.moments.algebra import identity, matrix, symmetric
from theory.moments.evaluation import derivative
from theory.moments.expression import Expression
from theory.moments.layer import INVERSE_LENGTH, LAMBDA, U11, U_1

#: How far from 0 the quantity may be on the library's flow, in units of u^2 + |U|^2.
TOLERANCE = 1e-12

#: Draws of M, a third of them for each d = 1, 2, 3.
DRAWS = 60

#: Of |Theta Theta'|_F = 1, and of eigenvalues >= 0, by rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Balance:
    """What is zero along the flow, as a function of letters or of arrays.

    Parameters
    ----------
    quantity
        From U and u.
    norm
        |Theta Theta'|_F at the start.
    """

    quantity: Callable[[Any, Any], Any]
    norm: float = 1.0


def _balance(U: Any, u: Any) -> Any:
    return u**2 - (U @ U.T).trace()


PRINTED = Balance(_balance)
MUTANTS = {
    "the sum, not the difference": Balance(lambda U, u: u**2 + (U @ U.T).trace()),
    "twice the trace": Balance(lambda U, u: u**2 - 2 * (U @ U.T).trace()),
    "1 % more of the trace": Balance(lambda U, u: u**2 - (U @ U.T).trace() * 101 / 100),
    "u, not u^2": Balance(lambda U, u: u - (U @ U.T).trace()),
    "U U, not U U'": Balance(lambda U, u: u**2 - (U @ U).trace()),
    "Theta Theta' of norm 1.01": Balance(_balance, 1.01),
}


def _eq_27() -> tuple[Any, Any]:
    """Return dU/dt and du/dt in letters."""
    gamma = LAMBDA * (INVERSE_LENGTH + 1) + identity() * (LAMBDA.trace() * INVERSE_LENGTH)
    return _flow(gamma @ LAMBDA @ U11 @ LAMBDA, LAMBDA @ LAMBDA)


def _eq_49() -> tuple[Any, Any]:
    """With letters for E[Gamma Lambda U Lambda] and for E[Lambda^2]."""
    return _flow(matrix("C"), symmetric("B"))


def _flow(curved: Any, pull: Any) -> tuple[Any, Any]:
    return pull * U_1 - curved * U_1**2, ((pull - curved * U_1) @ U11.T).trace()


def _evidence(
    claim: Balance,
    dynamics: tuple[Any, Any],
    lines: list[Line],
    scope: str,
    rng: np.random.Generator,
) -> Evidence:
    slope = derivative(claim.quantity(U11, U_1), {"U": dynamics[0], "u": dynamics[1]})
    wrong = disagreement(slope, Expression({}), rng)
    counterexample = wrong and f"the derivative along the flow at {wrong}"
    worst = 0.0
    for line in lines:
        if counterexample:
            break
        start = FlowState(line.start.U * claim.norm, line.start.u)
        flow = solve_flow_from(line.problem, start)
        for t in line.times[:-1:4]:
            U, u = flow(t)
            off = abs(float(claim.quantity(U, u))) / (u**2 + float(np.sum(U**2)))
            worst = max(worst, off)
            if not off <= TOLERANCE:
                counterexample = f"{line}, t = {t:.4g}: {off:.4g} (u^2 + |U|^2), not 0"
    return Evidence(
        not counterexample,
        Grade.PROVED,
        "the derivative of u^2 - tr(UU') along the flow, in words; and its value on flow lines of"
        " the library in units of u^2 + |U|^2",
        f"{scope}; {len(lines)} flow lines, d <= 4",
        worst,
        TOLERANCE,
        counterexample,
    )


@statement(
    id="zhang2024/lemma-17",
    title="Balance: u^2 = tr(UU') along the flow",
    source="Lemma 17, eq. (42)",
    latex=r"u_{-1}^2 = \mathrm{tr}\left[U_{11}(U_{11})^\top\right] \text{ for all } t \ge 0",
    printed=PRINTED,
    mutants=MUTANTS,
    hypotheses=("Assumption 3 (for the flow alone the difference is conserved)",),
    depends_on=("zhang2024/lemma-10",),
)
def LEMMA_17(claim: Balance, rng: np.random.Generator) -> Evidence:
    """Differentiate along eq. (27)."""
    lines = list(fixed_lines(THRESHOLDS["lemma-18"], rng))[::3]
    return _evidence(claim, _eq_27(), lines, "every d, Lambda and N", rng)


@statement(
    id="zhang2024/lemma-25",
    title="Balance with a random covariance",
    source="Lemma 25, eq. (57)",
    latex=r"u_{-1}^2 = \mathrm{tr}\left[U_{11}(U_{11})^\top\right] \text{ for all } t \ge 0",
    printed=PRINTED,
    mutants=MUTANTS,
    hypotheses=("Assumption 3",),
    depends_on=("zhang2024/lemma-21",),
)
def LEMMA_25(claim: Balance, rng: np.random.Generator) -> Evidence:
    """Differentiate along eq. (49)."""
    lines = list(random_lines(THRESHOLDS["lemma-26"], rng))[::3]
    return _evidence(claim, _eq_49(), lines, "every d and law of the covariance", rng)


@dataclass(frozen=True)
class RandomStart:
    """A law of M, and Theta Theta' = gram / sqrt(square) from M.

    Parameters
    ----------
    gram, square
        From M, in letters or arrays; `square` is meant to be the square of |gram|_F.
    draw
        M of shape (d, d).
    """

    gram: Callable[[Any], Any]
    square: Callable[[Any], Any]
    draw: Callable[[np.random.Generator, int], Matrix]


_NORMALS = RandomStart(
    lambda M: M @ M.T,
    lambda M: (M @ M.T @ M @ M.T).trace(),
    lambda rng, dim: rng.standard_normal((dim, dim)),
)


def _refused(claim: RandomStart, M: Matrix, rng: np.random.Generator) -> str:
    """Say why this M does not give a start; nothing if it does."""
    square = float(claim.square(M))
    if not square > 0:
        return f"M = {M.tolist()} has the norm 0"
    gram = claim.gram(M) / np.sqrt(square)
    off = float(np.max(np.abs(gram - gram.T)))
    if off > ROUNDING:
        return f"M = {M.tolist()}: Theta Theta' is not symmetric, by {off:.4g}"
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    if values[0] < -ROUNDING:
        return f"M = {M.tolist()}: Theta Theta' has the eigenvalue {values[0]:.4g}"
    theta = vectors * np.sqrt(np.maximum(values, 0.0))
    root = rng.standard_normal(M.shape)
    covariance = root @ root.T + 0.1 * np.eye(len(M))
    try:
        assumption_3(FlowProblem.fixed(covariance, 3), theta, 1.0)
    except ValueError as error:
        return f"M = {M.tolist()}: {error}"
    return ""


@statement(
    id="zhang2024/assumption-3",
    title="A random M gives a start of Assumption 3",
    source="Section 3.3, below Assumption 3",
    latex=r"M_{ij} \text{ i.i.d. from a continuous law},\ \Theta\Theta^\top ="
    r" M M^\top / \|M M^\top\|_F \Rightarrow \|\Theta\Theta^\top\|_F = 1,\ \Theta\Lambda \ne 0"
    r" \text{ almost surely}",
    printed=_NORMALS,
    mutants={
        "over |M|_F^2": replace(_NORMALS, square=lambda M: (M @ M.T).trace() ** 2),
        "1 % more norm": replace(_NORMALS, square=lambda M: _NORMALS.square(M) * 101 / 100),
        "M, not M M'": replace(_NORMALS, gram=lambda M: M, square=lambda M: (M @ M.T).trace()),
        "M + M', which is symmetric": replace(
            _NORMALS, gram=lambda M: M + M.T, square=lambda M: ((M + M.T) @ (M + M.T)).trace()
        ),
        "entries 0 or 1": replace(
            _NORMALS, draw=lambda rng, dim: rng.integers(0, 2, (dim, dim)).astype(float)
        ),
    },
    hypotheses=("Lambda positive definite", "a continuous law: P(M = 0) = 0"),
)
def ASSUMPTION_3(claim: RandomStart, rng: np.random.Generator) -> Evidence:
    """Prove |Theta Theta'| = 1 and |Lambda Theta|^2 as a norm of M in words; draw M."""
    M = matrix("M")
    gram = claim.gram(M)
    wrong = disagreement((gram @ gram.T).trace(), claim.square(M), rng)
    counterexample = wrong and f"the square of |gram|_F at {wrong}"
    if not counterexample:
        # |M' Lambda|^2, which is 0 for M = 0 only, because Lambda is invertible.
        part = M.T @ LAMBDA
        wrong = disagreement((LAMBDA @ gram @ LAMBDA).trace(), (part.T @ part).trace(), rng)
        counterexample = wrong and f"tr(Lambda gram Lambda) and |M' Lambda|^2 at {wrong}"
    for k in range(DRAWS):
        counterexample = counterexample or _refused(claim, claim.draw(rng, k % 3 + 1), rng)
    return Evidence(
        not counterexample,
        Grade.PROVED,
        "|Theta Theta'|_F^2 = 1 and |Lambda Theta|^2 = |M' Lambda|^2 / |MM'|, in words; and what"
        " the library's assumption_3 says of drawn M",
        f"every d and Lambda; {DRAWS} draws with d <= 3",
        counterexample=counterexample,
    )


STATEMENTS = (ASSUMPTION_3, LEMMA_17, LEMMA_25)
