"""What the commands share: options, tables, JSON, progress."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from simulations.experiments.experiment import Experiment
    from simulations.runs import Report, Runs

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")]


def output() -> Console:
    """Return the console of standard output, where tables and figures go."""
    # A pipe has no width: give tables room instead of cutting them at 80 characters.
    return Console() if sys.stdout.isatty() else Console(width=160)


def progress() -> Progress:
    """Return a progress bar: on standard error on a terminal, nothing in a pipe."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _Remaining(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class _Remaining(ProgressColumn):
    """The time that is left at the average pace so far.

    rich's own column looks half a minute back, which may be less than one step of an experiment.
    """

    def render(self, task: Task) -> Text:
        if task.total == 1 and not task.completed:
            return Text("one step: no estimate")
        if not task.completed or not task.remaining or task.elapsed is None:
            return Text("")
        left = timedelta(seconds=round(task.elapsed / task.completed * task.remaining))
        return Text(f"{left} left")


def compute(
    stored: "Runs",
    requests: "Sequence[tuple[Experiment[Any], Any]]",
    jobs: int | None,
    scheduler: str | None,
) -> "Report":
    """Compute runs with a progress bar of their parts; see `simulations.runs.Runs.execute`."""
    names = dict.fromkeys(experiment.name for experiment, _ in requests)
    configs = f", {len(requests)} configs" if len(requests) > 1 else ""
    with progress() as bar:
        task = bar.add_task(f"{', '.join(names)}{configs}, parts", total=None)
        try:
            return stored.execute(
                requests,
                jobs=jobs,
                scheduler=scheduler,
                on_progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        except ModuleNotFoundError as error:  # the extra for clusters
            raise ValueError(str(error)) from None


def print_failures(failures: Sequence[tuple[str, Mapping[str, Any]]], notes: Sequence[str]) -> None:
    """Print which runs failed, each under its name, and notes."""
    console = output()
    for name, failure in failures:
        part = f", part {failure['part']}" if failure["part"] is not None else ""
        console.print(Text(f"failed: {name}{part}: {failure['message']}"), soft_wrap=True)
    for note in notes:
        console.print(Text(note), soft_wrap=True)
    if any(failure["traceback"] for _, failure in failures):
        console.print("tracebacks: --json; the same command tries what failed again")


def print_json(data: Any) -> None:
    """Print data as JSON on standard output; figures that are no numbers are refused."""
    typer.echo(json.dumps(data, indent=2, allow_nan=False))


def one_thread() -> None:
    """Let torch use one thread: on small matrices more of them wait rather than work.

    Where another process is busy, two threads took up to ten times as long as one.
    """
    import torch

    torch.set_num_threads(1)
