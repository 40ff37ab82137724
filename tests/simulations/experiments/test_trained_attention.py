import dataclasses
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simulations.experiments import trained_attention
from simulations.experiments.config_files import config_as_json, config_from_json
from simulations.experiments.trained_attention import HALVINGS, TRAINED
from simulations.training import DenseStart, FixedCovarianceTasks, train
from simulations.training.presets import autoregressive, presets
from tests.simulations.training.cases import QUICK, TASKS
from theory import shifted_risk

EXACT = dataclasses.replace(QUICK, gradient="exact", steps=160, step_size=0.02)


@pytest.fixture(autouse=True)
def few_prompts(monkeypatch):
    monkeypatch.setattr(trained_attention, "_PROMPTS", 256)


@pytest.fixture(scope="module")
def smoke():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained_attention, "_PROMPTS", 256)
        return {label: TRAINED.run(c) for label, c in TRAINED.presets["smoke"].items()}


class Memory:
    """A checkpoint in memory that kills the run after so many states."""

    def __init__(self, kills_after=None):
        self.state, self.saved, self.kills_after = None, 0, kills_after

    def load(self):
        return self.state

    def save(self, state):
        self.state, self.saved = state, self.saved + 1
        if self.saved == self.kills_after:
            raise InterruptedError


def bits(arrays):
    return {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()}


def test_a_killed_run_goes_on_from_its_checkpoint():
    for config in (QUICK, dataclasses.replace(QUICK, optimiser="adam", start=DenseStart(0.2))):
        whole, checkpoint = TRAINED.run(config), Memory()
        for _ in range(config.checkpoints):
            checkpoint.saved, checkpoint.kills_after = 0, 1
            with pytest.raises(InterruptedError):
                TRAINED.compute(config, "run", checkpoint)
        checkpoint.kills_after = None
        last = checkpoint.state
        resumed = TRAINED.compute(config, "run", checkpoint)
        # Nothing was left to train.
        assert checkpoint.state is last
        assert bits(TRAINED.combine(config, {"run": resumed})) == bits(whole)


def test_the_arrays_of_a_run(smoke):
    names = {frozenset(arrays) for arrays in smoke.values()}
    assert len(names) == 1
    for label, config in TRAINED.presets["smoke"].items():
        arrays, n, d = smoke[label], config.checkpoints, config.tasks.dim
        for name, values in arrays.items():
            assert values.dtype in (np.float64, np.int64), name
            if (name.startswith("trace/") and "_" not in name) or name.endswith("_error"):
                assert len(values) == n if name.startswith("trace") else True
        assert arrays["key_query"].shape == (d + 1, d + 1)
        assert arrays["flow/U"].shape == (n, d, d)
        assert arrays["num_examples"].dtype == np.int64
        for curve in ("trained", "limit", "excess", "scaled_trained", "scaled_limit"):
            axis = "scale" if curve.startswith("scaled") else "num_examples"
            for field in ("mean", "low", "high", "standard_error"):
                assert arrays[f"{curve}/{field}"].shape == arrays[axis].shape
            assert np.all(arrays[f"{curve}/low"] <= arrays[f"{curve}/mean"])
            assert np.all(arrays[f"{curve}/mean"] <= arrays[f"{curve}/high"])


def test_errors_are_those_of_the_trained_layer(smoke):
    for label in ("fixed", "exponential", "fixed-adam"):
        trained, arrays = train(TRAINED.presets["smoke"][label]), smoke[label]
        compared, explained = trained.compare(), trained.compare(trained.balance)
        assert np.array_equal(arrays["projection_value"], trained.projection_value)
        assert np.array_equal(arrays["key_query"], trained.key_query)
        assert np.array_equal(arrays["trace/loss"], trained.trace.loss)
        for name, value in (
            ("error/u", compared.u_error),
            ("error/U", compared.U_error),
            ("error/product", compared.product_error),
            ("error/off_plane", compared.off_plane),
            ("explained/u", explained.u_error),
            ("explained/U", explained.U_error),
            ("limit/u", compared.limit.u),
            ("balance", trained.balance),
            ("start_balance", trained.start_balance),
        ):
            assert float(arrays[name]) == pytest.approx(value, rel=1e-12, abs=1e-15)
        assert_allclose(arrays["limit/U"], compared.limit.U, rtol=1e-12)


def test_the_trace_is_what_its_weights_say(smoke):
    for label in ("fixed", "exponential", "fixed-exact"):
        arrays = smoke[label]
        values, keys = arrays["trace/projection_value"], arrays["trace/key_query"]
        limit_u, limit_U = float(arrays["limit/u"]), arrays["limit/U"]
        for i, (value, key) in enumerate(zip(values, keys, strict=True)):
            u, U, u12, u21 = value[-1, -1], key[:-1, :-1], value[-1, :-1], key[-1, :-1]
            by_hand = {
                "u_error": abs(u / limit_u - 1),
                "U_error": np.linalg.norm(U - limit_U) / np.linalg.norm(limit_U),
                "product_error": np.linalg.norm(u * U - limit_u * limit_U)
                / np.linalg.norm(limit_u * limit_U),
                "balance": u12 @ u12 + u**2 - np.sum(U**2) - u21 @ u21,
            }
            for name, expected in by_hand.items():
                assert float(arrays[f"trace/{name}"][i]) == pytest.approx(
                    expected, rel=1e-9, abs=1e-13
                ), name


