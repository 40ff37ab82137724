"""The checker rejects what is damaged, even when all checksums are made to fit."""

import json

import numpy as np
import pytest
import safetensors.numpy
import torch

from constructions import compile_posterior_mean
from constructions.checker import UnreadableError, check
from tests.constructions.stored_certificates import (
    FILES,
    arrays_of,
    change_arrays,
    change_certificate,
    claim,
    write,
)
from theory import RegressionMixture

MIXTURE = RegressionMixture.random(3, 2, 0.5, np.random.default_rng(0))
K = 3
NETWORK = compile_posterior_mean(MIXTURE, K)
PROMPTS = MIXTURE.sample_prompts(200, K, np.random.default_rng(1))
MATRICES = [name for name, a in arrays_of(NETWORK).items() if name.startswith("stack") and a.size]


def row(label):
    return next(i for i, r in enumerate(NETWORK.stream.rows) if r.label.startswith(label))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The checker's own bounds, for the network as it was built."""
    return check(write(tmp_path_factory.mktemp("own") / "m", NETWORK)).derived


@pytest.fixture
def folder(tmp_path, own):
    """A folder whose certificate claims hardly more than the checker's own bounds."""
    return write(tmp_path / "m", NETWORK, claimed=1.001 * max(own.box, own.explained))


def error_of(folder):
    """The largest error of a damaged network, run as it is."""
    network = compile_posterior_mean(MIXTURE, K)
    arrays = safetensors.numpy.load_file(folder / FILES[0])
    network.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
    exact = MIXTURE.posterior_mean_all_prefixes(PROMPTS)
    return float(abs(network.predict_all_prefixes(PROMPTS) - exact).max())


def problems(folder):
    found = check(folder)
    assert found.accepted == (not found.problems)
    return found.problems


def test_the_folder_is_accepted_before_it_is_damaged(folder):
    assert problems(folder) == ()


# Weights

SABOTAGE = {
    "flipped sign": lambda w: -w,
    "scaled by 1.01": lambda w: 1.01 * w,
    "off by 1e-6": lambda w: w * (1 + 1e-6),
    "zeroed": lambda w: 0.0 * w,
}

#: Where a weight may change without any harm: logits that lie far apart may move.
FAR_APART = {"stack.0.query", "stack.0.key", "stack.1.query", "stack.1.key", "stack.2.query",
             "stack.2.key"}  # fmt: skip


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("kind", SABOTAGE)
def test_every_weight_that_matters_is_missed(folder, own, name, kind):
    """A weight is changed: the folder is rejected, or the network still keeps the bound."""
    original = arrays_of(NETWORK)[name]
    places = np.argwhere(original != 0)
    chosen = np.random.default_rng(0).permutation(len(places))[:12]
    rejected = 0
    for place in map(tuple, places[chosen]):
        write(folder, NETWORK, claimed=1.001 * own.box)

        def change(arrays, place=place):
            arrays[name][place] = SABOTAGE[kind](arrays[name][place])

        change_arrays(folder, change)
        if problems(folder):
            rejected += 1
            continue
        assert error_of(folder) <= own.box
    assert rejected == len(chosen) or name in FAR_APART


@pytest.mark.parametrize("name", MATRICES)
def test_a_weight_where_there_should_be_none_is_noticed(folder, own, name):
    original = arrays_of(NETWORK)[name]
    places = np.argwhere(original == 0)
    size = np.abs(original).max()
    for place in map(tuple, places[np.random.default_rng(0).permutation(len(places))[:12]]):
        write(folder, NETWORK, claimed=1.001 * own.box)

        def change(arrays, place=place):
            arrays[name][place] = size

        change_arrays(folder, change)
        assert problems(folder) or error_of(folder) <= own.box


@pytest.mark.parametrize(
    ("name", "axis"),
    [(name, axis) for name in MATRICES for axis in (-2, -1)],
)
def test_swapped_rows_are_noticed(folder, own, name, axis):
    """Two rows or columns of a matrix that are not the same change places."""
    array = arrays_of(NETWORK)[name]
    first = int(
        np.flatnonzero(np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1).any(1))[0]
    )
    second = next(
        i
        for i in range(array.shape[axis] - 1, -1, -1)
        if (np.take(array, i, axis) != np.take(array, first, axis)).any()
    )

    def change(arrays):
        swapped = arrays[name].copy()
        order = list(range(array.shape[axis]))
        order[first], order[second] = second, first
        arrays[name] = np.take(swapped, order, axis)

    change_arrays(folder, change)
    if not problems(folder):
        assert name in FAR_APART
        assert error_of(folder) <= own.box


