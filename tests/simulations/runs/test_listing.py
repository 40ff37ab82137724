"""What is in a store is listed, verified and cleaned."""

import dataclasses
import time
from unittest.mock import ANY

import pytest

from simulations.runs import Runs, code_version, contents, laptop_results
from simulations.runs.cleaning import clean, litter
from simulations.runs.listing import nearest_label
from simulations.store import Store
from tests.simulations.runs.toys import WALK, Walk

SHORT, LONG = (WALK.presets["smoke"][label] for label in ("short", "long"))


def by_code(monkeypatch, code: str):
    """Let the present code be of another version."""
    for module in ("simulations.runs.contents", "simulations.runs.listing"):
        monkeypatch.setattr(f"{module}.code_version", lambda experiment: code)


def test_finished_and_unfinished_runs_are_listed_with_their_labels(runs):
    assert runs.list() == []
    runs.execute([(WALK, LONG), (WALK, SHORT), (WALK, Walk(fails=(0,)))], jobs=1)
    unfinished, long, short = runs.list()
    assert [(r.state, r.label) for r in (unfinished, long, short)] == [
        ("unfinished", ""),
        ("finished", "smoke/long"),
        ("finished", "smoke/short"),
    ]
    assert unfinished.parts == ("walker-1", "walker-2")
    assert (short.parts, short.made["seconds"] > 0, unfinished.made) == ((), True, {})
    assert all(run.is_current for run in runs.list())
    assert {run.code for run in runs.list()} == {code_version(WALK)}
    assert short.address == runs.find(WALK, SHORT).address


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        (SHORT, "smoke/short"),
        (Walk(seed=3), "smoke/short, seed=3"),
        (Walk(2, steps=40, pause=0.5), "laptop/two, pause=0.5"),
        (Walk(steps=60, diary="x" * 30), f"smoke/long, diary={'x' * 21}..."),
        (Walk(7, 7, 7.0, 7), "smoke/short, num_walkers=7, steps=7, scale=7.0, and 1 more"),
        (Walk(fails=(1, 2)), "smoke/short, fails=[1, 2]"),
    ],
)
def test_a_config_is_told_by_the_nearest_preset_and_what_differs(config, wanted):
    assert nearest_label("toy-walk", contents.job_of(WALK, config).document) == wanted


def test_the_nearest_preset_of_a_nested_or_an_earlier_config():
    """A field that is no longer there, one that is new, and one inside of another."""
    assert nearest_label("toy-own", {"seed": 1}) == ""
    config = contents.job_of(WALK, SHORT).document
    old = {name: value for name, value in config.items() if name != "pause"}
    assert nearest_label("toy-walk", {**old, "inner": {"a": 1}}) == (
        "smoke/short, no pause, inner.a=1"
    )


def test_a_damaged_leftover_of_a_finished_run_leaves_the_run_finished(runs):
    runs.execute([(WALK, SHORT)], jobs=1)
    key = contents.job_of(WALK, SHORT).part_key("walker-0")
    runs.store.put(key, {})
    (run,) = runs.list()
    assert (run.state, run.damaged) == ("finished", tuple(runs.verify()))
    assert run.damaged == (Store.address(key),)


def test_a_checkpoint_alone_is_an_unfinished_run(runs):
    job = contents.job_of(WALK, SHORT)
    runs.store.put(job.checkpoint_key("walker-0"), {"state.bin": b""})
    (run,) = runs.list()
    assert (run.state, run.parts, run.address) == ("unfinished", (), job.address)


def test_runs_by_other_code_are_told_and_found(runs, monkeypatch):
    with monkeypatch.context() as patch:
        for code, date in (("a" * 64, "2001"), ("b" * 64, "2002"), ("c" * 64, "2000")):
            by_code(patch, code)
            patch.setattr("simulations.runs.execution._made", lambda s, d=date: made(s, d))
            assert runs.execute([(WALK, SHORT)], jobs=1).succeeded
    assert runs.find(WALK, SHORT) is None
    assert runs.find_any_code(WALK, SHORT).code == "b" * 64
    assert runs.find_any_code(WALK, LONG) is None
    assert [run.is_current for run in runs.list()] == [False] * 3
    newest = runs.store.root / runs.find_any_code(WALK, SHORT).address
    (newest / "made.json").write_text("{}")
    assert runs.find_any_code(WALK, SHORT).code == "a" * 64
    runs.execute([(WALK, SHORT)], jobs=1)
    assert runs.find_any_code(WALK, SHORT).code == code_version(WALK)


def made(seconds, date):
    return {"seconds": seconds, "date": date}


