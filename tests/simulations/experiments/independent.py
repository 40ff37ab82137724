"""The same expectations by other means: no prompts, no library, and the query averaged exactly.

With V = (w_1 - w', ..., w_m - w') the residuals under the components are A = X V, minus the noise,
and the error is kappa^2 |V p|^2. So only G = V'V matters: A has rows N(0, kappa^2 G).
"""

from collections.abc import Callable

import numpy as np

#: From sums of squared residuals, shape (runs, k+1, m), and sigma: weights of the components.
Weights = Callable[[np.ndarray, float], np.ndarray]


def posterior(sums: np.ndarray, sigma: float) -> np.ndarray:
    odds = np.exp(-(sums - sums.min(axis=2, keepdims=True)) / (2 * sigma**2))
    return odds / odds.sum(axis=2, keepdims=True)


def nearest(sums: np.ndarray, sigma: float) -> np.ndarray:
    best = (sums == sums.min(axis=2, keepdims=True)).astype(float)
    return best / best.sum(axis=2, keepdims=True)


def curve(
    W: np.ndarray,
    regressors: np.ndarray,
    rng: np.random.Generator,
    *,
    kappa: float,
    sigma: float,
    k: int,
    runs: int,
    weights: Weights = posterior,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of E (f(P) - y_{n+1})^2 / d for n = 0..k."""
    means, variances = [], []
    for w in regressors:
        V = (W - w).T
        G = V.T @ V
        values, vectors = np.linalg.eigh(G)
        root = vectors * np.sqrt(np.maximum(values, 0))
        A = kappa * rng.standard_normal((runs, k, len(W))) @ root.T
        squares = (A - sigma * rng.standard_normal((runs, k, 1))) ** 2
        sums = np.concatenate([np.zeros((runs, 1, len(W))), squares.cumsum(axis=1)], axis=1)
        p = weights(sums, sigma)
        errors = (kappa**2 * np.einsum("rnj,jl,rnl->rn", p, G, p) + sigma**2) / W.shape[1]
        means.append(errors.mean(axis=0))
        variances.append(errors.var(axis=0, ddof=1) / runs)
    return np.mean(means, axis=0), np.sqrt(np.sum(variances, axis=0)) / len(regressors)


def ridge_curve(
    d: int, sigma: float, k: int, runs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression with penalty sigma^2 for |w|^2 = d: sigma^2 (1 + E tr(X'X + sigma^2)^-1)/d.

    X'X has the singular values of a bidiagonal matrix of independent chi variables (Golub and
    Kahan; Dumitriu and Edelman 2002).
    """
    means, errors = [], []
    for n in range(k + 1):
        rank = min(n, d)
        B = np.zeros((runs, rank, rank))
        for i in range(rank):
            B[:, i, i] = np.sqrt(rng.chisquare(max(n, d) - i, runs))
            if i + 1 < rank:
                B[:, i + 1, i] = np.sqrt(rng.chisquare(rank - i - 1, runs))
        squares = np.linalg.svd(B, compute_uv=False) ** 2 if rank else np.zeros((runs, 0))
        trace = np.sum(1 / (squares + sigma**2), axis=1) + (d - rank) / sigma**2
        means.append(sigma**2 * (1 + trace.mean()) / d)
        errors.append(sigma**2 * trace.std(ddof=1) / runs**0.5 / d)
    return np.array(means), np.array(errors)
