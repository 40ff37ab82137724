"""The statements on the risk: what breaks them, and that no seed raises a false alarm."""

import numpy as np
import pytest
from scipy import stats

from papers.beyond import corollary_6_looseness, random_covariance, risk_under_shift, uniform_bias
from papers.false_alarms import sampled_level
from papers.ledger import Fault, Verdict
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
from papers.zhang2024.theorem_5_laws import LARGEST_Z, largest_sum, sampled_laws
from tests.papers.statement_checks import by_id
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
    for module in (risk_under_shift, random_covariance, corollary_6_looseness, uniform_bias)
    for statement in module.STATEMENTS
)


@pytest.mark.parametrize("name", [s.id for s in shifts.STATEMENTS])
def test_the_shifts_depend_on_what_is_there(name):
    assert set(PRINTED[name].depends_on) <= set(PRINTED)


def test_every_term_stands_out_in_one_of_the_sampled_laws():
    """The power that the statement claims: 15 standard errors, where |z| < LARGEST_Z is asked."""
    rng, seen = np.random.default_rng(3), np.zeros(len(TERMS))
    for law in sampled_laws():
        mean, claimed, z = law.z_score(printed_terms, rng)
        assert abs(z) < LARGEST_Z
        error = abs((mean - claimed) / z)
        terms = [float(term) for term in printed_terms(law._moments())]
        seen = np.maximum(seen, np.array(terms) / error)
    assert np.min(seen) > 15
    # 15 standard errors in one law, less those of chance, are more than all six are allowed.
    assert largest_sum(6) < (15 - LARGEST_Z) ** 2


def test_the_sum_over_the_laws_is_as_improbable_as_a_sampled_check_may_be():
    alarm = sampled_level()
    assert 2 * stats.norm.sf(LARGEST_Z) == pytest.approx(alarm, rel=1e-9)
    for laws in (1, 6):
        assert stats.chi2.sf(largest_sum(laws), laws) == pytest.approx(alarm, rel=1e-9)
    assert largest_sum(1) == pytest.approx(LARGEST_Z**2)


def test_an_orthogonal_query_is_answered_after_the_longest_training_too():
    result = run_one(PRINTED["zhang2024/section-4-2-orthogonal-query"], 0)
    told = result.printed.counterexample
    assert "Lambda = diag(1, 2), N = 1, " in told
    assert (
        "N = infinity, Gamma = diag(1, 2), x_1 = (1, 1), x_query = (1, -1):"
        " yhat = (1/2) w_1 + (1/2) w_2"
    ) in told


def test_the_third_of_section_4_3_is_a_matter_of_reading():
    correction = PRINTED["zhang2024/section-4-3-conditional-mean"].correction
    assert correction.fault is Fault.AMBIGUOUS


@pytest.mark.parametrize("d", [2, 3, 10])
def test_what_the_condition_number_loses_against_spectra_drawn_at_random(d):
    """The range of the product, by spectra that the statement does not try."""
    claim = BEYOND["beyond/corollary-6-condition-step"].printed
    rng = np.random.default_rng(d)
    for kappa in (1.5, 100.0, 1e6):
        drawn = kappa ** rng.uniform(0, 1, (500, d))
        drawn[:, 0], drawn[:, 1] = 1, kappa
        products = drawn.sum(axis=1) * (1 / drawn).sum(axis=1)
        assert claim.smallest(d, kappa**0.5) <= np.min(products) * (1 + 1e-12)
        assert np.max(products) <= claim.largest(d // 2, d % 2, kappa) * (1 + 1e-12)
        assert np.max(d**2 * kappa / products) < claim.worst(d)


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
            uniform_bias,
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
