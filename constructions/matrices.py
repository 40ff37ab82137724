"""Matrices of any scalar: float64, longdouble, mpmath or sympy, as numpy arrays.

The operators of Appendix B have one meaning on all of them; only ``exp`` and the notion of zero
depend on the scalar, and both live here.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import mpmath
import numpy as np
import numpy.typing as npt
import sympy

Matrix: TypeAlias = npt.NDArray[Any]


def as_matrix(values: object) -> Matrix:
    """Return a fresh (p, q) array of float64, longdouble or object scalars.

    Parameters
    ----------
    values
        A numpy array, nested lists, ``sympy.Matrix`` or ``mpmath.matrix``. Integers and float32
        become float64; mpmath and sympy entries stay as they are, in an object array.

    Raises
    ------
    ValueError
        If the values do not form a matrix, or hold NaN or an infinity.
    """
    if isinstance(values, sympy.MatrixBase | mpmath.matrix):
        values = values.tolist()
    matrix = np.array(values)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"expected a non-empty (p, q) matrix, got shape {matrix.shape}")
    if matrix.dtype == object:
        # A matrix that mixes exact and float entries computes in the exact scalar's arithmetic.
        return matrix
    if matrix.dtype.kind not in "iuf":
        raise ValueError(f"expected real numbers, got entries of type {matrix.dtype}")
    if matrix.dtype != np.longdouble:
        matrix = matrix.astype(np.float64)
    if not np.isfinite(matrix).all():
        row, column = (int(i) + 1 for i in np.argwhere(~np.isfinite(matrix))[0])
        raise ValueError(f"entry ({row}, {column}) is {matrix[row - 1, column - 1]}, not finite")
    return matrix


def exponential_of(values: Matrix) -> Callable[[Any], Any]:
    """Return the exponential function that fits the scalars of ``values``."""
    if values.dtype != object:
        return np.exp
    exp = sympy.exp if is_symbolic(values) else mpmath.exp
    return cast(Callable[[Any], Any], np.frompyfunc(exp, 1, 1))


def is_symbolic(values: Matrix) -> bool:
    """Whether any entry is a sympy expression."""
    return values.dtype == object and any(isinstance(v, sympy.Basic) for v in values.flat)


def softmax(values: Matrix) -> Matrix:
    """Return ``e^{v_t} / sum_t' e^{v_t'}`` of a vector (n,), for any scalar.

    Numbers are shifted by their maximum, so that nothing overflows; symbols have no maximum and
    are not shifted.
    """
    shifted = values if is_symbolic(values) else values - values.max()
    powers = exponential_of(values)(shifted)
    quotient: Matrix = powers / powers.sum()
    return quotient


def logistic(value: Any) -> Any:
    """Return ``1 / (1 + e^{-v})`` of one scalar, without overflow."""
    if isinstance(value, sympy.Basic):
        return 1 / (1 + sympy.exp(-value))
    two = softmax(np.array([value * 0, value]))
    return two[1]
