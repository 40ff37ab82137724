"""A GPT-2 as the files that stock `transformers.GPT2Model.from_pretrained` reads, and back.

``config.json`` and ``model.safetensors`` are the stock model's own; ``prompts.npz`` holds what it
lacks: ``embedding`` (d, n_embd), ``read_out`` (n_embd, outputs), their biases ``embedding_bias``
and ``read_out_bias`` (zero where missing), and ``constant_columns``, the columns of zeros before a
prompt (0 where missing). `constructions.export.gpt2` writes hand-built models in this form.
"""

from __future__ import annotations

import io
import json
import operator
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any
from zipfile import BadZipFile

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from constructions.gpt2 import EPSILON, GPT2, GPT2Shape

__all__ = ["CONFIG", "PROMPTS", "WEIGHTS", "read_gpt2", "saved_gpt2"]

CONFIG, WEIGHTS, PROMPTS = "config.json", "model.safetensors", "prompts.npz"

#: Positions, all zero, that a model without positions is saved with: the stock model has some.
UNLEARNED_POSITIONS = 1024

#: The key of config.json that tells a model without positions.
LEARNED_POSITIONS = "learned_positions"

#: What the model computes under other names of config.json: all else would be another model.
STOCK = {
    "layer_norm_epsilon": EPSILON,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}

#: How an .npz file begins.
_ZIP = b"PK"

#: What values of the wrong kind, size or name raise.
UNREADABLE = (LookupError, AttributeError, TypeError, RuntimeError, ValueError)


def saved_gpt2(model: GPT2) -> dict[str, bytes]:
    """Return the files of a model, by name, in its own dtype.

    With tokens (batch, 2k + 1, d) the answers are (last hidden state of ``inputs_embeds`` = tokens
    @ embedding + embedding_bias) @ read_out + read_out_bias, in the columns of covariates. A model
    without positions is saved with 1,024 zero ones.

    Parameters
    ----------
    model
        The model.
    """
    weights = dict(_stock_weights(model))
    positions = len(weights["wpe.weight"])
    prompts = io.BytesIO()
    np.savez(
        prompts,
        embedding=_array(model.read_in.weight).T,
        embedding_bias=_array(model.read_in.bias),
        read_out=_array(model.read_out.weight).T,
        read_out_bias=_array(model.read_out.bias),
        constant_columns=np.array(0),
    )
    return {
        CONFIG: json.dumps(_config(model, positions), indent=2).encode(),
        WEIGHTS: safetensors.torch.save(weights, {"format": "pt"}),
        PROMPTS: prompts.getvalue(),
    }


def read_gpt2(files: Mapping[str, bytes]) -> tuple[GPT2, int]:
    """Return the model of files that `saved_gpt2` or an export wrote, and its constant columns.

    Its dropout is 0 whatever the configuration says, and it is in evaluation mode.

    Parameters
    ----------
    files
        The three files by name.

    Raises
    ------
    ValueError
        If a file is missing or cannot be read, or the sizes in the files do not fit each other.
    """
    if missing := [name for name in (CONFIG, WEIGHTS, PROMPTS) if name not in files]:
        raise ValueError(
            f"lacks {', '.join(missing)}; expected {CONFIG} and {WEIGHTS} of a stock GPT-2 and"
            f" {PROMPTS}, which tells how prompts enter it (docs/export.md)"
        )
    if not files[PROMPTS].startswith(_ZIP):
        raise ValueError(f"cannot be read as a GPT-2: {PROMPTS} is not what numpy.savez writes")
    try:
        config = json.loads(files[CONFIG])
        weights = safetensors.torch.load(files[WEIGHTS])
        with np.load(io.BytesIO(files[PROMPTS]), allow_pickle=False) as archive:
            prompts = {name: archive[name] for name in archive.files}
    # zipfile raises RuntimeError for versions and passwords that damage pretends.
    except (*UNREADABLE, OSError, EOFError, BadZipFile, safetensors.SafetensorError) as error:
        raise ValueError(f"cannot be read as a GPT-2: {error}") from error
    try:
        _require_parts(config, weights, prompts)
        return _model(config, weights, prompts), _constant_columns(prompts)
    except UNREADABLE as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"is not a GPT-2 that prompts fit: {what}") from error


def _config(model: GPT2, positions: int) -> dict[str, Any]:
    return {
        "architectures": ["GPT2Model"],
        "model_type": "gpt2",
        **asdict(model.shape),
        "n_positions": positions,
        LEARNED_POSITIONS: model.positions is not None,
        "vocab_size": 1,
        "layer_norm_epsilon": EPSILON,
        **{f"{where}_pdrop": model.dropout for where in ("resid", "embd", "attn")},
        "bos_token_id": None,
        "eos_token_id": None,
        "dtype": str(model.read_in.weight.dtype).removeprefix("torch."),
    }


