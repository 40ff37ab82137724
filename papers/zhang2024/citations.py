r"""Slips of the proofs that change no result: what is cited, or written, is not what is used.

A cited lemma is what it is about and what it says of it; a step stands on it if it follows for all
that the lemma is about. Lemma 29 has no hypothesis on signs, so that nothing on signs can follow.
"""

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from papers.ledger import Correction, Evidence, Fault, Grade, statement
from papers.zhang2024.letters import disagreement
from theory.moments.algebra import Matrix, matrix, symmetric
from theory.moments.expression import Expression, scalar

#: Which pairs A, B a lemma is about.
Premise = Callable[[Any, Any], bool]


def _semidefinite(A: Any) -> bool:
    """Of a symmetric 2 x 2 matrix."""
    return bool(A[0, 0] >= 0 and A[1, 1] >= 0 and A[0, 0] * A[1, 1] >= A[0, 1] ** 2)


@statement(
    id="zhang2024/lemma-27-citation",
    title="That Gamma_tau Lambda_tau >= 0, and that a trace is >= 0, follows from Lemma 32",
    source="Appendix C.3, proof of Lemma 27, 'almost surely from Lemma 29', twice; the proof of"
    " Lemma 19 has Lemma 32 in both places",
    latex=r"\Gamma_\tau\Lambda_\tau = \Lambda_\tau\Gamma_\tau \Rightarrow \Gamma_\tau\Lambda_\tau"
    r" \succeq 0,\ U_{11}\Lambda_\tau U_{11}^\top \succeq 0 \Rightarrow \mathrm{tr}[\tfrac12"
    r" u_{-1}^2\Gamma_\tau\Lambda_\tau U_{11}\Lambda_\tau U_{11}^\top] \ge 0"
    r"\quad\text{(Lemma 29)}",
    printed=lambda A, B: True,
    correction=Correction[Premise](
        lambda A, B: _semidefinite(A) and _semidefinite(B),
        "Lemma 32, not Lemma 29: Lemma 29 lists derivatives, Vec and Kronecker products, which hold"
        " for all matrices, of any sign; Lemma 32 is about positive semidefinite ones.",
        Fault.SLIP,
        r"\Gamma_\tau\Lambda_\tau = \Lambda_\tau\Gamma_\tau \Rightarrow \Gamma_\tau\Lambda_\tau"
        r" \succeq 0,\ U_{11}\Lambda_\tau U_{11}^\top \succeq 0 \Rightarrow \mathrm{tr}[\tfrac12"
        r" u_{-1}^2\Gamma_\tau\Lambda_\tau U_{11}\Lambda_\tau U_{11}^\top] \ge 0"
        r"\quad\text{(Lemma 32)}",
    ),
    mutants={
        "Lemma 30, A of any sign": lambda A, B: _semidefinite(B),
        "one of the two, whichever": lambda A, B: _semidefinite(A) or _semidefinite(B),
        "of one trace sign": lambda A, B: A.trace() * B.trace() >= 0,
        "of one determinant sign": lambda A, B: bool(
            A[0, 0] * A[1, 1] >= A[0, 1] ** 2 and B[0, 0] * B[1, 1] >= B[0, 1] ** 2
        ),
    },
    depends_on=("zhang2024/lemma-29", "zhang2024/lemma-32"),
)
def LEMMA_27_CITATION(claim: Premise, rng: np.random.Generator) -> Evidence:
    """Take both steps for all pairs of small integer matrices that the cited lemma is about."""
    wrong, tried = "", 0
    entries = list(product((-1, 0, 1, 2), repeat=3))
    matrices = [np.array([[a, b], [b, c]], dtype=object) for a, b, c in entries]
    for A, B in product(matrices, repeat=2):
        if wrong or not claim(A, B):
            continue
        tried += 1
        told = f"A = {A.tolist()}, B = {B.tolist()}, which the cited lemma is about"
        AB = A @ B
        if AB.trace() < 0:
            wrong = f"{told}: tr(AB) = {AB.trace()}"
        if (AB == AB.T).all() and not _semidefinite(AB):
            wrong = f"{told}, commute, and AB = {AB.tolist()} is not >= 0"
    if not tried:
        wrong = "the cited lemma is about none of 4096 pairs"
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "the two steps for all matrices that satisfy what the cited lemma assumes, in integers",
        f"{tried} pairs of 2 x 2 matrices; every d: lemma-32",
        counterexample=wrong,
    )


class Law(NamedTuple):
    """Letters for the values of Lambda_tau with their probabilities, U_11 and u_{-1}."""

    atoms: tuple[tuple[Expression, Matrix], ...]
    U: Matrix
    u: Expression

    def mean(self, value: Callable[[Matrix], Matrix]) -> Matrix:
        """Average over the values of Lambda_tau."""
        return sum((value(lam) * p for p, lam in self.atoms), matrix("any") * 0)


