"""The nine lines of the program in Appendix B.2, each as printed and, where needed, repaired.

A line is judged on its own: applied to H^(i-1) of the illustration B.2.1, written down from
formulas, it must give H^(i). All nine together are the proof of Theorem 1 by induction. The
repaired lines are those of `constructions.library.posterior_mean`, so that what is proved here is
what is compiled.
"""

from collections.abc import Callable
from itertools import product

import numpy as np

from constructions.library.posterior_mean import posterior_mean_program
from constructions.operators import (
    Aff,
    Columns,
    CopyDown,
    CopyOver,
    Mul,
    Operator,
    OperatorError,
    ScaledAgg,
    Soft,
)
from constructions.program import I_EVEN, I_ODD, QUERY
from papers.ledger import Correction, Evidence, Fault, Grade, Statement, statement
from papers.pathak2023.illustration import Illustration, difference

#: A line: its operator for given sizes.
LineClaim = Callable[[Illustration], Operator]

#: The sizes that are checked, smallest first: (d, m, k).
SIZES = sorted(product((1, 2, 3), repeat=3), key=lambda size: (sum(size), size))

SCOPE = f"every real prompt and W*, every sigma > 0; d, m, k from {SIZES[0]} to {SIZES[-1]}"


def _line(
    number: int,
    latex: str,
    printed: LineClaim,
    mutants: dict[str, LineClaim],
    correction: tuple[str, Fault, str] | None = None,
) -> Statement[LineClaim]:
    def check(claim: LineClaim, rng: np.random.Generator) -> Evidence:
        wrong = _first_failure(number, claim)
        comparison = f"H^({number}) of the line against B.2.1, entry by entry, with symbols"
        return Evidence(not wrong, Grade.PROVED, comparison, SCOPE, counterexample=wrong)

    repaired = None
    if correction is not None:
        text, fault, corrected = correction
        repaired = Correction(_library_line(number), text, fault, corrected)
    return statement(
        id=f"pathak2023/program-line-{number}",
        title=f"Line {number} of the program: H^({number - 1}) to H^({number})",
        source=f"Appendix B.2, line {number}, with B.2.1",
        latex=latex,
        printed=printed,
        mutants=mutants,
        correction=repaired,
        hypotheses=("k >= 1", "sigma > 0"),
        depends_on=(f"pathak2023/program-line-{number - 1}",) if number > 1 else (),
    )(check)


def _first_failure(number: int, claim: LineClaim) -> str:
    """Where a line first fails, by size; empty if it is right at all of them."""
    for size in SIZES:
        illustration = Illustration(*size)
        before, after = illustration.matrices[number - 1 : number + 1]
        operator = claim(illustration)
        try:
            wrong = difference(operator(before), after)
        except OperatorError as error:
            reasons = _misfits(operator) or error.problems
            wrong = f"the line is not defined: {'; '.join(reasons)}"
        if wrong:
            d, m, k = size
            return f"d = {d}, m = {m}, k = {k}: {wrong}"
    return ""


def _misfits(operator: Operator) -> list[str]:
    """Which maps of an aff do not fit their rows."""
    if not isinstance(operator, Aff):
        return []
    target, found = operator.target(), []
    ends = (operator.first, operator.last), (operator.second, operator.second_last)
    for name, weight, rows, (first, last) in zip(
        ("W", "W'"), (operator.weight, operator.second_weight), operator.sources(), ends,
        strict=True,
    ):  # fmt: skip
        shape = np.shape(weight)
        if shape and shape != (target.size, rows.size):
            found.append(
                f"{name} is {' x '.join(map(str, shape)) if len(shape) > 1 else 'a vector'}, from"
                f" rows {first}..{last} ({rows.size} of them) to rows {operator.target_row}.."
                f"{operator.target_last} ({target.size} of them)"
            )
    return found


def _library_line(number: int) -> LineClaim:
    def line(it: Illustration) -> Operator:
        program = posterior_mean_program(it.components, it.sigma, it.k)
        return program.operations[number - 1]

    return line


