"""Models side by side: one after the other, or stacked, against each of them alone."""

import math
from contextlib import contextmanager

import pytest
import torch

from constructions.gpt2 import GPT2, GPT2Shape
from simulations.transformers.copies import LoopedCopies, StackedCopies, copies
from tests.constructions.stock_gpt2 import drawn_gpt2, drawn_tokens

SHAPE = GPT2Shape(2, 2, 8, 12, "gelu_new")


def models(count=3, **options):
    return [drawn_gpt2(SHAPE, 3, 9, seed=seed, **options) for seed in range(count)]


def tokens(count=3, **options):
    return torch.stack([drawn_tokens(3, 9, 5, seed=10 + i, **options) for i in range(count)])


@contextmanager
def stacking():
    """What vmap says on a CPU: it has no batching rule for attention there, and loops."""
    with pytest.warns(UserWarning, match="batching rule"):
        yield


def backward(made, given, weights=(1.0, 1.0, 1.0)):
    """Answers, and gradients of sums of squares, with a weight for each model."""
    answers = made(given)
    (answers.square().sum(dim=(1, 2)) * torch.tensor(weights, dtype=given.dtype)).sum().backward()
    return answers.detach()


def gradients(made):
    """Of each model, by the names of its parameters."""
    if isinstance(made, LoopedCopies):
        return [{n: p.grad for n, p in model.named_parameters()} for model in made.models]
    pairs = list(zip(made.names, made.stacked, strict=True))
    return [{n: p.grad[i] for n, p in pairs} for i in range(len(made.stacked[0]))]


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_looped_and_stacked_answer_and_learn_alike(dtype, limit):
    """Relative to the largest answer, and to the largest entry of a gradient."""
    given = tokens(dtype=dtype)
    looped, stacked = LoopedCopies(models(dtype=dtype)), StackedCopies(models(dtype=dtype))
    first = backward(looped, given)
    with stacking():
        second = backward(stacked, given)
    assert first.shape == (3, 5, 9)
    assert (first - second).abs().max() <= limit * first.abs().max()
    for mine, theirs in zip(gradients(looped), gradients(stacked), strict=True):
        assert mine.keys() == theirs.keys()
        scale = max(g.abs().max() for g in mine.values())
        for name in mine:
            assert (mine[name] - theirs[name]).abs().max() <= limit * scale, name
    for mine, theirs in zip(looped.weights(), stacked.weights(), strict=True):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_each_of_several_is_bitwise_the_one_alone():
    given = tokens()
    together = LoopedCopies(models())
    answers = backward(together, given)
    for number, model in enumerate(models()):
        alone = LoopedCopies([model])
        assert torch.equal(backward(alone, given[number : number + 1], [1.0])[0], answers[number])
        mine, theirs = gradients(alone)[0], gradients(together)[number]
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_model_answers_its_own_prompts_with_its_first_output():
    made, given = models(outputs=2), tokens()
    expected = torch.stack([m(own)[..., 0] for m, own in zip(made, given, strict=True)])
    assert torch.equal(LoopedCopies(made)(given), expected)
    assert not torch.equal(LoopedCopies(made[::-1])(given), expected)
    with pytest.raises(ValueError, match="shorter"):
        LoopedCopies(made)(given[:2])


@pytest.mark.parametrize("kind", [LoopedCopies, StackedCopies])
def test_norms_and_factors_are_those_of_each_model(kind):
    made, given = kind(models()), tokens()
    if kind is StackedCopies:
        with stacking():
            backward(made, given)
    else:
        backward(made, given)
    before = [{n: g.clone() for n, g in own.items()} for own in gradients(made)]
    expected = [math.sqrt(sum(g.double().square().sum() for g in own.values())) for own in before]
    assert len(set(expected)) == 3
    assert made.gradient_norms().tolist() == pytest.approx(expected, rel=1e-6)
    factors = torch.tensor([0.5, 1.0, 3.0])
    made.scale_gradients(factors)
    for own, scaled, factor in zip(before, gradients(made), factors, strict=True):
        assert all(torch.equal(own[name] * factor, scaled[name]) for name in own)
    assert made.gradient_norms().tolist() == pytest.approx(
        [e * f for e, f in zip(expected, factors.tolist(), strict=True)], rel=1e-6
    )


def test_a_loss_that_no_weight_moves_has_no_gradient():
    made = LoopedCopies(models())
    backward(made, tokens(), (0.0, 1.0, 0.0))
    norms = made.gradient_norms()
    assert norms[0] == norms[2] == 0
    assert norms[1] > 0


def test_dropout_of_a_model_depends_on_its_own_seed():
    given, limit = tokens(), 1e-3
    made = LoopedCopies(models(dropout=0.3)).train()
    first, again, other = made(given, (1, 2, 3)), made(given, (1, 2, 3)), made(given, (1, 5, 3))
    assert torch.equal(first, again)
    assert torch.equal(first[[0, 2]], other[[0, 2]])
    assert (first[1] - other[1]).abs().max() > limit
    alone = LoopedCopies([models(dropout=0.3)[1]]).train()
    assert torch.equal(alone(given[1:2], (2,))[0], first[1])


def test_dropout_of_stacked_models_differs_between_them():
    given = tokens()[:1].expand(3, -1, -1, -1)
    same = [drawn_gpt2(SHAPE, 3, 9, dropout=0.3) for _ in range(3)]
    made = StackedCopies(same).train()
    with stacking():
        first, again = made(given, (1, 2, 3)), made(given, (1, 2, 3))
        quiet = made.eval()(given)
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(quiet[0], quiet[1])


def test_stacked_parameters_are_the_only_ones_and_copies():
    own = models()
    made = StackedCopies(own)
    assert len(list(made.parameters())) == len(list(own[0].parameters()))
    kept = [{n: p.detach().clone() for n, p in model.named_parameters()} for model in own]
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
    assert all(
        torch.equal(k[n], p)
        for k, m in zip(kept, own, strict=True)
        for n, p in m.named_parameters()
    )


def test_on_a_cpu_models_are_looped():
    assert isinstance(copies(models(), torch.device("cpu")), LoopedCopies)
    assert isinstance(copies([GPT2(SHAPE, 3, 9)], torch.device("cpu")), LoopedCopies)
