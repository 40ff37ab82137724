"""The risk of the limit of Theorem 8 on prompts whose covariance is drawn anew, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple, SupportsIndex

from theory.laws import EigenvalueLaw, Real, listed_laws
from theory.validation import Problems

__all__ = ["RandomCovarianceRisk", "random_covariance_risk"]


class RandomCovarianceRisk(NamedTuple):
    """The risk coordinate by coordinate, for w ~ N(0, I): d entries each, fractions where exact.

    Attributes
    ----------
    coefficients
        alpha_i = E lambda_i^2 / E gamma_i lambda_i^2: the diagonal of u U in the limit of training.
    risk
        The part of coordinate i in E(yhat - w'x_query)^2; the risk is their sum.
    floor
        The same for M to infinity: E lambda - 2 alpha E lambda^2 + alpha^2 E lambda^3.
    limit
        The same for N to infinity too, where alpha = m_2/m_3 with the moments of training; without
        a shift it is m_1 - m_2^2/m_3, positive unless lambda_i is constant.
    frozen_query
        alpha_i E lambda_i: the factor of w_i x_i in the mean over Lambda of the prediction for
        M to infinity, with a query that does not depend on Lambda (1/3 for exponential laws).
    regression
        alpha_i E lambda_i^2 / E lambda_i: the slope of the prediction on w_i x_i, where the query
        has the covariance of its prompt, as in the paper.
    """

    coefficients: tuple[Real, ...]
    risk: tuple[Real, ...]
    floor: tuple[Real, ...]
    limit: tuple[Real, ...]
    frozen_query: tuple[Real, ...]
    regression: tuple[Real, ...]


def random_covariance_risk(
    training: Sequence[EigenvalueLaw],
    test: Sequence[EigenvalueLaw],
    prompt_length: SupportsIndex,
    num_examples: SupportsIndex,
) -> RandomCovarianceRisk:
    """Return the exact risk of the limit of Theorem 8 under new random diagonal covariances.

    With alpha_i from training, the risk is the sum over i of

        alpha_i^2 E[((1 + 1/M) lambda_i + tr(Lambda)/M) lambda_i^2] - 2 alpha_i E lambda_i^2
            + E lambda_i,

    so that three moments of each law are enough. If the laws and lengths of test and training are
    the same it is E lambda_i - alpha_i E lambda_i^2: twice the minimal loss.

    Parameters
    ----------
    training, test
        The laws of lambda_1, ..., lambda_d, independent, d >= 1 of each.
    prompt_length, num_examples
        N >= 1 of training, M >= 1 of the test prompts.

    Raises
    ------
    ValueError
        If these are no laws, or not as many of test as of training, or N or M < 1.

    Notes
    -----
    Source: ours, from Zhang et al. 2024, Theorem 8, eq. (23) and the example after it.
    """
    problems = Problems("random_covariance_risk")
    N = problems.count("prompt_length (N)", prompt_length, 1)
    M = problems.count("num_examples (M)", num_examples, 1)
    trainers, testers = (
        listed_laws(problems, name, laws) for name, laws in (("training", training), ("test", test))
    )
    problems.raise_if_any()
    if len(trainers) != len(testers):
        problems.add(
            f"training has {len(trainers)} laws and test {len(testers)}; expected d >= 1 of each"
        )
    problems.raise_if_any()
    trained, met = _moments(trainers), _moments(testers)
    inverse_N, inverse_M = Fraction(1, N), Fraction(1, M)
    alpha = tuple(m[1] / g for m, g in zip(trained, _curvature(trained, inverse_N), strict=True))
    endless = tuple(m[1] / m[2] for m in trained)
    return RandomCovarianceRisk(
        coefficients=alpha,
        risk=_risk(alpha, met, inverse_M),
        floor=_risk(alpha, met, Fraction(0)),
        limit=_risk(endless, met, Fraction(0)),
        frozen_query=tuple(a * m[0] for a, m in zip(alpha, met, strict=True)),
        regression=tuple(a * m[1] / m[0] for a, m in zip(alpha, met, strict=True)),
    )


def _moments(laws: Sequence[EigenvalueLaw]) -> list[tuple[Real, ...]]:
    """Return three moments of each law; integers divide as fractions."""
    return [
        tuple(Fraction(m) if isinstance(m, int) else m for m in law.moments[:3]) for law in laws
    ]


def _curvature(moments: list[tuple[Real, ...]], inverse: Fraction) -> tuple[Real, ...]:
    """Return E[((1 + r) lambda_i + r tr(Lambda)) lambda_i^2] for r = 1/N or 1/M."""
    trace: Real = sum((m[0] for m in moments), Fraction(0))
    return tuple(m[2] + inverse * (2 * m[2] + m[1] * (trace - m[0])) for m in moments)


def _risk(
    alpha: tuple[Real, ...], moments: list[tuple[Real, ...]], inverse: Fraction
) -> tuple[Real, ...]:
    return tuple(
        a**2 * g - 2 * a * m[1] + m[0]
        for a, g, m in zip(alpha, _curvature(moments, inverse), moments, strict=True)
    )
