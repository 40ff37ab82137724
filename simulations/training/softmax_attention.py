"""One head of softmax attention of the same shape: the comparison that Zhang et al. leave out."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import nn

from theory import LinearAttention

__all__ = ["SoftmaxSelfAttention"]


class SoftmaxSelfAttention(nn.Module):
    """The layer E + W^PV E softmax(E' W^KQ E), the softmax over each column, float64.

    It has the weights of `simulations.training.LinearSelfAttention` and attends to the same
    columns, the query's own among them; the softmax takes the place of the division by N. To first
    order in W^KQ its answer is the mean of the values over the columns plus their covariance with
    the scores, where the linear layer has the mean of value times score.

    Parameters
    ----------
    start
        The weights it begins with.

    Attributes
    ----------
    projection_value, key_query
        W^PV and W^KQ, parameters of shape (d+1, d+1).
    """

    def __init__(self, start: LinearAttention) -> None:
        super().__init__()
        self.projection_value = nn.Parameter(torch.tensor(start.projection_value))
        self.key_query = nn.Parameter(torch.tensor(start.key_query))

    def forward(
        self, embeddings: Float[torch.Tensor, "batch rows columns"]
    ) -> Float[torch.Tensor, "batch rows columns"]:
        """Apply the whole layer to embeddings E, shape (batch, d+1, N+1)."""
        scores = embeddings.mT @ self.key_query @ embeddings
        return embeddings + self.projection_value @ embeddings @ torch.softmax(scores, dim=1)

    def predict(
        self, embeddings: Float[torch.Tensor, "batch rows columns"]
    ) -> Float[torch.Tensor, " batch"]:
        """Return the bottom right entry of `forward`, shape (batch,), at a cost of O(N d)."""
        keys = embeddings[:, :, -1] @ self.key_query.mT
        scores = (embeddings.mT @ keys.unsqueeze(-1)).squeeze(-1)
        values = embeddings.mT @ self.projection_value[-1]
        return (values * torch.softmax(scores, dim=1)).sum(dim=1)
