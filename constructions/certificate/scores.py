"""Errors of scores L_t = sum of squares, as functions of L_t, and what they cost a softmax."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log, sqrt

import numpy as np

from constructions.certificate.bounds import Bound, CertificateError
from constructions.certificate.sizes import Sizes, Vector
from constructions.values import Array, Value


@dataclass(frozen=True)
class ScoreErrors:
    """|error_t| <= sum over factors r of constant_t + linear_t |r_t| + quadratic_t r_t^2.

    The score is L_t = rate_t * (sum over columns and factors of r_t^2).

    Parameters
    ----------
    constant, linear, quadratic
        Coefficients for one factor in one column (m,).
    rate
        (m,), not negative.
    factors
        The r whose squares are summed; empty for an absolute error.
    columns
        How many columns they are summed over.
    sign
        1 if the wire holds L_t, -1 if it holds -L_t.
    """

    constant: Vector
    linear: Vector
    quadratic: Vector
    rate: Vector
    factors: tuple[Value, ...]
    columns: int = 1
    sign: int = 1

    @classmethod
    def absolute(cls, error: float) -> "ScoreErrors":
        """An error that is not a function of the score."""
        zero = np.zeros(1)
        return cls(np.array([error]), zero, zero, zero, ())

    @classmethod
    def of_terms(cls, parts: Sequence["ScoreErrors"]) -> "ScoreErrors":
        """The sum of several squares in one column: coefficients are the largest of all."""
        first = parts[0]
        if any(
            part.sign != first.sign or not np.array_equal(part.rate, first.rate) for part in parts
        ):
            raise CertificateError("squares of different weights are summed")
        largest = [
            np.max([getattr(part, name) for part in parts], axis=0)
            for name in ("constant", "linear", "quadratic")
        ]
        factors = tuple(factor for part in parts for factor in part.factors)
        constant, linear, quadratic = largest
        return cls(constant, linear, quadratic, first.rate, factors, sign=first.sign)

    def scaled(self, matrix: Array, relative: float) -> "ScoreErrors | None":
        """The error after a diagonal matrix and a relative rounding; None if it is not diagonal."""
        if not np.array_equal(matrix, np.diag(np.diag(matrix))) or matrix.shape[0] != len(
            self.rate
        ):
            return None
        signs = set(np.sign(np.diag(matrix)).tolist())
        if len(signs) != 1:
            return None
        weight = np.abs(np.diag(matrix))
        return replace(
            self,
            sign=self.sign * int(signs.pop()),
            constant=weight * self.constant * (1 + relative),
            linear=weight * self.linear * (1 + relative),
            quadratic=weight * (self.quadratic * (1 + relative) + relative * self.rate),
            rate=weight * self.rate,
        )

    def summed(self, count: int, relative: float, sink: int) -> "ScoreErrors":
        """The error of the sum over ``count`` columns, itself rounded to ``relative``.

        What the sink's column holds, where r = 0, counts ``sink`` times at most.
        """
        return replace(
            self,
            constant=self.constant * (1 + relative) * (1 + sink / max(count, 1)),
            linear=self.linear * (1 + relative),
            quadratic=self.quadratic * (1 + relative) + relative * self.rate,
            columns=max(count, 1),
        )

    def with_rounding(self, relative: float, constant: float) -> "ScoreErrors":
        """Add a relative rounding of the logit -L + constant."""
        terms = max(1, self.columns * len(self.factors))
        return replace(
            self,
            constant=self.constant + 2 * relative * constant / terms,
            quadratic=self.quadratic + 2 * relative * self.rate,
        )

    def largest(self, sizes: Sizes) -> Vector:
        """The bound over all prompts (m,), by Cauchy and Schwarz."""
        if not self.factors:
            return self.constant
        squares = sizes.sum_of_squares(self.factors) if self.columns > 1 else self._single(sizes)
        terms = self.columns * len(self.factors)
        total: Vector = (
            terms * self.constant
            + self.linear * np.sqrt(terms * squares)
            + self.quadratic * squares
        )
        return total

    def _single(self, sizes: Sizes) -> Vector:
        squares: Vector = np.sum([sizes.bound(factor) ** 2 for factor in self.factors], axis=0)
        return squares

    def coefficients(self) -> tuple[float, float, float]:
        """g, f, e with |error_t| <= g + f sqrt(L_t) + e L_t for every t."""
        if not self.factors:
            return float(self.constant.max()), 0.0, 0.0
        terms = self.columns * len(self.factors)
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.where(self.linear > 0, self.linear * np.sqrt(terms / self.rate), 0.0)
            relative = np.where(self.quadratic > 0, self.quadratic / self.rate, 0.0)
        return float(terms * self.constant.max()), float(root.max()), float(relative.max())

    def least(self, sizes: Sizes, logits: Value) -> float:
        """M, a bound on min_t (L_t + ln 1/pi_t)."""
        if not self.factors:
            return 0.0
        return sizes.least_score(logits, self.rate, self.factors)


def gibbs(errors: ScoreErrors, spread: float, least: float, components: int) -> Bound:
    """Return R/2 (g + f sqrt M + e M_0) + R e D, the cost of score errors to a mixture.

    R is the spread of what is mixed, M_0 = ``least`` the smallest L_t + ln 1/pi_t, M bounds the
    mean of L, and D how far the mean of L_t + ln 1/pi_t is above M_0: ln m, for m ``components``,
    and a little more on the path.

    Raises
    ------
    CertificateError
        If the errors are not small beside 1 + L, so that the path from L to L + a may leave the
        region where M bounds the mean score.
    """
    g, f, e = errors.coefficients()
    # sqrt L <= (1 + L) / 2, so that |a| <= eta (1 + L).
    eta = g + f / 2 + e
    if eta > 0.5:
        raise CertificateError(
            f"scores are computed to {eta:.1e} of their size only; use float64, a smaller box, "
            "fewer examples or more noise"
        )
    mean = (least * (1 + eta) + 2 * eta) / (1 - eta)
    above = mean - least + log(components) / (1 - eta)
    value = spread / 2 * (g + f * sqrt(mean) + e * least) + spread * e * above
    return Bound(
        "softmax over components",
        value,
        "gibbs",
        (
            Bound("R, spread of <w_t, x>", spread),
            Bound("M, mean score", mean),
            Bound("D, what is above the least score", above),
            Bound("g, absolute error of a score", g),
            Bound("f, error per square root of a score", f),
            Bound("e, relative error of a score", e),
        ),
    )
