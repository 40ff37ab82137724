"""Sampled prompts judge the derived loss, block by block.

A block holds the terms of one degree in each of p, q, U and u. The prediction is the sum of five
parts, of the degrees pU (of the examples, and of the query's own column), pq, uU and uq; a block
of 2L is the mean of a product of parts and the target.

What keeps the errors small, without a pairing: where a product is of degree two in the query z, or
in the task with its noise (w, sigma), the mean over it is a sum over the columns of a root of its
covariance. The rest is homogeneous in the examples with their noise and in z: directions are drawn,
and the moments of the radii, E R^2 = n, E R^4 = n (n+2), E R^6 = n (n+2) (n+4), are exact.
"""

from functools import cache
from math import prod
from typing import NamedTuple

import numpy as np
import pytest

from theory.moments.evaluation import evaluate
from theory.moments.expression import Expression
from theory.moments.layer import derive_loss
from theory.moments.words import Form, Scalar

#: Degrees in (p, q, U, u), as exponents.
DEGREES = {
    "1": (0, 0, 0, 0),
    "uU": (0, 0, 1, 1),
    "pq": (1, 1, 0, 0),
    "uuUU": (0, 0, 2, 2),
    "ppqq": (2, 2, 0, 0),
    "pquU": (1, 1, 1, 1),
    "ppUU": (2, 0, 2, 0),
    "qquu": (0, 2, 0, 2),
}

SAMPLES = {1: 200_000, 3: 960_000, 5: 480_000}
CHUNK = 20_000


class Problem(NamedTuple):
    N: int
    root: np.ndarray  # of Lambda
    tasks_root: np.ndarray  # of S
    sigma: float
    p: np.ndarray
    q: np.ndarray
    U: np.ndarray
    u: float


def problem(d: int) -> Problem:
    """Weights whose terms do not cancel, for short prompts, on which 1/N and 1/N^2 matter."""
    rng = np.random.default_rng(d)
    root = np.eye(d) + 0.15 * np.tril(rng.standard_normal((d, d)))
    tasks = np.eye(d) + 0.15 * np.triu(rng.standard_normal((d, d)))
    p, q = 1 + 0.2 * rng.standard_normal((2, d))
    return Problem(3, root, tasks, 0.7, p, q, np.eye(d) + 0.4 * rng.standard_normal((d, d)), 0.8)


def directions(rng: np.random.Generator, n: int, *shape: int) -> np.ndarray:
    """Uniform on the unit sphere of all entries of one sample."""
    drawn = rng.standard_normal((n, *shape))
    squares = np.einsum("ni,ni->n", *2 * (drawn.reshape(n, -1),))
    return drawn / np.sqrt(squares).reshape(n, *(1 for _ in shape))


def radial(n: int, power: int) -> int:
    """E R^power."""
    return prod(n + k for k in range(0, power, 2))


