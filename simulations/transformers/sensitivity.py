"""How much a prediction moves with each example: derivatives by labels and by covariates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from simulations.transformers.models import tokens_of
from theory import PromptBatch, RegressionMixture

__all__ = ["Sensitivity", "model_sensitivity", "posterior_mean_sensitivity"]

#: Prompts that are differentiated at once.
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Derivatives of the predictions of every prefix of n = 1..k examples by these examples.

    Attributes
    ----------
    labels
        df_n/dy_i in entry [b, n - 1, i - 1], shape (batch, k, k), float64; 0 for i > n.
    covariates
        df_n/dx_i in entry [b, n - 1, i - 1], shape (batch, k, k, d), float64; 0 for i > n. The
        derivative by the query, x_{n+1}, is not among them.
    """

    labels: Float[np.ndarray, "batch k k"]
    covariates: Float[np.ndarray, "batch k k d"]


def model_sensitivity(model: nn.Module, prompts: PromptBatch) -> Sensitivity:
    """Differentiate the answers of a model on tokens, by autograd and in its own dtype.

    Parameters
    ----------
    model
        What it says in the columns of covariates, its first output, are the predictions.
    prompts
        Of one example or more.

    Raises
    ------
    ValueError
        If the prompts have no examples, or do not fit the model.
    """
    if prompts.num_examples == 0:
        raise ValueError("the prompts have no examples; expected one or more to differentiate by")
    dtype = next(model.parameters()).dtype
    tokens = tokens_of(prompts.xs, prompts.ys).to(dtype)
    found = [_gradients(model, part) for part in torch.split(tokens, _CHUNK)]
    gradients = np.concatenate(found)
    return Sensitivity(gradients[:, :, 1::2, 0].copy(), gradients[:, :, 0:-1:2].copy())


def _gradients(
    model: nn.Module, tokens: Float[torch.Tensor, "batch columns d"]
) -> Float[np.ndarray, "batch k columns d"]:
    """Derivatives of the answers at n = 1..k by all tokens; those by the query's are set to 0."""
    inputs = tokens.clone().requires_grad_()
    answers: torch.Tensor = model(inputs)[:, 2::2, 0]
    # Prompts do not meet: the gradient of a sum over them is that of each.
    totals = answers.sum(dim=0)
    rows = [torch.autograd.grad(total, inputs, retain_graph=True)[0] for total in totals]
    found = torch.stack(rows, dim=1)
    for n in range(len(rows)):
        found[:, n, 2 * n + 2 :] = 0
    return np.asarray(found.double().numpy())


def posterior_mean_sensitivity(mixture: RegressionMixture, prompts: PromptBatch) -> Sensitivity:
    """Differentiate the posterior mean of a mixture.

    With the posterior p of the first n examples, v_j = <w_j, x_{n+1}>, f_n = sum_j p_j v_j and
    r_ij = <w_j, x_i> - y_i,

        df_n/dy_i =   sigma^-2 sum_j p_j (v_j - f_n) <w_j, x_i>,
        df_n/dx_i = - sigma^-2 sum_j p_j (v_j - f_n) r_ij w_j,

    since log p_j is -(1 / 2 sigma^2) sum_i r_ij^2 and what all j share. The first is the posterior
    covariance of <w, x_i> and <w, x_{n+1}>, divided by sigma^2: examples move the prediction only
    while the posterior is undecided, and all i in law alike.

    Parameters
    ----------
    mixture
        With sigma > 0.
    prompts
        Of one example or more.

    Raises
    ------
    ValueError
        If sigma is 0, where f_n has jumps, or the prompts have no examples.

    Notes
    -----
    It follows from Pathak et al. 2023, eqs. (4) and (6).
    """
    if mixture.noise_std == 0 or prompts.num_examples == 0:
        raise ValueError(
            f"noise_std is {mixture.noise_std:g} and num_examples {prompts.num_examples}; expected"
            " noise, without which the posterior mean has jumps, and one example or more"
        )
    W, variance = mixture.components, mixture.noise_std**2
    posterior = mixture.posterior_all_prefixes(prompts)[:, 1:]
    images = prompts.xs @ W.T
    values, of_examples = images[:, 1:], images[:, :-1]
    mean = np.sum(posterior * values, axis=-1, keepdims=True)
    moved = posterior * (values - mean) / variance
    residuals = of_examples - prompts.ys[:, :, None]
    earlier = np.tri(prompts.num_examples)
    by_labels = np.einsum("bnj,bij,ni->bni", moved, of_examples, earlier, optimize=True)
    by_covariates = -np.einsum("bnj,bij,jd,ni->bnid", moved, residuals, W, earlier, optimize=True)
    return Sensitivity(by_labels, by_covariates)
