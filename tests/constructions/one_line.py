"""Programs of one line, compiled, and what rounding may cost each operator.

A network stores every row in a unit that makes its register's bound B about 1, so that one read of
a row costs a few epsilon times B, however small the entry itself is.
"""

import numpy as np

from constructions import layer_plan
from constructions.compiled import CompiledProgram
from constructions.gadgets import SquareGadget
from constructions.operators import Aff, Mul, Operator, Raw, ScaledAgg
from constructions.program import Program, Register
from tests.constructions.judges import Matrix
from tests.constructions.meanings import judged, written

#: Roundings of one linear map through LayerNorm and two gelus; 1 to 3 epsilon are measured.
READ = 8.0


def one_line(operator: Operator, H: Matrix, *, fresh: bool = False) -> Program:
    """The program of this line alone, on one register with the range of H (batch, p, q) and H'.

    With ``fresh``, H is not declared as input, so that targets must be zero before.
    """
    results = np.array([judged(operator, h) for h in H])
    bound = max(float(np.abs(H).max()), float(np.abs(results).max())) or 1.0
    registers = (Register("H", 1, H.shape[1], -bound, bound),)
    return Program("one line", registers, H.shape[2], (operator,), () if fresh else ("H",))


def cleared(operator: Operator, H: Matrix) -> Matrix:
    """H with zeros where the operator writes."""
    result: Matrix = np.where(written(operator, H.shape[1:]), 0.0, H)
    return result


def planned(model: CompiledProgram, H: Matrix) -> Matrix:
    """What the layer plans make of H (batch, p, q), in float64."""
    results = []
    for stream in model.stream.embed(H):
        for plan in model.plans:
            stream = layer_plan.apply(plan, stream)  # noqa: PLW2901
        results.append(stream[: model.program.num_rows, model.stream.prompt_columns])
    return np.array(results)


def tolerance(
    operator: Operator, bound: float, epsilon: float, square: SquareGadget | None = None
) -> float:
    """What an entry of H' may be off by, for entries of H up to ``bound``.

    Linear maps: `READ` epsilon of the largest sum of magnitudes. Products of factors up to a and
    b: a b times the gadget's error, and epsilon times its amplification 2 sum_i |c_i| s_i, twice.
    ``square`` is None for plans, which multiply.
    """
    linear, area = bound, 0.0
    if isinstance(operator, Aff):
        weight, second_weight, bias = (np.abs(a) for a in operator.matrices())
        rows = (weight.sum(axis=1) + second_weight.sum(axis=1)) * bound + bias
        linear += float(rows.max())
    elif isinstance(operator, ScaledAgg):
        linear += abs(operator.scale) * len(operator.columns) * bound
    elif isinstance(operator, Mul):
        area = bound**2
    elif isinstance(operator, Raw):
        read, own, write = (
            np.abs(a) for a in (operator.read_map, operator.own_map, operator.write_map)
        )
        reads, owns = read.sum(axis=1) * bound, own.sum(axis=1) * bound
        if operator.kind == "*":
            area = float((write @ (reads * owns)).max())
            linear += float(write.max() * reads.max() * max(1.0, owns.max()))
        else:
            linear += float((write @ (reads + owns)).max())
    else:
        linear += 1.0
    if square is None:
        return READ * epsilon * (linear + area)
    amplification = 2 * float(np.sum(np.abs(square.coefficients) * square.scales))
    return READ * epsilon * linear + (square.relative_error + 2 * epsilon * amplification) * area
