"""`iclproof figures`: the drawings of the proof."""

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
    """Draw the circuit, the matrices H^(0)..H^(9), the error by layer and outside the box."""
    from papers.beyond.figures import draw_far_from_the_box
    from papers.pathak2023.figures import draw_all
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
    if as_json:
        print_json({"figures": [str(path) for path in paths]})
        return
    for path in paths:
        typer.echo(path)
