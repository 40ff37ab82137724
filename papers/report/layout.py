"""Places a directed graph without cycles in layers, from the top down.

The layers are those of longest paths; within them the order is improved by the medians of
neighbours, and the places are those that come nearest to the neighbours' middle: least squares
under the distances that boxes need, solved exactly. Nothing is drawn at random: equal graphs give
equal places.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TypeAlias

#: A node, or a bend of an edge: (edge's ends, layer).
Item: TypeAlias = str | tuple[str, str, int]

#: How often the order and the places are improved.
_SWEEPS = 12


@dataclass(frozen=True)
class Layout:
    """Where nodes and edges are.

    Attributes
    ----------
    centres
        ``node -> (x, layer)``; x is at least half of the node's width.
    edges
        ``(lower, upper) -> its points (x, layer)``, from the node that is stood on to the one that
        stands on it, one point a layer.
    width
        Of the whole.
    layers
        How many there are.
    """

    centres: Mapping[str, tuple[float, int]]
    edges: Mapping[tuple[str, str], Sequence[tuple[float, int]]]
    width: float
    layers: int


def components(depends_on: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the sets of nodes that hang together, the largest first, each in the given order."""
    near: dict[str, set[str]] = {node: set(below) for node, below in depends_on.items()}
    for node, below in depends_on.items():
        for other in below:
            near[other].add(node)
    found, seen = [], set[str]()
    for start in depends_on:
        front, part = [start], set[str]()
        while front:
            node = front.pop()
            if node not in seen:
                seen.add(node)
                part.add(node)
                front += near[node]
        if part:
            found.append([node for node in depends_on if node in part])
    return sorted(found, key=len, reverse=True)


def reduced(depends_on: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the graph without the edges that follow from others (the transitive reduction).

    Raises
    ------
    ValueError
        If there is a cycle; it is named.
    """
    reached: dict[str, set[str]] = {}
    for node in _in_order(depends_on):
        reached[node] = set().union(*({below} | reached[below] for below in depends_on[node]))
    return {
        node: [
            one
            for one in dict.fromkeys(below)
            if not any(one in reached[other] for other in below if other != one)
        ]
        for node, below in depends_on.items()
    }


def place(depends_on: Mapping[str, Sequence[str]], widths: Mapping[str, float]) -> Layout:
    """Place a graph.

    Parameters
    ----------
    depends_on
        ``node -> the nodes that it stands on``, which are all among the keys.
    widths
        How much room each node needs, with the gap to its neighbour.

    Raises
    ------
    ValueError
        If there is a cycle; it is named.
    """
    layer_of = _layers(depends_on)
    edges: dict[tuple[str, str], list[Item]] = {}
    layers: list[list[Item]] = [[] for _ in range(1 + max(layer_of.values(), default=-1))]
    for node in depends_on:
        layers[layer_of[node]].append(node)
    for node, below in depends_on.items():
        for other in below:
            bends: list[Item] = [
                (other, node, layer) for layer in range(layer_of[other] + 1, layer_of[node])
            ]
            edges[other, node] = [other, *bends, node]
            for layer, bend in enumerate(bends, layer_of[other] + 1):
                layers[layer].append(bend)
    room = {item: widths[item] if isinstance(item, str) else 12.0 for row in layers for item in row}
    above, beneath = _neighbours(edges.values())
    x = _places(layers, room, above, beneath)
    left = min((x[item] - room[item] / 2 for item in x), default=0.0)
    right = max((x[item] + room[item] / 2 for item in x), default=0.0)
    level = {item: layer for layer, row in enumerate(layers) for item in row}
    return Layout(
        {node: (x[node] - left, level[node]) for node in depends_on},
        {ends: [(x[item] - left, level[item]) for item in path] for ends, path in edges.items()},
        right - left,
        len(layers),
    )


def _in_order(depends_on: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the nodes, each after all that it stands on."""
    done: dict[str, None] = {}
    while len(done) < len(depends_on):
        ready = [n for n, below in depends_on.items() if n not in done and set(below) <= set(done)]
        if not ready:
            rest = ", ".join(node for node in depends_on if node not in done)
            raise ValueError(f"statements depend on each other in a circle, among {rest}")
        done |= dict.fromkeys(ready)
    return list(done)


def _layers(depends_on: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the length of the longest path to each node; what has none goes near what needs it."""
    layer: dict[str, int] = {}
    for node in _in_order(depends_on):
        layer[node] = max((1 + layer[below] for below in depends_on[node]), default=0)
    for node, below in depends_on.items():
        uses = [layer[other] for other, its in depends_on.items() if node in its]
        if not below and uses:
            layer[node] = min(uses) - 1
    return layer


def _neighbours(
    paths: Iterable[list[Item]],
) -> tuple[dict[Item, list[Item]], dict[Item, list[Item]]]:
    """Return what each item is joined with in the layer above it, and in the one beneath."""
    above: dict[Item, list[Item]] = {}
    beneath: dict[Item, list[Item]] = {}
    for path in paths:
        for one, other in pairwise(path):
            beneath.setdefault(one, []).append(other)
            above.setdefault(other, []).append(one)
    return above, beneath


def _places(
    layers: list[list[Item]],
    room: Mapping[Item, float],
    above: Mapping[Item, list[Item]],
    beneath: Mapping[Item, list[Item]],
) -> dict[Item, float]:
    """Order each layer, and return the middle of every item."""
    x: dict[Item, float] = {}
    for row in layers:
        x |= zip(row, _apart([0.0] * len(row), [room[item] for item in row]), strict=True)
    for sweep in range(2 * _SWEEPS):
        down = sweep % 2 == 0
        for row in layers if down else reversed(layers):
            # First the order, by one side's neighbours; then the places, by those of both.
            sides = (above, beneath) if sweep >= _SWEEPS else (above if down else beneath,)
            goal = {
                item: _middle(item, [other for side in sides for other in side.get(item, ())], x)
                for item in row
            }
            if sweep < _SWEEPS:
                row.sort(key=goal.__getitem__)
            wanted = [goal[item] for item in row]
            x |= zip(row, _apart(wanted, [room[item] for item in row]), strict=True)
    return x


def _middle(item: Item, near: Sequence[Item], x: Mapping[Item, float]) -> float:
    return fmean(x[other] for other in near) if near else x[item]


def _apart(wanted: Sequence[float], room: Sequence[float]) -> list[float]:
    """Return the places nearest to those wanted at which neighbours have room.

    It minimises the sum of squares of the shifts: less the room before it, each place must not be
    less than the last, which is isotonic regression (pool adjacent violators).
    """
    offset, total = [], 0.0
    for before, now in pairwise([0.0, *room]):
        total += (before + now) / 2
        offset.append(total)
    pools: list[list[float]] = []
    for goal, shift in zip(wanted, offset, strict=True):
        pools.append([goal - shift])
        while len(pools) > 1 and fmean(pools[-2]) >= fmean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    level = [fmean(pool) for pool in pools for _ in pool]
    return [one + shift for one, shift in zip(level, offset, strict=True)]
