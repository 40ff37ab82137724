"""The transformer of Section 1.2, exactly; columns are tokens.

Attention is softmax over the *earlier* columns only (no self, no scale; nothing at column 1), the
feed-forward part is W_out gelu(W_in lambda(v)) with the erf GeLU, and LayerNorm lambda has neither
gain nor bias nor epsilon. Both parts add to the residual stream.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

#: Logits that heads compute at once: more fall out of the processor's cache.
LOGITS = 2**19


class ConstantColumnError(ValueError):
    """A column whose entries are all equal has no LayerNorm (0/0)."""


@dataclass(frozen=True)
class LayerWeights:
    """The weights of display (3) for one layer.

    Parameters
    ----------
    query, key, value
        W^Q, W^K, W^V, each (heads, d_att, p).
    output
        W^C (heads, p, d_att).
    inward, outward
        W^in (d_ff, p) and W^out (p, d_ff).
    """

    query: Float[Tensor, "heads d_att p"]
    key: Float[Tensor, "heads d_att p"]
    value: Float[Tensor, "heads d_att p"]
    output: Float[Tensor, "heads p d_att"]
    inward: Float[Tensor, "d_ff p"]
    outward: Float[Tensor, "p d_ff"]


class Layer(nn.Module):
    """One layer: h_i' = a_i + h_i + W_out gelu(W_in lambda(a_i + h_i)), pathak2023 Section 1.2.

    Parameters
    ----------
    weights
        The weights; they become the module's parameters, in their own dtype. Zero heads and a
        zero feed-forward width are allowed and leave that part out.
    """

    def __init__(self, weights: LayerWeights) -> None:
        super().__init__()
        self.query = nn.Parameter(weights.query)
        self.key = nn.Parameter(weights.key)
        self.value = nn.Parameter(weights.value)
        self.output = nn.Parameter(weights.output)
        self.inward = nn.Parameter(weights.inward)
        self.outward = nn.Parameter(weights.outward)

    def weights(self) -> LayerWeights:
        """Return the weights as they are now, outside autograd."""
        return LayerWeights(
            *(
                parameter.detach()
                for parameter in (
                    self.query,
                    self.key,
                    self.value,
                    self.output,
                    self.inward,
                    self.outward,
                )
            )
        )

    def attend(self, H: Float[Tensor, "batch p q"]) -> Float[Tensor, "batch p q"]:
        """Return a_i = sum_heads W^C W^V H_{:i} softmax((W^K H_{:i})' W^Q h_i); a_1 = 0."""
        attended = torch.zeros_like(H)
        batch, _, q = H.shape
        if q == 1:
            return attended
        heads = self.query.shape[0]
        hidden = torch.ones(q - 1, q - 1, dtype=torch.bool, device=H.device).triu(diagonal=1)
        together = max(1, LOGITS // (batch * (q - 1) ** 2))
        for first in range(0, heads, together):
            attended[..., 1:] += self._heads(slice(first, first + together), H, hidden)
        return attended

    def _heads(
        self, some: slice, H: Float[Tensor, "batch p q"], hidden: Bool[Tensor, "seen seen"]
    ) -> Float[Tensor, "batch p seen"]:
        """What some heads add to columns 2..q."""
        # Column i + 1 sees columns 1..i: keys drop the last column, queries the first.
        before, after = H[..., :-1], H[..., 1:]
        keys, queries, values = (
            (weights[some].flatten(0, 1) @ columns).reshape(len(H), *weights[some].shape[:2], -1)
            for weights, columns in ((self.key, before), (self.query, after), (self.value, before))
        )
        # A row for each query: softmax is much faster along contiguous entries.
        logits = queries.transpose(-1, -2) @ keys
        weights = logits.masked_fill_(hidden, -torch.inf).softmax(dim=-1)
        mixed = (values @ weights.transpose(-1, -2)).flatten(1, 2)
        added: Tensor = self.output[some].transpose(0, 1).flatten(1) @ mixed
        return added

    def feed_forward(self, V: Float[Tensor, "batch p q"]) -> Float[Tensor, "batch p q"]:
        """Return W_out gelu(W_in lambda(v)) for every column v."""
        # Neurons last is the faster layout. One product a prompt, rather than one for the batch:
        # then the last bits do not depend on the number of threads.
        inward, outward = (
            weights.T.expand(len(V), -1, -1) for weights in (self.inward, self.outward)
        )
        hidden = nn.functional.gelu(torch.bmm(layer_norm(V).transpose(1, 2), inward))
        increment: Tensor = torch.bmm(hidden, outward).transpose(1, 2)
        return increment

    def forward(self, H: Float[Tensor, "batch p q"]) -> Float[Tensor, "batch p q"]:
        """Apply the layer to matrices (batch, p, q)."""
        V = H + self.attend(H) if self.query.shape[0] else H
        return V + self.feed_forward(V) if self.inward.shape[0] else V


def layer_norm(V: Float[Tensor, "batch p q"]) -> Float[Tensor, "batch p q"]:
    """Return lambda(v) = sqrt(p) (v - mean(v) 1) / |v - mean(v) 1| for every column v.

    Source: pathak2023, Section 1.2. No gain, bias or epsilon.

    Raises
    ------
    ConstantColumnError
        If a column's entries are all equal, where lambda is 0/0.
    """
    constant = V.amax(dim=-2) == V.amin(dim=-2)
    if bool(constant.any()):
        item, column = (int(i) + 1 for i in constant.nonzero()[0])
        raise ConstantColumnError(
            f"column {column} of matrix {item} has equal entries, so that LayerNorm is 0/0; "
            "give the column an entry that differs, such as a constant row"
        )
    centred = V - V.mean(dim=-2, keepdim=True)
    norm = torch.linalg.vector_norm(centred, dim=-2, keepdim=True)
    limits = torch.finfo(V.dtype)
    if bool(((norm < limits.tiny**0.25) | (norm > limits.max**0.25)).any()):
        # The squares of such entries under- or overflow; lambda does not see the scale.
        centred = centred / centred.abs().amax(dim=-2, keepdim=True)
        norm = torch.linalg.vector_norm(centred, dim=-2, keepdim=True)
    root: float = V.shape[-2] ** 0.5
    normalised: Tensor = centred * (root / norm)
    return normalised


class Transformer(nn.Module):
    """Layers one after the other on matrices (batch, p, q), float32 or float64.

    Parameters
    ----------
    layers
        The weights of each layer; all with the same p.

    Raises
    ------
    ValueError
        If shapes within a layer, or p or dtypes between layers, do not fit; all problems at once.
    """

    def __init__(self, layers: list[LayerWeights]) -> None:
        super().__init__()
        if problems := _problems(layers):
            raise ValueError("transformer: " + "; ".join(problems))
        self.stack = nn.ModuleList(Layer(weights) for weights in layers)

    @property
    def layers(self) -> list[Layer]:
        """The layers, first to last."""
        return [layer for layer in self.stack if isinstance(layer, Layer)]

    def forward(self, H: Float[Tensor, "batch p q"]) -> Float[Tensor, "batch p q"]:
        """Apply all layers."""
        for layer in self.layers:
            H = layer(H)
        return H


def _problems(layers: list[LayerWeights]) -> list[str]:
    if not layers:
        return ["no layers"]
    p, dtype = layers[0].outward.shape[0], layers[0].outward.dtype
    found = []
    for number, weights in enumerate(layers, start=1):
        heads, d_att = weights.query.shape[0], weights.query.shape[1]
        d_ff = weights.inward.shape[0]
        expected = {
            "query": (heads, d_att, p),
            "key": (heads, d_att, p),
            "value": (heads, d_att, p),
            "output": (heads, p, d_att),
            "inward": (d_ff, p),
            "outward": (p, d_ff),
        }
        for name, shape in expected.items():
            tensor: Tensor = getattr(weights, name)
            if tuple(tensor.shape) != shape or tensor.dtype != dtype:
                found.append(
                    f"layer {number}: {name} is {tuple(tensor.shape)} {tensor.dtype}, "
                    f"expected {shape} {dtype}"
                )
    return found
