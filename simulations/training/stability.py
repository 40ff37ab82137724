"""How large a step may be: the curvature of the population loss at the limit of the flow.

Across u12 = u21 = 0 the loss is far steeper than on it: u21 multiplies the mean of y^2 over the
prompt, of size tr(Lambda), so that its curvature is about u^2 tr(Lambda)^2 |Lambda| while those on
the set stay bounded as d grows. Exact gradients never leave the set and may take the larger step;
noise does leave it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from simulations.training.tasks import (
    FixedCovarianceTasks,
    MixtureTasks,
    RandomDiagonalTasks,
    Tasks,
)
from theory import FlowProblem, PopulationLoss, spectrum
from theory.population_loss import LayerBlocks

__all__ = ["stable_step_size", "stable_step_size_on_plane"]

#: Covariances that the curvature of a random one is averaged over, and the seed they come from.
_DRAWS, _SEED = 256, 0


def stable_step_size(tasks: Tasks) -> float:
    """Return 2 / (largest eigenvalue of the Hessian by all weights at the balanced limit).

    Gradient descent with a larger constant step does not settle there once noise has moved it off
    u12 = u21 = 0. For a random covariance the Hessian is a mean over 256 drawn ones; for a mixture
    it is that of Gaussian tasks with the same second moments.

    Raises
    ------
    TypeError
        If the tasks are none of `simulations.training.tasks`.
    """
    U, u = tasks.problem.limit()
    zero = np.zeros(tasks.dim)
    limit = LayerBlocks(zero, zero, U, u)
    hessian = np.mean([loss.hessian(*limit) for loss in _losses(tasks)], axis=0)
    return 2 / float(np.linalg.eigvalsh(hessian)[-1])


def stable_step_size_on_plane(problem: FlowProblem) -> float:
    """Return the same for steps that stay on u12 = u21 = 0: 2 / max(`theory.spectrum`)."""
    return 2 / float(spectrum(problem)[-1])


def _losses(tasks: Tasks) -> list[PopulationLoss]:
    """Losses whose mean is that of the tasks."""
    if isinstance(tasks, FixedCovarianceTasks):
        return [PopulationLoss(np.array(tasks.covariance), tasks.prompt_length)]
    if isinstance(tasks, MixtureTasks):
        S = tasks.task_covariance
        lam = np.array(tasks.covariance)
        return [PopulationLoss(lam, tasks.prompt_length, S, tasks.noise_std)]
    if isinstance(tasks, RandomDiagonalTasks):
        rng = np.random.default_rng(_SEED)
        drawn: Float[np.ndarray, "draws d"]
        drawn = np.stack([law.sample(rng, (_DRAWS,)) for law in tasks.laws], axis=1)
        return [PopulationLoss(np.diag(row), tasks.prompt_length) for row in drawn]
    raise TypeError(
        f"stable_step_size: {type(tasks).__name__} has no population loss of all weights; expected"
        " one of simulations.training.tasks"
    )
