"""`iclproof impact`: what stands on a statement."""

from collections.abc import Mapping

import typer
from rich.text import Text
from rich.tree import Tree

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


def impact(
    name: StatementId,
    tier: TierOption = "quick",
    seed: Seed = 0,
    jobs: Jobs = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
) -> None:
    """Show what stands on a statement, directly or not, with verdicts. Exit code 1 if one fails."""
    from papers import dependencies
    from papers.runner import select

    ledger = open_ledger(None, no_cache)
    (root,) = select(ledger.statements, [name])
    steps = dependencies.impact(ledger.statements, root.id)
    wanted = select(ledger.statements, [root.id, *steps])
    results = results_of(ledger, wanted, tier, seed, jobs)
    told = {result.statement.id: str(result.verdict) for result in results}
    if as_json:
        listed = [
            {
                "id": said.id,
                "title": said.title,
                "steps": steps[said.id],
                "through": [on for on in said.depends_on if on in told],
                "verdict": told[said.id],
            }
            for said in wanted[1:]
        ]
        print_json({"id": root.id, "verdict": told[root.id], "impact": listed})
        raise typer.Exit(exit_code(results))
    console = output()
    console.print(_tree(root.id, dependencies.dependents(wanted), told))
    console.print(f"{len(steps)} of {len(ledger.statements)} statements stand on {root.id}")
    raise typer.Exit(exit_code(results))


def _tree(root: str, direct: Mapping[str, tuple[str, ...]], told: dict[str, str]) -> Tree:
    """Return the tree of what stands on it; what has appeared already is not unfolded again."""
    seen: set[str] = set()

    def grow(name: str) -> Tree:
        again = name in seen and bool(direct[name])
        grown = Tree(Text(f"{name}: {told[name]}{' (unfolded above)' if again else ''}"))
        if name not in seen:
            seen.add(name)
            grown.children = [grow(above) for above in direct[name]]
        return grown

    return grow(root)