LINE_1 = _line(
    1,
    r"H^{(1)} = \mathrm{copy\_down}(H^{(0)}; 1, d+1, d, \mathcal{I}_{odd}(k))",
    lambda it: CopyDown(1, it.d + 1, it.d, I_ODD.of(it.k)),
    {
        "even columns": lambda it: CopyDown(1, it.d + 1, it.d, I_EVEN.of(it.k)),
        "query left out": lambda it: CopyDown(1, it.d + 1, it.d, I_ODD.of(it.k) - QUERY.of(it.k)),
        "one row lower": lambda it: CopyDown(1, it.d + 2, it.d, I_ODD.of(it.k)),
        "one row too few": lambda it: CopyDown(1, it.d + 1, max(it.d - 1, 1), I_ODD.of(it.k)),
    },
)

LINE_2 = _line(
    2,
    r"H^{(2)} = \mathrm{copy\_over}(H^{(1)}; d+1, d+1, 2d, \mathcal{I}_{even}(k))",
    lambda it: CopyOver(it.d + 1, it.d + 1, 2 * it.d, I_EVEN.of(it.k)),
    {
        "odd columns": lambda it: CopyOver(
            it.d + 1, it.d + 1, 2 * it.d, I_ODD.of(it.k) - frozenset({1})
        ),
        "from row 1 of the label itself": lambda it: CopyDown(1, it.d + 1, it.d, I_EVEN.of(it.k)),
        "one row lower": lambda it: CopyOver(it.d + 1, it.d + 2, 2 * it.d, I_EVEN.of(it.k)),
        "first label left out": lambda it: CopyOver(
            it.d + 1, it.d + 1, 2 * it.d, I_EVEN.of(it.k) - frozenset({2})
        ),
    },
)

LINE_3 = _line(
    3,
    r"H^{(3)} = \mathrm{copy\_down}(H^{(2)}; 1, 2d+1, 1, \mathcal{I}_{odd}(k))",
    lambda it: CopyDown(1, 2 * it.d + 1, 1, I_ODD.of(it.k)),
    {
        "all columns": lambda it: CopyDown(1, 2 * it.d + 1, 1, I_ODD.of(it.k) | I_EVEN.of(it.k)),
        "from row d + 1": lambda it: CopyDown(it.d + 1, 2 * it.d + 1, it.d + 1, I_EVEN.of(it.k)),
        "one row lower": lambda it: CopyDown(1, 2 * it.d + 2, 1, I_EVEN.of(it.k)),
    },
    (
        "The labels stand in the even columns: I_even(k) in place of I_odd(k). As printed the "
        "line copies the first coordinate of every x_j, and the residuals never see y.",
        Fault.SLIP,
        r"H^{(3)} = \mathrm{copy\_down}(H^{(2)}; 1, 2d+1, 1, \mathcal{I}_{even}(k))",
    ),
)


def _residuals(
    it: Illustration, sign: int = -1, weight: object = None, columns: Columns | None = None
) -> Aff:
    return Aff(
        it.d + 1, 2 * it.d + 1, 2 * it.d + 2, 2 * it.d, 2 * it.d + 1, 2 * it.d + it.m + 1,
        it.components if weight is None else weight,
        sign * np.ones((it.m, 1), dtype=int),
        0,
        I_EVEN.of(it.k) | QUERY.of(it.k) if columns is None else columns,
    )  # fmt: skip


