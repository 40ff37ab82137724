"""No numbered item of Zhang et al. 2024 has neither a statement nor a reason."""

import re

import pytest

from papers import beyond, zhang2024
from papers.ledger import Statement
from tests.papers.zhang2024_inventory import INVENTORY

IDS = {s.id for s in (*zhang2024.STATEMENTS, *beyond.STATEMENTS)}

#: How far the numbers of the paper go.
DISPLAYS, RESULTS, FOOTNOTES = 65, 32, 2


def _numbers(pattern: str) -> set[int]:
    """All numbers in the names that follow a word, ranges "a to b" and pairs "a and b" included."""
    found = set()
    for name in INVENTORY:
        for told in re.findall(rf"{pattern} \(?(\d+)\)?(?: (to|and) \(?(\d+)\)?)?", name):
            first, joint, last = int(told[0]), told[1], int(told[2] or told[0])
            found |= set(range(first, last + 1)) if joint == "to" else {first, last}
    return found


@pytest.mark.parametrize("name", INVENTORY)
def test_an_item_has_a_statement_or_a_reason(name):
    item = INVENTORY[name]
    assert bool(item.covered) != bool(item.reason)
    assert set(item.covered) <= IDS


def test_every_display_is_listed():
    assert _numbers(r"[Ee]qs?\.") == set(range(1, DISPLAYS + 1))


def test_every_result_is_listed():
    kinds = "(?:Definition|Assumption|Theorem|Corollary|Lemma)"
    assert _numbers(kinds) == set(range(1, RESULTS + 1))


def test_every_footnote_is_listed():
    assert _numbers("Footnote") == set(range(1, FOOTNOTES + 1))


def test_every_printed_statement_covers_an_item():
    covered = {name for item in INVENTORY.values() for name in item.covered}
    printed = {s.id for s in zhang2024.STATEMENTS if isinstance(s, Statement) and not s.beyond}
    assert printed <= covered
