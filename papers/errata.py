"""Where the papers fail as printed: made from verdicts, never kept by hand."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from papers.ledger import Fault, Verdict
from papers.runner import Result

#: What weighs most comes first; slips of typing come last, apart.
ORDER = (Fault.FALSE, Fault.GAP, Fault.AMBIGUOUS, Fault.SLIP)


@dataclass(frozen=True)
class Erratum:
    """A place that fails as printed, and what holds instead.

    Attributes
    ----------
    result
        The result on the statement; its verdict is `Verdict.CORRECTED`.
    fault
        What kind of failure it is.
    where
        Where it is printed.
    counterexample
        The smallest place that refutes it, with both values.
    correction
        What was changed.
    corrected
        The statement as corrected, in LaTeX; empty if a paper does not give it.
    grade
        How strongly it is known that the corrected statement holds.
    """

    result: Result
    fault: Fault
    where: str
    counterexample: str
    correction: str
    corrected: str
    grade: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        said = self.result.statement
        return {
            "id": said.id,
            "title": said.title,
            "where": self.where,
            "printed": said.latex,
            "corrected": self.corrected,
            "fault": str(self.fault),
            "is_slip": self.fault is Fault.SLIP,
            "counterexample": self.counterexample,
            "correction": self.correction,
            "grade": self.grade,
        }


def errata(results: Iterable[Result]) -> list[Erratum]:
    """Return what is refuted as printed and holds as corrected; by `ORDER`, then as given.

    A check that fails tells nothing of the paper, and gives no erratum.
    """
    found = [_erratum(result) for result in results if result.verdict is Verdict.CORRECTED]
    return sorted(found, key=lambda erratum: ORDER.index(erratum.fault))


def _erratum(result: Result) -> Erratum:
    repair, printed = result.statement.correction, result.printed
    # The runner's `Verdict.CORRECTED` says that there are all three.
    assert repair is not None
    assert printed is not None
    assert result.grade is not None
    return Erratum(
        result,
        repair.fault,
        result.statement.source,
        printed.counterexample,
        repair.text,
        repair.latex,
        str(result.grade),
    )
