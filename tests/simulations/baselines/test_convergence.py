"""BatchEM says when it stops before its rule is met, and only then."""

import warnings

import numpy as np
import pytest

from simulations.baselines import BatchEM, ConvergenceWarning
from theory import RegressionMixture
from theory.em import PromptStatistics

TRUTH = RegressionMixture.random(3, 4, 1.5, np.random.default_rng(0))
HELD = PromptStatistics(TRUTH.sample_prompts(100, 4, np.random.default_rng(1)))


def silent_fit(**parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return BatchEM(**{"n_components": 3, "noise_std": 1.5} | parameters).fit(HELD)


@pytest.mark.parametrize("noise_std", [1.5, None])
def test_an_early_end_is_told(noise_std):
    em = BatchEM(3, noise_std, max_iter=3)
    with pytest.warns(ConvergenceWarning, match=r"stopped at max_iter = 3 .*tol is 0\.001") as told:
        em.fit(HELD)
    assert len(told) == 1
    assert not em.converged_
    assert em.n_iter_ == 3
    before = silent_fit(noise_std=noise_std, max_iter=2, tol=0.0)
    moves = np.linalg.norm(em.components_[:, None] - before.components_, axis=2)
    moved = max(moves.min(axis=1).max(), abs(em.noise_std_ - before.noise_std_))
    assert f"moved by {moved:.2g}, and" in str(told[0].message)


def test_a_rule_that_is_met_is_not_told_even_in_the_last_iteration():
    em = silent_fit()
    assert em.converged_
    assert silent_fit(max_iter=em.n_iter_).converged_
    with pytest.warns(ConvergenceWarning):
        BatchEM(3, 1.5, max_iter=em.n_iter_ - 1).fit(HELD)


def test_without_a_rule_nothing_is_told():
    em = silent_fit(max_iter=3, tol=0.0)
    assert (em.n_iter_, em.converged_) == (3, False)


def test_only_the_run_that_is_kept_counts():
    done = silent_fit(start=lambda *_: TRUTH).mixture_
    away = RegressionMixture.random(3, 4, 1.5, np.random.default_rng(5))
    with pytest.warns(ConvergenceWarning):
        alone = BatchEM(3, 1.5, start=lambda *_: away, max_iter=1).fit(HELD)
    both = iter([done, away])
    em = silent_fit(start=lambda *_: next(both), n_init=2, max_iter=1)
    assert em.converged_
    assert em.runs_[0] > em.runs_[1] == alone.log_likelihoods_[-1]
