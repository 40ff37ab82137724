import numpy as np
import pytest
import torch

from constructions import LineByLineTransformer, PosteriorMeanTransformer
from papers.pathak2023.theorem_1 import TOLERANCE
from simulations.experiments.accuracy import (
    DESIGNS,
    KINDS,
    SIZES,
    Accuracy,
    build_line_by_line,
    build_three_layers,
    build_two_layers,
    largest_error,
    mixture_for,
)
from tests.cases import GRID
from theory import PromptBatch, RegressionMixture

SMALL = [(2, 2, 2, 1.0), (5, 3, 10, 0.3), (1, 1, 0, 0.5)]

#: The largest errors of the acceptance.
LIMITS = {
    "3": {"float64": 5e-12, "float32": 3e-4},
    "2": {"float64": 5e-12, "float32": 3e-4},
    "lines": {"float64": 1e-9, "float32": 2e-3},
}


def test_the_sizes_are_those_of_the_grid_smallest_first():
    grid = [(case.dim, case.num_components, case.num_examples, case.noise_std) for case in GRID]
    assert sorted(SIZES) == sorted(grid)
    assert len(set(SIZES)) == 54
    products = [np.prod(size[:3]) for size in SIZES]
    assert products == sorted(products)


def test_every_design_is_measured_where_it_is_accepted():
    extra = {(d, m, k, s) for d, m, k in ((1, 1, 1), (7, 3, 13), (3, 40, 5)) for s in (0.3, 1.0)}
    large = {(50, 10, 100, s) for s in (0.3, 1.0)}
    assert set(DESIGNS["3"].limits) == {*SIZES, *extra, *large}
    assert set(DESIGNS["2"].limits) == {
        *((d, m, k, s) for d in (2, 5) for m in (2, 5) for k in (2, 10, 20) for s in (0.3, 1.0)),
        *((*size, s) for size in ((20, 20, 10), (2, 2, 60)) for s in (0.3, 1.0)),
    }
    assert list(DESIGNS["lines"].limits) == SIZES
    for name, design in DESIGNS.items():
        for size, limits in design.limits.items():
            expected = LIMITS[name] | ({"float64": 5e-11} if size in large else {})
            assert limits == expected, (name, size)


def test_the_rows_of_a_design_are_all_its_sizes_kinds_and_float_types():
    rows = DESIGNS["2"].rows(7, 3)
    assert len({config for config, _ in rows}) == len(rows) == 28 * 2 * len(KINDS)
    for config, limit in rows:
        assert (config.num_prompts, config.seed) == (7, 3)
        size = (config.dim, config.num_components, config.num_examples, config.noise_std)
        assert limit == DESIGNS["2"].limits[size][config.precision]


def test_the_builds_are_the_networks_that_their_designs_name():
    mixture = RegressionMixture.random(2, 2, 1.0, np.random.default_rng(0))
    three, two, lines = (
        build(mixture, 3, torch.float64)
        for build in (build_three_layers, build_two_layers, build_line_by_line)
    )
    assert [type(three), type(two)] == [PosteriorMeanTransformer] * 2
    assert isinstance(lines, LineByLineTransformer)
    assert [len(network.layers) for network in (three, two, lines)] == [3, 2, 9]
    assert [DESIGNS[name].build for name in ("3", "2", "lines")] == [
        build_three_layers,
        build_two_layers,
        build_line_by_line,
    ]


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["undecided", "separated", "weighted"])
@pytest.mark.parametrize("size", SMALL)
@pytest.mark.parametrize("name", DESIGNS)
def test_the_networks_are_as_accurate_as_is_claimed(name, size, kind, precision):
    config = Accuracy(*size, kind, precision, num_prompts=30, seed=1)
    assert largest_error(config, DESIGNS[name].build) <= LIMITS[name][precision]


def test_theorem_1_is_judged_by_the_limits_of_its_design():
    assert LIMITS["lines"] == TOLERANCE


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


@pytest.mark.parametrize("kind", ["undecided", "separated", "weighted"])
def test_a_mixture_is_drawn_with_its_sizes(kind):
    mixture = mixture_for(Accuracy(4, 3, 0, 0.7, kind), np.random.default_rng(0))
    assert (mixture.num_components, mixture.dim, mixture.noise_std) == (3, 4, 0.7)
    expected = [1 / 6, 1 / 3, 1 / 2] if kind == "weighted" else [1 / 3] * 3
    assert mixture.weights.tolist() == pytest.approx(expected, abs=1e-15)


#: The layer (from 0) whose head makes the scores.
SCORES = {build_three_layers: 1, build_line_by_line: 5}


@pytest.mark.parametrize("build", SCORES)
@pytest.mark.parametrize("size", [(2, 5, 10, 0.3), (5, 2, 2, 1.0)])
def test_scores_off_by_one_percent_are_noticed_on_undecided_mixtures(size, build):
    def off_by_one_percent(mixture, num_examples, dtype):
        network = build(mixture, num_examples, dtype)
        network.layers[SCORES[build]].weights().value.mul_(1.01)
        return network

    assert largest_error(Accuracy(*size, "undecided"), off_by_one_percent) > 1e5 * 1e-9


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


@pytest.mark.parametrize("prefix", range(4))
def test_the_error_is_the_largest_over_the_prompts_and_their_prefixes(prefix):
    class OffOnce(PosteriorMeanTransformer):
        def predict_all_prefixes(self, prompts: PromptBatch) -> np.ndarray:
            answers = super().predict_all_prefixes(prompts)
            answers[7, prefix] += 1.0
            return answers

    def build(mixture: RegressionMixture, k: int, dtype: torch.dtype) -> PosteriorMeanTransformer:
        return OffOnce(mixture, k, dtype=dtype)

    assert largest_error(Accuracy(2, 2, 3, 1.0), build) == pytest.approx(1.0, abs=1e-9)


def test_the_line_by_line_network_is_judged_on_whole_prompts():
    class OffOnce(LineByLineTransformer):
        def predict(self, prompts: PromptBatch) -> np.ndarray:
            answers = super().predict(prompts)
            answers[7] += 1.0
            return answers

    def build(mixture: RegressionMixture, k: int, dtype: torch.dtype) -> LineByLineTransformer:
        return OffOnce(mixture, k, dtype=dtype)

    assert largest_error(Accuracy(2, 2, 3, 1.0), build) == pytest.approx(1.0, abs=1e-9)


def test_an_answer_that_is_no_number_is_an_infinite_error():
    def build(mixture: RegressionMixture, k: int, dtype: torch.dtype) -> PosteriorMeanTransformer:
        # Two components and no prefix columns: nothing is answered before the first example.
        return PosteriorMeanTransformer(mixture, k, dtype=dtype, prefix_columns=False)

    assert largest_error(Accuracy(2, 2, 3, 1.0), build) == float("inf")


def test_the_default_is_a_hundred_prompts_for_each_size():
    assert Accuracy(2, 2, 2, 1.0).num_prompts == 100
