"""The tree of a certificate: every value must be at least what its parts make of it."""

from collections.abc import Callable, Iterator, Mapping
from math import fsum, isfinite, prod
from typing import Any

#: The rules that can be recomputed; values under other rules are only read.
RULES: Mapping[str, Callable[[list[float]], float]] = {"sum": fsum, "product": prod, "max": max}

#: Relative rounding of a value that was computed in float64.
ROUNDED = 1e-12


def tree_problems(tree: Any, bounds: Mapping[str, float]) -> list[str]:
    """Return what is wrong with a tree of nodes {name, rule, value, parts}.

    Values are finite and not negative; under the rules sum, product and max a value is at least
    what the rule gives from its parts; no bound is smaller than the value of the node that bears
    its name, and every bound has such a node.

    Parameters
    ----------
    tree
        A node, a list of nodes, or an object of nodes by name.
    bounds
        The claimed bounds by name.
    """
    problems: list[str] = []
    values: dict[str, list[float]] = {}
    for path, node in _nodes(tree):
        value = _problems_of(path, node, problems)
        values.setdefault(path.rpartition("/")[2], []).append(value)
    for name, bound in bounds.items():
        if name not in values:
            problems.append(f"tree: no node is called {name!r}")
        elif bound < max(values[name]) * (1 - ROUNDED):
            problems.append(
                f"tree: bound {name} is {bound:.6g}, below its node's {max(values[name]):.6g}"
            )
    return problems


def _problems_of(path: str, node: Any, problems: list[str]) -> float:
    """Add a node's problems; return its value, infinite if it has none."""
    if not isinstance(node, dict) or not isinstance(node.get("rule"), str):
        problems.append(f"tree: {path} is no node with name, rule and value")
        return float("inf")
    value = node.get("value")
    if not isinstance(value, int | float) or not _is_size(value):
        problems.append(f"tree: {path} has the value {value!r}, expected a finite number >= 0")
        return float("inf")
    parts = node.get("parts", [])
    if not isinstance(parts, list):
        problems.append(f"tree: {path} has parts {parts!r}, expected a list")
        return float(value)
    sizes: list[Any] = [part.get("value") for part in parts if isinstance(part, dict)]
    rule = RULES.get(node["rule"])
    if rule is not None and parts and all(map(_is_size, sizes)):
        least = float(rule([float(size) for size in sizes]))
        if value < least * (1 - ROUNDED):
            problems.append(f"tree: {path} is {value:.6g}, but its {node['rule']} is {least:.6g}")
    elif rule is not None and not parts:
        problems.append(f"tree: {path} is a {node['rule']} of nothing")
    return float(value)


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and isfinite(value)
        and value >= 0
    )


def _nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every node with its path, without recursion: trees may be deep."""
    named = isinstance(tree, dict) and "rule" not in tree
    tops = list(tree.items()) if named else [("", node) for node in _listed(tree)]
    stack = [(str(name) if named else _path("", node), node) for name, node in tops]
    while stack:
        path, node = stack.pop()
        yield path, node
        parts = node.get("parts", []) if isinstance(node, dict) else []
        stack.extend((_path(path, p), p) for p in (parts if isinstance(parts, list) else []))


def _path(above: str, node: Any) -> str:
    name = node.get("name") if isinstance(node, dict) else None
    return f"{above}/{name}"


def _listed(tree: Any) -> list[Any]:
    return tree if isinstance(tree, list) else [tree]
