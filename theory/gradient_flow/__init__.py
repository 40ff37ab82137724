"""Gradient flow of one linear self-attention layer: problems, limits, solver, trajectory."""

from theory.gradient_flow.isotropic import IsotropicFlow
from theory.gradient_flow.printed_bounds import PrintedBounds, printed_bounds
from theory.gradient_flow.problem import FlowProblem, FlowState
from theory.gradient_flow.sharp_bounds import SharpBounds, sharp_bounds
from theory.gradient_flow.solution import FlowSolution
from theory.gradient_flow.solver import solve_flow, solve_flow_from
from theory.gradient_flow.spectrum import convergence_rate, excited_rate, spectrum
from theory.gradient_flow.start import assumption_3, random_theta

__all__ = [
    "FlowProblem",
    "FlowSolution",
    "FlowState",
    "IsotropicFlow",
    "PrintedBounds",
    "SharpBounds",
    "assumption_3",
    "convergence_rate",
    "excited_rate",
    "printed_bounds",
    "random_theta",
    "sharp_bounds",
    "solve_flow",
    "solve_flow_from",
    "spectrum",
]
