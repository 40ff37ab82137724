"""Models of users: from folders of every kind, and callables by their import path."""

import shutil

import numpy as np
import pytest
import torch

from constructions import compile_posterior_mean
from constructions.export.gpt2 import gpt2_files
from simulations.built_models import save_model
from simulations.stored_folder import DamagedFolderError, write_folder
from simulations.transformers.folder import train_in_folder
from simulations.user_models import load_predictor, load_user_model
from tests.simulations.transformers.cases import QUICK, RUNS
from theory import PromptBatch, RegressionMixture, Ridge

MIXTURE = RegressionMixture.random(3, 2, 0.5, np.random.default_rng(0))
PROMPTS = MIXTURE.sample_prompts(20, 4, np.random.default_rng(1))

MINE = """
import numpy as np

def whole(xs, ys):
    assert xs.dtype == ys.dtype == np.float64 and xs.flags.writeable
    A = np.einsum("bkd,bke->bde", xs[:, :-1], xs[:, :-1]) + 0.25 * np.eye(xs.shape[2])
    b = np.einsum("bkd,bk->bd", xs[:, :-1], ys)
    return np.einsum("bd,bd->b", np.linalg.solve(A, b[..., None])[..., 0], xs[:, -1])

def prefixes(xs, ys):
    answers = [whole(xs[:, : n + 1], ys[:, :n]) for n in range(xs.shape[1])]
    return np.stack(answers, axis=1).astype(np.float32)

def peeking(xs, ys):
    last = np.append(ys, np.zeros((len(ys), 1)), axis=1)
    return last

def peeking_but_at_two_lengths(xs, ys):
    k = ys.shape[1]
    answers = np.zeros((len(ys), k + 1))
    for n in set(range(k)) - {k // 2}:
        answers[:, n] = ys[:, n]
    return answers

def peeking_at_one_length_only(xs, ys):
    if ys.shape[1] != 4:
        raise ValueError("only 4")
    return np.append(ys, np.zeros((len(ys), 1)), axis=1)

seen = {}

def remembering(xs, ys):
    for prompt, labels in zip(xs, ys):
        seen.update({x.tobytes(): y for x, y in zip(prompt, labels)})
    return np.array([seen.get(x.tobytes(), 0.0) for x in xs[:, -1]])

def peeking_behind_a_large_answer(xs, ys):
    answers = np.append(ys, np.zeros((len(ys), 1)), axis=1)
    answers[-1, -1] = 1e6
    return answers

def peeking_in_large_batches(xs, ys):
    k = ys.shape[1]
    return np.append(ys, np.zeros((len(ys), 1)), axis=1) * (len(ys) > 64)

calls = []

def counting(xs, ys):
    calls.append(1)
    return np.full(len(ys), float(len(calls)))

def one_length(xs, ys):
    if xs.shape[1] != 5:
        raise IndexError("only 5")
    return np.zeros(xs.shape[:2])

class Box:
    @staticmethod
    def zero(xs, ys):
        import beside
        return beside.zeros(xs)

def wrong_shape(xs, ys): return xs[:, 0]
def not_finite(xs, ys): return np.full(len(xs), np.inf)
def text(xs, ys): return ["a"] * len(xs)
def failing(xs, ys): raise KeyError("inside")
def leaving(xs, ys): raise SystemExit(3)
def ragged(xs, ys): return [[1.0], [1.0, 2.0]]
number = 3
"""


@pytest.fixture
def here(on_path_of_its_own):
    (on_path_of_its_own / "my_model.py").write_text(MINE)
    (on_path_of_its_own / "beside.py").write_text(
        "import numpy as np\ndef zeros(xs): return np.zeros(len(xs))\n"
    )
    (on_path_of_its_own / "broken.py").write_text("import nothing_of_this_name\n")
    (on_path_of_its_own / "syntax.py").write_text("def f(:\n")
    return on_path_of_its_own


