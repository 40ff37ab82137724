"""Experiments on trained transformers: what they compute, beside computations of other kinds."""

import dataclasses

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from simulations.experiments.catalogue import find_experiment
from simulations.experiments.experiment import NoCheckpoint
from simulations.experiments.gaussian_transformers import (
    GaussianTransformers,
    linear_attention_limit,
)
from simulations.experiments.mixture_transformers import MixtureTransformers, candidates
from simulations.experiments.open_question_transformers import (
    BestLinear,
    NetworkPosteriorMean,
    OpenQuestionTransformers,
)
from simulations.experiments.step_sizes import StepSizes
from simulations.experiments.transformer_training import (
    seed_parts,
    trained,
    trained_predictor,
    training_arrays,
)
from simulations.transformers import (
    GaussianPrompts,
    MixturePrompts,
    ModelConfig,
    NonlinearPrompts,
    RandomMixturePrompts,
    Steps,
    TrainingSet,
    TransformerTraining,
)
from theory import FlowProblem, LinearAttention, PromptBatch, Ridge, random_covariance_risk
from theory.laws import Deterministic, Exponential

TINY = TransformerTraining(
    MixturePrompts(2, 2, 0.5, 4),
    ModelConfig(layers=1, heads=2, width=8),
    Steps(6, 8, warm_up=2),
    seeds=(3, 5),
    records=3,
)


class Kept:
    """A checkpoint in memory that can refuse to go on."""

    def __init__(self, limit=None):
        self.state, self.limit, self.saves = None, limit, 0

    def load(self):
        return self.state

    def save(self, state):
        self.state, self.saves = state, self.saves + 1
        if self.saves == self.limit:
            raise InterruptedError


def test_each_seed_is_a_part_on_the_cpu_and_all_are_one_on_a_gpu():
    parts = seed_parts(TINY)
    assert [t.seeds for t in parts.values()] == [(3,), (5,)]
    gpu = dataclasses.replace(TINY, device="cuda")
    assert list(seed_parts(gpu).values()) == [gpu]


def test_a_training_goes_on_from_its_checkpoint_with_the_same_arrays():
    whole = training_arrays(trained(TINY, NoCheckpoint()))
    kept = Kept(limit=2)
    with pytest.raises(InterruptedError):
        trained(TINY, kept)
    kept.limit = None
    again = training_arrays(trained(TINY, kept))
    assert kept.saves == 3  # two before, one after: nothing was done twice
    assert whole.keys() == again.keys()
    for name, array in whole.items():
        assert array.tobytes() == again[name].tobytes(), name


def test_weights_of_a_run_make_the_same_predictor():
    run = trained(TINY, NoCheckpoint())
    arrays = training_arrays(run)
    xs, ys, _ = TINY.prompts.sample(7, np.random.default_rng(0))
    prompts = PromptBatch(xs, ys[:, :-1])
    answers = {s: trained_predictor(TINY, arrays, s).predict_all_prefixes(prompts) for s in (3, 5)}
    assert not np.allclose(answers[3], answers[5])
    for seed, model in zip(TINY.seeds, run.models(), strict=True):
        tokens = np.zeros((7, 9, 2))
        tokens[:, ::2], tokens[:, 1::2, 0] = xs, ys[:, :-1]
        with torch.no_grad():
            expected = model(torch.tensor(tokens, dtype=torch.float32))[:, ::2, 0]
        assert_allclose(answers[seed], expected.numpy(), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"no seed 4; expected one of \(3, 5\)"):
        trained_predictor(TINY, arrays, 4)


