"""`iclproof verify`: the statements of the papers, checked."""

from typing import Annotated

import typer

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


def verify(
    ids: Annotated[
        list[str] | None,
        typer.Argument(help="Statements, such as zhang2024/lemma-17; all if none are given."),
    ] = None,
    tier: TierOption = "quick",
    paper: PaperOption = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
) -> None:
    """Check the statements of the papers: readings, evidence, mutants. Exit code 1 on failure.

    A paper of another package that cannot be loaded is reported, and the others are checked; the
    exit code is then 2.

    Verdicts are kept in the store, one by one: what nothing has changed for is not checked again,
    and after a kill the same command goes on where it stopped.
    """
    from papers.runner import select
    from papers.verdicts import summary, table

    ledger = open_ledger(paper, no_cache)
    results = results_of(ledger, select(ledger.statements, ids or []), tier, seed, jobs)
    code = exit_code(results, () if ids else ledger.broken)
    if as_json:
        statements = [result.as_dict() for result in results]
        print_json({"seed": seed, "tier": tier, "passes": code == 0, "statements": statements})
    else:
        console = output()
        console.print(table(results))
        console.print(summary(results), highlight=False, markup=False)
    raise typer.Exit(code)
