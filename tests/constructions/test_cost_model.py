"""The cost model against networks that were built, and against a count of their operations."""

import inspect

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from constructions import Box, compile_line_by_line, compile_posterior_mean
from constructions.cost_model import DESIGNS, certified_error, cost
from theory import RegressionMixture

SIZES = [
    (1, 1, 1),
    (1, 1, 4),
    (1, 4, 2),
    (2, 2, 2),
    (2, 3, 4),
    (3, 1, 2),
    (3, 2, 1),
    (5, 2, 3),
    (3, 5, 10),
    (7, 3, 13),
    (4, 9, 6),
    (6, 6, 5),
    (20, 5, 8),
    (5, 20, 7),
]


def built(size, design, dtype=torch.float64, weights=None):
    d, m, K = size
    components = np.random.default_rng(0).normal(size=(m, d))
    mixture = RegressionMixture(components, 0.7, weights)
    if design == "line by line":
        return compile_line_by_line(mixture, K, dtype=dtype)
    layers = {"three layers": 3, "two layers": 2}[design]
    return compile_posterior_mean(mixture, K, dtype=dtype, layers=layers)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes_are_those_of_the_built_network(size, design):
    network, expected = built(size, design), cost(*size, design=design)
    assert network.stream.num_rows == expected.width
    assert network.stream.num_columns == expected.columns
    found = [
        (layer.query.shape[0], layer.query.shape[1], layer.inward.shape[0])
        for layer in network.layers
    ]
    assert found == [
        (layer.heads, layer.attention_width, layer.feed_forward_width)
        for layer in expected.by_layer
    ]
    assert sum(p.numel() for p in network.parameters()) == expected.parameters
    assert max(heads for heads, _, _ in found) == expected.heads
    assert max(neurons for *_, neurons in found) == expected.feed_forward_width


@pytest.mark.parametrize("design", DESIGNS)
def test_another_gadget_takes_other_neurons(design):
    network = built((3, 2, 4), design, torch.float32)
    order = len(network.square.scales)
    assert order == 6
    wings = len(network.winged.shifts) if design == "three layers" else 0
    expected = cost(3, 2, 4, design=design, order=order, wings=wings)
    assert [layer.inward.shape[0] for layer in network.layers] == [
        layer.feed_forward_width for layer in expected.by_layer
    ]
    assert sum(p.numel() for p in network.parameters()) == expected.parameters


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("size", [(2, 3, 4), (5, 2, 3), (1, 1, 1), (4, 9, 6)], ids=str)
def test_multiplications_are_those_that_torch_counts(size, design):
    network, expected = built(size, design), cost(*size, design=design)
    state = torch.ones(1, expected.width, expected.columns, dtype=torch.float64)
    state[:, 0] = 2.0
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(state)
    # torch counts a multiplication and an addition as two.
    assert counter.get_total_flops() == 2 * expected.multiplications


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("size", [(2, 3, 4), (5, 2, 3), (3, 5, 2), (3, 1, 2)], ids=str)
def test_a_prior_takes_a_little_more(size, design):
    weights = np.arange(1.0, size[1] + 1)
    network = built(size, design, weights=weights / weights.sum())
    expected = cost(*size, design=design, prior=True)
    assert network.stream.num_rows == expected.width
    assert len(network.layers) == expected.layers
    assert sum(p.numel() for p in network.parameters()) == expected.parameters


def test_all_problems_are_named():
    with pytest.raises(ValueError, match=r"dim is 0.*max_examples is -1.*design is 'four'"):
        # Past the types, which only tests enforce.
        inspect.unwrap(cost)(0, 1, -1, design="four")
    with pytest.raises(ValueError, match=r"wings is 3, expected 0 or more, and 0 but for"):
        cost(2, 2, 2, design="two layers", wings=3)


def test_figures_as_data():
    found = cost(2, 3, 4, design="two layers").as_dict()
    assert found["by_layer"][0] == {
        "heads": 8,
        "attention_width": 2,
        "feed_forward_width": 240,
    }
    assert found["largest_attention"] == 144


@pytest.mark.parametrize(
    ("d", "m", "K", "sigma", "box"),
    [
        (5, 5, 20, 1.0, (4.0, 15.0)),
        (5, 5, 20, 0.3, (4.0, 15.0)),
        (20, 20, 10, 1.0, (5.0, 30.0)),
        (20, 20, 60, 1.0, (5.0, 30.0)),
        (50, 10, 100, 1.0, (5.0, 50.0)),
    ],
)
def test_the_certified_error_is_estimated_to_a_factor_of_two(d, m, K, sigma, box):
    estimate = certified_error(d, m, K, sigma, covariate=box[0], label=box[1])
    components = np.random.default_rng(0).normal(size=(m, d))
    model = compile_posterior_mean(RegressionMixture(components, sigma), K, Box.entrywise(d, *box))
    certificate = model.certificate()
    assert 0.5 < estimate.explained / certificate.explained.value < 2
    assert 0.5 < estimate.box / certificate.box.value < 2


def test_the_certified_error_refuses_what_is_not_positive():
    with pytest.raises(ValueError, match="expected positive numbers"):
        certified_error(2, 2, 10, 0.0, covariate=1.0, label=1.0)