def test_a_mixture_study_stores_what_its_predictors_err():
    config = MixtureTransformers(TINY, 60, num_prompts=64, bootstrap_trials=20)
    result = find_experiment("pathak2023-transformers").run(config)
    law = TINY.prompts
    # The prompts again, from the documented stream.
    stream = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(10, 0)))
    xs, ys, exact = law.sample(64, stream)
    prompts = PromptBatch(xs, ys[:, :-1])
    components = result["components"]
    scores = -((np.einsum("bnd,md->bnm", xs, components)[:, :-1] - ys[:, :-1, None]) ** 2) / 0.5
    sums = np.concatenate([np.zeros((64, 1, 2)), np.cumsum(scores, axis=1)], axis=1)
    weights = np.exp(sums) / np.exp(sums).sum(axis=2, keepdims=True)
    best = np.einsum("bnm,md,bnd->bn", weights, components, xs)
    for seed in TINY.seeds:
        own = trained_predictor(TINY, result, seed).predict_all_prefixes(prompts)
        assert_allclose(result[f"seed-{seed}/error/mean"], np.mean((own - exact) ** 2, 0) / 2)
        assert_allclose(result[f"seed-{seed}/error/median"], np.median((own - exact) ** 2, 0) / 2)
        excess = np.mean((own - exact) ** 2 - (best - exact) ** 2, 0) / 2
        assert_allclose(result[f"seed-{seed}/excess/mean"], excess, atol=1e-12)
        near = np.mean((own - best) ** 2, 0)
        assert_allclose(result[f"seed-{seed}/distance/posterior_mean/mean"], near, atol=1e-12)
        zero = np.mean(own**2 - (own - best) ** 2, 0)
        assert_allclose(result[f"seed-{seed}/margin/zero/mean"], zero, atol=1e-12)
    assert_allclose(result["error/posterior_mean/mean"], np.mean((best - exact) ** 2, 0) / 2)
    assert_allclose(result["apart/zero/mean"], np.mean(best**2, 0))
    for kind, shift in (("covariate-scaling", 1.0), ("weight-scaling", 1.0), ("weight-shift", 0.0)):
        place = list(result[f"{kind}/shifts"]).index(shift)
        # No shift: another sample of the same law.
        ratio = (
            result[f"{kind}/posterior_mean/mean"][place, 0] / result["error/posterior_mean/mean"][0]
        )
        assert 0.4 < ratio < 2.5


def test_without_noise_there_are_no_estimates_and_no_shifts():
    training = dataclasses.replace(TINY, prompts=MixturePrompts(2, 2, 0.0, 4), seeds=(0,))
    config = MixtureTransformers(training, 60, num_prompts=16, bootstrap_trials=5)
    assert list(candidates(config)) == ["posterior_mean", "least_squares", "zero"]
    result = find_experiment("pathak2023-transformers").run(config)
    assert not any("shift" in name or "scaling" in name or "_em" in name for name in result)
    assert_allclose(result["error/posterior_mean/mean"][1:], 0, atol=1e-20)


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0, 9.0])
def test_the_limit_of_linear_attention_is_that_of_the_exact_risk(scale):
    d, huge = 3, 10**9
    trained_on = [Exponential(1.0)] * d
    asked = [Exponential(scale) if scale else Deterministic(1)] * d
    risk = random_covariance_risk(trained_on, asked, huge, huge)
    assert_allclose(linear_attention_limit(scale), float(sum(risk.limit)) / d, rtol=1e-9)


def test_the_limit_of_linear_attention_is_that_of_the_layer():
    """The layer of Theorem 8 itself, on long prompts."""
    d, N = 2, 10**7
    U, u = FlowProblem.random_diagonal([Exponential(1.0)] * d, N).limit()
    layer = LinearAttention.from_blocks(np.zeros(d), np.zeros(d), U, u)
    rng = np.random.default_rng(0)
    law = GaussianPrompts(d, 0.0, 1500, "exponential")
    xs, ys, exact = law.sample(3000, rng)
    errors = (layer.predict(PromptBatch(xs, ys[:, :-1])) - exact[:, -1]) ** 2 / d
    # 1,500 examples are near infinitely many: 1/3 to a few per cent and five standard errors.
    assert abs(errors.mean() - 1 / 3) < 0.02 + 5 * errors.std() / np.sqrt(len(errors))


def test_the_posterior_mean_over_networks_is_bayes_rule_by_hand():
    law = NonlinearPrompts(3, 2, 0.7, 3, 5)
    xs, ys, _ = law.sample(6, np.random.default_rng(1))
    found = NetworkPosteriorMean(law).predict_all_prefixes(PromptBatch(xs, ys[:, :-1]))
    values = law.networks(xs)
    for i in range(6):
        for n in range(4):
            likelihood = [
                np.prod([np.exp(-((values[i, t, j] - ys[i, t]) ** 2) / 0.98) for t in range(n)])
                for j in range(3)
            ]
            expected = np.dot(likelihood, values[i, n]) / np.sum(likelihood)
            assert_allclose(found[i, n], expected, rtol=1e-9)
    assert_allclose(NetworkPosteriorMean(law).predict(PromptBatch(xs, ys[:, :-1])), found[:, -1])


def test_the_best_linear_predictor_is_that_of_the_joint_covariance():
    """E y_i y_j and E y_i y given the covariates, term by term, and the normal equations."""
    law = RandomMixturePrompts(3, 2, 0.3, 5)
    xs, ys, _ = law.sample(4, np.random.default_rng(2))
    prompts = PromptBatch(xs, ys[:, :-1])
    found = BestLinear(law).predict_all_prefixes(prompts)
    for i in range(4):
        for n in range(6):
            # Two examples share a component with chance 1/m, and E w w' = I.
            gram = xs[i, :n] @ xs[i, :n].T
            own = np.diag(np.diag(gram)) + 0.09 * np.eye(n)
            joint = (gram - np.diag(np.diag(gram))) / 3 + own
            weights = np.linalg.solve(joint, xs[i, :n] @ xs[i, n] / 3)
            assert_allclose(found[i, n], weights @ ys[i, :n], rtol=1e-9, atol=1e-12)


