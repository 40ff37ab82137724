"""The training loop, which can be stopped after any step and go on from bytes, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import safetensors
import safetensors.torch
import torch

from simulations.training.config import TrainingConfig
from simulations.training.config_json import config_as_json
from simulations.training.gradients import ExactGradient, GradientSource, SampledGradient
from simulations.training.result import Trace, TrainedAttention, torch_layer

__all__ = ["Progress", "Training", "TrainingDivergedError", "resume", "train"]

#: Told the run at every checkpoint; it may save it, and stop it by raising.
Progress: TypeAlias = "Callable[[Training], None]"

#: The version of what `Training.save` writes.
FORMAT = 1

_STATE = "state"


class TrainingDivergedError(ArithmeticError):
    """The weights have left float64: the step size is too large."""


def train(config: TrainingConfig, on_progress: Progress | None = None) -> TrainedAttention:
    """Train a layer: a pure function of the config.

    Parameters
    ----------
    config
        What to train, and how.
    on_progress
        Called at every checkpoint with the run, whose `Training.save` gives the bytes from which
        `resume` goes on.

    Raises
    ------
    TrainingDivergedError
        If the loss is no longer finite.
    """
    return _finish(Training(config), on_progress)


def resume(
    config: TrainingConfig, saved: bytes, on_progress: Progress | None = None
) -> TrainedAttention:
    """Go on with a run that was saved; the result is bitwise that of `train`.

    With the same number of torch threads, that is: sums are taken in another order otherwise.

    Raises
    ------
    ValueError
        If the bytes are damaged, or are those of another config.
    TrainingDivergedError
        As in `train`.
    """
    return _finish(Training.restored(config, saved), on_progress)


def _finish(run: Training, on_progress: Progress | None) -> TrainedAttention:
    for checkpoint in run.config.checkpoint_steps:
        if checkpoint > run.step:
            run.advance(checkpoint)
            if on_progress is not None:
                on_progress(run)
    return run.result()


class Training:
    """A run of training, somewhere between its first step and its last.

    Parameters
    ----------
    config
        What to train, and how.

    Attributes
    ----------
    config
        The same.
    step
        Steps taken so far.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.step = 0
        start = config.start.layer(config.tasks.problem)
        self._layer = torch_layer(config, start)
        self._parameters = (self._layer.projection_value, self._layer.key_query)
        kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        self._optimiser: torch.optim.Optimizer = kinds[config.optimiser](self._parameters)
        self._gradient: GradientSource = SampledGradient(
            config.tasks, config.batch_size, config.seed
        )
        if config.gradient == "exact":
            self._gradient = ExactGradient(config.tasks)
        self._averages = tuple(torch.zeros_like(p, requires_grad=False) for p in self._parameters)
        self._losses = self._squared_steps = 0.0
        n, size = config.checkpoints, len(start.key_query)
        self._trace_weights = torch.zeros(n, 2, size, size, dtype=torch.float64)
        self._trace_numbers = torch.zeros(n, 2, dtype=torch.float64)

    def advance(self, until: int) -> None:
        """Take steps until `step` is `until`.

        Raises
        ------
        ValueError
            If `until` is not between `step` and the config's `steps`.
        TrainingDivergedError
            If the loss is no longer finite.
        """
        if not self.step <= until <= self.config.steps:
            raise ValueError(
                f"advance({until}): expected a number from {self.step}, the steps taken so far, to"
                f" {self.config.steps}, those of the config"
            )
        for _ in range(until - self.step):
            self._take_step()

    def result(self) -> TrainedAttention:
        """Return the trained layer.

        Raises
        ------
        ValueError
            If steps are left.
        """
        if self.step < self.config.steps:
            raise ValueError(
                f"result: {self.step} of {self.config.steps} steps are taken; advance first"
            )
        value, key = (average.numpy().copy() for average in self._averages)
        weights, numbers = self._trace_weights.numpy(), self._trace_numbers.numpy()
        trace = Trace(
            np.array(self.config.checkpoint_steps),
            *(weights[:, i].copy() for i in range(2)),
            *(numbers[:, i].copy() for i in range(2)),
        )
        return TrainedAttention(self.config, value, key, trace)

    def save(self) -> bytes:
        """Return all that the rest of the run depends on: safetensors, with JSON in its header.

        The random numbers of a step depend on the seed and the number of the step only, so that
        `step` is their state.

        Raises
        ------
        ValueError
            If the config has no JSON: see `config_as_json`.
        """
        numbers = {"losses": self._losses, "squared_steps": self._squared_steps}
        state = {
            "format": FORMAT,
            "config": config_as_json(self.config),
            "step": self.step,
            **{name: number.hex() for name, number in numbers.items()},
        }
        return safetensors.torch.save(self._tensors(), {_STATE: json.dumps(state)})

    @classmethod
    def restored(cls, config: TrainingConfig, saved: bytes) -> Training:
        """Return the run that `save` described.

        Raises
        ------
        ValueError
            If the bytes are damaged, or are those of another config.
        """
        try:
            tensors = safetensors.torch.load(saved)
            length = int.from_bytes(saved[:8], "little")
            state = json.loads(json.loads(saved[8 : 8 + length])["__metadata__"][_STATE])
            found, step = state["config"], state["step"]
            numbers = [float.fromhex(state[name]) for name in ("losses", "squared_steps")]
        except (safetensors.SafetensorError, LookupError, TypeError, ValueError) as error:
            raise _damaged(error) from error
        _check_config(config, found, state.get("format"))
        run = cls(config)
        run.step, (run._losses, run._squared_steps) = step, numbers
        run._load(tensors)
        return run

    def _take_step(self) -> None:
        """One step of the optimiser, and its record."""
        rate = self.config.step_size_at(self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        finite = all(bool(torch.all(torch.isfinite(p))) for p in self._parameters)
        loss = self._gradient(self._layer, self.step) if finite else float("nan")
        if not np.isfinite(loss):
            raise TrainingDivergedError(
                f"the loss is {loss} after {self.step} steps, the next of size {rate:g}; expected a"
                " finite one: take a smaller step_size (see stable_step_size), or a larger batch"
            )
        before = [p.detach().clone() for p in self._parameters]
        self._optimiser.step()
        self.step += 1
        self._losses += loss
        squares = [_square(p.detach() - b) for p, b in zip(self._parameters, before, strict=True)]
        self._squared_steps += squares[0] - squares[1]
        if (averaged := self.step - self.config.first_averaged) >= 1:
            for average, p in zip(self._averages, self._parameters, strict=True):
                average.lerp_(p.detach(), 1 / averaged)
        if self.step in self.config.checkpoint_steps:
            self._record()

    def _record(self) -> None:
        """Note the weights, the mean loss since the record before, and the squares of the steps."""
        steps = (0, *self.config.checkpoint_steps)
        i = steps.index(self.step)
        self._trace_weights[i - 1] = torch.stack([p.detach() for p in self._parameters])
        mean = self._losses / (steps[i] - steps[i - 1])
        self._trace_numbers[i - 1] = torch.tensor([mean, self._squared_steps], dtype=torch.float64)
        self._losses = 0.0

    def _tensors(self) -> dict[str, torch.Tensor]:
        """All tensors of the state, by name."""
        tensors = {"trace.weights": self._trace_weights, "trace.numbers": self._trace_numbers}
        for i, (p, average) in enumerate(zip(self._parameters, self._averages, strict=True)):
            tensors |= {f"weights.{i}": p.detach(), f"averages.{i}": average}
        for i, moments in self._optimiser.state_dict()["state"].items():
            tensors |= {
                f"optimiser.{i}.{name}": moment
                for name, moment in moments.items()
                if moment is not None
            }
        return tensors

    def _load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take the tensors of `_tensors`."""
        mine = {name: t for name, t in self._tensors().items() if not name.startswith("optimiser.")}
        for name, tensor in mine.items():
            if name not in tensors or tensors[name].shape != tensor.shape:
                found = tuple(tensors[name].shape) if name in tensors else "missing"
                raise _damaged(f"{name} is {found}, expected shape {tuple(tensor.shape)}")
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name in [name for name in tensors if name.startswith("optimiser.")]:
            _, i, moment = name.split(".")
            moments.setdefault(int(i), {})[moment] = tensors.pop(name)
        optimiser = self._optimiser.state_dict()
        self._optimiser.load_state_dict({**optimiser, "state": moments})
        for name, tensor in mine.items():
            tensor.copy_(tensors[name])


def _square(change: torch.Tensor) -> float:
    return float(torch.sum(torch.square(change)))


def _damaged(reason: object) -> ValueError:
    return ValueError(
        f"the saved state of a training run is damaged ({reason}); expected the bytes of"
        " Training.save: start again, or from an older state"
    )


def _check_config(config: TrainingConfig, found: object, version: object) -> None:
    if version != FORMAT:
        raise ValueError(
            f"the saved state of a training run has format {version!r}; expected {FORMAT}: it was"
            " written by another version of iclproof, which can resume it"
        )
    wanted = json.loads(json.dumps(config_as_json(config)))
    if found != wanted:
        raise ValueError(
            f"the saved state is that of another config, {found}; expected {wanted}: resume with"
            " the config it was saved with"
        )
