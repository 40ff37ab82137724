"""One thread for BLAS, OpenMP and torch: as many workers as cores, and sums in one fixed order.

A matrix product on two threads adds in another order than on one, so results would depend on the
machine. Libraries that load later read the environment; those that are loaded are told.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

__all__ = ["VARIABLES", "limit_threads", "loaded_libraries", "one_thread"]

#: What the numerical libraries read when they load.
VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

_LIBRARY = re.compile(r"(openblas|mkl_rt|blis|gomp|libomp|iomp)[^/]*$")

#: Getter and setter of each library; numpy and scipy bring an OpenBLAS of their own names.
_CONTROLS = (
    *(
        (f"{prefix}openblas_get_num_threads{suffix}", f"{prefix}openblas_set_num_threads{suffix}")
        for prefix in ("", "scipy_")
        for suffix in ("", "64_", "_64")
    ),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
    ("bli_thread_get_num_threads", "bli_thread_set_num_threads"),
    ("omp_get_max_threads", "omp_set_num_threads"),
)


def limit_threads() -> Callable[[], None]:
    """Limit this process to one thread a library, loaded or not; return what undoes it."""
    variables = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    restore: list[tuple[Callable[[int], object], int]] = []
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        restore.append((torch.set_num_threads, torch.get_num_threads()))
        torch.set_num_threads(1)
    for count, change in loaded_libraries().values():
        restore.append((change, count()))
        change(1)

    def undo() -> None:
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        for change, number in reversed(restore):  # torch last: it sets those of others, too
            change(number)

    return undo


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit this process to one thread while the context lasts; see `limit_threads`."""
    undo = limit_threads()
    try:
        yield
    finally:
        undo()


def loaded_libraries() -> dict[str, tuple[Callable[[], int], Callable[[int], object]]]:
    """Return how to ask and to change the number of threads of every library in this process.

    Returns
    -------
    dict
        ``name of the getter at path -> (getter, setter)``.
    """
    found = {}
    for path in _paths():
        try:
            library = ctypes.CDLL(path)
        except OSError:  # mapped once, and replaced on disk since
            continue
        for getter, setter in _CONTROLS:
            if hasattr(library, setter):
                change = getattr(library, setter)
                change.argtypes, change.restype = [ctypes.c_int], None
                found[f"{getter} at {path}"] = (getattr(library, getter), change)
    return found


def _paths() -> list[str]:
    """Paths of numerical libraries in this process: all on Linux, those of the wheels elsewhere."""
    maps = Path("/proc/self/maps")
    if maps.exists():
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps.read_text().splitlines()}
    else:
        site = Path(np.__file__).parent
        paths = {str(path) for path in (site / ".dylibs").glob("*")}
    return sorted(path for path in paths if path.startswith("/") and _LIBRARY.search(path))
