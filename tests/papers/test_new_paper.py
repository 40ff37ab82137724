"""`iclproof new-paper`: the key, the files, the folder."""

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papers.collection import Paper
from papers.ledger import Verdict
from papers.new_paper import check_key, project_files, write_project
from tests.papers.statement_checks import SEEDS, holds, tells_what_it_is

ROOT = Path(__file__).parents[2]
TAKEN = ("zhang2024", "pathak2023")


# The key


@pytest.mark.parametrize("key", ["mine2025", "x", "smith2025b", "zhang2024b"])
def test_a_good_key_is_taken(key):
    check_key(key, TAKEN)


@pytest.mark.parametrize(
    ("key", "reason", "proposal"),
    [
        ("", "it is empty", None),
        ("Mine2025", "ids of statements are in lower case", "mine2025"),
        ("my-paper", "a Python package has no hyphens", "mypaper"),
        ("my_paper", "ids of statements have no underscores", "mypaper"),
        ("2025mine", "a Python package cannot begin with a digit", "mine2025"),
        ("2025", "a Python package cannot begin with a digit", None),
        ("my paper/2", "it contains ' ', '/'", "mypaper2"),
        ("../x", "it contains '.', '/'", "x"),
        ("mine\n", r"it contains '\n'", "mine"),
        ("é", "it contains 'é'", None),
        ("lambda", "it is a word of Python", "lambdapaper"),
        ("zhang2024", "there is a paper with this key already", "zhang2024b"),
        ("json", "there is a Python module of this name", "jsonpaper"),
        ("theory", "there is a Python module of this name", "theorypaper"),
        ("tests", "the folder of the project's tests", "testspaper"),
    ],
)
def test_a_bad_key_is_refused_with_a_reason_and_one_that_would_do(key, reason, proposal):
    with pytest.raises(ValueError, match="the key of the paper is") as caught:
        check_key(key, TAKEN)
    message = str(caught.value)
    assert message.startswith(f"the key of the paper is {key!r}: {reason}")
    assert "expected a letter a-z, then a-z and 0-9" in message
    assert re.findall(r"; (\w+) would do$", message) == ([proposal] if proposal else [])


@given(st.text(st.sampled_from("aAbz09_-. é")) | st.sampled_from(["class", "os", *TAKEN]))
def test_a_key_is_good_or_refused_with_one_that_is_good(key):
    try:
        check_key(key, TAKEN)
    except ValueError as error:
        for proposal in re.findall(r"; (\w+) would do$", str(error)):
            check_key(proposal, TAKEN)
    else:
        assert re.fullmatch(r"[a-z][a-z0-9]*", key)
        Paper(key, "", "", "m")


def test_a_folder_without_code_is_no_module(on_path):
    (on_path / "mine2025").mkdir()
    check_key("mine2025", TAKEN)
    (on_path / "mine2025" / "__init__.py").touch()
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match="a Python module of this name"):
        check_key("mine2025", TAKEN)


# The files


WRITTEN = [
    "README.md",
    "mine2025/__init__.py",
    "mine2025/one_step.py",
    "mine2025/statements.py",
    "pyproject.toml",
    "tests/test_statements.py",
]


def test_the_files_are_those_of_a_small_project():
    found = project_files("mine2025", "Mine")
    assert sorted(map(str, found)) == WRITTEN
    assert [name for name, text in found.items() if "KEY" in text or "TITLE" in text] == []


@given(st.text(min_size=1).filter(lambda text: text.strip() and text.isprintable()))
def test_every_printable_title_arrives(title):
    found = project_files("mine2025", title)
    project = tomllib.loads(found[PurePosixPath("pyproject.toml")])["project"]
    assert project["description"] == title
    tree = ast.parse(found[PurePosixPath("mine2025/__init__.py")])
    (call,) = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    values = {argument.arg: ast.literal_eval(argument.value) for argument in call.keywords}
    assert Paper(**values) == Paper("mine2025", title, values["reference"], "mine2025.statements")
    assert found[PurePosixPath("README.md")].startswith(f"# {title}\n")


@pytest.mark.parametrize("title", ["", "  ", "two\nlines", "\x7f", "\udc80"])
def test_a_title_that_is_no_line_of_text_is_refused(title):
    with pytest.raises(ValueError, match="expected one line of printable text"):
        project_files("mine2025", title)


