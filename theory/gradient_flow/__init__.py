"""Gradient flow of one linear self-attention layer: problems, limits, solver, trajectory."""

from theory.gradient_flow.problem import FlowProblem, FlowState
from theory.gradient_flow.start import assumption_3, random_theta

__all__ = ["FlowProblem", "FlowState", "assumption_3", "random_theta"]
