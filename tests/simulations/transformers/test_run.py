"""What a training records and gives, and what stops it."""

import dataclasses
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from constructions.gpt2 import GPT2
from simulations.transformers import (
    DivergedError,
    MixturePrompts,
    ModelConfig,
    Steps,
    TrainingRun,
    train,
)
from simulations.transformers.models import new_model
from simulations.transformers.predictor import ModelPredictor
from simulations.transformers.section_1_2 import Section12
from tests.simulations.transformers.cases import PLAIN, QUICK, RUNS, bits, changed
from theory import PromptBatch, RegressionMixture

ROOT = Path(__file__).parents[3]

WILD = changed(steps=Steps(13, 6, step_size=1e30, warm_up=0), seeds=(0, 5))


def test_a_diverged_training_is_told_and_the_last_checkpoint_survives():
    """Four quiet steps, then one weight that is no number."""
    kept = []

    def keep(run):
        kept.append(run.save())
        with torch.no_grad():
            run._parameters[2].view(-1)[0] = math.inf

    run = TrainingRun(changed(seeds=(0, 5)))
    with pytest.raises(DivergedError, match="diverged between steps 4 and 7") as caught:
        train(run, keep)
    assert "seeds [0, 5]" in str(caught.value)
    assert "smaller steps.step_size than 0.003 or set steps.clip" in str(caught.value)
    assert len(kept) == 1
    restored = TrainingRun.restored(changed(seeds=(0, 5)), kept[-1])
    assert restored.step == 4
    assert bits(train(restored)) == bits(train(TrainingRun(changed(seeds=(0, 5)))))


@pytest.mark.parametrize(
    "config",
    [WILD, dataclasses.replace(WILD, model=PLAIN), changed(steps=WILD.steps, precision="bfloat16")],
)
def test_too_large_a_step_is_a_diverged_training(config):
    with pytest.raises(DivergedError, match="training diverged between steps 0 and 4"):
        train(TrainingRun(config))


