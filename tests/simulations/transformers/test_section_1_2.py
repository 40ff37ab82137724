"""The architecture of Section 1.2 as a module: of a compiled circuit, and trained."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from constructions.architecture import LayerWeights
from constructions.gpt2 import GPT2, GPT2Shape
from simulations.transformers import Steps, TrainingRun, train
from simulations.transformers.models import tokens_of
from simulations.transformers.predictor import ModelPredictor
from simulations.transformers.section_1_2 import Section12
from tests.constructions.export.drawn import drawn, undecided
from tests.simulations.transformers.cases import PLAIN, changed
from theory import PromptBatch


@pytest.mark.parametrize("options", [{}, {"layers": 2}, {"prefix_columns": False}])
def test_of_a_compiled_circuit_it_answers_as_the_network_at_every_prefix(options):
    network, prompts, exact = drawn(undecided(3, 4, 0.5, 5), 5, batch=20, **options)
    model = Section12.of(network)
    found = ModelPredictor(model).predict_all_prefixes(prompts)
    least = network.min_examples
    built = network.predict_all_prefixes(prompts)
    scale = np.abs(built[:, least:]).max()
    assert np.abs(found - built)[:, least:].max() <= 1e-12 * scale
    assert np.abs(found - exact)[:, least:].max() < 1e-10
    # Shorter prompts, too: positions are those of the longest.
    short = ModelPredictor(model).predict(prompts.prefix(2))
    assert np.abs(short - built[:, 2]).max() <= 1e-12 * scale
    assert sum(p.requires_grad for p in model.parameters()) == 6 * len(network.layers) + 3


def test_the_network_is_not_changed_by_training_its_copy():
    network, prompts, _ = drawn(undecided(2, 2, 0.5, 3), 3, batch=5)
    before = network.predict_all_prefixes(prompts)
    model = Section12.of(network)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    assert np.array_equal(network.predict_all_prefixes(prompts), before)


def test_states_are_the_columns_of_the_prompt():
    network, prompts, _ = drawn(undecided(3, 2, 0.5, 3), 3, batch=4)
    model = Section12.of(network)
    assert model.constant_columns > 0
    tokens = tokens_of(prompts.xs, prompts.ys)
    with torch.no_grad():
        states, answers = model.states(tokens), model(tokens)
        assert {state.shape for state in states} == {(4, 7, network.stream.num_rows)}
        torch.testing.assert_close(states[-1] @ model.read_out.T, answers, rtol=0, atol=1e-9)
        plain = [network.embed(prompts.interleaved())]
        for layer in network.layers:
            plain.append(layer(plain[-1]))
    for mine, theirs in zip(states, plain, strict=True):
        expected = theirs[..., model.constant_columns :].transpose(1, 2)
        # Rows hold numbers up to 1e10.
        torch.testing.assert_close(mine, expected, rtol=1e-12, atol=1e-9)


def test_later_columns_change_nothing_before_them():
    model = Section12.random((2, 2, 8), 3, None, 0.5, torch.Generator().manual_seed(0)).double()
    tokens = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 9, 3)))
    changes = tokens.clone()
    changes[:, 5:] = 3.0
    with torch.no_grad():
        first, second = model(tokens), model(changes)
    torch.testing.assert_close(first[:, :5], second[:, :5], rtol=0, atol=1e-12)
    assert (first - second)[:, 5:].abs().min() > 1e-6


def test_random_weights_have_their_standard_deviations():
    """Within 4.5 standard errors of a variance, sqrt(2 / n) relatively: 4 % at most here."""
    model = Section12.random((3, 4, 64), 64, 64, 0.1, torch.Generator().manual_seed(0))
    added = 0.1 / math.sqrt(6)
    for name, parameter in model.named_parameters():
        std = added if name.endswith(("output", "outward")) else 0.1
        n = parameter.numel()
        if n < 1000:
            continue
        ratio = float(parameter.detach().square().mean()) / std**2
        assert abs(ratio - 1) < 4.5 * math.sqrt(2 / n), name


def test_it_trains():
    config = dataclasses.replace(
        changed(model=dataclasses.replace(PLAIN, width=16, init_std=None)),
        steps=Steps(80, 32, 0.01, warm_up=10),
        records=4,
    )
    losses = train(TrainingRun(config)).records().losses[:, 0]
    # Three components on the sphere, sigma = 0.5: 3.25 for the zero predictor.
    assert losses[-1] < 0.8 * losses[0]


def weights(p=4, heads=2):
    return LayerWeights(
        query=torch.zeros(heads, 2, p),
        key=torch.zeros(heads, 2, p),
        value=torch.zeros(heads, 2, p),
        output=torch.zeros(heads, p, 2),
        inward=torch.zeros(8, p),
        outward=torch.zeros(p, 8),
    )


def test_shapes_that_do_not_fit_are_refused():
    parts = torch.zeros(4, 3), torch.zeros(4, 5), torch.zeros(1, 4)
    Section12([weights(), weights()], *parts)
    with pytest.raises(ValueError, match="transformer"):
        Section12([weights(4), weights(5)], *parts)


@pytest.mark.parametrize("columns", [6, 7, 20])
def test_a_prompt_longer_than_the_positions_is_refused(columns):
    model = Section12.random((1, 2, 4), 3, 5, 0.5, torch.Generator().manual_seed(0))
    tokens = torch.ones(2, columns, 3)
    for call in (model, model.states, model.embedded):
        with pytest.raises(
            ValueError, match=rf"{columns} columns .* 5 positions; expected at most 2"
        ):
            call(tokens)
    free = Section12.random((1, 2, 4), 3, None, 0.5, torch.Generator().manual_seed(0))
    assert free(tokens).shape == (2, columns, 1)


def test_a_predictor_refuses_longer_prompts():
    shape, generator = GPT2Shape(1, 2, 4, 4), torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)
    longer = PromptBatch(rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 3)))
    for model in (Section12.random((1, 2, 4), 3, 5, 0.5, generator), GPT2(shape, 3, 5)):
        with pytest.raises(ValueError, match="expected at most 2 examples"):
            ModelPredictor(model).predict(longer)
