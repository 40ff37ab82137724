"""Runs the checks of statements, on what is claimed and on every mutant.

The quick tier runs each check once. The full tier runs the check of wider scope, where a statement
has one; else the quick check with `FULL_ROUNDS` seeds, all of which must come to the same good
verdict. A check that draws no random numbers would repeat itself, and is run once.
"""

import time
import traceback
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any, TypeVar

import numpy as np

from papers.description import Description, describe
from papers.false_alarms import FULL_ROUNDS
from papers.ledger import (
    AnyStatement,
    Check,
    Evidence,
    Grade,
    OpenStatement,
    Statement,
    Tier,
    Verdict,
)

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

    statement: Description
    verdict: Verdict
    printed: Evidence | None
    corrected: Evidence | None
    mutants: tuple[MutantResult, ...]
    seconds: float
    error: str

    @property
    def assertion(self) -> Evidence | None:
        """The evidence for the reading that is asserted: the corrected one, if there is one."""
        return self.corrected or self.printed

    @property
    def grade(self) -> Grade | None:
        """The grade of the reading that holds."""
        evidence = self.assertion
        return evidence.grade if evidence is not None and self.verdict.passes else None

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON data; figures that are not finite become None."""
        said = self.statement
        evidence = {
            name: None if found is None else _plain_evidence(found)
            for name, found in (("as printed", self.printed), ("as corrected", self.corrected))
        }
        repair = said.correction
        return {
            "id": said.id,
            "title": said.title,
            "source": said.source,
            "latex": said.latex,
            "hypotheses": list(said.hypotheses),
            "depends_on": list(said.depends_on),
            "reading": said.reading,
            "verdict": str(self.verdict),
            "passes": self.verdict.passes,
            "grade": None if self.grade is None else str(self.grade),
            "evidence": evidence,
            "correction": repair and {**asdict(repair), "fault": str(repair.fault)},
            "mutants": [asdict(mutant) for mutant in self.mutants],
            "seconds": self.seconds,
            "error": self.error,
        }


def _plain_evidence(found: Evidence) -> dict[str, Any]:
    data = {**asdict(found), "grade": str(found.grade)}
    for name in ("measured", "tolerance"):
        if data[name] is not None and not np.isfinite(data[name]):
            data[name] = None
    return data


class UnknownStatementError(KeyError):
    """No statement has this id; the message lists near ones."""

    def __str__(self) -> str:
        """The message, without KeyError's quotes."""
        return str(self.args[0])


N = TypeVar("N", bound=AnyStatement | Description)


def select(statements: Sequence[N], ids: Sequence[str]) -> list[N]:
    """Return the statements with these ids, in this order, each once; all of them for no ids.

    Raises
    ------
    UnknownStatementError
        If an id is not there; all such are named, with the ids that are like them, or with what
        else to do.
    """
    by_id = {statement.id: statement for statement in statements}
    unknown = [wanted for wanted in ids if wanted not in by_id]
    if unknown:
        raise UnknownStatementError(
            f"no statement {', '.join(unknown)} among the {len(by_id)}; {_advice(unknown, by_id)}"
        )
    return [by_id[wanted] for wanted in dict.fromkeys(ids)] if ids else list(statements)


def _advice(unknown: Sequence[str], ids: Iterable[str]) -> str:
    listed = list(ids)
    papers = {name.partition("/")[0] for name in listed}
    for wanted in unknown:
        paper, slash, _ = wanted.partition("/")
        if wanted in papers:
            return f"--paper {wanted} takes all of that paper"
        if slash and paper not in papers and len(papers) == 1:
            return f"those listed are of {papers.pop()}: was --paper meant for another?"
    near = [name for wanted in unknown for name in _similar(wanted.lower(), listed)]
    return f"did you mean {', '.join(near)}?" if near else "iclproof list shows them all"


def _similar(wanted: str, ids: Sequence[str]) -> list[str]:
    """Return ids that are the same but for the paper, are spelt alike, or hold it; few of them."""
    same = [name for name in ids if wanted in (name, name.partition("/")[2])]
    alike = same or get_close_matches(wanted, ids, n=3, cutoff=0.7)
    if not alike and len(wanted) > 1:
        alike = [name for name in ids if wanted in name.partition("/")[2]]
    return alike[:_MOST_NAMED]


