"""Which circuits survive a column that attends to itself.

In the architecture of Section 1.2 a column sees the columns before it; in most software it sees
itself as well. The heads of a compiled circuit give their own column no weight, unless it is one
of those that they are meant to see. The first column has nothing else to attend to: what a head
brings there is 0 in Section 1.2, and the column's own value elsewhere. A constant sink column
carries nothing, so that this is 0 again; a prompt without prefix columns begins with x_1.
"""

from constructions.circuit import Circuit
from constructions.compiled_circuit import CompiledCircuit
from constructions.values import (
    COVARIATES,
    Attention,
    Fetch,
    Mixture,
    Previous,
    ProductSum,
    Sum,
    Value,
)


def self_attention_problems(model: CompiledCircuit) -> list[str]:
    """Return why a model would compute something else if columns saw themselves; empty if not.

    Parameters
    ----------
    model
        The compiled circuit.
    """
    circuit = model.folded
    found = [
        f"{circuit.name_of(value)} sums over columns that receive the sum, and these would see "
        "themselves; write it with a sum over the other kind of columns"
        for value in circuit.values()
        if isinstance(value, Sum | Attention) and _overlaps(value, circuit)
    ]
    if model.stream.before == 0:
        found += _without_prefix(circuit, answers_first=model.min_examples == 0)
    return found


def _overlaps(value: Sum | Attention, circuit: Circuit) -> bool:
    seen = value.source.columns if isinstance(value, Sum) else value.key.columns
    k = circuit.prompt.max_examples
    return bool(seen.of(k) & value.columns.of(k))


def _without_prefix(circuit: Circuit, *, answers_first: bool) -> list[str]:
    """What reads the first column, where attended values are not 0 but x_1's own."""
    own: set[int] = set()
    found = []
    for value in circuit.values():
        if isinstance(value, ProductSum):
            # In columns of labels products are gated, and 0 in the first column.
            if _reads(value.sources, own) and value.columns.kinds & COVARIATES.kinds:
                own.add(id(value))
        elif isinstance(value, Previous | Sum | Fetch | Mixture | Attention):
            own.add(id(value))
            if _reads(_carried(value), own):
                found.append(
                    f"{circuit.name_of(value)} reads the first column, which would see itself; "
                    "build the model with prefix columns"
                )
    if answers_first and _reads((circuit.output,), own):
        found.append(
            "the answer to a prompt without examples stands in the first column, which would see "
            "itself; build the model with prefix columns"
        )
    return found


def _carried(value: Value) -> tuple[Value, ...]:
    """What a head reads in other columns: keys and values, but not queries."""
    if isinstance(value, Attention):
        return value.key, value.value
    return () if isinstance(value, Mixture) else value.sources


def _reads(operands: tuple[Value, ...], wires: set[int]) -> bool:
    return any(id(wire) in wires for operand in operands for wire in operand.sources)
