"""The prompts of every step."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simulations.transformers import Curriculum, MixturePrompts, Steps, TrainingSet
from simulations.transformers.batches import Batches
from simulations.transformers.models import tokens_of
from tests.simulations.transformers.cases import LAWS, QUICK, RUNS, changed


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@given(st.sampled_from(sorted(RUNS)), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12))))
def test_a_batch_depends_on_seed_and_step_alone(name, asked):
    """Whatever was asked for before, and in which order."""
    batches = Batches(RUNS[name])
    for seed, step in asked:
        assert same(batches(seed, step), Batches(RUNS[name])(seed, step))


@pytest.mark.parametrize("name", ["plain", "training set", "nonlinear", "exponential"])
def test_other_seeds_and_steps_give_other_prompts(name):
    batches = Batches(RUNS[name])
    found = {batches(seed, step)[1].tobytes() for seed in range(5) for step in range(5)}
    assert len(found) == 25


def test_the_start_of_the_weights_and_the_first_batch_share_no_numbers():
    """Streams of one seed differ: batches, components, sets."""
    config = changed(training_set=TrainingSet(6, seed=0))
    fresh, _ = Batches(QUICK)(0, 0)
    fixed, _ = Batches(config)(0, 0)
    assert not np.isin(fresh, fixed).any()


def test_the_law_and_its_components_are_those_of_the_config():
    xs, ys = Batches(changed(steps=Steps(13, 4000)))(0, 5)
    components = LAWS["mixture"].mixture.components
    noise = np.abs(np.einsum("bnd,md->bmn", xs, components) - ys[:, None]).mean(axis=2).min(axis=1)
    # The mean of five |N(0, 1/4)|, the least of three components.
    assert 0.3 < noise.mean() < 0.5 * math.sqrt(2 / math.pi) + 0.01
    assert xs.shape == (4000, 5, 3)


# The curriculum


def test_phases_begin_and_end_where_they_should():
    """Garg et al. 2022: dimensions 5 to 20, points 11 to 41, by 1 and 2 every 2,000 steps."""
    law = MixturePrompts(2, 20, 1.0, 40)
    batches = Batches(dataclasses.replace(QUICK, prompts=law, curriculum=Curriculum()))
    borders = {0: (5, 11), 1999: (5, 11), 2000: (6, 13), 3999: (6, 13), 4000: (7, 15)}
    borders |= {29_999: (19, 39), 30_000: (20, 41), 31_999: (20, 41), 500_000: (20, 41)}
    for step, (dim, points) in borders.items():
        xs, ys = batches(0, step)
        assert xs.shape == (6, points, 20)
        assert ys.shape == (6, points)
        assert not xs[..., dim:].any()
        assert np.all(xs[..., :dim] != 0)


def test_the_curriculum_of_longer_prompts_takes_longer():
    """K = 60 is reached at step 50,000 (FACTS.md D2)."""
    curriculum = Curriculum()
    lengths = [curriculum.points_at(step, 61) for step in (49_999, 50_000, 60_000)]
    assert lengths == [59, 61, 61]
    assert [curriculum.dim_at(step, 20) for step in (29_999, 30_000, 90_000)] == [19, 20, 20]


def test_a_curriculum_beyond_the_prompts_changes_nothing():
    wide = Curriculum(dim=30, points=50, every=1)
    assert same(Batches(changed(curriculum=wide))(0, 3), Batches(QUICK)(0, 3))


def test_components_stay_when_prompts_grow():
    config = changed(
        prompts=dataclasses.replace(LAWS["mixture"], noise_std=0.0),
        curriculum=Curriculum(dim=3, points=2, every=1),
    )
    for step in range(4):
        xs, ys = Batches(config)(0, step)
        components = LAWS["mixture"].mixture.components
        misses = np.abs(np.einsum("bnd,md->bnm", xs, components) - ys[:, :, None]).max(axis=1)
        assert misses.min(axis=1).max() < 1e-13


# Fixed sets


def rows(xs, ys):
    """Examples as rows that can be compared bit by bit."""
    return [
        {x.tobytes() + y.tobytes() for x, y in zip(*prompt, strict=True)}
        for prompt in zip(xs, ys, strict=True)
    ]


@given(
    size=st.integers(6, 12),
    seed=st.integers(0, 5),
    step=st.integers(0, 12),
    points=st.sampled_from([None, 2, 3]),
)
def test_batches_of_a_set_are_shuffled_prompts_of_it_each_at_most_once(size, seed, step, points):
    curriculum = points and Curriculum(dim=3, points=points, points_increment=0)
    config = changed(training_set=TrainingSet(size, seed=4), curriculum=curriculum)
    law, everything = config.prompts, changed(training_set=TrainingSet(size, seed=4))
    # All prompts of the set: a batch as large as it is.
    whole = rows(*Batches(dataclasses.replace(everything, steps=Steps(13, size)))(0, 0))
    xs, ys = Batches(config)(seed, step)
    assert xs.shape == (6, points or law.num_examples + 1, 3)
    owners = []
    for prompt in rows(xs, ys):
        assert len(prompt) == xs.shape[1]
        owners += [n for n, examples in enumerate(whole) if prompt <= examples]
    assert len(owners) == len(set(owners)) == 6


def test_every_example_comes_first_and_is_the_query_equally_often():
    """3,000 prompts: multinomial counts, chi-square with four degrees of freedom at 1e-4."""
    config = changed(training_set=TrainingSet(6, seed=4))
    whole = Batches(config)(0, 0)[1]
    places = {y: n for prompt in whole for n, y in enumerate(prompt.tolist())}
    batches = Batches(config)
    drawn = np.concatenate([batches(1, step)[1] for step in range(500)])
    for column in (0, 4):
        counts = np.bincount([places[y] for y in drawn[:, column].tolist()], minlength=5)
        assert ((counts - 600.0) ** 2 / 600.0).sum() < 23.5


def test_all_prompts_of_a_set_are_drawn_equally_often():
    config = changed(training_set=TrainingSet(12, seed=4))
    batches = Batches(config)
    firsts = np.concatenate([np.sort(batches(0, step)[1], axis=1)[:, 0] for step in range(300)])
    _, counts = np.unique(firsts, return_counts=True)
    assert len(counts) == 12
    # Without replacement: variance 300 / 4 of each count.
    assert np.abs(counts - 150).max() < 4.5 * math.sqrt(75)


def test_models_of_several_seeds_share_the_set_that_its_own_seed_gives():
    def seen(seed, of):
        batches = Batches(changed(training_set=TrainingSet(6, seed=of)))
        return set(batches(seed, 0)[1].ravel().tolist())

    assert seen(0, of=4) == seen(7, of=4)
    assert not seen(0, of=4) & seen(0, of=5)


# Tokens


@given(st.integers(1, 4), st.integers(0, 4), st.integers(1, 3), st.integers(0, 9))
def test_tokens_are_covariates_and_padded_labels_in_turn(batch, examples, dim, seed):
    rng = np.random.default_rng(seed)
    xs, ys = rng.normal(size=(batch, examples + 1, dim)), rng.normal(size=(batch, examples))
    tokens = tokens_of(xs, ys)
    assert tokens.shape == (batch, 2 * examples + 1, dim)
    assert tokens.dtype == torch.float64
    for prompt in range(batch):
        for n in range(examples + 1):
            assert tokens[prompt, 2 * n].tolist() == xs[prompt, n].tolist()
        for n in range(examples):
            expected = [ys[prompt, n], *[0.0] * (dim - 1)]
            assert tokens[prompt, 2 * n + 1].tolist() == expected
