"""How large rows may get in columns where what they hold means nothing.

A wire is defined in some kinds of columns, but its row exists in all of them: a token row holds
labels between the covariates, and a product is formed of whatever stands in its column. No one
reads that, but the logits that attention must suppress are made of it.
"""

import numpy as np
from jaxtyping import Float

from constructions.circuit import Circuit, CircuitError
from constructions.passes.allocate import Allocation
from constructions.passes.ranges import Ranges
from constructions.values import Affine, ProductSum, Token, Value

#: sum_i |c_i| s_i^2 sqrt(2/pi) of a square gadget, which bounds it by this times t^2 for every t:
#: the Lebesgue constant of Chebyshev's nodes, below (2/pi) ln n + 1.
GADGET_GROWTH = 4.0

#: Rows that may grow larger than this cannot be told apart by logits.
LARGEST_REACH = 1e140


class Reach:
    """The largest magnitude of every row in any column of the prompt or before it.

    Parameters
    ----------
    circuit, ranges, allocation
        What the passes before have made.
    gated
        Whether attention brings exactly 0 to columns that a wire is not meant for.
    """

    def __init__(
        self, circuit: Circuit, ranges: Ranges, allocation: Allocation, *, gated: bool
    ) -> None:
        self._allocation = allocation
        box, most = circuit.prompt.box, circuit.prompt.max_examples + 1
        self._rows = np.zeros(len(allocation.rows))
        self._rows[: circuit.prompt.dim] = max(box.covariate, box.label)
        for wire in circuit.values():
            if isinstance(wire, Affine | Token):
                continue
            bound = ranges[wire].bound
            if isinstance(wire, ProductSum):
                bound = self._product(wire, ranges)
            elif not gated:
                # An average of anything, times what `Sum` undoes.
                bound = np.maximum(bound, (most + 1) * self._rows.max())
            rows = allocation[wire]
            held = np.maximum(self._rows[rows], bound)
            self._rows[rows] = np.minimum(held, LARGEST_REACH)

    def of(self, operand: Value) -> Float[np.ndarray, " dim"]:
        """Return the largest magnitudes of an operand in any column.

        Raises
        ------
        CircuitError
            If they are too large for a logit.
        """
        bound = self._of(operand)
        if bound.max() >= LARGEST_REACH:
            raise CircuitError(
                [
                    f"logits of up to {bound.max():.1e} in columns where they mean nothing cannot "
                    "be suppressed; use fewer products in a row, or a smaller box"
                ]
            )
        return bound

    def _of(self, operand: Value) -> Float[np.ndarray, " dim"]:
        if not isinstance(operand, Affine):
            rows: Float[np.ndarray, " dim"] = self._rows[self._allocation[operand]]
            return rows
        bound: Float[np.ndarray, " dim"] = np.abs(operand.bias)
        for source, matrix in operand.terms:
            bound = bound + np.abs(matrix) @ self._rows[self._allocation[source]]
        return bound

    def _product(self, wire: ProductSum, ranges: Ranges) -> Float[np.ndarray, " dim"]:
        """A product of factors beyond their bounds X and Y is a difference of such squares."""
        bound = np.zeros(wire.dim)
        for matrix, left, right in wire.terms:
            X, Y = ranges[left].bound, ranges[right].bound
            safe = np.where((X > 0) & (Y > 0), X, 1), np.where((X > 0) & (Y > 0), Y, 1)
            with np.errstate(over="ignore"):
                ratios = (self._of(left) / safe[0]) ** 2 + (self._of(right) / safe[1]) ** 2
                products = GADGET_GROWTH * X * Y * np.maximum(ratios, 2) / 2
            bound = bound + np.abs(matrix) @ np.minimum(products, LARGEST_REACH)
        return bound
