"""The examples of docs/experiments.md run as written, and the page says what is true."""

import re
import subprocess
import sys

import typer

from papers.commands.runs import runs as group
from simulations.runs import Runs
from simulations.store import Store
from tests.test_readme import ROOT, blocks

PAGE = (ROOT / "docs" / "experiments.md").read_text()


def python(store: Store, *call: object) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, call)],
        env={"PYTHONPATH": str(ROOT), "ICLPROOF_STORE": str(store.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_examples_run(tmp_path):
    store, (library, own) = Store(tmp_path / "store"), blocks(PAGE, "python")
    (tmp_path / "coin.py").write_text(own)
    assert python(store, "-c", library) == ""
    heads = python(store, tmp_path / "coin.py")
    assert all(abs(float(share) - 0.7) < 0.1 for share in heads.strip("[]\n").split())
    coin, figure = Runs(store).list()
    assert (coin.experiment, figure.experiment) == ("my-coin", "pathak2023-figure-7")
    assert Runs(store).verify() == {}
    # The page's table names the files of a run.
    named = set(re.findall(r"^\| `([\w.]+)` \|", PAGE, flags=re.MULTILINE))
    assert {path.name for path in (store.root / coin.address).iterdir()} == named


def test_the_commands_and_options_exist():
    commands = typer.main.get_command(group).commands
    assert set(re.findall(r"iclproof runs ([a-z]+)", PAGE)) == set(commands)
    options = {flag for each in commands.values() for p in each.params for flag in p.opts}
    assert set(re.findall(r"(?<!-)--[a-z][a-z-]*", PAGE)) <= options
