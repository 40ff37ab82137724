"""Enclosures of the gadget for squares, against dense evaluation in mpmath."""

import mpmath
import numpy as np
import pytest
import torch

from constructions.certificate.rounding import RoundingModel
from constructions.certificate.squares import TWO_SLOPES, enclose, summation
from constructions.gadgets import SquareGadget, square_gadget

GADGETS = [(1, 1e-3), (2, 1e-6), (4, 1e-5), (6, 1e-12), (10, 1e-15), (8, 1e-14)]


def psi(x: mpmath.mpf) -> mpmath.mpf:
    return x * mpmath.erf(x / mpmath.sqrt(2))


def relative_errors(square: SquareGadget) -> list[float]:
    with mpmath.workprec(200):
        found = []
        for t in np.linspace(0.01, 1, 60):
            total = sum(
                mpmath.mpf(float(c)) * psi(mpmath.mpf(float(s)) * mpmath.mpf(float(t)))
                for c, s in zip(square.coefficients, square.scales, strict=True)
            )
            found.append(float(abs(total / mpmath.mpf(float(t)) ** 2 - 1)))
    return found


@pytest.mark.parametrize(("order", "error"), GADGETS)
def test_truncation_is_enclosed_and_nearly_attained(order: int, error: float) -> None:
    square = square_gadget(order, error)
    enclosed, measured = enclose(square), max(relative_errors(square))
    assert measured <= enclosed.truncation
    # All terms of the series are added in magnitude, though their signs alternate.
    assert enclosed.truncation <= 8 * measured + 1e-15


@pytest.mark.parametrize(("order", "error"), GADGETS)
def test_amplification_and_curvature(order: int, error: float) -> None:
    square = square_gadget(order, error)
    enclosed = enclose(square)
    sizes = np.abs(square.coefficients)
    assert enclosed.amplification == pytest.approx(sizes @ square.scales, rel=1e-12)
    assert enclosed.curvature == pytest.approx(
        sizes @ square.scales**2 * np.sqrt(8 / np.pi), rel=1e-12
    )
    assert enclosed.neurons == 2 * order


def test_a_scale_that_is_off_by_one_percent_is_seen() -> None:
    square = square_gadget(6, 1e-12)
    scales = square.scales.copy()
    scales[2] *= 1.01
    off = SquareGadget(scales, square.coefficients, square.relative_error)
    assert enclose(off).truncation > 1e-3


def test_slope_of_gelu() -> None:
    x = mpmath.findroot(lambda t: mpmath.diff(lambda s: s * mpmath.ncdf(s), t, 2), 1.4)
    slope = mpmath.diff(lambda s: s * mpmath.ncdf(s), x)
    assert 2 * slope <= TWO_SLOPES <= 2.001 * slope


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_errors_of_a_square_in_float_arithmetic(dtype: torch.dtype) -> None:
    """A square evaluated as the network does, without any error in what it reads."""
    rounding = RoundingModel.of(dtype)
    square = square_gadget(10, 1e-15) if dtype == torch.float64 else square_gadget(4, 1e-5)
    t = torch.linspace(-1, 1, 2001, dtype=dtype)
    scales = torch.tensor(square.scales, dtype=dtype)
    arguments = scales[:, None] * t
    gelu = torch.nn.functional.gelu
    coefficients = torch.tensor(square.coefficients, dtype=dtype)
    neurons = torch.cat([gelu(arguments), gelu(-arguments)])
    computed = (torch.cat([coefficients, coefficients]) @ neurons).double().numpy()
    exact = t.double().numpy().astype(np.longdouble) ** 2
    errors = np.abs(computed - exact).astype(float)
    enclosed = enclose(square)
    # Products s_i t and weights are rounded once each: odd errors.
    bound = enclosed.errors(rounding, 0.0, 2 * rounding.unit_roundoff, 0.0, 0.0)
    adding = summation(enclosed.neurons, rounding)
    size = np.abs(t.double().numpy())
    allowed = (
        bound.constant
        + (bound.linear + adding * enclosed.amplification) * size
        + (bound.quadratic + adding) * size**2
    )
    assert (errors <= allowed).all()
    assert errors.max() > 1e-3 * allowed.max()
