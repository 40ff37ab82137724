r"""Lemmas 29, 31 and 32: facts on matrices that the proofs take from others.

Lemma 29 is multiplied out with a symbol for every entry. Lemma 31 is proved from
tr(U'V) = sum_ij sigma_i(U) sigma_j(V) s_ij, where every row and column of s sums to at most 1: in
the gaps of the singular values and in r_kl = min(k, l) - sum_{i <= k, j <= l} s_ij >= 0 the bound
minus the trace has no negative coefficient. In Lemma 32 A = PP', B = QQ', and tr(AB) = |P'Q|^2.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise, product
from typing import Any

import numpy as np
from sympy import QQ
from sympy.polys.rings import PolyRing

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.letters import disagreement
from theory.moments.algebra import matrix

#: Shapes (k, m, n) of A (k, m), X (m, n) and C (m, k) in Lemma 29.
SHAPES = ((1, 1, 1), (1, 2, 3), (3, 2, 1), (2, 2, 2), (2, 1, 3))


@dataclass(frozen=True)
class Calculus:
    """The six facts of Lemma 29, the right-hand sides; `order` is that of Vec."""

    of_form: Callable[[Any, Any], Any]
    kron: Callable[[Any, Any], Any]
    inner: Callable[[Any, Any], Any]
    of_square: Callable[[Any, Any], Any]
    of_linear: Callable[[Any], Any]
    of_product: Callable[[Any, Any, Any, Any], Any]
    order: str = "F"

    def vec(self, X: Any) -> Any:
        """Stack the columns of X."""
        return X.ravel(order=self.order)


_CALCULUS = Calculus(
    of_form=lambda B, x: (B + B.T) @ x,
    kron=lambda A, B: np.kron(B.T, A),
    inner=lambda a, b: a @ b,
    of_square=lambda X, B: X @ B.T + X @ B,
    of_linear=lambda A: A,
    of_product=lambda A, X, B, C: A.T @ C.T @ X @ B.T + C @ A @ X @ B,
)


@statement(
    id="zhang2024/lemma-29",
    title="Derivatives of traces, Vec and Kronecker products",
    source="Appendix D, Lemma 29; Section 3, Notation",
    latex=r"\partial_x x^\top Bx = (B + B^\top)x,\ \mathrm{Vec}(AXB) = (B^\top \otimes A)"
    r"\mathrm{Vec}(X),\ \mathrm{tr}(A^\top B) = \mathrm{Vec}(A)^\top\mathrm{Vec}(B),\ \partial_X"
    r"\mathrm{tr}(XBX^\top) = XB^\top + XB,\ \partial_X\mathrm{tr}(AX^\top) = A,\ \partial_X"
    r"\mathrm{tr}(AXBX^\top C) = A^\top C^\top XB^\top + CAXB",
    printed=_CALCULUS,
    mutants={
        "2 B x, for a symmetric B": replace(_CALCULUS, of_form=lambda B, x: 2 * B @ x),
        "the factors in the other order": replace(_CALCULUS, kron=lambda A, B: np.kron(A, B.T)),
        "B, not B', in the Kronecker product": replace(
            _CALCULUS, kron=lambda A, B: np.kron(B, A).reshape(np.kron(B.T, A).shape)
        ),
        "Vec row by row": replace(_CALCULUS, order="C"),
        "1 % more of the inner product": replace(
            _CALCULUS, inner=lambda a, b: a @ b * QQ(101, 100)
        ),
        "2 X B, for a symmetric B": replace(_CALCULUS, of_square=lambda X, B: 2 * X @ B),
        "minus A": replace(_CALCULUS, of_linear=lambda A: -A),
        "C and A in the other order": replace(
            _CALCULUS, of_product=lambda A, X, B, C: (C @ A).T @ X @ B.T + (C @ A).T @ X @ B
        ),
        "the second term alone, twice": replace(
            _CALCULUS, of_product=lambda A, X, B, C: 2 * C @ A @ X @ B
        ),
    },
    hypotheses=("A, B, C, X of any shapes that fit",),
)
def LEMMA_29(claim: Calculus, rng: np.random.Generator) -> Evidence:
    """Differentiate and multiply out with a symbol for every entry."""
    wrong = ""
    example = claim.vec(np.array([[1, 2], [3, 4]])).tolist()
    if example != [1, 3, 2, 4]:
        wrong = f"Vec [[1, 2], [3, 4]] is (1, 3, 2, 4) in Section 3, and the claim says {example}"
    for shape in SHAPES:
        for name, found, claimed in _facts(claim, *shape):
            gap = [a - b for a, b in zip(found, claimed, strict=True)]
            if not wrong and any(gap):
                at = next(i for i, g in enumerate(gap) if g)
                wrong = f"(k, m, n) = {shape}, {name}: entry {at} is {found[at]}, not {claimed[at]}"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "polynomials in all entries, differentiated entry by entry",
        f"every A (k, m), X (m, n), B and C, for (k, m, n) in {SHAPES}",
        counterexample=wrong,
    )


def _facts(claim: Calculus, k: int, m: int, n: int) -> Iterator[tuple[str, list[Any], list[Any]]]:
    """Yield the name of each fact, its left-hand side and the claim, entry by entry."""
    shapes = {"A": (k, m), "B": (n, n), "C": (m, k), "X": (m, n), "Y": (m, n), "x": (n, 1)}
    names = [f"{s}{i}_{j}" for s, (a, b) in shapes.items() for i in range(a) for j in range(b)]
    gens = iter(PolyRing(names, QQ).gens)
    A, B, C, X, Y, x = (_array(islice(gens, a * b), (a, b)) for a, b in shapes.values())

    def gradient(value: Any, by: Any) -> list[Any]:
        return [value.diff(entry) for entry in by.ravel()]

    def flat(value: Any) -> list[Any]:
        return list(np.asarray(value).ravel())

    yield "d/dx x'Bx", gradient((x.T @ B @ x)[0, 0], x), flat(claim.of_form(B, x))
    yield "Vec(AXB)", flat(claim.vec(A @ X @ B)), flat(claim.kron(A, B) @ claim.vec(X))
    inner = claim.inner(claim.vec(X), claim.vec(Y))
    yield "tr(X'Y)", [(X.T @ Y).trace()], [inner]
    yield "d/dX tr(XBX')", gradient((X @ B @ X.T).trace(), X), flat(claim.of_square(X, B))
    yield "d/dX tr(YX')", gradient((Y @ X.T).trace(), X), flat(claim.of_linear(Y))
    long = (A @ X @ B @ X.T @ C).trace()
    yield "d/dX tr(AXBX'C)", gradient(long, X), flat(claim.of_product(A, X, B, C))


def _array(entries: Any, shape: tuple[int, int]) -> Any:
    flat = list(entries)
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(shape)


#: Singular values in descending order, numbers or symbols.
Values = Sequence[Any]


@dataclass(frozen=True)
class TraceBounds:
    """Bounds on tr(U'V), each at least the one before: first, second, and the third squared."""

    first: Callable[[Values, Values], Any]
    second: Callable[[Values, Values], Any]
    third_squared: Callable[[Values, Values], Any]

    def scaled(self, factor: int) -> "TraceBounds":
        """Return the chain with the last bound in percent."""
        return replace(
            self, third_squared=lambda u, v: self.third_squared(u, v) * factor**2 / 100**2
        )


def _paired(u: Values, v: Values) -> Any:
    return sum(a * b for a, b in zip(u, v, strict=True))


def _with_size(size: Callable[[int], int]) -> Callable[[Values, Values], Any]:
    return lambda u, v: size(len(u)) * u[0] ** 2 * _paired(v, v)


_VON_NEUMANN = TraceBounds(_paired, lambda u, v: u[0] * sum(v), _with_size(lambda d: d))


@statement(
    id="zhang2024/lemma-31",
    title="Von Neumann's trace inequality",
    source="Appendix D, Lemma 31",
    latex=r"\mathrm{tr}(U^\top V) \le \sum_i \sigma_i(U)\sigma_i(V) \le \|U\|_{op}\sum_i\sigma_i(V)"
    r" \le \sqrt d\,\|U\|_{op}\|V\|_F",
    printed=_VON_NEUMANN,
    mutants={
        "without sqrt(d)": replace(_VON_NEUMANN, third_squared=_with_size(lambda d: 1)),
        "sqrt(d - 1)": replace(_VON_NEUMANN, third_squared=_with_size(lambda d: max(d - 1, 1))),
        "1 % less": _VON_NEUMANN.scaled(99),
        "the values in opposite orders": replace(
            _VON_NEUMANN, first=lambda u, v: _paired(u, v[::-1])
        ),
        "the least singular value of U": replace(_VON_NEUMANN, second=lambda u, v: u[-1] * sum(v)),
        "the largest of V alone": replace(_VON_NEUMANN, second=lambda u, v: u[0] * v[0]),
    },
    hypotheses=("U and V are d x n, d <= n (not needed: min(d, n) stands in for d)",),
)
def LEMMA_31(claim: TraceBounds, rng: np.random.Generator) -> Evidence:
    """Try where equality holds, then random matrices; prove the chain by its coefficients."""
    wrong, most = "", 0.0
    for U, V in _pairs(rng):
        u, v = (np.linalg.svd(M, compute_uv=False).tolist() for M in (U, V))
        third = float(np.sqrt(claim.third_squared(u, v)))
        chain = [float(np.trace(U.T @ V)), claim.first(u, v), claim.second(u, v), third]
        steps = [(b - a) / (np.linalg.norm(U) * np.linalg.norm(V)) for a, b in pairwise(chain)]
        most = max(most, -min(steps))
        if not wrong and not min(steps) >= -_ROUNDING:
            told = ", ".join(f"{value:.6g}" for value in chain)
            wrong = f"U = {U.tolist()}, V = {V.tolist()}: the trace and the bounds are {told}"
    for d in (1, 2, 3):
        wrong = wrong or _negative_coefficient(claim, d)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "no negative coefficient in the gaps of singular values and in min(k, l) - s_kl; by numpy,"
        " the largest excess over a bound in units of |U|_F |V|_F",
        "every U and V with min(d, n) <= 3; numbers where equality holds, and 60 random pairs with"
        " d <= n <= 5",
        most,
        _ROUNDING,
        wrong,
    )


