"""Sums that are added up part by part, in any order within the parts and of the parts."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from constructions.certificate.rounding import RoundingModel
from constructions.layer_plan import Form, partial_sums


def sum_in_parts(form: Form, sizes: Mapping[int, float], rounding: RoundingModel) -> float:
    """Return a bound on the rounding of a linear form that `partial_sums` has split.

    A term takes part in its product, in additions of its part, and in additions of the parts. In
    whichever order n terms are added, the k-th largest takes part in no more additions than if all
    were added one by one, largest first, as far as the sum of all errors is concerned.

    Parameters
    ----------
    form
        Row -> coefficient; these, and the units, are exact.
    sizes
        Row -> the largest magnitude of what it holds.
    rounding
        The model of arithmetic.
    """
    parts = [
        np.array([abs(c) * sizes[row] for row, c in part.items()]) for part in partial_sums(form)
    ]
    outer = np.zeros(len(parts))
    outer[np.argsort([-part.sum() for part in parts])] = additions(len(parts))
    total = 0.0
    for part, after in zip(parts, outer, strict=True):
        depths = 1 + additions(len(part)) + after
        gammas = np.array([rounding.gamma(float(depth)) for depth in depths])
        total += float(gammas @ np.sort(part)[::-1])
    return total


def additions(n: int) -> Float[np.ndarray, " n"]:
    """Return how many additions each of n terms takes part in, one by one, largest first."""
    counts: Float[np.ndarray, " n"] = np.minimum(np.arange(n, 0, -1.0), max(n - 1, 0))
    return counts
