"""Ridge regression by Chebyshev iteration, at every prefix, with a proven error after T steps."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from constructions.box import Box
from constructions.circuit import Circuit, Prompt
from constructions.library.moments import Moments, inner, times
from constructions.values import Value
from theory import PromptBatch


@dataclass(frozen=True)
class RidgeIteration:
    """T steps of Chebyshev's iteration for (A + lambda I) w = b at every prefix.

    A = sum_j x_j x_j' and b = sum_j x_j y_j are sums over the examples of the prefix.
    With all eigenvalues of A + lambda I in [lambda, lambda + S], omega = 2 / (2 lambda + S) and
    q = S / (2 lambda + S), the matrix M = I - omega (A + lambda I) has its eigenvalues in [-q, q].
    From w_0 = 0 and w_1 = omega b,
    w_{t+1} = rho_t (M w_t + omega b) + (1 - rho_t) w_{t-1},
    rho_1 = 2 / (2 - q^2), rho_t = 1 / (1 - q^2 rho_{t-1} / 4), and the error of w_T is
    C_T(M / q) / C_T(1 / q) times that of w_0, C_T Chebyshev's polynomial.
    Source: Golub and Varga 1961 (Chebyshev semi-iterative methods).

    Parameters
    ----------
    dim
        d >= 1.
    max_examples
        K >= 0.
    box
        Bounds on covariates and labels.
    penalty
        lambda > 0, the weight of |w|^2.
    steps
        T >= 1; a step is a layer.
    largest_eigenvalue
        S > 0, which bounds the eigenvalues of A; by default K R^2, which does on the whole box.
        A smaller one converges faster on the prompts that keep it, and `error_bound` is infinite
        on others.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """

    dim: int
    max_examples: int
    box: Box
    penalty: float
    steps: int
    largest_eigenvalue: float = np.inf

    def __post_init__(self) -> None:
        everywhere = max(self.max_examples, 1) * self.box.covariate_norm**2
        object.__setattr__(self, "largest_eigenvalue", min(self.largest_eigenvalue, everywhere))
        if self.steps < 1 or not 0 < self.penalty < np.inf or not self.largest_eigenvalue > 0:
            raise ValueError(
                f"ridge: {self.steps} steps, penalty {self.penalty}, largest eigenvalue "
                f"{self.largest_eigenvalue}; expected at least one step and positive numbers"
            )

    @property
    def _omega(self) -> float:
        return 2 / (2 * self.penalty + self.largest_eigenvalue)

    @property
    def _radius(self) -> float:
        """The bound q on the eigenvalues of M."""
        return self.largest_eigenvalue / (2 * self.penalty + self.largest_eigenvalue)

    @property
    def contraction(self) -> float:
        """1 / C_T(1 / q), the factor by which T steps reduce |w - w_T|."""
        # C_T(1/q) = (g^T + g^-T) / 2 with g = (1 + sqrt(1 - q^2)) / q.
        q = self._radius
        root = float(np.sqrt(1 - q**2))
        rate = q / (1 + root)
        return 2 * rate**self.steps / (1 + rate ** (2 * self.steps))

    def circuit(self) -> Circuit:
        """Return the circuit of <w_T, x_{k+1}> at every prefix; it takes T + 1 layers."""
        prompt = Prompt(self.dim, self.max_examples, self.box)
        moments = Moments.of(prompt)
        omega, q = self._omega, self._radius
        contraction = moments.matrix(1 - omega * self.penalty, -omega)
        start = omega * moments.with_labels
        before: Value = 0.0 * start
        weights: Value = start
        relaxation = 2.0
        for _ in range(1, self.steps):
            relaxation = 1 / (1 - q**2 * relaxation / 4)
            moved = times(contraction, weights) + start
            before, weights = weights, relaxation * moved + (1 - relaxation) * before
        answer = inner(weights, prompt.covariate)
        name = f"ridge {self.penalty:g} by {self.steps} steps"
        return Circuit(name, prompt, answer, {"sums": moments.sums})

    def error_bound(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Return a bound on |<w_T, x> - <w, x>| in exact arithmetic, (batch, K + 1).

        With |w| <= |b| / (lambda + s) for the smallest eigenvalue s of A, it is
        |w| |x| / C_T(1 / q); infinite where A has an eigenvalue above `largest_eigenvalue`.
        """
        xs, ys = prompts.xs[:, :-1], prompts.ys
        n = prompts.num_examples + 1
        gram, moved = (
            np.zeros((len(prompts), n, self.dim, self.dim)),
            np.zeros((len(prompts), n, self.dim)),
        )
        gram[:, 1:] = np.cumsum(xs[:, :, :, None] * xs[:, :, None, :], axis=1)
        moved[:, 1:] = np.cumsum(xs * ys[:, :, None], axis=1)
        eigenvalues = np.linalg.eigvalsh(gram)
        solution = np.linalg.norm(moved, axis=2) / (self.penalty + eigenvalues[..., 0])
        bound = self.contraction * solution * np.linalg.norm(prompts.xs, axis=2)
        return np.where(eigenvalues[..., -1] <= self.largest_eigenvalue, bound, np.inf)
