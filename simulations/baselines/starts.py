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

    A prompt's excess is its least |y - X w|^2 over the components so far, above twice the k sigma^2
    that noise explains. The first prompt is drawn uniformly. Then, m - 1 times, 2 + ln m prompts
    are drawn with probabilities proportional to their excess, and the one whose component leaves
    the least sum of excesses is kept: the greedy seeding of k-means++, with the likelihood's own
    distance. Least squares on one prompt need k >= d examples to be near its component: prompts
    with fewer are not drawn, if there are others; if there are none, the start is poor.
    """
    trials = 2 + int(np.log(num_components))
    able = statistics.num_examples >= statistics.dim
    drawn_from = (able if np.any(able) else np.ones(len(able), dtype=bool)).astype(float)
    explained = 2 * statistics.num_examples * noise_std**2
    least = np.full((len(statistics), 1), np.inf)
    components: list[Float[np.ndarray, " d"]] = []
    excess = drawn_from
    while len(components) < num_components:
        total = float(np.sum(excess))
        chances = excess / total if total > 0 else drawn_from / np.sum(drawn_from)
        drawn = rng.choice(len(least), size=trials if components else 1, p=chances)
        tried = np.array([_fit_one(statistics, int(which)) for which in drawn])
        left = np.minimum(least, statistics.residual_sums(tried))
        excesses = drawn_from[:, None] * np.maximum(left - explained[:, None], 0.0)
        best = int(np.argmin(np.sum(excesses, axis=0)))
        components.append(tried[best])
        least, excess = left[:, [best]], excesses[:, best]
    return RegressionMixture(np.array(components), noise_std)


def _fit_one(statistics: PromptStatistics, which: int) -> Float[np.ndarray, " d"]:
    triangle = statistics.triangles[which]
    return np.asarray(np.linalg.lstsq(triangle[:, :-1], triangle[:, -1], rcond=None)[0])
