"""What a layer does, in the terms of the residual stream: heads that attend, then local maps.

A plan is exact mathematics on named rows, without units, gelus or LayerNorm; every write *adds* to
the stream, as the residual architecture does. `apply` runs a plan on a matrix, so that this stage
can be compared with the program before it and the weights after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Stream = Float[np.ndarray, "rows columns"]

#: A linear functional of a column: row (from 0) -> coefficient.
Form = Mapping[int, float]


@dataclass(frozen=True)
class Head:
    """One attention head.

    Parameters
    ----------
    logits
        Pairs (key form, query form): column i gives column j the logit
        sum over pairs of key(H[:, j]) * query(H[:, i]).
    values
        Target row -> form: adds sum_j softmax_j * form(H[:, j]) to the target row of column i.
    in_parts
        Whether each form is added up in parts (`partial_sums`), a dimension of d_att for each:
        rounding is then that of shorter sums.
    """

    logits: tuple[tuple[Form, Form], ...]
    values: Mapping[int, Form]
    in_parts: bool = False


def partial_sums(form: Form) -> list[Form]:
    """Return a form as a sum of forms: of its two largest coefficients, the next three, four, ...

    So the parts are of similar size, and large terms are added up less often than small ones.
    """
    ordered = sorted(form, key=lambda row: (-abs(form[row]), row))
    parts: list[Form] = []
    size = 2
    while ordered:
        parts.append({row: form[row] for row in ordered[:size]})
        ordered, size = ordered[size:], size + 1
    return parts


@dataclass(frozen=True)
class Affine:
    """Adds form(v) to the target row, in columns where the row ``outside`` is 0 (not 1).

    ``bound`` is the largest magnitude of the form; ``outside`` = None acts in every column.
    """

    target: int
    form: Form
    outside: int | None
    bound: float


@dataclass(frozen=True)
class Aside:
    """Where a square with wings goes (`constructions.winged`), beside its targets.

    Parameters
    ----------
    rows
        Rows that readers add to the targets: of every pair of the core but the first, then of the
        wings.
    one
        A row of ones, which wings read.
    """

    rows: tuple[Form, ...]
    one: int


@dataclass(frozen=True)
class Product:
    """Adds coefficient * left(v) * right(v) to each target row, gated like `Affine`.

    ``aside`` is set for squares that are to have wings.
    """

    targets: Form
    left: Form
    right: Form
    outside: int | None
    left_bound: float
    right_bound: float
    aside: Aside | None = None


@dataclass(frozen=True)
class Quotient:
    """Adds form(v) / |v[divisor]| to the target row, gated like `Affine`.

    Realised by LayerNorm, in a layer whose attention has taken the rows +L and -L away and whose
    largest rows are +N c and -N c; ``divisor`` is the row that holds N c, and ``gain`` is N.
    """

    target: int
    form: Form
    divisor: int
    gain: float
    outside: int | None
    bound: float


Local = Affine | Product | Quotient


@dataclass(frozen=True)
class LayerPlan:
    """Heads side by side, then local maps side by side on the result.

    ``completes`` is the line (from 1) of the program whose result stands in the stream after this
    layer, or None within a line that takes several layers.
    """

    heads: tuple[Head, ...]
    locals: tuple[Local, ...]
    completes: int | None


def apply(plan: LayerPlan, H: Stream) -> Float[np.ndarray, "rows columns"]:
    """Return the stream after the layer, in the exact meaning of the plan.

    Parameters
    ----------
    plan
        The layer.
    H
        The stream before it (rows, columns), float64 or longdouble, not in stored units.
    """
    after = H.copy()
    for head in plan.heads:
        _attend(head, H, after)
    result = after.copy()
    for local in plan.locals:
        _add_local(local, after, result)
    return result


def _evaluate(form: Form, H: Stream) -> Float[np.ndarray, " columns"]:
    total: Float[np.ndarray, " columns"] = np.zeros(H.shape[1], dtype=H.dtype)
    for row, coefficient in form.items():
        total = total + coefficient * H[row]
    return total


def _attend(
    head: Head,
    H: Stream,
    after: Stream,
) -> None:
    pairs = [(_evaluate(key, H), _evaluate(query, H)) for key, query in head.logits]
    for i in range(1, H.shape[1]):
        logits = sum((key[:i] * query[i] for key, query in pairs), np.zeros(i))
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        for target, form in head.values.items():
            after[target, i] += _evaluate(form, H[:, :i]) @ weights


def _add_local(
    local: Local,
    V: Stream,
    result: Stream,
) -> None:
    inside = slice(None) if local.outside is None else np.flatnonzero(V[local.outside] == 0)
    columns = V[:, inside]
    if isinstance(local, Product):
        product = _evaluate(local.left, columns) * _evaluate(local.right, columns)
        for target, coefficient in local.targets.items():
            result[target, inside] += coefficient * product
        return
    value = _evaluate(local.form, columns)
    if isinstance(local, Quotient):
        value = value * local.gain / np.abs(columns[local.divisor])
    result[local.target, inside] += value
