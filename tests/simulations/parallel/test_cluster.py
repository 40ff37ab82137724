import os
import re
import sys
import threading
import time

import pytest

from simulations.parallel import Done, cluster, environment, parallel_map
from tests.simulations.parallel import tasks
from tests.simulations.parallel.local_cluster import LocalCluster

NOWHERE = "tcp://127.0.0.1:9"


def on(local, function, calls):
    found = dict(parallel_map(function, calls, scheduler=local.address))
    assert sorted(found) == list(range(len(calls)))
    return [found[index] for index in range(len(calls))]


# Values


def test_values_are_bitwise_those_of_one_process(two_workers, capfd):
    calls = [(seed,) for seed in range(5)]
    alone = dict(parallel_map(tasks.product, calls, jobs=1))
    assert on(two_workers, tasks.product, calls) == [alone[index] for index in range(5)]
    assert capfd.readouterr() == ("", "")


def test_a_task_has_one_thread(two_workers):
    (outcome,) = on(two_workers, tasks.thread_counts, [()])
    assert set(outcome.value.values()) == {1}


def test_a_worker_that_is_killed_midway_changes_nothing(two_workers, tmp_path, capfd):
    log = tmp_path / "log"
    seen = {}
    for index, outcome in parallel_map(
        tasks.pid_after, [(log, 0.3)] * 8, scheduler=two_workers.address
    ):
        seen[index] = outcome.value
        if len(set(seen.values())) == 2 and all(w.poll() is None for w in two_workers.workers):
            two_workers.kill(two_workers.workers[0])
    assert sorted(seen) == list(range(8))
    assert {worker.pid for worker in two_workers.workers} == set(seen.values())
    assert capfd.readouterr() == ("", "")

    two_workers.fill()
    calls = [(seed,) for seed in range(3)]
    alone = dict(parallel_map(tasks.product, calls, jobs=1))
    assert on(two_workers, tasks.product, calls) == [alone[index] for index in range(3)]


# Failures


def test_an_exception_ends_its_own_task_only(two_workers):
    found = on(two_workers, tasks.fails, [(i,) for i in range(4)])
    assert found[0], found[2:] == (Done(0), [Done(-2), Done(-3)])
    assert found[1].message == "LookupError: number 1 is not there"
    assert "in fails" in found[1].traceback


def test_what_cannot_be_pickled_fails_with_a_reason(two_workers):
    for function, arguments, reason in [
        (tasks.returns, (threading.Lock(),), "cannot pickle"),
        (tasks.returns_a_lock, (), "pickle"),
        (tasks.returns, (tasks.Unreadable(),), "this cannot be read back"),
        (tasks.returns_unreadable, (), "this cannot be read back"),
    ]:
        (outcome,) = on(two_workers, function, [arguments])
        assert reason in outcome.message


def test_a_task_that_kills_its_workers_fails(two_workers, tmp_path):
    (outcome,) = on(two_workers, tasks.dies, [(tmp_path, 0, 99)])
    assert "its worker died each time: on 2 workers" in outcome.message


def test_closing_the_iterator_takes_back_what_has_not_begun(two_workers):
    running = parallel_map(tasks.slow, [(0, 1.0)] * 60, scheduler=two_workers.address)
    next(running)
    running.close()
    begin = time.monotonic()
    assert on(two_workers, tasks.slow, [(5, 0.0)]) == [Done(-5)]
    assert time.monotonic() - begin < 15  # 59 seconds of work for two


# Refusals, one clear error each


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 0.5)


@pytest.mark.usefixtures("impatient")
def test_an_unreachable_scheduler_is_named(capfd):
    with pytest.raises(ConnectionError, match=rf"no dask scheduler answers at {NOWHERE} within"):
        list(parallel_map(os.getpid, [()], scheduler=NOWHERE))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["", "somewhere", "127.0.0.1:8786", "tcp://127.0.0.1"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match=rf"'{address}', expected tcp://HOST:PORT"):
        list(parallel_map(os.getpid, [()], scheduler=address))


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'iclproof\[cluster\]'"):
        list(parallel_map(os.getpid, [()], scheduler=NOWHERE))


def test_other_sources_here_are_refused_by_name(two_workers, monkeypatch):
    monkeypatch.setattr(environment, "_sum_of_sources", lambda: "f" * 64)
    environment.environment.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"the dask (scheduler|worker) tcp://") as caught:
            list(parallel_map(os.getpid, [()], scheduler=two_workers.address))
    finally:
        environment.environment.cache_clear()
    assert re.search(r"iclproof .*instead of .*f{12}", str(caught.value))


def test_an_unlike_worker_that_joins_later_is_refused(two_workers, tmp_path):
    preload = tmp_path / "other_sources.py"
    preload.write_text(
        "from simulations.parallel import environment\n"
        "environment._sum_of_sources = lambda: 'e' * 64\n"
    )
    log = tmp_path / "log"
    running = parallel_map(tasks.pid_after, [(log, 0.3)] * 200, scheduler=two_workers.address)
    next(running)
    two_workers.add_worker("--preload", preload)
    try:
        with pytest.raises(ValueError, match=r"worker that came last has iclproof .*eeee"):
            list(running)
    finally:
        two_workers.kill(two_workers.workers.pop())


def test_a_scheduler_that_goes_away_is_one_error(tmp_path, capfd):
    local = LocalCluster(tmp_path)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cluster, "_PATIENCE", 0.5)
            with pytest.raises(ConnectionError, match=r"has no workers: .*dask worker tcp://"):
                on(local, os.getpid, [()])
        local.fill(1)
        calls = [(number, 0.2) for number in range(9)]
        running = parallel_map(tasks.slow, calls, scheduler=local.address)
        assert next(running)[1] in {Done(-number) for number, _ in calls}
        local.scheduler.kill()
        begin = time.monotonic()
        with pytest.raises(ConnectionError, match="has gone away"):
            list(running)
        assert time.monotonic() - begin < 5
    finally:
        local.stop()
    assert capfd.readouterr() == ("", "")
