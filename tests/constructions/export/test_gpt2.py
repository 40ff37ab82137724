"""Exports to GPT-2, run by stock transformers alone and compared with theory."""

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import torch
import transformers
from transformers import GPT2Model

from constructions import Box, CompiledCircuit
from constructions.circuit import Circuit, Prompt
from constructions.export.gpt2 import gpt2_files, smallest_shape
from constructions.gadgets import square_gadget
from constructions.gpt2 import PATHAK2023, GPT2Shape
from constructions.values import attention, previous, total
from tests.constructions.export.drawn import drawn, separated, undecided

LIMIT = 1e-10

transformers.utils.logging.disable_progress_bar()


def written(folder, files):
    for name, contents in files.items():
        (folder / name).write_bytes(contents)
    return folder


def answers_of(folder, tokens, attn="eager", gpt2=None):
    """The answers of a stock GPT-2 to tokens (batch, d, q)."""
    if gpt2 is None:
        gpt2 = GPT2Model.from_pretrained(folder, dtype=torch.float64, attn_implementation=attn)
    arrays = np.load(folder / "prompts.npz")
    before = int(arrays["constant_columns"])
    padded = np.pad(tokens.transpose(0, 2, 1), ((0, 0), (before, 0), (0, 0)))
    with torch.no_grad():
        state = gpt2(inputs_embeds=torch.tensor(padded @ arrays["embedding"])).last_hidden_state
    return (state.numpy() @ arrays["read_out"])[:, before::2]


