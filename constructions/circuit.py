"""Circuits as data: values that every column of a prompt holds, each computed from earlier ones.

A circuit is in single-assignment form: a value is written once, by a node of one of two families.
*Attend* nodes (`Previous`, `Sum`, `Fetch`, `Mixture`, `Attention`) bring something over from
earlier columns; *local* nodes (`Affine`, `Product`) work within a column. A value depends on its
own column and on those before it, so that one circuit answers every prefix of a prompt.

Columns are counted from 1 and alternate: x_1, y_1, x_2, y_2, ..., as in pathak2023, Appendix B.2.

>>> import numpy as np
>>> prompt = Prompt(dim=3, max_examples=8, box=Box.entrywise(3, covariate=4.0, label=10.0))
>>> w = np.array([[1.0, 0.0, 2.0]])
>>> residual = w @ previous(prompt.covariate) - prompt.label
>>> half_loss = 0.5 * total(residual * residual)
>>> half_loss.dim
1
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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


class CircuitError(ValueError):
    """A circuit is not well formed; the message lists every reason."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("circuit: " + "; ".join(problems))


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


@dataclass(frozen=True)
class Prompt:
    """The input of a circuit: where covariates and labels come from, and their box.

    Parameters
    ----------
    dim
        d >= 1.
    max_examples
        K >= 0: the longest prompt has 2K + 1 columns.
    box
        Bounds on covariates and labels.
    """

    dim: int
    max_examples: int
    box: Box
    covariate: Token = field(init=False)
    label: Token = field(init=False)

    def __post_init__(self) -> None:
        """Name the two kinds of tokens.

        Raises
        ------
        ValueError
            If a size is out of its range.
        """
        if self.dim < 1 or self.max_examples < 0:
            raise ValueError(
                f"prompt: dim {self.dim} and max_examples {self.max_examples}; expected at least 1 "
                "and 0"
            )
        object.__setattr__(self, "covariate", Token("x", self.dim, COVARIATES, self.box))
        object.__setattr__(self, "label", Token("y", 1, LABELS, self.box))

    @property
    def num_columns(self) -> int:
        """2K + 1."""
        return 2 * self.max_examples + 1


@dataclass(frozen=True, eq=False)
class Circuit:
    """A value to compute from a prompt.

    Parameters
    ----------
    name
        What reports call it.
    prompt
        Its input.
    output
        The value that is its answer, in the columns of covariates.
    names
        Names for values that traces and figures should show.
    """

    name: str
    prompt: Prompt
    output: Value
    names: dict[str, Value] = field(default_factory=dict)

    def values(self) -> list[Value]:
        """Return all values that the output depends on, sources before what is made of them."""
        return list(_in_order(self.output))

    def name_of(self, value: Value) -> str:
        """Return the name of a value: the one given, a token's own, or its kind."""
        for name, named in self.names.items():
            if named is value:
                return name
        if isinstance(value, Token):
            return value.name
        return "output" if value is self.output else type(value).__name__.lower()


def names_of(circuit: Circuit, values: Sequence[Value]) -> list[str]:
    """Return different names for values: those of `Circuit.name_of`, numbered where they repeat."""
    names: list[str] = []
    for value in values:
        name, number = circuit.name_of(value), 2
        while name in names:
            name = f"{circuit.name_of(value)} {number}"
            number += 1
        names.append(name)
    return names


def _in_order(output: Value) -> Iterator[Value]:
    """Depth-first without recursion: circuits may be deep."""
    done: set[int] = set()
    stack: list[tuple[Value, bool]] = [(output, False)]
    while stack:
        value, expanded = stack.pop()
        if id(value) in done:
            continue
        if expanded:
            done.add(id(value))
            yield value
            continue
        stack.append((value, True))
        stack.extend((source, False) for source in reversed(value.sources))
