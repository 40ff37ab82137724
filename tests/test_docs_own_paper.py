"""docs/your-own-paper.md works as written, in an environment of its own where pip installs."""

import os
import re
import shlex
import subprocess
import venv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import typer

from papers import cli
from papers.new_paper import project_files
from tests.test_readme import ROOT, blocks

PAGE = (ROOT / "docs" / "your-own-paper.md").read_text()
CALLS = [shlex.split(line) for block in blocks(PAGE, "") for line in block.splitlines()]


class Environment(NamedTuple):
    """An environment that sees all that is installed in ours; nothing is written to ours."""

    folder: Path

    def run(self, *call: object) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment."""
        name, *arguments = map(str, call)
        program = self.folder / "env" / "bin" / name
        more = {"ICLPROOF_STORE": str(self.folder / "store"), "PIP_NO_INDEX": "1"}
        return subprocess.run(
            [program, *arguments],
            cwd=self.folder,
            env={**os.environ, **more, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def environment(tmp_path):
    folder = tmp_path / "env"
    venv.EnvBuilder(symlinks=True).create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    # As a folder for packages, not a mere path: an editable iclproof is found by its own .pth file.
    theirs = Path(np.__file__).parents[1]
    (site / "theirs.pth").write_text(f"import site; site.addsitedir({str(theirs)!r})\n")
    program = folder / "bin" / "iclproof"
    program.write_text(f"#!{folder}/bin/python\nfrom papers.cli import main\nmain()\n")
    program.chmod(0o755)
    return Environment(tmp_path)


@pytest.mark.slow
def test_the_page_works_as_written(environment, tmp_path):
    package = tmp_path / "mine2025" / "mine2025"
    example, listing = blocks(PAGE, "python")
    shown = []
    for call in CALLS:
        if len(shown) == 4:  # after the first block
            (package / "best_step.py").write_text(example)
            (package / "statements.py").write_text(listing)
        done = environment.run(*call)
        assert (done.returncode, done.stderr) == (0, ""), call
        shown.append(done.stdout)
    created, installed, first, statement, second, tests, _ = shown
    assert "mine2025/one-step" in created
    assert "Successfully installed iclproof-mine2025" in installed
    assert "1 statement: 1 refuted as printed, holds as corrected\n5 of 5 mutants" in first
    assert f"{package}/one_step.py:" in statement
    assert "1 holds as printed" in second
    assert "8 of 8 mutants killed" in second
    assert "4 passed" in tests
    page = tmp_path / "report" / "index.html"
    assert "One step in context" in page.read_text()

    # A weaker check lets the mutant live, as the page says.
    source = (package / "one_step.py").read_text()
    weak = re.sub(r"^SIZES = .*$", "SIZES = ((1, 1), (1, 2))", source, flags=re.MULTILINE)
    (package / "one_step.py").write_text(weak)
    done = environment.run("iclproof", "verify", "--paper", "mine2025")
    assert done.returncode == 1
    (told,) = re.findall(r"^    FAILED.*?\n\n", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert re.sub(r"^    ", "", told, flags=re.MULTILINE).strip() in done.stdout


def test_nothing_is_installed_in_our_environment():
    site = Path(np.__file__).parents[1]
    assert [path.name for path in site.iterdir() if "mine2025" in path.name] == []


def test_the_table_names_the_files():
    named = re.findall(r"^\| `([\w./]+)` \|", PAGE, flags=re.MULTILINE)
    assert sorted(named) == sorted(map(str, project_files("mine2025", "Mine")))


def test_the_commands_and_options_that_are_named_exist():
    commands = typer.main.get_command(cli.app).commands
    named = set(re.findall(r"iclproof ([a-z-]+)", PAGE))
    assert named <= {*commands}
    assert {"new-paper", "verify", "show", "mutants", "impact", "open", "report"} <= named
    options = {flag for name in named for p in commands[name].params for flag in p.opts}
    pip = {"--no-build-isolation", "--editable"}
    assert set(re.findall(r"(?<!-)--[a-z][a-z-]*", PAGE)) <= options | pip
