"""The laws of the prompts that transformers are trained on, with each example's label.

Every law has `sample(size, rng, active)`: of the covariates, the coordinates from `active` on are
zero, as in the curriculum of Garg et al. 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from theory import RegressionMixture
from theory.validation import Problems

__all__ = [
    "GaussianPrompts",
    "MixturePrompts",
    "NonlinearPrompts",
    "Prompts",
    "RandomMixturePrompts",
    "Sample",
]

#: Covariates (batch, k+1, d), labels (batch, k+1) and labels without noise (batch, k+1). The last
#: label is the query's: the model does not see it.
Sample: TypeAlias = tuple[
    Float[np.ndarray, "batch points d"],
    Float[np.ndarray, "batch points"],
    Float[np.ndarray, "batch points"],
]

#: Key of the stream of a seed that components are drawn from.
_COMPONENTS = 0


def _check(prompts: object, subject: str) -> None:
    """Check sizes and noise of a frozen law, and set them to plain numbers."""
    problems = Problems(subject)
    least = {"num_components": 1, "dim": 1, "num_examples": 1, "components_seed": 0, "hidden": 1}
    for field in fields(prompts):  # type: ignore[arg-type]
        if field.name in least:
            value = problems.count(field.name, getattr(prompts, field.name), least[field.name])
            object.__setattr__(prompts, field.name, value)
    noise = problems.number("noise_std", prompts.noise_std, 0.0, strict=False)  # type: ignore[attr-defined]
    object.__setattr__(prompts, "noise_std", noise)
    covariance = getattr(prompts, "covariance", "identity")
    if covariance not in ("identity", "exponential"):
        problems.add(f"covariance is {covariance!r}; expected 'identity' or 'exponential'")
    problems.raise_if_any()


def _covariates(
    size: int, points: int, dim: int, active: int | None, rng: np.random.Generator
) -> Float[np.ndarray, "batch points d"]:
    """Draw from N(0, I), and set the coordinates from `active` on to zero."""
    xs = rng.standard_normal((size, points, dim))
    if active is not None:
        xs[..., active:] = 0
    return xs


def _noisy(
    xs: Float[np.ndarray, "batch points d"],
    exact: Float[np.ndarray, "batch points"],
    noise_std: float,
    rng: np.random.Generator,
) -> Sample:
    return xs, exact + noise_std * rng.standard_normal(exact.shape), exact


def _components_stream(seed: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_COMPONENTS,)))


@dataclass(frozen=True)
class MixturePrompts:
    """One of m fixed regressors a prompt: w uniform over w_1, ..., w_m, x_i ~ N(0, I_d).

    Source: Pathak et al. 2023, Section 1.1. The components are on the sphere of radius sqrt(d), and
    are those that experiments draw from the same seed, m and d (`iclproof build` draws others).

    Parameters
    ----------
    num_components, dim, noise_std
        m, d and sigma >= 0.
    num_examples
        K: a prompt has K examples and a query.
    components_seed
        Which components.
    kind
        "mixture".
    """

    num_components: int = 5
    dim: int = 5
    noise_std: float = 1.0
    num_examples: int = 15
    components_seed: int = 0
    kind: Literal["mixture"] = "mixture"

    def __post_init__(self) -> None:
        _check(self, "MixturePrompts")

    @cached_property
    def mixture(self) -> RegressionMixture:
        """The mixture."""
        rng = _components_stream(self.components_seed)
        return RegressionMixture.random(self.num_components, self.dim, self.noise_std, rng)

    def sample(self, size: int, rng: np.random.Generator, active: int | None = None) -> Sample:
        """Draw prompts: which component, then covariates, then noise."""
        chosen = self.mixture.components[rng.integers(self.num_components, size=size)]
        xs = _covariates(size, self.num_examples + 1, self.dim, active, rng)
        return _noisy(xs, np.einsum("bnd,bd->bn", xs, chosen), self.noise_std, rng)


@dataclass(frozen=True)
class GaussianPrompts:
    """A regressor of its own for each prompt: w ~ N(0, I_d), x_i ~ N(0, Lambda).

    Source: Zhang et al. 2024, Section 4.2 and Appendix E (Garg et al. 2022).

    Parameters
    ----------
    dim, noise_std, num_examples
        As in `MixturePrompts`.
    covariance
        "identity": Lambda = I. "exponential": Lambda is diagonal, drawn for each prompt, its
        entries exponential of mean 1.
    kind
        "gaussian".
    """

    dim: int = 5
    noise_std: float = 0.0
    num_examples: int = 20
    covariance: Literal["identity", "exponential"] = "identity"
    kind: Literal["gaussian"] = "gaussian"

    def __post_init__(self) -> None:
        _check(self, "GaussianPrompts")

    def sample(self, size: int, rng: np.random.Generator, active: int | None = None) -> Sample:
        """Draw prompts: regressors, then covariances, covariates and noise."""
        w = rng.standard_normal((size, self.dim))
        scales = np.ones((size, self.dim))
        if self.covariance == "exponential":
            scales = np.sqrt(rng.exponential(size=(size, self.dim)))
        xs = _covariates(size, self.num_examples + 1, self.dim, active, rng) * scales[:, None]
        return _noisy(xs, np.einsum("bnd,bd->bn", xs, w), self.noise_std, rng)


@dataclass(frozen=True)
class RandomMixturePrompts:
    """A mixture of its own for each prompt, and a component of its own for each example.

    The prior of the components is that of `MixturePrompts`: independent, uniform on the sphere of
    radius sqrt(d). With one component for the whole prompt that law would be m = 1 whatever m: the
    regressor of a prompt has the prior of one component.

    Source: the second open question of Pathak et al. 2023, Section 4.

    Parameters
    ----------
    num_components, dim, noise_std, num_examples
        As in `MixturePrompts`.
    kind
        "random-mixture".
    """

    num_components: int = 2
    dim: int = 5
    noise_std: float = 0.1
    num_examples: int = 40
    kind: Literal["random-mixture"] = "random-mixture"

    def __post_init__(self) -> None:
        _check(self, "RandomMixturePrompts")

    def sample(self, size: int, rng: np.random.Generator, active: int | None = None) -> Sample:
        """Draw prompts: components, which of them, covariates, noise."""
        w = rng.standard_normal((size, self.num_components, self.dim))
        w *= np.sqrt(self.dim) / np.linalg.norm(w, axis=2, keepdims=True)
        points = self.num_examples + 1
        which = rng.integers(self.num_components, size=(size, points))
        xs = _covariates(size, points, self.dim, active, rng)
        exact = np.einsum("bnd,bnd->bn", xs, np.take_along_axis(w, which[:, :, None], axis=1))
        return _noisy(xs, exact, self.noise_std, rng)


@dataclass(frozen=True)
class NonlinearPrompts:
    """One of m fixed two-layer networks a prompt: f_j(x) = a_j' relu(V_j x), x_i ~ N(0, I_d).

    The entries of V_j are N(0, 1), those of a_j N(0, 2/h): f_j(x)^2 has mean d over networks and
    covariates, as has <w_j, x>^2 of `MixturePrompts`.

    Source: the first open question of Pathak et al. 2023, Section 4; the networks are those of Garg
    et al. 2022.

    Parameters
    ----------
    num_components, dim, noise_std, num_examples, components_seed
        As in `MixturePrompts`.
    hidden
        h, the neurons of a network.
    kind
        "nonlinear".
    """

    num_components: int = 5
    dim: int = 5
    noise_std: float = 1.0
    num_examples: int = 15
    hidden: int = 20
    components_seed: int = 0
    kind: Literal["nonlinear"] = "nonlinear"

    def __post_init__(self) -> None:
        _check(self, "NonlinearPrompts")

    @cached_property
    def networks(self) -> Callable[[Float[np.ndarray, "... d"]], Float[np.ndarray, "... m"]]:
        """All f_j at once: from covariates (..., d) to their values (..., m)."""
        rng = _components_stream(self.components_seed)
        m, h = self.num_components, self.hidden
        inward = rng.standard_normal((m, h, self.dim))
        outward = rng.standard_normal((m, h)) * np.sqrt(2 / h)

        def values(xs: Float[np.ndarray, "... d"]) -> Float[np.ndarray, "... m"]:
            neurons = np.maximum(np.einsum("mhd,...d->...mh", inward, xs), 0)
            return np.asarray(np.einsum("mh,...mh->...m", outward, neurons))

        return values

    def sample(self, size: int, rng: np.random.Generator, active: int | None = None) -> Sample:
        """Draw prompts: which network, then covariates, then noise."""
        which = rng.integers(self.num_components, size=size)
        xs = _covariates(size, self.num_examples + 1, self.dim, active, rng)
        exact = np.take_along_axis(self.networks(xs), which[:, None, None], axis=2)[:, :, 0]
        return _noisy(xs, exact, self.noise_std, rng)


#: Every law of prompts.
Prompts: TypeAlias = MixturePrompts | GaussianPrompts | RandomMixturePrompts | NonlinearPrompts
