"""The statements on the risk: verdicts, what breaks them, and that no seed raises a false alarm."""

import numpy as np
import pytest

from papers.beyond import corollary_6_looseness, random_covariance, risk_under_shift
from papers.ledger import Verdict
from papers.runner import run_one
from papers.zhang2024 import (
    corollary_6,
    local_spectrum,
    random_covariance_example,
    shifts,
    theorem_5,
    theorem_5_laws,
)
from papers.zhang2024.theorem_5 import TERMS, printed_terms
from papers.zhang2024.theorem_5_laws import LARGEST_Z, sampled_laws
from tests.papers.statement_checks import SEEDS, by_id, holds, tells_what_it_is
from theory import risk

PRINTED = by_id(
    statement
    for module in (
        theorem_5,
        theorem_5_laws,
        corollary_6,
        shifts,
        random_covariance_example,
        local_spectrum,
    )
    for statement in module.STATEMENTS
)
BEYOND = by_id(
    statement
    for module in (risk_under_shift, random_covariance, corollary_6_looseness)
    for statement in module.STATEMENTS
)
CORRECTED = {
    "zhang2024/theorem-5-finite-error",
    "zhang2024/section-4-2-orthogonal-query",
    "zhang2024/section-4-3-conditional-mean",
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_statement_tells_what_it_is(name):
    tells_what_it_is(PRINTED[name], "zhang2024")


@pytest.mark.parametrize("name", BEYOND)
def test_a_result_of_ours_tells_what_it_is(name):
    tells_what_it_is(BEYOND[name], "beyond")
    assert BEYOND[name].beyond


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", PRINTED | BEYOND)
def test_a_statement_holds_and_kills_its_mutants(name, seed):
    statement = (PRINTED | BEYOND)[name]
    verdict = Verdict.BEYOND if statement.beyond else Verdict.HOLDS
    holds(statement, seed, Verdict.CORRECTED if name in CORRECTED else verdict)


@pytest.mark.parametrize("name", [s.id for s in shifts.STATEMENTS])
def test_the_shifts_depend_on_what_is_there(name):
    assert set(PRINTED[name].depends_on) <= set(PRINTED)


def test_every_term_stands_out_in_one_of_the_sampled_laws():
    """The power that the statement claims: 15 standard errors, where |z| < 5 is asked."""
    rng, seen = np.random.default_rng(3), np.zeros(len(TERMS))
    for law in sampled_laws():
        mean, claimed, z = law.z_score(printed_terms, rng)
        assert abs(z) < LARGEST_Z
        error = abs((mean - claimed) / z)
        terms = [float(term) for term in printed_terms(law._moments())]
        seen = np.maximum(seen, np.array(terms) / error)
    assert np.min(seen) > 15


def broken(patch: pytest.MonkeyPatch, module: object, name: str, field: str) -> None:
    """Make one field of what a function of the library returns 1e-6 too large."""
    right = getattr(risk, name)

    def wrong(*arguments, **keywords):
        found = right(*arguments, **keywords)
        value = getattr(found, field)
        more = (
            tuple(v * (1 + 1e-6) for v in value) if isinstance(value, tuple) else value * 1.000001
        )
        return found._replace(**{field: more})

    patch.setattr(module, name, wrong)


@pytest.mark.parametrize(
    ("module", "name", "field", "fallen"),
    [
        (theorem_5, "linear_risk", "variance", "zhang2024/theorem-5"),
        (corollary_6, "weight_chain", "variance", "zhang2024/noiseless-risk"),
        (corollary_6, "weight_chain", "variance_bound", "zhang2024/noiseless-bound"),
        (corollary_6, "expected_chain", "bias_condition", "zhang2024/corollary-6"),
        (risk_under_shift, "shifted_risk", "bias", "beyond/risk-under-shift"),
        (random_covariance, "random_covariance_risk", "risk", "beyond/exponential-example"),
        (random_covariance, "random_covariance_risk", "limit", "beyond/random-covariance-floor"),
        (
            corollary_6_looseness,
            "expected_chain",
            "bias_first",
            "beyond/corollary-6-condition-step",
        ),
        (
            corollary_6_looseness,
            "expected_chain",
            "bias_uniform",
            "beyond/bias-without-condition-number",
        ),
    ],
)
def test_a_library_that_is_wrong_by_1e_6_makes_its_statement_fall(
    monkeypatch, module, name, field, fallen
):
    broken(monkeypatch, module, name, field)
    assert run_one((PRINTED | BEYOND)[fallen], 0).verdict is Verdict.FAILS
