import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from simulations.parallel import Done, Failed, parallel_map
from tests.simulations.parallel import tasks

ROOT = Path(__file__).parents[3]


def outcomes(function, calls, **options):
    found = list(parallel_map(function, calls, **options))
    assert sorted(index for index, _ in found) == list(range(len(calls)))
    return dict(found)


def values(found):
    return [found[index].value for index in range(len(found))]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for has ended, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Values


def test_values_are_bitwise_the_same_for_any_number_of_jobs():
    calls = [(seed,) for seed in range(5)]
    alone = values(outcomes(tasks.product, calls, jobs=1))
    assert len(set(alone)) == 5
    for jobs in (3, None):
        assert values(outcomes(tasks.product, calls, jobs=jobs)) == alone


def test_functions_of_a_script_travel_by_value():
    factor = 7
    assert values(outcomes(lambda a, b: factor * a + b, [(1, 2), (3, 4)], jobs=2)) == [9, 25]


def test_outcomes_come_as_they_complete_and_workers_are_used_again():
    calls = [(0, 1.5), *((i, 0.0) for i in range(1, 6))]
    order = [index for index, _ in parallel_map(tasks.slow, calls, jobs=2)]
    assert order[-1] == 0
    pids = values(outcomes(os.getpid, [()] * 6, jobs=2))
    assert len(set(pids)) <= 2
    assert os.getpid() not in pids


def test_one_job_is_this_process():
    assert values(outcomes(os.getpid, [()] * 2, jobs=1)) == [os.getpid()] * 2


def test_no_calls_need_no_worker():
    assert outcomes(os.getpid, [], jobs=4) == {}


@pytest.mark.parametrize("jobs", [0, -2])
def test_jobs_below_one_are_refused_at_once(jobs):
    with pytest.raises(ValueError, match=f"jobs is {jobs}, expected at least 1"):
        parallel_map(os.getpid, [()], jobs=jobs)


def test_jobs_and_a_scheduler_are_refused_at_once():
    with pytest.raises(ValueError, match="jobs or a scheduler, not both"):
        parallel_map(os.getpid, [()], jobs=1, scheduler="tcp://127.0.0.1:1")


# Failures


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_exception_ends_its_own_task_only(jobs):
    found = outcomes(tasks.fails, [(i,) for i in range(6)], jobs=jobs)
    assert {i: found[i].value for i in (0, 2, 3, 5)} == {0: 0, 2: -2, 3: -3, 5: -5}
    for index in (1, 4):
        assert found[index].message == f"LookupError: number {index} is not there"
        assert "tasks.py" in found[index].traceback
        assert "in fails" in found[index].traceback


def test_what_cannot_be_pickled_fails_with_a_reason():
    for function, arguments, reason in [
        (tasks.returns, (threading.Lock(),), "cannot pickle"),
        (tasks.returns_a_lock, (), "cannot pickle"),
        (tasks.returns, (tasks.Unreadable(),), "this cannot be read back"),
        (tasks.returns_unreadable, (), "this cannot be read back"),
    ]:
        found = outcomes(function, [arguments], jobs=2)
        assert isinstance(found[0], Failed)
        assert reason in found[0].message


# Deaths


def test_a_death_costs_its_own_task_only_and_that_is_tried_again(tmp_path):
    calls = [(tmp_path, number, 2 if number == 1 else 0) for number in range(5)]
    assert values(outcomes(tasks.dies, calls, jobs=2)) == [0, -1, -2, -3, -4]
    tries = [len((tmp_path / str(number)).read_text()) for number in range(5)]
    assert tries == [1, 3, 1, 1, 1]


def test_a_task_that_kills_every_worker_fails_and_the_rest_goes_on(tmp_path):
    calls = [(tmp_path, number, 99 if number == 0 else 0) for number in range(4)]
    found = outcomes(tasks.dies, calls, jobs=2)
    assert [found[i] for i in (1, 2, 3)] == [Done(-1), Done(-2), Done(-3)]
    assert "died each time: 3 times, last killed by SIGKILL" in found[0].message
    assert "memory" in found[0].message
    assert (tmp_path / "0").read_text() == "..."


def test_a_worker_that_exits_is_told_from_one_that_is_killed():
    found = outcomes(os._exit, [(7,)], jobs=2)
    assert "3 times, last exit code 7" in found[0].message


def test_an_idle_worker_may_be_killed_too(tmp_path):
    seen = []
    for _, outcome in parallel_map(tasks.pid_after, [(tmp_path / "log", 0.2)] * 6, jobs=2):
        seen.append(outcome.value)
        if len(seen) == 2:  # both have worked; whichever waits or works, it dies
            os.kill(seen[0], signal.SIGKILL)
    assert len(seen) == 6


# Nothing outlives its reason


def pids(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def test_closing_the_iterator_ends_the_workers_at_once(tmp_path):
    log = tmp_path / "log"
    running = parallel_map(tasks.pid_after, [(log, 0.0), (log, 60.0), (log, 60.0)], jobs=2)
    next(running)
    wait_until(lambda: len(pids(log)) == 3)
    begin = time.monotonic()
    running.close()
    assert time.monotonic() - begin < 5
    assert not any(is_alive(pid) for pid in pids(log))


#: A shell's background jobs ignore SIGINT, and so does what they start: not this one.
DRIVER = """
import signal
import sys
from pathlib import Path
from simulations.parallel import parallel_map
from tests.simulations.parallel.tasks import pid_after

signal.signal(signal.SIGINT, signal.default_int_handler)
list(parallel_map(pid_after, [(Path(sys.argv[1]), 60.0)] * 3, jobs=2))
"""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_process(tmp_path, kind):
    log = tmp_path / "log"
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(log)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        wait_until(lambda: len(pids(log)) == 2)
        if kind == signal.SIGINT:
            os.killpg(process.pid, kind)  # as a terminal does, at workers too
        else:
            process.kill()
        process.wait(timeout=20)
        wait_until(lambda: not any(is_alive(pid) for pid in pids(log)))
        complaint = process.stderr.read()
    assert complaint.count("Traceback") == (kind == signal.SIGINT)
    assert complaint.rstrip().endswith("KeyboardInterrupt" if kind == signal.SIGINT else "")
