"""`iclproof runs`: start, list, show, verify, clean; one clear error for each bad call."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from papers.commands import console
from simulations.experiments import catalogue
from simulations.runs import Runs, listing
from simulations.store import Store
from tests.simulations.runs.toys import WALK, Walk

SHORT = WALK.presets["smoke"]["short"]


@pytest.fixture(autouse=True)
def toys(monkeypatch, tmp_path):
    other = dataclasses.replace(WALK, name="toy-wander", presets={"smoke": {"a": Walk(seed=5)}})
    known = {toy.name: toy for toy in (WALK, other)}
    monkeypatch.setattr(catalogue, "experiments", lambda: known)
    monkeypatch.setenv("ICLPROOF_STORE", str(tmp_path / "store"))
    listing._labels.cache_clear()
    yield
    listing._labels.cache_clear()


@pytest.fixture
def runs(tmp_path):
    return Runs(Store(tmp_path / "store"))


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A store with the smoke preset."""
    store = Store(tmp_path_factory.mktemp("smoke") / "store")
    requests = [(WALK, config) for config in WALK.presets["smoke"].values()]
    assert Runs(store).execute(requests, jobs=1).succeeded
    return store


@pytest.fixture
def finished(runs, smoke):
    shutil.copytree(smoke.root, runs.store.root)
    return runs


def data_of(done, code: int = 0):
    assert (done.code, done.err) == (code, "")
    return json.loads(done.out)


def test_experiments_are_listed_with_presets_and_labels(iclproof):
    first, second = data_of(iclproof("runs", "experiments", "--json"))["experiments"]
    assert first == {
        "experiment": "toy-walk",
        "title": "Random walks",
        "source": "nowhere",
        "presets": {"smoke": ["short", "long"], "laptop": ["two"]},
    }
    assert second["experiment"] == "toy-wander"
    shown = iclproof("runs", "experiments").out
    for word in ("toy-walk", "Random walks", "smoke: short; long", "laptop: two"):
        assert word in shown


def test_start_computes_a_preset_once(iclproof, runs):
    call = ("runs", "start", "toy-walk", "--preset", "smoke", "--jobs", 1)
    data = data_of(iclproof(*call, "--json"))
    assert data["passes"]
    assert [(run["label"], run["state"]) for run in data["runs"]] == [
        ("smoke/short", "computed"),
        ("smoke/long", "computed"),
    ]
    assert data["runs"][0]["address"] == runs.find(WALK, SHORT).address
    again = iclproof(*call)
    assert again.code == 0
    assert again.out.count("in the store") == 2
    assert again.err == ""


def test_a_label_and_settings_choose_a_config(iclproof, runs):
    call = ("runs", "start", "toy-walk", "--preset", "smoke", "--label", "short", "--jobs", 1)
    data = data_of(iclproof(*call, "--set", "seed=7", "--set", "scale=2", "--json"))
    (run,) = data["runs"]
    assert (run["config"]["seed"], run["config"]["scale"], run["label"]) == (7, 2.0, "")
    assert runs.find(WALK, dataclasses.replace(SHORT, seed=7, scale=2.0)) is not None
    # The default preset is the laptop's.
    (run,) = data_of(iclproof("runs", "start", "toy-walk", "--jobs", 1, "--json"))["runs"]
    assert run["label"] == "laptop/two"


def test_a_part_that_fails_gives_exit_code_1(iclproof):
    call = ("runs", "start", "toy-walk", "--preset", "smoke", "--jobs", 1, "--set", "fails=[1]")
    data = data_of(iclproof(*call, "--json"), code=1)
    assert not data["passes"]
    assert [(f["part"], f["message"]) for f in data["failures"]] == [
        ("walker-1", "RuntimeError: walker-1 stumbled over two lines")
    ] * 2
    assert "Traceback" in data["failures"][0]["traceback"]
    done = iclproof(*call)
    assert done.code == 1
    assert "part walker-1: RuntimeError: walker-1 stumbled over two lines" in done.out
    assert [run["state"] for run in data_of(iclproof("runs", "list", "--json"))["runs"]] == [
        "unfinished"
    ] * 2
    assert "unfinished, 2 parts" in iclproof("runs", "list").out


