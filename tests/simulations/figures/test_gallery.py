"""Which runs a figure is drawn from, and what is said of those that are not there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from simulations.experiments.catalogue import find_experiment
from simulations.figures.catalogue import find_figure
from simulations.figures.gallery import Gallery, draw_gallery, write_page
from simulations.figures.supply import Shelf, supply
from simulations.runs import Runs
from simulations.store import Store

NAMES = ("pathak2023-figure-7", "pathak2023-figure-3")
SEVEN, THREE = map(find_figure, NAMES)
OLD = "0" * 64


def compute(root: Path, name: str, *labels: str) -> Runs:
    """Store runs of a smoke preset, all of them if no label is given."""
    runs, experiment = Runs(Store(root)), find_experiment(name)
    configs = experiment.presets["smoke"]
    report = runs.execute([(experiment, configs[label]) for label in labels or configs], jobs=1)
    assert not report.failed
    return runs


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    return compute(tmp_path_factory.mktemp("new"), NAMES[0])


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A store whose run was made by other code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simulations.runs.contents.code_version", lambda experiment: OLD)
        return compute(tmp_path_factory.mktemp("old"), NAMES[0])


@pytest.fixture
def damaged(tmp_path):
    runs = compute(tmp_path / "damaged", NAMES[0])
    (folder,) = (path for path in runs.store.root.iterdir() if not path.name.startswith("."))
    result = folder / "result.safetensors"
    content = bytearray(result.read_bytes())
    content[-1] ^= 1
    result.write_bytes(content)
    return runs, folder


def shelves(*runs: Runs) -> list[Shelf]:
    return [Shelf(f"shelf {number}", each) for number, each in enumerate(runs)]


def test_present_code_goes_before_the_order_of_shelves(old, new):
    found = supply(SEVEN, "smoke", shelves(old, new))
    assert (found.missing, found.damaged) == ([], [])
    ((label, source),) = found.found.items()
    assert (label, source.shelf) == ("m=3", "shelf 1")
    assert source.run.code != OLD


def test_of_runs_alike_that_of_the_first_shelf_is_drawn(new):
    assert supply(SEVEN, "smoke", shelves(new, new)).found["m=3"].shelf == "shelf 0"


def test_runs_of_earlier_code_are_drawn_and_marked(old, tmp_path):
    gallery = draw_gallery(tmp_path, [SEVEN], "smoke", shelves(old))
    assert gallery.missing == ()
    assert "code 000000000000 (made by earlier code)" in gallery.drawn[0].caption


def test_what_is_missing_is_named_with_the_command_that_makes_it(tmp_path):
    empty = Runs(Store(tmp_path / "none"))
    gallery = draw_gallery(tmp_path / "out", [SEVEN, THREE], "smoke", shelves(empty))
    assert (gallery.drawn, gallery.damaged, gallery.files) == ((), (), [])
    assert [str(missing) for missing in gallery.missing] == [
        "pathak2023-figure-7: no run of m=3: make it with:"
        " iclproof runs start pathak2023-figure-7 --preset smoke",
        "pathak2023-figure-3: no run of m=3, n=150; m=3, n=600: make it with:"
        " iclproof runs start pathak2023-figure-3 --preset smoke",
    ]
    assert not (tmp_path / "out").exists()


def test_a_preset_that_an_experiment_lacks_is_named(new, tmp_path):
    trained = find_figure("zhang2024-trained")
    assert trained.configs("paper") == {}
    gallery = draw_gallery(tmp_path, [trained], "paper", shelves(new))
    (missing,) = gallery.missing
    assert str(missing) == (
        "zhang2024-trained: zhang2024-trained does not have this preset; choose another"
    )


def test_some_runs_of_a_figure_are_drawn_and_the_others_named(tmp_path):
    some = compute(tmp_path / "some", NAMES[1], "m=3, n=600")
    gallery = draw_gallery(tmp_path / "out", [THREE], "smoke", shelves(some))
    assert list(gallery.drawn[0].sources) == ["m=3, n=600"]
    assert "from n = 600" not in gallery.drawn[0].caption
    assert [missing.labels for missing in gallery.missing] == [("m=3, n=150",)]


def test_a_damaged_run_is_named_with_its_folder_and_the_next_shelf_is_drawn(damaged, new, tmp_path):
    broken, folder = damaged
    gallery = draw_gallery(tmp_path / "out", [SEVEN], "smoke", shelves(broken, new))
    assert [figure.sources["m=3"].shelf for figure in gallery.drawn] == ["shelf 1"]
    (problem,) = gallery.damaged
    assert str(folder) in problem
    alone = draw_gallery(tmp_path / "out", [SEVEN], "smoke", shelves(broken))
    assert (alone.drawn, alone.damaged) == ((), (problem,))
    assert alone.missing[0].labels == ("m=3",)


def test_files_and_page_are_written_and_name_the_run(new, tmp_path):
    out = tmp_path / "out"
    gallery = draw_gallery(out, [SEVEN], "smoke", shelves(new))
    (figure,) = gallery.drawn
    names = [f"pathak2023-figure-7.{kind}" for kind in ("svg", "png", "txt")]
    assert [path.name for path in gallery.files] == names
    assert sorted(out.iterdir()) == sorted(gallery.files)
    assert write_page(out, gallery, "smoke") == out / "captions.md"
    assert (out / names[2]).read_text() == f"{figure.caption}\n"
    address = figure.sources["m=3"].run.address
    page = (out / "captions.md").read_text()
    assert f"address {address[:12]}" in page
    assert f"]({names[0]})" in page
    assert "Again: `iclproof runs start pathak2023-figure-7 --preset smoke`" in page
    assert address[:12] in (out / names[0]).read_text()
    data = figure.as_dict()
    assert data["sources"]["m=3"]["address"] == address
    assert data["sources"]["m=3"]["from"] == "shelf 0"
    assert data["files"] == [str(out / name) for name in names]


def test_captions_are_shown_by_markdown_as_they_are(new, tmp_path):
    odd = dataclasses.replace(SEVEN, describe=lambda runs: "|u*| and U_F, x^2 < y.")
    write_page(tmp_path, draw_gallery(tmp_path, [odd], "smoke", shelves(new)), "smoke")
    assert r"\|u\*\| and U\_F, x\^2 \< y." in (tmp_path / "captions.md").read_text()


def test_a_full_disk_is_told_with_the_file(new, tmp_path, monkeypatch):
    def write(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", write)
    with pytest.raises(OSError, match="No space left on device") as caught:
        draw_gallery(tmp_path, [SEVEN], "smoke", shelves(new))
    assert caught.value.filename == str(tmp_path / f"{SEVEN.name}.svg")
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_page(tmp_path, Gallery((), (), ()), "smoke")
    assert caught.value.filename == str(tmp_path / "captions.md")
