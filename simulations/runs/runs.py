"""Runs of experiments in a store."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simulations.experiments.experiment import Arrays, Experiment
from simulations.runs.contents import job_of, read_run
from simulations.runs.execution import Progress, Report, Request, execute
from simulations.runs.listing import ListedRun, damage, list_runs, stored_keys
from simulations.runs.stored_run import StoredRun
from simulations.store import Store
from simulations.stored_folder import DamagedFolderError

__all__ = ["Runs"]


@dataclass(frozen=True)
class Runs:
    """The runs in a store.

    Parameters
    ----------
    store
        Where they lie: ``Store(default_root())`` is that of the command line.
    """

    store: Store

    def find(self, experiment: Experiment[Any], config: Any) -> StoredRun | None:
        """Return the finished run of a config by the present code, or None.

        Raises
        ------
        DamagedFolderError
            If it is damaged; the message names the file and the remedy.
        TypeError, ValueError
            If the config has no JSON: see `simulations.experiments.config_files`.
        """
        job = job_of(experiment, config)
        return read_run(self.store, job.key, job.config)

    def find_any_code(self, experiment: Experiment[Any], config: Any) -> StoredRun | None:
        """Return the finished run of a config by the present code, else the newest, or None.

        Raises what `find` raises; a damaged run of other code only if there is no sound one.
        """
        found = self.find(experiment, config)
        if found is not None:
            return found
        job = job_of(experiment, config)
        older: builtins.list[StoredRun] = []
        damaged: DamagedFolderError | None = None
        for key in stored_keys(self.store, "run").values():
            if {**key, "code": job.code} == job.key:
                try:
                    run = read_run(self.store, key, job.config)
                except DamagedFolderError as error:
                    damaged = error
                else:
                    older += [] if run is None else [run]
        if damaged is not None and not older:
            raise damaged
        return max(older, key=lambda run: (str(run.made.get("date")), run.code), default=None)

    def list(self) -> builtins.list[ListedRun]:
        """Return what is in the store of every run, finished or not, by experiment and date."""
        return list_runs(self.store)

    def arrays(self, listed: ListedRun) -> Arrays:
        """Return the arrays of a finished run that `list` names.

        Raises
        ------
        DamagedFolderError
            If it is damaged.
        FileNotFoundError
            If it is not finished, or no longer there.
        """
        found = read_run(self.store, listed.key, listed.config)
        if found is None:
            raise FileNotFoundError(f"{self.store.root} has no finished run {listed.address}")
        return found.arrays

    def verify(self) -> dict[str, str]:
        """Read all that belongs to runs, and return what is wrong, by address."""
        return damage(self.store)

    def execute(
        self,
        requests: Sequence[Request],
        *,
        jobs: int | None = None,
        scheduler: str | None = None,
        on_progress: Progress | None = None,
    ) -> Report:
        """Compute runs, part by part, and store them; those that are finished are skipped.

        Every part is stored as soon as it is finished, and a part may save its state: after a kill
        at any moment the same call goes on, and the result is bitwise that of an undisturbed run.

        Parameters
        ----------
        requests
            Pairs of an experiment and a config; a pair given twice is run once.
        jobs
            How many processes; by default one a core. 1 means this very process.
        scheduler
            Instead: the address of a dask scheduler; see `simulations.parallel.parallel_map`.
        on_progress
            Called with the parts that are done and their number: first with 0, then after each.

        Returns
        -------
        Report
            Runs that were finished now, skipped or failed. A part that fails, and damage found in
            the store, end their own run only.

        Raises
        ------
        TypeError, ValueError
            If a config has no JSON, before anything is computed; or as `parallel_map`.
        OSError
            If the store cannot be written, for want of room say; what is finished is kept.
        ConnectionError
            If the scheduler is not there, or goes away.
        """
        return execute(
            self.store, requests, jobs=jobs, scheduler=scheduler, on_progress=on_progress
        )
