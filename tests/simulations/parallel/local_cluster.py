"""A dask cluster of this machine, of real processes: a scheduler, and workers to be killed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]


class LocalCluster:
    """A scheduler of its own port, and workers of one thread that nobody restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "scheduler.json"
        self.scheduler = self._start(
            *("scheduler", "--port", 0, "--scheduler-file", self._file, "--host", "127.0.0.1")
        )
        self._wait_until(self._file.exists)
        self.workers: list[subprocess.Popen] = []

    @property
    def address(self) -> str:
        return json.loads(self._file.read_text())["address"]

    def fill(self, number: int = 2) -> None:
        """Have this many workers alive."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < number:
            self.add_worker()

    def add_worker(self, *options: object) -> None:
        self.workers.append(
            self._start(
                *("worker", "--scheduler-file", self._file, "--nthreads", 1, "--no-nanny"),
                *("--local-directory", self._folder, "--host", "127.0.0.1", *options),
            )
        )

    def kill(self, worker: subprocess.Popen) -> None:
        worker.kill()
        worker.wait()

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            self.kill(process)

    def _start(self, kind: str, *options: object) -> subprocess.Popen:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            # A task that kills its workers fails after the second.
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        }
        program = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard"]
        with (self._folder / "log").open("a") as log:
            return subprocess.Popen(
                [*program, *map(str, options)],
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self._folder,
            )

    def _wait_until(self, condition, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.02)
