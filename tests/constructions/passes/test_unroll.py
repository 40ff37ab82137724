"""Sums become heads; sums that would mean something else are refused."""

import numpy as np
import pytest

from constructions.circuit import Circuit, CircuitError
from constructions.compiled_circuit import CompiledCircuit
from constructions.passes.unroll import unroll
from constructions.values import (
    COVARIATES,
    EVERY,
    LABELS,
    Fetch,
    Sum,
    Value,
    previous,
    softmax,
    total,
)
from tests.circuits import BUILDERS, SMALL

x, y = SMALL.covariate, SMALL.label
carried = previous(x)
VANISHES = "terms do not vanish at x = 0, y = 0 cannot be unrolled"

REFUSED: list[tuple[Value, str]] = [
    (total(y + 1.0), VANISHES),
    (total(0.0 * y + 2.0), VANISHES),
    (total(softmax(carried)), VANISHES),
    (total((carried + 1.0) * (carried - 1.0)), VANISHES),
    (total(Sum(x, LABELS)), "a sum into columns of labels cannot be unrolled"),
    (Sum(x, EVERY), "a sum into columns of labels cannot be unrolled"),
    (total(previous(previous(y))), "a sum over more than single examples cannot be unrolled"),
    (total(previous(y)), "a sum over more than single examples cannot be unrolled"),
    (total(total(y)), "a sum over Fetch cannot be unrolled"),
    (total(Fetch(y, 2)), "a sum over Fetch cannot be unrolled"),
]


@pytest.mark.parametrize(("output", "message"), REFUSED)
def test_sums_that_would_mean_something_else(output: Value, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        unroll(Circuit("refused", SMALL, output))


def test_a_head_for_every_token_of_an_example() -> None:
    circuit = Circuit("loss", SMALL, total((carried[:1] - y) * (carried[:1] - y)))
    fetched = [v for v in unroll(circuit).values() if isinstance(v, Fetch)]
    assert sorted(v.column for v in fetched) == [1, 2, 3, 4, 5, 6]
    assert all(v.columns == COVARIATES for v in fetched)


def test_the_last_covariate_is_no_one_s_example() -> None:
    fetched = [v for v in unroll(Circuit("sum", SMALL, total(x))).values() if isinstance(v, Fetch)]
    assert sorted(v.column for v in fetched) == [1, 3, 5]


@pytest.mark.parametrize(
    ("name", "deep", "wide"),
    [
        ("posterior mean d3-m3-k4-sigma0.7", [1, 1, 1], [8, 1]),
        ("gradient descent d1 T1", [1, 1], [4, 0]),
        ("nadaraya-watson d3", [1, 1], [1, 1]),
    ],
)
def test_heads_for_depth(name: str, deep: list[int], wide: list[int]) -> None:
    circuit = BUILDERS[name]().circuit
    for wanted, unrolled in ((deep, False), (wide, True)):
        model = CompiledCircuit(circuit, wide=unrolled)
        assert [len(layer.attended) for layer in model.schedule] == wanted


def test_sums_without_a_summand_stay() -> None:
    """No examples, no label columns: the sum is 0."""
    prompt = type(SMALL)(2, 0, SMALL.box)
    circuit = Circuit("nothing", prompt, total(prompt.label) + prompt.covariate[:1])
    tokens = np.array([[[0.5], [1.0]]])
    found = CompiledCircuit(circuit, wide=True).run_tokens(tokens)
    np.testing.assert_allclose(found, [[[0.5]]], atol=1e-15)
