"""Definition 1: RAW operators, displays (8a) and (8b), and what one of them cannot do (Lemma 1).

One RAW operator has the same matrices for every column: in (8a) with the sum, rows K of column i
become A h_i + B (mean of the columns of pi(i)), A and B the same for all i; with the product they
are quadratic in H. An operator that is the identity in some columns and not in others therefore is
no RAW operator: copy_over leaves column 1 alone, scaled_agg all columns but one, and copy_down
those outside I. Display (9) needs three of them each (`papers.pathak2023.displays_9`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations, product
from typing import Literal

import numpy as np

from constructions.operators import Columns, Raw
from papers.ledger import Correction, Evidence, Fault, Grade, statement

#: Sizes p and q of the matrices, |I|, |J|, |K| and r.
P, Q, READ, OWN, WRITE, RANK = 4, 3, (1, 3), (2,), (2, 4), 3

DRAWN = 12

Table = list[list[int]]


@dataclass(frozen=True)
class RawClaim:
    """Display (8), in parts.

    Parameters
    ----------
    count
        What the sum over pi(i) is divided by, from |pi(i)|.
    combine
        The entries of the two vectors of R^r, own first, for "+" and "*".
    own_column
        The column whose rows J are read, from i.
    kept
        What an entry outside K becomes, from H'_{., i} = H_{., i}.
    """

    count: Callable[[int], int]
    combine: Callable[[str, Fraction, Fraction], Fraction]
    own_column: Callable[[int], int]
    kept: Callable[[Fraction], Fraction]


_RAW = RawClaim(
    count=lambda n: max(n, 1),
    combine=lambda kind, own, read: own + read if kind == "+" else own * read,
    own_column=lambda i: i,
    kept=lambda h: h,
)


def _draw(number: int, rng: np.random.Generator) -> tuple[Raw, Table]:
    """An operator with integer matrices and a causal pi, a sum if even, and a matrix."""
    read_map, own_map, write_map = (
        rng.integers(-3, 4, shape) for shape in ((RANK, 2), (RANK, 1), (2, RANK))
    )
    kind: Literal["+", "*"] = "*" if number % 2 else "+"
    attended = {i: frozenset(j for j in range(1, i) if rng.integers(4)) for i in range(1, Q + 1)}
    H = rng.integers(1, 9, (P, Q)).tolist()
    return Raw(kind, READ, OWN, WRITE, read_map, own_map, write_map, attended), H


def _entry(claim: RawClaim, raw: Raw, H: Table, row: int, i: int) -> Fraction:
    """H'_{row, i} by display (8), with loops over all indices."""
    if row not in WRITE:
        return claim.kept(Fraction(H[row - 1][i - 1]))
    seen = raw.attended[i]
    own_column = claim.own_column(i)
    total = Fraction()
    for s in range(RANK):
        own = sum(
            (
                Fraction(int(raw.own_map[s, t])) * H[j - 1][own_column - 1]
                for t, j in enumerate(OWN)
            ),
            Fraction(),
        )
        read = sum(
            (
                Fraction(int(raw.read_map[s, t])) * H[j - 1][c - 1]
                for t, j in enumerate(READ)
                for c in seen
            ),
            Fraction(),
        ) / claim.count(len(seen))
        weight = int(raw.write_map[WRITE.index(row), s])
        total += weight * claim.combine(raw.kind, own, read)
    return total  # fmt: skip


def _check_8(claim: RawClaim, rng: np.random.Generator) -> Evidence:
    wrong = ""
    for number in range(DRAWN):
        raw, H = _draw(number, rng)
        found = raw(H)
        for row, column in np.ndindex(P, Q):
            told = _entry(claim, raw, H, row + 1, column + 1)
            if not wrong and abs(float(told) - found[row, column]) > 1e-9:
                wrong = (
                    f"H = {H}, {raw}: H'_({row + 1}, {column + 1}) is {found[row, column]:g},"
                    f" not {told}"
                )
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "constructions.operators.Raw against loops in fractions",
        f"{DRAWN} draws of integer matrices, p = {P}, q = {Q}, |I| = 2, |J| = 1, |K| = 2, r = 3",
        counterexample=wrong,
    )


