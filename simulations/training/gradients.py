"""Where the gradients come from: fresh prompts, or the population loss in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from simulations.training.linear_attention import SelfAttention
from simulations.training.tasks import FixedCovarianceTasks, Tasks
from theory import FlowState, PopulationLoss
from theory.population_loss import LayerBlocks

__all__ = ["ExactGradient", "GradientSource", "SampledGradient", "held_out_stream", "step_stream"]


def step_stream(seed: int, step: int) -> np.random.Generator:
    """Return the generator of the prompts of one step.

    Each step has its own: the state of the random numbers is the number of the step.
    """
    key = np.random.SeedSequence(seed, spawn_key=(0, step))
    return np.random.Generator(np.random.SFC64(key))


def held_out_stream(seed: int) -> np.random.Generator:
    """Return the generator of prompts that no step sees."""
    key = np.random.SeedSequence(seed, spawn_key=(1,))
    return np.random.Generator(np.random.SFC64(key))


class GradientSource(Protocol):
    """What fills in the gradients of a layer."""

    def __call__(self, layer: SelfAttention, step: int) -> float:
        """Set the `grad` of both parameters for this step, and return the loss."""
        ...


@dataclass(frozen=True)
class SampledGradient:
    """The gradient of half the mean squared error of a batch that is drawn for this step.

    Parameters
    ----------
    tasks, batch_size, seed
        As in `TrainingConfig`.
    """

    tasks: Tasks
    batch_size: int
    seed: int

    def __call__(self, layer: SelfAttention, step: int) -> float:
        embeddings, targets = self.tasks.sample(self.batch_size, step_stream(self.seed, step))
        layer.projection_value.grad = layer.key_query.grad = None
        loss = torch.mean(torch.square(layer.predict(embeddings) - targets)) / 2
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return float(loss.detach())


class ExactGradient:
    """The gradient of the population loss, for linear attention.

    Parameters
    ----------
    tasks
        For a fixed covariance the loss is `theory.PopulationLoss`, of all weights; for other tasks
        `FlowProblem.loss`, for layers on u12 = u21 = 0 that stay there.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._problem = tasks.problem
        self._whole = None
        if isinstance(tasks, FixedCovarianceTasks):
            self._whole = PopulationLoss(np.array(tasks.covariance), tasks.prompt_length)

    def __call__(self, layer: SelfAttention, step: int) -> float:
        value = layer.projection_value.detach().numpy()
        key = layer.key_query.detach().numpy()
        blocks = LayerBlocks(value[-1, :-1], key[-1, :-1], key[:-1, :-1], float(value[-1, -1]))
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # an infinite loss is told by the trainer
            loss, gradient = self._at(blocks)
        by_value, by_key = np.zeros_like(value), np.zeros_like(key)
        by_value[-1] = np.append(gradient.u12, gradient.u_1)
        by_key[:, :-1] = np.vstack([gradient.U11, gradient.u21])
        layer.projection_value.grad = torch.from_numpy(by_value)
        layer.key_query.grad = torch.from_numpy(by_key)
        return loss

    def _at(self, blocks: LayerBlocks) -> tuple[float, LayerBlocks]:
        """Return the loss and its gradient."""
        if self._whole is not None:
            return self._whole(*blocks), self._whole.gradient(*blocks)
        state, zero = FlowState(blocks.U11, blocks.u_1), np.zeros_like(blocks.u12)
        by = self._problem.gradient(state)
        return self._problem.loss(state), LayerBlocks(zero, zero, by.U, by.u)
