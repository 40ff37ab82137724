"""The arrays of a run for other programs, as npz or JSON."""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from simulations.experiments.experiment import Arrays
from simulations.runs.listing import ListedRun
from simulations.stored_folder import JSON
from simulations.write_errors import naming

__all__ = ["SUFFIXES", "describe", "export_run", "require_suffix"]

#: The formats, by the suffix of the file.
SUFFIXES = (".npz", ".json")


def require_suffix(path: Path) -> None:
    """Refuse a file of another format than `SUFFIXES`, with a ValueError."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} has the suffix {path.suffix!r}; expected {' or '.join(SUFFIXES)}")


def export_run(run: ListedRun, arrays: Arrays, path: Path) -> None:
    """Write the arrays of a run to a file, in place of what is there.

    Parameters
    ----------
    run
        Whose arrays they are; JSON has its experiment, config, code, address and making too.
    arrays
        The arrays.
    path
        A file ``.npz``, with the arrays by their names, or ``.json``, with them as nested lists
        under "arrays". Numbers that JSON lacks are text there: "nan", "inf", "-inf".

    Raises
    ------
    ValueError
        If the suffix is another.
    OSError
        If the file cannot be written; it names `path`, and what was there is as it was.
    """
    require_suffix(path)
    if path.suffix == ".npz":
        data = _as_npz(arrays)
    else:
        document = {
            "experiment": run.experiment,
            "config": run.config,
            "address": run.address,
            "code": run.code,
            "made": run.made,
            "arrays": {name: _as_json(array.tolist()) for name, array in arrays.items()},
        }
        data = json.dumps(document, indent=1, allow_nan=False).encode()
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path):
        try:
            fresh.write_bytes(data)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


def describe(array: np.ndarray) -> dict[str, JSON]:
    """Return type, shape, least and greatest finite entry, and how many entries are not finite."""
    finite = array[np.isfinite(array)]
    least, greatest = (finite.min(), finite.max()) if finite.size else (None, None)
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "min": None if least is None else least.item(),
        "max": None if greatest is None else greatest.item(),
        "not_finite": int(array.size - finite.size),
    }


def _as_npz(arrays: Arrays) -> bytes:
    """Return what `numpy.savez` writes; that function takes no array of the name ``file``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


def _as_json(values: Any) -> Any:
    if isinstance(values, list):
        return [_as_json(value) for value in values]
    return str(values) if isinstance(values, float) and not math.isfinite(values) else values
