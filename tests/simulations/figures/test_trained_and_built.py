"""The figures of trained, built and fine-tuned networks show what is stored."""

import numpy as np
import pytest
from matplotlib.axes import Axes

from simulations.figures.catalogue import find_figure
from simulations.figures.fine_tuned_networks import HIGHEST, LOWEST
from simulations.figures.trained_and_built import examples_shown
from tests.simulations.figures.smoke import runs_of


def drawn(name: str):
    figure = find_figure(name)
    runs = runs_of(figure)
    ((_, run),) = runs.items()
    return figure.draw(runs).axes, run


def lines(axes: Axes) -> dict[str, np.ndarray]:
    return {line.get_gid(): np.asarray(line.get_ydata()) for line in axes.lines}


def test_answers_and_distances_are_the_stored_ones():
    (errors, distances, *_), run = drawn("pathak2023-trained-and-built")
    for panel, names in (
        (errors, ("error/trained", "error/posterior_mean", "error/argmin", "error/ridge")),
        (distances, ("distance/posterior_mean", "apart/built", "apart/argmin")),
    ):
        for name in names:
            np.testing.assert_array_equal(lines(panel)[name], run.arrays[f"{name}/mean"])


def test_sensitivities_are_the_stored_ones():
    (_, _, sizes, agreement, *_), run = drawn("pathak2023-trained-and-built")
    for n in examples_shown(run.config.max_examples):
        for who in ("trained", "exact", "built"):
            expected = run.arrays[f"sensitivity/labels/{who}/mean"][n - 1, :n]
            np.testing.assert_array_equal(lines(sizes)[f"{who} {n}"], expected)
    for name in ("labels/correlation/trained", "covariates/correlation/trained"):
        np.testing.assert_array_equal(lines(agreement)[name], run.arrays[f"sensitivity/{name}"])


def test_probes_are_the_stored_ones():
    (*_, layers, prefixes), run = drawn("pathak2023-trained-and-built")
    for who in ("trained", "untrained", "built"):
        for label, name in (("log-odds", "log_odds"), ("posterior", "posterior")):
            expected = run.arrays[f"probe/{name}/{who}"]
            np.testing.assert_array_equal(lines(layers)[f"{label} {who}"], expected)
        last = run.arrays[f"probe/log_odds/{who}/prefixes"][-1]
        np.testing.assert_array_equal(lines(prefixes)[who], last[np.isfinite(last)])


@pytest.mark.parametrize(("most", "shown"), [(1, (1,)), (4, (1, 3)), (12, (2, 4, 8))])
def test_no_number_of_examples_is_drawn_twice(most, shown):
    assert examples_shown(most) == shown


def test_fine_tuning_is_drawn_within_limits():
    (*ways, _, line), run = drawn("pathak2023-fine-tuned")
    names = ("relative", "unshifted", "everywhere", "plain")
    for panel, way in zip(ways, names, strict=True):
        found = lines(panel)
        for size, curve in zip(
            run.arrays[f"{way}/step_sizes"], run.arrays[f"{way}/distances"], strict=True
        ):
            np.testing.assert_array_equal(found[f"{way} {size:g}"], np.clip(curve, LOWEST, HIGHEST))
    scratch = np.clip(run.arrays["scratch/distances"], LOWEST, HIGHEST)
    np.testing.assert_array_equal(lines(ways[1])["scratch"], scratch)
    for name in ("old", "new"):
        np.testing.assert_array_equal(lines(line)[f"line {name}"], run.arrays[f"line/{name}"])


def test_the_barrier_is_drawn_from_both_ends():
    (*_, barrier, _), run = drawn("pathak2023-fine-tuned")
    for name in ("scratch", "built"):
        stored = run.arrays[f"barrier/from_{name}"][1:]
        found = lines(barrier)[f"barrier {name}"]
        np.testing.assert_allclose(found, np.maximum(stored, 1e-30))
