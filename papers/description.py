"""What a statement says, without its claims and its check: what a result is about.

It is plain data, so that it travels between processes and is kept in the store: whoever reads
verdicts that are there already need not import the checks, and what they import.
"""

import inspect
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from papers.ledger import AnyStatement, Fault, OpenStatement


@dataclass(frozen=True)
class Repair:
    """What a correction changes, what kind of failure it repairs, and the statement it makes."""

    text: str
    fault: Fault
    latex: str = ""


@dataclass(frozen=True)
class Description:
    """What a `papers.ledger.Statement` or `OpenStatement` says; see there for the fields it shares.

    Parameters
    ----------
    id, title, source, latex, hypotheses, depends_on, beyond
        As of the statement; an open one has none after `source`.
    correction
        The correction without its claim; None if there is none.
    mutants
        The names of the mutants.
    proof
        The check's docstring: how it is shown.
    reason
        Why it is open; empty if it is not.
    module
        The module whose ``STATEMENTS`` hold it.
    check_module, check_line
        Where its check begins; empty and 0 if it is open.
    """

    id: str
    title: str
    source: str
    latex: str = ""
    hypotheses: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    beyond: bool = False
    correction: Repair | None = None
    mutants: tuple[str, ...] = ()
    proof: str = ""
    reason: str = ""
    module: str = ""
    check_module: str = ""
    check_line: int = 0

    @property
    def paper(self) -> str:
        """The key of its paper."""
        return self.id.partition("/")[0]

    @property
    def is_open(self) -> bool:
        """Whether it has no check."""
        return not self.check_module

    @property
    def reading(self) -> str:
        """What is asserted: "as printed", "as corrected", "beyond the paper" or "open"."""
        if self.is_open:
            return "open"
        if self.beyond:
            return "beyond the paper"
        return "as printed" if self.correction is None else "as corrected"


def describe(statement: AnyStatement, module: str = "") -> Description:
    """Return what a statement says; `module` lists it, by default the module of its check."""
    if isinstance(statement, OpenStatement):
        return Description(
            statement.id,
            statement.title,
            statement.source,
            reason=statement.reason,
            module=module,
        )
    check: Any = statement.check
    while isinstance(check, partial):
        check = check.func
    check = inspect.unwrap(check)
    repaired = statement.correction
    repair = None if repaired is None else Repair(repaired.text, repaired.fault, repaired.latex)
    return Description(
        id=statement.id,
        title=statement.title,
        source=statement.source,
        latex=statement.latex,
        hypotheses=tuple(statement.hypotheses),
        depends_on=tuple(statement.depends_on),
        beyond=statement.beyond,
        correction=repair,
        mutants=tuple(statement.mutants),
        proof=inspect.getdoc(check) or "",
        module=module or check.__module__,
        check_module=check.__module__,
        check_line=check.__code__.co_firstlineno if hasattr(check, "__code__") else 1,
    )


def as_plain(description: Description) -> dict[str, Any]:
    """Return a description as JSON data; `from_plain` reads it."""
    return asdict(description)


def from_plain(data: dict[str, Any]) -> Description:
    """Return the description that `as_plain` wrote."""
    repair = data["correction"]
    lists = ("hypotheses", "depends_on", "mutants")
    return Description(
        **{
            **data,
            **{name: tuple(data[name]) for name in lists},
            "correction": repair and Repair(**{**repair, "fault": Fault(repair["fault"])}),
        }
    )