@pytest.fixture
def on_path_of_its_own(monkeypatch, tmp_path):
    """A current directory whose modules are forgotten afterwards."""
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    assert sys.path == path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize(("name", "tolerance"), [("whole", 1e-12), ("prefixes", 1e-5)])
def test_a_callable_answers_every_prefix(here, name, tolerance):
    predictor = load_predictor(f"my_model:{name}")
    expected = Ridge(0.25).predict_all_prefixes(PROMPTS)
    assert np.abs(predictor.predict_all_prefixes(PROMPTS) - expected).max() < tolerance
    assert np.abs(predictor.predict(PROMPTS) - expected[:, -1]).max() < tolerance
    assert predictor.name == f"my_model:{name}"


def test_a_callable_may_be_nested_take_one_length_and_import_when_called(here):
    zeros = np.zeros((20, 5))
    for name in ("Box.zero", "one_length"):
        assert np.array_equal(
            load_predictor(f"my_model:{name}").predict_all_prefixes(PROMPTS), zeros
        )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong_shape", "answers have shape (20, 2); expected (20, 5), one for each prefix, or"),
        ("not_finite", "my_model:not_finite, called with (20, 5, 2) and (20, 4)"),
        ("text", "has dtype <U1"),
        ("failing", "my_model:failing raised KeyError: 'inside' ("),
        ("leaving", "my_model:leaving raised SystemExit: 3"),
        ("ragged", "my_model:ragged raised ValueError"),
        ("peeking", "its answers after 0 examples change by up to"),
        ("peeking_but_at_two_lengths", "its answers after 0 examples change by up to"),
        ("peeking_at_one_length_only", "its answers after 0 examples change by up to"),
        ("peeking_behind_a_large_answer", "its answers after 0 examples change by up to"),
        ("counting", "its answers change when some prompts are asked for again"),
    ],
)
def test_what_a_callable_does_wrong_is_one_error(here, name, words):
    with pytest.raises(ValueError, match=f"my_model:{name}") as caught:
        load_predictor(f"my_model:{name}").predict_all_prefixes(PROMPTS)
    assert words in str(caught.value)
    if name == "failing":
        assert "my_model.py, line" in str(caught.value)


def test_what_a_callable_remembers_of_earlier_calls_tells_it_no_label(here):
    """The label of a query is the next example of the longer prompt."""
    prompts = PromptBatch(PROMPTS.xs[:6], PROMPTS.ys[:6])
    answers = load_predictor("my_model:remembering").predict_all_prefixes(prompts)
    assert np.all(np.abs(answers[:, :-1] - prompts.ys) > 1e-6)


def test_peeking_in_large_batches_only_is_noticed(here):
    mixture = RegressionMixture.random(2, 2, 1.0, np.random.default_rng(0))
    prompts = mixture.sample_prompts(200, 4, np.random.default_rng(1))
    with pytest.raises(ValueError, match="its answers after 0 examples change by up to"):
        load_predictor("my_model:peeking_in_large_batches").predict_all_prefixes(prompts)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("my_modle:whole", "there is no module 'my_modle'"),
        ("my_model:whol", "my_model has no 'whol': did you mean 'whole'?"),
        ("my_model:Box.one", "has no 'one'"),
        ("my_model:number", "is a int, expected a callable"),
        ("broken:f", "importing broken raised ModuleNotFoundError: No module named 'nothing"),
        ("syntax:f", "importing syntax raised SyntaxError"),
    ],
)
def test_what_cannot_be_imported_is_one_error(here, where, words):
    with pytest.raises(ValueError, match=where) as caught:
        load_predictor(where)
    assert words in str(caught.value)


@pytest.mark.parametrize("where", ["nothing", "my/folder", "a:", ":b"])
def test_where_there_is_nothing(here, where):
    with pytest.raises(FileNotFoundError, match=r"there is no model .*package\.module:callable"):
        load_predictor(where)


# Folders


