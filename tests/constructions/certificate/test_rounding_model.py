"""The assumptions of the certificates on float arithmetic, on this machine."""

import mpmath
import numpy as np
import pytest
import torch

from constructions.certificate.rounding import RoundingModel

DTYPES = (torch.float64, torch.float32)
every_type = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def arguments(dtype: torch.dtype) -> torch.Tensor:
    rng = np.random.default_rng(0)
    parts = [
        rng.uniform(-8, 8, 1500),
        rng.uniform(-1, 1, 1500),
        rng.uniform(-1, 1, 1500) * 10.0 ** rng.uniform(-9, 0, 1500),
        rng.uniform(-40, 40, 500),
    ]
    return torch.tensor(np.concatenate(parts), dtype=dtype)


def exact_gelu(x: float) -> mpmath.mpf:
    value = mpmath.mpf(x)
    return value * mpmath.ncdf(value)


@every_type
def test_gelu_and_pairs_of_it(dtype: torch.dtype) -> None:
    model, x = RoundingModel.of(dtype), arguments(dtype)
    gelu = torch.nn.functional.gelu
    worst = pair = mpmath.mpf(0)
    with mpmath.workprec(160):
        for a, plus, minus in zip(x.tolist(), gelu(x).tolist(), gelu(-x).tolist(), strict=True):
            size = model.unit_roundoff * abs(a)
            worst = max(worst, abs(plus - exact_gelu(a)) / size)
            pair = max(pair, abs(mpmath.mpf(plus) + minus - exact_gelu(a) - exact_gelu(-a)) / size)
    # Above zero, too: an assumption far from what is measured would be waste.
    assert 0.2 * model.gelu < worst <= model.gelu
    assert 0.2 * model.pair < pair <= model.pair


@every_type
def test_gelu_of_zero_is_zero(dtype: torch.dtype) -> None:
    assert torch.nn.functional.gelu(torch.zeros(4, dtype=dtype)).abs().max() == 0


@every_type
def test_gelu_is_silent_far_below_zero(dtype: torch.dtype) -> None:
    silent = RoundingModel.of(dtype).silent
    gelu = torch.nn.functional.gelu
    far = -torch.cat([torch.linspace(silent, 60, 400_001), torch.tensor([1e3, 1e9])])
    assert torch.count_nonzero(gelu(far.to(dtype))) == 0
    assert torch.count_nonzero(gelu(torch.linspace(-0.9 * silent, -1, 1000, dtype=dtype))) > 900


@every_type
def test_exp(dtype: torch.dtype) -> None:
    model = RoundingModel.of(dtype)
    x = -arguments(dtype).abs()
    with mpmath.workprec(160):
        errors = [
            abs(mpmath.mpf(e) / mpmath.exp(mpmath.mpf(a)) - 1) / model.unit_roundoff
            for a, e in zip(x.tolist(), torch.exp(x).tolist(), strict=True)
        ]
    assert max(errors) <= model.exp
    far = torch.tensor([-model.underflow, -2 * model.underflow, -np.inf], dtype=dtype)
    assert torch.exp(far).tolist() == [0.0] * 3
    assert torch.exp(torch.zeros(1, dtype=dtype)).item() == 1.0


@every_type
def test_softmax_is_one_hot_beyond_underflow(dtype: torch.dtype) -> None:
    underflow = RoundingModel.of(dtype).underflow
    logits = torch.full((50, 61), -underflow, dtype=dtype)
    logits[:, 7] = 0.0
    expected = torch.zeros_like(logits)
    expected[:, 7] = 1.0
    assert torch.equal(torch.softmax(logits, dim=1), expected)


@every_type
@pytest.mark.parametrize("seed", range(40))
def test_neighbouring_rows_of_opposite_sign_give_opposite_sums(
    dtype: torch.dtype, seed: int
) -> None:
    """Rows 2i - 1 and 2i, each with two entries: exact negatives, for all shapes tried.

    Rows further apart are not: with fused multiply-adds, which product is rounded first depends
    on the place of a row in the blocks of the matrix product.
    """
    rng = np.random.default_rng(seed)
    p, pairs, columns, batch = (int(rng.integers(1, n)) + 2 for n in (320, 500, 300, 16))
    weights = torch.zeros(2 * pairs, p, dtype=dtype)
    for row in range(0, 2 * pairs, 2):
        places = rng.choice(p, 2, replace=False)
        weights[row, places] = torch.tensor(rng.normal(size=2), dtype=dtype)
    weights[1::2] = -weights[0::2]
    states = torch.tensor(rng.normal(size=(batch, p, columns)), dtype=dtype)
    # The layout of `constructions.architecture.Layer.feed_forward`.
    product = torch.bmm(states.transpose(1, 2), weights.T.expand(batch, -1, -1))
    assert torch.equal(product[..., 1::2], -product[..., 0::2])


@every_type
def test_sums_stay_within_gamma(dtype: torch.dtype) -> None:
    model, rng = RoundingModel.of(dtype), np.random.default_rng(1)
    a = torch.tensor(rng.normal(size=(64, 200)), dtype=dtype)
    b = torch.tensor(rng.normal(size=(200, 64)), dtype=dtype)
    exact = a.numpy().astype(np.longdouble) @ b.numpy().astype(np.longdouble)
    sizes = np.abs(a.numpy()).astype(float) @ np.abs(b.numpy()).astype(float)
    errors = np.abs((a @ b).numpy() - exact).astype(float)
    assert (errors <= model.gamma(200) * sizes).all()
    assert errors.max() > 0


def test_gamma_is_infinite_where_it_has_no_meaning() -> None:
    assert RoundingModel.of(torch.float32).gamma(2**24) == np.inf
