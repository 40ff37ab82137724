from dataclasses import replace

import pytest

from papers import pathak2023
from papers.ledger import Statement
from papers.pathak2023 import (
    bayes_rule,
    experiments_figure_2,
    experiments_limits,
    experiments_shifts,
    figure_1,
    figure_1_operations,
    generative_model,
    program_lines,
    section_3,
    theorem_1,
    three_layers,
)
from papers.runner import run
from tests.papers.breakages import BREAKAGES

#: Statements on curves, laws and formulas: they see no network, and take their time.
ON_THEORY = {
    statement.id
    for module in (
        bayes_rule,
        experiments_figure_2,
        experiments_limits,
        experiments_shifts,
        figure_1,
        figure_1_operations,
        generative_model,
        section_3,
    )
    for statement in module.STATEMENTS
}
BREAK_THEORY = ("nothing", "oracle off by 1e-6")


@pytest.mark.slow
@pytest.mark.parametrize("name", BREAKAGES)
def test_exactly_the_statements_that_should_fall_do(monkeypatch, name):
    broken, expected = BREAKAGES[name]
    monkeypatch.setattr(theorem_1, "SIZES", [(2, 5, 10, 0.3)])
    limits = {(2, 5, 10, 0.3): 5e-12}
    monkeypatch.setattr(three_layers, "LIMITS", {3: limits, 2: limits})
    monkeypatch.setattr(program_lines, "SIZES", [(1, 1, 1), (2, 1, 2)])
    broken(monkeypatch)
    # One mutant each: what counts here is whether the statement itself still passes.
    statements = [
        replace(s, mutants=dict([*s.mutants.items()][-1:]))
        for s in pathak2023.STATEMENTS
        if isinstance(s, Statement) and (name in BREAK_THEORY or s.id not in ON_THEORY)
    ]
    results = run(statements, 0)
    fallen = {r.statement.id.removeprefix("pathak2023/") for r in results if not r.verdict.passes}
    assert fallen == expected
