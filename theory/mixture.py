"""Mixtures of linear regressions: sampling and posterior (Pathak et al. 2023, eqs. (1)-(4))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float
from scipy.special import softmax

from theory.misfit import Misfit
from theory.posterior import mean_error_bound, posterior_scores
from theory.prompts import PromptBatch
from theory.validation import Problems

__all__ = ["RegressionMixture"]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class RegressionMixture:
    """The mixture pi = sum_j pi_j delta_{w_j} of regressors, with label noise of level sigma.

    Parameters
    ----------
    components
        The w_1, ..., w_m as rows (W* of the paper), shape (m, d), m >= 1 and d >= 1.
    noise_std
        The noise level sigma >= 0. Zero stands for the limit sigma -> 0 in every method.
    weights
        The pi_j >= 0, shape (m,), with sum 1 up to 1e-12 m; by default all are 1/m, as in eq. (1).
        A component of weight 0 is never sampled and never has posterior weight.

    Raises
    ------
    ValueError
        If a shape, a sign, the sum of the weights or an entry (NaN, infinity) is not as above. All
        problems are listed at once.

    Notes
    -----
    Arrays are stored as read-only, C-contiguous float64 copies. Source: Pathak et al. 2023,
    eqs. (1) and (2); the norm sqrt(d) that the paper gives all w_j is not required here.
    """

    components: npt.NDArray[np.float64]
    noise_std: float
    weights: npt.NDArray[np.float64]

    def __init__(
        self,
        components: npt.ArrayLike,
        noise_std: SupportsFloat,
        weights: npt.ArrayLike | None = None,
    ) -> None:
        problems = Problems("RegressionMixture(components, noise_std, weights)")
        rows = problems.array("components", components, ("m", "d"))
        noise = problems.number("noise_std", noise_std, 0.0, strict=False)
        if rows is not None and rows.size == 0:
            problems.add(
                f"components has shape {rows.shape}; expected m >= 1 rows of d >= 1 entries"
            )
        if weights is None and rows is not None:
            weights = np.full(len(rows), 1.0 / max(len(rows), 1))
        pi = None if weights is None else problems.array("weights", weights, ("m",))
        if rows is not None and pi is not None and len(rows) > 0:
            problems.distribution("weights", pi, len(rows))
        problems.raise_if_any()
        object.__setattr__(self, "components", rows)
        object.__setattr__(self, "noise_std", noise)
        object.__setattr__(self, "weights", pi)

    @classmethod
    def random(
        cls,
        num_components: int,
        dim: int,
        noise_std: SupportsFloat,
        rng: np.random.Generator,
    ) -> RegressionMixture:
        """Draw components uniformly from the sphere of radius sqrt(d), with equal weights.

        As in Pathak et al. 2023, below eq. (1). A size below 1 is a `ValueError`.
        """
        problems = Problems("RegressionMixture.random(num_components, dim, ...)")
        shape = problems.count("num_components", num_components, 1), problems.count("dim", dim, 1)
        problems.raise_if_any()
        directions = rng.standard_normal(shape)
        norms = np.linalg.norm(directions, axis=1, keepdims=True)
        return cls(np.sqrt(dim) * (directions / norms), noise_std)

    def with_noise_std(self, noise_std: SupportsFloat) -> RegressionMixture:
        """Keep components and weights, and change the noise level."""
        return RegressionMixture(self.components, noise_std, self.weights)

    def __repr__(self) -> str:
        sizes = f"num_components={self.num_components}, dim={self.dim}"
        return f"RegressionMixture({sizes}, noise_std={self.noise_std:g})"

    @property
    def num_components(self) -> int:
        """The number m of components."""
        return int(self.components.shape[0])

    @property
    def dim(self) -> int:
        """The dimension d."""
        return int(self.components.shape[1])

    def sample_prompts(
        self, batch_size: int, num_examples: int, rng: np.random.Generator
    ) -> PromptBatch:
        """Draw prompts: w ~ pi, x_i ~ N(0, I_d), y_i = <w, x_i> + sigma N(0, 1) (eq. (2)).

        All w, then all x, then all noise are drawn. For the query's label too, draw one example
        more: it is the last column of `ys`, for the query of `prefix(num_examples)`. A `batch_size`
        below 1 or a negative `num_examples` is a `ValueError`.
        """
        problems = Problems("sample_prompts(batch_size, num_examples, rng)")
        batch = problems.count("batch_size", batch_size, 1)
        k = problems.count("num_examples", num_examples, 0)
        problems.raise_if_any()
        chosen = rng.choice(self.num_components, size=batch, p=self.weights / np.sum(self.weights))
        xs = rng.standard_normal((batch, k + 1, self.dim))
        noise = self.noise_std * rng.standard_normal((batch, k))
        ys = np.einsum("bkd,bd->bk", xs[:, :-1], self.components[chosen]) + noise
        return PromptBatch(xs, ys)

    def scores(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes m"]:
        """Log-likelihood scores after every prefix; their softmax is the posterior.

        Returns
        -------
        numpy.ndarray
            l_nj = log pi_j - (1 / 2 sigma^2) sum_{i <= n} (r_ij^2 - min_l r_il^2) for n = 0..k,
            shape (batch, k+1, m), float64, with r_ij = <w_j, x_i> - y_i. The shift by the least
            square is common to all j, so that the softmax is that of eq. (4). Where pi_j = 0 the
            score is -infinity, and the minimum is over the other components. For sigma = 0 it is
            log pi_j where sum_{i <= n} r_ij^2 is least, and -infinity elsewhere.

        Raises
        ------
        ValueError
            If the dimensions of mixture and prompts differ.
        OverflowError
            If a sum of squares exceeds the range of float64.

        Notes
        -----
        Source: Pathak et al. 2023, eqs. (4) and (5). For sigma = 0, components are tied when their
        sums differ by no more than rounding explains: by tol_j + tol_l, where tol_j =
        sum_i (2 |r_ij| e_ij + e_ij^2) + gamma_{n+1} sum_i (r_ij^2 - min_l r_il^2), and e_ij =
        gamma_{d+4} (sum_l |w_jl x_il| + |y_i|), with gamma_n = n u / (1 - n u), u = 2^-53.
        """
        scores = posterior_scores(self._misfit(prompts), self.weights[self._alive])
        all_scores = np.full((*scores.shape[:2], self.num_components), -np.inf)
        all_scores[:, :, self._alive] = scores
        return all_scores

    def posterior(self, prompts: PromptBatch) -> Float[np.ndarray, "batch m"]:
        """Posterior weights p_j given all k examples (eq. (6)): softmax of the last `scores`.

        Shape (batch, m), float64. Raises as `scores`.
        """
        return np.asarray(softmax(self.scores(prompts)[:, -1], axis=-1))

    def posterior_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes m"]:
        """Posterior weights given the first n examples, n = 0..k: softmax of `scores`.

        Shape (batch, k+1, m), float64; entry n = 0 is the prior. Raises as `scores`.
        """
        return np.asarray(softmax(self.scores(prompts), axis=-1))

    def posterior_mean(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Predict the label of the query by f*(P) = sum_j p_j <w_j, x_{k+1}> (eq. (4)).

        Returns
        -------
        numpy.ndarray
            Shape (batch,), float64. For sigma = 0 it is the limit sigma -> 0, the mean of
            <w_j, x_{k+1}> over the components of least misfit, weighted by the prior; ties are
            decided up to rounding, as `scores` says.

        Raises
        ------
        ValueError, OverflowError
            As `scores`; also an `OverflowError` if <w_j, x_{k+1}> overflows.

        Notes
        -----
        Source: Pathak et al. 2023, eq. (4). The rounding error is at most about

            sum_j p_j Delta_j |v_j - f| + gamma_{d+2m+8} sum_j p_j sum_l |w_jl x_{k+1,l}|,
            Delta_j = sum_i (2 |r_ij| e_ij + e_ij^2 + gamma_{k+1} (r_ij^2 - min_l r_il^2))
                      / (2 sigma^2) + gamma_8 (1 + |l_j|),

        with v_j = <w_j, x_{k+1}>, e_ij and l_j as in `scores`: its first term is at most
        max_j Delta_j (max_j v_j - min_j v_j). `posterior_mean_error_bound` has no "about".
        """
        return self._mean(self.posterior(prompts), prompts.queries)

    def posterior_mean_all_prefixes(
        self, prompts: PromptBatch
    ) -> Float[np.ndarray, "batch prefixes"]:
        """Predict by f* on every prefix (x_1, y_1, ..., x_n, y_n, x_{n+1}), n = 0..k, in one pass.

        Shape (batch, k+1), float64; the last column is `posterior_mean`, and raises as it does.
        """
        return self._mean(self.posterior_all_prefixes(prompts), prompts.xs)

    def posterior_mean_error_bound(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Bound |error| of `posterior_mean` on these very prompts (`mean_error_bound` states it).

        The bound is of first order in the unit roundoff and holds where no product <w_j, x_i> or
        square underflows.

        Shape (batch,), float64. Raises as `scores`.
        """
        return mean_error_bound(self._misfit(prompts), self.weights[self._alive])

    @property
    def _alive(self) -> Bool[np.ndarray, " m"]:
        return np.asarray(self.weights > 0)

    def _misfit(self, prompts: PromptBatch) -> Misfit:
        if prompts.dim != self.dim:
            raise ValueError(
                f"the prompts have dimension d = {prompts.dim} and the components of the mixture"
                f" d = {self.dim}; expected the same d"
            )
        return Misfit(prompts, self.components[self._alive], self.noise_std)

    def _mean(
        self, posterior: Float[np.ndarray, "*batch m"], queries: Float[np.ndarray, "*batch d"]
    ) -> Float[np.ndarray, "*batch"]:
        with np.errstate(over="ignore", invalid="ignore"):
            mean = np.sum(posterior * (queries @ self.components.T), axis=-1)
        if not np.all(np.isfinite(mean)):
            raise OverflowError("<w_j, x> of a query x overflows float64: rescale the prompts")
        return np.asarray(mean)
