"""`iclproof build`: transformers with explicit weights, written to disk."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import numpy as np
import typer
from rich.table import Table

from papers.commands.console import AsJson, Seed, output, print_json

if TYPE_CHECKING:
    from constructions import Box, PosteriorMeanTransformer
    from constructions.reports import CircuitReport
    from theory import RegressionMixture


def build_posterior_mean(
    out: Annotated[Path, typer.Option(help="Folder to write; a model that is there is replaced.")],
    noise_std: Annotated[float, typer.Option(help="sigma > 0 of the mixture.")],
    max_examples: Annotated[int, typer.Option(help="Most examples a prompt may have.")],
    components: Annotated[
        Path | None,
        typer.Option(help="File with W* and, if you like, weights (.npz, .csv, .json)."),
    ] = None,
    num_components: Annotated[
        int | None, typer.Option(help="Instead of a file: this many random components.")
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Dimension of random components.")] = None,
    seed: Seed = 0,
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    layers: Annotated[
        int, typer.Option(help="3, of one head each, or 2, the first with a head for every token.")
    ] = 3,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Certify answers to this on prompts that some component explains, with as few "
            "neurons as that takes."
        ),
    ] = None,
    prefix_columns: Annotated[
        bool,
        typer.Option(
            "--prefix-columns/--no-prefix-columns",
            help="Whether constant columns stand before the prompt; without them short prefixes "
            "are not answered.",
        ),
    ] = True,
    box_covariate_norm: Annotated[
        float | None, typer.Option(help="Largest |x_i| of a prompt; default from the mixture.")
    ] = None,
    box_covariate: Annotated[
        float | None,
        typer.Option(help="Largest entry |x_il| of a prompt; alone, it is the only bound on x_i."),
    ] = None,
    box_label: Annotated[
        float | None, typer.Option(help="Largest |y_i| of a prompt; default from the mixture.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build the transformer of Theorem 1, whose weights compute f*_pi at every prefix."""
    import torch

    from constructions import compile_posterior_mean
    from constructions.library.posterior_mean_transformer import NumLayers
    from simulations.built_models import save_model

    dtypes = {"float64": torch.float64, "float32": torch.float32}
    if dtype not in dtypes:
        raise ValueError(f"--dtype is {dtype!r}, expected float64 or float32")
    if layers not in get_args(NumLayers):
        raise ValueError(f"--layers is {layers}, expected 3 (one head each) or 2 (2K heads)")
    mixture = _mixture(components, num_components, dim, noise_std, seed)
    box = _box(mixture, box_covariate_norm, box_covariate, box_label)
    network = compile_posterior_mean(
        mixture,
        max_examples,
        box,
        dtypes[dtype],
        layers=cast(NumLayers, layers),
        tolerance=tolerance,
        prefix_columns=prefix_columns,
    )
    save_model(out, network)
    certified, reason = _certified(network)
    known = None if certified is None else certified["box"]
    report = replace(network.report(), certified_error=known)
    if as_json:
        print_json(
            {
                "out": str(out),
                "box": asdict(box),
                "certified": certified,
                "report": report.as_dict(),
            }
        )
        return
    table = _table(f"posterior mean transformer in {out}", report, box)
    for name, bound in (certified or {}).items():
        table.add_row(f"certified error, {name}", f"{bound:.2e}", "")
    if certified is None:
        table.add_row("certified error", "none (see below)", "")
    output().print(table)
    if reason:
        output().print(f"no certificate: {reason}", markup=False, highlight=False)


def _certified(network: "PosteriorMeanTransformer") -> tuple[dict[str, float] | None, str]:
    """The bounds by name, or None for a network without a certificate, with the reason."""
    from constructions.certificate import CertificateError

    try:
        certificate = network.certificate()
    except CertificateError as error:
        return None, str(error)
    return {"box": certificate.box.value, "explained": certificate.explained.value}, ""


def _table(title: str, report: "CircuitReport", box: "Box") -> Table:
    """The sizes, beside what the paper's own construction takes."""
    paper = report.budget
    rows: list[tuple[str, str, str]] = [
        ("layers", f"{report.layers}", f"{paper.operators} operators" if paper else ""),
        ("heads of each layer", _listed(report.heads), ""),
        ("rows of the stream", f"{report.width}", f"{paper.rows}" if paper else ""),
        ("of these, constant", f"{report.extra_rows}", ""),
        ("columns", f"{report.columns}", f"{paper.columns}" if paper else ""),
        ("of these, constant", f"{report.extra_columns}", ""),
        ("neurons of each layer", _listed(report.feed_forward_widths), ""),
        ("parameters", f"{report.parameters:,}", ""),
        ("of these, not 0", f"{report.nonzero_parameters:,}", ""),
        ("largest weight", f"{max(max(n.largest) for n in report.norms.values()):.3g}", ""),
        ("float type", report.dtype, ""),
        ("box", f"|x| <= {box.covariate_norm:.4g}, |x_l| <= {box.covariate:.4g}", ""),
        ("", f"|y| <= {box.label:.4g}", ""),
    ]
    table = Table("figure", "network", "paper", title=title)
    for row in rows:
        table.add_row(*row)
    return table


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(f"{number:,}" for number in numbers)


def _mixture(
    components: Path | None,
    num_components: int | None,
    dim: int | None,
    noise_std: float,
    seed: int,
) -> "RegressionMixture":
    from simulations.prompt_files import read_components
    from theory import RegressionMixture

    if components is not None:
        if num_components is not None or dim is not None:
            raise ValueError("give either --components or --num-components with --dim, not both")
        found = read_components(components)
        return RegressionMixture(found.components, noise_std, found.weights)
    if num_components is None or dim is None:
        raise ValueError("give --components FILE, or --num-components and --dim for random ones")
    return RegressionMixture.random(num_components, dim, noise_std, np.random.default_rng(seed))


def _box(
    mixture: "RegressionMixture",
    covariate_norm: float | None,
    covariate: float | None,
    label: float | None,
) -> "Box":
    """The default box, with what was given in place of it; one bound on x_i replaces both."""
    from constructions import Box

    default = Box.for_mixture(mixture)
    label = default.label if label is None else label
    if covariate_norm is not None:
        return Box(covariate_norm, label, np.inf if covariate is None else covariate)
    if covariate is not None:
        return Box.entrywise(mixture.dim, covariate, label)
    return Box(default.covariate_norm, label, default.covariate)
