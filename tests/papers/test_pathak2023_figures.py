"""The proof figures: numbers, panels, files."""

import itertools
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

from constructions import compile_line_by_line
from papers.pathak2023.figures import (
    CircuitValues,
    ErrorStudy,
    ProofRun,
    circuit_figure,
    draw_all,
    errors_figure,
    matrices_figure,
    measure_errors,
)
from simulations.drawing.style import number
from theory import PromptBatch, RegressionMixture

#: (k, m, d)
SIZES = [(1, 1, 1), (2, 3, 2), (4, 6, 6)]
OPERATORS = [
    "copy_down",
    "copy_over",
    "copy_down",
    "aff",
    "mul",
    "scaled_agg",
    "soft",
    "mul",
    "aff",
]
DRAWN = ["circuit", "matrices", "errors", "stream_three_layers", "stream_two_layers"]
NAMES = [f"{name}.{kind}" for name in DRAWN for kind in ("svg", "png")]


def problem(
    k: int, m: int, d: int, sigma: float = 0.8, batch: int = 1
) -> tuple[RegressionMixture, PromptBatch]:
    rng = np.random.default_rng([k, m, d])
    mixture = RegressionMixture.random(m, d, sigma, rng)
    return mixture, mixture.sample_prompts(batch, k, rng)


@pytest.fixture(scope="module")
def study() -> ErrorStudy:
    return measure_errors(*problem(2, 3, 2, batch=50))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("here") / "figures"
    return draw_all(folder, dim=1, num_components=2, num_examples=1, noise_std=0.5, seed=3)


def printed(figure: Figure) -> dict[str, str]:
    """The texts of a figure that have a name."""
    texts = (text for axes in figure.axes for text in axes.texts)
    return {text.get_gid(): text.get_text() for text in texts if text.get_gid()}


def parse(text: str) -> float:
    scientific = re.fullmatch(r"\$(-?[\d.]+)\\!\\cdot\\!10\^\{(-?\d+)\}\$", text)
    if scientific:
        return float(scientific[1]) * 10.0 ** int(scientific[2])
    return float(text.strip("$"))


class TestNumber:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (0.0, "$0$"),
            (1.0, "$1.00$"),
            (-0.5, "$-0.500$"),
            (0.0041239, "$0.00412$"),
            (9.999, "$10.0$"),
            (-123.4, "$-123$"),
            (-65432.0, "$-65400$"),
            (123456.0, r"$1.23\!\cdot\!10^{5}$"),
            (-1e-217, r"$-1.00\!\cdot\!10^{-217}$"),
        ],
    )
    def test_has_three_significant_digits(self, value: float, expected: str) -> None:
        assert number(value) == expected


@pytest.mark.parametrize(("k", "m", "d"), SIZES)
class TestCircuit:
    def test_printed_numbers_equal_an_independent_computation(self, k: int, m: int, d: int) -> None:
        mixture, prompt = problem(k, m, d)
        nodes = {name: text for name, text in printed(circuit_figure(ProofRun.of(mixture, prompt)))
                 .items() if not name.startswith(("x", "w"))}  # fmt: skip
        images = prompt.xs[0] @ mixture.components.T
        residuals = images - np.append(prompt.ys[0], 0.0)[:, None]
        posterior = mixture.posterior(prompt)[0]
        expected = {f"y-{i + 1}": y for i, y in enumerate(prompt.ys[0])}
        for i, j in itertools.product(range(k + 1), range(m)):
            expected[f"r-{i + 1}-{j + 1}"] = residuals[i, j]
            if i < k:
                expected[f"square-{i + 1}-{j + 1}"] = residuals[i, j] ** 2
        for j in range(m):
            expected[f"s-{j + 1}"] = -np.sum(residuals[:k, j] ** 2) / (2 * 0.8**2)
            expected[f"p-{j + 1}"] = posterior[j]
            expected[f"pr-{j + 1}"] = posterior[j] * images[k, j]
        expected["f"] = mixture.posterior_mean(prompt)[0]
        assert nodes.keys() == expected.keys()
        for name, value in expected.items():
            assert parse(nodes[name]) == pytest.approx(value, rel=5.1e-3), name

    def test_values_equal_an_independent_computation_to_rounding(
        self, k: int, m: int, d: int
    ) -> None:
        mixture, prompt = problem(k, m, d)
        values = CircuitValues.of(ProofRun.of(mixture, prompt))
        assert_allclose(values.xs, prompt.xs[0], rtol=0)
        assert_allclose(values.ys, prompt.ys[0], rtol=0)
        assert_allclose(values.posterior, mixture.posterior(prompt)[0], rtol=1e-11)
        assert_allclose(values.prediction, mixture.posterior_mean(prompt)[0], rtol=1e-11)
        assert values.winner == int(np.argmax(mixture.scores(prompt)[0, -1]))

    def test_texts_do_not_overlap_and_stay_on_the_page(self, k: int, m: int, d: int) -> None:
        figure = circuit_figure(ProofRun.of(*problem(k, m, d, sigma=0.05)))
        renderer = FigureCanvasAgg(figure).get_renderer()
        texts = [text for text in figure.axes[0].texts if text.get_text()]
        boxes = [text.get_window_extent(renderer).padded(-1.0) for text in texts]
        clashes = [
            (a.get_text(), b.get_text())
            for (a, x), (b, y) in itertools.combinations(zip(texts, boxes, strict=True), 2)
            if x.overlaps(y)
        ]
        assert clashes == []
        assert all(figure.bbox.containsx(b.x0) and figure.bbox.containsx(b.x1) for b in boxes)
        assert all(figure.bbox.containsy(b.y0) and figure.bbox.containsy(b.y1) for b in boxes)


