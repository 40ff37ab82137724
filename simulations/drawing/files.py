"""Writes figures as SVG and PNG, each file whole or not at all."""

import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from simulations.drawing.style import page_style
from simulations.write_errors import naming

#: Dots per inch of the PNG files.
RESOLUTION = 300


def write_figures(
    directory: Path, figures: Mapping[str, Figure], captions: Mapping[str, str] | None = None
) -> list[Path]:
    """Write figures by name as SVG and PNG, and return the paths.

    The folder is made if it is not there; files of the same names are replaced, each at once, and
    only when all figures are rendered.

    Parameters
    ----------
    directory
        Where to write.
    figures
        By the names of their files.
    captions
        By the same names, for those that have one: it is kept in the files, and in ``NAME.txt``.
    """
    said, files = captions or {}, {}
    for name, figure in figures.items():
        for kind in ("svg", "png"):
            files[directory / f"{name}.{kind}"] = _render(figure, kind, said.get(name))
        if name in said:
            files[directory / f"{name}.txt"] = f"{said[name]}\n".encode()
    for path, content in files.items():
        write_whole(path, content)
    return list(files)


def svg(figure: Figure) -> bytes:
    """Return a figure as an SVG file, without a date: equal figures give equal bytes."""
    return _render(figure, "svg", None)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside and move it in place, so that no reader sees half of it.

    The folder is made if it is not there.

    Raises
    ------
    OSError
        If it cannot be written; the error names the path.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _render(figure: Figure, kind: str, caption: str | None) -> bytes:
    """Return the bytes of the file, without a date."""
    buffer = BytesIO()
    metadata = {"Date": None} if kind == "svg" else {}
    described = {} if caption is None else {"Description": caption}
    with page_style():
        figure.savefig(buffer, format=kind, dpi=RESOLUTION, metadata={**metadata, **described})
    return buffer.getvalue()