def test_interchanging_two_whole_neurons_changes_nothing(folder):
    """A check that rejected everything would pass the tests above."""

    def change(arrays):
        order = np.random.default_rng(0).permutation(len(arrays["stack.2.inward"]))
        arrays["stack.2.inward"] = arrays["stack.2.inward"][order]
        arrays["stack.2.outward"] = arrays["stack.2.outward"][:, order].copy()

    change_arrays(folder, change)
    assert problems(folder) == ()


# Constants, units, mixture


@pytest.mark.parametrize(
    ("label", "column", "value"),
    [
        ("token", 0, 1e-3),
        ("f", -1, 1e-3),
        ("zero", -1, 1e-3),
        ("+L", -1, 2.0**31),
        ("-L", -1, -(2.0**29)),
        ("cos", -2, -1.0),
        ("ln(", -1, 1e-6),
        ("one", -1, 0.5),
        ("sink", 5, 1.0),
        ("e_2", 2, 1 - 1e-6),
        ("e_2", 1, 1.0),
        ("not {0, 1", 2, 1.0),
    ],
)
def test_sabotaged_constants_are_rejected(folder, label, column, value):
    def change(arrays):
        arrays["constants"][row(label), column] = value

    change_arrays(folder, change)
    assert problems(folder)


@pytest.mark.parametrize("label", ["token", "W x", "f"])
def test_a_sabotaged_unit_of_a_row_that_is_read_out_is_rejected(folder, label):
    def change(arrays):
        arrays["units"][row(label)] *= 2

    change_arrays(folder, change)
    assert problems(folder)


def test_a_unit_that_is_no_power_of_two_is_rejected(folder):
    change_arrays(folder, lambda arrays: arrays["units"].__imul__(1.5))
    assert any("power of two" in problem for problem in problems(folder))


def test_another_mixture_is_rejected(folder):
    def components(arrays):
        arrays["components"][1, 0] *= 1 + 1e-6

    change_arrays(folder, components, FILES[1])
    assert problems(folder)


def test_another_prior_is_rejected(folder):
    def weights(arrays):
        arrays["weights"][:] = [0.5, 0.25, 0.25]

    change_arrays(folder, weights, FILES[1])
    assert problems(folder)


# Settings and layout


def box(name):
    def change(settings):
        settings["box"][name] *= 1.01

    return change


