"""The argmin predictor as a limit: the circuit of f*_pi at a small sigma, and how far off it is."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from constructions.box import Box
from constructions.circuit import Circuit
from constructions.library.posterior_mean_transformer import posterior_mean_circuit
from theory import PromptBatch, RegressionMixture


@dataclass(frozen=True)
class ArgminLimit:
    """f*_sigma for a small sigma, in place of <w_j, x> for the j of least residual sum S_j.

    Ties are averaged with the prior's weights, as `theory.Argmin` does, so that with no examples
    both answers are the prior mean.
    Source: pathak2023, eq. (7).

    Parameters
    ----------
    mixture
        Components and prior; its own noise level plays no role.
    noise_std
        The sigma > 0 that stands for 0. The float type must resolve it beside the residuals of
        the box: `constructions.library.resolution`.
    """

    mixture: RegressionMixture
    noise_std: float

    def circuit(self, max_examples: int, box: Box) -> Circuit:
        """Return the circuit of f*_sigma for up to K examples: three layers of one head each.

        Raises
        ------
        ValueError
            If sigma is not positive, or max_examples is negative.
        """
        return posterior_mean_circuit(self._softened, max_examples, box)

    def error_bound(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Return a bound on |f*_sigma - f_argmin| in exact arithmetic, (batch, K + 1).

        With B the components of least residual sum, gap_j = S_j - min S and pi_B = sum_B pi_b,
        a posterior weight outside B is at most (pi_j / pi_B) exp(-gap_j / 2 sigma^2), so that the
        difference is at most

            sum_{j not in B} min(1, (pi_j / pi_B) exp(-gap_j / 2 sigma^2)) |<w_j, x> - f_argmin|.

        Raises
        ------
        ValueError
            If the dimensions of mixture and prompts differ.
        """
        best = self._best(prompts)
        weights = self.mixture.weights
        share = np.where(best, weights, 0.0)
        share /= share.sum(axis=2, keepdims=True)
        images = prompts.xs @ self.mixture.components.T
        answer = (share * images).sum(axis=2, keepdims=True)
        outside = np.exp(self._log_share(prompts, best))
        bound: Float[np.ndarray, "batch prefixes"] = np.sum(
            np.where(best, 0.0, np.minimum(outside, 1.0)) * np.abs(images - answer), axis=2
        )
        return bound

    @property
    def _softened(self) -> RegressionMixture:
        return self.mixture.with_noise_std(self.noise_std)

    def _best(self, prompts: PromptBatch) -> Bool[np.ndarray, "batch prefixes m"]:
        scores = self.mixture.with_noise_std(0.0).scores(prompts)
        best: Bool[np.ndarray, "batch prefixes m"] = np.isfinite(scores)
        return best

    def _log_share(
        self, prompts: PromptBatch, best: Bool[np.ndarray, "batch prefixes m"]
    ) -> Float[np.ndarray, "batch prefixes m"]:
        """ln(pi_j / pi_B) - gap_j / 2 sigma^2; -infinity where pi_j = 0."""
        scores = self._softened.scores(prompts)
        among = np.where(best, scores, -np.inf)
        highest = among.max(axis=2, keepdims=True)
        total = highest + np.log(np.exp(among - highest).sum(axis=2, keepdims=True))
        share: Float[np.ndarray, "batch prefixes m"] = scores - total
        return share
