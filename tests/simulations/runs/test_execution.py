"""Runs are computed once, in parts that are kept, and failures stay where they are."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from simulations.experiments.experiment import Experiment
from simulations.runs import Runs, source_code
from simulations.store import Store
from tests.simulations.runs.toys import WALK, Walk, pid_of


def result_bytes(runs: Runs, address: str) -> bytes:
    return (runs.store.root / address / "result.safetensors").read_bytes()


def addresses(runs: Runs) -> list[str]:
    return sorted(path.name for path in runs.store.root.iterdir())


def test_a_run_is_computed_once_and_found_again(runs, tmp_path):
    config = Walk(diary=str(tmp_path / "diary"))
    assert runs.find(WALK, config) is runs.find_any_code(WALK, config) is None
    told = []
    report = runs.execute(
        [(WALK, config), (WALK, config)], jobs=1, on_progress=lambda *n: told.append(n)
    )
    assert report.succeeded
    assert (len(report.finished), report.skipped, report.notes) == (1, (), ())
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    found = runs.find(WALK, config)
    assert found.config == config
    assert found.address == report.finished[0].address
    assert found.made["seconds"] == report.finished[0].seconds > 0
    assert {"date", "command", "python", "numpy", "scipy", "torch"} <= set(found.made)
    wanted = WALK.run(dataclasses.replace(config, diary=None))
    assert set(found.arrays) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found.arrays[name], array, strict=True)
    # Nothing but the run is left, and it is not computed again.
    assert addresses(runs) == [found.address]
    again = runs.execute([(WALK, config)], jobs=1, on_progress=lambda *n: told.append(n))
    assert (again.finished, again.skipped[0].address) == ((), found.address)
    assert told[-1] == (0, 0)
    assert len((tmp_path / "diary").read_text().splitlines()) == 3


def test_parts_of_sources_that_were_edited_meanwhile_are_not_kept(runs, monkeypatch):
    """A worker that starts after the edit has other code than the address says."""
    seen = iter([{"walk.py": (10, 1)}, {"walk.py": (10, 1)}, {"walk.py": (10, 2)}] + [{}] * 9)
    with monkeypatch.context() as patch:
        patch.setattr("simulations.runs.execution.stamps", lambda experiment: next(seen))
        report = runs.execute([(WALK, Walk())], jobs=1)
    assert [failed.part for failed in report.failed] == ["walker-1", "walker-2"]
    assert "sources were edited while it was computed: start the run again" in str(report.failed[0])
    assert runs.execute([(WALK, Walk())], jobs=1).succeeded
    assert runs.find(WALK, Walk()) is not None


def test_a_changed_file_has_another_stamp(tmp_path, monkeypatch):
    source = tmp_path / "of_a_toy.py"
    source.write_text("x = 1")
    monkeypatch.setattr(source_code, "_files", lambda roots: (source, tmp_path / "gone.py"))
    before = source_code.stamps(WALK)
    assert before[str(tmp_path / "gone.py")] is None
    source.write_text("x = 22")
    assert source_code.stamps(WALK) != before


def test_the_folder_has_what_the_page_says(runs):
    runs.execute([(WALK, Walk())], jobs=1)
    (address,) = addresses(runs)
    folder = runs.store.root / address
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "made.json",
        "manifest.json",
        "result.safetensors",
    ]
    assert json.loads((folder / "config.json").read_text()) == {
        "num_walkers": 3,
        "steps": 40,
        "scale": 1.0,
        "seed": 0,
        "fails": [],
        "diary": None,
        "pause": 0.0,
    }


def test_here_and_on_workers_the_result_is_bitwise_the_same(tmp_path):
    results = []
    for jobs in (1, 2):
        runs = Runs(Store(tmp_path / str(jobs)))
        (run,) = runs.execute([(WALK, Walk())], jobs=jobs).finished
        results.append(result_bytes(runs, run.address))
    assert results[0] == results[1]


def test_with_one_job_it_runs_in_this_process(runs):
    where = dataclasses.replace(WALK, name="toy-pid", compute=pid_of, combine=first_part)
    runs.execute([(where, Walk())], jobs=1)
    assert runs.find(where, Walk()).arrays["pid"] == os.getpid()


def first_part(config, parts):
    return parts["walker-0"]


def test_a_failure_is_told_with_its_config_and_the_rest_goes_on(runs):
    good, bad = Walk(seed=1), Walk(fails=(1,))
    report = runs.execute([(WALK, bad), (WALK, good)], jobs=1)
    assert not report.succeeded
    assert [run.config["seed"] for run in report.finished] == [1]
    (failed,) = report.failed
    assert (failed.experiment, failed.part, failed.config["fails"]) == ("toy-walk", "walker-1", [1])
    assert failed.message == "RuntimeError: walker-1 stumbled over two lines"
    assert 'raise RuntimeError(f"{part} stumbled' in failed.traceback
    assert runs.find(WALK, bad) is None
    (kept,) = [run for run in runs.list() if run.state == "unfinished"]
    assert kept.parts == ("walker-0", "walker-2")


def test_parts_that_are_kept_are_not_computed_again(runs, tmp_path):
    trap = tmp_path / "trap"
    trap.touch()
    config = Walk(diary=str(tmp_path / "diary"))
    trapped = dataclasses.replace(WALK, name="toy-trap", combine=WALK.combine, compute=stumble)
    assert len(runs.execute([(trapped, config)], jobs=1).failed) == 1
    trap.unlink()
    report = runs.execute([(trapped, config)], jobs=1)
    assert report.succeeded
    lines = (tmp_path / "diary").read_text().split()[::2]
    assert lines == ["walker-0", "walker-2", "walker-1"]
    assert addresses(runs) == [report.finished[0].address]


def stumble(config, part, checkpoint):
    if part == "walker-1" and Path(config.diary).with_name("trap").exists():
        raise ValueError("a trap")
    return WALK.compute(config, part, checkpoint)


def refuse(config, parts):
    raise ArithmeticError("no mean")


def odd_arrays(config, part, checkpoint):
    return {"names": np.array(["a"]), "few": np.float16(1.0), "list": [1.0]}


def no_parts(config):
    return ()


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        ({"combine": refuse}, ["ArithmeticError: no mean"]),
        (
            {"compute": odd_arrays},
            ["'names' is an array of <U1; 'few' is an array of float16; 'list' is a list"] * 3,
        ),
        ({"parts": no_parts}, ["has the parts (); expected one or more"]),
    ],
)
def test_an_experiment_that_is_wrong_ends_its_own_runs_only(runs, change, messages):
    wrong: Experiment[Walk] = dataclasses.replace(WALK, name="toy-wrong", **change)
    report = runs.execute([(wrong, Walk()), (WALK, Walk())], jobs=1)
    assert [run.experiment for run in report.finished] == ["toy-walk"]
    assert len(report.failed) == len(messages)
    for failed, message in zip(report.failed, messages, strict=True):
        assert message in failed.message


def test_a_bad_config_is_refused_before_anything_is_computed(runs):
    with pytest.raises(TypeError, match="toy-walk: the config is a dict; expected a Walk"):
        runs.execute([(WALK, Walk()), (WALK, {"steps": 3})], jobs=1)
    assert not runs.store.root.exists()


def test_nothing_to_do_is_no_error(runs):
    assert runs.execute([]).succeeded


# Damage


def test_a_damaged_run_is_named_with_the_remedy_and_the_rest_goes_on(runs):
    (run,) = runs.execute([(WALK, Walk())], jobs=1).finished
    place = runs.store.root / run.address / "result.safetensors"
    place.write_bytes(place.read_bytes()[:-1] + b"?")
    for look in (runs.find, runs.find_any_code):
        with pytest.raises(ValueError, match=rf"{place} does not match.*runs clean --damaged"):
            look(WALK, Walk())
    report = runs.execute([(WALK, Walk()), (WALK, Walk(seed=1))], jobs=1)
    assert [run.config["seed"] for run in report.finished] == [1]
    (failed,) = report.failed
    assert failed.part is None
    assert str(place) in failed.message
    assert "iclproof runs clean --damaged" in failed.message
    assert sorted(run.state for run in runs.list()) == ["damaged", "finished"]
    assert list(runs.verify()) == [run.address]


def test_a_damaged_part_is_named_and_the_others_go_on(runs):
    assert not runs.execute([(WALK, Walk(fails=(2,)))], jobs=1).succeeded
    (damaged, *_) = runs.store.addresses()
    (runs.store.root / damaged / "made.json").write_text("{}")
    (failed,) = runs.execute([(WALK, Walk(fails=(2,)))], jobs=1).failed
    assert f"{damaged}/made.json" in failed.message
    assert failed.part is None


@pytest.mark.parametrize("harm", ["state.bin", "manifest.json"])
def test_a_damaged_checkpoint_costs_time_only_and_is_told(runs, tmp_path, monkeypatch, harm):
    config = Walk(num_walkers=1, diary=str(tmp_path / "diary"))
    undisturbed = Runs(Store(tmp_path / "other"))
    (wanted,) = undisturbed.execute([(WALK, config)], jobs=1).finished
    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", fall_after(12))
        with pytest.raises(KeyboardInterrupt):
            runs.execute([(WALK, config)], jobs=1)
    (address,) = addresses(runs)
    (runs.store.root / address / harm).write_bytes(b"?")
    report = runs.execute([(WALK, config)], jobs=1)
    (note,) = report.notes
    assert f"{address}/{harm}" in note
    assert "it was taken away, and the part began anew" in note
    assert result_bytes(runs, report.finished[0].address) == result_bytes(
        undisturbed, wanted.address
    )
    assert addresses(runs) == [wanted.address]
    assert [line.split()[1] for line in (tmp_path / "diary").read_text().splitlines()] == ["0"] * 3


def test_a_part_goes_on_from_its_checkpoint(runs, tmp_path, monkeypatch):
    config = Walk(num_walkers=1, diary=str(tmp_path / "diary"))
    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", fall_after(12))
        with pytest.raises(KeyboardInterrupt):
            runs.execute([(WALK, config)], jobs=1)
    assert [run.state for run in runs.list()] == ["unfinished"]
    assert runs.execute([(WALK, config)], jobs=1).succeeded
    assert (tmp_path / "diary").read_text() == "walker-0 0\nwalker-0 10\n"
    np.testing.assert_array_equal(
        runs.find(WALK, config).arrays["mean"], WALK.run(config)["mean"], strict=True
    )


def fall_after(steps: int):
    """A sleep that is interrupted the so-manieth time."""
    left = iter(range(steps))

    def sleep(seconds):
        if next(left, None) is None:
            raise KeyboardInterrupt

    return sleep
