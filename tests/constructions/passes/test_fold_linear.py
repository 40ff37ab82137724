"""What folding saves, and that it never changes where a value is defined."""

import numpy as np
import pytest

from constructions.circuit import Circuit
from constructions.passes.fold_linear import WIRES, fold_linear
from constructions.values import (
    EVERY,
    Affine,
    Attention,
    Fetch,
    Mixture,
    Previous,
    ProductSum,
    Sum,
    Value,
    previous,
    softmax,
    total,
)
from tests.circuits import SMALL, tokens_in_box
from tests.constructions.loops import Meaning

x, y = SMALL.covariate, SMALL.label
W = np.array([[1.0, -2.0], [0.5, 1.5], [-1.0, 0.25]])


def folded(output: Value) -> Circuit:
    return fold_linear(Circuit("example", SMALL, output))


def wires(output: Value) -> list[tuple[str, int]]:
    """Kind and dimension of all wires but tokens."""
    found = [v for v in folded(output).values() if isinstance(v, WIRES) and v not in (x, y)]
    return [(type(v).__name__, v.dim) for v in found]


def agrees(output: Value) -> None:
    for prompt in tokens_in_box(SMALL, 3):
        wanted = Meaning(Circuit("example", SMALL, output), prompt).matrix(output)
        found = Meaning(folded(output), prompt)
        np.testing.assert_allclose(
            found.matrix(found.circuit.output), wanted, rtol=1e-13, atol=1e-13
        )


CASES: list[tuple[str, Value, list[tuple[str, int]]]] = [
    ("affine maps of affine maps", 2.0 * (W @ (x + 1.0) - 3.0), []),
    ("a matrix moves into attention", W @ previous(y - 1.0).__rmatmul__(np.ones((2, 1))), [
        ("Previous", 3)]),
    ("into a sum", W @ Sum(x), [("Sum", 3)]),
    ("into a mixture", W.T @ softmax(W @ x), [("Mixture", 2)]),
    ("into a fetched value that it makes smaller", np.ones((1, 2)) @ Fetch(x, 1), [("Fetch", 1)]),
    ("not into one that it makes larger", W @ Fetch(x, 1), [("Fetch", 2)]),
    ("not where there are two readers", (W @ Sum(x)) * (2.0 * (W @ Sum(x)) + 1.0), [
        ("Sum", 3), ("Sum", 3), ("ProductSum", 3)]),
    ("a bilinear form takes as few products as its smaller side",
     np.ones((1, 3)) @ ((W @ x) * (W @ Sum(x))), [("Sum", 2), ("ProductSum", 1)]),
    ("products are summed into one wire",
     np.ones((1, 2)) @ (x * x) + np.ones((1, 2)) @ (x * Sum(x)), [("Sum", 2), ("ProductSum", 1)]),
]  # fmt: skip


@pytest.mark.parametrize(("output", "kinds"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_is_left(output: Value, kinds: list[tuple[str, int]]) -> None:
    assert wires(output) == kinds
    agrees(output)


def test_a_form_takes_two_products_for_three() -> None:
    """sum_t (W x)_t (W s)_t over three t is <x, W'W s>: two products."""
    circuit = folded(np.ones((1, 3)) @ ((W @ x) * (W @ Sum(x))))
    (form,) = [v for v in circuit.values() if isinstance(v, ProductSum)]
    ((_, left, right),) = form.terms
    assert left.dim == right.dim == 2


@pytest.mark.parametrize("gone", [0.0 * x, x - x, W.T @ (0.0 * (W @ x))])
def test_a_term_that_adds_nothing_still_says_where_a_value_is_defined(gone: Value) -> None:
    """Without it the sum would be over all columns, and `previous` would be undefined."""
    running = Sum(x * x, EVERY) + gone
    agrees(total(running))
    agrees(total(previous(running)))
    assert not (folded(total(running)).output.columns.kinds - x.columns.kinds)


def test_values_in_one_another_s_operands() -> None:
    carried = previous(x)
    keys = carried * carried
    near = Attention(x + 1.0, W.T @ (W @ keys), W @ (carried - np.ones((2, 1)) @ y))
    agrees(near)
    agrees(Mixture(near, np.array([[1.0, 2.0, 3.0]])) * near[:1])
    assert Previous in {type(v) for v in folded(near).values()}


def test_a_constant_is_an_affine_map_of_something() -> None:
    circuit = folded(0.0 * x + 2.0)
    assert isinstance(circuit.output, Affine)
    agrees(0.0 * x + 2.0)
