"""`iclproof list` and `iclproof open`: the statements in tables."""

from typing import Annotated, Literal

import typer
from rich.table import Column, Table
from rich.text import Text

from papers.commands.console import AsJson, Seed, output, print_json
from papers.commands.ledger_options import (
    Jobs,
    NoCache,
    PaperOption,
    TierOption,
    exit_code,
    open_ledger,
    results_of,
)

GradeName = Literal["proved", "certified", "confirmed", "sampled", "trained"]
VerdictName = Literal[
    "holds", "beyond", "corrected", "fails", "idle", "mutant_lives", "crashed", "open"
]


def list_statements(
    paper: PaperOption = None,
    grade: Annotated[GradeName | None, typer.Option(help="Only those of this grade.")] = None,
    verdict: Annotated[VerdictName | None, typer.Option(help="Only those so judged.")] = None,
    tier: TierOption = "quick",
    seed: Seed = 0,
    jobs: Jobs = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
) -> None:
    """List the statements with verdict and grade. Exit code 1 if a listed one fails.

    It is 2 if a paper cannot be loaded.
    """
    ledger = open_ledger(paper, no_cache)
    results = results_of(ledger, ledger.statements, tier, seed, jobs)
    shown = [
        result
        for result in results
        if (grade is None or result.grade == grade)
        and (verdict is None or result.verdict.name.lower() == verdict)
    ]
    if as_json:
        print_json(
            {"seed": seed, "tier": tier, "statements": [result.as_dict() for result in shown]}
        )
        raise typer.Exit(exit_code(shown, ledger.broken))
    rows = Table(Column("statement", no_wrap=True), "what", "where", "verdict", "grade")
    for result in shown:
        said, told = result.statement, result.grade or ""
        cells = (said.id, said.title, said.source, str(result.verdict), str(told))
        rows.add_row(*map(Text, cells), style=None if result.verdict.passes else "bold red")
    console = output()
    if shown:
        console.print(rows)
    console.print(f"{len(shown)} of {len(results)} statements")
    raise typer.Exit(exit_code(shown, ledger.broken))


def list_open(
    paper: PaperOption = None, no_cache: NoCache = False, as_json: AsJson = False
) -> None:
    """List what is not checked, and why. Exit code 2 if a paper cannot be loaded."""
    ledger = open_ledger(paper, no_cache)
    left = [said for said in ledger.statements if said.is_open]
    if as_json:
        keys = ("id", "title", "source", "reason")
        print_json({"open": [{key: getattr(said, key) for key in keys} for said in left]})
        raise typer.Exit(exit_code((), ledger.broken))
    rows = Table(Column("statement", no_wrap=True), "what", "where", "why it is open")
    for said in left:
        rows.add_row(*map(Text, (said.id, said.title, said.source, said.reason)))
    console = output()
    if left:
        console.print(rows)
    console.print(f"{len(left)} of {len(ledger.statements)} statements are open")
    raise typer.Exit(exit_code((), ledger.broken))
