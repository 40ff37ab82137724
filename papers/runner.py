"""Runs the checks of statements, on what is claimed and on every mutant."""

import time
import traceback
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from papers.ledger import AnyStatement, Evidence, Grade, OpenStatement, Statement, Verdict

#: How many ids an error names for each that is unknown.
_MOST_NAMED = 5


@dataclass(frozen=True)
class MutantResult:
    """Whether a mutant was rejected, and what rejected it (or the crash)."""

    name: str
    killed: bool
    reason: str


@dataclass(frozen=True)
class Result:
    """The verdict on one statement with everything it rests on.

    ``printed`` and ``corrected`` are the evidence for the two readings (None where there is no
    such reading, or its check crashed); ``error`` is the traceback of a crash, or the reason why a
    statement is open.
    """

    statement: AnyStatement
    verdict: Verdict
    printed: Evidence | None
    corrected: Evidence | None
    mutants: tuple[MutantResult, ...]
    seconds: float
    error: str

    @property
    def grade(self) -> Grade | None:
        """The grade of the reading that holds."""
        evidence = self.corrected or self.printed
        return evidence.grade if evidence is not None and self.verdict.passes else None

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON data."""
        statement = self.statement
        evidence = {
            name: None if found is None else asdict(found)
            for name, found in (("as printed", self.printed), ("as corrected", self.corrected))
        }
        return {
            "id": statement.id,
            "title": statement.title,
            "source": statement.source,
            "reading": _reading_of(statement),
            "verdict": str(self.verdict),
            "passes": self.verdict.passes,
            "grade": None if self.grade is None else str(self.grade),
            "evidence": evidence,
            "correction": _correction_of(statement),
            "mutants": [asdict(mutant) for mutant in self.mutants],
            "seconds": self.seconds,
            "error": self.error,
        }


def _reading_of(statement: AnyStatement) -> str:
    if isinstance(statement, Statement) and statement.beyond:
        return "beyond the paper"
    return "as printed" if _correction_of(statement) is None else "as corrected"


def _correction_of(statement: AnyStatement) -> dict[str, str] | None:
    if isinstance(statement, OpenStatement) or statement.correction is None:
        return None
    return {"text": statement.correction.text, "fault": str(statement.correction.fault)}


class UnknownStatementError(KeyError):
    """No statement has this id; the message lists near ones."""

    def __str__(self) -> str:
        """The message, without KeyError's quotes."""
        return str(self.args[0])


def select(statements: Sequence[AnyStatement], ids: Sequence[str]) -> list[AnyStatement]:
    """Return the statements with these ids, in this order; all of them for no ids.

    Raises
    ------
    UnknownStatementError
        If an id is not there; all such are named, with the ids that are like them.
    """
    by_id = {statement.id: statement for statement in statements}
    unknown = [wanted for wanted in ids if wanted not in by_id]
    if unknown:
        near = [name for wanted in unknown for name in _similar(wanted, by_id)]
        told = (
            f"did you mean {', '.join(near)}?" if near else "without ids all are checked and listed"
        )
        raise UnknownStatementError(
            f"no statement {', '.join(unknown)} among the {len(by_id)}; {told}"
        )
    return [by_id[wanted] for wanted in ids] if ids else list(statements)


def _similar(wanted: str, ids: Iterable[str]) -> list[str]:
    """Return ids that end alike, or are spelt alike; few of them."""
    listed = list(ids)
    same = [name for name in listed if wanted in (name.partition("/")[2], name.partition("/")[0])]
    return (same or get_close_matches(wanted, listed, n=3, cutoff=0.7))[:_MOST_NAMED]


def run(
    statements: Iterable[AnyStatement],
    seed: int,
    on_done: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Check every statement; the random numbers of each depend on seed and id alone.

    Parameters
    ----------
    statements
        What to check.
    seed
        Nonnegative.
    on_done
        Called after each statement, for progress.
    """
    results = []
    for item in statements:
        results.append(run_one(item, seed))
        on_done(results[-1])
    return results


def run_one(statement: AnyStatement, seed: int) -> Result:
    """Check one statement: both readings, then every mutant."""
    if isinstance(statement, OpenStatement):
        return Result(statement, Verdict.OPEN, None, None, (), 0.0, statement.reason)
    start = time.perf_counter()
    printed, crash = _attempt(statement, statement.printed, seed)
    corrected = None
    if statement.correction is not None and not crash:
        corrected, crash = _attempt(statement, statement.correction.claim, seed)
    mutants = () if crash else tuple(_try_mutants(statement, seed))
    verdict = Verdict.CRASHED if crash else _judge(printed, corrected, mutants)
    if statement.beyond and verdict is Verdict.HOLDS:
        verdict = Verdict.BEYOND
    seconds = time.perf_counter() - start
    return Result(statement, verdict, printed, corrected, mutants, seconds, crash)


def _judge(
    printed: Evidence | None, corrected: Evidence | None, mutants: Sequence[MutantResult]
) -> Verdict:
    assertion = printed if corrected is None else corrected
    if assertion is None or not assertion.holds:
        return Verdict.FAILS
    if corrected is not None and printed is not None and printed.holds:
        return Verdict.IDLE
    if not all(mutant.killed for mutant in mutants):
        return Verdict.MUTANT_LIVES
    return Verdict.HOLDS if corrected is None else Verdict.CORRECTED


def _try_mutants(statement: Statement[Any], seed: int) -> Iterable[MutantResult]:
    for name, claim in statement.mutants.items():
        evidence, crash = _attempt(statement, claim, seed)
        # A crash is no rejection: the check must say why the mutant is wrong.
        killed = evidence is not None and not evidence.holds
        yield MutantResult(name, killed, evidence.counterexample if evidence else crash)


def _attempt(statement: Statement[Any], claim: Any, seed: int) -> tuple[Evidence | None, str]:
    rng = np.random.default_rng([seed, zlib.crc32(statement.id.encode())])
    try:
        return statement.check(claim, rng), ""
    except Exception:
        return None, traceback.format_exc()
