"""The subspace algorithm for mixtures of regressions, from one anchor prompt at a time.

After Jain et al. 2023 (arXiv 2309.01973): gradient descent for the component of one prompt, where
each gradient is averaged over all prompts that seem to share the component; whether they do is
tested in the span of all components' gradients, which is estimated from halves of prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from simulations.baselines.arguments import ParameterProblems, require_data
from simulations.baselines.fitted_mixture import FittedMixture
from theory import PromptBatch, RegressionMixture
from theory.em import PromptStatistics, maximisation_step

__all__ = ["SubspaceAlgorithm"]

#: Residuals are clipped at this many of their root mean squares: rarely, for Gaussian labels.
_CLIP = 8.0

#: Least examples of a prompt: thirds of one example each.
_LEAST_EXAMPLES = 3


class _Gradients(NamedTuple):
    """Mean clipped gradients over three parts of each prompt, shape (n, d) each."""

    first: Float[np.ndarray, "n d"]
    second: Float[np.ndarray, "n d"]
    third: Float[np.ndarray, "n d"]


@dataclass
class SubspaceAlgorithm(FittedMixture):
    """Find the components of a mixture of regressions by gradient descent in their subspace.

    Each anchor prompt starts a descent at w = 0. In a round, with g_b(w) the mean of
    clip(x'w - y) x over the examples of prompt b:

    1. U: the top min(m, d) eigenvectors of the mean over b of g_b g_b', from two halves of the
       examples each, so that noise averages to zero;
    2. the prompts with <U'(g_b - a), U'(g_b' - a')> <= threshold theta, on two thirds of the
       examples, g_b, g_b' of the prompt and a, a' of the anchor, and theta the anchor's mean
       squared residual;
    3. w <- w - step U U' (mean of g_b over these prompts, on the last third).

    Of what the anchors find, the m that explain the prompts best are kept, chosen greedily.

    Parameters
    ----------
    n_components
        m >= 1.
    noise_std
        sigma >= 0. (The descent does not use it; the predictions do.)
    random_state
        Seed of the choice of anchors: an integer or a generator, which is then used up.
    n_anchors
        Default: as many as find each of m equal components with probability 99 %,
        ceil(m ln(100 m)).
    n_rounds
        Gradient steps from an anchor.
    threshold
        Of the test, in units of theta.
    step
        Default: 1 over the largest eigenvalue of the mean of xx'.
    refinements
        Rounds of least squares at the end, on the prompts that are nearest to each component.
    on_anchor
        Called after each anchor with its number.

    Attributes
    ----------
    anchor_components_
        What each anchor found, shape (n_anchors, d).
    unrefined_components_
        The m of them that are kept, shape (m, d).
    components_, weights_
        After refinement, shape (m, d), and the part of the prompts nearest to each, shape (m,).

    Notes
    -----
    A round costs 3 n k d, an anchor `n_rounds` of them. The test needs about sqrt(m) examples in a
    third of a prompt. Samples are used again in every round; the guarantees are for fresh ones.
    With short prompts others slip in among those that share the anchor's component: what is not
    refined keeps a bias then, which falls with k and not with n.
    Source: the structure is that of Jain et al.; constants are ours.
    """

    n_components: int
    noise_std: float
    random_state: int | np.random.Generator = 0
    n_anchors: int | None = None
    n_rounds: int = 10
    threshold: float = 0.5
    step: float | None = None
    refinements: int = 2
    on_anchor: Callable[[int], object] | None = None

    def fit(self, prompts: PromptBatch) -> SubspaceAlgorithm:
        """Find the components.

        Parameters
        ----------
        prompts
            n >= m prompts with k >= 3 labelled examples each.

        Raises
        ------
        ValueError
            If a parameter is out of range, or there are too few prompts or examples. All problems
            are listed at once.
        TypeError
            If they are no `PromptBatch`.
        """
        advice = "for groups of any sizes there is BatchEM"
        require_data("SubspaceAlgorithm.fit", prompts, (PromptBatch,), advice)
        self._check(prompts)
        m, rng = self.n_components, np.random.default_rng(self.random_state)
        wanted = ceil(m * log(100 * m)) if self.n_anchors is None else self.n_anchors
        anchors = rng.choice(len(prompts), size=min(wanted, len(prompts)), replace=False)
        step = self._step(prompts) if self.step is None else self.step
        found = []
        for number, anchor in enumerate(anchors):
            found.append(self._descend(prompts, int(anchor), step))
            if self.on_anchor is not None:
                self.on_anchor(number + 1)
        self.anchor_components_ = np.array(found)
        statistics = PromptStatistics(prompts)
        chosen = _chosen(statistics, self.anchor_components_, m)
        self.unrefined_components_ = self.anchor_components_[chosen]
        mixture = RegressionMixture(self.unrefined_components_, self.noise_std)
        assigned = _nearest(statistics, mixture.components)
        for _ in range(self.refinements):
            mixture = maximisation_step(statistics, assigned, self.noise_std)
            assigned = _nearest(statistics, mixture.components)
        share = assigned.mean(axis=0)
        self.mixture_ = RegressionMixture(mixture.components, self.noise_std, share / np.sum(share))
        return self

    def _check(self, prompts: PromptBatch) -> None:
        problems = ParameterProblems(self)
        m = problems.check_count("n_components", 1)
        problems.check_number("noise_std", 0.0, strict=False)
        problems.check_random_state()
        problems.check_count("n_rounds", 1)
        problems.check_count("refinements", 0)
        problems.check_number("threshold", 0.0, strict=True)
        if self.step is not None:
            problems.check_number("step", 0.0, strict=True)
        if self.n_anchors is not None:
            problems.check_count("n_anchors", m)
        problems.check_callback("on_anchor")
        if len(prompts) < m:
            problems.add(f"there are {len(prompts)} prompts for {m} components; expected n >= m")
        if prompts.num_examples < _LEAST_EXAMPLES:
            problems.add(
                f"the prompts have k = {prompts.num_examples} examples; expected at least"
                f" {_LEAST_EXAMPLES}, since they are split in thirds"
            )
        problems.raise_if_any()

    @staticmethod
    def _step(prompts: PromptBatch) -> float:
        xs = prompts.examples.reshape(-1, prompts.dim)
        return 1 / float(np.linalg.eigvalsh(xs.T @ xs / len(xs))[-1])

    def _descend(self, prompts: PromptBatch, anchor: int, step: float) -> Float[np.ndarray, " d"]:
        w = np.zeros(prompts.dim)
        for _ in range(self.n_rounds):
            residuals = prompts.examples @ w - prompts.ys
            theta = float(np.mean(residuals[anchor] ** 2))
            bound = _CLIP * np.sqrt(theta)
            gradients = _thirds(prompts.examples, np.clip(residuals, -bound, bound))
            basis = _subspace(gradients, min(self.n_components, prompts.dim))
            alike = self._alike(gradients, basis, anchor, theta)
            direction = basis @ (basis.T @ gradients.third[alike].mean(axis=0))
            w = w - step * direction
        return w

    def _alike(
        self, gradients: _Gradients, basis: Float[np.ndarray, "d l"], anchor: int, theta: float
    ) -> Bool[np.ndarray, " n"]:
        """Say which prompts seem to have the anchor's component. The anchor itself always does."""
        first = (gradients.first - gradients.first[anchor]) @ basis
        second = (gradients.second - gradients.second[anchor]) @ basis
        return np.asarray(np.sum(first * second, axis=1) <= self.threshold * theta)


def _thirds(
    examples: Float[np.ndarray, "n k d"], residuals: Float[np.ndarray, "n k"]
) -> _Gradients:
    cuts = np.array_split(np.arange(residuals.shape[1]), 3)
    return _Gradients(
        *(
            np.matmul(residuals[:, None, cut[0] : cut[-1] + 1], examples[:, cut[0] : cut[-1] + 1])[
                :, 0
            ]
            / len(cut)
            for cut in cuts
        )
    )


def _subspace(gradients: _Gradients, size: int) -> Float[np.ndarray, "d size"]:
    """Return the span of the components' gradients: products of different parts have no noise."""
    a, b, c = gradients
    cross = a.T @ b + b.T @ c + c.T @ a
    values, vectors = np.linalg.eigh((cross + cross.T) / 2)
    order = np.argsort(-np.abs(values))
    return np.asarray(vectors[:, order[:size]])


def _chosen(statistics: PromptStatistics, points: Float[np.ndarray, "n d"], size: int) -> list[int]:
    """Choose points one by one, each time the one that lowers the sum of least misfits most.

    So a descent that went astray is not chosen, as long as every component was found by another.
    """
    misfits = statistics.residual_sums(points)
    least = np.full(len(misfits), np.inf)
    chosen: list[int] = []
    for _ in range(size):
        totals = np.minimum(misfits, least[:, None]).sum(axis=0)
        totals[chosen] = np.inf
        chosen.append(int(np.argmin(totals)))
        least = np.minimum(least, misfits[:, chosen[-1]])
    return chosen


def _nearest(
    statistics: PromptStatistics, components: npt.NDArray[np.float64]
) -> Float[np.ndarray, "n m"]:
    """Return 1 for the component of least misfit of each prompt, else 0."""
    best = np.argmin(statistics.residual_sums(components), axis=1)
    return np.asarray(np.eye(len(components))[best])
