"""One layer of attention trained for real, against the limits of Zhang et al. in closed form.

>>> from simulations.training import Assumption3Start, FixedCovarianceTasks, TrainingConfig, train
>>> tasks = FixedCovarianceTasks(covariance=((1.0, 0.3), (0.3, 1.0)), prompt_length=10)
>>> start = Assumption3Start(scale=0.4)
>>> config = TrainingConfig(tasks, start, steps=200, step_size=0.1, gradient="exact")
>>> trained = train(config)
>>> trained.compare().product_error < 1e-6
True

`TrainedAttention.compare` tells how far u, U and u U are from Theorem 4 or 8; `presets` are the
runs that we did ourselves.
"""

from simulations.training.config import TrainingConfig
from simulations.training.config_json import config_as_json, config_from_json
from simulations.training.linear_attention import LinearSelfAttention
from simulations.training.result import (
    Estimate,
    HeldOutRisk,
    LimitComparison,
    Trace,
    TrainedAttention,
)
from simulations.training.softmax_attention import SoftmaxSelfAttention
from simulations.training.stability import stable_step_size, stable_step_size_on_plane
from simulations.training.starts import Assumption3Start, DenseStart, UnbalancedStart
from simulations.training.tasks import (
    FixedCovarianceTasks,
    MixtureTasks,
    RandomDiagonalTasks,
    rows,
)
from simulations.training.trainer import Training, TrainingDivergedError, resume, train

__all__ = [
    "Assumption3Start",
    "DenseStart",
    "Estimate",
    "FixedCovarianceTasks",
    "HeldOutRisk",
    "LimitComparison",
    "LinearSelfAttention",
    "MixtureTasks",
    "RandomDiagonalTasks",
    "SoftmaxSelfAttention",
    "Trace",
    "TrainedAttention",
    "Training",
    "TrainingConfig",
    "TrainingDivergedError",
    "UnbalancedStart",
    "config_as_json",
    "config_from_json",
    "resume",
    "rows",
    "stable_step_size",
    "stable_step_size_on_plane",
    "train",
]
