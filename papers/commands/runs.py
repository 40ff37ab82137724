"""`iclproof runs`: experiments computed, and what the store holds of them."""

from collections import Counter
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from papers.commands.console import AsJson, compute, output, print_failures, print_json

if TYPE_CHECKING:
    from simulations.experiments.experiment import Experiment
    from simulations.runs import ListedRun, Report, Runs
    from simulations.stored_folder import JSON

runs = typer.Typer(help="Experiments: start, list, show, verify and clean their stored runs.")

StoreFolder = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of the results; $ICLPROOF_STORE or a cache by default."),
]
Committed = Annotated[
    bool, typer.Option("--committed", help="Look at the results that come with the program.")
]

#: How many characters of an address are printed.
_SHORT = 12

#: What is said of the code that made a run, by `ListedRun.is_current`.
_CODE = {True: "", False: ", other code", None: ", code not known here"}

#: How many runs an error lists.
_MOST_LISTED = 8


@runs.command()
def experiments(as_json: AsJson = False) -> None:
    """List the experiments, with their presets and labels."""
    from simulations.experiments import catalogue

    known = catalogue.experiments().values()
    if as_json:
        data = [
            {
                "experiment": e.name,
                "title": e.title,
                "source": e.source,
                "presets": {preset: list(configs) for preset, configs in e.presets.items()},
            }
            for e in known
        ]
        print_json({"experiments": data})
        return
    table = Table("experiment", "title", "source", "presets: labels")
    for e in known:
        presets = [f"{preset}: {'; '.join(configs)}" for preset, configs in e.presets.items()]
        table.add_row(*map(Text, (e.name, e.title, e.source, "\n".join(presets))))
    output().print(table)


