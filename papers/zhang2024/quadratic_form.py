r"""Lemma 9 and Section 5.1: the prediction is a quadratic form u'Hu, and its spectrum.

H = 1/2 X (x) (E E' / N) has as many negative as positive eigenvalues, one for each nonzero
eigenvalue of E E'. A prompt of N examples and a query has rank min(N, d) + 1, almost surely: the
d + 1 negative eigenvalues that Section 5.1 counts are there only if N >= d.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise, product
from typing import Any

import numpy as np
import sympy
from flint import fmpq_mat, fmpz_mat
from sympy import QQ
from sympy.polys.rings import PolyRing

from papers.ledger import Correction, Evidence, Fault, Grade, statement
from theory import PromptBatch
from theory.linear_attention import LinearAttention, embed, quadratic_form

#: (d, N) of the proof with symbols, and of the spectra.
SYMBOLIC_SIZES = ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3))
SIZES = tuple(product((1, 2, 3), (1, 2, 3, 4)))

#: Of the library against the claim, relative.
TOLERANCE = 1e-12


@dataclass(frozen=True)
class FormClaim:
    """(H, u) from the embedding E of a prompt and U = [[U_11, u_12], [u_21', u_{-1}]].

    `labelled` says whether the query may come with a label, where eq. (4) has a zero.
    """

    form: Callable[[Any, Any], tuple[Any, Any]]
    labelled: bool = False


def _form(
    E: Any, U: Any, *, divisor: int = 2, swapped: bool = False, order: str = "F", more: int = 0
) -> tuple[Any, Any]:
    """Eq. (24); the arguments after U are for the mutants."""
    n = E.shape[1] - 1
    X = np.zeros((len(E), len(E)), dtype=E.dtype)
    X[:-1, -1] = X[-1, :-1] = E[:-1, -1]
    gram = E @ E.T
    factors = (gram, X) if swapped else (X, gram)
    return np.kron(*factors) / ((n + more) * divisor), U.ravel(order=order)


def _without_query(E: Any, U: Any) -> tuple[Any, Any]:
    """E E' over the examples only."""
    H, u = _form(E, U)
    column = E[:, -1]
    X = np.zeros((len(E), len(E)), dtype=E.dtype)
    X[:-1, -1] = X[-1, :-1] = column[:-1]
    return H - np.kron(X, np.multiply.outer(column, column)) / (2 * (E.shape[1] - 1)), u


def _one_percent(E: Any, U: Any) -> tuple[Any, Any]:
    H, u = _form(E, U)
    return H * 101 / 100, u


def _antisymmetric(E: Any, U: Any) -> tuple[Any, Any]:
    """X = [[0, x], [-x', 0]]."""
    H, u = _form(E, U)
    H[-len(E) :] = -H[-len(E) :]
    return H, u


@statement(
    id="zhang2024/lemma-9",
    title="The prediction is a quadratic form",
    source="Section 5.1, Lemma 9, eq. (24); Appendix A.1",
    latex=r"\hat y_{\mathrm{query}}(E_\tau; \theta) = u^\top H_\tau u,\quad H_\tau = \tfrac12"
    r" X_\tau \otimes \frac{E_\tau E_\tau^\top}{N},\quad u = \mathrm{Vec}(U)",
    printed=FormClaim(_form),
    mutants={
        "without the half": FormClaim(partial(_form, divisor=1)),
        "the factors in the other order": FormClaim(partial(_form, swapped=True)),
        "Vec row by row": FormClaim(partial(_form, order="C")),
        "divided by N + 1": FormClaim(partial(_form, more=1)),
        "the query's column left out of E E'": FormClaim(_without_query),
        "minus x' in X": FormClaim(_antisymmetric),
        "1 % more": FormClaim(_one_percent),
        "the query may have a label": FormClaim(_form, labelled=True),
    },
    hypotheses=("the bottom right entry of E, for the label of the query, is 0",),
    depends_on=("zhang2024/lemma-13",),
)
def LEMMA_9(claim: FormClaim, rng: np.random.Generator) -> Evidence:
    """Multiply eqs. (3) and (4) out with a symbol for every entry; then try the library."""
    wrong = next(filter(None, (_wrong_polynomial(claim, *size) for size in SYMBOLIC_SIZES)), "")
    error = max(_library_error(claim, rng) for _ in range(20))
    if not wrong and not error <= TOLERANCE:
        wrong = f"theory.linear_attention differs from the claim by {error:.3g} relative"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the bottom right entry of eq. (3) as a polynomial in all entries of E, W^PV and W^KQ; then"
        " H, u and the output of theory.linear_attention",
        f"(d, N) in {SYMBOLIC_SIZES}, all prompts; the library at 20 random layers with d, N <= 5",
        error,
        TOLERANCE,
        wrong,
    )


def _wrong_polynomial(claim: FormClaim, d: int, N: int) -> str:
    rows = d + 1
    sizes = {"E": (rows, N + 1), "P": (rows, rows), "K": (rows, rows)}
    names = [f"{n}{i}_{j}" for n, (a, b) in sizes.items() for i in range(a) for j in range(b)]
    ring = PolyRing(names, QQ)
    gens = iter(ring.gens)
    E, value, key = (_array(islice(gens, a * b), (a, b)) for a, b in sizes.values())
    if not claim.labelled:
        E[-1, -1] = ring.zero
    output = E + value @ E @ (E.T @ key @ E) / N
    U = key.copy()
    U[:, -1] = value[-1]  # [[U_11, u_12], [u_21', u_{-1}]]
    H, u = claim.form(E, U)
    if u @ H @ u == output[-1, -1]:
        return ""
    numbers = [(z, 1 + i % 3) for i, z in enumerate(ring.gens)]
    found, claimed = (x.evaluate(numbers) for x in (output[-1, -1], u @ H @ u))
    return f"d = {d}, N = {N}, entries 1, 2, 3 in turn: f_LSA gives {found} and u'Hu {claimed}"


def _array(entries: Any, shape: tuple[int, ...]) -> Any:
    flat = list(entries)
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(shape)


def _library_error(claim: FormClaim, rng: np.random.Generator) -> float:
    d, N = (int(n) for n in rng.integers(1, 6, 2))
    layer = LinearAttention(*rng.standard_normal((2, d + 1, d + 1)))
    prompts = PromptBatch(rng.standard_normal((1, N + 1, d)), rng.standard_normal((1, N)))
    (E,) = embed(prompts)
    U = np.column_stack([layer.key_query[:, :-1], layer.projection_value[-1]])
    H, u = claim.form(E, U)
    (library,) = quadratic_form(prompts)
    size = np.abs(u) @ np.abs(H) @ np.abs(u)
    errors = (
        np.max(np.abs(library - H)) / np.max(np.abs(H)),
        np.max(np.abs(layer.vector - u)),
        abs(layer.output(E[None])[0, -1, -1] - u @ H @ u) / size,
        abs(layer.predict(prompts)[0] - u @ H @ u) / size,
    )
    return float(max(errors))


@dataclass(frozen=True)
class CountClaim:
    """How many eigenvalues of H are negative, almost surely, for given d and N."""

    count: Callable[[int, int], int]
    at_least: bool = False

    def accepts(self, d: int, N: int, found: int) -> bool:
        """Tell whether the claim allows this number."""
        return found >= self.count(d, N) if self.at_least else found == self.count(d, N)


@statement(
    id="zhang2024/section-5-1-negative-eigenvalues",
    title="How many eigenvalues of the quadratic form are negative",
    source="Section 5.1, last paragraph",
    latex=r"H_\tau \text{ has at least } d + 1 \text{ negative eigenvalues, almost surely}",
    printed=CountClaim(lambda d, N: d + 1, at_least=True),
    correction=Correction(
        CountClaim(lambda d, N: min(N, d) + 1),
        "They are min(N, d) + 1 exactly: E E' has the rank of N examples on a hyperplane and a"
        " query, and less than full rank for N < d. The form is not convex in any case.",
        Fault.FALSE,
        latex=r"H_\tau \text{ has } \min(N, d) + 1 \text{ negative eigenvalues, almost surely}",
    ),
    mutants={
        "at least N + 1": CountClaim(lambda d, N: N + 1, at_least=True),
        "min(N, d)": CountClaim(lambda d, N: min(N, d)),
        "at least min(N, d) + 2": CountClaim(lambda d, N: min(N, d) + 2, at_least=True),
        "max(N, d) + 1": CountClaim(lambda d, N: max(N, d) + 1),
        "one": CountClaim(lambda d, N: 1),
        "half of all": CountClaim(lambda d, N: (d + 1) ** 2 // 2),
    },
    hypotheses=("the prompt is drawn from a Gaussian, w is not 0",),
    depends_on=("zhang2024/lemma-9",),
)
def NEGATIVE_EIGENVALUES(claim: CountClaim, rng: np.random.Generator) -> Evidence:
    """Count in integers: a symmetric matrix has as many as its polynomial has sign changes."""
    wrong = ""
    for d, N, xs, w in _prompts(rng):
        prompts = PromptBatch(xs[None].astype(float), (xs[:-1] @ w)[None].astype(float))
        found = _negative_eigenvalues(2 * N * quadratic_form(prompts)[0])
        if not wrong and not claim.accepts(d, N, found):
            wrong = (
                f"d = {d}, N = {N}, {_told(xs, w)}: E E' has the rank"
                f" {np.linalg.matrix_rank(embed(prompts)[0])} and X one negative eigenvalue; H has"
                f" {found} negative eigenvalues, and the claim says {claim.count(d, N)}"
                f"{' or more' * claim.at_least}"
            )
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "Descartes' rule on the characteristic polynomial of 2 N H, in exact integers",
        f"unit vectors and one random prompt of integers for each (d, N) in {SIZES}",
        counterexample=wrong,
    )


def _prompts(rng: np.random.Generator) -> Iterator[tuple[int, int, Any, Any]]:
    """Yield d, N, the covariates with the query last, and w: e_1, e_2, ... first, w = (1, ..., 1).

    Any query with w'x_query != 0 adds 1 to the rank of E E'.
    """
    for d, N in SIZES:
        xs = np.eye(d, dtype=int)[np.arange(N + 1) % d]
        yield d, N, xs, np.ones(d, dtype=int)
    for d, N in SIZES:
        yield d, N, *_generic_prompt(d, N, rng)


def _told(xs: Any, w: Any) -> str:
    names = [*(f"x_{i}" for i in range(1, len(xs))), "x_query", "w"]
    points = (", ".join(map(str, row)) for row in [*xs.tolist(), w.tolist()])
    return ", ".join(
        f"{name} = {point}" if len(w) == 1 else f"{name} = ({point})"
        for name, point in zip(names, points, strict=True)
    )


def _generic_prompt(d: int, N: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Draw integers off the sets of measure zero: w'x_query = 0, or dependent examples."""
    while True:
        xs, w = rng.integers(-99, 100, (N + 1, d)), rng.integers(1, 10, d)
        if xs[-1] @ w != 0 and np.linalg.matrix_rank(xs[:-1]) == min(N, d):
            return xs, w


def _negative_eigenvalues(matrix: Any) -> int:
    """Count the negative roots of the characteristic polynomial, all of whose roots are real."""
    integers = fmpz_mat([[int(x) for x in row] for row in np.rint(matrix)])
    coefficients = fmpq_mat(integers).charpoly().coeffs()
    signs = [(1 if c > 0 else -1) * (-1) ** i for i, c in enumerate(coefficients) if c != 0]
    return sum(a != b for a, b in pairwise(signs))


#: det(mu I - X) from d, mu and |x|^2.
PolynomialClaim = Callable[[int, Any, Any], Any]


@statement(
    id="zhang2024/section-5-1-characteristic-polynomial",
    title="The characteristic polynomial of X",
    source="Section 5.1, last display",
    latex=r"\det(\mu I - X_\tau) = \mu^{d-1} (\mu^2 - \|x_{\tau,\mathrm{query}}\|_2^2)",
    printed=lambda d, mu, square: mu ** (d - 1) * (mu**2 - square),
    mutants={
        "plus the square": lambda d, mu, square: mu ** (d - 1) * (mu**2 + square),
        "mu^d": lambda d, mu, square: mu**d * (mu**2 - square),
        "the fourth power": lambda d, mu, square: mu ** (d - 1) * (mu**2 - square**2),
        "1 % more": lambda d, mu, square: mu ** (d - 1) * (mu**2 - square * 101 / 100),
    },
)
def CHARACTERISTIC_POLYNOMIAL(claim: PolynomialClaim, rng: np.random.Generator) -> Evidence:
    """Compute it with symbols."""
    mu, wrong = sympy.Symbol("mu"), ""
    for d in range(1, 5):
        x = sympy.Matrix(sympy.symbols(f"x1:{d + 1}"))
        corner = sympy.zeros(d, d)
        X = sympy.Matrix([[corner, x], [x.T, sympy.zeros(1, 1)]])
        found = X.charpoly(mu).as_expr()
        claimed = claim(d, mu, (x.T @ x)[0])
        if not wrong and sympy.expand(found - claimed) != 0:
            numbers = dict.fromkeys(x, 2) | {mu: 3}
            wrong = (
                f"d = {d}, mu = 3, x = (2, ..., 2): {found.subs(numbers)}, and the claim says"
                f" {sympy.sympify(claimed).subs(numbers)}"
            )
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the characteristic polynomial, as a polynomial in mu and the entries of x_query",
        "d in (1, 2, 3, 4), every query",
        counterexample=wrong,
    )


STATEMENTS = (LEMMA_9, NEGATIVE_EIGENVALUES, CHARACTERISTIC_POLYNOMIAL)
