"""The GPT-2 that is trained, against stock `transformers.GPT2Model` with the same weights."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from constructions.gpt2 import GPT2, PATHAK2023, GPT2Shape
from tests.constructions.stock_gpt2 import SHAPES, drawn_gpt2, drawn_tokens, embedded, stock_of

#: Largest difference relative to the largest entry: a few hundred roundings.
LIMITS = {torch.float32: 1e-5, torch.float64: 1e-13}

EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
BOTH_DTYPES = pytest.mark.parametrize("dtype", LIMITS, ids=["float32", "float64"])


def assert_near(found, expected, dtype):
    scale = expected.abs().max().item()
    assert 0.1 < scale < 1e3
    assert (found - expected).abs().max().item() <= LIMITS[dtype] * scale


@BOTH_DTYPES
@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("positions", [9, None])
@EVERY_SHAPE
def test_answers_and_states_are_those_of_the_stock_model(tmp_path, shape, positions, attn, dtype):
    model = drawn_gpt2(shape, positions=positions, outputs=2, dtype=dtype)
    tokens = drawn_tokens(dtype=dtype)
    with torch.no_grad():
        stock = stock_of(model, tmp_path, attn)(
            inputs_embeds=embedded(model, tokens), output_hidden_states=True
        )
        expected = stock.last_hidden_state @ model.read_out.weight.T + model.read_out.bias
        found, states = model(tokens), model.states(tokens)
        last = model.final_norm(states[-1])  # as the stock model's last state is
    assert found.shape == (3, 9, 2)
    assert len(states) == len(stock.hidden_states) == shape.n_layer + 1
    assert_near(found, expected, dtype)
    for ours, theirs in zip((*states[:-1], last), stock.hidden_states, strict=True):
        assert_near(ours, theirs, dtype)


def test_the_papers_model_is_the_stock_model(tmp_path):
    model = GPT2(PATHAK2023, 20, 121).eval()
    model.initialise(1 / 16, torch.Generator().manual_seed(0))
    tokens = drawn_tokens(20, 121, batch=2)
    with torch.no_grad():
        last = stock_of(model, tmp_path, "sdpa")(inputs_embeds=embedded(model, tokens))[0]
        expected = last @ model.read_out.weight.T + model.read_out.bias
        found = model(tokens)
    assert_near(found, expected, torch.float32)
    # Garg et al. train 9,534,977 weights, those of 202 positions among them.
    assert sum(p.numel() for p in model.parameters()) == 9_534_977 - (202 - 121) * 256


@BOTH_DTYPES
@EVERY_SHAPE
def test_gradients_are_those_of_the_stock_model(tmp_path, shape, dtype):
    model, tokens = drawn_gpt2(shape, dtype=dtype), drawn_tokens(dtype=dtype)
    stock = stock_of(model, tmp_path, "eager")
    model(tokens).square().sum().backward()
    last = stock(inputs_embeds=embedded(model, tokens)).last_hidden_state
    (
        last @ model.read_out.weight.detach().T + model.read_out.bias.detach()
    ).square().sum().backward()
    names = {"attend": "attn.c_attn", "project": "attn.c_proj", "inward": "mlp.c_fc"}
    names |= {"outward": "mlp.c_proj", "first_norm": "ln_1", "second_norm": "ln_2"}
    pairs = [(model.positions, stock.wpe.weight), (model.final_norm.bias, stock.ln_f.bias)]
    for block, other in zip(model.blocks, stock.h, strict=True):
        for mine, theirs in names.items():
            weight = block.get_parameter(f"{mine}.weight")
            pairs += [
                (weight, other.get_parameter(f"{theirs}.weight")),
                (block.get_parameter(f"{mine}.bias"), other.get_parameter(f"{theirs}.bias")),
            ]
    scale = max(p.grad.abs().max().item() for p in model.parameters())
    for mine, theirs in pairs:
        # Its matrices are the transposes of torch's, but for the positions.
        transposed = mine.ndim == 2 and mine is not model.positions
        gradient = theirs.grad.T if transposed else theirs.grad
        assert gradient.abs().max().item() > 0
        assert (mine.grad - gradient).abs().max().item() <= LIMITS[dtype] * scale


@given(
    sizes=st.tuples(*(st.integers(1, n) for n in (3, 7, 3, 4))),
    columns=st.integers(1, 9),
    positions=st.sampled_from([9, None]),
    seed=st.integers(0, 9),
)
def test_later_columns_change_nothing_before_them(sizes, columns, positions, seed):
    heads, d_head, layers, dim = sizes
    shape = GPT2Shape(layers, heads, heads * d_head, 6)
    model = drawn_gpt2(shape, dim, positions, dtype=torch.float64, seed=seed)
    tokens = drawn_tokens(dim, columns, dtype=torch.float64)
    seen = 1 + seed % columns
    changed = tokens.clone()
    changed[:, seen:] = 7.0
    with torch.no_grad():
        whole, other, part = model(tokens), model(changed), model(tokens[:, :seen])
    torch.testing.assert_close(other[:, :seen], whole[:, :seen], rtol=0, atol=1e-13)
    torch.testing.assert_close(part, whole[:, :seen], rtol=0, atol=1e-12)


def test_earlier_columns_and_positions_matter():
    model, tokens = drawn_gpt2(SHAPES["tanh"]), drawn_tokens()
    changed = tokens.clone()
    changed[:, 0] += 1.0
    with torch.no_grad():
        assert (model(changed) - model(tokens)).abs().amin(dim=0).min() > 1e-4
        before = model(tokens)
        model.positions[2:, 0] += 1.0
        moved = (model(tokens) - before).abs()
    assert moved[:, 2:].min() > 1e-4
    assert not moved[:, :2].any()


def test_dropout_is_for_training_and_everywhere():
    model, tokens = drawn_gpt2(SHAPES["tanh"], dropout=0.4), drawn_tokens()
    plain = drawn_gpt2(SHAPES["tanh"])
    with torch.no_grad():
        assert torch.equal(model(tokens), plain(tokens))
        torch.manual_seed(0)
        first, second = model.train()(tokens), model(tokens)
        torch.manual_seed(0)
        again = model(tokens)
        states = model.states(tokens)
    assert not torch.equal(first, second)
    assert torch.equal(first, again)
    # The embedding: a share of 0.4 of 432 entries is 0, four standard errors about it.
    zeros = (states[0] == 0).double().mean().item()
    assert abs(zeros - 0.4) < 4 * math.sqrt(0.24 / states[0].numel())
    torch.testing.assert_close(
        states[0][states[0] != 0], (plain.states(tokens)[0] / 0.6)[states[0] != 0]
    )
    # What a part of a layer adds: entries that neither part adds to stay, with chance 0.16.
    same = (states[1] == states[0]).double().mean().item()
    assert abs(same - 0.16) < 4 * math.sqrt(0.16 * 0.84 / states[0].numel())


def test_dropout_of_attention_weights():
    """With all else the same, only the weights of attention are left to be dropped."""
    model, tokens = drawn_gpt2(SHAPES["erf"], dropout=0.4), drawn_tokens()
    model.train()
    block = model.blocks[0]
    normed = block.first_norm(model.read_in(tokens))
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = torch.stack([block._attention(normed) for _ in range(2000)])
        block.eval()
        mean = block._attention(normed)
    error = drawn.std(dim=0) / math.sqrt(2000)
    assert drawn.std(dim=0).min() > 0
    assert ((drawn.mean(dim=0) - mean).abs() / error).max() < 5.0  # 567 entries: chance 3e-4


# The start


def matrices(model):
    added = {f"stack.{i}.{n}" for i in range(model.shape.n_layer) for n in ("project", "outward")}
    for name, parameter in model.named_parameters():
        if name == "positions" or (parameter.ndim == 2):
            yield name, parameter, name.removesuffix(".weight") in added


def test_the_start_has_the_standard_deviations_it_says():
    """Chi-square tests of level 1e-4 in all; a factor 1.1 is found with chance above 0.99."""
    model = GPT2(GPT2Shape(4, 4, 128, 512), 32, 32, outputs=32)
    model.initialise(0.05, torch.Generator().manual_seed(3))
    tested = 0
    for name, parameter, added in matrices(model):
        std = 0.05 / math.sqrt(8) if added else 0.05
        statistic = float((parameter.detach().double() / std).square().sum())
        # One draw; of a factor f, the statistic is f^2 times as large.
        n, level = parameter.numel(), 1e-4 / 19
        low, high = scipy.stats.chi2.ppf([level / 2, 1 - level / 2], n)
        assert low < statistic < high, name
        assert scipy.stats.chi2.cdf(high / 1.1**2, n) < 0.01
        assert scipy.stats.chi2.sf(low * 1.1**2, n) < 0.01
        tested += 1
    assert tested == 4 * 4 + 3
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif name.endswith("norm.weight"):
            assert torch.equal(parameter, torch.ones(128)), name


def test_entries_at_the_start_are_normal_and_independent_of_each_other():
    model = GPT2(GPT2Shape(2, 2, 32, 64), 4, 31)
    model.initialise(0.05, torch.Generator().manual_seed(0))
    whitened = np.concatenate(
        [p.detach().numpy().ravel() / (0.025 if added else 0.05) for _, p, added in matrices(model)]
    )
    assert scipy.stats.kstest(whitened, "norm").pvalue > 1e-4
    assert len(np.unique(whitened)) > 0.99 * len(whitened)


def test_the_start_depends_on_the_generator_alone():
    models = [GPT2(SHAPES["erf"], 3, 5) for _ in range(3)]
    for model, seed in zip(models, (4, 4, 5), strict=True):
        torch.manual_seed(seed + 17 * len(models))
        # What was there before is gone.
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(float(seed))
        model.initialise(0.1, torch.Generator().manual_seed(seed))
    first, again, other = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["read_in.weight"], other["read_in.weight"])


# Refusals


@pytest.mark.parametrize(("columns", "examples"), [(10, 5), (11, 5), (100, 50)])
def test_a_prompt_longer_than_the_positions_is_refused(columns, examples):
    model = drawn_gpt2(SHAPES["erf"])
    message = rf"{columns} columns \({examples} examples\).* 9 positions; expected at most 4 examp"
    for call in (model, model.states):
        with pytest.raises(ValueError, match=message):
            call(drawn_tokens(columns=columns))
    without = drawn_gpt2(SHAPES["erf"], positions=None)
    assert without(drawn_tokens(columns=columns)).shape == (3, columns, 1)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 1, 4, 4), "expected positive sizes"),
        ((1, 0, 4, 4), "expected positive sizes"),
        ((1, 1, 0, 4), "expected positive sizes"),
        ((1, 1, 4, -1), "expected positive sizes"),
        ((1, 3, 4, 4), "n_embd is not a multiple of n_head"),
    ],
)
def test_bad_shapes(sizes, message):
    with pytest.raises(ValueError, match=message):
        GPT2Shape(*sizes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim=0"),
        ({"num_positions": 0}, "num_positions=0"),
        ({"outputs": 0}, "outputs=0"),
        ({"dropout": 1.0}, r"dropout is 1.0; expected a share in \[0, 1\)"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"dropout": math.nan}, "dropout is nan"),
    ],
)
def test_bad_sizes(arguments, message):
    with pytest.raises(ValueError, match=message):
        GPT2(SHAPES["erf"], **{"dim": 2, "num_positions": 3, **arguments})
