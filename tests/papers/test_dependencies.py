"""The graph of all statements, over the borders of papers."""

from papers import beyond, pathak2023, zhang2024
from tests.papers.statement_checks import by_id, stands_on_statements_without_a_cycle


def test_dependencies_exist_and_have_no_cycle():
    papers = (pathak2023, zhang2024, beyond)
    stands_on_statements_without_a_cycle(by_id(s for paper in papers for s in paper.STATEMENTS))
