"""The examples of docs/sweeps.md run as written, and the page says what is true."""

import re
import subprocess
import sys

from papers.commands.sweep import sweep
from simulations import sweep as module
from tests.test_readme import ROOT, blocks

PAGE = (ROOT / "docs" / "sweeps.md").read_text()
EXAMPLE = (ROOT / "examples" / "sweep.toml").read_text()


def test_the_file_is_the_one_in_the_folder():
    assert blocks(PAGE, "toml") == [EXAMPLE]


def test_the_examples_run(tmp_path):
    (tmp_path / "sweep.toml").write_text(EXAMPLE)
    runs, anything = (
        subprocess.run(
            [sys.executable, "-W", "error", "-c", example],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        for example in blocks(PAGE, "python")
    )
    assert (runs.stderr, anything.stderr) == ("", "")
    lines = runs.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("{'noise_std': 0.5, 'seed': 0} [")
    assert sorted(anything.stdout.splitlines()) == [
        "0 120",
        "1 ValueError: factorial() not defined for negative values",
        "2 5040",
    ]


def test_the_table_has_every_key():
    keys = re.findall(r"^\| `\[?(\w+)\]?` \|", PAGE, flags=re.MULTILINE)
    assert tuple(keys) == module._KEYS


def test_every_option_that_is_named_exists():
    named = set(re.findall(r"--([a-z-]+)", "".join(re.findall(r"iclproof sweep .*", PAGE))))
    assert {name.replace("-", "_") for name in named} <= set(sweep.__annotations__)
    assert named >= {"jobs", "scheduler", "dry-run"}
