"""The figures of the gradient flow: what is drawn, and files."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

from papers.zhang2024.figures import (
    FlowStudy,
    PhasePortrait,
    draw_flow_figures,
    looseness_figure,
    loss_figure,
    phase_portrait_figure,
)
from papers.zhang2024.figures.phase_portrait import EDGE, flow_line
from simulations.drawing import files
from theory import FlowProblem, FlowState, solve_flow_from
from theory.gradient_flow import excited_rate

STUDY = FlowStudy(eigenvalues=(1.0, 2.0), prompt_length=4, seed=3)


def lines(figure: Figure, gid: str) -> list[np.ndarray]:
    """The points of the lines with a name, and where there are several axes, of all of them."""
    found = (line for axes in figure.axes for line in axes.lines if line.get_gid() == gid)
    return [np.array(line.get_data()).T for line in found]


class TestPhasePortrait:
    portrait = PhasePortrait(eigenvalue=2.0, prompt_length=3, scale=0.1)

    def test_lines_keep_the_balance_and_end_at_minima(self):
        figure = phase_portrait_figure(self.portrait)
        drawn = lines(figure, "flow line")
        assert len(drawn) == 42
        product = float(self.portrait.problem.minimiser[0, 0])
        for points in drawn:
            balance = points[:, 1] ** 2 - points[:, 0] ** 2
            assert np.ptp(balance) < 1e-12 * np.max(points**2)
            assert np.prod(points[-1]) == pytest.approx(product, rel=1e-12)

    @pytest.mark.parametrize(
        ("U", "u"), [(0.2, 0.2), (-1.0, 1.5), (1.0, -0.3), (-1.5, 0.2), (0.1, -1.0)]
    )
    def test_a_line_is_that_of_the_solver(self, U, u):
        problem, start = self.portrait.problem, FlowState(np.array([[U]]), u)
        points = flow_line(problem, start)
        flow = solve_flow_from(problem, start)
        assert_allclose(points[0], [U, u], rtol=1e-12)
        assert_allclose(points[-1], [flow.final.U[0, 0], flow.final.u], rtol=1e-9)
        moving = 0 if u**2 > U**2 else 1
        order = np.argsort(points[:, moving])
        for part in (1e-3, 1e-2, 0.1):
            state = flow(part * flow.horizon)
            at = np.array([state.U[0, 0], state.u])
            # Between points of the arc: a chord is off by its square.
            found = np.interp(at[moving], points[order, moving], points[order, 1 - moving])
            assert found == pytest.approx(at[1 - moving], abs=2e-4)

    def test_the_minima_and_the_limit_are_marked(self):
        figure = phase_portrait_figure(self.portrait)
        (axes,) = figure.axes
        product, limit = float(self.portrait.problem.minimiser[0, 0]), self.portrait.problem.limit()
        for points in lines(figure, "minima"):
            assert_allclose(np.prod(points, axis=1), product)
        marks = [tuple(line.get_data()) for line in axes.lines if line.get_marker() == "o"]
        assert_allclose(np.ravel(marks[0]), [limit.u, limit.u])
        assert axes.get_xlim() == pytest.approx((-EDGE * limit.u, EDGE * limit.u))
        for word in (r"$\Lambda=2$", "$N=3$", r"\Gamma$=3.333"):
            assert word.replace("$", "") in figure.get_suptitle().replace("$", "")

    def test_the_separatrix_ends_in_the_saddle(self):
        points = flow_line(self.portrait.problem, FlowState(np.array([[-1.0]]), 1.0))
        assert_allclose(points[:, 0], -points[:, 1])
        assert_allclose(points[-1], 0)

    def test_more_than_a_plane_is_refused(self):
        with pytest.raises(ValueError, match="d = 2"):
            flow_line(FlowProblem.fixed(np.eye(2), 2), FlowState(np.eye(2), 2.0))

    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"eigenvalue": -1.0}, "definite"),
            ({"prompt_length": 0}, "N"),
            ({"scale": 0.0}, "scale"),
        ],
    )
    def test_impossible_parameters_are_refused(self, changes, word):
        with pytest.raises(ValueError, match=word):
            phase_portrait_figure(PhasePortrait(**changes))


class TestLoss:
    def test_the_loss_is_below_the_envelopes(self):
        figure = loss_figure(STUDY)
        (loss,), (printed,), (sharp,) = (lines(figure, g) for g in ("loss", "printed", "sharp"))
        assert np.all(loss[:, 1] <= sharp[:, 1] * (1 + 1e-9))
        assert np.all(sharp[:, 1] <= printed[:, 1] * (1 + 1e-9))
        first = STUDY.problem.excess_loss(STUDY.flow.start)
        assert_allclose([loss[0, 1], printed[0, 1], sharp[0, 1]], first)

    def test_the_loss_ends_on_the_line_of_the_exact_rate(self):
        figure = loss_figure(STUDY)
        (loss,), (exact,) = lines(figure, "loss"), lines(figure, "exact rate")
        late = len(loss) * 3 // 4
        assert_allclose(loss[late:, 1], exact[late:, 1], rtol=0.02)
        slope = np.polyfit(exact[:, 0], np.log(exact[:, 1]), 1)[0]
        assert slope == pytest.approx(-2 * excited_rate(STUDY.problem, STUDY.flow.start), rel=1e-9)


class TestLooseness:
    def test_every_bound_holds_and_is_drawn(self):
        figure = looseness_figure(STUDY)
        names = [
            f"{quantity}, {source}"
            for quantity in ("u", "PL ratio", "loss", "distance")
            for source in ("printed", "sharp")
        ]
        for name in names:
            (points,) = lines(figure, name)
            assert len(points) == len(STUDY.times)
            assert np.all(points[:, 1] >= 1 - 1e-9), name

    def test_the_caption_has_the_parameters(self):
        title = looseness_figure(STUDY).get_suptitle()
        for word in ("diag}(1, 2)", "N=4", f"{STUDY.flow.start.u:.3g}", "0.3", "seed 3"):
            assert word in title

    @pytest.mark.parametrize("ratio", [0.0, 1.0, 2.0, np.nan])
    def test_a_start_above_the_threshold_is_refused(self, ratio):
        with pytest.raises(ValueError, match="threshold of Theorem 4"):
            FlowStudy(scale_ratio=ratio)


def test_files_are_written_and_the_same_each_time(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "RESOLUTION", 60)
    paths = draw_flow_figures(tmp_path / "one", study=STUDY)
    names = ["flow-phase-portrait", "flow-loss", "flow-looseness"]
    assert [path.name for path in paths] == [
        f"{n}.{kind}" for n in names for kind in ("svg", "png")
    ]
    assert all(path.stat().st_size > 5_000 for path in paths)
    again = files.write_figures(tmp_path / "two", {"flow-loss": loss_figure(STUDY)})
    for path in again:
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes()
