"""The flow line that the figures along time show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from theory import FlowProblem, FlowSolution, random_theta, solve_flow
from theory.gradient_flow import printed_bounds, sharp_bounds
from theory.gradient_flow.start import assumption_3

#: Times, and the excess loss relative to the first at which they end: below it lies rounding.
NUM_TIMES, LAST_EXCESS = 120, 1e-20

#: Decades of time that are shown.
DECADES = 4


@dataclass(frozen=True)
class FlowStudy:
    """A start of Assumption 3 below the printed threshold, and its flow.

    Parameters
    ----------
    eigenvalues
        Of Lambda = diag(...).
    prompt_length
        N >= 1.
    scale_ratio
        sigma^2 in units of the printed threshold of Theorem 4, from 0 to 1 (both excluded).
    seed
        Theta is drawn with it.
    """

    eigenvalues: tuple[float, ...] = (1.0, 1.5, 2.0)
    prompt_length: int = 6
    scale_ratio: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a scale at which the printed bounds say nothing."""
        if not 0 < self.scale_ratio < 1:
            raise ValueError(
                f"scale_ratio is {self.scale_ratio!r}; expected sigma^2 below the threshold of"
                " Theorem 4: a number between 0 and 1, where the printed bounds say something"
            )

    @cached_property
    def problem(self) -> FlowProblem:
        """The problem of Theorem 4."""
        return FlowProblem.fixed(np.diag(self.eigenvalues), self.prompt_length)

    @cached_property
    def flow(self) -> FlowSolution:
        """The flow from the start."""
        theta = random_theta(self.problem.dim, np.random.default_rng(self.seed))
        threshold = printed_bounds(self.problem, assumption_3(self.problem, theta, 1.0)).threshold
        return solve_flow(self.problem, theta, float(np.sqrt(self.scale_ratio * threshold)))

    @cached_property
    def times(self) -> Float[np.ndarray, " m"]:
        """Times of equal ratios, as long as the excess loss is no rounding."""
        times = np.geomspace(10.0**-DECADES, 1.0, 4 * NUM_TIMES) * self.flow.horizon
        excess = self.flow.excess_loss(times)
        last = times[excess > LAST_EXCESS * self.problem.excess_loss(self.flow.start)][-1]
        return np.geomspace(10.0**-DECADES * last, last, NUM_TIMES)

    @property
    def constants(self) -> dict[str, float]:
        """The PL constants, printed and sharp."""
        start = self.flow.start
        return {
            "printed": printed_bounds(self.problem, start).pl_constant,
            "sharp": sharp_bounds(self.problem, start).pl_constant,
        }

    @property
    def parameters(self) -> str:
        """What was computed, for a caption."""
        listed = ", ".join(f"{x:g}" for x in self.eigenvalues)
        return (
            rf"$\Lambda=\mathrm{{diag}}({listed})$, $N={self.prompt_length}$,"
            rf" $\sigma={self.flow.start.u:.3g}$, $\sigma^2$ at {self.scale_ratio:g} of the"
            f" printed threshold, seed {self.seed}"
        )
