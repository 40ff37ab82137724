"""Batch EM for a mixture of regressions of which each prompt has one component."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from simulations.baselines.fitted_mixture import FittedMixture
from theory import PromptBatch, RegressionMixture
from theory.em import PromptStatistics, expectation_step, maximisation_step
from theory.validation import Problems

__all__ = ["BatchEM", "random_start", "spread_start"]

#: How a run begins: a mixture for these statistics, drawn with a generator.
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
    proportional to its least |y - X w|^2 over the components so far, above the k sigma^2 that
    noise explains: the seeding of k-means++, with the likelihood's own distance. Least squares on
    one prompt need k >= d examples to be near its component; with fewer, the start is poor.
    """
    n = len(statistics)
    explained = statistics.num_examples * noise_std**2
    chosen = [int(rng.integers(n))]
    components = [_fit_one(statistics, chosen[0])]
    least = np.full(n, np.inf)
    while len(components) < num_components:
        least = np.minimum(least, statistics.residual_sums(components[-1][None])[:, 0])
        excess = np.maximum(least - 2 * explained, 0.0)
        total = float(np.sum(excess))
        chosen.append(int(rng.choice(n, p=excess / total) if total > 0 else rng.integers(n)))
        components.append(_fit_one(statistics, chosen[-1]))
    return RegressionMixture(np.array(components), noise_std)


def _fit_one(statistics: PromptStatistics, which: int) -> Float[np.ndarray, " d"]:
    triangle = statistics.triangles[which]
    return np.asarray(np.linalg.lstsq(triangle[:, :-1], triangle[:, -1], rcond=None)[0])


class _Run(NamedTuple):
    """One run of EM."""

    mixture: RegressionMixture
    log_likelihoods: list[float]
    converged: bool


@dataclass
class BatchEM(FittedMixture):
    """Algorithm 1 of Pathak et al. 2023, with restarts, as an estimator.

    Fits a mixture of linear regressions to prompts, each of which has one (unknown) component: a
    *grouped* mixture, not one that draws a component for each example.

    Parameters
    ----------
    n_components
        m >= 1.
    noise_std
        The noise level sigma > 0, known.
    random_state
        Seed of the starts: an integer, or a generator, which is then used up.
    start
        `random_start`, which is the paper's, or `spread_start`, which finds the components far more
        often; or a function of your own.
    n_init
        Starts; the run of largest likelihood is kept.
    max_iter, tol
        t_max and epsilon: stop when max_j min_j' |w_j - w_j'(previous)| <= tol. Defaults as in the
        paper, 20,000 and 0.001.
    on_iteration
        Called after each iteration with the number of the start and of the iteration.

    Attributes
    ----------
    components_, weights_
        w_j as rows, shape (m, d), and pi_j, shape (m,), after `fit`.
    log_likelihoods_
        The likelihood before each iteration of the kept run, and at its end. It never falls, but
        for rounding.
    n_iter_, converged_
        Iterations of the kept run, and whether it met the stopping rule.
    runs_
        The final likelihood of each start.

    Notes
    -----
    Cost of an iteration: n m d^2, whatever k is. Source: Pathak et al. 2023, Appendix C.2.
    """

    n_components: int
    noise_std: float
    random_state: int | np.random.Generator = 0
    start: Start = random_start
    n_init: int = 1
    max_iter: int = 20_000
    tol: float = 1e-3
    on_iteration: Callable[[int, int], object] | None = None

    def fit(self, prompts: PromptBatch) -> BatchEM:
        """Fit the mixture.

        Parameters
        ----------
        prompts
            n prompts with k >= 1 labelled examples each.

        Raises
        ------
        ValueError
            If a parameter is out of range, or the prompts have no examples. All problems with
            parameters are listed at once.
        """
        self._check()
        statistics = PromptStatistics(prompts)
        rng = np.random.default_rng(self.random_state)
        starts = [
            self.start(statistics, self.n_components, self.noise_std, rng)
            for _ in range(self.n_init)
        ]
        runs = [self._run(statistics, start, number) for number, start in enumerate(starts)]
        best = max(runs, key=lambda run: run.log_likelihoods[-1])
        self.mixture_ = best.mixture
        self.log_likelihoods_ = np.array(best.log_likelihoods)
        self.n_iter_ = len(best.log_likelihoods) - 1
        self.converged_ = best.converged
        self.runs_ = np.array([run.log_likelihoods[-1] for run in runs])
        return self

    def responsibilities(self, prompts: PromptBatch) -> Float[np.ndarray, "n m"]:
        """Return the posterior weight of each component for each prompt."""
        return expectation_step(PromptStatistics(prompts), self._fitted()).responsibilities

    def score(self, prompts: PromptBatch) -> float:
        """Return the mean log-likelihood of a prompt's labels."""
        return expectation_step(PromptStatistics(prompts), self._fitted()).log_likelihood / len(
            prompts
        )

    def _run(self, statistics: PromptStatistics, mixture: RegressionMixture, number: int) -> _Run:
        trace: list[float] = []
        converged = False
        for iteration in range(self.max_iter):
            expectation = expectation_step(statistics, mixture)
            trace.append(expectation.log_likelihood)
            before = mixture
            mixture = maximisation_step(statistics, expectation.responsibilities, self.noise_std)
            if self.on_iteration is not None:
                self.on_iteration(number, iteration + 1)
            if converged := _moved(mixture.components, before.components) <= self.tol:
                break
        trace.append(expectation_step(statistics, mixture).log_likelihood)
        return _Run(mixture, trace, converged)

    def _check(self) -> None:
        problems = Problems("BatchEM")
        problems.count("n_components", self.n_components, 1)
        problems.number("noise_std", self.noise_std, 0.0, strict=True)
        problems.count("n_init", self.n_init, 1)
        problems.count("max_iter", self.max_iter, 1)
        problems.number("tol", self.tol, 0.0, strict=False)
        problems.raise_if_any()


def _moved(now: npt.NDArray[np.float64], before: npt.NDArray[np.float64]) -> float:
    """Return max_j min_j' |w_j(now) - w_j'(before)|, the paper's measure of a move."""
    differences = np.linalg.norm(now[:, None] - before, axis=2)
    return float(np.max(np.min(differences, axis=1)))
