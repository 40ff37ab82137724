"""The prompts that a network is built for."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from theory import PromptBatch, RegressionMixture

#: Noise levels and boxes stay within this, so that squares stay within float64.
LARGEST = 1e140


@dataclass(frozen=True)
class Box:
    """The prompts that a network is built for: |x_i| and |x_il| and |y_i| are bounded.

    Parameters
    ----------
    covariate_norm
        Largest Euclidean norm of a covariate or query.
    label
        Largest magnitude of a label.
    covariate
        Largest magnitude of an entry of a covariate or query; by default what the norm allows.

    Raises
    ------
    ValueError
        If a bound is not a positive number below 1e140.
    """

    covariate_norm: float
    label: float
    covariate: float = np.inf

    def __post_init__(self) -> None:
        object.__setattr__(self, "covariate", min(self.covariate, self.covariate_norm))
        for name in ("covariate_norm", "label", "covariate"):
            value = getattr(self, name)
            if not 0 < value < LARGEST:
                raise ValueError(
                    f"box: {name} is {value}, expected a positive number below {LARGEST:g}"
                )

    @classmethod
    def entrywise(cls, dim: int, covariate: float, label: float) -> "Box":
        """The box |x_il| <= covariate, |y_i| <= label, with no further bound on norms."""
        return cls(covariate * dim**0.5, label, covariate)

    @classmethod
    def for_mixture(cls, mixture: RegressionMixture) -> "Box":
        """The default box, which each token of the mixture leaves with probability below 3e-14.

        |x| exceeds sqrt(d) + 8 with probability at most e^{-32} = 1.3e-14 (Gaussian concentration
        of a 1-Lipschitz function), an entry of x exceeds 8 with probability 1.3e-15, and
        y ~ N(0, |w|^2 + sigma^2) exceeds 8 standard deviations with probability 1.3e-15.
        """
        possible = mixture.components[mixture.weights > 0]
        spread = float(np.linalg.norm(possible, axis=1).max())
        label = 8.0 * float(np.hypot(spread, mixture.noise_std))
        return cls(mixture.dim**0.5 + 8.0, label, 8.0)

    def images(self, matrix: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Return sup |<c, x>| over covariates of the box, or a little more, for every row c."""
        entries = np.abs(matrix).sum(axis=1) * self.covariate
        norms = np.linalg.norm(matrix, axis=1) * self.covariate_norm
        bounds: Float[np.ndarray, " n"] = np.minimum(entries, norms)
        return bounds

    def problems(self, prompts: PromptBatch) -> list[tuple[int, str]]:
        """Return where prompts leave the box: (prompt from 0, what is too large), worst of each."""
        with np.errstate(over="ignore"):  # an infinite norm is outside, too
            norms = np.linalg.norm(prompts.xs, axis=2)
        bounds = [
            ("|x_{}|", norms, self.covariate_norm),
            ("|y_{}|", np.abs(prompts.ys), self.label),
        ]
        if self.covariate < self.covariate_norm:  # otherwise the norm tells it
            entries = np.abs(prompts.xs).max(axis=2)
            bounds.append(("largest entry of x_{}:", entries, self.covariate))
        found = []
        for shown, sizes, limit in bounds:
            for i in np.flatnonzero((sizes > limit).any(axis=1)).tolist():
                j = int(sizes[i].argmax())
                sign = "" if shown.endswith(":") else " ="
                found.append(
                    (i, f"{shown.format(j + 1)}{sign} {sizes[i, j]:.6g} exceeds {limit:.6g}")
                )
        return sorted(found)
