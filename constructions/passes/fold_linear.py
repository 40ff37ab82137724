"""Folds linear maps into their neighbours, so that only attention and products cost layers.

In the folded circuit every operand (what an attention reads, the factors of a product, the output)
is one affine map of *wires*, values that stand in the residual stream: tokens, what attention
brings, and sums of products. Three rewritings save rows and layers:

* an affine map of affine maps is one affine map;
* a matrix that only ever multiplies what one attention brings moves into that attention's values;
* a bilinear form sum_t (P u)_t (Q v)_t takes as few products as its smaller side has entries.
"""

from collections import Counter
from dataclasses import replace

import numpy as np

from constructions.circuit import (
    Affine,
    Array,
    Attention,
    Circuit,
    Fetch,
    Mixture,
    Previous,
    Product,
    ProductSum,
    Sum,
    Token,
    Value,
)
from constructions.passes.rebuild import rebuild, with_sources

Terms = dict[int, tuple[Value, Array]]

#: Values that stand in the stream.
WIRES = (Token, Previous, Sum, Fetch, Mixture, Attention, ProductSum)


def fold_linear(circuit: Circuit) -> Circuit:
    """Return an equal circuit whose operands are affine maps of wires, and which has no `Product`.

    Names survive for the values that still exist.
    """
    flat = _flatten(circuit)
    slim = rebuild(flat, _slimmed)
    merged = _merge(slim)
    return _push(merged)


def operands(value: Value) -> list[Affine]:
    """Return the affine maps that a wire of a folded circuit reads."""
    return [source for source in value.sources if isinstance(source, Affine)]


def _flatten(circuit: Circuit) -> Circuit:
    """Make every operand one affine map of values that are not affine."""
    new: dict[int, Value] = {}
    for value in circuit.values():
        changed = with_sources(value, new)
        if isinstance(changed, Affine):
            new[id(value)] = _composed(changed)
        else:
            new[id(value)] = _identity(changed)
    names = {
        name: _named(new[id(value)]) for name, value in circuit.names.items() if id(value) in new
    }
    return Circuit(circuit.name, circuit.prompt, new[id(circuit.output)], names)


def _identity(value: Value) -> Affine:
    return Affine(((value, np.eye(value.dim)),))


def _named(value: Value) -> Value:
    """A name belongs to the wire where the affine map is the identity."""
    if isinstance(value, Affine) and len(value.terms) == 1 and value.shift is None:
        wire, matrix = value.terms[0]
        if matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix))):
            return wire
    return value


def _composed(value: Affine) -> Affine:
    """Substitute affine sources."""
    terms: Terms = {}
    shift = value.bias.copy()
    for source, matrix in value.terms:
        if isinstance(source, Affine):
            shift += matrix @ source.bias
            parts = [(wire, matrix @ inner) for wire, inner in source.terms]
        else:
            parts = [(source, matrix)]
        for wire, part in parts:
            held = terms.get(id(wire))
            terms[id(wire)] = (wire, part if held is None else held[1] + part)
    kept = tuple((wire, part) for wire, part in terms.values() if part.any())
    return Affine(kept or (next(iter(terms.values())),), shift if shift.any() else None)


def _slimmed(value: Value) -> Value:
    """Rewrite scalar bilinear forms sum_t (P u)_t (Q v)_t to as few products as possible."""
    if not isinstance(value, Affine) or value.dim != 1:
        return value
    terms = tuple(
        _slim_term(source, matrix) if isinstance(source, Product) else (source, matrix)
        for source, matrix in value.terms
    )
    return Affine(terms, value.shift)


