"""`iclproof show` and `iclproof mutants`: all that is known of one statement."""

from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table
from rich.text import Text

from papers.commands.console import AsJson, Seed, output, print_json
from papers.commands.ledger_options import (
    Jobs,
    NoCache,
    StatementId,
    TierOption,
    exit_code,
    open_ledger,
    results_of,
)

if TYPE_CHECKING:
    from papers.ledger import Evidence
    from papers.runner import Result


def show(
    name: StatementId,
    tier: TierOption = "quick",
    seed: Seed = 0,
    no_cache: NoCache = False,
    as_json: AsJson = False,
) -> None:
    """Show a statement: formula, hypotheses, verdict, evidence, counterexample, mutants, place.

    What is not in the store is checked here and now. Exit code 1 if the check fails or a mutant
    lives.
    """
    from papers.dependencies import dependents
    from papers.places import place_of
    from papers.runner import select

    ledger = open_ledger(None, no_cache)
    (said,) = select(ledger.statements, [name])
    (result,) = results_of(ledger, [said], tier, seed, jobs=1)
    file, line = place_of(said)
    used_by = dependents(ledger.statements)[said.id]
    place = "" if file is None else f"{file}:{line}"
    if as_json:
        more = {"proof": said.proof, "used_by": list(used_by), "seed": seed, "tier": tier}
        print_json({**result.as_dict(), **more, "file": str(file), "line": line})
        raise typer.Exit(exit_code([result]))
    console = output()
    for heading, text in _sections(result, used_by, place):
        console.print(Text(heading, style="bold"))
        console.print(Text(text), soft_wrap=True)
    raise typer.Exit(exit_code([result]))


def mutants(
    name: StatementId,
    tier: TierOption = "quick",
    seed: Seed = 0,
    jobs: Jobs = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
) -> None:
    """Show the wrong versions of a statement, and why its check rejects each.

    Exit code 1 if one lives, or the check fails.
    """
    from papers.runner import select

    ledger = open_ledger(None, no_cache)
    chosen = select(ledger.statements, [name])
    (result,) = results_of(ledger, chosen, tier, seed, jobs)
    if as_json:
        data = result.as_dict()
        print_json({key: data[key] for key in ("id", "verdict", "passes", "mutants", "error")})
        raise typer.Exit(exit_code([result]))
    if result.statement.is_open:
        output().print(Text(f"{result.statement.id} is open, and has no mutants: {result.error}"))
        raise typer.Exit(0)
    rows = Table("mutant", "", "why")
    for mutant in result.mutants:
        why = mutant.reason or "the check accepts it"
        cells = (mutant.name, "killed" if mutant.killed else "LIVES", why)
        rows.add_row(*map(Text, cells), style=None if mutant.killed else "bold red")
    console = output()
    console.print(rows)
    killed = sum(mutant.killed for mutant in result.mutants)
    console.print(f"{killed} of {len(result.mutants)} killed; {result.verdict}")
    raise typer.Exit(exit_code([result]))


def _sections(result: "Result", used_by: tuple[str, ...], place: str) -> list[tuple[str, str]]:
    """Return what there is to say, under headings; what is empty is left out."""
    said, grade = result.statement, result.grade
    repair = said.correction
    sections = [
        (said.id, f"{said.title}\n{said.source}"),
        ("statement" if repair is None else "statement, as printed", said.latex),
        ("statement, as corrected", "" if repair is None else repair.latex),
        ("hypotheses", "\n".join(said.hypotheses)),
        ("reading", said.reading),
        ("verdict", str(result.verdict)),
        ("grade", "" if grade is None else f"{grade}: {grade.meaning}"),
        ("evidence, as printed", _told(result.printed)),
        ("correction", _correction(result)),
        ("evidence, as corrected", _told(result.corrected)),
        ("why it is open" if said.is_open else "error", result.error),
        ("mutants", "\n".join(_mutant(mutant) for mutant in result.as_dict()["mutants"])),
        ("how it is checked", said.proof),
        ("stands on", "\n".join(said.depends_on)),
        ("on it stand", "\n".join(used_by)),
        ("where", place),
    ]
    return [(heading, f"{text}\n") for heading, text in sections if text]


def _told(found: "Evidence | None") -> str:
    if found is None:
        return ""
    lines = [
        "holds" if found.holds else f"does not hold: {found.counterexample}",
        f"compared: {found.comparison}",
        f"scope: {found.scope}",
    ]
    if found.measured is not None:
        limit = "" if found.tolerance is None else f", limit {found.tolerance:.3g}"
        lines.append(f"measured: {found.measured:.3g}{limit}")
    return "\n".join(lines)


def _correction(result: "Result") -> str:
    repair = result.statement.correction
    return "" if repair is None else f"{repair.text} ({repair.fault})"


def _mutant(mutant: dict[str, Any]) -> str:
    if mutant["killed"]:
        return f"killed: {mutant['name']}: {mutant['reason']}"
    return f"LIVES: {mutant['name']}: {mutant['reason'] or 'the check accepts it'}"
