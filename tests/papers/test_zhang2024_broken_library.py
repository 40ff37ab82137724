"""The library, broken on purpose, and the statements on its layer and its training that fall."""

from dataclasses import replace

import numpy as np
import pytest

from papers.runner import run_one
from papers.zhang2024 import (
    definitions,
    layer,
    one_step,
    random_covariance_limit,
    trained_prediction,
    training_loss,
)
from theory import linear_attention
from theory.gradient_flow import FlowProblem
from theory.linear_attention import LinearAttention
from theory.population_loss import PopulationLoss
from theory.whitened_loss import LayerBlocks

MODULES = (
    definitions,
    layer,
    one_step,
    random_covariance_limit,
    trained_prediction,
    training_loss,
)

#: They take seconds where types are checked, and see none of these breakages but the first.
SLOW = {f"zhang2024/{name}" for name in ("definition-2", "eq-8", "eq-8-flow")}


def rho_off_by_one(patch):
    patch.setattr(linear_attention, "_gram", lambda E: E @ E.transpose(0, 2, 1) / E.shape[2])


def prediction_off(patch):
    right = LinearAttention.predict
    patch.setattr(LinearAttention, "predict", lambda self, prompts: 1.001 * right(self, prompts))


def limit_off(patch):
    right = FlowProblem.limit

    def wrong(self, balance=0.0):
        U, u = right(self, balance)
        return type(right(self))(U * (1 + 1e-4), u)

    patch.setattr(FlowProblem, "limit", wrong)


def gradient_off(patch):
    right = PopulationLoss.gradient

    def wrong(self, *blocks):
        return LayerBlocks(*(0.98 * np.asarray(part) for part in right(self, *blocks)))

    patch.setattr(PopulationLoss, "gradient", wrong)


def loss_off(patch):
    right = PopulationLoss.__call__
    patch.setattr(PopulationLoss, "__call__", lambda self, *blocks: 1.3 * right(self, *blocks))


def nothing(patch):
    pass


BREAKAGES = {
    nothing: set(),
    rho_off_by_one: {"eq-3", "eq-6"},
    prediction_off: {"eq-3", "eq-6", "eq-12", "von-oswald"},
    limit_off: {"definition-1", "eq-12", "eq-23", "von-oswald"},
    gradient_off: {"eq-9"},
    loss_off: {"definition-1", "definition-7", "eq-8-sampled"},
}


@pytest.mark.parametrize("broken", BREAKAGES, ids=lambda broken: broken.__name__)
def test_exactly_the_statements_that_should_fall_do(monkeypatch, broken):
    broken(monkeypatch)
    # One mutant each: what counts here is whether the statement itself still passes.
    statements = [
        replace(s, mutants=dict([*s.mutants.items()][-1:]))
        for module in MODULES
        for s in module.STATEMENTS
        if s.id not in SLOW
    ]
    results = [run_one(s, 0) for s in statements]
    fallen = {r.statement.id.removeprefix("zhang2024/") for r in results if not r.verdict.passes}
    assert fallen == BREAKAGES[broken]
