"""Every statement on Zhang et al. 2024: its verdict, its mutants, what it says."""

import pytest

from papers import zhang2024
from papers.ledger import Grade, Verdict
from tests.papers.statement_checks import SEEDS, by_id, holds, tells_what_it_is

STATEMENTS = by_id(zhang2024.STATEMENTS)

#: What fails as printed.
CORRECTED = {
    "zhang2024/eq-31",
    "zhang2024/lemma-25-citation",
    "zhang2024/lemma-26-start",
    "zhang2024/lemma-26-trace",
    "zhang2024/lemma-27-citation",
    "zhang2024/section-4-2-orthogonal-query",
    "zhang2024/section-4-2-prompt",
    "zhang2024/section-4-3-conditional-mean",
    "zhang2024/section-5-1-negative-eigenvalues",
    "zhang2024/theorem-5-finite-error",
}

#: What the paper uses and prints nowhere.
BEYOND = {
    "zhang2024/adam-leaves-the-balance",
    "zhang2024/balance-under-sgd",
    "zhang2024/figure-1-curves",
    "zhang2024/figure-1-dashed-line",
    "zhang2024/mixtures-that-leave",
    "zhang2024/section-5-1-signature",
}

#: What is not proved; the rest is.
GRADES = {
    **dict.fromkeys(
        (f"zhang2024/{name}" for name in ("theorem-5-sampled", "eq-8-sampled", "eq-8-flow")),
        Grade.SAMPLED,
    ),
    "zhang2024/figure-1-curves": Grade.SAMPLED,
    **dict.fromkeys(
        (
            "zhang2024/adam-leaves-the-balance",
            "zhang2024/balance-under-sgd",
            "zhang2024/mixtures-that-leave",
            "zhang2024/trained-exponential",
            "zhang2024/trained-fixed",
        ),
        Grade.TRAINED,
    ),
    **dict.fromkeys(
        (
            *(f"zhang2024/lemma-{name}" for name in ("12", "20", "26-trace", "28")),
            *(f"zhang2024/theorem-{number}" for number in (4, 8)),
            *(f"zhang2024/eq-{number}" for number in (3, 9, 64)),
            *(f"zhang2024/definition-{number}" for number in (1, 2, 7)),
            "zhang2024/lemma-18-start",
            "zhang2024/lemma-27-citation",
            "zhang2024/von-oswald",
            "zhang2024/section-4-2-least-squares",
            "zhang2024/section-4-2-orthogonal-query",
            "zhang2024/section-4-2-prompt",
            "zhang2024/section-4-3-conditional-mean",
            "zhang2024/section-5-1-negative-eigenvalues",
            "zhang2024/section-5-1-spectrum",
        ),
        Grade.CONFIRMED,
    ),
}

NUMBERED = (
    *(f"definition-{number}" for number in (1, 2, 7)),
    *(f"lemma-{number}" for number in (*range(9, 16), *range(17, 22), *range(23, 33))),
    *(f"theorem-{number}" for number in (4, 5, 8)),
    *(f"corollary-{number}" for number in (6, 16, 22)),
)


@pytest.mark.parametrize("name", NUMBERED)
def test_a_numbered_statement_is_there(name):
    assert f"zhang2024/{name}" in STATEMENTS


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_tells_what_it_is(name):
    tells_what_it_is(STATEMENTS[name], "zhang2024")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_holds_and_kills_its_mutants(name, seed):
    verdicts = {Verdict.CORRECTED: CORRECTED, Verdict.BEYOND: BEYOND}
    expected = next((v for v, names in verdicts.items() if name in names), Verdict.HOLDS)
    result = holds(STATEMENTS[name], seed, expected)
    assert result.grade is GRADES.get(name, Grade.PROVED)
