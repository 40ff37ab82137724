"""A compiled circuit: the passes in order, and the transformer they end in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from constructions.architecture import Transformer
from constructions.circuit import Circuit, CircuitError, names_of
from constructions.compiled import machine_epsilon
from constructions.evaluate import columns_of
from constructions.gadgets import SquareGadget
from constructions.lowering import gadget_for, lower
from constructions.passes.allocate import allocate
from constructions.passes.fold_linear import fold_linear
from constructions.passes.ranges import Ranges
from constructions.passes.schedule import schedule
from constructions.passes.unroll import unroll
from constructions.passes.validate import validate
from constructions.planning import Planner, num_basis_columns
from constructions.reports import CircuitReport
from constructions.stream import ResidualStream
from constructions.values import Value
from constructions.winged import WING_ROWS, WingedSquare
from theory import PromptBatch

#: Prompts that go through the network at once: more fall out of the processor's cache.
CHUNK = 16

Tokens = Float[np.ndarray, "batch d columns"]


@dataclass(frozen=True)
class LayerState:
    """The residual stream after one layer, in the rows' own units, float64.

    Parameters
    ----------
    layer
        The layer (from 1); 0 is the input.
    stream
        Every row and column (batch, rows, columns).
    row_labels
        What each row holds.
    values
        The values of the circuit that stand in the stream by now, by name: (batch, dim, q), in
        the columns of the prompt; 0 where a value is not defined.
    """

    layer: int
    stream: Float[np.ndarray, "batch rows columns"]
    row_labels: tuple[str, ...]
    values: dict[str, Float[np.ndarray, "batch dim q"]]


class CompiledCircuit(Transformer):
    """A circuit and the transformer that computes it at every prefix: a torch module.

    Parameters
    ----------
    circuit
        The circuit.
    dtype
        torch.float64 or torch.float32.
    square
        The gadget for products; by default the one that suits the float type.
    wide
        Whether sums over examples are unrolled into one head for every column, which saves a layer.
    prefix_columns
        Whether constant columns stand before the prompt. Without them, sink and basis vectors sit
        in the prompt's own first columns, and the first answers, at prefixes that are too short
        to hold the basis, are not those of the circuit (see `min_examples`).
    winged
        The gadget for squares, if they are to have wings: what is small is then squared more
        accurately, for more neurons. Products are spread over rows, sums over entries of the
        prompt over dimensions of attention.

    Raises
    ------
    CircuitError
        If the circuit is not well formed or a range overflows.
    ValueError
        If the float type is another one, or too coarse for the ranges or the number of columns.
    """

    def __init__(
        self,
        circuit: Circuit,
        dtype: torch.dtype = torch.float64,
        square: SquareGadget | None = None,
        *,
        wide: bool = False,
        prefix_columns: bool = True,
        winged: WingedSquare | None = None,
    ) -> None:
        if winged is not None and not prefix_columns:
            raise ValueError("squares with wings need prefix_columns: their neurons have no gates")
        epsilon = machine_epsilon(dtype)
        validate(circuit)
        folded = fold_linear(unroll(circuit) if wide else circuit)
        layers = schedule(folded)
        if not layers:
            raise CircuitError(
                ["it has neither attention nor products: its output is a linear map of the prompt"]
            )
        ranges = Ranges(folded)
        # In float32 gelu rounds more than the sums that rows of their own would shorten.
        precise = winged is not None and dtype == torch.float64
        spread = 1 if winged is None or not precise else len(winged.core.scales) + WING_ROWS
        allocation = allocate(folded, layers, ranges, share=prefix_columns, spread=spread)
        basis = num_basis_columns(folded)
        stream = ResidualStream(
            allocation.labelled(),
            circuit.prompt.num_columns,
            epsilon,
            torch.finfo(dtype).tiny,
            num_basis=basis,
            prefix=prefix_columns,
            gated=not prefix_columns,
        )
        planner = Planner(folded, ranges, allocation, stream, winged is not None, precise)
        plans = planner.plan(layers)
        answers = planner.forms(folded.output)
        gadget = gadget_for(dtype) if square is None else square
        super().__init__(lower(plans, stream, dtype, gadget, winged))
        self.circuit, self.folded, self.schedule = circuit, folded, layers
        self.ranges, self.allocation, self.stream = ranges, allocation, stream
        self.plans, self.square, self.dtype = plans, gadget, dtype
        self.answers, self.winged = answers, winged
        self.min_examples = 0 if prefix_columns else (basis + 1) // 2
        blank = np.zeros((circuit.prompt.dim, circuit.prompt.num_columns))
        self.constants: Tensor
        self.units: Tensor
        self.register_buffer("constants", torch.tensor(stream.embed(blank), dtype=dtype))
        self.register_buffer("units", torch.tensor(stream.units(), dtype=dtype))

    def embed(self, tokens: Tokens) -> Float[Tensor, "batch rows stored"]:
        """Return the network's input for tokens (batch, d, q), in stored units and its own dtype.

        q may be smaller than the longest prompt's: later columns change nothing before them.
        """
        stream, q = self.stream, tokens.shape[2]
        units = stream.units()
        state = np.repeat(
            (self.constants.double().numpy() * units[:, None])[None, :, : stream.before + q],
            len(tokens),
            axis=0,
        )
        d = tokens.shape[1]
        state[:, :d, stream.before :] += tokens * units[:d, None]
        return torch.tensor(state, dtype=self.dtype)

    def run_tokens(
        self, tokens: Tokens, *, allow_outside_box: bool = False
    ) -> Float[np.ndarray, "batch dim columns"]:
        """Return the circuit's output in every column of the prompts, float64.

        Parameters
        ----------
        tokens
            (batch, d, q): x_1, y_1, x_2, ..., a label column being (y, 0, ..., 0).
        allow_outside_box
            Answer prompts outside the circuit's box, too. Nothing is known of their error.

        Raises
        ------
        ValueError
            If the tokens have another shape, or are not prompts in the circuit's box.
        """
        self._check(tokens)
        if not allow_outside_box:
            self._check_box(tokens)
        parts = []
        with torch.no_grad():
            for start in range(0, len(tokens), CHUNK):
                parts.append(self.read(self(self.embed(tokens[start : start + CHUNK]))))
        return np.concatenate(parts)

    def trace_tokens(self, tokens: Tokens) -> list[LayerState]:
        """Return the states of the stream: the input, and after every layer.

        Raises
        ------
        ValueError
            If the tokens have another shape.
        """
        self._check(tokens)
        state = self.embed(tokens)
        written: list[Value] = [self.circuit.prompt.covariate, self.circuit.prompt.label]
        states = [self._state(0, state, written)]
        with torch.no_grad():
            for number, (layer, scheduled) in enumerate(
                zip(self.layers, self.schedule, strict=True), start=1
            ):
                state = layer(state)
                written = [*written, *scheduled.attended, *scheduled.multiplied]
                states.append(self._state(number, state, written))
        return states

    def report(self) -> CircuitReport:
        """Return the sizes of the network and of its weights; no error, certified or measured."""
        return CircuitReport.of(
            self.circuit.name,
            [layer.weights() for layer in self.layers],
            self.stream,
            len(self.allocation.rows),
            self.square,
        )

    def _state(
        self, layer: int, state: Float[Tensor, "batch rows columns"], written: Sequence[Value]
    ) -> LayerState:
        stream = self.stream_of(state)
        prompt = stream[:, :, self.stream.before :]
        q = prompt.shape[2]
        values = {}
        for value, name in zip(written, names_of(self.folded, written), strict=True):
            columns = columns_of(value.columns, q)
            held = np.zeros((len(stream), value.dim, q))
            for t, rows in enumerate(self.allocation.all_rows(value)):
                held[:, t, columns] = prompt[:, rows][:, :, columns].sum(axis=1)
            values[name] = held
        return LayerState(layer, stream, tuple(row.label for row in self.stream.rows), values)

    def read(self, state: Float[Tensor, "batch rows columns"]) -> Float[np.ndarray, "batch dim q"]:
        """Return the output, in the columns of the prompt, from the network's last state."""
        stream = self.stream_of(state)
        return np.stack(
            [
                sum(
                    (c * stream[:, row] for row, c in form.items()),
                    np.zeros((len(stream), stream.shape[2])),
                )
                for form in self.answers
            ],
            axis=1,
        )[:, :, self.stream.before :]

    def stream_of(self, state: Float[Tensor, "batch rows columns"]) -> Float[np.ndarray, "b r c"]:
        """Return a state of the network in the rows' own units, float64."""
        values: Float[np.ndarray, "b r c"] = (
            state.detach().double().cpu().numpy() / self.stream.units()[:, None]
        )
        return values

    @property
    def wires(self) -> list[Value]:
        """The tokens, then everything that a layer writes, in order."""
        prompt = self.circuit.prompt
        written = [v for layer in self.schedule for v in (*layer.attended, *layer.multiplied)]
        tokens: list[Value] = [prompt.covariate, prompt.label]
        return tokens + written

    def _check(self, tokens: Tokens) -> None:
        prompt = self.circuit.prompt
        shape = tokens.shape
        if (
            tokens.ndim != 3
            or shape[1] != prompt.dim
            or shape[2] % 2 == 0
            or shape[2] > prompt.num_columns
        ):
            raise ValueError(
                f"tokens have shape {shape}, expected (batch, {prompt.dim}, q) with q odd and at "
                f"most {prompt.num_columns}"
            )

    def _check_box(self, tokens: Tokens) -> None:
        prompts = PromptBatch(tokens[:, :, 0::2].transpose(0, 2, 1), tokens[:, 0, 1::2])
        problems = [f"prompt {i + 1}: {p}" for i, p in self.circuit.prompt.box.problems(prompts)]
        if tokens[:, 1:, 1::2].any():
            problems.append("label columns hold more than a label: expected (y, 0, ..., 0)")
        if problems:
            raise ValueError(
                f"tokens are outside the box of circuit {self.circuit.name!r}: "
                f"{'; '.join(problems[:4])}; compile it for a larger box, or allow_outside_box"
            )
