"""The arrays of a network, run by numpy alone from what their description says."""

import json

import numpy as np
import pytest
import safetensors.numpy
from scipy.special import erf, softmax

from constructions.export.plain import plain_files
from tests.constructions.export.drawn import drawn, separated, undecided


def read(model):
    files = plain_files(model)
    arrays = safetensors.numpy.load(files["weights.safetensors"])
    return arrays, json.loads(files["description.json"])


def answers_of(arrays, told, tokens):
    """The four steps of the description, for one prompt (d, q)."""
    before, q = told["constant_columns"], tokens.shape[1]
    H = arrays["constants"][:, : before + q].copy()
    H[:, before:] += arrays["embedding"] @ tokens
    for t in range(1, told["layers"] + 1):
        weights = {name: arrays[f"layers.{t}.{name}"] for name in told["meanings"]}
        after = H.copy()
        for i in range(1, H.shape[1]):
            for head in range(len(weights["query"])):
                query, key, value, output = (
                    weights[name][head] for name in ("query", "key", "value", "output")
                )
                seen = H[:, :i]
                after[:, i] += output @ value @ seen @ softmax((key @ seen).T @ query @ H[:, i])
        if weights["inward"].size:
            centred = after - after.mean(axis=0)
            u = weights["inward"] @ (centred / np.sqrt((centred**2).mean(axis=0)))
            after = after + weights["outward"] @ (u * (1 + erf(u / np.sqrt(2))) / 2)
        H = after
    return (arrays["read_out"] @ H)[:, before::2]


@pytest.mark.parametrize("options", [{}, {"layers": 2}, {"prefix_columns": False}])
def test_numpy_alone_gets_the_posterior_mean(options):
    model, prompts, exact = drawn(undecided(3, 3, 0.5, 5), 5, batch=5, **options)
    arrays, told = read(model)
    answered = slice(told["min_examples"], None)
    found = np.stack([answers_of(arrays, told, tokens)[0] for tokens in prompts.interleaved()])
    assert np.abs(found - exact)[:, answered].max() < 1e-11


def test_the_description_fits_the_arrays():
    model, _, _ = drawn(separated(3, 2, 0.5), 4)
    arrays, told = read(model)
    assert {name: list(array.shape) for name, array in arrays.items()} == told["shapes"]
    assert all(array.dtype == np.float64 for array in arrays.values())
    assert len(told["rows"]) == told["width"] == len(arrays["constants"])
    layers = {name.split(".", 2)[1] for name in arrays if name.startswith("layers.")}
    assert layers == {"1", "2", "3"}
    assert len([name for name in arrays if name.startswith("layers.")]) == 3 * len(told["meanings"])


def test_a_changed_array_is_seen():
    model, prompts, exact = drawn(undecided(3, 3, 0.5, 5), 5, batch=2)
    arrays, told = read(model)
    for name in ("embedding", "constants", "layers.3.key", "layers.3.outward", "read_out"):
        changed = arrays | {name: 1.01 * arrays[name]}
        found = np.stack([answers_of(changed, told, t)[0] for t in prompts.interleaved()])
        assert not np.abs(found - exact).max() < 1e-6, name
