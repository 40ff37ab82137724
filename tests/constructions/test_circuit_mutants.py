"""Wrong circuits, plans and weights: the right stage notices each of them, and no earlier one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from constructions.architecture import Layer
from constructions.compiled_circuit import CompiledCircuit
from constructions.gadgets import SquareGadget
from constructions.layer_plan import Head, LayerPlan, Product
from constructions.lowering import lower
from constructions.passes.fold_linear import fold_linear
from constructions.passes.rebuild import rebuild
from constructions.values import Affine, Fetch, Value
from tests.circuits import BUILDERS, tokens_in_box
from tests.constructions.circuit_checks import first_failure

MIXTURE = "posterior mean d3-m3-k4-sigma0.7 with prior"
SMOOTHER = "nadaraya-watson d3"
DTYPES = (torch.float64, torch.float32)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def built(name: str = MIXTURE, dtype: torch.dtype = torch.float64) -> CompiledCircuit:
    return CompiledCircuit(BUILDERS[name]().circuit, dtype)


def failing(model: CompiledCircuit, name: str = MIXTURE) -> tuple[str, str]:
    """The first stage at which a model of the named circuit is wrong, and the value."""
    circuit = BUILDERS[name]().circuit
    return first_failure(circuit, model, tokens_in_box(circuit.prompt, 2, seed=7))


def replan(model: CompiledCircuit, layer: int, change: Callable[[LayerPlan], LayerPlan]) -> None:
    """Change the plan of a layer (from 1) and lower it again."""
    model.plans[layer - 1] = change(model.plans[layer - 1])
    (weights,) = lower([model.plans[layer - 1]], model.stream, model.dtype, model.square)
    model.stack[layer - 1] = Layer(weights)


@every_dtype
@pytest.mark.parametrize("name", [MIXTURE, SMOOTHER, "fetched", "covariates summed"])
def test_the_network_itself_has_no_bad_stage(name: str, dtype: torch.dtype) -> None:
    assert failing(built(name, dtype), name) == ("", "")


# A wrong sign


def flipped(value: Value) -> Value:
    """W x + y for W x - y: the first of two terms with another sign."""
    if not isinstance(value, Affine) or len(value.terms) != 2:
        return value
    (first, matrix), *others = value.terms
    return Affine(((first, -matrix), *others), value.shift)


def test_a_sign_in_folding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "constructions.compiled_circuit.fold_linear",
        lambda circuit: rebuild(fold_linear(circuit), flipped),
    )
    stage, _ = failing(built())
    assert stage == "fold"


@pytest.mark.parametrize(("layer", "value"), [(1, "W x at labels"), (2, "s"), (3, "W' p")])
def test_a_sign_in_the_values_of_a_planned_head(layer: int, value: str) -> None:
    def change(plan: LayerPlan) -> LayerPlan:
        (head,) = plan.heads
        target, form = next(iter(head.values.items()))
        wrong = {**head.values, target: {row: -c for row, c in form.items()}}
        return replace(plan, heads=(Head(head.logits, wrong),))

    model = built()
    replan(model, layer, change)
    assert failing(model) == (f"plan {layer}", value)


@pytest.mark.parametrize(("layer", "value"), [(1, "squared r at labels"), (3, "f")])
def test_a_sign_in_a_planned_product(layer: int, value: str) -> None:
    def change(plan: LayerPlan) -> LayerPlan:
        first, *others = plan.locals
        assert isinstance(first, Product)
        wrong = replace(first, targets={row: -c for row, c in first.targets.items()})
        return replace(plan, locals=(wrong, *others))

    model = built()
    replan(model, layer, change)
    assert failing(model) == (f"plan {layer}", value)


def flip(weights: Tensor, which: int) -> None:
    """Change the sign of one of the nonzero entries."""
    places = weights.data.nonzero()
    place = tuple(int(i) for i in places[which % len(places)])
    weights.data[place] *= -1


@every_dtype
@pytest.mark.parametrize("which", [0, 5, -1])
@pytest.mark.parametrize(("layer", "value"), [(1, "squared r at labels"), (3, "f")])
def test_the_sign_of_one_entry_of_w_out(
    layer: int, value: str, which: int, dtype: torch.dtype
) -> None:
    model = built(dtype=dtype)
    flip(model.layers[layer - 1].outward, which)
    assert failing(model) == (f"weights {layer}", value)


@every_dtype
@pytest.mark.parametrize(("layer", "value"), [(1, "W x at labels"), (2, "s"), (3, "W' p")])
def test_the_sign_of_one_entry_of_w_c(layer: int, value: str, dtype: torch.dtype) -> None:
    model = built(dtype=dtype)
    flip(model.layers[layer - 1].output, 0)
    assert failing(model) == (f"weights {layer}", value)


# A dropped sink


def without_sink(model: CompiledCircuit, layer: int, head: int = 0) -> None:
    sink = model.stream.sink()

    def change(plan: LayerPlan) -> LayerPlan:
        heads = list(plan.heads)
        kept = tuple(pair for pair in heads[head].logits if dict(pair[0]) != {sink: 1.0})
        assert len(kept) == len(heads[head].logits) - 1
        heads[head] = Head(kept, heads[head].values)
        return replace(plan, heads=tuple(heads))

    replan(model, layer, change)


@pytest.mark.parametrize(
    ("name", "layer", "head", "value"),
    [
        (MIXTURE, 2, 0, "s"),
        (MIXTURE, 3, 0, "W' p"),
        (SMOOTHER, 2, 0, "attention"),
        ("attended covariates", 1, 0, "attention"),
        ("fetched", 1, 1, "fetch 2"),
        ("covariates summed", 1, 0, "sum"),
        ("covariates summed", 1, 1, "sum 2"),
    ],
)
def test_a_dropped_sink(name: str, layer: int, head: int, value: str) -> None:
    """Sums are divided by the wrong number; where there is nothing, heads look elsewhere."""
    model = built(name)
    without_sink(model, layer, head)
    assert failing(model, name) == (f"plan {layer}", value)


def test_a_dropped_sink_spoils_what_shares_its_rows() -> None:
    """`previous` is right where it is meant without the sink; elsewhere its rows are W' p's."""
    model = built()
    without_sink(model, 1)
    assert failing(model) == ("plan 3", "W' p")
    previous, mixed = model.schedule[0].attended[0], model.schedule[2].attended[0]
    assert model.allocation[previous] == model.allocation[mixed]


# A head that sees itself


class SelfSeeing(Layer):
    """Attention that is causal, but not strictly: column i sees 1..i."""

    def attend(self, H: Tensor) -> Tensor:
        visible = torch.ones(H.shape[-1], H.shape[-1], dtype=torch.bool).triu()
        attended = torch.zeros_like(H)
        for W_Q, W_K, W_V, W_C in zip(self.query, self.key, self.value, self.output, strict=True):
            logits = (W_K @ H).mT @ (W_Q @ H)
            attended += W_C @ (W_V @ H @ logits.masked_fill(~visible, -torch.inf).softmax(dim=-2))
        return attended


def seeing_itself(name: str, layer: int) -> CompiledCircuit:
    model = built(name)
    model.stack[layer - 1] = SelfSeeing(model.layers[layer - 1].weights())
    return model


@pytest.mark.parametrize(
    ("name", "layer"), [(MIXTURE, 1), (MIXTURE, 2), (MIXTURE, 3), (SMOOTHER, 2), ("fetched", 1)]
)
def test_seeing_itself_alone_is_harmless(name: str, layer: int) -> None:
    """Not a mutant but a fact: heads whose own column is of another kind, and `Fetch`."""
    assert failing(seeing_itself(name, layer), name) == ("", "")


@pytest.mark.parametrize(
    ("name", "layer", "value"),
    [
        ("covariates summed", 2, "sum 3"),
        ("counted", 1, "sum 2"),
        ("attended covariates", 1, "attention"),
        ("previous labels", 1, "previous"),
    ],
)
def test_a_head_that_sees_itself(name: str, layer: int, value: str) -> None:
    """Sums and attention over covariates, in the columns of covariates; column 1's predecessor."""
    assert failing(seeing_itself(name, layer), name) == (f"weights {layer}", value)


