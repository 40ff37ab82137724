"""A compiled program: the transformer, its residual stream, and what stands where."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from constructions.architecture import Transformer
from constructions.gadgets import SquareGadget
from constructions.layer_plan import LayerPlan
from constructions.line_by_line import plan_program
from constructions.lowering import gadget_for, lower
from constructions.program import Program
from constructions.stream import ResidualStream


def machine_epsilon(dtype: torch.dtype) -> float:
    """Return the machine epsilon of a network's float type.

    Raises
    ------
    ValueError
        If the type is neither torch.float32 nor torch.float64.
    """
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype is {dtype}, expected torch.float32 or torch.float64")
    return torch.finfo(dtype).eps


@dataclass(frozen=True)
class Report:
    """The size of a network, beside what the paper's program itself takes.

    Parameters
    ----------
    layers, heads, width, feed_forward_width, attention_width, columns, parameters
        Of the network: width is p, feed_forward_width the largest d_ff, attention_width the
        largest d_att, heads the most in one layer, columns q; parameters counts every entry.
    extra_rows, extra_columns
        What the network has beyond the program's matrix.
    program_rows, program_columns, operators
        Rows and columns of the program's matrix, and its lines.
    """

    layers: int
    heads: int
    width: int
    feed_forward_width: int
    attention_width: int
    columns: int
    parameters: int
    extra_rows: int
    extra_columns: int
    program_rows: int
    program_columns: int
    operators: int

    def as_dict(self) -> dict[str, int]:
        """Return the figures by name, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Activation:
    """The stream after one layer, read back in the program's own rows, columns and units.

    Parameters
    ----------
    layer
        The layer (from 1); 0 is the input.
    line
        The line of the program (from 1) whose result this is; 0 is the input, None is a layer
        within a line.
    operator
        The line as the paper writes it; empty if there is none.
    matrix
        H (batch, p, q) of the program, float64.
    stream
        Every row and column of the residual stream (batch, rows, columns), float64.
    program
        The program, whose registers name the rows of ``matrix``.
    row_labels
        What each row of the stream holds: a register, a constant, scratch.
    """

    layer: int
    line: int | None
    operator: str
    matrix: Float[np.ndarray, "batch p q"]
    stream: Float[np.ndarray, "batch rows columns"]
    program: Program
    row_labels: tuple[str, ...]

    def register(self, name: str) -> Float[np.ndarray, "batch dim q"]:
        """Return the rows of one register (batch, dim, q); KeyError lists the names there are."""
        rows = self.program.register(name).rows
        return self.matrix[:, np.array(rows.indices) - 1]


