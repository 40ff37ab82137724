"""Batch EM for a mixture of regressions of which each prompt, or group, has one component."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from simulations.baselines.fitted_mixture import FittedMixture
from simulations.baselines.starts import Start, random_start
from theory import PromptBatch, RegressionMixture
from theory.em import Expectation, PromptStatistics, expectation_step, maximisation_step
from theory.grouped_examples import GroupedExamples
from theory.validation import Problems

__all__ = ["BatchEM"]

#: Of the size of the labels: less than this is taken for no noise.
_ROUNDING = 1e-12

#: What is fitted; who fits the same prompts many times, can prepare their statistics once.
Prompts = PromptBatch | GroupedExamples | PromptStatistics


class _Run(NamedTuple):
    """One run of EM."""

    mixture: RegressionMixture
    log_likelihoods: list[float]
    converged: bool


@dataclass
class BatchEM(FittedMixture):
    """Algorithm 1 of Pathak et al. 2023, with restarts, as an estimator.

    Fits a mixture of linear regressions to groups of examples, each of which has one (unknown)
    component: a *grouped* mixture, not one that draws a component for each example. The groups are
    prompts, or those of a table (`GroupedExamples`), which may differ in size.

    Parameters
    ----------
    n_components
        m >= 1.
    noise_std
        The noise level sigma > 0, one for all components, known as in the paper; None to estimate
        it in each M-step, from a start at `PromptStatistics.noise_std_within`, or if no group has
        more than d examples, at what is left by one regression for all.
    random_state
        Seed of the starts: an integer, or a generator, which is then used up.
    start
        `random_start`, which is the paper's, or `spread_start`, which finds the components far more
        often; or a function of your own.
    n_init
        Starts; the run of largest likelihood is kept.
    max_iter, tol
        t_max and epsilon: stop when max_j min_j' |w_j - w_j'(previous)| <= tol. Defaults as in the
        paper, 20,000 and 0.001: absolute, so give one that suits the scale of your components. A
        sigma that is estimated may not move by more either.
    on_iteration
        Called after each iteration with the number of the start and of the iteration.

    Attributes
    ----------
    components_, weights_, noise_std_
        w_j as rows, shape (m, d), pi_j, shape (m,), and sigma, after `fit`.
    log_likelihoods_
        The likelihood before each iteration of the kept run, and at its end. It never falls, but
        for rounding.
    n_iter_, converged_
        Iterations of the kept run, and whether it met the stopping rule.
    n_features_in_
        d.
    runs_
        The final likelihood of each start.

    Notes
    -----
    Cost of an iteration: n m d^2, whatever k is (twice that if sigma is estimated). Source: Pathak
    et al. 2023, Appendix C.2; groups of different sizes and an unknown sigma are not in the paper.
    """

    n_components: int
    noise_std: float | None
    random_state: int | np.random.Generator = 0
    start: Start = random_start
    n_init: int = 1
    max_iter: int = 20_000
    tol: float = 1e-3
    on_iteration: Callable[[int, int], object] | None = None

    def fit(self, prompts: Prompts) -> BatchEM:
        """Fit the mixture.

        Parameters
        ----------
        prompts
            n prompts with k >= 1 labelled examples each, groups of any sizes, or the statistics of
            either.

        Raises
        ------
        ValueError
            If a parameter is out of range, the prompts have no examples, or the noise level is to
            be estimated and there is none: m components fit every label. All problems with
            parameters are listed at once.
        """
        self._check()
        statistics = _statistics(prompts)
        noise_std = _first_noise_std(statistics) if self.noise_std is None else self.noise_std
        rng = np.random.default_rng(self.random_state)
        starts = [
            self.start(statistics, self.n_components, noise_std, rng) for _ in range(self.n_init)
        ]
        runs = [self._run(statistics, start, number) for number, start in enumerate(starts)]
        best = max(runs, key=lambda run: run.log_likelihoods[-1])
        self.mixture_ = best.mixture
        self.log_likelihoods_ = np.array(best.log_likelihoods)
        self.n_iter_ = len(best.log_likelihoods) - 1
        self.converged_ = best.converged
        self.n_features_in_ = statistics.dim
        self.runs_ = np.array([run.log_likelihoods[-1] for run in runs])
        return self

    def responsibilities(self, prompts: Prompts) -> Float[np.ndarray, "n m"]:
        """Return the posterior weight of each component for each prompt or group."""
        return self._expectation(prompts).responsibilities

    def score(self, prompts: Prompts) -> float:
        """Return the mean log-likelihood of the labels of a prompt or group."""
        return self._expectation(prompts).log_likelihood / len(prompts)

    def bic(self, prompts: Prompts) -> float:
        """Return -2 log-likelihood + p ln n: lower is better.

        Parameters
        ----------
        prompts
            What was fitted.

        Notes
        -----
        p counts the free parameters: m d + m - 1, and sigma if it is estimated; n the groups, which
        are the independent draws, not the examples.
        """
        mixture = self._fitted()
        free = mixture.components.size + mixture.num_components - 1 + (self.noise_std is None)
        return -2 * self._expectation(prompts).log_likelihood + free * float(np.log(len(prompts)))

    def predict_rows(
        self, xs: npt.ArrayLike, groups: npt.ArrayLike, given: GroupedExamples
    ) -> Float[np.ndarray, " rows"]:
        """Predict the labels of new rows from the labelled rows of their groups.

        Parameters
        ----------
        xs, groups
            Covariates, shape (rows, d), and the name of each row's group.
        given
            Labelled rows. Groups that have none there are predicted with the weights pi.

        Returns
        -------
        numpy.ndarray
            sum_j p_j <w_j, x>, with p the responsibilities for the row's group.

        Raises
        ------
        ValueError
            If the arrays are not as above.
        """
        mixture = self._fitted()
        new = GroupedExamples(xs, np.zeros(len(np.asarray(xs))), groups)
        if new.dim != mixture.dim:
            raise ValueError(
                f"the rows have dimension d = {new.dim} and the components {mixture.dim};"
                " expected the same d"
            )
        known = np.isin(new.names, given.names)
        posterior = np.tile(mixture.weights, (len(new), 1))
        where = np.searchsorted(given.names, new.names[known])
        posterior[known] = self.responsibilities(given)[where]
        images = new.xs @ mixture.components.T
        return np.asarray(np.sum(posterior[new.codes] * images, axis=1))

    def _expectation(self, prompts: Prompts) -> Expectation:
        return expectation_step(_statistics(prompts), self._fitted())

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
            if self.noise_std is None and mixture.noise_std <= _least_noise_std(statistics):
                raise ValueError(
                    f"the noise level has fallen to 0: {self.n_components} components fit every"
                    " label, and the likelihood has no maximum; expected fewer components, more"
                    " examples, or a given noise_std"
                )
            moved = _moved(mixture.components, before.components)
            if converged := max(moved, abs(mixture.noise_std - before.noise_std)) <= self.tol:
                break
        trace.append(expectation_step(statistics, mixture).log_likelihood)
        return _Run(mixture, trace, converged)

    def _check(self) -> None:
        problems = Problems("BatchEM")
        problems.count("n_components", self.n_components, 1)
        if self.noise_std is not None:
            problems.number("noise_std", self.noise_std, 0.0, strict=True)
        problems.count("n_init", self.n_init, 1)
        problems.count("max_iter", self.max_iter, 1)
        problems.number("tol", self.tol, 0.0, strict=False)
        problems.raise_if_any()


def _statistics(prompts: Prompts) -> PromptStatistics:
    return prompts if isinstance(prompts, PromptStatistics) else PromptStatistics(prompts)


def _least_noise_std(statistics: PromptStatistics) -> float:
    """Return what is no noise but rounding, from the root mean square of the labels."""
    squares = float(np.sum(statistics.triangles[:, :, -1] ** 2))
    return _ROUNDING * float(np.sqrt(squares / np.sum(statistics.num_examples)))


def _first_noise_std(statistics: PromptStatistics) -> float:
    """Return where the estimation of sigma begins, above 0."""
    least = _least_noise_std(statistics)
    within = statistics.noise_std_within()
    if within is not None and within > least:
        return within
    pooled = maximisation_step(statistics, np.ones((len(statistics), 1)), None).noise_std
    if pooled <= least:
        raise ValueError(
            "one regression fits every label: there is no noise to estimate; expected labels with"
            " noise, or a given noise_std"
        )
    return pooled


def _moved(now: npt.NDArray[np.float64], before: npt.NDArray[np.float64]) -> float:
    """Return max_j min_j' |w_j(now) - w_j'(before)|, the paper's measure of a move."""
    differences = np.linalg.norm(now[:, None] - before, axis=2)
    return float(np.max(np.min(differences, axis=1)))
