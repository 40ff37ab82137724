"""The architecture of pathak2023, Section 1.2, as a model to train, also from built weights.

Tokens enter by a linear map, next to rows that every column has of its own (positions), or shares
with all; the last state is read by a linear map. Nothing else is added to the paper's layers.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from constructions import CompiledCircuit
from constructions.architecture import LayerWeights, Transformer
from constructions.export.plain import MEANINGS, plain_arrays

__all__ = ["Section12"]


class Section12(nn.Module):
    """Columns E token + c_i, the layers of Section 1.2, and answers R h_i.

    Parameters
    ----------
    layers
        The weights of the layers, all with the same p.
    embedding
        E, shape (p, dim).
    constants
        What is added to the columns, shape (p, columns); or (p, 1), the same for all columns of
        prompts of any length.
    read_out
        R, shape (outputs, p).
    constant_columns
        How many of the columns stand before the prompt.

    Raises
    ------
    ValueError
        If shapes of the layers do not fit.
    """

    def __init__(
        self,
        layers: list[LayerWeights],
        embedding: Float[Tensor, "p dim"],
        constants: Float[Tensor, "p columns"],
        read_out: Float[Tensor, "outputs p"],
        constant_columns: int = 0,
    ) -> None:
        super().__init__()
        self.transformer = Transformer(layers)
        self.embedding = nn.Parameter(embedding)
        self.constants = nn.Parameter(constants)
        self.read_out = nn.Parameter(read_out)
        self.constant_columns = constant_columns

    @classmethod
    def random(
        cls,
        shape: tuple[int, int, int],
        dim: int,
        num_positions: int | None,
        std: float,
        generator: torch.Generator,
    ) -> Section12:
        """Draw weights as `GPT2.initialise` does.

        Parameters
        ----------
        shape
            Layers, heads and p; heads are p / heads wide, the feed-forward part 4 p.
        dim
            Entries of a token.
        num_positions
            Columns of a position of their own; None for one that all columns share.
        std
            Of the entries, divided by sqrt(2 layers) for W^C and W^out.
        generator
            Where they are drawn from.
        """
        layers, heads, p = shape
        added = std / (2 * layers) ** 0.5

        def drawn(*size: int, std: float = std) -> Tensor:
            return torch.empty(size).normal_(0.0, std, generator=generator)

        weights = [
            LayerWeights(
                query=drawn(heads, p // heads, p),
                key=drawn(heads, p // heads, p),
                value=drawn(heads, p // heads, p),
                output=drawn(heads, p, p // heads, std=added),
                inward=drawn(4 * p, p),
                outward=drawn(p, 4 * p, std=added),
            )
            for _ in range(layers)
        ]
        return cls(weights, drawn(p, dim), drawn(p, num_positions or 1), drawn(1, p))

    @classmethod
    def of(cls, model: CompiledCircuit) -> Section12:
        """Take the weights of a compiled circuit, in its own dtype.

        Parameters
        ----------
        model
            The compiled circuit; it is not changed.
        """
        arrays = {name: torch.from_numpy(array) for name, array in plain_arrays(model).items()}
        layers = [
            LayerWeights(**{name: arrays[f"layers.{number}.{name}"] for name in MEANINGS})
            for number in range(1, len(model.layers) + 1)
        ]
        return cls(
            layers,
            arrays["embedding"],
            arrays["constants"],
            arrays["read_out"],
            model.stream.before,
        )

    def forward(
        self, tokens: Float[Tensor, "batch columns dim"]
    ) -> Float[Tensor, "batch columns outputs"]:
        """Answer in every column of the prompt, from the columns up to it.

        Raises
        ------
        ValueError
            If the prompt has more columns than there are positions.
        """
        state = self.transformer(self.embedded(tokens))[..., self.constant_columns :]
        answers: Tensor = (self.read_out @ state).transpose(1, 2)
        return answers

    def states(
        self, tokens: Float[Tensor, "batch columns dim"]
    ) -> tuple[Float[Tensor, "batch columns p"], ...]:
        """Return the columns of the prompt, before the first layer and after each.

        Raises
        ------
        ValueError
            As `forward`.
        """
        found = [self.embedded(tokens)]
        for layer in self.transformer.layers:
            found.append(layer(found[-1]))
        return tuple(state[..., self.constant_columns :].transpose(1, 2) for state in found)

    def embedded(self, tokens: Float[Tensor, "batch columns dim"]) -> Float[Tensor, "batch p q"]:
        """Return the columns that the first layer sees.

        Raises
        ------
        ValueError
            As `forward`.
        """
        batch, columns, _ = tokens.shape
        before = self.constant_columns
        own: Tensor = self.constants
        if own.shape[1] == 1:
            own = own.expand(-1, columns)
        if before + columns > own.shape[1]:
            limit = own.shape[1] - before
            raise ValueError(
                f"the prompt has {columns} columns ({columns // 2} examples), and the model {limit}"
                f" positions; expected at most {(limit - 1) // 2} examples: shorten the prompt, or"
                " use a model with more positions, or one without"
            )
        prompt = self.embedding @ tokens.transpose(1, 2) + own[:, before : before + columns]
        return torch.cat([own[:, :before].expand(batch, -1, -1), prompt], dim=2)
