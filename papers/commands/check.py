"""`iclproof check`: re-checks the certificate of a stored model, without the compiler."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from papers.commands.console import AsJson, output, print_json

if TYPE_CHECKING:
    from constructions.checker import Finding


def check(
    model: Annotated[Path, typer.Argument(help="Folder of a model with a certificate.json.")],
    as_json: AsJson = False,
) -> None:
    """Re-check a stored certificate from the stored weights alone.

    Exit code 0: accepted; 1: rejected, or of a kind that is not checked; 2: not readable.
    """
    from constructions import checker

    finding = checker.check(model)
    if as_json:
        print_json({"model": str(model), **finding.as_dict()})
    else:
        console = output()
        console.print(_table(finding))
        for problem in finding.problems:
            # "not checked: ..." says that nothing is wrong with it, and nothing known either.
            line = problem if problem.startswith("not checked") else f"rejected: {problem}"
            console.print(line, soft_wrap=True, markup=False, highlight=False)
        console.print("accepted" if finding.accepted else "not accepted")
    raise typer.Exit(0 if finding.accepted else 1)


def _table(finding: "Finding") -> Table:
    """The claimed bounds beside the checker's own, and what these are made of."""
    names = list(finding.claimed)
    table = Table("bound on |TF(P) - f*_pi(P)|", *names)
    table.add_row("claimed", *(f"{finding.claimed[name]:.3e}" for name in names))
    if finding.derived is None:
        table.add_row("derived by the checker", *("none" for _ in names))
        return table
    own = {"box": finding.derived.box, "explained": finding.derived.explained}
    table.add_row("derived by the checker", *(f"{own[name]:.3e}" for name in names))
    sources = finding.derived.sources
    for source in sources[names[0]]:
        table.add_row(f"  {source}", *(f"{sources[name][source]:.1e}" for name in names))
    return table
