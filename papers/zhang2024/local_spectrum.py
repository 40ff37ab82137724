r"""Section 5.1: the whole spectrum of H = 1/2 X (x) (E E'/N), and its signature for every d and N.

X has the eigenvalues |x_query|, -|x_query| and d - 1 zeros; G = E E' has rank G positive ones. So H
has rank G positive and as many negative eigenvalues. The N columns (x_i, w'x_i) of the examples lie
in the hyperplane orthogonal to (w, -1), so that they have rank min(N, d) at most, and the query's
column (x_query, 0) adds one at most: rank G <= min(N, d) + 1. Where some prompt attains it, a minor
of E, a polynomial in the prompt, is not zero, and then almost nowhere zero. Unit vectors attain it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from flint import fmpz_mat, fmpz_poly

from papers.ledger import Evidence, Grade, statement
from theory import PromptBatch
from theory.linear_attention import embed, quadratic_form

#: Queries of integer length, by dimension.
QUERIES = {1: (3,), 2: (3, -4), 3: (1, 2, -2)}

#: (d, N) of the signatures.
SIZES = tuple(product(range(1, 6), range(1, 8)))

#: The characteristic polynomial of 2 N H from G = E E' and |x_query|.
SpectrumClaim = Callable[[fmpz_mat, int], fmpz_poly]


def _spectrum(
    gram: fmpz_mat, size: int, *, zeros: int = 0, signs: tuple[int, int] = (1, -1)
) -> fmpz_poly:
    """Return mu^{d^2 - 1} det(mu - |x| G) det(mu + |x| G); the keywords are for the mutants."""
    d = gram.nrows() - 1
    one, other = ((sign * size * gram).charpoly() for sign in signs)
    return fmpz_poly([0] * (d * d - 1 + zeros) + [1]) * one * other


def _sums(gram: fmpz_mat, size: int) -> fmpz_poly:
    """Return the polynomial whose roots are sums of eigenvalues."""
    rows = gram.nrows()
    unit = fmpz_mat([[int(i == j) for j in range(rows)] for i in range(rows)])
    shifted = [(gram + c * unit).charpoly() for c in (size, -size, *([0] * (rows - 2)))]
    result = fmpz_poly([1])
    for polynomial in shifted:
        result *= polynomial
    return result


_SPECTRUM_MUTANTS: dict[str, SpectrumClaim] = {
    "both of one sign": lambda gram, size: _spectrum(gram, size, signs=(1, 1)),
    "|x|^2 for |x|": lambda gram, size: _spectrum(gram, size**2),
    "2 |x|": lambda gram, size: _spectrum(gram, 2 * size),
    "one zero more": lambda gram, size: _spectrum(gram, size, zeros=1),
    "sums, not products": _sums,
}


@statement(
    id="zhang2024/section-5-1-spectrum",
    title="The eigenvalues of H are products of eigenvalues of X and E E'",
    source="Section 5.1, 'By standard properties of the Kronecker product'",
    latex=r"\det(\mu I - 2N H_\tau) = \mu^{d^2-1} \det(\mu I - \|x\| E_\tau E_\tau^\top)"
    r" \det(\mu I + \|x\| E_\tau E_\tau^\top)",
    printed=_spectrum,
    mutants=_SPECTRUM_MUTANTS,
    depends_on=("zhang2024/lemma-9", "zhang2024/section-5-1-characteristic-polynomial"),
)
def SPECTRUM(claim: SpectrumClaim, rng: np.random.Generator) -> Evidence:
    """Compare characteristic polynomials in integers."""
    wrong = ""
    for d, N in product(QUERIES, (1, 2, 4)):
        xs, w = rng.integers(-9, 10, (N + 1, d)), rng.integers(1, 10, d)
        xs[-1] = QUERIES[d]
        prompts = PromptBatch(xs[None].astype(float), (xs[:-1] @ w)[None].astype(float))
        (E,) = embed(prompts)
        found = _integers(2 * N * quadratic_form(prompts)[0]).charpoly()
        size = int(np.sqrt(np.sum(xs[-1] ** 2)))
        claimed = claim(_integers(E @ E.T), size)
        if not wrong and claimed != found:
            wrong = (
                f"d = {d}, N = {N}, x_1, ..., x_query = {xs.tolist()}, w = {w.tolist()}: det(mu -"
                f" 2 N H) at mu = 2 is {found(2)}, and the claim says {claimed(2)}"
            )
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "characteristic polynomials in exact integers, H from theory.linear_attention",
        "one random prompt of integers for each of d in (1, 2, 3), N in (1, 2, 4)",
        counterexample=wrong,
    )


def _integers(matrix: np.ndarray) -> fmpz_mat:
    return fmpz_mat([[int(entry) for entry in row] for row in np.rint(matrix)])


@dataclass(frozen=True)
class SignatureClaim:
    """The number of positive, and of negative, eigenvalues of H, almost surely.

    Parameters
    ----------
    rank
        From d and N.
    orthogonal
        Whether it is claimed where w'x_query = 0 too.
    """

    rank: Callable[[int, int], int]
    orthogonal: bool = False


@statement(
    id="zhang2024/section-5-1-signature",
    title="As many eigenvalues of the quadratic form are positive as negative, for every d and N",
    source="Section 5.1, last paragraph, made exact",
    latex=r"H_\tau \text{ has } \min(N, d) + 1 \text{ positive and } \min(N, d) + 1"
    r" \text{ negative eigenvalues, almost surely}",
    printed=SignatureClaim(lambda d, N: min(N, d) + 1),
    beyond=True,
    mutants={
        "d + 1": SignatureClaim(lambda d, N: d + 1),
        "N + 1": SignatureClaim(lambda d, N: N + 1),
        "min(N, d)": SignatureClaim(lambda d, N: min(N, d)),
        "min(N + 1, d)": SignatureClaim(lambda d, N: min(N + 1, d)),
        "for w'x_query = 0 too": SignatureClaim(lambda d, N: min(N, d) + 1, orthogonal=True),
    },
    hypotheses=("the prompt is drawn from a Gaussian; w'x_query is not 0",),
    depends_on=("zhang2024/section-5-1-spectrum",),
)
def SIGNATURE(claim: SignatureClaim, rng: np.random.Generator) -> Evidence:
    """Count by ranks: unit vectors attain the bound, random prompts obey it."""
    wrong = ""
    for d, N in SIZES:
        rank = claim.rank(d, N)
        units = np.eye(d, dtype=int)[np.minimum(np.arange(N), d - 1)]
        w, query = np.ones(d, dtype=int), np.eye(d, dtype=int)[-1]
        if claim.orthogonal and d > 1:
            query = query - np.eye(d, dtype=int)[0]
        drawn = rng.integers(-9, 10, (N + 1, d)), rng.integers(1, 10, d)
        attained = _rank(np.vstack([units, query]), w)
        most = _rank(*drawn)
        if not wrong and not (attained == rank and most <= rank):
            wrong = (
                f"d = {d}, N = {N}, examples e_1, ..., e_{min(N, d)}, x_query = {query.tolist()},"
                f" w = (1, ...): {attained} positive and negative eigenvalues, and the claim says"
                f" {rank}"
            )
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the rank of E at a prompt that attains the bound, in integers; the bound itself, and why"
        " one prompt is enough, are in the module",
        "every prompt but a null set; d <= 5, N <= 7",
        counterexample=wrong,
    )


def _rank(xs: np.ndarray, w: np.ndarray) -> int:
    """Rank of E for the examples and the query; G = E E' has as many positive eigenvalues."""
    labels = xs @ w
    labels[-1] = 0
    return int(fmpz_mat(np.column_stack([xs, labels]).tolist()).rank())


STATEMENTS = (SPECTRUM, SIGNATURE)