def test_fetch_needs_its_own_exclusion_where_columns_may_see_themselves() -> None:
    """Column 5 fetches column 5 if the part of its query that says not to is gone."""
    model = built("fetched")
    row = next(r for r, row in enumerate(model.stream.rows) if row.label == "position 5")

    def change(plan: LayerPlan) -> LayerPlan:
        def told(pair: Any) -> Any:
            key, query = pair
            return (key, {r: c for r, c in query.items() if r != row})

        heads = (Head(tuple(map(told, head.logits)), head.values) for head in plan.heads)
        return replace(plan, heads=tuple(heads))

    replan(model, 1, change)
    assert failing(model, "fetched") == ("", "")
    model.stack[0] = SelfSeeing(model.layers[0].weights())
    assert failing(model, "fetched") == ("weights 1", "fetch 2")


def test_a_head_that_copies_its_own_column() -> None:
    """`previous` turned by no step: it points at its own column, and strictness alone is left."""
    model = built()
    cosine, sine = model.stream.circle()

    def change(plan: LayerPlan) -> LayerPlan:
        (head,) = plan.heads
        first, second, *others = head.logits
        gain = float(np.hypot(first[1][cosine], first[1][sine]))
        own = ((first[0], {cosine: gain}), (second[0], {sine: gain}))
        return replace(plan, heads=(Head((*own, *others), head.values),))

    replan(model, 1, change)
    # The circle is closed: among strictly earlier columns the nearest one is still the previous.
    assert failing(model) == ("", "")
    model.stack[0] = SelfSeeing(model.layers[0].weights())
    assert failing(model) == ("weights 1", "W x at labels")


