"""Ridge regression by Chebyshev's iteration: the iterate, the solution, and the bound between."""

import numpy as np
import pytest
from numpy.polynomial.chebyshev import chebval

from constructions.box import Box
from constructions.compiled_circuit import CompiledCircuit
from constructions.library.ridge import RidgeIteration
from tests.constructions.library.prompts import SIZES, box_for, regression_prompts
from theory import PromptBatch
from theory.predictors import Ridge

#: Of the range of the answer; the largest measured error is 1e-15 of it.
TOLERANCE = 4e-15


def iterate(prompts: PromptBatch, ridge: RidgeIteration) -> np.ndarray:
    """<w_T, x> from eigenvalues s of A: (1 - C_T(m) / C_T(1/q)) / (lambda + s), m = M's / q."""
    low, high = ridge.penalty, ridge.penalty + ridge.largest_eigenvalue
    pick = [0.0] * ridge.steps + [1.0]
    answers = np.zeros((len(prompts.xs), prompts.num_examples + 1))
    for b, (xs, ys) in enumerate(zip(prompts.xs, prompts.ys, strict=True)):
        for k in range(1, prompts.num_examples + 1):
            s, V = np.linalg.eigh(xs[:k].T @ xs[:k])
            place = (high + low - 2 * (low + s)) / (high - low)
            left = chebval(place, pick) / chebval((high + low) / (high - low), pick)
            answers[b, k] = xs[k] @ (V @ ((1 - left) / (low + s) * (V.T @ (xs[:k].T @ ys[:k]))))
    return answers


def answers(prompts: PromptBatch, ridge: RidgeIteration) -> tuple[np.ndarray, float]:
    """The network's, and the range of its answer."""
    model = CompiledCircuit(ridge.circuit())
    assert len(model.layers) == ridge.steps + 1
    largest = model.ranges[model.folded.output].largest
    return model.run_tokens(prompts.interleaved())[:, 0, ::2], largest


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize(("penalty", "largest"), [(1.0, np.inf), (10.0, 80.0)])
@pytest.mark.parametrize(("dim", "examples"), SIZES)
def test_every_prefix(dim: int, examples: int, penalty: float, largest: float, steps: int) -> None:
    """Rounding at d = 5, K = 20, penalty 10, after 5 steps: 5e-8, at a distance of 0.2."""
    prompts = regression_prompts(dim, examples)
    ridge = RidgeIteration(dim, examples, box_for(dim), penalty, steps, largest)
    found, size = answers(prompts, ridge)
    rounding = TOLERANCE * size
    np.testing.assert_allclose(found, iterate(prompts, ridge), rtol=0, atol=rounding)
    bound = ridge.error_bound(prompts)
    wanted = Ridge(penalty).predict_all_prefixes(prompts)
    assert np.isfinite(bound).all()
    assert (np.abs(found - wanted) <= bound + rounding).all()


def test_what_is_reached_in_a_narrow_spectrum() -> None:
    """A condition number of 2: four digits after six steps (measured: 4e-5)."""
    box = Box.entrywise(2, 1.0, 2.0)
    rng = np.random.default_rng(0)
    prompts = PromptBatch(rng.uniform(-1, 1, (20, 6, 2)), rng.uniform(-2, 2, (20, 5)))
    ridge = RidgeIteration(2, 5, box, penalty=10.0, steps=6)
    found, _ = answers(prompts, ridge)
    error = np.abs(found - Ridge(10.0).predict_all_prefixes(prompts))
    assert error.max() <= ridge.error_bound(prompts).max() <= 1e-4


def test_the_bound_is_attained() -> None:
    """One example at the edge of the box: A is the largest eigenvalue, where |C_T| is 1."""
    ridge = RidgeIteration(1, 1, Box(2.0, 3.0), penalty=1.0, steps=3)
    prompts = PromptBatch(np.array([[[2.0], [2.0]]]), np.array([[3.0]]))
    found, _ = answers(prompts, ridge)
    error = np.abs(found - Ridge(1.0).predict_all_prefixes(prompts))
    np.testing.assert_allclose(error[0, 1], ridge.error_bound(prompts)[0, 1], rtol=1e-9)


def test_the_bound_is_infinite_where_the_spectrum_is_wider() -> None:
    ridge = RidgeIteration(2, 10, box_for(2), penalty=1.0, steps=3, largest_eigenvalue=4.0)
    prompts = regression_prompts(2, 10)
    bound = ridge.error_bound(prompts)
    largest = np.linalg.eigvalsh(np.einsum("bki,bkj->bij", prompts.examples, prompts.examples))
    assert np.isinf(bound[largest[:, -1] > 4.0, -1]).all()
    assert np.isfinite(bound[:, 0]).all()


@pytest.mark.parametrize(
    ("penalty", "steps", "largest"), [(0.0, 3, 1.0), (np.nan, 3, 1.0), (1.0, 0, 1.0), (1.0, 3, 0.0)]
)
def test_refusals(penalty: float, steps: int, largest: float) -> None:
    with pytest.raises(ValueError, match=f"ridge: {steps} steps, penalty {penalty}"):
        RidgeIteration(2, 3, box_for(2), penalty, steps, largest)
