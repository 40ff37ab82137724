"""How much of each paper is checked, counted for the top of the report."""

from collections.abc import Sequence
from dataclasses import dataclass

from papers.ledger import Grade, Verdict
from papers.runner import Result


@dataclass(frozen=True)
class Coverage:
    """Counts of statements.

    Attributes
    ----------
    statements, checked
        All, and those with a check.
    holds, corrected, beyond, open, fails
        By verdict; `fails` are all that do not pass.
    grades
        By the grade of the reading that holds.
    killed, mutants
        Mutants that were rejected, and all.
    """

    statements: int
    checked: int
    holds: int
    corrected: int
    beyond: int
    open: int
    fails: int
    grades: dict[Grade, int]
    killed: int
    mutants: int

    @classmethod
    def of(cls, results: Sequence[Result]) -> "Coverage":
        """Count."""
        verdicts = [result.verdict for result in results]
        mutants = [mutant for result in results for mutant in result.mutants]
        return cls(
            statements=len(results),
            checked=sum(not result.statement.is_open for result in results),
            holds=verdicts.count(Verdict.HOLDS),
            corrected=verdicts.count(Verdict.CORRECTED),
            beyond=verdicts.count(Verdict.BEYOND),
            open=verdicts.count(Verdict.OPEN),
            fails=sum(not verdict.passes for verdict in verdicts),
            grades={grade: sum(r.grade is grade for r in results) for grade in Grade},
            killed=sum(mutant.killed for mutant in mutants),
            mutants=len(mutants),
        )
