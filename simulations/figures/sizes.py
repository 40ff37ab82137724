"""The sizes of runs in words, for captions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from simulations.runs.stored_run import StoredRun

__all__ = ["BAND", "QUERY_NOISE", "joined", "said"]

#: What a band is, wherever `simulations.bootstrap` made it.
BAND = "Bands hold 90 % of the means of resampled prompts (bootstrap)."

#: Of the errors of `simulations.experiments.error_curves`.
QUERY_NOISE = (
    "The noise of the query's label enters by its mean, sigma^2: neither curves nor bands hold the"
    " chance of it."
)


def said(runs: Mapping[str, StoredRun], name: str) -> str:
    """Return the values that a field of the configs has, each once: "5 and 20", "8,192"."""
    values = dict.fromkeys(getattr(run.config, name) for run in runs.values())
    return joined(values)


def joined(values: Iterable[Any]) -> str:
    """Return values as words: numbers short, integers with commas, the last after "and"."""
    words = [_word(value) for value in values]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _word(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
