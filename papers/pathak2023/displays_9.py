"""Displays (9a)-(9c): copy_over, copy_down and scaled_agg as RAW operators (Lemma 1).

As printed, each is one RAW operator. But (8a) writes rows K of *every* column, with zeros where
pi(i) is empty, while the operators leave all other columns alone; (9b) looks at its own column,
which is not causal; (9a) ignores I; and RAW averages where scaled_agg sums. As corrected, each is
three RAW operators of Definition 1 as it stands, given a row of ones, scratch rows and one
constant column in front: what is new is gathered in scratch rows (0 in all other columns), what is
old likewise, and a last RAW adds the difference to the target.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
import sympy

from constructions.matrices import Matrix
from constructions.operators import (
    Columns,
    CopyDown,
    CopyOver,
    Operator,
    OperatorError,
    Raw,
    ScaledAgg,
)
from papers.ledger import Correction, Evidence, Fault, Grade, Statement, statement
from papers.pathak2023.illustration import difference

#: The matrix: rows 1-2 are read, 2-3 written; row 4 holds ones, rows 5-8 are scratch.
ROWS, COLUMNS, ONES, SCRATCH = 3, 4, 4, ((5, 6), (7, 8))
SOURCE, TARGET = (1, 2), (2, 3)
EYE, NOTHING = np.eye(2, dtype=int), np.zeros((2, 0), dtype=int)
ALL_ONES = np.ones((2, 1), dtype=int)
SCOPE = f"every real {ROWS} x {COLUMNS} matrix, every set I of its columns after the first"


@dataclass(frozen=True)
class Case:
    """An operator on the matrix, with the set I and, for scaled_agg, its column and scale."""

    operator: Operator
    columns: Columns
    column: int = COLUMNS
    scale: sympy.Symbol | int = 1


RawClaim = Callable[[Case], list[Raw]]


def _subsets(columns: range) -> Iterator[Columns]:
    # The empty set comes last: as a counterexample it says least.
    sizes = (*range(1, len(columns) + 1), 0)
    return map(frozenset, chain.from_iterable(combinations(columns, n) for n in sizes))


def _matrix() -> Matrix:
    """Symbols in the operator's rows, ones, and empty scratch rows."""
    H = np.full((8, COLUMNS), sympy.Integer(0), dtype=object)
    for row, column in np.ndindex(ROWS, COLUMNS):
        H[row, column] = sympy.Symbol(f"h_{row + 1}{column + 1}", real=True)
    H[ONES - 1] = sympy.Integer(1)
    return H


def _check(cases: list[Case], claim: RawClaim) -> Evidence:
    wrong = next(filter(None, (_failure(case, claim) for case in cases)), "")
    comparison = "RAW operators against the operator itself, entry by entry, with symbols"
    return Evidence(not wrong, Grade.PROVED, comparison, SCOPE, counterexample=wrong)


def _failure(case: Case, claim: RawClaim) -> str:
    H = _matrix()
    expected = case.operator(H)
    try:
        for raw in claim(case):
            H = raw(H)
    except OperatorError as error:
        return f"{case.operator}: {'; '.join(error.problems)}"
    wrong = difference(H[:ROWS], expected[:ROWS])
    return f"{case.operator}: {wrong}" if wrong else ""


def _previous(columns: Columns) -> dict[int, Columns]:
    return {i: frozenset({i - 1}) for i in columns if i > 1}


def _gather(rows: tuple[int, ...], into: int, attended: dict[int, Columns], scale: object) -> Raw:
    """The scaled mean of rows over pi(i), into scratch; 0 where pi(i) is empty."""
    return Raw("+", rows, (), SCRATCH[into], EYE * scale, NOTHING, EYE, attended)


def _select(rows: tuple[int, ...], into: int, columns: Columns) -> Raw:
    """The column's own rows times a 1 from the column before, into scratch; 0 elsewhere."""
    return Raw("*", (ONES,), rows, SCRATCH[into], ALL_ONES, EYE, EYE, _previous(columns))


def _replace(old: bool = True, sign: int = 1) -> Raw:
    """Target += new - old, from the scratch rows, in the column itself."""
    own = TARGET + SCRATCH[0] + SCRATCH[1]
    weights = np.hstack([EYE, sign * EYE, -EYE if old else 0 * EYE])
    return Raw("+", (), own, TARGET, NOTHING, weights, EYE, {})


def _printed(case: Case, attended: dict[int, Columns], scale: object = 1) -> list[Raw]:
    return [Raw("+", SOURCE, (), TARGET, EYE, NOTHING, EYE * scale, attended)]


def _statement(
    letter: str,
    latex: str,
    cases: list[Case],
    *,
    claims: tuple[RawClaim, RawClaim],
    mutants: dict[str, RawClaim],
    text: str,
) -> Statement[RawClaim]:
    def check(claim: RawClaim, rng: np.random.Generator) -> Evidence:
        return _check(cases, claim)

    printed, corrected = claims
    return statement(
        id=f"pathak2023/display-9{letter}",
        title=f"Display (9{letter}): {cases[0].operator.name} as a RAW operator",
        source=f"Appendix B.3, display (9{letter}), and Lemma 1",
        latex=latex,
        printed=printed,
        mutants=mutants,
        correction=Correction(corrected, text, Fault.GAP),
        hypotheses=("a row of ones", "zero scratch rows", "column 1 is not in I"),
    )(check)


