"""One layer of linear self-attention as a torch module, all its weights free."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import nn

from theory import LinearAttention

__all__ = ["LinearSelfAttention", "SelfAttention"]


@runtime_checkable
class SelfAttention(Protocol):
    """A layer with one W^PV and one W^KQ that answers the query of embedded prompts."""

    projection_value: nn.Parameter
    key_query: nn.Parameter

    def predict(
        self, embeddings: Float[torch.Tensor, "batch rows columns"]
    ) -> Float[torch.Tensor, " batch"]:
        """Return the bottom right entry of the layer's output, shape (batch,)."""
        ...


class LinearSelfAttention(nn.Module):
    """The layer E + W^PV E (E' W^KQ E) / N, with W^PV and W^KQ free, float64.

    Parameters
    ----------
    start
        The layer whose weights it begins with.

    Attributes
    ----------
    projection_value, key_query
        W^PV and W^KQ, parameters of shape (d+1, d+1).

    Notes
    -----
    Source: Zhang et al. 2024, eq. (3), with rho = N.
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
        return embeddings + self.projection_value @ embeddings @ scores / (scores.shape[-1] - 1)

    def predict(
        self, embeddings: Float[torch.Tensor, "batch rows columns"]
    ) -> Float[torch.Tensor, " batch"]:
        """Return the bottom right entry of `forward` at a cost of O(N d): eq. (6).

        It is r' G W^KQ z for the last row r' of W^PV, G = EE'/N with the query's own column in it,
        and the last column z of E; G r is taken as E (E' r) / N, so that G is not formed.
        """
        attended = embeddings @ (embeddings.mT @ self.projection_value[-1]).unsqueeze(-1)
        keys = embeddings[:, :, -1] @ self.key_query.mT
        return (attended.squeeze(-1) * keys).sum(dim=1) / (embeddings.shape[2] - 1)
