"""Worker processes of this machine: one task at a time each, and a death costs that task alone.

Processes and pickles are joblib's (loky): nothing of the main module is run again, and functions
of a script or a notebook travel by value. joblib's pool is not used: there, one death ends every
task that runs, and a kill of the process group leaves its semaphores behind. Here a worker has
one pipe and nothing else; the pipe's end tells either side that the other has gone.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, cast

from joblib.externals.loky.backend.context import get_context

from simulations.parallel.outcomes import Failed, Outcome, answered, died, read_answer, request
from simulations.parallel.threads import VARIABLES, limit_threads

__all__ = ["RETRIES", "run_on_workers"]

#: How often a task is tried again after its worker died.
RETRIES = 2

#: Seconds that a worker has to hear that it is no longer needed.
_GRACE = 1.0


def run_on_workers(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], jobs: int
) -> Generator[tuple[int, Outcome[Any]], None, None]:
    """Run tasks on up to `jobs` worker processes; see `simulations.parallel.parallel_map`."""
    waiting, deaths = deque(range(len(calls))), [0] * len(calls)
    idle: list[_Worker] = []
    busy: dict[Connection, tuple[_Worker, int]] = {}
    settled: deque[tuple[int, Outcome[Any]]] = deque()
    try:
        while waiting or busy or settled:
            while waiting and len(busy) < jobs:
                index = waiting.popleft()
                task = request(function, calls[index])
                if isinstance(task, Failed):
                    settled.append((index, task))
                    continue
                worker = idle.pop() if idle else _Worker()
                busy[worker.connection] = worker, index
                worker.send(task)
            while settled:  # only now: workers need not wait for what the caller does with these
                yield settled.popleft()
            for ready in wait(list(busy)) if busy else ():
                worker, index = busy.pop(cast(Connection, ready))
                answer = worker.receive()
                if answer is not None:
                    idle.append(worker)
                    settled.append((index, answer))
                    continue
                code = worker.stop()
                deaths[index] += 1
                if deaths[index] <= RETRIES:
                    waiting.appendleft(index)
                else:
                    settled.append((index, died(f"{deaths[index]} times, last {_exit(code)}")))
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.stop()


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


# One worker, seen from here


class _Worker:
    """A process of ours, and our end of its pipe."""

    def __init__(self) -> None:
        context = get_context("loky")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve,
            args=(theirs,),
            daemon=True,
            env=dict.fromkeys(VARIABLES, "1"),
        )
        self._process.start()
        theirs.close()

    def send(self, task: bytes) -> None:
        """Hand over a task; that the worker is dead is for `receive` to find."""
        with suppress(OSError):
            self.connection.send_bytes(task)

    def receive(self) -> Outcome[Any] | None:
        """Return the outcome of its task, or None if the worker has died."""
        try:
            answer = self.connection.recv_bytes()
        except (EOFError, OSError):
            return None
        return read_answer(answer)

    def stop(self) -> int | None:
        """End the process, if it has not ended, and return its exit code."""
        self.connection.close()  # which it hears, unless native code has it to itself
        self._process.join(_GRACE)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()
        code: int | None = self._process.exitcode
        return code


# The worker's side


def _serve(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    limit_threads()
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, requests), daemon=True).start()
    while True:
        answer = answered(requests.get())
        try:
            connection.send_bytes(answer)
        except OSError:  # the parent is gone, or has no more use for it
            os._exit(1)


def _listen(connection: Connection, requests: queue.SimpleQueue[bytes]) -> None:
    """Pass on what the parent sends; end this process, busy or not, when the parent is gone."""
    while True:
        try:
            requests.put(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(1)
