"""The layer and the transformer of Section 1.2 against the judge's loops, and their refusals."""

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor
from torch.nn.functional import gelu

from constructions import architecture
from constructions.architecture import (
    ConstantColumnError,
    Layer,
    LayerWeights,
    Transformer,
    layer_norm,
)
from tests.constructions import judges
from tests.constructions.judges import Matrix

#: p, q, heads, d_att, d_ff, batch.
SIZES = (
    (3, 4, 1, 1, 2, 1),
    (5, 7, 2, 3, 8, 3),
    (8, 5, 4, 8, 1, 2),
    (4, 1, 2, 2, 3, 2),
    (6, 6, 0, 0, 5, 2),
    (6, 6, 3, 2, 0, 2),
    (2, 3, 0, 4, 0, 1),
    (16, 30, 3, 5, 40, 2),
)


def random_weights(
    sizes: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64
) -> LayerWeights:
    p, _, heads, d_att, d_ff, _ = sizes
    rng = np.random.default_rng(seed)
    shapes = [(heads, d_att, p)] * 3 + [(heads, p, d_att), (d_ff, p), (p, d_ff)]
    return LayerWeights(
        *(torch.tensor(rng.normal(size=s) / max(p, 1) ** 0.5, dtype=dtype) for s in shapes)
    )


def random_states(sizes: tuple[int, ...], seed: int) -> Matrix:
    p, q, *_, batch = sizes
    return np.random.default_rng(seed).normal(size=(batch, p, q)) * 2


def judged_layer(weights: LayerWeights, H: Matrix) -> Matrix:
    query, key, value, output, inward, outward = (
        getattr(weights, field.name).double().numpy() for field in fields(weights)
    )
    heads = list(zip(query, key, value, output, strict=True))
    return np.array([judges.layer(h, heads, inward, outward) for h in H])


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_layer_is_section_1_2(sizes: tuple[int, ...]) -> None:
    H, weights = random_states(sizes, 1), random_weights(sizes, 0)
    result = Layer(weights)(torch.tensor(H)).detach().numpy()
    expected = judged_layer(weights, H)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("logits", [1, 2 * 6**2 * 3, 10**9])
