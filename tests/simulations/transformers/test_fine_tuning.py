"""Training from built weights: relative changes, curves, lines between networks."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from constructions import compile_posterior_mean
from simulations.transformers import Steps
from simulations.transformers.fine_tuning import (
    ADDRESSES,
    RelativeChanges,
    between,
    fine_tune,
    redrawn,
)
from simulations.transformers.models import tokens_of
from simulations.transformers.section_1_2 import Section12
from theory import RegressionMixture

MIXTURE = RegressionMixture(np.array([[1.0, -0.5], [0.2, 1.2]]), 1.0)
PROMPTS = MIXTURE.sample_prompts(50, 3, np.random.default_rng(0))
TOKENS = tokens_of(PROMPTS.xs, PROMPTS.ys)


def built(max_examples: int = 3) -> Section12:
    return Section12.of(compile_posterior_mean(MIXTURE, max_examples))


def drawing(seed: int = 1, size: int = 16):
    rng = np.random.default_rng(seed)

    def draw():
        prompts = MIXTURE.sample_prompts(size, 4, rng)
        return prompts.xs[:, :-1], prompts.ys

    return draw


def distance(model: nn.Module) -> float:
    """From the posterior mean."""
    with torch.no_grad():
        answers = model(TOKENS)[:, ::2, 0].numpy()
    return float(np.mean((answers - MIXTURE.posterior_mean_all_prefixes(PROMPTS)) ** 2))


# Relative changes


def test_without_changes_the_model_is_as_it_was():
    model = built()
    changes = RelativeChanges(model)
    assert torch.equal(changes(TOKENS), model(TOKENS))
    for name, weights in changes.weights().items():
        assert torch.equal(weights, dict(model.named_parameters())[name])


def test_weights_are_scaled_where_they_are_not_zero_and_not_kept():
    model = built()
    changes = RelativeChanges(model, ADDRESSES)
    with torch.no_grad():
        for delta in changes.deltas:
            delta.fill_(0.5)
    changes.share = 0.5
    changed = dict(changes.weights())
    for name, weights in model.named_parameters():
        factor = 1.0 if name.endswith(("query", "key", "embedding", "constants")) else 1.25
        assert torch.equal(changed[name], factor * weights)
    trained = ("value", "output", "inward", "outward", "read_out")
    count = sum(int((p != 0).sum()) for n, p in model.named_parameters() if n.endswith(trained))
    assert sum(delta.numel() for delta in changes.deltas) == count > 0


def test_every_entry_has_a_change_of_its_own():
    model = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.0, 2.0], [0.0, 4.0, 8.0]]))
    changes = RelativeChanges(model)
    with torch.no_grad():
        changes.deltas[0].copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    expected = torch.tensor([[2.0, 0.0, 6.0], [0.0, 16.0, 40.0]])
    assert torch.equal(changes.weights()["weight"], expected)


def test_a_model_without_weights_to_train_is_refused():
    model = nn.Linear(2, 1, bias=False)
    with pytest.raises(ValueError, match=r"nothing to train: all weights but \['weight'\] are"):
        RelativeChanges(model, ("weight",))


# Training


def test_watching_is_at_the_steps_that_are_asked_for():
    seen = []

    def watch(model):
        seen.append(float(next(model.parameters()).detach().abs().sum()))
        return seen[-1]

    model = RelativeChanges(built(), ADDRESSES)
    found = fine_tune(model, drawing(), Steps(4, 16, 1e-4, warm_up=0), watch, (0, 1, 4))
    assert found.tolist() == seen
    assert seen[0] == 0
    assert len(set(seen)) == 3


def test_equal_draws_give_equal_curves_and_the_model_is_changed():
    steps, first, second = (
        Steps(3, 16, 1e-3, warm_up=0),
        *(RelativeChanges(built(), ADDRESSES) for _ in range(2)),
    )
    curves = [fine_tune(model, drawing(), steps, distance, (0, 3)) for model in (first, second)]
    assert curves[0].tobytes() == curves[1].tobytes()
    assert curves[0][0] < 1e-20
    assert curves[0][1] > 1e-6
    assert all(bool(delta.any()) for delta in first.deltas)


def test_the_first_step_of_adam_is_the_step_size():
    model = RelativeChanges(built(), ADDRESSES)
    fine_tune(model, drawing(), Steps(1, 16, 1e-3, warm_up=0), distance, ())
    moved = torch.cat([delta.detach().abs() for delta in model.deltas])
    assert float(moved.max()) == pytest.approx(1e-3, rel=1e-6)


def test_a_short_gradient_makes_no_other_steps_than_a_long_one_but_for_epsilon():
    """Adam divides by the size of gradients; clipping shows only beside its epsilon, 1e-8."""
    loose, tight = (RelativeChanges(built(), ADDRESSES) for _ in range(2))
    for model, clip in ((loose, None), (tight, 1e-9)):
        fine_tune(model, drawing(), Steps(1, 16, 1e-3, warm_up=0, clip=clip), distance, ())
    largest = [max(float(d.detach().abs().max()) for d in m.deltas) for m in (loose, tight)]
    assert largest[1] < 0.2 * largest[0]


def test_training_ends_where_numbers_are_not_finite():
    values = iter([1.0, np.nan])
    model = RelativeChanges(built(), ADDRESSES)
    steps = Steps(5, 16, 1e-4, warm_up=0)
    found = fine_tune(model, drawing(), steps, lambda _: next(values), (0, 1, 5))
    assert found.tolist() == [1.0, np.inf, np.inf]

    def broken():
        xs, ys = drawing()()
        return xs, np.full_like(ys, np.nan)

    found = fine_tune(model, broken, steps, lambda _: 2.0, (0, 1, 5))
    assert found.tolist() == [2.0, np.inf, np.inf]


def test_a_plain_step_destroys_what_a_relative_one_leaves_nearly_as_it_was():
    steps, watched = Steps(2, 16, 1e-3, warm_up=0), (0, 2)
    relative = fine_tune(RelativeChanges(built(), ADDRESSES), drawing(), steps, distance, watched)
    plain = fine_tune(built(), drawing(), steps, distance, watched)
    assert relative[1] < 10
    assert plain[1] > 1e6


# Networks of equal shapes


def test_a_redrawn_network_has_the_shapes_and_other_weights():
    model = built()
    before = [p.detach().clone() for p in model.parameters()]
    drawn = redrawn(model, torch.Generator().manual_seed(1))
    p = model.embedding.shape[0]
    for (name, own), (other_name, other) in zip(
        model.named_parameters(), drawn.named_parameters(), strict=True
    ):
        assert (name, own.shape, own.dtype) == (other_name, other.shape, other.dtype)
        if other.numel() > 50:
            std = p**-0.5 / (6**0.5 if name.endswith(("output", "outward")) else 1)
            assert float(other.detach().std()) == pytest.approx(std, rel=0.3)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert drawn.constant_columns == model.constant_columns
    assert drawn(TOKENS).shape == model(TOKENS).shape


def test_a_line_begins_and_ends_at_its_ends():
    first, second = built(), redrawn(built(), torch.Generator().manual_seed(1))
    for share, end in ((0.0, first), (1.0, second)):
        weights = between(first, second, share)
        assert all(torch.equal(weights[name], p) for name, p in end.named_parameters())
    middle = between(first, second, 0.25)
    expected = 0.75 * first.read_out + 0.25 * second.read_out
    torch.testing.assert_close(middle["read_out"], expected.detach())


def test_networks_of_other_shapes_have_no_line():
    with pytest.raises(ValueError, match="no line between models of other shapes: constants diff"):
        between(built(), built(4), 0.5)


def test_relative_changes_learn():
    other = RegressionMixture(MIXTURE.components + 0.7, 1.0)
    rng = np.random.default_rng(2)
    prompts = other.sample_prompts(100, 3, rng)
    tokens, target = tokens_of(prompts.xs, prompts.ys), other.posterior_mean_all_prefixes(prompts)

    def watch(model):
        with torch.no_grad():
            return float(np.mean((model(tokens)[:, ::2, 0].numpy() - target) ** 2))

    def draw(rng):
        batch = other.sample_prompts(64, 4, rng)
        return batch.xs[:, :-1], batch.ys

    model = RelativeChanges(built(), ADDRESSES)
    steps = Steps(60, 64, 3e-3, warm_up=0)
    found = fine_tune(model, partial(draw, rng), steps, watch, (0, 60))
    assert found[1] < 0.4 * found[0]
