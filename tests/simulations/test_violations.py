"""The search for violations: it finds none where the network is right, and finds sabotage."""

import numpy as np
import torch

from constructions import Box, PosteriorMeanTransformer, compile_posterior_mean
from simulations.experiments.violations import Search, ascend, judge, search
from theory import RegressionMixture

SMALL = Search(random_prompts=400, starts=60, steps=60)


def network(tolerance: float | None = None) -> PosteriorMeanTransformer:
    mixture = RegressionMixture.random(4, 3, 1.0, np.random.default_rng(0))
    return compile_posterior_mean(mixture, 10, Box.entrywise(3, 3.0, 9.0), tolerance=tolerance)


def test_none_is_found_in_honest_networks() -> None:
    for tolerance in (None, 1e-4, 1e-8):
        found = search(network(tolerance), SMALL)
        assert not found.violated
        assert found.random_error > 0
        assert 0 < found.refused < SMALL.random_prompts


def test_a_gadget_that_is_off_by_one_percent_is_found() -> None:
    model = network()
    with torch.no_grad():
        model.layers[0].outward.mul_(1.01)
    assert search(model, SMALL).violated


def test_a_single_weight_that_is_off_is_found() -> None:
    model = network()
    with torch.no_grad():
        model.layers[2].value[0, 0] *= 1 + 1e-6
    assert search(model, SMALL).violated


def test_ascent_stays_in_the_box_and_makes_prompts_more_fragile() -> None:
    model = network()
    box = Box(4.0, 9.0, 3.0)
    model.box = box
    rng = np.random.default_rng(0)
    prompts = ascend(model, 50, 80, rng)
    assert box.problems(prompts) == []
    start = ascend(model, 50, 0, np.random.default_rng(0))
    ties = []
    for batch in (start, prompts):
        posterior = model.mixture.posterior(batch)
        ties.append(float((1 - posterior.max(axis=1)).mean()))
    assert ties[1] > 2 * ties[0]


def test_the_judge_agrees_with_the_theory() -> None:
    model = network()
    prompts = model.mixture.sample_prompts(20, 10, np.random.default_rng(0))
    exact, explained = judge(model.mixture, prompts)
    np.testing.assert_allclose(
        exact.astype(float), model.mixture.posterior_mean_all_prefixes(prompts), atol=1e-12
    )
    # The noise of the true component has residual sum about k sigma^2.
    assert explained.mean() > 0.8