def test_heads_in_any_portions_are_the_same_layer(
    logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(architecture, "LOGITS", logits)  # 1, 3 and all 7 heads at once
    sizes = (5, 7, 7, 3, 0, 2)
    H, weights = random_states(sizes, 1), random_weights(sizes, 0)
    result = Layer(weights)(torch.tensor(H)).detach().numpy()
    expected = judged_layer(weights, H)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_transformer_is_its_layers_in_turn(sizes: tuple[int, ...]) -> None:
    H, layers = random_states(sizes, 2), [random_weights(sizes, seed) for seed in range(3)]
    result = Transformer(layers)(torch.tensor(H)).detach().numpy()
    expected = H
    for weights in layers:
        expected = judged_layer(weights, expected)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_float32_differs_by_its_rounding(sizes: tuple[int, ...]) -> None:
    H = random_states(sizes, 1).astype(np.float32)
    weights = random_weights(sizes, 0, torch.float32)
    result = Layer(weights)(torch.tensor(H))
    assert result.dtype == torch.float32
    expected = judged_layer(weights, H.astype(np.float64))
    # Logits up to about 30 turn one rounding, 1.2e-7, into 30; sums of up to 40 terms.
    np.testing.assert_allclose(
        result.detach().numpy(), expected, rtol=0, atol=2e-5 * np.abs(expected).max()
    )


@dataclass(frozen=True)
class Convention:
    """What other transformers do; the defaults are those of Section 1.2."""

    sees_itself: bool = False
    logit_scale: float = 1.0
    normalised: bool = True
    approximate: str = "none"


class Rewritten(Layer):
    """The layer once more, in another way, with a convention that can be changed."""

    convention = Convention()

    def attend(self, H: Tensor) -> Tensor:
        q, rule = H.shape[-1], self.convention
        visible = torch.ones(q, q, dtype=torch.bool).triu(0 if rule.sees_itself else 1)
        logits = (self.key @ H[:, None]).mT @ (self.query @ H[:, None]) * rule.logit_scale
        weights = logits.masked_fill(~visible, -torch.inf).softmax(dim=-2).nan_to_num()
        return (self.output @ (self.value @ H[:, None] @ weights)).sum(dim=1)

    def feed_forward(self, V: Tensor) -> Tensor:
        normal = layer_norm(V) if self.convention.normalised else V
        hidden = gelu(self.inward @ normal, approximate=self.convention.approximate)
        return self.outward @ hidden


@pytest.mark.parametrize(
    ("convention", "same"),
    [
        (Convention(), True),
        (Convention(sees_itself=True), False),
        (Convention(logit_scale=3**-0.5), False),
        (Convention(normalised=False), False),
        (Convention(approximate="tanh"), False),
    ],
)
def test_the_comparison_rejects_other_conventions(convention: Convention, same: bool) -> None:
    sizes = (5, 7, 2, 3, 8, 3)
    H, weights = random_states(sizes, 1), random_weights(sizes, 0)
    layer = Rewritten(weights)
    layer.convention = convention
    expected = judged_layer(weights, H)
    difference = np.abs(layer(torch.tensor(H)).detach().numpy() - expected).max()
    assert (difference <= 1e-12 * np.abs(expected).max()) == same


def test_zero_heads_and_zero_width_leave_the_residual() -> None:
    H = torch.tensor(random_states((6, 6, 0, 0, 0, 2), 3))
    assert torch.equal(Layer(random_weights((6, 6, 0, 0, 0, 2), 0))(H), H)


def test_the_first_column_gets_no_attention() -> None:
    sizes = (5, 4, 3, 2, 0, 2)
    H, layer = torch.tensor(random_states(sizes, 1)), Layer(random_weights(sizes, 0))
    assert torch.equal(layer.attend(H)[..., 0], torch.zeros(2, 5, dtype=torch.float64))
    assert torch.equal(layer(H)[..., 0], H[..., 0])
    single = H[..., :1]
    assert torch.equal(layer.attend(single), torch.zeros_like(single))


@pytest.mark.parametrize("changed", range(6))
def test_columns_see_only_earlier_columns(changed: int) -> None:
    sizes = (5, 6, 2, 3, 4, 1)
    layer = Layer(random_weights(sizes, 0))
    H = torch.tensor(random_states(sizes, 1))
    other = H.clone()
    other[..., changed] += 1.0 + torch.arange(5)
    before, after = layer(H), layer(other)
    assert torch.equal(before[..., :changed], after[..., :changed])
    later = (before - after)[..., changed:].abs().amax(dim=(0, 1))
    assert bool((later > 1e-9).all())


@pytest.mark.parametrize("column", range(1, 6))
def test_a_column_reaches_its_own_attention_through_the_query_alone(column: int) -> None:
    sizes = (5, 6, 2, 3, 0, 1)
    weights = random_weights(sizes, 0)
    H = torch.tensor(random_states(sizes, 1))
    other = H.clone()
    other[..., column] += 1.0 + torch.arange(5)
    blind = Layer(replace(weights, query=torch.zeros_like(weights.query)))
    assert torch.equal(blind.attend(H)[..., column], blind.attend(other)[..., column])
    seeing = Layer(weights)
    difference = (seeing.attend(H) - seeing.attend(other))[..., column].abs().max()
    # Column 2 has one column to attend to, whatever it asks.
    assert (difference == 0) if column == 1 else (difference > 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layer_norm_has_mean_0_and_norm_sqrt_p(dtype: torch.dtype) -> None:
    V = torch.tensor(np.random.default_rng(0).normal(size=(4, 9, 5)), dtype=dtype) * 7 + 3
    result = layer_norm(V)
    eps = torch.finfo(dtype).eps
    assert result.mean(dim=-2).abs().max() <= 4 * eps
    assert (result.norm(dim=-2) - 3).abs().max() <= 16 * eps
    expected = [judges.layer_norm(v) for v in V[0].double().numpy().T]
    np.testing.assert_allclose(result[0].T, expected, rtol=0, atol=64 * eps)


def test_layer_norm_forgets_shifts_and_scales() -> None:
    V = torch.tensor(np.random.default_rng(0).normal(size=(2, 6, 3)))
    torch.testing.assert_close(layer_norm(5 * V - 3), layer_norm(V), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer_norm(-V), -layer_norm(V), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 1.0, -3e7, 0.1])
def test_a_constant_column_is_refused_by_name(value: float) -> None:
    V = torch.tensor(np.random.default_rng(0).normal(size=(3, 6, 4)))
    V[1, :, 2] = value
    with pytest.raises(ConstantColumnError, match="column 3 of matrix 2 has equal entries"):
        layer_norm(V)
    layer = Layer(random_weights((6, 4, 0, 0, 5, 3), 0))
    with pytest.raises(ConstantColumnError, match="column 3 of matrix 2"):
        layer(V)
    V[1, 0, 2] += 1e-6 * max(1.0, abs(value))
    assert bool(torch.isfinite(layer(V)).all())


def test_a_constant_column_passes_a_layer_without_feed_forward() -> None:
    H = torch.zeros(1, 6, 4, dtype=torch.float64)
    assert torch.equal(Layer(random_weights((6, 4, 2, 3, 0, 1), 0))(H), H)


def test_shape_problems_are_all_reported_at_once() -> None:
    good = random_weights((5, 1, 2, 3, 4, 1), 0)
    wide = random_weights((6, 1, 1, 1, 2, 1), 0)
    bad = random_weights((5, 1, 2, 3, 4, 1), 1)
    # The annotations would refuse these when the weights are made; users have no such check.
    object.__setattr__(bad, "key", torch.zeros(2, 4, 5, dtype=torch.float64))
    object.__setattr__(bad, "outward", torch.zeros(4, 5, dtype=torch.float32))
    with pytest.raises(ValueError, match="transformer: ") as caught:
        Transformer([good, wide, bad])
    message = str(caught.value)
    for name in ("query", "key", "value", "output", "inward", "outward"):
        assert f"layer 2: {name} is" in message
    assert "layer 3: key is (2, 4, 5) torch.float64, expected (2, 3, 5)" in message
    assert "layer 3: outward is (4, 5) torch.float32, expected (5, 4) torch.float64" in message
    assert message.count("layer") == 8


def test_mixed_float_types_and_no_layers_are_refused() -> None:
    double = random_weights((5, 1, 2, 3, 4, 1), 0)
    single = random_weights((5, 1, 2, 3, 4, 1), 0, torch.float32)
    with pytest.raises(ValueError, match=r"layer 2: query is .* torch\.float32, expected"):
        Transformer([double, single])
    with pytest.raises(ValueError, match="no layers"):
        Transformer([])


def test_shapes_in_annotations_are_enforced_here() -> None:
    good = random_weights((5, 1, 2, 3, 4, 1), 0)
    with pytest.raises(TypeCheckError):
        replace(good, outward=torch.zeros(4, 5, dtype=torch.float64))
    assert good.outward.shape == (5, 4)


def test_weights_are_parameters_and_come_back_as_they_were() -> None:
    given = random_weights((5, 1, 2, 3, 4, 1), 0)
    layer = Layer(given)
    assert sum(p.numel() for p in layer.parameters()) == 3 * 2 * 3 * 5 + 2 * 5 * 3 + 2 * 4 * 5
    for field in fields(given):
        back = getattr(layer.weights(), field.name)
        assert torch.equal(back, getattr(given, field.name))
        assert not back.requires_grad


def test_gradients_reach_every_weight() -> None:
    sizes = (5, 7, 2, 3, 8, 2)
    model = Transformer([random_weights(sizes, 0), random_weights(sizes, 1)])
    model(torch.tensor(random_states(sizes, 1))).square().sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert len(gradients) == 12
    assert all(g is not None and bool((g != 0).any()) for g in gradients)
