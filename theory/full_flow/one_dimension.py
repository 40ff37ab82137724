r"""All stationary points of the full layer for d = 1, in closed form.

For d = 1 and Lambda = 1 the prediction is, with a = 1/N and s = mean of x_i^2,

    yhat = [(A + B w + C w^2) s + a A x_query^2] x_query,   A = u12 U11, C = u_1 u21,
                                                            B = u_1 U11 + u12 u21,

linear in the symmetric matrix X = [[A, B/2], [B/2, C]] = sym(f v'), f = (u12, u_1), v = (U11, u21).
The loss is a convex quadratic of X,

    2L = 1 - 2B + (1+2a) B^2 + (1+3a)(1+5a) A^2 + 2(1+5a) AC + 3(1+2a) C^2,

and the X = sym(f v') are those with B^2 >= 4AC. With the symmetric matrix Q of its derivatives, the
gradient is (Q v, Q f). So a stationary point has

- Q = 0: A = C = 0, B = 1/Gamma, which is u12 = u21 = 0 or u_1 = U11 = 0: the global minima; or
- Q of rank one and f = s v in its kernel: X = s v v' is a critical point on the cone B^2 = 4AC; or
- f = v = 0.

On the cone A^2 and C^2 balance at fixed AC, so that 2L = 1 - 2B + kappa B^2 with

    kappa = Gamma + (1+5a)/2 + sqrt(3 (1+2a)(1+3a)(1+5a)) / 2,   Gamma = 1 + 2a:

B = 1/kappa. These points, and 0, are strict saddles: there is no local minimum but the global ones.
With n = (u_1, -u12) in the plane, (f, v) + eps (-s n, n) leaves X as it is to first order and adds
-s eps^2 n n' to it, which changes L by -s eps^2 n'Q n; and s n'Q n > 0, because L is convex and
falls from X to the global minimum X*, <Q, X*> < <Q, X> = 0, where n'X*n has the sign of -s.

*Basins.* If |f| = |v| then d(u_1 U11 - u12 u21)/dt is a multiple of u_1 U11 - u12 u21 itself:
f + v and f - v are orthogonal and move by -Q and +Q. So its sign never changes: a balanced start
with u_1 U11 > u12 u21 can reach only minima with u12 = u21 = 0, one with < only the others, and one
with = a saddle.

For Lambda = lambda all of this holds with every weight multiplied by sqrt(lambda) and the loss
divided by lambda.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from theory.population_loss import LayerBlocks, PopulationLoss
from theory.validation import Problems

__all__ = ["OneDimension"]


@dataclass(frozen=True)
class OneDimension:
    """The stationary points of a loss with d = 1, S = 1 and no label noise.

    Attributes
    ----------
    eigenvalue
        lambda > 0.
    prompt_length
        N >= 1.

    Raises
    ------
    ValueError
        If one of these does not hold. All problems are listed at once.
    """

    eigenvalue: float
    prompt_length: int

    def __post_init__(self) -> None:
        problems = Problems("OneDimension")
        problems.number("eigenvalue (lambda)", self.eigenvalue, 0.0, strict=True)
        problems.count("prompt_length (N)", self.prompt_length, 1)
        problems.raise_if_any()

    @classmethod
    def of(cls, loss: PopulationLoss) -> OneDimension:
        """Return the stationary points of this loss.

        Raises
        ------
        ValueError
            If its d is not 1, or it has another task law or label noise.
        """
        problems = Problems("OneDimension")
        if loss.dim != 1:
            problems.add(f"the loss has d = {loss.dim}; expected d = 1")
        elif loss.noise_std or loss.task_covariance[0, 0] != 1.0:
            problems.add("the loss has label noise or tasks of variance S; expected S = 1 alone")
        problems.raise_if_any()
        return cls(float(loss.covariance[0, 0]), loss.prompt_length)

    @property
    def gamma(self) -> float:
        """Gamma = 1 + 2/N for lambda = 1: at the global minima u_1 U11 + u12 u21 = 1/Gamma."""
        return 1 + 2 / self.prompt_length

    @property
    def kappa(self) -> float:
        """The curvature along the cone for lambda = 1: at the saddles the product is 1/kappa."""
        a = 1 / self.prompt_length
        root = np.sqrt(3 * (1 + 2 * a) * (1 + 3 * a) * (1 + 5 * a))
        return float(self.gamma + (1 + 5 * a) / 2 + root / 2)

    @property
    def minimal_loss(self) -> float:
        """The loss lambda (1 - 1/Gamma) / 2 of the global minima."""
        return self.eigenvalue * (1 - 1 / self.gamma) / 2

    @property
    def saddle_loss(self) -> float:
        """The loss lambda (1 - 1/kappa) / 2 of the saddles but 0, where it is lambda / 2."""
        return self.eigenvalue * (1 - 1 / self.kappa) / 2

    @property
    def minima(self) -> tuple[LayerBlocks, ...]:
        """The balanced global minima: u12 = u21 = 0 with u_1 > 0, < 0; U11 = u_1 = 0 likewise.

        All others are their images under the scaling of `balance_of_layer`.
        """
        size = 1 / np.sqrt(self.gamma * self.eigenvalue)
        of_U = (_blocks(0.0, 0.0, x, x) for x in (size, -size))
        return (*of_U, *(_blocks(x, x, 0.0, 0.0) for x in (size, -size)))

    @property
    def saddles(self) -> tuple[LayerBlocks, ...]:
        """The balanced saddles: 0, and f = v or f = -v, each with both signs.

        All others are images of these under the scaling.
        """
        a = 1 / self.prompt_length
        ratio = (3 * (1 + 2 * a) / ((1 + 3 * a) * (1 + 5 * a))) ** 0.25  # sqrt(A / C)
        x = np.sqrt(ratio / (2 * self.kappa * self.eigenvalue))
        y = np.sqrt(1 / (2 * ratio * self.kappa * self.eigenvalue))
        # (u12, u_1) = s (U11, u21), and B = 2 s U11 u21 > 0.
        same = [_blocks(e * x, e * y, e * x, e * y) for e in (1, -1)]
        opposite = [_blocks(-e * x, -e * y, e * x, e * y) for e in (1, -1)]
        return (_blocks(0.0, 0.0, 0.0, 0.0), *same, *opposite)


def _blocks(u12: float, u21: float, U11: float, u_1: float) -> LayerBlocks:
    return LayerBlocks(
        np.array([u12 + 0.0]), np.array([u21 + 0.0]), np.array([[U11 + 0.0]]), float(u_1)
    )