#: Of singular values by numpy.
_ROUNDING = 1e-13


def _pairs(rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
    for d in (1, 2, 3):
        yield np.eye(d), np.eye(d)  # all three with equality
        values = np.diag(np.arange(d, 0.0, -1.0))
        yield values, values
        yield values, np.diag([1.0] + [0.0] * (d - 1))
    for _ in range(60):
        n = int(rng.integers(1, 6))
        d = int(rng.integers(1, n + 1))
        yield rng.standard_normal((d, n)), rng.standard_normal((d, n))


def _negative_coefficient(claim: TraceBounds, d: int) -> str:
    """Say where a step of the chain is not a sum of products of nonnegative letters."""
    names = [f"{k}{i}" for k in "ab" for i in range(1, d + 1)]
    names += [f"r{i}{j}" for i, j in product(range(1, d + 1), repeat=2)]
    gens = iter(PolyRing(names, QQ).gens)
    a, b = (list(islice(gens, d)) for _ in range(2))
    r = _array(gens, (d, d))
    u, v = ([sum(gaps[i:]) for i in range(d)] for gaps in (a, b))
    corner = [[min(k, m) + 1 - r[k, m] for m in range(d)] for k in range(d)]
    s = np.diff(np.diff(np.pad(_array(np.ravel(corner), (d, d)), ((1, 0), (1, 0))), axis=0), axis=1)
    trace = sum(u[i] * s[i, j] * v[j] for i, j in product(range(d), repeat=2))
    for name, step in (
        ("first", claim.first(u, v) - trace),
        ("second", claim.second(u, v) - claim.first(u, v)),
    ):
        if any(c < 0 for c in step.itercoeffs()):
            return f"d = {d}: the {name} bound minus what it bounds is {step}"
    squares = sum((v[i] - v[j]) ** 2 for i in range(d) for j in range(i)) * u[0] ** 2
    gap = claim.third_squared(u, v) - claim.second(u, v) ** 2 - squares
    return f"d = {d}: the squares of the last bounds differ by {gap} + {squares}" if gap else ""


@dataclass(frozen=True)
class TraceSign:
    """A lower bound on a trace of positive semidefinite matrices P P' and Q Q'."""

    trace: Callable[[Any, Any], Any]
    bound: Callable[[Any, Any], Any]
    strict: bool = False
    semidefinite: bool = True


def _product_trace(A: Any, B: Any) -> Any:
    return (A @ B).trace()


_NONNEGATIVE = TraceSign(_product_trace, lambda A, B: 0)


@dataclass(frozen=True)
class ProductClaim:
    """AB >= 0, as a test of AB, if and only if A and B commute, for all A, B that qualify."""

    psd: Callable[[Any], bool]
    semidefinite: bool = True


@dataclass(frozen=True)
class PositiveProducts:
    """Both items of Lemma 32."""

    trace: TraceSign
    product: ProductClaim


def _symmetric_psd(M: Any) -> bool:
    """Of a 2 x 2 matrix of integers."""
    return bool((M == M.T).all()) and _part_psd(M)


def _part_psd(M: Any) -> bool:
    """Tell whether x'Mx >= 0 for all x: of M + M' all principal minors are."""
    S = M + M.T
    return bool(S[0, 0] >= 0 and S[1, 1] >= 0 and S[0, 0] * S[1, 1] >= S[0, 1] ** 2)


_LEMMA_32 = PositiveProducts(_NONNEGATIVE, ProductClaim(_symmetric_psd))


@statement(
    id="zhang2024/lemma-32",
    title="Traces and products of positive semidefinite matrices",
    source="Appendix D, Lemma 32; AB >= 0 is read as: AB is symmetric, with eigenvalues >= 0 (the"
    " paper does not say so, and x'ABx >= 0 for all x is another condition: a mutant)",
    latex=r"A, B \succeq 0 \Rightarrow \mathrm{tr}[AB] \ge 0;\quad AB \succeq 0 \Leftrightarrow"
    r" AB = BA",
    printed=_LEMMA_32,
    mutants={
        "tr(AB) > 0": replace(_LEMMA_32, trace=replace(_NONNEGATIVE, strict=True)),
        "A and B symmetric only, in the trace": replace(
            _LEMMA_32, trace=replace(_NONNEGATIVE, semidefinite=False)
        ),
        "tr(AB) >= 1 % of tr(A) tr(B)": replace(
            _LEMMA_32,
            trace=replace(_NONNEGATIVE, bound=lambda A, B: A.trace() * B.trace() / 100),
        ),
        "tr(ABA - B) >= 0": replace(
            _LEMMA_32, trace=replace(_NONNEGATIVE, trace=lambda A, B: (A @ B @ A - B).trace())
        ),
        "x'ABx >= 0 for all x": replace(_LEMMA_32, product=ProductClaim(_part_psd)),
        "A and B symmetric only, in the product": replace(
            _LEMMA_32, product=ProductClaim(_symmetric_psd, semidefinite=False)
        ),
        "AB symmetric, with eigenvalues > 0": replace(
            _LEMMA_32,
            product=ProductClaim(lambda M: _symmetric_psd(M) and M[0, 0] * M[1, 1] > M[0, 1] ** 2),
        ),
        "tr(AB) >= 0 and det(AB) >= 0": replace(
            _LEMMA_32,
            product=ProductClaim(
                lambda M: M.trace() >= 0 and M[0, 0] * M[1, 1] >= M[0, 1] * M[1, 0]
            ),
        ),
    },
    hypotheses=("A and B are symmetric positive semidefinite",),
)
def LEMMA_32(claim: PositiveProducts, rng: np.random.Generator) -> Evidence:
    """Go through integer matrices; then tr(PP'QQ') = |P'Q|^2 in words, for every d."""
    wrong, tried = "", 0
    for A, B in product(_integer_matrices(), repeat=2):
        tried += 1
        wrong = wrong or _wrong_pair(claim, A, B)
    if not wrong:
        P, Q = matrix("P"), matrix("Q")
        square = (P.T @ Q @ Q.T @ P).trace()
        wrong = disagreement(claim.trace.trace(P @ P.T, Q @ Q.T), square, rng)
    return Evidence(
        not wrong,
        Grade.PROVED,
        "tr(PP'QQ') = |P'Q|^2 in words; AB, as the claim tests it, for all pairs of small integer"
        " matrices in exact arithmetic",
        f"the trace for every d; the product for {tried} pairs of 2 x 2 matrices (for every d: AB"
        " is symmetric if and only if AB = (AB)' = BA, and then A and B have one eigenbasis)",
        counterexample=wrong,
    )


def _integer_matrices() -> list[Any]:
    entries = product((-1, 0, 1, 2, 3), (-1, 0, 1), (-1, 0, 1, 2))
    return [np.array([[a, b], [b, c]], dtype=object) for a, b, c in entries]


def _wrong_pair(claim: PositiveProducts, A: Any, B: Any) -> str:
    definite = _part_psd(A) and _part_psd(B)
    told = f"A = {A.tolist()}, B = {B.tolist()}: AB = {(A @ B).tolist()}"
    trace, bound = claim.trace.trace(A, B), claim.trace.bound(A, B)
    if definite or not claim.trace.semidefinite:
        holds = trace > bound if claim.trace.strict else trace >= bound
        if not holds:
            return f"{told}, the trace is {trace} and its bound {bound}"
    commute = bool((A @ B == B @ A).all())
    if (definite or not claim.product.semidefinite) and claim.product.psd(A @ B) != commute:
        return f"{told}, A and B {'commute' if commute else 'do not commute'}, against the claim"
    return ""


STATEMENTS = (LEMMA_29, LEMMA_31, LEMMA_32)
