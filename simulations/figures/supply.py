"""Finds the runs of a figure: in the user's store, else among the committed results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulations.experiments.catalogue import find_experiment
from simulations.experiments.experiment import Experiment, Preset
from simulations.figures.experiment_figure import ExperimentFigure
from simulations.figures.provenance import is_current
from simulations.runs import Runs
from simulations.runs.stored_run import StoredRun
from simulations.stored_folder import DamagedFolderError

__all__ = ["Shelf", "Source", "Supply", "supply"]


@dataclass(frozen=True)
class Shelf:
    """A place where runs lie.

    Parameters
    ----------
    name
        As users know it: "the store" or "committed results".
    runs
        The runs there.
    """

    name: str
    runs: Runs


@dataclass(frozen=True)
class Source:
    """A run that was found, and on which shelf."""

    run: StoredRun
    shelf: str


@dataclass
class Supply:
    """What a figure can be drawn from.

    Parameters
    ----------
    found
        By label.
    missing
        The labels of which no run was found.
    damaged
        What is wrong with runs that were found but are not as they were written; each sentence
        names the folder.
    """

    found: dict[str, Source] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def runs(self) -> Mapping[str, StoredRun]:
        """The runs that were found, by label."""
        return {label: source.run for label, source in self.found.items()}


def supply(figure: ExperimentFigure, preset: Preset, shelves: Sequence[Shelf]) -> Supply:
    """Find the runs of a preset that a figure draws.

    A run of the present code is preferred on whichever shelf, then one of earlier code; of two
    alike, that of the first shelf. A damaged one is told, and the next is taken.

    Raises
    ------
    ValueError
        If there is no experiment of the figure's name.
    """
    experiment, result = find_experiment(figure.experiment), Supply()
    for label, config in figure.configs(preset).items():
        candidates = list(_candidates(experiment, config, shelves, result.damaged))
        if not candidates:
            result.missing.append(label)
            continue
        # Stable: shelves keep their order among runs of equal standing.
        result.found[label] = min(candidates, key=lambda source: not is_current(source.run))
    return result


def _candidates(
    experiment: Experiment[Any], config: Any, shelves: Sequence[Shelf], damaged: list[str]
) -> list[Source]:
    found = []
    for shelf in shelves:
        try:
            run = shelf.runs.find_any_code(experiment, config)
        except DamagedFolderError as error:
            if str(error) not in damaged:
                damaged.append(str(error))
            continue
        if run is not None:
            found.append(Source(run, shelf.name))
    return found
