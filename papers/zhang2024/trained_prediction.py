r"""Eqs. (12), (13), (14), (17) and (47): what the trained layer predicts, and its limits.

At the limit of Theorem 4 u U = A = Gamma^{-1}, and eq. (6) is x_query'A (1/M) sum_i y_i x_i: the
query's own column and the scale of the two matrices drop out. Test prompts have any length M: the
layer divides by M, not by the N of training.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import sympy
from sympy import QQ
from sympy.polys.fields import field

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.shifts import limit
from papers.zhang2024.symbolic_prompt import array
from papers.zhang2024.theorem_5 import FINITE_LAWS
from theory import LinearAttention, PromptBatch
from theory.gradient_flow import FlowProblem
from theory.moments.algebra import matrix, symmetric, vector
from theory.moments.evaluation import evaluate
from theory.moments.expression import Expression, scalar
from theory.moments.wick import expectation

#: (d, M) of the proof with symbols.
SIZES = ((1, 1), (1, 2), (2, 1), (2, 2))
DIMENSIONS = (1, 2)

#: Of the library against a claim, relatively; and on how many problems.
TOLERANCE, PROBLEMS = 1e-11, 20


@dataclass(frozen=True)
class PredictionClaim:
    """yhat from A = Gamma^{-1}, x_query, the examples, their labels and N.

    Parameters
    ----------
    general
        Eq. (13).
    linear
        Eq. (12), from w in place of the labels.
    scale
        u_{-1} U_11 / A.
    u12
        Every entry of u_12.
    """

    general: Callable[[Any, Any, Any, Any, int], Any]
    linear: Callable[[Any, Any, Any, Any, int], Any]
    scale: Any = 1
    u12: int = 0


_EQ_12 = PredictionClaim(
    lambda A, x, xs, ys, N: x @ A @ (ys @ xs) / len(xs),
    lambda A, x, xs, w, N: x @ A @ (xs.T @ xs) @ w / len(xs),
)


@statement(
    id="zhang2024/eq-12",
    title="The prediction of the trained layer",
    source="Section 4.1, eqs. (12) and (13); Corollary 6; Section 5.2, below eq. (29)",
    latex=r"\hat y_{\mathrm{query}} = x_{\mathrm{query}}^\top\Gamma^{-1}\left(\tfrac1M\sum_{i=1}^M"
    r" y_ix_i\right),\quad y_i = \langle w, x_i\rangle \Rightarrow \hat y_{\mathrm{query}} ="
    r" x_{\mathrm{query}}^\top\Gamma^{-1}\left(\tfrac1M\sum_{i=1}^M x_ix_i^\top\right)w",
    printed=_EQ_12,
    mutants={
        "divided by N": replace(_EQ_12, general=lambda A, x, xs, ys, N: x @ A @ (ys @ xs) / N),
        "divided by M + 1": replace(
            _EQ_12, general=lambda A, x, xs, ys, N: x @ A @ (ys @ xs) / (len(xs) + 1)
        ),
        "without the last example": replace(
            _EQ_12, general=lambda A, x, xs, ys, N: x @ A @ (ys[:-1] @ xs[:-1]) / len(xs)
        ),
        "Gamma, not its inverse twice": replace(
            _EQ_12, general=lambda A, x, xs, ys, N: x @ A @ A @ (ys @ xs) / len(xs)
        ),
        "1 % more": replace(_EQ_12, scale=QQ(101, 100)),
        "the examples' covariance before Gamma^-1": replace(
            _EQ_12, linear=lambda A, x, xs, w, N: x @ (xs.T @ xs) @ A @ w / len(xs)
        ),
        "u_12 need not be zero": replace(_EQ_12, u12=1),
    },
    hypotheses=("the weights are those of (11), u_12 = u_21 = 0 included",),
    depends_on=("zhang2024/eq-6", "zhang2024/theorem-4"),
)
def EQ_12(claim: PredictionClaim, rng: np.random.Generator) -> Evidence:
    """Evaluate eq. (6) with symbols at U = A / c, u = c; then the library's trained layer."""
    wrong = next(filter(None, (_wrong_prediction(claim, d, M) for d, M in SIZES)), "")
    error = 0.0 if wrong else max(_library_error(claim, rng) for _ in range(PROBLEMS))
    if not wrong and not error <= TOLERANCE:
        wrong = f"the library's trained layer differs from the claim by {error:.3g} relative"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "eq. (6) as a rational function of prompt, A and c; then the library's layer at the limit,"
        " relatively",
        f"(d, M) in {SIZES}, every symmetric A; the library at {PROBLEMS} random problems with d,"
        " N, M <= 5",
        error,
        TOLERANCE,
        wrong,
    )


