"""Steps of gradient descent, by the network and by numpy, at every prefix."""

import numpy as np
import pytest

from constructions.compiled_circuit import CompiledCircuit
from constructions.library.gradient_descent import gradient_descent_circuit, safe_step_size
from tests.constructions.library.prompts import SIZES, box_for, regression_prompts
from theory import PromptBatch
from theory.predictors import LeastSquares

#: Of the range of the answer; the largest measured error is 6e-16 of it.
TOLERANCE = 2e-15


def descent(prompts: PromptBatch, steps: int, step_size: float) -> np.ndarray:
    """The loss's own gradient, by the residuals of each prefix, in longdouble."""
    answers = np.zeros((len(prompts.xs), prompts.num_examples + 1), dtype=np.longdouble)
    for b, (xs, ys) in enumerate(zip(prompts.xs, prompts.ys, strict=True)):
        for k in range(prompts.num_examples + 1):
            X, y = xs[:k].astype(np.longdouble), ys[:k].astype(np.longdouble)
            w = np.zeros(prompts.dim, dtype=np.longdouble)
            for _ in range(steps):
                w = w - step_size * (X.T @ (X @ w - y))
            answers[b, k] = w @ xs[k]
    return answers


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
@pytest.mark.parametrize(("dim", "examples"), SIZES)
def test_every_prefix_after_small_steps(dim: int, examples: int, steps: int) -> None:
    """Ranges double with each step: the errors are 6e-15 after 1 step, 7e-11 after 12."""
    prompts, box = regression_prompts(dim, examples), box_for(dim)
    eta = safe_step_size(examples, box)
    circuit = gradient_descent_circuit(dim, examples, box, steps=steps, step_size=eta)
    model = CompiledCircuit(circuit)
    assert len(model.layers) == steps + 1
    assert sum(len(plan.heads) for plan in model.plans) == 2
    error = np.abs(
        model.run_tokens(prompts.interleaved())[:, 0, ::2] - descent(prompts, steps, eta)
    )
    largest = model.ranges[model.folded.output].largest
    assert error.max() <= TOLERANCE * largest
    assert error.max() <= 1e-10
    assert largest <= 15 * 2.0 ** (steps + 1)


@pytest.mark.parametrize(("steps", "allowed"), [(1, 2e-13), (3, 3e-11), (5, 5e-9)])
def test_every_prefix_after_large_steps(steps: int, allowed: float) -> None:
    """Steps that suit typical prompts (1 / 80 at d = 5, K = 20) and not all of the box."""
    prompts, eta = regression_prompts(5, 20), 1 / 80
    circuit = gradient_descent_circuit(5, 20, box_for(5), steps=steps, step_size=eta)
    model = CompiledCircuit(circuit)
    error = np.abs(
        model.run_tokens(prompts.interleaved())[:, 0, ::2] - descent(prompts, steps, eta)
    )
    assert error.max() <= TOLERANCE * model.ranges[model.folded.output].largest
    assert error.max() <= allowed


def test_it_moves_towards_least_squares() -> None:
    prompts, box = regression_prompts(2, 10), box_for(2)
    wanted = LeastSquares().predict_all_prefixes(prompts)
    errors = []
    for steps in (1, 4, 8):
        circuit = gradient_descent_circuit(2, 10, box, steps=steps, step_size=0.02)
        found = CompiledCircuit(circuit).run_tokens(prompts.interleaved())[:, 0, ::2]
        errors.append(np.abs(found - wanted)[:, -1].max())
    assert errors[2] < 0.8 * errors[1] < 0.6 * errors[0]


def test_no_examples_give_zero() -> None:
    circuit = gradient_descent_circuit(2, 0, box_for(2), steps=2, step_size=0.1)
    tokens = regression_prompts(2, 0).interleaved()
    np.testing.assert_array_equal(CompiledCircuit(circuit).run_tokens(tokens), 0)


@pytest.mark.parametrize(("steps", "step_size"), [(0, 0.1), (2, 0.0), (2, np.inf), (2, np.nan)])
def test_refusals(steps: int, step_size: float) -> None:
    with pytest.raises(ValueError, match=f"{steps} steps of size {step_size}"):
        gradient_descent_circuit(2, 3, box_for(2), steps=steps, step_size=step_size)
