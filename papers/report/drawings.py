"""Draws the figures of the report; importing it brings matplotlib and torch."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from constructions import compile_posterior_mean
from papers.beyond.figures import BasinMaps, basins_figure, far_figure
from papers.pathak2023.figures import (
    ProofRun,
    circuit_figure,
    errors_figure,
    matrices_figure,
    measure_errors,
    residual_stream_figure,
)
from papers.zhang2024.figures import (
    FlowStudy,
    PhasePortrait,
    looseness_figure,
    loss_figure,
    phase_portrait_figure,
)
from simulations.experiments.far_from_the_box import FarFromTheBox, measure
from simulations.figures.catalogue import find_figure
from simulations.figures.supply import Shelf, supply
from simulations.runs import Runs, laptop_results
from theory import RegressionMixture

#: The sizes of `iclproof figures`.
_DIM, _COMPONENTS, _EXAMPLES, _NOISE, _PROMPTS = 2, 3, 2, 1.0, 100


@cache
def _run() -> ProofRun:
    """The program on one prompt of a random mixture."""
    rng = np.random.default_rng(0)
    mixture = RegressionMixture.random(_COMPONENTS, _DIM, _NOISE, rng)
    return ProofRun.of(mixture, mixture.sample_prompts(1, _EXAMPLES, rng))


@cache
def _study() -> FlowStudy:
    return FlowStudy()


def _errors() -> Figure:
    mixture = _run().mixture
    prompts = mixture.sample_prompts(_PROMPTS, _EXAMPLES, np.random.default_rng(1))
    return errors_figure(measure_errors(mixture, prompts))


def _stream(layers: Literal[2, 3]) -> Figure:
    network = compile_posterior_mean(_run().mixture, _EXAMPLES, layers=layers)
    return residual_stream_figure(network, _run().prompt)


def _far() -> Figure:
    config = FarFromTheBox(_DIM, _COMPONENTS, _EXAMPLES, _NOISE)
    return far_figure(config, measure(config))


#: The drawings of the proofs, by name.
DRAWINGS: Mapping[str, Callable[[], Figure]] = {
    "circuit": lambda: circuit_figure(_run()),
    "matrices": lambda: matrices_figure(_run()),
    "errors": _errors,
    "stream_three_layers": lambda: _stream(3),
    "stream_two_layers": lambda: _stream(2),
    "far-from-the-box": _far,
    "flow-phase-portrait": lambda: phase_portrait_figure(PhasePortrait()),
    "flow-loss": lambda: loss_figure(_study()),
    "flow-looseness": lambda: looseness_figure(_study()),
    "flow-basins": lambda: basins_figure(BasinMaps()),
}


def experiment(name: str) -> tuple[Figure, str] | None:
    """Draw a figure of an experiment from the results that come with the program.

    Returns
    -------
    tuple of Figure and str, or None
        The figure and its caption; None if there are no results for it, or damaged ones only.

    Raises
    ------
    ValueError
        If there is no figure of this name.
    """
    figure = find_figure(name)
    found = supply(figure, "laptop", [Shelf("committed results", Runs(laptop_results()))])
    return (figure.draw(found.runs), figure.caption(found.runs)) if found.found else None
