"""How far the hand-built transformer is from f*_pi, on random prompts.

Two kinds of mixtures are drawn. *Separated* ones have components uniform on the sphere of radius
sqrt(d), as in the paper; after a few examples their posterior sits on one component, and an error
in the scores is invisible. *Undecided* ones have components within sigma / sqrt(k) of a common
centre, so that every score matters in every prompt.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import torch

from constructions import PosteriorMeanTransformer, compile_posterior_mean
from theory import PromptBatch, RegressionMixture

Kind = Literal["separated", "undecided"]
Precision = Literal["float64", "float32"]
Build = Callable[[RegressionMixture, int, torch.dtype], PosteriorMeanTransformer]


@dataclass(frozen=True)
class Accuracy:
    """One row of the grid: sizes, and the largest error over the prompts.

    Parameters
    ----------
    dim, num_components, num_examples, noise_std
        d, m, k, sigma > 0.
    kind
        "separated" or "undecided" components.
    precision
        "float64" or "float32".
    num_prompts
        Prompts drawn.
    seed
        Of the mixture and the prompts.
    """

    dim: int
    num_components: int
    num_examples: int
    noise_std: float
    kind: Kind = "separated"
    precision: Precision = "float64"
    num_prompts: int = 100
    seed: int = 0


#: The sizes on which the construction is accepted, smallest first.
SIZES = sorted(
    product((2, 5, 20), (2, 5, 20), (2, 10, 60), (0.3, 1.0)), key=lambda size: np.prod(size[:3])
)


def mixture_for(config: Accuracy, rng: np.random.Generator) -> RegressionMixture:
    """Draw the mixture of a configuration."""
    d, m, sigma = config.dim, config.num_components, config.noise_std
    if config.kind == "separated":
        return RegressionMixture.random(m, d, sigma, rng)
    centre = RegressionMixture.random(1, d, sigma, rng).components
    spread = sigma / max(config.num_examples, 1) ** 0.5
    return RegressionMixture(centre + spread * rng.normal(size=(m, d)) / d**0.5, sigma)


def build_transformer(
    mixture: RegressionMixture, num_examples: int, dtype: torch.dtype
) -> PosteriorMeanTransformer:
    """Build the network under test, with its default box."""
    return compile_posterior_mean(mixture, num_examples, dtype=dtype)


def largest_error(config: Accuracy, build: Build = build_transformer) -> float:
    """Return max |TF(P) - f*_pi(P)| over the prompts.

    f*_pi is computed in float64 on the prompts that the network is given; for a float32 network
    these are rounded to float32 first, for both.
    """
    rng = np.random.default_rng(config.seed)
    mixture = mixture_for(config, rng)
    prompts = mixture.sample_prompts(config.num_prompts, config.num_examples, rng)
    if config.precision == "float32":
        prompts = PromptBatch(prompts.xs.astype(np.float32), prompts.ys.astype(np.float32))
    network = build(mixture, config.num_examples, getattr(torch, config.precision))
    return float(np.abs(network.predict(prompts) - mixture.posterior_mean(prompts)).max())
