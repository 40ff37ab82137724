"""The figures of trained transformers show what is stored, seed by seed."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from simulations.figures.catalogue import find_figure
from simulations.figures.curves import Look
from simulations.figures.trained_models import (
    draw_seeds,
    examples_axis,
    lower_end,
    mean_of_seeds,
    seed_curves,
    told_seeds,
    told_training,
)
from simulations.runs import StoredRun
from simulations.transformers import ModelConfig, Steps, TransformerTraining
from tests.simulations.figures.reading import assert_curve, edges, lines
from tests.simulations.figures.smoke import runs_of

LOOK = Look("model", "#000000", "-", "o")


@dataclasses.dataclass(frozen=True)
class Trained:
    training: TransformerTraining


def trained_run(*seeds: int, rows: int = 0) -> StoredRun:
    """A run of seeds whose curves are their numbers plus k, bands one wide on either side."""
    arrays: dict[str, np.ndarray] = {"num_examples": np.arange(4)}
    for seed in seeds:
        mean = seed + np.arange(4.0)
        if rows:
            mean = mean + 100 * np.arange(rows)[:, None]
        for end, shift in (("mean", 0), ("low", -1), ("high", 1)):
            arrays[f"seed-{seed}/error/{end}"] = mean + shift
    return StoredRun("e", Trained(TransformerTraining(seeds=seeds)), arrays, "", "", {})


def drawn(name: str) -> tuple[Figure, dict[str, StoredRun]]:
    figure = find_figure(name)
    runs = runs_of(figure)
    return figure.draw(runs), runs


def mean_over_seeds(run: StoredRun, name: str) -> np.ndarray:
    return sum(run.arrays[f"seed-{seed}/{name}/mean"] for seed in run.config.training.seeds) / len(
        run.config.training.seeds
    )


# Curves of seeds, and models in words


def test_several_seeds_are_thin_lines_and_a_mean_without_a_band():
    axes = Figure().subplots()
    mean = draw_seeds(axes, seed_curves(trained_run(1, 4), "error"), LOOK, "model")
    np.testing.assert_array_equal(mean.mean, [2.5, 3.5, 4.5, 5.5])
    found = lines(axes)
    assert set(found) == {"model", "model/0", "model/1"}
    np.testing.assert_array_equal(found["model"], mean.mean)
    np.testing.assert_array_equal(found["model/0"], [1, 2, 3, 4])
    np.testing.assert_array_equal(found["model/1"], [4, 5, 6, 7])
    widths = {line.get_gid(): line.get_linewidth() for line in axes.lines}
    assert widths["model/0"] < widths["model"]
    assert edges(axes) == set(mean.mean.tolist())


def test_one_seed_has_its_band():
    axes = Figure().subplots()
    draw_seeds(axes, seed_curves(trained_run(3), "error"), LOOK, "model")
    assert set(lines(axes)) == {"model"}
    assert edges(axes) == {2.0, 3, 4, 5, 6, 7}


def test_rows_of_arrays_are_curves_of_their_own():
    curves = seed_curves(trained_run(0, 2, rows=3), "error", 2)
    first, second = curves
    np.testing.assert_array_equal(first.mean, [200, 201, 202, 203])
    np.testing.assert_array_equal(second.mean, [202, 203, 204, 205])
    np.testing.assert_array_equal(mean_of_seeds(curves).mean, [201, 202, 203, 204])


def test_panels_reach_below_the_best_candidate_but_not_to_zero():
    assert lower_end(0.3, 0.6) == pytest.approx(0.2)
    assert lower_end(0.0, 0.6) == pytest.approx(0.02)
    assert lower_end(1e-9, 0.6) == pytest.approx(0.02)


def test_prompts_have_whole_numbers_of_examples():
    axes = Figure().subplots()
    examples_axis(axes, np.arange(16))
    assert axes.get_xlim() == (0, 15)
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_models_and_seeds_in_words():
    training = TransformerTraining(model=ModelConfig(layers=2), steps=Steps(6000, 32))
    assert told_training(training) == (
        "GPT-2 of 2 layers, 4 heads and width 64, 6,000 steps of 32 prompts"
    )
    several = dataclasses.replace(training, seeds=(0, 1, 5))
    assert told_seeds([several, several]).startswith("Transformers of the seeds 0, 1 and 5: thin")
    assert told_seeds([training]) == "One transformer, of seed 0, with its band."
    assert told_seeds([several, training]).endswith(
        "; where there is that of seed 0 only, its band."
    )
    other = dataclasses.replace(training, model=ModelConfig("section-1.2"))
    assert told_training(other).startswith("architecture of Section 1.2 of 3 layers")


# What is drawn is what is stored


def test_errors_of_transformers_are_drawn_beside_the_candidates():
    figure, runs = drawn("pathak2023-figure-2-transformers")
    for axes, run in zip(figure.axes, runs.values(), strict=True):
        for name in ("posterior_mean", "argmin", "ridge", "least_squares", "zero"):
            assert_curve(axes, name, run, f"error/{name}")
        found = lines(axes)
        np.testing.assert_allclose(found["transformer"], mean_over_seeds(run, "error"))
        assert len(run.config.training.seeds) == 2
        for i, seed in enumerate(run.config.training.seeds):
            stored = run.arrays[f"seed-{seed}/error/mean"]
            np.testing.assert_array_equal(found[f"transformer/{i}"], stored)


def without_noise(run: StoredRun) -> StoredRun:
    """A run as one for sigma = 0: no argmin, no ridge, a posterior mean that is exact."""
    law = dataclasses.replace(run.config.prompts, noise_std=0.0)
    training = dataclasses.replace(run.config.training, prompts=law)
    arrays = {
        name: array
        for name, array in run.arrays.items()
        if not name.startswith(("error/argmin", "error/ridge"))
    }
    exact = np.where(np.arange(law.num_examples + 1) == 0, 0.5, 0.0)
    arrays |= {f"error/posterior_mean/{end}": exact for end in ("mean", "low", "high")}
    config = dataclasses.replace(run.config, training=training)
    return dataclasses.replace(run, config=config, arrays=arrays)


def test_without_noise_there_are_fewer_candidates_and_no_distances():
    figure = find_figure("pathak2023-figure-2-transformers")
    ((label, run),) = runs_of(figure).items()
    runs = {label: without_noise(run)}
    (axes,) = figure.draw(runs).axes
    found = lines(axes)
    assert "transformer" in found
    assert not {"argmin", "ridge"} & set(found)
    assert axes.get_ylim()[0] > found["transformer"].min() / 100
    assert "sigma = 0 the posterior mean is exact" in figure.describe(runs)
    for number in (4, 5, 6):
        assert not find_figure(f"pathak2023-figure-{number}-transformers").shows(runs[label].config)


def test_distances_are_drawn_beside_that_of_posterior_mean_and_argmin():
    figure, runs = drawn("pathak2023-figure-4-transformers")
    ((_, run),) = runs.items()
    names = (
        ("posterior_mean", "argmin", "ridge", "least_squares"),
        ("posterior_mean_em", "argmin_em", "posterior_mean_sa", "argmin_sa"),
    )
    for axes, own in zip(figure.axes, names, strict=True):
        found = lines(axes)
        for name in own:
            np.testing.assert_allclose(found[name], mean_over_seeds(run, f"distance/{name}"))
            stored = run.arrays[f"seed-1/distance/{name}/mean"]
            np.testing.assert_array_equal(found[f"{name}/1"], stored)
        np.testing.assert_array_equal(found["apart/argmin"], run.arrays["apart/argmin/mean"])


@pytest.mark.parametrize(
    ("number", "kinds"),
    [(5, ["covariate-scaling"]), (6, ["weight-scaling", "weight-shift"])],
)
def test_shifted_prompts_are_drawn_for_transformer_and_posterior_mean(number, kinds):
    figure, runs = drawn(f"pathak2023-figure-{number}-transformers")
    ((_, run),) = runs.items()
    panels = np.reshape(np.array(figure.axes, dtype=object), (len(kinds), 2))
    for (left, right), kind in zip(panels, kinds, strict=True):
        shifts = run.arrays[f"{kind}/shifts"]
        assert len(shifts) == 5
        for i, shift in enumerate(shifts):
            stored = run.arrays[f"{kind}/posterior_mean/mean"][i]
            drawn_here = lines(right)[f"posterior mean: {kind} {shift:g}"]
            np.testing.assert_array_equal(drawn_here, stored)
            model = lines(left)[f"transformer: {kind} {shift:g}"]
            np.testing.assert_allclose(model, mean_over_seeds(run, kind)[i])
        assert set(run.arrays[f"{kind}/posterior_mean/high"].ravel().tolist()) <= edges(right)


def test_training_sets_are_panels_in_the_order_of_their_sizes():
    figure = find_figure("pathak2023-figure-3-transformers")
    ((label, run),) = runs_of(figure).items()
    own = run.config.training.training_set
    less = dataclasses.replace(own, size=own.size - 1)
    training = dataclasses.replace(run.config.training, training_set=less)
    config = dataclasses.replace(run.config, training=training)
    drawing = figure.draw({label: run, "less": dataclasses.replace(run, config=config)})
    titles = [axes.get_title(loc="left") for axes in drawing.axes]
    assert [title.split("= ")[-1] for title in titles] == [str(less.size), str(own.size)]
    for axes in drawing.axes:
        for name in ("posterior_mean", "posterior_mean_em", "posterior_mean_sa"):
            assert_curve(axes, name, run, f"error/{name}")
        np.testing.assert_allclose(lines(axes)["transformer"], mean_over_seeds(run, "error"))


def test_longer_prompts_are_drawn_for_every_model_with_a_line_where_training_ends():
    figure, runs = drawn("zhang2024-figure-1-transformers")
    assert len(runs) == 4
    labels = {
        ("identity", "learned"): "on $I$, with positions",
        ("identity", "none"): "on $I$, without",
        ("exponential", "learned"): "on random, with positions",
        ("exponential", "none"): "on random, without",
    }
    laws = ("fixed", "random-1", "random-4", "random-9")
    first = next(iter(runs.values()))
    for axes, law in zip(figure.axes, laws, strict=True):
        for run in runs.values():
            training = run.config.training
            label = labels[training.prompts.covariance, training.model.positions]
            assert_curve(axes, f"{law}/{label}", run, f"seed-0/{law}")
        for name in ("least_squares", "zero"):
            assert_curve(axes, f"{law}/{name}", first, f"{law}/{name}")
        limit = float(first.arrays[f"{law}/linear_attention/limit"])
        np.testing.assert_array_equal(lines(axes)[f"{law}/limit"], [limit, limit])
        (end,) = (line for line in axes.lines if line.get_gid() == f"{law}/N")
        assert list(end.get_xdata()) == [first.config.training.prompts.num_examples] * 2
        assert axes.get_xlim()[1] == first.config.longest


def test_open_questions_are_panels_with_their_own_best_candidates():
    figure, runs = drawn("pathak2023-open-questions")
    nonlinear, mixtures = figure.axes
    for axes, run, best in zip(
        (nonlinear, mixtures), runs.values(), ("posterior_mean", "best_linear"), strict=True
    ):
        for name in (best, "least_squares", "zero"):
            assert_curve(axes, name, run, f"error/{name}")
        assert_curve(axes, "transformer", run, "seed-0/error")
    assert "floor" not in lines(nonlinear)
    np.testing.assert_array_equal(lines(mixtures)["floor"], [0.5, 0.5])


def test_losses_are_drawn_for_every_step_size_and_those_helped_are_dashed():
    figure, runs = drawn("pathak2023-step-sizes")
    ((_, run),) = runs.items()
    (axes,) = figure.axes
    names = ["0.001, seed 0", "0.1, seed 0", "0.1, helped, seed 0"]
    for name, losses in zip(names, run.arrays["losses"], strict=True):
        np.testing.assert_array_equal(lines(axes)[name], losses[0])
    styles = {line.get_gid(): line.get_linestyle() for line in axes.lines}
    assert [styles[name] for name in names] == ["-", "-", "--"]
    for level in ("zero", "optimal"):
        np.testing.assert_array_equal(lines(axes)[level], [float(run.arrays[level])] * 2)


def test_a_training_that_diverged_says_so():
    figure = find_figure("pathak2023-step-sizes")
    ((label, run),) = runs_of(figure).items()
    losses = run.arrays["losses"].copy()
    losses[1, 0, 3:] = np.nan
    (axes,) = figure.draw(
        {label: dataclasses.replace(run, arrays={**run.arrays, "losses": losses})}
    ).axes
    texts = [text.get_text() for text in axes.texts]
    assert "0.1: diverged" in texts
    assert "0.001" in texts
