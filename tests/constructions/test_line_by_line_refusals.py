"""What the hand-built transformer refuses, and what it says."""

import numpy as np
import pytest
import torch

from constructions import Box, compile_line_by_line
from tests.cases import Case
from tests.constructions.drawing import drawn
from theory import PromptBatch, RegressionMixture

MIXTURE = RegressionMixture([[1.0, 0.0], [0.0, 1.0]], 1.0)


def test_sigma_zero_has_no_finite_network() -> None:
    with pytest.raises(ValueError, match=r"noise_std is 0\.0, expected a positive number"):
        compile_line_by_line(MIXTURE.with_noise_std(0.0), 3)


@pytest.mark.parametrize("max_examples", [-1, -10])
def test_a_negative_length_is_refused(max_examples: int) -> None:
    with pytest.raises(ValueError, match=f"num_examples is {max_examples}, expected 0 or more"):
        compile_line_by_line(MIXTURE, max_examples)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_other_types_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"expected torch\.float32 or torch\.float64"):
        compile_line_by_line(MIXTURE, 2, dtype=dtype)


def test_more_columns_than_float32_can_tell_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="attention can tell apart"):
        compile_line_by_line(MIXTURE, 2000, dtype=torch.float32)


def test_prompts_that_do_not_fit_are_refused_with_every_reason() -> None:
    model = compile_line_by_line(MIXTURE, 2, Box(2.0, 1.0))
    xs, ys = np.zeros((3, 4, 3)), np.zeros((3, 3))
    xs[1, 2, 0], ys[2, 1] = 2.5, -1.5
    with pytest.raises(ValueError, match="prompts do not fit the model") as caught:
        model.predict(PromptBatch(xs, ys))
    for part in (
        "covariates have dimension 3, not 2",
        "3 examples, the model holds at most 2",
        "prompt 2: |x_3| = 2.5 exceeds 2",
        "prompt 3: |y_2| = 1.5 exceeds 1",
        "box",
    ):
        assert part in str(caught.value)
    with pytest.raises(ValueError, match="prompts do not fit the model"):
        model.trace(PromptBatch(xs, ys))


@pytest.mark.parametrize(
    ("xs", "ys", "part"),
    [
        (np.zeros((1, 4, 2)), np.zeros((1, 3)), "build one with a larger max_examples"),
        (np.zeros((1, 2, 1)), np.zeros((1, 1)), "dimension 1, not 2"),
        (np.full((1, 1, 2), 2.0), np.zeros((1, 0)), r"\|x_1\| = 2.82843 exceeds 2"),
        (np.zeros((1, 2, 2)), np.full((1, 1), np.nextafter(1.0, 2.0)), r"\|y_1\| = 1 exceeds 1"),
    ],
)
def test_each_reason_alone(xs: np.ndarray, ys: np.ndarray, part: str) -> None:
    model = compile_line_by_line(MIXTURE, 2, Box(2.0, 1.0))
    with pytest.raises(ValueError, match=part):
        model.predict(PromptBatch(xs, ys))


def test_the_default_box_holds_prompts_of_the_mixture() -> None:
    mixture, prompts = drawn(Case(20, 5, 60, 1.0), 500)
    box = Box.for_mixture(mixture)
    assert box.problems(prompts) == []
    assert box.covariate_norm == 20**0.5 + 8
    assert box.label == pytest.approx(8 * 21**0.5)
    narrow = Box(box.covariate_norm / 3, box.label / 3)
    outside = {i for i, _ in narrow.problems(prompts)}
    norms, labels = np.linalg.norm(prompts.xs, axis=2), np.abs(prompts.ys)
    beyond = (norms > narrow.covariate_norm).any(axis=1) | (labels > narrow.label).any(axis=1)
    assert outside == set(np.flatnonzero(beyond).tolist())