def test_progress_is_shown_on_a_terminal_only(iclproof, monkeypatch):
    told, tasks = [], []

    class Terminal(console.Progress):
        def add_task(self, description, **options):
            tasks.append(description)
            return super().add_task(description, **options)

        def update(self, *arguments, **options):
            told.append((options["completed"], options["total"]))

    monkeypatch.setattr(console, "Progress", Terminal)
    done = iclproof("runs", "start", "toy-walk", "--preset", "smoke", "--jobs", 1)
    assert done.err == ""
    assert tasks == ["toy-walk, 2 configs, parts"]
    assert told == [(n, 6) for n in range(7)]


def test_list_and_show_tell_what_a_run_is(iclproof, finished):
    listed = data_of(iclproof("runs", "list", "--json"))["runs"]
    assert [run["label"] for run in listed] == ["smoke/long", "smoke/short"]
    assert {"address", "experiment", "config", "state", "code", "made"} <= set(listed[0])
    assert "2 finished" in iclproof("runs", "list").out
    found = finished.find(WALK, SHORT)
    data = data_of(iclproof("runs", "show", found.address[:7], "--json"))
    assert data["config"] == dataclasses.asdict(SHORT) | {"fails": []}
    assert data["made"]["numpy"] == np.__version__
    assert data["is_current"]
    assert data["arrays"]["walkers/end"] == {
        "dtype": "float64",
        "shape": [3],
        "min": found.arrays["walkers/end"].min(),
        "max": found.arrays["walkers/end"].max(),
        "not_finite": 0,
    }
    assert data["arrays"]["numbers"]["max"] == 2
    shown = iclproof("runs", "show", found.address).out
    for word in ("smoke/short", found.address, found.code, "walkers/end", "num_walkers", "numpy"):
        assert word in shown


def test_an_experiment_with_one_run_is_shown_by_its_name(iclproof, runs):
    runs.execute([(WALK, SHORT), (WALK, Walk(fails=(0,)))], jobs=1)
    assert data_of(iclproof("runs", "show", "toy-walk", "--json"))["label"] == "smoke/short"


def test_arrays_are_exported(iclproof, finished, tmp_path):
    found = finished.find(WALK, SHORT)
    assert iclproof("runs", "show", found.address, "--out", tmp_path / "a.npz").code == 0
    with np.load(tmp_path / "a.npz") as arrays:
        assert sorted(arrays) == sorted(found.arrays)
        for name, array in found.arrays.items():
            np.testing.assert_array_equal(arrays[name], array, strict=True)
    done = iclproof("runs", "show", found.address, "--out", tmp_path / "a.json")
    assert f"arrays written to {tmp_path / 'a.json'}" in done.out
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["address"] == found.address
    assert document["arrays"]["walkers/end"] == found.arrays["walkers/end"].tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.npz", "store"]


def odd(config, part, checkpoint):
    return {
        "odd": np.array([np.nan, np.inf, -np.inf, 1.5]),
        "none": np.array([np.nan]),
        "empty": np.zeros((0, 2)),
        "yes": np.array([True, False]),
    }