class CompiledProgram(Transformer):
    """A program and the transformer that computes it: a torch module with known weights.

    Called as a module it maps states (batch, rows, columns) of the residual stream, in stored
    units, to states. `run_matrices` and `trace_matrices` speak the program's own rows, columns
    and units.

    Parameters
    ----------
    program
        A program all of whose registers have finite ranges; it is compiled on construction.
    dtype
        torch.float64 or torch.float32.
    square
        The gadget for products; by default the one that suits the float type.

    Raises
    ------
    ValueError
        If the type is another one, a range is infinite, a divisor may be zero, or there are more
        columns than attention can tell apart in this float type.
    """

    def __init__(
        self,
        program: Program,
        dtype: torch.dtype = torch.float64,
        square: SquareGadget | None = None,
    ) -> None:
        epsilon = machine_epsilon(dtype)
        stream = ResidualStream.of_program(program, epsilon, torch.finfo(dtype).tiny)
        plans = plan_program(program, stream)
        gadget = gadget_for(dtype) if square is None else square
        super().__init__(lower(plans, stream, dtype, gadget))
        self.program = program
        self.dtype = dtype
        self.stream = stream
        self.plans: list[LayerPlan] = plans
        # Saved with the weights, which mean nothing without the rows that stand beside the prompt.
        blank = np.zeros((program.num_rows, program.num_columns))
        self.register_buffer("constants", torch.tensor(stream.embed(blank), dtype=dtype))
        self.register_buffer("units", torch.tensor(stream.units(), dtype=dtype))
        self.square = gadget

    def embed(self, H: Float[np.ndarray, "batch p q"]) -> Float[Tensor, "batch rows columns"]:
        """Return the network's input for matrices H^(0), in stored units and its own dtype."""
        stored = self.stream.embed(H) * self.stream.units()[:, None]
        return torch.tensor(stored, dtype=self.dtype)

    def read(self, state: Float[Tensor, "batch rows columns"]) -> Float[np.ndarray, "batch p q"]:
        """Return the program's matrix from a state of the network, float64."""
        return self._values(state)[:, : self.program.num_rows, self.stream.prompt_columns]

    def run_matrices(self, H: Float[np.ndarray, "batch p q"]) -> Float[np.ndarray, "batch p q"]:
        """Return the program's final matrices, as the network computes them.

        Raises
        ------
        ValueError
            If H^(0) has another shape, entries that are not finite or beyond their register's
            range, or entries other than 0 in cells that a line will fill.
        """
        self._check(H)
        with torch.no_grad():
            return self.read(self(self.embed(H)))

    def trace_matrices(self, H: Float[np.ndarray, "batch p q"]) -> list[Activation]:
        """Return the activations of the input and after every layer; raises as `run_matrices`."""
        self._check(H)
        state = self.embed(H)
        activations = [self._activation(0, 0, state)]
        with torch.no_grad():
            for number, (layer, plan) in enumerate(
                zip(self.layers, self.plans, strict=True), start=1
            ):
                state = layer(state)
                activations.append(self._activation(number, plan.completes, state))
        return activations

    def _check(self, H: Float[np.ndarray, "batch p q"]) -> None:
        program = self.program
        expected = (program.num_rows, program.num_columns)
        if H.ndim != 3 or H.shape[1:] != expected:
            raise ValueError(
                f"matrices have shape {H.shape}, expected (batch, {expected[0]}, "
                f"{expected[1]}) for program {program.name!r}"
            )
        problems = []
        for register in program.registers:
            largest = float(np.abs(H[:, register.first - 1 : register.last]).max(initial=0.0))
            # `not <=` also catches NaN; entries may have been rounded to the network's type.
            if not largest <= register.bound * (1 + 4 * machine_epsilon(self.dtype)):
                problems.append(
                    f"register {register.name!r} holds {largest:.6g}, at most {register.bound:.6g}"
                )
        if H[:, program.fresh_cells].any():
            rows = np.flatnonzero((H.any(axis=0) & program.fresh_cells).any(axis=1)) + 1
            problems.append(f"rows {rows.tolist()} hold entries where the program will write")
        if problems:
            raise ValueError(
                f"matrices are outside what program {program.name!r} was compiled for: "
                + "; ".join(problems)
            )

    def report(self) -> Report:
        """Return the sizes of the network."""
        layers, program = [layer.weights() for layer in self.layers], self.program
        return Report(
            layers=len(layers),
            heads=max(weights.query.shape[0] for weights in layers),
            width=self.stream.num_rows,
            feed_forward_width=max(weights.inward.shape[0] for weights in layers),
            attention_width=max(weights.query.shape[1] for weights in layers),
            columns=self.stream.num_columns,
            parameters=sum(p.numel() for p in self.parameters()),
            extra_rows=self.stream.num_rows - program.num_rows,
            extra_columns=self.stream.num_columns - program.num_columns,
            program_rows=program.num_rows,
            program_columns=program.num_columns,
            operators=len(program.operations),
        )

    def _activation(
        self, layer: int, line: int | None, state: Float[Tensor, "batch rows columns"]
    ) -> Activation:
        return Activation(
            layer=layer,
            line=line,
            operator=str(self.program.operations[line - 1]) if line else "",
            matrix=self.read(state),
            stream=self._values(state),
            program=self.program,
            row_labels=tuple(row.label for row in self.stream.rows),
        )

    def _values(self, state: Float[Tensor, "batch rows columns"]) -> Float[np.ndarray, "b r c"]:
        values: Float[np.ndarray, "b r c"] = (
            state.detach().double().cpu().numpy() / self.stream.units()[:, None]
        )
        return values
