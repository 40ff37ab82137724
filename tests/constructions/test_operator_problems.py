"""Operators refuse what they are not defined on: every reason at once, by name."""

import numpy as np
import pytest

from constructions.operators import (
    Aff,
    CopyDown,
    CopyOver,
    Div,
    Mov,
    Mul,
    Operator,
    OperatorError,
    Raw,
    ScaledAgg,
    Sigmoid,
    Soft,
    copy_down,
)

SOME = frozenset({1, 2})
EYE = np.eye(2)

#: Operators on matrices of 4 rows and 3 columns, with a part of every problem they have.
BAD: tuple[tuple[Operator, tuple[str, ...]], ...] = (
    (CopyDown(1, 4, 2, SOME), ("target rows [5] are not within 1..4",)),
    (CopyDown(3, 1, 4, SOME), ("target row 1 lies above source row 3",)),
    (
        CopyDown(2, 1, 1, frozenset({0, 4})),
        (
            "source rows are an empty interval",
            "target rows are an empty interval",
            "columns [0, 4] are not within 1..3",
            "target row 1 lies above source row 2",
        ),
    ),
    (
        CopyOver(0, 4, 1, frozenset({1, 2, 5})),
        (
            "source rows [0] are not within 1..4",
            "target rows [5] are not within 1..4",
            "columns [5] are not within 1..3",
            "column 1 has no previous column",
        ),
    ),
    (Mov(4, 1, 3, SOME), ("source rows are an empty", "target rows are an empty")),
    (
        Mul(1, 3, 4, 3, SOME),
        ("right factor rows [5] are not within 1..4", "target rows [5, 6] are not within 1..4"),
    ),
    (Mul(0, 1, 1, 0, SOME), ("left factor rows [0] are not within 1..4",)),
    (
        Aff(1, 3, 3, 2, 4, 4, np.ones((2, 3)), np.ones(2), np.ones(3), frozenset({7})),
        (
            "columns [7] are not within 1..3",
            "W has shape (2, 3), but maps 2 first rows to 2 target rows: expected (2, 2)",
            "W' has shape (2,), but maps 2 second rows to 2 target rows: expected (2, 2)",
            "b has shape (3,), expected (2,)",
        ),
    ),
    (Aff(1, 3, 3, 2, 4, 4, 1.0, 0, 0, SOME), ("W has shape ()",)),
    (
        ScaledAgg(1.0, 1, 2, 4, 2, frozenset({1, 2, 3})),
        (
            "target rows [5] are not within 1..4",
            "summed columns [2, 3] are not all before column 2: not causal",
        ),
    ),
    (
        ScaledAgg(1.0, 1, 2, 2, 4, frozenset({0})),
        ("columns [4] are not within 1..3", "summed columns [0] are not all before column 4"),
    ),
    (Soft(3, 5, 4), ("source rows [5] are not", "target rows [5, 6] are not")),
    (Soft(2, 1, 1), ("source rows are an empty", "target rows are an empty")),
    (Sigmoid(5, 0), ("source rows [5] are not", "target rows [0] are not")),
    (
        Div(5, 1, 4, 2, frozenset({4})),
        (
            "divisor rows [5] are not within 1..4",
            "target rows [5] are not within 1..4",
            "columns [4] are not within 1..3",
        ),
    ),
    (
        Raw("+", (1, 2), (5,), (0,), EYE, np.ones((3, 1)), np.ones((1, 2)),
            {2: frozenset({2}), 3: frozenset({0, 1})}),
        (
            "own rows [5] are not within 1..4",
            "written rows [0] are not within 1..4",
            "T_J has shape (3, 1), expected (2, 1)",
            "pi(2) holds [2], which are not before column 2: not causal",
            "pi(3) holds [0], which are not before column 3: not causal",
        ),
    ),
    (
        Raw("*", (1,), (2, 3), (), np.ones((1, 2)), EYE, np.ones((0, 1)), {}),
        (
            "written rows are an empty interval",
            "T_I has shape (1, 2), expected (1, 1)",
            "T_J has shape (2, 2), expected (1, 2)",
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("operator", "parts"), BAD, ids=lambda value: str(value)[:40])
def test_every_problem_is_reported_at_once(operator: Operator, parts: tuple[str, ...]) -> None:
    with pytest.raises(OperatorError) as caught:
        operator(np.ones((4, 3)))
    problems = caught.value.problems
    assert len(problems) == len(parts)
    for part in parts:
        assert sum(part in problem for problem in problems) == 1
        assert part in str(caught.value)
    assert str(caught.value).startswith(operator.name)
    assert operator.problems(4, 3) == problems


def test_copy_down_does_not_go_upward() -> None:
    H = np.arange(6.0).reshape(3, 2)
    with pytest.raises(OperatorError, match="target row 1 lies above source row 2"):
        copy_down(H, 2, 1, 3, frozenset({1}))
    np.testing.assert_array_equal(copy_down(H, 2, 2, 3, frozenset({1})), H)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_division_by_zero_names_the_column(zero: float) -> None:
    H = np.array([[1.0, 2.0, 3.0], [5.0, zero, zero]])
    with pytest.raises(ZeroDivisionError, match="column 2 is zero"):
        Div(2, 1, 1, 1, frozenset({1, 2, 3}))(H)
    np.testing.assert_array_equal(Div(2, 1, 1, 1, frozenset({1}))(H)[0], [0.2, 2, 3])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(3), "shape"),
        (np.ones((2, 2, 2)), "shape"),
        (np.ones((0, 2)), "shape"),
        ([[1.0, np.nan], [1.0, 1.0]], r"entry \(1, 2\) is nan"),
        ([[1.0, 1.0], [np.inf, 1.0]], r"entry \(2, 1\) is inf"),
        ([["a", "b"]], "real numbers"),
        (np.ones((2, 2), dtype=complex), "real numbers"),
    ],
)
def test_what_is_no_real_matrix_is_refused(values: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Soft(1, 1, 1)(values)
