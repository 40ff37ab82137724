"""Appendix B.1: the definitions of the six operators, as `definition_check` judges them."""

from dataclasses import dataclass, replace
from itertools import product
from math import exp

import numpy as np

from constructions.operators import Aff, CopyDown, CopyOver, Mul, OperatorError, ScaledAgg, Soft
from papers.ledger import Correction, Evidence, Fault, Grade, statement
from papers.pathak2023.definition_check import (
    Case,
    Definition,
    Entries,
    Read,
    cases_of,
    define,
    matrix_of,
    shapes,
)


def _copied(case: Case, read: Read, back: int = 0, skip: int = 0) -> Entries:
    """(k, k', l): rows k..l - skip of column i - back to rows k'.. of column i."""
    k, target, last = case.rows
    return {
        (target + t, i): read(k + t, i - back)
        for i in case.columns
        for t in range(last - k + 1 - skip)
    }


def _in_place(case: Case, read: Read) -> Entries:
    """Row after row, each from what has been written already."""
    k, target, last = case.rows
    step = max(target - k, 1)
    return {
        (target + t, i): read(k + t % step if target > k else k + t, i)
        for i in case.columns
        for t in range(last - k + 1)
    }


def _down(case: Case) -> bool:
    k, target, last = case.rows
    return k <= target and k <= last and case.fits(last, target + last - k)


_COPY_DOWN = Definition(_down, _copied)

COPY_DOWN = define(
    "copy_down",
    "Appendix B.1",
    r"H'_{k':\ell',i} = H_{k:\ell,i},\ i \in \mathcal{I};\quad \ell \ge k,\ k' \ge k,\ k' \le q",
    lambda case: CopyDown(*case.rows, case.columns),
    cases_of(3, 3),
    printed=replace(
        _COPY_DOWN,
        allowed=lambda case: case.rows[0] <= min(case.rows[1:])
        and case.rows[1] <= case.q
        and case.fits(case.rows[2]),
    ),
    correction=Correction(
        _COPY_DOWN,
        "The rows must exist: l' = k' + l - k <= p. 'k' <= q' compares a row with the number of"
        " columns, and does neither suffice nor have to hold.",
        Fault.SLIP,
    ),
    mutants={
        "k' <= p": replace(
            _COPY_DOWN,
            allowed=lambda case: case.rows[0] <= min(case.rows[1:])
            and case.fits(*case.rows[1:]),
        ),
        "upwards as well": replace(
            _COPY_DOWN,
            allowed=lambda case: case.rows[0] <= case.rows[2] and case.fits(
                case.rows[2], case.rows[1] + case.rows[2] - case.rows[0]
            ),
        ),
        "without row l": replace(_COPY_DOWN, entries=lambda c, read: _copied(c, read, skip=1)),
        "row by row, in place": replace(_COPY_DOWN, entries=_in_place),
        "in every column": replace(
            _COPY_DOWN,
            entries=lambda c, read: _copied(
                replace(c, columns=frozenset(range(1, c.q + 1))), read
            ),
        ),
    },
)  # fmt: skip


def _over(case: Case) -> bool:
    k, target, last = case.rows
    return k <= last and case.fits(last, target + last - k)


_COPY_OVER = Definition(
    lambda case: _over(case) and 1 not in case.columns,
    lambda case, read: _copied(case, read, back=1),
)

COPY_OVER = define(
    "copy_over",
    "Appendix B.1",
    r"H'_{k':\ell',i} = H_{k:\ell,i-1},\ i \in \mathcal{I}",
    lambda case: CopyOver(*case.rows, case.columns),
    cases_of(3, 3),
    printed=replace(_COPY_OVER, allowed=_over),
    correction=Correction(
        _COPY_OVER,
        "1 must not be in I: there is no column 0. (The program has I_even only.)",
        Fault.GAP,
    ),
    mutants={
        "q not in I either": replace(
            _COPY_OVER,
            allowed=lambda case: _COPY_OVER.allowed(case) and case.q not in case.columns,
        ),
        "only downwards": replace(
            _COPY_OVER,
            allowed=lambda case: _COPY_OVER.allowed(case) and case.rows[1] >= case.rows[0],
        ),
        "from the column itself": replace(_COPY_OVER, entries=_copied),
        "without row l": replace(
            _COPY_OVER, entries=lambda case, read: _copied(case, read, back=1, skip=1)
        ),
    },
)


def _products(case: Case, read: Read, ts: range, twice: bool = False) -> Entries:
    k, right, target, _ = case.rows
    return {
        (target + t, i): read(k + t, i) * read((k if twice else right) + t, i)
        for i in case.columns
        for t in ts
    }


def _factors_fit(case: Case) -> bool:
    k, right, target, last = case.rows
    return k <= last and case.fits(last, right + last - k, target + last - k)


