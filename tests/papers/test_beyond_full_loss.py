"""The check of beyond/full-loss falls where the library's loss, gradient or Hessian is off."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from papers.beyond.full_loss import FULL_LOSS
from theory.whitened_loss import WhitenedLoss

METHODS: dict[str, Callable[[Any, Any], Any]] = {
    "loss": lambda self, found: found + self.a**2 * float(self.p @ self.V @ self.V @ self.p) / 100,
    "gradient": lambda self, found: found._replace(u12=found.u12 + self.a * self.p / 100),
    # 4.04 a^2 where 4 a^2 is, in the block of second derivatives by u12
    "_vector_blocks": lambda self, found: {
        **found,
        (0, 0): found[0, 0] + 0.04 * self.a**2 * self.V @ self.V,
    },
    "_matrix_blocks": lambda self, found: {**found, (2, 3): found[2, 3] * 1.01},
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", METHODS)
def test_a_mutant_of_the_library_is_noticed(
    method: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(WhitenedLoss, method)
    monkeypatch.setattr(WhitenedLoss, method, lambda self: METHODS[method](self, right(self)))
    evidence = FULL_LOSS.check(FULL_LOSS.printed, np.random.default_rng(seed))
    assert not evidence.holds
    name = {"loss": "loss", "gradient": "gradient"}.get(method, "Hessian")
    assert f"theory.PopulationLoss: its {name} is off by" in evidence.counterexample


@pytest.mark.parametrize("seed", range(5))
def test_the_library_passes(seed: int) -> None:
    evidence = FULL_LOSS.check(FULL_LOSS.printed, np.random.default_rng(seed))
    assert evidence.holds
    assert evidence.measured is not None
    assert evidence.measured < 1e-13
