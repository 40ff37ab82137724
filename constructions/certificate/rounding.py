"""The model of float arithmetic under which certificates hold (docs/certificates.md)."""

from dataclasses import asdict, dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class RoundingModel:
    """Unit roundoff, and what gelu and exp of the runtime may be off by.

    Parameters
    ----------
    unit_roundoff
        u: operations are correctly rounded, and sums are evaluated in any order.
    gelu
        |computed gelu(x) - gelu(x)| <= gelu * u * |x|.
    pair
        |computed gelu(x) + computed gelu(-x) - psi(x)| <= pair * u * |x|.
    exp
        The relative error of exp is at most exp * u.
    underflow
        exp(x) is exactly 0 for x <= -underflow.
    silent
        gelu(x) is exactly 0 for x <= -silent.
    """

    unit_roundoff: float
    gelu: float
    pair: float
    exp: float
    underflow: float
    silent: float

    @classmethod
    def of(cls, dtype: torch.dtype) -> "RoundingModel":
        """Return the model of a float type; tests hold its constants on this machine."""
        if dtype == torch.float64:
            return cls(2.0**-53, gelu=2.0, pair=3.0, exp=2.0, underflow=746.0, silent=9.0)
        return cls(2.0**-24, gelu=6.0, pair=12.0, exp=2.0, underflow=104.0, silent=6.0)

    def gamma(self, terms: int | float) -> float:
        """Return gamma_n = n u / (1 - n u), the relative error of a sum of n products."""
        product = terms * self.unit_roundoff
        return float(product / (1 - product)) if product < 1 else np.inf

    def as_dict(self) -> dict[str, float]:
        """Return the constants by name."""
        return asdict(self)
