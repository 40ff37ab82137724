r"""The global minima of the full layer's loss: no better than those with u_12 = u_21 = 0.

The labels are y = w'x + eps. Change the signs of w and eps: the part of the prediction that changes
with them is that of the terms y x_i'M x_query, M = u U + p q'; the other part has the terms
p'x_i x_i'U x_query + u y_i^2 q'x_query, and the query's own. For a law of (w, eps) that is
symmetric the two parts are uncorrelated, and the target w'x_query is uncorrelated with the second:

    2L = E (first - w'x_query)^2 + E (second)^2,

where the first summand depends on M only and is smallest at A, the product u U of the minima with
p = q = 0. So L >= min L there. For equality the second part vanishes for all x_i, w and x_query.
Its part of degree 2 in w is u (w'x)^2 q'x_query, so that u q = 0; then p'x x'U x_query = 0 on
average over the examples, for all x, so that p = 0 or U = 0. If M = A is not 0, this leaves
p = q = 0 and u U = A; or u = 0, U = 0 and p q' = A, which takes an A of rank one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from papers.ledger import Evidence, Grade, statement
from papers.zhang2024.letters import disagreement
from theory.full_flow import StationaryPoint, global_minimum
from theory.gradient_flow import FlowProblem
from theory.moments.algebra import Matrix, matrix, outer, vector
from theory.moments.evaluation import substitute
from theory.moments.expression import Expression, scalar
from theory.moments.layer import (
    INVERSE_LENGTH,
    LAMBDA,
    NOISE,
    TASKS,
    U11,
    U12,
    U21,
    U_1,
    derive_loss,
)
from theory.moments.wick import expectation
from theory.population_loss import PopulationLoss
from theory.whitened_loss import LayerBlocks

#: Of the library, relative to the loss of the prediction 0.
TOLERANCE = 1e-12

#: (d, rank of S) of random problems of the library, and points of each.
PROBLEMS, POINTS = ((1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3)), 20

_M, _W, _X, _Z, _EPS = matrix("M"), vector("w"), vector("x"), vector("z"), scalar("eps")
_C = (TASKS @ LAMBDA).trace() + NOISE**2


def _curvature(noise: Expression = _C) -> Matrix:
    """Return K = (1 + 1/N) Lambda S Lambda + (c/N) Lambda, the covariance of the mean of y x."""
    return LAMBDA @ TASKS @ LAMBDA * (1 + INVERSE_LENGTH) + LAMBDA * (noise * INVERSE_LENGTH)


@dataclass(frozen=True)
class GlobalMinimum:
    """2L = tr(S Lambda) - 2 tr(S Lambda M Lambda) + tr(K M Lambda M') + E (second part)^2.

    Parameters
    ----------
    product
        M in the weights.
    curvature
        K.
    own_column
        Whether the query's own column counts to the second part.
    product_at_minimum
        M at the global minima in units of A.
    rank
        The largest rank of A with which p q' = A, u = 0, U = 0 is a global minimum.
    """

    product: Matrix
    curvature: Matrix
    own_column: bool = True
    product_at_minimum: float = 1.0
    rank: int = 1


def _first_part() -> Expression:
    """Derive E (first part - target)^2 in M."""
    return _mean_square((_W @ _X + _EPS) * (_X @ _M @ _Z), -(_W @ _Z))


def _second_part(claim: GlobalMinimum) -> Expression:
    """Derive E (second part)^2, which is >= 0 whatever it is."""
    of_example = (U12 @ _X) * (_X @ U11 @ _Z)
    of_example += U_1 * (_W @ _X + _EPS) ** 2 * (U21 @ _Z)
    own = INVERSE_LENGTH * (U12 @ _Z) * (_Z @ U11 @ _Z)
    return _mean_square(of_example, own if claim.own_column else Expression({}))


def _mean_square(of_example: Expression, rest: Expression) -> Expression:
    """Derive E (mean of N terms + rest)^2; given w and z the terms are independent."""
    examples: dict[str, Matrix | Expression] = {"x": LAMBDA, "eps": NOISE**2}
    mean, square = expectation(of_example, examples), expectation(of_example**2, examples)
    inverse = INVERSE_LENGTH
    total = inverse * square + (1 - inverse) * mean**2 + 2 * mean * rest + rest**2
    return expectation(total, {"z": LAMBDA, "w": TASKS})


_CLAIM = GlobalMinimum(U_1 * U11 + outer(U12, U21), _curvature())


@statement(
    id="beyond/layer-minimum",
    title="u_12 and u_21 do not lower the minimal loss, for every d",
    source="ours; zhang2024 trains from u_12 = u_21 = 0 and minimises there (Lemma 11)",
    latex=r"\min L = \min_{u_{12} = u_{21} = 0} L,\ \text{ attained at } u_{12} = u_{21} = 0,"
    r"\ u_{-1} U_{11} = A \text{ and, for } \mathrm{rank}\, A = 1, \text{ at }"
    r" U_{11} = 0,\ u_{-1} = 0,\ u_{12} u_{21}^\top = A \text{ only}",
    printed=_CLAIM,
    beyond=True,
    mutants={
        "M without its dyad": GlobalMinimum(U_1 * U11, _curvature()),
        "M with the dyad transposed": GlobalMinimum(U_1 * U11 + outer(U21, U12), _curvature()),
        "no noise in K": GlobalMinimum(_CLAIM.product, _curvature((TASKS @ LAMBDA).trace())),
        "1 % more of K": GlobalMinimum(_CLAIM.product, _curvature() * 101 / 100),
        "without the query's own column": GlobalMinimum(
            _CLAIM.product, _curvature(), own_column=False
        ),
        "1 % more of A": GlobalMinimum(_CLAIM.product, _curvature(), product_at_minimum=1.01),
        "p q' = A for A of rank two": GlobalMinimum(_CLAIM.product, _curvature(), rank=2),
    },
    hypotheses=("x ~ N(0, Lambda), w ~ N(0, S), label noise or none", "S is not 0"),
    depends_on=("beyond/full-loss",),
)
def LAYER_MINIMUM(claim: GlobalMinimum, rng: np.random.Generator) -> Evidence:
    """Split the derived loss; then look for lower losses of the library at random weights."""
    error, wrong = 0.0, _wrong_split(claim, rng)
    for dim, rank in PROBLEMS if not wrong else ():
        miss, wrong = _wrong_minimum(claim, dim, rank, rng)
        error = max(error, miss)
        if wrong:
            break
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the derived loss as the sum of the two squares, the first in closed form; then the loss of"
        " the library at the claimed minima and at random weights, over that of the prediction 0",
        f"every d, N, Lambda, S and sigma; {len(PROBLEMS)} problems of the library, d <= 3, with S"
        f" of rank 1 to d, {POINTS} points each",
        error,
        TOLERANCE,
        wrong,
    )


def _wrong_split(claim: GlobalMinimum, rng: np.random.Generator) -> str:
    first = (TASKS @ LAMBDA).trace() - 2 * (TASKS @ LAMBDA @ _M @ LAMBDA).trace()
    first += (claim.curvature @ _M @ LAMBDA @ _M.T).trace()
    wrong = disagreement(_first_part(), first, rng)
    total = substitute(first, {"M": claim.product}) + _second_part(claim)
    return wrong or disagreement(2 * derive_loss(), total, rng)


def _wrong_minimum(
    claim: GlobalMinimum, dim: int, rank: int, rng: np.random.Generator
) -> tuple[float, str]:
    root, factor = rng.standard_normal((dim, dim)), rng.standard_normal((dim, dim))
    lam, tasks = root @ root.T + 0.3 * np.eye(dim), factor[:, :rank] @ factor[:, :rank].T
    lam, tasks = (lam + lam.T) / 2, (tasks + tasks.T) / 2
    length, noise = int(rng.integers(1, 6)), float(rng.uniform(0.1, 1))
    loss = PopulationLoss(lam, length, tasks, noise)
    found = global_minimum(loss)
    least = FlowProblem.general(lam, tasks, noise, length).minimal_loss
    zero = loss(*LayerBlocks.unstack(np.zeros((dim + 1) ** 2)))
    told = f"d = {dim}, rank S = {rank}"
    scaled = found._replace(U11=found.U11 * claim.product_at_minimum)
    miss = abs(loss(*scaled) - least) / zero
    if not miss <= TOLERANCE:
        return miss, f"{told}: the loss at the claimed minimum is {miss:.4g} L(0) above the least"
    dyad = _dyad(found)
    if rank <= claim.rank:
        above = StationaryPoint(loss, dyad).excess / zero
        if not abs(above) <= TOLERANCE:
            return abs(above), f"{told}: L at p q' = A is {above:.4g} L(0) above the least"
    for _ in range(POINTS):
        near = (found, dyad)[int(rng.integers(2))].stacked
        at = near + 10.0 ** rng.uniform(-3, 1) * rng.standard_normal(near.shape)
        below = least - loss(*LayerBlocks.unstack(at))
        if not below <= TOLERANCE * zero:
            return below, f"{told}: L is {below:.4g} below the least at {at.tolist()}"
    return miss, ""


def _dyad(found: LayerBlocks) -> LayerBlocks:
    """Return U = 0, u = 0 and p q' the best approximation of rank one to A."""
    left, values, right = np.linalg.svd(found.u_1 * found.U11)
    size: Any = np.sqrt(values[0])
    return LayerBlocks(left[:, 0] * size, right[0] * size, 0 * found.U11, 0.0)


STATEMENTS = (LAYER_MINIMUM,)
