"""Stored runs of the smoke presets, computed in memory and once a session."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from simulations.experiments.catalogue import find_experiment
from simulations.figures.experiment_figure import ExperimentFigure
from simulations.runs import StoredRun, code_version
from simulations.runs.contents import job_of


@cache
def smoke_runs(experiment: str) -> Mapping[str, StoredRun]:
    found = find_experiment(experiment)
    return {
        label: StoredRun(
            experiment=experiment,
            config=config,
            arrays=found.run(config),
            address=job_of(found, config).address,
            code=code_version(found),
            made={"numpy": "2.0.0", "scipy": "1.14.0", "seconds": 1.5, "date": "2026-01-01"},
        )
        for label, config in found.presets["smoke"].items()
    }


def runs_of(figure: ExperimentFigure) -> dict[str, StoredRun]:
    runs = smoke_runs(figure.experiment)
    return {label: run for label, run in runs.items() if figure.shows(run.config)}
