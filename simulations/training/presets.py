"""Runs with names: `smoke` takes seconds, `laptop` under ten minutes on two cores.

What SGD needs to end near u and U, and not only near u U, sets the sizes. A step of size eta on B
prompts moves the balance by eta^2 times the square of the gradient's noise, nearly all of it in
u21, which multiplies the mean of y^2; over a time eta * steps the drift is of order
eta * time / B, whatever the split. So steps are a small part of `stable_step_size`, and starts are
as large as the theorems allow, which shortens the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np

from simulations.training.config import TrainingConfig
from simulations.training.stability import stable_step_size, stable_step_size_on_plane
from simulations.training.starts import Assumption3Start, DenseStart, Start, UnbalancedStart
from simulations.training.tasks import (
    FixedCovarianceTasks,
    Matrix,
    MixtureTasks,
    RandomDiagonalTasks,
    Tasks,
    rows,
)
from theory import convergence_rate
from theory.laws import Exponential

__all__ = ["PresetName", "autoregressive", "presets", "symmetric_mixture", "triangle_mixture"]

PresetName: TypeAlias = Literal["smoke", "laptop"]


def presets(name: PresetName) -> Mapping[str, TrainingConfig]:
    """Return the configs of a preset by their names.

    Raises
    ------
    ValueError
        If there is no preset of this name.
    """
    known = {"smoke": _smoke, "laptop": _laptop}
    if name not in known:
        raise ValueError(f"presets: name is {name!r}; expected one of {', '.join(known)}")
    return known[name]()


def autoregressive(dim: int, correlation: float) -> Matrix:
    """Return Lambda_ij = correlation^|i-j|, positive definite for |correlation| < 1.

    Its eigenvalues are between (1 - r) / (1 + r) and (1 + r) / (1 - r) for r = |correlation|.
    """
    index = np.arange(dim)
    return rows(correlation ** np.abs(np.subtract.outer(index, index)).astype(float))


def symmetric_mixture(prompt_length: int, noise_std: float) -> MixtureTasks:
    """Return the mixture of +-w_1, +-w_2, +-w_3 in three dimensions: it keeps u12 = u21 = 0."""
    half = np.array([[1.2, 0.3, 0.0], [0.0, 1.0, -0.4], [0.3, 0.0, 0.8]])
    components = rows(np.vstack([half, -half]))
    return MixtureTasks(components, autoregressive(3, 0.3), noise_std, prompt_length)


def triangle_mixture(prompt_length: int, noise_std: float) -> MixtureTasks:
    """Return a mixture of three w_j that sum to 0 and have three norms: it leaves u12 = u21 = 0."""
    two = np.array([[2.0, 0.3, 0.0], [-0.6, 0.9, 0.5]])
    components = rows(np.vstack([two, -two.sum(axis=0)]))
    return MixtureTasks(components, autoregressive(3, 0.3), noise_std, prompt_length)


def _exponential(dim: int, prompt_length: int) -> RandomDiagonalTasks:
    return RandomDiagonalTasks((Exponential(1.0),) * dim, prompt_length)


def _sgd(
    tasks: Tasks, start: Start, *, time: float, share: float, batch_size: int
) -> TrainingConfig:
    """SGD for a given time of the flow, with a share of the largest stable step."""
    step_size = _rounded(share * stable_step_size(tasks))
    steps = round(time / step_size)
    return TrainingConfig(
        tasks, start, steps, step_size, batch_size, decay_from=0.7, average_from=0.75
    )


def _rounded(step_size: float) -> float:
    """Three digits: eigenvalues differ in the last bits between machines, configs must not."""
    return float(f"{step_size:.3g}")


def _exact(tasks: Tasks, start: Start, *, relaxations: float, share: float) -> TrainingConfig:
    """Exact gradients on u12 = u21 = 0, for so many times 1 / `convergence_rate`."""
    step_size = _rounded(share * stable_step_size_on_plane(tasks.problem))
    steps = round(relaxations / convergence_rate(tasks.problem) / step_size)
    return TrainingConfig(tasks, start, steps, step_size, gradient="exact")


def _adam(tasks: Tasks, start: Start, *, steps: int, batch_size: int) -> TrainingConfig:
    """Adam, whose first steps move each weight by 0.003."""
    return TrainingConfig(
        tasks, start, steps, 0.003, batch_size, "adam", decay_from=0.5, average_from=0.6
    )


def _softmax(tasks: Tasks, start: Start, *, steps: int, batch_size: int) -> TrainingConfig:
    """SGD on one softmax head."""
    return TrainingConfig(
        tasks,
        start,
        steps,
        0.005,
        batch_size,
        attention="softmax",
        decay_from=0.5,
        average_from=0.8,
    )


def _smoke() -> dict[str, TrainingConfig]:
    fixed = FixedCovarianceTasks(autoregressive(2, 0.3), 10)
    start = Assumption3Start(0.5)
    return {
        "fixed": _sgd(fixed, start, time=5.0, share=0.15, batch_size=128),
        "fixed-exact": _exact(fixed, start, relaxations=10.0, share=0.2),
        "fixed-adam": _adam(fixed, start, steps=300, batch_size=128),
        "fixed-softmax": _softmax(fixed, start, steps=300, batch_size=128),
        "exponential": _sgd(_exponential(2, 10), start, time=3.0, share=0.05, batch_size=128),
        "mixture": _sgd(symmetric_mixture(8, 0.5), start, time=4.0, share=0.15, batch_size=128),
    }


def _laptop() -> dict[str, TrainingConfig]:
    five = FixedCovarianceTasks(autoregressive(5, 0.3), 20)
    twenty = FixedCovarianceTasks(autoregressive(20, 0.2), 40)
    exponential = _exponential(5, 20)
    three = FixedCovarianceTasks(autoregressive(3, 0.3), 20)
    start_5, start_20, start_e = (Assumption3Start(scale) for scale in (0.5, 0.45, 0.19))
    small = Assumption3Start(0.3)
    return {
        "d5": _sgd(five, start_5, time=12.0, share=0.1, batch_size=512),
        "d20": _sgd(twenty, start_20, time=3.0, share=0.33, batch_size=1280),
        "exponential": _sgd(exponential, start_e, time=5.0, share=0.1, batch_size=4096),
        "d5-exact": _exact(five, start_5, relaxations=24.0, share=0.05),
        "d20-exact": _exact(twenty, start_20, relaxations=24.0, share=0.05),
        "exponential-exact": _exact(exponential, start_e, relaxations=24.0, share=0.05),
        "d5-adam": _adam(five, start_5, steps=4000, batch_size=512),
        "exponential-adam": _adam(exponential, start_e, steps=4000, batch_size=512),
        "d5-unbalanced": _sgd(
            five, UnbalancedStart(1.0, 0.3), time=12.0, share=0.1, batch_size=512
        ),
        "d3-dense": _sgd(three, DenseStart(0.1, seed=3), time=25.0, share=0.1, batch_size=256),
        "d3-dense-elsewhere": _sgd(
            three, DenseStart(0.1, seed=0), time=60.0, share=0.1, batch_size=256
        ),
        "mixture-symmetric": _sgd(
            symmetric_mixture(8, 0.5), small, time=50.0, share=0.1, batch_size=512
        ),
        "mixture-triangle": _sgd(
            triangle_mixture(8, 0.5), small, time=40.0, share=0.1, batch_size=512
        ),
        "d5-softmax": _softmax(five, start_5, steps=3000, batch_size=512),
    }
