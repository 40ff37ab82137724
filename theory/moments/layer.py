"""The population loss of the full linear self-attention layer, derived for every d and N.

`derive_loss` starts from the layer's prediction, eq. (6) of Zhang et al. 2024, and takes
expectations by pairings. `SHORT_LOSS` is the formula of `theory.population_loss.PopulationLoss`,
written with the names that `ABBREVIATIONS` spells out; `closed_loss` spells it out. That both are
the same polynomial is decided exactly (`tests/theory/moments/test_layer.py`).
"""

from __future__ import annotations

from functools import cache

from theory.moments.algebra import Matrix, Vector, identity, matrix, outer, symmetric, vector
from theory.moments.evaluation import substitute
from theory.moments.expression import Expression, scalar
from theory.moments.wick import expectation

__all__ = [
    "ABBREVIATIONS",
    "INVERSE_LENGTH",
    "LAMBDA",
    "NOISE",
    "SHORT_LOSS",
    "TASKS",
    "U11",
    "U12",
    "U21",
    "U_1",
    "closed_loss",
    "derive_loss",
    "derive_loss_given_task",
    "plain_tasks",
]

#: The covariance Lambda of the covariates, and S of the tasks w.
LAMBDA, TASKS = symmetric("Lambda"), symmetric("S")

#: The weights of the layer.
U12, U21, U11, U_1 = vector("p"), vector("q"), matrix("U"), scalar("u")

#: The standard deviation of the noise of the labels, and 1/N.
NOISE, INVERSE_LENGTH = scalar("sigma"), scalar("1/N")


@cache
def derive_loss_given_task() -> Expression:
    """Derive L = 1/2 E[(yhat - w'x_query)^2 | w] from eq. (6), for labels y = w'x + eps.

    Given w and the query z, the terms f_i = (p'x_i + u y_i)(x_i'U z + y_i q'z) of the examples are
    independent, so that E (f_1 + ... + f_N)^2 = N E f^2 + N (N-1) (E f)^2; the query's own column
    adds h = p'z z'U z, and yhat = (f_1 + ... + f_N + h) / N.

    Returns
    -------
    Expression
        L in Lambda, the vector w, sigma, 1/N and the weights p = u12, q = u21, U = U11, u = u_1.

    Notes
    -----
    Source: Zhang et al. 2024, eqs. (6) and (8), here with noise.
    """
    x, z, w, eps = vector("x"), vector("z"), vector("w"), scalar("eps")
    p, q, U, u, inverse = U12, U21, U11, U_1, INVERSE_LENGTH
    y = w @ x + eps
    term = (p @ x + u * y) * (x @ U @ z + y * (q @ z))
    of_example: dict[str, Matrix | Expression] = {"x": LAMBDA, "eps": NOISE**2}
    mean, square = expectation(term, of_example), expectation(term**2, of_example)
    own = inverse * (p @ z) * (z @ U @ z) - w @ z
    error = inverse * square + (1 - inverse) * mean**2 + 2 * mean * own + own**2
    return expectation(error, {"z": LAMBDA}) / 2


@cache
def derive_loss() -> Expression:
    """Derive L = 1/2 E (yhat - w'x_query)^2 for tasks w ~ N(0, S): the mean over w of the above."""
    return expectation(derive_loss_given_task(), {"w": TASKS})


def _short_loss() -> Expression:
    p, q, U, u, inverse = U12, U21, U11, U_1, INVERSE_LENGTH
    M, V, g, r, c = matrix("M"), symmetric("V"), vector("g"), vector("r"), scalar("c")
    A, S = LAMBDA, TASKS
    k = g + r * inverse
    half_first = (S @ A).trace() - 2 * (S @ A @ M @ A).trace()
    squares = (1 + inverse) * (A @ S @ A @ M @ A @ M.T).trace()
    squares += k @ A @ k + inverse * (g @ A @ g)
    variance = 2 * (1 + 2 * inverse) * u**2 * (S @ A @ S @ A).trace() * (q @ A @ q)
    sizes = (p @ A @ p + u**2 * c) * ((U @ A @ U.T @ A).trace() + c * (q @ A @ q))
    sizes += 4 * u * (p @ A @ S @ A @ U @ A @ q)
    own = (p @ A @ p) * (V @ A @ V @ A).trace() + 2 * (p @ A @ V @ A @ V @ A @ p)
    return (half_first + squares + variance + inverse * sizes + 2 * inverse**2 * own) / 2


#: L with the abbreviations M, V, g, r and c.
SHORT_LOSS = _short_loss()

#: What the abbreviations of `SHORT_LOSS` stand for.
ABBREVIATIONS: dict[str, Matrix | Vector | Expression] = {
    "M": U_1 * U11 + outer(U12, U21),
    "V": (U11 + U11.T) / 2,
    "g": U11.T @ LAMBDA @ U12 + U21 * (U_1 * ((TASKS @ LAMBDA).trace() + NOISE**2)),
    "r": U12 * (U11 @ LAMBDA).trace() + (U11 + U11.T) @ LAMBDA @ U12,
    "c": (TASKS @ LAMBDA).trace() + NOISE**2,
}


def closed_loss() -> Expression:
    """Give `SHORT_LOSS` in the letters of `derive_loss`."""
    return substitute(SHORT_LOSS, ABBREVIATIONS)


def plain_tasks(expression: Expression) -> Expression:
    """Specialise to the tasks of Zhang et al. 2024: w ~ N(0, I), and labels without noise."""
    return substitute(expression, {"S": identity(), "sigma": Expression({})})
