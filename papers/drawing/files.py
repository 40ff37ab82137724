"""Writes figures as SVG and PNG, each file whole or not at all."""

import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from papers.drawing.style import page_style

#: Dots per inch of the PNG files.
RESOLUTION = 300


def write_figures(directory: Path, figures: Mapping[str, Figure]) -> list[Path]:
    """Write figures by name as SVG and PNG, and return the paths.

    The folder is made if it is not there; files of the same names are replaced, each at once, and
    only when all figures are rendered.
    """
    files = {
        directory / f"{name}.{kind}": _render(figure, kind)
        for name, figure in figures.items()
        for kind in ("svg", "png")
    }
    directory.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        _replace(path, content)
    return list(files)


def _render(figure: Figure, kind: str) -> bytes:
    """Return the bytes of the file, without a date."""
    buffer = BytesIO()
    metadata = {"Date": None} if kind == "svg" else {}
    with page_style():
        figure.savefig(buffer, format=kind, dpi=RESOLUTION, metadata=metadata)
    return buffer.getvalue()


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside and move it in place, so that no reader sees half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