@statement(
    id="pathak2023/display-8a",
    title="What a RAW operator writes: own rows and the mean of earlier ones, combined",
    source="Appendix B.3, Definition 1, display (8a)",
    latex=r"H'_{\mathcal{K}, i} := \Theta_{\mathcal{K}} \Big(\Theta_{\mathcal{J}}"
    r" H_{\mathcal{J}, i} \bullet \Big(\frac{\Theta_{\mathcal{I}}}{\max\{|\pi(i)|, 1\}}"
    r" \sum_{i' \in \pi(i)} H_{\mathcal{I}, i'}\Big)\Big)",
    printed=_RAW,
    mutants={
        "a sum for the mean": replace(_RAW, count=lambda n: 1),
        "|pi(i)| + 1": replace(_RAW, count=lambda n: n + 1),
        "sum and product exchanged": replace(
            _RAW, combine=lambda kind, own, read: own * read if kind == "+" else own + read
        ),
        "own rows subtracted": replace(
            _RAW, combine=lambda kind, own, read: read - own if kind == "+" else own * read
        ),
        "own rows from the column before": replace(_RAW, own_column=lambda i: max(i - 1, 1)),
        "1 % more is read": replace(
            _RAW,
            combine=lambda kind, own, read: (
                own + read * Fraction(101, 100) if kind == "+" else own * read
            ),
        ),
    },
)
def WRITTEN(claim: RawClaim, rng: np.random.Generator) -> Evidence:
    """Compare with plain loops."""
    return _check_8(claim, rng)


@statement(
    id="pathak2023/display-8b",
    title="What a RAW operator leaves alone: all other rows",
    source="Appendix B.3, Definition 1, display (8b)",
    latex=r"H'_{\mathcal{K}^c, i} = H_{\mathcal{K}^c, i}",
    printed=_RAW,
    mutants={
        "erased": replace(_RAW, kept=lambda h: Fraction()),
        "negated": replace(_RAW, kept=lambda h: -h),
        "1 % more": replace(_RAW, kept=lambda h: h * Fraction(101, 100)),
        "doubled, as a residual stream would": replace(_RAW, kept=lambda h: 2 * h),
    },
)
def LEFT_ALONE(claim: RawClaim, rng: np.random.Generator) -> Evidence:
    """Compare with plain loops."""
    return _check_8(claim, rng)


#: The columns of H on which column i of H' may depend, from i and q.
CausalClaim = Callable[[int, int], range]


@statement(
    id="pathak2023/definition-1",
    title="A RAW operator maps R^{p x q} to itself, and column i of H' sees columns 1..i of H",
    source="Appendix B.3, Definition 1",
    latex=r"\mathrm{RAW}_\bullet: \mathbf{R}^{p \times q} \to \mathbf{R}^{p \times q},\quad"
    r" \pi(i) \subset [i - 1]",
    printed=lambda i, q: range(1, i + 1),
    mutants={
        "not its own column": lambda i, q: range(1, i),
        "not the first": lambda i, q: range(2, i + 1),
        "all columns": lambda i, q: range(1, q + 1),
        "only its own and the one before": lambda i, q: range(max(i - 1, 1), i + 1),
    },
    depends_on=("pathak2023/display-8a", "pathak2023/display-8b"),
)
def CAUSAL(claim: CausalClaim, rng: np.random.Generator) -> Evidence:
    """Move one column at a time, and see which columns of H' move."""
    moved: set[tuple[int, int]] = set()
    wrong = ""
    for number in range(DRAWN):
        raw, H = _draw(number, rng)
        raw = replace(raw, attended={i: frozenset(range(1, i)) for i in range(1, Q + 1)})
        before = raw(H)
        if before.shape != (P, Q):
            wrong = f"H' has the shape {before.shape}"
        for j in range(Q):
            other = [[h + (column == j) for column, h in enumerate(row)] for row in H]
            gap = np.any(raw(other) != before, axis=0)
            moved |= {(int(i) + 1, j + 1) for i in np.flatnonzero(gap)}
    for i in range(1, Q + 1):
        found = sorted(j for column, j in moved if column == i)
        if not wrong and found != list(claim(i, Q)):
            wrong = f"q = {Q}: column {i} of H' depends on columns {found}, not {[*claim(i, Q)]}"
    return Evidence(
        not wrong,
        Grade.CONFIRMED,
        "which columns of H' move with a column of H, for pi(i) = [i - 1]",
        f"{DRAWN} operators with random integer matrices, p = {P}, q = {Q}",
        counterexample=wrong,
    )


@dataclass(frozen=True)
class CopyCase:
    """copy_over, copy_down (to other rows) or scaled_agg (one column) of q columns.

    Parameters
    ----------
    name
        The operator.
    q
        Columns.
    columns
        I, not empty; for scaled_agg the one column that is written.
    """

    name: str
    q: int
    columns: Columns

    def own(self, i: int) -> bool:
        """Whether the target in column i stays what it was."""
        return i not in self.columns

    def read(self, i: int) -> dict[tuple[int, int], int]:
        """What the target in column i becomes instead: source rows of which columns, how often."""
        if self.name == "copy_down":
            return {(0, i): 1}
        if self.name == "copy_over":
            return {(0, i - 1): 1}
        return {(0, j): 1 for j in range(1, i)}


