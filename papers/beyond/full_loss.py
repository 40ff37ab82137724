r"""The population loss of the full layer, with u_12 and u_21, for every d and N.

Zhang et al. work it out on u_12 = u_21 = 0 only. Two exact engines that share no code derive it:
pairings of words (for every dimension), and monomials in coordinates (for d = 1, 2, 3). What pulls
off u_12 = u_21 = 0 is nothing for Gaussian tasks, and for other laws two of their moments.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.letters import disagreement
from theory.moments.algebra import Vector, matrix, vector
from theory.moments.coordinate import CoordinateMoments
from theory.moments.evaluation import derivative, evaluate, substitute
from theory.moments.expression import Expression, scalar
from theory.moments.layer import (
    ABBREVIATIONS,
    INVERSE_LENGTH,
    LAMBDA,
    NOISE,
    SHORT_LOSS,
    TASKS,
    U11,
    U12,
    U21,
    U_1,
    derive_loss,
    derive_loss_given_task,
)
from theory.moments.printing import latex
from theory.population_loss import LayerBlocks, PopulationLoss

#: Where coordinates judge the words.
DIMENSIONS = (1, 2, 3)

#: Of the library, relative to the sum of the sizes of all terms.
TOLERANCE = 1e-12

#: How many random problems the library is tried on.
PROBLEMS = 10


def _loss(change: Expression | None = None) -> Expression:
    """Give the closed formula, with a change to it for the mutants, in all letters."""
    formula = SHORT_LOSS if change is None else SHORT_LOSS + change
    return substitute(formula, ABBREVIATIONS)


#: Half of this is L.
_LATEX = (
    f"2L = {latex(2 * SHORT_LOSS)}"
    r",\quad M = uU + pq^\top,\ V = \tfrac12(U + U^\top),\ c = \mathrm{tr}(\Lambda S) + \sigma^2,\ "
    r"g = U^\top\Lambda p + u c q,\ r = \mathrm{tr}(\Lambda U) p + 2 V \Lambda p"
)

_G, _R = vector("g"), vector("r")


@statement(
    id="beyond/full-loss",
    title="The population loss of the full linear self-attention layer",
    source="ours; the printed loss, zhang2024/lemma-15, is its restriction to u_12 = u_21 = 0",
    latex=_LATEX,
    printed=_loss(),
    beyond=True,
    mutants={
        "without the query's own column": _loss(
            -INVERSE_LENGTH * (_G @ LAMBDA @ _R) - INVERSE_LENGTH**2 * (_R @ LAMBDA @ _R) / 2
        ),
        "the own column counted with the wrong sign": _loss(
            -2 * INVERSE_LENGTH * (_G @ LAMBDA @ _R)
        ),
        "1 + 1/N where 1 + 2/N is": _loss(
            -INVERSE_LENGTH
            * U_1**2
            * (TASKS @ LAMBDA @ TASKS @ LAMBDA).trace()
            * (U21 @ LAMBDA @ U21)
        ),
        "M without its dyad": substitute(SHORT_LOSS, {**ABBREVIATIONS, "M": U_1 * U11}),
        "the noise left out of c": substitute(
            SHORT_LOSS, {**ABBREVIATIONS, "c": (TASKS @ LAMBDA).trace()}
        ),
        "U where its symmetric part is": substitute(
            SHORT_LOSS + (U12 @ LAMBDA @ U11 @ LAMBDA @ (U11 - U11.T) @ LAMBDA @ U12), ABBREVIATIONS
        ),
        "1/N where 1/N^2 is": _loss((INVERSE_LENGTH - INVERSE_LENGTH**2) * (_R @ LAMBDA @ _R) / 2),
        "1 % more of u p'Lambda S Lambda U Lambda q": _loss(
            2 * INVERSE_LENGTH * U_1 * (U12 @ LAMBDA @ TASKS @ LAMBDA @ U11 @ LAMBDA @ U21) / 100
        ),
    },
    hypotheses=(
        "x ~ N(0, Lambda), w ~ N(0, S)",
        "label noise N(0, sigma^2) on the examples; S = I, sigma = 0 is Zhang et al.",
    ),
)
def FULL_LOSS(claim: Expression, rng: np.random.Generator) -> Evidence:
    """Derive it by words and in coordinates, and compare the library with the claim."""
    wrong = disagreement(derive_loss(), claim, rng)
    for d in DIMENSIONS:
        wrong = wrong or _wrong_in_coordinates(claim, d)
    error = None
    if not wrong:  # the derivatives of the derived loss are then the claim's
        error, wrong = _wrong_in_library(claim, rng)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the loss derived by pairings, and in coordinates, as polynomials; then"
        " theory.PopulationLoss with its gradient and Hessian in random directions, against the"
        " derivatives of the words, relative to the largest term",
        f"every d, N, Lambda, S and sigma by words, d in {DIMENSIONS} in coordinates; the library"
        f" at {PROBLEMS} random problems with d <= 5",
        error,
        TOLERANCE,
        wrong,
    )


def _wrong_in_coordinates(claim: Expression, d: int) -> str:
    moments = CoordinateMoments(d)
    expected = moments.population_loss(moments.task_factor, moments.noise_std)
    factor = np.array(moments.task_factor, dtype=object)
    difference = evaluate(claim, _coordinates(moments) | {"S": factor @ factor.T}) - expected
    return "" if difference == 0 else f"d = {d}: the polynomials differ in {len(difference)} terms"


def _coordinates(moments: CoordinateMoments) -> dict[str, Any]:
    """Give values for the letters of the loss, but for those of the task law."""
    covariance = np.full((moments.dim, moments.dim), moments.ring.zero, dtype=object)
    covariance[np.diag_indices(moments.dim)] = moments.eigenvalues
    letters = {"p": moments.u12, "q": moments.u21, "U": moments.U11}
    values: dict[str, Any] = {name: np.array(v, dtype=object) for name, v in letters.items()}
    values |= {"Lambda": covariance, "u": moments.u_1, "sigma": moments.noise_std}
    return values | {"1/N": moments.inverse_length}


@cache
def _derivatives() -> tuple[Expression, Expression]:
    """Give the derivatives of the derived loss along (p1, q1, U1, u1), then (p2, q2, U2, u2)."""
    found = [derive_loss()]
    for k in "12":
        way = {name: vector(name + k) for name in "pq"}
        found.append(derivative(found[-1], {**way, "U": matrix("U" + k), "u": scalar("u" + k)}))
    return found[1], found[2]


def _wrong_in_library(claim: Expression, rng: np.random.Generator) -> tuple[float, str]:
    errors = np.max([_library_errors(claim, rng) for _ in range(PROBLEMS)], axis=0)
    for name, error in zip(("loss", "gradient", "Hessian"), errors, strict=True):
        if not error <= TOLERANCE:
            return float(error), f"theory.PopulationLoss: its {name} is off by {error:.3g}"
    return float(np.max(errors)), ""


def _library_errors(claim: Expression, rng: np.random.Generator) -> list[float]:
    """Compare loss, gradient and Hessian; random directions meet every block of both."""
    d, N = (int(n) for n in rng.integers(1, 6, 2))
    roots, sigma = rng.standard_normal((2, d, d)), float(rng.uniform(0, 2))
    covariance, tasks = (root @ root.T for root in roots)
    covariance, tasks = covariance + 0.1 * np.eye(d), (tasks + tasks.T) / 2
    covariance = (covariance + covariance.T) / 2
    values = {"Lambda": covariance, "S": tasks, "sigma": sigma, "1/N": 1 / N}
    at, first, second = (LayerBlocks.unstack(x) for x in rng.standard_normal((3, (d + 1) ** 2)))
    for blocks, suffix in ((at, ""), (first, "1"), (second, "2")):
        values |= {f"{name}{suffix}": x for name, x in zip("pqUu", blocks, strict=True)}
    loss = PopulationLoss(covariance, N, tasks, sigma)
    slope = loss.gradient(*at).stacked @ first.stacked
    curvature = first.stacked @ loss.hessian(*at) @ second.stacked
    judges = (claim, *_derivatives())
    return [
        float(abs(found - evaluate(judge, values)) / _largest_term(judge, values))
        for found, judge in zip((loss(*at), slope, curvature), judges, strict=True)
    ]


def _largest_term(expression: Expression, values: dict[str, Any]) -> float:
    return float(max(abs(evaluate(term, values)) for term in expression.monomials()))


@dataclass(frozen=True)
class SymmetryClaim:
    """The loss does not change when these letters change sign, for tasks of this kind.

    Attributes
    ----------
    flipped
        Some of p, q, U and u.
    gaussian
        Whether the tasks are Gaussian; else any law of mean zero is claimed.
    """

    flipped: str
    gaussian: bool = True


@statement(
    id="beyond/zero-stays-zero",
    title="u_12 = u_21 = 0 is invariant for every d, because the loss is even in both",
    source="ours; zhang2024/lemma-10 asserts the invariance",
    latex=r"L(-u_{12}, -u_{21}, U_{11}, u_{-1}) = L(u_{12}, u_{21}, U_{11}, u_{-1}),\quad"
    r"\text{so } \nabla_{u_{12}} L = \nabla_{u_{21}} L = 0 \text{ at } u_{12} = u_{21} = 0",
    printed=SymmetryClaim("pq"),
    beyond=True,
    mutants={
        "even in u_12 alone": SymmetryClaim("p"),
        "even in u_21 alone": SymmetryClaim("q"),
        "even in u_12 and U_11": SymmetryClaim("pU"),
        "even in u_{-1}": SymmetryClaim("u"),
        "for every task law of mean zero": SymmetryClaim("pq", gaussian=False),
    },
    hypotheses=(
        "the task law is Gaussian of mean zero, with any covariance",
        "label noise or none",
    ),
    depends_on=("beyond/full-loss",),
)
def ZERO_STAYS_ZERO(claim: SymmetryClaim, rng: np.random.Generator) -> Evidence:
    """Flip signs in the derived loss; for other task laws, average over a skew law of two atoms."""
    letters: dict[str, Any] = {"p": U12, "q": U21, "U": U11, "u": U_1}
    loss = derive_loss() if claim.gaussian else _skew_loss()
    flipped = substitute(loss, {name: -letters[name] for name in claim.flipped})
    wrong = disagreement(loss, flipped, rng)
    zero = {name: vector(name) * 0 for name in "pq"}
    slope = derivative(loss, {"p": vector("dp"), "q": vector("dq")})
    wrong = wrong or disagreement(substitute(slope, zero), Expression({}), rng)
    if not wrong:
        wrong = next(filter(None, (_library_slope(rng) for _ in range(PROBLEMS))), "")
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the derived loss against itself with signs changed, and its slope along u_12 and u_21 at"
        " zero; then the gradient of theory.PopulationLoss there, which must be 0 exactly",
        f"every d, N, Lambda, S and sigma; the library at {PROBLEMS} random problems with d <= 5",
        counterexample=wrong,
    )


def _skew_loss() -> Expression:
    """Average over w = 2 v with probability 1/3 and w = -v with 2/3: of mean zero, and skew."""
    v, given = vector("v"), derive_loss_given_task()
    return (substitute(given, {"w": 2 * v}) + 2 * substitute(given, {"w": -v})) / 3


def _library_slope(rng: np.random.Generator) -> str:
    d, N = (int(n) for n in rng.integers(1, 6, 2))
    root, zero = rng.standard_normal((d, d)), np.zeros(d)
    loss = PopulationLoss(root @ root.T + 0.1 * np.eye(d), N, noise_std=0.5)
    U, u = rng.standard_normal((d, d)), float(rng.standard_normal())
    gradient = loss.gradient(zero, zero, U, u)
    if not np.any(gradient.u12) and not np.any(gradient.u21):
        return ""
    return f"d = {d}, N = {N}: theory.PopulationLoss has the slopes {gradient.u12}, {gradient.u21}"


#: The slopes of L by u_12 and u_21 at zero, along v, from E[w], E[(w'Lambda w) w] and v.
SlopeClaim = Callable[[Vector, Vector, Vector], tuple[Expression, Expression]]


def _slopes(
    mean: Vector, third: Vector, v: Vector, *, over: int = 2, percent: int = 100, noisy: bool = True
) -> tuple[Expression, Expression]:
    """Give the slopes for any task law; what follows `v` is for the mutants."""
    A, U, u, a = LAMBDA, U11, U_1, INVERSE_LENGTH
    Am, UAm, trace = A @ mean, U.T @ A @ mean, (A @ U).trace()
    of_p = -(U @ Am) * (1 + a) - UAm * a - mean * (trace * a) + U @ (A @ UAm) * (u * (1 + 2 * a))
    of_p = of_p + (U.T @ (A @ UAm) + UAm * trace + mean * (A @ U @ A @ U.T).trace()) * (u * a)
    both = A @ (third + mean * NOISE**2 if noisy else third)
    of_q = U.T @ both * (u**2 * (1 + over * a)) * percent / 100
    return v @ A @ of_p, v @ A @ of_q - v @ both * u


_WRONG_SLOPES: dict[str, SlopeClaim] = {
    "1/N where 2/N is": partial(_slopes, over=1),
    "1 % more of u^2": partial(_slopes, percent=101),
    "the noise does not matter": partial(_slopes, noisy=False),
    "mean zero is enough": lambda mean, third, v: _slopes(mean, mean * 0, v),
    "t alone matters": lambda mean, third, v: _slopes(mean * 0, third, v),
    "the slopes exchanged": lambda mean, third, v: _slopes(mean, third, v)[::-1],
}


@statement(
    id="beyond/task-laws-that-leave-zero",
    title="For other task laws, two of their moments pull u_12 and u_21 off zero",
    source="ours; zhang2024/lemma-10 is for Gaussian tasks",
    latex=r"\text{At } u_{12} = u_{21} = 0\text{: } \nabla_{u_{21}} L = u_{-1} \Lambda"
    r" ((1 + \tfrac2N) u_{-1} U_{11}^\top \Lambda - I)(t + \sigma^2 m),\ \nabla_{u_{12}} L"
    r" \text{ is linear in } m,\quad m = \mathbb{E} w,\ t = \mathbb{E}[(w^\top\Lambda w) w],"
    r"\quad\text{so zero stays zero if } m = t = 0",
    printed=_slopes,
    beyond=True,
    mutants=_WRONG_SLOPES,
    hypotheses=(
        "x ~ N(0, Lambda); any law of w with three moments",
        "label noise N(0, sigma^2) or none",
    ),
    depends_on=("beyond/zero-stays-zero",),
)
def TASK_LAWS(claim: SlopeClaim, rng: np.random.Generator) -> Evidence:
    """Derive the slopes given w: they are linear in w and (w'Lambda w) w, and so is their mean."""
    w, v = vector("w"), vector("v")
    claimed, loss = claim(w, w * (w @ LAMBDA @ w), v), derive_loss_given_task()
    zero, wrong = {name: vector(name) * 0 for name in "pq"}, ""
    for name, slope in zip("pq", claimed, strict=True):
        found = substitute(derivative(loss, {name: v}), zero)
        wrong = wrong or disagreement(found, slope, rng)
    for d in DIMENSIONS:
        wrong = wrong or _wrong_slopes_in_coordinates(claimed, d)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the derivatives of the loss given w by u_12 and u_21 at zero, by pairings, and in"
        " coordinates, as polynomials",
        f"every d, N, Lambda, sigma and task law by words, d in {DIMENSIONS} in coordinates",
        counterexample=wrong,
    )


def _wrong_slopes_in_coordinates(claimed: tuple[Expression, Expression], d: int) -> str:
    moments = CoordinateMoments(d)
    loss = moments.population_loss_given_task(moments.normal, moments.noise_std)
    values = _coordinates(moments) | {"w": np.array(moments.normal, dtype=object)}
    at_zero = [(z, 0) for z in (*moments.u12, *moments.u21)]
    for weights, slope in zip((moments.u12, moments.u21), claimed, strict=True):
        for i, weight in enumerate(weights):
            found = loss.diff(weight).evaluate(at_zero).set_ring(moments.ring)
            if evaluate(slope, values | {"v": np.eye(d, dtype=int)[i]}) != found:
                return f"d = {d}: the slope by {weight} at zero is {found}"
    return ""


STATEMENTS = (FULL_LOSS, ZERO_STAYS_ZERO, TASK_LAWS)
