r"""The exact risk of a linear layer when tasks, noise, covariates and query all shift, for any M.

Zhang et al. discuss shifts in the limit of long prompts (Section 4.2). For yhat = x_query'A g,
g = (1/M) sum_i y_i x_i, everything is exact for every M and every A. One consequence: what a layer
trained with prompts of length N answers without bias is not the covariance Lambda of its training,
but Gamma = Lambda + (Lambda + tr(Lambda) I)/N.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import sympy
from sympy.polys.fields import field

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.letters import disagreement
from theory.gradient_flow import FlowProblem
from theory.moments.algebra import Matrix, identity, matrix, symmetric, vector
from theory.moments.evaluation import evaluate
from theory.moments.expression import Expression, scalar
from theory.moments.wick import expectation
from theory.risk import shifted_risk

#: Of the library against the claim, relative to the risk.
TOLERANCE = 1e-10

#: How many random problems the library is tried on.
PROBLEMS = 10

#: Where there are letters for the eigenvalues.
DIMENSIONS = (1, 2, 3)


class Shift(NamedTuple):
    """The letters: A, covariance L of the examples, tasks S, query Q, noise f, and r = 1/M."""

    A: Matrix
    L: Matrix
    S: Matrix
    Q: Matrix
    f: Expression
    r: Expression


LETTERS = Shift(
    matrix("A"), symmetric("L"), symmetric("S"), symmetric("Q"), scalar("f"), scalar("1/M")
)

#: Floor, variance and bias.
RiskClaim = Callable[[Shift], tuple[Expression, Expression, Expression]]


def _risk(s: Shift) -> tuple[Expression, Expression, Expression]:
    c = (s.S @ s.L).trace() + s.f
    spread = s.L @ s.S @ s.L + s.L * c
    gap = s.A @ s.L - identity()
    return (
        s.f,
        s.r * (s.A.T @ s.Q @ s.A @ spread).trace(),
        (s.Q @ gap @ s.S @ gap.T).trace(),
    )


def derive_risk() -> Expression:
    """Return E(x'A g - w'x - e)^2 by pairings, for every d, M and every law of these moments.

    Examples N(0, L), tasks w ~ N(0, S), query x ~ N(0, Q), noise of variance f on all labels.
    """
    A, L, S, Q, f, r = LETTERS
    x, w = vector("x"), vector("w")
    # Each of the M examples meets itself once and M - 1 others: r = 1/M.
    one, other = (
        (x @ A @ vector(z)) * (vector(z) @ w + scalar(e)) for z, e in (("x1", "e1"), ("x2", "e2"))
    )
    label = x @ w + scalar("e")
    laws: dict[str, Matrix | Expression] = {
        "x1": L,
        "x2": L,
        "e1": f,
        "e2": f,
        "e": f,
        "w": S,
        "x": Q,
    }
    return expectation(r * one**2 + (1 - r) * one * other - 2 * one * label + label**2, laws)


def _changed(**letters: Any) -> RiskClaim:
    """Return the claim with other letters in place of some."""
    return lambda s: _risk(s._replace(**letters))


def _part(index: int, change: Callable[[Shift, Expression], Expression]) -> RiskClaim:
    """Return the claim with one part changed."""

    def claim(s: Shift) -> tuple[Expression, Expression, Expression]:
        parts = list(_risk(s))
        parts[index] = change(s, parts[index])
        return parts[0], parts[1], parts[2]

    return claim


@statement(
    id="beyond/risk-under-shift",
    title="The exact risk under shifts of tasks, noise, covariates and query",
    source="ours; zhang2024, Section 4.2, has limits of long prompts",
    latex=r"\mathbf{E}(\hat y - y)^2 = s^2 + \tfrac1M\mathrm{tr}[A^\top Q A(\Lambda' S \Lambda' +"
    r" (\mathrm{tr}(S\Lambda') + s^2)\Lambda')]"
    r" + \mathrm{tr}[Q(A\Lambda' - I)S(A\Lambda' - I)^\top]",
    printed=_risk,
    beyond=True,
    mutants={
        "the noise left out of the variance": _part(
            1, lambda s, part: part - s.r * s.f * (s.A.T @ s.Q @ s.A @ s.L).trace()
        ),
        "L S L twice": _part(
            1, lambda s, part: part + s.r * (s.A.T @ s.Q @ s.A @ s.L @ s.S @ s.L).trace()
        ),
        "A' for A in the bias": _part(
            2,
            lambda s, part: (
                s.Q @ (s.A.T @ s.L - identity()) @ s.S @ (s.L @ s.A - identity())
            ).trace(),
        ),
        "A' for A in the variance": _part(1, lambda s, part: _risk(s._replace(A=s.A.T))[1]),
        "the query with the covariance of the examples": _changed(Q=LETTERS.L),
        "tasks of covariance I": _changed(S=identity()),
        "1/M^2": _part(1, lambda s, part: s.r * part),
        "1 % more bias": _part(2, lambda s, part: part * 101 / 100),
    },
    hypotheses=(
        "examples N(0, Lambda'), labels w'x + noise of variance s^2, E ww' = S",
        "the query is independent of the examples and the task, E xx' = Q",
    ),
    depends_on=("zhang2024/theorem-5",),
)
def RISK(claim: RiskClaim, rng: np.random.Generator) -> Evidence:
    """Derive it by pairings, and compare the library with the claim."""
    wrong = disagreement(derive_risk(), sum(claim(LETTERS), Expression({})), rng)
    error = 0.0
    for _ in range(0 if wrong else PROBLEMS):
        error = max(error, _library_error(claim, rng))
    if not wrong and not error <= TOLERANCE:
        wrong = f"theory.risk.shifted_risk differs from the claim by {error:.3g} relative"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the mean square of the error by pairings; then the parts of theory.risk.shifted_risk",
        f"every d, M and all matrices; the library at {PROBLEMS} random problems with d <= 5",
        error,
        TOLERANCE,
        wrong,
    )


def _library_error(claim: RiskClaim, rng: np.random.Generator) -> float:
    d, M = (int(n) for n in rng.integers(1, 6, 2))
    A, *roots = rng.standard_normal((4, d, d))
    L, S, Q = (root @ root.T for root in roots)
    s = float(rng.uniform(0, 2))
    found = shifted_risk(A, L + np.eye(d), S, s, M, query_covariance=Q)
    values = {"A": A, "L": L + np.eye(d), "S": S, "Q": Q, "f": s**2, "1/M": 1 / M, "d": d}
    values |= {name: (values[name] + values[name].T) / 2 for name in "LSQ"}
    parts = [float(evaluate(part, values)) for part in claim(LETTERS)]
    return float(np.max(np.abs(np.subtract(found, parts))) / found.total)


#: Lambda' from Lambda and N, in fractions or letters.
CovarianceClaim = Callable[[Sequence[Any], Any], Sequence[Any]]


def _gamma(lam: Sequence[Any], N: Any) -> Sequence[Any]:
    return [x + (x + sum(lam)) / N for x in lam]


@statement(
    id="beyond/unbiased-covariance",
    title="The covariance that a trained layer answers without bias is Gamma",
    source="ours; zhang2024, Section 4.2, has the limit N -> infinity, where it is Lambda",
    latex=r"\text{bias} = 0 \iff \Lambda' = \Gamma = \Lambda + \tfrac1N(\Lambda + \mathrm{tr}"
    r"(\Lambda) I)",
    printed=_gamma,
    beyond=True,
    mutants={
        "Lambda": lambda lam, N: list(lam),
        "(1 + 1/N) Lambda": lambda lam, N: [x + x / N for x in lam],
        "Lambda + tr(Lambda) I/N": lambda lam, N: [x + sum(lam) / N for x in lam],
        "Gamma for N + 1": lambda lam, N: _gamma(lam, N + 1),
        "1 % more": lambda lam, N: [x * 101 / 100 for x in _gamma(lam, N)],
        "Gamma for N = 1, 2 and 50 only": lambda lam, N: [
            x * (1 + (N - 1) * (N - 2) * (N - 50)) for x in _gamma(lam, N)
        ],
    },
    hypotheses=("A = Gamma^{-1}, the limit of training", "Q and S are positive definite"),
    depends_on=("beyond/risk-under-shift",),
)
def UNBIASED(claim: CovarianceClaim, rng: np.random.Generator) -> Evidence:
    """Put the claim into the bias: it is |Q^{1/2} (A Lambda' - I) S^{1/2}|^2."""
    wrong, worst = "", 0.0
    bias = _risk(LETTERS)[2]
    for lam in ((1,), (1, 1), (1, 2), (3, 1, 7)):
        for N in (1, 2, 50):
            eigenvalues = [Fraction(x) for x in lam]
            test = np.diag(np.array(claim(eigenvalues, N)))
            exact = _bias_at(bias, eigenvalues, N, claim)
            trained = FlowProblem.fixed(np.diag(np.array(lam, float)), N).minimiser
            one = np.eye(len(lam))
            found = shifted_risk(trained, test.astype(float), one, 0.0, 1, query_covariance=one)
            worst = max(worst, found.bias / len(lam))
            if not wrong and not (exact == 0 and worst <= TOLERANCE):
                wrong = (
                    f"Lambda = diag{lam}, N = {N}, Lambda' = {np.diag(test).astype(float)},"
                    f" Q = S = I: the bias is {float(exact):.4g} (theory.risk: {found.bias:.4g})"
                )
    for d in () if wrong else DIMENSIONS:
        (_, *gens) = field([*(f"l{i}" for i in range(d)), "N"], sympy.QQ)
        if not wrong and (exact := _bias_at(bias, gens[:-1], gens[-1], claim)) != 0:
            wrong = f"d = {d}, Q = S = I, letters for Lambda and N: the bias is {exact}, not 0"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the bias of the formula as a rational function of Lambda and N, which is 0; in fractions,"
        " and theory.risk.shifted_risk",
        f"every diagonal Lambda and N, d in {DIMENSIONS}; the library for N = 1, 2, 50; no other"
        " Lambda': A Lambda' = I only for A^{-1}",
        worst,
        TOLERANCE,
        wrong,
    )


