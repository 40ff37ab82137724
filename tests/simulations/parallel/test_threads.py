import os
from contextlib import suppress

import pytest
import torch

from simulations.parallel import parallel_map
from simulations.parallel.threads import VARIABLES, loaded_libraries, one_thread
from tests.simulations.parallel import tasks

#: At least: OpenBLAS of numpy, OpenBLAS of scipy, OpenMP of torch, torch.
LIBRARIES = ("numpy.libs", "scipy.libs", "omp", "torch")


@pytest.fixture
def three_threads():
    """Three threads for everything in this process, and what there was before, after."""
    before = tasks.thread_counts()
    for _, change in loaded_libraries().values():
        change(3)
    torch.set_num_threads(3)
    yield
    for name, (_, change) in loaded_libraries().items():
        change(before[name])
    torch.set_num_threads(before["torch"])


def test_the_count_sees_every_library():
    counts = tasks.thread_counts()
    for library in LIBRARIES:
        assert any(library in name for name in counts)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_has_one_thread(jobs):
    assert set(tasks.thread_counts().values()) == {3}
    ((_, outcome),) = parallel_map(tasks.thread_counts, [()], jobs=jobs)
    assert len(outcome.value) >= len(LIBRARIES)
    assert set(outcome.value.values()) == {1}
    assert set(tasks.thread_counts().values()) == {3}


def test_the_environment_is_limited_and_restored(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with suppress(ZeroDivisionError), one_thread():
        assert {os.environ[name] for name in VARIABLES} == {"1"}
        _ = 1 / 0
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert "MKL_NUM_THREADS" not in os.environ
