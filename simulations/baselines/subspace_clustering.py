"""Clustering in the subspace of the components, after Kong et al. 2020 (arXiv 2002.08936)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from simulations.baselines.arguments import ParameterProblems, require_data
from simulations.baselines.fitted_mixture import FittedMixture
from theory import PromptBatch
from theory.em import PromptStatistics, maximisation_step

__all__ = ["SubspaceClustering"]

#: Splits of a prompt whose median makes a distance, and the examples that a split needs: medians
#: guard against heavy tails, but T splits make the noise of a distance sqrt(T) times larger.
_SPLITS, _EXAMPLES_A_SPLIT = 5, 60


@dataclass
class SubspaceClustering(FittedMixture):
    """Estimate a mixture of regressions in three passes: subspace, clusters, classes.

    1. With b_i, b_i' = the mean of y x over two halves of prompt i, U holds the top m eigenvectors
       of the mean of b_i b_i'.
    2. For some prompts, the median over splits of <U'(b_i - b_j), U'(b_i' - b_j')> is an unbiased
       distance, and average linkage gives m clusters. The cluster's centre is the mean of U U' b.
    3. Every prompt goes to the class of largest likelihood, -|y - Xw|^2 / 2 r^2 - k/2 log r^2, with
       r^2 the mean squared residual of the cluster; components are least squares of the classes.

    Parameters
    ----------
    n_components
        m >= 1.
    noise_std
        sigma >= 0, for predictions.
    random_state
        Seed of the choice of prompts for step 2: an integer or a generator, which is then used up.
    n_clustered
        Prompts for step 2, which takes the square of it in memory.

    Attributes
    ----------
    cluster_components_
        Centres after step 2, shape (m, d).
    components_, weights_
        After step 3, shapes (m, d) and (m,).

    Notes
    -----
    Assumes E xx' = I: other covariates must be whitened first, or y x does not average to w. The
    three passes are for fresh prompts; here all use the same. Source of the steps: Kong et al.;
    the paper's r^2 of a cluster is its components' noise and error.
    """

    n_components: int
    noise_std: float
    random_state: int | np.random.Generator = 0
    n_clustered: int = 600

    def fit(self, prompts: PromptBatch) -> SubspaceClustering:
        """Estimate the mixture.

        Parameters
        ----------
        prompts
            n >= m prompts with k >= 2 labelled examples each.

        Raises
        ------
        ValueError
            If a parameter is out of range, or there are too few prompts or examples. All problems
            are listed at once.
        TypeError
            If they are no `PromptBatch`.
        """
        advice = "for groups of any sizes there is BatchEM"
        require_data("SubspaceClustering.fit", prompts, (PromptBatch,), advice)
        self._check(prompts)
        rng = np.random.default_rng(self.random_state)
        moments = prompts.ys[:, :, None] * prompts.examples
        basis = _subspace(moments, min(self.n_components, prompts.dim))
        count = min(self.n_clustered, len(prompts))
        chosen = rng.choice(len(prompts), size=count, replace=False)
        projected = moments[chosen] @ basis
        labels = _clusters(projected, self.n_components)
        means = projected.mean(axis=1)
        groups = range(self.n_components)
        self.cluster_components_ = np.array(
            [basis @ means[labels == g].mean(axis=0) for g in groups]
        )
        statistics = PromptStatistics(prompts)
        misfits = statistics.residual_sums(self.cluster_components_)
        k = prompts.num_examples
        variance = np.array([misfits[chosen[labels == g], g].mean() / k for g in groups])
        variance = np.maximum(variance, np.finfo(np.float64).tiny)
        best = np.argmin(misfits / (2 * variance) + k / 2 * np.log(variance), axis=1)
        assigned = np.eye(self.n_components)[best]
        self.mixture_ = maximisation_step(statistics, assigned, self.noise_std)
        return self

    def _check(self, prompts: PromptBatch) -> None:
        problems = ParameterProblems(self)
        m = problems.check_count("n_components", 1)
        problems.check_number("noise_std", 0.0, strict=False)
        problems.check_random_state()
        problems.check_count("n_clustered", m)
        if len(prompts) < m:
            problems.add(f"there are {len(prompts)} prompts for {m} components; expected n >= m")
        if prompts.num_examples < 2:
            problems.add(
                f"the prompts have k = {prompts.num_examples} examples; expected at least 2, since"
                " they are split in halves"
            )
        problems.raise_if_any()


def _subspace(moments: Float[np.ndarray, "n k d"], size: int) -> Float[np.ndarray, "d size"]:
    half = moments.shape[1] // 2
    cross = moments[:, :half].mean(axis=1).T @ moments[:, half:].mean(axis=1)
    vectors = np.linalg.eigh((cross + cross.T) / 2)[1]
    return np.asarray(vectors[:, ::-1][:, :size])


def _clusters(projected: Float[np.ndarray, "n k l"], size: int) -> Int[np.ndarray, " n"]:
    """Return labels 0..size - 1 by average linkage of the median distances."""
    if len(projected) == 1:
        return np.zeros(1, dtype=np.int64)
    k = projected.shape[1]
    splits = max(1, min(_SPLITS, k // _EXAMPLES_A_SPLIT))
    pieces = np.array_split(np.arange(k), 2 * splits)
    means = [projected[:, piece].mean(axis=1) for piece in pieces]
    products = [_cross_distances(a, b) for a, b in zip(means[::2], means[1::2], strict=True)]
    distance = np.maximum(np.median(products, axis=0), 0.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="average")
    labels = fcluster(tree, size, criterion="maxclust") - 1
    return _all_used(np.asarray(labels, dtype=np.int64), size)


def _cross_distances(
    a: Float[np.ndarray, "n l"], b: Float[np.ndarray, "n l"]
) -> npt.NDArray[np.float64]:
    """Return <a_i - a_j, b_i - b_j> for all pairs."""
    products = a @ b.T
    own = np.diag(products)
    return np.asarray(own[:, None] + own - products - products.T)


def _all_used(labels: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """Split the largest clusters until there are `size`: ties in a tree can give fewer."""
    for missing in range(int(labels.max()) + 1, size):
        largest = np.flatnonzero(labels == np.argmax(np.bincount(labels)))
        labels[largest[len(largest) // 2 :]] = missing
    return labels
