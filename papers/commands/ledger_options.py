"""What the commands on statements share: which ones, how much is checked, and the results."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from papers.commands.console import progress
from papers.ledger import Tier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papers.description import Description
    from papers.runner import Result
    from papers.verdict_cache import VerdictCache

TierOption = Annotated[
    Tier, typer.Option(help="quick, or full: more sizes, instances and seeds; minutes.")
]
PaperOption = Annotated[
    str | None, typer.Option("--paper", help="Only this paper, such as zhang2024; all by default.")
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that check; as many as cores if not given."),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Check anew, and neither read nor keep stored verdicts.")
]
StatementId = Annotated[str, typer.Argument(help="A statement, such as zhang2024/lemma-17.")]


class Ledger(NamedTuple):
    """The statements of the papers, and where their verdicts are kept."""

    statements: "list[Description]"
    cache: "VerdictCache | None"


def open_ledger(paper: str | None, no_cache: bool) -> Ledger:
    """Return the statements of one paper, or of all, without an import of what the store knows."""
    from papers import collection
    from papers.verdict_cache import VerdictCache, verdict_store
    from simulations.store import default_root

    papers = collection.find_papers(paper)
    if no_cache:
        return Ledger([said for one in papers for said in one.descriptions()], None)
    cache = VerdictCache(verdict_store(default_root()), papers)
    return Ledger(cache.descriptions(), cache)


def results_of(
    ledger: Ledger, wanted: "Sequence[Description]", tier: Tier, seed: int, jobs: int | None
) -> "list[Result]":
    """Return the results on some statements: those that are stored, and the others computed."""
    from papers.checking import check_all

    with progress() as bar:
        task = bar.add_task("checking", total=len(wanted))
        results = check_all(
            wanted,
            tier=tier,
            seed=seed,
            jobs=jobs,
            cache=ledger.cache,
            on_done=lambda number: bar.update(task, completed=number),
        )
    for note in ledger.cache.notes if ledger.cache is not None else ():
        typer.echo(f"iclproof: {note}", err=True)
    return results


def exit_code(results: "Sequence[Result]") -> int:
    """Return 1 if a check failed or crashed, or if a mutant lives; else 0."""
    return 0 if all(result.verdict.passes for result in results) else 1
