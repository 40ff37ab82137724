"""`iclproof figures`: the drawings of the proofs, and the figures of experiments."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from papers.commands.console import AsJson, Seed, print_json
from simulations.experiments.experiment import Preset

if TYPE_CHECKING:
    from simulations.figures.gallery import Gallery


def figures(
    out: Annotated[Path, typer.Option(help="Folder for the SVG and PNG files and captions.")],
    dim: Annotated[int, typer.Option(help="d of the proof figures.")] = 2,
    num_components: Annotated[int, typer.Option(help="m of the proof figures.")] = 3,
    num_examples: Annotated[int, typer.Option(help="k of the proof figures.")] = 2,
    noise_std: Annotated[float, typer.Option(help="sigma of the proof figures.")] = 1.0,
    seed: Seed = 0,
    preset: Annotated[Preset, typer.Option(help="Which runs of experiments are drawn.")] = "laptop",
    store: Annotated[
        Path | None,
        typer.Option(help="Folder of the results; $ICLPROOF_STORE or a cache folder if not given."),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Name of one figure of experiments: draw it, and no proof figures."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw the proofs' figures, and those of experiments that have stored results.

    Results are taken from the store, else from those that come with the program. What is missing is
    named, with the command that makes it. Exit code 1 if a stored result is damaged, or if there is
    none for the figure that --only asks for.
    """
    proofs = [] if only else _proof_figures(out, dim, num_components, num_examples, noise_std, seed)
    gallery = _experiment_figures(out, preset, store, only)
    files = [*proofs, *gallery.files]
    if gallery.drawn and not only:
        from simulations.figures.gallery import write_page

        files.append(write_page(out, gallery, preset))
    if as_json:
        print_json(
            {
                "figures": [str(path) for path in files],
                "experiments": [figure.as_dict() for figure in gallery.drawn],
                "missing": [missing.as_dict() for missing in gallery.missing],
                "damaged": list(gallery.damaged),
            }
        )
    else:
        for path in files:
            typer.echo(path)
        for problem in [*gallery.missing, *gallery.damaged]:
            typer.echo(problem, err=True)
    if gallery.damaged or (only and not gallery.drawn):
        raise typer.Exit(1)


def _proof_figures(
    out: Path, dim: int, num_components: int, num_examples: int, noise_std: float, seed: int
) -> list[Path]:
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
    return [
        *paths,
        *draw_far_from_the_box(out, config),
        *draw_flow_figures(out),
        *draw_basins(out),
    ]


def _experiment_figures(
    out: Path, preset: Preset, store: Path | None, only: str | None
) -> "Gallery":
    from simulations.figures.catalogue import FIGURES, find_figure
    from simulations.figures.gallery import draw_gallery
    from simulations.figures.supply import Shelf
    from simulations.runs import Runs, laptop_results
    from simulations.store import Store, default_root

    shelves = [
        Shelf("the store", Runs(Store(default_root() if store is None else store))),
        Shelf("committed results", Runs(laptop_results())),
    ]
    return draw_gallery(out, [find_figure(only)] if only else FIGURES, preset, shelves)
