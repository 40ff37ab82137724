"""`iclproof sweep`: an experiment on a grid of configs, on all cores or on several machines."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from papers.commands.console import AsJson, output, print_json, progress

if TYPE_CHECKING:
    from simulations.runs import Report, Runs
    from simulations.sweep import SweepPoint


def sweep(
    config: Annotated[
        Path, typer.Argument(help="Sweep file, .toml or .json: experiment, base and grid.")
    ],
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes of this machine; as many as cores if not given."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a dask scheduler, tcp://HOST:PORT: compute on its workers."),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Folder of the results; $ICLPROOF_STORE or a cache folder if not given."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be computed, and compute nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute an experiment on a grid of configs. Exit code 1 if some config failed.

    Finished parts are kept: started again after a kill, the sweep goes on where it stopped, and
    results are the same however it was run.
    """
    from simulations.runs import Runs
    from simulations.store import Store, default_root
    from simulations.sweep import read_sweep

    points = read_sweep(config)
    runs = Runs(Store(default_root() if store is None else store))
    if dry_run:
        rows, report = _rows(points, runs, None), None
    else:
        with progress() as bar:
            task = bar.add_task("parts", total=None)
            report = runs.execute(
                [(point.experiment, point.config) for point in points],
                jobs=jobs,
                scheduler=scheduler,
                on_progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        rows = _rows(points, runs, report)
    failures = _failures(rows, report)
    notes = list(report.notes) if report is not None else []
    if as_json:
        data = {"sweep": str(config), "store": str(runs.store.root), "passes": not failures}
        print_json({**data, "runs": rows, "failures": failures, "notes": notes})
    else:
        _print_tables(rows, failures, notes)
    raise typer.Exit(1 if failures else 0)


def _rows(
    points: "list[SweepPoint]", runs: "Runs", report: "Report | None"
) -> list[dict[str, Any]]:
    """One row a point: where its run lies, what was varied, and what became of it."""
    from simulations.runs.contents import job_of

    rows = []
    finished = {run.address: run for run in report.finished} if report is not None else {}
    for point in points:
        job = job_of(point.experiment, point.config)
        if report is None:
            state = "in the store" if job.key in runs.store else "to compute"
        elif job.address in finished:
            state = "computed"
        else:
            skipped = {run.address for run in report.skipped}
            state = "in the store" if job.address in skipped else "failed"
        seconds = finished[job.address].seconds if job.address in finished else None
        rows.append(
            {
                "address": job.address,
                "experiment": point.experiment.name,
                "varied": dict(point.varied),
                "config": job.document,
                "state": state,
                "seconds": seconds,
            }
        )
    return rows


def _failures(rows: list[dict[str, Any]], report: "Report | None") -> list[dict[str, Any]]:
    """One entry a failed part, with the config that it belongs to."""
    failed = report.failed if report is not None else ()
    return [
        {
            "experiment": row["experiment"],
            "varied": row["varied"],
            "config": row["config"],
            "part": failure.part,
            "message": failure.message,
            "traceback": failure.traceback,
        }
        for row in rows
        for failure in failed
        if (failure.experiment, failure.config) == (row["experiment"], row["config"])
    ]


def _print_tables(
    rows: list[dict[str, Any]], failures: list[dict[str, Any]], notes: list[str]
) -> None:
    keys = list(dict.fromkeys(key for row in rows for key in row["varied"]))
    table = Table("address", "experiment", *map(escape, keys), "state", "seconds")
    for row in rows:
        values = [_shown(row["varied"][key]) if key in row["varied"] else "" for key in keys]
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        cells = [row["address"][:12], row["experiment"], *values, row["state"], seconds]
        table.add_row(*map(Text, cells), style="bold red" if row["state"] == "failed" else None)
    console = output()
    console.print(table)
    for failure in failures:
        varied = " ".join(f"{key}={_shown(value)}" for key, value in failure["varied"].items())
        where = f"{failure['experiment']} {varied}".strip()
        part = f", part {failure['part']}" if failure["part"] is not None else ""
        console.print(Text(f"failed: {where}{part}: {failure['message']}"), soft_wrap=True)
    for note in notes:
        console.print(Text(note), soft_wrap=True)
    counts = Counter(row["state"] for row in rows)
    console.print(", ".join(f"{number} {state}" for state, number in counts.items()))
    if failures:
        console.print("tracebacks: --json; the same command tries what failed again")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
