"""`iclproof errata`: where the papers fail as printed."""

from typing import TYPE_CHECKING

import typer
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

if TYPE_CHECKING:
    from papers.errata import Erratum


def list_errata(
    paper: PaperOption = None,
    tier: TierOption = "quick",
    seed: Seed = 0,
    jobs: Jobs = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
) -> None:
    """List every place that fails as printed, with a counterexample and the correction.

    False statements come first, then gaps in proofs and what holds in one reading only; typing
    slips come last. Exit code 1 if a check fails or a mutant lives, 2 if a paper cannot be loaded:
    the list may then lack some.
    """
    from papers.errata import ORDER, errata

    ledger = open_ledger(paper, no_cache)
    wanted = [said for said in ledger.statements if said.correction is not None]
    results = results_of(ledger, wanted, tier, seed, jobs)
    found, code = errata(results), exit_code(results, ledger.broken)
    if as_json:
        listed = [erratum.as_dict() for erratum in found]
        print_json({"seed": seed, "tier": tier, "passes": code == 0, "errata": listed})
        raise typer.Exit(code)
    console = output()
    for fault in ORDER:
        some = [erratum for erratum in found if erratum.fault is fault]
        if some:
            console.print(Text(f"{fault}: {len(some)}\n", style="bold"))
        for erratum in some:
            said = erratum.result.statement
            console.print(Text(f"{said.id}: {said.title} ({erratum.where})"), soft_wrap=True)
            for heading, text in _told(erratum):
                console.print(Text(f"  {heading}: {text}"), soft_wrap=True)
            console.print()
    if not found:
        console.print("no errata")
    for result in results:
        if not result.verdict.passes:
            told = f"{result.statement.id} is not listed: {result.verdict}"
            console.print(Text(told, style="bold red"), soft_wrap=True)
    raise typer.Exit(code)


def _told(erratum: "Erratum") -> list[tuple[str, str]]:
    """Return what there is to say, under headings; what is empty is left out."""
    told = [
        ("printed", erratum.result.statement.latex),
        ("counterexample", erratum.counterexample),
        ("correction", erratum.correction),
        (f"corrected, {erratum.grade}", erratum.corrected),
    ]
    return [(heading, text) for heading, text in told if text]
