"""Ranges by hand for every kind of value, and their refusals."""

import numpy as np
import pytest

from constructions.box import Box
from constructions.circuit import Circuit, CircuitError, Prompt
from constructions.compiled_circuit import CompiledCircuit
from constructions.passes.fold_linear import fold_linear
from constructions.passes.ranges import Ranges
from constructions.values import EVERY, Attention, Fetch, Mixture, Sum, Value, previous, total
from tests.circuits import SMALL

x, y = SMALL.covariate, SMALL.label  # entries up to 2, |x| up to 2 sqrt 2, labels up to 3
ROOT = 8**0.5


def found(output: Value, prompt: Prompt = SMALL) -> tuple[list[float], list[float]]:
    folded = fold_linear(Circuit("example", prompt, output))
    bounds = Ranges(folded)[folded.output]
    return bounds.low.tolist(), bounds.high.tolist()


both = np.ones((1, 2))
carried = previous(x)
CASES: list[tuple[Value, list[float], list[float]]] = [
    (x, [-2, -2], [2, 2]),
    (previous(y), [-3], [3]),
    # min of |c|_1 max |x_l| and |c|_2 max |x|: here equal, in a cube.
    (both @ x, [-4], [4]),
    (x + np.array([1.0, -5.0]), [-1, -7], [3, -3]),
    (x * x, [0, 0], [4, 4]),
    (-2.0 * (x * x) + 1.0, [-7, -7], [1, 1]),
    (x * (0.5 * x + 1.0), [-4, -4], [4, 4]),
    # The sum is over at most K = 3 labels, and may be over none; four covariates.
    (total(y), [-9], [9]),
    (total(carried * carried + 1.0), [0, 0], [15, 15]),
    (Sum(x, EVERY)[:1], [-8], [8]),
    # What is fetched may not be there yet.
    (Fetch(y * y + 2.0, 4), [0], [11]),
    (Mixture(x, np.array([[1.0, 5.0], [-2.0, 3.0]])), [1, -2], [5, 3]),
    (Attention(x, x, x[:1] + 7.0), [0], [9]),
]


@pytest.mark.parametrize(("output", "low", "high"), CASES)
def test_by_hand(output: Value, low: list[float], high: list[float]) -> None:
    assert found(output) == (pytest.approx(low), pytest.approx(high))


def test_a_ball_is_narrower_than_its_cube() -> None:
    prompt = Prompt(4, 1, Box(1.0, 1.0))
    low, high = found(
        np.array([[1.0, 1.0, 1.0, 1.0], [3.0, 0.0, 0.0, 4.0]]) @ prompt.covariate, prompt
    )
    assert (low, high) == (pytest.approx([-2, -5]), pytest.approx([2, 5]))


def test_ranges_that_overflow_are_refused_by_name() -> None:
    prompt = Prompt(1, 2, Box(1e100, 1.0))
    square = prompt.covariate * prompt.covariate
    fourth = square * square
    circuit = Circuit("large", prompt, fourth, {"square": square, "fourth": fourth})
    with pytest.raises(CircuitError, match=r"the range of fourth.* overflows: use a smaller box"):
        CompiledCircuit(circuit)
    Ranges(fold_linear(Circuit("square", prompt, square)))


def test_logits_that_no_mask_could_exceed_are_refused() -> None:
    """In label columns the powers of x are powers of labels, which are far larger."""
    prompt = Prompt(1, 2, Box(1.0, 1e100))
    square = prompt.covariate * prompt.covariate
    output = Mixture(square * square, np.ones((1, 1)))
    with pytest.raises(CircuitError, match="in columns where they mean nothing cannot be"):
        CompiledCircuit(Circuit("lopsided", prompt, output))
