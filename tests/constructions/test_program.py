"""Programs as data: column sets, validation, single assignment."""

import numpy as np
import pytest

from constructions import Box
from constructions.library.posterior_mean import posterior_mean_program
from constructions.operators import CopyDown, CopyOver, Soft
from constructions.program import (
    I_EVEN,
    I_ODD,
    QUERY,
    ColumnKind,
    ColumnSet,
    Program,
    ProgramError,
    Register,
    column_kind,
)
from tests.cases import GRID, STAGE_CASES, Case


def registers(*sizes: tuple[str, int]) -> tuple[Register, ...]:
    found, first = [], 1
    for name, dim in sizes:
        found.append(Register(name, first, dim, -1.0, 1.0))
        first += dim
    return tuple(found)


@pytest.mark.parametrize("k", [0, 1, 2, 7])
def test_column_sets_are_those_of_appendix_b2(k: int) -> None:
    odd, even = {2 * j - 1 for j in range(1, k + 2)}, {2 * j for j in range(1, k + 1)}
    assert I_ODD.of(k) == odd
    assert I_EVEN.of(k) == even
    assert QUERY.of(k) == {2 * k + 1}
    assert (I_EVEN | QUERY).of(k) == even | {2 * k + 1}
    assert (I_ODD | I_EVEN).of(k) == set(range(1, 2 * k + 2))
    assert ColumnSet(frozenset({ColumnKind.COVARIATE})).of(k) == odd - {2 * k + 1}


def test_column_kinds_and_membership() -> None:
    kinds = [column_kind(i, 2).value for i in range(1, 6)]
    assert kinds == ["x", "y", "x", "y", "query"]
    assert column_kind(1, 0) is ColumnKind.QUERY
    assert ColumnKind.LABEL in I_EVEN
    assert ColumnKind.LABEL not in I_ODD | QUERY


def test_every_problem_of_a_program_is_reported_at_once() -> None:
    blocks = (
        Register("a", 1, 2, -1.0, 1.0),
        Register("b", 4, 1, 1.0, -1.0),
        Register("a", 5, 0, 0.0, 0.0),
    )
    lines = (CopyDown(1, 2, 2, frozenset({1, 9})), CopyOver(1, 1, 1, frozenset({1, 2})))
    with pytest.raises(ProgramError) as caught:
        Program("broken", blocks, 3, lines, inputs=("a", "nowhere"))
    parts = (
        "register 'b' covers rows 4..4",
        "register 'b' has the range 1.0..-1.0",
        "register 'a' covers rows 5..4",
        "['nowhere']",
        "line 1, copy_down(H; 1, 2, 2, {1, 9}): columns [9] are not within 1..3",
        "line 2, copy_over(H; 1, 1, 1, {1, 2}): column 1 has no previous column",
    )
    assert len(caught.value.problems) == len(parts)
    for part in parts:
        assert part in str(caught.value)
    assert str(caught.value).startswith("program 'broken'")


def test_repeated_names_and_a_program_without_registers_are_refused() -> None:
    with pytest.raises(ProgramError, match="names repeat"):
        Program("twice", registers(("a", 1), ("a", 1)), 1, (), ("a",))
    with pytest.raises(ProgramError, match="no registers"):
        Program("empty", (), 1, (), ())


def test_a_range_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ProgramError, match="range"):
        Program("nan", (Register("a", 1, 1, float("nan"), 1.0),), 1, (), ())


def test_registers_are_found_by_name_and_by_row() -> None:
    program = Program("named", registers(("a", 2), ("b", 3)), 2, (), ())
    assert program.num_rows == 5
    assert program.register("b").rows.indices == (3, 4, 5)
    assert [program.register_of(row).name for row in range(1, 6)] == list("aabbb")
    with pytest.raises(KeyError, match=r"'c'.*\['a', 'b'\]"):
        program.register("c")
    assert Register("r", 1, 1, -3.0, 2.0).bound == 3.0


def test_overwrites_marks_the_lines_that_write_a_filled_cell() -> None:
    lines = (
        CopyDown(1, 2, 1, frozenset({1})),  # fresh: row 2, column 1
        CopyDown(1, 2, 1, frozenset({2})),  # fresh: row 2, column 2
        Soft(1, 1, 2),  # writes (2, 3): fresh
        Soft(1, 1, 2),  # the same cell again
        CopyDown(2, 3, 2, frozenset()),  # writes nothing
        CopyOver(2, 1, 2, frozenset({2})),  # an input
    )
    program = Program("lines", registers(("in", 1), ("out", 2)), 3, lines, ("in",))
    assert program.overwrites == (False, False, False, True, False, True)
    without_input = Program("lines", registers(("in", 1), ("out", 2)), 3, lines, ())
    assert without_input.overwrites == (False, False, False, True, False, False)


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("case", STAGE_CASES + GRID[:6], ids=str)
def test_the_library_program_is_in_single_assignment_form(case: Case, prior: bool) -> None:
    m, d, k = case.num_components, case.dim, case.num_examples
    program = posterior_mean_program(
        np.ones((m, d)), case.noise_std, k, log_weights=np.zeros(m) if prior else None
    )
    assert not any(program.overwrites)
    assert len(program.operations) == 9 + prior
    assert program.num_rows == 2 * d + (4 + prior) * m + 2
    assert program.num_columns == 2 * k + 1
    assert program.inputs == ("token",)


@pytest.mark.parametrize(("noise_std", "k"), [(0.0, 1), (-1.0, 1), (1.0, -1), (float("nan"), 1)])
def test_the_library_program_refuses_what_has_no_network(noise_std: float, k: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        posterior_mean_program(np.ones((2, 1)), noise_std, k)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (1.0, -1.0), (np.inf, 1.0), (1.0, np.nan)])
def test_a_box_without_positive_finite_bounds_is_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="positive number below"):
        Box(*bounds)
