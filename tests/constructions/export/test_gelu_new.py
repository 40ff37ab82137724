"""Squares from the tanh form of GeLU, judged in fifty digits."""

import mpmath
import numpy as np
import pytest
import torch
from transformers.activations import ACT2FN

from constructions.export.gelu_new import LARGEST, RADIUS, gelu_new_square
from constructions.gadgets import SquareGadget, square_gadget


def psi(t):
    slope = mpmath.sqrt(2 / mpmath.pi)
    return t * mpmath.tanh(slope * (t + mpmath.mpf("0.044715") * t**3))


def relative_errors(gadget, points=60):
    """|sum_i c_i psi(s_i t) / t^2 - 1| for t in (0, 1]."""
    with mpmath.workdps(50):
        pairs = [
            (mpmath.mpf(s), mpmath.mpf(c))
            for s, c in zip(gadget.scales.tolist(), gadget.coefficients.tolist(), strict=True)
        ]
        grid = [mpmath.mpf(i) / points for i in range(1, points + 1)]
        return [abs(sum(c * psi(s * t) for s, c in pairs) / t**2 - 1) for t in grid]


@pytest.mark.parametrize(("order", "error"), [(1, 1e-2), (2, 1e-4), (4, 1e-6), (6, 1e-9)])
def test_the_error_is_within_the_bound_and_no_scale_may_triple(order, error):
    gadget = gelu_new_square(order, error)
    assert max(relative_errors(gadget)) <= error
    tripled = SquareGadget(3 * gadget.scales, gadget.coefficients / 9, error)
    assert max(relative_errors(tripled)) > error


def test_the_gadget_of_the_export_is_exact_to_the_rounding_of_its_coefficients():
    gadget = gelu_new_square(10, 1e-15)
    # Scales and coefficients are rounded once; sum |c_i| psi(s_i t) / t^2 bounds what that does.
    amplified = np.abs(gadget.coefficients * gadget.scales**2).sum() * np.finfo(float).eps
    assert max(relative_errors(gadget)) <= 1e-15 + 2 * amplified


def test_the_scales_of_the_erf_form_are_too_large_for_it():
    assert max(relative_errors(square_gadget(10, 1e-15))) > 1e-14


@pytest.mark.parametrize("change", [1.01, 0.99])
def test_a_scale_that_is_off_by_one_percent_is_seen(change):
    gadget = gelu_new_square(6, 1e-9)
    gadget.scales[2] *= change
    assert max(relative_errors(gadget)) > 1e-3


def test_the_bound_on_the_circle():
    def g(x):
        root = mpmath.sqrt(x)
        return psi(root) / (mpmath.sqrt(2 / mpmath.pi) * x)

    points = (RADIUS * mpmath.expjpi(mpmath.mpf(i) / 2000) for i in range(1, 4001))
    largest = max(abs(g(x)) for x in points)
    assert 0.99 * LARGEST < largest < LARGEST


def test_no_pole_lies_within_the_circle():
    slope = np.sqrt(2 / np.pi)
    odd = np.arange(-9, 10, 2)
    roots = np.array([np.roots([0.044715, 0, 1, -0.5j * np.pi * k / slope]) for k in odd])
    assert 7.99 < (np.abs(roots) ** 2).min() < 8.0
    assert RADIUS < 7.99


def test_transformers_has_this_activation():
    t = torch.linspace(-3, 3, 61, dtype=torch.float64)
    found = (ACT2FN["gelu_new"](t) + ACT2FN["gelu_new"](-t)).numpy()
    assert np.abs(found - [float(psi(x)) for x in t.tolist()]).max() < 1e-15
    assert bool((ACT2FN["gelu_new"](torch.linspace(-40.0, -16.0, 50).double()) == 0).all())


@pytest.mark.parametrize(("order", "error"), [(0, 1e-3), (3, 0.0), (3, 1.0)])
def test_what_is_out_of_range_is_refused(order, error):
    with pytest.raises(ValueError, match="order"):
        gelu_new_square(order, error)