def _modules(model: GPT2) -> Iterator[tuple[str, nn.Linear | nn.LayerNorm]]:
    """The modules of the stock model, by its names."""
    for number, block in enumerate(model.blocks):
        named: dict[str, nn.Linear | nn.LayerNorm] = {
            "ln_1": block.first_norm,
            "attn.c_attn": block.attend,
            "attn.c_proj": block.project,
            "ln_2": block.second_norm,
            "mlp.c_fc": block.inward,
            "mlp.c_proj": block.outward,
        }
        for name, module in named.items():
            yield f"h.{number}.{name}", module
    yield "ln_f", model.final_norm


def _stock_weights(model: GPT2) -> Iterator[tuple[str, Tensor]]:
    """All weights by the names of GPT2Model, whose matrices are the transposes of torch's."""
    width, like = model.shape.n_embd, model.read_in.weight
    zeros = torch.zeros(UNLEARNED_POSITIONS, width, dtype=like.dtype)
    yield "wte.weight", torch.zeros(1, width, dtype=like.dtype)
    yield "wpe.weight", zeros if model.positions is None else model.positions.detach().cpu()
    for name, module in _modules(model):
        weight = module.weight.detach().cpu()
        yield f"{name}.weight", weight.T.contiguous() if isinstance(module, nn.Linear) else weight
        yield f"{name}.bias", module.bias.detach().cpu()


def _model(
    config: Mapping[str, Any], weights: Mapping[str, Tensor], prompts: Mapping[str, Any]
) -> GPT2:
    inner = config.get("n_inner")
    for name, value in STOCK.items():
        if (found := config.get(name, value)) != value:
            raise ValueError(f"{name} is {found}; expected {value}")
    if (activation := config["activation_function"]) not in ("gelu", "gelu_new"):
        raise ValueError(f"activation_function is {activation!r}; expected 'gelu' or 'gelu_new'")
    shape = GPT2Shape(
        config["n_layer"],
        config["n_head"],
        config["n_embd"],
        4 * config["n_embd"] if inner is None else inner,
        activation,
    )
    embedding, read_out = prompts["embedding"], prompts["read_out"]
    positions, learned = weights["wpe.weight"], config.get(LEARNED_POSITIONS, True)
    model = GPT2(
        shape,
        len(embedding),
        config.get("n_positions", len(positions)) if learned else None,
        read_out.shape[1],
    )
    model = model.to(positions.dtype)
    _fill(model.read_in, embedding.T, prompts.get("embedding_bias"), "embedding")
    _fill(model.read_out, read_out.T, prompts.get("read_out_bias"), "read_out")
    for name, module in _modules(model):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        _fill(module, weight.T if isinstance(module, nn.Linear) else weight, bias, name)
    if model.positions is not None:
        _copy(positions, model.positions, "wpe")
    if any(name.startswith(f"h.{shape.n_layer}.") for name in weights):
        raise ValueError(f"{WEIGHTS} has more layers than n_layer, {shape.n_layer}")
    return model.eval()


def _require_parts(config: Any, weights: Mapping[str, Tensor], prompts: Mapping[str, Any]) -> None:
    """Refuse what is no GPT-2 at all, or has another layout, before its sizes are compared."""
    if not isinstance(config, dict):
        raise ValueError(f"{CONFIG} holds a {type(config).__name__}; expected an object")
    if "wpe.weight" not in weights and "transformer.wpe.weight" in weights:
        raise ValueError(
            f"{WEIGHTS} is that of a GPT-2 with a head; expected that of GPT2Model: save"
            " model.transformer"
        )
    width = config["n_embd"]
    for name, axes, axis in (("embedding", "d", 1), ("read_out", "outputs", 0)):
        shape = prompts[name].shape
        if len(shape) != 2 or shape[axis] != width:
            expected = f"({axes}, {width})" if axis else f"({width}, {axes})"
            raise ValueError(f"{name} of {PROMPTS} has shape {shape}; expected {expected}")


def _constant_columns(prompts: Mapping[str, Any]) -> int:
    columns = operator.index(prompts.get("constant_columns", np.array(0)).item())
    if columns < 0:
        raise ValueError(f"constant_columns is {columns}; expected an integer >= 0")
    return columns


def _fill(module: nn.Linear | nn.LayerNorm, weight: Any, bias: Any, name: str) -> None:
    """Copy weights in; without a bias it is zero."""
    _copy(weight, module.weight, name)
    _copy(np.zeros(len(module.bias)) if bias is None else bias, module.bias, f"bias of {name}")


def _copy(values: Any, parameter: Tensor, name: str) -> None:
    """Copy values in; unlike for torch's `copy_`, shapes must be equal."""
    if tuple(values.shape) != tuple(parameter.shape):
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; expected {tuple(parameter.shape)}, as the"
            f" sizes in {CONFIG} say"
        )
    with torch.no_grad():
        parameter.copy_(torch.as_tensor(values))


def _array(weights: Tensor) -> np.ndarray:
    return weights.detach().cpu().numpy().copy()
