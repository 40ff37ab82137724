import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from simulations.training import (
    FixedCovarianceTasks,
    LinearSelfAttention,
    RandomDiagonalTasks,
    SoftmaxSelfAttention,
    stable_step_size,
    stable_step_size_on_plane,
)
from simulations.training.gradients import ExactGradient, SampledGradient
from simulations.training.tasks import Tasks
from tests.simulations.training.cases import FIXED, TASKS, weights
from theory import LinearAttention
from theory.laws import Uniform


def on_plane(dim, seed=1):
    rng = np.random.default_rng(seed)
    zero = np.zeros(dim)
    return LinearAttention.from_blocks(zero, zero, 0.4 * rng.standard_normal((dim, dim)), 0.6)


def gradient_of(source, layer, step=0):
    loss = source(layer, step)
    return loss, np.stack([p.grad.numpy().copy() for p in layer.parameters()])


def mean_of_batches(tasks, start, batches=60, batch_size=2000):
    layer, source = LinearSelfAttention(start), SampledGradient(tasks, batch_size, seed=5)
    losses, gradients = zip(*(gradient_of(source, layer, s) for s in range(batches)), strict=True)
    error = np.std(gradients, axis=0, ddof=1) / np.sqrt(batches)
    return losses, np.mean(gradients, axis=0), error


@pytest.mark.parametrize(
    ("tasks", "start"),
    [
        (FIXED, LinearAttention(*weights(2))),
        (FIXED, on_plane(2)),
        (TASKS["long"], on_plane(3)),
        (TASKS["random"], on_plane(3)),
        (TASKS["laws"], on_plane(2)),
        (TASKS["symmetric"], on_plane(3)),
    ],
    ids=["fixed, dense", "fixed", "long", "random", "laws", "symmetric"],
)
def test_exact_gradients_are_means_of_sampled_ones(tasks, start):
    loss, exact = gradient_of(ExactGradient(tasks), LinearSelfAttention(start))
    losses, sampled, error = mean_of_batches(tasks, start)
    assert np.all(np.abs(sampled - exact) <= 5.5 * error)
    assert abs(np.mean(losses) - loss) < 5.5 * np.std(losses, ddof=1) / np.sqrt(len(losses))
    # The power: an error of a fifth of the largest entry would be seen, were it there.
    assert 5.5 * np.max(error[exact != 0]) < 0.2 * np.max(np.abs(exact))


def test_the_gradient_of_an_asymmetric_mixture_leaves_the_plane():
    """dL/du21 = u Lambda ((1 + 2/N) u U'Lambda - I) t with t = E[(w'Lambda w) w].

    As `beyond/task-laws-that-leave-zero` has it.
    """
    tasks, start = TASKS["triangle"], on_plane(3)
    _, sampled, error = mean_of_batches(tasks, start, batches=100)
    lam, (w, pi) = np.array(tasks.covariance), (tasks.mixture.components, tasks.mixture.weights)
    t = (pi * np.einsum("ji,ik,jk->j", w, lam, w)) @ w
    u, U, n = start.u_1, start.U11, tasks.prompt_length
    expected = u * lam @ ((1 + 2 / n) * u * U.T @ lam - np.eye(3)) @ t
    assert np.all(np.abs(sampled[1, -1, :-1] - expected) < 4.5 * error[1, -1, :-1])
    assert np.max(np.abs(expected) / error[1, -1, :-1]) > 20
    assert np.all(np.abs(sampled[0, -1, :-1]) < 4.5 * error[0, -1, :-1])


@pytest.mark.parametrize("kind", [LinearSelfAttention, SoftmaxSelfAttention])
def test_a_sampled_gradient_is_that_of_the_mean_loss(kind):
    start, step = LinearAttention(*weights(2)), 1e-6
    source = SampledGradient(FIXED, 8, seed=0)
    _, gradient = gradient_of(source, kind(start))
    for which in np.ndindex(2, 3, 3):
        moved = np.stack([start.projection_value, start.key_query])
        losses = []
        for sign in (1, -1):
            moved[which] += sign * step
            losses.append(source(kind(LinearAttention(*moved)), 0))
            moved[which] -= sign * step
        slope = (losses[0] - losses[1]) / (2 * step)
        assert gradient[which] == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_on_the_plane_exact_gradients_stay_there():
    for tasks in (FIXED, TASKS["random"], TASKS["symmetric"]):
        _, (value, key) = gradient_of(
            ExactGradient(tasks), LinearSelfAttention(on_plane(tasks.dim))
        )
        assert np.all(value[-1, :-1] == 0)
        assert np.all(key[-1] == 0)


def settles(tasks, layer, step_size, steps=60):
    """Whether gradient descent from near the limit comes nearer to it."""
    layer, source = LinearSelfAttention(layer), ExactGradient(tasks)
    first = np.linalg.norm(gradient_of(source, layer)[1])
    for _ in range(steps):
        source(layer, 0)
        with torch.no_grad():
            for p in layer.parameters():
                p.sub_(step_size * p.grad)
    return np.linalg.norm(gradient_of(source, layer)[1]) < first


@pytest.mark.parametrize("name", ["fixed", "long"])
def test_the_stable_step_size_is_the_largest(name):
    tasks = TASKS[name]
    U, u = tasks.problem.limit()
    off = 1e-6 * np.random.default_rng(0).standard_normal((2, tasks.dim))
    near = LinearAttention.from_blocks(*off, U, u)
    largest = stable_step_size(tasks)
    assert settles(tasks, near, 0.9 * largest)
    assert not settles(tasks, near, 1.1 * largest)
    zero = np.zeros(tasks.dim)
    near = LinearAttention.from_blocks(zero, zero, U + 1e-6, u)
    largest = stable_step_size_on_plane(tasks.problem)
    assert largest > stable_step_size(tasks)
    assert settles(tasks, near, 0.9 * largest)
    assert not settles(tasks, near, 1.1 * largest)


def test_the_stable_step_size_of_a_random_covariance():
    """A law that is nearly constant has that of the fixed covariance."""
    nearly = RandomDiagonalTasks((Uniform(0.999, 1.001), Uniform(1.999, 2.001)), 6)
    fixed = FixedCovarianceTasks(((1.0, 0.0), (0.0, 2.0)), 6)
    assert_allclose(stable_step_size(nearly), stable_step_size(fixed), rtol=2e-3)
    assert stable_step_size(TASKS["random"]) < stable_step_size_on_plane(TASKS["random"].problem)


def test_unknown_tasks_have_no_stable_step_size():
    class Mine(Tasks):
        kind = "mine"
        dim = 2
        problem = FIXED.problem
        keeps_plane = True

        def sample(self, batch_size, rng):
            return FIXED.sample(batch_size, rng)

    with pytest.raises(TypeError, match="Mine has no population loss"):
        stable_step_size(Mine())
