"""Draws all figures of the gradient flow and writes them as SVG and PNG."""

from pathlib import Path

from papers.zhang2024.figures.looseness import looseness_figure
from papers.zhang2024.figures.loss import loss_figure
from papers.zhang2024.figures.phase_portrait import PhasePortrait, phase_portrait_figure
from papers.zhang2024.figures.study import FlowStudy
from simulations.drawing.files import write_figures


def draw_flow_figures(
    directory: Path, *, portrait: PhasePortrait | None = None, study: FlowStudy | None = None
) -> list[Path]:
    """Draw flow-phase-portrait, flow-loss and flow-looseness; return the paths.

    Parameters
    ----------
    directory
        Where to write; made if it is not there. Files of the same names are replaced, when all
        figures are drawn.
    portrait, study
        What is drawn; the defaults of the classes if None.

    Raises
    ------
    ValueError
        If these are not the parameters of a problem.
    """
    shown = study or FlowStudy()
    figures = {
        "flow-phase-portrait": phase_portrait_figure(portrait or PhasePortrait()),
        "flow-loss": loss_figure(shown),
        "flow-looseness": looseness_figure(shown),
    }
    return write_figures(directory, figures)
