"""`iclproof figures`: proofs, experiments from the store or as committed, what is missing."""

import json
from pathlib import Path

import pytest

from simulations.experiments.catalogue import find_experiment
from simulations.runs import Runs
from simulations.store import Store

NAME = "pathak2023-figure-7"
FILES = [f"{NAME}.svg", f"{NAME}.png", f"{NAME}.txt"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with one run of the smoke preset."""
    root = tmp_path_factory.mktemp("store")
    experiment = find_experiment(NAME)
    Runs(Store(root)).execute([(experiment, experiment.presets["smoke"]["m=3"])], jobs=1)
    return root


@pytest.fixture(autouse=True)
def nothing_committed(monkeypatch, tmp_path):
    monkeypatch.setattr("simulations.runs.laptop_results", lambda: Store(tmp_path / "committed"))


@pytest.fixture
def proofs(monkeypatch):
    """The drawing of proofs, which takes seconds, replaced by a list of who was asked for what."""
    from papers.beyond import figures as beyond_figures
    from papers.pathak2023 import figures
    from papers.zhang2024 import figures as flow_figures

    asked = []

    def draw_all(out, **sizes):
        asked.append((out, sizes))
        return [out / "a.svg", out / "a.png"]

    def draw_far(out, config):
        asked.append((out, config))
        return [out / "b.svg"]

    monkeypatch.setattr(figures, "draw_all", draw_all)
    monkeypatch.setattr(beyond_figures, "draw_far_from_the_box", draw_far)
    monkeypatch.setattr(flow_figures, "draw_flow_figures", lambda out: [out / "c.svg"])
    monkeypatch.setattr(beyond_figures, "draw_basins", lambda out: [out / "d.svg"])
    return asked


def test_proof_figures_are_listed_first_with_the_sizes_as_given(iclproof, proofs, tmp_path):
    paths = [str(tmp_path / name) for name in ("a.svg", "a.png", "b.svg", "c.svg", "d.svg")]
    done = iclproof("figures", "--out", tmp_path, "--store", tmp_path / "none", "--num-examples", 3)
    assert (done.code, done.out) == (0, "\n".join(paths) + "\n")
    (out, sizes), (_, config) = proofs
    assert (out, sizes["num_examples"], config.num_examples) == (tmp_path, 3, 3)


def test_what_no_store_has_is_named_with_the_command_that_makes_it(iclproof, proofs, tmp_path):
    from simulations.figures.catalogue import FIGURES

    done = iclproof("figures", "--out", tmp_path, "--store", tmp_path / "none", "--json")
    data = json.loads(done.out)
    assert (done.code, done.err, data["experiments"], data["damaged"]) == (0, "", [], [])
    assert [missing["figure"] for missing in data["missing"]] == [f.name for f in FIGURES]
    for missing in data["missing"]:
        assert missing["labels"]
        expected = f"iclproof runs start {missing['experiment']} --preset laptop"
        assert missing["command"] == expected
    told = iclproof("figures", "--out", tmp_path, "--store", tmp_path / "none")
    assert len(told.err.splitlines()) == len(FIGURES)
    assert f"{NAME}: no run of m=5; m=20: make it with: iclproof runs start {NAME}" in told.err


def test_the_one_figure_that_is_asked_for_must_be_drawn(iclproof, tmp_path):
    call = ("figures", "--out", tmp_path / "out", "--store", tmp_path / "none", "--only", NAME)
    done = iclproof(*call)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"{NAME}: no run of m=5; m=20: make it with")


def test_one_figure_is_drawn_from_the_store_without_proofs(iclproof, proofs, store, tmp_path):
    call = ("figures", "--out", tmp_path, "--store", store, "--preset", "smoke", "--only", NAME)
    done = iclproof(*call)
    assert done == (0, "".join(f"{tmp_path / name}\n" for name in FILES), "")
    assert proofs == []
    data = json.loads(iclproof(*call, "--json").out)
    assert data["figures"] == [str(tmp_path / name) for name in FILES]
    (figure,) = data["experiments"]
    assert figure["caption"] == (tmp_path / FILES[2]).read_text().rstrip("\n")
    assert figure["sources"]["m=3"]["from"] == "the store"
    assert len(figure["sources"]["m=3"]["address"]) == 64


def test_all_figures_come_with_a_page_of_captions(iclproof, proofs, store, tmp_path):
    done = iclproof("figures", "--out", tmp_path, "--store", store, "--preset", "smoke")
    assert done.code == 0
    drawn = [str(tmp_path / name) for name in (*FILES, "captions.md")]
    assert done.out.splitlines()[-4:] == drawn
    assert f"]({NAME}.svg)" in (tmp_path / "captions.md").read_text()
    assert "zhang2024-figure-1: no run of figure-1: make it with" in done.err


def test_committed_results_are_drawn_where_the_store_has_none(
    iclproof, proofs, store, tmp_path, monkeypatch
):
    monkeypatch.setattr("simulations.runs.laptop_results", lambda: Store(store))
    monkeypatch.setenv("ICLPROOF_STORE", str(tmp_path / "none"))
    done = iclproof("figures", "--out", tmp_path, "--preset", "smoke", "--only", NAME, "--json")
    (figure,) = json.loads(done.out)["experiments"]
    assert (done.code, figure["sources"]["m=3"]["from"]) == (0, "committed results")


def test_a_damaged_run_is_named_with_its_folder_and_the_exit_code_is_1(
    iclproof, proofs, tmp_path, store
):
    import shutil

    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    (folder,) = (path for path in copy.iterdir() if not path.name.startswith("."))
    (folder / "result.safetensors").write_bytes(b"")
    call = ("figures", "--out", tmp_path / "out", "--store", copy, "--preset", "smoke")
    done = iclproof(*call, "--only", NAME)
    assert (done.code, done.out) == (1, "")
    assert str(folder) in done.err
    assert "Traceback" not in done.err
    data = json.loads(iclproof(*call, "--only", NAME, "--json").out)
    assert len(data["damaged"]) == 1


def test_an_unknown_figure_or_preset_is_refused(iclproof, tmp_path):
    done = iclproof("figures", "--out", tmp_path / "out", "--only", "figure-7")
    assert (done.code, done.out) == (2, "")
    assert "no figure 'figure-7' of experiments; expected one of" in done.err
    done = iclproof("figures", "--out", tmp_path / "out", "--preset", "desktop")
    assert (done.code, done.out) == (2, "")
    assert "'laptop'" in done.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_told_in_one_line(iclproof, proofs, store, tmp_path):
    blocked = tmp_path / "file"
    Path(blocked).write_text("")
    done = iclproof(
        "figures", "--out", blocked, "--store", store, "--preset", "smoke", "--only", NAME
    )
    assert (done.code, done.out) == (2, "")
    assert str(blocked) in done.err
    assert len(done.err.splitlines()) == 1
