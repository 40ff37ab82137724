"""Flow lines on which the lemmas about the trajectory are tried, and the letters of these lemmas.

A `Line` is one training distribution with one start of Assumption 3 and its flow. The covariance
has finitely many values, one for Theorem 4, so that every expectation is a sum in the paper's
matrices; none of it comes from `theory`, but for the flow itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import product
from operator import add
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from theory.gradient_flow import FlowProblem, FlowState, random_theta
from theory.gradient_flow.solution import FlowSolution
from theory.gradient_flow.solver import solve_flow
from theory.laws import Deterministic, EigenvalueLaw, TwoPoint

Matrix = npt.NDArray[np.float64]
Mean = TypeVar("Mean", float, Matrix)

#: sigma^2 in units of the printed threshold: the first so small that u(t)^2 >= u(0)^2 is attained.
RATIOS = (1e-4, 0.3, 0.95)

#: Where a flow line is looked at, in units of its horizon.
PARTS = np.append(0.0, np.geomspace(1e-5, 1.0, 20))


@dataclass(frozen=True)
class Line:
    """A covariance with values Lambda_k of weights w_k, N, and the start of Assumption 3.

    Parameters
    ----------
    name
        For people.
    atoms
        (w_k, Lambda_k).
    length
        N.
    theta
        Theta with |Theta Theta'|_F = 1.
    sigma
        The scale.
    problem
        The same distribution in the library.
    """

    name: str
    atoms: tuple[tuple[float, Matrix], ...]
    length: int
    theta: Matrix
    sigma: float
    problem: FlowProblem

    @property
    def dim(self) -> int:
        """The dimension d."""
        return len(self.theta)

    def mean(self, f: Callable[[Matrix], Mean]) -> Mean:
        """Return E f(Lambda)."""
        total: Mean = reduce(add, [weight * f(lam) for weight, lam in self.atoms])
        return total

    def gamma(self, lam: Matrix) -> Matrix:
        """Return Gamma = (1 + 1/N) Lambda + tr(Lambda)/N I."""
        eye = np.eye(self.dim)
        return np.asarray((1 + 1 / self.length) * lam + np.trace(lam) / self.length * eye)

    def loss(self, state: FlowState) -> float:
        """Return the l of eqs. (28) and (53): the loss without its constant."""
        U, u = state
        return self.mean(
            lambda lam: float(
                np.trace(u**2 / 2 * self.gamma(lam) @ lam @ U @ lam @ U.T - u * lam @ lam @ U.T)
            )
        )

    def gradient(self, state: FlowState) -> FlowState:
        """Return the derivatives of `loss`, eqs. (27) and (49)."""
        U, u = state
        pull = self.mean(lambda lam: lam @ lam)
        curved = self.mean(lambda lam: self.gamma(lam) @ lam @ U @ lam)
        return FlowState(u**2 * curved - u * pull, float(np.trace((u * curved - pull) @ U.T)))

    @property
    def start(self) -> FlowState:
        """U(0) = sigma Theta Theta', u(0) = sigma."""
        return FlowState(self.sigma * self.theta @ self.theta.T, self.sigma)

    @cached_property
    def flow(self) -> FlowSolution:
        """The flow, by the library."""
        return solve_flow(self.problem, self.theta, self.sigma)

    @property
    def times(self) -> Matrix:
        """Times from 0 to the horizon."""
        return PARTS * self.flow.horizon

    def at(self, sigma: float) -> "Line":
        """Return the line with another scale."""
        parts = (self.name, self.atoms, self.length, self.theta)
        return Line(*parts, sigma, self.problem)

    def __str__(self) -> str:
        """Say which line it is."""
        return f"{self.name}, d = {self.dim}, N = {self.length}, sigma = {self.sigma:.4g}"


def operator_norm(matrix: Matrix) -> float:
    """Return the largest singular value."""
    return float(np.linalg.norm(matrix, 2))


def frobenius(matrix: Matrix) -> float:
    """Return |A|_F."""
    return float(np.linalg.norm(matrix))


