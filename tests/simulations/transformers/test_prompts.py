"""The laws of prompts: moments against formulas, components against those of other experiments."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.experiments.error_curves import draw_mixture
from simulations.transformers import (
    GaussianPrompts,
    MixturePrompts,
    NonlinearPrompts,
    RandomMixturePrompts,
)
from tests.simulations.transformers.cases import LAWS

EVERY_LAW = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
SIZE = 40_000


def sample(law, size=SIZE, seed=0, active=None):
    return law.sample(size, np.random.default_rng(seed), active)


def assert_mean(values, expected, least_change=0.1):
    """Rows are independent: within 4.5 standard errors, which tell `least_change` apart."""
    rows = values.reshape(len(values), -1).mean(axis=1)
    error = rows.std() / math.sqrt(len(rows))
    assert abs(rows.mean() - expected) < 4.5 * error
    assert 9 * error < least_change * max(abs(expected), 1.0)


@EVERY_LAW
def test_noise_has_its_variance_and_is_independent_of_the_labels(law):
    _, ys, exact = sample(law)
    noise = ys - exact
    assert_mean(noise, 0.0)
    assert_mean(noise**2, 0.25)
    assert_mean(noise * exact, 0.0)
    assert_mean(noise[:, 1:] * noise[:, :-1], 0.0)
    assert_mean(noise**4, 3 * 0.25**2)


@EVERY_LAW
def test_without_noise_labels_are_exact(law):
    law = dataclasses.replace(law, noise_std=0.0)
    _, ys, exact = sample(law, 50)
    assert np.array_equal(ys, exact)


@pytest.mark.parametrize("name", [n for n in LAWS if n != "exponential"])
def test_covariates_are_standard_normal(name):
    xs, _, _ = sample(LAWS[name])
    assert_mean(xs, 0.0)
    assert_mean(xs**2, 1.0)
    assert_mean(xs**4, 3.0)
    assert_mean(xs[:, :, 0] * xs[:, :, 1], 0.0)
    assert_mean(xs[:, 0] ** 2 * xs[:, 1] ** 2, 1.0)  # no scale that a prompt shares


def test_exponential_covariances_are_the_prompts_own():
    """E x^2 = 1, E x^4 = 3 E lambda^2 = 6, and E x_1^2 x_2^2 = 2 in one coordinate, 1 across."""
    xs, ys, exact = sample(LAWS["exponential"], 4 * SIZE)
    assert_mean(xs**2, 1.0)
    assert_mean(xs**4, 6.0)
    assert_mean(xs[:, 0] ** 2 * xs[:, 1] ** 2, 2.0)
    assert_mean(xs[:, :, 0] ** 2 * xs[:, :, 1] ** 2, 1.0)
    assert_mean(exact**2, 3.0)
    assert_mean(ys**2, 3.25)


@pytest.mark.parametrize("name", ["mixture", "gaussian", "random mixture"])
def test_labels_have_second_moment_d_and_noise(name):
    """E y^2 = |w|^2 + sigma^2 on the sphere, and E |w|^2 + sigma^2 for a normal regressor."""
    _, ys, exact = sample(LAWS[name])
    assert_mean(exact**2, 3.0)
    assert_mean(ys**2, 3.25)
    # |w|^2 is 3 on the sphere, and its square has mean d (d + 2) = 15 for N(0, I).
    assert_mean(exact**4, 3 * (15.0 if name == "gaussian" else 9.0), 0.2)


def test_the_regressor_of_a_prompt_is_one():
    """Covariances of squares of two labels of a prompt tell what they share."""
    for name, expected in (("mixture", 0.0), ("gaussian", 6.0), ("random mixture", 0.0)):
        _, _, exact = sample(LAWS[name])
        # E (w'x)^2 (w'z)^2 = E |w|^4: 15 for a normal w of three entries, 9 on the sphere.
        assert_mean((exact[:, 0] ** 2) * (exact[:, 1] ** 2), 9.0 + expected, 0.3)


@given(
    m=st.integers(1, 6),
    d=st.integers(1, 5),
    k=st.integers(1, 6),
    seed=st.integers(0, 2**40),
    size=st.integers(1, 5),
)
def test_components_are_those_of_other_experiments_and_on_the_sphere(m, d, k, seed, size):
    law = MixturePrompts(m, d, 0.3, k, components_seed=seed)
    other = draw_mixture(m, d, 0.3, seed)
    assert np.array_equal(law.mixture.components, other.components)
    assert law.mixture.noise_std == other.noise_std
    np.testing.assert_allclose(np.linalg.norm(other.components, axis=1), math.sqrt(d), rtol=1e-14)
    xs, ys, exact = sample(law, size, seed)
    assert (xs.shape, ys.shape, exact.shape) == ((size, k + 1, d), (size, k + 1), (size, k + 1))
    # Every prompt has one component, for all its examples and the query.
    misses = np.abs(np.einsum("bnd,md->bnm", xs, other.components) - exact[:, :, None]).max(axis=1)
    assert misses.min(axis=1).max() < 1e-13 * (1 + np.abs(exact).max())


def test_components_are_uniform_and_do_not_depend_on_the_length():
    law = dataclasses.replace(LAWS["mixture"], noise_std=0.0)
    xs, _, exact = sample(law, 3000)
    misses = np.abs(np.einsum("bnd,md->bnm", xs, law.mixture.components) - exact[:, :, None])
    counts = np.bincount(misses.max(axis=1).argmin(axis=1), minlength=3)
    assert np.abs(counts - 1000).max() < 4.5 * math.sqrt(3000 * 2 / 9)
    for name in ("mixture", "nonlinear"):
        longer = dataclasses.replace(LAWS[name], num_examples=9)
        xs = np.random.default_rng(0).normal(size=(4, 3))
        if name == "mixture":
            assert np.array_equal(longer.mixture.components, LAWS[name].mixture.components)
        else:
            assert np.array_equal(longer.networks(xs), LAWS[name].networks(xs))


def test_random_mixtures_have_two_regressors_on_the_sphere_and_an_example_has_either():
    """Of 40 examples of 2 dimensions, without noise: two exact fits explain all of them."""
    law = RandomMixturePrompts(2, 2, 0.0, 40)
    xs, _, exact = sample(law, 50)
    for x, y in zip(xs, exact, strict=True):
        found = []
        left = np.arange(41)
        while len(left) and len(found) < 3:
            # Of three examples two share a regressor: find one that fits many.
            fits = [
                np.linalg.solve(x[[i, j]], y[[i, j]]) for i in left[:3] for j in left[:3] if i < j
            ] or [np.linalg.lstsq(x[left], y[left], rcond=None)[0]]
            best = max(fits, key=lambda w: np.sum(np.abs(x[left] @ w - y[left]) < 1e-8))
            found.append(best)
            left = left[np.abs(x[left] @ best - y[left]) >= 1e-8]
        assert len(found) == 2
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), math.sqrt(2), rtol=1e-8)


def test_networks_have_relu_neurons_and_labels_of_second_moment_d():
    """f(x)^2 has mean d over networks and covariates; f is positively homogeneous, not linear."""
    seconds, rng = [], np.random.default_rng(0)
    for seed in range(400):
        law = NonlinearPrompts(5, 3, 0.0, 4, hidden=6, components_seed=seed)
        seconds.append((law.networks(rng.standard_normal((50, 3))) ** 2).mean())
    assert_mean(np.array(seconds), 3.0, 0.35)
    law = LAWS["nonlinear"]
    xs = rng.standard_normal((20, 3))
    np.testing.assert_allclose(law.networks(2 * xs), 2 * law.networks(xs), rtol=1e-12)
    assert np.abs(law.networks(xs) + law.networks(-xs)).min() > 0
    xs, _, exact = sample(law, 30)
    misses = np.abs(law.networks(xs) - exact[:, :, None]).max(axis=1)
    assert misses.min(axis=1).max() < 1e-13
    assert set(misses.argmin(axis=1)) == {0, 1, 2}


@EVERY_LAW
@pytest.mark.parametrize("active", [1, 2, 3, 4, None])
def test_inactive_coordinates_are_zero_and_the_others_are_as_before(law, active):
    xs, _, exact = sample(law, 30, active=active)
    whole, _, _ = sample(law, 30)
    first = 3 if active is None else active
    assert not xs[..., first:].any()
    assert np.array_equal(xs[..., :first], whole[..., :first])
    assert np.all(exact != 0)
    again = sample(law, 30, active=active)
    assert np.array_equal(again[0], xs)
    assert not np.array_equal(sample(law, 30, seed=1)[0], whole)


@given(
    st.sampled_from(sorted(LAWS)),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(0, 9),
)
def test_shapes(name, dim, num_examples, size, seed):
    law = dataclasses.replace(LAWS[name], dim=dim, num_examples=num_examples)
    xs, ys, exact = sample(law, size, seed)
    assert xs.shape == (size, num_examples + 1, dim)
    assert ys.shape == exact.shape == (size, num_examples + 1)
    assert all(np.isfinite(array).all() for array in (xs, ys, exact))
    assert all(array.dtype == np.float64 for array in (xs, ys, exact))


@pytest.mark.parametrize(
    ("law", "changes", "told"),
    [
        (MixturePrompts, {"num_components": 0}, ["num_components is 0; expected an integer >= 1"]),
        (GaussianPrompts, {"dim": 0, "num_examples": -1}, ["dim is 0", "num_examples is -1"]),
        (NonlinearPrompts, {"hidden": 0, "components_seed": -1}, ["hidden is 0", "_seed is -1"]),
        (RandomMixturePrompts, {"noise_std": -0.5}, ["noise_std is -0.5; expected a finite"]),
        (MixturePrompts, {"noise_std": math.nan, "dim": 0}, ["noise_std is nan", "dim is 0"]),
        (MixturePrompts, {"noise_std": math.inf}, ["noise_std is inf"]),
    ],
)
def test_bad_input_is_named_all_at_once(law, changes, told):
    with pytest.raises(ValueError, match=law.__name__) as caught:
        law(**changes)
    assert all(part in str(caught.value) for part in told)
