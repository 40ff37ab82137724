"""Folds linear maps into their neighbours, so that only attention and products cost layers.

In the folded circuit every operand (what an attention reads, the factors of a product, the output)
is one affine map of *wires*, values that stand in the residual stream: tokens, what attention
brings, and sums of products. Three rewritings save rows and layers:

* an affine map of affine maps is one affine map;
* a matrix that only ever multiplies what one attention brings moves into that attention's values;
* a bilinear form sum_t (P u)_t (Q v)_t takes as few products as its smaller side has entries.

Names follow values: a wire that a rewriting makes has the name of the value that it equals, as an
affine map of the wires before. So W x, named in a circuit that never stands in the stream as
written, names the wire that the matrix W has been moved into; without that name it is a "map of x".
"""

from collections import Counter
from dataclasses import replace

import numpy as np

from constructions.circuit import Circuit
from constructions.passes.rebuild import rebuild, renamed, with_sources
from constructions.values import (
    Affine,
    Array,
    Attention,
    Fetch,
    Mixture,
    Previous,
    Product,
    ProductSum,
    Sum,
    Token,
    Value,
)

Terms = dict[int, tuple[Value, Array]]
Key = tuple[int, bytes]

#: Values that stand in the stream.
WIRES = (Token, Previous, Sum, Fetch, Mixture, Attention, ProductSum)


def fold_linear(circuit: Circuit) -> Circuit:
    """Return an equal circuit whose operands are affine maps of wires, and which has no `Product`.

    Names survive for the values that still exist, and for affine maps that have become wires.
    """
    flat = _flatten(circuit)
    slim = rebuild(flat, _slimmed)
    return _with_names_that_live(_push(_merge(slim)))


def operands(value: Value) -> list[Affine]:
    """Return the affine maps that a wire of a folded circuit reads."""
    return [source for source in value.sources if isinstance(source, Affine)]


def _flatten(circuit: Circuit) -> Circuit:
    """Make every operand one affine map of values that are not affine."""

    def rule(value: Value) -> Value:
        return _composed(value) if isinstance(value, Affine) else _identity(value)

    return rebuild(circuit, rule)


def _identity(value: Value) -> Affine:
    return Affine(((value, np.eye(value.dim)),))


def _with_names_that_live(circuit: Circuit) -> Circuit:
    """Keep the names of wires and operands of the folded circuit."""
    held = {id(value) for value in circuit.values()}
    names = {name: _named(value) for name, value in circuit.names.items()}
    return replace(circuit, names={n: value for n, value in names.items() if id(value) in held})


def _named(value: Value) -> Value:
    """A name belongs to the wire where the affine map is the identity; tokens have their own."""
    if isinstance(value, Affine) and len(value.terms) == 1 and value.shift is None:
        wire, matrix = value.terms[0]
        if _is_identity(matrix) and not isinstance(wire, Token):
            return wire
    return value


def _is_identity(matrix: Array) -> bool:
    return np.array_equal(matrix, np.eye(*matrix.shape)) and matrix.shape[0] == matrix.shape[1]


def _key(value: Value, matrix: Array) -> Key:
    """Equal for equal matrices of one value; adding 0 makes -0 the same as 0."""
    return id(value), (matrix + 0.0).tobytes()


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
    whole = Affine(tuple(terms.values()), shift if shift.any() else None)
    slim = replace(whole, terms=tuple(term for term in whole.terms if term[1].any()))
    # A term that adds nothing may still say in which columns the sum is defined.
    return slim if slim.terms and slim.columns == whole.columns else whole


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
        if not products or (len(products) == 1 and _is_identity(products[0][1])):
            return value
        key = tuple(_key(source, matrix) for source, matrix in products)
        total = sums[key] = sums.get(key) or ProductSum(
            tuple(
                (matrix @ inner, left, right)
                for source, matrix in products
                for inner, left, right in source.terms
            )
        )
        return Affine((*others, (total, np.eye(total.dim))), value.shift)

    sums: dict[tuple[Key, ...], ProductSum] = {}
    originals: dict[int, Value] = {}
    new: dict[int, Value] = {}
    for value in circuit.values():
        new[id(value)] = rule(with_sources(value, new))
        originals[id(new[id(value)])] = value
    names = renamed(circuit, new, rule)
    return Circuit(circuit.name, circuit.prompt, new[id(circuit.output)], names)


def _push(circuit: Circuit) -> Circuit:
    """Move matrices into the values of attention, where the attended wire has one reader."""
    uses = _uses(circuit)
    pushed: dict[Key, tuple[Value, Array]] = {}

    def term(wire: Value, matrix: Array) -> tuple[Value, Array]:
        if uses[id(originals[id(wire)])] != 1:
            return wire, matrix
        key = _key(wire, matrix)
        pushed[key] = pushed.get(key) or _pushed(wire, matrix)
        return pushed[key]

    def rule(value: Value) -> Value:
        if not isinstance(value, Affine):
            return value
        return Affine(tuple(term(wire, matrix) for wire, matrix in value.terms), value.shift)

    originals: dict[int, Value] = {}
    new: dict[int, Value] = {}
    for value in circuit.values():
        new[id(value)] = rule(with_sources(value, new))
        originals[id(new[id(value)])] = value
    # What no name equals is told by where it comes from; the first name of a value counts.
    before = {id(_named(value)): name for name, value in reversed(circuit.names.items())}
    maps = {
        f"map of {before[id(originals[wire])]}": moved
        for (wire, _), (moved, _) in pushed.items()
        if id(moved) != wire and id(originals[wire]) in before
    }
    names = renamed(circuit, new, rule) | maps
    return Circuit(circuit.name, circuit.prompt, new[id(circuit.output)], names)


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
