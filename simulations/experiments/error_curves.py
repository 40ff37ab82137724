"""Errors of predictors at every prefix of prompts with one regressor each, as papers plot them.

What is plotted is E (f(P) - y_{k+1})^2 / d over prompts of k examples ("the mean squared error
between the true labels and the estimated labels, divided by the dimension": Pathak et al. 2023,
Section 3.1), noise of the query's label included: Section 3.2 has "the noise level plus" what the
weights lose. That noise is independent of all else, so its sigma^2 / d is added and not drawn; the
rest, (f(P) - <w, x_{k+1}>)^2 / d, is a mean over drawn prompts. Prompt i serves all k at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from simulations.bootstrap import Band, bootstrap_band
from theory import Predictor, PromptBatch, RegressionMixture
from theory.validation import Problems

__all__ = [
    "PromptLaw",
    "check_sizes",
    "draw_mixture",
    "error_curve",
    "prefix_lengths",
    "squared_errors",
]

#: Prompts drawn from one stream of random numbers; part of what a result depends on.
CHUNK = 512

#: Keys of the streams of a seed.
_MIXTURE, _PROMPTS, _BOOTSTRAP = 0, 1, 2

#: The sizes that every config of error curves has, with the least that they can be.
_LEAST = {
    "num_components": 1,
    "dim": 1,
    "max_examples": 1,
    "num_prompts": 2,
    "bootstrap_trials": 1,
    "seed": 0,
}


@dataclass(frozen=True, eq=False)
class PromptLaw:
    """The law of prompts: w uniform over rows, x_i ~ N(0, scale^2 I), y_i = <w, x_i> + noise.

    Parameters
    ----------
    regressors
        The values of w as rows, shape (m, d).
    covariate_scale
        The standard deviation of the entries of x_i, query included.
    noise_std
        sigma >= 0.
    num_examples
        k.
    """

    regressors: Float[np.ndarray, "m d"]
    covariate_scale: float
    noise_std: float
    num_examples: int

    def sample(
        self, size: int, rng: np.random.Generator
    ) -> tuple[PromptBatch, Float[np.ndarray, "batch prefixes"]]:
        """Draw prompts, and <w, x_{n+1}> for n = 0..k, shape (size, k+1): labels without noise.

        All w are drawn, then all x, then all noise. Streams of one seed differ in nothing else, so
        that laws can be compared prompt by prompt.
        """
        m, d = self.regressors.shape
        chosen = self.regressors[rng.integers(m, size=size)]
        xs = self.covariate_scale * rng.standard_normal((size, self.num_examples + 1, d))
        exact = np.einsum("bnd,bd->bn", xs, chosen)
        noise = self.noise_std * rng.standard_normal((size, self.num_examples))
        return PromptBatch(xs, exact[:, :-1] + noise), exact

    def chunks(
        self, num_prompts: int, seed: int
    ) -> Iterator[tuple[PromptBatch, Float[np.ndarray, "batch prefixes"]]]:
        """Draw `num_prompts` prompts, each `CHUNK` of them from a stream of its own."""
        for number, start in enumerate(range(0, num_prompts, CHUNK)):
            size = min(CHUNK, num_prompts - start)
            yield self.sample(size, _stream(seed, _PROMPTS, number))


def check_sizes(config: object, problems: Problems) -> None:
    """Check the sizes of a frozen config, and set them to plain integers."""
    for name, lower in _LEAST.items():
        object.__setattr__(config, name, problems.count(name, getattr(config, name), lower))


def draw_mixture(num_components: int, dim: int, noise_std: float, seed: int) -> RegressionMixture:
    """Draw components from the sphere of radius sqrt(d); they do not depend on the noise."""
    return RegressionMixture.random(num_components, dim, noise_std, _stream(seed, _MIXTURE))


def squared_errors(
    predictor: Predictor, law: PromptLaw, num_prompts: int, seed: int
) -> Float[np.ndarray, "prompts prefixes"]:
    """Return ((f(P_n) - <w, x_{n+1}>)^2 + sigma^2) / d of each prompt and n = 0..k.

    Parameters
    ----------
    predictor
        f, which sees the examples and the query only.
    law
        Where prompts come from; it need not be the one that the predictor assumes.
    num_prompts, seed
        How many, and from which random numbers: the same for every predictor.

    Returns
    -------
    numpy.ndarray
        Shape (num_prompts, k+1), float64; column n is for the first n examples.
    """
    errors = [
        (predictor.predict_all_prefixes(prompts) - exact) ** 2
        for prompts, exact in law.chunks(num_prompts, seed)
    ]
    return np.asarray((np.concatenate(errors) + law.noise_std**2) / law.regressors.shape[1])


def error_curve(
    predictor: Predictor, law: PromptLaw, num_prompts: int, trials: int, seed: int
) -> Band:
    """Return the mean of `squared_errors` over prompts, with its 90 % bootstrap band.

    The resampled prompts are the same for every predictor.
    """
    errors = squared_errors(predictor, law, num_prompts, seed)
    return bootstrap_band(errors, _stream(seed, _BOOTSTRAP), trials=trials)


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def prefix_lengths(num_examples: int) -> npt.NDArray[np.int64]:
    """Return n = 0..k: the axis of all curves."""
    return np.arange(num_examples + 1, dtype=np.int64)