#: sigma^2 < threshold, as a claim may say it.
Threshold = Callable[[Line], float]


def fixed_lines(threshold: Threshold, rng: np.random.Generator) -> Iterator[Line]:
    """Yield lines of Theorem 4: d = 1, an isotropic one of d = 2, and random ones, at all ratios.

    For d = 1 the steps of the paper's proofs are equalities, and for Lambda = 2 I and
    Theta Theta' = I / sqrt(2) those of the lower bound are, as sigma goes to 0.
    """
    yield from _scaled(_fixed_line("Lambda = 2", np.array([[2.0]]), np.eye(1), 3), threshold)
    isotropic = _fixed_line("Lambda = 2 I", 2 * np.eye(2), np.eye(2) / 2**0.25, 3)
    yield from _scaled(isotropic, threshold)
    for dim in (2, 3, 4):
        basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
        lam = basis @ np.diag(np.exp(rng.uniform(-1, 1, dim))) @ basis.T
        length = int(rng.integers(1, 2 * dim + 1))
        line = _fixed_line("random Lambda", (lam + lam.T) / 2, random_theta(dim, rng), length)
        yield from _scaled(line, threshold)


def random_lines(threshold: Threshold, rng: np.random.Generator) -> Iterator[Line]:
    """Yield lines of Theorem 8, with two-point laws, and with constant ones for d = 1 and 2."""
    two = (Deterministic(2.0),)
    yield from _scaled(_random_line("lambda = 2", two, np.eye(1), 3), threshold)
    yield from _scaled(_random_line("lambda = 2", two * 2, np.eye(2) / 2**0.25, 3), threshold)
    for dim in (1, 2, 3):
        values = np.exp(rng.uniform(-1, 1, (2, dim)))
        laws = tuple(
            TwoPoint(float(low), float(high), float(odds))
            for low, high, odds in zip(*values, rng.uniform(0.2, 0.8, dim), strict=True)
        )
        length = int(rng.integers(1, 2 * dim + 1))
        line = _random_line("two-point laws", laws, random_theta(dim, rng), length)
        yield from _scaled(line, threshold)


def fixed_along_the_top(threshold: Threshold) -> Iterator[Line]:
    """Yield Theta Theta' = v v', v the first eigenvector: l(0) = 0 at sigma^2 = 2 / |Gamma|."""
    theta = np.diag([1.0, 0.0])
    line = _fixed_line("Theta along the top", np.diag([2.0, 0.2]), theta, 3)
    yield from _scaled(line, threshold)


def random_along_the_top(threshold: Threshold) -> Iterator[Line]:
    """Yield the same for constant eigenvalues, the second so small that |Lambda|_F is the first."""
    laws = (Deterministic(2.0), Deterministic(0.2))
    line = _random_line("Theta along the top", laws, np.diag([1.0, 0.0]), 3)
    yield from _scaled(line, threshold)


def _fixed_line(name: str, lam: Matrix, theta: Matrix, length: int) -> Line:
    return Line(name, ((1.0, lam),), length, theta, 1.0, FlowProblem.fixed(lam, length))


def _random_line(
    name: str, laws: tuple[Deterministic | TwoPoint, ...], theta: Matrix, length: int
) -> Line:
    atoms = []
    for chosen in product(*(_values(law) for law in laws)):
        weight = float(np.prod([odds for odds, _ in chosen]))
        atoms.append((weight, np.diag([value for _, value in chosen])))
    problem = FlowProblem.random_diagonal(laws, length)
    return Line(name, tuple(atoms), length, theta, 1.0, problem)


def _values(law: EigenvalueLaw) -> list[tuple[float, float]]:
    """Return the values of a law with their probabilities."""
    if isinstance(law, TwoPoint):
        p = float(law.probability)
        return [(p, float(law.low)), (1 - p, float(law.high))]
    return [(1.0, float(law.moments[0]))]


def _scaled(line: Line, threshold: Threshold) -> Iterator[Line]:
    for ratio in RATIOS:
        yield line.at(float(np.sqrt(ratio * threshold(line))))
