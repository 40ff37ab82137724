"""Enclosures of squares with wings, and of sums in parts, against mpmath and float arithmetic."""

import numpy as np
import pytest
import torch
from flint import arb

from constructions.certificate.bounds import CertificateError
from constructions.certificate.layer_norm import LayerNormErrors
from constructions.certificate.rounding import RoundingModel
from constructions.certificate.sums import results, sum_in_parts
from constructions.certificate.wings import enclose_wings
from constructions.checker.series import deviation
from constructions.layer_plan import partial_sums
from constructions.winged import WingedSquare, winged_square
from tests.constructions.test_winged import computed, exact

ROUNDING = RoundingModel.of(torch.float64)
NORM = LayerNormErrors(0.0, 0.0)


def changed(square: WingedSquare, **parts: np.ndarray) -> WingedSquare:
    names = ("core", "shifts", "slopes", "coefficients", "reach")
    return WingedSquare(**{n: getattr(square, n) for n in names} | parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("reach", [3.0, 20.0, 120.0])
def test_truncation_is_enclosed_and_nearly_attained(reach: float) -> None:
    square = winged_square(1.0, reach)
    found = enclose_wings(square, ROUNDING)
    points = np.concatenate([np.linspace(0.02, 1.5, 40), np.geomspace(1.5, reach, 150)])
    worst = max(abs(exact(square, float(t))) for t in points)
    assert worst <= found.core.truncation <= 4 * worst + 1e-14


@pytest.mark.parametrize("name", ["shifts", "slopes", "coefficients"])
def test_a_wing_that_is_off_is_seen(name: str) -> None:
    square = winged_square(1.0, 40.0)
    part = getattr(square, name).copy()
    part[len(part) // 2] *= 1 + 1e-9
    found = enclose_wings(changed(square, **{name: part}), ROUNDING)
    assert found.core.truncation > 5 * enclose_wings(square, ROUNDING).core.truncation


def test_a_wing_that_is_never_silent_is_refused() -> None:
    square = winged_square(1.0, 40.0)
    slopes = square.slopes.copy()
    slopes[3] = 8.5 / square.shifts[3]
    with pytest.raises(CertificateError, match="both sides"):
        enclose_wings(changed(square, slopes=slopes), ROUNDING)


def test_rounding_of_a_winged_square_is_within_its_bound() -> None:
    square = winged_square(1.0, 100.0)
    t = np.concatenate([np.linspace(0.01, 3, 2000), np.geomspace(3, 100, 4000)])
    errors = np.abs(computed(square, t).astype(np.longdouble) - t.astype(np.longdouble) ** 2)
    # The sums here are in one row; the bound is for rows of their own, which is less.
    bound = enclose_wings(square, ROUNDING).errors(ROUNDING, 2 * t.max(), 0.0, 0.0, NORM)
    core = enclose_wings(square, ROUNDING).core
    together = ROUNDING.gamma(core.neurons + len(square.shifts)) * core.amplification
    allowed = bound.constant + (bound.linear + together) * t + bound.quadratic * t**2
    assert (errors <= allowed).all()
    assert errors.max() > 1e-4 * allowed.max()


def test_a_deviation_is_a_bound_and_nearly_attained() -> None:
    """The checker's Taylor polynomials, on functions that are known."""
    zero = arb(0), arb(0)
    wing = [(arb(2), arb("0.5"), arb(3))]
    x = np.linspace(0.5, 2.0, 4001) * 0.5 - 1.5
    values = 2 * x * (1 + np.array([float((arb(v) / arb(2).sqrt()).erf()) for v in x])) / 2
    target = (x / 0.5 + 3) ** 2
    found = deviation(zero, wing, (0.5, 2.0), arb(1))
    assert np.abs(values - target).max() <= found <= 1.01 * np.abs(values - target).max()
    # gelu(x) + gelu(-x) against its mirror image: exactly 0.
    mirrored = [(arb(1), arb(1), arb(0)), (arb(-1), arb(1), arb(0))]
    assert deviation(zero, mirrored, (0.0, 1.0), arb(0)) < 1e-20


@pytest.mark.parametrize("seed", range(20))
def test_sums_in_parts_stay_within_their_bound(seed: int) -> None:
    """In float16, where all is easily exceeded that can be, in random orders."""
    rng = np.random.default_rng(seed)
    unit = RoundingModel(2.0**-11, 2.0, 3.0, 2.0, 746.0, 9.0)
    weights = rng.normal(size=20).astype(np.float16)
    form = dict(enumerate(weights.astype(float).tolist()))
    worst = 0.0
    for _ in range(50):
        x = (
            np.sign(weights) * rng.uniform(0.2, 1, 20)
            if rng.random() < 0.5
            else rng.uniform(-1, 1, 20)
        ).astype(np.float16)
        parts = []
        for part in partial_sums(form):
            terms = [np.float16(weights[row] * x[row]) for row in rng.permutation(list(part))]
            parts.append(added(terms))
        got = float(added([parts[i] for i in rng.permutation(len(parts))]))
        whole = weights.astype(float) @ x.astype(float)
        constant, slope = sum_in_parts(form, dict.fromkeys(form, 1.0), unit, abs(whole))
        assert abs(got - whole) <= constant
        assert slope > 0
        worst = max(worst, abs(got - whole) / constant)
    assert worst > 0.02
    assert sum_in_parts(form, dict.fromkeys(form, 1.0), unit, np.inf)[1] == 0.0


def added(terms: list[np.float16]) -> np.float16:
    total = terms[0]
    for term in terms[1:]:
        total = np.float16(total + term)
    return total


def test_results_of_additions_in_any_tree() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        terms = rng.exponential(size=int(rng.integers(1, 9))).tolist()
        bound = float(results(np.array(terms)).sum())
        total, left = 0.0, list(terms)
        while len(left) > 1:
            i, j = sorted(rng.choice(len(left), 2, replace=False), reverse=True)
            left.append(left.pop(int(i)) + left.pop(int(j)))
            total += left[-1]
        assert total <= bound * (1 + 1e-12)
