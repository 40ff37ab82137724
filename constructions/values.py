"""Values: what every column of a prompt holds, each computed from values of earlier columns.

*Attend* nodes (`Previous`, `Sum`, `Fetch`, `Mixture`, `Attention`) bring something over from
earlier columns; *local* nodes (`Affine`, `Product`, `ProductSum`) work within a column.
"""

from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from constructions.box import Box
from constructions.program import I_EVEN, I_ODD, ColumnSet

Array = npt.NDArray[np.float64]
#: numpy's own alias means numbers too, but says so in a way that only static checkers follow.
Numbers = npt.ArrayLike | float | int

#: Columns of covariates, each the query of its prefix; of labels; and all of them.
COVARIATES, LABELS, EVERY = I_ODD, I_EVEN, I_ODD | I_EVEN


@dataclass(frozen=True, eq=False)
class Value:
    """What a node computes: a vector of ``dim`` numbers in each of its columns, 0 elsewhere.

    Values are combined by ``W @ value``, ``a + b``, ``a - b``, ``2.0 * a``, ``a + vector``
    (affine), ``a * b`` (entrywise product) and ``a[i:j]``.
    """

    # numpy must leave ``array @ value`` and ``array * value`` to this class.
    __array_ufunc__ = None

    @property
    def dim(self) -> int:
        """The number of entries."""
        raise NotImplementedError

    @property
    def columns(self) -> ColumnSet:
        """The columns in which the value is defined."""
        raise NotImplementedError

    @property
    def sources(self) -> tuple["Value", ...]:
        """The values that it is computed from."""
        return ()

    def __rmatmul__(self, matrix: Numbers) -> "Affine":
        return Affine(((self, np.atleast_2d(np.asarray(matrix, dtype=float))),))

    def __add__(self, other: "Value | Numbers") -> "Affine":
        if isinstance(other, Value):
            return Affine(((self, np.eye(self.dim)), (other, np.eye(other.dim))))
        shift = np.broadcast_to(np.asarray(other, dtype=float), (self.dim,))
        return Affine(((self, np.eye(self.dim)),), shift)

    __radd__ = __add__

    def __neg__(self) -> "Affine":
        return -1.0 * self

    def __sub__(self, other: "Value | Numbers") -> "Affine":
        return self + (-other if isinstance(other, Value) else -np.asarray(other, dtype=float))

    def __rsub__(self, other: Numbers) -> "Affine":
        return -self + other

    @overload
    def __mul__(self, other: "Value") -> "Product": ...
    @overload
    def __mul__(self, other: Numbers) -> "Affine": ...
    def __mul__(self, other: "Value | Numbers") -> "Product | Affine":
        if isinstance(other, Value):
            return Product(self, other)
        scale = np.broadcast_to(np.asarray(other, dtype=float), (self.dim,))
        return Affine(((self, np.diag(scale)),))

    def __rmul__(self, other: Numbers) -> "Affine":
        return self * other

    def __truediv__(self, other: Numbers) -> "Affine":
        return self * (1.0 / np.asarray(other, dtype=float))

    def __getitem__(self, index: slice | int) -> "Affine":
        rows = slice(index, index + 1) if isinstance(index, int) else index
        return np.eye(self.dim)[rows] @ self


@dataclass(frozen=True, eq=False)
class Token(Value):
    """The prompt itself: rows 1..``size`` of the tokens, in the given columns.

    Parameters
    ----------
    name
        "x" or "y".
    size
        d for covariates, 1 for labels: a label column is (y, 0, ..., 0).
    where
        The columns.
    box
        Bounds on the entries.
    """

    name: str
    size: int
    where: ColumnSet
    box: Box

    @property
    def dim(self) -> int:
        return self.size

    @property
    def columns(self) -> ColumnSet:
        return self.where


@dataclass(frozen=True, eq=False)
class Affine(Value):
    """sum_v M_v v + b within each column.

    Parameters
    ----------
    terms
        Pairs (value v, matrix M_v (dim, v.dim)).
    shift
        b (dim,); None is 0.
    """

    terms: tuple[tuple[Value, Array], ...]
    shift: Array | None = None

    @property
    def dim(self) -> int:
        return int(self.terms[0][1].shape[0])

    @property
    def columns(self) -> ColumnSet:
        kinds = EVERY.kinds
        for value, _ in self.terms:
            kinds &= value.columns.kinds
        return ColumnSet(kinds)

    @property
    def sources(self) -> tuple[Value, ...]:
        return tuple(value for value, _ in self.terms)

    @property
    def bias(self) -> Float[np.ndarray, " dim"]:
        """b, zeros if there is none."""
        return np.zeros(self.dim) if self.shift is None else self.shift