def _wrong_prediction(claim: PredictionClaim, d: int, M: int) -> str:
    names = [f"x{i}{j}" for i in range(M + 1) for j in range(d)] + [f"y{i}" for i in range(M)]
    names += [f"w{i}" for i in range(d)] + [f"a{i}{j}" for i in range(d) for j in range(d)] + ["c"]
    (rationals, *letters) = field(names, QQ)
    gens = iter(letters)
    points, labels = array(gens, (M + 1, d)), array(gens, (M,))
    w, A, c = array(gens, (d,)), array(gens, (d, d)), next(gens)
    A = np.triu(A) + np.triu(A, 1).T + np.full((d, d), rationals.zero)
    xs, x = points[:-1], points[-1]
    for name, ys, claimed in (
        ("(13)", labels, claim.general(A, x, xs, labels, M + 1)),
        ("(12)", xs @ w, claim.linear(A, x, xs, w, M + 1)),
    ):
        E = np.vstack([points.T, np.append(ys, rationals.zero)])
        row = np.append(np.full(d, rationals.zero + claim.u12), c)
        found = row @ (E @ E.T / M) @ np.vstack([A * (claim.scale / c), 0 * x[None]]) @ x
        if found != claimed:
            at = [(g.numer, 1 + i % 4) for i, g in enumerate(letters)]
            numbers = [v.numer.evaluate(at) / v.denom.evaluate(at) for v in (found, claimed)]
            return (
                f"{name}, d = {d}, M = {M}, N = {M + 1}, letters 1 to 4 in turn: {numbers[0]},"
                f" and the claim says {numbers[1]}"
            )
    return ""


def _library_error(claim: PredictionClaim, rng: np.random.Generator) -> float:
    d, N, M = (int(n) for n in rng.integers(1, 6, 3))
    root = rng.standard_normal((d, d))
    lam = root @ root.T + 0.1 * np.eye(d)
    U, u = FlowProblem.fixed(lam, N).limit()
    layer = LinearAttention.from_blocks(np.zeros(d), np.zeros(d), U, u)
    points, ys = rng.standard_normal((M + 1, d)), rng.standard_normal(M)
    A = np.linalg.inv(lam + (lam + np.trace(lam) * np.eye(d)) / N)
    claimed = claim.general(A, points[-1], points[:-1], ys, N)
    found = layer.predict(PromptBatch(points[None], ys[None]))[0]
    size = np.abs(points[-1]) @ np.abs(A) @ (np.abs(ys) @ np.abs(points[:-1])) / M
    return float(abs(found - claimed) / size)


#: The laws of Theorem 5, and one in which x has a mean: E xx' is what counts.
_LAWS = (*FINITE_LAWS, (((1,), 2), ((2,), 3), ((0,), 1)))


@dataclass(frozen=True)
class BestLinear:
    """The best linear predictor, from Lambda, E xy and E x E y; and how the layer approaches it.

    Parameters
    ----------
    weights
        a, in coordinates in which Lambda is diagonal.
    lengths
        Which of N and M must grow.
    test_order, training_order
        The mean square of the distance is of these orders in 1/M and 1/N.
    """

    weights: Callable[[Sequence[Any], Sequence[Any], Sequence[Any]], list[Any]]
    lengths: str = "NM"
    test_order: int = 1
    training_order: int = 2


def _best(lam: Sequence[Any], cross: Sequence[Any], means: Sequence[Any]) -> list[Any]:
    return [c / v for c, v in zip(cross, lam, strict=True)]


