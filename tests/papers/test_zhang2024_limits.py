"""Theorems 4 and 8 and the exact rate: verdicts, surveys, and what breaks them."""

import numpy as np
import pytest

from papers.beyond import exact_rate
from papers.ledger import Verdict
from papers.runner import run_one
from papers.zhang2024 import limits
from papers.zhang2024.drawn_lines import Family, random_line, two_nodes
from papers.zhang2024.limits import FIXED, RANDOM, TOLERANCE
from tests.papers.statement_checks import by_id
from theory.gradient_flow import FlowProblem, FlowState
from theory.laws import Exponential, Gamma, LogNormal, Uniform

THEOREMS = by_id(limits.STATEMENTS)
RATES = by_id(exact_rate.STATEMENTS)


@pytest.mark.parametrize("family", Family)
def test_limits_from_far_below_to_far_above_the_threshold(family):
    """`benchmarks/flow.py --limits` does this on 300 problems each."""
    report = limits.survey(family, 20, np.random.default_rng(3))
    assert report.count == 20
    assert report.worst <= TOLERANCE, report.worst_case


@pytest.mark.parametrize(("family", "claim"), [(Family.FIXED, FIXED), (Family.RANDOM, RANDOM)])
def test_a_limit_1e_8_off_is_seen(family, claim):
    line = random_line(family, 3, 0.5, np.random.default_rng(0))
    off, told = limits.wrong_limit(claim, line)
    assert off <= TOLERANCE
    assert not told
    limit = claim.limit(line)
    beside = FlowState(limit.U, limit.u * (1 + 1e-8))
    assert limits.distance(beside, limit) == pytest.approx(
        1e-8 * limit.u / np.hypot(limit.u, np.linalg.norm(limit.U))
    )


@pytest.mark.parametrize("law", [Exponential(2.0), Gamma(0.5, 3.0), Uniform(0.1, 4), LogNormal()])
def test_two_values_have_three_moments_of_a_law(law):
    nodes = two_nodes(*law.moments)
    for power, moment in enumerate((1.0, *law.moments)):
        assert sum(w * x**power for w, x in nodes) == pytest.approx(float(moment), rel=1e-12)
    assert all(w > 0 and x > 0 for w, x in nodes)


def test_a_library_whose_limit_is_wrong_makes_the_theorems_fall(monkeypatch):
    """The solver's end, not the closed form of the library, is what is judged."""

    class Off:
        converged = True

        def __init__(self, flow):
            self.final = FlowState(flow.final.U, flow.final.u * (1 + 1e-9))

    right = limits.solve_flow_from
    monkeypatch.setattr(limits, "solve_flow_from", lambda *given: Off(right(*given)))
    for statement in limits.STATEMENTS:
        assert run_one(statement, 0).verdict is Verdict.FAILS


def test_a_closed_form_with_a_wrong_exponent_makes_the_theorems_fall(monkeypatch):
    right = FlowProblem.limit

    def wrong(problem, balance=0.0):
        U, u = right(problem, balance)
        return FlowState(U * u / u**1.01, u**1.01)

    monkeypatch.setattr(FlowProblem, "limit", wrong)
    for statement in limits.STATEMENTS:
        result = run_one(statement, 0)
        assert result.verdict is Verdict.FAILS
        assert "the limit is u = " in result.printed.counterexample


def test_a_flow_that_does_not_converge_is_no_limit(monkeypatch):
    right = limits.solve_flow_from
    monkeypatch.setattr(limits, "solve_flow_from", lambda *given: right(*given, horizon=1e-3))
    line = random_line(Family.FIXED, 2, 0.5, np.random.default_rng(0))
    assert limits.wrong_limit(FIXED, line)[0] == np.inf
