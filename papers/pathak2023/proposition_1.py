"""Proposition 1: each of the six operators is a single layer of the transformer.

As printed the operators act on all of R^{p x q}. No layer is exact there, whatever its weights: an
entry T in an otherwise zero matrix must be replaced by a bounded one, and the feed-forward part
can only change it by a bounded amount (`papers.pathak2023.boundedness`). As corrected, each
operator is one layer to rounding accuracy on matrices in a box, given constant rows and columns.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from constructions.architecture import LayerWeights
from constructions.compiled import CompiledProgram
from constructions.gadgets import SquareGadget
from constructions.lowering import gadget_for
from constructions.operators import Aff, CopyDown, CopyOver, Mul, Operator, ScaledAgg, Soft
from constructions.program import Program, Register
from papers.ledger import Correction, Evidence, Fault, Grade, Statement, statement
from papers.pathak2023.boundedness import attention_bound, feed_forward_bound

ROWS, COLUMNS, MATRICES = 8, 5, 40

#: Operators that are drawn: one column set alone can be right by accident.
DRAWS = 8

#: Entries of the random matrices are uniform in [-BOX, BOX].
BOX = 3.0

#: Largest error of a lowered operator on the box: 1e-12 of the largest product, BOX^2.
TOLERANCE = 1e-12 * BOX**2

Make = Callable[[np.random.Generator], Operator]


@dataclass(frozen=True)
class LayerClaim:
    """A way to build the layer of an operator, claimed exact in a box (None: everywhere)."""

    build: Callable[[Program], CompiledProgram]
    box: float | None


def _columns(rng: np.random.Generator, first: int = 1) -> frozenset[int]:
    """All columns from ``first`` on but one, not the last: a gate must show, and every choice."""
    left_out = int(rng.integers(first, COLUMNS))
    return frozenset(range(first, COLUMNS + 1)) - {left_out}


def _aff(rng: np.random.Generator) -> Operator:
    weights = rng.normal(size=(2, 2)), rng.normal(size=(2, 3)), rng.normal(size=2)
    return Aff(1, 3, 6, 2, 5, 7, *weights, _columns(rng))


OPERATORS: dict[str, Make] = {
    "copy_down": lambda rng: CopyDown(1, 5, 3, _columns(rng)),
    "copy_over": lambda rng: CopyOver(2, 5, 4, _columns(rng, first=2)),
    "mul": lambda rng: Mul(1, 2, 6, 3, _columns(rng)),
    "aff": _aff,
    "scaled_agg": lambda rng: ScaledAgg(-1.7, 1, 3, 5, COLUMNS, frozenset({1, 2, 4})),
    "soft": lambda rng: Soft(1, 3, 5),
}


#: The least that each has to do, in integers: what fails here can be followed by hand.
_FIRST = frozenset({1})
SMALLEST: dict[str, tuple[Operator, list[list[int]]]] = {
    "copy_down": (CopyDown(1, 2, 1, _FIRST), [[1, 2], [3, 3]]),
    "copy_over": (CopyOver(1, 2, 1, frozenset({2})), [[1, 2], [3, 3]]),
    "mul": (Mul(1, 2, 3, 1, _FIRST), [[1, 1], [2, 2], [3, 3]]),
    "aff": (Aff(1, 2, 3, 1, 2, 3, [[1]], [[1]], [1], _FIRST), [[1, 1]] * 3),
    "scaled_agg": (ScaledAgg(2, 1, 1, 2, 2, _FIRST), [[1, 2], [3, 3]]),
    "soft": (Soft(1, 2, 3), [[0], [0], [3], [3]]),
}


def one_operator(operation: Operator, bound: float, rows: int, columns: int) -> Program:
    """Return the program of one line on a matrix full of old values up to ``bound``."""
    register = Register("H", 1, rows, -bound, bound)
    return Program(operation.name, (register,), columns, (operation,), ("H",))


def _check(name: str, claim: LayerClaim, rng: np.random.Generator) -> Evidence:
    smallest, entries = SMALLEST[name]
    small = np.array(entries, dtype=float)
    if claim.box is None:
        return _far_away(smallest, small.shape, _network(smallest, claim, *small.shape))
    operations = [OPERATORS[name](rng) for _ in range(DRAWS)]
    drawn = rng.uniform(-claim.box, claim.box, (DRAWS, MATRICES, ROWS, COLUMNS))
    text = "; ".join(", ".join(map(str, row)) for row in entries)
    # The arrays of the smallest aff hold a single 1.
    call = re.sub(r"array of shape \(1,( 1)?\)", "1", str(smallest))
    given = [(smallest, small[None], f"{call}, H = ({text})")]
    given += [(line, H, f"{name}, a random H") for line, H in zip(operations, drawn, strict=True)]
    worst, wrong = 0.0, ""
    for operation, matrices, told in given:
        network = _network(operation, claim, *matrices.shape[1:])
        expected = np.stack([operation(H) for H in matrices])
        errors = np.abs(network.run_matrices(matrices) - expected)
        error, layers = float(errors.max()), len(network.layers)
        worst = max(worst, error)
        if not wrong and layers != 1:
            wrong = f"{name}: {layers} layers"
        if not wrong and not error <= TOLERANCE:
            place = np.unravel_index(errors.argmax(), errors.shape)
            wrong = (
                f"{told}: entry ({place[1] + 1}, {place[2] + 1}) of H' is"
                f" {expected[place]:.3g}, and the layer is {error:.3g} off"
            )
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        f"{name} as one layer of the architecture against its meaning",
        f"one matrix of integers; {DRAWS} random column sets and weights, {MATRICES} matrices "
        f"({ROWS}, {COLUMNS}) in [-{BOX:g}, {BOX:g}] each, with old values in the target, float64",
        worst,
        TOLERANCE,
        wrong,
    )


def _network(operation: Operator, claim: LayerClaim, rows: int, columns: int) -> CompiledProgram:
    # No operator here takes entries of the box beyond 8 BOX^2.
    return claim.build(one_operator(operation, 8 * BOX**2, rows, columns))


def _far_away(operation: Operator, shape: tuple[int, ...], network: CompiledProgram) -> Evidence:
    """A matrix on which no layer with these weights can be right."""
    row = operation.target().indices[-1]
    column = min(operation.target_columns(shape[1]))
    weights = network.layers[0].weights()
    earlier = network.embed(np.zeros((1, *shape)))[0][:, : network.stream.num_basis + column]
    stored = feed_forward_bound(weights) + attention_bound(weights, earlier)
    bound = max(float(stored[row - 1] / network.stream.units()[row - 1]), 1.0)
    H = np.zeros((1, *shape))
    H[0, row - 1, column - 1] = entry = 10.0 * bound
    with torch.no_grad():  # `run_matrices` refuses a matrix outside the box
        found = float(network.read(network(network.embed(H)))[0, row - 1, column - 1])
    expected = float(operation(H[0])[row - 1, column - 1])
    out_of_reach = abs(entry - expected) > bound and abs(found - entry) <= bound
    return Evidence(
        not out_of_reach,
        Grade.CONFIRMED,
        "a bound on what the layer can add, from its weights, against what must change",
        "this layer; any other has its own bound, and its own matrix",
        counterexample=(
            f"let H be {shape[0]} x {shape[1]}, and 0 but for the entry ({row}, {column}), which"
            f" is 10 B: {operation.name} puts {abs(expected):g} in its place. A layer changes this"
            f" entry by at most a number B of its own, whatever H (the feed-forward part sees H"
            f" through LayerNorm, and the columns before are 0), so that 9 B or more are left. Here"
            f" B = {bound:.2g}, and {found / bound:.3g} B are left"
        ),
    )


def _mutated(change: Callable[[CompiledProgram, LayerWeights], object]) -> LayerClaim:
    """The built network with the weights of its layer changed in place."""

    def build(program: Program) -> CompiledProgram:
        network = CompiledProgram(program)
        change(network, network.layers[0].weights())
        return network

    return LayerClaim(build, BOX)


def _open_gate(network: CompiledProgram, weights: LayerWeights) -> None:
    """Local maps act in every column: the weights on the gate's row go."""
    outside = network.plans[0].locals[-1].outside
    weights.inward[:, network.stream.zero] += weights.inward[:, outside]
    weights.inward[:, outside] = 0.0


