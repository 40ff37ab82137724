"""What training gives: weights, their way there, and how far they are from the theorems' limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float

from simulations.training.config import TrainingConfig
from simulations.training.gradients import held_out_stream
from simulations.training.linear_attention import LinearSelfAttention, SelfAttention
from simulations.training.softmax_attention import SoftmaxSelfAttention
from theory import FlowState, LinearAttention, PromptBatch
from theory.full_flow import balance_of_layer
from theory.linear_attention import embed
from theory.population_loss import LayerBlocks

__all__ = [
    "Estimate",
    "HeldOutRisk",
    "LimitComparison",
    "Trace",
    "TrainedAttention",
    "torch_layer",
]

#: Held-out prompts that are in memory at once.
_CHUNK = 2048


def torch_layer(config: TrainingConfig, weights: LinearAttention) -> SelfAttention:
    """Return the torch module of a config with these weights."""
    if config.attention == "softmax":
        return SoftmaxSelfAttention(weights)
    return LinearSelfAttention(weights)


class Estimate(NamedTuple):
    """A sample mean and its standard error."""

    mean: float
    standard_error: float


@dataclass(frozen=True)
class HeldOutRisk:
    """Risks, E (prediction - w'x_query)^2, on the same prompts, which no step has seen.

    Attributes
    ----------
    trained
        Of the trained layer.
    limit
        Of linear attention with the limit's weights.
    excess
        The difference of the two, prompt by prompt: its standard error is far below theirs.
    """

    trained: Estimate
    limit: Estimate
    excess: Estimate


@dataclass(frozen=True)
class Trace:
    """The weights along training, as they were: not averages.

    Attributes
    ----------
    steps
        Numbers of steps taken, shape (checkpoints,).
    projection_value, key_query
        W^PV and W^KQ after them, shape (checkpoints, d+1, d+1).
    loss
        The mean loss over the steps since the checkpoint before, half the mean squared error:
        noisy for batches, exact for exact gradients; shape (checkpoints,).
    squared_steps
        The sum over all steps so far of |df|^2 - |dV|^2, where df and dV are the changes of
        f = (u12, u_1) and of V = (U11, u21), shape (checkpoints,).

    Notes
    -----
    For every batch <f, dL/df> = <V, dL/dV>, since the prediction is bilinear in f and V. So a step
    of SGD changes the balance |f|^2 - |V|^2 by exactly eta^2 (|dL/df|^2 - |dL/dV|^2): its whole
    drift is `squared_steps`, for linear attention. That is of order eta over a given time of the
    flow, eta * steps; noise adds to it what it adds to the squares. Adam is not bound by this.
    """

    steps: npt.NDArray[np.int64]
    projection_value: Float[np.ndarray, "checkpoints rows rows"]
    key_query: Float[np.ndarray, "checkpoints rows rows"]
    loss: Float[np.ndarray, " checkpoints"]
    squared_steps: Float[np.ndarray, " checkpoints"]

    @property
    def balance(self) -> Float[np.ndarray, " checkpoints"]:
        """|u12|^2 + u_1^2 - |U11|_F^2 - |u21|^2, which gradient flow keeps."""
        layers = zip(self.projection_value, self.key_query, strict=True)
        return np.array([_balance(LinearAttention(*layer)) for layer in layers])


@dataclass(frozen=True)
class LimitComparison:
    """How far a trained layer is from a limit of the flow.

    Attributes
    ----------
    limit
        (U, u), with the sign of the trained u: both signs predict alike.
    u_error, U_error, product_error
        |u - u*| / |u*|, |U - U*|_F / |U*|_F and |u U - u* U*|_F / |u* U*|_F.
    off_plane
        |(u12, u21)| / |(U, u)|: 0 at the limit.
    risk_error
        (risk - risk*) / risk*, estimated on the prompts of `TrainedAttention.held_out_risk`.
    """

    limit: FlowState
    u_error: float
    U_error: float
    product_error: float
    off_plane: float
    risk_error: Estimate


@dataclass(frozen=True)
class TrainedAttention:
    """The result of training.

    Attributes
    ----------
    config
        What was trained, and how.
    projection_value, key_query
        W^PV and W^KQ, shape (d+1, d+1): averages of the last weights if the config says so.
    trace
        The way there.
    """

    config: TrainingConfig
    projection_value: Float[np.ndarray, "rows rows"]
    key_query: Float[np.ndarray, "rows rows"]
    trace: Trace

    @property
    def weights(self) -> LinearAttention:
        """The weights with the names of their blocks; of softmax attention too."""
        return LinearAttention(self.projection_value, self.key_query)

    @property
    def u(self) -> float:
        """The weight u_{-1}."""
        return self.weights.u_1

    @property
    def U(self) -> Float[np.ndarray, "d d"]:
        """The weights U_11, shape (d, d)."""
        return self.weights.U11

    @property
    def product(self) -> Float[np.ndarray, "d d"]:
        """The matrix u U, which the predictions on u12 = u21 = 0 depend on, shape (d, d)."""
        return self.u * self.U

    @property
    def balance(self) -> float:
        """|u12|^2 + u_1^2 - |U11|_F^2 - |u21|^2 of the result."""
        return _balance(self.weights)

    @property
    def start_balance(self) -> float:
        """The same at the start: 0 under Assumption 3."""
        return _balance(self.config.start.layer(self.config.tasks.problem))

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Predict the label of the query, shape (batch,).

        Raises
        ------
        ValueError
            If the prompts have another dimension than the layer, or no examples.
        """
        if prompts.dim != self.weights.dim or prompts.num_examples == 0:
            raise ValueError(
                f"the prompts have dimension {prompts.dim} and {prompts.num_examples} examples;"
                f" expected dimension {self.weights.dim}, that of the layer, and at least one"
            )
        with torch.no_grad():
            layer = torch_layer(self.config, self.weights)
            return layer.predict(torch.from_numpy(embed(prompts))).numpy()

    def compare(self, balance: float | None = None) -> LimitComparison:
        """Compare the weights with the limit of gradient flow.

        Parameters
        ----------
        balance
            u^2 - |U|_F^2 of the limit. None means that of the start, which the flow keeps: for a
            start of Assumption 3 the limit is then that of Theorem 4, or of Theorem 8. With
            `TrainedAttention.balance` it tells what is left once the drift of the balance is
            accounted for.

        Raises
        ------
        ValueError
            For softmax attention, of whose weights no theorem tells the limit.

        Notes
        -----
        The flow is at this limit only if it ends on u12 = u21 = 0 in a global minimum; see
        `theory.gradient_flow.initialisation` and `theory.full_flow`.
        """
        if self.config.attention != "linear":
            raise ValueError(
                "compare: the weights of softmax attention have no limit in closed form; compare"
                " risks with held_out_risk"
            )
        target = self.config.tasks.problem.limit(self.start_balance if balance is None else balance)
        sign = -1.0 if self.u < 0 else 1.0
        limit = FlowState(sign * target.U, sign * target.u)
        product = limit.u * limit.U
        risk = self.held_out_risk()
        off = np.hypot(np.linalg.norm(self.weights.u12), np.linalg.norm(self.weights.u21))
        return LimitComparison(
            limit=limit,
            u_error=abs(self.u - limit.u) / abs(limit.u),
            U_error=_relative(self.U, limit.U),
            product_error=_relative(self.product, product),
            off_plane=float(off / np.hypot(self.u, np.linalg.norm(self.U))),
            risk_error=Estimate(*(part / risk.limit.mean for part in risk.excess)),
        )

    def held_out_risk(self, num_prompts: int = 16384) -> HeldOutRisk:
        """Estimate the risk on prompts of the training law, beside that of the limit's predictor.

        Raises
        ------
        ValueError
            If `num_prompts` < 2.
        """
        if num_prompts < 2:
            raise ValueError(f"held_out_risk: num_prompts is {num_prompts}; expected at least 2")
        tasks, zero = self.config.tasks, np.zeros(self.weights.dim)
        trained = torch_layer(self.config, self.weights)
        target = LinearAttention.from_blocks(zero, zero, tasks.problem.minimiser, 1.0)
        limit = LinearSelfAttention(target)
        rng, squares = held_out_stream(self.config.seed), []
        for first in range(0, num_prompts, _CHUNK):
            embeddings, targets = tasks.sample(min(_CHUNK, num_prompts - first), rng)
            with torch.no_grad():
                answers = torch.stack([layer.predict(embeddings) for layer in (trained, limit)])
            squares.append(torch.square(answers - targets).numpy())
        of_trained, of_limit = np.concatenate(squares, axis=1)
        return HeldOutRisk(
            _estimate(of_trained), _estimate(of_limit), _estimate(of_trained - of_limit)
        )


def _balance(layer: LinearAttention) -> float:
    return balance_of_layer(LayerBlocks(layer.u12, layer.u21, layer.U11, layer.u_1))


def _relative(given: Float[np.ndarray, "d d"], expected: Float[np.ndarray, "d d"]) -> float:
    return float(np.linalg.norm(given - expected) / np.linalg.norm(expected))


def _estimate(values: Float[np.ndarray, " n"]) -> Estimate:
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values))))
