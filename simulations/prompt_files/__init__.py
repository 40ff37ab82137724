"""The users' own prompts and components, read from files; the suffix tells the format.

Prompts, of one dimension d and of any lengths k >= 0 (``.npz``: of one length):

``.npz``
    arrays ``xs``, shape (batch, k+1, d), and ``ys``, shape (batch, k).
``.csv``
    a row for each pair (x_i, y_i), in order; the last row of a prompt is its query, without y::

        prompt,x1,x2,y
        a,0.5,-1.0,2.5
        a,1.0,0.0,-0.5
        a,2.0,1.5,
        b,0.1,0.2,
``.json``
    a list of prompts; names are optional::

        [{"name": "a", "examples": [{"x": [0.5, -1.0], "y": 2.5}], "query": [2.0, 1.5]},
         {"examples": [], "query": [0.1, 0.2]}]

Components w_1, ..., w_m, with weights or without:

``.npz``
    arrays ``components``, shape (m, d), and optionally ``weights``, shape (m,).
``.csv``
    a row for each component; the column ``weight`` is optional::

        w1,w2,weight
        1.0,0.5,0.25
        -1.0,2.0,0.75
``.json``
    ``{"components": [[1.0, 0.5], [-1.0, 2.0]], "weights": [0.25, 0.75]}``

A prompt without a name is called by its number in the file, from ``"1"``. Text is UTF-8. A file
that does not hold exactly this is refused, in one error that tells every problem and its place.
"""

import os
import secrets
from pathlib import Path
from typing import Protocol, runtime_checkable

from simulations.prompt_files import csv_format, json_format, npz_format
from simulations.prompt_files.contents import Components, PromptFile, PromptGroup
from theory.prompts import PromptBatch
from theory.validation import Problems

__all__ = [
    "Components",
    "PromptFile",
    "PromptGroup",
    "read_components",
    "read_prompts",
    "write_prompts",
]


@runtime_checkable
class _Format(Protocol):
    """What the module of a format offers."""

    def read_prompts(self, path: Path, problems: Problems) -> PromptFile: ...
    def read_components(self, path: Path, problems: Problems) -> Components: ...
    def encode_prompts(self, prompts: PromptBatch) -> bytes: ...


_FORMATS: dict[str, _Format] = {".npz": npz_format, ".csv": csv_format, ".json": json_format}


def read_prompts(path: Path) -> PromptFile:
    """Read prompts from an ``.npz``, ``.csv`` or ``.json`` file (see the module).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the suffix is unknown, or the file does not hold prompts as described.
    """
    file_format = _format_of(path)
    _require_file(path)
    return file_format.read_prompts(path, Problems(str(path)))


def read_components(path: Path) -> Components:
    """Read components from an ``.npz``, ``.csv`` or ``.json`` file (see the module).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the suffix is unknown, or the file does not hold components as described.
    """
    file_format = _format_of(path)
    _require_file(path)
    return file_format.read_components(path, Problems(str(path)))


def write_prompts(path: Path, prompts: PromptBatch) -> None:
    """Write prompts to an ``.npz``, ``.csv`` or ``.json`` file that reads back exactly.

    The file is written beside `path`, as ``.NAME.<random>.tmp``, and renamed over it: at any
    moment, and after a kill, `path` is the old file or the new one.

    Raises
    ------
    ValueError
        If the suffix is unknown.
    """
    content = _format_of(path).encode_prompts(prompts)
    target = path.resolve()
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with fresh.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _format_of(path: Path) -> _Format:
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise ValueError(
            f"{path} has the suffix {path.suffix!r}; expected one of {', '.join(_FORMATS)}"
        ) from None


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: check the path")
