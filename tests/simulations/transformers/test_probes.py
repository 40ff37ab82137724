"""Linear probes: what they find in made-up features, and in built networks."""

import numpy as np
import pytest

from constructions import compile_posterior_mean
from simulations.transformers.probes import (
    CELLS,
    LIMIT,
    covariate_states,
    explained_variance,
    log_odds,
    undecided,
)
from simulations.transformers.section_1_2 import Section12
from theory import RegressionMixture

MIXTURE = RegressionMixture(np.random.default_rng(1).standard_normal((3, 2)), 1.0, [0.2, 0.5, 0.3])


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# R^2


def test_an_affine_map_is_found_whatever_the_scales():
    features = gaussian(400, 4) * [1e-6, 1.0, 1e3, 1.0] + [0.0, 5.0, 1e4, 0.0]
    targets = features @ gaussian(4, 2, seed=1) / 1e3 + 3.0
    assert explained_variance(features[:200], targets[:200], features[200:], targets[200:]) > (
        1 - 1e-12
    )


def test_noise_of_the_targets_is_not_explained():
    features = gaussian(40_000, 3)
    targets = features[:, :1] + gaussian(40_000, 1, seed=1)
    half = slice(0, 20_000), slice(20_000, None)
    found = explained_variance(*(values[part] for part in half for values in (features, targets)))
    assert found == pytest.approx(0.5, abs=0.02)
    other = gaussian(40_000, 1, seed=2)
    none = explained_variance(*(values[part] for part in half for values in (features, other)))
    assert abs(none) < 0.01


def test_one_feature_is_judged_as_by_hand():
    x, y = gaussian(50), gaussian(50, seed=1)
    slope, intercept = np.polyfit(x[:25], y[:25], 1)
    missed = y[25:] - slope * x[25:] - intercept
    by_hand = 1 - np.sum(missed**2) / np.sum((y[25:] - y[25:].mean()) ** 2)
    found = explained_variance(x[:25, None], y[:25, None], x[25:, None], y[25:, None])
    assert found == pytest.approx(by_hand, abs=1e-12)


def test_constants_with_rounding_and_copies_of_features_do_no_harm():
    useful = gaussian(200, 1)
    constant = 1e10 + 1e-7 * gaussian(200, 1, seed=1)
    features = np.hstack([useful, constant, useful, np.zeros((200, 1))])
    targets = 2 * useful
    assert explained_variance(features[:100], targets[:100], features[100:], targets[100:]) > (
        1 - 1e-12
    )


def test_too_few_cells_or_equal_targets_have_no_answer():
    features, targets = gaussian(200, 10), gaussian(200, 1)
    few = CELLS * 10 - 1
    assert np.isnan(explained_variance(features[:few], targets[:few], features, targets))
    assert np.isfinite(
        explained_variance(features[: few + 1], targets[: few + 1], features, targets)
    )
    assert np.isnan(explained_variance(features, targets, features, np.ones((200, 1))))
    assert np.isnan(explained_variance(features, targets, features[:1], targets[:1]))


def test_what_does_not_fit_is_refused_all_at_once():
    features, targets = gaussian(20, 2), gaussian(20, 1)
    broken = features.copy()
    broken[3, 1] = np.inf
    with pytest.raises(ValueError, match="expected as many of both") as error:
        explained_variance(broken, targets[:-1], features[:, :1], targets)
    said = str(error.value)
    assert "features" in said.splitlines()[1]
    assert "inf" in said
    assert "20 rows of features for 19 of targets, and 20 for 20 held out" in said
    assert "features have 2 entries and 1 held out, targets 1 and 1" in said
    with pytest.raises(ValueError, match=r"held_out_targets has shape \(20,\)"):
        explained_variance(features, targets, features, targets[:, 0])


# Log-odds


def test_log_odds_are_linear_in_sums_over_examples():
    prompts = MIXTURE.sample_prompts(30, 4, np.random.default_rng(0))
    W, pi = MIXTURE.components, MIXTURE.weights
    for b in range(30):
        for n in range(5):
            for j in (1, 2):
                by_hand = np.log(pi[j] / pi[0])
                for x, y in zip(prompts.xs[b, :n], prompts.ys[b, :n], strict=True):
                    by_hand += (W[j] - W[0]) @ x * y - ((W[j] @ x) ** 2 - (W[0] @ x) ** 2) / 2
                assert log_odds(MIXTURE, prompts)[b, n, j - 1] == pytest.approx(by_hand, abs=1e-11)


def test_a_prompt_is_undecided_if_all_its_odds_are_moderate():
    odds = np.array([[[LIMIT, -LIMIT], [0.0, 1.001 * LIMIT], [-1.001 * LIMIT, 0.0]]])
    np.testing.assert_array_equal(undecided(odds), [[True, False, False]])


# Built networks


@pytest.mark.parametrize("layers", [2, 3])
def test_a_built_network_holds_the_log_odds_from_the_layer_of_the_schedule_on(layers):
    network = compile_posterior_mean(MIXTURE, 4, layers=layers)
    sets = [MIXTURE.sample_prompts(n, 4, np.random.default_rng(n)) for n in (2000, 300)]
    written = [set(state.values) for state in network.trace(sets[1])]
    layer_of_scores = next(i for i, names in enumerate(written) if "s" in names)
    states = [covariate_states(Section12.of(network), prompts) for prompts in sets]
    odds = [log_odds(MIXTURE, prompts)[:, 1:].reshape(-1, 2) for prompts in sets]
    found = []
    for own, other in zip(*states, strict=True):
        features = (state[:, 1:].reshape(-1, state.shape[-1]) for state in (own, other))
        fitted, held_out = features
        found.append(explained_variance(fitted, odds[0], held_out, odds[1]))
    assert len(found) == layers + 1
    assert max(found[:layer_of_scores]) < 0.1
    assert min(found[layer_of_scores:]) > 1 - 1e-12


def test_states_are_those_of_the_covariates_and_do_not_see_later_examples():
    model = Section12.of(compile_posterior_mean(MIXTURE, 4))
    prompts = MIXTURE.sample_prompts(5, 4, np.random.default_rng(0))
    whole, short = (covariate_states(model, p) for p in (prompts, prompts.prefix(2)))
    for state, earlier in zip(whole, short, strict=True):
        assert state.shape == (5, 5, model.embedding.shape[0])
        np.testing.assert_allclose(state[:, :3], earlier, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        whole[-1] @ model.read_out.detach().numpy()[0],
        MIXTURE.posterior_mean_all_prefixes(prompts),
        atol=1e-11,
    )
