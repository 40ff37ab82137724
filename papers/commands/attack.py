"""`iclproof attack`: tries to break the certificate of a built transformer."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from papers.commands.console import AsJson, Seed, one_thread, output, print_json, progress


def attack(
    model: Annotated[Path, typer.Argument(help="Folder that `iclproof build` has written.")],
    random_prompts: Annotated[
        int, typer.Option(min=0, help="Prompts of the mixture; those outside the box are refused.")
    ] = 100_000,
    starts: Annotated[
        int, typer.Option(min=0, help="Starts of gradient ascent in the box.")
    ] = 1_000,
    steps: Annotated[int, typer.Option(min=0, help="Steps of gradient ascent.")] = 100,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Search for prompts whose error exceeds the certificate. Exit code 1 if there is one."""
    from simulations.built_models import load_model
    from simulations.experiments.violations import Search, search

    one_thread()
    network = load_model(model)
    config = Search(random_prompts, starts, steps, seed)
    with progress() as bar:
        task = bar.add_task("prompts", total=random_prompts + starts)
        found = search(network, config, lambda done: bar.advance(task, done))
    bounds = network.certificate()
    if as_json:
        limits = {"box": bounds.box.value, "explained": bounds.explained.value}
        print_json({"bounds": limits, **found.as_dict()})
    else:
        table = Table("prompts", "largest error", "largest error / bound", title=str(model))
        table.add_row(
            f"{random_prompts - found.refused:,} of the mixture ({found.refused:,} refused)",
            f"{found.random_error:.2e}",
            f"{found.random_ratio:.2e}",
        )
        table.add_row(
            f"{starts:,} of gradient ascent",
            f"{found.ascent_error:.2e}",
            f"{found.ascent_ratio:.2e}",
        )
        output().print(table)
        output().print(
            f"certified: {bounds.box.value:.2e} in the box, {bounds.explained.value:.2e} where a "
            "component explains the prompt"
        )
    raise typer.Exit(1 if found.violated else 0)
