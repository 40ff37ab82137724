r"""Section 4.3: what the layer trained on random covariances predicts, eq. (23), and its prompts.

At the limit of Theorem 8 u U = A with A_ii = E lambda_i^2 / E Gamma_ii lambda_i^2, and the layer
answers a long prompt of covariance Lambda_new with x_query'A Lambda_new w: with the truth, if
A Lambda_new = I, which is so for a fixed Lambda and N = infinity.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from sympy import QQ
from sympy.polys.fields import field
from sympy.polys.rings import PolyRing

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.letters import disagreement
from papers.zhang2024.shifts import given_query
from theory.gradient_flow import FlowProblem
from theory.laws import TwoPoint
from theory.moments.algebra import Matrix, matrix, symmetric, vector
from theory.moments.evaluation import evaluate, substitute
from theory.moments.expression import Expression
from theory.moments.wick import expectation

#: Where A is found with letters.
DIMENSIONS = (1, 2, 3)

#: Of the library's limit, relatively.
TOLERANCE = 1e-11


@dataclass(frozen=True)
class RandomLimit:
    """What x_i w_i is multiplied with for M -> infinity, from the law of lambda_i and its value.

    Parameters
    ----------
    factor
        From E f(lambda), E Gamma_ii lambda_i^2, E Gamma_ii and lambda_i of the prompt.
    long_test
        Whether M must grow.
    """

    factor: Callable[[Callable[[Callable[[Any], Any]], Any], Any, Any, Any], Any]
    long_test: bool = True


_EQ_23 = RandomLimit(lambda mean, curved, gamma, new: mean(lambda x: x**2) / curved * new)


@statement(
    id="zhang2024/eq-23",
    title="The prediction after training on random covariances",
    source="Section 4.3, eq. (23) and the display before it",
    latex=r"\hat y_{\mathrm{query}} = x_{\mathrm{query}}^\top[\mathbb{E}\Lambda_\tau^2]"
    r"[\mathbb{E}\Gamma_\tau\Lambda_\tau^2]^{-1}\left(\tfrac1M\sum_i x_ix_i^\top\right)w \to"
    r" x_{\mathrm{query}}^\top[\mathbb{E}\Lambda_\tau^2][\mathbb{E}\Gamma_\tau\Lambda_\tau^2]^{-1}"
    r"\Lambda_{\mathrm{new}}w \quad (M \to \infty)",
    printed=_EQ_23,
    mutants={
        "the mean of Lambda_new": RandomLimit(
            lambda mean, curved, gamma, new: mean(lambda x: x**2) / curved * mean(lambda x: x)
        ),
        "the inverse of E Gamma": RandomLimit(lambda mean, curved, gamma, new: new / gamma),
        "(E Lambda)^2": RandomLimit(
            lambda mean, curved, gamma, new: mean(lambda x: x) ** 2 / curved * new
        ),
        "E Lambda^3, as for N = infinity": RandomLimit(
            lambda mean, curved, gamma, new: mean(lambda x: x**2) / mean(lambda x: x**3) * new
        ),
        "1, the truth": RandomLimit(lambda mean, curved, gamma, new: 1),
        "1 % more": RandomLimit(lambda *of: _EQ_23.factor(*of) * 101 / 100),
        "a polynomial that is lambda^2 at 1, ..., 5": RandomLimit(
            lambda mean, curved, gamma, new: (
                mean(lambda x: x**2 + (x - 1) * (x - 2) * (x - 3) * (x - 4) * (x - 5))
                / curved
                * new
            )
        ),
        "M need not grow": replace(_EQ_23, long_test=False),
    },
    hypotheses=("Lambda diagonal, eigenvalues independent", "y_i = w'x_i, M -> infinity"),
    depends_on=("zhang2024/eq-6", "zhang2024/theorem-8"),
)
def EQ_23(claim: RandomLimit, rng: np.random.Generator) -> Evidence:
    """Go through all values of Lambda in fractions; then letters for all that there is."""
    wrong, error, tried = "", 0.0, 0
    for laws, N in product(_TWO_POINT_LAWS, (1, 7)):
        tried += 1
        told, off = _wrong_random_limit(claim, laws, N)
        wrong, error = wrong or told, max(error, off)
    if not wrong and not error <= TOLERANCE:
        wrong = f"the limit of FlowProblem.random_diagonal is off by {error:.3g} relative"
    wrong = wrong or _wrong_answer(claim, rng)
    wrong = wrong or next(filter(None, (_wrong_factor(claim, d) for d in DIMENSIONS)), "")
    return Evidence(
        not wrong,
        Grade.PROVED,
        "mean and variance of yhat given Lambda_new, the query and w, by pairings in words; A and"
        " the factors of x_i w_i as rational functions of N, lambda_i of the prompt and the moments"
        " of the law; the library's limit, relatively",
        f"every query, w, Lambda_new, N and law, d in {DIMENSIONS} (the weights show every d);"
        f" in fractions, and with the library, {tried} laws and lengths with d <= 2",
        error,
        TOLERANCE,
        wrong,
    )


#: (low, high, probability of low); the last is one value, a fixed covariance.
_TWO_POINT_LAWS = (
    ((1, 3, Fraction(1, 2)),),
    ((1, 2, Fraction(1, 3)), (2, 5, Fraction(3, 4))),
    ((2, 2, Fraction(1)), (1, 4, Fraction(1, 2))),
)


def _wrong_random_limit(claim: RandomLimit, laws: Any, N: int) -> tuple[str, float]:
    d = len(laws)
    atoms = [
        (np.prod([p for _, p in chosen]), [value for value, _ in chosen])
        for chosen in product(*(((low, p), (high, 1 - p)) for low, high, p in laws))
    ]
    curvatures = []
    for i in range(d):
        terms = [(p, lam[i], (lam[i] + Fraction(lam[i] + sum(lam), N))) for p, lam in atoms]
        square = sum(p * x**2 for p, x, _ in terms)
        curvatures.append((square, sum(p * g * x**2 for p, x, g in terms), terms))
    A = [square / curved for square, curved, _ in curvatures]
    U, u = FlowProblem.random_diagonal([TwoPoint(*law) for law in laws], N).limit()
    error = float(np.max(np.abs(np.diag(U) * u / np.array(A, dtype=float) - 1)))
    query, w = [Fraction(i + 1) for i in range(d)], [Fraction(3 - i) for i in range(d)]
    for _, new in atoms:
        factors = [
            claim.factor(_mean_over(terms), curved, sum(p * g for p, _, g in terms), Fraction(x))
            for (_, curved, terms), x in zip(curvatures, new, strict=True)
        ]
        claimed = sum(q * f * v for q, f, v in zip(query, factors, w, strict=True))
        mean, variance = _moments_of_answer(A, new, query, w, None if claim.long_test else 3)
        if mean != claimed or variance:
            place = f"laws {[tuple(map(str, law)) for law in laws]}, N = {N}, Lambda_new = {new}"
            return (
                f"{place}, x_query = 1, 2, w = 3, 2: yhat has the mean {mean} and the variance"
                f" {variance}, and the claim says {claimed}",
                error,
            )
    return "", error


def _wrong_answer(claim: RandomLimit, rng: np.random.Generator) -> str:
    """Compare E yhat, given query and task, with q'A Lambda_new w, and Var yhat with 0, by words.

    The noise f is 0; so is r = 1/M, if M grows.
    """
    zero, (mean, square) = Expression({}), _given_query()
    wanted = vector("q") @ matrix("A") @ symmetric("Lambda") @ vector("w")
    gone = {"f": zero, "r": zero} if claim.long_test else {"f": zero}
    wrong = disagreement(mean, wanted, rng)
    return wrong or disagreement(substitute(square - mean**2, gone), zero, rng)


#: Of the letters for the moments of a law: the claims have polynomials of lower degree.
_MOST_MOMENTS = 6


def _wrong_factor(claim: RandomLimit, d: int) -> str:
    """Compare the factor of x_1 w_1 with A_11 lambda_1, for letters E lambda_i^k and N."""
    names = [f"m{k}_{i}" for i in range(d) for k in range(1, _MOST_MOMENTS + 1)]
    (_, *gens) = field([*names, "N", "new"], QQ)
    N, new = gens[-2:]
    ring = PolyRing([f"lambda{i}" for i in range(d)], QQ)

    def mean(value: Any) -> Any:
        """Put moments for the powers of independent eigenvalues."""
        total = 0 * N
        for powers, coefficient in (ring.zero + value).iterterms():
            term = coefficient + 0 * N
            for i, power in enumerate(powers):
                term *= gens[i * _MOST_MOMENTS + power - 1] if power else 1
            total += term
        return total

    first = ring.gens[0]
    curved, plain = (
        mean(first * part) + mean((first + sum(ring.gens)) * part) / N for part in (first**2, 1)
    )
    told = claim.factor(lambda f: mean(f(first)), curved, plain, new)
    wanted = mean(first**2) / curved * new
    return "" if told == wanted else f"d = {d}: x_1 w_1 has the factor {wanted}, not {told}"


def _mean_over(terms: list[Any]) -> Callable[[Callable[[Any], Any]], Any]:
    return lambda f: sum(p * f(Fraction(x)) for p, x, _ in terms)


@cache
def _given_query() -> tuple[Expression, Expression]:
    return given_query()


def _moments_of_answer(
    A: list[Any], new: list[Any], query: list[Any], w: list[Any], M: int | None
) -> tuple[Any, Any]:
    """Return mean and variance of yhat given the query, w and Lambda; 1/M = 0 for None."""
    values: dict[str, Any] = {"q": np.array(query), "w": np.array(w), "d": len(A)}
    values |= {"f": Fraction(0), "r": Fraction(1, M) if M else Fraction(0)}
    for name, entries in (("Lambda", [Fraction(x) for x in new]), ("A", A)):
        values[name] = np.full((len(A),) * 2, Fraction(0))
        values[name][np.diag_indices(len(A))] = entries
    mean, square = (evaluate(moment, values) for moment in _given_query())
    return mean, square - mean**2


#: The covariance of x_k^2 and x_query,k^2, from E lambda_k and E lambda_k^2.
DependenceClaim = Callable[[Any, Any], Any]

#: Values of lambda with their probabilities; first a constant one.
_LAWS: tuple[tuple[tuple[Fraction, int], ...], ...] = (
    ((Fraction(1), 2),),
    ((Fraction(1, 2), 1), (Fraction(1, 2), 3)),
    ((Fraction(1, 4), 1), (Fraction(3, 4), 5)),
    ((Fraction(1, 2), 1), (Fraction(1, 3), 2), (Fraction(1, 6), 7)),
)


@statement(
    id="zhang2024/section-4-3-dependence",
    title="Examples and query are uncorrelated, and not independent",
    source="Section 4.3, below Definition 7: 'conditionally independent given the covariance"
    " matrix, but not independent in general'",
    latex=r"\mathrm{Cov}(x_{\tau,i,k}, x_{\tau,\mathrm{query},k}) = 0,\quad \mathrm{Cov}"
    r"(x_{\tau,i,k}^2, x_{\tau,\mathrm{query},k}^2) = \mathrm{Var}(\lambda_k)",
    printed=lambda first, second: second - first**2,
    mutants={
        "independent": lambda first, second: 0 * first,
        "right for means of 2, 4 and 7/3": lambda first, second: (
            second - first**2 + (first - 2) * (first - 4) * (3 * first - 7)
        ),
        "E lambda^2": lambda first, second: second,
        "2 E lambda^2 - (E lambda)^2, as for one x": lambda first, second: 2 * second - first**2,
        "the standard deviation squared twice": lambda first, second: (second - first**2) ** 2,
        "1 % more": lambda first, second: (second - first**2) * 101 / 100,
    },
    hypotheses=("lambda_k is not constant (else they are independent)",),
)
def DEPENDENCE(claim: DependenceClaim, rng: np.random.Generator) -> Evidence:
    """Take expectations given Lambda by pairings, then over lambda: its values, then letters."""
    lam, k, x, q = symmetric("Lambda"), vector("k"), vector("x"), vector("q")
    laws: dict[str, Matrix | Expression] = {"x": lam, "q": lam}
    correlation = expectation((k @ x) * (k @ q), laws)
    wrong = f"E[x_k q_k | Lambda] = {correlation}" if correlation else ""
    squares = [(k @ x) ** 2 * (k @ q) ** 2, (k @ x) ** 2, (k @ q) ** 2]
    for law in _LAWS:
        both, one, other = (
            sum(p * evaluate(expectation(square, laws), _at(value)) for p, value in law)
            for square in squares
        )
        first, second = (sum((p * v**n for p, v in law), Fraction(0)) for n in (1, 2))
        found, claimed = both - one * other, claim(first, second)
        if not wrong and found != claimed:
            told = ", ".join(f"{value} with probability {p}" for p, value in law)
            wrong = f"lambda is {told}: the covariance is {found}, and the claim says {claimed}"
    # Given Lambda the means are lambda_k^2, lambda_k and lambda_k, lambda_k = k'Lambda k.
    given = (expectation(square, laws) for square in squares)
    for mean, power in zip(given, (2, 1, 1), strict=True):
        wrong = wrong or disagreement(mean, (k @ lam @ k) ** power, rng)
    first, second = PolyRing(["m1", "m2"], QQ).gens
    if not wrong and claim(first, second) != second - first * first:
        wrong = f"E lambda = m1, E lambda^2 = m2: the covariance is not {claim(first, second)}"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "E[x_k^2 q_k^2 | Lambda], E[x_k^2 | Lambda] and E[q_k^2 | Lambda] by pairings, which are"
        " lambda_k^2, lambda_k and lambda_k; the claim with letters for E lambda_k, E lambda_k^2",
        f"every d and law of lambda_k; in fractions {len(_LAWS)} laws, one of them constant",
        counterexample=wrong,
    )


def _at(value: int) -> dict[str, Any]:
    return {"Lambda": np.array([[value]], dtype=object), "k": np.array([1], dtype=object), "d": 1}


STATEMENTS = (EQ_23, DEPENDENCE)
