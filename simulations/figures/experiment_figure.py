"""What a figure of an experiment is: drawn from stored runs, with a caption made from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from matplotlib.figure import Figure

from simulations.experiments.catalogue import find_experiment
from simulations.experiments.experiment import Preset
from simulations.figures.provenance import provenance
from simulations.runs.stored_run import StoredRun

__all__ = ["ExperimentFigure", "StoredRuns"]

#: Runs of one experiment by the labels of their configs in a preset.
StoredRuns: TypeAlias = Mapping[str, StoredRun]


def every_run(config: object) -> bool:
    """Tell that the run of a config belongs in the figure, whichever it is."""
    return True


@dataclass(frozen=True)
class ExperimentFigure:
    """A figure of an experiment.

    Parameters
    ----------
    name
        Of the files, and of ``iclproof figures --only NAME``.
    title
        The first sentence of the caption, without its full stop.
    experiment
        The name of the experiment whose runs are drawn.
    draw
        Draw runs, one or more of a preset's: panels whose run is not there are left out.
    describe
        Say in sentences what these runs are and what is drawn: sizes, samples, bands, lines.
    shows
        Whether the run of a config belongs in this figure; by default all do.
    """

    name: str
    title: str
    experiment: str
    draw: Callable[[StoredRuns], Figure]
    describe: Callable[[StoredRuns], str]
    shows: Callable[[Any], bool] = every_run

    def configs(self, preset: Preset) -> Mapping[str, Any]:
        """Return the configs that the figure draws, by label; empty if the preset has none.

        Raises
        ------
        ValueError
            If there is no such experiment.
        """
        listed = find_experiment(self.experiment).presets.get(preset, {})
        return {label: config for label, config in listed.items() if self.shows(config)}

    def caption(self, runs: StoredRuns, missing: Sequence[str] = ()) -> str:
        """Return title, description, and a line a run: seed, address, code, versions.

        Parameters
        ----------
        runs
            Those that are drawn.
        missing
            The labels of those that belong in the figure, and are not there.
        """
        absent = f" Not drawn, for want of a run: {'; '.join(missing)}." if missing else ""
        return f"{self.title}. {self.describe(runs)}{absent}\n\n{provenance(runs)}"
