"""Displays (9a)-(9c): copy_over, copy_down and scaled_agg as RAW operators (Lemma 1).

As printed, each is one RAW operator. But (8a) writes rows K of *every* column, with zeros where
pi(i) is empty, while the operators leave all other columns alone; (9b) looks at its own column,
which is not causal; (9a) ignores I; and RAW averages where scaled_agg sums. As corrected, each is
three RAW operators of Definition 1 as it stands, given a row of ones, scratch rows and one
constant column in front: what is new is gathered in scratch rows (0 in all other columns), what is
old likewise, and a last RAW adds the difference to the target.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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

#: (delta + 1, q): one row of two columns first, then two rows, which overlap, of four.
SIZES = ((1, 2), (2, 4))
SCOPE = "every real 2 x 2 and 3 x 4 matrix, every set I of its columns after the first"


@dataclass(frozen=True)
class Case:
    """An operator on a matrix, with the set I and, for scaled_agg, its column and scale.

    Rows 1..n are read and 2..n + 1 written, for n = delta + 1; then come a row of ones and twice n
    scratch rows.

    Parameters
    ----------
    operator
        With k = 1, l = n and k' = 2.
    n, q
        Rows that are copied, and columns.
    columns
        I.
    column, scale
        Of scaled_agg.
    """

    operator: Operator
    n: int
    q: int
    columns: Columns
    column: int = 2
    scale: sympy.Symbol | int = 1

    @property
    def source(self) -> tuple[int, ...]:
        """Rows k..l."""
        return tuple(range(1, self.n + 1))

    @property
    def target(self) -> tuple[int, ...]:
        """Rows k'..k' + delta."""
        return tuple(range(2, self.n + 2))

    @property
    def ones(self) -> int:
        """The row of ones."""
        return self.n + 2

    def scratch(self, number: int) -> tuple[int, ...]:
        """Scratch rows for new values (0) and old ones (1)."""
        first = self.ones + 1 + number * self.n
        return tuple(range(first, first + self.n))

    @property
    def eye(self) -> Matrix:
        """I_{delta + 1}."""
        return np.eye(self.n, dtype=int)

    @property
    def nothing(self) -> Matrix:
        """What an empty set of rows is multiplied by."""
        return np.zeros((self.n, 0), dtype=int)


RawClaim = Callable[[Case], list[Raw]]


def _subsets(columns: range) -> Iterator[Columns]:
    # The empty set comes last: as a counterexample it says least.
    sizes = (*range(1, len(columns) + 1), 0)
    return map(frozenset, chain.from_iterable(combinations(columns, n) for n in sizes))


def _matrix(case: Case) -> Matrix:
    """Symbols in the operator's rows, ones, and empty scratch rows."""
    H = np.full((3 * case.n + 2, case.q), sympy.Integer(0), dtype=object)
    for row, column in np.ndindex(case.n + 1, case.q):
        H[row, column] = sympy.Symbol(f"h_{row + 1}{column + 1}", real=True)
    H[case.ones - 1] = sympy.Integer(1)
    return H


def _check(cases: list[Case], claim: RawClaim) -> Evidence:
    wrong = next(filter(None, (_failure(case, claim) for case in cases)), "")
    comparison = "RAW operators against the operator itself, entry by entry, with symbols"
    return Evidence(not wrong, Grade.PROVED, comparison, SCOPE, counterexample=wrong)


def _failure(case: Case, claim: RawClaim) -> str:
    H, at = _matrix(case), f"{case.n + 1} x {case.q} matrix, {case.operator}"
    expected = case.operator(H)
    try:
        for raw in claim(case):
            if ahead := [i for i, seen in raw.attended.items() if max(seen, default=0) >= i]:
                i = min(ahead)
                return f"{at}: pi({i}) holds {max(raw.attended[i])}, and must be in [{i} - 1]"
            H = raw(H)
            H[H == 0] = sympy.Integer(0)  # the mean of no columns is the float 0.0
    except OperatorError as error:
        return f"{at}: {'; '.join(error.problems)}"
    wrong = difference(H[: case.n + 1], expected[: case.n + 1])
    return f"{at}: {wrong}" if wrong else ""


def _previous(columns: Columns) -> dict[int, Columns]:
    return {i: frozenset({i - 1}) for i in columns if i > 1}


def _gather(case: Case, attended: dict[int, Columns], scale: object = 1) -> Raw:
    """The scaled mean of the source over pi(i), into scratch; 0 where pi(i) is empty."""
    eye, into = case.eye, case.scratch(0)
    return Raw("+", case.source, (), into, eye * scale, case.nothing, eye, attended)


