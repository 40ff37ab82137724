"""Rewrites the values of a circuit from the bottom up."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from constructions.circuit import Circuit
from constructions.values import Affine, ProductSum, Value

Rule = Callable[[Value], Value]


def rebuild(circuit: Circuit, rule: Rule) -> Circuit:
    """Return the circuit in which ``rule`` has replaced every value, sources first.

    Parameters
    ----------
    circuit
        The circuit; it is left alone.
    rule
        Maps a value whose sources have been replaced to its replacement.

    Notes
    -----
    Names may also belong to affine maps of the circuit's values that the output does not need:
    they say what such a map is called wherever a pass creates it.
    """
    new: dict[int, Value] = {}
    for value in circuit.values():
        new[id(value)] = rule(with_sources(value, new))
    return Circuit(
        circuit.name, circuit.prompt, new[id(circuit.output)], renamed(circuit, new, rule)
    )


def renamed(circuit: Circuit, new: dict[int, Value], rule: Rule) -> dict[str, Value]:
    """Return the names of a circuit for what ``rule`` makes of its values; lost ones are left out.

    Parameters
    ----------
    circuit
        The circuit before the pass.
    new
        Its values (by identity) after the pass.
    rule
        The pass.
    """
    names: dict[str, Value] = {}
    for name, value in circuit.names.items():
        if id(value) in new:
            names[name] = new[id(value)]
        elif isinstance(value, Affine) and all(id(source) in new for source in value.sources):
            names[name] = rule(with_sources(value, new))
    return names


def with_sources(value: Value, new: dict[int, Value]) -> Value:
    """Return the value with its sources replaced by those of ``new`` (by identity)."""
    if all(new[id(source)] is source for source in value.sources):
        return value
    if isinstance(value, Affine):
        return Affine(tuple((new[id(v)], matrix) for v, matrix in value.terms), value.shift)
    if isinstance(value, ProductSum):
        return ProductSum(tuple((M, new[id(a)], new[id(b)]) for M, a, b in value.terms))
    changed: dict[str, Any] = {
        f.name: new[id(getattr(value, f.name))]
        for f in fields(value)
        if isinstance(getattr(value, f.name), Value)
    }
    return replace(value, **changed)
