"""The one list of cases that runs through every stage, from printed program to weights."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A mixture size, a prompt length and a noise level, with the seed that draws them."""

    dim: int
    num_components: int
    num_examples: int
    noise_std: float
    seed: int = 0

    def __str__(self) -> str:
        """Read as the id of a parametrised test."""
        sizes = f"d{self.dim}-m{self.num_components}-k{self.num_examples}"
        return f"{sizes}-sigma{self.noise_std:g}"


#: Small sizes and edges, each run through every stage.
STAGE_CASES = (
    Case(1, 1, 1, 1.0),
    Case(1, 3, 2, 0.5),
    Case(2, 1, 3, 1.0),
    Case(2, 2, 2, 0.3),
    Case(2, 3, 2, 1.0),
    Case(3, 3, 4, 0.7),
    Case(5, 2, 10, 0.3),
    Case(4, 7, 5, 1.0),
)

#: The acceptance grid of the hand-built transformer.
GRID = tuple(
    Case(d, m, k, sigma)
    for d in (2, 5, 20)
    for m in (2, 5, 20)
    for k in (2, 10, 60)
    for sigma in (0.3, 1.0)
)
