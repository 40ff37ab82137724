"""`iclproof train`: transformers on prompts, one for each seed, into a folder."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer
from rich.table import Table

from papers.commands.console import AsJson, output, print_json, progress

if TYPE_CHECKING:
    from simulations.stored_folder import JSON
    from simulations.transformers import TransformerTraining
    from simulations.transformers.folder import FolderReport


def train(
    out: Annotated[
        Path, typer.Option(help="Folder of the training: new, empty, or one to go on with.")
    ],
    preset: Annotated[str | None, typer.Option(help="smoke, laptop or paper.")] = None,
    label: Annotated[
        str | None, typer.Option(help="Which training of the preset, such as 'm=5, sigma=1'.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Instead of a preset: a .json file with a config, or a training.json."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change a field of the config: --set steps.count=100; may be repeated."
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; as in the config if not given.")
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            min=1,
            help="Threads on a CPU. More than one help wide models on idle cores only, and round "
            "otherwise.",
        ),
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Train transformers, and write checkpoints and models. Exit code 1 if training diverged.

    The same command goes on after a kill, with bitwise the same result on the CPU. Under
    `torchrun --nproc-per-node N iclproof train ...` the processes share every batch.
    """
    wanted = _training(preset, label, config, settings or [], device)
    import torch

    from simulations.transformers import DivergedError
    from simulations.transformers.folder import CHECKPOINT, train_in_folder
    from simulations.transformers.processes import joined_processes

    torch.set_num_threads(threads)
    with joined_processes(wanted.device) as processes, progress() as bar:
        leads = processes.rank == 0
        task = bar.add_task("training, steps", total=None, visible=leads)
        try:
            report = train_in_folder(
                out,
                wanted,
                processes,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
        except DivergedError as error:
            bar.stop()
            if leads:
                kept = f"the last checkpoint in {out} is kept"
                if not (out / CHECKPOINT).is_dir():
                    kept = "there was no checkpoint yet"
                typer.echo(f"iclproof: {error}; {kept}", err=True)
            raise typer.Exit(1) from None
    if leads:
        _print_report(out, wanted, report, as_json)


def _training(
    preset: str | None,
    label: str | None,
    file: Path | None,
    settings: list[str],
    device: str | None,
) -> "TransformerTraining":
    """The config that the options ask for."""
    if (preset is None) == (file is None):
        raise ValueError("give a config once: as --preset (and --label), or as --config FILE.json")
    if label is not None and preset is None:
        raise ValueError("--label goes with --preset: it names one of its trainings")
    if device not in (None, "cpu", "cuda"):
        raise ValueError(f"--device is {device!r}, expected cpu or cuda")
    from simulations.experiments.config_files import fields_as_json, fields_from_json, setting
    from simulations.transformers import TransformerTraining
    from simulations.transformers.presets import find_training

    if file is None:
        subject = f"the preset {preset!r} with what was set"
        document = fields_as_json(find_training(preset or "", label))
    else:
        subject, document = str(file), _document(file)
    new = dict(setting(text) for text in settings)
    found = fields_from_json(subject, TransformerTraining, document, new)
    return found if device is None else replace(found, device=cast(Literal["cpu", "cuda"], device))


def _document(file: Path) -> "dict[str, JSON]":
    """The config in a file; also that of a trained model, in its training.json."""
    try:
        found: Any = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    if isinstance(found, dict) and isinstance(found.get("config"), dict):
        found = found["config"]
    if not isinstance(found, dict):
        raise ValueError(f"{file} holds {type(found).__name__}; expected an object, the config")
    return found


def _print_report(
    out: Path, config: "TransformerTraining", report: "FolderReport", as_json: bool
) -> None:
    from simulations.experiments.config_files import fields_as_json

    steps = config.steps.count
    if as_json:
        models = [
            {"seed": seed, "folder": str(folder), "loss": loss}
            for seed, folder, loss in zip(config.seeds, report.folders, report.losses, strict=True)
        ]
        print_json(
            {
                "out": str(out),
                "config": fields_as_json(config),
                "began_at": report.began_at,
                "steps": steps,
                "seconds": report.seconds,
                "models": models,
            }
        )
        return
    table = Table("seed", "loss at the end", "folder")
    for seed, folder, loss in zip(config.seeds, report.folders, report.losses, strict=True):
        table.add_row(str(seed), f"{loss:.6g}", str(folder))
    console = output()
    console.print(table)
    if report.began_at == steps:
        told = "finished before: nothing to do"
    else:
        since = f", the last {steps - report.began_at} of them now" if report.began_at else ""
        told = f"{steps} steps{since}, {report.seconds:.1f} s in all"
    console.print(told)
    typer.echo(f"compare one with: iclproof compare {report.folders[0]}")
