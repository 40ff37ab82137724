"""The error outside the box."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from constructions import compile_posterior_mean
from simulations.experiments.far_from_the_box import FarFromTheBox, measure, moved
from theory import RegressionMixture

CONFIG = FarFromTheBox(2, 3, 4, factors=(0.5, 1.0, 10.0, 1e3, 1e4), num_prompts=20)


@pytest.fixture(scope="module")
def found():
    return measure(CONFIG)


def test_right_in_the_box_and_wrong_far_away(found):
    for errors in found:
        assert (errors.worst[:2] < 1e-12).all()
        assert (errors.worst[2:] > 1e-6).all()
        assert (errors.median <= errors.worst).all()
        # Far out the network's answer stays put, and f*_pi grows with the distance.
        assert errors.worst[4] == pytest.approx(errors.exact[4], rel=0.3)
        assert_allclose(errors.exact / errors.exact[1], CONFIG.factors, rtol=0.6)


@pytest.mark.parametrize("way", ["query", "prompt"])
def test_factor_one_is_the_edge_of_the_box(way):
    rng = np.random.default_rng(1)
    mixture = RegressionMixture.random(3, 2, 1.0, rng)
    network = compile_posterior_mean(mixture, 4)
    prompts = mixture.sample_prompts(10, 4, rng)
    assert network.problems(moved(network, prompts, way, 1 - 1e-12)) == []
    outside = {i for i, _ in network.problems(moved(network, prompts, way, 1 + 1e-9))}
    assert outside == set(range(10))
