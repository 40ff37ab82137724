r"""Lemma 14, Steps three to five of its proof: the flow on u_12 = u_21 = 0, in coordinates.

The gradient of 1/2 (u'Hu - w'x)^2 is averaged monomial by monomial over the examples, the query and
the task, with a symbol for every entry of U_11 and of a root of Lambda. Only E w, E ww' and the
third moments of w matter for du_12 = du_21 = 0: the text names the mean alone, and d u_21 / dt has
E w_i w_j w_k.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from sympy import QQ

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.symbolic_prompt import SymbolicPrompt

#: (d, N) of expectations.
AVERAGED = ((1, 1), (1, 2), (1, 3), (2, 1), (2, 2))


#: E w_i^n from n = 1, 2, ..., 6.
TaskMoments = tuple[Any, ...]


@dataclass(frozen=True)
class VanishingClaim:
    """At u_12 = u_21 = 0 the derivatives by both are 0, for tasks with these moments."""

    moments: TaskMoments
    plane: bool = True


_NORMAL_TASKS: TaskMoments = (0, 1, 0, 3, 0, 15)


@statement(
    id="zhang2024/eq-36",
    title="Step three: the derivatives by u_12 and u_21 vanish",
    source="Appendix A.2, Step three, eq. (36) to its end",
    latex=r"u_{12} = u_{21} = 0 \Rightarrow \dot u_{12} = 0,\ \dot u_{21} = 0",
    printed=VanishingClaim(_NORMAL_TASKS),
    mutants={
        "tasks of mean 1": VanishingClaim((1, 2, 4, 10, 26, 76)),
        # 2 with probability 1/3, else -1: the mean is 0, which is all that the text names.
        "tasks of mean 0, third moment not": VanishingClaim((0, 2, 2, 6, 10, 22)),
        "1 % off the third moment": VanishingClaim((0, 1, QQ(1, 100), 3, 0, 15)),
        "u_12 and u_21 need not be zero": VanishingClaim(_NORMAL_TASKS, plane=False),
    },
    hypotheses=("w has the moments of a symmetric law (the text: mean 0)", "w'x has no noise"),
    depends_on=("zhang2024/eq-31", "zhang2024/eq-33", "zhang2024/eq-35"),
)
def EQ_36(claim: VanishingClaim, rng: np.random.Generator) -> Evidence:
    """Average the derivatives of the squared error over x, then over w by its moments."""
    wrong = ""
    for d, N in AVERAGED:
        s = SymbolicPrompt(d, N, plane=claim.plane)
        wrong = wrong or _leaves_zero(claim, s)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the derivatives by u_12 and u_21 of 1/2 (yhat - w'x)^2, averaged monomial by monomial",
        f"(d, N) in {AVERAGED}, every Lambda, U_11 and u_{{-1}}",
        counterexample=wrong,
    )


def _leaves_zero(claim: VanishingClaim, s: SymbolicPrompt) -> str:
    Hu = s.H @ s.u
    slope = 2 * Hu * (s.query @ s.task - s.u @ Hu)
    entries = slope.reshape(s.d + 1, s.d + 1, order="F")
    for name, part in (("u_12", entries[:-1, -1]), ("u_21", entries[-1, :-1])):
        mean = s.mean_given_task(part)
        zero = np.full(s.d, s.ring.zero, dtype=object)
        wrong = s.difference(f"d{name}/dt", s.over_tasks(mean, claim.moments), zero)
        if wrong:
            return wrong
    return ""


@dataclass(frozen=True)
class StepClaim:
    """What Steps four and five find: D and 2 E[w'x H] u, for U_11 and for u_{-1}.

    Each is a function of U_11, u_{-1}, Lambda and Gamma.
    """

    curved_block: Callable[[Any, Any, Any, Any], Any]
    pull_block: Callable[[Any, Any, Any, Any], Any]
    curved_corner: Callable[[Any, Any, Any, Any], Any]
    pull_corner: Callable[[Any, Any, Any, Any], Any]
    trace: Any = 1


_STEPS = StepClaim(
    curved_block=lambda U, u, L, G: G @ L @ U @ L * u**2,
    pull_block=lambda U, u, L, G: L @ L * u,
    curved_corner=lambda U, u, L, G: u * np.trace(G @ L @ U @ L @ U.T),
    pull_corner=lambda U, u, L, G: np.trace(L @ L @ U.T),
)


@statement(
    id="zhang2024/lemma-14",
    title="Steps four and five: the flow of U_11 and u_{-1}, in coordinates",
    source="Appendix A.2, Lemma 14 (Lemma 10 again), Steps four and five, eqs. (38), (39) and (40)",
    latex=r"D_{11} = u_{-1}^2\Gamma\Lambda U_{11}\Lambda,\ D_{d+1,d+1} = u_{-1}\mathrm{tr}[\Gamma"
    r"\Lambda U_{11}\Lambda U_{11}^\top],\quad 2\mathbb{E}[w^\top xH]u = (u_{-1}\Lambda^2,\ "
    r"\mathrm{tr}[\Lambda^2U_{11}^\top]),\quad \dot u = -D + 2\mathbb{E}[w^\top xH]u",
    printed=_STEPS,
    mutants={
        "Gamma on the other side of U": replace(
            _STEPS, curved_block=lambda U, u, L, G: L @ U @ L @ G * u**2
        ),
        "half of D": replace(_STEPS, curved_block=lambda U, u, L, G: G @ L @ U @ L * (u**2 / 2)),
        "minus the pull on U": replace(_STEPS, pull_block=lambda U, u, L, G: L @ L * -u),
        "twice the pull on u": replace(
            _STEPS, pull_corner=lambda U, u, L, G: 2 * np.trace(L @ L @ U)
        ),
        "u^2 in D of u": replace(
            _STEPS, curved_corner=lambda U, u, L, G: u**2 * np.trace(G @ L @ U @ L @ U.T)
        ),
        "U U, not U U'": replace(
            _STEPS, curved_corner=lambda U, u, L, G: u * np.trace(G @ L @ U @ L @ U)
        ),
        "1 % more trace in Gamma": replace(_STEPS, trace=QQ(101, 100)),
        "Gamma without its trace": replace(_STEPS, trace=0),
    },
    hypotheses=("u_12 = u_21 = 0", "w ~ N(0, I)", "x ~ N(0, Lambda)"),
    depends_on=(
        "zhang2024/eq-31",
        "zhang2024/eq-33",
        "zhang2024/eq-35",
        "zhang2024/eq-36",
        "zhang2024/eq-37",
    ),
)
def LEMMA_14(claim: StepClaim, rng: np.random.Generator) -> Evidence:
    """Average 2 (u'Hu) Hu and 2 w'x Hu entry by entry."""
    wrong = ""
    for d, N in AVERAGED:
        s = _plane(d, N)
        L, U, u = s.covariance, s.U[:-1, :-1], s.U[-1, -1]
        eye = np.eye(d, dtype=int).astype(object)
        gamma = L * QQ(N + 1, N) + eye * (np.trace(L) * claim.trace / N)
        at = (U, u, L, gamma)
        curved, pull = _averages(d, N)
        for name, found, (of_U, of_u) in (
            ("D", curved, (claim.curved_block(*at), claim.curved_corner(*at))),
            ("2 E[w'x H] u", pull, (claim.pull_block(*at), claim.pull_corner(*at))),
        ):
            wrong = wrong or s.difference(f"{name} by U_11", found[:-1, :-1], of_U)
            wrong = wrong or s.difference(f"{name} by u_{{-1}}", [found[-1, -1]], [of_u])
    return Evidence(
        not wrong,
        Grade.PROVED,
        "2 E (u'Hu) Hu and 2 E w'x Hu, monomial by monomial",
        f"(d, N) in {AVERAGED}, every Lambda, U_11 and u_{{-1}}",
        counterexample=wrong,
    )


@cache
def _plane(d: int, N: int) -> SymbolicPrompt:
    return SymbolicPrompt(d, N, plane=True)


@cache
def _averages(d: int, N: int) -> tuple[Any, Any]:
    """Return D and 2 E[w'x H] u as matrices of d + 1 rows."""
    s = _plane(d, N)
    Hu = s.H @ s.u
    shape = (d + 1, d + 1)
    curved, pull = 2 * Hu * (s.u @ Hu), 2 * Hu * (s.query @ s.task)
    return s.mean(curved).reshape(shape, order="F"), s.mean(pull).reshape(shape, order="F")


STATEMENTS = (EQ_36, LEMMA_14)
