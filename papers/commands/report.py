"""`iclproof report`: all verdicts with their evidence, as a static site."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from papers.commands.console import AsJson, Seed, print_json, progress
from papers.commands.ledger_options import (
    Jobs,
    NoCache,
    PaperOption,
    TierOption,
    exit_code,
    open_ledger,
    results_of,
)

if TYPE_CHECKING:
    from papers.report.figures import Illustration


def report(
    out: Annotated[
        Path,
        typer.Option(help="Folder for the site; one that is there must be empty or a report."),
    ],
    paper: PaperOption = None,
    tier: TierOption = "quick",
    seed: Seed = 0,
    jobs: Jobs = None,
    no_cache: NoCache = False,
    figures: Annotated[
        bool, typer.Option("--figures/--no-figures", help="Draw figures, or leave them out.")
    ] = True,
    source_url: Annotated[
        str | None,
        typer.Option(
            help="Link to the source on a host, as https://HOST/blob/main/{path}#L{line},"
            " and not to pages of the report."
        ),
    ] = None,
    date: Annotated[str, typer.Option(help="A date to show; none if not given.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write a static site of all verdicts: graph, evidence, mutants, errata, what is open.

    It needs no network and no scripts: open OUT/index.html. Equal verdicts give equal files. The
    folder is written whole or not at all, and verdicts come from the store: after a kill the same
    command goes on. Exit code 1 if a check fails or a mutant lives; the report says so. It is 2 if
    a paper cannot be loaded, which is then missing.
    """
    from papers import collection
    from papers.report.publish import publish, require_replaceable
    from papers.report.site import Contents, site
    from papers.report.sources import find_place, linker
    from papers.source_tree import versions

    # Before minutes of checks, not after.
    require_replaceable(out)
    linker(source_url)
    ledger = open_ledger(paper, no_cache)
    results = results_of(ledger, ledger.statements, tier, seed, jobs)
    contents = Contents(
        papers=collection.find_papers(paper),
        results=results,
        tier=tier,
        seed=seed,
        made_with=f"iclproof {version('iclproof')}, {versions()}",
        places={said.id: find_place(said) for said in ledger.statements},
        source_url=source_url,
        illustrations=_drawn({said.id for said in ledger.statements}) if figures else [],
        date=date,
    )
    paths = publish(out, site(contents))
    code = exit_code(results, ledger.broken)
    if as_json:
        files = [str(path) for path in paths]
        print_json({"seed": seed, "tier": tier, "passes": code == 0, "files": files})
    else:
        typer.echo(out / "index.html")
    for result in results:
        if not result.verdict.passes:
            typer.echo(f"iclproof: {result.statement.id}: {result.verdict}", err=True)
    raise typer.Exit(code)


def _drawn(ids: set[str]) -> "list[Illustration]":
    from papers.report.figures import illustrations

    found = []
    with progress() as bar:
        task = bar.add_task("drawing", total=None)
        for figure in illustrations(ids):
            found.append(figure)
            bar.advance(task)
    return found