def test_the_code_is_in_the_style_of_the_house(tmp_path):
    """By the same rules, but for docstrings of tests; papers is a library here."""
    write_project(tmp_path / "mine2025", project_files("mine2025", "Mine"))
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    ignored = [*rules["ignore"], "D103"]
    lint = ["check", "--select", ",".join(rules["select"]), "--ignore", ",".join(ignored)]
    program = Path(sys.executable).with_name("ruff")
    for command in (lint, ["format", "--check"]):
        done = subprocess.run(
            [program, *command, "--no-cache", "--line-length", "100", "."],
            cwd=tmp_path / "mine2025",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def example(on_path):
    """The worked statement."""
    write_project(on_path / "project", project_files("toymine", "Mine"))
    (on_path / "project" / "toymine").rename(on_path / "toymine")
    importlib.invalidate_caches()
    (found,) = importlib.import_module("toymine").PAPER.statements
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_the_worked_statement_is_refuted_as_printed_and_proved_as_corrected(example, seed):
    tells_what_it_is(example, "toymine")
    result = holds(example, seed, Verdict.CORRECTED)
    assert str(result.grade) == "proved"
    assert "d = 1, N = 1" in result.printed.counterexample
    assert len(result.mutants) == 5


def test_its_formula_is_what_a_simulation_finds(example):
    """The one oracle that shares nothing with it: the mean over many prompts."""
    import numpy as np

    d, N, eta, rng = 3, 5, 0.7, np.random.default_rng(0)
    w, x = np.array([2.0, 0, 0]), rng.normal(size=(200_000, N + 1, d))
    v = eta / N * np.einsum("bi,bij->bj", x[:, :N] @ w, x[:, :N])
    losses = np.einsum("bj,bj->b", v - w, x[:, N]) ** 2
    claimed = 4 * example.correction.claim.loss(d, N, eta)
    error = losses.std() / len(losses) ** 0.5
    assert abs(losses.mean() - claimed) < 4 * error
    assert 20 * error < 4 * abs(example.printed.loss(d, N, eta) - claimed / 4)


# The folder


def test_a_kill_leaves_no_folder(monkeypatch, tmp_path):
    def killed(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        write_project(tmp_path / "a" / "mine", project_files("mine", "Mine"))
    assert list((tmp_path / "a").iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_there_is_left_as_it_is(iclproof, monkeypatch, tmp_path, kind):
    place = tmp_path / "mine2025"
    make = {"file": place.touch, "folder": place.mkdir, "link": lambda: place.symlink_to("no")}
    make[kind]()
    monkeypatch.chdir(tmp_path)
    done = iclproof("new-paper", "mine2025")
    assert (done.code, done.out) == (2, "")
    assert "mine2025 is there already, and was left as it is; choose another folder" in done.err
    assert (place.is_file(), place.is_dir(), place.is_symlink()) == (
        kind == "file",
        kind == "folder",
        kind == "link",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine2025"]


def test_a_folder_that_cannot_be_made_is_one_line(iclproof, tmp_path):
    (tmp_path / "file").touch()
    done = iclproof("new-paper", "mine2025", "--out", tmp_path / "file" / "mine")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "file" in done.err


# The command


def test_the_command_writes_the_files_and_says_what_is_next(iclproof, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    done = iclproof("new-paper", "mine2025")
    assert (done.code, done.err) == (0, "")
    assert "mine2025: the paper mine2025 with one statement, mine2025/one-step" in done.out
    assert "-m pip install --no-build-isolation --editable mine2025\n" in done.out
    assert "iclproof verify --paper mine2025\n" in done.out
    written = [str(path.relative_to("mine2025")) for path in Path("mine2025").rglob("*.*")]
    assert sorted(written) == WRITTEN


def test_with_json_it_says_the_same_as_data(iclproof, tmp_path):
    out = tmp_path / "deep" / "folder of mine"
    done = iclproof("new-paper", "mine2025", "--title", "Mine", "--out", out, "--json")
    assert (done.code, done.err) == (0, "")
    data = json.loads(done.out)
    install, verify = data.pop("next")
    assert data == {
        "key": "mine2025",
        "title": "Mine",
        "out": str(out),
        "files": [str(name) for name in project_files("mine2025", "Mine")],
    }
    assert install[1:] == ["-m", "pip", "install", "--no-build-isolation", "--editable", str(out)]
    assert verify[1:] == ["verify", "--paper", "mine2025"]
    assert sorted(data["files"]) == WRITTEN
    for name, text in project_files("mine2025", "Mine").items():
        assert (out / name).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("call", [("beyond",), ("Mine",), ("mine2025", "--title", " "), ()])
def test_a_bad_call_writes_nothing(iclproof, monkeypatch, tmp_path, call):
    monkeypatch.chdir(tmp_path)
    done = iclproof("new-paper", *call)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
