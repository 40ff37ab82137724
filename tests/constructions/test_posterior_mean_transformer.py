"""The compiled transformers of three and two layers against the closed form, at every prefix."""

import numpy as np
import pytest
import torch

from constructions import Box, PosteriorMeanTransformer, compile_posterior_mean
from constructions.compiled_circuit import CHUNK
from constructions.gadgets import square_gadget
from tests.cases import GRID, STAGE_CASES, Case
from tests.constructions.drawing import Draw, drawn, rounded_to_float32, undecided, with_prior
from theory import PromptBatch, RegressionMixture

#: The limits of the acceptance.
DOUBLE, SINGLE = 5e-12, 3e-4

#: Two layers take 2k heads: their cases are those with few examples.
TWO_LAYER_CASES = [case for case in GRID + STAGE_CASES if case.num_examples <= 10]

MIXTURE = RegressionMixture([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]], 0.7)
PROMPTS = MIXTURE.sample_prompts(6, 8, np.random.default_rng(0))


def errors(
    mixture: RegressionMixture, prompts: PromptBatch, dtype: torch.dtype, **options: object
) -> np.ndarray:
    """|TF(P) - f*_pi(P)| at every prefix, (batch, k + 1)."""
    model = compile_posterior_mean(mixture, prompts.num_examples, dtype=dtype, **options)
    answers = model.predict_all_prefixes(prompts)
    # One pass for all prefixes, and one for whole prompts: the same answers.
    np.testing.assert_allclose(model.predict(prompts), answers[:, -1], rtol=0, atol=1e-13)
    return np.abs(answers - mixture.posterior_mean_all_prefixes(prompts))


@pytest.mark.parametrize("draw", [drawn, undecided])
@pytest.mark.parametrize("case", GRID + STAGE_CASES, ids=str)
def test_three_layers_on_the_acceptance_grid(case: Case, draw: Draw) -> None:
    mixture, prompts = draw(case, 3)
    assert errors(mixture, prompts, torch.float64).max() <= DOUBLE
    assert errors(mixture, rounded_to_float32(prompts), torch.float32).max() <= SINGLE


@pytest.mark.parametrize("draw", [drawn, undecided])
@pytest.mark.parametrize("case", TWO_LAYER_CASES, ids=str)
def test_two_layers_on_the_grid(case: Case, draw: Draw) -> None:
    mixture, prompts = draw(case, 3)
    assert errors(mixture, prompts, torch.float64, layers=2).max() <= DOUBLE
    rounded = rounded_to_float32(prompts)
    assert errors(mixture, rounded, torch.float32, layers=2).max() <= SINGLE


