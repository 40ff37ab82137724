import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from constructions import Box, PosteriorMeanTransformer, compile_posterior_mean
from constructions.gadgets import SquareGadget, square_gadget
from simulations.built_models import CERTIFICATE, MIXTURE, WEIGHTS, load_model, save_model
from simulations.stored_folder import MANIFEST, DamagedFolderError, read_folder, write_folder
from theory import RegressionMixture

UNIFORM = RegressionMixture.random(3, 2, 0.5, np.random.default_rng(0))
WEIGHTED = RegressionMixture(UNIFORM.components, 0.5, [0.5, 0.3, 0.2])
ONE_IMPOSSIBLE = RegressionMixture(UNIFORM.components, 0.5, [0.5, 0.5, 0.0])
PROMPTS = UNIFORM.sample_prompts(20, 4, np.random.default_rng(1))
CASES = {
    "float64": (UNIFORM, torch.float64),
    "float32": (UNIFORM, torch.float32),
    "prior weights": (WEIGHTED, torch.float64),
    "a weight of zero": (ONE_IMPOSSIBLE, torch.float64),
}


def model(mixture=UNIFORM, dtype=torch.float64, max_examples=4):
    return compile_posterior_mean(mixture, max_examples, dtype=dtype)


@pytest.mark.parametrize("name", CASES)
def test_a_model_reads_back_bitwise(tmp_path, name):
    mixture, dtype = CASES[name]
    saved = model(mixture, dtype)
    assert save_model(tmp_path / "m", saved) == tmp_path / "m"
    loaded = load_model(tmp_path / "m")
    assert loaded.predict(PROMPTS).tobytes() == saved.predict(PROMPTS).tobytes()
    assert loaded.dtype == dtype
    assert loaded.mixture.components.tobytes() == mixture.components.tobytes()
    assert loaded.mixture.weights.tobytes() == mixture.weights.tobytes()
    assert loaded.mixture.noise_std == mixture.noise_std
    assert (loaded.max_examples, loaded.box) == (saved.max_examples, saved.box)
    assert loaded.report() == saved.report()
    parameters = loaded.state_dict()
    assert list(parameters) == list(saved.state_dict())
    for key, value in saved.state_dict().items():
        assert torch.equal(parameters[key], value)


OTHERS = {
    "two layers": {"layers": 2},
    "no prefix columns": {"prefix_columns": False},
    "two layers, no prefix columns": {"layers": 2, "prefix_columns": False},
    "another gadget": {"square": square_gadget(3, 1e-6)},
    "a gadget of no formula": {"square": SquareGadget(np.array([0.3]), np.array([13.9]), 0.1)},
    "another gadget in float32": {"square": square_gadget(2, 1e-3), "dtype": torch.float32},
}


@pytest.mark.parametrize("max_examples", [4, 6])
@pytest.mark.parametrize("name", OTHERS)
def test_every_setting_reads_back_bitwise(tmp_path, name, max_examples):
    saved = PosteriorMeanTransformer(WEIGHTED, max_examples, **OTHERS[name])
    loaded = load_model(save_model(tmp_path / "m", saved))
    for predict in ("predict", "predict_all_prefixes"):
        found, expected = (getattr(network, predict)(PROMPTS) for network in (loaded, saved))
        assert found.tobytes() == expected.tobytes()
    assert len(loaded.layers) == len(saved.layers)
    assert loaded.min_examples == saved.min_examples
    assert loaded.square.scales.tobytes() == saved.square.scales.tobytes()
    assert loaded.square.coefficients.tobytes() == saved.square.coefficients.tobytes()
    assert loaded.square.relative_error == saved.square.relative_error


@pytest.mark.parametrize("layers", [3, 2])
def test_a_model_for_no_examples_reads_back(tmp_path, layers):
    saved = compile_posterior_mean(WEIGHTED, 0, layers=layers)
    loaded = load_model(save_model(tmp_path / "m", saved))
    queries = PROMPTS.prefix(0)
    assert loaded.predict(queries).tobytes() == saved.predict(queries).tobytes()
    assert loaded.max_examples == 0


def test_a_given_box_reads_back(tmp_path):
    for box in (Box(1.5, 0.1 + 0.2), Box(1.5, 1.0, 0.7), Box.entrywise(2, 0.1 + 0.2, 2.0)):
        saved = compile_posterior_mean(UNIFORM, 2, box)
        assert load_model(save_model(tmp_path / "m", saved)).box == box


def test_the_files_are_those_that_the_documents_name(tmp_path):
    folder = save_model(tmp_path / "m", model(WEIGHTED))
    assert {path.name for path in folder.iterdir()} == {WEIGHTS, MIXTURE, MANIFEST, CERTIFICATE}
    arrays = safetensors.numpy.load((folder / MIXTURE).read_bytes())
    assert {name: array.shape for name, array in arrays.items()} == {
        "components": (3, 2),
        "weights": (3,),
    }
    settings = json.loads((folder / MANIFEST).read_text())["content"]["metadata"]
    assert settings["kind"] == "posterior-mean"
    assert (settings["noise_std"], settings["max_examples"], settings["dtype"]) == (
        0.5,
        4,
        "float64",
    )
    arrays = safetensors.numpy.load((folder / WEIGHTS).read_bytes())
    beside = arrays.pop("constants").size + arrays.pop("units").size
    assert beside == settings["report"]["width"] * (settings["report"]["columns"] + 1)
    assert settings["report"]["parameters"] == sum(array.size for array in arrays.values())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_examples", 3),
        ("box", {"covariate_norm": 100.0, "label": 900.0, "covariate": 100.0}),
        ("dtype", "float99"),
        ("dtype", "float32"),
        ("layers", 2),
        ("layers", 4),
        ("prefix_columns", False),
        ("square", {"scales": [1.0], "coefficients": [1.0], "relative_error": 1e-6}),
        ("square", {"scales": [], "coefficients": [], "relative_error": 1e-6}),
        ("square", {"scales": ["one"], "coefficients": [1.0], "relative_error": 1e-6}),
    ],
)
def test_settings_that_do_not_fit_the_weights_are_damage(tmp_path, setting, value):
    folder = save_model(tmp_path / "m", model())
    stored = read_folder(folder)
    write_folder(folder, stored.files, {**stored.metadata, setting: value})
    with pytest.raises(DamagedFolderError, match="contents are not those of a model"):
        load_model(folder)


