"""The examples of docs/moments.md run as written, and the page says what is true."""

import importlib
import re

from tests.test_readme import ROOT, blocks, run_together
from theory.moments.algebra import matrix, symmetric, vector
from theory.moments.coordinate import CoordinateMoments
from theory.moments.expression import Expression
from theory.moments.wick import expectation

PAGE = (ROOT / "docs" / "moments.md").read_text()


def test_the_examples_run_one_after_the_other(tmp_path):
    found = blocks(PAGE, "python")
    assert len(found) == 6
    run_together(found, tmp_path)


def test_the_numbers_of_terms_are_those_of_the_table():
    x, A, C = vector("x"), matrix("A"), symmetric("C")
    different = Expression.constant(1)
    for k in range(5):
        different = different * (x @ matrix(f"A{k}") @ x)
    counted = {"(x'Cx)^8": (x @ C @ x) ** 8, "(x'Ax)^8": (x @ A @ x) ** 8}
    counted["x'A_1x ... x'A_5x"] = different
    for name, expression in counted.items():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
        assert int(row.split("|")[3]) == len(expectation(expression, {"x": C}))


def test_the_numbers_of_terms_in_coordinates_are_those_of_the_page():
    printed = re.search(r"has (\d+), (\d+), (\d+) and 2426 terms", PAGE)
    assert printed is not None
    for dim, terms in enumerate(map(int, printed.groups()), 1):
        moments = CoordinateMoments(dim)
        assert len(moments.population_loss(moments.task_factor, moments.noise_std)) == terms


def test_every_statement_and_module_that_is_named_exists():
    assert set(re.findall(r"`iclproof verify ([a-z0-9/-]+)`", PAGE)) == {"beyond/full-loss"}
    full_loss = importlib.import_module("papers.beyond.full_loss")
    assert "beyond/full-loss" in {statement.id for statement in full_loss.STATEMENTS}
    for path in set(re.findall(r"`(theory(?:\.\w+)+)`", PAGE)):
        importlib.import_module(path)
