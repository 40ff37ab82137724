"""Wrong networks: the comparison of the right stage notices each of them, and no earlier one."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from constructions import compile_line_by_line
from constructions.architecture import Layer
from constructions.compiled import CompiledProgram
from constructions.gadgets import SquareGadget, previous_column_gain
from constructions.layer_plan import Head
from constructions.lowering import lower
from constructions.program import I_EVEN, I_ODD, QUERY, ColumnSet
from tests.cases import STAGE_CASES
from tests.constructions.drawing import initial, rounded_to_float32, undecided
from tests.constructions.judges import Matrix
from tests.constructions.stage_checks import first_failure, judged_stages, worst_use

CASE = STAGE_CASES[5]
MIXTURE, PROMPTS = undecided(CASE, 3)
PROMPTS = rounded_to_float32(PROMPTS)
DTYPES = (torch.float64, torch.float32)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def built(dtype: torch.dtype = torch.float64) -> CompiledProgram:
    return compile_line_by_line(MIXTURE, CASE.num_examples, dtype=dtype)


def failing_line(model: CompiledProgram, emptied: Collection[int] = ()) -> int | None:
    """Run the network, with some rows of its input set to 0, and name the first bad line."""
    stages = judged_stages(MIXTURE, PROMPTS)
    state = model.embed(initial(PROMPTS, model.program.num_rows))
    state[:, list(emptied)] = 0
    matrices: dict[int, Matrix] = {0: model.read(state)}
    with torch.no_grad():
        for layer, plan in zip(model.layers, model.plans, strict=True):
            state = layer(state)
            if plan.completes is not None:
                matrices[plan.completes] = model.read(state)
    return first_failure(worst_use(model, stages, matrices))


@every_dtype
def test_the_network_itself_has_no_bad_line(dtype: torch.dtype) -> None:
    assert failing_line(built(dtype)) is None


def flip(weights: Tensor, which: int) -> None:
    """Change the sign of one of the nonzero entries."""
    places = weights.data.nonzero()
    place = tuple(int(i) for i in places[which % len(places)])
    weights.data[place] *= -1


@every_dtype
@pytest.mark.parametrize("which", [0, 5, -1])
@pytest.mark.parametrize("line", [1, 3, 4, 5, 8, 9])
def test_the_sign_of_one_entry_of_w_out(line: int, which: int, dtype: torch.dtype) -> None:
    model = built(dtype)
    flip(model.layers[line - 1].outward, which)
    assert failing_line(model) == line


@every_dtype
@pytest.mark.parametrize("line", [2, 6, 7])
def test_the_sign_of_one_entry_of_w_c(line: int, dtype: torch.dtype) -> None:
    model = built(dtype)
    flip(model.layers[line - 1].output, 0)
    assert failing_line(model) == line


@pytest.mark.parametrize("line", [1, 2, 3, 4, 5, 6])
def test_a_column_set_that_is_off_by_one(line: int) -> None:
    program = built().program
    operations: list[Any] = list(program.operations)
    operation = operations[line - 1]
    shifted = frozenset(i - 1 for i in operation.columns) - {0}
    operations[line - 1] = replace(operation, columns=shifted - ({1} if line == 2 else set()))
    mutant = CompiledProgram(replace(program, operations=tuple(operations)))
    assert failing_line(mutant) == line


class SelfSeeing(Layer):
    """Attention that is causal, but not strictly: column i sees 1..i."""

    def attend(self, H: Tensor) -> Tensor:
        visible = torch.ones(H.shape[-1], H.shape[-1], dtype=torch.bool).triu()
        attended = torch.zeros_like(H)
        for W_Q, W_K, W_V, W_C in zip(self.query, self.key, self.value, self.output, strict=True):
            logits = (W_K @ H).mT @ (W_Q @ H)
            attended += W_C @ (W_V @ H @ logits.masked_fill(~visible, -torch.inf).softmax(dim=-2))
        return attended


def test_a_head_that_copies_its_own_column() -> None:
    """copy_over whose query points at column i itself, where attention lets it."""
    model = built()
    (head,) = model.plans[1].heads
    cosine, sine = model.stream.circle()
    gain = previous_column_gain(model.stream.num_columns)
    own = (({cosine: 1.0}, {cosine: gain}), ({sine: 1.0}, {sine: gain}), *head.logits[2:])
    plan = replace(model.plans[1], heads=(Head(own, head.values),))
    (weights,) = lower([plan], model.stream, torch.float64, model.square)
    model.stack[1] = SelfSeeing(weights)
    assert failing_line(model) == 2


@pytest.mark.parametrize("line", [2, 6, 7])
def test_seeing_itself_alone_is_harmless(line: int) -> None:
    """Not a mutant but a fact: the heads pick their columns without the help of strictness."""
    model = built()
    model.stack[line - 1] = SelfSeeing(model.layers[line - 1].weights())
    assert failing_line(model) is None


@every_dtype
@pytest.mark.parametrize("changed", [slice(None), slice(0, 1), slice(2, 3)])
def test_gadget_scales_off_by_one_percent(changed: slice, dtype: torch.dtype) -> None:
    model = built(dtype)
    scales = model.square.scales.copy()
    scales[changed] *= 1.01
    square = SquareGadget(scales, model.square.coefficients, model.square.relative_error)
    mutant = CompiledProgram(model.program, dtype, square)
    assert failing_line(mutant) == 5


@every_dtype
def test_no_balance_row(dtype: torch.dtype) -> None:
    """Without it LayerNorm's mean is of the size of the constants, and costs half the digits."""
    model = built(dtype)
    labels = [row.label for row in model.stream.rows]
    assert failing_line(model, emptied=[labels.index("balance")]) == 1


@every_dtype
@pytest.mark.parametrize(
    ("columns", "line"), [(I_ODD, 1), (I_EVEN, 3), (I_EVEN | QUERY, 4), (QUERY, 6)]
)
def test_a_gate_row_that_is_dropped(columns: ColumnSet, line: int, dtype: torch.dtype) -> None:
    """With the row "outside I" empty, the line acts in every column."""
    model = built(dtype)
    gate = model.stream.outside(model.stream.columns(columns.of(CASE.num_examples)))
    assert gate < model.layers[0].outward.shape[0], "a new row: no line is gated like this"
    # Keep the balance: the row is dropped where it is read, not out of LayerNorm's mean.
    for weights in (model.layers[line - 1].inward, model.layers[line - 1].query):
        weights.data[..., gate] = 0
    assert failing_line(model) == line


@pytest.mark.parametrize("label", ["+L", "-L"])
def test_no_bypass_row(label: str) -> None:
    model = built()
    row = [row.label for row in model.stream.rows].index(label)
    assert failing_line(model, emptied=[row]) == 1


def test_the_papers_row_of_ones_instead_of_minus_ones() -> None:
    """Line 4 as printed adds y: the residuals W* x + y are noticed at once."""
    program = built().program
    operations: list[Any] = list(program.operations)
    operations[3] = replace(operations[3], second_weight=-np.asarray(operations[3].second_weight))
    mutant = CompiledProgram(replace(program, operations=tuple(operations)))
    assert failing_line(mutant) == 4