def test_runs_of_an_experiment_outside_the_catalogue_are_listed_and_never_old(runs):
    """It may be the user's own: its present code is not known here, so nothing is thrown away."""
    own = dataclasses.replace(WALK, name="toy-own")
    runs.execute([(own, SHORT), (own, Walk(fails=(0, 1)))], jobs=1)
    listed = {run.state: run for run in runs.list()}
    assert set(listed) == {"finished", "unfinished"}
    for run in listed.values():
        assert (run.experiment, run.label, run.is_current) == ("toy-own", "", None)
    assert clean(runs.store, old_code=True) == []
    assert len(runs.list()) == 2


def test_other_things_in_the_store_are_left_alone(runs):
    model = runs.store.put({"kind": "model"}, {"a": b"1"})
    (model / "a").write_bytes(b"2")
    runs.store.put(["a", "list"], {})
    runs.store.put({"kind": "run"}, {})
    address = Store.address({"kind": "run"})
    assert runs.verify() == {address: ANY}
    (lost,) = runs.list()
    assert (lost.experiment, lost.state, lost.damaged) == ("", "damaged", (address,))
    assert [piece.name for piece in clean(runs.store, damaged=True, old_code=True)] == [
        Store.address({"kind": "run"})
    ]
    assert len(runs.store.addresses()) == 2


HARM = {
    "result.safetensors": "does not match its checksum",
    "config.json": "does not match its checksum",
    "made.json": "bytes, but",
    "manifest.json": "is damaged",
}


@pytest.mark.parametrize("name", HARM)
def test_verify_names_what_is_damaged_and_clean_takes_it_away(runs, name):
    runs.execute([(WALK, SHORT), (WALK, LONG)], jobs=1)
    place = runs.store.root / runs.find(WALK, SHORT).address / name
    content = place.read_bytes()
    place.write_bytes(content[:-1] if name == "made.json" else content[:-1] + b"?")
    ((address, problem),) = runs.verify().items()
    assert address == place.parent.name
    assert str(place) in problem
    assert HARM[name] in problem
    assert litter(runs.store) == []
    (piece,) = clean(runs.store, damaged=True)
    assert (piece.name, piece.reason) == (address, problem)
    assert runs.verify() == {}
    assert [run.label for run in runs.list()] == ["smoke/long"]


@pytest.mark.parametrize("name", ["result.safetensors", "made.json", "config.json"])
def test_a_folder_that_is_whole_but_no_run_is_damaged(runs, name):
    job = contents.job_of(WALK, SHORT)
    runs.execute([(WALK, SHORT)], jobs=1)
    place = runs.store.root / job.address
    files = {path.name: path.read_bytes() for path in place.iterdir()}
    del files["manifest.json"]
    for wrong in (b"7", b"[]", b"{}", None):
        changed = {**files, name: wrong}
        runs.store.put(job.key, {n: data for n, data in changed.items() if data is not None})
        assert list(runs.verify()) == [job.address]
        assert [run.state for run in runs.list()] == ["damaged"]


def test_clean_takes_only_what_it_is_asked_for(runs, monkeypatch):
    with monkeypatch.context() as patch:
        by_code(patch, "a" * 64)
        runs.execute([(WALK, SHORT), (WALK, Walk(fails=(0, 1)))], jobs=1)
    runs.execute([(WALK, SHORT), (WALK, Walk(fails=(0, 1)))], jobs=1)
    job = contents.job_of(WALK, SHORT)
    runs.store.put(job.checkpoint_key("walker-1"), {"state.bin": b""})

    def told(**which):
        return sorted((piece.what, piece.reason) for piece in litter(runs.store, **which))

    finished = ("checkpoint of toy-walk: walker-1", "of a run that is finished")
    unfinished = ("part of toy-walk: walker-2", "of a run that is not finished")
    old = "by other code than the present"
    assert told() == [finished]
    assert told(unfinished=True) == [finished, unfinished, unfinished]
    assert told(old_code=True) == [
        finished,
        ("part of toy-walk: walker-2", old),
        ("run of toy-walk", old),
    ]
    assert told(damaged=True) == [finished]
    assert len(clean(runs.store, unfinished=True, old_code=True)) == 4
    assert [(run.state, run.is_current) for run in runs.list()] == [("finished", True)]
    assert runs.store.addresses() == [job.address]


def test_left_overs_of_killed_writers_go_after_an_hour(runs):
    runs.execute([(WALK, SHORT)], jobs=1)
    now = time.time_ns()
    for age in (10, 4000):
        name = f".{'0' * 64}.{now - age * 10**9:020d}-{'0' * 16}.tmp"
        (runs.store.root / name).mkdir()
    assert [piece.name for piece in clean(runs.store)] == [name]
    assert len(list(runs.store.root.glob(".*"))) == 1


def test_the_committed_results_are_a_store_beside_the_code():
    store = laptop_results()
    assert store.root.name == "laptop_results"
    assert (store.root.parent / "store.py").exists()
    assert Runs(store).verify() == {}
