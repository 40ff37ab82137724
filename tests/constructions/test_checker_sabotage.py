"""The checker rejects what is damaged, even when all checksums are made to fit."""

import numpy as np
import pytest
import safetensors.numpy
import torch

from constructions import compile_posterior_mean
from constructions.checker import check
from tests.constructions.stored_certificates import (
    FILES,
    arrays_of,
    change_arrays,
    change_certificate,
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


def test_a_pair_of_neurons_that_is_part_of_no_product_is_noticed(folder):
    def change(arrays):
        extra = np.zeros((2, arrays["stack.2.inward"].shape[1]))
        extra[:, row("token")] = [1.0, -1.0]
        arrays["stack.2.inward"] = np.concatenate([arrays["stack.2.inward"], extra])
        column = np.zeros((len(extra.T), 2))
        column[row("f")] = 1e-3
        arrays["stack.2.outward"] = np.concatenate([arrays["stack.2.outward"], column], axis=1)

    change_arrays(folder, change)
    assert problems(folder) == ("layer 3: a neuron writes the answer but is part of no product",)


def test_squares_whose_difference_is_no_product_are_noticed(folder):
    """(w + rho x)^2 - (w - rho x)^2 with two different rho: each is a square, without error."""
    off = 1e-6

    def change(arrays):
        inward, outward = arrays["stack.2.inward"], arrays["stack.2.outward"][row("f")]
        mixture = row("W x")
        used = inward[:, mixture] != 0
        plus = used & (inward[:, mixture] * inward[:, row("token")] > 0)
        outward[used] *= 2 * (1 + off) / (2 + off)
        outward[plus] /= (1 + off) ** 2
        inward[plus, mixture] *= 1 + off
        inward[plus, row("zero")] = -inward[plus, mixture] - inward[plus, row("token")]

    change_arrays(folder, change)
    (problem,) = [found for found in problems(folder) if "bound box" in found]
    assert "claimed" in problem


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
        ("not {0, 5", 5, 1e-9),
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


def test_a_certificate_for_another_box_than_the_models_is_rejected(folder):
    """A smaller box has a smaller error, but it is not the one that `predict` enforces."""
    change_certificate(folder, lambda settings: settings["box"].update(label=1.0))
    (problem,) = problems(folder)
    assert "in the manifest" in problem


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


@pytest.mark.parametrize("exponent", [-700, 500])
def test_weights_that_underflow_or_overflow_on_the_way_are_refused(folder, exponent):
    """Checksums fit, and the exact product of the weights would, too: results on the way do not."""

    def move(arrays):
        value = arrays["stack.1.value"]
        arrays["stack.1.value"] = np.ldexp(value, exponent)

    change_arrays(folder, move)
    assert any("overflow or vanish" in problem for problem in problems(folder))
