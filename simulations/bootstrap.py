"""Confidence bands by the bootstrap, over prompts or over clusters of prompts.

Pathak et al. 2023 and Zhang et al. 2023 both follow the code of Garg et al. 2022, which draws
prompts with replacement and takes the 5th and the 95th percentile of 1,000 means. Zhang et al.
have 64 prompts of each of 64 covariance matrices; their text does not say what was resampled, and
that code knows prompts only. Prompts of one matrix are not independent: then the clusters have to
be resampled, and the band over prompts is too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from theory.validation import Problems

__all__ = ["Band", "bootstrap_band"]

#: How many resampled indices are held at once.
_CHUNK = 1 << 22


@dataclass(frozen=True, eq=False)
class Band:
    """A mean over prompts, with its band.

    Attributes
    ----------
    mean
        The mean, shape (points,).
    low, high
        The percentile interval of the bootstrap, shape (points,).
    standard_error
        The standard error of the mean, from the spread between clusters and without resampling,
        shape (points,); NaN for one cluster.
    """

    mean: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]
    standard_error: Float[np.ndarray, " points"]

    def as_arrays(self, name: str) -> dict[str, npt.NDArray[np.float64]]:
        """Return the four arrays as ``name/mean``, ``name/low`` and so on."""
        return {f"{name}/{field}": array for field, array in vars(self).items()}


def bootstrap_band(
    values: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    clusters: npt.ArrayLike | None = None,
    level: float = 0.9,
    trials: int = 1000,
) -> Band:
    """Return the mean of rows and its percentile bootstrap interval, pointwise.

    Parameters
    ----------
    values
        One row for each prompt, shape (prompts, points), finite. All points of a row are resampled
        together.
    rng
        Where the resampled rows are drawn from.
    clusters
        An integer for each row, shape (prompts,): rows with the same integer are resampled
        together, as a whole. By default each row is a cluster of its own.
    level
        The coverage of the interval, between 0 and 1.
    trials
        How many times to resample, >= 1.

    Returns
    -------
    Band
        With n_c rows of sum s_c in cluster c of C, and n rows in all: the mean sum_c s_c / n; the
        percentiles (1 -+ level)/2 of sum_c N_c s_c / sum_c N_c n_c, where C draws with replacement
        take cluster c N_c times; and the standard error
        (C/(C - 1) sum_c (s_c - n_c mean)^2)^{1/2} / n, which without clusters is the usual one.

    Raises
    ------
    ValueError
        If a shape, an entry, the level or the number of trials is not as above.

    Notes
    -----
    Without clusters it is `scipy.stats.bootstrap(..., method="percentile")` of the mean along the
    first axis, to rounding and with the same draws, without its (trials, prompts, points) array.
    """
    rows, labels = _checked(values, clusters, level, trials)
    sums, sizes = rows, np.ones(len(rows))
    if labels is not None:
        _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
        sums, sizes = np.zeros((len(counts), rows.shape[1])), counts.astype(np.float64)
        np.add.at(sums, place, rows)
    mean = sums.sum(axis=0) / len(rows)
    means = _resampled_means(sums, sizes, trials, rng)
    low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)], axis=0)
    return Band(mean, low, high, _standard_error(sums, sizes, mean))


def _checked(
    values: npt.ArrayLike, clusters: npt.ArrayLike | None, level: float, trials: int
) -> tuple[Float[np.ndarray, "rows points"], npt.NDArray[np.int64] | None]:
    problems = Problems("bootstrap_band(values, rng, clusters, level, trials)")
    rows = problems.array("values", values, ("prompts", "points"))
    if rows is not None and len(rows) == 0:
        problems.add("values has no rows; expected at least one prompt")
    problems.count("trials", trials, 1)
    share = problems.number("level", level, 0.0, strict=True)
    if share >= 1:
        problems.add(f"level is {share!r}; expected a coverage below 1, such as 0.9")
    labels = None
    if clusters is not None:
        labels = np.asarray(clusters)
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            problems.add(
                f"clusters has dtype {labels.dtype} and shape {labels.shape}; expected one integer"
                " for each row of values"
            )
        elif rows is not None and len(labels) != len(rows):
            problems.add(f"clusters has {len(labels)} entries and values {len(rows)} rows")
    problems.raise_if_any()
    return np.asarray(rows), labels


def _resampled_means(
    sums: Float[np.ndarray, "clusters points"],
    sizes: Float[np.ndarray, " clusters"],
    trials: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "trials points"]:
    """Return the mean of each trial; how often a cluster is drawn decides it."""
    number = len(sizes)
    at_once = max(1, _CHUNK // number)
    means = []
    for start in range(0, trials, at_once):
        now = min(at_once, trials - start)
        drawn: Int[np.ndarray, "now clusters"] = rng.integers(0, number, (now, number))
        drawn += number * np.arange(now)[:, None]
        times = np.bincount(drawn.ravel(), minlength=now * number).reshape(now, number)
        weights = times.astype(np.float64)
        means.append((weights @ sums) / (weights @ sizes)[:, None])
    return np.concatenate(means)


def _standard_error(
    sums: Float[np.ndarray, "clusters points"],
    sizes: Float[np.ndarray, " clusters"],
    mean: Float[np.ndarray, " points"],
) -> Float[np.ndarray, " points"]:
    number = len(sizes)
    if number == 1:
        return np.full_like(mean, np.nan)
    spread = np.sum((sums - sizes[:, None] * mean) ** 2, axis=0)
    return np.asarray(np.sqrt(spread * number / (number - 1)) / np.sum(sizes))