def test_what_json_lacks_is_text(iclproof, runs, tmp_path, monkeypatch):
    toy = dataclasses.replace(WALK, name="toy-odd", compute=odd, combine=lambda c, p: p["walker-0"])
    monkeypatch.setattr(catalogue, "experiments", lambda: {"toy-odd": toy})
    runs.execute([(toy, Walk(1))], jobs=1)
    done = iclproof("runs", "show", "toy-odd", "--json", "--out", tmp_path / "a.json")
    arrays = data_of(done)["arrays"]
    assert [arrays["odd"][name] for name in ("min", "max", "not_finite")] == [1.5, 1.5, 3]
    assert [arrays["none"][name] for name in ("min", "max", "not_finite")] == [None, None, 1]
    assert (arrays["empty"]["shape"], arrays["yes"]["max"]) == ([0, 2], True)
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["arrays"]["odd"] == ["nan", "inf", "-inf", 1.5]
    assert document["arrays"]["yes"] == [True, False]
    assert iclproof("runs", "show", "toy-odd").code == 0


def test_verify_and_clean(iclproof, finished):
    assert data_of(iclproof("runs", "verify", "--json"))["checked"] == 2
    assert "2 folders checked, 0 damaged" in iclproof("runs", "verify").out
    found = finished.find(WALK, SHORT)
    place = finished.store.root / found.address / "result.safetensors"
    place.write_bytes(b"")
    data = data_of(iclproof("runs", "verify", "--json"), code=1)
    assert not data["passes"]
    assert [problem["address"] for problem in data["problems"]] == [found.address]
    shown = iclproof("runs", "verify")
    assert (shown.code, str(place) in shown.out) == (1, True)
    assert "runs clean --damaged" in shown.out
    assert "damaged" in iclproof("runs", "list").out
    assert data_of(iclproof("runs", "clean", "--json"))["removed"] == []
    would = data_of(iclproof("runs", "clean", "--damaged", "--dry-run", "--json"))
    assert (would["dry_run"], would["removed"][0]["name"]) == (True, found.address)
    assert place.exists()
    done = iclproof("runs", "clean", "--damaged")
    assert f"removed {found.address[:12]}" in done.out
    assert "removed 1 folders" in done.out
    assert not place.parent.exists()
    assert iclproof("runs", "verify").code == 0


def test_the_committed_results_and_another_store_can_be_looked_at(iclproof, runs, tmp_path):
    mine = tmp_path / "mine"
    call = ("runs", "start", "toy-walk", "--jobs", 1, "--store", mine, "--json")
    assert data_of(iclproof(*call))["store"] == str(mine)
    assert len(data_of(iclproof("runs", "list", "--store", mine, "--json"))["runs"]) == 1
    assert data_of(iclproof("runs", "list", "--json"))["runs"] == []
    assert not runs.store.root.exists()
    assert data_of(iclproof("runs", "verify", "--committed", "--json"))["passes"]


def test_the_addresses_that_an_error_names_can_be_shown(iclproof, finished):
    finished.execute([(WALK, Walk(fails=(0,)))], jobs=1)
    told = iclproof("runs", "show", "toy-walk").err
    assert "unfinished" not in told
    for config in WALK.presets["smoke"].values():
        short = finished.find(WALK, config).address[:12]
        assert f"{short} toy-walk smoke/" in told
        assert iclproof("runs", "show", short).code == 0


def test_a_changed_config_is_told_by_its_nearest_preset(iclproof):
    call = ("runs", "start", "toy-walk", "--preset", "smoke", "--label", "long", "--jobs", 1)
    assert "│ smoke/long, seed=3 │" in iclproof(*call, "--set", "seed=3").out
    failed = iclproof(*call, "--set", "fails=[1]").out
    assert "failed: toy-walk smoke/long, fails=[1], part walker-1: " in failed
    assert "│ smoke/long, seed=3 " in iclproof("runs", "list").out
    (address,) = (
        run["address"]
        for run in data_of(iclproof("runs", "list", "--json"))["runs"]
        if run["state"] == "finished"
    )
    assert "toy-walk smoke/long, seed=3" in iclproof("runs", "show", address).out


