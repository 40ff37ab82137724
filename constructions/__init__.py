"""Circuits compiled into explicit transformer weights. torch begins here."""

from constructions.library.posterior_mean import Box
from constructions.library.posterior_mean_transformer import (
    PosteriorMeanTransformer,
    compile_posterior_mean,
)

__all__ = ["Box", "PosteriorMeanTransformer", "compile_posterior_mean"]
