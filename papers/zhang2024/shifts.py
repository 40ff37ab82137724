r"""Section 4.2: what the trained layer does when tasks, query or covariates shift.

Given the query and the task, yhat = x_query'A (1/M) sum_i y_i x_i has a mean and a mean square that
pairings give for every d. Their limits for long prompts are those of rational functions of N and M.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import sympy
from sympy.polys.fields import field

from papers.ledger import Correction, Evidence, Fault, Grade, statement
from theory import LeastSquares, LinearAttention, Predictor, PromptBatch, Ridge
from theory.gradient_flow import FlowProblem
from theory.moments.algebra import Matrix, matrix, symmetric, vector
from theory.moments.evaluation import evaluate
from theory.moments.expression import Expression, scalar
from theory.moments.wick import expectation

DIMENSIONS = (1, 2)


@dataclass(frozen=True)
class LimitClaim:
    """What x_query is multiplied with in the limit of long prompts, and how fast.

    Parameters
    ----------
    weights
        From w, the eigenvalues, the variance of the noise and the factor c of the covariates.
    lengths
        Which of N and M must grow.
    test_order, training_order
        The mean square of the distance to the limit is of these orders in 1/M and 1/N.
    """

    weights: Callable[[Sequence[Any], Sequence[Any], Any, Any], Sequence[Any]]
    lengths: str = "NM"
    test_order: int = 1
    training_order: int = 2


def _same(w: Sequence[Any], lam: Sequence[Any], noise: Any, c: Any) -> Sequence[Any]:
    return w


def given_query() -> tuple[Expression, Expression]:
    """Return E yhat and E yhat^2, given the query q and the task w, for every d, N and M.

    Examples x ~ N(0, Lambda), y = w'x + e with E e^2 = f; r = 1/M.
    """
    lam, A, r = symmetric("Lambda"), matrix("A"), scalar("r")
    q, w = vector("q"), vector("w")
    # Each of the M examples meets itself once and M - 1 others.
    one, other = (
        (q @ A @ vector(x)) * (vector(x) @ w + scalar(e)) for x, e in (("x1", "e1"), ("x2", "e2"))
    )
    laws: dict[str, Matrix | Expression] = {
        "x1": lam,
        "x2": lam,
        "e1": scalar("f"),
        "e2": scalar("f"),
    }
    return expectation(one, laws), expectation(r * one**2 + (1 - r) * one * other, laws)


class _Symbols:
    """Rational functions of lambda, w, q, the noise f, the factor c, N and M."""

    def __init__(self, d: int) -> None:
        names = [f"{k}{i}" for k in "lwq" for i in range(d)]
        (self.rationals, *gens) = field([*names, "f", "c", "N", "M"], sympy.QQ)
        self.lam, self.w, self.q = gens[:d], gens[d : 2 * d], gens[2 * d : 3 * d]
        self.noise, self.c, self.N, self.M = gens[3 * d :]

    def moments(self, noisy: bool, shifted: bool) -> tuple[Any, Any]:
        """Return the variance and the mean of yhat, given the query and the task."""
        trace = sum(self.lam)
        gamma = [x + (x + trace) / self.N for x in self.lam]
        scale = self.c**2 if shifted else self.rationals.one
        values: dict[str, Any] = {"w": np.array(self.w, dtype=object), "r": 1 / self.M}
        values |= {"q": np.array(self.q, dtype=object), "d": len(self.lam)}
        values["f"] = self.noise if noisy else self.rationals.zero
        for name, entries in (
            ("Lambda", [scale * x for x in self.lam]),
            ("A", [1 / g for g in gamma]),
        ):
            values[name] = np.full((len(gamma),) * 2, self.rationals.zero, dtype=object)
            values[name][np.diag_indices(len(gamma))] = entries
        mean, square = (evaluate(moment, values) for moment in given_query())
        return square - mean**2, mean


def limit(value: Any, generator: Any) -> Any:
    """Return the limit of a rational function where a letter grows; None if it is infinite."""
    if value == 0:
        return value
    place = next(i for i, g in enumerate(generator.numer.ring.gens) if g == generator.numer)
    degrees, leading = [], []
    for part in (value.numer, value.denom):
        degrees.append(max(monomial[place] for monomial in part.itermonoms()))
        terms = {
            tuple(0 if i == place else k for i, k in enumerate(monomial)): c
            for monomial, c in part.iterterms()
            if monomial[place] == degrees[-1]
        }
        leading.append(part.ring.from_dict(terms))
    if degrees[0] > degrees[1]:
        return None
    rationals = value.parent()
    return rationals(leading[0]) / rationals(leading[1]) if degrees[0] == degrees[1] else 0


def _wrong_limit(claim: LimitClaim, d: int, noisy: bool, shifted: bool) -> str:
    s = _Symbols(d)
    variance, mean = s.moments(noisy, shifted)
    noise = s.noise if noisy else s.rationals.zero
    weights = claim.weights(s.w, s.lam, noise, s.c)
    wanted = sum(q * v for q, v in zip(s.q, weights, strict=True))
    reached = mean if "N" not in claim.lengths else limit(mean, s.N)
    if reached != wanted:
        return f"d = {d}: the mean of yhat tends to {reached}, and the claim says {wanted}"
    left = limit(variance, s.N) if "N" in claim.lengths else variance
    left = limit(left, s.M) if "M" in claim.lengths else left
    if left != 0:
        return f"d = {d}: yhat keeps the variance {left}"
    for name, value, letter, order in (
        ("variance", limit(variance, s.N), s.M, claim.test_order),
        ("squared bias", (mean - wanted) ** 2, s.N, claim.training_order),
    ):
        rate = limit(value * letter**order, letter)
        told = "infinity" if rate is None else rate
        if rate is None or rate == 0:
            return f"d = {d}: the {name} times {letter}^{order} tends to {told}"
    return ""


def _evidence(claim: LimitClaim, *, noisy: bool = False, shifted: bool = False) -> Evidence:
    wrong = next(filter(None, (_wrong_limit(claim, d, noisy, shifted) for d in DIMENSIONS)), "")
    return Evidence(
        not wrong,
        Grade.PROVED,
        "mean and mean square of yhat given the query and the task, by pairings; limits of rational"
        " functions of N and M",
        f"every task, query and Lambda, d in {DIMENSIONS} (the weights show every d)",
        counterexample=wrong,
    )


_TOLERATED = LimitClaim(_same)

_SLOWER = {
    "of order 1/N": LimitClaim(_same, training_order=1),
    "of order 1/M^2": LimitClaim(_same, test_order=2),
    "without longer training prompts": LimitClaim(_same, lengths="M"),
    "without longer test prompts": LimitClaim(_same, lengths="N"),
    "1 % less": LimitClaim(lambda w, lam, noise, c: [v * 99 / 100 for v in w]),
}


@statement(
    id="zhang2024/section-4-2-task-shift",
    title="Any task, with noise, is tolerated",
    source="Section 4.2, 'Task shifts'",
    latex=r"y_i = \langle w, x_i\rangle + \varepsilon_i \Rightarrow \hat y_{\mathrm{query}} \approx"
    r" x_{\mathrm{query}}^\top w \text{ for every } w, \text{ for large } M, N",
    printed=_TOLERATED,
    mutants={
        "shrunk by the noise": LimitClaim(
            lambda w, lam, noise, c: [v * x / (x + noise) for v, x in zip(w, lam, strict=True)]
        ),
        "twice w": LimitClaim(lambda w, lam, noise, c: [2 * v for v in w]),
        **_SLOWER,
    },
    hypotheses=("noise of mean 0 and finite variance (printed: sub-Gaussian)",),
    depends_on=("zhang2024/theorem-5",),
)
def TASK_SHIFT(claim: LimitClaim, rng: np.random.Generator) -> Evidence:
    """Take w, the query and the variance of the noise as letters."""
    return _evidence(claim, noisy=True)


@statement(
    id="zhang2024/section-4-2-query-shift",
    title="Any query that is independent of the examples is tolerated",
    source="Section 4.2, 'Query shifts', eqs. (17) and (18)",
    latex=r"\hat y_{\mathrm{query}} \approx x_{\mathrm{query}}^\top \Lambda^{-1}\Lambda w ="
    r" x_{\mathrm{query}}^\top w \text{ for every } x_{\mathrm{query}}",
    printed=_TOLERATED,
    mutants={
        "Lambda w": LimitClaim(
            lambda w, lam, noise, c: [v * x for v, x in zip(w, lam, strict=True)]
        ),
        **_SLOWER,
    },
    hypotheses=("the query is independent of the examples", "y_i = w'x_i"),
    depends_on=("zhang2024/theorem-5",),
)
def QUERY_SHIFT(claim: LimitClaim, rng: np.random.Generator) -> Evidence:
    """Take the query as a letter: whatever its law, it is independent of the examples."""
    return _evidence(claim)


@statement(
    id="zhang2024/section-4-2-covariate-shift",
    title="Examples scaled by c make the prediction c^2 times too large",
    source="Section 4.2, 'Covariate shifts'",
    latex=r"x_i \to c\,x_i \Rightarrow \hat y_{\mathrm{query}} \approx c^2"
    r" x_{\mathrm{query}}^\top w",
    printed=LimitClaim(lambda w, lam, noise, c: [c**2 * v for v in w]),
    mutants={
        "c": LimitClaim(lambda w, lam, noise, c: [c * v for v in w]),
        "c^4": LimitClaim(lambda w, lam, noise, c: [c**4 * v for v in w]),
        "1/c^2": LimitClaim(lambda w, lam, noise, c: [v / c**2 for v in w]),
        "no change, as for least squares": LimitClaim(_same),
        "without longer training prompts": LimitClaim(
            lambda w, lam, noise, c: [c**2 * v for v in w], lengths="M"
        ),
    },
    hypotheses=("trained on N(0, Lambda), test examples from N(0, c^2 Lambda)", "y_i = w'x_i"),
    depends_on=("zhang2024/theorem-5",),
)
def COVARIATE_SHIFT(claim: LimitClaim, rng: np.random.Generator) -> Evidence:
    """Take c as a letter."""
    return _evidence(claim, shifted=True)


#: Whether the prediction is claimed to be zero for every task, from the eigenvalues of Gamma, the
#: examples and the query.
ZeroClaim = Callable[[Sequence[Fraction], Sequence[Sequence[int]], Sequence[int]], bool]


def _dot(a: Sequence[Any], b: Sequence[Any]) -> Any:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _mapped(gamma: Sequence[Fraction], query: Sequence[int], power: int) -> list[Fraction]:
    return [q / g**power for q, g in zip(query, gamma, strict=True)]


@statement(
    id="zhang2024/section-4-2-orthogonal-query",
    title="When a query that depends on the examples is answered with zero",
    source="Section 4.2, 'Query shifts', last sentence",
    latex=r"x_{\mathrm{query}} \perp \mathrm{span}(x_1, \dots, x_M) \Rightarrow"
    r" \hat y_{\mathrm{query}} = 0",
    printed=lambda gamma, examples, query: all(_dot(query, x) == 0 for x in examples),
    correction=Correction[ZeroClaim](
        lambda gamma, examples, query: all(
            _dot(_mapped(gamma, query, 1), x) == 0 for x in examples
        ),
        "The prediction is zero for every task if and only if Gamma^{-1} x_query, not x_query, is"
        " orthogonal to the examples: yhat = w'Sb/M with b = Gamma^{-1} x_query, S = sum x_i x_i',"
        " and Sb = 0 if and only if b'Sb = sum (b'x_i)^2 = 0. The printed sentence is right for"
        " all prompts only if Lambda is a multiple of the identity: for M = 1 it says that"
        " Gamma^{-1} x is parallel to x, for every x. Long training prompts, N = infinity, do not"
        " help: Gamma is Lambda there.",
        Fault.FALSE,
        latex=r"\Gamma^{-1} x_{\mathrm{query}} \perp \mathrm{span}(x_1, \dots, x_M) \iff"
        r" \hat y_{\mathrm{query}} = 0 \text{ for every } w",
    ),
    mutants={
        "Gamma x_query": lambda gamma, examples, query: all(
            _dot(_mapped(gamma, query, -1), x) == 0 for x in examples
        ),
        "Gamma^{-2} x_query": lambda gamma, examples, query: all(
            _dot(_mapped(gamma, query, 2), x) == 0 for x in examples
        ),
        "orthogonal to the mean example": lambda gamma, examples, query: (
            sum(_dot(_mapped(gamma, query, 1), x) for x in examples) == 0
        ),
        "orthogonal to the first example": lambda gamma, examples, query: (
            _dot(_mapped(gamma, query, 1), examples[0]) == 0
        ),
        "never, but for a query 0": lambda gamma, examples, query: not any(query),
    },
    hypotheses=("y_i = w'x_i, for every w",),
)
def ORTHOGONAL_QUERY(claim: ZeroClaim, rng: np.random.Generator) -> Evidence:
    """Go through small integer prompts in fractions: whether yhat is 0 for w = e_1, ..., e_d."""
    # The first place with N finite, and with N = infinity (1/N = 0).
    wrong: dict[bool, str] = {}
    tried = 0
    for lam, N, examples, query in _small_prompts():
        tried += 1
        inverse = Fraction(1, N) if N else Fraction(0)
        gamma = [x + (x + sum(lam)) * inverse for x in lam]
        b = _mapped(gamma, query, 1)
        answers = [
            sum(_dot(b, x) * x[i] for x in examples) / len(examples) for i in range(len(lam))
        ]
        if (N is None) not in wrong and claim(gamma, examples, query) != (not any(answers)):
            prediction = " + ".join(f"({a}) w_{i}" for i, a in enumerate(answers, 1) if a)
            named = ", ".join(f"x_{i} = {_point(x)}" for i, x in enumerate(examples, 1))
            wrong[N is None] = (
                f"Lambda = diag{_point(lam)}, N = {N or 'infinity'}, Gamma = diag{_point(gamma)},"
                f" {named}, x_query = {_point(query)}: yhat = {prediction or '0 for every w'}"
            )
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "the prediction in fractions against the condition; the proof for all is in the correction",
        f"{tried} prompts, d = 1 and 2, entries from -1 to 2, M = 1 and 2, Lambda = I and not,"
        " N = 1, 3 and infinity",
        counterexample="; and ".join(wrong[infinite] for infinite in sorted(wrong)),
    )


def _point(entries: Sequence[Any]) -> str:
    return f"({', '.join(map(str, entries))})"


def _small_prompts() -> Iterator[tuple[tuple[int, ...], int | None, Any, Any]]:
    """Yield the eigenvalues of Lambda, N (None if it is infinite), the examples and the query."""
    entries = (1, -1, 0, 2)
    points = list(product(entries, repeat=2))
    for lam, N, x, query in product(((1, 1), (1, 2)), (1, None), points, points):
        yield lam, N, (x,), query
    few = ((1, 1), (1, -1), (1, 0), (0, 1), (-1, 1))
    for x, other, query in product(few, repeat=3):
        yield (1, 2), 3, (x, other), query
        yield (1, 2), None, (x, other), query
    # Gamma = diag(5, 7) for Lambda = diag(1, 2) and N = 1.
    for x in points:
        yield (1, 2), 1, (x,), (5 * x[1], -7 * x[0])
        yield (1, 2), None, (x,), (x[1], -2 * x[0])
    for example, asked in product(entries, repeat=2):
        yield (1,), 1, ((example,),), (asked,)


@dataclass(frozen=True)
class RobustClaim:
    """Noiseless prompts are answered by w'x_query for every c if M >= d + ``spare``."""

    predictor: Callable[[int], Predictor]
    spare: int = 0


