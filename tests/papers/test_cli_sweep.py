import json
import sys
from datetime import timedelta

import pytest

from papers.commands import console
from simulations.experiments import catalogue
from simulations.parallel import cluster
from simulations.runs import Runs
from simulations.store import Store
from tests.simulations.runs.toys import WALK, Walk

SWEEP = """
experiment = "toy-walk"
[grid]
seed = [1, 2]
fails = [[], [0, 2]]
"""


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr(catalogue, "experiments", lambda: {WALK.name: WALK})


@pytest.fixture
def sweep(iclproof, tmp_path):
    """Call `iclproof sweep` on a file of this text, with one job unless told otherwise."""

    def call(text: str, *options: object):
        path = tmp_path / "sweep.toml"
        path.write_text(text)
        jobs = () if {"--jobs", "--scheduler"} & set(options) else ("--jobs", 1)
        return iclproof("sweep", path, "--store", tmp_path / "store", *jobs, *options)

    return call


def test_it_computes_what_is_missing_and_tells_what_became_of_each(sweep, tmp_path):
    done = sweep('experiment = "toy-walk"\ngrid.scale = [1.0, 0.5]\ngrid.seed = [1, 2]')
    assert (done.code, done.err) == (0, "")  # a pipe sees no progress
    assert "4 computed" in done.out
    runs = Runs(Store(tmp_path / "store"))
    for scale, seed in [(1.0, 1), (1.0, 2), (0.5, 1), (0.5, 2)]:
        run = runs.find(WALK, Walk(scale=scale, seed=seed))
        (line,) = [line for line in done.out.splitlines() if run.address[:12] in line]
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert cells[:5] == [run.address[:12], "toy-walk", str(scale), str(seed), "computed"]
    again = sweep('experiment = "toy-walk"\ngrid.scale = [1.0, 0.25]\ngrid.seed = [1, 2]')
    assert "2 in the store, 2 computed" in again.out


def test_failures_are_told_by_config_at_the_end_and_the_rest_goes_on(sweep):
    done = sweep(SWEEP)
    assert (done.code, done.err) == (1, "")
    assert "2 computed, 2 failed" in done.out
    for seed in (1, 2):
        for part in (0, 2):
            assert (
                f"failed: toy-walk seed={seed} fails=[0, 2], part walker-{part}:"
                f" RuntimeError: walker-{part} stumbled over two lines\n" in done.out
            )


def test_json_says_everything(sweep, tmp_path):
    done = sweep(SWEEP, "--json")
    assert (done.code, done.err) == (1, "")
    data = json.loads(done.out)
    assert data["sweep"] == str(tmp_path / "sweep.toml")
    assert data["store"] == str(tmp_path / "store")
    assert (data["passes"], data["notes"]) == (False, [])
    assert [run["state"] for run in data["runs"]] == ["computed", "failed"] * 2
    first, second, *_ = data["runs"]
    run = Runs(Store(tmp_path / "store")).find(WALK, Walk(seed=1))
    assert (first["address"], first["seconds"]) == (run.address, run.made["seconds"])
    assert first["config"]["seed"] == 1
    assert (second["varied"], second["seconds"]) == ({"seed": 1, "fails": [0, 2]}, None)
    assert [(f["varied"]["seed"], f["part"]) for f in data["failures"]] == [
        *((1, "walker-0"), (1, "walker-2"), (2, "walker-0"), (2, "walker-2"))
    ]
    assert "in walk" in data["failures"][0]["traceback"]


def test_a_dry_run_computes_nothing(sweep, tmp_path):
    sweep('experiment = "toy-walk"\ngrid.seed = [2]')
    done = sweep(SWEEP, "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert "3 to compute, 1 in the store" in done.out
    assert len(Store(tmp_path / "store").addresses()) == 1
    data = json.loads(sweep(SWEEP, "--dry-run", "--json").out)
    assert [run["state"] for run in data["runs"]] == [
        *("to compute", "to compute", "in the store", "to compute")
    ]


def test_what_is_in_brackets_is_text_and_not_style(sweep):
    done = sweep('experiment = "toy-walk"\ngrid.diary = ["[bold]/dev/null[/]"]', "--dry-run")
    assert "[bold]/dev/null[/]" in done.out


# Errors, one line each


def test_an_invalid_sweep_is_one_line(sweep, tmp_path):
    done = sweep('experiment = "toy-walk"\nbase.sede = 1\ngrid.scale = [1.0, -1.0]')
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"iclproof: {tmp_path}/sweep.toml: invalid sweep:"
        " - there is no field 'sede': did you mean 'seed'?"
        " - scale is -1.0; expected a finite number > 0 (at scale=-1.0)\n"
    )


def test_a_file_that_is_not_there_is_one_line(iclproof, tmp_path):
    done = iclproof("sweep", tmp_path / "none.toml")
    assert (done.code, done.err) == (
        2,
        f"iclproof: {tmp_path}/none.toml: No such file or directory\n",
    )


def test_an_unreachable_scheduler_is_one_line(sweep, monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 0.3)
    done = sweep(SWEEP, "--scheduler", "tcp://127.0.0.1:9")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "iclproof: no dask scheduler answers at tcp://127.0.0.1:9 within 0.3 s: start one with"
        " `dask scheduler`, and give the address that it prints\n"
    )


def test_without_dask_the_extra_is_named(sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = sweep(SWEEP, "--scheduler", "tcp://127.0.0.1:9")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "iclproof: a scheduler needs dask.distributed: pip install 'iclproof[cluster]'\n"
    )


def test_jobs_and_a_scheduler_are_one_line(sweep):
    done = sweep(SWEEP, "--scheduler", "tcp://127.0.0.1:9", "--jobs", 2)
    assert done.code == 2
    assert "give jobs or a scheduler, not both" in done.err


# Progress


def test_a_terminal_sees_what_is_done_and_the_time_that_is_left(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    clock = iter(range(0, 10_000, 10))
    with console.progress() as bar:
        bar.get_time = lambda: float(next(clock))
        task = bar.add_task("parts", total=4)
        (left,) = [c for c in bar.columns if type(c).__name__ == "_Remaining"]
        assert left.render(bar.tasks[task]).plain == ""
        bar.update(task, completed=1)
        item = bar.tasks[task]
        rendered = left.render(item).plain
        bar.update(task, completed=4)
        assert left.render(item).plain == ""
    assert rendered.endswith(" left")
    hours, minutes, seconds = map(int, rendered.removesuffix(" left").split(":"))
    assert timedelta(hours=hours, minutes=minutes, seconds=seconds) >= timedelta(seconds=30)


def test_a_single_step_shows_the_time_it_has_taken_and_says_that_there_is_no_estimate(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with console.progress() as bar:
        task = bar.add_task("toy-walk, parts", total=1)
        bar.tasks[task].start_time -= 75
        table = bar.make_tasks_table(bar.tasks)
        shown = " ".join(str(cell) for column in table.columns for cell in column.cells)
    for words in ("toy-walk, parts", "0/1", "0:01:15", "one step: no estimate"):
        assert words in shown