def _select(case: Case, rows: tuple[int, ...], into: int, columns: Columns) -> Raw:
    """The column's own rows times a 1 from the column before, into scratch; 0 elsewhere."""
    ones, eye = np.ones((case.n, 1), dtype=int), case.eye
    return Raw("*", (case.ones,), rows, case.scratch(into), ones, eye, eye, _previous(columns))


def _replace(case: Case, old: bool = True, sign: int = 1) -> Raw:
    """Target += new - old, from the scratch rows, in the column itself."""
    own, eye = case.target + case.scratch(0) + case.scratch(1), case.eye
    weights = np.hstack([eye, sign * eye, -eye if old else 0 * eye])
    return Raw("+", (), own, case.target, case.nothing, weights, eye, {})


def _printed(case: Case, attended: dict[int, Columns], scale: object = 1) -> list[Raw]:
    eye = case.eye
    return [Raw("+", case.source, (), case.target, eye, case.nothing, eye * scale, attended)]


def _statement(
    letter: str,
    latex: tuple[str, str],
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
        latex=latex[0],
        printed=printed,
        mutants=mutants,
        correction=Correction(corrected, text, Fault.GAP, latex[1]),
        hypotheses=("a row of ones", "zero scratch rows", "column 1 is not in I"),
    )(check)


def _later(q: int) -> range:
    """The columns after the first."""
    return range(2, q + 1)


CHOICES = [(n, q, chosen) for n, q in SIZES for chosen in _subsets(_later(q))]
OVER = [Case(CopyOver(1, 2, n, chosen), n, q, chosen) for n, q, chosen in CHOICES]
DOWN = [Case(CopyDown(1, 2, n, chosen), n, q, chosen) for n, q, chosen in CHOICES]
ALPHA = sympy.Symbol("alpha", real=True)
AGGREGATE = [
    Case(ScaledAgg(ALPHA, 1, n, 2, column, chosen), n, q, chosen, column, ALPHA)
    for n, q in SIZES
    for column in _later(q)
    for chosen in _subsets(range(1, column))
]


def _copy_over(case: Case, erase: Columns | None = None) -> list[Raw]:
    columns = case.columns if erase is None else erase
    return [
        _gather(case, _previous(case.columns)),
        _select(case, case.target, 1, columns),
        _replace(case),
    ]


def _copy_down(case: Case) -> list[Raw]:
    return [
        _select(case, case.source, 0, case.columns),
        _select(case, case.target, 1, case.columns),
        _replace(case),
    ]


def _scaled_agg(case: Case, count: int | None = None) -> list[Raw]:
    size = len(case.columns) if count is None else count
    attended = {case.column: case.columns} if case.columns else {}
    return [
        _gather(case, attended, case.scale * size),
        _select(case, case.target, 1, frozenset({case.column})),
        _replace(case),
    ]


_OVER = r"\mathrm{copy\_over}(H; k, k', \ell, \mathcal{I}) "
_DOWN = r"\mathrm{copy\_down}(H; k, k', \ell, \mathcal{I}) "
_AGG = r"\mathrm{scaled\_agg}(H; \alpha, k, \ell, k', i, \mathcal{I}) "

#: As corrected; S and S' are scratch rows, T the target, o the row of ones.
_GATHERED = r"\mathrm{RAW}_\oplus(\cdot\,; [k, \ell], \emptyset, S, I_{\delta+1}, 0, "
_SELECTED_OLD = (
    r"\mathrm{RAW}_\otimes(\cdot\,; \{o\}, T, S', \mathbf{1}_{\delta+1},"
    r" I_{\delta+1}, I_{\delta+1}, "
)
_ADDED = (
    r",\quad R_3 = \mathrm{RAW}_\oplus(\cdot\,; \emptyset, T \cup S \cup S', T, 0,"
    r" (I_{\delta+1}, I_{\delta+1}, -I_{\delta+1}), I_{\delta+1}, \emptyset),\quad"
    r" T = [k', k'+\delta],\ H_o = \mathbf{1},\ H_S = H_{S'} = 0"
)
_PREVIOUS = r",\quad \pi_\mathcal{I}(i) = \{i - 1\} \text{ for } i \in \mathcal{I}"