#: The error of a robust answer, relative to |w| |x_query| and the condition number.
ROUNDING = 1e-13


def _layer(d: int) -> Predictor:
    U, u = FlowProblem.fixed(np.eye(d), 1000).limit()
    return LinearAttention.from_blocks(np.zeros(d), np.zeros(d), U, u)


@statement(
    id="zhang2024/section-4-2-least-squares",
    title="Least squares is robust to the scale of the covariates, and the layer is not",
    source="Section 4.2, 'Covariate shifts': 'ordinary least squares is robust to scaling'",
    latex=r"x \to c\,x \Rightarrow \hat y_{\mathrm{OLS}} = \langle w, x_{\mathrm{query}}\rangle",
    printed=RobustClaim(lambda d: LeastSquares()),
    mutants={
        "the layer": RobustClaim(_layer),
        "ridge": RobustClaim(lambda d: Ridge(0.01)),
        "with d - 1 examples": RobustClaim(lambda d: LeastSquares(), spare=-1),
    },
    hypotheses=("y_i = w'x_i without noise, M >= d", "all covariates are scaled"),
    depends_on=("zhang2024/section-4-2-covariate-shift",),
)
def LEAST_SQUARES(claim: RobustClaim, rng: np.random.Generator) -> Evidence:
    """Scale prompts by 1/10 to 10."""
    worst, wrong = 0.0, ""
    for d, more, c in product((2, 4), (0, 3), (0.1, 0.5, 1.0, 3.0, 10.0)):
        M = d + more + claim.spare
        xs, w = c * rng.standard_normal((50, M + 1, d)), rng.standard_normal((50, d))
        labels = np.einsum("bkd,bd->bk", xs, w)
        found = claim.predictor(d).predict(PromptBatch(xs, labels[:, :-1]))
        sizes = np.linalg.norm(w, axis=1) * np.linalg.norm(xs[:, -1], axis=1)
        errors = np.abs(found - labels[:, -1]) / sizes / np.linalg.cond(xs[:, :-1])
        worst = max(worst, float(np.max(errors)))
        if not wrong and not np.max(errors) <= ROUNDING:
            b = int(np.argmax(errors))
            wrong = f"d = {d}, c = {c}: the answer is {found[b]:.4g}, w'x is {labels[b, -1]:.4g}"
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "largest error over 50 prompts, relative to |w| |x_query| and the condition number",
        "d = 2 and 4, M = d and d + 3, c from 1/10 to 10",
        worst,
        ROUNDING,
        wrong,
    )


STATEMENTS = (TASK_SHIFT, QUERY_SHIFT, ORTHOGONAL_QUERY, COVARIATE_SHIFT, LEAST_SQUARES)
