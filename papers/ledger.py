"""Statements of papers, and what it takes to say that one holds.

A statement has a *check*: a function of a claim. The claim is what the paper says, as data or as a
function; the statement as printed, the statement as corrected and every *mutant* (a wrong version:
a sign, an index, a dropped hypothesis) are claims of one type, and the same check must accept the
right one and reject the others. A check that lets a mutant live is a failing check.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np

C = TypeVar("C")

#: How much is checked: what every change is tested by, or with more sizes, instances and seeds.
Tier: TypeAlias = Literal["quick", "full"]


class Grade(StrEnum):
    """How strongly a piece of evidence speaks, strongest first."""

    PROVED = "proved"
    CERTIFIED = "certified"
    CONFIRMED = "confirmed"
    SAMPLED = "sampled"
    TRAINED = "trained"

    @property
    def meaning(self) -> str:
        """What the grade says, in one line."""
        return _MEANINGS[self]


_MEANINGS = {
    Grade.PROVED: "exact algebra with symbols, over the stated scope",
    Grade.CERTIFIED: "rigorous enclosure, rounding included",
    Grade.CONFIRMED: "deterministic numerics against an independent computation",
    Grade.SAMPLED: "Monte Carlo with a z-score, a standard error and a stated power",
    Grade.TRAINED: "a trained model against the closed form",
}


class Fault(StrEnum):
    """What is wrong where a statement fails as printed."""

    SLIP = "typing slip"
    GAP = "gap in a proof"
    FALSE = "false statement"
    AMBIGUOUS = "true of one reading only"


class Verdict(StrEnum):
    """What a run says of a statement."""

    HOLDS = "holds as printed"
    BEYOND = "holds (beyond the paper)"
    CORRECTED = "refuted as printed, holds as corrected"
    FAILS = "check fails"
    IDLE = "correction is idle: the printed version passes the check"
    MUTANT_LIVES = "a mutant lives"
    CRASHED = "check crashed"
    OPEN = "open"

    @property
    def passes(self) -> bool:
        """Whether `iclproof verify` counts it as good (an open statement is not a failure)."""
        return self in (Verdict.HOLDS, Verdict.BEYOND, Verdict.CORRECTED, Verdict.OPEN)


@dataclass(frozen=True)
class Evidence:
    """What a check found for one claim.

    Parameters
    ----------
    holds
        Whether the claim passes.
    grade
        How strong the evidence is.
    comparison
        What was computed and against what.
    measured, tolerance
        The figure and its limit; None where the comparison is exact.
    scope
        For which sizes, inputs and samples.
    counterexample
        Where the claim does not hold: the smallest place, with both values.
    """

    holds: bool
    grade: Grade
    comparison: str
    scope: str
    measured: float | None = None
    tolerance: float | None = None
    counterexample: str = ""

    def __post_init__(self) -> None:
        """Refuse a refutation without a counterexample: "no" needs a reason."""
        if not self.holds and not self.counterexample:
            raise ValueError("evidence that does not hold needs a counterexample")


Check = Callable[[C, np.random.Generator], Evidence]


@dataclass(frozen=True)
class Correction(Generic[C]):
    """A repaired claim, beside the printed one that fails.

    Parameters
    ----------
    claim
        The corrected claim.
    text
        What was changed.
    fault
        What kind of failure it repairs.
    latex
        The statement as corrected.
    """

    claim: C
    text: str
    fault: Fault
    latex: str = ""


@dataclass(frozen=True, eq=False)
class Statement(Generic[C]):
    """A statement of a paper with its check.

    Parameters
    ----------
    id
        ``paper/name``, such as ``pathak2023/lemma-2``.
    title
        One line for a table.
    source
        Where it is printed.
    latex
        The statement, as printed.
    hypotheses
        What it assumes.
    depends_on
        Ids of the statements that it stands on.
    printed
        The claim as printed; for a statement beyond the paper, the claim itself.
    correction
        The repaired claim, if the printed one fails; None if it holds.
    mutants
        Wrong claims by name; at least one.
    check
        The check.
    beyond
        Whether the statement is ours, about the paper's subject, and printed nowhere.
    full
        The check of the full tier: as `check`, with a wider scope. Without one the full tier runs
        `check` with several seeds.
    """

    id: str
    title: str
    source: str
    latex: str
    hypotheses: tuple[str, ...]
    depends_on: tuple[str, ...]
    printed: C
    correction: Correction[C] | None
    mutants: Mapping[str, C]
    check: Check[C]
    beyond: bool = False
    full: Check[C] | None = None

    def __post_init__(self) -> None:
        """Refuse a statement whose check could not be seen to fail."""
        if not self.mutants:
            raise ValueError(f"statement {self.id!r} has no mutants")


def statement(
    *,
    id: str,  # noqa: A002
    title: str,
    source: str,
    latex: str,
    printed: C,
    mutants: Mapping[str, C],
    correction: Correction[C] | None = None,
    hypotheses: tuple[str, ...] = (),
    depends_on: tuple[str, ...] = (),
    beyond: bool = False,
    full: Check[C] | None = None,
) -> Callable[[Check[C]], Statement[C]]:
    """Turn a check function into a `Statement`; see there for the arguments."""

    def decorate(check: Check[C]) -> Statement[C]:
        return Statement(
            id=id,
            title=title,
            source=source,
            latex=latex,
            hypotheses=hypotheses,
            depends_on=depends_on,
            printed=printed,
            correction=correction,
            mutants=mutants,
            check=check,
            beyond=beyond,
            full=full,
        )

    return decorate


@dataclass(frozen=True)
class OpenStatement:
    """A statement without a check, with the reason; listed, never skipped silently."""

    id: str
    title: str
    source: str
    reason: str


AnyStatement = Statement[Any] | OpenStatement