def _wrong_gadget(program: Program) -> CompiledProgram:
    square = gadget_for(torch.float64)
    wrong = SquareGadget(square.scales * 1.01, square.coefficients, square.relative_error)
    return CompiledProgram(program, square=wrong)


#: Wrong layers for every operator: each erases old values through the feed-forward part.
ANY_OPERATOR = {
    "sign of one neuron": _mutated(lambda _, weights: weights.outward[:, 0].neg_()),
    "feed-forward off by 1 %": _mutated(lambda _, weights: weights.outward.mul_(1.01)),
    "feed-forward off by 1e-9": _mutated(lambda _, weights: weights.outward.mul_(1 + 1e-9)),
    "gate left open": _mutated(_open_gate),
}

#: Wrong layers for the operators that attend.
ATTENDING = {
    "sign of the head": _mutated(lambda _, weights: weights.output.neg_()),
    "head off by 1 %": _mutated(lambda _, weights: weights.value.mul_(1.01)),
    "logits too small to select": _mutated(lambda _, weights: weights.query.mul_(0.01)),
    "no head": _mutated(lambda _, weights: weights.output.zero_()),
}

MUTANTS: dict[str, dict[str, LayerClaim]] = {
    "copy_down": ANY_OPERATOR,
    "copy_over": ANY_OPERATOR | ATTENDING,
    "mul": ANY_OPERATOR | {"gadget scales off by 1 %": LayerClaim(_wrong_gadget, BOX)},
    "aff": ANY_OPERATOR,
    "scaled_agg": ANY_OPERATOR | ATTENDING,
    "soft": ANY_OPERATOR | ATTENDING,
}

