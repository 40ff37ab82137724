"""What the commands on statements share: which ones, how much is checked, and the results."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from papers.commands.console import progress
from papers.ledger import Tier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papers.collection import BrokenPaperError
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
    """The statements of the papers, where their verdicts are kept, and what is left out."""

    statements: "list[Description]"
    cache: "VerdictCache | None"
    broken: "tuple[BrokenPaperError, ...]"


def open_ledger(paper: str | None, no_cache: bool) -> Ledger:
    """Return the statements of one paper, or of all, without an import of what the store knows.

    Of all, papers that cannot be loaded are left out, and reported; if one is asked for, it is an
    error.
    """
    from papers import collection
    from papers.verdict_cache import VerdictCache, verdict_store
    from simulations.store import default_root

    papers = collection.find_papers(paper)
    broken = collection.broken_papers() if paper is None else ()
    cache = None if no_cache else VerdictCache(verdict_store(default_root()), papers)
    if cache is None:
        statements, unread = collection.describe_all(papers)
    else:
        statements, unread = cache.descriptions(), cache.broken
    if unread and paper is not None:
        raise unread[0]
    for error in (*broken, *unread):
        told = " ".join(str(error).split())
        typer.echo(f"iclproof: {told}; all other papers are as usual", err=True)
    return Ledger(statements, cache, (*broken, *unread))


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


def exit_code(results: "Sequence[Result]", broken: "Sequence[BrokenPaperError]" = ()) -> int:
    """Return 2 if a paper is broken; 1 if a check failed or crashed, or a mutant lives; else 0."""
    if broken:
        return 2
    return 0 if all(result.verdict.passes for result in results) else 1
