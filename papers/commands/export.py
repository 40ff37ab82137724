"""`iclproof export`: a built transformer as files for other software."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from papers.commands.console import AsJson, output, print_json

if TYPE_CHECKING:
    from constructions import PosteriorMeanTransformer

FORMATS = ("gpt2", "onnx", "safetensors")
SHAPES = ("smallest", "pathak2023")


def export(
    model: Annotated[Path, typer.Argument(help="Folder that `iclproof build` has written.")],
    to: Annotated[
        str,
        typer.Option(
            help="gpt2 (stock transformers.GPT2Model, float64), onnx (float32) or safetensors."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; an export there is replaced.")],
    shape: Annotated[
        str | None,
        typer.Option(
            help="For gpt2: smallest (the default), or pathak2023: 12 layers, 8 heads, width 256, "
            "feed-forward width 1024, gelu_new."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a built transformer for other software (docs/export.md says how to use the files)."""
    from simulations.built_models import load_model
    from simulations.stored_folder import write_folder

    if to not in FORMATS:
        raise ValueError(f"--to is {to!r}, expected {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    if shape is not None and (to != "gpt2" or shape not in SHAPES):
        raise ValueError(
            f"--shape is {shape!r} with --to {to}; only gpt2 has shapes: {' or '.join(SHAPES)}"
        )
    files = _files(load_model(model), to, shape)
    write_folder(out, files, {"kind": f"export-{to}", "model": str(model)})
    sizes = {name: len(contents) for name, contents in files.items()}
    if as_json:
        print_json({"out": str(out), "to": to, "files": sizes})
        return
    table = Table("file", "bytes", title=f"{to} export in {out}")
    for name, size in sizes.items():
        table.add_row(name, f"{size:,}")
    output().print(table)


def _files(network: "PosteriorMeanTransformer", to: str, shape: str | None) -> dict[str, bytes]:
    if to == "safetensors":
        from constructions.export.plain import plain_files

        return plain_files(network)
    if to == "onnx":
        from constructions.export.onnx import onnx_files

        try:
            return onnx_files(network)
        except ModuleNotFoundError as error:
            raise ValueError(str(error)) from None
    from constructions.export.gpt2 import gpt2_files
    from constructions.gpt2 import PATHAK2023

    return gpt2_files(network, PATHAK2023 if shape == "pathak2023" else None)
