"""What every estimator of a mixture offers, before and after it is fitted."""

from __future__ import annotations

import difflib
import inspect
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from simulations.baselines.arguments import Prompts, require_data, require_dim
from theory import PromptBatch, RegressionMixture

__all__ = ["FittedMixture", "NotFittedError"]

Estimator = TypeVar("Estimator", bound="FittedMixture")


class NotFittedError(ValueError, AttributeError):
    """An estimator is asked before `fit`: of both kinds, as in scikit-learn, so `hasattr` works."""


class FittedMixture:
    """An estimator whose `fit` leaves a `RegressionMixture` in `mixture_`.

    As in scikit-learn: the parameters are those of the constructor, `fit` returns the estimator,
    and what is fitted ends with an underscore. All but the parameters raises a `NotFittedError`
    before `fit`.
    """

    mixture_: RegressionMixture

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, for `sklearn.base.clone` and its like.

        `deep` is there for them; there are no estimators inside this one.
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self: Estimator, **params: Any) -> Estimator:
        """Change parameters, and return the estimator; what it has fitted stays.

        Raises
        ------
        ValueError
            If there is no parameter of that name; then none is changed.
        """
        known = list(inspect.signature(type(self)).parameters)
        for name in params:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                advice = f"did you mean {near[0]!r}?" if near else f"expected {', '.join(known)}"
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}: {advice}")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    @property
    def components_(self) -> Float[np.ndarray, "m d"]:
        """The fitted w_j as rows."""
        return self._fitted().components

    @property
    def weights_(self) -> Float[np.ndarray, " m"]:
        """The fitted pi_j."""
        return self._fitted().weights

    @property
    def noise_std_(self) -> float:
        """The noise level sigma, given or fitted."""
        return self._fitted().noise_std

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " n"]:
        """Predict the labels of the queries by the posterior mean of the fitted mixture.

        Anything but prompts, of the dimension that was fitted, is a `TypeError` or a `ValueError`.
        """
        return self._of_queries("predict", prompts).posterior_mean(prompts)

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "n prefixes"]:
        """Predict y_{l+1} from the first l examples, l = 0..k; raises as `predict`."""
        mixture = self._of_queries("predict_all_prefixes", prompts)
        return mixture.posterior_mean_all_prefixes(prompts)

    def _fitted(self) -> RegressionMixture:
        if not hasattr(self, "mixture_"):
            raise NotFittedError(
                f"this {type(self).__name__} is not fitted: call fit(prompts) first"
            )
        return self.mixture_

    def _asked(
        self, method: str, data: Prompts, kinds: tuple[type, ...], advice: str = ""
    ) -> RegressionMixture:
        """Return what is fitted, if `data` can be asked of it."""
        mixture = self._fitted()
        where = f"{type(self).__name__}.{method}"
        require_data(where, data, kinds, advice)
        require_dim(where, "prompts or groups", data.dim, mixture.dim)
        return mixture

    def _of_queries(self, method: str, prompts: PromptBatch) -> RegressionMixture:
        """Return what is fitted, if `prompts` have queries that it can answer."""
        advice = "what it predicts are the labels of their queries"
        if hasattr(self, "predict_rows"):
            advice += "; for rows of a table call predict_rows(xs, groups, given)"
        return self._asked(method, prompts, (PromptBatch,), advice)
