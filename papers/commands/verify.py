"""`iclproof verify`: the statements of the papers, checked."""

from typing import Annotated

import typer

from papers.commands.console import AsJson, Seed, one_thread, output, print_json, progress


def verify(
    ids: Annotated[
        list[str] | None,
        typer.Argument(help="Statements, such as zhang2024/lemma-17; all if none are given."),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Check the statements of the papers: readings, evidence, mutants. Exit code 1 on failure."""
    from papers import beyond, pathak2023, zhang2024
    from papers.runner import run, select
    from papers.verdicts import summary, table

    chosen = select([*pathak2023.STATEMENTS, *zhang2024.STATEMENTS, *beyond.STATEMENTS], ids or [])
    one_thread()
    with progress() as bar:
        task = bar.add_task("checking", total=len(chosen))
        results = run(chosen, seed, lambda result: bar.advance(task))
    passes = all(result.verdict.passes for result in results)
    if as_json:
        statements = [result.as_dict() for result in results]
        print_json({"seed": seed, "passes": passes, "statements": statements})
    else:
        console = output()
        console.print(table(results))
        console.print(summary(results), highlight=False)
    raise typer.Exit(0 if passes else 1)
