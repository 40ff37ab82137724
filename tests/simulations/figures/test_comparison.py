"""The figure of a comparison: its curves are the numbers, its files are whole."""

import numpy as np
import pytest

from simulations.figures.comparison import draw_comparison, require_figure_suffix, write_comparison
from simulations.model_comparison import (
    compare_model,
    estimated_candidates,
    known_candidates,
    sample_mixture,
)
from theory import PosteriorMean, RegressionMixture, Ridge

MIXTURE = RegressionMixture.random(3, 2, 0.5, np.random.default_rng(0))
PROMPTS, EXACT = sample_mixture(MIXTURE, 64, 4, np.random.default_rng(1))


def compared(model, *, exact=EXACT, estimated=False):
    candidates = known_candidates(MIXTURE, 0.5)
    if estimated:
        candidates |= estimated_candidates(MIXTURE, 100, 4, np.random.default_rng(2))
    return compare_model(model, candidates, PROMPTS, exact, np.random.default_rng(3))


def lines(figure):
    return {line.get_gid(): line for panel in figure.axes for line in panel.lines}


def test_the_curves_are_the_numbers():
    found = compared(Ridge(1.0), estimated=True)
    figure = draw_comparison(found)
    drawn = lines(figure)
    bands = {"error": found.comparison.errors, "distance": found.comparison.distances}
    for kind, named in bands.items():
        for name, band in named.items():
            shown = drawn[f"{kind}: {name}"].get_ydata()
            inside = band.mean / 2 > figure.axes[kind == "distance"].get_ylim()[0] * 1.6
            np.testing.assert_allclose(shown[inside], band.mean[inside] / 2, rtol=1e-12)
    assert [panel.get_yscale() for panel in figure.axes] == ["log", "log"]
    assert [text.get_text() for text in figure.axes[0].texts].count("model") == 1
    # The model over all others.
    assert list(lines(figure))[len(found.comparison.errors) - 1] == "error: model"


def test_what_is_equal_but_for_rounding_lies_at_the_edge_and_says_so():
    figure = draw_comparison(compared(PosteriorMean(MIXTURE.with_noise_std(0.5 + 1e-12))))
    distance = figure.axes[1]
    shown = lines(figure)["distance: posterior mean"].get_ydata()
    assert np.all(shown == shown[0])
    assert distance.get_ylim()[0] < shown[0] < 1e-4
    assert [t.get_text() for t in distance.texts if "<" in t.get_text()] == [
        f"posterior mean $<$$10^{{{np.log10(shown[0]):.0f}}}$".replace("$<$$", "$<")
    ]


def test_without_exact_labels_there_is_one_panel():
    figure = draw_comparison(compared(Ridge(1.0), exact=None))
    (panel,) = figure.axes
    assert panel.get_ylabel() == r"squared distance to the model / $d$"


@pytest.mark.parametrize(("name", "start"), [("a.svg", b"<?xml"), ("a.PNG", b"\x89PNG")])
def test_files_are_written_whole(tmp_path, name, start):
    write_comparison(tmp_path / "new" / name, compared(Ridge(1.0)))
    assert (tmp_path / "new" / name).read_bytes().startswith(start)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"suffix '\.pdf'; expected \.svg or \.png"):
        require_figure_suffix(tmp_path / "a.pdf")
