"""The network as arrays: tokens to the stream, the layers of Section 1.2, and the read-out."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import safetensors.numpy
from jaxtyping import Float

from constructions.compiled_circuit import CompiledCircuit

Array = Float[np.ndarray, "..."]

#: What each array of a layer is, in the letters of pathak2023, Section 1.2.
MEANINGS = {
    "query": "W^Q (heads, d_att, p)",
    "key": "W^K (heads, d_att, p)",
    "value": "W^V (heads, d_att, p)",
    "output": "W^C (heads, p, d_att)",
    "inward": "W^in (d_ff, p)",
    "outward": "W^out (p, d_ff)",
}

#: How the arrays are used, for readers of the description alone.
STEPS = (
    "H = constants[:, :constant_columns + q]; H[:, constant_columns:] += embedding @ tokens",
    "every layer, attention: column i > 1 adds sum over heads of output @ value @ H[:, :i-1] @ "
    "softmax((key @ H[:, :i-1])' query @ H[:, i]); no scale, not itself; column 1 adds nothing",
    "every layer, feed-forward: a column v adds outward @ gelu(inward @ LayerNorm(v)), "
    "gelu with erf, LayerNorm without gain, bias or epsilon",
    "answers = (read_out @ H)[:, constant_columns::2], column k for the first k examples",
)


def plain_arrays(model: CompiledCircuit) -> dict[str, Array]:
    """Return all arrays of a network, in its own float type.

    ``embedding`` (p, d) and ``constants`` (p, columns) make the input, ``layers.t.query`` and so
    on (t from 1) are the weights, ``read_out`` (dim, p) makes the answers.

    Parameters
    ----------
    model
        The compiled circuit.
    """
    stream, dim = model.stream, model.circuit.prompt.dim
    units = stream.units()
    read_out = np.zeros((len(model.answers), stream.num_rows))
    for t, form in enumerate(model.answers):
        for row, coefficient in form.items():
            read_out[t, row] = coefficient / units[row]
    constants = model.constants.double().numpy() * units[:, None]
    arrays = {
        "embedding": np.eye(stream.num_rows, dim) * units[:dim],
        "constants": constants,
        "read_out": read_out,
    }
    kind = model.constants.numpy().dtype
    named = {name: array.astype(kind) for name, array in arrays.items()}
    for number, layer in enumerate(model.layers, start=1):
        weights = layer.weights()
        for name in MEANINGS:
            named[f"layers.{number}.{name}"] = getattr(weights, name).numpy().copy()
    return named


def description(model: CompiledCircuit) -> dict[str, Any]:
    """Return what a network is for and how large it is, for JSON.

    Parameters
    ----------
    model
        The compiled circuit.
    """
    prompt = model.circuit.prompt
    return {
        "circuit": model.circuit.name,
        "dim": prompt.dim,
        "max_examples": prompt.max_examples,
        "min_examples": model.min_examples,
        "box": asdict(prompt.box),
        "columns": model.stream.num_columns,
        "constant_columns": model.stream.before,
        "width": model.stream.num_rows,
        "layers": len(model.layers),
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def plain_files(model: CompiledCircuit) -> dict[str, bytes]:
    """Return ``weights.safetensors`` and ``description.json``, which says what each array is.

    Parameters
    ----------
    model
        The compiled circuit.
    """
    arrays = plain_arrays(model)
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    rows = [row.label for row in model.stream.rows]
    told = {**description(model), "steps": STEPS, "meanings": MEANINGS, "shapes": shapes}
    return {
        "weights.safetensors": safetensors.numpy.save(arrays),
        "description.json": json.dumps({**told, "rows": rows}, indent=2).encode(),
    }
