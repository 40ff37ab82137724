"""A compiled circuit as an ONNX graph in float32, embedding and read-out included.

The graph is that of Section 1.2 of pathak2023, not of another architecture. ONNX Runtime has no
gelu in float64 on the CPU, so that only float32 networks are exported.
"""

import importlib
import json
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from constructions.compiled_circuit import CompiledCircuit
from constructions.export.plain import description, plain_arrays

#: The first operator set with Gelu.
OPSET = 20
#: A version of the file format that runtimes of that operator set read.
IR_VERSION = 9

Array = npt.NDArray[Any]


def onnx_files(model: CompiledCircuit) -> dict[str, bytes]:
    """Return ``model.onnx``: tokens (batch, 2k + 1, d) to answers (batch, k + 1, dim), float32.

    Any k up to the model's longest prompt will do; entry [b, k] answers the first k examples. The
    metadata of the file hold the sizes and the box as JSON.

    Parameters
    ----------
    model
        The compiled circuit, float32.

    Raises
    ------
    ValueError
        If the model is float64.
    ModuleNotFoundError
        If the package ``onnx`` is not installed.
    """
    if model.dtype != torch.float32:
        raise ValueError(
            f"ONNX export: the model is {model.dtype}, and ONNX Runtime has no gelu in float64; "
            "build it in float32"
        )
    graph = _Graph(plain_arrays(model), model.stream.before)
    graph.build(len(model.layers))
    return {"model.onnx": graph.serialised(description(model))}


def _package() -> ModuleType:
    try:
        return importlib.import_module("onnx")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the export to ONNX needs the package onnx: pip install 'iclproof[onnx]'"
        ) from error


@dataclass
class _Graph:
    """Collects nodes; columns of the paper are rows here, (batch, column, row of the stream)."""

    arrays: dict[str, Array]
    before: int
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._onnx = _package()

    def build(self, num_layers: int) -> None:
        """Add all nodes, from tokens to answers."""
        p, columns = self.arrays["constants"].shape
        self.constants |= {
            "embedding": self.arrays["embedding"].T.copy(),
            "read_out": self.arrays["read_out"].T.copy(),
            "root": np.array(p**0.5, np.float32),
            "every": np.array([columns], np.int64),
            "first": np.array([self.before], np.int64),
        }
        pads = np.array([0, self.before, 0, 0, 0, 0], np.int64)
        tokens = self.add("Pad", "tokens", self.constant("pads", pads))
        length = self.add("Shape", tokens, start=1, end=2)
        state = self.add("MatMul", tokens, "embedding")
        constants = self._until(self.constant("constants", self.arrays["constants"].T), length, 1)
        state = self.add("Add", state, constants)
        mask, sees = self._causal(columns, length)
        for number in range(1, num_layers + 1):
            if self._has(number, "query", "key", "value", "output"):
                state = self.add("Add", state, self._attention(state, number, mask, sees))
            if self._has(number, "inward", "outward"):
                state = self.add("Add", state, self._feed_forward(state, number))
        steps = (self.constant(f"axis {v}", np.array([v], np.int64)) for v in (1, 2))
        answered = self.add("Slice", state, "first", "every", *steps)
        self.add("MatMul", answered, "read_out", output="answers")

    def _has(self, number: int, *names: str) -> bool:
        """Add these weights of a layer, transposed, if they are not empty."""
        weights = {
            f"{name} {number}": np.swapaxes(self.arrays[f"layers.{number}.{name}"], -1, -2)
            for name in names
        }
        used = all(array.size for array in weights.values())
        self.constants |= weights if used else {}
        return used

    def _until(self, name: str, length: str, axes: int) -> str:
        """Cut the first axes of a constant to the number of columns at hand."""
        for axis in range(axes):
            zero, which = (self.constant(f"axis {v}", np.array([v], np.int64)) for v in (0, axis))
            name = self.add("Slice", name, zero, length, which)
        return name

    def _causal(self, columns: int, length: str) -> tuple[str, str]:
        """What is added to logits, and a factor that is 0 for the first column, which sees none."""
        mask = np.triu(np.full((columns, columns), -np.inf, np.float32))
        mask[0, 0] = 0.0  # softmax of nothing is 0/0
        sees = np.ones((columns, 1), np.float32)
        sees[0] = 0.0
        names = self.constant("mask", mask), self.constant("sees", sees)
        return self._until(names[0], length, 2), self._until(names[1], length, 1)

    def _attention(self, state: str, number: int, mask: str, sees: str) -> str:
        heads = self.add("Unsqueeze", state, self.constant("axis 1", np.array([1], np.int64)))
        queries, keys, values = (
            self.add("MatMul", heads, f"{name} {number}") for name in ("query", "key", "value")
        )
        logits = self.add("MatMul", queries, self.add("Transpose", keys, perm=[0, 1, 3, 2]))
        weights = self.add("Softmax", self.add("Add", logits, mask), axis=-1)
        seen = self.add("MatMul", self.add("Mul", weights, sees), values)
        brought = self.add("MatMul", seen, f"output {number}")
        axis = self.constant("axis 1", np.array([1], np.int64))
        return self.add("ReduceSum", brought, axis, keepdims=0)

    def _feed_forward(self, state: str, number: int) -> str:
        last = self.constant("axis -1", np.array([-1], np.int64))
        centred = self.add("Sub", state, self.add("ReduceMean", state, last))
        norm = self.add("ReduceL2", centred, last)
        normed = self.add("Mul", centred, self.add("Div", "root", norm))
        hidden = self.add("Gelu", self.add("MatMul", normed, f"inward {number}"))
        return self.add("MatMul", hidden, f"outward {number}")

    def constant(self, name: str, array: Array) -> str:
        """Name an array of the graph."""
        self.constants[name] = array
        return name

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        name = f"{kind} {len(self.nodes) + 1}" if output is None else output
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, [name], **attributes))
        return name

    def serialised(self, told: dict[str, Any]) -> bytes:
        """Return the file, checked, with these metadata."""
        helper, float32 = self._onnx.helper, self._onnx.TensorProto.FLOAT
        dim = self.arrays["embedding"].shape[1]
        tokens = helper.make_tensor_value_info("tokens", float32, ["batch", "columns", dim])
        shape = ["batch", "prefixes", len(self.arrays["read_out"])]
        graph = helper.make_graph(
            self.nodes,
            told["circuit"],
            [tokens],
            [helper.make_tensor_value_info("answers", float32, shape)],
            [
                self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
                for name, array in self.constants.items()
            ],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        found = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="iclproof"
        )
        helper.set_model_props(found, {name: json.dumps(value) for name, value in told.items()})
        self._onnx.checker.check_model(found, full_check=True)
        contents: bytes = found.SerializeToString()
        return contents