LINE_4 = _line(
    4,
    r"H^{(4)} = \mathrm{aff}(H^{(3)}; d+1, 2d+1, 2d+2, 2d, 2d+1, 2d+m+1, \mathcal{W}^*,"
    r" \mathbf{1}_{d \times 1}, 0, \mathcal{I}_{even}(k) \cup \{2k+1\})",
    lambda it: Aff(
        it.d + 1, 2 * it.d + 1, 2 * it.d + 2, 2 * it.d, 2 * it.d + 1, 2 * it.d + it.m + 1,
        it.components, np.ones((it.d, 1), dtype=int), 0, I_EVEN.of(it.k) | QUERY.of(it.k),
    ),
    {
        "y added": lambda it: _residuals(it, sign=1),
        "y left out": lambda it: _residuals(it, sign=0),
        "y taken twice": lambda it: _residuals(it, sign=-2),
        "W* negated": lambda it: _residuals(it, weight=-it.components),
        "query left out": lambda it: _residuals(it, columns=I_EVEN.of(it.k)),
        "all columns": lambda it: _residuals(it, columns=I_EVEN.of(it.k) | I_ODD.of(it.k)),
        "1 of shape d x 1, negated": lambda it: Aff(
            it.d + 1, 2 * it.d + 1, 2 * it.d + 2, 2 * it.d, 2 * it.d + 1, 2 * it.d + it.m + 1,
            it.components, -np.ones((it.d, 1), dtype=int), 0, I_EVEN.of(it.k) | QUERY.of(it.k),
        ),
    },
    (
        "W' must be -1 of shape m x 1: the residual subtracts y (display (5)), from m rows. As "
        "printed (+1, of shape d x 1) the map is undefined for d != m, and for d = m it adds y.",
        Fault.SLIP,
        r"H^{(4)} = \mathrm{aff}(H^{(3)}; d+1, 2d+1, 2d+2, 2d, 2d+1, 2d+m+1, \mathcal{W}^*,"
        r" -\mathbf{1}_{m \times 1}, 0, \mathcal{I}_{even}(k) \cup \{2k+1\})",
    ),
)  # fmt: skip


def _squares(it: Illustration, columns: Columns, right: int = 0, target: int = 0) -> Mul:
    first, last = 2 * it.d + 2, 2 * it.d + it.m + 1
    return Mul(first, first + right, first + it.m + target, last, columns)


LINE_5 = _line(
    5,
    r"H^{(5)} = \mathrm{mul}(H^{(4)}; 2d+2, 2d+2, 2d+m+2, 2d+m+1, \mathcal{I}_{even}(k))",
    lambda it: _squares(it, I_EVEN.of(it.k)),
    {
        "query squared too": lambda it: _squares(it, I_EVEN.of(it.k) | QUERY.of(it.k)),
        "times y": lambda it: _squares(it, I_EVEN.of(it.k), right=-1),
        "one row lower": lambda it: _squares(it, I_EVEN.of(it.k), target=1),
        "odd columns": lambda it: _squares(it, I_ODD.of(it.k)),
    },
)


def _scores(it: Illustration, scale: object = None, skip: int = 0, rows: int = 0) -> ScaledAgg:
    first = 2 * it.d + it.m + 2 + rows
    summed = frozenset(c for c in I_EVEN.of(it.k) if c > 2 * skip)
    scale = -1 / (2 * it.sigma**2) if scale is None else scale
    last = 2 * it.d + 2 * it.m + 1 + rows
    return ScaledAgg(scale, first, last, 2 * it.d + it.m + 2, 2 * it.k + 1, summed)


LINE_6 = _line(
    6,
    r"H^{(6)} = \mathrm{scaled\_agg}(H^{(5)}; -\tfrac{1}{2\sigma^2}, 2d+m+2, 2d+2m+1, 2d+m+2,"
    r" 2k+1, \mathcal{I}_{even}(k))",
    _scores,
    {
        "sign": lambda it: _scores(it, 1 / (2 * it.sigma**2)),
        "without the half": lambda it: _scores(it, -1 / it.sigma**2),
        "sigma for sigma^2": lambda it: _scores(it, -1 / (2 * it.sigma)),
        "first example dropped": lambda it: _scores(it, skip=1),
        "residuals for squares": lambda it: _scores(it, rows=-it.m),
        "mean for sum": lambda it: _scores(it, -1 / (2 * it.k * it.sigma**2)),
    },
)

