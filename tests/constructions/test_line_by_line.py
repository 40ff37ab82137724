"""The hand-built transformer against the closed form, on the acceptance grid and at its edges."""

import numpy as np
import pytest
import torch

from constructions import Box, compile_line_by_line
from constructions.library.line_by_line import CHUNK
from tests.cases import GRID, STAGE_CASES, Case
from tests.constructions.drawing import Draw, drawn, rounded_to_float32, undecided, with_prior
from theory import PromptBatch, RegressionMixture

#: The acceptance asks for 1e-9 and 2e-3; measured: 9e-13 and 2.3e-4 (drawn), 4e-13 and 6e-5.
DOUBLE, SINGLE = 5e-12, 2e-3


def error(mixture: RegressionMixture, prompts: PromptBatch, dtype: torch.dtype) -> float:
    model = compile_line_by_line(mixture, prompts.num_examples, dtype=dtype)
    return float(np.abs(model.predict(prompts) - mixture.posterior_mean(prompts)).max())


@pytest.mark.parametrize("draw", [drawn, undecided])
@pytest.mark.parametrize("case", GRID + STAGE_CASES, ids=str)
def test_the_acceptance_grid(case: Case, draw: Draw) -> None:
    mixture, prompts = draw(case, 3)
    assert error(mixture, prompts, torch.float64) <= DOUBLE
    assert error(mixture, rounded_to_float32(prompts), torch.float32) <= SINGLE


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("num_examples", range(9))
def test_shorter_prompts_are_filled_up(num_examples: int, prior: bool) -> None:
    mixture, prompts = undecided(Case(3, 4, 8, 0.5), 4)
    mixture = with_prior(mixture, 1) if prior else mixture
    model, shorter = compile_line_by_line(mixture, 8), prompts.prefix(num_examples)
    np.testing.assert_allclose(
        model.predict(shorter), mixture.posterior_mean(shorter), rtol=0, atol=DOUBLE
    )


@pytest.mark.parametrize("draw", [drawn, undecided])
@pytest.mark.parametrize("case", [Case(1, 2, 3, 1.0), *STAGE_CASES[1:]], ids=str)
def test_prior_weights(case: Case, draw: Draw) -> None:
    mixture, prompts = draw(case, 4)
    weighted = with_prior(mixture, 2)
    assert error(weighted, prompts, torch.float64) <= DOUBLE
    assert error(weighted, rounded_to_float32(prompts), torch.float32) <= SINGLE
    if case.num_components > 1:
        model = compile_line_by_line(weighted, case.num_examples)
        assert len(model.program.operations) == 10


def test_components_of_weight_zero_are_left_out() -> None:
    mixture, prompts = undecided(Case(2, 3, 4, 1.0), 4)
    weighted = RegressionMixture(mixture.components, 1.0, [0.5, 0.0, 0.5])
    model = compile_line_by_line(weighted, 4)
    assert model.program.register("p").dim == 2
    expected = weighted.posterior_mean(prompts)
    np.testing.assert_allclose(model.predict(prompts), expected, rtol=0, atol=DOUBLE)
    assert np.abs(expected - mixture.posterior_mean(prompts)).max() > 1e-3


@pytest.mark.parametrize("components", [[[2.0]], [[1.0, -1.0]], [[0.0]], [[0.0, 0.0]]])
def test_one_component_is_its_linear_map(components: list[list[float]]) -> None:
    mixture = RegressionMixture(components, 0.5)
    prompts = mixture.sample_prompts(5, 3, np.random.default_rng(0))
    expected = prompts.queries @ np.array(components[0])
    model = compile_line_by_line(mixture, 3)
    np.testing.assert_allclose(model.predict(prompts), expected, rtol=0, atol=DOUBLE)


def test_duplicate_components_and_duplicate_examples() -> None:
    mixture = RegressionMixture([[1.0, 0.5], [1.0, 0.5], [0.9, 0.6]], 0.7, [0.2, 0.3, 0.5])
    prompts = mixture.sample_prompts(4, 3, np.random.default_rng(1))
    xs, ys = prompts.xs.copy(), prompts.ys.copy()
    xs[:, 1:3], ys[:, 1:] = xs[:, :1], ys[:, :1]
    repeated = PromptBatch(xs, ys)
    assert error(mixture, prompts, torch.float64) <= DOUBLE
    assert error(mixture, repeated, torch.float64) <= DOUBLE


