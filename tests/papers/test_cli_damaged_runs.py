"""`iclproof runs` on a damaged store: what is damaged, counted alike, and what to do about it."""

import json
import shutil

import pytest

from simulations.experiments import catalogue
from simulations.runs import Runs, contents, listing
from simulations.store import Store
from tests.simulations.runs.toys import WALK, Walk

SHORT = WALK.presets["smoke"]["short"]


@pytest.fixture
def finished(monkeypatch, tmp_path):
    """A store with the smoke preset."""
    monkeypatch.setattr(catalogue, "experiments", lambda: {WALK.name: WALK})
    listing._labels.cache_clear()
    runs = Runs(Store(tmp_path / "store"))
    requests = [(WALK, config) for config in WALK.presets["smoke"].values()]
    assert runs.execute(requests, jobs=1).succeeded
    yield runs
    listing._labels.cache_clear()


def data_of(done, code: int = 0):
    assert (done.code, done.err) == (code, "")
    return json.loads(done.out)


@pytest.fixture
def harmed(iclproof, finished):
    """A store with damage of each kind: a result, a manifest, two parts of a run, a checkpoint."""
    store, short = finished.store, finished.find(WALK, SHORT)
    (store.root / short.address / "result.safetensors").write_bytes(b"")
    long = finished.find(WALK, WALK.presets["smoke"]["long"])
    (store.root / long.address / "manifest.json").write_bytes(b"")
    unfinished = contents.job_of(WALK, Walk(fails=(0,)))
    finished.execute([(WALK, unfinished.config)], jobs=1)
    for part in ("walker-1", "walker-2"):
        key = unfinished.part_key(part)
        (store.root / store.address(key) / "made.json").write_bytes(b"")
    other = contents.job_of(WALK, Walk(seed=8)).checkpoint_key("walker-0")
    (store.put(other, {"state.bin": b"1"}) / "state.bin").write_bytes(b"")
    return finished


def test_list_and_verify_agree_on_what_is_damaged(iclproof, harmed):
    problems = data_of(iclproof("runs", "verify", "--json"), code=1)["problems"]
    listed = data_of(iclproof("runs", "list", "--json"))["runs"]
    damaged = [address for run in listed for address in run["damaged"]]
    assert sorted(damaged) == sorted(problem["address"] for problem in problems)
    assert len(damaged) == 5
    # A damaged checkpoint costs time only.
    states = [(run["experiment"], run["state"]) for run in listed]
    assert sorted(states) == [
        ("", "damaged"),
        ("toy-walk", "damaged"),
        ("toy-walk", "damaged"),
        ("toy-walk", "unfinished"),
    ]
    told = iclproof("runs", "list").out
    assert "damaged folders: 5 (iclproof runs verify names them); take them away with:" in told
    assert "5 folders checked, 5 damaged" in iclproof("runs", "verify").out
    # A folder that does not say whose it is can be named by its address, and is no run to show.
    (lost,) = (run["address"] for run in listed if not run["experiment"])
    assert f"{lost[:12]} (damaged)" in iclproof("runs", "show", lost).err
    assert iclproof("runs", "clean", "--damaged").code == 0
    assert "damaged" not in iclproof("runs", "list").out


def test_start_says_which_run_is_damaged_and_what_to_do(iclproof, finished, tmp_path):
    elsewhere = tmp_path / "else where"
    shutil.copytree(finished.store.root, elsewhere)
    for root, option in ((finished.store.root, ""), (elsewhere, f" --store '{elsewhere}'")):
        place = root / finished.find(WALK, SHORT).address / "manifest.json"
        content = place.read_bytes()
        place.write_bytes(content[:-9])
        call = ("start", "toy-walk", "--preset", "smoke", "--label", "short", "--store", root)
        done = iclproof("runs", *call, "--jobs", 1)
        assert (done.code, done.err) == (1, "")
        (line,) = done.out.splitlines()  # no table without a run, no traceback to look at
        assert line.startswith(f"failed: toy-walk smoke/short: {place} is damaged: ")
        remedy = f"iclproof runs clean --damaged{option}"
        assert line.endswith(f"; take it away with: {remedy}, then start the run again")
        assert remedy in iclproof("runs", "verify", "--store", root).out
        assert remedy in iclproof("runs", "list", "--store", root).out
        place.write_bytes(content)
