"""The checker on files, trees and entries that are not what they should be."""

import json

import numpy as np
import pytest

from constructions import compile_posterior_mean
from constructions.checker import UnreadableError, check
from tests.constructions.stored_certificates import (
    FILES,
    change_arrays,
    change_certificate,
    write,
)
from theory import RegressionMixture

NETWORK = compile_posterior_mean(
    RegressionMixture.random(3, 2, 0.5, np.random.default_rng(0)), max_examples=3
)


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "m", NETWORK)


def problems(folder):
    return check(folder).problems


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
