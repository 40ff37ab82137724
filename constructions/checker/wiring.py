"""Structural facts: which rows a layer reads and writes, and where its heads look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from constructions.checker.reading import Layout, Stored
from constructions.checker.rounding import Rounding, multiply
from constructions.checker.squares import Group

#: Any matrix: its axes have no names, so that several may stand in one signature.
Matrix = Float[np.ndarray, "_ _"]


class MismatchError(ValueError):
    """The weights are not those of a network that the certificate could be about."""


@dataclass(frozen=True)
class Wiring:
    """A stored network, and the facts about its rows and columns that hold for every layer.

    Parameters
    ----------
    stored
        The folder.
    rounding
        The arithmetic of its dtype.
    before
        How many columns stand before the prompt.
    """

    stored: Stored
    rounding: Rounding
    before: int

    @property
    def layout(self) -> Layout:
        """The rows."""
        return self.stored.layout

    @property
    def num_columns(self) -> int:
        """All columns, those before the prompt included."""
        return int(self.stored.constants.shape[1])

    @property
    def labels(self) -> Int[np.ndarray, " examples"]:
        """The columns of labels, from 0."""
        return np.arange(self.before + 1, self.num_columns, 2)

    @property
    def covariates(self) -> Int[np.ndarray, " queries"]:
        """The columns of covariates, each the query of its prefix, from 0."""
        return np.arange(self.before, self.num_columns, 2)

    @property
    def bypass(self) -> float:
        """L, the size of the rows +L and -L."""
        return float(self.stored.constants[self.layout.plus, 0])

    def matrix(self, layer: int, name: str) -> Matrix:
        """Return a matrix of a layer; of its only head, if it belongs to a head."""
        found = self.stored.layers[layer][name]
        return found[0] if found.ndim == 3 else found

    def rows(self, *names: str) -> set[int]:
        """Return the rows of the layout under these names."""
        return {row for name in names for row in getattr(self.layout, name)}

    def constant_rows(self) -> set[int]:
        """Return the rows that nothing is computed in."""
        computed = self.rows("token", "image", "square", "score", "mixture", "answer")
        return set(range(len(self.stored.constants))) - computed

    def logits(self, layer: int) -> tuple[Matrix, Matrix]:
        """Return the logits (from, to) that constants alone give, and bounds on their error."""
        constants = (self.stored.constants, np.zeros_like(self.stored.constants))
        queries, keys = (
            multiply((weights, np.zeros_like(weights)), constants, self.rounding)
            for weights in (self.matrix(layer, "query"), self.matrix(layer, "key"))
        )
        return multiply((queries[0].T, queries[1].T), keys, self.rounding)


def wiring(stored: Stored, rounding: Rounding) -> Wiring:
    """Return a network whose rows, columns and shapes are as the layout claims.

    Raises
    ------
    MismatchError
        If they are not, or if the network is of a kind that is not checked.
    """
    heads = [int(layer["query"].shape[0]) for layer in stored.layers]
    if heads != [1, 1, 1]:
        raise MismatchError(f"not checked: {heads} heads a layer; the checker knows one head each")
    prompt = 2 * max(stored.certificate.max_examples, 1) + 1
    before = stored.constants.shape[1] - prompt
    if before != 1 + len(stored.components):
        raise MismatchError(
            f"not checked: {before} columns before the prompt; the checker knows networks with "
            f"a sink and {len(stored.components)} basis columns"
        )
    _check_scales(stored)
    found = Wiring(stored, rounding, before)
    _check_rows(found)
    _check_writes(found)
    return found


#: Weights, taken from stored to natural units, lie between 1 / SCALE and SCALE.
SCALE = {"float64": 2.0**300, "float32": 2.0**60}


def _check_scales(stored: Stored) -> None:
    """Refuse weights at whose size intermediate results may overflow or vanish.

    Every entry counts, also of dimensions that meet nothing: in arithmetic that overflows, 0 times
    their result is not 0.
    """
    limit = SCALE[stored.certificate.dtype]
    units = stored.units
    for number, layer in enumerate(stored.layers, start=1):
        for name in ("query", "key", "value", "inward", "output", "outward"):
            reads = name not in ("output", "outward")
            with np.errstate(over="ignore"):  # infinite sizes are refused below
                natural = layer[name] * units if reads else layer[name] / units[:, None]
            sizes = np.abs(natural[natural != 0])
            if sizes.size and not (sizes.min() >= 1 / limit and sizes.max() <= limit):
                raise MismatchError(
                    f"layer {number}: {name} holds weights between {sizes.min():.1e} and "
                    f"{sizes.max():.1e}; beyond {limit:.1e} results may overflow or vanish"
                )


def _check_rows(found: Wiring) -> None:
    layout, constants = found.layout, found.stored.constants
    own = [found.rows("token"), found.rows("image", "mixture")]
    own += [found.rows(name) for name in ("square", "score", "answer")]
    fixed = [layout.zero, layout.plus, layout.minus]
    lists = [getattr(layout, n) for n in ("token", "image", "square", "score", "mixture", "answer")]
    distinct = all(len(set(rows)) == len(rows) for rows in lists)
    if not distinct or len(set.union(*own, set(fixed))) != sum(map(len, own)) + len(set(fixed)):
        raise MismatchError("layout: rows overlap that must not")
    if len(set(fixed)) != 3:
        raise MismatchError("layout: zero, plus and minus are not three rows")
    computed = sorted(set.union(*own))
    if constants[computed].any() or constants[layout.zero].any():
        raise MismatchError("constants: a computed row, or the zero row, is not 0 at the start")
    size = constants[layout.plus]
    if not (size > 0).all() or (size != size[0]).any() or (constants[layout.minus] != -size).any():
        raise MismatchError("constants: the rows plus and minus are not +L and -L")
    # Beyond this LayerNorm rescales before it squares, which the rounding model does not follow.
    if not 1 <= size[0] <= found.rounding.tiny**-0.25 / 4:
        raise MismatchError(f"constants: L is {size[0]:g}, too small or too large to be squared")
    others = np.delete(constants, [layout.plus, layout.minus], axis=0)
    if np.abs(others).max(initial=0.0) * 2 >= size[0]:
        raise MismatchError("constants: a row is as large as +L")
    units = found.stored.units
    if not ((units > 0) & (np.frexp(units)[0] == 0.5)).all():
        raise MismatchError("units: one is not a power of two")


def _check_writes(found: Wiring) -> None:
    """Every matrix is 0 wherever the construction has no business."""
    constant, none = found.constant_rows(), set[int]()
    zero = found.layout.zero
    one = set() if found.layout.one is None else {found.layout.one}
    token, image, square, score, mixture, answer = (
        found.rows(name) for name in ("token", "image", "square", "score", "mixture", "answer")
    )
    tables: list[Mapping[str, set[int]]] = [
        {
            "query": constant, "key": constant, "value": token, "output": image,
            "inward": {found.layout.token[0], zero} | image | one, "outward": square,
        },
        {
            "query": constant, "key": constant, "value": square, "output": score,
            "inward": none, "outward": none,
        },
        {
            "query": constant | score, "key": constant, "value": constant, "output": mixture,
            "inward": token | mixture | {zero}, "outward": answer,
        },
    ]  # fmt: skip
    for layer, table in enumerate(tables):
        for name, rows in table.items():
            matrix = found.matrix(layer, name)
            by_row = matrix if name in ("output", "outward") else matrix.T
            used = set(np.flatnonzero((by_row != 0).any(axis=1)).tolist())
            if odd := sorted(used - rows):
                verb = "writes to" if name in ("output", "outward") else "reads"
                raise MismatchError(f"layer {layer + 1}: {name} {verb} row {odd[0]}")


def check_gap(
    logits: tuple[Matrix, Matrix],
    column: int,
    allowed: Bool[np.ndarray, " columns"],
    floor: float,
    gap: float,
) -> None:
    """Refuse if a column that is not allowed comes within the gap of ``floor``, a logit.

    Raises
    ------
    MismatchError
        If one does.
    """
    centre, error = logits
    high = centre[column, :column] + error[column, :column]
    worst = np.where(allowed[:column], -np.inf, high).max(initial=-np.inf)
    # One more than exp needs: differences of logits, here and there, are rounded.
    if not floor - worst >= gap + 1:
        raise MismatchError(
            f"attention at column {column} from 0: another column comes within "
            f"{floor - worst:.6g} of what is selected, expected {gap:g}"
        )


def diagonal(
    output: Matrix, targets: Sequence[int], what: str
) -> tuple[list[int], Float[np.ndarray, " targets"]]:
    """Return, for every target row, the one coordinate that writes it, and the weight in W^C.

    Raises
    ------
    MismatchError
        If several coordinates write a target, or a coordinate writes several.
    """
    taken: list[int] = []
    for target in targets:
        coordinates = np.flatnonzero(output[target]).tolist()
        if len(coordinates) != 1 or coordinates[0] in taken:
            raise MismatchError(f"{what}: row {target} is not written by one coordinate of its own")
        taken.append(coordinates[0])
    if np.count_nonzero(output) != len(taken):
        raise MismatchError(f"{what}: the output matrix has further weights")
    return taken, output[list(targets), taken]


def in_parts(
    output: Matrix, targets: Sequence[int], what: str
) -> list[tuple[list[int], Float[np.ndarray, " parts"]]]:
    """Return, for every target row, the coordinates that write it, and their weights in W^C.

    Raises
    ------
    MismatchError
        If a target has none, a coordinate writes several, or there are further weights.
    """
    found = [np.flatnonzero(output[target]).tolist() for target in targets]
    taken = [coordinate for coordinates in found for coordinate in coordinates]
    if not all(found) or len(set(taken)) != len(taken) or np.count_nonzero(output) != len(taken):
        raise MismatchError(
            f"{what}: a row is not written by coordinates of its own, and no others"
        )
    return [(at, output[target, at]) for target, at in zip(targets, found, strict=True)]


@dataclass(frozen=True)
class Reads:
    """Rows that neurons read: several a, of which the one at ``main`` tells the sign, b, zero."""

    first: list[int]
    main: int
    second: int
    zero: int


def groups(
    inward: Matrix, outward: Float[np.ndarray, " neurons"], reads: Reads, what: str
) -> list[Group]:
    """Return the neurons that write a row and read certain rows, by the sign of a to b.

    Parameters
    ----------
    inward, outward
        W^in and the row of W^out that they write.
    reads
        The rows that they read; b is read by no other neurons.
    what
        How errors call them.

    Raises
    ------
    MismatchError
        If a neuron reads other rows, or has no exact mirror image.
    """
    used = np.flatnonzero((outward != 0) & (inward[:, reads.second] != 0))
    table = np.column_stack(
        [inward[used][:, [*reads.first, reads.second, reads.zero]], outward[used]]
    )
    inside = np.count_nonzero(table[:, :-1]) == np.count_nonzero(inward[used])
    if not inside or not table[:, reads.main].all():
        raise MismatchError(f"{what}: a neuron does not read the rows that it should")
    up, down = (table[np.sign(table[:, -3]) == sign] for sign in (1, -1))
    down = down * np.array([-1.0] * (table.shape[1] - 1) + [1.0])
    if len(up) != len(down) or (_in_order(up) != _in_order(down)).any():
        raise MismatchError(f"{what}: the neurons do not come in pairs of opposite signs")
    signs = np.sign(up[:, reads.main])
    parts = [up[signs == sign] for sign in (1.0, -1.0) if (signs == sign).any()]
    return [Group(part[:, :-3], part[:, -3], part[:, -2], part[:, -1]) for part in parts]


def _in_order(table: Matrix) -> Matrix:
    return table[np.lexsort(table.T)]