def _offsets(case: Case) -> range:
    """0..l - k."""
    return range(case.rows[3] - case.rows[0] + 1)


_MUL = Definition(_factors_fit, lambda case, read: _products(case, read, _offsets(case)))

MUL = define(
    "mul",
    "Appendix B.1",
    r"H'_{k''+t,i} = H_{k+t,i} H_{k'+t,i},\ t \in \{0, \dots, \ell - k\},\ t \in [k, \ell]",
    lambda case: Mul(*case.rows, case.columns),
    cases_of(2, 4),
    printed=replace(
        _MUL,
        entries=lambda case, read: _products(
            case, read, range(case.rows[0], case.rows[3] + 1)
        ),
    ),
    correction=Correction(
        _MUL,
        "t runs over 0..l - k, as the display says; 'for t in [k, l]' after it is left over, and"
        " would begin k rows too low.",
        Fault.SLIP,
    ),
    mutants={
        "up to l - k - 1": replace(
            _MUL, entries=lambda case, read: _products(case, read, _offsets(case)[:-1])
        ),
        "from t = 1": replace(
            _MUL, entries=lambda case, read: _products(case, read, _offsets(case)[1:])
        ),
        "squares": replace(
            _MUL, entries=lambda case, read: _products(case, read, _offsets(case), twice=True)
        ),
        "only k' >= k": replace(
            _MUL, allowed=lambda case: _factors_fit(case) and case.rows[1] >= case.rows[0]
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class Shapes:
    """By how much the numbers of rows and columns of W, W' and b exceed the deltas.

    Parameters
    ----------
    rows
        Of W and W', beyond delta''.
    first, second
        Columns of W beyond delta, and of W' beyond delta'.
    bias
        Entries of b, beyond delta''.
    sign
        Of W' in the formula.
    """

    rows: int = 1
    first: int = 1
    second: int = 1
    bias: int = 1
    sign: int = 1


#: delta, delta', delta''.
DELTAS = tuple(product((0, 1, 2), repeat=3))


@statement(
    id="pathak2023/definition-aff",
    title="The definition of aff",
    source="Appendix B.1",
    latex=r"H'_{k'':\ell'',i} = W H_{k:\ell,i} + W' H_{k':\ell',i} + b,\quad"
    r" W \in \mathbf{R}^{\delta'' \times \delta},\ \ell = k + \delta",
    printed=Shapes(0, 0, 0, 0),
    correction=Correction(
        Shapes(),
        "Intervals are inclusive: rows k..l are delta + 1, so that W is (delta'' + 1) x (delta + 1)"
        " and W' is (delta'' + 1) x (delta' + 1). (Line 4 of the program, with W* in R^{m x d} and"
        " rows d + 1..2d, has these shapes.)",
        Fault.SLIP,
    ),
    mutants={
        "only the columns repaired": Shapes(rows=0, bias=0),
        "only the rows repaired": Shapes(first=0, second=0),
        "delta + 2 columns": Shapes(first=2),
        "b of delta'' entries": Shapes(bias=0),
        "W' subtracted": Shapes(sign=-1),
    },
)
def AFF(claim: Shapes, rng: np.random.Generator) -> Evidence:
    """Multiply out by loops for all small sizes, and compare with the library."""
    wrong = next(filter(None, (_wrong_map(claim, *deltas) for deltas in DELTAS)), "")
    return Evidence(
        not wrong,
        Grade.PROVED,
        "W H + W' H + b by loops, where the shapes fit, against constructions.operators.Aff",
        "(delta, delta', delta'') in {0, 1, 2}^3, I = {2} of 2 columns",
        counterexample=wrong,
    )


def _wrong_map(claim: Shapes, d1: int, d2: int, d3: int) -> str:
    k1, k2, k3 = 1, 2, 3
    p, rows = k3 + d3 + 1, d3 + claim.rows
    # Blocks may overlap, and need not be in order; the largest may not stand below row p.
    p = max(p, k1 + d1, k2 + d2)
    widths = (d1 + claim.first, d2 + claim.second)
    W, W2 = ([[3 * r - 2 * c + 1 for c in range(n)] for r in range(rows)] for n in widths)
    b, at = list(range(2, d3 + claim.bias + 2)), f"delta = {d1}, delta' = {d2}, delta'' = {d3}"
    for name, width, block in (("W", widths[0], d1 + 1), ("W'", widths[1], d2 + 1)):
        if width != block or rows != d3 + 1:
            return (
                f"{at}: {name} is {rows} x {width}, and takes {block} rows to {d3 + 1}:"
                " the product is not defined"
            )
    if len(b) != rows:
        return f"{at}: b has {len(b)} entries, and is added to {rows} rows"
    H = matrix_of(p, 2)
    arrays = (np.array(W), np.array(W2), np.array(b))
    try:
        found = Aff(k1, k2, k3, k1 + d1, k2 + d2, k3 + d3, *arrays, frozenset({2}))(H)
    except OperatorError as error:
        return f"{at}: {error}"
    for row, column in np.ndindex(p, 2):
        told, r = H[row][column], row + 1 - k3
        if column == 1 and 0 <= r <= d3:
            first = sum(W[r][t] * H[k1 - 1 + t][1] for t in range(d1 + 1))
            second = sum(W2[r][t] * H[k2 - 1 + t][1] for t in range(d2 + 1))
            told = first + claim.sign * second + b[r]
        if found[row, column] != told:
            return f"{at}: H'_({row + 1}, {column + 1}) is {found[row, column]:g}, not {told:g}"
    return ""


#: A power of 2, so that products and sums are exact.
ALPHA = -0.5


def _summed(case: Case, read: Read, factor: float = ALPHA, skip: int = 0) -> Entries:
    k, last, target = case.rows
    return {
        (target + t, case.column): factor * sum(read(k + t, j) for j in case.columns)
        for t in range(last - k + 1 - skip)
    }


def _sum_fits(case: Case) -> bool:
    k, last, target = case.rows
    return k <= last and case.fits(last, target + last - k)


def _causal(case: Case, own: int = 0) -> bool:
    return _sum_fits(case) and all(j < case.column + own for j in case.columns)


def _sums() -> list[Case]:
    """All arguments, with sets I that are causal and sets that are not."""
    sets = ((), (1,), (2,), (1, 2), (1, 3))
    return [
        Case(p, q, rows, frozenset(columns), column)
        for p, q in shapes(3)
        for rows in product(range(1, p + 2), repeat=3)
        for columns in sets
        if all(j <= q for j in columns)
        for column in range(1, q + 1)
    ]


_SCALED_AGG = Definition(_causal, _summed)

SCALED_AGG = define(
    "scaled_agg",
    "Appendix B.1",
    r"H'_{k'+t,i} = \alpha \sum_{j \in \mathcal{I}} H_{k+t,j},\quad \mathcal{I} \subset [i-1]",
    lambda case: ScaledAgg(
        ALPHA, *case.rows, column=case.column, columns=case.columns
    ),
    _sums(),
    printed=_SCALED_AGG,
    mutants={
        "I within [i]": replace(_SCALED_AGG, allowed=lambda case: _causal(case, own=1)),
        "I within [i - 2]": replace(_SCALED_AGG, allowed=lambda case: _causal(case, own=-1)),
        "I not empty": replace(
            _SCALED_AGG, allowed=lambda case: _causal(case) and bool(case.columns)
        ),
        "the mean": replace(
            _SCALED_AGG,
            entries=lambda case, read: _summed(case, read, ALPHA / max(len(case.columns), 1)),
        ),
        "1 % more": replace(
            _SCALED_AGG, entries=lambda case, read: _summed(case, read, 1.01 * ALPHA)
        ),
        "without row l": replace(
            _SCALED_AGG, entries=lambda case, read: _summed(case, read, skip=1)
        ),
    },
)  # fmt: skip


def _softmax(case: Case, read: Read, last_too: bool = True, factor: float = 1.0) -> Entries:
    k, last, target = case.rows
    powers = [exp(factor * read(k + t, case.q)) for t in range(last - k + 1)]
    total = sum(powers) if last_too else sum(powers[:-1]) or 1.0
    return {(target + t, case.q): power / total for t, power in enumerate(powers)}


_SOFT = Definition(_sum_fits, _softmax)

SOFT = define(
    "soft",
    "Appendix B.1",
    r"H'_{k'+t,q} = e^{H_{k+t,q}} / \sum_{t'=0}^{\ell-k} e^{H_{k+t',q}}",
    lambda case: Soft(*case.rows),
    [
        Case(p, q, rows)
        for p, q in shapes(3)
        for rows in product(range(1, p + 2), repeat=3)
    ],
    printed=_SOFT,
    mutants={
        "the sum up to l - k - 1": replace(
            _SOFT, entries=lambda case, read: _softmax(case, read, last_too=False)
        ),
        "of 1.01 H": replace(_SOFT, entries=lambda case, read: _softmax(case, read, factor=1.01)),
        "of -H": replace(_SOFT, entries=lambda case, read: _softmax(case, read, factor=-1.0)),
        "in column 1": replace(
            _SOFT,
            entries=lambda case, read: {
                (row, 1): value for (row, _), value in _softmax(case, read).items()
            },
        ),
        "only downwards": replace(
            _SOFT, allowed=lambda case: _sum_fits(case) and case.rows[2] >= case.rows[0]
        ),
    },
    tolerance=1e-14,
)  # fmt: skip

STATEMENTS = (COPY_DOWN, COPY_OVER, MUL, AFF, SCALED_AGG, SOFT)
