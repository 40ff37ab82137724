"""What a training run depends on: a frozen, validated config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from simulations.training.starts import Start
from simulations.training.tasks import FixedCovarianceTasks, Tasks
from theory.validation import Problems

__all__ = ["Attention", "Gradient", "Optimiser", "TrainingConfig"]

Attention: TypeAlias = Literal["linear", "softmax"]
Optimiser: TypeAlias = Literal["sgd", "adam"]
Gradient: TypeAlias = Literal["sampled", "exact"]


@dataclass(frozen=True)
class TrainingConfig:
    """One training run; equal configs give bitwise equal results on one machine.

    The step size is `step_size` for the share `decay_from` of the steps, then falls linearly to
    zero, so that the noise of the last steps averages out. The result is the mean of the weights
    after each step in the share of steps from `average_from` on (Polyak and Ruppert), or the last
    weights if that is 1.

    Parameters
    ----------
    tasks
        The law of the prompts (`simulations.training.tasks`).
    start
        The first weights (`simulations.training.starts`).
    steps
        Steps of the optimiser, >= 1.
    step_size
        eta > 0; for SGD well below `stable_step_size`, for exact gradients from a start on
        u12 = u21 = 0 below `stable_step_size_on_plane`.
    batch_size
        Prompts drawn for each step, >= 1. Exact gradients draw none and ignore it.
    optimiser
        "sgd", without momentum, or "adam", with betas (0.9, 0.999).
    gradient
        "sampled": of the mean loss of a batch of fresh prompts. "exact": of the population loss in
        closed form, of all weights if the covariance is fixed; else on u12 = u21 = 0, which the
        start and the tasks must then keep.
    attention
        "linear" or "softmax".
    decay_from, average_from
        Between 0 and 1; 1 means no decay, and no average.
    checkpoints
        How often the trace records the weights, and how often progress is told, 1 to `steps`.
    seed
        Of the prompts, >= 0.

    Raises
    ------
    ValueError
        If one of these does not hold. All problems are listed at once.
    """

    tasks: Tasks
    start: Start
    steps: int
    step_size: float
    batch_size: int = 1024
    optimiser: Optimiser = "sgd"
    gradient: Gradient = "sampled"
    attention: Attention = "linear"
    decay_from: float = 1.0
    average_from: float = 1.0
    checkpoints: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("TrainingConfig")
        # As float and int, whatever number was given: equal configs then have equal JSON.
        for name in ("steps", "batch_size", "checkpoints"):
            self._set(name, problems.count(name, getattr(self, name), 1))
        self._set("seed", problems.count("seed", self.seed, 0))
        self._set("step_size", problems.number("step_size", self.step_size, 0.0, strict=True))
        for name in ("decay_from", "average_from"):
            share = problems.number(name, getattr(self, name), 0.0, strict=False)
            if share > 1:
                problems.add(f"{name} is {share!r}; expected a share of the steps, at most 1")
            self._set(name, share)
        if self.checkpoints > max(self.steps, 1):
            problems.add(
                f"checkpoints is {self.checkpoints}; expected at most one a step, {self.steps}"
            )
        self._check_choices(problems)
        problems.raise_if_any()

    def step_size_at(self, step: int) -> float:
        """Return the step size of step 0, ..., steps - 1."""
        left, decaying = self.steps - step, self.steps * (1 - self.decay_from)
        return self.step_size * (min(1.0, left / decaying) if decaying > 0 else 1.0)

    @property
    def first_averaged(self) -> int:
        """The first step after which the weights enter the result: the last one at the latest."""
        return min(round(self.steps * self.average_from), self.steps - 1)

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """The numbers of steps after which the trace records: equally spaced, the last is all."""
        n = self.checkpoints
        return tuple(-(-self.steps * k // n) for k in range(1, n + 1))

    def _set(self, name: str, value: float | int) -> None:
        object.__setattr__(self, name, value)

    def _check_choices(self, problems: Problems) -> None:
        choices = {"optimiser": Optimiser, "gradient": Gradient, "attention": Attention}
        for name, choice in choices.items():
            if getattr(self, name) not in get_args(choice):
                problems.add(
                    f"{name} is {getattr(self, name)!r}; expected one of {get_args(choice)}"
                )
        if self.gradient != "exact":
            return
        if self.attention == "softmax":
            problems.add(
                "gradient is 'exact' with attention 'softmax', whose population loss has no closed"
                " form; use gradient='sampled'"
            )
        if isinstance(self.tasks, FixedCovarianceTasks):
            return
        if not self.start.on_plane:
            problems.add(
                f"gradient is 'exact' for {self.tasks.kind} tasks with a {self.start.kind} start;"
                " that gradient is known on u12 = u21 = 0 only: choose another start, or"
                " gradient='sampled'"
            )
        if not self.tasks.keeps_plane:
            problems.add(
                "gradient is 'exact' for a mixture with E w != 0 or E[(w'Lambda w) w] != 0, which"
                " leaves u12 = u21 = 0: make it symmetric (+-w), or use gradient='sampled'"
            )
