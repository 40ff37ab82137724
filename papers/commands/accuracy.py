"""`iclproof accuracy`: the hand-built networks against f*_pi on a grid of sizes."""

from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from papers.commands.console import AsJson, Seed, one_thread, output, print_json, progress

if TYPE_CHECKING:
    from simulations.experiments.accuracy import Accuracy, Design, Precision

    Measured = list[tuple[Accuracy, float, float]]


def accuracy(
    layers: Annotated[
        str, typer.Option(help="3, 2, or lines: one layer for every operator of the paper.")
    ] = "3",
    num_prompts: Annotated[int, typer.Option(min=1, help="Random prompts for each size.")] = 100,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Print the error of a hand-built transformer on a grid of sizes (exit code 1 if large).

    The error is the largest over all prompts, and over all prefixes k = 0..K where the network
    answers them. Separated components are uniform on the sphere of radius sqrt(d); undecided ones
    lie so close together that every example matters.
    """
    from simulations.experiments.accuracy import DESIGNS, largest_error

    if layers not in DESIGNS:
        raise ValueError(f"--layers is {layers!r}, expected one of {', '.join(DESIGNS)}")
    design = DESIGNS[layers]
    one_thread()
    with progress() as bar:
        rows = [
            (config, limit, largest_error(config, design.build))
            for config, limit in bar.track(design.rows(num_prompts, seed), description="sizes")
        ]
    passes = all(error <= limit for _, limit, error in rows)
    if as_json:
        shown = [
            asdict(config) | {"error": _figure(error), "limit": limit, "passes": error <= limit}
            for config, limit, error in rows
        ]
        worst = {precision: _figure(error) for precision, error in _worst(rows).items()}
        print_json({"layers": layers, "passes": passes, "worst": worst, "rows": shown})
    else:
        _print_table(design, rows)
    raise typer.Exit(0 if passes else 1)


def _figure(error: float) -> float | None:
    """JSON has no infinity, which is the error of an answer that is not a number."""
    return error if isfinite(error) else None


def _worst(rows: "Measured") -> "dict[Precision, float]":
    worst: dict[Precision, float] = {}
    for config, _, error in rows:
        worst[config.precision] = max(worst.get(config.precision, 0.0), error)
    return worst


def _print_table(design: "Design", rows: "Measured") -> None:
    """One row a size: the errors, and the limit of each float type; what breaks it is red."""
    by_size = {size: [row for row in rows if _size(row[0]) == size] for size in design.limits}
    headings = []
    for config, *_ in next(iter(by_size.values())):
        headings.append(f"{config.precision}, {config.kind}")
    limits = [f"{precision} limit" for precision in _worst(rows)]
    title = f"{design.title}: max |TF(P) - f*_pi(P)|"
    table = Table("d", "m", "k", "sigma", *headings, *limits, title=title)
    for size, measured in by_size.items():
        errors = [
            f"{error:.1e}" if error <= limit else f"[bold red]{error:.1e}[/]"
            for _, limit, error in measured
        ]
        allowed = [f"{limit:g}" for limit in design.limits[size].values()]
        table.add_row(*(f"{s:g}" for s in size), *errors, *allowed)
    console = output()
    console.print(table)
    for precision, error in _worst(rows).items():
        console.print(f"worst in {precision}: {error:.2e}")
    for config, limit, error in rows:
        if not error <= limit:
            console.print(f"above its limit {limit:g}: {error:.2e} for {config}", soft_wrap=True)


def _size(config: "Accuracy") -> tuple[int, int, int, float]:
    return config.dim, config.num_components, config.num_examples, config.noise_std
