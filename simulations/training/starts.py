"""Where training starts: from Assumption 3, from a plane start that breaks it, or from anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from theory import FlowProblem, LinearAttention, assumption_3, random_theta
from theory.validation import Problems

__all__ = ["Assumption3Start", "DenseStart", "Start", "UnbalancedStart"]


@runtime_checkable
class Start(Protocol):
    """A recipe for the first weights."""

    kind: ClassVar[str]

    @property
    def on_plane(self) -> bool:
        """Whether u12 = u21 = 0 at the start."""
        ...

    def layer(self, problem: FlowProblem) -> LinearAttention:
        """Return the first weights; the same ones at each call."""
        ...


@dataclass(frozen=True)
class Assumption3Start(Start):
    """U = scale Theta Theta' with |Theta Theta'|_F = 1 and Theta random, u = scale; all else 0.

    Parameters
    ----------
    scale
        sigma > 0. Theorems 4 and 8 ask for a small one: `theory.printed_bounds(...).threshold`.
    seed
        Of Theta (`theory.random_theta`), >= 0.

    Raises
    ------
    ValueError
        If one of these does not hold.

    Notes
    -----
    Source: Zhang et al. 2024, Assumption 3.
    """

    scale: float
    seed: int = 0
    kind: ClassVar[str] = "assumption 3"

    def __post_init__(self) -> None:
        _check(self, "scale")

    @property
    def on_plane(self) -> bool:
        return True

    def layer(self, problem: FlowProblem) -> LinearAttention:
        theta = random_theta(problem.dim, np.random.default_rng(self.seed))
        U, u = assumption_3(problem, theta, self.scale)
        zero = np.zeros(problem.dim)
        return LinearAttention.from_blocks(zero, zero, U, u)


@dataclass(frozen=True)
class UnbalancedStart(Start):
    """U = size T with T = Theta Theta' as in `Assumption3Start`, and u of its own; all else 0.

    It breaks Assumption 3: u^2 - |U|_F^2 = u^2 - size^2 is not 0, and gradient flow keeps that.

    Parameters
    ----------
    u, size
        Both > 0.
    seed
        Of Theta, >= 0.

    Raises
    ------
    ValueError
        If one of these does not hold.
    """

    u: float
    size: float
    seed: int = 0
    kind: ClassVar[str] = "unbalanced"

    def __post_init__(self) -> None:
        _check(self, "u", "size")

    @property
    def on_plane(self) -> bool:
        return True

    def layer(self, problem: FlowProblem) -> LinearAttention:
        theta = random_theta(problem.dim, np.random.default_rng(self.seed))
        zero = np.zeros(problem.dim)
        return LinearAttention.from_blocks(zero, zero, self.size * (theta @ theta.T), self.u)


@dataclass(frozen=True)
class DenseStart(Start):
    """All entries of W^PV and W^KQ independent N(0, std^2): no assumption of a theorem holds.

    Parameters
    ----------
    std
        Their standard deviation, > 0.
    seed
        >= 0.

    Raises
    ------
    ValueError
        If one of these does not hold.
    """

    std: float
    seed: int = 0
    kind: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        _check(self, "std")

    @property
    def on_plane(self) -> bool:
        return False

    def layer(self, problem: FlowProblem) -> LinearAttention:
        size = problem.dim + 1
        value, key = self.std * np.random.default_rng(self.seed).standard_normal((2, size, size))
        return LinearAttention(value, key)


def _check(start: Assumption3Start | UnbalancedStart | DenseStart, *sizes: str) -> None:
    """Check the seed and the sizes, and keep them as int and float, whatever number was given."""
    problems = Problems(type(start).__name__)
    for name in sizes:
        size = problems.number(name, getattr(start, name), 0.0, strict=True)
        object.__setattr__(start, name, size)
    object.__setattr__(start, "seed", problems.count("seed", start.seed, 0))
    problems.raise_if_any()
