"""Training against Theorems 4 and 8: the limits, and how finite steps and noise miss them."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simulations.training import (
    Assumption3Start,
    DenseStart,
    FixedCovarianceTasks,
    TrainingConfig,
    UnbalancedStart,
    stable_step_size,
    stable_step_size_on_plane,
    train,
)
from simulations.training.presets import autoregressive, presets
from tests.simulations.training.cases import FIXED, QUICK, TASKS, preset
from theory import (
    FlowState,
    LinearAttention,
    PopulationLoss,
    convergence_rate,
    printed_bounds,
    solve_flow_from,
)
from theory.full_flow import solve_full_flow
from theory.gradient_flow.settings import FixedCovariance, RandomDiagonalCovariance
from theory.population_loss import LayerBlocks

START = Assumption3Start(0.4, seed=1)

#: Near the identity, where few steps are enough: the rates of all directions are alike.
NEAR = FixedCovarianceTasks(autoregressive(2, 0.1), 6)


def exact(tasks, start, share):
    """Exact gradients with a share of the largest step, until errors fall to e^-20."""
    problem = tasks.problem
    step_size = share * stable_step_size_on_plane(problem)
    first = start.layer(problem)
    balance = problem.balance(FlowState(first.U11, first.u_1))
    steps = round(20 / convergence_rate(problem, balance) / step_size)
    return train(TrainingConfig(tasks, start, steps, step_size, gradient="exact", checkpoints=2))


@pytest.fixture(scope="module", params=[NEAR, TASKS["random"]], ids=["fixed", "random"])
def halved(request):
    """Exact gradients with two step sizes, the second half the first."""
    return [exact(request.param, START, share) for share in (0.12, 0.06)]


def test_exact_gradients_reach_the_product_to_1e_8(halved):
    for trained in halved:
        assert trained.compare().product_error < 1e-8
        assert trained.compare().off_plane == 0


def test_u_and_U_are_of_first_order_in_the_step_size(halved):
    """Halving the step halves the errors; two steps together, extrapolated, have hardly any."""
    first, second = halved
    errors = np.array([[c.u_error, c.U_error] for c in (t.compare() for t in halved)])
    assert_allclose(errors[0] / errors[1], 2, rtol=0.04)
    assert np.min(errors) > 1e-4
    limit = first.compare().limit
    assert abs(2 * second.u - first.u - limit.u) < 0.08 * abs(second.u - limit.u)
    gap = np.linalg.norm(second.U - limit.U)
    assert np.linalg.norm(2 * second.U - first.U - limit.U) < 0.08 * gap


def test_the_first_order_is_that_of_the_flow(halved):
    """The balance drifts by eta int (|du/dt|^2 - |dU/dt|_F^2) dt along the exact flow."""
    trained = halved[1]
    problem, step_size = trained.config.tasks.problem, trained.config.step_size
    start = trained.config.start.layer(problem)
    flow = solve_flow_from(problem, FlowState(start.U11, start.u_1))
    nodes, weights = np.polynomial.legendre.leggauss(60)
    times = 8 / convergence_rate(problem) * (1 + nodes) / 2
    slopes = [problem.gradient(flow(t)) for t in times]
    rates = np.array([g.u**2 - np.sum(g.U**2) for g in slopes])
    drift = step_size * 4 / convergence_rate(problem) * float(weights @ rates)
    assert trained.balance == pytest.approx(drift, rel=0.08)
    # u^2 = (c + sqrt(c^2 + 4 |A|^2)) / 2, so that du = dc / (4 u) at balance 0.
    limit = problem.limit()
    assert trained.u - limit.u == pytest.approx(drift / (4 * limit.u), rel=0.08)
    assert trained.compare(trained.balance).u_error < 1e-8
    assert trained.compare(trained.balance).U_error < 1e-8


@pytest.mark.parametrize("start", [UnbalancedStart(0.9, 0.2), UnbalancedStart(0.2, 0.9)])
def test_without_assumption_3_the_limit_has_the_balance_of_the_start(start):
    trained = exact(NEAR, start, 0.06)
    own, theorem = trained.compare(), trained.compare(balance=0.0)
    assert own.product_error < 1e-8
    assert own.u_error < 0.01
    assert theorem.product_error < 1e-8
    assert theorem.u_error > 0.1


@pytest.mark.parametrize(("seed", "elsewhere"), [(0, False), (2, True)])
def test_dense_starts_may_end_elsewhere(seed, elsewhere):
    """Where the flow of all weights goes: to the theorem's limit, or to a minimum off the plane."""
    tasks = FixedCovarianceTasks(autoregressive(2, 0.1), 20)
    loss = PopulationLoss(np.array(tasks.covariance), tasks.prompt_length)
    step_size, steps = 0.3 * stable_step_size(tasks), 300
    config = TrainingConfig(
        tasks, DenseStart(0.3, seed), steps, step_size, gradient="exact", checkpoints=2
    )
    trained = train(config)
    start, end = config.start.layer(tasks.problem), trained.weights
    blocks = [LayerBlocks(w.u12, w.u21, w.U11, w.u_1) for w in (start, end)]
    flow = solve_full_flow(loss, blocks[0], horizon=steps * step_size)
    expected = loss(*flow(flow.horizon)) - tasks.problem.minimal_loss
    assert loss(*blocks[1]) - tasks.problem.minimal_loss == pytest.approx(expected, 0.02, 1e-7)
    compared = trained.compare()
    if elsewhere:
        assert compared.off_plane > 0.9
        assert compared.risk_error.mean > 1
    else:
        assert compared.product_error < 1e-4
        assert compared.off_plane < 1e-3
        assert max(compared.u_error, compared.U_error) < 0.02


