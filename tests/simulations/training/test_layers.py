import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from simulations.training import LinearSelfAttention, SoftmaxSelfAttention
from tests.simulations.training.cases import TASKS, weights
from theory import LinearAttention, PromptBatch

LAYERS = pytest.mark.parametrize("kind", [LinearSelfAttention, SoftmaxSelfAttention])


@pytest.fixture(params=TASKS.values(), ids=TASKS)
def prompts(request):
    return request.param.sample(9, np.random.default_rng(3))


def layer_for(kind, prompts, scale=0.3):
    return kind(LinearAttention(*weights(prompts.embeddings.shape[1] - 1, scale=scale)))


@LAYERS
def test_the_prediction_is_the_bottom_right_entry_of_the_layer(kind, prompts):
    layer = layer_for(kind, prompts)
    output = layer(prompts.embeddings)
    assert output.shape == prompts.embeddings.shape
    predicted = layer.predict(prompts.embeddings)
    assert_allclose(predicted.detach(), output[:, -1, -1].detach(), rtol=1e-11, atol=1e-13)


def test_the_linear_layer_is_that_of_theory(prompts):
    layer = layer_for(LinearSelfAttention, prompts)
    E = prompts.embeddings.numpy()
    expected = LinearAttention(*weights(E.shape[1] - 1))
    assert_allclose(layer(prompts.embeddings).detach(), expected.output(E), rtol=1e-12, atol=1e-13)
    batch = PromptBatch(E[:, :-1].transpose(0, 2, 1), E[:, -1, :-1])
    predicted = layer.predict(prompts.embeddings).detach()
    assert_allclose(predicted, expected.predict(batch), rtol=1e-11, atol=1e-13)


def test_the_softmax_layer_entry_by_entry(prompts):
    layer = layer_for(SoftmaxSelfAttention, prompts)
    value, key = weights(prompts.embeddings.shape[1] - 1)
    answers = layer.predict(prompts.embeddings).detach()
    for E, answer in zip(prompts.embeddings.numpy(), answers, strict=True):
        scores = [E[:, i] @ key @ E[:, -1] for i in range(E.shape[1])]
        attention = np.exp(scores) / np.sum(np.exp(scores))
        assert answer.item() == pytest.approx(value[-1] @ E @ attention, rel=1e-11, abs=1e-13)


def test_softmax_is_linear_to_first_order(prompts):
    """The mean of the values plus their covariance with the scores."""
    value, key = weights(prompts.embeddings.shape[1] - 1)
    layer = SoftmaxSelfAttention(LinearAttention(value, 1e-5 * key))
    E = prompts.embeddings.numpy()
    values = np.einsum("r,brn->bn", value[-1], E)
    scores = np.einsum("brn,rs,bs->bn", E, 1e-5 * key, E[:, :, -1])
    centred = scores - scores.mean(axis=1, keepdims=True)
    expected = values.mean(axis=1) + (values * centred).mean(axis=1)
    assert_allclose(layer.predict(prompts.embeddings).detach(), expected, rtol=1e-6, atol=1e-8)


@LAYERS
def test_only_the_read_weights_have_gradients(kind, prompts):
    layer = layer_for(kind, prompts)
    torch.sum(torch.square(layer.predict(prompts.embeddings))).backward()
    value, key = layer.projection_value.grad, layer.key_query.grad
    assert torch.all(value[:-1] == 0)
    assert torch.all(value[-1] != 0)
    # The query has the label 0, so that the last column of W^KQ meets nothing.
    assert torch.all(key[:, -1] == 0)
    assert torch.all(key[:, :-1] != 0)


@LAYERS
def test_all_weights_are_parameters(kind, prompts):
    layer = layer_for(kind, prompts)
    size = prompts.embeddings.shape[1]
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    assert shapes == {"projection_value": (size, size), "key_query": (size, size)}