COPY_OVER = _statement(
    "a",
    (
        _OVER + r"= \mathrm{RAW}_\oplus(H; [k, \ell], \emptyset, [k', k'+\delta], I_{\delta+1}, 0,"
        r" I_{\delta+1}, \pi_\mathcal{I}),\quad \pi_\mathcal{I}(i) = \{i-1\} \text{ for } i \ge 2",
        _OVER
        + r"= R_3 R_2 R_1 H,\quad R_1 = "
        + _GATHERED
        + r"I_{\delta+1}, \pi_\mathcal{I}),\quad"
        r" R_2 = " + _SELECTED_OLD + r"\pi_\mathcal{I})" + _ADDED + _PREVIOUS,
    ),
    OVER,
    claims=(lambda case: _printed(case, _previous(frozenset(_later(case.q)))), _copy_over),
    mutants={
        "pi_I restricted to I, but one RAW": lambda case: _printed(case, _previous(case.columns)),
        "old values kept": lambda case: [*_copy_over(case)[:2], _replace(case, old=False)],
        "old values erased everywhere": lambda case: _copy_over(case, frozenset(_later(case.q))),
        "last row left behind": lambda case: [
            _gather(case, _previous(case.columns), np.diag([1] * (case.n - 1) + [0])),
            *_copy_over(case)[1:],
        ],
        "new values subtracted": lambda case: [*_copy_over(case)[:2], _replace(case, sign=-1)],
        "pi(i) = {i}": lambda case: [
            _gather(case, {i: frozenset({i}) for i in case.columns}),
            *_copy_over(case)[1:],
        ],
    },
    text="pi_I(i) must be {i - 1} for i in I only, and the copy takes three RAW operators: one "
    "gathers the new values in scratch rows, one the old ones, one adds the difference. A single "
    "RAW overwrites rows K of all other columns with zeros.",
)

COPY_DOWN = _statement(
    "b",
    (
        _DOWN + r"= \mathrm{RAW}_\oplus(H; [k, \ell], \emptyset, [k', k'+\delta], I_{\delta+1}, 0,"
        r" I_{\delta+1}, \pi'_\mathcal{I}),\quad \pi'_\mathcal{I}(i) = \{i\} \text{ for } i \in"
        r" \mathcal{I}",
        _DOWN + r"= R_3 R_2 R_1 H,\quad R_1 = \mathrm{RAW}_\otimes(\cdot\,; \{o\}, [k, \ell], S,"
        r" \mathbf{1}_{\delta+1}, I_{\delta+1}, I_{\delta+1}, \pi_\mathcal{I}),\quad R_2 = "
        + _SELECTED_OLD
        + r"\pi_\mathcal{I})"
        + _ADDED
        + _PREVIOUS,
    ),
    DOWN,
    claims=(lambda case: _printed(case, {i: frozenset({i}) for i in case.columns}), _copy_down),
    mutants={
        "from the previous column": lambda case: _printed(case, _previous(case.columns)),
        "own column by J, in every column": lambda case: [
            Raw("+", (), case.source, case.target, case.nothing, case.eye, case.eye, {})
        ],
        "old values kept": lambda case: [*_copy_down(case)[:2], _replace(case, old=False)],
        "selected by a sum, not a product": lambda case: [
            replace(_copy_down(case)[0], kind="+"),
            *_copy_down(case)[1:],
        ],
    },
    text="pi'(i) = {i} is not causal (Definition 1 asks for pi(i) in [i - 1]). The column's own "
    "rows are read through J, multiplied by a 1 that only the columns of I fetch from the column "
    "before; new and old values meet in a last RAW.",
)

SCALED_AGG = _statement(
    "c",
    (
        _AGG + r"= \mathrm{RAW}_\oplus(H; [k, \ell], \emptyset, [k', k'+\delta], I_{\delta+1}, 0,"
        r" \alpha I_{\delta+1}, \pi''_{\mathcal{I}, i}),\quad"
        r" \pi''_{\mathcal{I}, i}(i) = \mathcal{I}",
        _AGG
        + r"= R_3 R_2 R_1 H,\quad R_1 = "
        + _GATHERED
        + r"\alpha |\mathcal{I}|\, I_{\delta+1}, \pi''_{\mathcal{I}, i}),\quad R_2 = "
        + _SELECTED_OLD
        + r"\pi_{\{i\}})"
        + _ADDED
        + r",\quad \pi''_{\mathcal{I}, i}(i) = \mathcal{I},\ \pi_{\{i\}}(i) = \{i - 1\}",
    ),
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
        "old values kept": lambda case: [*_scaled_agg(case)[:2], _replace(case, old=False)],
    },
    text="RAW takes the mean over pi(i): the factor is alpha |I|, not alpha; and two more RAW "
    "operators keep the other columns as they are.",
)

STATEMENTS = (COPY_OVER, COPY_DOWN, SCALED_AGG)
