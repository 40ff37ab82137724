"""The posterior of a mixture of linear regressions, and its accuracy (Pathak et al. 2023, eq. (4)).

These functions work on components of positive weight; `theory.mixture` is their public face.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from theory.misfit import Misfit
from theory.rounding import gamma, softmax_mean_error

__all__ = ["mean_error_bound", "posterior_scores"]


def posterior_scores(
    misfit: Misfit, weights: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "batch prefixes m"]:
    """Log-likelihood scores of the components after every prefix.

    Parameters
    ----------
    misfit
        The misfit of the m components on the prompts.
    weights
        The prior weights pi_j > 0, shape (m,).

    Returns
    -------
    numpy.ndarray
        l_nj = log pi_j - (1 / 2 sigma^2) sum_{i <= n} (r_ij^2 - min_l r_il^2), n = 0..k, shape
        (batch, k+1, m), float64. For sigma = 0, the limit: log pi_j where the sum is least up to
        rounding (`Misfit.best`), -infinity elsewhere.

    Raises
    ------
    OverflowError
        If a sum of squares exceeds the range of float64.

    Notes
    -----
    Source: Pathak et al. 2023, eq. (4).
    """
    finite = misfit.noise_std > 0
    losses = misfit.relative / 2.0 if finite else np.where(misfit.best(), 0.0, np.inf)
    return np.asarray(np.log(weights) - losses)


def mean_error_bound(
    misfit: Misfit, weights: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " batch"]:
    """Bound the rounding error of the posterior mean f = sum_j p_j v_j, v_j = <w_j, x_{k+1}>.

    The bound is

        min( max_j v_j - min_j v_j,
             sum_j p_j (e^{Delta_j} - 1) |v_j - f| / sum_j p_j e^{-Delta_j} )
        + gamma_{d+2m+8} sum_j p_j sum_l |w_jl x_{k+1,l}|,

    where Delta_j bounds the error of the score l_j (see `posterior_scores`):

        Delta_j = sum_i (2 |r_ij| e_ij + e_ij^2) / (2 sigma^2)
                  + gamma_{k+1} sum_i (r_ij^2 - min_l r_il^2) / (2 sigma^2) + gamma_8 (1 + |l_j|),
        e_ij = gamma_{d+4} (sum_l |w_jl x_il| + |y_i|),

    gamma_n = n u / (1 - n u) and u = 2^-53. The first term of Delta_j is what a change of the data
    in their last digits does to eq. (4); the others are summation and relative rounding. With
    Delta = max_j Delta_j, the first line is about Delta (max_j v_j - min_j v_j) or less. For
    sigma = 0 it is max_j |v_j - f| over the components that count as tied.

    Parameters
    ----------
    misfit
        The misfit of the m components on the prompts.
    weights
        The prior weights pi_j > 0, shape (m,).

    Returns
    -------
    numpy.ndarray
        The bounds, shape (batch,), float64.

    Raises
    ------
    OverflowError
        If a sum of squares exceeds the range of float64.

    Notes
    -----
    To first order in u, for exp and log good to 4 ulp, and any order of summation in <w_j, x>.
    """
    prompts, components = misfit.prompts, misfit.components
    scores = posterior_scores(misfit, weights)[:, -1]
    p = softmax(scores, axis=-1)
    values = prompts.queries @ components.T
    if misfit.noise_std > 0:
        score_errors = misfit.error()[:, -1] / 2.0 + gamma(8) * (1.0 + np.abs(scores))
        moved = softmax_mean_error(scores, score_errors, values)
    else:
        mean = np.sum(p * values, axis=-1, keepdims=True)
        moved = np.max(np.where(p > 0, np.abs(values - mean), 0.0), axis=-1)
    sizes = np.abs(prompts.queries) @ np.abs(components).T
    roundings = gamma(prompts.dim + 2 * len(components) + 8)
    return np.asarray(moved + roundings * np.sum(p * sizes, axis=-1))
