"""Circuits that are not well formed are refused, with all problems at once."""

import numpy as np
import pytest

from constructions.box import Box
from constructions.circuit import Circuit, CircuitError, Prompt
from constructions.passes.validate import validate
from constructions.values import (
    EVERY,
    Affine,
    Attention,
    Fetch,
    Mixture,
    Product,
    Sum,
    Value,
    previous,
    total,
)
from tests.circuits import BUILDERS, NAMES, SMALL

x, y = SMALL.covariate, SMALL.label
EVERYWHERE = Sum(x, EVERY)

WRONG: list[tuple[Value, str]] = [
    (Affine(((x, np.eye(3)),)), r"shape \(3, 3\) maps a value of dimension 2 into dimension 3"),
    (x + Affine(((x, np.full((2, 2), np.nan)),)), "a matrix has entries that are not finite"),
    (Affine(((x, np.eye(2)),), np.zeros(3)), r"the constant has shape \(3,\)"),
    (Affine(((x, np.eye(2)),), np.array([0.0, np.inf])), "the constant .* is not finite"),
    (x + np.ones((2, 1)) @ y, "no column in common .use previous or total"),
    (Product(x, np.ones((1, 2)) @ x), "it multiplies dimensions 2 and 1, expected equal ones"),
    (Product(x, np.ones((2, 1)) @ y), "no column in common"),
    (previous(previous(EVERYWHERE)), "previous needs a value of covariate columns or of label"),
    (total(EVERYWHERE), "a sum needs a value of covariate columns or of label columns"),
    (Fetch(x, 2), "column 2 is fetched, where its source is not defined"),
    (Fetch(y, 8), "column 8 is fetched, where its source is not defined"),
    (Mixture(x, np.eye(3)), r"shape \(3, 3\) are mixed by 2 logits"),
    (Mixture(x, np.array([[np.nan, 1.0]])), "expected a finite matrix"),
    (Attention(x, y, y), "query and key have dimensions 2 and 1"),
    (Attention(x, x, y), "key and value are defined in different columns"),
    (Attention(x, EVERYWHERE, EVERYWHERE), "a key needs a value of covariate columns or of label"),
    (y, "the output is not defined in the columns of covariates"),
    (Prompt(2, 3, Box(1.0, 1.0)).covariate, "a token of another Prompt object than the circuit's"),
]


@pytest.mark.parametrize(("output", "message"), WRONG, ids=[m[:40] for _, m in WRONG])
def test_each_problem_is_named(output: Value, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        validate(Circuit("wrong", SMALL, output))


def test_all_problems_at_once_with_the_names_of_values() -> None:
    bad = Affine(((x, np.full((3, 3), np.inf)),))
    worse = Fetch(y, 3)
    output = Product(bad, Affine(((worse, np.ones((2, 1))),)))
    with pytest.raises(CircuitError) as caught:
        validate(Circuit("wrong", SMALL, output, {"bad": bad, "worse": worse}))
    assert caught.value.problems == [
        "bad: a matrix of shape (3, 3) maps a value of dimension 2 into dimension 3",
        "bad: a matrix has entries that are not finite",
        "worse: column 3 is fetched, where its source is not defined",
        "output: it multiplies dimensions 3 and 2, expected equal ones",
    ]
    assert str(caught.value) == "circuit: " + "; ".join(caught.value.problems)


@pytest.mark.parametrize("name", NAMES)
def test_good_circuits_are_returned_as_they_are(name: str) -> None:
    circuit = BUILDERS[name]().circuit
    assert validate(circuit) is circuit


@pytest.mark.parametrize(("dim", "examples"), [(0, 3), (2, -1)])
def test_prompts_without_columns_are_refused(dim: int, examples: int) -> None:
    with pytest.raises(ValueError, match=f"prompt: dim {dim} and max_examples {examples}"):
        Prompt(dim, examples, Box(1.0, 1.0))
