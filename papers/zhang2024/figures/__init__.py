"""The gradient flow of Zhang et al. in pictures: phase portrait, loss and envelopes, looseness.

Source: Zhang et al. 2024, Theorem 4 and Lemmas 17 to 20.

>>> figure = phase_portrait_figure(PhasePortrait(eigenvalue=1.0, prompt_length=4))
>>> len(figure.axes)
1
"""

from papers.zhang2024.figures.gallery import draw_flow_figures
from papers.zhang2024.figures.looseness import looseness_figure
from papers.zhang2024.figures.loss import loss_figure
from papers.zhang2024.figures.phase_portrait import PhasePortrait, phase_portrait_figure
from papers.zhang2024.figures.study import FlowStudy

__all__ = [
    "FlowStudy",
    "PhasePortrait",
    "draw_flow_figures",
    "looseness_figure",
    "loss_figure",
    "phase_portrait_figure",
]
