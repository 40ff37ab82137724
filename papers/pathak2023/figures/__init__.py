"""The proof of Theorem 1 in pictures: circuit, matrices H^(0)..H^(9), errors, residual stream.

Source: pathak2023, Figure 1, Appendix B.2 and B.2.1.

>>> import numpy as np
>>> from theory import RegressionMixture
>>> rng = np.random.default_rng(0)
>>> mixture = RegressionMixture.random(num_components=3, dim=2, noise_std=0.5, rng=rng)
>>> run = ProofRun.of(mixture, mixture.sample_prompts(1, 2, rng))
>>> len(matrices_figure(run).axes)  # a panel a stage, and the colour bar
11
"""

from papers.pathak2023.figures.circuit import CircuitValues, circuit_figure
from papers.pathak2023.figures.errors import ErrorStudy, LayerErrors, errors_figure, measure_errors
from papers.pathak2023.figures.gallery import draw_all
from papers.pathak2023.figures.matrices import matrices_figure
from papers.pathak2023.figures.proof_run import ProofRun
from papers.pathak2023.figures.residual_stream import residual_stream_figure

__all__ = [
    "CircuitValues",
    "ErrorStudy",
    "LayerErrors",
    "ProofRun",
    "circuit_figure",
    "draw_all",
    "errors_figure",
    "matrices_figure",
    "measure_errors",
    "residual_stream_figure",
]