@dataclass(frozen=True, eq=False)
class Product(Value):
    """The entrywise product of two values, within each column."""

    left: Value
    right: Value

    @property
    def dim(self) -> int:
        return self.left.dim

    @property
    def columns(self) -> ColumnSet:
        return ColumnSet(self.left.columns.kinds & self.right.columns.kinds)

    @property
    def sources(self) -> tuple[Value, ...]:
        return (self.left, self.right)


@dataclass(frozen=True, eq=False)
class ProductSum(Value):
    """sum_t M_t (left_t * right_t), within each column: what products are folded into.

    Parameters
    ----------
    terms
        Triples (M_t (dim, n_t), left_t (n_t), right_t (n_t)).
    """

    terms: tuple[tuple[Array, Value, Value], ...]

    @property
    def dim(self) -> int:
        return int(self.terms[0][0].shape[0])

    @property
    def columns(self) -> ColumnSet:
        kinds = EVERY.kinds
        for source in self.sources:
            kinds &= source.columns.kinds
        return ColumnSet(kinds)

    @property
    def sources(self) -> tuple[Value, ...]:
        return tuple(source for _, left, right in self.terms for source in (left, right))


@dataclass(frozen=True, eq=False)
class Previous(Value):
    """The source one column to the left; column 1 has none, and gets 0."""

    source: Value

    @property
    def dim(self) -> int:
        return self.source.dim

    @property
    def columns(self) -> ColumnSet:
        return LABELS if self.source.columns.kinds == COVARIATES.kinds else COVARIATES

    @property
    def sources(self) -> tuple[Value, ...]:
        return (self.source,)


@dataclass(frozen=True, eq=False)
class Sum(Value):
    """The sum of the source over all its earlier columns; 0 where there is none.

    Parameters
    ----------
    source
        The summand.
    where
        The columns that receive the sum.
    """

    source: Value
    where: ColumnSet = COVARIATES

    @property
    def dim(self) -> int:
        return self.source.dim

    @property
    def columns(self) -> ColumnSet:
        return self.where

    @property
    def sources(self) -> tuple[Value, ...]:
        return (self.source,)


@dataclass(frozen=True, eq=False)
class Fetch(Value):
    """The source at one fixed column; 0 in columns up to and including that one.

    Parameters
    ----------
    source
        What is fetched.
    column
        The column (from 1), one of the source's.
    """

    source: Value
    column: int

    @property
    def dim(self) -> int:
        return self.source.dim

    @property
    def columns(self) -> ColumnSet:
        return COVARIATES

    @property
    def sources(self) -> tuple[Value, ...]:
        return (self.source,)


@dataclass(frozen=True, eq=False)
class Mixture(Value):
    """sum_t softmax(logits)_t c_t for constant vectors c_t, within each column.

    Parameters
    ----------
    logits
        The logits (n,).
    components
        The matrix (dim, n) whose columns are c_t; the identity gives the softmax itself.
    """

    logits: Value
    components: Array

    @property
    def dim(self) -> int:
        return int(self.components.shape[0])

    @property
    def columns(self) -> ColumnSet:
        return self.logits.columns

    @property
    def sources(self) -> tuple[Value, ...]:
        return (self.logits,)


@dataclass(frozen=True, eq=False)
class Attention(Value):
    """sum_j softmax_j(<query_i, key_j>) value_j over earlier columns j; 0 where there is none.

    Parameters
    ----------
    query
        In the receiving columns.
    key
        Of the same dimension as the query.
    value
        In the columns of the key.
    """

    query: Value
    key: Value
    value: Value

    @property
    def dim(self) -> int:
        return self.value.dim

    @property
    def columns(self) -> ColumnSet:
        return self.query.columns

    @property
    def sources(self) -> tuple[Value, ...]:
        return (self.query, self.key, self.value)


def previous(value: Value) -> Previous:
    """Return the value one column to the left, such as x_j in the column of y_j."""
    return Previous(value)


def total(value: Value) -> Sum:
    """Return the sum over all earlier columns of the value, in the columns of covariates."""
    return Sum(value)


def softmax(logits: Value) -> Mixture:
    """Return the softmax of a vector of logits."""
    return Mixture(logits, np.eye(logits.dim))


def attention(query: Value, key: Value, value: Value) -> Attention:
    """Return softmax attention over the earlier columns in which key and value are defined."""
    return Attention(query, key, value)
