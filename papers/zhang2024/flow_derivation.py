r"""Lemma 14 and eqs. (31) to (40): the proof of Lemma 10, display by display, in coordinates.

`papers.zhang2024.dynamics` derives the flow by words of matrices, for every d and N. Here the
paper's own route is taken: H, u and their products have a symbol for every entry, and expectations
are taken monomial by monomial (`theory.moments.coordinate`), which shares no code with the words.

The factors 2 of eq. (31) are not legible in our scan; D and "2 [E ...]" in Steps two, four and five
have them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
from sympy import QQ

from papers.ledger import Correction, Evidence, Fault, Grade, statement
from papers.zhang2024.letters import disagreement
from papers.zhang2024.symbolic_prompt import SymbolicPrompt, array, vec
from theory.moments.algebra import Matrix, identity, symmetric, vector
from theory.moments.expression import Expression, scalar
from theory.moments.wick import expectation

#: (d, N) of polynomial identities, and of those with a square.
SIZES = ((1, 1), (1, 2), (2, 1), (2, 2))
AVERAGED = ((1, 1), (1, 2), (2, 1))

#: What one display says, as arrays of polynomials.
Display = Callable[[SymbolicPrompt], Any]


def _evidence(wrong: str, comparison: str, scope: str) -> Evidence:
    return Evidence(not wrong, Grade.PROVED, comparison, scope, counterexample=wrong)


@dataclass(frozen=True)
class GradientClaim:
    """du/dt = -curved E<H, uu'> H u + pull E(w'x) H u; `symmetric` says whether H is."""

    curved: int
    pull: int
    symmetric: bool = True


@statement(
    id="zhang2024/eq-31",
    title="The gradient of the loss by u",
    source="Appendix A.2, eq. (31); scan ambiguous: no factor 2 is legible before either term",
    latex=r"\dot u = -\mathbb{E}\left(\langle H_\tau, uu^\top\rangle H_\tau\right)u"
    r" + \mathbb{E}\left(w_\tau^\top x_{\tau,\mathrm{query}} H_\tau\right)u",
    printed=GradientClaim(1, 1),
    correction=Correction(
        GradientClaim(2, 2),
        "Both terms have the factor 2 of d(u'Hu)/du = 2Hu. Steps two (D = 2E...), four and five"
        " (2[E...]) compute with it; without it time would run half as fast.",
        Fault.AMBIGUOUS,
        latex=r"\dot u = -2\,\mathbb{E}\left(\langle H_\tau, uu^\top\rangle H_\tau\right)u"
        r" + 2\,\mathbb{E}\left(w_\tau^\top x_{\tau,\mathrm{query}} H_\tau\right)u",
    ),
    mutants={
        "2 before the first term only": GradientClaim(2, 1),
        "2 before the second term only": GradientClaim(1, 2),
        "plus the first term": GradientClaim(-2, 2),
        "minus the second term": GradientClaim(2, -2),
        "H with one block only, not symmetric": GradientClaim(2, 2, symmetric=False),
    },
    hypotheses=("H is symmetric",),
    depends_on=("zhang2024/lemma-9", "zhang2024/lemma-29"),
)
def EQ_31(claim: GradientClaim, rng: np.random.Generator) -> Evidence:
    """Differentiate 1/2 (yhat - w'x)^2 by every entry of u, before any expectation."""
    wrong = ""
    for d, N in AVERAGED:
        s = SymbolicPrompt(d, N, plane=False)
        target, H = s.query @ s.task, s.H if claim.symmetric else np.kron(np.triu(s.X), s.gram)
        loss = (s.prediction() - target) ** 2 / 2
        slope = array((-loss.diff(entry) for entry in s.u), s.u.shape)
        Hu = H @ s.u
        claimed = Hu * (target * claim.pull - (s.u @ Hu) * claim.curved)
        wrong = wrong or _wrong_slope(s, slope, claimed)
    return _evidence(
        wrong,
        "minus the derivatives of 1/2 (yhat - w'x)^2 as polynomials, before any expectation",
        f"(d, N) in {AVERAGED}, all prompts, tasks and weights",
    )


def _wrong_slope(s: SymbolicPrompt, slope: Any, claimed: Any) -> str:
    """Say where they differ: at a U of zeros and ones, if they do there, few ones first."""
    if not any(slope - claimed):
        return ""
    entries = list(s.ring.gens[-s.U.size :])
    ones = [(z, 1) for z in s.ring.gens[: -s.U.size]]
    for values in sorted(product((0, 1), repeat=len(entries)), key=sum):
        at = [*ones, *zip(entries, values, strict=True)]
        for place, pair in enumerate(zip(slope, claimed, strict=True)):
            found, told = (polynomial.evaluate(at) for polynomial in pair)
            if found != told:
                column, row = divmod(place, s.d + 1)
                rows = [values[i : i + s.d + 1] for i in range(0, len(values), s.d + 1)]
                U = "; ".join(" ".join(map(str, entry)) for entry in rows)
                where = (
                    "w = x_1 = x_query = 1" if s.d == s.N == 1 else "all letters of the prompt 1"
                )
                return (
                    f"d = {s.d}, N = {s.N}, {where}, U = [{U}]: minus the derivative by"
                    f" U_{row + 1}{column + 1} is {found}, not {told}"
                )
    return s.difference("minus the derivative by u", slope, claimed)


def _gram(s: SymbolicPrompt, *, own: Any = 1, labels: Any = 1) -> Any:
    """E E'/N by hat Lambda; the arguments after the prompt are for the mutants."""
    hat, w = s.sample_covariance, s.task
    corner = hat + np.multiply.outer(s.query, s.query) * own / s.N
    column = (hat @ w)[:, None]
    last = (hat @ w)[None] @ w[:, None] * labels
    return np.block([[corner, column], [column.T, last]])


@statement(
    id="zhang2024/eq-32",
    title="E E'/N by the covariance of the examples",
    source="Appendix A.2, Step one, eq. (32) and the display below it",
    latex=r"\frac{E_\tau E_\tau^\top}{N} = \begin{pmatrix} \hat\Lambda + \frac1N"
    r" x_{\mathrm{query}}x_{\mathrm{query}}^\top & \hat\Lambda w \\ w^\top\hat\Lambda &"
    r" w^\top\hat\Lambda w\end{pmatrix},\ \hat\Lambda = \frac1N\sum_{i=1}^N x_ix_i^\top",
    printed=_gram,
    mutants={
        "without the query": lambda s: _gram(s, own=0),
        "the query without 1/N": lambda s: _gram(s, own=s.N) if s.N > 1 else _gram(s, own=2),
        "w' hat Lambda w twice": lambda s: _gram(s, labels=2),
        "1 % more of the query": lambda s: _gram(s, own=QQ(101, 100)),
    },
    hypotheses=("y_i = w'x_i, and no label for the query",),
    depends_on=("zhang2024/eq-3",),
)
def EQ_32(claim: Display, rng: np.random.Generator) -> Evidence:
    """Multiply E E' out; the mean of hat Lambda is Lambda."""
    wrong = ""
    for d, N in SIZES:
        s = SymbolicPrompt(d, N, plane=False)
        wrong = wrong or s.difference("E E'/N", s.gram, claim(s))
        mean = s.mean(s.sample_covariance)
        wrong = wrong or s.difference("E hat Lambda", mean, s.covariance)
    return _evidence(
        wrong, "polynomials in x and w; E hat Lambda = Lambda", f"(d, N) in {SIZES}, all prompts"
    )


def _drive(s: SymbolicPrompt, V: Callable[[Any, int], Any] | None = None, rows: str = "all") -> Any:
    """1/2 [[0, A], [A', 0]] with A of the blocks V_j + V_j', eqs. (33) and (34)."""
    lam, d = s.covariance, s.d
    column = V or (lambda lam, j: lam @ lam[:, j])
    blocks = []
    for j in range(d):
        block = np.full((d + 1, d + 1), s.ring.zero, dtype=object)
        block[:-1, -1] = column(lam, j)
        blocks.append(block + block.T)
    A = np.vstack(blocks) if rows == "all" else sum(blocks)
    square = [np.full((n, n), s.ring.zero, dtype=object) for n in A.shape]
    return np.block([[square[0], A], [A.T, square[1]]]) / 2


@statement(
    id="zhang2024/eq-33",
    title="The mean of the label times H",
    source="Appendix A.2, Step one, eqs. (33) and (34); scan ambiguous: the shape of A is not"
    " legible; d(d + 1) x (d + 1) is read, (d + 1) x (d + 1) is a mutant",
    latex=r"\mathbb{E}\left[w^\top x_{\mathrm{query}} H\right] = \tfrac12\begin{pmatrix} 0 & A \\"
    r" A^\top & 0\end{pmatrix},\ A = \begin{pmatrix} V_1 + V_1^\top \\ \vdots \\ V_d + V_d^\top"
    r"\end{pmatrix},\ V_j = \begin{pmatrix} 0 & \Lambda\Lambda_j \\ 0 & 0\end{pmatrix}",
    printed=_drive,
    mutants={
        "A of shape (d + 1) x (d + 1), the sum of the blocks": lambda s: _drive(s, rows="one"),
        "Lambda_j alone": lambda s: _drive(s, lambda lam, j: lam[:, j]),
        "Lambda_jj Lambda_j": lambda s: _drive(s, lambda lam, j: lam[:, j] * lam[j, j]),
        "without the half": lambda s: 2 * _drive(s),
        "minus A": lambda s: -_drive(s),
        "1 % more": lambda s: _drive(s) * QQ(101, 100),
    },
    hypotheses=("w ~ N(0, I)", "x ~ N(0, Lambda), the query independent of the examples"),
    depends_on=("zhang2024/eq-32",),
)
def EQ_33(claim: Display, rng: np.random.Generator) -> Evidence:
    """Take the expectation of every entry of w'x H."""
    wrong = ""
    for d, N in SIZES:
        s = SymbolicPrompt(d, N, plane=True)
        mean = s.mean(s.H * (s.query @ s.task))
        wrong = wrong or s.difference("E[w'x H]", mean, claim(s))
    return _evidence(
        wrong,
        "the expectation of every entry, monomial by monomial",
        f"(d, N) in {SIZES}, every Lambda",
    )


@dataclass(frozen=True)
class ProductEntries:
    """The four kinds of entries (35) of Z U X, and the factor of (<U, ZUX>) Vec(ZUX)."""

    keyed: Display
    labelled: Display
    last_row: Display
    corner: Display
    half: int = 2
    plane: bool = True

    def matrix(self, s: SymbolicPrompt) -> Any:
        """Return Z U X."""
        blocks = [
            [self.labelled(s), self.keyed(s)[:, None]],
            [self.last_row(s)[None], np.array([[self.corner(s)]], dtype=object)],
        ]
        return np.block(blocks)


def _keyed(s: SymbolicPrompt, own: int = 1) -> Any:
    corner = s.sample_covariance + np.multiply.outer(s.query, s.query) * own / s.N
    return corner @ s.U[:-1, :-1] @ s.query


_EQ_35 = ProductEntries(
    keyed=_keyed,
    labelled=lambda s: np.multiply.outer(s.sample_covariance @ s.task, s.query) * s.U[-1, -1],
    last_row=lambda s: s.query * (s.task @ s.sample_covariance @ s.task * s.U[-1, -1]),
    corner=lambda s: s.task @ s.sample_covariance @ s.U[:-1, :-1] @ s.query,
)


@statement(
    id="zhang2024/eq-35",
    title="The entries of Z U X, and D by them",
    source="Appendix A.2, Step two, and Step three, eqs. (35), (36) and (39)",
    latex=r"2\langle H, uu^\top\rangle Hu = \tfrac12\sum_{ij}\left((ZUX)_{ij}U_{ij}\right)"
    r"\mathrm{Vec}(ZUX),\ Z = \tfrac{EE^\top}{N},\quad ZUX = \begin{pmatrix} \hat\Lambda w\,u_{-1}"
    r" x^\top & (\hat\Lambda + \frac1N xx^\top)U_{11}x \\ w^\top\hat\Lambda w\,u_{-1}x^\top &"
    r" w^\top\hat\Lambda U_{11}x\end{pmatrix}",
    printed=_EQ_35,
    mutants={
        "without the query's own part": replace(_EQ_35, keyed=lambda s: _keyed(s, 0)),
        "the query's own part in the last entry too": replace(
            _EQ_35, corner=lambda s: s.task @ _keyed(s)
        ),
        "U_11 transposed": replace(
            _EQ_35, corner=lambda s: s.task @ s.sample_covariance @ s.U[:-1, :-1].T @ s.query
        ),
        "w' hat Lambda in the last row": replace(
            _EQ_35, last_row=lambda s: s.sample_covariance @ s.task * s.U[-1, -1]
        ),
        "without the half of D": replace(_EQ_35, half=1),
        "a quarter, not a half": replace(_EQ_35, half=4),
        "u_12 and u_21 need not be zero": replace(_EQ_35, plane=False),
    },
    hypotheses=("u_12 = u_21 = 0",),
    depends_on=("zhang2024/eq-32", "zhang2024/lemma-29"),
)
def EQ_35(claim: ProductEntries, rng: np.random.Generator) -> Evidence:
    """Multiply Z U X out, then both sides of the chain in Step two, before the expectation."""
    wrong = ""
    for d, N in SIZES:
        s = SymbolicPrompt(d, N, plane=claim.plane)
        found = s.gram @ s.U @ s.X
        wrong = wrong or s.difference("ZUX", found, claim.matrix(s))
        Hu = s.H @ s.u
        wrong = wrong or s.difference("Vec(ZUX) = 2 Hu", vec(found), 2 * Hu)
        # Both sides of the chain are multiples of Hu.
        factor = [2 * (s.u @ Hu)], [2 * np.sum(found * s.U) / claim.half]
        wrong = wrong or s.difference("the factor of Hu in 2 <H, uu'> Hu", *factor)
    return _evidence(
        wrong,
        "polynomials in x, w and the weights, before any expectation",
        f"(d, N) in {SIZES}, all prompts, tasks and weights",
    )


#: E hat Lambda^2 from Lambda, 1/N and I.
SquareClaim = Callable[[Matrix, Expression, Matrix], Matrix]


def _gamma_lambda(L: Matrix, a: Expression, eye: Matrix, trace: Any = 1) -> Matrix:
    gamma: Matrix = L * (1 + a) + eye * (L.trace() * a * trace)
    return gamma @ L


@statement(
    id="zhang2024/eq-37",
    title="The mean of the square of the examples' covariance is Gamma Lambda",
    source="Appendix A.2, Step four, the display before eq. (37), and (37)",
    latex=r"\mathbb{E}\hat\Lambda^2 = \tfrac{N-1}{N}\Lambda^2 + \tfrac1N\left(2\Lambda^2 +"
    r"\mathrm{tr}(\Lambda)\Lambda\right) = \Gamma\Lambda,\ \Gamma = \tfrac{N+1}{N}\Lambda"
    r" + \tfrac1N\mathrm{tr}(\Lambda)I",
    printed=_gamma_lambda,
    mutants={
        "the square of the mean": lambda L, a, eye: L @ L,
        "Gamma without its trace": lambda L, a, eye: _gamma_lambda(L, a, eye, 0),
        "(N - 1)/N in Gamma": lambda L, a, eye: _gamma_lambda(L, a, eye) - L @ L * (2 * a),
        "(N + 2)/N in Gamma": lambda L, a, eye: _gamma_lambda(L, a, eye) + L @ L * a,
        "1 % more trace": lambda L, a, eye: _gamma_lambda(L, a, eye, Fraction(101, 100)),
    },
    hypotheses=("x_1, ..., x_N ~ N(0, Lambda) independent",),
    depends_on=("zhang2024/lemma-30",),
)
def EQ_37(claim: SquareClaim, rng: np.random.Generator) -> Evidence:
    """Square hat Lambda: each of the N examples meets itself once, and N - 1 others."""
    L, a = symmetric("Lambda"), scalar("1/N")
    left, right, x, z = (vector(name) for name in ("a", "b", "x", "z"))
    same = (left @ x) * (x @ x) * (x @ right)
    other = (left @ x) * (x @ z) * (z @ right)
    found = expectation(same * a + other * (1 - a), {"x": L, "z": L})
    wrong = disagreement(found, left @ claim(L, a, identity()) @ right, rng)
    return _evidence(wrong, "pairings, in words of matrices", "every d, N and Lambda")


STATEMENTS = (EQ_31, EQ_32, EQ_33, EQ_35, EQ_37)
