"""The moments of a law of (x, y) on which the risk of a linear layer depends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from theory.validation import Problems

__all__ = ["LabelMoments"]

#: Moments that were computed in float64 miss positivity by rounding; this much of their size is
#: forgiven. What float32 or a wrong moment does is larger.
_ROUNDING = 1e-10

#: The largest grid of a quadrature.
_MOST_NODES = 4_000_000


@dataclass(frozen=True, init=False, eq=False)
class LabelMoments:
    """E xx' = Lambda, E y^2, E xy and E y^2 xx' of a law of (x, y) with E x = 0.

    Nothing else of the law enters the risk: neither E y, nor that x is Gaussian.

    Parameters
    ----------
    covariance
        Lambda = E xx', symmetric positive definite, shape (d, d).
    label_square
        E y^2, at least (E xy)' Lambda^{-1} (E xy). It may be infinite: then so is the error of the
        best linear predictor, but not the excess over it.
    cross
        E xy, shape (d,).
    weighted_covariance
        E y^2 xx', shape (d, d), at least (E xy)(E xy)'.

    Raises
    ------
    ValueError
        If no law has these moments, or one that the theorem assumes is not finite.

    Notes
    -----
    Source: Zhang et al. 2024, Theorem 5.
    """

    covariance: npt.NDArray[np.float64]
    label_square: float
    cross: npt.NDArray[np.float64]
    weighted_covariance: npt.NDArray[np.float64]

    def __init__(
        self,
        covariance: npt.ArrayLike,
        label_square: SupportsFloat,
        cross: npt.ArrayLike,
        weighted_covariance: npt.ArrayLike,
    ) -> None:
        problems = Problems("LabelMoments")
        if not all(_finite(moment) for moment in (covariance, cross, weighted_covariance)):
            problems.add(
                "E xx', E xy or E y^2 xx' is not finite; Theorem 5 assumes that they are: without"
                " them there is no risk to compute (E y^2 alone may be infinite)"
            )
        lam = problems.covariance("covariance (E xx')", covariance)
        mean = problems.array("cross (E xy)", cross, ("d",))
        weighted = problems.covariance(
            "weighted_covariance (E y^2 xx')", weighted_covariance, definite=False
        )
        square = float(label_square)
        if np.isnan(square) or square < 0:
            problems.add(f"label_square (E y^2) is {square!r}; expected a number >= 0")
        problems.raise_if_any()
        assert lam is not None
        assert mean is not None
        assert weighted is not None
        _check_consistency(problems, lam, square, mean, weighted)
        problems.raise_if_any()
        object.__setattr__(self, "covariance", lam)
        object.__setattr__(self, "label_square", square)
        object.__setattr__(self, "cross", mean)
        object.__setattr__(self, "weighted_covariance", weighted)

    @classmethod
    def linear(
        cls, covariance: npt.ArrayLike, weights: npt.ArrayLike, noise_std: SupportsFloat = 0.0
    ) -> LabelMoments:
        """Return the moments of y = w'x + e, x ~ N(0, Lambda), e independent of x with mean 0.

        E y^2 xx' = 2 Lambda ww' Lambda + (w'Lambda w + s^2) Lambda: of the noise only the variance
        s^2 enters, however heavy its tails.

        Parameters
        ----------
        covariance
            Lambda, shape (d, d).
        weights
            w, shape (d,).
        noise_std
            s >= 0.

        Raises
        ------
        ValueError
            If Lambda is not positive definite, w has another dimension, or s < 0 or not finite.

        Notes
        -----
        Source: Zhang et al. 2024, the remark after Theorem 5 and "Task shifts" in Section 4.2.
        """
        problems = Problems("LabelMoments.linear")
        lam = problems.covariance("covariance (Lambda)", covariance)
        w = problems.array("weights (w)", weights, ("d",))
        s = problems.number("noise_std", noise_std, 0.0, strict=False)
        if lam is not None and w is not None and len(w) != len(lam):
            problems.add(f"weights has {len(w)} entries; expected d = {len(lam)}, as covariance")
        problems.raise_if_any()
        assert lam is not None
        assert w is not None
        cross = lam @ w
        square = float(w @ cross) + s**2
        return cls(lam, square, cross, 2 * np.outer(cross, cross) + square * lam)

    @classmethod
    def of_function(
        cls,
        covariance: npt.ArrayLike,
        function: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
        noise_std: SupportsFloat = 0.0,
        nodes: int = 40,
    ) -> LabelMoments:
        """Return the moments of y = f(x) + e, x ~ N(0, Lambda), by Gauss-Hermite quadrature.

        Parameters
        ----------
        covariance
            Lambda, shape (d, d).
        function
            f, from points (n, d) to labels (n,). The moments are exact if f is a polynomial of
            degree at most nodes - 2.
        noise_std
            Standard deviation s >= 0 of the independent noise e of mean 0.
        nodes
            Nodes of each coordinate; nodes^d points in all.

        Raises
        ------
        ValueError
            If Lambda is not positive definite, s < 0, the grid has more than 4,000,000 points, or
            the function does not return one finite label for each point.
        """
        problems = Problems("LabelMoments.of_function")
        lam = problems.covariance("covariance (Lambda)", covariance)
        s = problems.number("noise_std", noise_std, 0.0, strict=False)
        count = problems.count("nodes", nodes, 2)
        if lam is not None and count ** len(lam) > _MOST_NODES:
            problems.add(
                f"nodes is {count} in d = {len(lam)} dimensions, {count ** len(lam)} points;"
                f" expected at most {_MOST_NODES}: take fewer nodes, or `from_samples`"
            )
        problems.raise_if_any()
        assert lam is not None
        standard, weights = _gauss_hermite(count, len(lam))
        points = standard @ np.linalg.cholesky(lam).T
        y = problems.array("the result of function", function(points), ("n",))
        if y is not None and len(y) != len(points):
            problems.add(f"function gives {len(y)} labels for {len(points)} points; expected (n,)")
        problems.raise_if_any()
        assert y is not None
        weighted = np.einsum("n,n,ni,nj->ij", weights, y**2, points, points) + s**2 * lam
        square = float(weights @ y**2) + s**2
        return cls(lam, square, (weights * y) @ points, (weighted + weighted.T) / 2)

    @classmethod
    def from_samples(cls, covariates: npt.ArrayLike, labels: npt.ArrayLike) -> LabelMoments:
        """Return the moments of the empirical law of n pairs (x, y), about x = 0.

        `theory.risk.risk_from_samples` tells what the sampling does to the risk.

        Parameters
        ----------
        covariates, labels
            Real, shapes (n, d) and (n,).

        Raises
        ------
        ValueError
            If the pairs do not span R^d, or are not finite.
        """
        problems = Problems("LabelMoments.from_samples")
        x = problems.array("covariates", covariates, ("n", "d"))
        y = problems.array("labels", labels, ("n",))
        if x is not None and y is not None and (len(x) != len(y) or len(x) == 0):
            problems.add(
                f"covariates has shape {x.shape} and labels {y.shape}; expected n >= 1 pairs"
            )
        problems.raise_if_any()
        assert x is not None
        assert y is not None
        scaled = x * y[:, None]
        n = len(x)
        return cls(x.T @ x / n, float(y @ y) / n, scaled.mean(axis=0), scaled.T @ scaled / n)

    @property
    def dim(self) -> int:
        """The dimension d."""
        return len(self.cross)

    @property
    def best_linear(self) -> Float[np.ndarray, " d"]:
        """The weights a = Lambda^{-1} E xy of the best linear predictor, shape (d,): eq. (15)."""
        return np.asarray(np.linalg.solve(self.covariance, self.cross))

    @property
    def floor(self) -> float:
        """The error E y^2 - a'Lambda a of the best linear predictor; rounding below 0 is 0."""
        return max(self.label_square - float(self.best_linear @ self.cross), 0.0)

    @property
    def spread(self) -> Float[np.ndarray, "d d"]:
        """The covariance Sigma = E y^2 xx' - (E xy)(E xy)' of yx, shape (d, d): eq. (15)."""
        return np.asarray(self.weighted_covariance - np.outer(self.cross, self.cross))


def _finite(moment: npt.ArrayLike) -> bool:
    """Tell whether there is no infinite entry; other faults are told by the checks of shapes."""
    given = np.asarray(moment)
    return given.dtype.kind not in "fiu" or not np.any(np.isinf(given))


def _check_consistency(
    problems: Problems,
    lam: Float[np.ndarray, "d d"],
    square: float,
    mean: Float[np.ndarray, " n"],
    weighted: Float[np.ndarray, "k k"],
) -> None:
    """Note what no law of (x, y) can have."""
    d = len(lam)
    if len(mean) != d or len(weighted) != d:
        problems.add(
            f"covariance, cross and weighted_covariance have shapes {lam.shape}, {mean.shape} and"
            f" {weighted.shape}; expected (d, d), (d,) and (d, d) with one d"
        )
        return
    explained = float(mean @ np.linalg.solve(lam, mean))
    if square < explained * (1 - _ROUNDING):
        problems.add(
            f"label_square (E y^2) is {square!r}, below (E xy)'Lambda^-1 (E xy) = {explained!r};"
            " expected at least that: the best linear predictor has no negative error"
        )
    least = float(np.linalg.eigvalsh(weighted - np.outer(mean, mean))[0])
    if least < -_ROUNDING * float(np.trace(weighted)):
        problems.add(
            f"E y^2 xx' - (E xy)(E xy)' has the eigenvalue {least:.3g}; expected none below 0: it"
            " is the covariance of yx (weighted_covariance is the raw moment E y^2 xx')"
        )


def _gauss_hermite(
    nodes: int, dim: int
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
    """Return points and probabilities of the product rule for N(0, I_d)."""
    places, masses = np.polynomial.hermite_e.hermegauss(nodes)
    masses = masses / np.sum(masses)
    points = np.stack(np.meshgrid(*[places] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    weights = np.prod(
        np.stack(np.meshgrid(*[masses] * dim, indexing="ij"), axis=-1).reshape(-1, dim), axis=1
    )
    return points, weights
