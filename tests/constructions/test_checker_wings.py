"""The checker on networks whose squares have wings: what is damaged there is noticed, too."""

import numpy as np
import pytest
import torch

from constructions import Box, compile_posterior_mean
from constructions.checker import check
from constructions.library.certified import wings_for
from constructions.library.posterior_mean_transformer import PosteriorMeanTransformer
from constructions.winged import fitted_square
from tests.constructions.stored_certificates import (
    change_arrays,
    change_certificate,
    layout_of,
    write,
)
from theory import PromptBatch, RegressionMixture

MIXTURE = RegressionMixture.random(2, 3, 1.0, np.random.default_rng(0))
BOX = Box.entrywise(3, 3.0, 8.0)
PLAIN = compile_posterior_mean(MIXTURE, 3, BOX)
NETWORK = PosteriorMeanTransformer(
    MIXTURE, 3, BOX, square=fitted_square(), winged=wings_for(PLAIN, 1.0)
)
LAYOUT = layout_of(NETWORK)
SINGLE = compile_posterior_mean(MIXTURE, 3, BOX, torch.float32)
LAYOUT_32 = layout_of(SINGLE)
ROW = LAYOUT_32["square"][0]
WING_ROW, PAIR_ROW = LAYOUT["square"][9], LAYOUT["square"][0]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The checker's own bounds."""
    found = check(write(tmp_path_factory.mktemp("own") / "m", NETWORK))
    assert found.problems == ()
    return found.derived


@pytest.fixture
def folder(tmp_path, own):
    """A folder that claims hardly more than the checker's own bounds."""
    return write(tmp_path / "m", NETWORK, claimed=1.001 * own.box)


def test_it_is_accepted_before_it_is_damaged(folder, own):
    assert check(folder).problems == ()
    rng = np.random.default_rng(1)
    prompts = MIXTURE.sample_prompts(100, 3, rng)
    inside = sorted(set(range(100)) - {i for i, _ in BOX.problems(prompts)})
    prompts = PromptBatch(prompts.xs[inside], prompts.ys[inside])
    errors = NETWORK.predict(prompts) - MIXTURE.posterior_mean(prompts)
    assert np.abs(errors).max() <= own.explained


def neuron_of(row, reads):
    """A neuron that writes a row, and the place of one of its weights in W^in."""
    outward = NETWORK.layers[0].weights().outward[row].numpy()
    neuron = int(np.flatnonzero(outward)[len(outward.nonzero()[0]) // 2])
    return neuron, reads


DAMAGE = {
    "a wing's shift": ("stack.0.inward", neuron_of(WING_ROW, LAYOUT["one"])),
    "a wing's slope": ("stack.0.inward", neuron_of(WING_ROW, LAYOUT["token"][0])),
    "a wing's size": ("stack.0.outward", (WING_ROW, neuron_of(WING_ROW, 0)[0])),
    "a pair's size": ("stack.0.outward", (PAIR_ROW, neuron_of(PAIR_ROW, 0)[0])),
    "a pair's scale": ("stack.0.inward", neuron_of(PAIR_ROW, LAYOUT["image"][0])),
    "how wings are added": ("stack.1.value", (0, 0, WING_ROW)),
    "a part of <w, x>": (
        "stack.0.value",
        (0, 0, int(NETWORK.layers[0].weights().value[0, 0].abs().argmax())),
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("factor", [1 + 1e-9, 1.01, -1.0, 0.0])
def test_a_damaged_weight_is_noticed(folder, what, factor):
    name, place = DAMAGE[what]

    def change(arrays):
        assert arrays[name][place] != 0
        arrays[name][place] *= factor

    change_arrays(folder, change)
    assert check(folder).problems


# float32: one row a square, for pairs and wings.


@pytest.fixture
def single(tmp_path):
    """A float32 network of the default kind, which claims hardly more than the checker's own."""
    own = check(write(tmp_path / "own", SINGLE)).derived
    return write(tmp_path / "m", SINGLE, claimed=1.001 * own.box), own


def test_float32_is_accepted_before_it_is_damaged(single):
    folder, own = single
    assert check(folder).problems == ()
    ours = SINGLE.certificate()
    for name in ("box", "explained"):
        # Two derivations that share nothing: neither is far from the other.
        assert 0.4 < getattr(own, name) / getattr(ours, name).value < 1.1


def single_neuron(wing):
    """The neuron of the first square's wings, or of its core, that writes the most.

    The last wings hardly matter: 1 % of one is less than the bound has room for.
    """
    weights = SINGLE.layers[0].weights()
    winged = weights.inward[:, SINGLE.stream.one()].numpy() != 0
    return int(np.where(winged == wing, np.abs(weights.outward[ROW].numpy()), 0.0).argmax())


SINGLE_DAMAGE = {
    "a wing's shift": ("stack.0.inward", (single_neuron(True), LAYOUT_32["one"])),
    "a wing's slope": ("stack.0.inward", (single_neuron(True), LAYOUT_32["token"][0])),
    "a wing's size": ("stack.0.outward", (ROW, single_neuron(True))),
    "a pair's size": ("stack.0.outward", (ROW, single_neuron(False))),
    "a pair's scale": ("stack.0.inward", (single_neuron(False), LAYOUT_32["image"][0])),
}


@pytest.mark.parametrize("what", SINGLE_DAMAGE)
@pytest.mark.parametrize("factor", [1.01, -1.0, 0.0])
def test_a_damaged_weight_in_float32_is_noticed(single, what, factor):
    folder, _ = single
    name, place = SINGLE_DAMAGE[what]

    def change(arrays):
        assert arrays[name][place] != 0
        arrays[name][place] *= factor

    change_arrays(folder, change)
    assert check(folder).problems


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["layout"].pop("one"), "inward reads row"),
        (lambda c: c["assumptions"].update(silent=5.0), "assumption silent is 5.0"),
    ],
)
def test_a_wrong_layout_in_float32_is_noticed(single, change, message):
    folder, _ = single
    change_certificate(folder, change)
    assert message in " ".join(check(folder).problems)


def test_a_wing_that_is_heard_early_costs(folder, own):
    """All wings are moved towards 0: the checker's bound, if any, is far larger."""

    def change(arrays):
        arrays["stack.0.inward"][:, LAYOUT["one"]] *= 0.9
        arrays["stack.0.inward"][:, LAYOUT["zero"]] *= 0.9

    change_arrays(folder, change)
    found = check(folder)
    assert not found.accepted
    assert found.derived is None or found.derived.box > 100 * own.box


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["layout"].pop("one"), "inward reads row"),
        (lambda c: c["assumptions"].update(silent=8.0), "assumption silent is 8.0"),
        (lambda c: c["layout"].update(one=LAYOUT["zero"]), "a wing|pairs|neither|row"),
        (lambda c: c["layout"].update(square=LAYOUT["square"][:-2]), "square|row"),
        (lambda c: c["layout"].update(square=LAYOUT["square"][::-1]), "square|row"),
        (lambda c: c["layout"].update(answer=LAYOUT["answer"][:-1]), "answer|writes to row"),
    ],
)  # fmt: skip
def test_a_wrong_layout_is_noticed(folder, change, message):
    change_certificate(folder, change)
    with_problem = " ".join(check(folder).problems)
    assert any(part in with_problem for part in message.split("|")), with_problem
