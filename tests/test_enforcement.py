"""Signatures are enforced while tests run: types, shapes, and shapes that belong together."""

from importlib import import_module

import numpy as np
import pytest

from tests.enforcement import enforce_signatures

MODULE = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from jaxtyping import Float
from typing import TypeAlias

Rows: TypeAlias = Float[np.ndarray, "n d"]

def doubled(number: int) -> int:
    return 2 * number

def wrong(number: int) -> int:
    return str(number)

def product(rows: Rows, column: Float[np.ndarray, " d"]) -> Float[np.ndarray, " n"]:
    return rows @ column

def transposed(rows: list[Rows]) -> list[Rows]:
    return [part.T for part in rows]

def mean(rows: Rows) -> Float[np.ndarray, " d"]:
    return rows.mean(axis=1)

@dataclass
class Pair:
    rows: Rows
    number: int

    def plus(self, other: Pair) -> Pair:
        return Pair(self.rows + other.rows, self.number + other.number)

    @property
    def half(self) -> int:
        return self.number / 2

    @classmethod
    def of(cls, number: int) -> Pair:
        return cls(np.zeros((number, 2)), number)
"""


@pytest.fixture(scope="module")
def enforced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("enforced")
    (folder / "signatures_of_the_test.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        enforce_signatures("signatures_of_the_test")
        yield import_module("signatures_of_the_test")


def test_what_fits_is_let_through(enforced):
    rows = np.ones((3, 2))
    assert enforced.doubled(2) == 4
    assert enforced.product(rows, rows[0]).tolist() == [2, 2, 2]
    assert enforced.Pair.of(3).plus(enforced.Pair(rows, 1)).number == 4
    assert enforced.mean(np.ones((2, 2))).tolist() == [1, 1]


REFUSED = {
    "a type": lambda m: m.doubled("2"),
    "the type of a result": lambda m: m.wrong(2),
    "a shape": lambda m: m.product(np.ones(3), np.ones(3)),
    "a dtype": lambda m: m.product(np.ones((3, 2), int), np.ones(2)),
    "shapes that belong together": lambda m: m.product(np.ones((3, 2)), np.ones(3)),
    "the shape of a result": lambda m: m.mean(np.ones((3, 2))),
    "the shape of a part of a result": lambda m: m.transposed([np.ones((3, 2))]),
    "a field's type": lambda m: m.Pair(np.ones((3, 2)), 1.5),
    "a field's shape": lambda m: m.Pair(np.ones(3), 1),
    "a property": lambda m: m.Pair(np.ones((3, 2)), 1).half,
    "the argument of a class method": lambda m: m.Pair.of("3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(enforced, name):
    with pytest.raises(TypeError):
        REFUSED[name](enforced)