# By SGD


def test_noise_drives_the_balance_by_the_square_of_the_step():
    """Over one time of the flow, noise adds to the drift in proportion to eta / batch.

    Beside what exact gradients do, drift * batch / eta is one number, whatever the step and the
    batch: three means of it agree within four of their standard errors, and any other power of one
    of the two would put them farther apart.
    """
    means, errors = [], []
    for share, batch_size, seeds in ((1, 512, 8), (2, 512, 8), (1, 2048, 4)):
        config = TrainingConfig(NEAR, START, 240 // share, 0.02 * share, batch_size, checkpoints=1)
        without = train(dataclasses.replace(config, gradient="exact")).balance
        drifts = [train(dataclasses.replace(config, seed=k)).balance for k in range(seeds)]
        numbers = (np.array(drifts) - without) * batch_size / share
        means.append(np.mean(numbers))
        errors.append(np.std(numbers, ddof=1) / np.sqrt(seeds))
    assert max(means) < 0
    for other in (1, 2):
        limit = 4 * np.hypot(errors[0], errors[other])
        assert abs(means[0] - means[other]) < limit
        # Another power is off by 2 or 1/2, or by 4 or 1/4.
        assert limit < abs(means[0]) / 2


def test_sgd_reaches_u_U_and_their_product():
    config = TrainingConfig(
        NEAR, START, 600, 0.016, 256, decay_from=0.6, average_from=0.6, checkpoints=5
    )
    trained = train(config)
    compared = trained.compare()
    assert max(compared.u_error, compared.U_error, compared.product_error) < 0.04
    assert compared.off_plane < 0.015
    assert abs(compared.risk_error.mean) < 0.005
    # Beside the drift of the balance u has the error of the product only: u^2 = |u U|_F.
    explained = trained.compare(trained.balance)
    assert explained.u_error < 0.6 * compared.product_error + 1e-3


def test_adam_reaches_the_product_but_not_u_and_U():
    config = TrainingConfig(
        NEAR, START, 600, 0.02, 256, "adam", decay_from=0.4, average_from=0.6, checkpoints=5
    )
    compared = train(config).compare()
    assert compared.product_error < 0.04
    assert min(compared.u_error, compared.U_error) > 0.1


@pytest.mark.parametrize("name", ["symmetric", "triangle"])
def test_which_mixtures_leave_the_plane(name):
    """What leaves it ends below the minimum of the loss on u12 = u21 = 0."""
    step_size = 0.2 * stable_step_size(TASKS[name])
    config = TrainingConfig(
        TASKS[name], START, 1200, step_size, 128, decay_from=0.5, average_from=0.6, checkpoints=5
    )
    compared = train(config).compare()
    risk = compared.risk_error
    if name == "symmetric":
        assert compared.off_plane < 0.03
        assert abs(risk.mean) < 0.01
    else:
        assert compared.off_plane > 0.08
        assert risk.mean < -3 * risk.standard_error


# What is compared


def made(weights, config=QUICK):
    """A result with weights that nobody trained."""
    trained = train(dataclasses.replace(config, steps=1, checkpoints=1))
    return dataclasses.replace(
        trained, projection_value=weights.projection_value, key_query=weights.key_query
    )


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_comparison_is_of_relative_errors(sign):
    U, u = FIXED.problem.limit()
    trained = made(LinearAttention.from_blocks([0.3, 0], [0, 0.4], sign * 1.1 * U, sign * 1.2 * u))
    compared = trained.compare(balance=0.0)
    assert compared.limit.u == pytest.approx(sign * u)
    assert compared.u_error == pytest.approx(0.2)
    assert compared.U_error == pytest.approx(0.1)
    assert compared.product_error == pytest.approx(0.32)
    size = np.hypot(1.2 * u, 1.1 * np.linalg.norm(U))
    assert compared.off_plane == pytest.approx(0.5 / size)
    balance = 0.3**2 - 0.4**2 + (1.2 * u) ** 2 - np.sum((1.1 * U) ** 2)
    assert trained.balance == pytest.approx(balance)
    assert np.array_equal(trained.product, trained.u * trained.U)


def test_held_out_risks_are_those_of_the_closed_form():
    rng = np.random.default_rng(0)
    weights = LinearAttention(*(0.3 * rng.standard_normal((2, 3, 3))))
    risk = made(weights).held_out_risk(40000)
    loss = PopulationLoss(np.array(FIXED.covariance), FIXED.prompt_length)
    expected = 2 * loss(weights.u12, weights.u21, weights.U11, weights.u_1)
    least = 2 * FIXED.problem.minimal_loss
    for estimate, value in (
        (risk.trained, expected),
        (risk.limit, least),
        (risk.excess, expected - least),
    ):
        assert abs(estimate.mean - value) < 5 * estimate.standard_error
        assert estimate.standard_error < 0.05 * value
    assert risk.trained.mean - risk.limit.mean == pytest.approx(risk.excess.mean, rel=1e-9)


def test_predictions_are_those_of_the_layer():
    trained = train(QUICK)
    prompts = TASKS["mixture"].mixture.sample_prompts(6, 9, np.random.default_rng(0))
    assert_allclose(trained.predict(prompts), trained.weights.predict(prompts), rtol=1e-10)
    softmax = train(dataclasses.replace(QUICK, attention="softmax"))
    assert not np.allclose(softmax.predict(prompts), softmax.weights.predict(prompts))


def test_bad_questions():
    trained = train(QUICK)
    with pytest.raises(ValueError, match="num_prompts is 1; expected at least 2"):
        trained.held_out_risk(1)
    three = TASKS["symmetric"].mixture.sample_prompts(2, 3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="dimension 3 and 3 examples; expected dimension 2"):
        trained.predict(three)
    with pytest.raises(ValueError, match="2 and 0 examples"):
        trained.predict(TASKS["mixture"].mixture.sample_prompts(2, 0, np.random.default_rng(0)))
    softmax = train(dataclasses.replace(QUICK, attention="softmax"))
    with pytest.raises(ValueError, match="held_out_risk"):
        softmax.compare()


# Presets


def test_the_smoke_preset_runs():
    for config in preset("smoke").values():
        trained = train(config)
        assert len(trained.trace.steps) == config.checkpoints
        assert trained.held_out_risk(4096).trained.mean < 2 * config.tasks.problem.loss_at_zero


def test_presets_satisfy_the_condition_of_the_theorems():
    held = 0
    for config in {**preset("smoke"), **preset("laptop")}.values():
        setting = config.tasks.problem.setting
        balanced = isinstance(config.start, Assumption3Start)
        if balanced and isinstance(setting, FixedCovariance | RandomDiagonalCovariance):
            layer = config.start.layer(config.tasks.problem)
            state = FlowState(layer.U11, layer.u_1)
            assert printed_bounds(config.tasks.problem, state).scale_ratio < 1
            held += 1
    assert held >= 12


def test_there_is_no_other_preset():
    with pytest.raises((ValueError, TypeError), match="name"):
        presets("huge")