def test_no_ridge_regression_is_as_good_on_random_mixtures():
    law = RandomMixturePrompts(2, 3, 0.3, 12)
    xs, ys, exact = law.sample(20_000, np.random.default_rng(2))
    prompts = PromptBatch(xs, ys[:, :-1])
    best = (BestLinear(law).predict(prompts) - exact[:, -1]) ** 2
    for penalty in (0.75, 1.5, 3.0, 6.0):
        worse = (Ridge(penalty).predict(prompts) - exact[:, -1]) ** 2 - best
        assert worse.mean() > 3 * worse.std() / np.sqrt(len(worse))


def test_open_questions_store_errors_and_floor():
    training = dataclasses.replace(TINY, prompts=RandomMixturePrompts(2, 2, 0.1, 4), seeds=(0,))
    experiment = find_experiment("pathak2023-open-questions")
    result = experiment.run(OpenQuestionTransformers(training, 32, bootstrap_trials=5))
    assert result["floor"] == 0.5
    assert_allclose(
        result["seed-0/excess/mean"],
        result["seed-0/error/mean"] - result["error/best_linear/mean"],
        atol=1e-12,
    )
    nonlinear = dataclasses.replace(TINY, prompts=NonlinearPrompts(2, 2, 0.5, 4, 3), seeds=(0,))
    result = experiment.run(OpenQuestionTransformers(nonlinear, 32, bootstrap_trials=5))
    assert np.isnan(result["floor"])
    assert "error/posterior_mean/mean" in result


def test_longer_prompts_use_positions_that_were_not_trained():
    training = dataclasses.replace(
        TINY,
        prompts=GaussianPrompts(2, 0.0, 4),
        model=dataclasses.replace(TINY.model, max_examples=6),
        seeds=(0,),
    )
    config = GaussianTransformers(training, 6, num_prompts=32, bootstrap_trials=5)
    result = find_experiment("zhang2024-transformers").run(config)
    assert result["seed-0/fixed/mean"].shape == (7,)
    run = trained(training, NoCheckpoint())
    start = trained(
        dataclasses.replace(training, steps=Steps(1, 8, 1e-30), records=1), NoCheckpoint()
    )
    moved = run.weights()[0]["positions"] != start.weights()[0]["positions"]
    assert moved[:9].any()
    assert not moved[9:].any()


def test_diverged_step_sizes_are_nan_from_there_on():
    config = StepSizes(dataclasses.replace(TINY, seeds=(0,)), (1e-3, 1e30), ())
    result = find_experiment("pathak2023-step-sizes").run(config)
    assert result["losses"].shape == (2, 1, 3)
    assert np.all(np.isfinite(result["losses"][0]))
    assert np.all(np.isnan(result["losses"][1]))
    assert list(result["step_sizes"]) == [1e-3, 1e30]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: MixtureTransformers(dataclasses.replace(TINY, prompts=GaussianPrompts(2))),
            "kind 'gaussian'; expected 'mixture'",
        ),
        (lambda: MixtureTransformers(TINY, 1), "estimated_from is 1; expected an integer >= 2"),
        (lambda: MixtureTransformers(TINY, num_prompts=1), "num_prompts is 1"),
        (lambda: GaussianTransformers(TINY), "kind 'mixture'; expected 'gaussian'"),
        (
            lambda: GaussianTransformers(dataclasses.replace(TINY, prompts=GaussianPrompts(2)), 40),
            "longest is 40, and the model has positions for 20 examples",
        ),
        (lambda: OpenQuestionTransformers(TINY), "expected 'nonlinear' or 'random-mixture'"),
        (
            lambda: OpenQuestionTransformers(
                dataclasses.replace(TINY, prompts=NonlinearPrompts(noise_std=0.0))
            ),
            "noise_std is 0",
        ),
        (lambda: StepSizes(TINY, ()), "step_sizes is empty"),
        (lambda: StepSizes(TINY, (1e-3, 1e-3)), "expected no size twice"),
        (lambda: StepSizes(TINY, (0.0,)), r"step_sizes\[0\] is 0.0"),
    ],
)
def test_configs_that_do_not_fit_are_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()


def test_a_training_set_is_what_estimates_have_too():
    training = dataclasses.replace(TINY, training_set=TrainingSet(40), seeds=(0,))
    config = MixtureTransformers(training, num_prompts=16, bootstrap_trials=5)
    result = find_experiment("pathak2023-training-sets").run(config)
    assert "seed-0/distance/posterior_mean_em/mean" in result
