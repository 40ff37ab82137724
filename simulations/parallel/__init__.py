"""One map for all that runs in parallel: the same results here, on all cores, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, TypeVar

from joblib import cpu_count

from simulations.parallel.cluster import run_on_cluster
from simulations.parallel.outcomes import Done, Failed, Outcome, attempt
from simulations.parallel.threads import one_thread
from simulations.parallel.workers import run_on_workers

__all__ = ["Done", "Failed", "Outcome", "parallel_map"]

Value = TypeVar("Value")


def parallel_map(
    function: Callable[..., Value],
    calls: Iterable[tuple[Any, ...]],
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
) -> Generator[tuple[int, Outcome[Value]], None, None]:
    """Call a function on many tuples of arguments, and yield what becomes of each as it ends.

    Every task has one thread of BLAS, OpenMP and torch, wherever it runs; so the values are bitwise
    the same for any number of jobs and for a cluster, as far as `function` depends on its arguments
    alone and the machines have the same kind of processor. An exception ends its own task only.

    Parameters
    ----------
    function
        Called as ``function(*arguments)``; it and the arguments are pickled, unless ``jobs`` is 1.
    calls
        The tuples of arguments.
    jobs
        How many processes of this machine; by default as many as there are cores to this process.
        1 means this very process. A task whose worker process dies, by a kill or for want of
        memory, is tried twice more; other tasks do not notice.
    scheduler
        Instead: the address of a dask scheduler, ``tcp://host:port``; its workers need the same
        version of iclproof, Python, numpy, scipy and torch. A task whose worker dies goes to
        another one, until the scheduler's ``allowed-failures`` are used up.

    Yields
    ------
    tuple
        ``(index, outcome)`` in the order of completion: the index of the call, and a `Done` with
        the value or a `Failed` with message and traceback. To stop early, close the iterator: its
        worker processes end at once, as they do when this process ends, however it ends. A
        cluster's workers finish what they have begun, and begin nothing more.

    Raises
    ------
    ValueError
        If `jobs` is not at least 1, if both `jobs` and `scheduler` are given, or if code or
        versions differ between here and a worker of the cluster.
    ConnectionError
        If there is no scheduler at the address, if it has no workers, or if it goes away.
    ModuleNotFoundError
        If `scheduler` is given and `distributed` is not installed.
    """
    listed = list(calls)
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs is {jobs}, expected at least 1")
    if scheduler is not None:
        if jobs is not None:
            raise ValueError(
                "give jobs or a scheduler, not both: the cluster has as many jobs as workers"
            )
        return run_on_cluster(function, listed, scheduler)
    number = cpu_count() if jobs is None else jobs
    if number == 1:
        return _run_here(function, listed)
    return run_on_workers(function, listed, min(number, len(listed)))


def _run_here(
    function: Callable[..., Value], calls: Sequence[tuple[Any, ...]]
) -> Generator[tuple[int, Outcome[Value]], None, None]:
    for index, arguments in enumerate(calls):
        with one_thread():
            outcome = attempt(function, arguments)
        yield index, outcome
