"""Runs computed in parts, each kept as soon as it is there."""

from __future__ import annotations

import json
import platform
import shlex
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias, cast

from simulations.experiments.experiment import Arrays, Checkpoint, Experiment, NoCheckpoint
from simulations.parallel import Done, Failed, parallel_map
from simulations.parallel.outcomes import failure
from simulations.parallel.threads import one_thread
from simulations.runs.checkpoint import DISK_IS_FULL, StoredCheckpoint
from simulations.runs.contents import (
    CONFIG,
    MADE,
    RESULT,
    Job,
    arrays_as_bytes,
    job_of,
    read_part,
    read_run,
)
from simulations.runs.source_code import stamps
from simulations.store import Store
from simulations.stored_folder import JSON, DamagedFolderError

__all__ = ["FailedRun", "FinishedRun", "Progress", "Report", "Request", "execute"]

#: What to run: an experiment and a config of it.
Request: TypeAlias = tuple[Experiment[Any], Any]

#: Told how many parts are done, and of how many.
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class FinishedRun:
    """A run that is in the store.

    Attributes
    ----------
    experiment
        The name of the experiment.
    config
        The config as JSON.
    address
        Where the run lies in the store.
    seconds
        What its parts took, added up.
    """

    experiment: str
    config: Mapping[str, JSON]
    address: str
    seconds: float


