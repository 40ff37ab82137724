"""Enclosures of squares with wings, and of sums in parts, against mpmath and float arithmetic."""

import numpy as np
import pytest
import torch
from flint import arb

from constructions.certificate.bounds import CertificateError
from constructions.certificate.layer_norm import LayerNormErrors
from constructions.certificate.rounding import RoundingModel
from constructions.certificate.squares import SquareErrors
from constructions.certificate.sums import results, sum_in_parts
from constructions.certificate.wings import enclose_wings
from constructions.checker.series import deviation
from constructions.layer_plan import partial_sums
from constructions.winged import DOUBLE, SINGLE, SquarePlan, WingedSquare, winged_square
from tests.constructions.test_winged import computed, exact, neurons

ROUNDING, SINGLE_ROUNDING = (RoundingModel.of(t) for t in (torch.float64, torch.float32))
NORM = LayerNormErrors(0.0, 0.0)

#: What a wing is worth, relative to t^2, where it falls silent: |gelu(-6)| is 6e-9.
SILENCE = {DOUBLE: 0.0, SINGLE: 1e-8}


def changed(square: WingedSquare, **parts: np.ndarray) -> WingedSquare:
    names = ("core", "shifts", "slopes", "coefficients", "reach")
    return WingedSquare(**{n: getattr(square, n) for n in names} | parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("plan", "rounding"), [(DOUBLE, ROUNDING), (SINGLE, SINGLE_ROUNDING)], ids=["64", "32"]
)
@pytest.mark.parametrize("reach", [3.0, 20.0, 120.0])
def test_truncation_is_enclosed_and_nearly_attained(
    reach: float, plan: SquarePlan, rounding: RoundingModel
) -> None:
    square = winged_square(1.0, reach, plan)
    found = enclose_wings(square, rounding)
    points = np.concatenate([np.linspace(0.02, 1.5, 40), np.geomspace(1.5, reach, 150)])
    worst = max(abs(exact(square, float(t), rounding.silent)) for t in points)
    assert worst - SILENCE[plan] <= found.core.truncation <= 4 * worst + 1e-14 + SILENCE[plan]


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
    # Pairs are added first here, as where they have rows of their own.
    bound = enclosed_errors(square, ROUNDING, t.max(), spread=True)
    allowed = bound.constant + bound.linear * t + bound.quadratic * t**2
    assert (errors <= allowed).all()
    assert errors.max() > 1e-4 * allowed.max()


def enclosed_errors(
    square: WingedSquare, rounding: RoundingModel, reach: float, *, spread: bool
) -> SquareErrors:
    found = enclose_wings(square, rounding)
    return found.errors(rounding, 2 * reach, 0.0, 0.0, NORM, spread=spread)


@pytest.mark.parametrize("seed", range(4))
def test_rounding_in_one_row_is_within_its_bound_in_any_order(seed: int) -> None:
    """In float32: sums in random orders, and one after the other with the largest term first."""
    square, rng = winged_square(1.0, 300.0, SINGLE), np.random.default_rng(seed)
    t = np.concatenate([np.linspace(0.01, 12, 600), np.geomspace(12, 300, 600)])
    t = t.astype(np.float32).astype(float)
    terms = torch.cat(neurons(square, t, torch.float32), dim=1).numpy()
    order = rng.permutation(terms.shape[1]) if seed else np.argsort(-np.abs(terms).max(axis=0))
    total = np.zeros(len(t), dtype=np.float32)
    for column in order:
        total += terms[:, column]
    bound = enclosed_errors(square, SINGLE_ROUNDING, t.max(), spread=False)
    errors, allowed = np.abs(total - t**2), bound.constant + bound.linear * t
    allowed += bound.quadratic * t**2
    assert (errors <= allowed).all()
    assert (errors / allowed).max() > 0.005
    # Rows of their own are better, and what holds for them need not hold for one row.
    apart = enclosed_errors(square, SINGLE_ROUNDING, t.max(), spread=True)
    assert apart.linear < bound.linear


def test_wings_that_rounding_could_wake_are_refused() -> None:
    """Where float32 is too coarse for silence: residuals of 1e5 times their usual size."""
    square = winged_square(1.0, 100.0, SINGLE)
    with pytest.raises(CertificateError, match="should be silent may be heard"):
        enclosed_errors(square, SINGLE_ROUNDING, 1e4, spread=False)
    enclosed_errors(square, SINGLE_ROUNDING, 1e2, spread=False)


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
