"""The graph of what stands on what, placed and told for the page that draws it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from papers.ledger import Verdict
from papers.report.layout import Layout, components, place, reduced
from papers.runner import Result

#: Sizes in pixels: of a node, a letter, gaps, and how wide the row of lone nodes gets at least.
_HEIGHT, _LETTER, _TAB, _GAP, _LAYER, _MARGIN, _WIDE = 24.0, 7.0, 26.0, 14.0, 58.0, 12.0, 900.0


@dataclass(frozen=True)
class Node:
    """A box: its upper left corner and its width, and whose it is."""

    result: Result
    label: str
    x: float
    y: float
    width: float
    height: float = _HEIGHT


@dataclass
class Graph:
    """A drawing: boxes, arrows as SVG paths with the ids of their ends, and its size."""

    width: float = 0.0
    height: float = _MARGIN
    nodes: list[Node] = field(default_factory=list)
    arrows: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def start(self) -> float:
        """Where a narrow window should begin to look: left of the first box of the top row."""
        return max(min((node.y, node.x) for node in self.nodes)[1] - _MARGIN, 0.0)


def graph(results: Sequence[Result]) -> Graph:
    """Place the statements: what is stood on above what stands on it, what stands alone last.

    Arrows that follow from others are left out. A dependency that is not among `results` is not
    drawn.

    Raises
    ------
    ValueError
        If statements depend on each other in a circle.
    """
    by_id = {result.statement.id: result for result in results}
    depends_on = reduced(
        {
            name: [below for below in result.statement.depends_on if below in by_id]
            for name, result in by_id.items()
        }
    )
    drawing, alone = Graph(), list[Result]()
    for part in components(depends_on):
        if len(part) == 1:
            alone.append(by_id[part[0]])
        else:
            widths = {name: _width(by_id[name]) + _GAP for name in part}
            placed = place({name: depends_on[name] for name in part}, widths)
            _draw_part(drawing, placed, [by_id[name] for name in part])
    _draw_alone(drawing, alone)
    return drawing


def _label(result: Result) -> str:
    mark = "≠ " if result.verdict is Verdict.CORRECTED else ""
    return mark + (result.statement.id.partition("/")[2] or result.statement.id)


def _width(result: Result) -> float:
    return _TAB + _LETTER * len(_label(result)) + 10


def _draw_part(drawing: Graph, placed: Layout, results: Sequence[Result]) -> None:
    top = drawing.height
    for result in results:
        x, layer = placed.centres[result.statement.id]
        width = _width(result)
        left = _MARGIN + x - width / 2
        drawing.nodes.append(Node(result, _label(result), left, top + layer * _LAYER, width))
    for (lower, upper), points in placed.edges.items():
        drawing.arrows.append((_path(points, top), lower, upper))
    drawing.width = max(drawing.width, placed.width + 2 * _MARGIN)
    drawing.height = top + placed.layers * _LAYER


def _path(points: Sequence[tuple[float, int]], top: float) -> str:
    """Return an arrow: from the lower edge of the first box, by its bends, to the last's upper."""
    middle = _HEIGHT / 2
    spots = [(_MARGIN + x, top + layer * _LAYER + middle) for x, layer in points]
    spots[0] = (spots[0][0], spots[0][1] + middle)
    spots[-1] = (spots[-1][0], spots[-1][1] - middle - 3)
    parts = [f"M{spots[0][0]:.1f} {spots[0][1]:.1f}"]
    for (x, y), (to_x, to_y) in pairwise(spots):
        half = (y + to_y) / 2
        parts.append(f"C{x:.1f} {half:.1f} {to_x:.1f} {half:.1f} {to_x:.1f} {to_y:.1f}")
    return "".join(parts)


def _draw_alone(drawing: Graph, results: Sequence[Result]) -> None:
    limit = max(_WIDE, drawing.width)
    x, y = _MARGIN, drawing.height
    for result in results:
        width = _width(result)
        if x > _MARGIN and x + width + _MARGIN > limit:
            x, y = _MARGIN, y + _HEIGHT + _GAP
        drawing.nodes.append(Node(result, _label(result), x, y, width))
        x += width + _GAP
        drawing.width = max(drawing.width, x - _GAP + _MARGIN)
    drawing.height = (y + _HEIGHT if results else drawing.height) + _MARGIN
