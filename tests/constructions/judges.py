"""The judges: the paper's formulas in plain loops. They share no code with `constructions`.

Rows and columns count from 1 here as in the paper; `at` and `put` do the shifting. Entries may be
float64, longdouble, mpmath or sympy numbers, and the matching exponential is an argument.
"""

# ruff: noqa: PLR0917  (the paper's operators take up to eleven arguments in a row)

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[Any]
Exp = Callable[[Any], Any]


# --- Section 1.2: one layer ------------------------------------------------------------------


def gelu(u: float) -> float:
    return u / 2 * (1 + math.erf(u / math.sqrt(2)))


def layer_norm(v: Matrix) -> Matrix:
    """sqrt(p) (v - mean 1) / |v - mean 1| of one column."""
    p = len(v)
    mean = sum(v) / p
    norm = math.sqrt(sum((entry - mean) ** 2 for entry in v))
    return np.array([math.sqrt(p) * (entry - mean) / norm for entry in v])


def attention(H: Matrix, heads: Sequence[tuple[Matrix, Matrix, Matrix, Matrix]]) -> Matrix:
    """a_1, ..., a_q as columns, for heads (W^Q, W^K, W^V, W^C)."""
    a = np.zeros_like(H)
    for i in range(2, H.shape[1] + 1):
        for W_Q, W_K, W_V, W_C in heads:
            earlier = [H[:, j - 1] for j in range(1, i)]
            logits = [float(np.dot(W_K @ h, W_Q @ H[:, i - 1])) for h in earlier]
            powers = [math.exp(logit - max(logits)) for logit in logits]
            for h, power in zip(earlier, powers, strict=True):
                a[:, i - 1] += W_C @ (W_V @ h) * (power / sum(powers))
    return a


def layer(
    H: Matrix,
    heads: Sequence[tuple[Matrix, Matrix, Matrix, Matrix]],
    W_in: Matrix,
    W_out: Matrix,
) -> Matrix:
    """h_i' = a_i + h_i + W_out gelu(W_in lambda(a_i + h_i)), column by column."""
    V = H + attention(H, heads)
    result = V.copy()
    if len(W_in):
        for i in range(1, H.shape[1] + 1):
            hidden = W_in @ layer_norm(V[:, i - 1])
            result[:, i - 1] += W_out @ np.array([gelu(float(u)) for u in hidden])
    return result


# --- Appendix B: the ten operators -----------------------------------------------------------


def at(H: Matrix, row: int, column: int) -> Any:
    return H[row - 1, column - 1]


def put(H: Matrix, row: int, column: int, value: Any) -> None:
    H[row - 1, column - 1] = value


def copy_down(H: Matrix, k: int, k1: int, last: int, columns: Collection[int]) -> Matrix:
    result = H.copy()
    for i in columns:
        for t in range(last - k + 1):
            put(result, k1 + t, i, at(H, k + t, i))
    return result


mov = copy_down  # Appendix B.3.1 words it in the same way, without k' >= k.


def copy_over(H: Matrix, k: int, k1: int, last: int, columns: Collection[int]) -> Matrix:
    result = H.copy()
    for i in columns:
        for t in range(last - k + 1):
            put(result, k1 + t, i, at(H, k + t, i - 1))
    return result


def mul(H: Matrix, k: int, k1: int, k2: int, last: int, columns: Collection[int]) -> Matrix:
    result = H.copy()
    for i in columns:
        for t in range(last - k + 1):
            put(result, k2 + t, i, at(H, k + t, i) * at(H, k1 + t, i))
    return result


def aff(
    H: Matrix,
    k: int, k1: int, k2: int, last: int, last1: int, last2: int,
    W: Matrix, W1: Matrix, b: Sequence[Any],
    columns: Collection[int],
) -> Matrix:  # fmt: skip
    result = H.copy()
    for i in columns:
        for u in range(last2 - k2 + 1):
            total = b[u]
            for t in range(last - k + 1):
                total = total + W[u][t] * at(H, k + t, i)
            for t in range(last1 - k1 + 1):
                total = total + W1[u][t] * at(H, k1 + t, i)
            put(result, k2 + u, i, total)
    return result


def scaled_agg(
    H: Matrix, alpha: Any, k: int, last: int, k1: int, i: int, columns: Collection[int]
) -> Matrix:
    result = H.copy()
    for t in range(last - k + 1):
        total = alpha * 0
        for j in columns:
            total = total + at(H, k + t, j)
        put(result, k1 + t, i, alpha * total)
    return result


def soft(H: Matrix, k: int, last: int, k1: int, exp: Exp = np.exp) -> Matrix:
    result, q = H.copy(), H.shape[1]
    powers = [exp(at(H, row, q)) for row in range(k, last + 1)]
    for t, power in enumerate(powers):
        put(result, k1 + t, q, power / sum(powers))
    return result


