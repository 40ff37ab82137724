"""`iclproof status`: how much of each paper is checked, and how strongly it is known."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

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
from papers.ledger import Grade, Verdict

if TYPE_CHECKING:
    from papers.runner import Result


def status(
    paper: PaperOption = None,
    tier: TierOption = "quick",
    seed: Seed = 0,
    jobs: Jobs = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
) -> None:
    """Count statements by verdict and by grade, for every paper. Exit code 1 if one fails.

    It is 2 if a paper cannot be loaded; that one is left out, or counted as empty.
    """
    from papers import collection

    ledger = open_ledger(paper, no_cache)
    results = results_of(ledger, ledger.statements, tier, seed, jobs)
    by_paper = {
        one.key: [result for result in results if result.statement.paper == one.key]
        for one in collection.find_papers(paper)
    }
    counts = {key: _counts(some) for key, some in by_paper.items()}
    everything = _counts(results)
    if as_json:
        print_json({"seed": seed, "tier": tier, "papers": counts, "all": everything})
        raise typer.Exit(exit_code(results, ledger.broken))
    verdicts = [str(verdict) for verdict in Verdict if everything["verdicts"].get(str(verdict))]
    for kind, names in (("verdicts", verdicts), ("grades", [str(grade) for grade in Grade])):
        rows = Table("paper", "statements")
        for heading in names:
            rows.add_column(heading, justify="right")
        for key, count in [*counts.items(), ("all", everything)]:
            numbers = [count["statements"], *(count[kind].get(name, 0) for name in names)]
            rows.add_row(key, *map(str, numbers))
        output().print(rows)
    mutants = everything["mutants"]
    output().print(f"{mutants['killed']} of {mutants['all']} mutants killed")
    raise typer.Exit(exit_code(results, ledger.broken))


def _counts(results: "list[Result]") -> dict[str, Any]:
    mutants = [mutant for result in results for mutant in result.mutants]
    return {
        "statements": len(results),
        "checked": sum(not result.statement.is_open for result in results),
        "passes": all(result.verdict.passes for result in results),
        "verdicts": Counter(str(result.verdict) for result in results),
        "grades": Counter(str(result.grade) for result in results if result.grade is not None),
        "mutants": {"killed": sum(mutant.killed for mutant in mutants), "all": len(mutants)},
    }
