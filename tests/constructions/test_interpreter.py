"""The interpreter: every matrix of Appendix B.2.1, the posterior mean, and eq. (4) in symbols."""

import mpmath
import numpy as np
import pytest
import sympy

from constructions.interpreter import run
from constructions.library.posterior_mean import initial_matrix, posterior_mean_program
from constructions.operators import CopyDown, Soft
from constructions.program import Program, Register
from tests.cases import GRID, STAGE_CASES, Case
from tests.constructions import judges
from tests.constructions.drawing import Draw, drawn, undecided, with_prior
from tests.constructions.judges import Matrix


def posterior_mean_in_fifty_digits(
    W: Matrix, sigma: float, xs: Matrix, ys: Matrix, weights: Matrix
) -> mpmath.mpf:
    """Eq. (4) with prior weights, from floats taken as exact numbers."""
    with mpmath.workdps(50):
        exact = np.vectorize(mpmath.mpf, otypes=[object])
        W, xs, ys, weights = exact(W), exact(xs), exact(ys).reshape(ys.shape), exact(weights)
        values, likelihoods = [], []
        for w, weight in zip(W, weights, strict=True):
            misfit = mpmath.fsum((w @ x - y) ** 2 for x, y in zip(xs[:-1], ys, strict=True))
            likelihoods.append(weight * mpmath.exp(-misfit / (2 * mpmath.mpf(sigma) ** 2)))
            values.append(w @ xs[-1])
        total = mpmath.fsum(likelihoods)
        return mpmath.fsum(a * v for a, v in zip(likelihoods, values, strict=True)) / total


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
@pytest.mark.parametrize("draw", [drawn, undecided])
@pytest.mark.parametrize("case", STAGE_CASES, ids=str)
def test_every_stage_is_the_matrix_of_appendix_b21(
    case: Case, draw: Draw, dtype: type, prior: bool
) -> None:
    mixture, prompts = draw(case, 1)
    W, sigma = mixture.components.astype(dtype), dtype(case.noise_std)
    xs, ys = prompts.xs[0].astype(dtype), prompts.ys[0].astype(dtype)
    log_prior = np.log(with_prior(mixture, 5).weights.astype(dtype)) if prior else None
    program = posterior_mean_program(W, sigma, case.num_examples, log_weights=log_prior)
    tokens = prompts.interleaved()[0].astype(dtype)
    stages = run(program, initial_matrix(tokens, program.num_rows))
    expected = judges.stages(W, sigma, xs, ys, log_prior)
    assert len(stages) == len(expected) == 10 + prior
    # Up to 10 + d terms a sum; scores are the largest numbers, and p inherits their errors.
    tolerance = 64 * float(np.finfo(dtype).eps) * max(1, float(np.abs(expected[-1]).max()))
    for actual, wanted in zip(stages, expected, strict=True):
        assert actual.dtype == dtype
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance)
        np.testing.assert_array_equal(actual == 0, wanted == 0)


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("draw", [drawn, undecided])
@pytest.mark.parametrize("case", STAGE_CASES + GRID[::5], ids=str)
def test_the_last_entry_is_the_posterior_mean_to_1e_13(case: Case, draw: Draw, prior: bool) -> None:
    mixture, prompts = draw(case, 2)
    mixture = with_prior(mixture, 6) if prior else mixture
    weights = mixture.weights.astype(np.longdouble)
    program = posterior_mean_program(
        mixture.components.astype(np.longdouble),
        np.longdouble(case.noise_std),
        case.num_examples,
        log_weights=np.log(weights) if prior else None,
    )
    for xs, ys, tokens in zip(prompts.xs, prompts.ys, prompts.interleaved(), strict=True):
        H = initial_matrix(tokens.astype(np.longdouble), program.num_rows)
        computed = mpmath.mpf(str(run(program, H)[-1][-1, -1]))
        exact = posterior_mean_in_fifty_digits(
            mixture.components, case.noise_std, xs, ys, mixture.weights
        )
        assert abs(computed - exact) < 1e-13


@pytest.mark.parametrize("prior", [False, True])
def test_in_symbols_the_last_entry_is_equation_4(prior: bool) -> None:
    k, m, d = 2, 3, 2
    W = np.array([[sympy.Symbol(f"w{j}{t}", real=True) for t in range(d)] for j in range(m)])
    xs = np.array([[sympy.Symbol(f"x{i}{t}", real=True) for t in range(d)] for i in range(k + 1)])
    ys = np.array([sympy.Symbol(f"y{i}", real=True) for i in range(k)])
    sigma = sympy.Symbol("sigma", positive=True)
    pi = [sympy.Symbol(f"pi{j}", positive=True) for j in range(m)]
    log_prior = np.array([sympy.log(weight) for weight in pi]) if prior else None
    program = posterior_mean_program(W, sigma, k, log_weights=log_prior)
    tokens = np.array([[xs[0, 0], ys[0], xs[1, 0], ys[1], xs[2, 0]],
                       [xs[0, 1], 0, xs[1, 1], 0, xs[2, 1]]])  # fmt: skip
    computed = run(program, initial_matrix(tokens, program.num_rows))[-1][-1, -1]

    def likelihood(j: int) -> sympy.Expr:
        misfit = sum((W[j, 0] * xs[i, 0] + W[j, 1] * xs[i, 1] - ys[i]) ** 2 for i in range(k))
        return (pi[j] if prior else 1) * sympy.exp(-misfit / (2 * sigma**2))

    numerator = sum(likelihood(j) * (W[j, 0] * xs[k, 0] + W[j, 1] * xs[k, 1]) for j in range(m))
    equation_4 = numerator / sum(likelihood(j) for j in range(m))
    assert sympy.simplify(sympy.expand(computed - equation_4, power_exp=True)) == 0
    assert computed.free_symbols == equation_4.free_symbols


def test_no_examples_give_the_prior_mean() -> None:
    W, query = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([[2.0], [0.5]])
    uniform = posterior_mean_program(W, 1.0, 0)
    H = initial_matrix(query, uniform.num_rows)
    np.testing.assert_allclose(run(uniform, H)[-1][-1, -1], (3.0 + 5.5) / 2, rtol=1e-15)
    weighted = posterior_mean_program(W, 1.0, 0, log_weights=np.log([0.25, 0.75]))
    H = initial_matrix(query, weighted.num_rows)
    np.testing.assert_allclose(run(weighted, H)[-1][-1, -1], (3.0 + 3 * 5.5) / 4, rtol=1e-15)


def test_run_returns_every_stage_and_leaves_its_input_alone() -> None:
    lines = (CopyDown(1, 2, 1, frozenset({1, 2})), Soft(1, 2, 1))
    program = Program("two lines", (Register("H", 1, 2, -9.0, 9.0),), 2, lines, ("H",))
    H = np.array([[1.0, 2.0], [3.0, 4.0]])
    stages = run(program, H)
    np.testing.assert_array_equal(H, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(stages[0], H)
    np.testing.assert_array_equal(stages[1], [[1, 2], [1, 2]])
    np.testing.assert_array_equal(stages[2], [[1, 0.5], [1, 0.5]])


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (1, 2), (2, 1)])
def test_a_matrix_of_another_shape_is_refused(shape: tuple[int, int]) -> None:
    program = Program("square", (Register("H", 1, 2, -1.0, 1.0),), 2, (), ("H",))
    with pytest.raises(ValueError, match=r"'square' works on matrices of shape \(2, 2\), got"):
        run(program, np.ones(shape))
