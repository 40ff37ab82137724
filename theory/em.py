"""Expectation-maximisation for mixtures of regressions, one component for each whole prompt.

Prompts are `PromptBatch`es, or groups of any sizes in a table, `GroupedExamples`. All that the
steps need of a prompt is a triangle: with Q T = [X, y] (thin QR) is

    |y - X w|^2 = |T (-w, 1)|^2,

without the cancellation that X'X, X'y and y'y would bring.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from theory.grouped_examples import GroupedExamples
from theory.mixture import RegressionMixture
from theory.prompts import PromptBatch
from theory.validation import Problems

__all__ = ["Expectation", "PromptStatistics", "expectation_step", "maximisation_step"]

#: Numbers in a block of residuals: small enough to stay in a cache.
_BLOCK = 2**18

#: Where eigenvalues of weighted X'X are so far apart, normal equations lose half of the digits.
_CLOSE = 1e-8


class PromptStatistics:
    """Sufficient statistics of labelled prompts; afterwards no step costs more for long prompts.

    Parameters
    ----------
    prompts
        n prompts with k >= 1 examples each, whose queries, which have no label, are not used; or
        groups of any sizes.

    Attributes
    ----------
    triangles
        T of each prompt, shape (n, r, d + 1), r = min(max k_i, d + 1), with zeros below.
    num_examples
        k_i, shape (n,).

    Raises
    ------
    ValueError
        If the prompts have no examples.
    """

    def __init__(self, prompts: PromptBatch | GroupedExamples) -> None:
        if isinstance(prompts, GroupedExamples):
            self.num_examples: Int[np.ndarray, " n"] = prompts.sizes
            self.triangles: Float[np.ndarray, "n r d1"] = _triangles_of_groups(prompts)
        else:
            if prompts.num_examples == 0:
                raise ValueError(
                    "the prompts have no labelled examples: a component cannot be fitted; expected"
                    " k >= 1"
                )
            self.num_examples = np.full(len(prompts), prompts.num_examples)
            self.triangles = _triangles_of_prompts(prompts)
        self._basis = self._common_basis()
        self._upper = np.triu_indices(self._basis.shape[1] + 1)
        self._products = np.concatenate(
            [
                np.einsum("nri,nrj->nij", rows, rows)[:, *self._upper]
                for rows in map(self._in_basis, self._blocks(prompts.dim + 1))
            ]
        )

    def __len__(self) -> int:
        return len(self.triangles)

    @property
    def dim(self) -> int:
        """The dimension d."""
        return int(self.triangles.shape[2]) - 1

    def residual_sums(self, components: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
        """Return |y_i - X_i w_j|^2 for all prompts and components, at a cost of n m d^2."""
        signed = np.append(-components, np.ones((len(components), 1)), axis=1).T
        sums = np.empty((len(self), len(components)))
        for where, block in self._blocks(len(components)):
            residuals = block.reshape(-1, self.dim + 1) @ signed
            np.square(residuals, out=residuals)
            sums[where] = residuals.reshape(*block.shape[:2], -1).sum(axis=1)
        return sums

    def least_squares(self, weights: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "m d"]:
        """Return argmin_w sum_i weights_ij |y_i - X_i w|^2 for each j, at a cost of n m d^2.

        Where it is not unique, the one of least |X w| over all rows: 0 where all weights are 0.
        Equations are solved in coordinates in which X'X of all rows is I, so that neither units
        nor offsets of the covariates (years, dollars) cost accuracy.
        """
        rank = self._basis.shape[1]
        full = np.empty((weights.shape[1], rank + 1, rank + 1))
        full[:, *self._upper] = full[:, *self._upper[::-1]] = weights.T @ self._products
        gram, cross = full[:, :-1, :-1], full[:, :-1, -1]
        solved = (np.linalg.pinv(gram, hermitian=True) @ cross[:, :, None])[..., 0]
        values = np.linalg.eigvalsh(gram)
        for j in np.flatnonzero(values[:, 0] < _CLOSE * values[:, -1]):
            solved[j] = self._least_squares_of_rows(weights[:, j])
        return np.asarray(solved @ self._basis.T)

    def _least_squares_of_rows(
        self, weights: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " rank"]:
        """Return one argmin in the common basis from rows, whose condition is not squared."""
        roots = np.sqrt(weights)
        factors = []
        for where, block in self._blocks(self.dim + 1):
            rows = roots[where, None, None] * self._in_basis((where, block))
            factors.append(np.linalg.qr(rows.reshape(-1, rows.shape[2]), mode="r"))
        rows = np.concatenate(factors)
        return np.asarray(np.linalg.lstsq(rows[:, :-1], rows[:, -1])[0])

    def noise_std_within(self) -> float | None:
        """Return the noise level that prompts of more than d examples show by themselves.

        Returns
        -------
        float or None
            sqrt(sum_i |r_i|^2 / sum_i (k_i - d)), r_i the residuals of least squares on prompt i
            alone, over the prompts with k_i > d; None if there are none. Its square has no bias,
            whatever the components, and however many there are.
        """
        longer = self.num_examples > self.dim
        if not np.any(longer):
            return None
        squares = self.triangles[longer, self.dim, self.dim] ** 2
        return float(np.sqrt(np.sum(squares) / np.sum(self.num_examples[longer] - self.dim)))

    def _common_basis(self) -> Float[np.ndarray, "d rank"]:
        """Return B of full column rank with (X B)'(X B) = I for the covariates X of all rows."""
        scales = np.sqrt(np.sum(np.square(self.triangles[..., :-1]), axis=(0, 1)))
        scales[scales == 0] = 1
        factors = [
            np.linalg.qr(block[..., :-1].reshape(-1, self.dim) / scales, mode="r")
            for _, block in self._blocks(self.dim + 1)
        ]
        _, singular, rows = np.linalg.svd(np.concatenate(factors), full_matrices=False)
        kept = singular > singular[0] * self.triangles.size * np.finfo(float).eps
        return np.asarray((rows[kept].T / singular[kept]) / scales[:, None])

    def _in_basis(
        self, run: tuple[slice, Float[np.ndarray, "b r d1"]]
    ) -> Float[np.ndarray, "b r rank1"]:
        """Return the triangles of a run with covariates in the common basis, labels beside them."""
        _, block = run
        return np.concatenate([block[..., :-1] @ self._basis, block[..., -1:]], axis=2)

    def _blocks(self, columns: int) -> Iterator[tuple[slice, Float[np.ndarray, "b r d1"]]]:
        """Yield runs of triangles, of about `_BLOCK` numbers for so many columns a row."""
        size = max(1, _BLOCK // (self.triangles.shape[1] * columns))
        for start in range(0, len(self), size):
            where = slice(start, start + size)
            yield where, self.triangles[where]


def _triangles_of_prompts(prompts: PromptBatch) -> Float[np.ndarray, "n r d1"]:
    """Return T of each prompt, block by block: the factors need far less room than the prompts."""
    width = prompts.dim + 1
    triangles = np.empty((len(prompts), min(prompts.num_examples, width), width))
    size = max(1, _BLOCK // (prompts.num_examples * width))
    for start in range(0, len(prompts), size):
        xs, ys = prompts.examples[start : start + size], prompts.ys[start : start + size]
        joined = np.concatenate([xs, ys[:, :, None]], axis=2)
        triangles[start : start + size] = np.linalg.qr(joined, mode="r")
    return triangles


def _triangles_of_groups(groups: GroupedExamples) -> Float[np.ndarray, "n r d1"]:
    """Return T of each group; those of one size are factored together."""
    joined = np.concatenate([groups.xs, groups.ys[:, None]], axis=1)
    joined = joined[np.argsort(groups.codes, kind="stable")]
    starts = np.cumsum(groups.sizes) - groups.sizes
    width = groups.dim + 1
    triangles = np.zeros((len(groups), min(int(groups.sizes.max()), width), width))
    for size in np.unique(groups.sizes):
        which = np.flatnonzero(groups.sizes == size)
        rows = joined[starts[which, None] + np.arange(size)]
        triangles[which, : min(size, width)] = np.linalg.qr(rows, mode="r")
    return triangles


class Expectation(NamedTuple):
    """What an E-step gives.

    Attributes
    ----------
    responsibilities
        gamma_ij, the posterior weight of component j given the labels of prompt i, shape (n, m).
    log_likelihood
        sum_i log sum_j pi_j prod_l phi((y_il - <w_j, x_il>) / sigma) / sigma, of the labels given
        the covariates.
    """

    responsibilities: Float[np.ndarray, "n m"]
    log_likelihood: float


def expectation_step(statistics: PromptStatistics, mixture: RegressionMixture) -> Expectation:
    """Assign prompts to components.

    Parameters
    ----------
    statistics
        Of the prompts.
    mixture
        Components, weights and the noise level sigma > 0.

    Raises
    ------
    ValueError
        If sigma = 0 (no density) or the dimensions differ.

    Notes
    -----
    Source: Pathak et al. 2023, Algorithm 1, first update.
    """
    problems = Problems("expectation_step(statistics, mixture)")
    if mixture.noise_std == 0:
        problems.add("noise_std is 0: the labels have no density; expected sigma > 0")
    if mixture.dim != statistics.dim:
        problems.add(
            f"the prompts have dimension d = {statistics.dim} and the components {mixture.dim};"
            " expected the same d"
        )
    problems.raise_if_any()
    variance = mixture.noise_std**2
    with np.errstate(divide="ignore"):  # a component of weight 0 has logit -infinity
        logits = np.log(mixture.weights) - statistics.residual_sums(mixture.components) / (
            2 * variance
        )
    total = logsumexp(logits, axis=1, keepdims=True)
    constant = float(np.sum(statistics.num_examples)) * np.log(2 * np.pi * variance) / 2
    return Expectation(np.exp(logits - total), float(np.sum(total)) - float(constant))


def maximisation_step(
    statistics: PromptStatistics,
    responsibilities: Float[np.ndarray, "n m"],
    noise_std: float | None,
) -> RegressionMixture:
    """Fit weights and components to the responsibilities, and the noise level if it is not known.

    A component that nobody answers for gets weight 0, and w = 0 (every w is a minimiser then).

    Parameters
    ----------
    statistics
        Of the prompts.
    responsibilities
        gamma_ij, shape (n, m).
    noise_std
        sigma; None for sigma^2 = sum_ij gamma_ij |y_i - X_i w_j|^2 / sum_i k_i, which maximises the
        expected likelihood if all components have one noise level.

    Notes
    -----
    Source: Pathak et al. 2023, Algorithm 1, second and third update. It takes sigma as known.
    """
    components = statistics.least_squares(responsibilities)
    if noise_std is None:
        squares = np.sum(responsibilities * statistics.residual_sums(components))
        noise_std = float(np.sqrt(squares / np.sum(statistics.num_examples)))
    pi = responsibilities.sum(axis=0)
    return RegressionMixture(components, noise_std, pi / np.sum(pi))
