"""The picture of the residual stream: cells, frames and marks against the network itself."""

import itertools
from typing import Literal

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from constructions import compile_posterior_mean
from constructions.library.posterior_mean_transformer import PosteriorMeanTransformer
from papers.pathak2023.figures import residual_stream_figure
from papers.pathak2023.figures.residual_stream import pretty
from papers.pathak2023.figures.stream_layout import StreamRun
from theory import PromptBatch, RegressionMixture

Layers = Literal[2, 3]
#: (k, m, d)
SIZES = [(1, 1, 1), (4, 3, 3), (2, 5, 2), (4, 6, 6)]


def problem(k: int, m: int, d: int, layers: Layers) -> tuple[PosteriorMeanTransformer, PromptBatch]:
    rng = np.random.default_rng([k, m, d])
    mixture = RegressionMixture.random(m, d, 1.0, rng)
    return compile_posterior_mean(mixture, k, layers=layers), mixture.sample_prompts(1, k, rng)


def axes_of(figure: Figure, label: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_label() == label)


def states_of(model: PosteriorMeanTransformer, prompt: PromptBatch) -> list[np.ndarray]:
    """The network's own states, layer by layer."""
    state = model.embed(prompt.interleaved())
    found = [state]
    for layer in model.layers:
        state = layer(state)
        found.append(state.detach())
    return [state[0].numpy() for state in found]


@pytest.mark.parametrize("layers", [3, 2])
@pytest.mark.parametrize(("k", "m", "d"), SIZES)
class TestDrawing:
    def test_cells_are_the_stored_magnitudes(self, k: int, m: int, d: int, layers: Layers) -> None:
        model, prompt = problem(k, m, d, layers)
        figure, run = residual_stream_figure(model, prompt), StreamRun.of(model, prompt)
        rows = [row for block in run.blocks for row in block.rows]
        assert sorted(rows) == list(range(model.stream.num_rows))
        for number, state in enumerate(states_of(model, prompt)):
            meshes = axes_of(figure, f"state {number}").collections
            pairs = zip(run.blocks, meshes[0::2], meshes[1::2], strict=True)
            for block, meant, idle in pairs:
                shown = np.add(*(mesh.get_array().filled(0.0) for mesh in (meant, idle)))
                np.testing.assert_allclose(shown, abs(state[list(block.rows)]), rtol=1e-12)

    def test_marks_are_where_the_weights_are(self, k: int, m: int, d: int, layers: Layers) -> None:
        model, prompt = problem(k, m, d, layers)
        figure, run = residual_stream_figure(model, prompt), StreamRun.of(model, prompt)
        kinds = {
            "reads q": ("query", -1), "reads k": ("key", -1), "reads v": ("value", -1),
            "reads n": ("inward", -1), "writes h": ("output", -2), "writes n": ("outward", -2),
        }  # fmt: skip
        for number, layer in enumerate(model.layers, start=1):
            lines = {line.get_gid(): line for line in axes_of(figure, f"layer {number}").lines}
            for gid, (kind, axis) in kinds.items():
                weights = np.moveaxis(getattr(layer, kind).detach().numpy(), axis, 0)
                used = sum(bool(np.any(weights[list(block.rows)])) for block in run.blocks)
                assert len(lines[gid].get_xdata()) == used, (number, gid)

    def test_texts_do_not_overlap_and_stay_on_the_page(
        self, k: int, m: int, d: int, layers: Layers
    ) -> None:
        figure = residual_stream_figure(*problem(k, m, d, layers))
        renderer = FigureCanvasAgg(figure).get_renderer()
        texts = [text for axes in figure.axes for text in axes.texts] + figure.texts
        texts += [tick for axes in figure.axes for tick in axes.get_xticklabels()]
        shown = [text for text in texts if text.get_text()]
        boxes = [text.get_window_extent(renderer).padded(-0.5) for text in shown]
        clashes = [
            (a.get_text(), b.get_text())
            for (a, x), (b, y) in itertools.combinations(zip(shown, boxes, strict=True), 2)
            if x.overlaps(y)
        ]
        assert clashes == []
        assert all(figure.bbox.containsx(b.x0) and figure.bbox.containsx(b.x1) for b in boxes)
        assert all(figure.bbox.containsy(b.y0) and figure.bbox.containsy(b.y1) for b in boxes)


def test_blocks_of_three_layers_are_named_and_grouped() -> None:
    run = StreamRun.of(*problem(4, 3, 3, 3))
    computed = {block.name: len(block.rows) for block in run.blocks if block.computed}
    assert computed == {
        "tokens x, y": 3,
        "W x at labels / W' p": 3,
        "squared r at labels": 3,
        "s": 3,
        "f": 1,
    }
    assert run.columns[:5] == ("sink", "$e_{1}$", "$e_{2}$", "$e_{3}$", "$x_{1}$")
    assert run.columns[-1] == "$x_{5}$"
    assert run.deeds == ("copy, multiply", "sum", "softmax, multiply")
    assert run.added[1] == ("W x at labels", "squared r at labels")


def test_a_layer_changes_only_what_it_brings_about() -> None:
    run = StreamRun.of(*problem(4, 3, 3, 3))
    rows = {block.name: list(block.rows) for block in run.blocks}
    labels, queries = slice(5, None, 2), slice(4, None, 2)  # after the sink and three basis columns
    expected = [
        {"tokens x, y": [queries, labels]},
        {"W x at labels / W' p": [labels], "squared r at labels": [labels]},
        {"s": [slice(6, None, 2)]},  # the first query has no examples
        {"W x at labels / W' p": [queries], "f": [queries]},
    ]
    for layer, brought in enumerate(expected):
        changed = run.changed(layer)
        for name, held in rows.items():
            columns = np.zeros(changed.shape[1], dtype=bool)
            for where in brought.get(name, []):
                columns[where] = True
            assert np.array_equal(changed[held].any(axis=0), columns), (layer, name)


def test_names_are_set_as_mathematics() -> None:
    assert pretty("W x at labels / W' p") == "$W x$ at labels / $W' p$"
    assert pretty("y_12") == "$y_{12}$"
    assert pretty("is outside a set of columns") == "is outside a set of columns"


def test_sizes_and_prompts_that_do_not_fit_are_refused() -> None:
    model, prompt = problem(5, 2, 2, 3)
    with pytest.raises(ValueError, match=r"num_examples \(k\) is 5, expected 1 to 4"):
        residual_stream_figure(model, prompt)
    batch = model.mixture.sample_prompts(2, 3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="got 2 prompts, expected a batch of one"):
        residual_stream_figure(model, batch)
