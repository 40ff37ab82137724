"""Tasks on several machines, through dask.distributed."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from simulations.parallel.environment import differences, environment
from simulations.parallel.outcomes import (
    Failed,
    Outcome,
    answered,
    died,
    failure,
    read_answer,
    request,
)
from simulations.parallel.threads import limit_threads

__all__ = ["run_on_cluster"]

#: Seconds to wait for a scheduler to answer, and for it to have a worker.
_PATIENCE = 10.0


def run_on_cluster(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], address: str
) -> Generator[tuple[int, Outcome[Any]], None, None]:
    """Run tasks on the workers of a scheduler; see `simulations.parallel.parallel_map`."""
    distributed = _distributed()
    ours = environment()
    with _connected(distributed, address) as client:
        futures = {}
        for index, arguments in enumerate(calls):
            task = request(function, arguments)
            if isinstance(task, Failed):
                yield index, task
            else:
                futures[client.submit(_attempt_alike, ours, task, pure=False)] = index
        try:
            for future in distributed.as_completed(list(futures), loop=client.loop):
                index = futures.pop(future)
                outcome = _outcome(distributed, future, address)
                future.release()
                yield index, outcome
        finally:
            client.cancel(list(futures), force=True)


# On a worker


def _attempt_alike(wanted: Mapping[str, str], task: bytes) -> bytes | _Unlike:
    """Run a task, unless this worker is unlike the machine that sent it."""
    if different := differences(environment(), wanted):
        return _Unlike(different)
    limit_threads()
    return answered(task)


@dataclass(frozen=True)
class _Unlike:
    """That a worker has other code or versions, in words."""

    differences: str


# Here


@contextmanager
def _connected(distributed: Any, address: str) -> Iterator[Any]:
    """Give a client of a scheduler that answers and has workers like this machine."""
    if not re.fullmatch(r"\w+://.+:\d+", address):
        raise ValueError(f"the scheduler's address is {address!r}, expected tcp://HOST:PORT")
    with _quiet():
        try:
            client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
        except OSError as error:
            raise ConnectionError(
                f"no dask scheduler answers at {address} within {_PATIENCE:g} s: start one with"
                " `dask scheduler`, and give the address that it prints"
            ) from error
        try:
            _require_workers(distributed, client, address)
            yield client
        finally:
            client.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dask's log of lost connections from standard error: they become errors of ours."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _require_workers(distributed: Any, client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except distributed.TimeoutError as error:
        raise ConnectionError(
            f"the dask scheduler at {address} has no workers: start some on each machine with"
            f" `dask worker {address} --nworkers auto --nthreads 1`"
        ) from error
    try:
        answers = {
            f"scheduler {address}": client.run_on_scheduler(environment),
            **{f"worker {name}": found for name, found in client.run(environment).items()},
        }
    except ImportError as error:
        raise ValueError(
            f"the dask scheduler {address} or a worker of it has no such iclproof: {error}; run"
            " them in environments with the same versions of all packages"
        ) from error
    for name, theirs in answers.items():
        if different := differences(theirs, environment()):
            raise _unlike(name, different)


def _unlike(name: str, different: str) -> ValueError:
    return ValueError(
        f"the dask {name} has {different}: results would depend on where they were"
        " computed; install the same versions there, and start the worker again"
    )


def _outcome(distributed: Any, future: Any, address: str) -> Outcome[Any]:
    if future.cancelled():
        raise ConnectionError(
            f"the dask scheduler at {address} has gone away; what was finished is kept: start it"
            " and its workers again, and then this command"
        )
    error = future.exception()
    if isinstance(error, distributed.KilledWorker):
        return died(f"on {error.allowed_failures + 1} workers")
    if error is not None:  # of dask itself: a task's own is in its outcome
        return failure(error)
    result: bytes | _Unlike = future.result()
    if isinstance(result, _Unlike):
        raise _unlike("worker that came last", result.differences)
    return read_answer(result)


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a scheduler needs dask.distributed: pip install 'iclproof[cluster]'"
        ) from error
