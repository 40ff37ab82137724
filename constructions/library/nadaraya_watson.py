"""The Nadaraya-Watson smoother: softmax attention as itself."""

import numpy as np

from constructions.box import Box
from constructions.circuit import Circuit, Prompt
from constructions.values import Affine, attention, previous


def nadaraya_watson_circuit(dim: int, max_examples: int, box: Box, bandwidth: float) -> Circuit:
    """Return the circuit of the Gaussian-kernel smoother, at every prefix: two layers of one head.

    f(x) = sum_j y_j e^{-|x - x_j|^2 / 2 h^2} / sum_j e^{-|x - x_j|^2 / 2 h^2} over j <= k, and 0
    without examples. |x|^2 is the same for all j and drops out of the softmax; what is left of the
    logit is bilinear, <(x, -1/2) / h^2, (x_j, |x_j|^2)>: the first layer forms (x_j, |x_j|^2) in
    the label columns, the second attends to them. Logits are rounded relative to their bound over
    the box, about R^2 / h^2, and the answer by as much.
    Source: Nadaraya 1964; Watson 1964.

    Parameters
    ----------
    dim
        d >= 1.
    max_examples
        K >= 0.
    box
        Bounds on covariates and labels.
    bandwidth
        h > 0.

    Raises
    ------
    ValueError
        If the bandwidth is not a finite positive number.
    """
    if not 0 < bandwidth < np.inf:
        raise ValueError(f"bandwidth is {bandwidth}, expected a finite positive number")
    prompt = Prompt(dim, max_examples, box)
    scale = bandwidth**-2
    last = np.eye(dim + 1)[dim]
    query = scale * (np.eye(dim + 1, dim) @ prompt.covariate) - scale / 2 * last
    example = previous(prompt.covariate)
    square = np.outer(last, np.ones(dim)) @ (example * example)
    key: Affine = np.eye(dim + 1, dim) @ example + square
    answer = attention(query, key, prompt.label)
    return Circuit("nadaraya-watson", prompt, answer, {"example": example})