def test_circuit_prints_the_stages_and_recomputes_nothing() -> None:
    run = ProofRun.of(*problem(2, 3, 2))
    stages = [stage.copy() for stage in run.stages]
    for stage, register, value in ((4, "r", 11.0), (5, "s", 22.0), (6, "s", 33.0), (7, "p", 0.44),
                                   (8, "pr", 55.0), (9, "f", 66.0)):  # fmt: skip
        rows = run.program.register(register)
        stages[stage][rows.first - 1 : rows.last] = value
    nodes = printed(circuit_figure(replace(run, stages=tuple(stages))))
    shown = [nodes[name] for name in ("r-1-1", "square-2-3", "s-1", "p-2", "pr-3", "f")]
    assert shown == ["$11.0$", "$22.0$", "$33.0$", "$0.440$", "$55.0$", "$66.0$"]


class TestMatrices:
    @pytest.mark.parametrize(("k", "m", "d"), SIZES)
    def test_has_a_panel_for_every_stage_under_its_operator(self, k: int, m: int, d: int) -> None:
        *panels, bar = matrices_figure(ProofRun.of(*problem(k, m, d))).axes
        titles = [panel.get_title() for panel in panels]
        assert titles == [
            f"$H^{{({number})}}$  {name}" for number, name in enumerate(["input", *OPERATORS])
        ]
        assert bar.get_xlim()[0] == -bar.get_xlim()[1]

    def test_shows_the_stages_with_exact_zeros_blank(self) -> None:
        run = ProofRun.of(*problem(2, 3, 2))
        for panel, stage in zip(matrices_figure(run).axes[:-1], run.stages, strict=True):
            cells = panel.collections[0].get_array()
            assert_allclose(cells.filled(0.0), stage, rtol=0)
            assert np.array_equal(np.ma.getmaskarray(cells), stage == 0)

    def test_frames_exactly_the_cells_that_change(self) -> None:
        run = ProofRun.of(*problem(3, 2, 3))
        panels = matrices_figure(run).axes[:-1]
        changed = [np.zeros_like(run.stages[0], dtype=bool)]
        changed += [after != before for before, after in itertools.pairwise(run.stages)]
        for panel, expected in zip(panels, changed, strict=True):
            framed = np.zeros_like(expected)
            for line in (line for line in panel.lines if line.get_gid() == "written"):
                (left, right), (top, bottom) = (
                    (int(np.min(v)), int(np.max(v))) for v in line.get_data()
                )
                framed[top:bottom, left:right] = True
            assert np.array_equal(framed, expected)

    def test_labels_columns_and_registers(self) -> None:
        panel = matrices_figure(ProofRun.of(*problem(2, 3, 2))).axes[0]
        columns = [label.get_text() for label in panel.get_xticklabels()]
        assert columns == ["$x_1$", "$y_1$", "$x_2$", "$y_2$", "$x_3$"]
        assert [label.get_text() for label in panel.get_yticklabels()][-1] == r"$f_\pi^*(P)$"