def _curved(law: Law) -> Matrix:
    """E Gamma_tau Lambda_tau U Lambda_tau."""

    def value(lam: Matrix) -> Matrix:
        a = scalar("1/N")
        return (lam * (1 + a) @ lam + lam * (a * lam.trace())) @ law.U @ lam

    return law.mean(value)


#: du_{-1}/dt by the cited display; None if the paper has none with that name.
CitedSlope = Callable[[Law], Expression] | None


def _eq_49(law: Law) -> Expression:
    return (law.mean(lambda lam: lam @ lam) @ law.U.T).trace() - law.u * (
        _curved(law) @ law.U.T
    ).trace()


def _lemma_10(law: Law) -> Expression:
    """Eq. (27) at E Lambda_tau, the one covariance that it is about."""
    lam = law.mean(lambda lam: lam)
    return _eq_49(Law(((Expression.product([]), lam),), law.U, law.u))


@statement(
    id="zhang2024/lemma-25-citation",
    title="The proof of Lemma 25 multiplies the second equation of (49) by u_{-1}",
    source="Appendix C.3, proof of Lemma 25: 'the second equation in Lemma 49' (and 'from Lemma 10'"
    " for the first, of Lemma 21: Lemma 10 is about one covariance)",
    latex=r"\text{the second equation in Lemma 49 by } u_{-1}:\ \dot u_{-1}u_{-1} = -u_{-1}^2"
    r"\mathrm{tr}\,\mathbb{E}[\Gamma_\tau\Lambda_\tau U_{11}\Lambda_\tau U_{11}^\top] +"
    r" u_{-1}\mathrm{tr}(\mathbb{E}[\Lambda_\tau^2]U_{11}^\top)",
    printed=None,
    correction=Correction[CitedSlope](
        _eq_49,
        "Eq. (49), which is in Lemma 21, not Lemma 49: the lemmas end at 32.",
        Fault.SLIP,
        r"\text{the second equation in (49) by } u_{-1}:\ \dot u_{-1}u_{-1} = -u_{-1}^2"
        r"\mathrm{tr}\,\mathbb{E}[\Gamma_\tau\Lambda_\tau U_{11}\Lambda_\tau U_{11}^\top] +"
        r" u_{-1}\mathrm{tr}(\mathbb{E}[\Lambda_\tau^2]U_{11}^\top)",
    ),
    mutants={
        "Lemma 10, at the mean covariance": _lemma_10,
        "the first equation, times U_11'": lambda law: law.u * _eq_49(law),
        "the loss of eq. (53)": lambda law: (
            law.u**2 * (_curved(law) @ law.U.T).trace() / 2
            - law.u * (law.mean(lambda lam: lam @ lam) @ law.U.T).trace()
        ),
        "(49) up the gradient": lambda law: -_eq_49(law),
    },
    depends_on=("zhang2024/lemma-21", "zhang2024/lemma-25"),
)
def LEMMA_25_CITATION(claim: CitedSlope, rng: np.random.Generator) -> Evidence:
    """Multiply what is cited by u_{-1} and compare with the line that the proof has, by words."""
    law = Law(
        tuple((scalar(f"p{i}"), symmetric(f"Lambda{i}")) for i in (1, 2)), matrix("U"), scalar("u")
    )
    if claim is None:
        wrong = "there is no Lemma 49: the last is Lemma 32"
    else:
        line = law.u * (law.mean(lambda lam: lam @ lam) @ law.U.T).trace()
        line -= law.u**2 * (_curved(law) @ law.U.T).trace()
        wrong = disagreement(law.u * claim(law), line, rng)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "what is cited, times u_{-1}, against the next line of the proof, in words",
        "every d, N and U_11, laws of two covariances in letters (all is linear in the law)",
        counterexample=wrong,
    )


#: U_11(0) in units of Theta Theta', from sigma.
StartClaim = Callable[[Expression], Expression]


