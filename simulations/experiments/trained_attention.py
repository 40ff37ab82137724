"""One layer of attention trained for real, beside the limits of Theorems 4 and 8 in closed form.

The config is a `simulations.training.TrainingConfig`. The preset `laptop` is the whole study: SGD
and Adam on sampled prompts, exact gradients with the step halved again and again, starts with and
without Assumption 3, mixtures that keep u12 = u21 = 0 or leave it, and a softmax head beside.

Arrays of a run (errors of predictions are squared errors against w'x_query, divided by d):

- ``projection_value``, ``key_query``: the trained W^PV and W^KQ.
- ``trace/...``: ``steps``, ``time`` (the sum of the step sizes), ``projection_value``,
  ``key_query``, ``loss``, ``squared_steps``, ``balance``, and ``u_error``, ``U_error``,
  ``product_error``, relative to the limit: of the weights as they were, not of averages.
- ``flow/u``, ``flow/U``: the gradient flow from the same start at these times; NaN where training
  does not follow it (Adam, softmax, tasks or starts that leave u12 = u21 = 0).
- ``limit/u``, ``limit/U``: the limit of the flow with the balance of the start.
- ``error/u``, ``error/U``, ``error/product``, ``error/off_plane``: of the result, as in
  `simulations.training.LimitComparison`; NaN for softmax. ``explained/u``, ``explained/U``: the
  same against the limit with the balance that the result has, so without the drift of the balance.
- ``balance``, ``start_balance``: |u12|^2 + u^2 - |U|_F^2 - |u21|^2 of result and start.
- ``num_examples``, and ``trained/mean|low|high``, ``limit/...``, ``excess/...``: the errors on new
  prompts of these lengths, of the layer and of the limit's predictor, with the bootstrap band of
  90 % and the ``standard_error``; ``excess`` is the difference of the two, on the same prompts.
- ``scale``, and ``scaled_trained/...``, ``scaled_limit/...``: the same where every covariate and
  label is multiplied by a scale, at the length of training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float

from simulations.bootstrap import bootstrap_band
from simulations.experiments.experiment import Arrays, Checkpoint, Experiment, Preset
from simulations.experiments.layer_errors import stream
from simulations.training import (
    FixedCovarianceTasks,
    LinearSelfAttention,
    MixtureTasks,
    RandomDiagonalTasks,
    TrainedAttention,
    Training,
    TrainingConfig,
    config_as_json,
    config_from_json,
)
from simulations.training.presets import presets
from simulations.training.result import torch_layer
from simulations.training.tasks import Tasks
from theory import FlowState, LinearAttention, solve_flow_from

__all__ = ["EXPERIMENTS", "HALVINGS", "TRAINED"]

#: The runs with exact gradients that are repeated with other step sizes, and the factors: labels
#: such as ``d5-exact-step-0.5`` and ``d5-exact-step-4``.
HALVINGS: Mapping[str, tuple[float, ...]] = {
    "d5-exact": (8.0, 4.0, 2.0, 0.5),
    "exponential-exact": (8.0, 4.0, 2.0, 0.5),
}

#: New prompts at each length and scale.
_PROMPTS = 8192

#: Streams of the seed, beside those of the steps and of the held-out risk.
_NEW_PROMPTS, _BOOTSTRAP = 2, 3

#: Prompts that are in memory at once, times their length.
_CHUNK = 2**17

#: Lengths of new prompts in units of N, and scales of covariates.
_LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)

_Tasks: TypeAlias = FixedCovarianceTasks | RandomDiagonalTasks | MixtureTasks
_Squares: TypeAlias = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]


def _parts(config: TrainingConfig) -> tuple[str, ...]:
    return ("run",)


def _compute(config: TrainingConfig, part: str, checkpoint: Checkpoint) -> Arrays:
    """Train, from the checkpoint if there is one, and judge."""
    saved = checkpoint.load()
    run = Training(config) if saved is None else Training.restored(config, saved)
    for step in config.checkpoint_steps:
        if step > run.step:
            run.advance(step)
            checkpoint.save(run.save())
    trained = run.result()
    return {
        "projection_value": trained.projection_value,
        "key_query": trained.key_query,
        **_trace(trained),
        **_comparison(trained),
        **_new_prompts(trained),
    }


def _combine(config: TrainingConfig, parts: Mapping[str, Arrays]) -> Arrays:
    return parts["run"]


def _trace(trained: TrainedAttention) -> Arrays:
    """The way of the weights, beside that of the flow."""
    config, trace = trained.config, trained.trace
    sizes = np.cumsum([config.step_size_at(step) for step in range(config.steps)])
    times = sizes[trace.steps - 1]
    limit = _limit(trained)
    errors = [
        _errors(LinearAttention(*weights), limit)
        for weights in zip(trace.projection_value, trace.key_query, strict=True)
    ]
    u, U, product = np.array(errors).T
    own = {field.name: getattr(trace, field.name) for field in dataclasses.fields(trace)}
    return {
        **{f"trace/{name}": values for name, values in own.items()},
        "trace/time": times,
        "trace/balance": trace.balance,
        "trace/u_error": u,
        "trace/U_error": U,
        "trace/product_error": product,
        **_flow(trained, times),
    }


def _flow(trained: TrainedAttention, times: Float[np.ndarray, " checkpoints"]) -> Arrays:
    """Follow the flow where training does."""
    config = trained.config
    d, n = config.tasks.dim, len(times)
    follows = (
        (config.optimiser, config.attention) == ("sgd", "linear")
        and config.start.on_plane
        and config.tasks.keeps_plane
    )
    if not follows:
        return {"flow/u": np.full(n, np.nan), "flow/U": np.full((n, d, d), np.nan)}
    start = config.start.layer(config.tasks.problem)
    flow = solve_flow_from(config.tasks.problem, FlowState(start.U11, start.u_1))
    states = [flow(t) for t in times]
    return {
        "flow/u": np.array([state.u for state in states]),
        "flow/U": np.array([state.U for state in states]),
    }


def _limit(trained: TrainedAttention, balance: float | None = None) -> FlowState:
    """The limit of the flow, with the sign of the trained u: both signs predict alike."""
    target = trained.config.tasks.problem.limit(
        trained.start_balance if balance is None else balance
    )
    sign = -1.0 if trained.u < 0 else 1.0
    return FlowState(sign * target.U, sign * target.u)


def _errors(weights: LinearAttention, limit: FlowState) -> tuple[float, float, float]:
    """Relative errors of u, U and u U."""
    product = limit.u * limit.U
    return (
        abs(weights.u_1 - limit.u) / abs(limit.u),
        float(np.linalg.norm(weights.U11 - limit.U) / np.linalg.norm(limit.U)),
        float(np.linalg.norm(weights.u_1 * weights.U11 - product) / np.linalg.norm(product)),
    )


def _comparison(trained: TrainedAttention) -> Arrays:
    """The result against the limit."""
    limit, weights = _limit(trained), trained.weights
    errors: tuple[float, ...] = (*_errors(weights, limit), _off_plane(weights))
    explained = _errors(weights, _limit(trained, trained.balance))[:2]
    if trained.config.attention == "softmax":
        # Its weights mean something else: no theorem tells their limit.
        errors, explained = (np.nan,) * 4, (np.nan,) * 2
    names = ("error/u", "error/U", "error/product", "error/off_plane", "explained/u", "explained/U")
    numbers = dict(zip(names, (*errors, *explained), strict=True))
    numbers |= {"limit/u": limit.u, "balance": trained.balance}
    numbers |= {"start_balance": trained.start_balance}
    return {"limit/U": limit.U, **{name: np.array(value) for name, value in numbers.items()}}


def _off_plane(weights: LinearAttention) -> float:
    """|(u12, u21)| / |(U, u)|."""
    off = np.hypot(np.linalg.norm(weights.u12), np.linalg.norm(weights.u21))
    return float(off / np.hypot(weights.u_1, np.linalg.norm(weights.U11)))


def _new_prompts(trained: TrainedAttention) -> Arrays:
    """Errors on new prompts of other lengths, and of other scales."""
    tasks = _known(trained.config.tasks)
    N, d = tasks.prompt_length, tasks.dim
    lengths = np.unique([max(1, round(N * factor)) for factor in _LENGTHS])
    at_length = [_squares(trained, int(length), 1.0, i) for i, length in enumerate(lengths)]
    at_scale = [_squares(trained, N, scale, len(lengths) + i) for i, scale in enumerate(_SCALES)]
    curves: dict[str, list[Float[np.ndarray, " n"]]] = {
        "trained": [own for own, _ in at_length],
        "limit": [best for _, best in at_length],
        "excess": [own - best for own, best in at_length],
        "scaled_trained": [own for own, _ in at_scale],
        "scaled_limit": [best for _, best in at_scale],
    }
    arrays: dict[str, np.ndarray] = {
        "num_examples": lengths.astype(np.int64),
        "scale": np.array(_SCALES),
    }
    for name, squares in curves.items():
        rng = stream(trained.config.seed, _BOOTSTRAP)
        arrays |= bootstrap_band(np.stack(squares, axis=1) / d, rng).as_arrays(name)
    return arrays


def _squares(trained: TrainedAttention, length: int, scale: float, number: int) -> _Squares:
    """Squared errors of the trained layer and of the limit's predictor on the same prompts."""
    config = trained.config
    tasks = dataclasses.replace(_known(config.tasks), prompt_length=length)
    zero = np.zeros(tasks.dim)
    target = LinearAttention.from_blocks(zero, zero, config.tasks.problem.minimiser, 1.0)
    layers = (torch_layer(config, trained.weights), LinearSelfAttention(target))
    rng, squares = stream(config.seed, _NEW_PROMPTS, number), []
    for size in _chunks(_PROMPTS, max(2, _CHUNK // length)):
        embeddings, targets = tasks.sample(size, rng)
        with torch.no_grad():
            answers = torch.stack([layer.predict(scale * embeddings) for layer in layers])
        squares.append(torch.square(answers - scale * targets).numpy())
    own, best = np.concatenate(squares, axis=1)
    return own, best


def _known(tasks: Tasks) -> _Tasks:
    """Tasks whose prompts can be made longer."""
    if isinstance(tasks, FixedCovarianceTasks | RandomDiagonalTasks | MixtureTasks):
        return tasks
    raise TypeError(
        f"{type(tasks).__name__} cannot change the length of its prompts; expected one of"
        " simulations.training.tasks"
    )


def _chunks(total: int, size: int) -> Iterator[int]:
    for first in range(0, total, size):
        yield min(size, total - first)


class _Presets(Mapping[Preset, Mapping[str, TrainingConfig]]):
    """The configs, made when they are asked for: their step sizes are found by curvatures."""

    _makers: Mapping[Preset, Callable[[], Mapping[str, TrainingConfig]]]

    def __init__(self) -> None:
        self._makers = {"smoke": lambda: presets("smoke"), "laptop": _laptop}
        self._made: dict[Preset, Mapping[str, TrainingConfig]] = {}

    def __getitem__(self, name: Preset) -> Mapping[str, TrainingConfig]:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[Preset]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def _laptop() -> Mapping[str, TrainingConfig]:
    """The preset, with the exact runs at other step sizes over the same time of the flow."""
    configs = dict(presets("laptop"))
    for label, factors in HALVINGS.items():
        for factor in factors:
            config = configs[label]
            configs[f"{label}-step-{factor:g}"] = dataclasses.replace(
                config,
                steps=max(round(config.steps / factor), config.checkpoints),
                step_size=config.step_size * factor,
            )
    return configs


TRAINED = Experiment(
    name="zhang2024-trained",
    title="One layer of linear self-attention, trained, beside Theorems 4 and 8",
    source="Zhang et al. 2024, Theorems 4 and 8; the runs are ours",
    config_type=TrainingConfig,
    parts=_parts,
    compute=_compute,
    combine=_combine,
    presets=_Presets(),
    encode=config_as_json,
    decode=config_from_json,
)

EXPERIMENTS: tuple[Experiment[TrainingConfig], ...] = (TRAINED,)