@pytest.mark.parametrize(
    ("shape", "attn"),
    [
        pytest.param(None, "eager", id="smallest-eager"),
        pytest.param(None, "sdpa", id="smallest-sdpa"),
        pytest.param(PATHAK2023, "sdpa", id="pathak2023-sdpa"),
        # The same weights in the slower way; seconds each.
        pytest.param(PATHAK2023, "eager", id="pathak2023-eager", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("sigma", [0.3, 1.0])
@pytest.mark.parametrize("kind", [separated, undecided])
def test_stock_gpt2_is_the_posterior_mean_at_every_prefix(tmp_path, kind, sigma, shape, attn):
    mixture = separated(5, 5, sigma) if kind is separated else undecided(5, 5, sigma, 20)
    model, prompts, exact = drawn(mixture, 20)
    folder = written(tmp_path, gpt2_files(model, shape))
    found = answers_of(folder, prompts.interleaved(), attn)[:, :, 0]
    assert found.shape == exact.shape == (50, 21)
    assert np.abs(found - exact).max() < LIMIT


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_twenty_dimensions_and_sixty_examples(tmp_path, sigma, attn):
    model, prompts, exact = drawn(separated(20, 20, sigma), 60)
    folder = written(tmp_path, gpt2_files(model))
    found = answers_of(folder, prompts.interleaved(), attn)[:, :, 0]
    assert np.abs(found - exact).max() < LIMIT


@pytest.mark.parametrize(
    ("d", "m", "k", "options"),
    [
        (1, 1, 1, {}),
        (3, 4, 5, {"layers": 2}),
        (3, 4, 5, {"prefix_columns": False}),
        (2, 5, 0, {}),
    ],
)
def test_other_networks(tmp_path, d, m, k, options):
    model, prompts, exact = drawn(undecided(d, m, 0.5, max(k, 1)), k, **options)
    folder = written(tmp_path, gpt2_files(model))
    found = answers_of(folder, prompts.interleaved())[:, model.min_examples :, 0]
    assert np.abs(found - exact[:, model.min_examples :]).max() < LIMIT


def test_values_that_do_not_fit_a_head_are_split_over_several(tmp_path):
    """sum_i y_i x_i, nine entries, from heads of four dimensions, against numpy."""
    prompt = Prompt(9, 4, Box.entrywise(9, 3.0, 3.0))
    column = np.ones((9, 1))
    output = total(previous(prompt.covariate) * (column @ prompt.label))
    model = CompiledCircuit(Circuit("moment", prompt, output))
    shape = GPT2Shape(3, 12, 48, 400)
    assert max(len(h.values) for plan in model.plans for h in plan.heads) == 9 > shape.d_head
    folder = written(tmp_path, gpt2_files(model, shape))
    xs, ys, tokens = drawn_tokens(9)
    expected = np.stack([(ys[:, :k, None] * xs[:, :k]).sum(1) for k in range(5)], axis=1)
    assert np.abs(answers_of(folder, tokens) - expected).max() < LIMIT


@pytest.mark.parametrize(("order", "error"), [(8, 1e-10), (10, 1e-12)])
def test_squares_are_as_exact_with_either_activation(tmp_path, order, error):
    """The scales of the erf form would break the bound with gelu_new: t^2 for |t| <= 3."""
    prompt = Prompt(1, 1, Box.entrywise(1, 3.0, 3.0))
    circuit = Circuit("square", prompt, prompt.covariate * prompt.covariate)
    model = CompiledCircuit(circuit, square=square_gadget(order, error))
    tokens = np.linspace(-3, 3, 201)[:, None, None]
    for activation in ("gelu", "gelu_new"):
        shape = replace(smallest_shape(model), activation_function=activation)
        found = answers_of(written(tmp_path, gpt2_files(model, shape)), tokens)[:, 0, 0]
        square = tokens[:, 0, 0] ** 2
        assert np.abs(found - square).max() < error * square.max(), activation


def drawn_tokens(dim):
    """Six prompts of four examples: covariates, labels, and both in columns."""
    rng = np.random.default_rng(3)
    xs, ys = rng.uniform(-1, 1, size=(6, 5, dim)), rng.uniform(-2, 2, size=(6, 4))
    tokens = np.zeros((6, dim, 9))
    tokens[:, :, ::2], tokens[:, 0, 1::2] = xs.transpose(0, 2, 1), ys
    return xs, ys, tokens


def test_a_circuit_with_attention_over_examples_and_several_outputs(tmp_path):
    """Nadaraya and Watson's smoother beside a sum, against numpy."""
    prompt = Prompt(2, 4, Box.entrywise(2, 3.0, 3.0))
    smooth = attention(prompt.covariate, previous(prompt.covariate), prompt.label)
    output = np.array([[1.0], [0.0]]) @ smooth + np.array([[0.0], [1.0]]) @ total(prompt.label)
    folder = written(tmp_path, gpt2_files(CompiledCircuit(Circuit("both", prompt, output))))
    xs, ys, tokens = drawn_tokens(2)
    expected = np.zeros((6, 5, 2))
    for k in range(1, 5):
        powers = np.exp(np.einsum("bd,bkd->bk", xs[:, k], xs[:, :k]))
        expected[:, k, 0] = (powers * ys[:, :k]).sum(1) / powers.sum(1)
        expected[:, k, 1] = ys[:, :k].sum(1)
    assert np.abs(answers_of(folder, tokens) - expected).max() < LIMIT


def test_later_columns_change_nothing_before_them(tmp_path):
    model, prompts, _ = drawn(separated(3, 3, 0.5), 6)
    folder = written(tmp_path, gpt2_files(model))
    whole = answers_of(folder, prompts.interleaved())
    part = answers_of(folder, prompts.prefix(2).interleaved())
    np.testing.assert_allclose(part, whole[:, :3], rtol=0, atol=1e-12)


def test_transformers_saves_the_same_files(tmp_path):
    """What is written is what `save_pretrained` of a stock model would write."""
    model, _, _ = drawn(separated(3, 3, 0.5), 3)
    folder = written(tmp_path, gpt2_files(model))
    again = tmp_path / "again"
    gpt2, told = GPT2Model.from_pretrained(folder, dtype=torch.float64, output_loading_info=True)
    gpt2.save_pretrained(again)
    assert not any(told.values()), told
    first, second = (
        safetensors.numpy.load_file(place / "model.safetensors") for place in (folder, again)
    )
    assert first.keys() == second.keys()
    assert all(a.dtype == np.float64 and np.array_equal(a, second[n]) for n, a in first.items())
    stock = json.loads((again / "config.json").read_text())
    ours = json.loads((folder / "config.json").read_text())
    assert {name: stock[name] for name in ours} == ours


def test_the_papers_shape_is_what_the_configuration_says():
    model, _, _ = drawn(separated(2, 2, 0.5), 2)
    config = json.loads(gpt2_files(model, PATHAK2023)["config.json"])
    names = ("n_layer", "n_head", "n_embd", "n_inner", "activation_function", "layer_norm_epsilon")
    assert [config[name] for name in names] == [12, 8, 256, 1024, "gelu_new", 1e-5]


def test_nothing_smaller_than_the_smallest_shape_will_do():
    for options in ({}, {"layers": 2}):
        model, _, _ = drawn(separated(3, 4, 0.5), 4, **options)
        shape = smallest_shape(model)
        for n_head in range(1, 2 * shape.n_head):
            width = (shape.n_embd - 1) // n_head * n_head
            if width:
                smaller = GPT2Shape(shape.n_layer, n_head, width, shape.n_inner)
                with pytest.raises(ValueError, match="cannot become"):
                    gpt2_files(model, smaller)


@pytest.mark.parametrize(
    ("name", "at", "change"),
    [
        ("h.0.attn.c_attn.weight", None, 1.001),
        ("h.1.attn.c_proj.weight", None, 1.001),
        ("h.0.mlp.c_fc.weight", None, 1.01),
        ("h.2.mlp.c_proj.weight", None, 1.001),
        ("ln_f.weight", None, 1.001),
        ("wpe.weight", 0, 0.0),
    ],
)
def test_a_changed_weight_is_seen(tmp_path, name, at, change):
    """The comparison can fail: each kind of weight matters, the sink's column included."""
    model, prompts, exact = drawn(undecided(3, 3, 0.5, 5), 5)
    folder = written(tmp_path, gpt2_files(model))
    gpt2 = GPT2Model.from_pretrained(folder, dtype=torch.float64)
    with torch.no_grad():
        weights = gpt2.get_parameter(name)
        (weights if at is None else weights[at])[...] *= change
    found = answers_of(folder, prompts.interleaved(), gpt2=gpt2)[:, :, 0]
    assert not np.abs(found - exact).max() < 1e-6
