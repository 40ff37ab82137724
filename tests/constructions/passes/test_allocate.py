"""Rows: all of a wire, apart from others in the same columns, and scales that hold the ranges."""

import pytest

from constructions.circuit import Circuit
from constructions.library.gradient_descent import gradient_descent_circuit
from constructions.passes.allocate import Allocation, allocate
from constructions.passes.fold_linear import fold_linear
from constructions.passes.ranges import Ranges
from constructions.passes.schedule import schedule
from constructions.values import ProductSum, previous
from tests.circuits import BUILDERS, NAMES, SMALL
from tests.constructions.library.prompts import box_for


def allocated(circuit: Circuit, *, share: bool = True) -> tuple[Allocation, Circuit, Ranges]:
    folded = fold_linear(circuit)
    ranges = Ranges(folded)
    return allocate(folded, schedule(folded), ranges, share=share), folded, ranges


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_wires_never_meet(name: str, share: bool) -> None:
    circuit = BUILDERS[name]().circuit
    allocation, folded, ranges = allocated(circuit, share=share)
    held: dict[int, list] = {}
    wires = [v for layer in schedule(folded) for v in (*layer.attended, *layer.multiplied)]
    for wire in wires:
        rows = allocation[wire]
        assert len(set(rows)) == wire.dim
        assert min(rows) >= circuit.prompt.dim
        for r, bound in zip(rows, ranges[wire].bound, strict=True):
            assert allocation.rows[r].scale >= bound
            held.setdefault(r, []).append(wire)
    for together in held.values():
        if len(together) > 1:
            assert share
            assert not any(isinstance(wire, ProductSum) for wire in together)
            kinds = [kind for wire in together for kind in wire.columns.kinds]
            assert len(kinds) == len(set(kinds))
    assert set(held) == set(range(circuit.prompt.dim, len(allocation.rows)))


def test_tokens_share_the_first_rows() -> None:
    allocation, folded, _ = allocated(
        Circuit("e", SMALL, previous(SMALL.label) * SMALL.covariate[:1])
    )
    assert allocation[folded.prompt.covariate] == [0, 1]
    assert allocation[folded.prompt.label] == [0]
    assert allocation.labelled()[0][0] == "token"


def test_sharing_saves_rows() -> None:
    circuit = BUILDERS["posterior mean d5-m2-k10-sigma0.3"]().circuit
    rows = [len(allocated(circuit, share=share)[0].rows) for share in (True, False)]
    assert rows[0] < rows[1]


@pytest.mark.parametrize("steps", [4, 12, 20])
def test_scales_stay_near_the_ranges_in_long_chains(steps: int) -> None:
    """Products that disagree about the scales of shared rows once drove them to 1e300."""
    circuit = gradient_descent_circuit(2, 10, box_for(2), steps=steps, step_size=1 / 180)
    allocation, folded, ranges = allocated(circuit)
    largest = max(ranges[value].largest for value in folded.values())
    quiet = 2.0**24  # rows that no product reads are stored that much smaller
    assert max(row.scale for row in allocation.rows) <= largest * quiet
