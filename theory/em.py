"""Expectation-maximisation for mixtures of regressions, one component for each whole prompt.

All that the steps need of a prompt is a triangle: with Q T = [X, y] (thin QR) is

    |y - X w|^2 = |T (-w, 1)|^2,

without the cancellation that X'X, X'y and y'y would bring.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from theory.mixture import RegressionMixture
from theory.prompts import PromptBatch
from theory.validation import Problems

__all__ = ["Expectation", "PromptStatistics", "expectation_step", "maximisation_step"]

#: Numbers in a block of residuals: small enough to stay in a cache.
_BLOCK = 2**18


class PromptStatistics:
    """Sufficient statistics of labelled prompts; afterwards no step costs more for long prompts.

    Parameters
    ----------
    prompts
        n prompts with k >= 1 examples each. Their queries, which have no label, are not used.

    Attributes
    ----------
    triangles
        T of each prompt, shape (n, r, d + 1), r = min(k, d + 1).
    num_examples
        k.

    Raises
    ------
    ValueError
        If the prompts have no examples.
    """

    def __init__(self, prompts: PromptBatch) -> None:
        if prompts.num_examples == 0:
            raise ValueError(
                "the prompts have no labelled examples: a component cannot be fitted; expected"
                " k >= 1"
            )
        self.num_examples = prompts.num_examples
        joined = np.concatenate([prompts.examples, prompts.ys[:, :, None]], axis=2)
        self.triangles: Float[np.ndarray, "n r d1"] = np.asarray(np.linalg.qr(joined, mode="r"))
        self._upper = np.triu_indices(prompts.dim + 1)
        self._products = np.concatenate(
            [
                np.einsum("nri,nrj->nij", block, block)[:, *self._upper]
                for _, block in self._blocks(prompts.dim + 1)
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

        Where it is not unique, the one of least norm: 0 where all weights are 0.
        """
        full = np.empty((weights.shape[1], self.dim + 1, self.dim + 1))
        full[:, *self._upper] = full[:, *self._upper[::-1]] = weights.T @ self._products
        gram, cross = full[:, :-1, :-1], full[:, :-1, -1]
        return np.asarray((np.linalg.pinv(gram, hermitian=True) @ cross[:, :, None])[..., 0])

    def _blocks(self, columns: int) -> Iterator[tuple[slice, Float[np.ndarray, "b r d1"]]]:
        """Yield runs of triangles, of about `_BLOCK` numbers for so many columns a row."""
        size = max(1, _BLOCK // (self.triangles.shape[1] * columns))
        for start in range(0, len(self), size):
            where = slice(start, start + size)
            yield where, self.triangles[where]


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
    constant = statistics.num_examples * np.log(2 * np.pi * variance) / 2
    return Expectation(
        np.exp(logits - total), float(np.sum(total)) - len(statistics) * float(constant)
    )


def maximisation_step(
    statistics: PromptStatistics,
    responsibilities: Float[np.ndarray, "n m"],
    noise_std: float,
) -> RegressionMixture:
    """Fit weights and components to the responsibilities; the noise level is known.

    A component that nobody answers for gets weight 0, and w = 0 (every w is a minimiser then).

    Notes
    -----
    Source: Pathak et al. 2023, Algorithm 1, second and third update.
    """
    pi = responsibilities.sum(axis=0)
    return RegressionMixture(statistics.least_squares(responsibilities), noise_std, pi / np.sum(pi))