@statement(
    id="zhang2024/lemma-26-start",
    title="The start of Lemma 26 is sigma Theta Theta'",
    source="Appendix C.3, proof of Lemma 26, before the loss at t = 0 (scan ambiguous: a sigma may"
    " be lost; Assumption 3, eq. (10), has it)",
    latex=r"U_{11}(0) = \Theta\Theta^\top \Rightarrow \ell(0) = \mathbb{E}\,\mathrm{tr}["
    r"\tfrac{\sigma^4}2\Gamma_\tau\Lambda_\tau\Theta\Theta^\top\Lambda_\tau\Theta\Theta^\top"
    r" - \sigma^2\Lambda_\tau^2\Theta\Theta^\top]",
    printed=lambda sigma: sigma**0,
    correction=Correction[StartClaim](
        lambda sigma: sigma,
        "U_11(0) = sigma Theta Theta', as in eq. (10): without sigma the display of the loss after"
        " it would have sigma^2/2 and sigma, and the start would not be balanced.",
        Fault.SLIP,
        r"U_{11}(0) = \sigma\Theta\Theta^\top \Rightarrow \ell(0) = \mathbb{E}\,\mathrm{tr}["
        r"\tfrac{\sigma^4}2\Gamma_\tau\Lambda_\tau\Theta\Theta^\top\Lambda_\tau\Theta\Theta^\top"
        r" - \sigma^2\Lambda_\tau^2\Theta\Theta^\top]",
    ),
    mutants={
        "sigma^2": lambda sigma: sigma**2,
        "minus sigma": lambda sigma: -sigma,
        "1 % more": lambda sigma: sigma * Fraction(101, 100),
    },
    hypotheses=("u_{-1}(0) = sigma",),
    depends_on=("zhang2024/lemma-23", "zhang2024/assumption-3"),
)
def LEMMA_26_START(claim: StartClaim, rng: np.random.Generator) -> Evidence:
    """Put the start into the loss of Lemma 15, which is linear in the law, by words."""
    lam, gamma, theta, sigma = symmetric("Lambda"), matrix("Gamma"), matrix("Theta"), scalar("s")
    T = theta @ theta.T
    U = T * claim(sigma)
    loss = (gamma @ lam @ U @ lam @ U.T).trace() * sigma**2 / 2 - sigma * (lam @ lam @ U.T).trace()
    shown = (gamma @ lam @ T @ lam @ T).trace() * sigma**4 / 2 - sigma**2 * (lam @ lam @ T).trace()
    wrong = disagreement(loss, shown, rng)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the loss at the claimed start against the display after it, in words",
        "every d, sigma, Theta, Lambda and Gamma, so every law of Lambda",
        counterexample=wrong,
    )


#: How many examples the test prompt has, from N, the length in training, and M.
LengthClaim = Callable[[int, int], int]


@statement(
    id="zhang2024/section-4-2-prompt",
    title="The test prompt of Section 4.2 has M examples",
    source="Section 4.2, the sentence before eq. (17), and eq. (17)",
    latex=r"(x_1, y_1, \dots, x_N, y_N, x_{\mathrm{query}}):\ \hat y_{\mathrm{query}} ="
    r" x_{\mathrm{query}}^\top\Gamma^{-1}\tfrac1M\sum_{i=1}^M y_ix_i \approx"
    r" x_{\mathrm{query}}^\top\Lambda^{-1}\tfrac1M\sum_{i=1}^M y_ix_i",
    printed=lambda N, M: N,
    correction=Correction[LengthClaim](
        lambda N, M: M,
        "The prompt is (x_1, y_1, ..., x_M, y_M, x_query), as in (13): N is the length of training"
        " prompts, and (17) sums over M.",
        Fault.SLIP,
        r"(x_1, y_1, \dots, x_M, y_M, x_{\mathrm{query}}):\ \hat y_{\mathrm{query}} ="
        r" x_{\mathrm{query}}^\top\Gamma^{-1}\tfrac1M\sum_{i=1}^M y_ix_i \approx"
        r" x_{\mathrm{query}}^\top\Lambda^{-1}\tfrac1M\sum_{i=1}^M y_ix_i",
    ),
    mutants={
        "M + 1": lambda N, M: M + 1,
        "N + M": lambda N, M: N + M,
        "the larger": lambda N, M: max(M, N),
        "the smaller": lambda N, M: min(M, N),
    },
    depends_on=("zhang2024/eq-12", "zhang2024/section-4-2-query-shift"),
)
def SECTION_4_2_PROMPT(claim: LengthClaim, rng: np.random.Generator) -> Evidence:
    """Answer prompts of the claimed length by eq. (3) with the limit of training, in fractions."""
    wrong, tried = "", 0
    for N, M in product((1, 2, 3, 5), repeat=2):
        tried += 1
        length = claim(N, M)
        # d = 1, Lambda = 1: u U = 1/Gamma, x_i = i, y_i = i^2, x_query = 1.
        gamma = 1 + Fraction(2, N)
        found = sum((Fraction(i**3, length) for i in range(1, length + 1)), Fraction(0)) / gamma
        shown = sum((Fraction(i**3, M) for i in range(1, M + 1)), Fraction(0)) / gamma
        if not wrong and found != shown:
            wrong = (
                f"d = 1, Lambda = 1, N = {N}, M = {M}, x_i = i, y_i = i^2, x_query = 1: the layer"
                f" answers the prompt of length {length} with {found}, and the mean over M examples"
                f" gives {shown}"
            )
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "eq. (3) over all examples of the prompt against the sum over M, in fractions",
        f"d = 1, {tried} pairs of N and M up to 5",
        counterexample=wrong,
    )


STATEMENTS = (LEMMA_25_CITATION, LEMMA_26_START, LEMMA_27_CITATION, SECTION_4_2_PROMPT)
