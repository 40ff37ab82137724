"""Draws all proof figures for a random mixture and writes them as SVG and PNG."""

from pathlib import Path

import numpy as np

from constructions import compile_posterior_mean
from papers.pathak2023.figures.circuit import circuit_figure
from papers.pathak2023.figures.errors import errors_figure, measure_errors
from papers.pathak2023.figures.matrices import matrices_figure
from papers.pathak2023.figures.proof_run import ProofRun, require_legible
from papers.pathak2023.figures.residual_stream import residual_stream_figure
from simulations.drawing.files import write_figures
from theory import RegressionMixture

#: Prompts on which the errors are measured.
NUM_PROMPTS = 100


def draw_all(
    directory: Path,
    *,
    dim: int,
    num_components: int,
    num_examples: int,
    noise_std: float,
    seed: int,
) -> list[Path]:
    """Draw the proof figures and write each as SVG and PNG.

    The mixture, then the prompt of the circuit and the matrices, then the prompts of the errors
    are drawn from ``numpy.random.default_rng(seed)``. Equal arguments give equal SVG files.

    Parameters
    ----------
    directory
        Where to write; made if it is not there. Files of the same names are replaced, each at
        once, and only when all figures are drawn.
    dim, num_components, num_examples
        d and m from 1 to 6 and k from 1 to 4.
    noise_std
        sigma > 0.
    seed
        Of the random numbers.

    Returns
    -------
    list of Path
        circuit.svg, circuit.png, and so on for matrices, errors, stream_three_layers and
        stream_two_layers.

    Raises
    ------
    ValueError
        If a size is beyond what can be read (the message says the limits), or sigma is not
        positive.
    """
    require_legible(dim=dim, num_components=num_components, num_examples=num_examples)
    rng = np.random.default_rng(seed)
    mixture = RegressionMixture.random(num_components, dim, noise_std, rng)
    run = ProofRun.of(mixture, mixture.sample_prompts(1, num_examples, rng))
    prompts = mixture.sample_prompts(NUM_PROMPTS, num_examples, rng)
    figures = {
        "circuit": circuit_figure(run),
        "matrices": matrices_figure(run),
        "errors": errors_figure(measure_errors(mixture, prompts)),
        "stream_three_layers": residual_stream_figure(
            compile_posterior_mean(mixture, num_examples, layers=3), run.prompt
        ),
        "stream_two_layers": residual_stream_figure(
            compile_posterior_mean(mixture, num_examples, layers=2), run.prompt
        ),
    }
    return write_figures(directory, figures)
