"""Squares with wings: accurate near 0 and far out, silent in between, refused where not meant."""

from functools import partial

import mpmath
import numpy as np
import pytest
import torch
from mpmath import mpf

from constructions import Box, compile_posterior_mean
from constructions.circuit import names_of
from constructions.evaluate import Evaluation, columns_of
from constructions.export.gpt2 import gpt2_files
from constructions.gadgets import SquareGadget
from constructions.layer_plan import partial_sums
from constructions.library.certified import wings_for
from constructions.library.posterior_mean_transformer import PosteriorMeanTransformer
from constructions.winged import (
    DOUBLE,
    SINGLE,
    SquarePlan,
    WingedSquare,
    fitted_square,
    winged_square,
)
from theory import PromptBatch, RegressionMixture

gelu = torch.nn.functional.gelu


def exact(square: WingedSquare, t: float, silent: float = 9.0) -> float:
    """F(t) / t^2 - 1 with 50 digits, but for wings that are silent."""
    with mpmath.workdps(50):
        at = mpf(t)
        pairs = zip(square.core.coefficients.tolist(), square.core.scales.tolist(), strict=True)
        total = mpmath.fsum(
            mpf(c) * mpf(s) * at * mpmath.erf(s * at / mpmath.sqrt(2)) for c, s in pairs
        )
        parts = (square.coefficients, square.slopes, square.shifts)
        for c, s, shift in zip(*(part.tolist() for part in parts), strict=True):
            for side in (at, -at):
                x = mpf(s) * (side - mpf(shift))
                if x > -silent:
                    total += mpf(c) * x * mpmath.ncdf(x)
        return float(total / at**2 - 1)


def neurons(
    square: WingedSquare, t: np.ndarray, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor]:
    """What every neuron adds to F(t), as computed: those of the core, and those of wings."""
    core, scales, slopes, shifts, coefficients = (
        torch.tensor(part, dtype=dtype)
        for part in (
            square.core.coefficients,
            square.core.scales,
            square.slopes,
            square.shifts,
            square.coefficients,
        )
    )
    at = torch.tensor(t, dtype=dtype)[:, None]
    pairs = torch.cat([gelu(at * scales) * core, gelu(-at * scales) * core], dim=1)
    sides = [gelu(slopes * (side - shifts)) * coefficients for side in (at, -at)]
    return pairs, torch.cat(sides, dim=1)


def computed(square: WingedSquare, t: np.ndarray) -> np.ndarray:
    """F(t) in float64, neurons and all."""
    pairs, wings = neurons(square, t)
    half = pairs.shape[1] // 2
    found: np.ndarray = ((pairs[:, :half] + pairs[:, half:]).sum(1) + wings.sum(1)).numpy()
    return found


@pytest.mark.parametrize(("plan", "near", "far"), [(DOUBLE, 2e-14, 2e-14), (SINGLE, 1.5e-7, 6e-7)])
@pytest.mark.parametrize(("unit", "reach"), [(1.0, 2.0), (1.0, 12.0), (0.3, 120.0), (2.0, 300.0)])
def test_the_square_is_as_exact_as_planned(
    unit: float, reach: float, plan: SquarePlan, near: float, far: float
) -> None:
    square = winged_square(unit, reach, plan)
    assert square.reach >= reach
    small, large = np.geomspace(unit / 100, unit, 8), np.geomspace(unit, reach, 60)
    assert max(abs(exact(square, float(t), plan.silent)) for t in small) <= near
    assert max(abs(exact(square, float(t), plan.silent)) for t in large) <= far


def test_the_number_of_wings_is_as_stated() -> None:
    for reach in (50.0, 200.0, 1000.0):
        assert abs(len(winged_square(1.0, reach, SINGLE).shifts) - 7.6 * np.log(reach) + 16) < 2
        assert abs(len(winged_square(1.0, reach).shifts) - 20 * np.log(reach) - 5) < 5


def test_rounding_is_small_where_the_argument_is() -> None:
    """A plain gadget for the same reach errs by as much near 0 as its reach makes it."""
    square, reach = winged_square(1.0, 120.0), 120.0
    t = np.linspace(0.01, 1.5, 400)
    near = np.abs(computed(square, t) - t**2).max()
    plain = fitted_square()
    scaled = SquareGadget(plain.scales / reach, plain.coefficients * reach**2, 1e-14)
    far = WingedSquare(scaled, np.zeros(0), np.zeros(0), np.zeros(0), reach)
    assert near < np.abs(computed(far, t) - t**2).max() / 8


def test_float32_rounds_less_near_zero_than_a_plain_gadget_does() -> None:
    square, reach = winged_square(1.0, 500.0, SINGLE), 500.0
    t = np.linspace(0.01, 3, 400).astype(np.float32).astype(float)
    near = torch.cat(neurons(square, t, torch.float32), dim=1).sum(1).numpy() - t**2
    plain = fitted_square(SINGLE)
    scaled = SquareGadget(plain.scales / reach, plain.coefficients * reach**2, 1e-7)
    nothing = np.zeros(0)
    far = WingedSquare(scaled, nothing, nothing, nothing, reach)
    widely = neurons(far, t, torch.float32)[0].sum(1).numpy() - t**2
    assert np.abs(near).max() < np.abs(widely).max() / 15


