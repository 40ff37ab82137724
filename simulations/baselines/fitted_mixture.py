"""What every estimator of a mixture offers once it is fitted."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from theory import PromptBatch, RegressionMixture

__all__ = ["FittedMixture"]


class FittedMixture:
    """An estimator whose `fit` leaves a `RegressionMixture` in `mixture_`.

    Everything here raises an `AttributeError` before `fit`.
    """

    mixture_: RegressionMixture

    @property
    def components_(self) -> Float[np.ndarray, "m d"]:
        """The fitted w_j as rows."""
        return self._fitted().components

    @property
    def weights_(self) -> Float[np.ndarray, " m"]:
        """The fitted pi_j."""
        return self._fitted().weights

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " n"]:
        """Predict the labels of the queries by the posterior mean of the fitted mixture."""
        return self._fitted().posterior_mean(prompts)

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "n prefixes"]:
        """Predict y_{l+1} from the first l examples, l = 0..k."""
        return self._fitted().posterior_mean_all_prefixes(prompts)

    def _fitted(self) -> RegressionMixture:
        if not hasattr(self, "mixture_"):
            raise AttributeError(
                f"this {type(self).__name__} is not fitted: call fit(prompts) first"
            )
        return self.mixture_