@pytest.mark.parametrize("noise_std", [0.3, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_float32_at_the_largest_size(seed: int, noise_std: float) -> None:
    """Measured: at most 5.6e-5 for seeds 0 to 19; squares without wings come to 4.8e-4."""
    rng = np.random.default_rng(seed)
    mixture = RegressionMixture.random(10, 50, noise_std, rng)
    prompts = rounded_to_float32(mixture.sample_prompts(40, 100, rng))
    assert errors(mixture, prompts, torch.float32).max() <= 1e-4


@pytest.mark.parametrize("layers", [3, 2])
@pytest.mark.parametrize("num_examples", [1, 2, 5])
def test_layers_and_heads_are_those_that_are_claimed(layers: int, num_examples: int) -> None:
    model = compile_posterior_mean(MIXTURE, num_examples, layers=layers)
    heads = [layer.weights().query.shape[0] for layer in model.layers]
    assert heads == ([1, 1, 1] if layers == 3 else [2 * num_examples, 1])


@pytest.mark.parametrize("layers", [3, 2])
@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("num_examples", range(9))
def test_prompts_shorter_than_the_longest(num_examples: int, prior: bool, layers: int) -> None:
    mixture = with_prior(MIXTURE, 1) if prior else MIXTURE
    model, shorter = compile_posterior_mean(mixture, 8, layers=layers), PROMPTS.prefix(num_examples)
    expected = mixture.posterior_mean_all_prefixes(shorter)
    found = model.predict_all_prefixes(shorter)
    assert found.shape == (6, num_examples + 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=DOUBLE)
    np.testing.assert_allclose(model.predict(shorter), expected[:, -1], rtol=0, atol=DOUBLE)


def test_an_answer_does_not_depend_on_what_comes_after() -> None:
    model = compile_posterior_mean(MIXTURE, 8)
    later = PromptBatch(PROMPTS.xs.copy(), PROMPTS.ys.copy())
    xs, ys = later.xs.copy(), later.ys.copy()
    xs[:, 5:], ys[:, 4:] = 1.0, -2.0
    changed = model.predict_all_prefixes(PromptBatch(xs, ys))
    np.testing.assert_array_equal(changed[:, :5], model.predict_all_prefixes(PROMPTS)[:, :5])
    assert np.abs(changed[:, 5] - model.predict_all_prefixes(PROMPTS)[:, 5]).min() > 1e-3


@pytest.mark.parametrize("layers", [3, 2])
def test_no_examples_at_all_give_the_prior_mean(layers: int) -> None:
    mixture = with_prior(MIXTURE, 3)
    prompts = mixture.sample_prompts(4, 0, np.random.default_rng(1))
    model = compile_posterior_mean(mixture, 0, layers=layers)
    expected = prompts.queries @ (mixture.weights @ mixture.components)
    np.testing.assert_allclose(model.predict(prompts), expected, rtol=0, atol=DOUBLE)
    found = model.predict_all_prefixes(prompts)
    np.testing.assert_allclose(found, expected[:, None], rtol=0, atol=DOUBLE)


@pytest.mark.parametrize("layers", [3, 2])
@pytest.mark.parametrize("draw", [drawn, undecided])
@pytest.mark.parametrize("case", [Case(1, 2, 3, 1.0), *STAGE_CASES[1:]], ids=str)
def test_prior_weights(case: Case, draw: Draw, layers: int) -> None:
    mixture, prompts = draw(case, 4)
    weighted = with_prior(mixture, 2)
    assert errors(weighted, prompts, torch.float64, layers=layers).max() <= DOUBLE
    rounded = rounded_to_float32(prompts)
    assert errors(weighted, rounded, torch.float32, layers=layers).max() <= SINGLE


@pytest.mark.parametrize("layers", [3, 2])
def test_components_of_weight_zero_are_left_out(layers: int) -> None:
    weighted = RegressionMixture(MIXTURE.components, 0.7, [0.5, 0.0, 0.5])
    model = compile_posterior_mean(weighted, 8, layers=layers)
    expected = weighted.posterior_mean_all_prefixes(PROMPTS)
    np.testing.assert_allclose(model.predict_all_prefixes(PROMPTS), expected, rtol=0, atol=DOUBLE)
    assert np.abs(expected - MIXTURE.posterior_mean_all_prefixes(PROMPTS)).max() > 1e-3
    assert model.stream.num_basis == 2


@pytest.mark.parametrize("layers", [3, 2])
@pytest.mark.parametrize("components", [[[2.0]], [[1.0, -1.0]], [[0.0]], [[0.0, 0.0]]])
def test_one_component_is_its_linear_map(components: list[list[float]], layers: int) -> None:
    mixture = RegressionMixture(components, 0.5)
    prompts = mixture.sample_prompts(5, 3, np.random.default_rng(0))
    model = compile_posterior_mean(mixture, 3, layers=layers)
    expected = prompts.xs @ np.array(components[0])
    np.testing.assert_allclose(model.predict_all_prefixes(prompts), expected, rtol=0, atol=DOUBLE)


@pytest.mark.parametrize("layers", [3, 2])
@pytest.mark.parametrize("num_components", [1, 2, 3, 6])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_without_prefix_columns_short_prefixes_are_nan(
    dtype: torch.dtype, num_components: int, layers: int
) -> None:
    mixture, prompts = undecided(Case(2, num_components, 7, 0.5), 4)
    prompts = rounded_to_float32(prompts)
    fewest = -(-num_components // 2)
    found = errors(mixture, prompts, dtype, layers=layers, prefix_columns=False)
    assert np.isnan(found[:, :fewest]).all()
    assert found[:, fewest:].max() <= (DOUBLE if dtype == torch.float64 else SINGLE)


def test_without_prefix_columns_there_are_none_and_short_prompts_are_refused() -> None:
    model = compile_posterior_mean(MIXTURE, 8, prefix_columns=False)
    assert model.min_examples == 2
    assert model.stream.num_columns == 17
    with pytest.raises(ValueError, match=r"1 examples, a model without prefix columns needs at"):
        model.predict(PROMPTS.prefix(1))
    assert np.isfinite(model.predict(PROMPTS.prefix(2))).all()


def test_prompts_that_no_component_explains_and_repeated_ones() -> None:
    """Residuals far beyond sigma, ties between equal components, the same example twice."""
    mixture = RegressionMixture([[1.0, 0.5], [1.0, 0.5], [0.9, 0.6]], 0.7, [0.2, 0.3, 0.5])
    prompts = mixture.sample_prompts(4, 3, np.random.default_rng(1))
    xs, ys = prompts.xs.copy(), prompts.ys.copy()
    xs[:, 1:3], ys[:, 1:] = xs[:, :1], ys[:, :1]
    for changed in (PromptBatch(xs, ys), PromptBatch(prompts.xs, prompts.ys + 4.0)):
        for layers in (3, 2):
            assert errors(mixture, changed, torch.float64, layers=layers).max() <= DOUBLE


@pytest.mark.parametrize("batch_size", [1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_batches_of_any_size(batch_size: int) -> None:
    mixture, prompts = undecided(Case(2, 2, 3, 1.0), batch_size)
    model = compile_posterior_mean(mixture, 3)
    found = model.predict_all_prefixes(prompts)
    assert found.shape == (batch_size, 4)
    assert found.dtype == np.float64
    expected = mixture.posterior_mean_all_prefixes(prompts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=DOUBLE)


@pytest.mark.parametrize("layers", [3, 2])
def test_building_and_predicting_are_deterministic(layers: int) -> None:
    first, second = (compile_posterior_mean(MIXTURE, 8, layers=layers) for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    np.testing.assert_array_equal(first.predict(PROMPTS), second.predict(PROMPTS))
    assert {parameter.dtype for parameter in first.parameters()} == {torch.float64}


def test_a_coarser_gadget_is_less_accurate() -> None:
    coarse = PosteriorMeanTransformer(MIXTURE, 8, square=square_gadget(2, 1e-4))
    error = np.abs(coarse.predict(PROMPTS) - MIXTURE.posterior_mean(PROMPTS)).max()
    assert 1e-9 < error < 1e-2


# Boxes and refusals


def test_corners_of_the_box_are_inside_and_what_lies_beyond_is_refused() -> None:
    box = Box.entrywise(2, covariate=2.0, label=3.0)
    model = compile_posterior_mean(MIXTURE, 2, box)
    corners = PromptBatch(
        [[[2.0, -2.0], [2.0, 2.0], [-2.0, 2.0]], [[-2.0, -2.0], [2.0, -2.0], [2.0, 2.0]]],
        [[3.0, -3.0], [-3.0, 3.0]],
    )
    expected = MIXTURE.posterior_mean_all_prefixes(corners)
    np.testing.assert_allclose(model.predict_all_prefixes(corners), expected, rtol=0, atol=DOUBLE)
    beyond = np.nextafter(2.0, 3.0)
    outside = PromptBatch([[[0.0, 0.0], [0.0, beyond]]], [[0.0]])
    for refusing in (model.predict, model.predict_all_prefixes, model.trace):
        with pytest.raises(ValueError, match="largest entry of x_2: 2 exceeds 2, the model's box"):
            refusing(outside)


def test_prompts_that_do_not_fit_are_refused_with_every_reason() -> None:
    model = compile_posterior_mean(MIXTURE, 2, Box(2.0, 1.0))
    xs, ys = np.zeros((3, 4, 3)), np.zeros((3, 3))
    xs[1, 2, 0], ys[2, 1] = 2.5, -1.5
    prompts = PromptBatch(xs, ys)
    with pytest.raises(
        ValueError, match=r"prompts do not fit the model: every prompt: cov(.|\n)*2"
    ):
        model.predict_all_prefixes(prompts)
    reasons = [f"prompt {i + 1}: {r}" if i is not None else r for i, r in model.problems(prompts)]
    for part in (
        "covariates have dimension 3, not 2",
        "3 examples, the model holds at most 2; build one with a larger max_examples",
        "prompt 2: |x_3| = 2.5 exceeds 2",
        "prompt 3: |y_2| = 1.5 exceeds 1",
    ):
        assert any(reason.startswith(part) for reason in reasons), part


def test_a_network_that_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise_std is 0\.0, expected a positive number"):
        compile_posterior_mean(MIXTURE.with_noise_std(0.0), 3)
    with pytest.raises(ValueError, match="num_examples is -1, expected 0 or more"):
        compile_posterior_mean(MIXTURE, -1)
    with pytest.raises(ValueError, match=r"expected torch\.float32 or torch\.float64"):
        compile_posterior_mean(MIXTURE, 3, dtype=torch.float16)
    with pytest.raises(ValueError, match="attention can tell apart"):
        compile_posterior_mean(MIXTURE, 2000, dtype=torch.float32)
    with pytest.raises(ValueError, match="the answers would be wrong; use float64"):
        compile_posterior_mean(MIXTURE.with_noise_std(1e-4), 3, dtype=torch.float32)


def test_another_number_of_layers_is_refused() -> None:
    # The signature refuses it while tests run; what a user meets is the constructor's own line.
    unchecked = PosteriorMeanTransformer.__init__
    while hasattr(unchecked, "__wrapped__"):
        unchecked = unchecked.__wrapped__
    with pytest.raises(ValueError, match=r"layers is 4, expected 3 \(one head each\) or 2"):
        unchecked(PosteriorMeanTransformer.__new__(PosteriorMeanTransformer), MIXTURE, 3, layers=4)
