"""Every figure of experiments, drawn from runs of the smoke presets."""

import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simulations.drawing.files import write_figures
from simulations.experiments.catalogue import experiments
from simulations.figures.catalogue import FIGURES, find_figure
from simulations.runs import StoredRun
from tests.simulations.figures.reading import assert_curve, assert_some_of, edges, lines
from tests.simulations.figures.smoke import runs_of

BY_NAME = {figure.name: figure for figure in FIGURES}
NAMES = list(BY_NAME)


def drawn(name: str) -> tuple[Figure, dict[str, StoredRun]]:
    figure = BY_NAME[name]
    runs = runs_of(figure)
    return figure.draw(runs), runs


def sized(config: Any) -> Any:
    """The part of a config that has the dimension."""
    if hasattr(config, "training"):
        return config.training.prompts
    return config.tasks if hasattr(config, "tasks") else config


# All figures


def test_names_are_different_and_experiments_exist():
    assert len(BY_NAME) == len(FIGURES)
    assert {figure.experiment for figure in FIGURES} <= set(experiments())


def test_every_experiment_has_a_figure():
    assert {figure.experiment for figure in FIGURES} == set(experiments())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", ["smoke", "laptop"])
def test_presets_have_runs_to_draw(name, preset):
    assert len(BY_NAME[name].configs(preset)) > 0


@pytest.mark.parametrize("name", NAMES)
def test_texts_do_not_overlap_and_stay_on_the_page(name):
    figure, _ = drawn(name)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = [
        text
        for axes in figure.axes
        for text in (*axes.texts, axes.xaxis.label, axes.yaxis.label, axes._left_title)
        if text.get_text() and text.get_visible()
    ]
    boxes = [text.get_window_extent(renderer).padded(-1.0) for text in texts]
    clashes = [
        (a.get_text(), b.get_text())
        for (a, x), (b, y) in itertools.combinations(zip(texts, boxes, strict=True), 2)
        if x.overlaps(y)
    ]
    assert clashes == []
    for box in boxes:
        assert figure.bbox.containsx(box.x0)
        assert figure.bbox.containsx(box.x1)
        assert figure.bbox.containsy(box.y0)
        assert figure.bbox.containsy(box.y1)


@pytest.mark.parametrize("name", NAMES)
def test_one_run_alone_can_be_drawn(name):
    label, run = next(iter(runs_of(BY_NAME[name]).items()))
    assert BY_NAME[name].draw({label: run}).axes
    assert BY_NAME[name].caption({label: run})


@pytest.mark.parametrize("name", NAMES)
def test_captions_say_where_the_numbers_come_from(name):
    figure, runs = BY_NAME[name], runs_of(BY_NAME[name])
    said, origin = figure.caption(runs).split("\n\n")
    assert said.startswith(f"{figure.title}. ")
    assert len(origin.splitlines()) == len(runs)
    for (label, run), line in zip(runs.items(), origin.splitlines(), strict=True):
        assert line.startswith(f"{figure.experiment}, {label} (smoke preset): config ")
        for part in (f"address {run.address[:12]}", f"code {run.code[:12]}", "numpy 2.0.0"):
            assert part in line
        assert (
            f"seed={run.config.seed}" in line if hasattr(run.config, "seed") else "seeds=[" in line
        )
        assert "earlier code" not in line
        assert f"d = {sized(run.config).dim}" in said
    old = {label: dataclasses.replace(run, code="0" * 64) for label, run in runs.items()}
    assert figure.caption(old).count("code 000000000000 (made by earlier code)") == len(runs)


def test_a_config_of_no_preset_is_named_without_one():
    figure = BY_NAME["pathak2023-figure-7"]
    ((label, run),) = runs_of(figure).items()
    other = dataclasses.replace(run, config=dataclasses.replace(run.config, seed=5))
    assert "pathak2023-figure-7, m=3: config " in figure.caption({label: other})


def test_an_unknown_figure_is_refused_with_the_names():
    with pytest.raises(ValueError, match="no figure 'figure-2' of experiments; expected one of p"):
        find_figure("figure-2")
    assert find_figure("pathak2023-figure-2") is BY_NAME["pathak2023-figure-2"]