def test_weights_that_are_not_finite_are_seen_though_losses_are():
    """The last step spoils the weights; no loss has seen them."""
    run = TrainingRun(QUICK)
    run.advance(3)
    run._take_step()
    with torch.no_grad():
        run._parameters[2].view(-1)[0] = math.nan
    assert torch.isfinite(run._sums).all()
    with pytest.raises(DivergedError):
        run._record(0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_told():
    with pytest.raises(ValueError, match="device is 'cuda', and torch finds no GPU here; expected"):
        TrainingRun(changed(device="cuda"))


def test_progress_is_told_at_every_record():
    seen = []
    run = train(TrainingRun(QUICK), lambda run: seen.append(run.step))
    assert seen == [4, 7, 10, 13]
    assert run.records().steps.tolist() == seen
    train(run, lambda run: seen.append(run.step))
    assert len(seen) == 4


def test_records_so_far():
    run = TrainingRun(RUNS["seeds"])
    assert run.records().losses.shape == (0, 3)
    run.advance(8)
    early = run.records()
    assert early.steps.tolist() == [4, 7]
    run.advance(13)
    assert np.array_equal(run.records().losses[:2], early.losses)
    assert np.all(early.losses > 0)


def test_steps_go_forward_and_end():
    run = TrainingRun(QUICK)
    run.advance(4)
    for until in (3, 14):
        with pytest.raises(
            ValueError, match=rf"advance\({until}\): expected a number from 4, .* 13"
        ):
            run.advance(until)
    run.advance(4)
    assert run.step == 4


def test_models_are_the_trained_ones_in_evaluation_mode():
    for name in ("dropout", "section 1.2"):
        run = train(TrainingRun(RUNS[name]))
        models = run.models()
        assert len(models) == 2
        for model, weights in zip(models, run.weights(), strict=True):
            assert isinstance(model, Section12 if name == "section 1.2" else GPT2)
            assert not model.training
            state = model.state_dict()
            assert state.keys() == weights.keys()
            assert all(torch.equal(state[key], weights[key]) for key in weights)
            # A copy: the training goes on without it.
            with torch.no_grad():
                next(model.parameters()).zero_()
        assert all(w[next(iter(w))].any() for w in run.weights())


def test_losses_are_those_of_the_batches_before_their_steps():
    """The first, of models that were not trained yet: mean squares with noise, at every x."""
    config = dataclasses.replace(RUNS["seeds"], records=13)
    run = TrainingRun(config)
    fresh, batches = run.models(), run._batches
    run.advance(1)
    for number, seed in enumerate(config.seeds):
        xs, ys = batches(seed, 0)
        found = ModelPredictor(fresh[number]).predict_all_prefixes(PromptBatch(xs, ys[:, :-1]))
        expected = np.mean((found - ys) ** 2)
        assert run.records().losses[0, number] == pytest.approx(expected, rel=1e-6)


def test_spare_positions_keep_their_start():
    config = RUNS["spare positions"]
    start = TrainingRun(config).weights()[0]["positions"]
    end = train(TrainingRun(config)).weights()[0]["positions"]
    assert start.shape == (15, 8)
    assert torch.equal(start[9:], end[9:])
    assert (start[:9] != end[:9]).all()


def test_starts_depend_on_the_seed_and_on_nothing_else():
    first, again = new_model(QUICK, 3).state_dict(), new_model(QUICK, 3).state_dict()
    other = new_model(QUICK, 4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["read_in.weight"], other["read_in.weight"])
    longer = new_model(changed(steps=Steps(20, 6)), 3).state_dict()
    assert all(torch.equal(first[name], longer[name]) for name in first)


def test_bfloat16_is_near_float32_and_not_it():
    exact = train(TrainingRun(QUICK)).records().losses
    rough = train(TrainingRun(changed(precision="bfloat16"))).records().losses
    difference = np.abs(rough / exact - 1).max()
    assert 1e-6 < difference < 0.03
    assert {p.dtype for p in TrainingRun(changed(precision="bfloat16"))._parameters} == {
        torch.float32
    }


COMPILED = """
import dataclasses
import torch
from simulations.transformers import ModelConfig, Steps, TrainingRun, train
from tests.simulations.transformers.cases import changed

torch.set_num_threads(1)
steps, model = Steps(5, 6, warm_up=3), ModelConfig(layers=1, heads=2, width=8)
plain = changed(steps=steps, model=model, records=5)
compiled = dataclasses.replace(plain, compiled=True)
runs = [train(TrainingRun(config)) for config in (plain, compiled)]
assert runs[0].weights()[0].keys() == runs[1].weights()[0].keys()
assert TrainingRun.restored(compiled, runs[1].save()).save() == runs[1].save()
for run in runs:
    print(*run.records().losses[:, 0])
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_models_train_as_the_others():
    """Losses to 1e-5 relatively; apart, as torch cannot trace the checks of types of tests."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    plain, compiled = (np.array(line.split(), float) for line in done.stdout.splitlines())
    assert len(plain) == 5
    np.testing.assert_allclose(compiled, plain, rtol=1e-5)


# Learning

LEARNING = dataclasses.replace(
    QUICK,
    prompts=MixturePrompts(2, 2, 0.5, 4),
    model=ModelConfig(layers=2, heads=2, width=32),
    steps=Steps(300, 64, step_size=3e-3, warm_up=30),
    records=3,
)


class ShuffledPrompts(MixturePrompts):
    """Labels of one prompt beside covariates of another: there is nothing to learn."""

    def sample(self, size, rng, active=None):
        xs, ys, exact = super().sample(size, rng, active)
        return xs, np.roll(ys, 1, axis=0), np.roll(exact, 1, axis=0)


def excess(run):
    """Excess over the posterior mean at k = K, that of the zero predictor being 1 - its error."""
    mixture = RegressionMixture(LEARNING.prompts.mixture.components, 0.5)
    xs, ys, exact = LEARNING.prompts.sample(4000, np.random.default_rng(99))
    prompts = PromptBatch(xs, ys[:, :-1])
    (model,) = run.models()
    found = ModelPredictor(model).predict(prompts)
    best = mixture.posterior_mean(prompts)
    errors = [np.mean((f - exact[:, -1]) ** 2) for f in (found, best, 0 * best)]
    return (errors[0] - errors[1]) / (errors[2] - errors[1])


def test_a_small_transformer_learns_the_posterior_mean():
    """One is the zero predictor, zero the posterior mean."""
    assert excess(TrainingRun(LEARNING)) > 0.7
    assert excess(train(TrainingRun(LEARNING))) < 0.1


def test_nothing_is_learned_from_shuffled_labels():
    prompts = ShuffledPrompts(2, 2, 0.5, 4)
    run = train(TrainingRun(dataclasses.replace(LEARNING, prompts=prompts)))
    assert excess(run) > 0.9
    assert run.records().losses[-1, 0] > 0.9 * 2.25