@pytest.mark.parametrize("batch_size", [1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_batches_of_any_size(batch_size: int) -> None:
    mixture, prompts = undecided(Case(2, 2, 3, 1.0), batch_size)
    model = compile_line_by_line(mixture, 3)
    predicted = model.predict(prompts)
    assert predicted.shape == (batch_size,)
    assert predicted.dtype == np.float64
    expected = mixture.posterior_mean(prompts)
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=DOUBLE)
    last = model.predict(prompts[batch_size - 1 : batch_size])
    np.testing.assert_allclose(last, predicted[-1:], rtol=0, atol=1e-13)


def test_building_and_predicting_are_deterministic() -> None:
    mixture, prompts = undecided(Case(3, 3, 4, 0.5), 5)
    first, second = (compile_line_by_line(mixture, 4) for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    np.testing.assert_array_equal(first.predict(prompts), second.predict(prompts))
    np.testing.assert_array_equal(first.predict(prompts), first.predict(prompts))


def test_prompts_on_the_edge_of_the_box() -> None:
    """The box is closed, and the error holds at its corners, not only where prompts are likely."""
    mixture = RegressionMixture([[1.0, 0.0], [0.0, 1.0]], 1.0)
    box = Box(3.0, 4.0)
    model = compile_line_by_line(mixture, 2, box)
    xs = np.array([[[3.0, 0.0], [0.0, -3.0], [3.0, 0.0]], [[0.0, 3.0], [0.0, 3.0], [-3.0, 0.0]]])
    prompts = PromptBatch(xs, np.array([[4.0, -4.0], [-4.0, 4.0]]))
    expected = mixture.posterior_mean(prompts)
    np.testing.assert_allclose(model.predict(prompts), expected, rtol=0, atol=DOUBLE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("prior", [False, True])
def test_the_report_counts_the_weights(dtype: torch.dtype, prior: bool) -> None:
    d, m, k = 3, 4, 5
    mixture, _ = drawn(Case(d, m, k, 1.0), 1)
    model = compile_line_by_line(with_prior(mixture, 1) if prior else mixture, k, dtype=dtype)
    report, layers = model.report(), [layer.weights() for layer in model.layers]
    p = layers[0].outward.shape[0]
    assert report.layers == report.operators == len(layers) == 9 + prior
    assert report.width == p == model.stream.num_rows
    assert report.program_rows == 2 * d + (4 + prior) * m + 2
    assert report.program_columns == 2 * k + 1
    assert report.extra_rows == p - report.program_rows
    assert report.columns == report.program_columns + report.extra_columns
    assert report.extra_columns == 1 + m
    assert report.heads == max(w.query.shape[0] for w in layers) == 1
    assert report.attention_width == max(w.key.shape[1] for w in layers)
    assert report.feed_forward_width == max(w.inward.shape[0] for w in layers)
    assert report.parameters == sum(
        t.numel() for w in layers for t in (w.query, w.key, w.value, w.output, w.inward, w.outward)
    )
    assert report.as_dict()["layers"] == report.layers
    assert {t.dtype for t in model.parameters()} == {dtype}


def test_the_trace_is_labelled_line_by_line() -> None:
    mixture, prompts = drawn(Case(2, 3, 2, 1.0), 2)
    model = compile_line_by_line(mixture, 4)
    trace = model.trace(prompts)
    assert [a.layer for a in trace] == [a.line for a in trace] == list(range(10))
    assert [a.operator for a in trace] == ["", *map(str, model.program.operations)]
    assert trace[1].operator == "copy_down(H; 1, 3, 2, {1, 3, 5, 7, 9})"
    shape = (2, model.program.num_rows, 9)
    assert {a.matrix.shape for a in trace} == {shape}
    assert {a.stream.shape for a in trace} == {(2, model.stream.num_rows, model.stream.num_columns)}
    np.testing.assert_array_equal(trace[0].matrix[:, :2], prompts.pad(4).interleaved())
