"""Puts wires into layers: each layer attends, then multiplies. Depth is the longest path."""

from dataclasses import dataclass

from constructions.circuit import Circuit
from constructions.passes.fold_linear import operands
from constructions.values import Affine, ProductSum, Token, Value


@dataclass(frozen=True)
class ScheduledLayer:
    """The wires that one layer writes.

    Parameters
    ----------
    attended
        Written by its heads, one for each wire.
    multiplied
        Written by its feed-forward part, which sees what the heads have just brought.
    """

    attended: tuple[Value, ...]
    multiplied: tuple[ProductSum, ...]


def schedule(circuit: Circuit) -> list[ScheduledLayer]:
    """Return the layers of a folded circuit, every wire as early as it can be.

    Attention in layer t reads what stands in the stream before the layer; products in layer t read
    that and what layer t attended to.

    Parameters
    ----------
    circuit
        A circuit that `fold_linear` has folded.
    """
    ready: dict[int, int] = {}
    layers: dict[int, tuple[list[Value], list[ProductSum]]] = {}
    for wire in circuit.values():
        if isinstance(wire, Affine):
            continue
        if isinstance(wire, Token):
            ready[id(wire)] = 0
            continue
        sources = [source for form in operands(wire) for source, _ in form.terms]
        if isinstance(wire, ProductSum):
            layer = max(1, *(ready[id(s)] + isinstance(s, ProductSum) for s in sources))
            layers.setdefault(layer, ([], []))[1].append(wire)
        else:
            layer = 1 + max(ready[id(s)] for s in sources)
            layers.setdefault(layer, ([], []))[0].append(wire)
        ready[id(wire)] = layer
    return [ScheduledLayer(tuple(layers[t][0]), tuple(layers[t][1])) for t in sorted(layers)]
