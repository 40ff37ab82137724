import numpy as np
import pytest
import torch

from constructions import PosteriorMeanTransformer
from papers.pathak2023.theorem_1 import TOLERANCE
from simulations.experiments.accuracy import (
    SIZES,
    Accuracy,
    build_transformer,
    largest_error,
    mixture_for,
)
from tests.cases import GRID
from theory import PromptBatch, RegressionMixture

SMALL = [(2, 2, 2, 1.0), (5, 3, 10, 0.3), (1, 1, 0, 0.5)]


def test_the_sizes_are_those_of_the_grid_smallest_first():
    grid = [(case.dim, case.num_components, case.num_examples, case.noise_std) for case in GRID]
    assert sorted(SIZES) == sorted(grid)
    assert len(set(SIZES)) == 54
    products = [np.prod(size[:3]) for size in SIZES]
    assert products == sorted(products)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["undecided", "separated"])
@pytest.mark.parametrize("size", SMALL)
def test_the_network_is_as_accurate_as_theorem_1_claims(size, kind, precision):
    limits = {"float64": 1e-9, "float32": 2e-3}
    assert limits == TOLERANCE
    error = largest_error(Accuracy(*size, kind, precision, num_prompts=30, seed=1))
    assert error <= limits[precision]


def largest_weights(kind: str, num_components: int, num_examples: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    config = Accuracy(5, num_components, num_examples, 0.3, kind)
    mixture = mixture_for(config, rng)
    return mixture.posterior(mixture.sample_prompts(200, num_examples, rng)).max(axis=1)


@pytest.mark.parametrize("num_examples", [2, 10, 60])
@pytest.mark.parametrize("num_components", [2, 5, 20])
def test_undecided_mixtures_are_undecided(num_components, num_examples):
    weights = largest_weights("undecided", num_components, num_examples)
    assert weights.mean() < 0.9
    # Nor is the posterior the prior: then, too, no score would matter.
    assert weights.mean() > 1.2 / num_components


@pytest.mark.parametrize("num_examples", [10, 60])
def test_separated_mixtures_are_decided(num_examples):
    assert largest_weights("separated", 5, num_examples).mean() > 0.99


def test_a_mixture_is_drawn_with_its_sizes():
    for kind in ("undecided", "separated"):
        mixture = mixture_for(Accuracy(4, 3, 0, 0.7, kind), np.random.default_rng(0))
        assert (mixture.num_components, mixture.dim, mixture.noise_std) == (3, 4, 0.7)
        assert mixture.weights.tolist() == [1 / 3] * 3


def off_by_one_percent(mixture, num_examples, dtype) -> PosteriorMeanTransformer:
    network = build_transformer(mixture, num_examples, dtype)
    network.layers[5].weights().value.mul_(1.01)
    return network


@pytest.mark.parametrize("size", [(2, 5, 10, 0.3), (5, 2, 2, 1.0)])
def test_scores_off_by_one_percent_are_noticed_on_undecided_mixtures(size):
    wrong = largest_error(Accuracy(*size, "undecided"), off_by_one_percent)
    assert wrong > 1e5 * 1e-9


def test_the_same_seed_draws_the_same_mixture_and_prompts():
    errors = [largest_error(Accuracy(2, 3, 4, 1.0, "undecided", seed=seed)) for seed in (1, 1, 2)]
    assert errors[0] == errors[1] != errors[2]


def test_float32_prompts_are_rounded_for_both():
    """Else the error would be that of rounding the prompt, not that of the network."""
    seen = []

    class Recorder:
        def __init__(self, mixture):
            self.mixture = mixture

        def predict(self, prompts):
            seen.append(prompts)
            return self.mixture.posterior_mean(prompts)

    config = Accuracy(2, 3, 4, 1.0, "separated", "float32")
    assert largest_error(config, lambda mixture, k, dtype: Recorder(mixture)) == 0.0
    (prompts,) = seen
    assert (prompts.xs == prompts.xs.astype(np.float32)).all()
    assert (prompts.ys == prompts.ys.astype(np.float32)).all()


def test_the_error_is_the_largest_over_the_prompts():
    class OffOnce(PosteriorMeanTransformer):
        def predict(self, prompts: PromptBatch) -> np.ndarray:
            answers = super().predict(prompts)
            answers[7] += 1.0
            return answers

    def build(mixture: RegressionMixture, k: int, dtype: torch.dtype) -> PosteriorMeanTransformer:
        return OffOnce(mixture, k, dtype=dtype)

    assert largest_error(Accuracy(2, 2, 3, 1.0), build) == pytest.approx(1.0, abs=1e-9)


def test_the_default_is_a_hundred_prompts_for_each_size():
    assert Accuracy(2, 2, 2, 1.0).num_prompts == 100
