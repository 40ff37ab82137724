"""Each operator on its own, lowered: meaning, layer plan and weights agree on random matrices."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from constructions.compiled import CompiledProgram
from constructions.operators import (
    Aff,
    CopyDown,
    CopyOver,
    Div,
    Mov,
    Mul,
    Operator,
    Raw,
    ScaledAgg,
    Sigmoid,
    Soft,
)
from constructions.program import Program, Register
from tests.constructions.judges import Matrix
from tests.constructions.meanings import ONE_OF_EACH, judged, written
from tests.constructions.one_line import cleared, one_line, planned, tolerance
from tests.constructions.strategies import MAKERS, shapes_and_operators

DTYPES = (torch.float64, torch.float32)
KINDS = tuple(kind for kind in MAKERS if kind is not Div)  # Div: test_lowered_division
ALL = frozenset({1, 2, 3, 4})
ONE, TWO = np.ones((1, 1)), np.array([[1.0, -1.0], [0.5, 2.0]])

#: Operators whose sources and targets overlap in many ways.
OVERLAPPING = tuple(operator for operator in ONE_OF_EACH if not isinstance(operator, Div))

#: Edges of the column sets, on matrices of 6 rows and 4 columns.
EDGES: tuple[Operator, ...] = (
    CopyDown(1, 4, 3, ALL),
    CopyDown(1, 4, 3, frozenset()),
    CopyDown(2, 2, 6, frozenset({1})),
    CopyOver(1, 1, 6, ALL - {1}),
    CopyOver(1, 4, 2, frozenset()),
    Mov(2, 1, 6, ALL),
    Mov(1, 2, 5, frozenset({1})),
    Mul(1, 1, 1, 6, ALL),
    Mul(1, 2, 3, 2, frozenset()),
    Aff(1, 1, 1, 2, 2, 2, TWO, -TWO, np.array([0.0, 3.0]), ALL),
    Aff(1, 2, 3, 1, 2, 3, ONE, -ONE, np.zeros(1), frozenset()),
    ScaledAgg(2.0, 1, 6, 1, 4, ALL - {4}),
    ScaledAgg(2.0, 1, 3, 4, 4, frozenset()),
    ScaledAgg(-1.0, 1, 3, 4, 1, frozenset()),
    ScaledAgg(0.0, 1, 3, 1, 3, frozenset({1})),
    Soft(1, 6, 1),
    Soft(3, 3, 3),
    Sigmoid(6, 1),
    Raw("+", (1, 2), (3, 4), (1, 2), TWO, TWO, TWO, {i: frozenset(range(1, i)) for i in ALL}),
    Raw("*", (1, 2), (3, 4), (3, 4), TWO, TWO, TWO, {i: frozenset(range(1, i)) for i in ALL}),
    Raw("+", (1, 2), (3, 4), (5, 6), TWO, TWO, TWO, {}),
)


def matrices(shape: tuple[int, ...], scale: float, seed: int) -> Matrix:
    """Uniform entries with the corners of the range among them, exact in float32."""
    H = np.random.default_rng(seed).uniform(-1, 1, shape)
    H[np.random.default_rng(seed + 1).random(shape) < 0.1] = 1.0
    return (scale * H).astype(np.float32).astype(np.float64)


def check_three_ways(operator: Operator, H: Matrix, dtype: torch.dtype, *, fresh: bool) -> None:
    H = cleared(operator, H) if fresh else H
    program = one_line(operator, H, fresh=fresh)
    model = CompiledProgram(program, dtype)
    assert program.overwrites == (not fresh and bool(written(operator, H.shape[1:]).any()),)
    assert model.report().layers == 1
    meaning = np.array([judged(operator, h) for h in H])
    bound, epsilon = program.registers[0].bound, torch.finfo(dtype).eps
    by_plan, by_weights = planned(model, H), model.run_matrices(H)
    exact = tolerance(operator, bound, 2.0**-52)
    np.testing.assert_allclose(by_plan, meaning, rtol=0, atol=exact)
    allowed = tolerance(operator, bound, epsilon, model.square)
    np.testing.assert_allclose(by_weights, meaning, rtol=0, atol=allowed)
    outside = ~written(operator, H.shape[1:])
    np.testing.assert_array_equal(by_plan[:, outside], H[:, outside])
    np.testing.assert_array_equal(by_weights[:, outside], H[:, outside])


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("operator", OVERLAPPING + EDGES, ids=str)
def test_meaning_plan_and_weights_agree(
    operator: Operator, dtype: torch.dtype, fresh: bool
) -> None:
    for seed in range(3):
        check_three_ways(operator, matrices((5, 6, 4), 1.0, seed), dtype, fresh=fresh)


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 30.0, 1e6])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_errors_scale_with_the_range(dtype: torch.dtype, scale: float) -> None:
    # The judge's softmax overflows at 1e6; test_softmax_of_large_scores has that end.
    small = scale < 100
    for operator in OVERLAPPING:
        if small or not isinstance(operator, Soft | Sigmoid):
            check_three_ways(operator, matrices((5, 6, 4), scale, 7), dtype, fresh=False)
    assert len(OVERLAPPING) == 10


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(deadline=None, max_examples=60)
@given(data=st.data(), fresh=st.booleans())
def test_any_operator_on_any_shape(dtype: torch.dtype, data: st.DataObject, fresh: bool) -> None:
    shape, build, rng = data.draw(shapes_and_operators(KINDS))
    operator = build()
    assume(not isinstance(operator, Raw) or (operator.read_rows and operator.own_rows))
    H = matrices((2, *shape), 1.0, int(rng.integers(1000)))
    check_three_ways(operator, H, dtype, fresh=fresh and written(operator, shape).any())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_small_register_keeps_its_precision_beside_a_large_one(dtype: torch.dtype) -> None:
    """Rows are read in their own units: 1e-6 beside 1e6 is copied to 1e-6 epsilon."""
    registers = (
        Register("large", 1, 2, -1e6, 1e6),
        Register("small", 3, 2, -1e-6, 1e-6),
        Register("copy", 5, 2, -1e-6, 1e-6),
    )
    H = np.concatenate([matrices((4, 2, 3), s, 1) for s in (1e6, 1e-6, 1e-6)], axis=1)
    operator = Mov(3, 5, 4, frozenset({1, 2, 3}))
    inputs = ("large", "small", "copy")
    model = CompiledProgram(Program("two sizes", registers, 3, (operator,), inputs), dtype)
    epsilon = torch.finfo(dtype).eps
    difference = np.abs(model.run_matrices(H) - np.array([judged(operator, h) for h in H]))
    assert difference[:, 4:].max() <= 8 * epsilon * 1e-6
    assert difference[:, :4].max() == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_products_of_registers_of_different_size(dtype: torch.dtype) -> None:
    registers = (
        Register("a", 1, 2, -1.001e4, 1.001e4),
        # A little more than the entries, which are rounded to float32.
        Register("b", 3, 2, -1.001e-3, 1.001e-3),
        Register("ab", 5, 2, -10.1, 10.1),
    )
    operator = Mul(1, 3, 5, 2, frozenset({1, 3}))
    H = np.concatenate([matrices((4, 2, 3), s, 2) for s in (1e4, 1e-3, 10.0)], axis=1)
    inputs = ("a", "b", "ab")
    model = CompiledProgram(Program("two factors", registers, 3, (operator,), inputs), dtype)
    epsilon, square = torch.finfo(dtype).eps, model.square
    amplification = 2 * float(np.sum(np.abs(square.coefficients) * square.scales))
    allowed = 10 * (square.relative_error + (2 * amplification + 8) * epsilon)
    meaning = np.array([judged(operator, h) for h in H])
    np.testing.assert_allclose(model.run_matrices(H), meaning, rtol=0, atol=allowed)


@pytest.mark.parametrize("largest", [99_999.0, 0.0, -99_000.0])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_softmax_of_large_scores(dtype: torch.dtype, largest: float) -> None:
    """Scores up to 1e5 keep a difference of 1 between the first two, up to epsilon 1e5.

    Very negative scores must still win over the columns that are masked.
    """
    H = np.full((1, 4, 2), -1e5)
    H[0, 0, 1], H[0, 1, 1] = largest, largest - 1
    registers = (Register("s", 1, 4, -1e5, 1e5), Register("p", 5, 4, 0.0, 1.0))
    program = Program("softmax", registers, 2, (Soft(1, 4, 5),), ("s",))
    padded = np.concatenate([H, np.zeros((1, 4, 2))], axis=1)
    p = CompiledProgram(program, dtype).run_matrices(padded)[0, 4:, 1]
    leader = 1 / (1 + np.exp(-1))
    allowed = torch.finfo(dtype).eps * 1e5 * 0.25 + 1e-6 * (dtype == torch.float32)
    np.testing.assert_allclose(p, [leader, 1 - leader, 0, 0], rtol=0, atol=allowed)


def test_other_float_types_and_registers_without_range_are_refused() -> None:
    line = (Mov(1, 1, 1, frozenset({1})),)
    bounded = Program("bounded", (Register("H", 1, 1, -1.0, 1.0),), 3, line, ("H",))
    for dtype in (torch.float16, torch.bfloat16, torch.int64):
        with pytest.raises(ValueError, match=r"expected torch\.float32 or torch\.float64"):
            CompiledProgram(bounded, dtype)
    endless = (Register("H", 1, 1, -1.0, 1.0), Register("far", 2, 1, 0.0, np.inf))
    with pytest.raises(ValueError, match=r"ranges of registers 'far' up to inf"):
        CompiledProgram(Program("endless", endless, 3, line, ("H",)))