@dataclass(frozen=True)
class FailedRun:
    """Why a run is not in the store.

    Attributes
    ----------
    experiment
        The name of the experiment.
    config
        The config as JSON.
    part
        The part that failed; None if it was the run as a whole.
    message
        What went wrong, one line.
    traceback
        Where it went wrong; may be empty.
    """

    experiment: str
    config: Mapping[str, JSON]
    part: str | None
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Report:
    """What became of the runs that were asked for.

    Attributes
    ----------
    finished
        Computed now, in the order in which they were finished.
    skipped
        Those that were in the store already.
    failed
        Those that failed, an entry for each part that did; the other parts are kept.
    notes
        What else the user should know: checkpoints that were damaged or did not fit.
    """

    finished: tuple[FinishedRun, ...] = ()
    skipped: tuple[FinishedRun, ...] = ()
    failed: tuple[FailedRun, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        """Whether every run is in the store now."""
        return not self.failed


def execute(
    store: Store,
    requests: Sequence[Request],
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
    on_progress: Progress | None = None,
) -> Report:
    """Compute runs and store them; see `simulations.runs.Runs.execute`."""
    # Refused configs are refused before anything is computed.
    wanted = {job.address: job for job in (job_of(*request) for request in requests)}
    return _Execution(store, on_progress).run(list(wanted.values()), jobs, scheduler)


@dataclass
class _Execution:
    """One call of `execute`: what has come of it so far."""

    store: Store
    on_progress: Progress | None
    finished: list[FinishedRun] = field(default_factory=list)
    skipped: list[FinishedRun] = field(default_factory=list)
    failed: list[FailedRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stamps: dict[str, Any] = field(default_factory=dict)

    def run(self, wanted: Sequence[Job], jobs: int | None, scheduler: str | None) -> Report:
        with _one_error_for_a_full_disk(self.store):
            self.store.root.mkdir(parents=True, exist_ok=True)
        self.store.clean()
        self.stamps = {job.address: stamps(job.experiment) for job in wanted}
        left = self._missing_parts(wanted)
        for job, missing in left.values():
            if not missing:
                self._combine(job)
        calls = [(job, part) for job, missing in left.values() for part in missing]
        self._tell(0, len(calls))
        tasks = [
            (job.experiment.compute, job.config, part, self.store, job.checkpoint_key(part))
            for job, part in calls
        ]
        outcomes = parallel_map(compute_part, tasks, jobs=jobs, scheduler=scheduler)
        with closing(cast(Generator[Any, None, None], outcomes)):
            for done, (index, outcome) in enumerate(outcomes, start=1):
                job, part = calls[index]
                if self._keep(job, part, outcome):
                    missing = left[job.address][1]
                    missing.remove(part)
                    if not missing:
                        self._combine(job)
                self._tell(done, len(calls))
        return Report(
            tuple(self.finished), tuple(self.skipped), tuple(self.failed), tuple(self.notes)
        )

    def _missing_parts(self, wanted: Sequence[Job]) -> dict[str, tuple[Job, list[str]]]:
        """Return, by address, the runs that are to be computed and their parts that are not there.

        All that is there is read, so that damage is found before anything is computed.
        """
        present = frozenset(self.store.addresses())
        left = {}
        for job in wanted:
            try:
                names = job.parts()
                found = read_run(self.store, job.key, job.config)
                if found is None:
                    keys = {name: job.part_key(name) for name in names}
                    missing = [n for n, key in keys.items() if read_part(self.store, key) is None]
                    left[job.address] = (job, missing)
                else:
                    self.skipped.append(_finished(job, found.made))
                    _forget(self.store, job, names, present)
            except OSError:
                raise
            except DamagedFolderError as error:  # which ends its own run only
                self._fail(job, None, Failed(str(error)))
            except Exception as error:  # `parts` is any code
                self._fail(job, None, failure(error))
        return left

    def _keep(self, job: Job, part: str, outcome: Done[PartResult] | Failed) -> bool:
        """Store a part that is finished; tell whether it is."""
        if isinstance(outcome, Failed):
            self._fail(job, part, outcome)
            return False
        if stamps(job.experiment) != self.stamps[job.address]:
            # A process that was started since then has other code than the run's address says.
            told = "sources were edited while it was computed: start the run again"
            self._fail(job, part, Failed(told))
            return False
        result = outcome.value
        self.notes += result.notes
        files = {RESULT: result.arrays, MADE: _as_json({"seconds": result.seconds})}
        with _one_error_for_a_full_disk(self.store):
            self.store.put(job.part_key(part), files)
        self.store.remove(job.checkpoint_key(part))
        return True

    def _combine(self, job: Job) -> None:
        """Make the result of a run, whose parts are all there, and store it."""
        try:
            names = job.parts()
            found = {name: read_part(self.store, job.part_key(name)) for name in names}
            parts = {name: part for name, part in found.items() if part is not None}
            if len(parts) < len(names):
                self._vanished(job)
                return
            with one_thread():
                arrays = {name: part[0] for name, part in parts.items()}
                result = job.experiment.combine(job.config, arrays)
            data = arrays_as_bytes(result, f"combine of {job.experiment.name}")
        except OSError:
            raise
        except Exception as error:  # `combine` is any code
            self._fail(job, None, failure(error))
            return
        made = _made(sum(seconds for _, seconds in parts.values()))
        files = {CONFIG: _as_json(job.document), RESULT: data, MADE: _as_json(made)}
        with _one_error_for_a_full_disk(self.store):
            self.store.put(job.key, files)
        _forget(self.store, job, names)
        self.finished.append(_finished(job, made))

    def _vanished(self, job: Job) -> None:
        """Parts are gone: another process has finished the run, or somebody took them away."""
        found = read_run(self.store, job.key, job.config)
        if found is not None:
            self.skipped.append(_finished(job, found.made))
        else:
            message = "parts were taken out of the store while the run went on: start it again"
            self._fail(job, None, Failed(message))

    def _fail(self, job: Job, part: str | None, reason: Failed) -> None:
        name, document = job.experiment.name, job.document
        self.failed.append(FailedRun(name, document, part, reason.message, reason.traceback))

    def _tell(self, done: int, total: int) -> None:
        if self.on_progress is not None:
            self.on_progress(done, total)


@dataclass(frozen=True)
class PartResult:
    """A part as it comes from the process that computed it.

    Attributes
    ----------
    arrays
        As safetensors.
    seconds
        Wall-clock time, since the last kill.
    notes
        What the user should know.
    """

    arrays: bytes
    seconds: float
    notes: tuple[str, ...] = ()


def compute_part(
    compute: Callable[[Any, str, Checkpoint], Arrays],
    config: Any,
    part: str,
    store: Store,
    checkpoint_key: Mapping[str, JSON],
) -> PartResult:
    """Compute a part, in whatever process this is.

    On a machine that does not see the store there are no checkpoints.
    """
    begin = time.perf_counter()
    stored = StoredCheckpoint(store, checkpoint_key)
    arrays = compute(config, part, stored if store.root.is_dir() else NoCheckpoint())
    data = arrays_as_bytes(arrays, f"part {part!r}")
    return PartResult(data, time.perf_counter() - begin, tuple(stored.notes))


def _forget(
    store: Store, job: Job, names: Sequence[str], present: frozenset[str] | None = None
) -> None:
    """Take away what was kept of a run while it was not finished."""
    for name in names:
        for key in (job.part_key(name), job.checkpoint_key(name)):
            if present is None or Store.address(key) in present:
                store.remove(key)


@contextmanager
def _one_error_for_a_full_disk(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_IS_FULL:
            raise
        told = f"{error.strerror}: finished parts are kept; make room, and start the run again"
        raise OSError(error.errno, told, str(store.root)) from error


def _finished(job: Job, made: Mapping[str, Any]) -> FinishedRun:
    return FinishedRun(job.experiment.name, job.document, job.address, float(made["seconds"]))


def _made(seconds: float) -> dict[str, JSON]:
    """Say how a run is made that is finished now."""
    libraries = ("iclproof", "numpy", "scipy", "torch")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        **{name: _version(name) for name in libraries},
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # a checkout that is on the path, not installed
        return "not installed"


def _as_json(document: Mapping[str, JSON]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
