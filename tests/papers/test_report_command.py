"""`iclproof report`: what it writes, refuses and tells; kills; and figures."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from papers import collection
from papers.collection import Paper
from papers.report import figures
from papers.report.publish import publish
from simulations.store import Store
from simulations.stored_folder import read_folder, write_folder
from tests.papers import toy_paper
from tests.papers.pages import broken_links
from tests.papers.toy_paper import one

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    papers = (Paper("toy", "Toys", "nobody", "tests.papers.toy_paper"),)
    monkeypatch.setattr(collection, "_OURS", papers)
    monkeypatch.setattr(collection, "entry_points", lambda group: [])


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_writes_a_whole_site_and_says_where(iclproof, tmp_path):
    out = tmp_path / "deep" / "site"
    done = iclproof("report", "--out", out, "--jobs", 1)
    assert (done.code, done.out, done.err) == (0, f"{out / 'index.html'}\n", "")
    files = read_folder(out).files
    assert broken_links(files) == []
    assert "toy.theorem-1.html" in files
    assert {path.name for path in tmp_path.joinpath("deep").iterdir()} == {"site"}


def test_a_second_run_checks_nothing_and_writes_the_same_bytes(iclproof, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    call = ("report", "--out", tmp_path / "site", "--jobs", 1)
    assert iclproof(*call).code == 0
    first, ran = content(tmp_path / "site"), (tmp_path / "log").read_text()
    assert iclproof(*call).code == 0
    assert content(tmp_path / "site") == first
    assert (tmp_path / "log").read_text() == ran
    assert iclproof(*call, "--no-cache").code == 0
    assert content(tmp_path / "site") == first


def test_json_lists_the_files(iclproof, tmp_path):
    done = iclproof("report", "--out", tmp_path / "site", "--jobs", 1, "--json", "--seed", 3)
    data = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert (data["seed"], data["tier"], data["passes"]) == (3, "quick", True)
    assert data["files"] == sorted(data["files"])
    written = {str(p) for p in (tmp_path / "site").iterdir() if p.name != "manifest.json"}
    assert set(data["files"]) == written


@pytest.mark.parametrize("as_json", [False, True])
def test_a_check_that_fails_is_reported_and_the_exit_code_is_1(
    iclproof, tmp_path, monkeypatch, as_json
):
    statements = (one("good"), one("bad", printed=2.0))
    monkeypatch.setattr(toy_paper, "STATEMENTS", statements)
    options = ["--json"] if as_json else []
    done = iclproof("report", "--out", tmp_path / "site", "--jobs", 1, *options)
    assert (done.code, done.err) == (1, "iclproof: toy/bad: check fails\n")
    assert b"1 check fails" in content(tmp_path / "site")["index.html"]
    if as_json:
        assert json.loads(done.out)["passes"] is False


def test_date_source_address_tier_and_paper(iclproof, tmp_path):
    address = "https://host/{path}#L{line}"
    options = ("--date", "1 May 2025", "--source-url", address, "--tier", "full", "--paper", "toy")
    assert iclproof("report", "--out", tmp_path / "site", "--jobs", 1, *options).code == 0
    files = content(tmp_path / "site")
    assert b"tier full, seed 0, 1 May 2025." in files["index.html"]
    assert re.search(rb"https://host/tests/papers/toy_paper.py#L\d+", files["toy.ours.html"])
    assert not any(name.startswith("source--") for name in files)


# What is refused


def test_a_folder_that_holds_something_else_is_left_alone(iclproof, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    out = tmp_path / "photos"
    out.mkdir()
    (out / "photo.jpg").write_text("mine")
    done = iclproof("report", "--out", out)
    assert (done.code, done.out) == (2, "")
    assert "is not a report of ours; nothing was written: choose another path" in done.err
    assert [path.name for path in out.iterdir()] == ["photo.jpg"]
    assert not (tmp_path / "log").exists()


def test_a_file_and_a_folder_of_another_kind_are_refused(iclproof, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "not a report" in iclproof("report", "--out", tmp_path / "file").err
    write_folder(tmp_path / "model", {"weights": b"1"}, {"kind": "model"})
    assert "not a report" in iclproof("report", "--out", tmp_path / "model").err
    assert (tmp_path / "model" / "weights").read_bytes() == b"1"


def test_what_was_put_beside_a_report_is_not_thrown_away(iclproof, tmp_path):
    call = ("report", "--out", tmp_path / "site", "--jobs", 1)
    assert iclproof(*call).code == 0
    (tmp_path / "site" / "CNAME").write_text("mine")
    done = iclproof(*call)
    assert done.code == 2
    assert "holds CNAME beside its stored files" in done.err
    assert (tmp_path / "site" / "CNAME").read_text() == "mine"


def test_an_empty_folder_and_an_old_report_are_replaced(iclproof, tmp_path):
    (tmp_path / "site").mkdir()
    publish(tmp_path / "old", {"index.html": b"old"})
    for name in ("site", "old"):
        assert iclproof("report", "--out", tmp_path / name, "--jobs", 1).code == 0
    assert content(tmp_path / "site") == content(tmp_path / "old")


def test_a_folder_that_cannot_be_made_is_told_before_the_work(iclproof, monkeypatch):
    monkeypatch.setattr("papers.commands.report.open_ledger", None)
    done = iclproof("report", "--out", "/proc/x")
    assert (done.code, done.out) == (2, "")
    assert done.err == "iclproof: /proc/x: No such file or directory\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "Missing option '--out'"),
        (("--out", "x", "--source-url", "nowhere"), "--source-url is 'nowhere'; expected"),
        (("--out", "x", "--paper", "tyo"), "there is no paper 'tyo'; did you mean toy?"),
        (("--out", "x", "--seed", "-1"), "Invalid value for '--seed'"),
        (("--out", "x", "--tier", "slow"), "Invalid value for '--tier'"),
    ],
)
def test_bad_calls_are_one_line_and_write_nothing(iclproof, tmp_path, monkeypatch, options, told):
    monkeypatch.chdir(tmp_path)
    done = iclproof("report", *options)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_circle_of_statements_is_named(iclproof, tmp_path, monkeypatch):
    monkeypatch.setattr(toy_paper, "STATEMENTS", (one("a", "b"), one("b", "a")))
    done = iclproof("report", "--out", tmp_path / "site", "--jobs", 1)
    assert done.code == 2
    assert "in a circle, among toy/a, toy/b" in done.err
    assert not (tmp_path / "site").exists()


# Kills

KILLED = """
import sys
from papers import cli, collection
from papers.collection import Paper
collection._OURS = (Paper("slow", "Slow toys", "nobody", "tests.papers.slow_toys"),)
collection.entry_points = lambda group: []
sys.argv = ["iclproof", "report", "--out", sys.argv[1], "--jobs", "1"]
cli.main()
"""


def test_killed_at_any_moment_there_is_a_whole_report_or_none(tmp_path, monkeypatch):
    monkeypatch.setenv("ICLPROOF_STORE", str(tmp_path / "store"))
    out = tmp_path / "site"

    def start() -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", KILLED, str(out)], cwd=ROOT)

    def moment(kill: int, process: subprocess.Popen) -> bool:
        """While it checks; as soon as it writes; and while it writes over what is there."""
        if kill == 0:
            return len(list(tmp_path.glob("store/verdicts/*"))) > 5
        return bool(list(tmp_path.glob(".site.*.tmp"))) or process.poll() is not None

    kills = 0
    for kill in range(3):
        process = start()
        while not moment(kill, process):
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        assert kill > 0 or not out.exists()
        if out.exists():
            assert broken_links(read_folder(out).files) == []
        for left in tmp_path.glob(".site.*.tmp"):  # they count as left over when an hour old
            older = re.sub(r"\.\d{20}-", f".{time.time_ns() - 7200 * 10**9:020d}-", left.name)
            left.rename(left.with_name(older))
    assert kills > 0
    assert start().wait() == 0
    assert broken_links(read_folder(out).files) == []
    assert list(tmp_path.glob(".site.*")) == []


def test_a_write_that_fails_leaves_the_old_report(iclproof, tmp_path, monkeypatch):
    call = ("report", "--out", tmp_path / "site", "--jobs", 1)
    assert iclproof(*call).code == 0
    before = content(tmp_path / "site")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "site"))

    monkeypatch.setattr(os, "fsync", full)
    done = iclproof(*call, "--seed", 1)
    assert done.code == 2
    assert "No space left on device" in done.err
    monkeypatch.undo()
    assert content(tmp_path / "site") == before
    assert list(tmp_path.glob(".site.*")) == []


# Figures


def test_every_figure_is_on_the_page_of_a_statement_that_exists(monkeypatch):
    monkeypatch.undo()
    ours = {item.id for item in collection.statements()}
    assert figures.illustrated() - ours == set()
    assert len(figures.illustrated()) > 30


def test_figures_are_drawn_for_what_is_shown_and_no_more():
    assert list(figures.illustrations({"toy/lemma-1"})) == []
    wanted = {"zhang2024/theorem-4", "pathak2023/program-line-3", "pathak2023/figure-8"}
    drawn = {one.name: one for one in figures.illustrations(wanted)}
    assert set(drawn) == {"matrices", "flow-phase-portrait", "pathak2023-figure-8"}
    for figure in drawn.values():
        assert figure.svg.startswith(b"<?xml")
        assert b"<dc:date>" not in figure.svg
        assert set(figure.statements) <= wanted
        assert figure.alt
        assert figure.caption
    again = {one.name: one.svg for one in figures.illustrations(wanted)}
    assert again == {name: figure.svg for name, figure in drawn.items()}


def test_results_that_are_not_there_leave_their_figure_out(monkeypatch, tmp_path):
    monkeypatch.setattr("papers.report.drawings.laptop_results", lambda: Store(tmp_path))
    assert list(figures.illustrations({"pathak2023/figure-8"})) == []


def test_figures_can_be_left_out(iclproof, tmp_path, monkeypatch):
    shown = figures.Illustration("f", "alt", "Caption.", ("toy/lemma-1",), b"<svg/>")
    monkeypatch.setattr(figures, "illustrations", lambda ids: iter([shown]))
    call = ("report", "--out", tmp_path / "site", "--jobs", 1)
    assert iclproof(*call).code == 0
    assert "figure--f.svg" in content(tmp_path / "site")
    assert iclproof(*call, "--no-figures").code == 0
    assert "figure--f.svg" not in content(tmp_path / "site")


def test_nothing_else_than_the_folder_is_written(iclproof, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert iclproof("report", "--out", "site", "--jobs", 1).code == 0
    assert {path.name for path in Path().iterdir()} == {"site"}
    shutil.rmtree("site")