# Off by one


COLUMN_SETS = [
    (MIXTURE, "not {5, 7, 9, 11}", 1, "W x at labels"),
    (MIXTURE, "not {0, 5, 7, 9, 11}", 2, "s"),
    (MIXTURE, "not {4, 6, 8, 10, 12}", 2, "s"),
    (MIXTURE, "ln(5 - number seen), labels into covariates", 2, "s"),
    (MIXTURE, "not {0, 1, 2, 3}", 3, "W' p"),
    (MIXTURE, "e_2", 3, "W' p"),
    (SMOOTHER, "not {0, 2, 4, 6, 8, 10, 12}", 2, "attention"),
    ("fetched", "position 5", 1, "fetch 2"),
]


def row_of(model: CompiledCircuit, label: str) -> int:
    return [row.label for row in model.stream.rows].index(label)


@pytest.mark.parametrize(("name", "label", "layer", "value"), COLUMN_SETS)
def test_a_column_set_that_is_off_by_one_in_the_plans(
    name: str, label: str, layer: int, value: str
) -> None:
    model = built(name)
    row = row_of(model, label)
    shifted = np.roll(np.asarray(model.stream.rows[row].constant), 1)
    model.stream.rows[row] = replace(model.stream.rows[row], constant=shifted)
    assert failing(model, name) == (f"plan {layer}", value)


@every_dtype
@pytest.mark.parametrize(("name", "label", "layer", "value"), COLUMN_SETS)
def test_a_column_set_that_is_off_by_one_in_the_embedding(
    name: str, label: str, layer: int, value: str, dtype: torch.dtype
) -> None:
    model = built(name, dtype)
    row = row_of(model, label)
    model.constants[row] = torch.roll(model.constants[row], 1)
    assert failing(model, name) == (f"weights {layer}", value)


def test_a_fetched_column_that_is_off_by_one() -> None:
    def wrong(value: Value) -> Value:
        return replace(value, column=3) if isinstance(value, Fetch) and value.column == 5 else value

    circuit = BUILDERS["fetched"]().circuit
    assert failing(CompiledCircuit(rebuild(circuit, wrong)), "fetched") == ("fold", "output")


# A gadget scale


@every_dtype
@pytest.mark.parametrize("changed", [slice(None), slice(0, 1), slice(2, 3)])
@pytest.mark.parametrize(
    ("name", "value"), [(MIXTURE, "squared r at labels"), ("powers", "productsum")]
)
def test_gadget_scales_off_by_one_percent(
    name: str, value: str, changed: slice, dtype: torch.dtype
) -> None:
    square = built(name, dtype).square
    scales = square.scales.copy()
    scales[changed] *= 1.01
    wrong = SquareGadget(scales, square.coefficients, square.relative_error)
    mutant = CompiledCircuit(BUILDERS[name]().circuit, dtype, wrong)
    assert failing(mutant, name) == ("weights 1", value)


@pytest.mark.parametrize("label", ["+L", "-L"])
def test_no_bypass_row(label: str) -> None:
    model = built()
    model.constants[row_of(model, label)] = 0
    assert failing(model) == ("weights 1", "squared r at labels")
