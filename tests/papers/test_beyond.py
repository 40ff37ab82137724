"""The results beyond the papers: they hold, and the ball arithmetic agrees with torch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from flint import arb, arb_mat, ctx
from numpy.testing import assert_allclose

from constructions.architecture import Transformer
from papers import beyond
from papers.beyond import ball_network, no_network_is_exact
from papers.beyond.ball_network import SECTION_1_2, Architecture, balls
from papers.beyond.drawn_networks import compiled_networks, random_networks
from papers.beyond.scores_need_heads import mixed_derivatives, random_answer
from papers.beyond.two_layers import TwoLayerPair, fit_even_pairs
from papers.ledger import Verdict
from papers.runner import run_one
from tests.papers.statement_checks import (
    SEEDS,
    by_id,
    holds,
    tells_what_it_is,
)
from theory import PromptBatch, RegressionMixture

STATEMENTS = by_id(beyond.STATEMENTS)
TOKENS = np.array([[0.5, 1.0, -2.0, -0.3, 1.5], [0.7, 0.0, 0.25, 0.0, -1.0]])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_holds_and_kills_its_mutants(name, seed):
    holds(STATEMENTS[name], seed, Verdict.BEYOND)


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_tells_what_it_is(name):
    tells_what_it_is(STATEMENTS[name], "beyond")
    assert STATEMENTS[name].beyond


def as_floats(matrix: arb_mat) -> np.ndarray:
    return np.array([[float(entry.mid()) for entry in row] for row in matrix.tolist()])


@pytest.mark.parametrize("number", range(4))
def test_the_ball_network_is_the_torch_module(number):
    network = random_networks(2, 5, 4, SECTION_1_2, np.random.default_rng(0))[number]
    module = Transformer(list(network.layers))
    state = torch.tensor(network.constants + network.embedding @ TOKENS)[None]
    with torch.no_grad():
        expected = network.readout @ module(state)[0].numpy()[:, -1]
    with ctx.workprec(200):
        answer = network.answer(network.states(balls(TOKENS))[-1])
    assert float(answer.mid()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("number", range(3))
def test_the_compiled_networks_answer_f_star_in_ball_arithmetic(number):
    mixture = RegressionMixture([[1.0, 2.0], [1.0, -1.0], [1.0, 0.5]], 1.0)
    network = compiled_networks(mixture, 2)[number]
    prompts = PromptBatch([TOKENS[:, ::2].T], [TOKENS[0, 1::2]])
    with ctx.workprec(400):
        answer = network.answer(network.states(balls(TOKENS))[-1])
        assert float(answer.rad()) < 1e-60
        assert_allclose(float(answer.mid()), mixture.posterior_mean(prompts)[0], atol=1e-11)


def test_the_posterior_component_of_the_claim_is_that_of_the_theory():
    claim = no_network_is_exact._NORMALISED
    mixture = RegressionMixture(np.array(claim.components), 1.0)
    query = [0.3, -0.8]
    for label, tokens in zip(claim.labels, claim.examples(), strict=True):
        expected = mixture.posterior_mean(PromptBatch([[[1.0, 1.0], query]], [[label]]))[0]
        found = as_floats(claim.posterior_component(tokens))[:, 0] @ query
        assert found == pytest.approx(expected, rel=1e-12)


def test_the_bounds_are_near_what_networks_reach():
    """A bound that were far too large would make the check say little."""
    for claim in (no_network_is_exact._NORMALISED, no_network_is_exact._UNNORMALISED):
        networks = claim.networks(np.random.default_rng(3))[: no_network_is_exact.RANDOM_NETWORKS]
        with ctx.workprec(400):
            worst, counterexample = no_network_is_exact._judge(claim, networks)
        assert not counterexample
        assert worst > 1e-4


@pytest.mark.parametrize("part", ["_attended", "_norm"])
def test_a_bound_that_forgets_a_part_is_noticed(monkeypatch, part):
    monkeypatch.setattr(no_network_is_exact, part, lambda *arguments: arb(0))
    result = run_one(STATEMENTS["beyond/no-network-is-exact"], 0)
    assert not result.verdict.passes


def test_a_weaker_hidden_function_changes_the_answer():
    network = random_networks(2, 5, 1, SECTION_1_2, np.random.default_rng(0))[0]
    answers = set()
    for parts in (
        SECTION_1_2,
        Architecture(layer_norm=False),
        Architecture(hidden="squared relu"),
        Architecture(hidden="gated gelu"),
        Architecture(sees_itself=True),
        Architecture(softmax=False),
    ):
        varied = replace(network, architecture=parts)
        answers.add(round(float(varied.answer(varied.states(balls(TOKENS))[-1]).mid()), 9))
    assert len(answers) == 6


def test_gelu_in_balls():
    with ctx.workprec(200):
        for u in (-3.0, -0.5, 0.0, 1.25, 40.0):
            expected = torch.nn.functional.gelu(torch.tensor(u, dtype=torch.float64)).item()
            assert float(ball_network.gelu(arb(u)).mid()) == pytest.approx(expected, abs=1e-15)


# Few heads


def test_the_mixed_derivatives_are_those_of_the_answer():
    """Against differences of answers."""
    answer, point = random_answer(2, 2, 1, np.random.default_rng(5))
    matrix = mixed_derivatives(answer, point)
    h = 1e-3
    for i, j in ((0, 0), (3, 1), (15, 7)):
        x, y = torch.zeros_like(point), torch.zeros_like(point)
        x[2 * i], y[2 * j + 1] = h, h
        with torch.no_grad():
            corners = answer(point + x + y) - answer(point + x - y)
            corners += answer(point - x - y) - answer(point - x + y)
        assert matrix[i, j] == pytest.approx(corners.item() / (4 * h * h), abs=1e-4, rel=1e-3)


@pytest.mark.parametrize(("heads", "width"), [(1, 1), (2, 1), (2, 3)])
def test_the_rank_bound_is_attained(heads, width):
    matrix = mixed_derivatives(*random_answer(heads, width, 1, np.random.default_rng(1)))
    values = np.linalg.svd(matrix, compute_uv=False)
    assert (values > 1e-10 * values[0]).sum() == heads * (width + 1)


@pytest.mark.parametrize(("pairs", "limit"), [(6, 1e-3), (12, 5e-5), (24, 1e-6)])
def test_the_fit_of_log_cosh_is_as_good_as_it_says(pairs, limit):
    fit = fit_even_pairs(pairs)
    assert fit.error < limit
    gelu = torch.nn.functional.gelu
    scores = torch.linspace(-60.0, 60.0, 4001, dtype=torch.float64, requires_grad=True)
    total = sum(
        c * (gelu(fit.scale * (scores - b)) + gelu(-fit.scale * (scores + b)))
        for b, c in zip(fit.places.tolist(), fit.coefficients.tolist(), strict=True)
    )
    (slope,) = torch.autograd.grad(total.sum(), scores)
    error = (slope - torch.tanh(scores / 2) / 2).abs().max().item()
    assert error == pytest.approx(fit.error, rel=0.05)


def test_the_width_of_two_layers_does_not_depend_on_the_examples():
    mixture = RegressionMixture([[1.0, 2.0], [1.0, -1.0]], 1.0)
    networks = [TwoLayerPair(mixture, K, pairs=8, order=1) for K in (1, 30)]
    assert [network.feed_forward_width for network in networks] == [32, 32]
    for network in networks:
        assert [layer.query.shape[0] for layer in network.network.layers] == [1, 1]


def test_two_layers_take_two_components():
    mixture = RegressionMixture([[1.0], [2.0], [3.0]], 1.0)
    with pytest.raises(ValueError, match="3 components, expected 2"):
        TwoLayerPair(mixture, 2, pairs=3)
