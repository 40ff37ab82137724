import numpy as np
import pytest
from numpy.testing import assert_allclose

from simulations.training import FixedCovarianceTasks, MixtureTasks, RandomDiagonalTasks, rows
from simulations.training.gradients import held_out_stream, step_stream
from tests.simulations.training.cases import FIXED, MIXTURE, RANDOM, TASKS
from theory import PromptBatch
from theory.linear_attention import embed

ALL = pytest.mark.parametrize("tasks", TASKS.values(), ids=TASKS)


def drawn(tasks, batch_size, seed=0):
    """Prompts, and their parts: covariates with the query, labels, targets."""
    embeddings, targets = tasks.sample(batch_size, np.random.default_rng(seed))
    E = embeddings.numpy()
    return E, E[:, :-1].transpose(0, 2, 1), E[:, -1, :-1], targets.numpy()


@ALL
def test_prompts_are_embedded_as_the_paper_has_it(tasks):
    E, xs, ys, targets = drawn(tasks, 7)
    assert E.shape == (7, tasks.dim + 1, tasks.prompt_length + 1)
    assert E.dtype == targets.dtype == np.float64
    assert np.array_equal(E, embed(PromptBatch(xs, ys)))


@pytest.mark.parametrize("tasks", [FIXED, RANDOM])
def test_one_linear_function_labels_a_prompt_and_answers_its_query(tasks):
    _, xs, ys, targets = drawn(tasks, 50)
    for x, y, target in zip(xs, ys, targets, strict=True):
        w, residual, *_ = np.linalg.lstsq(x[:-1], y, rcond=None)
        assert_allclose(residual, 0, atol=1e-20)
        assert_allclose(x[-1] @ w, target, rtol=1e-6, atol=1e-9)


def within(values, expected, sigmas=5.0):
    """The mean of independent values is the expected one."""
    error = np.std(values, axis=0, ddof=1) / np.sqrt(len(values))
    assert np.all(np.abs(np.mean(values, axis=0) - expected) < sigmas * error)


@pytest.mark.parametrize("tasks", [FIXED, MIXTURE])
def test_covariates_have_the_covariance(tasks):
    _, xs, *_ = drawn(tasks, 20000)
    for column in (0, tasks.prompt_length):
        x = xs[:, column]
        within(x[:, :, None] * x[:, None, :], np.array(tasks.covariance))


def test_a_random_covariance_is_drawn_for_each_prompt():
    _, xs, *_ = drawn(RANDOM, 20000)
    first, second, _ = np.array([[float(m) for m in law.moments] for law in RANDOM.laws]).T
    within(xs[:, -1] ** 2, first)
    # One lambda serves the whole prompt: E x^2 x'^2 = E lambda^2 for two of its columns.
    within(xs[:, 0] ** 2 * xs[:, -1] ** 2, second)
    within(xs[:, 0, 0] * xs[:, 0, 1], 0)


@ALL
def test_labels_and_targets_have_the_moments_of_the_flow(tasks):
    """E target^2 / 2 is the loss of the answer 0, and E target x_query' g is the drive."""
    _, xs, ys, targets = drawn(tasks, 40000)
    within(targets**2 / 2, tasks.problem.loss_at_zero)
    g = np.einsum("bn,bni->bi", ys, xs[:, :-1]) / tasks.prompt_length
    cross = targets[:, None, None] * g[:, :, None] * xs[:, -1][:, None, :]
    within(cross, tasks.problem.from_eigenbasis(tasks.problem.drive))


def test_a_mixture_draws_its_components_with_noise():
    _, xs, ys, targets = drawn(MIXTURE, 20000)
    candidates = xs[:, -1] @ MIXTURE.mixture.components.T
    chosen = np.argmin(np.abs(candidates - targets[:, None]), axis=1)
    assert_allclose(candidates[np.arange(20000), chosen], targets, atol=1e-12)
    assert_allclose(np.bincount(chosen) / 20000, (0.5, 0.2, 0.3), atol=5 * 0.5 / np.sqrt(20000))
    noise = ys - np.einsum("bni,bi->bn", xs[:, :-1], MIXTURE.mixture.components[chosen])
    within(noise, 0)
    within(noise**2, 0.4**2)


def test_which_tasks_keep_the_plane():
    kept = {name: tasks.keeps_plane for name, tasks in TASKS.items()}
    assert [name for name, keeps in kept.items() if not keeps] == ["mixture", "triangle"]
    # Centred components of equal norms keep it, too: three at angles of 120 degrees.
    angles = 2 * np.pi * np.arange(3) / 3
    simplex = rows(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert MixtureTasks(simplex, rows(np.eye(2)), 0.1, 5).keeps_plane
    assert not MixtureTasks(simplex, rows(np.diag([1.0, 2.0])), 0.1, 5).keeps_plane


def test_every_step_has_prompts_of_its_own():
    first = [step_stream(seed, step).random() for seed in range(5) for step in range(200)]
    first += [held_out_stream(seed).random() for seed in range(5)]
    assert len(set(first)) == 1005
    assert step_stream(3, 7).random() == step_stream(3, 7).random()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FixedCovarianceTasks(((1.0, 2.0), (2.0, 1.0)), 5), "positive definite"),
        (lambda: FixedCovarianceTasks(((1.0,),), 0), r"prompt_length \(N\) is 0"),
        (lambda: RandomDiagonalTasks((), 5), "laws is empty"),
        (lambda: MixtureTasks(((1.0, 2.0),), ((1.0,),), 0.1, 5), "dimension 2 and covariance 1"),
        (lambda: MixtureTasks(((1.0,),), ((1.0,),), -0.1, 5), "noise_std is -0.1"),
        (lambda: MixtureTasks(((0.0,),), ((1.0,),), 0.1, 5), "task_covariance .S. is zero"),
        (lambda: MixtureTasks(((1.0,),), ((1.0,),), 0.1, 5, (0.4,)), "sum to 0.4"),
        (lambda: rows([1.0, 2.0]), "add the missing axes"),
        (lambda: rows([[np.nan]]), "finite"),
    ],
)
def test_bad_tasks(make, message):
    with pytest.raises(ValueError, match=message):
        make()
