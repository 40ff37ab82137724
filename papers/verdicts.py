"""Results of a run as a table and a summary for people."""

from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from papers.runner import Result


def table(results: Sequence[Result]) -> Table:
    """Return one row a statement: verdict, grade, figure and limit, mutants killed, seconds."""
    rows = Table(title="statements", show_lines=False)
    rows.add_column("statement", no_wrap=True)  # to be pasted into `iclproof show`
    for heading in ("verdict", "grade", "measured", "limit"):
        rows.add_column(heading, overflow="fold")
    rows.add_column("mutants", justify="right")
    rows.add_column("s", justify="right")
    for result in results:
        evidence = result.corrected or result.printed
        killed = sum(mutant.killed for mutant in result.mutants)
        rows.add_row(
            result.statement.id,
            str(result.verdict),
            "" if result.grade is None else str(result.grade),
            _figure(evidence.measured if evidence else None, exact=evidence is not None),
            _figure(evidence.tolerance if evidence else None, exact=False),
            f"{killed}/{len(result.mutants)}",
            f"{result.seconds:.1f}",
            style=None if result.verdict.passes else "bold red",
        )
    return rows


def _figure(value: float | None, *, exact: bool) -> str:
    if value is None:
        return "exact" if exact else ""
    return f"{value:.1e}"


def summary(results: Sequence[Result]) -> str:
    """Return the counts, then every failure with its reason and every refutation."""
    counts = Counter(str(result.verdict) for result in results)
    killed = sum(mutant.killed for result in results for mutant in result.mutants)
    total = sum(len(result.mutants) for result in results)
    lines = [
        f"{len(results)} statement{'s' if len(results) != 1 else ''}: "
        + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()),
        f"{killed} of {total} mutants killed",
    ]
    for result in results:
        if result.verdict.passes and result.corrected and result.printed:
            lines.append(f"as printed, {result.statement.id}: {result.printed.counterexample}")
        elif not result.verdict.passes:
            lines += [f"FAILED {result.statement.id}: {result.verdict}", *_reasons(result)]
    return "\n".join(lines)


def _reasons(result: Result) -> list[str]:
    found = result.corrected or result.printed
    lines = [result.error] if result.error else []
    if found is not None and not found.holds:
        lines.append(f"  {found.counterexample}")
    lines += [
        f"  mutant {mutant.name!r} lives: {mutant.reason or 'the check accepts it'}"
        for mutant in result.mutants
        if not mutant.killed
    ]
    return lines
