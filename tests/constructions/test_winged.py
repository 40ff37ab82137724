"""Squares with wings: accurate near 0 and far out, silent in between, refused where not meant."""

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
from constructions.winged import SILENT, WingedSquare, fitted_square, winged_square
from theory import PromptBatch, RegressionMixture

gelu = torch.nn.functional.gelu


def exact(square: WingedSquare, t: float) -> float:
    """F(t) / t^2 - 1 with 50 digits."""
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
                total += mpf(c) * x * mpmath.ncdf(x)
        return float(total / at**2 - 1)


def computed(square: WingedSquare, t: np.ndarray) -> np.ndarray:
    """F(t) in float64, neurons and all."""
    at = torch.tensor(t)[:, None]
    core, scales = (torch.tensor(part) for part in (square.core.coefficients, square.core.scales))
    total = (gelu(at * scales) + gelu(-at * scales)) @ core
    slopes, shifts = torch.tensor(square.slopes), torch.tensor(square.shifts)
    wings = gelu(slopes * (at - shifts)) + gelu(slopes * (-at - shifts))
    found: np.ndarray = (total + wings @ torch.tensor(square.coefficients)).numpy()
    return found


@pytest.mark.parametrize(("unit", "reach"), [(1.0, 2.0), (1.0, 12.0), (0.3, 120.0), (2.0, 300.0)])
def test_the_square_is_exact_to_a_few_units_of_rounding(unit: float, reach: float) -> None:
    square = winged_square(unit, reach)
    assert square.reach >= reach
    points = np.concatenate([np.geomspace(unit / 100, unit, 8), np.geomspace(unit, reach, 60)])
    assert max(abs(exact(square, float(t))) for t in points) <= 2e-14


def test_rounding_is_small_where_the_argument_is() -> None:
    """A plain gadget for the same reach errs by as much near 0 as its reach makes it."""
    square, reach = winged_square(1.0, 120.0), 120.0
    t = np.linspace(0.01, 1.5, 400)
    near = np.abs(computed(square, t) - t**2).max()
    plain = fitted_square()
    scaled = SquareGadget(plain.scales / reach, plain.coefficients * reach**2, 1e-14)
    far = WingedSquare(scaled, np.zeros(0), np.zeros(0), np.zeros(0), reach)
    assert near < np.abs(computed(far, t) - t**2).max() / 8


def test_wings_are_silent_near_zero_and_on_the_other_side() -> None:
    square = winged_square(1.0, 100.0)
    t = torch.linspace(-1.49, 1.49, 301, dtype=torch.float64)[:, None]
    slopes, shifts = torch.tensor(square.slopes), torch.tensor(square.shifts)
    assert torch.count_nonzero(gelu(slopes * (t - shifts))) == 0
    assert (square.slopes * square.shifts >= SILENT).all()


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


@pytest.mark.parametrize(
    ("options", "message"),
    [({"dtype": torch.float32}, "made for torch.float64"), ({"prefix_columns": False}, "no gates")],
)
def test_networks_that_cannot_have_wings_are_refused(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_wings_are_for_three_layers_in_float64() -> None:
    mixture = RegressionMixture.random(2, 2, 1.0, np.random.default_rng(0))
    assert wings_for(compile_posterior_mean(mixture, 4, layers=2), 1.0) is None
    assert wings_for(compile_posterior_mean(mixture, 4, dtype=torch.float32), 1.0) is None
    assert wings_for(compile_posterior_mean(mixture, 4, prefix_columns=False), 1.0) is None


def test_an_export_leaves_wings_out() -> None:
    model = small(square=fitted_square())
    config = gpt2_files(model)["config.json"].decode()
    # Two squares a product, sixteen neurons a square: in layer 3, three products.
    assert '"n_inner": 96' in config
