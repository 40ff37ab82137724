"""What a transformer is trained on, and how: frozen, validated configs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from simulations.transformers.prompts import MixturePrompts, Prompts
from theory.validation import Problems

__all__ = ["Curriculum", "ModelConfig", "Steps", "TrainingSet", "TransformerTraining"]


@dataclass(frozen=True)
class ModelConfig:
    """The transformer.

    Parameters
    ----------
    architecture
        "gpt2": `constructions.gpt2.GPT2`. "section-1.2": the architecture of pathak2023, Section
        1.2 (`simulations.transformers.section_1_2`).
    layers, heads, width
        Of either architecture; the heads divide the width. The feed-forward part is 4 times as
        wide.
    positions
        "learned", or "none".
    max_examples
        The most examples of a prompt that there are positions for; None for those of training.
        Positions beyond the prompts of training keep the values that they start with.
    init_std
        Standard deviation of the weights at the start; None for 1 / sqrt(width).
    dropout
        In [0, 1); "gpt2" only.

    Raises
    ------
    ValueError
        If a field is out of range; all problems are listed at once.
    """

    architecture: Literal["gpt2", "section-1.2"] = "gpt2"
    layers: int = 3
    heads: int = 4
    width: int = 64
    positions: Literal["learned", "none"] = "learned"
    max_examples: int | None = None
    init_std: float | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        problems = Problems("ModelConfig")
        _check_choice(self, problems, "architecture", ("gpt2", "section-1.2"))
        _check_choice(self, problems, "positions", ("learned", "none"))
        _set_counts(self, problems, layers=1, heads=1, width=2)
        if self.heads > 0 and self.width % self.heads:
            problems.add(f"width is {self.width}; expected a multiple of heads, {self.heads}")
        if self.max_examples is not None:
            _set_counts(self, problems, max_examples=1)
        if self.init_std is not None:
            _set_number(self, problems, "init_std", strict=True)
        _set_share(self, problems, "dropout")
        if self.dropout > 0 and self.architecture == "section-1.2":
            problems.add("dropout is for 'gpt2'; expected 0 with the architecture 'section-1.2'")
        problems.raise_if_any()

    @property
    def weight_std(self) -> float:
        """The standard deviation of the weights at the start."""
        return 1 / math.sqrt(self.width) if self.init_std is None else self.init_std


@dataclass(frozen=True)
class Steps:
    """The optimiser: Adam, its step size over time, and the batches.

    The step size rises linearly over `warm_up` steps to `step_size`, then stays there, or falls to
    zero along half a cosine.

    Parameters
    ----------
    count
        Steps, >= 1.
    batch_size
        Prompts a step, >= 1.
    step_size
        > 0.
    betas
        Of Adam, each in [0, 1).
    warm_up
        Steps, >= 0.
    decay
        "none" or "cosine".
    clip
        The largest norm of the gradient of all weights of a model, > 0; longer ones are shortened.
        None for no limit.

    Raises
    ------
    ValueError
        If a field is out of range; all problems are listed at once.
    """

    count: int = 3500
    batch_size: int = 64
    step_size: float = 3e-3
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up: int = 100
    decay: Literal["none", "cosine"] = "cosine"
    clip: float | None = None

    def __post_init__(self) -> None:
        problems = Problems("Steps")
        _check_choice(self, problems, "decay", ("none", "cosine"))
        _set_counts(self, problems, count=1, batch_size=1, warm_up=0)
        _set_number(self, problems, "step_size", strict=True)
        if self.clip is not None:
            _set_number(self, problems, "clip", strict=True)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            problems.add(f"betas is {self.betas!r}; expected two numbers in [0, 1)")
        problems.raise_if_any()

    def step_size_at(self, step: int) -> float:
        """Return the step size of step 0, ..., count - 1."""
        rise = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        if self.decay == "none":
            return self.step_size * rise
        return self.step_size * rise * 0.5 * (1 + math.cos(math.pi * step / self.count))


@dataclass(frozen=True)
class Curriculum:
    """Prompts that grow in dimension and in length (Garg et al. 2022, Appendix A).

    In step s prompts have min(d, dim + dim_increment (s // every)) coordinates that are not zero,
    and min(K + 1, points + points_increment (s // every)) covariates, query included.

    Parameters
    ----------
    dim, points
        Of the first phase, >= 1 and >= 2.
    dim_increment, points_increment
        What each phase adds, >= 0.
    every
        Steps of a phase, >= 1.

    Raises
    ------
    ValueError
        If a field is out of range; all problems are listed at once.
    """

    dim: int = 5
    points: int = 11
    dim_increment: int = 1
    points_increment: int = 2
    every: int = 2000

    def __post_init__(self) -> None:
        problems = Problems("Curriculum")
        _set_counts(self, problems, dim=1, points=2, dim_increment=0, points_increment=0, every=1)
        problems.raise_if_any()

    def dim_at(self, step: int, largest: int) -> int:
        """Return the coordinates of the prompts of a step."""
        return min(largest, self.dim + self.dim_increment * (step // self.every))

    def points_at(self, step: int, largest: int) -> int:
        """Return the covariates of a prompt of a step, query included."""
        return min(largest, self.points + self.points_increment * (step // self.every))


@dataclass(frozen=True)
class TrainingSet:
    """A fixed set of prompts to train on (Pathak et al. 2023, Section 3.2 and Appendix C.1).

    Batches are drawn from the set without replacement within a batch, and the examples of each
    prompt are shuffled, the query among them, so that every prefix is a random subset.

    Parameters
    ----------
    size
        n >= 1, and at least the size of a batch.
    seed
        Which prompts.

    Raises
    ------
    ValueError
        If a field is out of range.
    """

    size: int = 15_000
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("TrainingSet")
        _set_counts(self, problems, size=1, seed=0)
        problems.raise_if_any()


@dataclass(frozen=True)
class TransformerTraining:
    """One training of one or several models that differ in their seeds only.

    Equal configs give bitwise equal results on one machine with one number of threads; on the CPU
    each model is bitwise the one that its seed gives alone.

    Parameters
    ----------
    prompts
        Their law.
    model, steps
        What to train, and how.
    curriculum
        None for whole prompts from the first step on.
    training_set
        None for fresh prompts in every step.
    seeds
        One model each, of its start, its batches and its dropout; >= 0 and distinct.
    device
        "cpu" or "cuda".
    precision
        "float32", or "bfloat16": matrix products under torch's autocast.
    compiled
        Whether the model goes through `torch.compile`.
    records
        How often losses and gradients are recorded, and a checkpoint is due: 1 to the steps.

    Raises
    ------
    ValueError
        If a field is out of range, or fields do not fit; all problems are listed at once.
    """

    prompts: Prompts = field(default_factory=MixturePrompts)
    model: ModelConfig = field(default_factory=ModelConfig)
    steps: Steps = field(default_factory=Steps)
    curriculum: Curriculum | None = None
    training_set: TrainingSet | None = None
    seeds: tuple[int, ...] = (0,)
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"
    compiled: bool = False
    records: int = 50

    def __post_init__(self) -> None:
        problems = Problems("TransformerTraining")
        _set_counts(self, problems, records=1)
        if self.records > self.steps.count:
            problems.add(
                f"records is {self.records}; expected at most one a step, {self.steps.count}"
            )
        self._check_lengths(problems)
        plain = all(type(seed) is int and seed >= 0 for seed in self.seeds)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or not plain:
            problems.add(f"seeds is {self.seeds!r}; expected distinct integers >= 0, at least one")
        if self.training_set is not None:
            if self.training_set.size < self.steps.batch_size:
                problems.add(
                    f"training_set.size is {self.training_set.size}; expected at least"
                    f" steps.batch_size, {self.steps.batch_size}"
                )
            if self.curriculum is not None and self.curriculum.dim < self.prompts.dim:
                problems.add(
                    f"curriculum.dim is {self.curriculum.dim}: the prompts of a training set have"
                    f" all their coordinates; expected {self.prompts.dim} or more"
                )
        if self.model.architecture == "section-1.2" and self.compiled:
            problems.add("compiled is for 'gpt2': 'section-1.2' refuses columns by their values")
        _check_choice(self, problems, "device", ("cpu", "cuda"))
        _check_choice(self, problems, "precision", ("float32", "bfloat16"))
        problems.raise_if_any()

    @property
    def num_positions(self) -> int | None:
        """Columns that there are positions for: 2 `max_examples` + 1."""
        if self.model.positions == "none":
            return None
        longest = self.model.max_examples
        return 2 * (self.prompts.num_examples if longest is None else longest) + 1

    @property
    def record_steps(self) -> tuple[int, ...]:
        """The numbers of steps after which there is a record: equally spaced, the last is all."""
        n = self.records
        return tuple(-(-self.steps.count * k // n) for k in range(1, n + 1))

    def _check_lengths(self, problems: Problems) -> None:
        longest, own = self.model.max_examples, self.prompts.num_examples
        if longest is not None and longest < own:
            problems.add(
                f"prompts.num_examples is {own}, and model.max_examples {longest}: prompts are"
                " longer than there are positions for; expected max_examples >= num_examples"
            )


def _check_choice(config: Any, problems: Problems, name: str, choices: tuple[str, ...]) -> None:
    if getattr(config, name) not in choices:
        problems.add(f"{name} is {getattr(config, name)!r}; expected one of {choices}")


def _set_counts(config: Any, problems: Problems, **least: int) -> None:
    """Check integers and their least values, and set them to plain ones."""
    for name, lower in least.items():
        object.__setattr__(config, name, problems.count(name, getattr(config, name), lower))


def _set_number(config: Any, problems: Problems, name: str, *, strict: bool) -> None:
    value = problems.number(name, getattr(config, name), 0.0, strict=strict)
    object.__setattr__(config, name, value)


def _set_share(config: Any, problems: Problems, name: str) -> None:
    _set_number(config, problems, name, strict=False)
    if getattr(config, name) >= 1:
        problems.add(f"{name} is {getattr(config, name)!r}; expected a share below 1")
