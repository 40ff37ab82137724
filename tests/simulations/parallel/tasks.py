"""What the workers of the tests are asked to do; they import this file."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from simulations.parallel.threads import loaded_libraries


def product(seed: int) -> bytes:
    """A large matrix product: BLAS adds in another order on two threads."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, 300, 300))
    return (a @ b @ a).tobytes() + np.linalg.svd(a, compute_uv=False).tobytes()


def fails(number: int) -> int:
    if number % 3 == 1:
        raise LookupError(f"number {number}\nis not there")
    return -number


def slow(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return -number


def thread_counts() -> dict[str, int]:
    """How many threads each library of this process uses, torch and scipy included."""
    import scipy.linalg.blas  # noqa: F401 - brings an OpenBLAS of its own
    import torch

    counts = {name: count() for name, (count, _) in loaded_libraries().items()}
    return {**counts, "torch": torch.get_num_threads()}


def pid_after(log: Path, seconds: float) -> int:
    """Note which process this is, and be busy for a while."""
    with log.open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return os.getpid()


def dies(log: Path, number: int, times: int) -> int:
    """Kill this process, the first few times."""
    tries = log / str(number)
    with tries.open("a") as file:
        file.write(".")
    if len(tries.read_text()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return -number


class Unreadable:
    """Pickles, and cannot be read back."""

    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise RuntimeError("this cannot be read back")


def returns(thing: object) -> object:
    return thing


def returns_a_lock() -> object:
    import threading

    return threading.Lock()


def returns_unreadable() -> Unreadable:
    return Unreadable()
