"""The chain of inequalities from Theorem 5 to Corollary 6, each side of it, and sharper ones.

In the eigenbasis of Lambda everything is a sum over eigenvalues, in exact arithmetic where they are
fractions. With T = tr(Lambda), gamma_i = lambda_i + (lambda_i + T)/N and w ~ N(0, I), the risk is

    (1/M) sum_i lambda_i^2 (lambda_i + T) / gamma_i^2
        + sum_i lambda_i ((lambda_i + T) / ((N + 1) lambda_i + T))^2.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import isfinite
from typing import NamedTuple, SupportsIndex

import numpy as np

from theory.laws import Real
from theory.validation import Problems

__all__ = ["ExpectedRiskChain", "WeightRiskChain", "expected_chain", "weight_chain"]


class WeightRiskChain(NamedTuple):
    """Both sides of the inequality for one task w, noiseless, part by part.

    Attributes
    ----------
    variance, variance_bound
        (1/M) [|w|^2_{Gamma^-2 Lambda^3} + |w|^2_Lambda tr(Gamma^-2 Lambda^2)] and
        (d+1)/M |w|^2_Lambda.
    biases, bias_bounds
        1/N^2 times |w|^2_{Gamma^-2 Lambda^3}, 2 tr(Lambda) |w|^2_{Gamma^-2 Lambda^2},
        tr(Lambda)^2 |w|^2_{Gamma^-2 Lambda}; and |w|^2_Lambda, 2 tr(Lambda) |w|^2,
        tr(Lambda)^2 |w|^2_{Lambda^-1}.
    """

    variance: Real
    variance_bound: Real
    biases: tuple[Real, Real, Real]
    bias_bounds: tuple[Real, Real, Real]

    @property
    def exact(self) -> Real:
        """The risk."""
        return self.variance + sum(self.biases)

    @property
    def bound(self) -> Real:
        """The printed bound."""
        return self.variance_bound + sum(self.bias_bounds)


class ExpectedRiskChain(NamedTuple):
    """The risk in the mean over w ~ N(0, I), and what bounds it.

    Attributes
    ----------
    variance, variance_bound
        The exact part of order 1/M, and (d+1) tr(Lambda)/M, its supremum over N.
    bias
        The exact rest.
    bias_first
        (1/N^2) [tr(Lambda) + 2d tr(Lambda) + tr(Lambda^-1) tr(Lambda)^2], printed.
    bias_condition
        eta = (1 + 2d + d^2 kappa) tr(Lambda)/N^2, printed, of Corollary 6.
    bias_extreme
        The same with d^2 + floor(d^2/4) (kappa - 1)^2/kappa in place of d^2 kappa: the largest
        tr(Lambda^-1) tr(Lambda) that d and kappa allow. For even d it is Kantorovich's bound.
    bias_uniform
        min(1, (d+3)/(4 (N+1))) tr(Lambda), for every condition number.
    """

    variance: Real
    variance_bound: Real
    bias: Real
    bias_first: Real
    bias_condition: Real
    bias_extreme: Real
    bias_uniform: Real

    @property
    def exact(self) -> Real:
        """The risk."""
        return self.variance + self.bias

    @property
    def corollary_6(self) -> Real:
        """The last printed bound, eta + epsilon with epsilon = (d+1) tr(Lambda)/M."""
        return self.variance_bound + self.bias_condition

    @property
    def looseness(self) -> dict[str, float]:
        """What each step multiplies its part of the risk by; 1 is sharp."""
        return {
            "Gamma >= Lambda, in the variance": float(self.variance_bound / self.variance),
            "Gamma >= Lambda, in the bias": float(self.bias_first / self.bias),
            "tr(Lambda^-1) tr(Lambda) <= d^2 kappa": float(self.bias_condition / self.bias_first),
            "the largest such product in its place": float(self.bias_extreme / self.bias_first),
            "the bound without kappa": float(self.bias_uniform / self.bias),
            "Corollary 6 in all": float(self.corollary_6 / self.exact),
        }


def weight_chain(
    eigenvalues: Sequence[Real] | np.ndarray,
    weights: Sequence[Real] | np.ndarray,
    prompt_length: SupportsIndex,
    num_examples: SupportsIndex,
) -> WeightRiskChain:
    """Return both sides of the chain for one task.

    Parameters
    ----------
    eigenvalues
        lambda_i > 0, shape (d,), an array or a list; integers and fractions are computed with
        exactly.
    weights
        w in the eigenbasis of Lambda, finite, shape (d,).
    prompt_length, num_examples
        N >= 1 of training, M >= 1 of the test prompt.

    Raises
    ------
    ValueError
        If the eigenvalues are not positive, or the weights not finite, or these are not lists of
        numbers of one length d >= 1, or N or M < 1.

    Notes
    -----
    Source: Zhang et al. 2024, the first two displays after Theorem 5.
    """
    problems = Problems("weight_chain")
    w = _numbers(problems, "weights", weights)
    lam, N, M = _checked(problems, eigenvalues, prompt_length, num_examples)
    if len(w) != len(lam):
        raise ValueError(f"weight_chain: {len(w)} weights for {len(lam)} eigenvalues; expected d")
    T, gamma = _trace(lam), _gamma(lam, N)
    # sum_i w_i^2 lambda_i^k, with and without gamma_i^-2.
    plain = {k: _sum(v**2 * x**k for v, x in zip(w, lam, strict=True)) for k in (-1, 0, 1)}
    damped = {
        k: _sum(v**2 * x**k / g**2 for v, x, g in zip(w, lam, gamma, strict=True))
        for k in (1, 2, 3)
    }
    spread = _sum(x**2 / g**2 for x, g in zip(lam, gamma, strict=True))
    return WeightRiskChain(
        variance=(damped[3] + plain[1] * spread) / M,
        variance_bound=(len(lam) + 1) * plain[1] / M,
        biases=(damped[3] / N**2, 2 * T * damped[2] / N**2, T**2 * damped[1] / N**2),
        bias_bounds=(plain[1] / N**2, 2 * T * plain[0] / N**2, T**2 * plain[-1] / N**2),
    )


def expected_chain(
    eigenvalues: Sequence[Real] | np.ndarray,
    prompt_length: SupportsIndex,
    num_examples: SupportsIndex,
) -> ExpectedRiskChain:
    """Return the risk in the mean over w ~ N(0, I), with the printed and sharper bounds.

    Parameters
    ----------
    eigenvalues
        lambda_i > 0, shape (d,), an array or a list; integers and fractions are computed with
        exactly.
    prompt_length, num_examples
        N >= 1 of training, M >= 1 of the test prompt.

    Raises
    ------
    ValueError
        If the eigenvalues are not a list of d >= 1 positive numbers, or N or M < 1.

    Notes
    -----
    `bias_extreme`: sum_i l_i sum_i 1/l_i is convex in each l_i, so that it is largest with j
    eigenvalues at the top and d - j at the bottom: d^2 + j (d - j) (kappa - 1)^2/kappa.
    `bias_uniform`: ((N+1) l + T)^2 >= 4 (N+1) l T, so that the bias is at most
    sum_i (lambda_i + T)^2 / (4 (N+1) T) <= (d+3) T / (4 (N+1)); and each ratio is at most 1.
    Source: Zhang et al. 2024, the last display before Corollary 6, and Corollary 6; ours.
    """
    problems = Problems("expected_chain")
    lam, N, M = _checked(problems, eigenvalues, prompt_length, num_examples)
    d, T, gamma = len(lam), _trace(lam), _gamma(lam, N)
    kappa = max(lam) / min(lam)
    inverse_trace = _sum(1 / x for x in lam)
    largest = d**2 + (d**2 // 4) * (kappa - 1) ** 2 / kappa
    cap = Fraction(d + 3, 4 * (N + 1))
    return ExpectedRiskChain(
        variance=_sum(x**2 * (x + T) / g**2 for x, g in zip(lam, gamma, strict=True)) / M,
        variance_bound=(d + 1) * T / M,
        bias=_sum(x * ((x + T) / ((N + 1) * x + T)) ** 2 for x in lam),
        bias_first=(T + 2 * d * T + inverse_trace * T**2) / N**2,
        bias_condition=(1 + 2 * d + d**2 * kappa) * T / N**2,
        bias_extreme=(1 + 2 * d + largest) * T / N**2,
        bias_uniform=min(Fraction(1), cap) * T,
    )


def _checked(
    problems: Problems,
    eigenvalues: Sequence[Real] | np.ndarray,
    N: SupportsIndex,
    M: SupportsIndex,
) -> tuple[list[Real], int, int]:
    lam = _numbers(problems, "eigenvalues", eigenvalues, above=0)
    lengths = problems.count("prompt_length (N)", N, 1), problems.count("num_examples (M)", M, 1)
    problems.raise_if_any()
    return lam, *lengths


def _numbers(
    problems: Problems, name: str, values: Sequence[Real] | np.ndarray, above: int | None = None
) -> list[Real]:
    """Return exact fractions where integers or fractions are given, and floats elsewhere."""
    wanted = f"expected a list or an array of d >= 1 {name}, of shape (d,)"
    if isinstance(values, np.ndarray) and values.ndim != 1:
        problems.add(f"{name} has shape {values.shape}; {wanted}")
        return []
    if isinstance(values, str | bytes) or not isinstance(values, Sequence | np.ndarray):
        problems.add(f"{name} is {values!r}; {wanted}")
        return []
    if len(values) == 0:
        problems.add(f"{name} is empty; {wanted}")
    found = []
    for i, value in enumerate(values):
        exact = _exact(value)
        if exact is None or (above is not None and exact <= above):
            least = "" if above is None else f" > {above}"
            problems.add(f"{name}[{i}] is {value!r}; expected a finite number{least}")
        else:
            found.append(exact)
    return found


def _exact(value: object) -> Real | None:
    """Integers divide as fractions; None for what is no finite real number."""
    if isinstance(value, numbers.Integral):
        return Fraction(int(value))
    if isinstance(value, numbers.Rational):
        return Fraction(value)
    return float(value) if isinstance(value, numbers.Real) and isfinite(value) else None


def _sum(terms: Iterable[Real]) -> Real:
    total: Real = Fraction(0)
    for term in terms:
        total = total + term
    return total


def _trace(eigenvalues: list[Real]) -> Real:
    return _sum(eigenvalues)


def _gamma(eigenvalues: list[Real], prompt_length: int) -> list[Real]:
    T = _trace(eigenvalues)
    return [x + (x + T) / prompt_length for x in eigenvalues]
