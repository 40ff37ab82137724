"""How far the hand-built transformers are from f*_pi, on random prompts.

Three kinds of mixtures are drawn. *Separated* ones have components uniform on the sphere of radius
sqrt(d), as in the paper; after a few examples their posterior sits on one component, and an error
in the scores is invisible. *Undecided* ones have components within sigma / sqrt(k) of a common
centre, so that every score matters in every prompt. *Weighted* ones are undecided, with
a prior that is not uniform.

Three networks are measured: the compiled ones of three and of two layers, at every prefix of every
prompt, and the line-by-line one, which answers whole prompts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from constructions import (
    LineByLineTransformer,
    PosteriorMeanTransformer,
    compile_line_by_line,
    compile_posterior_mean,
)
from theory import PromptBatch, RegressionMixture

Kind = Literal["separated", "undecided", "weighted"]
Precision = Literal["float64", "float32"]

#: d, m, k, sigma.
Size = tuple[int, int, int, float]

#: Those of the grid. Undecided mixtures come first: they notice errors in the scores.
KINDS: tuple[Kind, ...] = ("undecided", "separated")


class Network(Protocol):
    """What answers prompts."""

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Return f*_pi(P) of whole prompts."""


@runtime_checkable
class PrefixNetwork(Network, Protocol):
    """What answers every prefix of a prompt, too."""

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Return f*_pi at k = 0, ..., K."""


Build = Callable[[RegressionMixture, int, torch.dtype], Network]


@dataclass(frozen=True)
class Accuracy:
    """One row of the grid: sizes, and how its prompts are drawn.

    Parameters
    ----------
    dim, num_components, num_examples, noise_std
        d, m, k, sigma > 0.
    kind
        "separated" or "undecided" components, or "weighted": undecided ones with prior weights
        in proportion to 1, ..., m.
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


def mixture_for(config: Accuracy, rng: np.random.Generator) -> RegressionMixture:
    """Draw the mixture of a configuration."""
    d, m, sigma = config.dim, config.num_components, config.noise_std
    if config.kind == "separated":
        return RegressionMixture.random(m, d, sigma, rng)
    centre = RegressionMixture.random(1, d, sigma, rng).components
    spread = sigma / max(config.num_examples, 1) ** 0.5
    components = centre + spread * rng.normal(size=(m, d)) / d**0.5
    weights = np.arange(1.0, m + 1) if config.kind == "weighted" else np.ones(m)
    return RegressionMixture(components, sigma, weights / weights.sum())


def build_three_layers(
    mixture: RegressionMixture, num_examples: int, dtype: torch.dtype
) -> PosteriorMeanTransformer:
    """Build the network of three layers with one head each, with its default box."""
    return compile_posterior_mean(mixture, num_examples, dtype=dtype)


def build_two_layers(
    mixture: RegressionMixture, num_examples: int, dtype: torch.dtype
) -> PosteriorMeanTransformer:
    """Build the network of two layers, the first with 2k heads, with its default box."""
    return compile_posterior_mean(mixture, num_examples, dtype=dtype, layers=2)


def build_line_by_line(
    mixture: RegressionMixture, num_examples: int, dtype: torch.dtype
) -> LineByLineTransformer:
    """Build the network of one layer for every operator of the paper, with its default box."""
    return compile_line_by_line(mixture, num_examples, dtype=dtype)


def largest_error(config: Accuracy, build: Build = build_three_layers) -> float:
    """Return max |TF(P) - f*_pi(P)| over the prompts, and over their prefixes if it answers them.

    f*_pi is computed in float64 on the prompts that the network is given; for a float32 network
    these are rounded to float32 first, for both. An answer that is not a number is an infinite
    error.
    """
    rng = np.random.default_rng(config.seed)
    mixture = mixture_for(config, rng)
    prompts = mixture.sample_prompts(config.num_prompts, config.num_examples, rng)
    if config.precision == "float32":
        prompts = PromptBatch(prompts.xs.astype(np.float32), prompts.ys.astype(np.float32))
    network = build(mixture, config.num_examples, getattr(torch, config.precision))
    exact = mixture.posterior_mean_all_prefixes(prompts)
    if isinstance(network, PrefixNetwork):
        errors = np.abs(network.predict_all_prefixes(prompts) - exact)
    else:
        errors = np.abs(network.predict(prompts) - exact[:, -1])
    return float(errors.max()) if np.isfinite(errors).all() else float("inf")


# The networks, the sizes at which they are accepted, and the largest errors allowed


#: The grid, smallest first.
SIZES: list[Size] = sorted(
    product((2, 5, 20), (2, 5, 20), (2, 10, 60), (0.3, 1.0)), key=lambda size: np.prod(size[:3])
)

#: Beyond the grid: the smallest, sizes that are not round, and a large one.
EXTRA_SIZES: list[Size] = [
    (*size, sigma)
    for size in ((1, 1, 1), (7, 3, 13), (3, 40, 5), (50, 10, 100))
    for sigma in (0.3, 1.0)
]

#: Where two layers are accepted: their heads grow with k.
TWO_LAYER_SIZES: list[Size] = [
    *product((2, 5), (2, 5), (2, 10, 20), (0.3, 1.0)),
    *((*size, sigma) for size in ((20, 20, 10), (2, 2, 60)) for sigma in (0.3, 1.0)),
]


@dataclass(frozen=True)
class Design:
    """A kind of network, and where it is accepted.

    Parameters
    ----------
    title
        What it is.
    build
        Builds it for a mixture.
    limits
        For every size, the largest error allowed in each float type.
    """

    title: str
    build: Build
    limits: Mapping[Size, Mapping[Precision, float]]

    def rows(self, num_prompts: int, seed: int) -> list[tuple[Accuracy, float]]:
        """Return the configurations to measure, each with its limit."""
        return [
            (Accuracy(*size, kind, precision, num_prompts, seed), limit)
            for size, limits in self.limits.items()
            for precision, limit in limits.items()
            for kind in KINDS
        ]


def _limits(float64: float, float32: float) -> dict[Precision, float]:
    return {"float64": float64, "float32": float32}


#: Of the network with one layer for every operator, at every size.
LINE_BY_LINE_LIMITS = _limits(1e-9, 2e-3)

#: By the name that the command line gives them.
DESIGNS: Mapping[str, Design] = {
    "3": Design(
        "three layers of one head each, every prefix",
        build_three_layers,
        {
            size: _limits(5e-11 if size[:3] == (50, 10, 100) else 5e-12, 3e-4)
            for size in (*SIZES, *EXTRA_SIZES)
        },
    ),
    "2": Design(
        "two layers, the first with 2k heads, every prefix",
        build_two_layers,
        {size: _limits(5e-12, 3e-4) for size in TWO_LAYER_SIZES},
    ),
    "lines": Design(
        "one layer for every operator, whole prompts",
        build_line_by_line,
        dict.fromkeys(SIZES, LINE_BY_LINE_LIMITS),
    ),
}