@statement(
    id="zhang2024/eq-14",
    title="The trained layer tends to the best linear predictor",
    source="Section 4.1, eq. (14); Appendix B, eq. (47)",
    latex=r"\hat y_{\mathrm{query}} \approx x_{\mathrm{query}}^\top a,\ a ="
    r" \Lambda^{-1}\mathbb{E}[yx] = \mathrm{argmin}_w\,\mathbb{E}(y - \langle w, x\rangle)^2",
    printed=BestLinear(_best),
    mutants={
        "E yx": BestLinear(lambda lam, cross, means: list(cross)),
        "Lambda^-2 E yx": BestLinear(
            lambda lam, cross, means: [c / v**2 for c, v in zip(cross, lam, strict=True)]
        ),
        "the covariance of x and y": BestLinear(
            lambda lam, cross, means: [
                (c - m) / v for c, v, m in zip(cross, lam, means, strict=True)
            ]
        ),
        "1 % more": BestLinear(lambda *of: [v * 101 / 100 for v in _best(*of)]),
        "without longer training prompts": BestLinear(_best, "M"),
        "without longer test prompts": BestLinear(_best, "N"),
        "of order 1/M^2": BestLinear(_best, test_order=2),
        "of order 1/N": BestLinear(_best, training_order=1),
    },
    hypotheses=("E xx' = Lambda is positive definite", "E y^2 and E y^2 xx' are finite"),
    depends_on=("zhang2024/eq-12",),
)
def EQ_14(claim: BestLinear, rng: np.random.Generator) -> Evidence:
    """Minimise over finite laws in fractions; then the limit of E(yhat - a'x)^2 by pairings."""
    wrong = next(filter(None, (_not_minimal(claim, law) for law in _LAWS)), "")
    wrong = wrong or next(filter(None, (_wrong_approach(claim, d) for d in DIMENSIONS)), "")
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the derivative of E(w'x - y)^2 at a, whose second derivative 2 Lambda is positive; the"
        " limits of E(yhat - a'x)^2 by pairings, as a rational function of N and M",
        f"every law by its moments, d in {DIMENSIONS} (the weights show every d); in fractions,"
        f" {len(_LAWS)} laws",
        counterexample=wrong,
    )


def _not_minimal(claim: BestLinear, law: tuple[tuple[tuple[int, ...], int], ...]) -> str:
    n, d = len(law), len(law[0][0])
    lam = [Fraction(sum(x[i] ** 2 for x, _ in law), n) for i in range(d)]
    cross = [Fraction(sum(x[i] * y for x, y in law), n) for i in range(d)]
    label = Fraction(sum(y for _, y in law), n)
    means = [Fraction(sum(x[i] for x, _ in law), n) * label for i in range(d)]
    a = claim.weights(lam, cross, means)
    for i in range(d):
        errors = [sum(v * t for v, t in zip(a, x, strict=True)) - y for x, y in law]
        slope = 2 * sum(e * x[i] for e, (x, _) in zip(errors, law, strict=True)) / n
        if slope:
            told = ", ".join(map(str, a))
            return f"(x, y) uniform on {law}: at a = ({told}) the error has the slope {slope}"
    return ""


def _distance() -> Expression:
    """Return E(x'A g - x'a)^2, g = Lambda a + t z, z of covariance Sigma, t^2 = 1/M."""
    lam, spread, A = symmetric("Lambda"), symmetric("Sigma"), matrix("A")
    x, z, a = vector("x"), vector("z"), vector("a")
    gap = x @ A @ (lam @ a + z * scalar("t")) - x @ a
    return expectation(gap**2, {"x": lam, "z": spread})


def _wrong_approach(claim: BestLinear, d: int) -> str:
    corner = [f"s{i}{j}" for i in range(d) for j in range(i, d)]
    names = [*(f"l{i}" for i in range(d)), *(f"a{i}" for i in range(d)), *corner, "N", "T"]
    (rationals, *gens) = field(names, sympy.QQ)
    of = dict(zip(names, gens, strict=True))
    lam, N, T = gens[:d], of["N"], of["T"]
    spread = [[of[f"s{min(i, j)}{max(i, j)}"] for j in range(d)] for i in range(d)]
    values: dict[str, Any] = {"a": np.array(gens[d : 2 * d], dtype=object), "t": 1 / T, "d": d}
    values["Sigma"] = np.array(spread, dtype=object)
    gamma = [v + (v + sum(lam)) / N for v in lam]
    for name, entries in (("Lambda", lam), ("A", [1 / g for g in gamma])):
        values[name] = np.full((d, d), rationals.zero, dtype=object)
        values[name][np.diag_indices(d)] = entries
    distance = rationals.zero + evaluate(_distance(), values)
    left = distance
    for name, letter in (("N", N), ("M", T)):
        left = limit(left, letter) if name in claim.lengths else left
    if left != 0:
        return f"d = {d}: E(yhat - a'x)^2 tends to {left}, with T^2 = M"
    for name, other, letter, order in (
        ("M", N, T, 2 * claim.test_order),
        ("N", T, N, claim.training_order),
    ):
        rate = limit(limit(distance, other) * letter**order, letter)
        if rate is None or rate == 0:
            told = "infinity" if rate is None else rate
            return f"d = {d}: the distance does not fall like the claim in {name}: {told} is left"
    return ""


STATEMENTS = (EQ_12, EQ_14)