@runs.command()
def start(
    experiment: Annotated[str, typer.Argument(help="As `iclproof runs experiments` lists them.")],
    preset: Annotated[str, typer.Option(help="smoke, laptop or paper.")] = "laptop",
    label: Annotated[
        str | None, typer.Option(help="One config of the preset; all if not given.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a field of the config: --set seed=3; may be repeated."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes of this machine; as many as cores if not given."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a dask scheduler, tcp://HOST:PORT: compute on its workers."),
    ] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Compute the configs of a preset and store them. Exit code 1 if one failed or is damaged.

    What is finished is skipped; after a kill the same command goes on where it stopped, and the
    results are the same.
    """
    from simulations.experiments import catalogue
    from simulations.experiments.config_files import changed, setting

    chosen = catalogue.find_experiment(experiment)
    configs = _configs(chosen, preset, label)
    new = dict(setting(text) for text in settings or [])
    requests = [(chosen, changed(chosen, config, new)) for config in configs.values()]
    stored = _runs(store)
    report = compute(stored, requests, jobs, scheduler)
    _print_report(stored, report, as_json)
    raise typer.Exit(0 if report.succeeded else 1)


@runs.command("list")
def list_(store: StoreFolder = None, committed: Committed = False, as_json: AsJson = False) -> None:
    """List the runs in the store, finished or not."""
    stored = _runs(store, committed)
    found = stored.list()
    if as_json:
        print_json({"runs": [_as_dict(run) for run in found]})
        return
    table = Table("address", "experiment", "label", "state", "seconds", "date")
    for run in found:
        seconds = f"{run.made['seconds']:.1f}" if run.made else ""
        date = str(run.made.get("date", ""))
        cells = (run.address[:_SHORT], run.experiment, _label(run), _state(run), seconds, date)
        table.add_row(*map(Text, cells))
    console = output()
    console.print(table)
    counts = Counter(run.state for run in found)
    told = ", ".join(f"{number} {state}" for state, number in counts.items())
    console.print(told or "no runs: start one with iclproof runs start EXPERIMENT")
    if number := sum(len(run.damaged) for run in found):
        from simulations.runs.contents import removal

        told = f"damaged folders: {number} (iclproof runs verify names them); take them away with:"
        console.print(Text(f"{told} {removal(stored.store)}"), soft_wrap=True)


@runs.command()
def show(
    run: Annotated[str, typer.Argument(help="An experiment's name, or how an address begins.")],
    out: Annotated[
        Path | None, typer.Option(help="Also write the arrays to this file, .npz or .json.")
    ] = None,
    store: StoreFolder = None,
    committed: Committed = False,
    as_json: AsJson = False,
) -> None:
    """Show a finished run: its config, how it was made, its arrays."""
    from simulations.runs.export import describe, export_run, require_suffix

    if out is not None:
        require_suffix(out)
    stored = _runs(store, committed)
    listed = _one(stored, run)
    found = stored.arrays(listed)
    if out is not None:
        export_run(listed, found, out)
    arrays = {name: describe(array) for name, array in found.items()}
    if as_json:
        print_json({**_as_dict(listed), "arrays": arrays})
        return
    _print_run(listed, arrays)
    if out is not None:
        output().print(Text(f"arrays written to {out}"), soft_wrap=True)


@runs.command()
def verify(
    store: StoreFolder = None, committed: Committed = False, as_json: AsJson = False
) -> None:
    """Read all stored runs and parts, and check every checksum. Exit code 1 if one is damaged."""
    from simulations.runs.contents import removal
    from simulations.runs.listing import addresses_of_runs

    stored = _runs(store, committed)
    problems = stored.verify()
    checked = len(addresses_of_runs(stored.store))
    if as_json:
        listed = [{"address": where, "problem": problem} for where, problem in problems.items()]
        data = {**_where(stored), "passes": not problems, "checked": checked}
        print_json({**data, "problems": listed})
    else:
        console = output()
        for problem in problems.values():
            console.print(Text(problem), soft_wrap=True)
        remedy = f"; take these away with: {removal(stored.store)}" if problems else ""
        told = f"{checked} folders checked, {len(problems)} damaged{remedy}"
        console.print(Text(told), soft_wrap=True)
    raise typer.Exit(1 if problems else 0)


@runs.command()
def clean(
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also parts of runs that are not finished.")
    ] = False,
    old_code: Annotated[
        bool, typer.Option("--old-code", help="Also runs by other code than the present.")
    ] = False,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Also what is damaged: see `runs verify`.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")
    ] = False,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Remove left-overs of kills from the store, and what else you ask for.

    Without options: what writers that were killed an hour ago or more have left, and parts of runs
    that are finished.
    """
    from simulations.runs import cleaning

    stored = _runs(store)
    do = cleaning.litter if dry_run else cleaning.clean
    pieces = do(stored.store, unfinished=unfinished, old_code=old_code, damaged=damaged)
    if as_json:
        listed = [{"name": p.name, "what": p.what, "reason": p.reason} for p in pieces]
        print_json({**_where(stored), "dry_run": dry_run, "removed": listed})
        return
    console = output()
    verb = "would remove" if dry_run else "removed"
    for piece in pieces:
        told = f"{verb} {piece.name[:_SHORT]} ({piece.what}): {piece.reason}"
        console.print(Text(told), soft_wrap=True)
    console.print(f"{verb} {len(pieces)} folders")


def _runs(store: Path | None, committed: bool = False) -> "Runs":
    from simulations.runs import Runs, laptop_results
    from simulations.store import Store, default_root

    if committed and store is not None:
        raise ValueError("give --store or --committed, not both")
    if committed:
        return Runs(laptop_results())
    if store is not None and store.exists() and not store.is_dir():
        raise ValueError(f"--store {store} is a file, expected a folder")
    return Runs(Store(default_root() if store is None else store))


def _configs(experiment: "Experiment[Any]", preset: str, label: str | None) -> dict[str, Any]:
    """Return the configs of a preset that are asked for, by label."""
    presets = {str(name): configs for name, configs in experiment.presets.items()}
    if preset not in presets:
        raise ValueError(
            f"{experiment.name} has no preset {preset!r}; expected one of {', '.join(presets)}"
        )
    configs = presets[preset]
    if label is None:
        return dict(configs)
    if label not in configs:
        near = get_close_matches(label, configs, n=1)
        labels = ", ".join(map(repr, configs))
        advice = f"did you mean {near[0]!r}?" if near else f"expected one of {labels}"
        raise ValueError(f"{experiment.name}, preset {preset}, has no label {label!r}: {advice}")
    return {label: configs[label]}


def _one(stored: "Runs", wanted: str) -> "ListedRun":
    """Return the finished run that an experiment's name or the beginning of an address tells."""
    listed = stored.list()
    matching = [r for r in listed if wanted and wanted in (r.experiment, r.address[: len(wanted)])]
    sound = [run for run in matching if run.state == "finished"]
    if len(sound) == 1:
        return sound[0]
    if not matching:
        raise ValueError(
            f"no run in {stored.store.root} has the experiment or address {wanted!r}: iclproof runs"
            " list shows what there is"
        )
    told = [
        f"{r.address[:_SHORT]} {f'{r.experiment} {_label(r)}'.strip()} ({_state(r)})"
        for r in sound or matching
    ]
    more = f"; and {len(told) - _MOST_LISTED} more" if len(told) > _MOST_LISTED else ""
    what = "is not finished"
    if sound:
        example = f"iclproof runs show {sound[0].address[:_SHORT]}"
        what = (
            f"is {len(sound)} finished runs: give the address of one, or how it begins, such as"
            f" {example}"
        )
    raise ValueError(f"{wanted!r} {what}: {'; '.join(told[:_MOST_LISTED])}{more}")


def _print_report(stored: "Runs", report: "Report", as_json: bool) -> None:
    from simulations.runs.listing import label_of, nearest_label

    groups = (("computed", report.finished), ("in the store", report.skipped))
    rows: list[dict[str, Any]] = [
        {
            "address": run.address,
            "experiment": run.experiment,
            "label": label_of(run.experiment, run.config),
            "config": run.config,
            "state": state,
            "seconds": run.seconds,
        }
        for state, group in groups
        for run in group
    ]
    failures: list[dict[str, Any]] = [
        {
            "experiment": failed.experiment,
            "label": label_of(failed.experiment, failed.config),
            "config": failed.config,
            "part": failed.part,
            "message": failed.message,
            "traceback": failed.traceback,
        }
        for failed in report.failed
    ]
    if as_json:
        data = {**_where(stored), "passes": report.succeeded, "runs": rows}
        print_json({**data, "failures": failures, "notes": list(report.notes)})
        return
    if rows:
        table = Table("address", "experiment", "label", "state", "seconds")
        for row in rows:
            name, label = row["experiment"], nearest_label(row["experiment"], row["config"])
            cells = (row["address"][:_SHORT], name, label, row["state"], f"{row['seconds']:.1f}")
            table.add_row(*map(Text, cells))
        output().print(table)
    named = [
        f"{f['experiment']} {nearest_label(f['experiment'], f['config']) or f['config']}"
        for f in failures
    ]
    print_failures(list(zip(named, failures, strict=True)), report.notes)


def _print_run(listed: "ListedRun", arrays: dict[str, dict[str, "JSON"]]) -> None:
    title = f"{listed.experiment} {_label(listed)}".strip()
    table = Table("", "", title=title, show_header=False)
    table.add_row("address", listed.address)
    table.add_row("code", listed.code + _CODE[listed.is_current])
    for name, value in [*listed.config.items(), *listed.made.items()]:
        table.add_row(Text(name), Text(str(value)))
    console = output()
    console.print(table)
    table = Table("array", "type", "shape", "least", "greatest", "not finite")
    for name, told in arrays.items():
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in (name, *told.values())))
    console.print(table)


def _as_dict(run: "ListedRun") -> dict[str, Any]:
    return {
        "address": run.address,
        "experiment": run.experiment,
        "label": run.label,
        "config": run.config,
        "state": run.state,
        "code": run.code,
        "is_current": run.is_current,
        "parts": list(run.parts),
        "made": run.made,
        "damaged": list(run.damaged),
    }


def _label(run: "ListedRun") -> str:
    """The label of a run; of a config that is no preset, the nearest one and what differs."""
    from simulations.runs.listing import nearest_label

    return run.label or nearest_label(run.experiment, run.config)


def _state(run: "ListedRun") -> str:
    state = f"unfinished, {len(run.parts)} parts" if run.state == "unfinished" else run.state
    return state + _CODE[run.is_current] if run.code else state


def _where(stored: "Runs") -> dict[str, str]:
    return {"store": str(stored.store.root)}
