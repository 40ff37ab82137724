"""Runs of experiments: computed once, kept in the store, gone on with after a kill.

The folder of a run is named by the hash of experiment, config and code version. It holds
``config.json``, ``result.safetensors``, ``made.json`` and a manifest with a checksum of each.
"""

from pathlib import Path

from simulations.runs.execution import FailedRun, FinishedRun, Report
from simulations.runs.listing import ListedRun
from simulations.runs.runs import Runs
from simulations.runs.source_code import code_version
from simulations.runs.stored_run import StoredRun
from simulations.store import Store

__all__ = [
    "FailedRun",
    "FinishedRun",
    "ListedRun",
    "Report",
    "Runs",
    "StoredRun",
    "code_version",
    "laptop_results",
]


def laptop_results() -> Store:
    """Return the results of the ``laptop`` presets that come with the program."""
    return Store(Path(__file__).parents[1] / "laptop_results")