FORMULAS = {
    "copy_down": r"H'_{k':\ell',i} = H_{k:\ell,i},\ i \in \mathcal{I}",
    "copy_over": r"H'_{k':\ell',i} = H_{k:\ell,i-1},\ i \in \mathcal{I}",
    "mul": r"H'_{k''+t,i} = H_{k+t,i} H_{k'+t,i},\ i \in \mathcal{I}",
    "aff": r"H'_{k'':\ell'',i} = W H_{k:\ell,i} + W' H_{k':\ell',i} + b,\ i \in \mathcal{I}",
    "scaled_agg": r"H'_{k'+t,i} = \alpha \sum_{j \in \mathcal{I}} H_{k+t,j}",
    "soft": r"H'_{k'+t,q} = e^{H_{k+t,q}} / \sum_{t'} e^{H_{k+t',q}}",
}


def _statement(name: str) -> Statement[LayerClaim]:
    def check(claim: LayerClaim, rng: np.random.Generator) -> Evidence:
        return _check(name, claim, rng)

    return statement(
        id=f"pathak2023/proposition-1-{name.replace('_', '-')}",
        title=f"{name} is a single layer of the transformer",
        source="Proposition 1, Appendix B.1 and B.3",
        latex=FORMULAS[name]
        + r",\quad \text{by a single layer, for every } H \in \mathbf{R}^{p \times q}",
        printed=LayerClaim(CompiledProgram, None),
        mutants=MUTANTS[name],
        correction=Correction(
            LayerClaim(CompiledProgram, BOX),
            "On a box, not on all of R^{p x q}, to rounding accuracy; with constant rows (ones, "
            "positions, indicators, +L and -L, a zero row) and constant columns before the first.",
            Fault.FALSE,
            latex=FORMULAS[name] + r",\quad \text{by a single layer to rounding, for all }"
            r" |H_{ij}| \le B \text{, with constant rows and columns beside } H",
        ),
        hypotheses=("LayerNorm without gain, bias or epsilon", "GeLU with the exact erf"),
    )(check)


STATEMENTS = tuple(_statement(name) for name in OPERATORS)