def test_another_process_draws_the_same_svg_without_pyplot(tmp_path):
    figure = BY_NAME["zhang2024-random-covariances"]
    runs = runs_of(figure)
    write_figures(tmp_path, {"here": figure.draw(runs)}, {"here": figure.caption(runs)})
    script = (
        "import pathlib, sys; from simulations.drawing.files import write_figures;"
        "from simulations.figures.catalogue import find_figure;"
        "from tests.simulations.figures.smoke import runs_of;"
        "figure = find_figure('zhang2024-random-covariances'); runs = runs_of(figure);"
        "write_figures(pathlib.Path(sys.argv[1]), {'there': figure.draw(runs)},"
        "{'there': figure.caption(runs)}); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-W", "error", "-c", script, tmp_path], cwd=root, check=True)
    here, there = ((tmp_path / f"{name}.svg").read_text() for name in ("here", "there"))
    assert here == there
    assert "Linear self-attention cannot learn random covariances" in here


# What is drawn is what is stored


def test_figure_2_shows_the_stored_curves():
    figure, runs = drawn("pathak2023-figure-2")
    assert len(figure.axes) == len(runs) == 4
    for axes, run in zip(figure.axes, runs.values(), strict=True):
        predictors = [key[:-5] for key in run.arrays if key.endswith("/mean")]
        assert len(predictors) >= 4
        for predictor in predictors:
            assert_curve(axes, predictor, run, predictor)
        exact = run.arrays["least_squares/expected"]
        assert_some_of(lines(axes)["least_squares/expected"], exact[np.isfinite(exact)])
        assert f"$m={run.config.num_components}$" in axes.get_title(loc="left")


@pytest.mark.parametrize("number", [7, 8, 9])
def test_figures_of_shifts_show_curves_and_limits(number):
    figure, runs = drawn(f"pathak2023-figure-{number}")
    for axes, run in zip(figure.axes, runs.values(), strict=True):
        found = lines(axes)
        for i, shift in enumerate(run.config.shifts):
            mean = run.arrays["posterior_mean/mean"][i]
            np.testing.assert_array_equal(found[f"shift {shift:g}"], mean)
            limit = run.arrays["posterior_mean/limit"][i]
            np.testing.assert_array_equal(found[f"limit {shift:g}"], [limit, limit])
            assert set(run.arrays["posterior_mean/high"][i].tolist()) <= edges(axes)


def test_figure_3_shows_the_fits_and_their_oracle_errors():
    figure, runs = drawn("pathak2023-figure-3")
    for axes, run in zip(figure.axes, runs.values(), strict=True):
        for fit in ("em", "em_spread", "sa", "sa_refined"):
            assert_curve(axes, f"posterior_mean_{fit}", run, f"posterior_mean_{fit}")
            oracle = float(run.arrays[f"oracle_{fit}"])
            np.testing.assert_array_equal(lines(axes)[f"oracle_{fit}"], [oracle, oracle])
        assert_curve(axes, "posterior_mean", run, "posterior_mean")
    (_, run) = next(iter(runs.items()))
    found = int(np.sum(run.arrays["em/distances"] <= 0.2))
    assert f"EM {found}, " in BY_NAME["pathak2023-figure-3"].describe(runs)


def test_figure_4_shows_distances_from_the_posterior_mean():
    figure, runs = drawn("pathak2023-figure-4")
    ((_, run),) = runs.items()
    for axes, kind in zip(figure.axes, ("posterior_mean", "argmin"), strict=True):
        for fit in ("em", "em_spread", "sa", "sa_refined"):
            assert_curve(axes, f"{kind}_{fit}", run, f"distance/posterior_mean/{kind}_{fit}")
    assert_curve(figure.axes[1], "argmin", run, "distance/posterior_mean/argmin")


def test_the_histogram_counts_the_starts():
    figure, runs = drawn("pathak2023-em-recovery")
    ((_, run),) = runs.items()
    left, right = figure.axes
    for bars, kind in zip(left.containers, ("random", "spread"), strict=True):
        heights = [bar.get_height() for bar in bars]
        found = run.arrays[f"{kind}/found"]
        assert heights == [np.sum(found == j) for j in range(run.config.num_components + 1)]
        lost = run.arrays["truth/log_likelihood"] - run.arrays[f"{kind}/log_likelihood"]
        np.testing.assert_allclose(lines(right)[kind], lost / run.config.training_size)
        rate = 100 * float(run.arrays[f"{kind}/success_rate"])
        assert f"{kind} {rate:.3g} %" in BY_NAME["pathak2023-em-recovery"].describe(runs)


