"""No numbered item of Pathak et al. 2023 has neither a statement nor a reason."""

import re

import pytest

from papers import beyond, pathak2023
from tests.papers.pathak2023_inventory import INVENTORY

IDS = {s.id for s in (*pathak2023.STATEMENTS, *beyond.STATEMENTS)}

#: How far the numbers of the paper go; (8) and (9) have letters.
DISPLAYS = (*map(str, range(1, 8)), "8a", "8b", "9a", "9b", "9c")
FIGURES, FOOTNOTES, LINES = 9, 4, 9


def _numbers(pattern: str) -> set[str]:
    """Return what is numbered so, as the items name it."""
    return {found for name in INVENTORY for found in re.findall(rf"{pattern} \(?(\d+[a-c]?)", name)}


def _up_to(last: int) -> set[str]:
    return {str(number) for number in range(1, last + 1)}


@pytest.mark.parametrize("name", INVENTORY)
def test_an_item_has_a_statement_or_a_reason(name):
    item = INVENTORY[name]
    assert bool(item.covered) != bool(item.reason)
    assert set(item.covered) <= IDS


def test_every_display_is_listed():
    assert _numbers(r"(?:Eq\.|Display)") == set(DISPLAYS)


def test_every_result_is_listed():
    assert _numbers("Lemma") == _up_to(2)
    for kind in ("Definition", "Proposition", "Theorem", "Algorithm"):
        assert _numbers(kind) == _up_to(1)


def test_every_figure_footnote_and_line_is_listed():
    assert _numbers("Figure") == _up_to(FIGURES)
    assert _numbers("Footnote") == _up_to(FOOTNOTES)
    assert _numbers("line") == _up_to(LINES)


def test_every_statement_covers_an_item():
    covered = {name for item in INVENTORY.values() for name in item.covered}
    assert {s.id for s in pathak2023.STATEMENTS} <= covered
