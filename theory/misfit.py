"""How badly each component of a mixture misses the examples, and what rounding adds to that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from theory.prompts import PromptBatch
from theory.rounding import TINY, gamma

__all__ = ["Misfit"]


@dataclass(frozen=True)
class Misfit:
    """Sums of squared residuals of all components, over every prefix of every prompt.

    With r_ij = <w_j, x_i> - y_i (eq. (5)) and z_ij = r_ij / s the misfit is sum_{i <= n} z_ij^2.
    The scale s is `noise_std`, so that the exponents of eq. (4) are -1/2 times the misfits. Where
    `noise_std` is 0 it is the largest |r_ij| of the prompt, so that no square overflows and those
    of residuals above 1e-154 of the largest do not underflow.

    Attributes
    ----------
    prompts
        The prompts (x_i, y_i), i = 1..k.
    components
        The w_j as rows, shape (m, d), with the d of `prompts`.
    noise_std
        The noise level sigma >= 0.

    Notes
    -----
    Source: Pathak et al. 2023, eqs. (4) and (5).
    """

    prompts: PromptBatch
    components: Float[np.ndarray, "m d"]
    noise_std: float

    @cached_property
    def _residuals(self) -> Float[np.ndarray, "batch k m"]:
        with np.errstate(over="ignore", invalid="ignore"):  # `relative` refuses what overflows
            fitted = self.prompts.examples @ self.components.T
            return np.asarray(fitted - self.prompts.ys[:, :, None])

    @cached_property
    def _scale(self) -> Float[np.ndarray, "#batch 1 1"]:
        if self.noise_std > 0:
            return np.full((1, 1, 1), self.noise_std)
        largest = np.max(np.abs(self._residuals), axis=(1, 2), keepdims=True, initial=0.0)
        return np.where(largest > 0, largest, 1.0)

    @cached_property
    def _standardized(self) -> Float[np.ndarray, "batch k m"]:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self._residuals / self._scale)

    @cached_property
    def relative(self) -> Float[np.ndarray, "batch prefixes m"]:
        """The misfits in excess of the best component's, example by example.

        Returns
        -------
        numpy.ndarray
            sum_{i <= n} (z_ij^2 - min_l z_il^2) for n = 0..k, shape (batch, k+1, m), float64. The
            shift is common to all components, so that no posterior changes; but what they all miss
            alike is gone before it can be rounded, and the sums of good components stay small.

        Raises
        ------
        OverflowError
            If a sum exceeds the range of float64.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.square(self._standardized)
            sums = _sums_over_prefixes(squares - np.min(squares, axis=-1, keepdims=True))
        if not np.all(np.isfinite(sums[:, -1])):
            prompt, prefix, _ = np.argwhere(~np.isfinite(sums))[0]
            raise OverflowError(
                f"prompt {prompt}, example {prefix - 1}: residuals up to"
                f" {np.max(np.abs(self._residuals[prompt, prefix - 1])):.3g} at noise_std ="
                f" {self.noise_std:g} overflow the sum of (residual / noise_std)^2; expected ratios"
                f" below about 1e150: rescale the prompt, or raise noise_std"
            )
        return sums

    def error(self) -> Float[np.ndarray, "batch prefixes m"]:
        """Bound the rounding error of `relative`, beyond what is common to all components.

        Returns
        -------
        numpy.ndarray
            sum_{i <= n} (2 |z_ij| eps_ij + eps_ij^2) + gamma_{n+1} relative_nj for n = 0..k, shape
            (batch, k+1, m), float64, with eps_ij = gamma_{d+4} (sum_l |w_jl x_il| + |y_i|) / s.

        Notes
        -----
        A residual takes d+1 roundings, scaling and squaring at most 3 more, which weigh half as
        much: their slack covers the evaluation of the bound. The last term is the summation.
        """
        with np.errstate(over="ignore"):  # an infinite bound is a bound
            size = np.abs(self.prompts.examples) @ np.abs(self.components).T
            size += np.abs(self.prompts.ys)[:, :, None]
            eps = gamma(self.prompts.dim + 4) * (size / self._scale)
            terms = (2.0 * np.abs(self._standardized) + eps) * eps + TINY
            roundings = 1 + np.arange(self.prompts.num_examples + 1)
            summation = gamma(roundings)[:, None] * self.relative
            return np.asarray(_sums_over_prefixes(terms) + summation)

    def best(self) -> Bool[np.ndarray, "batch prefixes m"]:
        """Say which components attain the least misfit, as far as float64 can tell.

        Returns
        -------
        numpy.ndarray
            True where relative_j - error_j <= min_l (relative_l + error_l), shape (batch, k+1, m):
            all true minimisers, and no component that is worse by more than rounding explains.
        """
        error = self.error()
        least = np.min(self.relative + error, axis=-1, keepdims=True)
        return np.asarray(self.relative - error <= least)


def _sums_over_prefixes(terms: Float[np.ndarray, "batch k m"]) -> npt.NDArray[np.float64]:
    batch, k, m = terms.shape
    sums = np.zeros((batch, k + 1, m))
    np.cumsum(terms, axis=1, out=sums[:, 1:])
    return sums
