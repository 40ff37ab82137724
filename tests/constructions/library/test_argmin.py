"""The argmin predictor as a limit, beside `theory.Argmin` and its own bound."""

import numpy as np
import pytest

from constructions.box import Box
from constructions.compiled_circuit import CompiledCircuit
from constructions.library.argmin import ArgminLimit
from tests.cases import Case
from tests.constructions.drawing import drawn, with_prior
from theory import PromptBatch, RegressionMixture
from theory.predictors import Argmin

CASES = (Case(2, 3, 5, 0.3), Case(3, 5, 10, 0.1), Case(5, 5, 20, 0.3), Case(5, 5, 20, 0.03))


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_prefix(case: Case, prior: bool) -> None:
    """Beside the limit's own distance, the network adds rounding (measured: 2.1e-12)."""
    mixture, _ = drawn(Case(case.dim, case.num_components, case.num_examples, 1.0), 1)
    mixture = with_prior(mixture, 3) if prior else mixture
    prompts = mixture.sample_prompts(50, case.num_examples, np.random.default_rng(1))
    limit = ArgminLimit(mixture, case.noise_std)
    model = CompiledCircuit(limit.circuit(case.num_examples, Box.for_mixture(mixture)))
    assert len(model.layers) == 3
    found = model.run_tokens(prompts.interleaved())[:, 0, ::2]
    error = np.abs(found - Argmin(mixture).predict_all_prefixes(prompts))
    bound = limit.error_bound(prompts)
    assert (error <= bound + 5e-12).all()
    assert (bound[:, 0] == 0).all()
    # It says something: most answers are the argmin's to 1e-6, and the bound knows it.
    assert (bound < 1e-6).mean() > 0.4


def test_the_bound_in_plain_loops() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([0.2, 0.5, 0.0, 0.3])
    mixture = RegressionMixture(rng.standard_normal((4, 2)), 1.0, weights)
    prompts = mixture.sample_prompts(5, 3, rng)
    found = ArgminLimit(mixture, 0.4).error_bound(prompts)
    for b, (xs, ys) in enumerate(zip(prompts.xs, prompts.ys, strict=True)):
        for k in range(1, 4):
            sums = [sum((w @ x - y) ** 2 for x, y in zip(xs[:k], ys, strict=False))
                    for w in mixture.components]  # fmt: skip
            best = min((j for j in range(4) if weights[j] > 0), key=lambda j: sums[j])
            wanted = 0.0
            for j in range(4):
                if j != best:
                    share = weights[j] / weights[best] * np.exp((sums[best] - sums[j]) / 0.32)
                    apart = (mixture.components[j] - mixture.components[best]) @ xs[k]
                    wanted += min(1.0, share) * abs(apart)
            np.testing.assert_allclose(found[b, k], wanted, rtol=1e-9)


def test_the_limit_is_approached_as_the_bound_says() -> None:
    """Two components: halving sigma squares the distance, four times over."""
    mixture = RegressionMixture(np.array([[1.0], [-1.0]]), 1.0)
    prompts = PromptBatch(np.array([[[1.0], [1.0]]]), np.array([[0.5]]))
    for sigma in (1.0, 0.5, 0.25):
        limit = ArgminLimit(mixture, sigma)
        model = CompiledCircuit(limit.circuit(1, Box(2.0, 2.0)))
        error = 1.0 - model.run_tokens(prompts.interleaved())[0, 0, -1]
        bound = limit.error_bound(prompts)[0, 1]
        np.testing.assert_allclose(bound, 2 * np.exp(-2.0 / (2 * sigma**2)), rtol=1e-12)
        assert bound / 2 <= error <= bound


def test_ties_are_averaged() -> None:
    mixture = RegressionMixture(np.array([[1.0, 2.0], [1.0, -2.0]]), 1.0)
    prompts = PromptBatch(np.array([[[1.0, 0.0], [0.5, 1.0]]]), np.array([[3.0]]))
    limit = ArgminLimit(mixture, 0.1)
    assert (limit.error_bound(prompts) == 0).all()
    found = CompiledCircuit(limit.circuit(1, Box(3.0, 4.0))).run_tokens(prompts.interleaved())
    np.testing.assert_allclose(found[0, 0, -1], 0.5, atol=1e-12)


def test_no_network_for_sigma_0() -> None:
    mixture = RegressionMixture(np.array([[1.0]]), 1.0)
    with pytest.raises(ValueError, match="expected a positive number"):
        ArgminLimit(mixture, 0.0).circuit(3, Box(1.0, 1.0))
