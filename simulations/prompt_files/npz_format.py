"""Prompts and components as numpy archives."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from simulations.prompt_files.checks import check_keys, check_weight_count
from simulations.prompt_files.contents import Components, PromptFile, PromptGroup
from theory.prompts import PromptBatch
from theory.validation import Problems


def read_prompts(path: Path, problems: Problems) -> PromptFile:
    """Read the arrays ``xs`` and ``ys``."""
    arrays = _arrays(path, {"xs", "ys"}, set(), problems)
    try:
        prompts = PromptBatch(arrays["xs"], arrays["ys"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    positions = np.arange(prompts.batch_size)
    names = tuple(str(position + 1) for position in positions.tolist())
    return PromptFile(names, (PromptGroup(positions, prompts),))


def encode_prompts(prompts: PromptBatch) -> bytes:
    """Return the archive that `read_prompts` reads back exactly."""
    buffer = io.BytesIO()
    np.savez(buffer, xs=prompts.xs, ys=prompts.ys)
    return buffer.getvalue()


def read_components(path: Path, problems: Problems) -> Components:
    """Read the arrays ``components`` and, if there, ``weights``."""
    arrays = _arrays(path, {"components"}, {"weights"}, problems)
    rows = problems.array("components", arrays["components"], ("m", "d"))
    if rows is not None and rows.size == 0:
        problems.add(f"components has shape {rows.shape}; expected m >= 1 and d >= 1")
    weights = problems.array("weights", arrays["weights"], ("m",)) if "weights" in arrays else None
    if rows is not None and weights is not None:
        check_weight_count(len(weights), len(rows), problems)
    problems.raise_if_any()
    return Components(np.asarray(rows), weights)


def _arrays(
    path: Path, required: set[str], optional: set[str], problems: Problems
) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:  # np.load takes other formats, and damaged headers
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"{damaged} does not match its checksum")
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as .npz: {error}; write it anew") from error
    check_keys(arrays, "the archive", required, optional, problems)
    problems.raise_if_any()
    return arrays