#: Whether one RAW operator does it.
OneRawClaim = Callable[[CopyCase], bool]


def _cases() -> list[CopyCase]:
    found = []
    for name, q in product(("copy_down", "copy_over", "scaled_agg"), (1, 2, 3)):
        first = 1 if name == "copy_down" else 2
        every = range(first, q + 1)
        sizes = range(1, 2) if name == "scaled_agg" else range(1, len(every) + 1)
        found += [CopyCase(name, q, frozenset(c)) for n in sizes for c in combinations(every, n)]
    return found


def _obstacle(case: CopyCase) -> str:
    """Why no A, B and pi have rows K of column i equal to A h_i + B mean_{pi(i)} h; or empty.

    One source and one target row: A = (to keep the target, to copy the source), B likewise.
    Entries are of degree 1 in H, so that the product, of degree 2, is none of them.
    """
    own_maps: dict[tuple[int, int], int] = {}
    read_maps: dict[tuple[int, ...], int] = {}
    for i in range(1, case.q + 1):
        terms = {(1, i): 1} if case.own(i) else case.read(i)
        own_maps.setdefault((terms.get((1, i), 0), terms.get((0, i), 0)), i)
        before = {key: n for key, n in terms.items() if key[1] < i}
        if before:
            # A mean over n columns: B is n times the coefficient.
            read_maps.setdefault(tuple(len(before) * c for c in set(before.values())), i)
    for name, maps in (("A", own_maps), ("B", read_maps)):
        if len(maps) > 1:
            asked = [f"column {i} asks for {name} = {_row(m)}" for m, i in maps.items()]
            return f"{asked[0]}, {asked[1]}"
    return ""


def _row(values: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, values))})"


@statement(
    id="pathak2023/lemma-1",
    title="copy_over, copy_down and scaled_agg: one RAW operator is not enough",
    source="Appendix B.3, Lemma 1",
    latex=r"\mathrm{copy\_over},\ \mathrm{copy\_down},\ \mathrm{scaled\_agg}"
    r" \text{ are all implementable via the RAW operator in a single layer}",
    printed=lambda case: True,
    correction=Correction[OneRawClaim](
        lambda case: case.name == "copy_down" and len(case.columns) == case.q,
        "Only where all columns are treated alike: copy_down with I = [q]. Otherwise a RAW operator"
        " cannot leave the other columns as they are; three of them can, with a row of ones,"
        " scratch rows and a constant column in front (displays (9), corrected). A layer"
        " is enough on a box (Proposition 1, corrected).",
        Fault.FALSE,
        latex=r"\mathrm{copy\_down} \text{ is one RAW operator if and only if }"
        r" \mathcal{I} = [q],\quad \mathrm{copy\_over},\ \mathrm{scaled\_agg}"
        r" \text{ are none;}\quad \text{three RAW operators are enough for each}",
    ),
    mutants={
        "never": lambda case: False,
        "copy_down always": lambda case: case.name == "copy_down",
        "copy_over of all columns but the first": lambda case: (
            len(case.columns) == case.q - (case.name == "copy_over")
        ),
        "all columns but one": lambda case: (
            case.name == "copy_down" and len(case.columns) >= case.q - 1
        ),
        "one column": lambda case: case.name == "copy_down" and case.q == 1,
    },
    hypotheses=("every matrix of R^{p x q}", "source and target rows differ", "I is not empty"),
    depends_on=(
        "pathak2023/definition-1",
        *(f"pathak2023/display-9{letter}" for letter in "abc"),
    ),
)
def ONE_RAW(claim: OneRawClaim, rng: np.random.Generator) -> Evidence:
    """Compare coefficients of the entries of H, column by column."""
    cases = sorted(_cases(), key=lambda case: (case.q, len(case.columns)))
    wrong = ""
    for case in cases:
        obstacle = _obstacle(case)
        if not wrong and claim(case) == bool(obstacle):
            columns = ", ".join(map(str, sorted(case.columns)))
            wrong = f"{case.name}, q = {case.q}, columns {{{columns}}}: one RAW operator " + (
                "is not enough: the target row of column i becomes A h_i + B (mean of h_j) for h ="
                f" (target, source), with one A for all i, and {obstacle}"
                if obstacle
                else "does it: all columns ask for the same A and B"
            )
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the coefficients of A and B that each column asks for",
        f"all {len(cases)} sets of columns for q up to 3; larger q contain these",
        counterexample=wrong,
    )


STATEMENTS = (WRITTEN, LEFT_ALONE, CAUSAL, ONE_RAW)
