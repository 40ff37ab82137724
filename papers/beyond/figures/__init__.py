"""Figures of the results beyond the papers."""

from papers.beyond.figures.far import draw_far_from_the_box, far_figure

__all__ = ["draw_far_from_the_box", "far_figure"]
