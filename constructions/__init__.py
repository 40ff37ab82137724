"""Circuits compiled into explicit transformer weights. torch begins here."""

from constructions.box import Box
from constructions.circuit import Circuit, Prompt
from constructions.compiled_circuit import CompiledCircuit
from constructions.library.certified import certify_circuit
from constructions.library.line_by_line import LineByLineTransformer, compile_line_by_line
from constructions.library.posterior_mean_transformer import (
    PosteriorMeanTransformer,
    compile_posterior_mean,
)
from constructions.values import attention, previous, softmax, total

__all__ = [
    "Box",
    "Circuit",
    "CompiledCircuit",
    "LineByLineTransformer",
    "PosteriorMeanTransformer",
    "Prompt",
    "attention",
    "certify_circuit",
    "compile_line_by_line",
    "compile_posterior_mean",
    "previous",
    "softmax",
    "total",
]