SETTINGS = {
    "noise_std": lambda settings: settings.update(noise_std=settings["noise_std"] * (1 + 1e-6)),
    "max_examples": lambda settings: settings.update(max_examples=settings["max_examples"] + 1),
    "fewer examples": lambda settings: settings.update(max_examples=settings["max_examples"] - 1),
    "dtype": lambda settings: settings.update(dtype="float32"),
    "box: label": box("label"),
    "box: covariate_norm": box("covariate_norm"),
    "box: covariate": box("covariate"),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("also_manifest", [False, True])
def test_sabotaged_settings_are_rejected(folder, name, also_manifest):
    change_certificate(folder, SETTINGS[name], also_manifest)
    assert problems(folder)


ROLES = ("token", "image", "square", "score", "mixture", "answer")


@pytest.mark.parametrize("role", ROLES)
def test_a_layout_with_another_row_is_rejected(folder, role):
    change_certificate(folder, lambda c: c["layout"][role].__setitem__(0, row("one")))
    assert problems(folder)


@pytest.mark.parametrize("role", ROLES[:-1])
def test_a_layout_with_two_rows_swapped_is_rejected(folder, role):
    change_certificate(folder, lambda c: c["layout"][role].reverse())
    assert problems(folder)


@pytest.mark.parametrize("role", ["zero", "plus", "minus"])
def test_a_layout_with_another_constant_row_is_rejected(folder, role):
    change_certificate(folder, lambda c: c["layout"].update({role: row("one")}))
    assert problems(folder)


@pytest.mark.parametrize("name", ["unit_roundoff", "gelu", "exp"])
def test_assumptions_that_ask_for_less_are_rejected(folder, name):
    change_certificate(
        folder, lambda c: c["assumptions"].update({name: c["assumptions"][name] / 2})
    )
    (problem,) = problems(folder)
    assert problem.startswith(f"assumption {name} is")


# Checksums and the tree


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_does_not_fit_its_checksum_is_rejected(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(bytes(data))
    found = problems(folder)
    assert any("certificate was made for" in problem for problem in found)
    assert any("does not match its checksum in the manifest" in problem for problem in found)


def test_a_manifest_that_was_edited_is_rejected(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["content"]["extra"] = 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert problems(folder) == ("the manifest does not match its own checksum",)


def leaf(name, value, rule="leaf", parts=()):
    return {"name": name, "rule": rule, "value": value, "parts": list(parts)}


GOOD = claim(1.0)["tree"]["box"]
PARTS = [leaf("a", 0.5), leaf("b", 0.75)]
TREES = {
    "a sum below its parts": (leaf("box", 1.0, "sum", PARTS), "its sum is 1.25"),
    "a product below its parts": (leaf("box", 0.3, "product", PARTS), "its product is 0.375"),
    "a maximum below its parts": (leaf("box", 0.7, "max", PARTS), "its max is 0.75"),
    "deep inside": (leaf("box", 1.0, "gibbs", [leaf("c", 0.1, "sum", PARTS)]), "box/c is 0.1"),
    "a negative value": (leaf("box", 1.0, "gibbs", [leaf("c", -1.0)]), "the value -1.0"),
    "text for a value": (leaf("box", 1.0, "sum", [leaf("c", "much")]), "the value 'much'"),
    "no rule": ({"name": "box", "value": 1.0}, "is no node"),
    "no object": (3.0, "is no node"),
    "a sum of nothing": (leaf("box", 1.0, "sum"), "is a sum of nothing"),
    "parts of another kind": (leaf("box", 1.0, "sum", []) | {"parts": "ab"}, "expected a list"),
    "a value above the bound": (leaf("box", 1e301, "leaf"), "below its node's"),
}


@pytest.mark.parametrize("name", TREES)
def test_a_damaged_tree_is_rejected(tmp_path, name):
    folder = write(tmp_path / "m", NETWORK)
    node, expected = TREES[name]
    change_certificate(folder, lambda c: c["tree"].update(box=node))
    assert any(expected in problem for problem in problems(folder))


@pytest.mark.parametrize("missing", ["box", "explained"])
def test_a_bound_without_a_node_is_rejected(tmp_path, missing):
    folder = write(tmp_path / "m", NETWORK)
    change_certificate(folder, lambda c: c["tree"].pop(missing))
    assert problems(folder) == (f"tree: no node is called {missing!r}",)


def test_a_consistent_tree_is_accepted(tmp_path):
    folder = write(tmp_path / "m", NETWORK)
    node = leaf("box", 1.25, "sum", [leaf("a", 0.5), leaf("b", 0.75, "max", PARTS)])
    change_certificate(folder, lambda c: c["tree"].update(box=node))
    assert problems(folder) == ()


# What cannot be read


@pytest.mark.parametrize("name", [*FILES, "manifest.json", "certificate.json"])
def test_missing_and_garbled_files_are_refused(folder, name):
    (folder / name).write_bytes(b"not what it was")
    with pytest.raises(UnreadableError, match=name):
        check(folder)
    (folder / name).unlink()
    with pytest.raises(UnreadableError, match=f"{name} cannot be read"):
        check(folder)


ODD = {
    "version": (lambda c: c.update(version=2), "version is 2, expected 1"),
    "no layout": (lambda c: c.pop("layout"), "layout is missing"),
    "no tree": (lambda c: c.pop("tree"), "tree is missing"),
    "no checksum": (lambda c: c.update(mixture_sha256=3), "mixture_sha256 is 3"),
    "a row that is none": (
        lambda c: c["layout"]["image"].__setitem__(0, 10**6),
        r"layout: image is \[1000000",
    ),
    "too few rows": (lambda c: c["layout"]["square"].pop(), "square is"),
    "a truth value for a row": (lambda c: c["layout"].update(zero=True), "zero is True"),
    "a bound that is text": (lambda c: c["bounds"].update(box="1e-5"), "box is '1e-5'"),
    "a negative bound": (lambda c: c["bounds"].update(box=-1.0), "box is -1.0"),
    "an infinite bound": (lambda c: c["bounds"].update(box=np.inf), "Infinity is not a finite"),
    "an unknown dtype": (lambda c: c.update(dtype="float16"), "dtype is 'float16'"),
    "no noise": (lambda c: c.update(noise_std=0), "noise_std 0"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_entries_are_refused_with_one_line(folder, name):
    change, expected = ODD[name]
    certificate = json.loads((folder / "certificate.json").read_text())
    change(certificate)
    (folder / "certificate.json").write_text(json.dumps(certificate))
    with pytest.raises(UnreadableError, match=expected) as caught:
        check(folder)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_refused(folder):
    def change(arrays):
        arrays["stack.1.key"] = arrays["stack.1.key"][:, :1].copy()

    change_arrays(folder, change)
    with pytest.raises(UnreadableError, match=r"stack\.1\.key has shape"):
        check(folder)


def test_weights_that_are_not_finite_are_refused(folder):
    def change(arrays):
        arrays["stack.0.value"][0, 0, 0] = np.nan

    change_arrays(folder, change)
    with pytest.raises(UnreadableError, match="not finite"):
        check(folder)
