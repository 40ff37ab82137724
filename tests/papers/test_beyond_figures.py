"""The figures of the results beyond the papers."""

import pytest
from numpy.testing import assert_allclose

from papers.beyond.figures import draw_far_from_the_box, far_figure
from simulations.experiments.far_from_the_box import FarFromTheBox, measure

CONFIG = FarFromTheBox(2, 3, 4, factors=(0.5, 1.0, 10.0, 1e3, 1e4), num_prompts=20)


@pytest.fixture(scope="module")
def found():
    return measure(CONFIG)


def test_the_figure_shows_what_was_measured(found):
    figure = far_figure(CONFIG, found)
    for panel, errors in zip(figure.axes, found, strict=True):
        drawn = (errors.exact, errors.worst, errors.median)
        for line, expected in zip(panel.lines, drawn, strict=True):
            assert_allclose(line.get_xdata(), CONFIG.factors)
            assert_allclose(line.get_ydata(), expected)
    assert "$m=3$" in figure.get_suptitle()


def test_the_figure_is_written_twice(tmp_path):
    paths = draw_far_from_the_box(tmp_path, CONFIG)
    assert [path.name for path in paths] == ["far-from-the-box.svg", "far-from-the-box.png"]
    assert all(path.stat().st_size > 5000 for path in paths)
