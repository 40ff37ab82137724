"""The bounds on what a layer adds: valid for every input, and attained."""

import numpy as np
import pytest
import torch

from constructions.architecture import Layer, LayerWeights
from papers.pathak2023.boundedness import attention_bound, feed_forward_bound

P = 6


def layer_weights(rng: np.random.Generator, heads: int, d_ff: int) -> LayerWeights:
    shapes = ((heads, 2, P), (heads, 2, P), (heads, 2, P), (heads, P, 2), (d_ff, P), (P, d_ff))
    return LayerWeights(*(torch.tensor(rng.normal(size=shape)) for shape in shapes))


@pytest.mark.parametrize("seed", range(5))
def test_nothing_adds_more(seed):
    rng = np.random.default_rng(seed)
    weights = layer_weights(rng, heads=2, d_ff=9)
    layer = Layer(weights)
    H = torch.tensor(rng.normal(size=(400, P, 4)) * 10 ** rng.uniform(-3, 6, (400, 1, 1)))
    with torch.no_grad():
        increment = layer.feed_forward(H).abs().amax(dim=(0, 2)).numpy()
        assert (increment <= feed_forward_bound(weights)).all()
        attended = layer.attend(H)[..., -1].abs().numpy()
    for matrix, added in zip(H, attended, strict=True):
        assert (added <= attention_bound(weights, matrix[:, :-1]) * (1 + 1e-12)).all()


def test_feed_forward_bound_is_attained():
    """One neuron that looks along lambda(v), far out where gelu(u) = u."""
    direction = torch.tensor([1.0, -1.0, 2.0, -2.0, 3.0, -3.0], dtype=torch.float64)
    nothing = torch.zeros(0, 1, P, dtype=torch.float64)
    inward = 50 * direction[None]
    outward = torch.arange(1.0, P + 1, dtype=torch.float64)[:, None]
    weights = LayerWeights(nothing, nothing, nothing, nothing.transpose(1, 2), inward, outward)
    with torch.no_grad():
        added = Layer(weights).feed_forward(direction[None, :, None])[0, :, 0].numpy()
    np.testing.assert_allclose(added, feed_forward_bound(weights), rtol=1e-12)


def test_attention_bound_is_attained():
    """A head that selects the largest of three earlier columns."""
    rng = np.random.default_rng(0)
    weights = layer_weights(rng, heads=1, d_ff=1)
    H = torch.tensor(rng.normal(size=(1, P, 4)))
    H[0, :, 1] *= 10
    weights.key[0] = 0.0
    weights.key[0, 0] = 1e3 * H[0, :, 1]
    weights.query[0] = 0.0
    weights.query[0, 0] = H[0, :, 3]
    with torch.no_grad():
        added = Layer(weights).attend(H)[0, :, 3].abs().numpy()
    np.testing.assert_allclose(added, attention_bound(weights, H[0, :, :3]), rtol=1e-12)