class TestErrors:
    def test_last_layer_is_the_error_of_the_prediction(self, study: ErrorStudy) -> None:
        predicted = compile_line_by_line(study.mixture, 2).predict(study.prompts)
        exact = study.mixture.posterior_mean(study.prompts)
        error = np.abs(predicted - exact) / np.abs(exact).max()
        double, _ = study.by_precision
        assert double.worst[-1] == pytest.approx(error.max(), rel=0.2)
        assert double.median[-1] == pytest.approx(np.median(error), rel=0.2)

    def test_errors_are_near_machine_epsilon(self, study: ErrorStudy) -> None:
        for errors, factor in zip(study.by_precision, (5_000, 500), strict=True):
            assert errors.worst.shape == errors.median.shape == errors.anywhere.shape == (10,)
            assert np.all(errors.median <= errors.worst)
            assert np.all(errors.worst <= errors.anywhere)
            assert errors.epsilon < errors.anywhere[-1] < factor * errors.epsilon

    def test_figure_names_operators_sizes_and_precisions(self, study: ErrorStudy) -> None:
        figure = errors_figure(study)
        left, right = figure.axes
        ticks = [label.get_text() for label in left.get_xticklabels()]
        assert ticks == ["input", *(f"{i} {name}" for i, name in enumerate(OPERATORS, start=1))]
        assert left.get_yscale() == "log"
        assert left.get_ylim() == right.get_ylim()
        assert left.get_title(loc="left").startswith("float64")
        assert right.get_title(loc="left").startswith("float32")
        title = figure.get_suptitle()
        for part in ("$d=2$", "$m=3$", "$k=2$", r"$\sigma=0.8$", "50 prompts"):
            assert part in title

    def test_prompts_without_examples_are_refused(self) -> None:
        with pytest.raises(ValueError, match="no examples, expected at least one"):
            measure_errors(*problem(0, 2, 2))


class TestRefusals:
    @pytest.mark.parametrize("figure", [circuit_figure, matrices_figure])
    def test_too_large_sizes_name_the_limits(self, figure) -> None:
        run = ProofRun.of(*problem(5, 7, 7))
        with pytest.raises(
            ValueError, match=r"d\) is 7, expected 1 to 6.*m\) is 7.*k\) is 5.*to 4"
        ):
            figure(run)

    @pytest.mark.parametrize("figure", [circuit_figure, matrices_figure])
    def test_prompts_without_examples_are_refused(self, figure) -> None:
        with pytest.raises(ValueError, match=r"\(k\) is 0, expected 1 to 4"):
            figure(ProofRun.of(*problem(0, 2, 2)))

    def test_draw_all_refuses_before_it_writes(self, tmp_path: Path) -> None:
        sizes = {"dim": 2, "num_components": 7, "num_examples": 2, "noise_std": 0.5, "seed": 0}
        with pytest.raises(ValueError, match=r"num_components \(m\) is 7, expected 1 to 6"):
            draw_all(tmp_path / "figures", **sizes)
        with pytest.raises(ValueError, match="expected a positive number"):
            draw_all(tmp_path / "figures", **{**sizes, "num_components": 2, "noise_std": 0.0})
        assert not (tmp_path / "figures").exists()

    def test_a_run_takes_one_prompt_of_the_mixture_and_equal_weights(self) -> None:
        mixture, prompts = problem(2, 2, 2, batch=3)
        with pytest.raises(ValueError, match="3 prompts, expected a batch of one"):
            ProofRun.of(mixture, prompts)
        with pytest.raises(ValueError, match="dimension 3, components 2"):
            ProofRun.of(mixture, problem(2, 2, 3)[1])
        uneven = RegressionMixture(mixture.components, 0.5, [0.25, 0.75])
        with pytest.raises(ValueError, match=r"\[0.25, 0.75\].*expected equal weights"):
            ProofRun.of(uneven, prompts[:1])


class TestFiles:
    def test_are_those_announced_and_nothing_else(self, paths: list[Path]) -> None:
        assert [path.name for path in paths] == NAMES
        assert sorted(paths[0].parent.iterdir()) == sorted(paths)

    def test_are_svg_and_png(self, paths: list[Path]) -> None:
        for path in paths:
            if path.suffix == ".svg":
                root = ElementTree.parse(path).getroot()
                assert root.tag == "{http://www.w3.org/2000/svg}svg"
                assert len(list(root.iter())) > 100
            else:
                content = path.read_bytes()
                assert content.startswith(b"\x89PNG\r\n\x1a\n")
                assert len(content) > 10_000

    def test_another_process_draws_the_same_svg_without_pyplot(
        self, paths: list[Path], tmp_path: Path
    ) -> None:
        script = (
            "import pathlib, sys; from papers.pathak2023.figures import draw_all; "
            "draw_all(pathlib.Path(sys.argv[1]), dim=1, num_components=2, num_examples=1, "
            "noise_std=0.5, seed=3); sys.exit('matplotlib.pyplot' in sys.modules)"
        )
        root = Path(__file__).parents[2]
        subprocess.run([sys.executable, "-c", script, tmp_path], cwd=root, check=True)
        for path in paths:
            if path.suffix == ".svg":
                assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