def _bias_at(bias: Expression, lam: Sequence[Any], N: Any, claim: CovarianceClaim) -> Any:
    """Evaluate the bias for Q = S = I at the claim; the arithmetic is that of Lambda and N."""
    d, zero = len(lam), 0 * lam[0]
    values: dict[str, Any] = {"d": d}
    for name, entries in (
        ("A", [1 / g for g in _gamma(lam, N)]),
        ("L", claim(lam, N)),
        ("S", [zero + 1] * d),
        ("Q", [zero + 1] * d),
    ):
        values[name] = np.full((d, d), zero, dtype=object)
        values[name][np.diag_indices(d)] = entries
    return evaluate(bias, values)


class ScaledRisk(NamedTuple):
    """The risk over tr(Lambda) in the limit of long prompts, and from where zero is better."""

    factor: Callable[[Any], Any]
    square: Fraction


@statement(
    id="beyond/scaled-covariates",
    title="All covariates scaled by c: the risk, and where answering zero is better",
    source="ours; zhang2024, Section 4.2, 'Covariate shifts', has the prediction",
    latex=r"N, M \to \infty,\ x \to cx:\quad \mathbf{E}(\hat y - y)^2 = c^2(c^2 - 1)^2"
    r" \mathrm{tr}\Lambda > c^2\mathrm{tr}\Lambda \iff c^2 > 2",
    printed=ScaledRisk(lambda c: c**2 * (c**2 - 1) ** 2, Fraction(2)),
    beyond=True,
    mutants={
        "(c^2 - 1)^2": ScaledRisk(lambda c: (c**2 - 1) ** 2, Fraction(2)),
        "c^2 (c - 1)^2": ScaledRisk(lambda c: c**2 * (c - 1) ** 2, Fraction(2)),
        "c^2 (c^2 + 1)^2": ScaledRisk(lambda c: c**2 * (c**2 + 1) ** 2, Fraction(2)),
        "from c^2 = 4 on": ScaledRisk(lambda c: c**2 * (c**2 - 1) ** 2, Fraction(4)),
        "from c^2 = 2.02 on": ScaledRisk(lambda c: c**2 * (c**2 - 1) ** 2, Fraction(101, 50)),
    },
    hypotheses=("w ~ N(0, I), no noise", "query and examples are scaled"),
    depends_on=("beyond/risk-under-shift", "zhang2024/section-4-2-covariate-shift"),
)
def SCALED(claim: ScaledRisk, rng: np.random.Generator) -> Evidence:
    """Evaluate the formula at A = Lambda^{-1}, 1/M = 0, with letters for the eigenvalues and c."""
    wrong = ""
    for d in DIMENSIONS:
        (rationals, *gens) = field([*(f"l{i}" for i in range(d)), "c"], sympy.QQ)
        *lam, c = gens
        values: dict[str, Any] = {"f": 0, "1/M": 0, "d": d}
        for name, entries in (
            ("A", [1 / x for x in lam]),
            ("L", [c**2 * x for x in lam]),
            ("Q", [c**2 * x for x in lam]),
            ("S", [rationals.one] * d),
        ):
            values[name] = np.full((d, d), rationals.zero, dtype=object)
            values[name][np.diag_indices(d)] = entries
        found = evaluate(derive_risk(), values)
        if not wrong and found != claim.factor(c) * sum(lam):
            wrong = f"d = {d}: the risk is {found}, and the claim says {claim.factor(c) * sum(lam)}"
    # At the edge the layer is as good as zero.
    edge = claim.square
    if not wrong and (edge - 1) ** 2 != 1:
        wrong = f"c^2 = {edge}: the risk is {edge * (edge - 1) ** 2} tr, that of zero {edge} tr"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the risk by pairings with A = Lambda^{-1} and 1/M = 0, as a polynomial",
        f"d in {DIMENSIONS}, every Lambda and c",
        counterexample=wrong,
    )


STATEMENTS = (RISK, UNBIASED, SCALED)