def draw(given: Problem, rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """One value for every block and sample, of mean 2 L's block."""
    d, N, root, p, q, U, u = len(given.p), given.N, given.root, given.p, given.q, given.U, given.u
    examples = directions(
        rng, n, N, d + 1
    )  # x_i and the noise, so that y_i = (w, sigma)'(x_i, e_i)
    examples[..., :-1] = examples[..., :-1] @ root.T
    gram = np.einsum("nki,nkj->nij", examples, examples) / N
    tasks = np.diag([*np.zeros(d), given.sigma])
    tasks[:d, :d] = given.tasks_root
    columns = gram @ tasks  # the means of y x and y e, for every column of tasks
    s = columns[:, :d]
    spread = np.sum(columns * tasks, axis=(1, 2))  # of y^2
    pG = p @ gram[:, :d, :d]
    pU = pG @ U @ root
    pq = np.multiply.outer(p @ s, q @ root)
    uU = u * s.swapaxes(1, 2) @ (U @ root)
    uq = u * np.multiply.outer(spread, q @ root)
    t = tasks[:d].T @ root
    w, z = directions(rng, n, d) @ given.tasks_root.T, directions(rng, n, d) @ root.T
    # The square of the mean of y^2, by its degrees 4, 2 and 0 in w.
    noise = given.sigma**2 * gram[:, -1, -1]
    quadratic = 4 * given.sigma**2 * np.sum(columns[:, -1, :-1] ** 2, axis=1)
    quadratic += 2 * noise * (spread - noise)
    quartic = np.einsum("ni,nij,nj->n", w, gram[:, :d, :d], w) ** 2
    own = (z @ p) * np.sum(z * (z @ U.T), axis=1) / N
    X2, X4 = (radial(N * (d + 1), power) for power in (2, 4))
    z2, z4, z6 = (radial(d, power) for power in (2, 4, 6))  # of z, and of w
    pU_z = np.sum(pG * (z @ U.T), axis=1)
    return {
        "1": z2**2 * np.sum(w * z, axis=1) ** 2,
        "uU": -2 * X2 * np.sum(uU * t, axis=(1, 2)),
        "pq": -2 * X2 * np.sum(pq * t, axis=(1, 2)),
        "uuUU": X4 * np.sum(uU**2, axis=(1, 2)),
        "ppqq": X4 * np.sum(pq**2, axis=(1, 2)),
        "pquU": 2 * X4 * (np.sum(pU * uq, axis=1) + np.sum(pq * uU, axis=(1, 2)))
        + 2 * X2 * z4 * own * (u * spread * (z @ q)),
        "ppUU": X4 * np.sum(pU**2, axis=1) + 2 * X2 * z4 * pU_z * own + z6 * own**2,
        "qquu": X4 * u**2 * (z4 * quartic + quadratic + noise**2) * np.sum((q @ root) ** 2),
    }


@cache
def sampled(d: int) -> dict[str, tuple[float, float]]:
    """Mean and standard error of every block."""
    given, rng = problem(d), np.random.default_rng([d, 2024])
    sums = {name: np.zeros(2) for name in DEGREES}
    for _ in range(SAMPLES[d] // CHUNK):
        for name, block in draw(given, rng, CHUNK).items():
            sums[name] += block.sum(), (block**2).sum()
    n = SAMPLES[d]
    moments = {name: total / n for name, total in sums.items()}
    return {
        k: (m, float(np.sqrt(max(square - m * m, 0) / n))) for k, (m, square) in moments.items()
    }


def degree(monomial: Expression) -> tuple[int, ...]:
    ((factors, _),) = monomial.terms.items()
    counts = dict.fromkeys("pqUu", 0)
    for factor, power in factors:
        if isinstance(factor, Scalar):
            names = [factor.name]
        else:
            ends = [factor.left, factor.right] if isinstance(factor, Form) else []
            names = [letter.name for letter in factor.word] + ends
        for name in names:
            counts[name] = counts.get(name, 0) + power
    return tuple(counts[name] for name in "pqUu")


@cache
def derived(d: int) -> dict[str, float]:
    """The blocks of 2L by the word engine."""
    N, root, tasks, sigma, p, q, U, u = problem(d)
    values = {"Lambda": root @ root.T, "S": tasks @ tasks.T, "sigma": sigma, "1/N": 1 / N}
    values |= {"p": p, "q": q, "U": U, "u": u}
    values |= {"Lambda": symmetric(values["Lambda"]), "S": symmetric(values["S"])}
    blocks = {name: Expression({}) for name in DEGREES}
    names = {powers: name for name, powers in DEGREES.items()}
    for monomial in (2 * derive_loss()).monomials():
        blocks[names[degree(monomial)]] += monomial
    return {name: float(evaluate(block, values)) for name, block in blocks.items()}


def symmetric(A: np.ndarray) -> np.ndarray:
    return (A + A.T) / 2


@pytest.mark.parametrize("d", SAMPLES)
@pytest.mark.parametrize("block", DEGREES)
def test_every_block_of_the_loss_is_what_prompts_show(d: int, block: str) -> None:
    mean, error = sampled(d)[block]
    expected = derived(d)[block]
    assert error <= 0.002 * abs(expected)
    # For d = 1 the block 1 is exact, and only rounding differs.
    assert abs(mean - expected) < 4 * error + 1e-12 * abs(expected)


@pytest.mark.parametrize("d", SAMPLES)
@pytest.mark.parametrize("block", DEGREES)
@pytest.mark.parametrize("factor", [0.98, 1.02])
def test_a_change_of_any_block_by_two_percent_is_rejected(d, block, factor) -> None:
    """At 0.2 % the change is ten standard errors: one seed in 10^9 would accept it."""
    mean, error = sampled(d)[block]
    assert abs(mean - factor * derived(d)[block]) > 4 * error