LATER = range(2, COLUMNS + 1)
OVER = [Case(CopyOver(1, 2, 2, chosen), chosen) for chosen in _subsets(LATER)]
DOWN = [Case(CopyDown(1, 2, 2, chosen), chosen) for chosen in _subsets(LATER)]
ALPHA = sympy.Symbol("alpha", real=True)
AGGREGATE = [
    Case(ScaledAgg(ALPHA, 1, 2, 2, column, chosen), chosen, column, ALPHA)
    for column in LATER
    for chosen in _subsets(range(1, column))
]


def _copy_over(case: Case, erase: Columns | None = None) -> list[Raw]:
    columns = case.columns if erase is None else erase
    return [
        _gather(SOURCE, 0, _previous(case.columns), 1),
        _select(TARGET, 1, columns),
        _replace(),
    ]


def _copy_down(case: Case) -> list[Raw]:
    return [_select(SOURCE, 0, case.columns), _select(TARGET, 1, case.columns), _replace()]


def _scaled_agg(case: Case, count: int | None = None) -> list[Raw]:
    size = len(case.columns) if count is None else count
    attended = {case.column: case.columns} if case.columns else {}
    return [
        _gather(SOURCE, 0, attended, case.scale * size),
        _select(TARGET, 1, frozenset({case.column})),
        _replace(),
    ]


COPY_OVER = _statement(
    "a",
    r"\mathrm{copy\_over}(H; k, k', \ell, \mathcal{I}) = \mathrm{RAW}_\oplus(H; [k, \ell],"
    r" \emptyset, [k', k'+\delta], I_{\delta+1}, 0, I_{\delta+1}, \pi_\mathcal{I})",
    OVER,
    claims=(lambda case: _printed(case, _previous(frozenset(LATER))), _copy_over),
    mutants={
        "pi_I restricted to I, but one RAW": lambda case: _printed(case, _previous(case.columns)),
        "old values kept": lambda case: [*_copy_over(case)[:2], _replace(old=False)],
        "old values erased everywhere": lambda case: _copy_over(case, frozenset(LATER)),
        "last row left behind": lambda case: [
            _gather(SOURCE, 0, _previous(case.columns), np.diag([1, 0])),
            *_copy_over(case)[1:],
        ],
        "new values subtracted": lambda case: [*_copy_over(case)[:2], _replace(sign=-1)],
        "pi(i) = {i}": lambda case: [
            _gather(SOURCE, 0, {i: frozenset({i}) for i in case.columns}, 1),
            *_copy_over(case)[1:],
        ],
    },
    text="pi_I(i) must be {i - 1} for i in I only, and the copy takes three RAW operators: one "
    "gathers the new values in scratch rows, one the old ones, one adds the difference. A single "
    "RAW overwrites rows K of all other columns with zeros.",
)

COPY_DOWN = _statement(
    "b",
    r"\mathrm{copy\_down}(H; k, k', \ell, \mathcal{I}) = \mathrm{RAW}_\oplus(H; [k, \ell],"
    r" \emptyset, [k', k'+\delta], I_{\delta+1}, 0, I_{\delta+1}, \pi'_\mathcal{I})",
    DOWN,
    claims=(lambda case: _printed(case, {i: frozenset({i}) for i in case.columns}), _copy_down),
    mutants={
        "from the previous column": lambda case: _printed(case, _previous(case.columns)),
        "own column by J, in every column": lambda case: [
            Raw("+", (), SOURCE, TARGET, NOTHING, EYE, EYE, {})
        ],
        "old values kept": lambda case: [*_copy_down(case)[:2], _replace(old=False)],
        "selected by a sum, not a product": lambda case: [
            Raw("+", (ONES,), SOURCE, SCRATCH[0], ALL_ONES, EYE, EYE, _previous(case.columns)),
            *_copy_down(case)[1:],
        ],
    },
    text="pi'(i) = {i} is not causal (Definition 1 asks for pi(i) in [i - 1]). The column's own "
    "rows are read through J, multiplied by a 1 that only the columns of I fetch from the column "
    "before; new and old values meet in a last RAW.",
)

SCALED_AGG = _statement(
    "c",
    r"\mathrm{scaled\_agg}(H; \alpha, k, \ell, k', i, \mathcal{I}) = \mathrm{RAW}_\oplus(H;"
    r" [k, \ell], \emptyset, [k', k'+\delta], I_{\delta+1}, 0, \alpha I_{\delta+1},"
    r" \pi''_{\mathcal{I}, i})",
    AGGREGATE,
    claims=(
        lambda case: _printed(case, {case.column: case.columns}, case.scale),
        _scaled_agg,
    ),
    mutants={
        "mean for sum": lambda case: _scaled_agg(case, count=1),
        "one too many": lambda case: _scaled_agg(case, count=len(case.columns) + 1),
        "factor |I|, but one RAW": lambda case: _printed(
            case, {case.column: case.columns}, case.scale * len(case.columns)
        ),
        "old values kept": lambda case: [*_scaled_agg(case)[:2], _replace(old=False)],
    },
    text="RAW takes the mean over pi(i): the factor is alpha |I|, not alpha; and two more RAW "
    "operators keep the other columns as they are.",
)

STATEMENTS = (COPY_OVER, COPY_DOWN, SCALED_AGG)
