"""Depth is the longest path; each layer attends, then multiplies."""

import numpy as np
import pytest

from constructions.circuit import Circuit
from constructions.passes.fold_linear import fold_linear
from constructions.passes.schedule import schedule
from constructions.values import Sum, Value, previous, softmax, total
from tests.circuits import BUILDERS, SMALL

x, y = SMALL.covariate, SMALL.label
Kinds = list[tuple[list[str], list[str]]]


def kinds(circuit: Circuit) -> Kinds:
    return [
        (
            [type(value).__name__ for value in layer.attended],
            [type(value).__name__ for value in layer.multiplied],
        )
        for layer in schedule(fold_linear(circuit))
    ]


square = x * x
CASES: list[tuple[Value, Kinds]] = [
    (square, [([], ["ProductSum"])]),
    (square * square + x, [([], ["ProductSum"]), ([], ["ProductSum"])]),
    # Products see what the heads of their layer have brought; heads do not.
    (previous(y) * x[:1], [(["Previous"], ["ProductSum"])]),
    (softmax(Sum(x)), [(["Sum"], []), (["Mixture"], [])]),
    (total(square) + Sum(x), [(["Sum"], ["ProductSum"]), (["Sum"], [])]),
    # What waits for nothing comes first, whatever it is needed for.
    (total(square) * Sum(x), [(["Sum"], ["ProductSum"]), (["Sum"], ["ProductSum"])]),
]


@pytest.mark.parametrize(("output", "wanted"), CASES)
def test_every_wire_is_as_early_as_it_can_be(output: Value, wanted: Kinds) -> None:
    assert kinds(Circuit("example", SMALL, output)) == wanted


def test_the_nine_operators_become_three_layers_of_one_head() -> None:
    circuit = BUILDERS["posterior mean d5-m2-k10-sigma0.3"]().circuit
    assert kinds(circuit) == [
        (["Previous"], ["ProductSum"]),
        (["Sum"], []),
        (["Mixture"], ["ProductSum"]),
    ]


def test_a_circuit_of_affine_maps_has_no_layers() -> None:
    assert schedule(fold_linear(Circuit("nothing", SMALL, np.ones((1, 2)) @ x))) == []
