"""Reading through LayerNorm: lambda(v)_r = (v_r - mu) kappa, with bounds on mu and on kappa."""

from dataclasses import dataclass
from math import fsum

import numpy as np
from jaxtyping import Float

from constructions.checker.rounding import SLACK, Rounding


@dataclass(frozen=True)
class Normalised:
    """What LayerNorm makes of a column with rows +L and -L.

    Parameters
    ----------
    scale_error
        nu: kappa = (1 + nu') sqrt(p/2) / L, |nu'| <= nu, the same for all rows.
    mean
        A bound on the mean that is subtracted, in stored units.
    """

    scale_error: float
    mean: float

    def worst(self, other: "Normalised") -> "Normalised":
        """Return bounds that hold for both."""
        return Normalised(max(self.scale_error, other.scale_error), max(self.mean, other.mean))


def normalise(
    constants: Float[np.ndarray, " p"],
    computed: Float[np.ndarray, " p"],
    size: float,
    rounding: Rounding,
    spared: float = 0.0,
) -> Normalised:
    """Return how far LayerNorm of a column is from (v - 0) sqrt(p/2) / L.

    The mean: the rows +L and -L cancel, but whatever is added to one of them alone is rounded to
    u L, or lost. The norm: two squares L^2 and their sum round like four operations; what is added
    to them beside costs at most itself.

    Parameters
    ----------
    constants
        What the rows hold before the prompt comes in (p,), +L and -L included.
    computed
        Bounds on what the other rows hold (p,), 0 for constant rows.
    size
        L.
    rounding
        The network's arithmetic.
    spared
        How much less the magnitude of the sum of what is computed is than ``computed`` adds up to.
    """
    p, u = len(constants), rounding.unit
    others = np.where(np.abs(constants) == size, 0.0, np.abs(constants)) + computed
    total = float(others.sum())
    rounded = float(np.minimum(others, 1.01 * u * (size + total)).sum()) + 2 * p * u * total
    added = abs(fsum(constants.tolist())) + float(computed.sum()) - spared
    mean = (added + rounded) * (1 + 4 * u) / p
    beside = float(((others + mean) ** 2).sum()) + mean**2
    squares = 4.1 * u + 1.1 * beside / size**2
    usable = squares < 0.01 and p * u < 0.01
    return Normalised((0.51 * squares + 4.1 * u) * SLACK if usable else np.inf, mean * SLACK)