@pytest.mark.parametrize(
    ("name", "layers", "level"),
    [
        ("zhang2024-figure-1", ("fixed_8", "random_20"), "random/limit"),
        ("zhang2024-shifts", ("linear_attention",), "linear_attention/bias"),
        ("zhang2024-random-covariances", ("fixed", "random"), "fixed/limit"),
    ],
)
def test_figures_of_linear_attention_show_curves_crosses_and_limits(name, layers, level):
    figure, runs = drawn(name)
    ((_, run),) = runs.items()
    panels = [axes for axes in figure.axes if axes.lines]
    laws = [key.removesuffix("/zero/mean") for key in run.arrays if key.endswith("/zero/mean")]
    assert len(panels) == len(laws) >= 2
    for axes, law in zip(panels, laws, strict=True):
        for predictor in (*layers, "least_squares", "zero"):
            assert_curve(axes, f"{law}/{predictor}", run, f"{law}/{predictor}")
        if law == "orthogonal":
            continue
        for layer in layers:
            assert_some_of(lines(axes)[f"{law}/{layer}/exact"], run.arrays[f"{law}/{layer}/exact"])
        end = float(run.arrays[f"{law}/{level}"])
        np.testing.assert_array_equal(lines(axes)[f"{law}/{level}"], [end, end])


def test_training_is_shown_beside_flow_limit_and_result():
    figure, runs = drawn("zhang2024-trained")
    rows = np.reshape(np.array(figure.axes, dtype=object), (len(runs), 3))
    assert list(runs) == ["fixed", "exponential", "mixture"]
    for (weights, errors, balance), run in zip(rows, runs.values(), strict=True):
        found, arrays = lines(weights), run.arrays
        u = [matrix[-1, -1] for matrix in arrays["trace/projection_value"]]
        U = [np.linalg.norm(matrix[:-1, :-1]) for matrix in arrays["trace/key_query"]]
        np.testing.assert_array_equal(found["trained u"], u)
        np.testing.assert_allclose(found["trained U"], U)
        np.testing.assert_array_equal(found["flow u"], arrays["flow/u"])
        np.testing.assert_array_equal(found["limit u"], [arrays["limit/u"]] * 2)
        for quantity in ("u", "U", "product"):
            trace = arrays[f"trace/{quantity}_error"]
            np.testing.assert_array_equal(lines(errors)[f"error {quantity}"], trace)
            result = lines(errors)[f"result {quantity}"]
            np.testing.assert_array_equal(result, [arrays[f"error/{quantity}"]])
        drift, crosses = lines(balance)["drift"], lines(balance)["squared steps"]
        np.testing.assert_array_equal(crosses, arrays["trace/squared_steps"])
        np.testing.assert_allclose(drift, crosses, atol=1e-9)


def with_step(run: StoredRun, factor: float) -> StoredRun:
    config = dataclasses.replace(run.config, step_size=factor * run.config.step_size)
    arrays = {**run.arrays, "error/u": factor * run.arrays["error/u"]}
    return dataclasses.replace(run, config=config, arrays=arrays)


def test_step_sizes_of_one_problem_are_a_curve_beside_the_line_of_first_order():
    figure = BY_NAME["zhang2024-trained-step-size"]
    ((label, run),) = runs_of(figure).items()
    runs = {label: run, f"{label}-2": with_step(run, 2.0), f"{label}-half": with_step(run, 0.5)}
    left, right = figure.draw(runs).axes
    base = float(run.arrays["error/u"])
    np.testing.assert_allclose(lines(left)[f"{label} error/u"], [base / 2, base, 2 * base])
    np.testing.assert_allclose(lines(left)["first order"], [base / 2, base, 2 * base])
    product = [float(run.arrays["error/product"])] * 3
    np.testing.assert_array_equal(lines(right)[f"{label} error/product"], product)
    np.testing.assert_allclose(
        left.lines[0].get_xdata(), run.config.step_size * np.array([0.5, 1, 2])
    )


def test_predictions_are_shown_with_the_distances_from_the_limit():
    figure, runs = drawn("zhang2024-trained-predictions")
    assert {"fixed-adam", "fixed-softmax"} <= set(runs)
    for axes, (label, run) in zip(figure.axes, runs.items(), strict=False):
        for kind in ("trained", "limit"):
            assert_curve(axes, f"{label} {kind}", run, kind)
        numbers = axes.texts[0].get_text()
        if label == "fixed-softmax":
            assert numbers == ""
        else:
            assert f"$u$: {100 * float(run.arrays['error/u']):.2g} %" in numbers
