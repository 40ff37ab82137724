"""Verdicts in the store: found again, by this code only; damage, kills, edits, full disks."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from papers import verdict_cache
from papers.checking import check_all, check_listed
from papers.collection import LISTS, Paper
from papers.ledger import OpenStatement, Verdict
from papers.places import place_of
from papers.source_tree import SourceTree, versions
from papers.verdict_cache import VerdictCache, verdict_store
from simulations.runs.source_code import sources
from simulations.store import Store
from tests.papers import toy_paper

ROOT = Path(__file__).parents[2]
TOY = Paper("toy", "Toys", "nobody", "tests.papers.toy_paper")


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Which checks ran, each once for every claim."""
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    return lambda: (tmp_path / "log").read_text().split() if (tmp_path / "log").exists() else []


@pytest.fixture
def store(tmp_path) -> Store:
    return verdict_store(tmp_path / "store")


def checked(store, **options):
    """All toys with a cache that is opened anew; the notes of the cache."""
    cache = VerdictCache(store, [TOY])
    results = check_all(cache.descriptions(), cache=cache, **{"jobs": 1, **options})
    return results, cache.notes


def test_a_second_run_checks_nothing_and_says_the_same(store, log):
    first, notes = checked(store)
    ran = log()
    assert set(ran) == {item.id[4:] for item in toy_paper.STATEMENTS} - {"conjecture"}
    assert [result.verdict for result in first] == [
        Verdict.HOLDS,
        Verdict.CORRECTED,
        Verdict.HOLDS,
        Verdict.CORRECTED,
        Verdict.BEYOND,
        Verdict.OPEN,
    ]
    assert notes == []
    assert checked(store) == (first, [])
    assert log() == ran
    assert not store.clean(0.0)  # nothing is left half written


@pytest.mark.parametrize("other", [{"seed": 1}, {"tier": "full"}])
def test_another_seed_or_tier_is_checked_anew(store, log, other):
    checked(store)
    ran = len(log())
    checked(store, **other)
    assert len(log()) == 2 * ran
    checked(store, **other)
    checked(store)
    assert len(log()) == 2 * ran


def test_everything_of_a_result_comes_back(store, monkeypatch):
    odd = toy_paper.one("odd", mutants={"inf": float("inf"), "same": 1.0})
    monkeypatch.setattr(toy_paper, "STATEMENTS", (odd, *toy_paper.STATEMENTS))
    first, _ = checked(store)
    again, _ = checked(store)
    assert again == first
    assert first[0].verdict is Verdict.MUTANT_LIVES
    assert [mutant.reason for mutant in first[0].mutants] == ["x = inf, not 1", ""]
    assert first[0].mutants[1].killed is False


def test_results_are_in_order_and_progress_counts(store):
    seen = []
    results, _ = checked(store, on_done=seen.append)
    assert [result.statement.id for result in results] == [s.id for s in toy_paper.STATEMENTS]
    assert seen == [1, 2, 3, 4, 5, 6]
    seen.clear()
    checked(store, on_done=seen.append)
    assert seen == [6]


@pytest.mark.parametrize("jobs", [2, 3])
def test_workers_come_to_the_same_results(store, jobs):
    here = check_all(TOY.descriptions(), jobs=1)
    there = check_all(TOY.descriptions(), jobs=jobs)
    assert [replace(r, seconds=0.0) for r in there] == [replace(r, seconds=0.0) for r in here]


def test_a_check_whose_process_dies_is_a_crash_and_is_not_kept(store, log, monkeypatch):
    bad = "tests.papers.dying_toys"
    cache = VerdictCache(store, [Paper("dying", "", "", bad)])
    listed = cache.descriptions()
    results = check_all(listed, jobs=2, cache=cache)
    assert [result.verdict for result in results] == [Verdict.CRASHED, Verdict.HOLDS]
    assert "SIGKILL" in results[0].error
    assert not results[0].verdict.passes
    assert cache.find(listed[0], "quick", 0) is None
    assert cache.find(listed[1], "quick", 0) == results[1]


def test_a_damaged_verdict_is_told_and_made_anew(store, log):
    first, _ = checked(store)
    ran = len(log())
    for address in store.addresses():
        kind = store.key_at(address)
        if kind.get("statement") == "toy/lemma-1":
            (store.root / address / "entry.json").write_text("{}")
    again, (note,) = checked(store)
    assert "it was taken away, and made anew" in note
    assert [replace(r, seconds=0.0) for r in again] == [replace(r, seconds=0.0) for r in first]
    assert log()[ran:] == ["lemma-1"] * 3
    assert checked(store)[1] == []


def test_a_damaged_index_is_told_and_made_anew(store, log):
    first, _ = checked(store)
    ran = len(log())
    (index,) = (a for a in store.addresses() if store.key_at(a)["kind"] == "index")
    (store.root / index / "manifest.json").write_text("nonsense")
    again, (note,) = checked(store)
    assert index in note
    assert again == first
    assert len(log()) == ran


def test_a_verdict_by_other_code_does_not_count_and_is_replaced(store, log, monkeypatch):
    checked(store)
    ran, entries = len(log()), len(store.addresses())
    monkeypatch.setattr(verdict_cache, "versions", lambda: "Python 4.0")
    monkeypatch.setattr(SourceTree, "content", lambda self: "other")
    checked(store)
    assert len(log()) == 2 * ran
    assert len(store.addresses()) == entries
    checked(store)
    assert len(log()) == 2 * ran