def run(
    statements: Iterable[AnyStatement],
    seed: int,
    on_done: Callable[[Result], None] = lambda result: None,
    tier: Tier = "quick",
) -> list[Result]:
    """Check every statement here; the random numbers of each depend on seed and id alone.

    Parameters
    ----------
    statements
        What to check.
    seed
        Nonnegative.
    on_done
        Called after each statement, for progress.
    tier
        How much of each is checked.
    """
    results = []
    for item in statements:
        results.append(run_one(item, seed, tier))
        on_done(results[-1])
    return results


def run_one(statement: AnyStatement, seed: int, tier: Tier = "quick") -> Result:
    """Check one statement: both readings, then every mutant."""
    if isinstance(statement, OpenStatement):
        return Result(describe(statement), Verdict.OPEN, None, None, (), 0.0, statement.reason)
    if tier == "quick" or statement.full is not None:
        check = statement.check if tier == "quick" else statement.full or statement.check
        return _Round(statement, check, seed).result()
    results = []
    for number in range(FULL_ROUNDS):
        this = _Round(statement, statement.check, seed, number)
        results.append(this.result())
        if not results[-1].verdict.passes or not this.drew:
            break
    return _joined(results)


def _joined(rounds: Sequence[Result]) -> Result:
    """Return the round that fails, always the last, or the one that comes nearest to its limit."""
    seconds = sum(result.seconds for result in rounds)
    chosen = rounds[-1] if not rounds[-1].verdict.passes else max(rounds, key=_nearness)
    if len(rounds) > 1:
        which = f"seed {1 + rounds.index(chosen)} of the {len(rounds)} that were tried"
        chosen = replace(
            chosen,
            printed=_with_scope(chosen.printed, which),
            corrected=_with_scope(chosen.corrected, which),
        )
    return replace(chosen, seconds=seconds)


def _with_scope(evidence: Evidence | None, more: str) -> Evidence | None:
    return None if evidence is None else replace(evidence, scope=f"{evidence.scope}; {more}")


def _nearness(result: Result) -> float:
    found = result.assertion
    if found is None or found.measured is None or not found.tolerance:
        return 0.0
    return found.measured / found.tolerance


class _Round:
    """One check of a statement: of both readings and all mutants, with the same random numbers."""

    def __init__(
        self, statement: Statement[Any], check: Check[Any], seed: int, number: int = 0
    ) -> None:
        self.drew = False
        self._statement = statement
        self._check = check
        entropy = [seed, zlib.crc32(statement.id.encode())]
        self._entropy = [*entropy, number] if number else entropy

    def result(self) -> Result:
        """Run it."""
        statement, start = self._statement, time.perf_counter()
        printed, crash = self._attempt(statement.printed)
        corrected = None
        if statement.correction is not None and not crash:
            corrected, crash = self._attempt(statement.correction.claim)
        mutants = () if crash else tuple(self._try_mutants())
        verdict = Verdict.CRASHED if crash else _judge(printed, corrected, mutants)
        if statement.beyond and verdict is Verdict.HOLDS:
            verdict = Verdict.BEYOND
        seconds = time.perf_counter() - start
        return Result(describe(statement), verdict, printed, corrected, mutants, seconds, crash)

    def _try_mutants(self) -> Iterable[MutantResult]:
        for name, claim in self._statement.mutants.items():
            evidence, crash = self._attempt(claim)
            # A crash is no rejection: the check must say why the mutant is wrong.
            killed = evidence is not None and not evidence.holds
            yield MutantResult(name, killed, evidence.counterexample if evidence else crash)

    def _attempt(self, claim: Any) -> tuple[Evidence | None, str]:
        rng = np.random.default_rng(self._entropy)
        fresh = _state(rng)
        try:
            return self._check(claim, rng), ""
        except Exception:
            return None, traceback.format_exc()
        finally:
            self.drew = self.drew or _state(rng) != fresh


def _state(rng: np.random.Generator) -> tuple[Any, int]:
    """What a draw or a spawn changes."""
    bits: Any = rng.bit_generator
    return bits.state, bits.seed_seq.n_children_spawned


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
