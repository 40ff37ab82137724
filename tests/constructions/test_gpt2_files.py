"""Files of a GPT-2: written, read back bit for bit, exported ones too, and damaged ones."""

import io
import json
from contextlib import suppress

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2Model

from constructions.export.gpt2 import gpt2_files
from constructions.gpt2 import PATHAK2023, GPT2Shape
from constructions.gpt2_files import read_gpt2, saved_gpt2
from tests.constructions.export.drawn import drawn, undecided
from tests.constructions.stock_gpt2 import SHAPES, drawn_gpt2, drawn_tokens, written

SMALL = saved_gpt2(drawn_gpt2(SHAPES["one head of five"], dim=3, positions=5, outputs=2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("positions", [9, None])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_was_saved_is_read_bit_for_bit(shape, positions, dtype):
    model = drawn_gpt2(shape, positions=positions, outputs=2, dtype=dtype)
    files = saved_gpt2(model)
    found, before = read_gpt2(files)
    assert (before, found.shape, found.training) == (0, shape, False)
    mine, theirs = model.state_dict(), found.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(mine[name].dtype == theirs[name].dtype for name in mine)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert saved_gpt2(found) == files
    tokens = drawn_tokens(dtype=dtype)
    assert torch.equal(found(tokens), model(tokens))


def test_a_model_without_positions_takes_any_length_after_reading():
    model = drawn_gpt2(SHAPES["erf"], positions=None)
    found, _ = read_gpt2(saved_gpt2(model))
    tokens = drawn_tokens(columns=1031)
    assert torch.equal(found(tokens), model(tokens))


def test_saving_does_not_share_memory_with_the_model():
    model = drawn_gpt2(SHAPES["erf"])
    files = saved_gpt2(model)
    found, _ = read_gpt2(files)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert saved_gpt2(found) == files


@pytest.mark.parametrize(
    ("shape", "options"),
    [(None, {}), (PATHAK2023, {}), (None, {"layers": 2}), (None, {"prefix_columns": False})],
)
def test_exports_of_built_networks_answer_as_they_do(shape, options):
    """Against the network and theory, at every prefix."""
    network, prompts, exact = drawn(undecided(3, 4, 0.5, 5), 5, batch=20, **options)
    model, before = read_gpt2(gpt2_files(network, shape))
    assert before == network.stream.before
    tokens = torch.from_numpy(
        np.pad(prompts.interleaved().transpose(0, 2, 1), ((0, 0), (before, 0), (0, 0)))
    )
    with torch.no_grad():
        found = model(tokens)[:, before::2, 0].numpy()
    least = network.min_examples
    built = network.predict_all_prefixes(prompts)
    assert np.abs(found[:, least:] - built[:, least:]).max() < 1e-10
    assert np.abs(found[:, least:] - exact[:, least:]).max() < 1e-10


@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
def test_a_folder_that_transformers_saved_is_read(tmp_path, activation):
    """With n_inner left out, as stock models do."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=1,
        n_positions=7,
        n_embd=12,
        n_layer=2,
        n_head=3,
        activation_function=activation,
        bos_token_id=None,
        eos_token_id=None,
    )
    stock = GPT2Model(config).eval()
    stock.save_pretrained(tmp_path)
    arrays = io.BytesIO()
    embedding, read_out = np.random.default_rng(0).normal(size=(2, 12, 3)).astype(np.float32)
    np.savez(arrays, embedding=embedding.T, read_out=read_out)
    written(tmp_path, {"prompts.npz": arrays.getvalue()})
    model, before = read_gpt2({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    assert (before, model.shape) == (0, GPT2Shape(2, 3, 12, 48, activation))
    tokens = drawn_tokens(3, 7)
    with torch.no_grad():
        expected = stock(inputs_embeds=tokens @ torch.tensor(embedding.T))[0] @ torch.tensor(
            read_out
        )
        torch.testing.assert_close(model(tokens), expected, rtol=0, atol=3e-5)


# Damage


def with_config(**changes):
    config = json.loads(SMALL["config.json"]) | changes
    kept = {name: value for name, value in config.items() if value is not ...}
    return {"config.json": json.dumps(kept).encode()}


def with_weights(**changes):
    weights = safetensors.torch.load(SMALL["model.safetensors"])
    for name, value in changes.items():
        weights[name.replace("__", ".")] = value
    kept = {name: value for name, value in weights.items() if value is not None}
    return {"model.safetensors": safetensors.torch.save(kept)}


def with_prompts(**changes):
    arrays = dict(np.load(io.BytesIO(SMALL["prompts.npz"])).items()) | changes
    file = io.BytesIO()
    np.savez(file, **{name: value for name, value in arrays.items() if value is not None})
    return {"prompts.npz": file.getvalue()}


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return {"prompts.npz": file.getvalue()}


DAMAGED = {
    "a list for a configuration": {"config.json": b"[]"},
    "a number for a configuration": {"config.json": b"1"},
    "half a configuration": {"config.json": SMALL["config.json"][:30]},
    "no text": {"config.json": b"\xff\xfe\xfd"},
    "no weights in the file": {"model.safetensors": b""},
    "half the weights": {"model.safetensors": SMALL["model.safetensors"][:-8]},
    "half the arrays": {"prompts.npz": SMALL["prompts.npz"][:-40]},
    "one array for several": npy(np.ones(3)),
    "objects": with_prompts(embedding=np.array([{}, 1], dtype=object)),
    "no layers": with_config(n_layer=...),
    "layers in words": with_config(n_layer="one"),
    "half a layer": with_config(n_layer=0.5),
    "a layer too many": with_config(n_layer=2),
    "no heads": with_config(n_head=0),
    "heads that do not divide": with_config(n_head=2),
    "another width": with_config(n_embd=6),
    "another feed-forward width": with_config(n_inner=8),
    "a default feed-forward width": with_config(n_inner=None),
    "no activation": with_config(activation_function=...),
    "another activation": with_config(activation_function="relu"),
    "another epsilon": with_config(layer_norm_epsilon=1e-3),
    "another scale": with_config(scale_attn_weights=False),
    "scales of layers": with_config(scale_attn_by_inverse_layer_idx=True),
    "more positions": with_config(n_positions=6),
    "fewer positions": with_config(n_positions=4),
    "no position weights": with_weights(wpe__weight=None),
    "flat positions": with_weights(wpe__weight=torch.zeros(5)),
    "narrow positions": with_weights(wpe__weight=torch.zeros(5, 1)),
    "integers": with_weights(wpe__weight=torch.zeros(5, 5, dtype=torch.int64)),
    "a missing weight": with_weights(h__0__mlp__c_fc__weight=None),
    "a missing bias": with_weights(ln_f__bias=None),
    "a transposed weight": with_weights(h__0__mlp__c_fc__weight=torch.zeros(7, 5)),
    "one number for a bias": with_weights(h__0__mlp__c_fc__bias=torch.zeros(1)),
    "one number for a gain": with_weights(ln_f__weight=torch.zeros(1)),
    "one layer more than said": with_weights(h__1__ln_1__weight=torch.ones(5)),
    "a read-out of one dimension": with_prompts(read_out=np.ones(5)),
    "a head": {
        "model.safetensors": safetensors.torch.save(
            {
                f"transformer.{name}": weights
                for name, weights in safetensors.torch.load(SMALL["model.safetensors"]).items()
            }
        )
    },
    "no archive": {"prompts.npz": b"not zipped"},
    "no read-in": with_prompts(embedding=None),
    "no read-out": with_prompts(read_out=None),
    "a flat read-out": with_prompts(read_out=np.ones(5)),
    "a read-in of no dimension": with_prompts(embedding=np.array(1.0)),
    "a read-in of another width": with_prompts(embedding=np.ones((3, 4))),
    "words for a read-in": with_prompts(embedding=np.full((3, 5), "x")),
    "one number for the bias": with_prompts(embedding_bias=np.ones(1)),
    "columns below 0": with_prompts(constant_columns=np.array(-1)),
    "half a column": with_prompts(constant_columns=np.array(0.5)),
    "two counts of columns": with_prompts(constant_columns=np.array([0, 1])),
}


@pytest.mark.parametrize("change", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_one_clear_error(change):
    read_gpt2(SMALL)
    with pytest.raises(ValueError, match=r"^(cannot be read as|is not) a GPT-2") as caught:
        read_gpt2({**SMALL, **change})
    assert len(str(caught.value)) > 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no layers", "lacks 'n_layer'"),
        ("a missing weight", "lacks 'h.0.mlp.c_fc.weight'"),
        ("another width", r"embedding of prompts.npz has shape \(3, 5\); expected \(d, 6\)"),
        ("a read-out of one dimension", r"read_out of .* shape \(5,\); expected \(5, outputs\)"),
        ("a list for a configuration", r"config.json holds a list; expected an object"),
        ("a head", r"GPT-2 with a head; .*: save model.transformer"),
        ("no archive", r"prompts.npz is not what numpy.savez writes"),
        ("another activation", "'relu'; expected 'gelu' or 'gelu_new'"),
        ("another epsilon", "layer_norm_epsilon is 0.001; expected 1e-05"),
        ("more positions", r"wpe has shape \(5, 5\); expected \(6, 5\)"),
        ("one number for a bias", r"bias of h.0.mlp.c_fc has shape \(1,\); expected \(7,\)"),
        ("one layer more than said", "more layers than n_layer, 1"),
        ("columns below 0", "constant_columns is -1; expected an integer >= 0"),
    ],
)
def test_errors_say_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        read_gpt2({**SMALL, **DAMAGED[change]})


@pytest.mark.parametrize("name", SMALL)
def test_missing_files_are_named(name):
    with pytest.raises(ValueError, match=rf"lacks {name}; expected config.json and model"):
        read_gpt2({other: contents for other, contents in SMALL.items() if other != name})


@given(st.sampled_from(sorted(SMALL)), st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=300)
def test_a_changed_byte_is_another_model_or_one_error(name, place, change):
    contents = bytearray(SMALL[name])
    contents[place % len(contents)] ^= change
    with suppress(ValueError):
        read_gpt2({**SMALL, name: bytes(contents)})
