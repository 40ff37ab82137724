"""How wrong a compiled network is on prompts outside its box, by the distance from it.

Two ways out of the box are measured. *Query*: the examples are those of the mixture, and the query
is moved along its own direction, to ``factor`` times the edge of the box. *Prompt*: the whole
prompt is scaled until its largest token is there. No network follows f*_pi far out, whatever its
weights: `papers.beyond.no_network_is_exact`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from constructions import PosteriorMeanTransformer, compile_posterior_mean
from theory import PromptBatch, RegressionMixture

Way = Literal["query", "prompt"]


@dataclass(frozen=True)
class FarFromTheBox:
    """What is measured.

    Parameters
    ----------
    dim, num_components, num_examples, noise_std
        d, m, k, sigma > 0 of a mixture with components on the sphere of radius sqrt(d).
    factors
        Distances in boxes; 1 is the edge.
    num_prompts
        Prompts at every distance.
    seed
        Of the mixture and the prompts.
    """

    dim: int = 5
    num_components: int = 5
    num_examples: int = 20
    noise_std: float = 1.0
    factors: tuple[float, ...] = tuple(10 ** (e / 4) for e in range(-4, 17))
    num_prompts: int = 200
    seed: int = 0


@dataclass(frozen=True, eq=False)
class FarErrors:
    """The errors of one way out of the box, an entry for each factor.

    Parameters
    ----------
    way
        Which.
    worst, median
        max and median of |TF(P) - f*_pi(P)| over the prompts.
    exact
        max |f*_pi(P)|, for scale.
    """

    way: Way
    worst: Float[np.ndarray, " factors"]
    median: Float[np.ndarray, " factors"]
    exact: Float[np.ndarray, " factors"]


def measure(config: FarFromTheBox) -> list[FarErrors]:
    """Run a three-layer network inside and outside its default box, both ways.

    Raises
    ------
    ValueError
        If the sizes are those of no mixture.
    """
    rng = np.random.default_rng(config.seed)
    mixture = RegressionMixture.random(config.num_components, config.dim, config.noise_std, rng)
    network = compile_posterior_mean(mixture, config.num_examples)
    prompts = mixture.sample_prompts(config.num_prompts, config.num_examples, rng)
    ways: tuple[Way, ...] = ("query", "prompt")
    return [_errors(network, prompts, way, config.factors) for way in ways]


def moved(
    network: PosteriorMeanTransformer, prompts: PromptBatch, way: Way, factor: float
) -> PromptBatch:
    """Return the prompts at ``factor`` times the edge of the network's box."""
    box, xs, ys = network.box, prompts.xs.copy(), prompts.ys
    norms = np.linalg.norm(xs, axis=2)
    entries = np.abs(xs).max(axis=2)
    if way == "query":
        edge = np.minimum(box.covariate_norm / norms[:, -1], box.covariate / entries[:, -1])
        xs[:, -1] *= factor * edge[:, None]
        return PromptBatch(xs, ys)
    edge = np.minimum(box.covariate_norm / norms.max(axis=1), box.covariate / entries.max(axis=1))
    edge = np.minimum(edge, box.label / np.abs(ys).max(axis=1)) * factor
    return PromptBatch(xs * edge[:, None, None], ys * edge[:, None])


def _errors(
    network: PosteriorMeanTransformer,
    prompts: PromptBatch,
    way: Way,
    factors: tuple[float, ...],
) -> FarErrors:
    errors, exact = [], []
    for factor in factors:
        there = moved(network, prompts, way, factor)
        # The tokens go in directly: `predict` refuses prompts outside the box.
        answers = network.run_tokens(there.interleaved(), allow_outside_box=True)[:, 0, -1]
        expected = network.mixture.posterior_mean(there)
        errors.append(np.abs(answers - expected))
        exact.append(np.abs(expected).max())
    return FarErrors(way, np.max(errors, axis=1), np.median(errors, axis=1), np.array(exact))
