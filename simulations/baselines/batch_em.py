"""Batch EM for a mixture of regressions of which each prompt, or group, has one component."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from simulations.baselines.arguments import (
    ParameterProblems,
    Prompts,
    require_data,
    require_dim,
)
from simulations.baselines.fitted_mixture import FittedMixture
from simulations.baselines.starts import Start, begin, check_start, random_start
from theory import RegressionMixture
from theory.em import Expectation, PromptStatistics, expectation_step, maximisation_step
from theory.grouped_examples import GroupedExamples
from theory.validation import Problems

__all__ = ["BatchEM", "ConvergenceWarning"]

#: Of the size of the labels: less than this is taken for no noise.
_ROUNDING = 1e-12


class ConvergenceWarning(UserWarning):
    """A fit ended at `max_iter`, before its stopping rule was met."""


class _Run(NamedTuple):
    """One run of EM."""

    mixture: RegressionMixture
    log_likelihoods: list[float]
    last_move: float
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
        sigma that is estimated may not move by more either. Who gives `tol` = 0 wants `max_iter`
        iterations, and is not warned of them.
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
        TypeError
            If the prompts are none of these.

        Warns
        -----
        ConvergenceWarning
            If the kept run ends at `max_iter` and `tol` > 0; `converged_` is False then.
        """
        self._check()
        require_data("BatchEM.fit", prompts, get_args(Prompts))
        statistics = _statistics(prompts)
        noise_std = _first_noise_std(statistics) if self.noise_std is None else self.noise_std
        rng = np.random.default_rng(self.random_state)
        starts = [
            begin(self.start, statistics, self.n_components, noise_std, rng)
            for _ in range(self.n_init)
        ]
        runs = [self._run(statistics, start, number) for number, start in enumerate(starts)]
        best = max(runs, key=lambda run: run.log_likelihoods[-1])
        self.mixture_ = best.mixture
        self.log_likelihoods_ = np.array(best.log_likelihoods)
        self.n_iter_ = len(best.log_likelihoods) - 1
        self.converged_ = best.converged
        self.n_features_in_ = statistics.dim
        self.runs_ = np.array([run.log_likelihoods[-1] for run in runs])
        if not best.converged and self.tol > 0:
            warnings.warn(
                f"BatchEM stopped at max_iter = {self.max_iter} before its rule was met: the last"
                f" iteration moved by {best.last_move:.2g}, and tol is {self.tol:g}; raise"
                " max_iter, or tol if that is near enough (0 asks for max_iter iterations)",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def responsibilities(self, prompts: Prompts) -> Float[np.ndarray, "n m"]:
        """Return the posterior weight of each component for each prompt or group."""
        return self._expectation("responsibilities", prompts).responsibilities

    def score(self, prompts: Prompts) -> float:
        """Return the mean log-likelihood of the labels of a prompt or group."""
        return self._expectation("score", prompts).log_likelihood / len(prompts)

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
        log_likelihood = self._expectation("bic", prompts).log_likelihood
        mixture = self._fitted()
        free = mixture.components.size + mixture.num_components - 1 + (self.noise_std is None)
        return -2 * log_likelihood + free * float(np.log(len(prompts)))

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
            If the arrays are not as above, or the names of one are integers and of the other text.
        TypeError
            If `given` is no table.
        """
        where = "BatchEM.predict_rows"
        mixture = self._asked("predict_rows", given, (GroupedExamples,))
        new = _unlabelled(where, xs, groups)
        require_dim(where, "rows", new.dim, mixture.dim)
        _check_names(where, new, given)
        known = np.isin(new.names, given.names)
        posterior = np.tile(mixture.weights, (len(new), 1))
        rows = np.searchsorted(given.names, new.names[known])
        posterior[known] = self.responsibilities(given)[rows]
        images = new.xs @ mixture.components.T
        return np.asarray(np.sum(posterior[new.codes] * images, axis=1))

    def _expectation(self, method: str, prompts: Prompts) -> Expectation:
        mixture = self._asked(method, prompts, get_args(Prompts))
        return expectation_step(_statistics(prompts), mixture)

    def _run(self, statistics: PromptStatistics, mixture: RegressionMixture, number: int) -> _Run:
        trace: list[float] = []
        moved, converged = np.inf, False
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
            moved = max(moved, abs(mixture.noise_std - before.noise_std))
            if converged := moved <= self.tol:
                break
        trace.append(expectation_step(statistics, mixture).log_likelihood)
        return _Run(mixture, trace, moved, converged)

    def _check(self) -> None:
        problems = ParameterProblems(self)
        problems.check_count("n_components", 1)
        if self.noise_std is not None:
            problems.check_number("noise_std", 0.0, strict=True)
        problems.check_random_state()
        check_start(self.start, problems)
        problems.check_count("n_init", 1)
        problems.check_count("max_iter", 1)
        problems.check_number("tol", 0.0, strict=False)
        problems.check_callback("on_iteration")
        problems.raise_if_any()


def _statistics(prompts: Prompts) -> PromptStatistics:
    return prompts if isinstance(prompts, PromptStatistics) else PromptStatistics(prompts)


def _unlabelled(where: str, xs: npt.ArrayLike, groups: npt.ArrayLike) -> GroupedExamples:
    """Return rows in groups, with labels 0."""
    problems = Problems(where)
    rows = problems.array("xs", xs, ("rows", "d"))
    problems.raise_if_any()
    assert rows is not None
    return GroupedExamples(rows, np.zeros(len(rows)), groups)


def _check_names(where: str, new: GroupedExamples, given: GroupedExamples) -> None:
    """Refuse 7 for the group "7" of a file: it would be taken for a group without rows."""
    asked, known = new.names[:1].tolist()[0], given.names[:1].tolist()[0]
    if type(asked) is not type(known):
        raise ValueError(
            f"{where}: groups are named like {asked!r} ({type(asked).__name__}), and those given"
            f" like {known!r} ({type(known).__name__}); expected names of one type: convert one of"
            " them (names from CSV are text)"
        )


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
