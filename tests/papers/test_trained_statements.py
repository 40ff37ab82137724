"""Statements on trained models fall if a stored curve, an error of one or a model is another."""

import dataclasses

import numpy as np
import pytest

from papers.beyond import trained_on_longer_prompts, trained_transformers, trained_under_shift
from papers.beyond.trained_models import Estimates, TrainedModels

ERRORS, SHIFT = trained_transformers.ERRORS, trained_under_shift.ADDED
LABEL = "m=2, sigma=1"

#: What is altered in the run of m = 2, by the names of its arrays, and to what.
ALTERED = {
    "every standard error": ("standard_error", 1e-9),
    "the excess of the second seed": ("seed-1/excess/mean", -0.5),
    "a margin of the third": ("seed-2/margin/ridge/mean", 99.0),
    "how far the argmin is": ("apart/argmin/mean", 99.0),
    "medians of ridge regression": ("error/ridge/median", 9.0),
}


def altering(module, name, value):
    """What reads runs, with arrays whose names end so replaced in that of m = 2."""
    read = module.trained_models

    def altered(experiment, label):
        run = read(experiment, label)
        arrays = {
            key: np.full_like(array, value) if key.endswith(name) else array
            for key, array in run.arrays.items()
        }
        return run._replace(arrays=arrays) if label == LABEL else run

    return altered


def judged():
    return ERRORS.full(ERRORS.printed, np.random.default_rng(0))


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_curve_is_noticed(monkeypatch, name):
    part, value = ALTERED[name]
    read = altering(trained_transformers, part, value)
    monkeypatch.setattr(trained_transformers, "trained_models", read)
    found = judged()
    assert not found.holds
    assert part in found.counterexample
    assert "the stored prompts are answered again" in found.counterexample


def test_one_model_in_the_place_of_three_is_noticed(monkeypatch):
    read = trained_transformers.trained_models

    def thrice(experiment, label):
        run = read(experiment, label)
        arrays = {
            **run.arrays,
            **{
                key.replace("seed-0", f"seed-{seed}"): array
                for key, array in run.arrays.items()
                if key.startswith("seed-0")
                for seed in (1, 2)
            },
        }
        return TrainedModels(
            run.label, run.training, dict.fromkeys(run.models, run.models[0]), arrays
        )

    monkeypatch.setattr(trained_transformers, "trained_models", thrice)
    assert judged().counterexample == f"{LABEL}: seeds 0 and 1 have one model"


def test_an_altered_curve_of_a_shift_is_noticed_in_the_full_tier(monkeypatch):
    part = "seed-2/weight-shift/mean"
    read = altering(trained_under_shift, part, 0.0126)
    monkeypatch.setattr(trained_under_shift, "trained_models", read)
    claim = dataclasses.replace(SHIFT.printed, shifts={0.25: SHIFT.printed.shifts[0.25]})
    found = SHIFT.full(claim, np.random.default_rng(0))
    assert not found.holds
    assert part in found.counterexample


def test_an_altered_curve_of_longer_prompts_is_noticed(monkeypatch):
    """By one per cent, of the law that the model was not trained on."""
    module, label = trained_on_longer_prompts, trained_on_longer_prompts.LABELS[1]
    run, name = module.trained_models(module.EXPERIMENT, label), "seed-0/random-1/mean"
    changed = run._replace(arrays={**run.arrays, name: 1.01 * run.arrays[name]})
    monkeypatch.setattr(module, "trained_models", lambda *_: changed)
    curves = list(module._again(label, "random-1", module.trained))
    assert [found.share > 1 for found in curves] == [True, False]
    assert name in curves[0].told


def test_a_standard_error_that_is_none_counts_as_infinite():
    arrays = {"a/mean": np.zeros(3), "a/standard_error": np.array([1.0, -1.0, np.nan])}
    assert Estimates.stored(arrays, "a").above(2.0).tolist() == [2, np.inf, np.inf]
