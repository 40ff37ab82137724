"""Laws of a random eigenvalue lambda > 0: exact moments, sampling and truncated moments.

A law gives E lambda, E lambda^2 and E lambda^3, all that the limit of Theorem 8 of Zhang et al.
needs. Laws with a distribution function also sample, and give E[lambda^k; lambda <= x], which the
hypothesis of the theorem needs (it has a largest eigenvalue in it). The moments of a law must be
positive numbers of float64: parameters that put one out of range are refused where it is made.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import exp, isfinite
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from scipy import special

from theory.validation import Problems

__all__ = [
    "Deterministic",
    "DistributedLaw",
    "EigenvalueLaw",
    "Exponential",
    "Gamma",
    "GivenMoments",
    "LogNormal",
    "TwoPoint",
    "Uniform",
    "listed_laws",
]

#: A float, or a fraction or an integer for exact moments.
Real: TypeAlias = float | int | Fraction
Moments: TypeAlias = tuple[Real, Real, Real]


@runtime_checkable
class EigenvalueLaw(Protocol):
    """The law of a positive random eigenvalue with finite third moment."""

    @property
    def moments(self) -> Moments:
        """(E lambda, E lambda^2, E lambda^3): exact for exact parameters where rational."""
        ...


@runtime_checkable
class DistributedLaw(EigenvalueLaw, Protocol):
    """A law that samples and has truncated moments."""

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Draw independent eigenvalues, float64 of the given shape."""
        ...

    def truncated_moment(
        self, power: int, upper: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """Return E[lambda^power; lambda <= upper], for power 0 (the distribution function) to 3."""
        ...


@dataclass(frozen=True)
class GivenMoments(EigenvalueLaw):
    """A law of which only the first three moments are known.

    Parameters
    ----------
    first, second, third
        E lambda > 0, E lambda^2, E lambda^3, finite.

    Raises
    ------
    ValueError
        If no positive random variable has these moments: it needs E lambda^2 >= (E lambda)^2 and
        E lambda E lambda^3 >= (E lambda^2)^2.
    """

    first: Real
    second: Real
    third: Real

    def __post_init__(self) -> None:
        problems = Problems("GivenMoments")
        for name in ("first", "second", "third"):
            _positive(problems, f"the {name} moment", getattr(self, name), _FINITE_MOMENTS)
        problems.raise_if_any()
        # In fractions, where no square overflows.
        first, second, third = (Fraction(float(m)) for m in self.moments)
        slack = 1 + Fraction(1, 10**12)
        if second * slack < first**2 or first * third * slack < second**2:
            raise ValueError(
                f"GivenMoments: ({self.first!r}, {self.second!r}, {self.third!r}) are the moments"
                " of no positive random variable; expected E l^2 >= (E l)^2 and"
                " E l E l^3 >= (E l^2)^2"
            )

    @property
    def moments(self) -> Moments:
        return self.first, self.second, self.third


@dataclass(frozen=True)
class Deterministic(DistributedLaw):
    """The constant `value` > 0: a fixed covariance as a random one."""

    value: Real

    def __post_init__(self) -> None:
        _validate(self, value=self.value)

    @property
    def moments(self) -> Moments:
        return self.value, self.value**2, self.value**3

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        return np.full(shape, float(self.value))

    def truncated_moment(
        self, power: int, upper: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        return np.where(upper >= float(self.value), float(self.value) ** power, 0.0)


@dataclass(frozen=True)
class Gamma(DistributedLaw):
    """Density proportional to x^{shape - 1} e^{-x / scale}: E lambda = shape scale."""

    shape: Real
    scale: Real = 1

    def __post_init__(self) -> None:
        _validate(self, shape=self.shape, scale=self.scale)

    @property
    def moments(self) -> Moments:
        a, s = self.shape, self.scale
        return a * s, a * (a + 1) * s**2, a * (a + 1) * (a + 2) * s**3

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        return rng.gamma(float(self.shape), float(self.scale), shape)

    def truncated_moment(
        self, power: int, upper: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        a, s = float(self.shape), float(self.scale)
        whole = s**power * special.poch(a, power)
        return np.asarray(whole * special.gammainc(a + power, np.maximum(upper, 0.0) / s))


@dataclass(frozen=True)
class Exponential(Gamma):
    """The exponential law of mean `scale`, Gamma with shape 1: the example of Section 4.3."""

    def __init__(self, scale: Real = 1) -> None:
        object.__setattr__(self, "shape", 1)
        object.__setattr__(self, "scale", scale)
        _validate(self, scale=scale)


@dataclass(frozen=True)
class Uniform(DistributedLaw):
    """Uniform on (low, high), 0 <= low < high."""

    low: Real
    high: Real

    def __post_init__(self) -> None:
        _validate(
            self,
            _unless(
                _is_finite(self.low) and _is_finite(self.high) and 0 <= self.low < self.high,
                f"low is {self.low!r}; expected 0 <= low < high",
            ),
            high=self.high,
        )

    @property
    def moments(self) -> Moments:
        a, b = self.low, self.high
        if isinstance(a, int) and isinstance(b, int):
            a, b = Fraction(a), Fraction(b)
        return (a + b) / 2, (a**2 + a * b + b**2) / 3, (a + b) * (a**2 + b**2) / 4

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        return rng.uniform(float(self.low), float(self.high), shape)

    def truncated_moment(
        self, power: int, upper: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        a, b, n = float(self.low), float(self.high), power + 1
        return np.asarray((np.clip(upper, a, b) ** n - a**n) / (n * (b - a)))


@dataclass(frozen=True)
class TwoPoint(DistributedLaw):
    """The value `low` with probability `probability`, else `high`; 0 < low, high."""

    low: Real
    high: Real
    probability: Real = Fraction(1, 2)

    def __post_init__(self) -> None:
        _validate(
            self,
            _unless(
                _is_finite(self.probability) and 0 <= self.probability <= 1,
                f"probability is {self.probability!r}; expected 0 <= probability <= 1",
            ),
            low=self.low,
            high=self.high,
        )

    @property
    def moments(self) -> Moments:
        p, q = self.probability, 1 - self.probability
        a, b = self.low, self.high
        return p * a + q * b, p * a**2 + q * b**2, p * a**3 + q * b**3

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        low = rng.random(shape) < float(self.probability)
        return np.where(low, float(self.low), float(self.high))

    def truncated_moment(
        self, power: int, upper: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        atoms = ((self.low, self.probability), (self.high, 1 - self.probability))
        return sum(
            (np.where(upper >= float(x), float(p) * float(x) ** power, 0.0) for x, p in atoms),
            np.zeros(upper.shape),
        )


@dataclass(frozen=True)
class LogNormal(DistributedLaw):
    """exp(mean_log + std_log Z), Z standard normal: E lambda^k = exp(k mean + k^2 std^2 / 2)."""

    mean_log: float = 0.0
    std_log: float = 1.0

    def __post_init__(self) -> None:
        problems = Problems("LogNormal")
        mean = problems.number("mean_log", self.mean_log, -200.0, strict=False)
        std = problems.number("std_log", self.std_log, 0.0, strict=True)
        problems.raise_if_any()
        object.__setattr__(self, "mean_log", mean)
        object.__setattr__(self, "std_log", std)
        if mean * 3 + 4.5 * std * std > 700:
            raise ValueError(
                f"LogNormal: mean_log = {self.mean_log!r}, std_log = {self.std_log!r} put the"
                f" third moment beyond float64; {_FINITE_MOMENTS}"
            )

    @property
    def moments(self) -> Moments:
        m, s = self.mean_log, self.std_log
        return exp(m + s**2 / 2), exp(2 * m + 2 * s**2), exp(3 * m + 4.5 * s**2)

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        return rng.lognormal(self.mean_log, self.std_log, shape)

    def truncated_moment(
        self, power: int, upper: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        # x^k times the density is that of a log-normal law with mean_log + k std_log^2.
        m, s = self.mean_log, self.std_log
        whole = exp(power * m + (power * s) ** 2 / 2)
        with np.errstate(divide="ignore"):
            standard = (np.log(np.maximum(upper, 0.0)) - m - power * s**2) / s
        return np.asarray(whole * special.ndtr(standard))


_FINITE_MOMENTS = "the theorem assumes positive eigenvalues with finite third moments"


def _is_finite(value: object) -> bool:
    """Tell whether a value is a real number that float64 can hold."""
    if not isinstance(value, numbers.Real):
        return False
    try:
        return isfinite(value)
    except OverflowError:  # of an integer or a fraction
        return False


def _positive(problems: Problems, name: str, value: Real, reason: str = "") -> None:
    if not (_is_finite(value) and value > 0):
        told = f": {reason}" if reason else ""
        problems.add(f"{name} is {value!r}; expected a finite number > 0{told}")


def _unless(holds: bool, problem: str) -> tuple[str, ...]:
    return () if holds else (problem,)


def _validate(law: object, problems_found: tuple[str, ...] = (), **parameters: Real) -> None:
    """Refuse parameters that are not positive, then moments out of the range of float64."""
    problems = Problems(type(law).__name__)
    for name, value in parameters.items():
        _positive(problems, name, value)
    for problem in problems_found:
        problems.add(problem)
    problems.raise_if_any()
    if not _has_moments(law):
        given = ", ".join(f"{name} = {value!r}" for name, value in parameters.items())
        problems.add(
            f"{given} put the third moment beyond float64 or below it; {_FINITE_MOMENTS}: measure"
            " the covariates in other units"
        )
    problems.raise_if_any()


def _has_moments(law: object) -> bool:
    """Tell whether it is a law, and its three moments positive numbers of float64."""
    try:
        with np.errstate(over="ignore", under="ignore"):
            # To ask for the protocol is to compute the moments.
            moments = law.moments if isinstance(law, EigenvalueLaw) else (0,)
    except OverflowError:  # of a power of a Python float
        return False
    return all(_is_finite(m) and float(m) > 0 for m in moments)


def listed_laws(
    problems: Problems, name: str, laws: Iterable[EigenvalueLaw]
) -> tuple[EigenvalueLaw, ...]:
    """Return the laws as a tuple, and note what keeps them from being d >= 1 laws.

    Parameters
    ----------
    problems
        Where it is noted.
    name
        What the laws are called there.
    laws
        The laws of lambda_1, ..., lambda_d. If one of them is none, or has a moment that is not a
        positive number of float64, nothing is returned.
    """
    wanted = "expected laws of `theory.laws`, one for each of the d >= 1 eigenvalues"
    given: object = laws  # Whoever does not check types may give anything.
    if isinstance(given, EigenvalueLaw) or not isinstance(given, Iterable):
        problems.add(f"{name} is {given!r}; {wanted}, in a list (for d = 1, a list of one law)")
        return ()
    listed, good = tuple(given), []
    if not listed:
        problems.add(f"{name} is empty; {wanted}")
    for i, law in enumerate(listed):
        if not isinstance(law, EigenvalueLaw):
            problems.add(f"{name}[{i}] is {law!r}; {wanted}: a constant is `Deterministic(value)`")
        elif not _has_moments(law):
            problems.add(
                f"{name}[{i}] has moments {law.moments!r}; expected finite numbers > 0:"
                " Theorem 8 assumes positive eigenvalues with finite third moments"
            )
        else:
            good.append(law)
    return tuple(good) if len(good) == len(listed) else ()
