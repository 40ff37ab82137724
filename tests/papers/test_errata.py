"""Errata from results."""

from papers.errata import ORDER, errata
from papers.ledger import Fault
from papers.runner import run
from tests.papers.toy_paper import corrected, one


def test_every_fault_has_its_place_among_errata():
    assert sorted(ORDER) == sorted(Fault)
    found = errata(run([one(f.name.lower(), **corrected(f)) for f in Fault], 0))
    assert [erratum.fault for erratum in found] == list(ORDER)
