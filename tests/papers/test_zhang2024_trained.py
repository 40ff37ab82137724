"""The statements on trained layers fall where training, or what is stored of it, is wrong."""

import dataclasses

import numpy as np
import pytest

from papers.ledger import Verdict
from papers.runner import run_one
from papers.zhang2024 import trained
from simulations.runs import Runs
from simulations.store import Store
from simulations.training.tasks import RandomDiagonalTasks

REMEMBERED = (trained._exact, trained._by_sgd, trained._stored)


@pytest.fixture
def forgetful():
    """What was trained and read before does not count, nor does what a test leaves."""
    for function in REMEMBERED:
        function.cache_clear()
    yield
    for function in REMEMBERED:
        function.cache_clear()


@pytest.mark.parametrize("statement", trained.STATEMENTS, ids=lambda s: s.id)
def test_committed_runs_must_be_there(forgetful, monkeypatch, tmp_path, statement):
    monkeypatch.setattr(trained, "laptop_results", lambda: Store(tmp_path))
    result = run_one(statement, 0)
    assert result.verdict is Verdict.CRASHED
    assert "there is no committed run" in result.error
    assert "iclproof runs start zhang2024-trained --label" in result.error


@pytest.mark.parametrize("statement", trained.STATEMENTS, ids=lambda s: s.id)
def test_weights_that_were_put_at_the_limit_by_hand_are_noticed(forgetful, monkeypatch, statement):
    find = Runs.find_any_code

    def forged(self, experiment, config):
        run, limit = find(self, experiment, config), config.tasks.problem.limit()
        arrays = dict(run.arrays) | {
            "projection_value": np.pad([[limit.u]], ((len(limit.U), 0), (len(limit.U), 0))),
            "key_query": np.pad(limit.U, ((0, 1), (0, 1))),
        }
        return dataclasses.replace(run, arrays=arrays)

    monkeypatch.setattr(Runs, "find_any_code", forged)
    result = run_one(statement, 0)
    assert result.verdict is Verdict.CRASHED
    assert "it was altered" in result.error


def test_prompts_without_their_eigenvalues_are_noticed(forgetful, monkeypatch):
    def plain(self, batch_size, rng):
        white = trained.FixedCovarianceTasks(((1.0, 0.0), (0.0, 1.0)), self.prompt_length)
        return white.sample(batch_size, rng)

    monkeypatch.setattr(RandomDiagonalTasks, "sample", plain)
    result = run_one(trained.EXPONENTIAL, 0)
    assert result.verdict is Verdict.FAILS
    assert result.printed.counterexample.startswith("SGD, 300 steps")