def _slim_term(product: Product, matrix: Array) -> tuple[Value, Array]:
    left, right = product.left, product.right
    unchanged = (product, matrix)
    if not (isinstance(left, Affine) and isinstance(right, Affine)) or left is right:
        return unchanged
    if left.shift is not None or right.shift is not None:
        return unchanged
    if len(left.terms) != 1 or len(right.terms) != 1:
        return unchanged
    (u, P), (v, Q) = left.terms[0], right.terms[0]
    form = P.T @ (matrix.T * Q)
    if min(form.shape) > product.dim:
        return unchanged
    if u.dim <= v.dim:
        slim = Product(_identity(u), Affine(((v, form),)))
    else:
        slim = Product(Affine(((u, form.T),)), _identity(v))
    return slim, np.ones((1, slim.dim))


def _merge(circuit: Circuit) -> Circuit:
    """Sum products within an operand into one wire, where nothing else uses them."""
    uses = _uses(circuit)

    def rule(value: Value) -> Value:
        if isinstance(value, Product):
            return ProductSum(((np.eye(value.dim), value.left, value.right),))
        if not isinstance(value, Affine):
            return value
        products = [
            (source, matrix)
            for source, matrix in value.terms
            if isinstance(source, ProductSum) and uses[id(originals[id(source)])] == 1
        ]
        others = [term for term in value.terms if all(term[0] is not p for p, _ in products)]
        if not products:
            return value
        total = ProductSum(
            tuple(
                (matrix @ inner, left, right)
                for source, matrix in products
                for inner, left, right in source.terms
            )
        )
        return Affine((*others, (total, np.eye(total.dim))), value.shift)

    originals: dict[int, Value] = {}
    new: dict[int, Value] = {}
    for value in circuit.values():
        new[id(value)] = rule(with_sources(value, new))
        originals[id(new[id(value)])] = value
    names = {name: _named(new[id(v)]) for name, v in circuit.names.items() if id(v) in new}
    return Circuit(circuit.name, circuit.prompt, new[id(circuit.output)], names)


def _push(circuit: Circuit) -> Circuit:
    """Move matrices into the values of attention, where the attended wire has one reader."""
    uses = _uses(circuit)
    originals: dict[int, Value] = {}
    new: dict[int, Value] = {}
    for value in circuit.values():
        changed = with_sources(value, new)
        if isinstance(changed, Affine):
            changed = Affine(
                tuple(
                    _pushed(wire, matrix) if uses[id(originals[id(wire)])] == 1 else (wire, matrix)
                    for wire, matrix in changed.terms
                ),
                changed.shift,
            )
        new[id(value)] = changed
        originals[id(changed)] = value
    names = {}
    for name, value in circuit.names.items():
        names[name] = _named(new[id(value)]) if id(value) in new else value
    result = Circuit(circuit.name, circuit.prompt, new[id(circuit.output)], names)
    alive = {id(value) for value in result.values()}
    kept = {name: value for name, value in names.items() if id(value) in alive}
    return Circuit(circuit.name, circuit.prompt, result.output, kept)


def _pushed(wire: Value, matrix: Array) -> tuple[Value, Array]:
    """Return a wire and a matrix with the same product, the matrix the identity if possible."""
    # There is a fetched wire for every example: their rows matter.
    grows = isinstance(wire, Fetch) and matrix.shape[0] > wire.dim
    if grows or np.array_equal(matrix, np.eye(*matrix.shape)):
        return wire, matrix
    moved: Value = wire
    if isinstance(wire, Mixture):
        moved = Mixture(wire.logits, matrix @ wire.components)
    elif isinstance(wire, Attention):
        moved = replace(wire, value=_composed(Affine(((wire.value, matrix),))))
    elif isinstance(wire, Previous | Sum | Fetch):
        moved = replace(wire, source=_composed(Affine(((wire.source, matrix),))))
    return (wire, matrix) if moved is wire else (moved, np.eye(matrix.shape[0]))


def _uses(circuit: Circuit) -> Counter[int]:
    """How many operands each value is a term of; a value squared is read once."""
    uses: Counter[int] = Counter()
    for value in circuit.values():
        uses.update({id(source) for source in value.sources})
    uses[id(circuit.output)] += 1
    return uses
