"""Figures of the results beyond the papers."""

from papers.beyond.figures.basins import BasinMaps, basins_figure, draw_basins
from papers.beyond.figures.far import draw_far_from_the_box, far_figure

__all__ = ["BasinMaps", "basins_figure", "draw_basins", "draw_far_from_the_box", "far_figure"]
