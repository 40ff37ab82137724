"""Configs: what they refuse, and what they derive."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simulations.transformers import (
    Curriculum,
    ModelConfig,
    Steps,
    TrainingSet,
    TransformerTraining,
)
from tests.simulations.transformers.cases import LAWS, QUICK, changed

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("kind", "arguments", "told"),
    [
        (ModelConfig, {"layers": 0, "heads": 0}, ["layers is 0", "heads is 0"]),
        (ModelConfig, {"width": 1, "heads": 1}, ["width is 1; expected an integer >= 2"]),
        (ModelConfig, {"width": 10}, ["width is 10; expected a multiple of heads, 4"]),
        (ModelConfig, {"max_examples": 0}, ["max_examples is 0"]),
        (ModelConfig, {"init_std": 0.0}, ["init_std is 0.0"]),
        (ModelConfig, {"dropout": 1.0}, ["dropout is 1.0; expected a share below 1"]),
        (ModelConfig, {"dropout": -0.1}, ["dropout is -0.1"]),
        (
            ModelConfig,
            {"architecture": "section-1.2", "dropout": 0.1},
            ["dropout is for 'gpt2'; expected 0"],
        ),
        (Steps, {"count": 0, "batch_size": 0}, ["count is 0", "batch_size is 0"]),
        (Steps, {"warm_up": -1}, ["warm_up is -1; expected an integer >= 0"]),
        (Steps, {"step_size": 0.0, "clip": 0.0}, ["step_size is 0.0", "clip is 0.0"]),
        (Steps, {"step_size": math.inf}, ["step_size is inf"]),
        (Steps, {"betas": (0.9, 1.0)}, ["betas is (0.9, 1.0); expected two numbers in [0, 1)"]),
        (Steps, {"betas": (math.nan, 0.5)}, ["betas is"]),
        (
            Curriculum,
            {"dim": 0, "points": 1},
            ["dim is 0", "points is 1; expected an integer >= 2"],
        ),
        (Curriculum, {"every": 0, "dim_increment": -1}, ["every is 0", "dim_increment is -1"]),
        (TrainingSet, {"size": 0, "seed": -1}, ["size is 0", "seed is -1"]),
    ],
)
def test_bad_parts(kind, arguments, told):
    with pytest.raises(ValueError, match=rf"{kind.__name__}: {len(told)} problem") as caught:
        kind(**arguments)
    assert all(part in str(caught.value) for part in told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"records": 14}, ["records is 14; expected at most one a step, 13"]),
        ({"records": 0}, ["records is 0"]),
        ({"seeds": ()}, ["seeds is (); expected distinct integers >= 0, at least one"]),
        ({"seeds": (1, 1)}, ["seeds is (1, 1)"]),
        ({"seeds": (0, -1)}, ["seeds is (0, -1)"]),
        (
            {"training_set": TrainingSet(5)},
            ["training_set.size is 5; expected at least", "size, 6"],
        ),
        (
            {"training_set": TrainingSet(9), "curriculum": Curriculum(dim=2)},
            ["curriculum.dim is 2", "expected 3 or more"],
        ),
        (
            {"model": ModelConfig("section-1.2"), "compiled": True},
            ["compiled is for 'gpt2'"],
        ),
        (
            {"model": ModelConfig(max_examples=3)},
            ["prompts.num_examples is 4, and model.max_examples 3"],
        ),
        (
            {"model": ModelConfig(max_examples=3), "records": 14, "seeds": ()},
            ["max_examples 3", "records is 14", "seeds is ()", "3 problem(s)"],
        ),
    ],
)
def test_bad_trainings(arguments, told):
    with pytest.raises(ValueError, match="TransformerTraining") as caught:
        changed(**arguments)
    assert all(part in str(caught.value) for part in told)


def test_words_that_are_no_choice_are_refused_without_the_types_of_tests():
    """Where nothing checks types, as in use: a word that is not known is not taken for another."""
    code = """
from simulations.transformers import *
for call in (
    lambda: ModelConfig(architecture="gpt-2", positions="sinus"),
    lambda: Steps(decay="linear"),
    lambda: GaussianPrompts(covariance="toeplitz"),
    lambda: TransformerTraining(device="tpu", precision="float16"),
    lambda: TransformerTraining(seeds=(0.5,)),
):
    try:
        call()
    except ValueError as error:
        print(" ".join(str(error).split()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    told = done.stdout.splitlines()
    assert len(told) == 5
    assert "architecture is 'gpt-2'" in told[0]
    assert "positions is 'sinus'" in told[0]
    assert "decay is 'linear'; expected one of ('none', 'cosine')" in told[1]
    assert "covariance is 'toeplitz'; expected 'identity' or 'exponential'" in told[2]
    assert "device is 'tpu'" in told[3]
    assert "precision is 'float16'" in told[3]
    assert "seeds is (0.5,)" in told[4]


def test_step_sizes_rise_and_fall():
    constant = Steps(100, step_size=0.5, warm_up=10, decay="none")
    np.testing.assert_allclose(
        [constant.step_size_at(s) for s in (0, 4, 9, 99)], [0.05, 0.25, 0.5, 0.5]
    )
    assert Steps(100, step_size=0.5, warm_up=0, decay="none").step_size_at(0) == 0.5
    falling = Steps(100, step_size=0.5, warm_up=0)
    assert falling.step_size_at(0) == 0.5
    assert falling.step_size_at(50) == pytest.approx(0.25)
    sizes = [falling.step_size_at(s) for s in range(100)]
    assert sizes == sorted(sizes, reverse=True)
    assert 0 < sizes[-1] < 2e-4
    assert falling.step_size_at(100) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(("steps", "records"), [(13, 4), (13, 13), (1, 1), (3500, 50), (7, 5)])
def test_records_are_spread_and_end_with_the_last_step(steps, records):
    config = TransformerTraining(LAWS["mixture"], steps=Steps(steps), records=records)
    found = config.record_steps
    assert len(set(found)) == records
    assert found[-1] == steps
    gaps = np.diff([0, *found])
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


def test_positions_are_those_of_the_longest_prompt():
    assert QUICK.num_positions == 9
    assert changed(model=ModelConfig(max_examples=7)).num_positions == 15
    assert changed(model=ModelConfig(positions="none")).num_positions is None


def test_weights_start_at_one_over_the_root_of_the_width():
    assert ModelConfig(width=64).weight_std == 0.125
    assert ModelConfig(init_std=0.02).weight_std == 0.02
