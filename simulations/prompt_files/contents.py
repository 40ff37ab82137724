"""What a file of prompts or of components holds, whatever its format."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from theory.prompts import PromptBatch


@dataclass(frozen=True, eq=False)
class PromptGroup:
    """The prompts of one length in a file.

    Attributes
    ----------
    positions
        The places of the prompts in the file, from 0, shape (batch,), integers.
    prompts
        The prompts themselves, in the order of the file.
    """

    positions: Int[np.ndarray, " batch"]
    prompts: PromptBatch


@dataclass(frozen=True, eq=False)
class PromptFile:
    """The prompts of a file, grouped by their length k.

    Attributes
    ----------
    names
        The names of all prompts, in the order of the file.
    groups
        One group for each length, the shortest first; every prompt is in one group.
    """

    names: tuple[str, ...]
    groups: tuple[PromptGroup, ...]

    def assemble(self, answers: Sequence[Float[np.ndarray, " _"]]) -> Float[np.ndarray, " n"]:
        """Put the answers to all groups back into the order of the file.

        Parameters
        ----------
        answers
            For each group, in the order of `groups`, one number for each prompt.

        Raises
        ------
        ValueError
            If the answers do not fit the groups.
        """
        given = [answer.shape for answer in answers]
        expected = [group.positions.shape for group in self.groups]
        if given != expected:
            raise ValueError(
                f"assemble: the answers have the shapes {given}; expected {expected}: one array "
                "for each group, one number for each prompt"
            )
        whole = np.empty(len(self.names))
        for group, answer in zip(self.groups, answers, strict=True):
            whole[group.positions] = answer
        return whole


@dataclass(frozen=True, eq=False)
class Components:
    """The components of a mixture, as read: whether the weights sum to 1 is for the mixture to say.

    Attributes
    ----------
    components
        The w_1, ..., w_m as rows, shape (m, d), float64.
    weights
        The weight of each component, shape (m,), float64, or None if the file has none.
    """

    components: Float[np.ndarray, "m d"]
    weights: Float[np.ndarray, " m"] | None


class NamedPrompt(NamedTuple):
    """One prompt of a file: k+1 points, the query last, and the k labels of the others."""

    name: str
    xs: list[list[float]]
    ys: list[float]


def group_by_length(prompts: Sequence[NamedPrompt]) -> PromptFile:
    """Gather the prompts of each length into one batch."""
    lengths = np.array([len(prompt.ys) for prompt in prompts])
    groups = []
    for length in np.unique(lengths):
        positions = np.flatnonzero(lengths == length)
        members = [prompts[position] for position in positions.tolist()]
        batch = PromptBatch([prompt.xs for prompt in members], [prompt.ys for prompt in members])
        groups.append(PromptGroup(positions, batch))
    return PromptFile(tuple(prompt.name for prompt in prompts), tuple(groups))


def name_by_number(prompts: PromptBatch) -> list[NamedPrompt]:
    """Take a batch apart into prompts that are called ``"1"``, ``"2"``, ..."""
    pairs = zip(prompts.xs.tolist(), prompts.ys.tolist(), strict=True)
    return [NamedPrompt(str(number), xs, ys) for number, (xs, ys) in enumerate(pairs, start=1)]
