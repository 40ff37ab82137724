"""What gelu, softmax and LayerNorm can compute: the stated errors hold, and are not vacuous."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

from constructions.gadgets import (
    GATE,
    HARD_GAP,
    SquareGadget,
    check_selection,
    division_gain,
    layer_norm_bypass,
    previous_column_gain,
    quiet_unit,
    square_gadget,
)
from constructions.lowering import gadget_for

DOUBLE, SINGLE = 2.0**-52, 2.0**-23


def psi(t: mpf) -> mpf:
    return t * mpmath.erf(t / mpmath.sqrt(2))


def exact_square(gadget: SquareGadget, t: mpf) -> mpf:
    """The gadget's value with its stored floats as exact numbers."""
    pairs = zip(gadget.coefficients.tolist(), gadget.scales.tolist(), strict=True)
    return mpmath.fsum(mpf(c) * psi(mpf(s) * t) for c, s in pairs)


def float_square(gadget: SquareGadget, t: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """The gadget as a network computes it, neurons and all."""
    gelu, points = torch.nn.functional.gelu, torch.tensor(t, dtype=dtype)
    total = torch.zeros_like(points)
    for c, s in zip(gadget.coefficients.tolist(), gadget.scales.tolist(), strict=True):
        total += c * gelu(s * points) + c * gelu(-s * points)
    return total.double().numpy()


def worst_error(gadget: SquareGadget, points: int = 40) -> float:
    """The largest |e| of t^2 (1 - e) on a grid of (0, 1], with 50 digits."""
    with mpmath.workdps(50):
        grid = [mpf(i) / points for i in range(1, points + 1)]
        return float(max(abs(exact_square(gadget, t) / t**2 - 1) for t in grid))


def test_psi_is_a_sum_of_two_gelus_and_their_difference_is_the_identity() -> None:
    with mpmath.workdps(50):
        for u in (mpf(1) / 3, mpf(-2), mpf(7), mpf("1e-9")):
            gelu = u * (1 + mpmath.erf(u / mpmath.sqrt(2))) / 2
            mirrored = -u * (1 + mpmath.erf(-u / mpmath.sqrt(2))) / 2
            assert abs(gelu + mirrored - psi(u)) < mpf(10) ** -48
            assert abs(gelu - mirrored - u) < mpf(10) ** -48
            assert psi(u) == psi(-u)
    t = torch.linspace(-1, 1, 4001, dtype=torch.float64)
    gelu = torch.nn.functional.gelu
    assert (gelu(t) - gelu(-t) - t).abs().max() <= DOUBLE


@pytest.mark.parametrize(
    ("order", "error"), [(1, 1e-2), (2, 1e-4), (3, 1e-7), (4, 1e-4), (6, 1e-12), (10, 1e-14)]
)
def test_the_square_meets_its_bound_and_comes_near_it(order: int, error: float) -> None:
    gadget = square_gadget(order, error)
    assert gadget.relative_error == error
    assert 0.5 * error <= worst_error(gadget) <= error * (1 + 1e-3)


@settings(deadline=None, max_examples=40)
@given(order=st.integers(1, 10), digits=st.floats(0.01, 12.0))
def test_the_square_meets_any_bound(order: int, digits: float) -> None:
    # Coefficients are stored as floats, which costs about sum |c_i| s_i^2 epsilon < 1e-13.
    gadget = square_gadget(order, 10**-digits)
    assert len(gadget.scales) == len(gadget.coefficients) == order
    assert np.all(np.diff(gadget.scales) > 0)
    assert worst_error(gadget, points=8) <= 10**-digits + 1e-13


def test_scales_are_as_large_as_the_bound_permits() -> None:
    """A mutant: scales 1 % larger break the bound, so that it is the reason for the scales."""
    gadget = square_gadget(6, 1e-12)
    larger = SquareGadget(gadget.scales * 1.01, gadget.coefficients / 1.01**2, 1e-12)
    assert worst_error(gadget) <= 1e-12 < worst_error(larger)


@pytest.mark.parametrize(
    ("dtype", "epsilon"), [(torch.float64, DOUBLE), (torch.float32, SINGLE)], ids=str
)
def test_rounding_of_the_square_is_amplified_as_stated(dtype: torch.dtype, epsilon: float) -> None:
    gadget = gadget_for(dtype)
    t = np.linspace(-1, 1, 2001).astype(np.float32).astype(np.float64)
    error = np.abs(float_square(gadget, t, dtype) - t**2)
    amplified = 2 * float(np.sum(np.abs(gadget.coefficients) * gadget.scales)) * np.abs(t)
    assert np.all(error <= gadget.relative_error * t**2 + epsilon * amplified)
    assert float_square(gadget, np.zeros(1), dtype)[0] == 0


def test_squares_are_better_than_1e_11_and_1e_4() -> None:
    """Measured: 1.1e-12 in float64 and 7e-5 in float32, on [-1, 1]."""
    t = np.linspace(-1, 1, 2001).astype(np.float32).astype(np.float64)
    double = np.abs(float_square(gadget_for(torch.float64), t, torch.float64) - t**2).max()
    single = np.abs(float_square(gadget_for(torch.float32), t, torch.float32) - t**2).max()
    assert double <= 5e-12
    assert single <= 1.1e-4


@pytest.mark.parametrize(
    ("order", "error"),
    [(0, 0.1), (-3, 0.1), (2, 0.0), (2, 1.0), (2, -0.1), (2, float("nan")), (0, 2.0)],
)
def test_a_square_with_bad_arguments_is_refused(order: int, error: float) -> None:
    with pytest.raises(ValueError, match=f"order {order} and relative_error {error}; expected"):
        square_gadget(order, error)


@pytest.mark.parametrize("columns", [2, 3, 4, 5, 6, 24, 125, 1000])
def test_the_previous_column_leads_by_the_gap(columns: int) -> None:
    gain, turn = previous_column_gain(columns), 2 * np.pi / max(columns, 4)
    for i in {1, 2, columns // 2, columns - 1} - {0}:
        logits = gain * np.cos(turn * (np.arange(i) - (i - 1)))
        assert np.argmax(logits) == i - 1
        if i > 1:
            assert logits[-1] - logits[:-1].max() >= HARD_GAP * (1 - 1e-9)


def test_the_gap_underflows_and_the_gate_closes_in_both_float_types() -> None:
    for dtype in (torch.float64, torch.float32):
        logits = torch.tensor([0.0, -HARD_GAP], dtype=dtype)
        assert torch.softmax(logits, dim=0).tolist() == [1.0, 0.0]
        closed = torch.nn.functional.gelu(torch.linspace(-40, 1 - GATE, 200, dtype=dtype))
        assert torch.equal(closed, torch.zeros_like(closed))


def test_check_selection_says_how_many_columns_fit() -> None:
    with pytest.raises(ValueError, match="100000 columns are more than") as caught:
        check_selection(100_000, SINGLE)
    message = str(caught.value)
    assert "about 3216" in message
    assert "fewer examples or float64" in message
    fits = [n for n in (3100, 3215, 3216, 3218, 3300) if not refused(n, SINGLE)]
    assert fits == [3100, 3215, 3216]
    assert not refused(100_000, DOUBLE)


def refused(columns: int, epsilon: float) -> bool:
    try:
        check_selection(columns, epsilon)
    except ValueError:
        return True
    return False


def test_selection_works_at_the_largest_size_in_float32() -> None:
    """At 3216 columns, rows and logits rounded to float32 still single out the previous column."""
    columns = 3216
    angles = 2 * np.pi * np.arange(columns) / columns
    keys = torch.tensor(np.stack([np.cos(angles), np.sin(angles)]), dtype=torch.float32)
    gain, turn = previous_column_gain(columns), 2 * np.pi / columns
    rotation = gain * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    queries = torch.tensor(rotation, dtype=torch.float32) @ keys
    for i in (1, 2, 1000, columns - 1):
        weights = torch.softmax(keys[:, :i].T @ queries[:, i], dim=0)
        assert weights[-1] == 1
        assert weights[:-1].sum() == 0


@pytest.mark.parametrize("epsilon", [DOUBLE, SINGLE])
@pytest.mark.parametrize("divides", [False, True])
def test_sizes_are_powers_of_two_in_the_stated_order(epsilon: float, divides: bool) -> None:
    bypass = layer_norm_bypass(epsilon, divides=divides)
    quiet = quiet_unit(epsilon, bypass)
    for size in (bypass, quiet, division_gain(epsilon)):
        assert np.log2(size) == np.round(np.log2(size))
    assert quiet < 1 < bypass
    assert quiet <= epsilon * bypass
    # The relative error |v|^2 / (4 L^2) of p rows of size 1 is at most p epsilon / 1024.
    assert 1 / (4 * bypass**2) <= epsilon / 1024
    if divides:
        assert 1 < division_gain(epsilon) < bypass


@pytest.mark.parametrize(("epsilon", "power"), [(DOUBLE, 30), (SINGLE, 16)])
def test_the_bypass_is_16_over_the_root_of_epsilon(epsilon: float, power: int) -> None:
    assert layer_norm_bypass(epsilon, divides=False) == 2.0**power
    assert 2.0 ** (power - 1) < 16 / epsilon**0.5 <= 2.0**power


@pytest.mark.parametrize("size", [2.0**10, 2.0**16, 2.0**20])
def test_the_bypass_makes_layer_norm_a_scaling_with_the_stated_error(size: float) -> None:
    """lambda(v)_r - lambda(v)_zero = sqrt(p/2)/L v_r (1 - e), 0 <= e <= about |v|^2 / (4 L^2)."""
    with mpmath.workdps(60):
        row = [mpf(size), -mpf(size), mpf(0), mpf(1), mpf(-1) / 3, mpf(2) / 7]
        p, mean = len(row), mpmath.fsum(row) / len(row)
        norm = mpmath.sqrt(mpmath.fsum((v - mean) ** 2 for v in row))
        stated = mpmath.fsum(v**2 for v in row[2:]) / (4 * mpf(size) ** 2)
        for value in row[3:]:
            read = mpmath.sqrt(p) * value / norm
            relative = 1 - read / (mpmath.sqrt(mpf(p) / 2) / mpf(size) * value)
            assert 0.5 * stated < relative <= stated
