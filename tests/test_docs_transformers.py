"""The commands and examples of docs/transformers.md run as written, with shorter trainings."""

import dataclasses
import json
import re
import shlex
import sys

import pytest

from papers.cli import main
from simulations.experiments.config_files import fields_from_json
from simulations.transformers import ModelConfig, Steps, TransformerTraining
from simulations.transformers.presets import presets
from tests.test_readme import PROGRAM, ROOT, blocks, run_together

PAGE = (ROOT / "docs" / "transformers.md").read_text()

#: Added to each call of train that has steps of its preset: seconds become a blink.
SHORT = ["--set", "steps.count=6", "--set", "records=2"]


def commands():
    lines = "\n".join(blocks(PAGE, "")).splitlines()
    return [shlex.split(line) for line in lines if "iclproof" in line]


def test_the_commands_and_examples_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    example, own = blocks(PAGE, "python")
    (tmp_path / "my_model.py").write_text(own)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for command in commands():
        # Under torchrun it is run by the tests of the command.
        words = command[command.index("train") :] if command[0] == "torchrun" else command[1:]
        monkeypatch.setattr(sys, "argv", ["iclproof", *words, *(SHORT if "train" in words else [])])
        with pytest.raises(SystemExit) as caught:
            main()
        assert (caught.value.code or 0, capsys.readouterr().err) == (0, ""), command
    sys.modules.pop("my_model")
    run_together([example], tmp_path)
    assert (tmp_path / "comparison.svg").exists()
    assert sorted(path.name for path in (tmp_path / "short").iterdir()) == [
        "checkpoint", "seed-0", "seed-1", "seed-2",
    ]  # fmt: skip


def test_the_call_of_torchrun_is_one_of_its_own():
    (call,) = [command for command in commands() if command[0] != "iclproof"]
    assert call[:5] == ["torchrun", "--nproc-per-node", "2", ".venv/bin/iclproof", "train"]
    assert PROGRAM.with_name("torchrun").exists()


def test_every_field_and_preset_is_named():
    fields = {field.name for field in dataclasses.fields(TransformerTraining)}
    table = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE, flags=re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", " ".join(table)))
    assert fields | {"smoke", "laptop", "paper"} <= named
    told = set(re.findall(r"`(\w+)`", PAGE))
    assert {f.name for f in dataclasses.fields(Steps)} - told == {"betas"}
    assert {f.name for f in dataclasses.fields(ModelConfig)} - told == {
        "layers", "heads", "width", "init_std", "dropout",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["smoke"])
def test_the_labels_exist(name):
    labels = set(re.findall(r'--label "?([^ "]+(?:, [^"]+)?)"? ', PAGE))
    assert labels
    assert labels <= set(presets(name))
    assert '"m=2, section 1.2"' in PAGE
    assert "m=2, section 1.2" in presets(name)


def test_the_config_of_the_page_is_one():
    (text,) = blocks(PAGE, "json")
    config = fields_from_json("config", TransformerTraining, json.loads(text))
    assert (config.prompts.dim, config.training_set.size, config.records) == (4, 10_000, 20)
