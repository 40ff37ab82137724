"""The softmax of Lemma 2, from exact numbers to weights, and where it stops working."""

import numpy as np
import pytest
import scipy.special
import torch

from constructions import Box, compile_line_by_line
from constructions.compiled import CompiledProgram
from constructions.interpreter import run
from constructions.library.sigmoid_route import rounding_error, softmax_by_sigmoids
from theory import PromptBatch, RegressionMixture

EPSILON = {torch.float64: 2.0**-52, torch.float32: 2.0**-23}


def logits_within(low: float, m: int, rng: np.random.Generator) -> np.ndarray:
    """Logits in [low, 0]: spread, and all near the lower end, where the sum is smallest."""
    spread = rng.uniform(low, 0.0, (100, m))
    close = np.clip(low + rng.uniform(0, 0.1, (100, m)), low, 0.0)
    return np.concatenate([spread, close])


def matrices(logits: np.ndarray, num_rows: int) -> np.ndarray:
    H = np.zeros((len(logits), num_rows, 3))
    H[:, : logits.shape[1], -1] = logits
    return H


@pytest.mark.parametrize("m", [1, 2, 5])
@pytest.mark.parametrize(
    ("dtype", "low"),
    [
        (torch.float64, -0.5),
        (torch.float64, -4.0),
        (torch.float64, -8.0),
        (torch.float64, -13.0),
        (torch.float32, -0.5),
        (torch.float32, -2.0),
    ],
)
def test_network_errs_less_than_predicted_and_the_prediction_is_not_idle(m, dtype, low):
    program = softmax_by_sigmoids(m, low, 0.0, 3, EPSILON[dtype])
    network = CompiledProgram(program, dtype)
    logits = logits_within(low, m, np.random.default_rng(0)).astype(np.float32).astype(float)
    logits = np.clip(logits, low, 0.0)
    H = matrices(logits, program.num_rows)
    error = np.abs(network.run_matrices(H)[:, -m:, -1] - scipy.special.softmax(logits, axis=1))
    predicted = rounding_error(m, low, 0.0, EPSILON[dtype])
    assert predicted / 300 < error.max() < predicted


def test_every_line_of_the_route_is_computed_by_its_layers():
    program = softmax_by_sigmoids(3, -4.0, 0.0, 3)
    network = CompiledProgram(program)
    H = matrices(logits_within(-4.0, 3, np.random.default_rng(1))[:20], program.num_rows)
    exact = [run(program, matrix) for matrix in H]
    checked = 0
    for activation in network.trace_matrices(H):
        if activation.line is not None:
            expected = np.stack([stages[activation.line] for stages in exact])
            np.testing.assert_allclose(activation.matrix, expected, rtol=0, atol=1e-12)
            checked += 1
    assert checked == len(program.operations) + 1 == (2 * 3 + 6) + 1


def test_layers_are_4m_plus_8():
    for m in (1, 2, 4):
        assert CompiledProgram(softmax_by_sigmoids(m, -1.0, 0.0, 3)).report().layers == 4 * m + 8


def test_interpreter_loses_all_digits_where_the_route_is_refused():
    """At s = -37, 1 + e^s is 1: the sum of all e^s is 0, and nothing can be divided by it."""
    route = softmax_by_sigmoids(2, -10.0, 0.0, 3)
    with pytest.raises(ZeroDivisionError, match="column 3"):
        run(route, matrices(np.array([[-37.5, -38.0]]), route.num_rows)[0])


@pytest.mark.parametrize(("dtype", "low"), [(torch.float64, -15.0), (torch.float32, -4.0)])
def test_ranges_that_cost_half_of_all_digits_are_refused(dtype, low):
    with pytest.raises(ValueError, match=r"more than half of all digits.*softmax head"):
        softmax_by_sigmoids(2, low, 0.0, 3, EPSILON[dtype])


@pytest.mark.parametrize(("m", "low", "high"), [(0, -1.0, 0.0), (2, -np.inf, 0.0), (2, 1.0, 0.0)])
def test_bad_arguments(m, low, high):
    with pytest.raises(ValueError, match="expected at least one, and a finite range"):
        softmax_by_sigmoids(m, low, high, 3)


@pytest.mark.parametrize("weights", [None, [0.5, 0.3, 0.2]])
def test_whole_circuit_with_the_route_of_lemma_2(weights):
    rng = np.random.default_rng(2)
    mixture = RegressionMixture(rng.normal(size=(3, 2)) / 2, 2.0, weights)
    network = compile_line_by_line(mixture, 1, Box(3.0, 6.0), softmax="sigmoids")
    prompts = PromptBatch(rng.uniform(-1.5, 1.5, (50, 2, 2)), rng.uniform(-2, 2, (50, 1)))
    error = np.abs(network.predict(prompts) - mixture.posterior_mean(prompts)).max()
    assert error < 1e-10


def test_whole_circuit_refuses_scores_beyond_the_route():
    mixture = RegressionMixture.random(3, 2, 0.5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="softmax head"):
        compile_line_by_line(mixture, 10, softmax="sigmoids")
