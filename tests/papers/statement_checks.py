"""What every statement of every paper must do, and what it must say."""

import re
from collections.abc import Iterable, Mapping

from papers.ledger import AnyStatement, Statement, Verdict
from papers.runner import Result, run_one

#: Every check of a paper runs with these here; `make verify` takes seed 0.
SEEDS = (20240607,)


def by_id(statements: Iterable[AnyStatement]) -> dict[str, Statement]:
    """The statements that have a check, by id; ids must be unique."""
    listed = list(statements)
    assert len({statement.id for statement in listed}) == len(listed)
    return {s.id: s for s in listed if isinstance(s, Statement)}


def tells_what_it_is(statement: AnyStatement, paper: str) -> None:
    assert re.fullmatch(rf"{paper}/[a-z0-9]+(-[a-z0-9]+)*", statement.id)
    assert isinstance(statement, Statement)
    assert statement.title
    assert statement.source
    assert statement.latex
    assert len(statement.mutants) >= 3
    if (repair := statement.correction) is not None:
        assert repair.text
        assert repair.latex
        assert repair.latex != statement.latex


def stands_on_statements_without_a_cycle(statements: Mapping[str, Statement]) -> None:
    missing = {s.id: set(s.depends_on) - set(statements) for s in statements.values()}
    assert {name: ids for name, ids in missing.items() if ids} == {}
    done: set[str] = set()
    while ready := {
        s.id for s in statements.values() if s.id not in done and set(s.depends_on) <= done
    }:
        done |= ready
    assert done == set(statements)


def holds(statement: Statement, seed: int, verdict: Verdict) -> Result:
    """The check comes to this verdict, kills every mutant with a reason, and says its scope."""
    result = run_one(statement, seed)
    assert result.verdict is verdict, result.as_dict()
    assert all(mutant.killed and mutant.reason for mutant in result.mutants)
    # A crash rejects anything.
    assert [mutant.name for mutant in result.mutants if "Traceback" in mutant.reason] == []
    evidence = result.corrected or result.printed
    assert evidence.scope
    assert evidence.tolerance is None or evidence.measured <= evidence.tolerance
    if verdict is Verdict.CORRECTED:
        assert not result.printed.holds
        assert re.search(r"\d", result.printed.counterexample)
    return result
