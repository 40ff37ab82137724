"""The code version follows the sources that an experiment can reach, and nothing else."""

import dataclasses
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from simulations.experiments.experiment import Experiment
from simulations.runs import code_version, source_code
from simulations.runs.source_code import modules_of, sources
from tests.simulations.runs import toys
from tests.simulations.runs.toys import WALK

#: A package, whose `experiment` reaches all but what is called unrelated.
PACKAGE = {
    "lab/__init__.py": "from lab import always",
    "lab/always.py": "",
    "lab/experiment.py": """
from __future__ import annotations
import dataclasses
from typing import TYPE_CHECKING
import lab.direct
from . import sibling
from .sub.inner import value
if TYPE_CHECKING:
    from lab import unrelated
from simulations.experiments.experiment import Experiment

@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0

def compute(config, part, checkpoint):
    from lab.lazy import value
    return {}

def combine(config, parts):
    return {}

TOY = Experiment("lab-toy", "", "", Config, lambda config: ("a",), compute, combine, {})
""",
    "lab/direct.py": "import json, lab.chain",
    "lab/chain.py": "x = 1",
    "lab/sibling.py": "",
    "lab/lazy.py": "def value():\n    from .sub import lazier",
    "lab/sub/__init__.py": "",
    "lab/sub/inner.py": "from ..chain import x\nvalue = 1",
    "lab/sub/lazier.py": "",
    "lab/sub/unrelated.py": "",
    "lab/unrelated.py": "",
    "lab/Direct.txt": "",
}


@pytest.fixture
def version_at(monkeypatch):
    """The version of the package in a folder, and what it covers, read anew each time."""

    def look(folder: Path) -> tuple[str, set[str], tuple[str, ...]]:
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            for remembered in (source_code._version, source_code._read, source_code._names):
                remembered.cache_clear()
            reached, libraries = sources(("lab.experiment",))
            return source_code._version(("lab.experiment",)), set(reached), libraries

    yield look
    for remembered in (source_code._version, source_code._read, source_code._names):
        remembered.cache_clear()


@pytest.fixture
def package(tmp_path):
    return written(tmp_path / "one")


def written(folder: Path) -> Path:
    for name, source in PACKAGE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)
    return folder


def test_all_that_is_reached_counts_and_nothing_else(package, version_at, tmp_path):
    before = set(sys.modules)
    version, reached, libraries = version_at(package)
    assert {name for name in reached if name.split(".")[0] == "lab"} == {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in PACKAGE
        if name.endswith(".py") and "unrelated" not in name
    }
    assert {"simulations.experiments.experiment", "simulations.stored_folder"} <= reached
    assert not [name for name in reached if name.startswith("theory")]
    assert libraries == ("numpy", "scipy")
    assert set(sys.modules) == before, "it imported something"
    # Where the package lies does not matter, nor do the line ends.
    elsewhere = written(tmp_path / "two" / "deeper")
    place = elsewhere / "lab" / "lazy.py"
    place.write_bytes(place.read_bytes().replace(b"\n", b"\r\n"))
    assert version_at(elsewhere)[0] == version


@pytest.mark.parametrize("touched", ["direct", "chain", "sub/lazier", "always"])
def test_a_change_in_what_is_reached_is_another_version(package, version_at, touched):
    before = version_at(package)[0]
    place = package / "lab" / f"{touched}.py"
    place.write_text(place.read_text() + "\nchanged = 1")
    assert version_at(package)[0] != before


def test_comments_docstrings_and_layout_do_not_count(package, version_at):
    before = version_at(package)[0]
    for touched in ("direct", "sub/lazier"):
        place = package / "lab" / f"{touched}.py"
        place.write_text(f'"""What it is."""\n\n\n{place.read_text()}  # why\n')
    assert version_at(package)[0] == before


@pytest.mark.parametrize("touched", ["unrelated", "sub/unrelated"])
def test_a_change_elsewhere_is_not(package, version_at, touched):
    before = version_at(package)[0]
    (package / "lab" / f"{touched}.py").write_text("x = 1")
    assert version_at(package)[0] == before


def test_torch_counts_if_a_source_imports_it(package, version_at):
    before = version_at(package)
    (package / "lab" / "sub" / "lazier.py").write_text("def f():\n    import torch.nn")
    after = version_at(package)
    assert after[2] == ("numpy", "scipy", "torch")
    assert after[0] != before[0]


def test_every_function_of_an_experiment_counts():
    import simulations.training.config_json as codec

    assert modules_of(WALK) == (toys.__name__,)
    partly = dataclasses.replace(
        WALK,
        compute=functools.partial(functools.partial(WALK.compute)),
        decode=codec.config_from_json,
    )
    assert modules_of(partly) == (codec.__name__, toys.__name__)
    assert code_version(partly) != code_version(WALK)
    holding = dataclasses.replace(
        WALK, compute=functools.partial(WALK.compute, codec.config_from_json, told=len)
    )
    assert modules_of(holding) == (codec.__name__, toys.__name__)
    assert code_version(WALK) == code_version(dataclasses.replace(WALK, presets={}))
    assert len(code_version(WALK)) == 64


def test_a_notebook_has_no_version():
    typed = dataclasses.replace(
        WALK, combine=eval("lambda config, parts: {}", {"__name__": "typed"})
    )
    assert isinstance(typed, Experiment)
    with pytest.raises(ValueError, match="an experiment in typed: it has no source file"):
        code_version(typed)


def test_a_script_of_ones_own_is_read(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        PACKAGE["lab/experiment.py"].replace(
            "import lab.direct\nfrom . import sibling\nfrom .sub.inner import value\n", ""
        )
        + "from simulations.runs import code_version\nprint(code_version(TOY))\n"
    )
    versions = set()
    for line in ("", "changed = 1\n"):
        script.write_text(script.read_text() + line)
        done = subprocess.run(
            [sys.executable, script],
            env={"PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            text=True,
            check=True,
        )
        versions.add(done.stdout)
    assert len(versions) == 2


def test_sources_are_those_of_names_as_they_are_spelt():
    found, _ = sources(("theory.predictors",))
    assert "theory.prompts" in found
    assert not [name for name in found if name != name.lower()]
