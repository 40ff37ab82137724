"""Exports to ONNX, run by ONNX Runtime and compared with theory and with torch."""

import importlib
import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from constructions import Box, CompiledCircuit
from constructions.circuit import Circuit, Prompt
from constructions.export.onnx import IR_VERSION, OPSET, onnx_files
from constructions.values import COVARIATES, Sum, previous
from tests.constructions.export.drawn import drawn, separated, undecided
from theory import PromptBatch


def float32(prompts):
    return PromptBatch(prompts.xs.astype(np.float32), prompts.ys.astype(np.float32))


def tokens(prompts):
    return prompts.interleaved().transpose(0, 2, 1).astype(np.float32)


def run(contents, given):
    session = onnxruntime.InferenceSession(contents, providers=["CPUExecutionProvider"])
    (answers,) = session.run(["answers"], {"tokens": given})
    assert answers.dtype == np.float32
    return answers


CASES = [
    pytest.param(separated(5, 5, 0.3), 20, {}, id="separated"),
    pytest.param(undecided(5, 5, 0.3, 20), 20, {}, id="undecided"),
    pytest.param(undecided(3, 4, 0.5, 6), 6, {"layers": 2}, id="two layers"),
    pytest.param(undecided(3, 4, 0.5, 6), 6, {"prefix_columns": False}, id="no prefix"),
    pytest.param(undecided(1, 1, 1.0, 1), 1, {}, id="smallest"),
]


@pytest.mark.parametrize(("mixture", "k", "options"), CASES)
def test_onnx_runtime_is_the_float32_network_at_every_prefix(mixture, k, options):
    model, prompts, _ = drawn(mixture, k, dtype=torch.float32, **options)
    prompts = float32(prompts)
    found = run(onnx_files(model)["model.onnx"], tokens(prompts))
    assert found.shape == (50, k + 1, 1)
    answered = slice(model.min_examples, None)
    own = model.predict_all_prefixes(prompts)[:, answered]
    exact = mixture.posterior_mean_all_prefixes(prompts)[:, answered]
    # Two orders of the same sums: they differ by as much as either differs from f*_pi.
    assert np.abs(found[:, answered, 0] - own).max() < 2e-4
    assert np.abs(found[:, answered, 0] - exact).max() < 2e-4


def test_any_number_of_prompts_and_examples():
    model, prompts, _ = drawn(separated(3, 3, 0.5), 6, dtype=torch.float32)
    contents = onnx_files(model)["model.onnx"]
    whole = run(contents, tokens(prompts))
    for k in range(7):
        part = run(contents, tokens(prompts.prefix(k))[:4])
        np.testing.assert_allclose(part, whole[:4, : k + 1], rtol=0, atol=1e-5)


def test_the_file_is_valid_and_says_what_it_is_for():
    model, _, _ = drawn(separated(3, 2, 0.5), 6, dtype=torch.float32)
    loaded = onnx.load_from_string(onnx_files(model)["model.onnx"])
    onnx.checker.check_model(loaded, full_check=True)
    assert (loaded.ir_version, loaded.opset_import[0].version) == (IR_VERSION, OPSET)
    told = {entry.key: json.loads(entry.value) for entry in loaded.metadata_props}
    assert told["box"] == {
        "covariate_norm": model.box.covariate_norm,
        "covariate": model.box.covariate,
        "label": model.box.label,
    }
    sizes = {name: told[name] for name in ("dim", "max_examples", "layers", "width", "columns")}
    stream = model.stream
    assert sizes == {
        "dim": 3, "max_examples": 6, "layers": 3, "width": stream.num_rows,
        "columns": stream.num_columns,
    }  # fmt: skip
    # What no node uses makes runtimes complain.
    used = {name for node in loaded.graph.node for name in node.input}
    assert {array.name for array in loaded.graph.initializer} <= used


def test_a_column_does_not_see_itself():
    """The posterior mean would not change: its heads give their own column no weight."""
    prompt = Prompt(2, 3, Box.entrywise(2, 3.0, 3.0))
    xs = np.random.default_rng(0).uniform(-2, 2, size=(4, 4, 2))
    given = np.zeros((4, 7, 2), np.float32)
    given[:, ::2], given[:, 1::2, 0] = xs, 1.0
    before = np.concatenate([np.zeros((4, 1, 2)), np.cumsum(xs, axis=1)[:, :-1]], axis=1)
    model = CompiledCircuit(
        Circuit("sum", prompt, Sum(prompt.covariate, COVARIATES)), dtype=torch.float32
    )
    assert np.abs(run(onnx_files(model)["model.onnx"], given) - before).max() < 1e-4
    model = CompiledCircuit(
        Circuit("label", prompt, previous(prompt.label)), dtype=torch.float32, prefix_columns=False
    )
    found = run(onnx_files(model)["model.onnx"], given)[:, :, 0]
    assert np.abs(found - [0, 1, 1, 1]).max() < 1e-4


@pytest.mark.parametrize("name", ["query 3", "output 2", "outward 3", "constants", "mask"])
def test_a_changed_array_is_seen(name):
    mixture = undecided(3, 3, 0.5, 5)
    model, prompts, _ = drawn(mixture, 5, dtype=torch.float32)
    loaded = onnx.load_from_string(onnx_files(model)["model.onnx"])
    (entry,) = (a for a in loaded.graph.initializer if a.name == name)
    array = onnx.numpy_helper.to_array(entry).copy()
    # The mask is shifted, so that columns see themselves; anything else is off by a percent.
    array = np.roll(array, 1, axis=1) if name == "mask" else np.float32(0.99) * array
    entry.CopyFrom(onnx.numpy_helper.from_array(array, name))
    prompts = float32(prompts)
    found = run(loaded.SerializeToString(), tokens(prompts))[:, :, 0]
    assert not np.abs(found - mixture.posterior_mean_all_prefixes(prompts)).max() < 2e-4


def test_float64_is_refused():
    model, _, _ = drawn(separated(2, 2, 0.5), 2)
    with pytest.raises(ValueError, match=r"model is torch\.float64.*build it in float32"):
        onnx_files(model)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    model, _, _ = drawn(separated(2, 2, 0.5), 2, dtype=torch.float32)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'iclproof\[onnx\]'"):
        onnx_files(model)


def test_no_import_brings_onnx_or_transformers_along():
    names = ["constructions", "constructions.export.onnx", "constructions.export.gpt2"]
    assert all(importlib.import_module(name) for name in names)
    absent = "{'onnx', 'transformers'}"
    code = f"import sys, {', '.join(names)}; print(sorted({absent} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
