"""How a run of EM begins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from theory import RegressionMixture
from theory.em import PromptStatistics

__all__ = ["Start", "random_start", "spread_start"]

#: A mixture for these statistics, of so many components and this noise level.
Start = Callable[[PromptStatistics, int, float, np.random.Generator], RegressionMixture]


def random_start(
    statistics: PromptStatistics, num_components: int, noise_std: float, rng: np.random.Generator
) -> RegressionMixture:
    """Draw pi uniformly on the simplex and w_j uniformly on the sphere of radius sqrt(d).

    Notes
    -----
    Source: Pathak et al. 2023, Algorithm 1. It does not look at the prompts.
    """
    components = RegressionMixture.random(num_components, statistics.dim, noise_std, rng).components
    weights = rng.dirichlet(np.ones(num_components))
    return RegressionMixture(components, noise_std, weights / np.sum(weights))


def spread_start(
    statistics: PromptStatistics, num_components: int, noise_std: float, rng: np.random.Generator
) -> RegressionMixture:
    """Seed by misfit: each component is fitted to a prompt that the ones before it explain badly.

    The first prompt is drawn uniformly. Then, m - 1 times, a prompt is drawn with probability
    proportional to its least |y - X w|^2 over the components so far, above twice the k sigma^2 that
    noise explains: the seeding of k-means++, with the likelihood's own distance. Least squares on
    one prompt need k >= d examples to be near its component: prompts with fewer are not drawn, if
    there are others; if there are none, the start is poor.
    """
    able = statistics.num_examples >= statistics.dim
    drawn_from = (able if np.any(able) else np.ones(len(able), dtype=bool)).astype(float)
    explained = 2 * statistics.num_examples * noise_std**2
    least = np.full(len(statistics), np.inf)
    components: list[Float[np.ndarray, " d"]] = []
    excess = drawn_from
    while len(components) < num_components:
        total = float(np.sum(excess))
        chances = excess / total if total > 0 else drawn_from / np.sum(drawn_from)
        components.append(_fit_one(statistics, int(rng.choice(len(least), p=chances))))
        least = np.minimum(least, statistics.residual_sums(components[-1][None])[:, 0])
        excess = drawn_from * np.maximum(least - explained, 0.0)
    return RegressionMixture(np.array(components), noise_std)


def _fit_one(statistics: PromptStatistics, which: int) -> Float[np.ndarray, " d"]:
    triangle = statistics.triangles[which]
    return np.asarray(np.linalg.lstsq(triangle[:, :-1], triangle[:, -1], rcond=None)[0])
