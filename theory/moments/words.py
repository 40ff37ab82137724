"""Words of matrices, and the scalars they make: traces and bilinear forms, in canonical form.

No dimension is fixed. A trace is a word up to rotation and transposition, a form a'W b is a word
between two vectors up to transposition; of all these spellings the least one is kept. Different
canonical factors are algebraically independent once d is large enough (there are no relations
between the orthogonal invariants of matrices and vectors that hold for every d), so that two
polynomials in them are equal for every d exactly if their coefficients are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

__all__ = [
    "DIMENSION",
    "Factor",
    "Form",
    "Letter",
    "Scalar",
    "Trace",
    "Word",
    "checked_name",
    "form",
    "trace",
    "transpose",
]


class Letter(NamedTuple):
    """A matrix of unknown size, or its transpose."""

    name: str
    symmetric: bool = False
    transposed: bool = False

    def flip(self) -> Letter:
        """Give the transpose."""
        return self if self.symmetric else self._replace(transposed=not self.transposed)


#: A product of matrices; the empty word is the identity.
Word: TypeAlias = tuple[Letter, ...]


class Scalar(NamedTuple):
    """A number without a value yet, such as u_1, 1/N, or the dimension d."""

    name: str


class Trace(NamedTuple):
    """The trace of a word; make it with `trace`."""

    word: Word


class Form(NamedTuple):
    """The number left' W right of two vectors; make it with `form`."""

    left: str
    word: Word
    right: str


Factor: TypeAlias = Scalar | Trace | Form

#: The trace of the identity.
DIMENSION = Scalar("d")


def checked_name(maker: str, name: object) -> str:
    """Return the name that a letter is given.

    Raises
    ------
    TypeError
        If it is not a string.
    ValueError
        If it is blank.
    """
    if not isinstance(name, str):
        raise TypeError(f"{maker}(name): name is {name!r}; expected a string, such as 'Lambda'")
    if not name.strip():
        raise ValueError(f"{maker}(name): name is {name!r}; expected a name to print and to find")
    return name


def transpose(word: Word) -> Word:
    """Give the word of the transposed product."""
    return tuple(letter.flip() for letter in reversed(word))


def trace(word: Word) -> Trace | Scalar:
    """Give the canonical trace of a word; that of the empty word is the scalar d."""
    if not word:
        return DIMENSION
    return Trace(min(*_rotations(word), *_rotations(transpose(word))))


def form(left: str, word: Word, right: str) -> Form:
    """Give the canonical form left' W right = right' W' left."""
    return min(Form(left, word, right), Form(right, transpose(word), left))


def _rotations(word: Word) -> Iterable[Word]:
    return (word[i:] + word[:i] for i in range(len(word)))
