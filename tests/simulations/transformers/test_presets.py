"""The presets: labels, sizes and derivations."""

import dataclasses

import numpy as np
import pytest

from simulations.experiments.config_files import fields_as_json, fields_from_json
from simulations.transformers import Steps, TransformerTraining
from simulations.transformers.folder import train_in_folder
from simulations.transformers.presets import find_training, presets

NAMES = ("smoke", "laptop", "paper")
ALL = [(name, label) for name in NAMES for label in presets(name)]


@pytest.mark.parametrize(("name", "label"), ALL)
def test_a_config_is_what_its_json_says(name, label):
    config = find_training(name, label)
    document = fields_as_json(config)
    assert fields_from_json("config", TransformerTraining, document) == config


@pytest.mark.parametrize("label", presets("smoke"))
def test_smoke_trains(tmp_path, label):
    config = presets("smoke")[label]
    short = dataclasses.replace(config, steps=Steps(3, 8, warm_up=0), records=1)
    assert np.all(np.isfinite(train_in_folder(tmp_path, short).losses))


def test_the_labels_say_what_is_trained():
    laptop, paper = presets("laptop"), presets("paper")
    assert [*laptop] == ["m=5, sigma=1", "m=2, sigma=1", "m=5, sigma=0", "d=10, m=5, sigma=1"]
    assert [*paper] == ["m=5, sigma=0", "m=5, sigma=1", "m=20, sigma=0", "m=20, sigma=1"]
    for label, config in [*laptop.items(), *paper.items()]:
        said = {"d": None} | dict(part.split("=") for part in label.split(", "))
        assert config.prompts.num_components == int(said["m"])
        assert config.prompts.noise_std == float(said["sigma"])
        assert said["d"] in (None, str(config.prompts.dim))
    assert {len(laptop[f"m={m}, sigma=1"].seeds) for m in (2, 5)} == {3}
    assert all(config.device == "cpu" for config in laptop.values())


@pytest.mark.parametrize("label", presets("paper"))
def test_the_papers_curriculum_ends_where_its_final_stage_begins(label):
    config = presets("paper")[label]
    whole, steps = config.prompts.num_examples + 1, config.steps.count
    lengths = [config.curriculum.points_at(step, whole) for step in range(0, steps, 1000)]
    dims = [config.curriculum.dim_at(step, 20) for step in range(0, steps, 1000)]
    assert (lengths[0], dims[0], whole) == (11, 5, 61)
    assert lengths.index(61) * 1000 == 50_000  # the 26th phase begins
    assert dims.index(20) * 1000 == 30_000
    assert steps - 26 * 2000 == 250_000
    assert config.steps.step_size_at(0) == config.steps.step_size_at(steps - 1) == 1e-4


@pytest.mark.parametrize(
    ("preset", "label", "words"),
    [
        ("smok", None, "there is no preset 'smok': did you mean 'smoke'?"),
        ("tiny", None, "expected one of 'smoke', 'laptop', 'paper'"),
        ("laptop", "m=5 sigma=1", "has no label 'm=5 sigma=1': did you mean 'm=5, sigma=1'?"),
        ("smoke", "x", "has no label 'x': expected one of 'm=2', 'm=2, section 1.2'"),
        ("laptop", None, "has several labels: expected one of 'm=5, sigma=1', "),
    ],
)
def test_unknown_names_get_one_that_is_near(preset, label, words):
    with pytest.raises(ValueError, match="preset") as caught:
        find_training(preset, label)
    assert words in str(caught.value)
