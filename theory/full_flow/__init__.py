"""Gradient flow of all weights of the layer, u_12 and u_21 included: solver, minima, saddles."""

from theory.full_flow.flow import FullFlowSolution, balance_of_layer, solve_full_flow
from theory.full_flow.one_dimension import OneDimension
from theory.full_flow.stationary import (
    PointKind,
    StationaryPoint,
    global_minimum,
    rank_one_point,
)

__all__ = [
    "FullFlowSolution",
    "OneDimension",
    "PointKind",
    "StationaryPoint",
    "balance_of_layer",
    "global_minimum",
    "rank_one_point",
    "solve_full_flow",
]
