"""`iclproof figures`: the drawings of the proofs."""

from pathlib import Path
from typing import Annotated

import typer

from papers.commands.console import AsJson, Seed, print_json


def figures(
    out: Annotated[Path, typer.Option(help="Folder for the SVG and PNG files.")],
    dim: Annotated[int, typer.Option(help="d")] = 2,
    num_components: Annotated[int, typer.Option(help="m")] = 3,
    num_examples: Annotated[int, typer.Option(help="k")] = 2,
    noise_std: Annotated[float, typer.Option(help="sigma")] = 1.0,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Draw circuit, matrices, errors (sizes as given), gradient flow, bounds along it, basins."""
    from papers.beyond.figures import draw_basins, draw_far_from_the_box
    from papers.pathak2023.figures import draw_all
    from papers.zhang2024.figures import draw_flow_figures
    from simulations.experiments.far_from_the_box import FarFromTheBox

    paths = draw_all(
        out,
        dim=dim,
        num_components=num_components,
        num_examples=num_examples,
        noise_std=noise_std,
        seed=seed,
    )
    config = FarFromTheBox(dim, num_components, num_examples, noise_std, seed=seed)
    paths += draw_far_from_the_box(out, config)
    paths += draw_flow_figures(out)
    paths += draw_basins(out)
    if as_json:
        print_json({"figures": [str(path) for path in paths]})
        return
    for path in paths:
        typer.echo(path)
