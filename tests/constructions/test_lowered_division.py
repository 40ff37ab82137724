"""Division by LayerNorm: its error against the range of the divisor, and its refusals."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from constructions.compiled import CompiledProgram
from constructions.operators import Columns, Div
from constructions.program import Program, Register
from tests.constructions.judges import Matrix
from tests.constructions.meanings import judged, written
from tests.constructions.one_line import planned

DTYPES = (torch.float64, torch.float32)
ALL = frozenset({1, 2, 3, 4})


def division(low: float, high: float, columns: Columns, *, fresh: bool) -> Program:
    """Two numerators in -1..1, a divisor in low..high, two quotients."""
    quotient = 1 / min(abs(low), abs(high))
    registers = (
        Register("n", 1, 2, -1.0, 1.0),
        Register("c", 3, 1, low, high),
        Register("t", 4, 2, -quotient, quotient),
    )
    inputs = ("n", "c") if fresh else ("n", "c", "t")
    return Program("division", registers, 4, (Div(3, 1, 4, 2, columns),), inputs)


def matrices(program: Program, *, fresh: bool) -> Matrix:
    """Divisors spread over all sizes of the range, both ends included; exact in float32."""
    c, t = program.register("c"), program.register("t")
    rng = np.random.default_rng(0)
    ends = sorted((abs(c.low), abs(c.high)))
    sizes = np.exp(rng.uniform(*np.log(ends), (40, 4)))
    sizes[0], sizes[1] = ends
    H = np.zeros((40, 5, 4))
    H[:, :2] = rng.uniform(-1, 1, (40, 2, 4))
    H[:, 2] = np.sign(c.low + c.high) * sizes
    H[:, 3:] = 0 if fresh else rng.uniform(-t.bound, t.bound, (40, 2, 4))
    return H.astype(np.float32).astype(np.float64)


def relative_error(program: Program, dtype: torch.dtype, *, fresh: bool) -> tuple[float, float]:
    """The worst error over the largest quotient, and what is stated for it.

    |v|^2 / (4 N^2 c^2) from LayerNorm, with at most p rows v of size 1 and N c relative to the
    largest c; and rounding: LayerNorm's scale is read off a row that is c / c_max of the largest.
    """
    model = CompiledProgram(program, dtype)
    assert model.report().layers == 3 + program.overwrites[0]
    H = matrices(program, fresh=fresh)
    (operator,) = program.operations
    meaning = np.array([judged(operator, h) for h in H])
    outside = ~written(operator, H.shape[1:])
    result = model.run_matrices(H)
    np.testing.assert_array_equal(result[:, outside], H[:, outside])
    c, largest = program.register("c"), program.register("t").bound
    ratio = min(abs(c.low), abs(c.high)) / c.bound
    reach = model.stream.division_gain * ratio
    stated = model.stream.num_rows / (4 * reach**2) + (8 + 4 / ratio) * torch.finfo(dtype).eps
    plan_error = np.abs(planned(model, H) - meaning).max() / largest
    assert plan_error <= 1e-14 / ratio
    return float(np.abs(result - meaning).max() / largest), stated


#: Ranges of the divisor relative to its largest size; float32 holds all but 1e-4, to 1e-8.
RATIOS = (1.0, 0.5, 2.0**-4, 2.0**-7, 2.0**-10, 1e-4)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(("sign", "scale"), [(1, 1.0), (-1, 512.0), (-1, 2.0**-7)])
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_quotients_are_within_the_stated_error(
    dtype: torch.dtype, ratio: float, sign: int, scale: float, fresh: bool
) -> None:
    low, high = sorted((sign * scale * ratio, sign * scale))
    program = division(low, high, ALL, fresh=fresh)
    measured, stated = relative_error(program, dtype, fresh=fresh)
    assert measured <= stated


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("columns", [{1, 3}, {4}, {1}, set()], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_only_the_given_columns_divide(dtype: torch.dtype, columns: set[int], fresh: bool) -> None:
    program = division(0.125, 1.0, frozenset(columns), fresh=fresh)
    measured, stated = relative_error(program, dtype, fresh=fresh)
    assert measured <= stated


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_error_grows_as_the_range_widens(dtype: torch.dtype) -> None:
    """The stated growth is real: within a factor of 50 at the widest range."""
    pairs = [
        relative_error(division(ratio, 1.0, ALL, fresh=True), dtype, fresh=True)
        for ratio in (1e-1, 1e-2, 1e-3, 1e-4)
    ]
    measured = [error for error, _ in pairs]
    assert all(later > 3 * earlier for earlier, later in pairwise(measured))
    assert measured[-1] >= pairs[-1][1] / 50


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "operator",
    [
        Div(1, 1, 1, 3, ALL),  # the divisor and its numerators are overwritten
        Div(2, 1, 2, 2, frozenset({1})),
        Div(3, 1, 2, 2, ALL),
        Div(3, 3, 1, 3, ALL),  # c / c = 1
        Div(1, 1, 2, 2, frozenset()),
    ],
    ids=str,
)
def test_sources_and_targets_may_overlap(operator: Div, dtype: torch.dtype) -> None:
    H = np.random.default_rng(1).uniform(0.5, 2.0, (10, 3, 4)).astype(np.float32).astype(float)
    program = Program("overlap", (Register("H", 1, 3, 0.25, 4.0),), 4, (operator,), ("H",))
    meaning = np.array([judged(operator, h) for h in H])
    result = CompiledProgram(program, dtype).run_matrices(H)
    ratio = 1 / 16
    np.testing.assert_allclose(
        result, meaning, rtol=0, atol=4 * (8 + 4 / ratio) * torch.finfo(dtype).eps
    )


def test_two_divisions_in_a_row() -> None:
    """1 / (1 / c) = c, and the rows that divide are cleared in between."""
    registers = (
        Register("one", 1, 1, 1.0, 1.0),
        Register("c", 2, 1, 0.01, 1.0),
        Register("i", 3, 1, 1.0, 100.0),
        Register("b", 4, 1, 0.01, 1.0),
    )
    lines = (Div(2, 1, 3, 1, ALL), Div(3, 1, 4, 1, ALL))
    program = Program("twice", registers, 4, lines, ("one", "c"))
    H = np.zeros((20, 4, 4))
    H[:, 0], H[:, 1] = 1.0, np.random.default_rng(2).uniform(0.01, 1.0, (20, 4))
    model = CompiledProgram(program)
    assert model.report().layers == 6
    result = model.run_matrices(H)
    np.testing.assert_allclose(result[:, 3], H[:, 1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(result[:, 2], 1 / H[:, 1], rtol=1e-12)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.0), (-1.0, 0.0), (0.0, 0.0)])
def test_a_divisor_that_may_be_zero_is_refused_by_name(low: float, high: float) -> None:
    registers = (Register("n", 1, 1, -1.0, 1.0), Register("c", 2, 1, low, high))
    lines = (Div(2, 1, 1, 1, frozenset({1})),)
    program = Program("zero", registers, 2, lines, ("n", "c"))
    with pytest.raises(ValueError, match=r"line 1, div\(H; .*'c' ranges over .* away from 0"):
        CompiledProgram(program)
