"""Circuits as data: values that every column of a prompt holds, each computed from earlier ones.

A circuit is in single-assignment form: a value is written once, by a node of one of two families.
*Attend* nodes (`Previous`, `Sum`, `Fetch`, `Mixture`, `Attention`) bring something over from
earlier columns; *local* nodes (`Affine`, `Product`) work within a column. A value depends on its
own column and on those before it, so that one circuit answers every prefix of a prompt.

Columns are counted from 1 and alternate: x_1, y_1, x_2, y_2, ..., as in pathak2023, Appendix B.2.

>>> import numpy as np
>>> from constructions import previous, total
>>> prompt = Prompt(dim=3, max_examples=8, box=Box.entrywise(3, covariate=4.0, label=10.0))
>>> w = np.array([[1.0, 0.0, 2.0]])
>>> residual = w @ previous(prompt.covariate) - prompt.label
>>> half_loss = 0.5 * total(residual * residual)
>>> half_loss.dim
1
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from constructions.box import Box
from constructions.values import COVARIATES, LABELS, Token, Value


class CircuitError(ValueError):
    """A circuit is not well formed; the message lists every reason."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("circuit: " + "; ".join(problems))


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
