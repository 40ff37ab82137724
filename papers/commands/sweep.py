"""`iclproof sweep`: an experiment on a grid of configs, on all cores or on several machines."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from papers.commands.console import AsJson, compute, output, print_failures, print_json

if TYPE_CHECKING:
    from simulations.runs import FailedRun, Report, Runs
    from simulations.stored_folder import JSON
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
        requests = [(point.experiment, point.config) for point in points]
        report = compute(runs, requests, jobs, scheduler)
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
    skipped = {run.address for run in report.skipped} if report is not None else set()
    for point in points:
        job = job_of(point.experiment, point.config)
        run = finished.get(job.address)
        if run is not None:
            state = "computed"
        elif job.address in skipped or (report is None and job.key in runs.store):
            state = "in the store"
        else:
            state = "to compute" if report is None else "failed"
        rows.append(
            {
                "address": job.address,
                "experiment": point.experiment.name,
                "varied": dict(point.varied),
                "config": job.document,
                "state": state,
                "seconds": run.seconds if run is not None else None,
            }
        )
    return rows


def _failures(rows: list[dict[str, Any]], report: "Report | None") -> list[dict[str, Any]]:
    """One entry a failed part, with the config that it belongs to, in the order of rows."""
    by_config: dict[str, list[FailedRun]] = {}
    for failed in report.failed if report is not None else ():
        by_config.setdefault(_named(failed.experiment, failed.config), []).append(failed)
    return [
        {
            **{key: row[key] for key in ("experiment", "varied", "config")},
            "part": failed.part,
            "message": failed.message,
            "traceback": failed.traceback,
        }
        for row in rows
        for failed in by_config.get(_named(row["experiment"], row["config"]), ())
    ]


def _named(experiment: str, config: "Mapping[str, JSON]") -> str:
    return json.dumps([experiment, config], sort_keys=True)


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
    counts = Counter(row["state"] for row in rows)
    console.print(", ".join(f"{number} {state}" for state, number in counts.items()))
    print_failures([(_name(failure), failure) for failure in failures], notes)


def _name(failure: dict[str, Any]) -> str:
    varied = " ".join(f"{key}={_shown(value)}" for key, value in failure["varied"].items())
    return f"{failure['experiment']} {varied}".strip()


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