LINE_7 = _line(
    7,
    r"H^{(7)} = \mathrm{soft}(H^{(6)}; 2d+m+2, 2d+2m+1, 2d+2m+2)",
    lambda it: Soft(2 * it.d + it.m + 2, 2 * it.d + 2 * it.m + 1, 2 * it.d + 2 * it.m + 2),
    {
        "last component dropped": lambda it: Soft(
            2 * it.d + it.m + 2, 2 * it.d + max(2 * it.m, it.m + 2), 2 * it.d + 2 * it.m + 2
        ),
        "of the residuals": lambda it: Soft(
            2 * it.d + 2, 2 * it.d + it.m + 1, 2 * it.d + 2 * it.m + 2
        ),
        "one row lower": lambda it: Soft(
            2 * it.d + it.m + 2, 2 * it.d + 2 * it.m + 1, 2 * it.d + 2 * it.m + 3
        ),
    },
)


def _weighted(it: Illustration, factor: int = 0, target: int = 0, even: bool = False) -> Mul:
    first, last = 2 * it.d + 2, 2 * it.d + it.m + 1
    columns = QUERY.of(it.k) | (I_EVEN.of(it.k) if even else frozenset())
    row = 2 * it.d + 2 * it.m + 2
    return Mul(first, row + factor, row + it.m + target, last, columns)


LINE_8 = _line(
    8,
    r"H^{(8)} = \mathrm{mul}(H^{(7)}; 2d+2, 2d+2m+2, 2d+3m+2, 2d+m+1, \{2k+1\})",
    _weighted,
    {
        "scores for probabilities": lambda it: _weighted(it, factor=-it.m),
        "probabilities one row off": lambda it: _weighted(it, factor=1),
        "one row lower": lambda it: _weighted(it, target=1),
        "into the probabilities": lambda it: _weighted(it, target=-it.m),
    },
)


def _answer(it: Illustration, weight: object = None, start: int = 0, target: int = 0) -> Aff:
    first, last = 2 * it.d + 3 * it.m + 2 + start, 2 * it.d + 4 * it.m + 1 + start
    row = last + 1 - start + target
    ones = np.ones((1, it.m), dtype=int)
    return Aff(
        first, it.d + 1, row, last, it.d + 1, row,
        ones if weight is None else weight, 0, 0, QUERY.of(it.k),
    )  # fmt: skip


LINE_9 = _line(
    9,
    r"H^{(9)} = \mathrm{aff}(H^{(8)}; 2d+3m+2, d+1, 2d+4m+1, 2d+2m, d+1, 2d+4m+2,"
    r" \mathbf{1}_m, 0, 0, \{2k+1\})",
    lambda it: Aff(
        2 * it.d + 3 * it.m + 2, it.d + 1, 2 * it.d + 4 * it.m + 1,
        2 * it.d + 2 * it.m, it.d + 1, 2 * it.d + 4 * it.m + 2,
        np.ones(it.m, dtype=int), 0, 0, QUERY.of(it.k),
    ),
    {
        "mean for sum": lambda it: _answer(
            it, np.full((1, it.m), 1 / np.float64(it.m + 1))
        ),
        "negated": lambda it: _answer(it, -np.ones((1, it.m), dtype=int)),
        "sum of the probabilities": lambda it: _answer(it, start=-it.m),
        "one row higher": lambda it: _answer(it, target=-1),
        "only l repaired": lambda it: Aff(
            2 * it.d + 3 * it.m + 2, it.d + 1, 2 * it.d + 4 * it.m + 1,
            2 * it.d + 4 * it.m + 1, it.d + 1, 2 * it.d + 4 * it.m + 2,
            np.ones((1, it.m), dtype=int), 0, 0, QUERY.of(it.k),
        ),
    },
    (
        "l = 2d+4m+1 in place of 2d+2m (printed, the interval ends before it begins), "
        "k'' = 2d+4m+2 in place of 2d+4m+1 (printed, two rows are written), and 1_m as the row "
        "1 x m.",
        Fault.SLIP,
        r"H^{(9)} = \mathrm{aff}(H^{(8)}; 2d+3m+2, d+1, 2d+4m+2, 2d+4m+1, d+1, 2d+4m+2,"
        r" \mathbf{1}_{1 \times m}, 0, 0, \{2k+1\})",
    ),
)  # fmt: skip

STATEMENTS = (LINE_1, LINE_2, LINE_3, LINE_4, LINE_5, LINE_6, LINE_7, LINE_8, LINE_9)