def test_softmax_has_no_limit(smoke):
    arrays = smoke["fixed-softmax"]
    for name in ("error/u", "error/U", "error/product", "error/off_plane", "explained/u"):
        assert np.isnan(arrays[name])
    assert np.all(np.isnan(arrays["flow/u"]))


def test_where_training_follows_the_flow(smoke):
    """By exact gradients to first order in the step; Adam and softmax have another time."""
    for label in ("fixed", "exponential", "mixture", "fixed-exact"):
        assert np.all(np.isfinite(smoke[label]["flow/u"]))
    for label in ("fixed-adam", "fixed-softmax"):
        assert np.all(np.isnan(smoke[label]["flow/U"]))
    dense = TRAINED.run(dataclasses.replace(QUICK, start=DenseStart(0.2)))
    leaves = TRAINED.run(dataclasses.replace(QUICK, tasks=TASKS["triangle"]))
    assert np.all(np.isnan([*dense["flow/u"], *leaves["flow/u"]]))
    whole = TRAINED.run(EXACT)
    half = TRAINED.run(dataclasses.replace(EXACT, steps=2 * EXACT.steps, step_size=0.01))
    assert_allclose(half["trace/time"], whole["trace/time"], rtol=1e-12)
    assert_allclose(half["flow/u"], whole["flow/u"], rtol=1e-9)
    weights = [arrays["trace/projection_value"][:, -1, -1] for arrays in (whole, half)]
    errors = [np.abs(u - whole["flow/u"]) for u in weights]
    assert np.max(errors[1]) < 0.01
    assert_allclose(errors[0] / errors[1], 2, rtol=0.1)


def test_new_prompts_are_judged_right(monkeypatch):
    """Against the exact risk, at other lengths and scales than those of training."""
    monkeypatch.setattr(trained_attention, "_PROMPTS", 8192)
    arrays = TRAINED.run(EXACT)
    tasks, d = EXACT.tasks, EXACT.tasks.dim
    lam, A = np.array(tasks.covariance), tasks.problem.minimiser
    value, key = arrays["projection_value"], arrays["key_query"]
    for curve, product in (("limit", A), ("trained", value[-1, -1] * key[:-1, :-1])):
        # yhat = x_query' A g: the layer has U' there.
        lengths = [shifted_risk(product.T, lam, np.eye(d), 0.0, M) for M in arrays["num_examples"]]
        scales = [
            shifted_risk(product.T, c**2 * lam, np.eye(d), 0.0, tasks.prompt_length)
            for c in arrays["scale"]
        ]
        for name, risks in ((curve, lengths), (f"scaled_{curve}", scales)):
            exact = np.array([risk.total for risk in risks]) / d
            error = arrays[f"{name}/standard_error"]
            assert np.all(np.abs(arrays[f"{name}/mean"] - exact) < 5 * error)
            assert np.all(5 * error < 0.6 * exact)
    difference = arrays["trained/mean"] - arrays["limit/mean"]
    assert_allclose(arrays["excess/mean"], difference, atol=1e-12)


def test_the_presets_are_those_of_training_and_the_halved_steps():
    assert set(TRAINED.presets) == {"smoke", "laptop"}
    assert len(TRAINED.presets) == 2
    assert TRAINED.presets["smoke"] == presets("smoke")
    laptop, known = TRAINED.presets["laptop"], presets("laptop")
    assert {label: laptop[label] for label in known} == known
    for label, factors in HALVINGS.items():
        for factor in factors:
            config, base = laptop[f"{label}-step-{factor:g}"], laptop[label]
            assert config.step_size == base.step_size * factor
            time = config.steps * config.step_size
            assert time == pytest.approx(base.steps * base.step_size, rel=0.01)
    assert len(laptop) == len(known) + sum(map(len, HALVINGS.values()))
    with pytest.raises(KeyError):
        TRAINED.presets["paper"]


def test_step_sizes_have_three_digits():
    """The last bits of eigenvalues differ between machines, and configs name stored runs."""
    for config in {**presets("smoke"), **presets("laptop")}.values():
        assert config.step_size == float(f"{config.step_size:.3g}")


@pytest.mark.parametrize("preset", ["smoke", "laptop"])
def test_configs_survive_json(preset):
    for config in TRAINED.presets[preset].values():
        document = json.loads(json.dumps(config_as_json(TRAINED, config)))
        assert config_from_json(TRAINED, document) == config


def test_a_misspelt_key_is_told():
    document = config_as_json(TRAINED, QUICK)
    document["step_sise"] = document.pop("step_size")
    with pytest.raises(ValueError, match="did you mean 'step_size'"):
        config_from_json(TRAINED, document)


def test_the_step_size_decides_how_near_u_and_U_come():
    """The study of step sizes in small: u U does not depend on the step, u and U to first order."""
    near = FixedCovarianceTasks(autoregressive(2, 0.1), 6)
    base = dataclasses.replace(EXACT, tasks=near)
    found = [
        TRAINED.run(dataclasses.replace(base, steps=160 * k, step_size=0.1 / k)) for k in (1, 2)
    ]
    for arrays in found:
        assert arrays["error/product"] < 1e-8
        assert arrays["explained/u"] < 1e-8
    assert float(found[0]["error/u"] / found[1]["error/u"]) == pytest.approx(2, rel=0.1)
