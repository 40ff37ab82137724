"""A compiled circuit as the files of a stock GPT-2, which `GPT2Model.from_pretrained` reads.

GPT-2 differs from Section 1.2 of pathak2023 in four ways, and the plans of the circuit are lowered
once more to meet them.

* Attention reads through LayerNorm, as the feed-forward part does: every query, key and value is
  read relative to the zero row and multiplied back by L / sqrt(n_embd / 2). Rows that only
  attention reads are therefore stored as loudly as all others.
* Logits are divided by sqrt(d_head): queries are multiplied by it.
* A column sees itself, too: `constructions.export.self_attention` says where that changes nothing.
* The last state passes through LayerNorm: the read-out is relative to the zero row, too.

Constants are the position embeddings, tokens enter as ``inputs_embeds``, all biases are zero and
all gains one. LayerNorm's epsilon is GPT-2's own 1e-5, beside a variance of 2 L^2 / n_embd > 1e15.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from jaxtyping import Float

from constructions.architecture import LayerWeights
from constructions.compiled_circuit import CompiledCircuit
from constructions.export.gelu_new import gelu_new_square
from constructions.export.self_attention import self_attention_problems
from constructions.gpt2 import GPT2Shape
from constructions.layer_plan import Head, LayerPlan, Product
from constructions.lowering import lower
from constructions.passes.allocate import QUIET
from constructions.planning import Planner
from constructions.stream import ResidualStream

Array = Float[np.ndarray, "..."]


def smallest_shape(model: CompiledCircuit) -> GPT2Shape:
    """Return the narrowest GPT-2 that holds a model, with as few heads as that width allows."""
    rows, parts = model.stream.num_rows, [part for plan in model.plans for part in plan.heads]
    longest = max((len(head.logits) for head in parts), default=1)
    most = max((_heads_at(plan, 1) for plan in model.plans), default=0)
    found = []
    for n_head in range(1, max(most, 1) + 1):
        d_head = max(longest, -(-rows // n_head))
        widest = max([d_head, *(len(head.values) for head in parts)])
        fits = (
            d
            for d in range(d_head, widest + 1)
            if all(_heads_at(plan, d) <= n_head for plan in model.plans)
        )
        if (d := next(fits, None)) is not None:
            found.append((d * n_head, n_head))
    n_embd, n_head = min(found)
    return GPT2Shape(len(model.plans), n_head, n_embd, max(1, _neurons(model)))


def gpt2_problems(model: CompiledCircuit, shape: GPT2Shape) -> list[str]:
    """Return why a model cannot become a GPT-2 of this shape, with what it needs; empty if it can.

    Parameters
    ----------
    model
        The compiled circuit.
    shape
        The sizes to export to.
    """
    heads = [head for plan in model.plans for head in plan.heads]
    longest = max((len(head.logits) for head in heads), default=0)
    most = max((_heads_at(plan, shape.d_head) for plan in model.plans), default=0)
    needs = [
        (len(model.plans), "n_layer", shape.n_layer, "layers"),
        (model.stream.num_rows, "n_embd", shape.n_embd, "rows of the residual stream"),
        (longest, "n_embd / n_head", shape.d_head, "pairs of a key and a query in one head"),
        (most, "n_head", shape.n_head, f"heads in one layer, of at most {shape.d_head} values"),
        (_neurons(model), "n_inner", shape.n_inner, "neurons in one layer"),
    ]
    found = [
        f"{name} is {given}, but the model needs {needed} {what}"
        for needed, name, given, what in needs
        if needed > given
    ]
    if model.dtype != torch.float64:
        found.append(f"the model is {model.dtype}: build it in float64")
    return found + self_attention_problems(model)


def gpt2_files(model: CompiledCircuit, shape: GPT2Shape | None = None) -> dict[str, bytes]:
    """Return the files of a stock GPT-2 that computes what the model computes, by name.

    ``config.json`` and ``model.safetensors`` are what `transformers.GPT2Model.from_pretrained`
    reads; ``prompts.npz`` holds ``embedding`` (d, n_embd), ``read_out`` (n_embd, dim) and
    ``constant_columns``. With tokens (batch, constant_columns + 2k + 1, d), zero in the constant
    columns, the answers are (last hidden state of ``inputs_embeds`` = tokens @ embedding) @
    read_out, in the columns of covariates. Docs: docs/export.md.

    Parameters
    ----------
    model
        The compiled circuit, float64; it is lowered again from its plans.
    shape
        The sizes; by default the smallest.

    Raises
    ------
    ValueError
        If the model does not fit, with everything that is missing.
    """
    shape = smallest_shape(model) if shape is None else shape
    if problems := gpt2_problems(model, shape):
        raise ValueError(f"{model.circuit.name} cannot become this GPT-2: {'; '.join(problems)}")
    target = _Target.of(model, shape)
    prompts = io.BytesIO()
    np.savez(
        prompts,
        embedding=target.embedding(model.circuit.prompt.dim),
        read_out=target.read_out(),
        constant_columns=np.array(target.stream.before),
    )
    return {
        "config.json": json.dumps(_config(shape, target.stream.num_columns), indent=2).encode(),
        "model.safetensors": safetensors.numpy.save(target.weights(), {"format": "pt"}),
        "prompts.npz": prompts.getvalue(),
    }


def _heads_at(plan: LayerPlan, d_head: int) -> int:
    """How many heads of GPT-2 a layer takes: values that do not fit are split, logits repeated."""
    return sum(-(-len(head.values) // d_head) for head in plan.heads)


def _neurons(model: CompiledCircuit) -> int:
    """The most neurons of a layer; squares with wings are exported without."""
    if model.winged is None:
        return max(layer.weights().inward.shape[0] for layer in model.layers)
    squares = [
        sum(1 if p.left == p.right else 2 for p in plan.locals if isinstance(p, Product))
        for plan in model.plans
    ]
    return 2 * len(model.square.scales) * max(squares)


def _config(shape: GPT2Shape, num_columns: int) -> dict[str, Any]:
    return {
        "architectures": ["GPT2Model"],
        "model_type": "gpt2",
        **asdict(shape),
        "n_positions": num_columns,
        "vocab_size": 1,
        "layer_norm_epsilon": 1e-5,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": None,
        "eos_token_id": None,
        "dtype": "float64",
    }


@dataclass(frozen=True)
class _Target:
    """The residual stream of the GPT-2, and everything that is lowered onto it."""

    shape: GPT2Shape
    stream: ResidualStream
    plans: list[LayerPlan]
    answers: list[dict[int, float]]
    layers: list[LayerWeights]

    @classmethod
    def of(cls, model: CompiledCircuit, shape: GPT2Shape) -> "_Target":
        limits, before = torch.finfo(torch.float64), model.stream.before
        stream = ResidualStream(
            [
                (" | ".join(row.labels), row.scale if row.multiplied else row.scale * QUIET)
                for row in model.allocation.rows
            ],
            model.circuit.prompt.num_columns,
            limits.eps,
            limits.tiny,
            num_basis=model.stream.num_basis,
            prefix=before > 0,
            gated=before == 0,
        )
        planner = Planner(model.folded, model.ranges, model.allocation, stream)
        plans, answers = planner.plan(model.schedule), planner.forms(model.folded.output)
        # LayerNorm divides by the norm of all n_embd rows, and averages over them.
        for t in range(shape.n_embd - stream.num_rows):
            stream.constant(f"unused {t + 1}", np.zeros(stream.num_columns))
        square = model.square
        if shape.activation_function == "gelu_new":
            square = gelu_new_square(len(square.scales), square.relative_error)
        return cls(shape, stream, plans, answers, lower(plans, stream, torch.float64, square))

    def embedding(self, dim: int) -> Array:
        """Tokens (columns, d) @ this are rows of the stream, in stored units."""
        matrix: Array = np.eye(dim, self.stream.num_rows) * self.stream.units()
        return matrix

    def read_out(self) -> Array:
        """The state after the last LayerNorm (columns, n_embd) @ this are the answers."""
        weights = np.zeros((len(self.answers), self.stream.num_rows))
        for t, form in enumerate(self.answers):
            for row, coefficient in form.items():
                weights[t, row] = coefficient / self.stream.rows[row].unit
        return self._normed(weights).T.copy()

    def weights(self) -> dict[str, Array]:
        """All weights by the names of GPT2Model; layers that are not used add nothing."""
        shape, stream = self.shape, self.stream
        n = shape.n_embd
        blank = np.zeros((1, stream.num_columns - stream.before))
        positions = stream.embed(blank) * stream.units()[:, None]
        named = {
            "wte.weight": np.zeros((1, n)),
            "wpe.weight": positions.T.copy(),
            "ln_f.weight": np.ones(n),
            "ln_f.bias": np.zeros(n),
        }
        for number in range(shape.n_layer):
            for module, matrix in {**self._attention(number), **self._feed_forward(number)}.items():
                named[f"h.{number}.{module}.weight"] = matrix
                named[f"h.{number}.{module}.bias"] = np.zeros(matrix.shape[1])
            for norm in ("ln_1", "ln_2"):
                named[f"h.{number}.{norm}.weight"] = np.ones(n)
                named[f"h.{number}.{norm}.bias"] = np.zeros(n)
        return named

    def _attention(self, number: int) -> dict[str, Array]:
        """c_attn holds queries, keys and values side by side, each head by head."""
        n, d_head = self.shape.n_embd, self.shape.d_head
        parts = np.zeros((3, self.shape.n_head, d_head, n))
        outputs = np.zeros((self.shape.n_head, d_head, n))
        slot = 0
        for head, queries, keys, values, output in self._heads(number):
            pairs = len(head.logits)
            for first in range(0, len(head.values), d_head):
                some = slice(first, min(first + d_head, len(head.values)))
                parts[0, slot, :pairs] = queries[:pairs] * np.sqrt(d_head)
                parts[1, slot, :pairs] = keys[:pairs]
                parts[2, slot, : some.stop - first] = values[some]
                outputs[slot, : some.stop - first] = output.T[some]
                slot += 1
        return {
            "attn.c_attn": parts.reshape(3 * n, n).T.copy(),
            "attn.c_proj": outputs.reshape(n, n).copy(),
        }

    def _heads(self, number: int) -> Iterator[tuple[Head, Array, Array, Array, Array]]:
        """The planned heads of a layer with their matrices, which read through LayerNorm."""
        if number < len(self.layers):
            weights, heads = self.layers[number], self.plans[number].heads
            reads = (self._normed(w.numpy()) for w in (weights.query, weights.key, weights.value))
            yield from zip(heads, *reads, weights.output.numpy(), strict=True)

    def _feed_forward(self, number: int) -> dict[str, Array]:
        shape = self.shape
        inward, outward = (
            np.zeros((shape.n_embd, shape.n_inner)),
            np.zeros((shape.n_inner, shape.n_embd)),
        )
        if number < len(self.layers):
            weights = self.layers[number]
            used = weights.inward.shape[0]
            inward[:, :used], outward[:used] = weights.inward.numpy().T, weights.outward.numpy().T
        return {"mlp.c_fc": inward, "mlp.c_proj": outward}

    def _normed(self, weights: Array) -> Array:
        """Weights (..., n_embd) that read from LayerNorm's output what these read before it."""
        scaled: Array = weights * (self.stream.bypass / np.sqrt(self.shape.n_embd / 2))
        scaled[..., self.stream.zero] -= scaled.sum(axis=-1)
        return scaled
