"""Sums that are added up part by part, in any order within the parts and of the parts."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from constructions.certificate.rounding import RoundingModel
from constructions.layer_plan import Form, partial_sums


def sum_in_parts(
    form: Form, sizes: Mapping[int, float], rounding: RoundingModel, near: float
) -> tuple[float, float]:
    """Return a and b: a linear form that `partial_sums` has split is rounded by at most a + b |t|.

    The sum is exactly at most ``near`` + |t| in magnitude. Every product, and every addition, errs
    by u times its result, to first order.

    Parameters
    ----------
    form
        Row -> coefficient; these, and the units, are exact.
    sizes
        Row -> the largest magnitude of what it holds.
    rounding
        The model of arithmetic.
    near
        As above; may be infinite.
    """
    parts = [
        np.array([abs(c) * sizes[row] for row, c in part.items()]) for part in partial_sums(form)
    ]
    totals = np.array([part.sum() for part in parts])
    # A partial sum is at most the sum of all positive or of all negative terms.
    outer = np.minimum(results(totals), (totals.sum() + near) / 2)
    outer[-1:] = np.minimum(outer[-1:], near)
    inner = sum(float(results(part).sum()) for part in parts)
    count = len(form)
    u = rounding.unit_roundoff * (1 + rounding.gamma(2 * count))
    slope = (len(outer) + 1) / 2 if near < np.inf else 0.0
    return u * (float(totals.sum()) + inner + float(outer.sum())), u * slope


def results(terms: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """Return bounds on the results of the n - 1 additions of n terms, whatever their order.

    An addition whose result has c terms has c - 2 additions before it in its own tree. So, ordered
    by how many terms their results have, the k-th has at most k + 1: no more than the sum of the
    k + 1 largest.
    """
    bounds: Float[np.ndarray, " m"] = np.cumsum(np.sort(np.abs(terms))[::-1])[1:]
    return bounds
