"""Rewrites the values of a circuit from the bottom up."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from constructions.circuit import Affine, Circuit, ProductSum, Value

Rule = Callable[[Value], Value]


def rebuild(circuit: Circuit, rule: Rule) -> Circuit:
    """Return the circuit in which ``rule`` has replaced every value, sources first.

    Parameters
    ----------
    circuit
        The circuit; it is left alone.
    rule
        Maps a value whose sources have been replaced to its replacement.
    """
    new: dict[int, Value] = {}
    for value in circuit.values():
        new[id(value)] = rule(with_sources(value, new))
    names = {name: new[id(v)] for name, v in circuit.names.items() if id(v) in new}
    return Circuit(circuit.name, circuit.prompt, new[id(circuit.output)], names)


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
