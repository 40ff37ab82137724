"""Why no layer of the architecture is exact on all matrices: what a layer adds is bounded.

LayerNorm has |lambda(v)| = sqrt(p) and gelu has |gelu(u)| <= |u|, so that the feed-forward part
adds at most |W_out[r]| |W_in|_F sqrt(p) to row r, whatever the input. Attention adds a convex
combination of what the earlier columns hold, which does not depend on the column itself. An
operator that must replace an entry by something far away, in a column whose earlier columns are
zero or constant, is then out of reach, for every choice of weights.
"""

import numpy as np
import torch
from jaxtyping import Float

from constructions.architecture import LayerWeights


def feed_forward_bound(weights: LayerWeights) -> Float[np.ndarray, " p"]:
    """Return, for each row, a bound on what the feed-forward part can add to it, for any input.

    |W_out[r] gelu(W_in lambda(v))| <= |W_out[r]|_2 |W_in|_F sqrt(p).
    Source: pathak2023, Section 1.2.
    """
    p = weights.outward.shape[0]
    inward = torch.linalg.matrix_norm(weights.inward.double())
    return _numpy(weights.outward.double().norm(dim=1) * inward * p**0.5)


def attention_bound(
    weights: LayerWeights, earlier: Float[torch.Tensor, "p columns"]
) -> Float[np.ndarray, " p"]:
    """Return, for each row, a bound on what attention can add to a column after ``earlier``.

    sum_heads max_j |W^C W^V h_j|[r] over the earlier columns j, for any query.
    Source: pathak2023, Section 1.2.
    """
    bound = torch.zeros(weights.outward.shape[0], dtype=torch.float64)
    if earlier.shape[1]:
        for value, output in zip(weights.value, weights.output, strict=True):
            bound += (output @ value @ earlier).double().abs().amax(dim=1)
    return _numpy(bound)


def _numpy(rows: torch.Tensor) -> Float[np.ndarray, " p"]:
    array: Float[np.ndarray, " p"] = rows.cpu().numpy()
    return array
