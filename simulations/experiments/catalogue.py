"""The experiments by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any

from simulations.experiments.experiment import Experiment

__all__ = ["experiments", "find_experiment"]

#: The modules that hold experiments, in a tuple `EXPERIMENTS`; imported when first asked for.
_MODULES: tuple[str, ...] = (
    "mixture_prediction",
    "posterior_mean_shifts",
    "fitted_mixtures",
    "prediction_distances",
    "em_recovery",
    "covariate_laws",
    "linear_attention_shifts",
    "random_covariances",
    "trained_attention",
    "trained_and_built",
    "fine_tuned_networks",
    "mixture_transformers",
    "gaussian_transformers",
    "open_question_transformers",
    "step_sizes",
)


@cache
def experiments() -> Mapping[str, Experiment[Any]]:
    """Return every experiment by its name."""
    found: dict[str, Experiment[Any]] = {}
    for module in _MODULES:
        for experiment in import_module(f"simulations.experiments.{module}").EXPERIMENTS:
            found[experiment.name] = experiment
    return MappingProxyType(found)


def find_experiment(name: str) -> Experiment[Any]:
    """Return the experiment of this name.

    Raises
    ------
    ValueError
        If there is none; the message has the names that are near.
    """
    known = experiments()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
        raise ValueError(f"there is no experiment {name!r}: {advice}")
    return known[name]
