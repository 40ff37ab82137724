"""The graph's places: layers, order, room."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papers.report.graph import graph
from papers.report.layout import components, place, reduced
from papers.runner import run
from tests.papers.toy_paper import STATEMENTS, one

FEW = settings(deadline=None, max_examples=40)


@st.composite
def graphs(draw) -> dict[str, list[str]]:
    """Graphs without cycles: each node stands on some of those before it; then shuffled."""
    size = draw(st.integers(0, 12))
    edges = {
        f"n{node}": sorted(draw(st.sets(st.sampled_from([f"n{i}" for i in range(node)]))))
        if node
        else []
        for node in range(size)
    }
    return {name: edges[name] for name in draw(st.permutations(sorted(edges)))}


def reach(depends_on: dict[str, list[str]], start: str) -> set[str]:
    front, seen = list(depends_on[start]), set()
    while front:
        node = front.pop()
        if node not in seen:
            seen.add(node)
            front += depends_on[node]
    return seen


@FEW
@given(graphs())
def test_what_is_stood_on_is_above_and_boxes_have_room(depends_on):
    widths = {node: 30.0 + 7 * len(node) for node in depends_on}
    layout = place(depends_on, widths)
    rows: dict[int, list[str]] = {}
    for node, (x, layer) in layout.centres.items():
        assert all(layout.centres[below][1] < layer for below in depends_on[node])
        assert widths[node] / 2 - 1e-9 <= x <= layout.width - widths[node] / 2 + 1e-9
        rows.setdefault(layer, []).append(node)
    assert sorted(rows) == list(range(layout.layers))
    for row in rows.values():
        row.sort(key=lambda node: layout.centres[node][0])
        for left, right in pairwise(row):
            gap = layout.centres[right][0] - layout.centres[left][0]
            assert gap >= (widths[left] + widths[right]) / 2 - 1e-9


@FEW
@given(graphs())
def test_an_edge_goes_from_end_to_end_one_layer_at_a_time(depends_on):
    layout = place(depends_on, dict.fromkeys(depends_on, 40.0))
    assert set(layout.edges) == {(b, node) for node, below in depends_on.items() for b in below}
    for (lower, upper), points in layout.edges.items():
        assert points[0] == layout.centres[lower]
        assert points[-1] == layout.centres[upper]
        assert all(after[1] == before[1] + 1 for before, after in pairwise(points))


@FEW
@given(graphs())
def test_the_reduction_reaches_what_the_graph_reaches_and_no_edge_is_spare(depends_on):
    least = reduced(depends_on)
    for node in depends_on:
        assert reach(least, node) == reach(depends_on, node)
        assert set(least[node]) <= set(depends_on[node])
        for edge in least[node]:
            without = {**least, node: [other for other in least[node] if other != edge]}
            assert edge not in reach(without, node)


@FEW
@given(graphs())
def test_components_part_the_graph(depends_on):
    parts = components(depends_on)
    assert sorted(node for part in parts for node in part) == sorted(depends_on)
    assert [len(part) for part in parts] == sorted(map(len, parts), reverse=True)
    home = {node: number for number, part in enumerate(parts) for node in part}
    assert all(home[node] == home[b] for node, below in depends_on.items() for b in below)


def test_a_chain_is_straight_and_a_fork_symmetric():
    layout = place({"a": [], "b": ["a"], "c": ["b"]}, dict.fromkeys("abc", 50.0))
    assert layout.centres == {"a": (25, 0), "b": (25, 1), "c": (25, 2)}
    fork = place({"a": [], "b": ["a"], "c": ["a"]}, dict.fromkeys("abc", 50.0))
    assert fork.centres == {"a": (50, 0), "b": (25, 1), "c": (75, 1)}


def test_a_crossing_that_need_not_be_is_undone():
    layout = place({"a": [], "b": [], "c": ["b"], "d": ["a"]}, dict.fromkeys("abcd", 50.0))
    x = {node: x for node, (x, _) in layout.centres.items()}
    assert (x["a"] < x["b"]) == (x["d"] < x["c"])


def test_what_stands_on_nothing_is_near_what_needs_it():
    layout = place(
        {"a": [], "b": ["a"], "c": ["b", "near"], "near": []},
        dict.fromkeys(("a", "b", "c", "near"), 50.0),
    )
    assert layout.centres["near"][1] == 1


@pytest.mark.parametrize("function", [reduced, lambda g: place(g, dict.fromkeys(g, 1.0))])
def test_a_circle_is_named(function):
    with pytest.raises(ValueError, match="in a circle, among b, c"):
        function({"a": [], "b": ["a", "c"], "c": ["b"]})


def test_the_drawing_has_a_box_for_each_statement_inside_of_it():
    drawing = graph(run(STATEMENTS, 0))
    assert {node.result.statement.id for node in drawing.nodes} == {s.id for s in STATEMENTS}
    for node in drawing.nodes:
        assert 0 < node.x < node.x + node.width < drawing.width
        assert 0 < node.y < node.y + node.height < drawing.height
        assert ("≠" in node.label) == (node.result.statement.id[4:] in ("lemma-2", "corollary-1"))
    # theorem-1 also stands on lemma-1, which follows.
    assert {(lower, upper) for _, lower, upper in drawing.arrows} == {
        ("toy/lemma-1", "toy/lemma-2"),
        ("toy/lemma-2", "toy/theorem-1"),
        ("toy/theorem-1", "toy/corollary-1"),
        ("toy/lemma-1", "toy/ours"),
    }


def test_a_dependency_that_is_not_there_is_not_drawn():
    drawing = graph(run([one("a", "elsewhere")], 0))
    assert (len(drawing.nodes), drawing.arrows) == (1, [])
    assert graph([]).nodes == []


def test_many_lone_statements_are_put_in_rows():
    drawing = graph(run([one(f"statement-number-{i}") for i in range(30)], 0))
    assert len({node.y for node in drawing.nodes}) > 3
    assert drawing.width < 1000
    places = [(node.x, node.y) for node in drawing.nodes]
    assert len(set(places)) == 30
