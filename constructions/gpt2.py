"""A plain torch GPT-2 that reads covariates and labels: trained, saved and compared.

It is the architecture of the experiments of pathak2023 and zhang2024 (Garg et al. 2022): tokens
x_1, (y_1, 0, ..., 0), x_2, ... pass through a linear read-in, pre-LayerNorm blocks and a linear
read-out; what the columns of covariates say are the predictions. The blocks are those of the stock
`transformers.GPT2Model`: `constructions.gpt2_files` exchanges weights with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["GPT2", "PATHAK2023", "GPT2Shape"]

#: Of every LayerNorm, as in the stock model.
EPSILON = 1e-5


@dataclass(frozen=True)
class GPT2Shape:
    """The sizes of a GPT-2, by the names of its configuration.

    Parameters
    ----------
    n_layer, n_head, n_embd, n_inner
        Layers, heads a layer, width of the residual stream and of the feed-forward part.
    activation_function
        "gelu" (the erf form) or "gelu_new" (the tanh form).

    Raises
    ------
    ValueError
        If a size is not positive, or the heads do not divide the width.
    """

    n_layer: int
    n_head: int
    n_embd: int
    n_inner: int
    activation_function: Literal["gelu", "gelu_new"] = "gelu"

    def __post_init__(self) -> None:
        if min(self.n_layer, self.n_head, self.n_embd, self.n_inner) < 1:
            raise ValueError(f"{self}: expected positive sizes")
        if self.n_embd % self.n_head:
            raise ValueError(f"{self}: n_embd is not a multiple of n_head")

    @property
    def d_head(self) -> int:
        """The width of a head."""
        return self.n_embd // self.n_head


#: The transformer of the experiments of pathak2023, Section 4 (256 wide, feed-forward 4 x 256).
PATHAK2023 = GPT2Shape(12, 8, 256, 1024, "gelu_new")


class GPT2(nn.Module):
    """A GPT-2 with a linear read-in and read-out, on tokens (batch, columns, dim).

    Parameters
    ----------
    shape
        The sizes.
    dim
        Entries of a token.
    num_positions
        Columns that have a learned position, >= 1; None for a model without positions, which
        takes prompts of any length.
    outputs
        Entries of an answer, >= 1.
    dropout
        The share of entries that training sets to zero, in [0, 1): of the embedding, of attention
        weights and of what either part of a layer adds, as in the stock model.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    def __init__(
        self,
        shape: GPT2Shape,
        dim: int,
        num_positions: int | None,
        outputs: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if min(dim, outputs) < 1 or (num_positions is not None and num_positions < 1):
            raise ValueError(
                f"GPT2: dim={dim}, outputs={outputs}, num_positions={num_positions}; expected"
                " integers >= 1, or None for num_positions"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"GPT2: dropout is {dropout}; expected a share in [0, 1)")
        self.shape, self.num_positions, self.dropout = shape, num_positions, dropout
        self.read_in = nn.Linear(dim, shape.n_embd)
        self.positions = (
            None
            if num_positions is None
            else nn.Parameter(torch.zeros(num_positions, shape.n_embd))
        )
        self.stack = nn.ModuleList(_Block(shape, dropout) for _ in range(shape.n_layer))
        self.final_norm = nn.LayerNorm(shape.n_embd, EPSILON)
        self.read_out = nn.Linear(shape.n_embd, outputs)

    @property
    def blocks(self) -> list[_Block]:
        """The layers, first to last."""
        return [block for block in self.stack if isinstance(block, _Block)]

    def initialise(self, std: float, generator: torch.Generator) -> None:
        """Draw all weights anew.

        Matrices and positions have independent normal entries of standard deviation `std`, divided
        by sqrt(2 n_layer) for the matrices that add to the residual stream (Radford et al. 2019);
        biases are 0 and gains 1.

        Parameters
        ----------
        std
            The standard deviation, > 0; the stock model has 0.02.
        generator
            Where the entries are drawn from.
        """
        added = {id(part) for block in self.blocks for part in (block.project, block.outward)}
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    adds = id(module) in added
                    own = std / (2 * self.shape.n_layer) ** 0.5 if adds else std
                    module.weight.normal_(0.0, own, generator=generator)
                    module.bias.zero_()
                elif isinstance(module, nn.LayerNorm):
                    module.reset_parameters()
            if self.positions is not None:
                self.positions.normal_(0.0, std, generator=generator)

    def forward(
        self, tokens: Float[Tensor, "batch columns dim"]
    ) -> Float[Tensor, "batch columns outputs"]:
        """Answer in every column, from the columns up to it.

        Raises
        ------
        ValueError
            If the prompt has more columns than the model has positions.
        """
        stream = self._embedded(tokens)
        for block in self.blocks:
            stream = block(stream)
        answers: Tensor = self.read_out(self.final_norm(stream))
        return answers

    def states(
        self, tokens: Float[Tensor, "batch columns dim"]
    ) -> tuple[Float[Tensor, "batch columns n_embd"], ...]:
        """Return the residual stream before the first layer and after each of them.

        Raises
        ------
        ValueError
            As `forward`.
        """
        found = [self._embedded(tokens)]
        for block in self.blocks:
            found.append(block(found[-1]))
        return tuple(found)

    def _embedded(self, tokens: Tensor) -> Tensor:
        columns = tokens.shape[-2]
        stream: Tensor = self.read_in(tokens)
        if self.positions is not None:
            if columns > len(self.positions):
                raise ValueError(
                    f"the prompt has {columns} columns ({columns // 2} examples), and the model"
                    f" {len(self.positions)} positions; expected at most"
                    f" {(len(self.positions) - 1) // 2} examples: shorten the prompt, or use a"
                    " model with more positions, or one without"
                )
            stream = stream + self.positions[:columns]
        return functional.dropout(stream, self.dropout, self.training)


class _Block(nn.Module):
    """h + attention(LayerNorm(h)), and to that its own feed-forward part of LayerNorm."""

    def __init__(self, shape: GPT2Shape, dropout: float) -> None:
        super().__init__()
        n = shape.n_embd
        self.heads, self.dropout = shape.n_head, dropout
        # "none" is torch's name for the erf form.
        self.approximate = "tanh" if shape.activation_function == "gelu_new" else "none"
        self.first_norm = nn.LayerNorm(n, EPSILON)
        self.attend = nn.Linear(n, 3 * n)  # queries, keys and values side by side
        self.project = nn.Linear(n, n)
        self.second_norm = nn.LayerNorm(n, EPSILON)
        self.inward = nn.Linear(n, shape.n_inner)
        self.outward = nn.Linear(shape.n_inner, n)

    def forward(self, stream: Float[Tensor, "batch columns n"]) -> Float[Tensor, "batch columns n"]:
        stream = stream + self._dropped(self.project(self._attention(self.first_norm(stream))))
        hidden = functional.gelu(
            self.inward(self.second_norm(stream)), approximate=self.approximate
        )
        return stream + self._dropped(self.outward(hidden))

    def _attention(self, normed: Tensor) -> Tensor:
        batch, columns, n = normed.shape
        split = self.attend(normed).view(batch, columns, 3, self.heads, n // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=self.dropout if self.training else 0.0, is_causal=True
        )
        return mixed.transpose(1, 2).reshape(batch, columns, n)

    def _dropped(self, added: Tensor) -> Tensor:
        return functional.dropout(added, self.dropout, self.training)
