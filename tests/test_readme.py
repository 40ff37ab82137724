"""What the documents show works as written."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAM = Path(sys.executable).with_name("iclproof")

#: Linked, but drawn by `make figures` from time to time.
MAY_BE_MISSING = {"docs/figures/circuit.svg"}


def blocks(text: str, language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [block for named, block in fenced if named == language]


def run_together(examples: list[str], folder: Path) -> None:
    """Run examples of a page in one program, which must say nothing: warnings are errors."""
    assert all(len(example.splitlines()) <= 20 for example in examples)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(examples)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def commands() -> list[list[str]]:
    """Every call of iclproof in the command blocks, joined over continued lines."""
    lines = "\n".join(blocks(README, "")).replace("\\\n", " ").splitlines()
    split = [shlex.split(line, comments=True) for line in lines if "iclproof" in line]
    return [line[1:] for line in split if Path(line[0]).name == "iclproof"]


def test_the_python_example_prints_a_small_number(tmp_path):
    (example,) = blocks(README, "python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 0 < float(done.stdout) < 5e-12


def test_the_commands_run_one_after_the_other(tmp_path):
    (csv,) = [block for block in blocks(README, "") if block.startswith("prompt,x1")]
    (tmp_path / "prompts.csv").write_text(csv)
    (tmp_path / "components.csv").write_text("w1,w2\n1.0,0.5\n-1.0,2.0\n")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    found = commands()
    named = ["build", "predict", "flow", "figures", "runs", "sweep"]
    assert [command[0] for command in found] == named
    shown = {}
    for command in found:
        done = subprocess.run(
            [PROGRAM, *command],
            cwd=tmp_path,
            env=os.environ | {"ICLPROOF_STORE": str(tmp_path / "store")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        shown[command[0]] = done.stdout
    lines = shown["predict"].splitlines()
    rows = [line.split("│")[1:-1] for line in lines if line.startswith("│")]
    assert [row[0].strip() for row in rows] == ["a", "b"]
    assert all(float(row[3]) < 1e-12 for row in rows)


def test_the_command_table_names_every_command():
    from papers import cli

    names = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    names |= {group.name for group in cli.app.registered_groups}
    cells = re.findall(r"^\| (`iclproof [^|]*)\|", README, flags=re.MULTILINE)
    told = [quoted.removeprefix("iclproof ") for c in cells for quoted in re.findall("`(.*?)`", c)]
    assert {words.split()[0] for words in told} == names


def test_the_makefile_has_the_commands_that_are_named():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"`make ([a-z-]+)`", document.read_text()))
        assert named <= targets, document.name


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_links_lead_to_files(document):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        target = (document.parent / link).resolve()
        assert target.is_relative_to(ROOT), link
        assert target.exists() or str(target.relative_to(ROOT)) in MAY_BE_MISSING, link


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_the_prompts_of_the_documents_are_read(tmp_path, kind):
    from simulations.prompt_files import read_prompts

    text = (ROOT / "docs" / "files.md").read_text()
    if kind == "json":
        (example,) = blocks(text, "json")
        json.loads(example)
    else:
        (example,) = [block for block in blocks(text, "") if block.startswith("prompt,")]
    path = tmp_path / f"prompts.{kind}"
    path.write_text(example)
    found = read_prompts(path)
    assert found.names == ("a", "b")
    assert [group.prompts.num_examples for group in found.groups] == [0, 1]
