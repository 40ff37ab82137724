"""What may be given to an estimator, and what is said of anything else."""

from __future__ import annotations

import numpy as np

from theory import PromptBatch
from theory.em import PromptStatistics
from theory.grouped_examples import GroupedExamples
from theory.validation import Problems

__all__ = ["ParameterProblems", "Prompts", "described", "require_data", "require_dim"]

#: What EM fits; who fits the same prompts many times, can prepare their statistics once.
Prompts = PromptBatch | GroupedExamples | PromptStatistics

#: How each kind of data is made.
_MADE = {
    PromptBatch: "a theory.PromptBatch(xs, ys)",
    GroupedExamples: "a simulations.baselines.GroupedExamples(xs, ys, groups)",
    PromptStatistics: "a theory.em.PromptStatistics of either",
}


def described(thing: object) -> str:
    """Name what was given by its type and, for arrays and data frames, its shape."""
    if thing is None or isinstance(thing, str | int | float):
        return repr(thing)
    shape = f" of shape {thing.shape}" if hasattr(thing, "shape") else ""
    return f"{type(thing).__name__}{shape}"


def require_data(where: str, data: object, kinds: tuple[type, ...], advice: str = "") -> None:
    """Raise a `TypeError` if `data` is of none of these kinds.

    Parameters
    ----------
    where
        The method that was called; it opens the error message.
    data, kinds
        What was given, and classes among those of `Prompts`.
    advice
        What to do; it ends the message.
    """
    if not isinstance(data, kinds):
        expected = " or ".join(_MADE[kind] for kind in kinds)
        told = f"{where} was given {described(data)}; expected {expected}"
        raise TypeError(f"{told}: {advice}" if advice else told)


def require_dim(where: str, what: str, dim: int, fitted: int) -> None:
    """Raise a `ValueError` if what is asked has not the dimension of what was fitted."""
    if dim != fitted:
        raise ValueError(
            f"{where}: the {what} have dimension d = {dim} and the components {fitted}; expected"
            " the same d: the covariates that fit was given, in that order (an intercept is one)"
        )


class ParameterProblems(Problems):
    """The problems of an estimator's parameters, which are checked by name.

    Parameters
    ----------
    estimator
        Whose attributes they are.
    """

    def __init__(self, estimator: object) -> None:
        super().__init__(type(estimator).__name__)
        self._estimator = estimator

    def check_count(self, name: str, lower: int) -> int:
        """Note what is no integer >= `lower`; True and False are none here."""
        value = getattr(self._estimator, name)
        if isinstance(value, bool):
            self.add(f"{name} is {value}; expected an integer >= {lower}")
            return lower
        return self.count(name, value, lower)

    def check_number(self, name: str, lower: float, *, strict: bool) -> None:
        """Note what is no number >= `lower` (if `strict`, >); text that reads as one is none."""
        value = getattr(self._estimator, name)
        if isinstance(value, str | bytes):
            self.add(f"{name} is {value!r}, which is text; expected a number")
        else:
            self.number(name, value, lower, strict=strict)

    def check_random_state(self, name: str = "random_state") -> None:
        """Note what seeds no generator. None is drawn from."""
        value = getattr(self._estimator, name)
        try:
            np.random.default_rng(value)
        except (TypeError, ValueError):
            self.add(f"{name} is {value!r}; expected an integer >= 0 or a numpy.random.Generator")

    def check_callback(self, name: str) -> None:
        """Note what is neither None nor a function."""
        value = getattr(self._estimator, name)
        if value is not None and not callable(value):
            self.add(f"{name} is {described(value)}; expected a function, or None for none")