@pytest.mark.parametrize(("plan", "dtype"), [(DOUBLE, torch.float64), (SINGLE, torch.float32)])
def test_wings_are_silent_near_zero_and_on_the_other_side(
    plan: SquarePlan, dtype: torch.dtype
) -> None:
    square = winged_square(1.0, 100.0, plan)
    t = np.linspace(-0.993, 0.993, 301) * plan.alone
    assert torch.count_nonzero(neurons(square, t, dtype)[1]) == 0
    assert (square.slopes * square.shifts >= plan.silent).all()


def test_wings_are_needed() -> None:
    """A mutant without them is far off."""
    square = winged_square(1.0, 50.0)
    nothing = np.zeros(0)
    alone = WingedSquare(square.core, nothing, nothing, nothing, square.reach)
    assert abs(exact(alone, 1.4)) < 1e-13
    assert abs(exact(alone, 20.0)) > 0.01


@pytest.mark.parametrize(("unit", "reach"), [(0.0, 1.0), (1.0, 0.0), (np.nan, 1.0), (1.0, np.inf)])
def test_bad_arguments_are_refused(unit: float, reach: float) -> None:
    with pytest.raises(ValueError, match="expected positive numbers"):
        winged_square(unit, reach)


def test_partial_sums_are_the_sum() -> None:
    form = {3: 0.5, 7: -2.0, 1: 1.0, 9: 0.25, 4: 3.0, 2: -0.1}
    parts = partial_sums(form)
    assert [len(part) for part in parts] == [2, 3, 1]
    assert {row: c for part in parts for row, c in part.items()} == form
    assert parts[0] == {4: 3.0, 7: -2.0}


def small(**options: object) -> PosteriorMeanTransformer:
    mixture = RegressionMixture.random(3, 4, 1.0, np.random.default_rng(0))
    box = Box.entrywise(4, 4.0, 12.0)
    winged = wings_for(compile_posterior_mean(mixture, 6, box), 1.0)
    return PosteriorMeanTransformer(mixture, 6, box, winged=winged, **options)  # type: ignore[arg-type]


def test_a_network_with_wings_answers_every_prefix_and_traces_its_values() -> None:
    model = small(square=fitted_square())
    prompts = model.mixture.sample_prompts(40, 6, np.random.default_rng(1))
    inside = sorted(set(range(40)) - {i for i, _ in model.box.problems(prompts)})
    prompts = PromptBatch(prompts.xs[inside], prompts.ys[inside])
    expected = model.mixture.posterior_mean_all_prefixes(prompts)
    np.testing.assert_allclose(model.predict_all_prefixes(prompts), expected, atol=1e-12)
    tokens = prompts.interleaved()
    held, values = Evaluation(model.folded, tokens), model.trace(prompts)[-1].values
    for wire, name in zip(model.wires, names_of(model.folded, model.wires), strict=True):
        columns = columns_of(wire.columns, tokens.shape[2])
        found, judge = values[name][:, :, columns], held[wire][:, :, columns]
        np.testing.assert_allclose(found, judge, atol=1e-10 * max(1.0, np.abs(judge).max()))


def test_networks_that_cannot_have_wings_are_refused() -> None:
    with pytest.raises(ValueError, match="no gates"):
        small(prefix_columns=False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_wings_are_for_three_layers_with_prefix_columns(dtype: torch.dtype) -> None:
    mixture = RegressionMixture.random(2, 2, 1.0, np.random.default_rng(0))
    build = partial(compile_posterior_mean, mixture, 4, dtype=dtype)
    for without in (build(layers=2), build(prefix_columns=False)):
        assert without.winged is None
        assert wings_for(without, 1.0) is None
    model = build()
    assert (model.winged is None) == (dtype == torch.float64)
    assert wings_for(model, 1.0) is not None


def test_float32_takes_one_row_a_square_and_about_twice_the_neurons_of_its_products() -> None:
    mixture = RegressionMixture.random(20, 20, 1.0, np.random.default_rng(0))
    single = compile_posterior_mean(mixture, 10, dtype=torch.float32)
    assert single.stream.num_rows == compile_posterior_mean(mixture, 10).stream.num_rows
    first, _, third = (layer.weights().inward.shape[0] for layer in single.layers)
    assert third == 480
    assert first <= 2.2 * third


def test_an_export_leaves_wings_out() -> None:
    model = small(square=fitted_square())
    config = gpt2_files(model)["config.json"].decode()
    # Two squares a product, sixteen neurons a square: in layer 3, three products.
    assert '"n_inner": 96' in config
