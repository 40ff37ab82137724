"""Checks of input that gather every problem first, so that one error tells all of them."""

from __future__ import annotations

import operator
from typing import SupportsFloat, SupportsIndex

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

__all__ = ["Problems"]

#: Weights divided by their sum in float64 miss 1 by at most about m 2^-53. This much a weight
#: forgives any order of summation and a few operations more, but not float32 or printed weights.
_WEIGHT_TOLERANCE = 1e-12

#: The entries of a product such as Q diag(lambda) Q' miss symmetry by rounding only.
_SYMMETRY_TOLERANCE = 1e-12


class Problems:
    """The problems of one input, raised together as a single `ValueError`.

    Parameters
    ----------
    subject
        What is being checked; it opens the error message.
    """

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._found: list[str] = []

    def add(self, problem: str) -> None:
        """Note one problem: what was given, where, what was expected and what to do."""
        self._found.append(problem)

    def array(
        self, name: str, value: npt.ArrayLike, axes: tuple[str, ...]
    ) -> npt.NDArray[np.float64] | None:
        """Copy `value` into a read-only, C-contiguous float64 array with the named axes.

        Returns
        -------
        numpy.ndarray or None
            None if `value` has no such shape; then the problem is noted. An array with entries
            that are not finite is returned, and noted too, so that its shape can be checked.
        """
        wanted = f"expected a real array of shape ({', '.join(axes)})"
        try:
            given = np.asarray(value)
        except (TypeError, ValueError) as error:
            self.add(f"{name} is not a rectangular array ({error}); {wanted}")
            return None
        if given.dtype.kind not in "fiu":
            self.add(f"{name} has dtype {given.dtype}; {wanted}: convert it to float64 first")
            return None
        if given.ndim != len(axes):
            advice = "add the missing axes" if given.ndim < len(axes) else "drop the extra axes"
            self.add(f"{name} has shape {given.shape}; {wanted}: {advice}")
            return None
        with np.errstate(over="ignore"):  # what float64 cannot hold becomes inf, reported below
            copy = np.array(given, dtype=np.float64, order="C", copy=True)
        copy.setflags(write=False)
        self._finite(name, copy)
        return copy

    def number(self, name: str, value: SupportsFloat, lower: float, *, strict: bool) -> float:
        """Convert `value` to a finite float that is at least (if `strict`, above) `lower`."""
        wanted = f"expected a finite number {'>' if strict else '>='} {lower:g}"
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            self.add(f"{name} is {value!r}; {wanted}")
            return lower
        if not np.isfinite(number) or number < lower or (strict and number == lower):
            self.add(f"{name} is {number!r}; {wanted}")
        return number

    def count(self, name: str, value: SupportsIndex, lower: int, upper: int | None = None) -> int:
        """Convert `value` to an integer that is at least `lower` and, if given, at most `upper`."""
        try:
            number = operator.index(value)
        except TypeError:
            self.add(f"{name} is {value!r}; expected an integer >= {lower}")
            return lower
        if number < lower:
            self.add(f"{name} is {number}; expected an integer >= {lower}")
        if upper is not None and number > upper:
            # The number itself may have more digits than Python prints.
            self.add(
                f"{name} is above {upper:.0e}; expected an integer from {lower} to {upper:.0e}"
            )
            return upper
        return number

    def distribution(self, name: str, weights: Float[np.ndarray, " n"], size: int) -> None:
        """Note what keeps `weights` from being `size` probabilities of sum 1, up to 1e-12 each."""
        if len(weights) != size:
            self.add(f"{name} has {len(weights)} entries; expected {size}, one for each component")
        if np.any(weights < 0):
            j = int(np.argmax(weights < 0))
            self.add(f"{name}[{j}] is {float(weights[j])!r}; expected no negative weight")
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(np.sum(weights))
        if np.isfinite(total) and abs(total - 1.0) > _WEIGHT_TOLERANCE * size:
            self.add(
                f"{name} sum to {total!r}; expected 1 up to {_WEIGHT_TOLERANCE * size:g}:"
                " divide them, as float64, by their sum"
            )

    def covariance(
        self, name: str, value: npt.ArrayLike, *, definite: bool = True
    ) -> npt.NDArray[np.float64] | None:
        """Copy `value` into a read-only covariance matrix, exactly symmetric, of shape (d, d).

        Returns
        -------
        numpy.ndarray or None
            None if `value` is not square, not finite, not symmetric up to rounding (1e-12 of its
            largest entry) or not positive definite in float64 (for `definite=False`, not positive
            semidefinite up to rounding); then the problem is noted.
        """
        noted = len(self._found)
        given = self.array(name, value, ("d", "d"))
        if given is None or len(self._found) > noted:
            return None
        if given.shape[0] != given.shape[1] or given.size == 0:
            self.add(f"{name} has shape {given.shape}; expected a square matrix (d, d), d >= 1")
            return None
        size = float(np.max(np.abs(given)))
        skew = np.abs(given - given.T)
        if np.max(skew) > _SYMMETRY_TOLERANCE * size:
            i, j = np.unravel_index(int(np.argmax(skew)), skew.shape)
            self.add(
                f"{name} is not symmetric: entry [{i}, {j}] is {float(given[i, j])!r} and"
                f" [{j}, {i}] {float(given[j, i])!r}; expected a covariance matrix:"
                " average it with its transpose"
            )
            return None
        symmetric = given / 2 + given.T / 2
        symmetric.setflags(write=False)
        eigenvalues = np.linalg.eigvalsh(symmetric)
        least = len(given) * np.finfo(np.float64).eps * float(np.max(np.abs(eigenvalues)))
        if eigenvalues[0] < -least or (definite and eigenvalues[0] <= least):
            kind = "definite" if definite else "semidefinite"
            told = f"{name} has eigenvalues from {eigenvalues[0]:.3g} to {eigenvalues[-1]:.3g}"
            if definite and abs(eigenvalues[0]) <= least:
                told += f", the smallest below d eps times the largest ({least:.3g}): rounding"
            self.add(
                f"{told}; expected a positive {kind} covariance matrix, in float64: the theorems"
                " assume it; drop or regularise the degenerate directions"
            )
            return None
        return symmetric

    def raise_if_any(self) -> None:
        """Raise one `ValueError` that lists all problems noted so far, if there are any."""
        if self._found:
            listed = "\n".join(f"  - {problem}" for problem in self._found)
            raise ValueError(f"{self._subject}: {len(self._found)} problem(s)\n{listed}")

    def _finite(self, name: str, array: npt.NDArray[np.float64]) -> None:
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            first = tuple(bad[0].tolist())
            where = f"{name}[{', '.join(map(str, first))}]"
            others = f" (and {len(bad) - 1} more such entries)" if len(bad) > 1 else ""
            self.add(
                f"{where} is {array[first]}{others}; expected finite float64 numbers:"
                " repair or drop these entries"
            )
