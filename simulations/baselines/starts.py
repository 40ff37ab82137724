"""How a run of EM begins."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches

import numpy as np
from jaxtyping import Float

from simulations.baselines.arguments import described
from theory import RegressionMixture
from theory.em import PromptStatistics
from theory.validation import Problems

__all__ = ["Start", "begin", "check_start", "random_start", "spread_start"]

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


def check_start(start: object, problems: Problems) -> None:
    """Note what cannot be called as a `Start`."""
    call = "(statistics, n_components, noise_std, generator)"
    expected = f"expected random_start, spread_start or a function of {call}"
    if not callable(start):
        advice = "for your own give `lambda *_: RegressionMixture(components, noise_std)`"
        if isinstance(start, str):
            for name in get_close_matches(start, ["random_start", "spread_start"], n=1):
                advice = f"from simulations.baselines import {name}, and give that without quotes"
        problems.add(f"start is {described(start)}; {expected}: {advice}")
        return
    try:
        inspect.signature(start).bind(*call.split(","))
    except TypeError as error:
        problems.add(f"start cannot be called with four arguments ({error}); {expected}")
    except ValueError:  # some builtins have no signature; their call will tell
        pass


def begin(
    start: Start,
    statistics: PromptStatistics,
    num_components: int,
    noise_std: float,
    rng: np.random.Generator,
) -> RegressionMixture:
    """Call a start, which may be the user's own, and check what it returns.

    Raises
    ------
    TypeError, ValueError
        If that is no mixture, or one of another m or d.
    """
    mixture: object = start(statistics, num_components, noise_std, rng)
    if not isinstance(mixture, RegressionMixture):
        raise TypeError(
            f"start returned {described(mixture)}; expected a theory.RegressionMixture(components,"
            f" noise_std, weights) with m = {num_components} and d = {statistics.dim}"
        )
    if (mixture.num_components, mixture.dim) != (num_components, statistics.dim):
        raise ValueError(
            f"start returned a mixture with m = {mixture.num_components} and d = {mixture.dim};"
            f" expected m = {num_components}, as n_components says, and d = {statistics.dim}, as"
            " the data have"
        )
    return mixture
