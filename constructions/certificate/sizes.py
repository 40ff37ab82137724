"""How large the values of a circuit are: anywhere in the box, or at one prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from constructions.circuit import Circuit
from constructions.evaluate import Evaluation, columns_of
from constructions.passes.ranges import Ranges
from constructions.values import LABELS, Affine, Value

Vector = Float[np.ndarray, " n"]

#: Evaluations in float64 are widened by this part of a value's range, far above their rounding.
WIDENING = 1e-9


@runtime_checkable
class Sizes(Protocol):
    """Bounds on exact values, over all the prompts and columns that a certificate is for."""

    def bound(self, value: Value) -> Vector:
        """Return sup |value| (dim,)."""
        ...

    def count(self, value: Value) -> int:
        """Return how many columns a sum over the columns of a value has at most."""
        ...

    def spread(self, forms: Float[np.ndarray, "n d"], token: Value) -> float:
        """Return sup over prompts of max_{s,t} |<c_s - c_t, token>| for the rows c of ``forms``."""
        ...

    def sum_of_squares(self, factors: Sequence[Value]) -> Vector:
        """Return sup of sum over columns and factors of factor^2 (dim,)."""
        ...

    def least_score(self, score: Value, rates: Vector, factors: Sequence[Value]) -> float:
        """Return sup over prompts of min_t (L_t + ln 1/pi_t).

        L_t = rates_t * sum over columns and factors of factor_t^2, and the logits are
        -L + constant, the constant being that of ``score``, an affine map.
        """
        ...


@dataclass(frozen=True)
class BoxSizes:
    """Sizes over the whole box.

    Parameters
    ----------
    ranges
        The ranges that the compiler has inferred.
    explained
        If not None: only prompts of which some component's score L_t is at most this.
    """

    ranges: Ranges
    explained: float | None = None

    def bound(self, value: Value) -> Vector:
        """Return the bound that the ranges give (dim,)."""
        return self.ranges[value].bound

    def count(self, value: Value) -> int:
        """Return how many columns the longest prompt has for the value."""
        return len(value.columns.of(self.ranges.circuit.prompt.max_examples))

    def spread(self, forms: Float[np.ndarray, "n d"], token: Value) -> float:
        """Return the largest difference of two forms anywhere in the box."""
        bound = self.ranges[token].bound
        worst = 0.0
        for t in range(1, len(forms)):
            differences = forms[:t] - forms[t]
            reach = np.abs(differences) @ bound
            if token is self.ranges.circuit.prompt.covariate:
                reach = np.minimum(reach, self.ranges.circuit.prompt.box.images(differences))
            worst = max(worst, float(reach.max()))
        return worst

    def sum_of_squares(self, factors: Sequence[Value]) -> Vector:
        """Return the sum with every factor at its bound (dim,)."""
        total: Vector = np.sum([self.bound(f) ** 2 * self._repeats(f) for f in factors], axis=0)
        return total

    def least_score(self, score: Value, rates: Vector, factors: Sequence[Value]) -> float:
        """Return the smallest of the largest scores, or what an explained prompt allows."""
        penalty = _penalties(score)
        if self.explained is not None:
            return float(self.explained + penalty.max())
        return float((rates * self.sum_of_squares(factors) + penalty).min())

    def _repeats(self, factor: Value) -> int:
        """A factor in label columns is summed over them; one at the query stands alone."""
        return self.count(factor) if factor.columns == LABELS else 1


class PromptSizes:
    """Sizes at one prompt, from an evaluation in float64 widened beyond its rounding.

    Parameters
    ----------
    ranges
        The ranges of the box.
    circuit
        The folded circuit.
    tokens
        The prompt (1, d, q).
    """

    def __init__(
        self, ranges: Ranges, circuit: Circuit, tokens: Float[np.ndarray, "1 d q"]
    ) -> None:
        self.box = BoxSizes(ranges)
        self._run = Evaluation(circuit, tokens)
        self._q = tokens.shape[2]

    def bound(self, value: Value) -> Vector:
        """Return the largest magnitudes at the prompt (dim,)."""
        seen: Vector = self._widened(value).max(axis=1, initial=0.0)
        smaller: Vector = np.minimum(seen, self.box.bound(value))
        return smaller

    def count(self, value: Value) -> int:
        """Return how many columns the prompt has for the value."""
        return len(columns_of(value.columns, self._q))

    def spread(self, forms: Float[np.ndarray, "n d"], token: Value) -> float:
        """Return the largest difference of two forms at the tokens of the prompt."""
        images = forms @ self._run[token][0][:, columns_of(token.columns, self._q)]
        slack = WIDENING * float(self.box.bound(token) @ np.abs(forms).max(axis=0))
        return float(np.ptp(images, axis=0).max()) + slack

    def sum_of_squares(self, factors: Sequence[Value]) -> Vector:
        """Return the sum at the prompt (dim,)."""
        # At the query, a fetched factor is the same in every later column: its largest counts.
        parts = [
            (self._widened(f) ** 2).sum(axis=1) if f.columns == LABELS else self.bound(f) ** 2
            for f in factors
        ]
        total: Vector = np.sum(parts, axis=0)
        return total

    def least_score(self, score: Value, rates: Vector, factors: Sequence[Value]) -> float:
        """Return the smallest score at the prompt, with its prior."""
        return float((rates * self.sum_of_squares(factors) + _penalties(score)).min())

    def _widened(self, value: Value) -> Float[np.ndarray, "dim columns"]:
        held = np.abs(self._run[value][0])
        wide: Float[np.ndarray, "dim columns"] = (held + WIDENING * self.box.bound(value)[:, None])[
            :, columns_of(value.columns, self._q)
        ]
        return wide


def _penalties(score: Value) -> Vector:
    """Ln 1/pi_t from the constant of the logits; without one the prior is uniform."""
    bias = score.bias if isinstance(score, Affine) else np.zeros(score.dim)
    log_total = float(np.log(np.exp(bias - bias.max()).sum()) + bias.max())
    return log_total - bias
