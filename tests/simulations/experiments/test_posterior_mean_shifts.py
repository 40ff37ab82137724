"""Figures 7 to 9: against quadrature (m = 2), other sampling (any m), and exact limits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papers.pathak2023.experiments_shifts import two_component_excess
from simulations.experiments.catalogue import find_experiment
from simulations.experiments.error_curves import PromptLaw
from simulations.experiments.experiment import NoCheckpoint
from simulations.experiments.posterior_mean_shifts import (
    EXPERIMENTS,
    CovariateScaling,
    ShiftedPrompts,
    WeightScaling,
    WeightShift,
)
from tests.simulations.experiments import independent

BY_TYPE = {experiment.config_type: experiment for experiment in EXPERIMENTS}
TYPES = list(BY_TYPE)

#: As in test_mixture_prediction; about 55 deviations a test.
Z = 5.0

NOISE = 6.0


def small(config_type: type[ShiftedPrompts], m: int, k: int) -> ShiftedPrompts:
    """So much noise that the components stay in doubt: means are not those of rare prompts."""
    return config_type(num_components=m, dim=3, noise_std=NOISE, max_examples=k, num_prompts=8192)


def moved(config: ShiftedPrompts, shift: float) -> tuple[np.ndarray, float]:
    """The regressors of the prompts and kappa, from Section 3.4."""
    W = np.array(config.mixture.components)
    if isinstance(config, CovariateScaling):
        return W, shift
    if isinstance(config, WeightScaling):
        return shift * W, 1.0
    return W + shift * np.ones(3) / 3**0.5, 1.0


@pytest.mark.parametrize("config_type", TYPES)
def test_curves_of_many_components_agree_with_an_independent_computation(config_type):
    config = small(config_type, 4, 10)
    arrays = BY_TYPE[config_type].run(config)
    rng = np.random.default_rng(77)
    W = np.array(config.mixture.components)
    for i, shift in enumerate(config.shifts):
        regressors, kappa = moved(config, shift)
        mean, error = independent.curve(
            W, regressors, rng, kappa=kappa, sigma=NOISE, k=10, runs=2500
        )
        spread = np.hypot(arrays["posterior_mean/standard_error"][i], error)
        z = (arrays["posterior_mean/mean"][i] - mean) / spread
        assert np.abs(z).max() < Z, shift
        # 10 % of the part that is not noise would be seen.
        assert np.max(0.1 * (mean - NOISE**2 / 3) / spread) > Z


@pytest.mark.parametrize("config_type", TYPES)
def test_curves_of_two_components_agree_with_quadrature(config_type):
    config = small(config_type, 2, 10)
    arrays = BY_TYPE[config_type].run(config)
    W = np.array(config.mixture.components)
    for i, shift in enumerate(config.shifts):
        regressors, kappa = moved(config, shift)
        middle = np.sum((W.mean(axis=0) - regressors) ** 2, axis=1).mean()
        excess = [kappa**2 * middle] + [
            two_component_excess(PromptLaw(regressors, kappa, NOISE, k), W) for k in range(1, 11)
        ]
        z = arrays["posterior_mean/mean"][i] - (np.array(excess) + NOISE**2) / 3
        z /= arrays["posterior_mean/standard_error"][i]
        assert np.abs(z).max() < Z, shift


@pytest.mark.parametrize("config_type", TYPES)
def test_curves_end_at_their_limits(config_type):
    config = config_type(num_components=4, dim=8, max_examples=60, num_prompts=1024)
    # At kappa = 1/3 of the least distance 60 examples leave some doubt; the noise is less here.
    config = replace(config, noise_std=0.5)
    arrays = BY_TYPE[config_type].run(config)
    z = arrays["posterior_mean/mean"][:, -1] - arrays["posterior_mean/limit"]
    assert np.all(np.abs(z) <= Z * arrays["posterior_mean/standard_error"][:, -1] + 1e-12)


def test_limits_are_those_of_the_papers_sizes():
    noise = 1 / 20
    for m in (5, 20):
        scaled, weights, added = (t(num_components=m) for t in TYPES)
        for kappa in scaled.shifts:
            assert scaled.limit(kappa) == pytest.approx(noise, rel=1e-14)
        for alpha in weights.shifts:
            assert weights.limit(alpha) == pytest.approx((1 - alpha) ** 2 + noise, rel=1e-12)
        for epsilon in added.shifts:
            assert added.limit(epsilon) == pytest.approx(epsilon**2 / 20 + noise, rel=1e-12)


def test_unshifted_curves_are_one_curve():
    curves = []
    for config_type, shift in zip(TYPES, (1.0, 1.0, 0.0), strict=True):
        config = replace(small(config_type, 3, 5), num_prompts=100)
        arrays = BY_TYPE[config_type].run(config)
        curves.append(arrays["posterior_mean/mean"][config.shifts.index(shift)])
    assert curves[0].tobytes() == curves[1].tobytes() == curves[2].tobytes()


@pytest.mark.parametrize("kappa", [0.33, 3.0])
def test_scaling_covariates_is_scaling_the_noise_prompt_by_prompt(kappa):
    config = replace(small(CovariateScaling, 3, 8), num_prompts=200, shifts=(kappa,))
    quiet = replace(config, shifts=(1.0,), noise_std=NOISE / kappa)
    experiment = BY_TYPE[CovariateScaling]
    scaled, other = (experiment.run(c)["posterior_mean/mean"][0] for c in (config, quiet))
    np.testing.assert_allclose(scaled, kappa**2 * other, rtol=1e-11)


# What a run is


@pytest.mark.parametrize("config_type", TYPES)
def test_every_smoke_preset_runs_and_has_its_curves(config_type):
    experiment = BY_TYPE[config_type]
    assert find_experiment(experiment.name) is experiment
    for config in experiment.presets["smoke"].values():
        arrays = experiment.run(config)
        fields = ("mean", "low", "high", "standard_error")
        assert {name: array.shape for name, array in arrays.items()} == {
            "num_examples": (11,),
            "shifts": (5,),
            "posterior_mean/limit": (5,),
            **{f"posterior_mean/{field}": (5, 11) for field in fields},
        }
        assert arrays["shifts"].tolist() == list(config.shifts)
        assert np.all(arrays["posterior_mean/low"] <= arrays["posterior_mean/high"])


def test_presets_have_the_papers_shifts():
    scales, norms = (0.33, 0.5, 1.0, 2.0, 3.0), (0.0, 0.25, 0.5, 0.75, 1.0)
    for experiment, shifts in zip(EXPERIMENTS, (scales, scales, norms), strict=True):
        for preset, prompts in (("laptop", 32_768), ("paper", 256)):
            configs = experiment.presets[preset].values()
            assert sorted(c.num_components for c in configs) == [5, 20]
            assert {(c.shifts, c.dim, c.max_examples, c.num_prompts) for c in configs} == {
                (shifts, 20, 60, prompts)
            }
            assert {c.noise_std for c in configs} == {1.0}


@settings(max_examples=25, deadline=None)
@given(
    shifts=st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=4, unique=True),
    config_type=st.sampled_from(TYPES),
)
def test_a_part_is_named_so_that_it_finds_its_shift(shifts, config_type):
    config = config_type(tuple(shifts), 2, 2, max_examples=1, num_prompts=2, bootstrap_trials=1)
    experiment = BY_TYPE[config_type]
    parts = {
        name: experiment.compute(config, name, NoCheckpoint())
        for name in experiment.parts(config)[::-1]
    }
    together, again = experiment.combine(config, parts), experiment.run(config)
    assert all(together[name].tobytes() == again[name].tobytes() for name in again)
    assert len(parts) == len(shifts)


@pytest.mark.parametrize("config_type", TYPES)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"shifts": ()}, "shifts is (); expected at least one number"),
        ({"shifts": (0.5, 0.5)}, "none twice"),
        ({"shifts": (1.0, -0.5)}, "shifts[1] is -0.5"),
        ({"shifts": (float("inf"),)}, "shifts[0] is inf"),
        ({"noise_std": 0.0}, "noise_std is 0.0; expected a finite number > 0"),
        ({"num_prompts": 1}, "num_prompts is 1"),
        ({"dim": 0}, "dim is 0"),
    ],
)
def test_what_is_out_of_range_is_named(config_type, change, told):
    with pytest.raises(ValueError, match=config_type.__name__) as caught:
        config_type(**change)
    assert told in str(caught.value)


def test_nothing_but_a_weight_shift_can_be_zero():
    assert WeightShift(shifts=(0.0,)).shifts == (0.0,)
    for config_type in (CovariateScaling, WeightScaling):
        with pytest.raises(ValueError, match=r"shifts\[0\] is 0.0; expected a finite number > 0"):
            config_type(shifts=(0.0,))


def test_what_all_shifts_share_is_no_config_of_its_own():
    with pytest.raises(TypeError, match="abstract"):
        ShiftedPrompts()