def div(H: Matrix, j: int, k: int, k1: int, last: int, columns: Collection[int]) -> Matrix:
    result = H.copy()
    for i in columns:
        for t in range(last - k + 1):
            put(result, k1 + t, i, at(H, k + t, i) / at(H, j, i))
    return result


def sigmoid(H: Matrix, k: int, k1: int, exp: Exp = np.exp) -> Matrix:
    result, q = H.copy(), H.shape[1]
    put(result, k1, q, 1 / (1 + exp(-at(H, k, q))))
    return result


def raw(
    H: Matrix,
    kind: str,
    rows_i: Sequence[int], rows_j: Sequence[int], rows_k: Sequence[int],
    T_i: Matrix, T_j: Matrix, T_k: Matrix,
    pi: Mapping[int, Collection[int]],
) -> Matrix:  # fmt: skip
    """Display (8a), with every sum written out; r is the number of columns of T_K."""
    result, r = H.copy(), T_k.shape[1]
    for i in range(1, H.shape[1] + 1):
        seen = pi.get(i, ())
        combined = []
        for u in range(r):
            aggregate, own = 0, 0
            for t, row in enumerate(rows_i):
                for j in seen:
                    aggregate = aggregate + T_i[u][t] * at(H, row, j) / max(len(seen), 1)
            for t, row in enumerate(rows_j):
                own = own + T_j[u][t] * at(H, row, i)
            combined.append(own + aggregate if kind == "+" else own * aggregate)
        for t, row in enumerate(rows_k):
            put(result, row, i, sum(T_k[t][u] * combined[u] for u in range(r)))
    return result


# --- Appendix B.2.1: the matrices H^(0), H^(1), ... -------------------------------------------


def stages(
    W: Matrix,
    sigma: Any,
    xs: Matrix,
    ys: Matrix,
    log_prior: Matrix | None = None,
    exp: Exp = np.exp,
) -> list[Matrix]:
    """H^(0), ..., H^(9) of the illustration (one more with a prior), from formulas alone.

    Every block is written from x, y, W* and sigma, never from an earlier matrix; `since` says in
    which matrix it appears. W is (m, d), xs (k + 1, d), ys (k,).
    """
    (m, d), k = W.shape, len(ys)
    extra = 0 if log_prior is None else 1
    p, q = 2 * d + (4 + extra) * m + 2, 2 * k + 1
    r = [W @ xs[j] - ys[j] for j in range(k)]
    at_query = W @ xs[k]
    scores = [-sum((r[j][c] ** 2 for j in range(k)), sigma * 0) / (2 * sigma**2) for c in range(m)]
    prior = [sigma * 0] * m if log_prior is None else log_prior
    logits = [score + a for score, a in zip(scores, prior, strict=True)]
    shift = logits[0] * 0 if W.dtype == object else max(logits)
    powers = [exp(logit - shift) for logit in logits]
    posterior = [power / sum(powers) for power in powers]
    mean = sum(posterior[c] * at_query[c] for c in range(m))

    first = {"token": 1, "x": d + 1, "y": 2 * d + 1, "r": 2 * d + 2, "s": 2 * d + 2 + m}
    first["l"] = 2 * d + 2 + 2 * m
    first["p"] = first["l"] + extra * m
    first["pr"] = first["p"] + m
    first["f"] = first["pr"] + m

    blocks: list[tuple[int, str, int, Sequence[Any]]] = []  # since, register, column, entries
    for j in range(1, k + 2):
        blocks += [(0, "token", 2 * j - 1, xs[j - 1]), (1, "x", 2 * j - 1, xs[j - 1])]
    for j in range(1, k + 1):
        blocks += [
            (0, "token", 2 * j, [ys[j - 1]]),
            (2, "x", 2 * j, xs[j - 1]),
            (3, "y", 2 * j, [ys[j - 1]]),
            (4, "r", 2 * j, r[j - 1]),
            (5, "s", 2 * j, r[j - 1] ** 2),
        ]
    blocks += [(4, "r", q, at_query), (6, "s", q, scores)]
    if log_prior is not None:
        blocks.append((7, "l", q, logits))
    products = [posterior[c] * at_query[c] for c in range(m)]
    blocks += [
        (7 + extra, "p", q, posterior),
        (8 + extra, "pr", q, products),
        (9 + extra, "f", q, [mean]),
    ]

    matrices = []
    for stage in range(10 + extra):
        H = np.zeros((p, q), dtype=np.result_type(W, xs))
        for since, register, column, entries in blocks:
            if since <= stage:
                for t, entry in enumerate(entries):
                    put(H, first[register] + t, column, entry)
        matrices.append(H)
    return matrices
