"""The examples of docs/ledger.md run as written, and the page says what is true."""

import re
import subprocess
import sys
import tomllib

import pytest

from papers import collection
from papers.cli import app
from papers.ledger import Verdict
from papers.source_tree import versions
from tests.test_readme import ROOT, blocks

PAGE = (ROOT / "docs" / "ledger.md").read_text()


def run(example: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_examples_run():
    level, checked, paper = blocks(PAGE, "python")
    assert f"# {run(level)}" in level
    lines = run(checked).splitlines()
    assert len(lines) == 9
    assert lines[0] == "pathak2023/program-line-1, holds as printed, proved"
    assert run(paper) == ""


def test_the_table_has_every_verdict():
    rows = re.findall(r"^\| (.+?) \| `(\w+)` \| (yes|no)", PAGE, flags=re.MULTILINE)
    expected = {(str(v), v.name.lower(), "yes" if v.passes else "no") for v in Verdict}
    assert set(rows) == expected


def test_the_entry_point_is_of_our_group():
    (example,) = blocks(PAGE, "toml")
    entries = tomllib.loads(example)["project"]["entry-points"]
    assert list(entries) == [collection.GROUP]
    assert entries[collection.GROUP] == {"mine2025": "mine2025:PAPER"}


def test_the_libraries_that_count_are_named():
    told = " ".join(PAGE.split())
    for library in re.findall(r"(?:^|, )([\w-]+) ", versions()):
        assert library in told.split("the versions of ")[1].split(";")[0]


@pytest.mark.parametrize(
    "name", ["verify", "list", "show", "mutants", "impact", "status", "open", "errata"]
)
def test_every_command_and_option_that_is_named_exists(name):
    (command,) = (c for c in app.registered_commands if (c.name or c.callback.__name__) == name)
    (call, *_) = calls = re.findall(rf"^iclproof {name}\b.*", PAGE, flags=re.MULTILINE)
    assert call
    named = {
        option.replace("-", "_") for line in calls for option in re.findall(r"--([a-z-]+)", line)
    }
    assert named <= set(command.callback.__annotations__)
    assert "as_json" in command.callback.__annotations__
