"""The command line, called in this process."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from papers import cli


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def iclproof(monkeypatch, capsys, tmp_path) -> Callable[..., Outcome]:
    """Call the wrapper that the console script calls, with these arguments and a store of ours."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("ICLPROOF_STORE", str(tmp_path / "store"))

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["iclproof", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return Outcome(caught.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def on_path(monkeypatch, tmp_path) -> Iterator[Path]:
    """A folder on the path, whose modules are forgotten afterwards."""
    before = set(sys.modules)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