@pytest.mark.parametrize("name", [WEIGHTS, MIXTURE, MANIFEST])
def test_damage_is_named(tmp_path, name):
    folder = save_model(tmp_path / "m", model())
    content = bytearray((folder / name).read_bytes())
    for place in (0, len(content) // 2, len(content) - 1):
        content[place] ^= 0x10
        (folder / name).write_bytes(content)
        with pytest.raises(DamagedFolderError, match=name):
            load_model(folder)
        content[place] ^= 0x10
    (folder / name).unlink()
    with pytest.raises(DamagedFolderError, match=f"{name} is missing"):
        load_model(folder)


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_model(tmp_path / "nowhere")


def test_a_model_is_replaced_as_a_whole(tmp_path, monkeypatch):
    first, second = model(), model(WEIGHTED)
    folder = save_model(tmp_path / "m", first)

    def killed(self: Path, target: Path) -> Path:
        raise OSError("killed before the renaming")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(OSError, match="killed"):
            save_model(folder, second)
    assert load_model(folder).mixture.weights.tolist() == first.mixture.weights.tolist()
    save_model(folder, second)
    assert load_model(folder).mixture.weights.tolist() == second.mixture.weights.tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_other_files_are_not_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="nothing was written"):
        save_model(tmp_path, model())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


# Contents that are not those that `save_model` wrote, under checksums that are right


def rewritten(path: Path, metadata: dict | None = None, **tensors: torch.Tensor | None) -> Path:
    """Store a model again with tensors or settings changed, and new checksums."""
    folder = read_folder(path)
    weights = safetensors.torch.load(folder.files[WEIGHTS]) | tensors
    kept = {name: tensor for name, tensor in weights.items() if tensor is not None}
    files = {**folder.files, WEIGHTS: safetensors.torch.save(kept)}
    settings = {**folder.metadata, **(metadata or {})}
    shutil.rmtree(path)
    return write_folder(path, files, {k: v for k, v in settings.items() if v is not None})


@pytest.fixture
def stored(tmp_path):
    return save_model(tmp_path / "m", model())


LAST = "stack.2.outward"


def test_it_is_the_stored_weights_that_count(stored):
    before = load_model(stored)
    changed = load_model(rewritten(stored, **{LAST: 2.0 * before.state_dict()[LAST]}))
    assert changed.predict(PROMPTS) == pytest.approx(2.0 * before.predict(PROMPTS), abs=1e-10)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor[:-1].contiguous(),
        lambda tensor: tensor.T.contiguous(),
        lambda tensor: tensor[None],
        lambda tensor: None,
    ],
    ids=["one row less", "transposed", "one axis more", "missing"],
)
def test_weights_of_other_shapes_are_refused(stored, change):
    wrong = change(load_model(stored).state_dict()[LAST])
    with pytest.raises(DamagedFolderError, match=f"not those of a model(.|\n)*{LAST}"):
        load_model(rewritten(stored, **{LAST: wrong}))


def test_unknown_weights_are_refused(stored):
    with pytest.raises(DamagedFolderError, match="extra"):
        load_model(rewritten(stored, extra=torch.zeros(1)))


SETTINGS = ["noise_std", "max_examples", "layers", "prefix_columns", "box", "dtype", "square"]


@pytest.mark.parametrize("missing", SETTINGS)
def test_missing_settings_are_refused(stored, missing):
    with pytest.raises(DamagedFolderError, match="not those of a model"):
        load_model(rewritten(stored, {missing: None}))


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "run"},
        {"max_examples": "many"},
        {"box": 3},
        {"box": {"covariate_norm": 1.0, "label": 1.0}},
        {"layers": "three"},
        {"square": {"scales": [1.0]}},
    ],
)
def test_settings_that_do_not_fit_are_refused(stored, settings):
    with pytest.raises(DamagedFolderError, match=r"expected 'posterior-mean'|not those of a model"):
        load_model(rewritten(stored, settings))


def test_files_that_are_no_safetensors_are_refused(stored):
    folder = read_folder(stored)
    for name in (WEIGHTS, MIXTURE):
        write_folder(stored, {**folder.files, name: b"no tensors"}, folder.metadata)
        with pytest.raises(DamagedFolderError, match="not those of a model"):
            load_model(stored)


def test_a_folder_of_another_kind_is_not_replaced(tmp_path):
    folder = save_model(tmp_path / "m", model(WEIGHTED))
    with pytest.raises(FileExistsError, match="a folder of kind 'posterior-mean', not 'other'"):
        write_folder(folder, {"a": b""}, {"kind": "other"})
    load_model(folder)