@pytest.mark.parametrize("name", ["a.npz", "none/a.json"])
def test_an_export_that_cannot_be_written_names_its_file(iclproof, finished, tmp_path, name):
    def write(path, data):
        raise OSError(28, "No space left on device")

    out = tmp_path / name
    with pytest.MonkeyPatch.context() as patch:
        if out.parent.exists():
            patch.setattr("pathlib.Path.write_bytes", write)
        done = iclproof("runs", "show", finished.find(WALK, SHORT).address, "--out", out)
    assert (done.code, done.out) == (2, "")
    why = "No space left on device" if out.parent.exists() else "No such file or directory"
    assert done.err == f"iclproof: {out}: {why}\n"


BAD = {
    "unknown experiment": (
        ["start", "toy-wlak"],
        "no experiment 'toy-wlak': did you mean 'toy-walk'",
    ),
    "unknown preset": (
        ["start", "toy-walk", "--preset", "big"],
        "no preset 'big'; expected one of",
    ),
    "lacking preset": (["start", "toy-wander"], "no preset 'laptop'; expected one of smoke"),
    "unknown label": (
        ["start", "toy-walk", "--preset", "smoke", "--label", "shrot"],
        "no label 'shrot': did you mean 'short'?",
    ),
    "no list": (["start", "toy-walk", "--set", "seed[0]=1"], "seed is 0; set seed itself"),
    "no entry": (["start", "toy-walk", "--set", "fails.0=1"], "the whole list, since it is empty"),
    "misspelt key": (["start", "toy-walk", "--set", "sede=1"], "'sede': did you mean 'seed'?"),
    "no key": (["start", "toy-walk", "--set", "seed"], "not of the form name=value"),
    "out of range": (["start", "toy-walk", "--set", "steps=0"], "steps is 0; expected an integer"),
    "wrong type": (["start", "toy-walk", "--set", "steps=a"], "steps is 'a'; expected an integer"),
    "no jobs": (["start", "toy-walk", "--jobs", "0"], "Invalid value for '--jobs'"),
    "jobs and a scheduler": (
        ["start", "toy-walk", "--jobs", "1", "--scheduler", "tcp://127.0.0.1:1"],
        "give jobs or a scheduler, not both",
    ),
    "no such run": (["show", "toy-wander"], "no run in", "'toy-wander'"),
    "no such address": (["show", "ffff"], "no run in", "'ffff'"),
    "ambiguous": (
        ["show", "toy-walk"],
        "is 2 finished runs: give the address of one, or how it begins, such as iclproof runs show",
        "smoke/short",
        "smoke/long",
    ),
    "suffix": (["show", "toy-walk", "--out", "a.csv"], "suffix '.csv'; expected .npz or .json"),
    "two stores": (["list", "--store", "x", "--committed"], "--store or --committed, not both"),
    "a file for a store": (["list", "--store", __file__], "is a file, expected a folder"),
    "unknown command": (["lits"], "No such command 'lits'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_call_gives_one_line(iclproof, finished, name):
    arguments, *words = BAD[name]
    before = finished.store.addresses()
    done = iclproof("runs", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("iclproof: ")
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err
    assert finished.store.addresses() == before


def test_an_unfinished_run_is_not_shown(iclproof, runs):
    runs.execute([(WALK, Walk(fails=(0,)))], jobs=1)
    done = iclproof("runs", "show", "toy-walk")
    assert done.code == 2
    assert "'toy-walk' is not finished: " in done.err
    assert "unfinished, 2 parts" in done.err


def test_a_full_disk_gives_one_line(iclproof, runs, monkeypatch):
    def put(store, key, files):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(Store, "put", put)
    done = iclproof("runs", "start", "toy-walk", "--jobs", 1)
    assert done.code == 2
    assert done.err == (
        f"iclproof: {runs.store.root}: No space left on device: finished parts are kept; make room,"
        " and start the run again\n"
    )


def test_help_names_every_command(iclproof):
    done = iclproof("runs", "--help")
    assert done.code == 0
    for command in ("experiments", "start", "list", "show", "verify", "clean"):
        assert command in done.out
