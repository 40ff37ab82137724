"""Appendix B.1: the definitions of five operators, as `definition_check` judges them.

The sixth, aff, is in `papers.pathak2023.definition_aff`.
"""

from dataclasses import replace
from itertools import product
from math import exp

from constructions.operators import (
    CopyDown,
    CopyOver,
    Mul,
    Operator,
    ScaledAgg,
    Soft,
)
from papers.ledger import Correction, Fault
from papers.pathak2023.definition_check import (
    Case,
    Definition,
    Entries,
    Read,
    cases_of,
    define,
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


def _library_copy_down(case: Case) -> Operator:
    k, target, last = case.rows
    return CopyDown(k, target, last, case.columns)


_COPIED_DOWN = (
    r"H'_{k':\ell',i} = H_{k:\ell,i},\ i \in \mathcal{I};\quad"
    r" \ell' = k' + (\ell - k),\ \ell \ge k,\ k' \ge k,"
)

_COPY_DOWN = Definition(_down, _copied)

COPY_DOWN = define(
    "copy_down",
    "Appendix B.1",
    _COPIED_DOWN + r"\ k' \le q",
    _library_copy_down,
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
        latex=_COPIED_DOWN + r"\ \ell' \le p",
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


def _library_copy_over(case: Case) -> Operator:
    k, target, last = case.rows
    return CopyOver(k, target, last, case.columns)


_COPY_OVER = Definition(
    lambda case: _over(case) and 1 not in case.columns,
    lambda case, read: _copied(case, read, back=1),
)

COPY_OVER = define(
    "copy_over",
    "Appendix B.1",
    r"H'_{k':\ell',i} = H_{k:\ell,i-1},\ i \in \mathcal{I}",
    _library_copy_over,
    cases_of(3, 3),
    printed=replace(_COPY_OVER, allowed=_over),
    correction=Correction(
        _COPY_OVER,
        "1 must not be in I: there is no column 0. (The program has I_even only.)",
        Fault.GAP,
        latex=r"H'_{k':\ell',i} = H_{k:\ell,i-1},\ i \in \mathcal{I} \subset \{2, \dots, q\}",
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


def _library_mul(case: Case) -> Operator:
    k, right, target, last = case.rows
    return Mul(k, right, target, last, case.columns)


_MUL = Definition(_factors_fit, lambda case, read: _products(case, read, _offsets(case)))

MUL = define(
    "mul",
    "Appendix B.1",
    r"H'_{k''+t,i} = H_{k+t,i} H_{k'+t,i},\ t \in \{0, \dots, \ell - k\},\quad"
    r" \text{for } t \in [k, \ell]",
    _library_mul,
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
        latex=r"H'_{k''+t,i} = H_{k+t,i} H_{k'+t,i},\ t \in \{0, \dots, \ell - k\}",
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


def _library_sum(case: Case) -> Operator:
    k, last, target = case.rows
    return ScaledAgg(ALPHA, k, last, target, case.column, case.columns)


_SCALED_AGG = Definition(_causal, _summed)

SCALED_AGG = define(
    "scaled_agg",
    "Appendix B.1",
    r"H'_{k'+t,i} = \alpha \sum_{j \in \mathcal{I}} H_{k+t,j},\quad \mathcal{I} \subset [i-1]",
    _library_sum,
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

STATEMENTS = (COPY_DOWN, COPY_OVER, MUL, SCALED_AGG, SOFT)
