"""Appendix B.1: the definition of aff, whose weights have shapes of their own."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from constructions.operators import Aff, OperatorError
from papers.ledger import Correction, Evidence, Fault, Grade, statement
from papers.pathak2023.definition_check import matrix_of


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

_FORMULA = (
    r"H'_{k'':\ell'',i} = W H_{k:\ell,i} + W' H_{k':\ell',i} + b,\quad \ell = k + \delta,"
    r"\ \ell' = k' + \delta',\ \ell'' = k'' + \delta'',\quad"
)


@statement(
    id="pathak2023/definition-aff",
    title="The definition of aff",
    source="Appendix B.1",
    latex=_FORMULA + r" W \in \mathbf{R}^{\delta'' \times \delta},"
    r"\ W' \in \mathbf{R}^{\delta'' \times \delta'}",
    printed=Shapes(0, 0, 0, 0),
    correction=Correction(
        Shapes(),
        "Intervals are inclusive: rows k..l are delta + 1, so that W is (delta'' + 1) x (delta + 1)"
        " and W' is (delta'' + 1) x (delta' + 1). (Line 4 of the program, with W* in R^{m x d} and"
        " rows d + 1..2d, has these shapes.)",
        Fault.SLIP,
        latex=_FORMULA + r" W \in \mathbf{R}^{(\delta'' + 1) \times (\delta + 1)},"
        r"\ W' \in \mathbf{R}^{(\delta'' + 1) \times (\delta' + 1)}",
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
                f"{at}: {name} is {rows} x {width}, and there are {block} row(s) to read and"
                f" {d3 + 1} to write: it must be {d3 + 1} x {block}"
            )
    if len(b) != rows:
        return f"{at}: b has {len(b)} entries, and there are {rows} row(s) to add it to"
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


STATEMENTS = (AFF,)