def test_verdicts_of_edited_code_are_not_kept(store, monkeypatch):
    cache = VerdictCache(store, [TOY])
    listed = cache.descriptions()
    (place,) = {place_of(said)[0] for said in listed}
    status = place.stat()
    try:
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        check_all(listed, jobs=1, cache=cache)
    finally:
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cache.notes == [
        "toy_paper.py: edited while statements were checked; not all verdicts are kept"
    ]
    assert cache.find(listed[0], "quick", 0) is None


def test_files_that_go_while_they_are_read_are_told_and_stop_nothing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "vanishing"
    package.mkdir()
    for name in ("__init__.py", "here.py", "gone.py"):
        (package / name).write_text("x = 1\n")
    tree = SourceTree.now(["vanishing.here"])
    whole = tree.content()
    assert whole == SourceTree.now(["vanishing"]).content() == tree.content()
    (package / "gone.py").unlink()
    assert tree.content() != whole
    assert tree.edited([package / "here.py", package / "gone.py"]) == [package / "gone.py"]
    (package / "new.py").write_text("")
    assert tree.edited([package / "new.py"]) == [package / "new.py"]


def test_a_store_that_cannot_be_written_costs_time_only(store, log, monkeypatch):
    def full(self, key, files):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Store, "put", full)
    results, notes = checked(store)
    assert all(result.verdict.passes for result in results)
    assert notes == [f"{store.root}: No space left on device: verdicts cannot be kept there"]


def test_verdicts_lie_apart_from_runs(tmp_path):
    checked(verdict_store(tmp_path))
    assert Store(tmp_path).addresses() == []
    assert Store(tmp_path).verify() == []


def test_what_a_worker_is_sent_is_found_by_its_id():
    assert check_listed("tests.papers.toy_paper", "toy/ours", 0, "quick").verdict is Verdict.BEYOND
    assert isinstance(toy_paper.STATEMENTS[-1], OpenStatement)


def test_the_runner_reaches_neither_theory_nor_simulations():
    """What it reaches, every verdict depends on."""
    found, _ = sources(("papers.runner",), LISTS)
    ours = {"description", "false_alarms", "ledger", "runner"}
    assert set(found) == {"papers", *(f"papers.{name}" for name in ours)}


def test_the_versions_that_count_are_told():
    for name in ("Python 3.", "numpy ", "sympy ", "mpmath ", "python-flint ", "torch 2"):
        assert name in versions()
    assert "missing" not in versions()


# Kills


KILLED = """
import sys
from pathlib import Path
from papers.checking import check_all
from papers.collection import Paper
from papers.verdict_cache import VerdictCache, verdict_store

cache = VerdictCache(verdict_store(Path(sys.argv[1])), [Paper("slow", "", "", sys.argv[2])])
print("ready", flush=True)
results = check_all(cache.descriptions(), jobs=2, cache=cache)
print(*(f"{r.statement.id} {r.verdict} {r.printed.measured}" for r in results), sep="\\n")
assert not cache.notes, cache.notes
"""


def start(root: Path, module: str = "tests.papers.slow_toys") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root), module],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_killed_again_and_again_it_goes_on_where_it_stopped(tmp_path, log):
    whole, told = start(tmp_path / "whole").communicate()
    assert told == ""
    lines = whole.splitlines()
    assert len(lines) == 25
    assert len(log()) == 24
    store = verdict_store(tmp_path / "killed")
    kills = 0
    for wanted in (2, 9, 17):
        process = start(tmp_path / "killed")
        deadline = time.monotonic() + 60
        while len(store.addresses()) < wanted and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        process.communicate()
        assert store.verify() == []
        kept = len(store.addresses())
        assert kept >= wanted
    end, told = start(tmp_path / "killed").communicate()
    assert (end, told) == (whole, "")
    assert kills >= 2
    # At a kill two were being checked, and two more were waiting to be stored.
    lost = len(log()) - 24 - 24
    assert 0 <= lost <= 4 * kills


# A changed library


TREE = """
import json, sys
sys.argv = ["iclproof", "verify", *sys.argv[1:], "--paper", "zhang2024", "--jobs", "1", "--json"]
from papers.cli import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""

#: The first stands on the library's closed form of the limit; the others do not see it.
NAMES = ("theorem-4", "lemma-10", "lemma-15")


@pytest.mark.slow
def test_a_wrong_exponent_in_theory_is_noticed_and_exactly_what_it_breaks_is_named(tmp_path):
    for floor in ("theory", "constructions", "simulations", "papers"):
        ignored = shutil.ignore_patterns("__pycache__", "laptop_results")
        shutil.copytree(ROOT / floor, tmp_path / floor, ignore=ignored)
    environment = {**os.environ, "ICLPROOF_STORE": str(tmp_path / "store"), "PYTHONPATH": ""}

    def verify() -> tuple[dict[str, bool], bool]:
        done = subprocess.run(
            [sys.executable, "-c", TREE, *(f"zhang2024/{name}" for name in NAMES)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        passes = {s["id"][10:]: s["passes"] for s in json.loads(done.stdout)["statements"]}
        assert done.returncode == (0 if all(passes.values()) else 1)
        return passes, done.stderr.strip() == "True"

    assert verify() == (dict.fromkeys(NAMES, True), True)
    assert verify() == (dict.fromkeys(NAMES, True), False)  # from the store, nothing imported
    problem = tmp_path / "theory" / "gradient_flow" / "problem.py"
    right = problem.read_text()
    wrong = right.replace("u = float(np.sqrt(square))", "u = float(square**0.505)")
    assert wrong != right
    problem.write_text(wrong)
    fallen = {name: name != "theorem-4" for name in NAMES}
    assert verify() == (fallen, True)
    assert verify() == (fallen, False)
    problem.write_text(right)
    assert verify() == (dict.fromkeys(NAMES, True), True)
