"""A finished run, as it lies in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulations.experiments.experiment import Arrays
from simulations.stored_folder import JSON

__all__ = ["StoredRun"]


@dataclass(frozen=True)
class StoredRun:
    """A finished run of an experiment.

    Attributes
    ----------
    experiment
        The name of the experiment.
    config
        The config, decoded: an instance of the experiment's `config_type`.
    arrays
        The result.
    address
        The SHA-256 (hex) of experiment, config and code version: the name of the run's folder.
    code
        The version of the code that made it (`simulations.runs.code_version`).
    made
        How it was made: versions of Python, numpy, scipy and torch, seconds, date, command.
    """

    experiment: str
    config: Any
    arrays: Arrays
    address: str
    code: str
    made: Mapping[str, JSON]
