"""Matrices from files: numbers in text, JSON, or numpy's own format."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["read_matrix"]


def read_matrix(path: Path) -> npt.NDArray[np.float64]:
    """Read a real matrix, float64 of shape (rows, columns).

    Parameters
    ----------
    path
        A file ``.npy``; ``.json``, a list of rows; or any other name: a text file with a row a
        line, its numbers with commas, semicolons or blanks between them.

    Raises
    ------
    ValueError
        If the file is not such a matrix; the message names the file and the line.
    OSError
        If it cannot be read.
    """
    if path.suffix == ".npy":
        return _checked(path, np.load(path, allow_pickle=False))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not a text file ({error}); expected rows of numbers, .json or .npy"
        ) from error
    if path.suffix == ".json":
        try:
            return _checked(path, np.array(json.loads(text), dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}; expected a list of rows of numbers") from error
    return _checked(path, _rows(path, text))


def _rows(path: Path, text: str) -> npt.NDArray[np.float64]:
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        parts = line.replace(",", " ").replace(";", " ").split()
        try:
            row = [float(part) for part in parts]
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number}: {error}; expected rows of numbers with commas"
            ) from error
        if rows and row and len(row) != len(rows[0]):
            raise ValueError(
                f"{path}, line {number} has {len(row)} numbers and the rows before {len(rows[0])};"
                " expected rows of one length"
            )
        rows += [row] if row else []
    return np.array(rows)


def _checked(path: Path, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise ValueError(
            f"{path} holds an array of shape {matrix.shape} and type {matrix.dtype}; expected a"
            " real matrix, rows of numbers"
        )
    return np.asarray(matrix, dtype=np.float64)