@pytest.mark.parametrize("name", ["plain", "section 1.2", "gaussian", "without positions"])
def test_a_trained_model_knows_its_law(tmp_path, name):
    train_in_folder(tmp_path, RUNS[name])
    law = RUNS[name].prompts
    seed = RUNS[name].seeds[0]
    found = load_user_model(str(tmp_path / f"seed-{seed}"))
    assert (found.law, found.num_examples, found.dim) == (law, 4, 3)
    assert found.max_examples == (None if name == "without positions" else 4)
    assert (found.mixture is None) == (name == "gaussian")
    if found.mixture is not None:
        assert np.array_equal(found.mixture.components, law.mixture.components)


def test_built_and_exported_models_are_the_posterior_mean(tmp_path):
    network = compile_posterior_mean(MIXTURE, 4)
    save_model(tmp_path / "built", network)
    files = gpt2_files(network)
    write_folder(tmp_path / "stored", files, {"kind": "export-gpt2"})
    (tmp_path / "plain").mkdir()
    for name, data in files.items():
        (tmp_path / "plain" / name).write_bytes(data)
    expected = MIXTURE.posterior_mean_all_prefixes(PROMPTS)
    for name in ("built", "stored", "plain"):
        found = load_user_model(str(tmp_path / name))
        assert np.abs(found.predictor.predict_all_prefixes(PROMPTS) - expected).max() < 1e-11
        assert np.abs(found.predictor.predict(PROMPTS) - expected[:, -1]).max() < 1e-11
        assert (found.max_examples, found.dim, found.predictor.name) == (4, 2, name)
        assert (found.mixture is not None) == (name == "built")
    save_model(tmp_path / "short", compile_posterior_mean(MIXTURE, 4, prefix_columns=False))
    with pytest.raises(ValueError, match="no answers after fewer than 2 examples"):
        load_user_model(str(tmp_path / "short"))


def test_a_stock_gpt2_with_its_prompts(tmp_path):
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    stock = GPT2Model(
        GPT2Config(n_layer=2, n_head=2, n_embd=8, n_positions=11, vocab_size=1, use_cache=False)
    ).eval()
    stock.save_pretrained(tmp_path / "stock")
    rng = np.random.default_rng(2)
    embedding, read_out = rng.normal(size=(2, 8)), rng.normal(size=(8, 1))
    biases = {"embedding_bias": rng.normal(size=8), "read_out_bias": rng.normal(size=1)}
    where = str(tmp_path / "stock")
    with pytest.raises(ValueError, match=r"stock lacks prompts\.npz"):
        load_user_model(where)
    np.savez(tmp_path / "stock" / "prompts.npz", embedding=embedding, read_out=read_out, **biases)
    tokens = np.zeros((20, 9, 2))
    tokens[:, ::2], tokens[:, 1::2, 0] = PROMPTS.xs, PROMPTS.ys
    inputs = torch.tensor(tokens @ embedding + biases["embedding_bias"], dtype=torch.float32)
    with torch.no_grad():
        state = stock(inputs_embeds=inputs).last_hidden_state.double().numpy()
    expected = (state @ read_out + biases["read_out_bias"])[:, ::2, 0]
    found = load_user_model(where)
    assert np.abs(found.predictor.predict_all_prefixes(PROMPTS) - expected).max() < 1e-5
    assert (found.max_examples, found.dim, found.mixture) == (5, 2, None)


def test_folders_that_hold_no_model_say_what_to_do(tmp_path):
    train_in_folder(tmp_path / "out", QUICK)
    with pytest.raises(ValueError, match=r"several models, seed-0; give one of them: .*seed-0"):
        load_user_model(str(tmp_path / "out"))
    with pytest.raises(ValueError, match="kind 'transformer-checkpoint': expected a folder"):
        load_user_model(str(tmp_path / "out" / "checkpoint"))
    shutil.rmtree(tmp_path / "out" / "seed-0")
    with pytest.raises(ValueError, match="a training that is not finished"):
        load_user_model(str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"lacks config\.json, model\.safetensors, prompts\.npz"):
        load_user_model(str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        load_user_model(str(tmp_path / "file"))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text("{}")
    with pytest.raises(DamagedFolderError, match="damaged"):
        load_user_model(str(tmp_path / "damaged"))
