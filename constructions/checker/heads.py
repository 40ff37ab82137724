"""What the three heads bring, for any prompt of the box: values and bounds on their errors."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from constructions.checker.rounding import (
    bound_by,
    dot_error_in_parts,
    exp_error,
    is_power_of_two,
    log_error,
    multiply,
    product_error,
)
from constructions.checker.wiring import (
    Matrix,
    MismatchError,
    Wiring,
    check_gap,
    diagonal,
    in_parts,
)


@dataclass(frozen=True)
class Images:
    """Layer 1: <w_t, x_j> in the column of y_j.

    Parameters
    ----------
    sizes
        Bounds on |<w_t, x>| (m,).
    errors
        Bounds on the errors of what stands in the rows (m,), in natural units.
    near, slope
        Bounds near + slope |r| where the residual is r.
    """

    sizes: Float[np.ndarray, " m"]
    errors: Float[np.ndarray, " m"]
    near: Float[np.ndarray, " m"]
    slope: float


def images(net: Wiring) -> Images:
    """Return what layer 1 brings to the columns of labels.

    Raises
    ------
    MismatchError
        If a column of a label attends to another than the one before it, or a column of a
        covariate to one of the prompt.
    """
    centre, error = net.logits(0)
    for column in (*net.labels.tolist(), *net.covariates.tolist()):
        is_label = (column - net.before) % 2 == 1
        winner = column - 1 if is_label else int(centre[column, :column].argmax())
        if not is_label and winner >= net.before:
            raise MismatchError(
                f"layer 1: column {column} from 0, of a covariate, attends to column {winner}"
            )
        allowed = np.arange(net.num_columns) == winner
        floor = float(centre[column, winner] - error[column, winner])
        check_gap((centre, error), column, allowed, floor, net.rounding.gap)
    layout, units, box = net.layout, net.stored.units, net.stored.certificate.box
    token, components = list(layout.token), net.stored.components
    parts = in_parts(net.matrix(0, "output"), layout.image, "layer 1: head")
    static, rounded, near = np.zeros((3, len(parts)))
    # <w_t, x> is compared with a label of the box.
    meets = (box.covariate, box.covariate_norm, box.label)
    for t, (image, (at, out)) in enumerate(zip(layout.image, parts, strict=True)):
        # Rounded once at most, and not at all where W^C holds powers of two.
        scales = np.outer(out / units[image], units[token])
        values = net.matrix(0, "value")[at][:, token] * scales
        if (np.count_nonzero(values, axis=0) > 1).any():
            raise MismatchError(f"layer 1: parts of <w_{t + 1}, x> have entries of x in common")
        off = values.sum(axis=0) - components[t]
        static[t] = bound_by(off[None, :], box.covariate, box.covariate_norm)[0]
        most = float(bound_by(components[t : t + 1], *meets[:2])[0])
        again = 2 * max(product_error(float(o), net.rounding) for o in out) * most
        rounded[t] = dot_error_in_parts(values, *meets[:2], np.inf, net.rounding) + again
        near[t] = dot_error_in_parts(values, *meets, net.rounding) + again
    sizes = bound_by(components, box.covariate, box.covariate_norm)
    entered = 0.0 if net.stored.certificate.dtype == "float64" else 1.01 * net.rounding.unit
    others = 1.01 * static + entered * sizes
    additions = max(len(at) for at, _ in parts)
    return Images(
        sizes, others + rounded, others + near, 0.51 * (additions + 1) * net.rounding.unit
    )


@dataclass(frozen=True)
class Scores:
    """Layer 2: sums over the columns of labels, by heads whose weights are 1 / N.

    Parameters
    ----------
    values, outward
        What a square row is multiplied by in W^V and W^C on its way to a score row, each (m,).
    relative_error
        The relative error of the sum of terms of one sign, weights and products included.
    over
        N.
    """

    values: Float[np.ndarray, " m"]
    outward: Float[np.ndarray, " m"]
    relative_error: float
    over: int


def scores(net: Wiring) -> Scores:
    """Return what layer 2 brings to the columns of covariates.

    Raises
    ------
    MismatchError
        If a column of a covariate attends to others than the labels before it and the sink.
    """
    centre, error = net.logits(1)
    over = len(net.labels) + 1
    for column in net.covariates.tolist():
        seen = net.labels[net.labels < column]
        if centre[column, seen].any() or error[column, seen].any():
            raise MismatchError(f"layer 2: column {column} gives a label a logit other than 0")
        allowed = np.zeros(net.num_columns, dtype=bool)
        allowed[[0, *seen.tolist()]] = True
        floor = max(0.0 if len(seen) else -np.inf, float(centre[column, 0] - error[column, 0]))
        check_gap((centre, error), column, allowed, floor, net.rounding.gap)
    layout, u = net.layout, net.rounding.unit
    at, out = diagonal(net.matrix(1, "output"), layout.score, "layer 2: head")
    value = net.matrix(1, "value")
    for coordinate, squares in zip(at, layout.squares, strict=True):
        read = np.flatnonzero(value[coordinate]).tolist()
        read_by = value[coordinate, list(squares)]
        if read != sorted(squares) or (read_by != read_by[0]).any():
            raise MismatchError(
                f"layer 2: a score does not read square row {squares[0]}, or not alone"
            )
        if len(squares) > 1 and not is_power_of_two(read_by).all():
            raise MismatchError("layer 2: rows of a square are not added up as they are")
    products = max(product_error(float(o), net.rounding) for o in out)
    static = exp_error(centre[net.covariates, 0], error[net.covariates, 0], over)
    seen_most = len(net.labels)
    # exp above and below, the sum of weights, the division; W^V, and a sum of seen + 1 products.
    weights = 1.01 * static + 2.02 * net.rounding.exp * u + net.rounding.gamma(seen_most + 1)
    total = weights + products + net.rounding.gamma(seen_most + 2)
    firsts = [squares[0] for squares in layout.squares]
    return Scores(value[at, firsts], out, total * (1 + total) if total < 0.1 else np.inf, over)


@dataclass(frozen=True)
class Softmax:
    """Layer 3: sum_t p_t w_t in the columns of covariates.

    Parameters
    ----------
    factors
        What a score row is multiplied by to give a logit (m,).
    score_error
        The relative error of reading a score.
    constant_error
        A bound on the errors of the constants ln pi_t that are added, up to a common shift.
    constants
        The largest magnitudes that are added to the logits (m,).
    values
        What component t contributes to the mixture rows (m, n): w_t itself, or e_t.
    value_errors
        Bounds on the errors of these as they are stored (m, n).
    forms
        The forms c_l (n, d) that the mixture rows are multiplied by, sum_l values_tl c_l = w_t:
        the entries of x, or <w_l, x>.
    mean_error
        The relative error of sum_t p_t |w_tl| by rounding.
    others
        The largest logit of any column outside the basis.
    """

    factors: Float[np.ndarray, " m"]
    score_error: float
    constant_error: float
    constants: Float[np.ndarray, " m"]
    values: Float[np.ndarray, "m n"]
    value_errors: Float[np.ndarray, "m n"]
    forms: Float[np.ndarray, "n d"]
    mean_error: float
    others: float


def mixture_head(net: Wiring) -> Softmax:
    """Return what layer 3's head computes from the scores.

    Raises
    ------
    MismatchError
        If its keys are not unit vectors in the basis columns, or its values not the components.
    """
    rounding, rows = net.rounding, list(net.layout.score)
    query = net.matrix(2, "query")
    at = [int(np.flatnonzero(query[:, row])[0]) if query[:, row].any() else -1 for row in rows]
    if np.count_nonzero(query[:, rows]) != len(rows) or len(set(at)) != len(rows) or -1 in at:
        raise MismatchError("layer 3: a score is not read by one coordinate of its own")
    keys, columns = _unit_keys(net, at)
    fixed = query.copy()
    fixed[:, rows] = 0.0
    added = _by_constants(net, fixed)
    prior = added[0][np.ix_(np.array(at), net.covariates)]
    off = max(log_error(net.stored.weights, column) for column in np.unique(prior, axis=1).T)
    off += float(added[1][np.ix_(np.array(at), net.covariates)].max())
    sums = rounding.gamma(2) if prior.any() else 0.0
    logits = multiply((added[0].T, added[1].T), keys, rounding)
    high = np.where(
        np.arange(net.num_columns) < net.covariates[:, None],
        (logits[0] + logits[1])[net.covariates],
        -np.inf,
    )
    high[:, columns] = -np.inf
    largest = np.abs(prior).max(axis=1)
    return Softmax(
        query[at, rows],
        max(product_error(float(q), rounding) for q in query[at, rows]) + sums,
        off + sums * float(largest.max()),
        largest,
        *_values(net, columns),
        float(high.max()),
    )


def _by_constants(net: Wiring, weights: Matrix) -> tuple[Matrix, Matrix]:
    """What weights make of the constant rows, in every column, and bounds on its error."""
    constants = net.stored.constants
    return multiply(
        (weights, np.zeros_like(weights)), (constants, np.zeros_like(constants)), net.rounding
    )


def _unit_keys(net: Wiring, at: list[int]) -> tuple[tuple[Matrix, Matrix], list[int]]:
    """The keys, and for every score the one column, of the basis, that carries its unit vector."""
    keys, errors = _by_constants(net, net.matrix(2, "key"))
    basis = list(range(1, net.before))
    columns = [int(keys[a].argmax()) for a in at]
    alone = np.count_nonzero(keys[at]) == np.count_nonzero(keys[:, basis]) == len(at)
    exact = (keys[at, columns] == 1.0).all() and not errors[at].any() and not errors[:, basis].any()
    if sorted(columns) != basis or not alone or not exact:
        raise MismatchError("layer 3: the keys of the basis columns are not unit vectors")
    return (keys, errors), columns


def _values(
    net: Wiring, columns: list[int]
) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, "m n"], Float[np.ndarray, "n d"], float]:
    """What the values are meant to be, their errors, the forms, and the rounding of their mean."""
    at, out = diagonal(net.matrix(2, "output"), net.layout.mixture, "layer 3: head")
    brought, errors = _by_constants(net, net.matrix(2, "value"))
    factors = (out / net.stored.units[list(net.layout.mixture)])[:, None]
    rows, picked = np.array(at)[:, None], np.array(columns)[None, :]
    held, wrong = (brought[rows, picked] * factors).T, (errors[rows, picked] * np.abs(factors)).T
    components = net.stored.components
    m, d = components.shape
    meant = [(components, np.eye(d)), (np.eye(m), components)]
    fitting = [pair for pair in meant if pair[0].shape == held.shape]
    values, forms = min(fitting, key=lambda pair: float(np.abs(held - pair[0]).max()))
    products = max(product_error(float(o), net.rounding) for o in out)
    # The division, the sum of weights, the sum of products, and what they are multiplied by.
    relative = 1.01 * (2 * net.rounding.unit + 2 * net.rounding.gamma(m) + products)
    return values, 1.01 * (np.abs(held - values) + wrong), forms, relative
